//! An AWS IoT Core in one process: control plane, MQTT broker, just-in-time provisioning and IoT policies.
//!
//! Data flows one way. Control plane: socket -> model table -> account -> storage. Messages:
//! socket -> session -> policy (pure) -> topic tree -> subscribers. `account` knows no sockets,
//! `policy` knows no account.

pub mod account;
pub mod admit;
pub mod broker;
mod connection;
pub mod control;
mod data_plane;
pub mod diary;
mod event_sources;
mod events;
mod fleet;
pub mod functions;
pub mod gate;
mod http;
mod identity;
mod just_in_time;
pub mod model;
pub mod policy;
pub mod provisioning;
mod quotas;
mod reserved;
mod router;
mod rules;
pub mod running;
pub mod server;
mod session;
mod sqs;
pub mod storage;
pub mod tls;
pub mod x509;
