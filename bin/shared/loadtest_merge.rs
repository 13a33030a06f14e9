//! `loadtest merge`: the results of several processes, put together exactly.

use std::path::PathBuf;

use clap::Args;
use jitp_cli::{Common, Failure, Result};
use jitp_core::failure::Class;
use jitp_loadtest::{Assertion, Report, merge};

use crate::results::{Pictures, Results};

#[derive(Args)]
pub(super) struct Merge {
    /// Folders with the results of the parts, or a folder of such folders
    #[arg(required = true, value_name = "DIR")]
    folders: Vec<PathBuf>,

    /// New folder for the result [default: loadtest- with the time]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Fail with exit code 9 unless this holds
    #[arg(long = "assert", value_name = "CONDITION")]
    assertions: Vec<Assertion>,

    #[command(flatten)]
    pictures: Pictures,
}

pub(super) fn merge_results(flags: &Merge, common: &Common) -> Result<u8> {
    let (outcome, histograms) = merge(&flags.folders)
        .map_err(|error| Failure::new(Class::Configuration, error.to_string()))?;
    let held: Vec<_> = flags
        .assertions
        .iter()
        .map(|assertion| assertion.check(&outcome, &histograms))
        .collect();
    let results = Results::prepare(flags.out.clone(), flags.pictures)?;
    let report = Report {
        outcome: &outcome,
        histograms: &histograms,
        assertions: &held,
    };
    results.publish(&report, common)?;
    crate::running::verdict(&outcome, &held)
}
