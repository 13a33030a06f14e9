//! The functions that are deployed: `pre-provision`, which AWS IoT asks before it provisions a device, and
//! `process-queue`, which consumes the queue that a rule puts messages into.
//!
//! What is decided is decided by pure functions; the programs in `bin/` only read, ask and log.

mod consumer;
mod decision;
mod hook;
mod list;
mod loadtest;
#[cfg(feature = "table")]
mod table;

pub use consumer::{BatchError, Consumer};
pub use decision::{Decision, Reason, Record, Standing, decide, judge_record};
pub use hook::{Answer, Request};
pub use list::{AllowList, Device, ListError};
pub use loadtest::LoadTestMessage;
#[cfg(feature = "table")]
pub use table::{Table, TableSettings};
