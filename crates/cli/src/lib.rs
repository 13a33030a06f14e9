//! What every program shares: `run()`, common flags, reports, exit codes, environment variables.

mod age;
mod batch;
mod ca_key;
mod common;
mod confirm;
mod connect;
pub mod environment;
mod exit;
mod failure;
mod input;
mod items;
mod memory;
mod name_value;
mod new_ca_key;
mod report;
mod run;
mod screen;
mod secret;

pub use age::Age;
pub use batch::{Batch, BatchFlags, Done, Order};
pub use ca_key::{CaKeyFlags, key_place};
pub use common::Common;
pub use confirm::ConfirmFlags;
pub use connect::{ConnectFlags, EndpointFlags, mqtt_identity};
pub use exit::Exit;
pub use failure::{Failure, Result};
pub use input::{read_file, read_package, read_text, read_text_or_stdin};
pub use items::Things;
pub use name_value::NameValue;
pub use new_ca_key::{
    NewCaFiles, NewCaKey, NewPassphraseFlags, ask_new_passphrase, makes_key_file,
};
pub use report::{OutputFormat, Report, Reporter};
pub use run::{
    Signals, Stop, run, run_stoppable, run_threaded, run_threaded_as, threads, until_interrupted,
};
pub use screen::{Bar, Panel};
