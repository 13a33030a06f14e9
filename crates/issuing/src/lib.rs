//! Device certificates in number: a ledger that nothing is signed without, batches that survive whatever happens to
//! them, and the forms in which devices and stations take what was made.
//!
//! One thing goes before another: keys are made, the ledger reserves serial numbers, the CA signs, the outputs are on the
//! disk, and only then does the ledger say that a certificate was issued. Whatever is interrupted in between is found
//! and settled by the next run.

mod batch;
mod error;
mod ledger;
mod list;
mod output;
mod reports;
mod single;
mod sources;

pub use batch::{Batch, Item, Order, Outcome, Passphrase, Plan, Source, Summary, What};
pub use error::IssuingError;
pub use ledger::{
    BatchRecord, Double, Entry, Fault, Ledger, LedgerReader, Seal, State, Verified, ledger_file,
    ledgers_beside,
};
pub use list::{BadRow, DeviceList, ListError};
pub use output::{Format, Layout, Target};
pub use reports::{Junit, Manifest};
pub use single::Single;
pub use sources::{Named, Numbered, NumberedError};
