//! The functions that are deployed: `pre-provision`, which AWS IoT asks before it provisions a device.
//!
//! What is decided is decided by pure functions; the program in `bin/` only reads, asks and logs.

mod decision;
mod hook;
mod list;
#[cfg(feature = "table")]
mod table;

pub use decision::{Decision, Reason, Record, Standing, decide, judge_record};
pub use hook::{Answer, Request};
pub use list::{AllowList, Device, ListError};
#[cfg(feature = "table")]
pub use table::{Table, TableSettings};
