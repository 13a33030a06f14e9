//! What every program shares: `run()`, common flags, reports, exit codes, environment variables.

mod age;
mod batch;
mod common;
mod confirm;
mod connect;
pub mod environment;
mod exit;
mod failure;
mod input;
mod items;
mod name_value;
mod report;
mod run;
mod screen;

pub use age::Age;
pub use batch::{Batch, BatchFlags, Done, Order};
pub use common::Common;
pub use confirm::ConfirmFlags;
pub use connect::{ConnectFlags, mqtt_identity};
pub use exit::Exit;
pub use failure::{Failure, Result};
pub use input::{read_file, read_package, read_text, read_text_or_stdin};
pub use items::Things;
pub use name_value::NameValue;
pub use report::{OutputFormat, Report, Reporter};
pub use run::{Signals, run, run_threaded};
