//! What every program shares: `run()`, common flags, reports, exit codes, environment variables.

mod common;
mod connect;
pub mod environment;
mod exit;
mod failure;
mod report;
mod run;

pub use common::{Common, OutputFormat};
pub use connect::ConnectFlags;
pub use exit::Exit;
pub use failure::{Failure, Result};
pub use report::{Report, Reporter};
pub use run::{Signals, run, run_threaded};
