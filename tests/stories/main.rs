//! The user's story, told by running the real programs against an embedded local core.

mod support;

mod bad_network;
mod batches;
mod cas;
mod claims;
mod contract;
mod custody;
mod environment;
mod faults;
mod first_connection;
mod fleet;
mod full;
mod intermediates;
mod interruptions;
mod issuing;
mod linting;
mod load;
mod local_core;
mod messages;
mod pages;
mod pipeline;
mod queues;
mod quotas;
mod registering;
mod secrets;
mod stations;
mod statuses;
mod sweeping;
mod teardown;
mod templates;
mod terminal;
mod things;
