//! `loadtest merge`: the results of several processes, put together exactly.

use std::path::PathBuf;

use clap::Args;
use jitp_cli::{Common, Result};
use jitp_loadtest::{Assertion, LATENCIES, Report, merge, merge_logs};

use super::results::{Pictures, Results};

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
    let (outcome, histograms) = merge(&flags.folders)?;
    let held: Vec<_> = flags
        .assertions
        .iter()
        .map(|assertion| assertion.check(&outcome, &histograms))
        .collect();
    let results = Results::prepare(flags.out.clone(), flags.pictures)?;
    merge_logs(&flags.folders, &results.file(LATENCIES))?;
    let report = Report {
        outcome: &outcome,
        histograms: &histograms,
        assertions: &held,
    };
    results.publish(&report, common)?;
    super::running::verdict(&outcome, &held)
}
