//! The load test, of which two programs are made. They differ in where they have from what goes beyond a fleet that has
//! its certificates.

#[path = "loadtest_beyond.rs"]
mod beyond;
#[path = "loadtest_merge.rs"]
mod merging;
#[path = "loadtest_plan.rs"]
mod planning;
#[path = "loadtest_results.rs"]
mod results;
#[path = "loadtest_run.rs"]
mod running;
#[path = "loadtest_scenario.rs"]
mod scenario;
#[path = "loadtest_screen.rs"]
mod screen;
#[path = "loadtest_setup.rs"]
mod setup;
#[path = "loadtest_spelling.rs"]
mod spelling;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use jitp_cli::{Common, Exit, Report, Result, Signals};
use jitp_loadtest::Scenario;
use serde::Serialize;

pub(crate) use beyond::{Beyond, Why};
pub(crate) use running::ClaimFlags;
pub(crate) use setup::{CaFlags, Ready};

/// Load an AWS IoT Core, or a local one, with a fleet of devices in one process
///
/// Open loop: messages are due by a schedule that waits for nobody, and latencies count from then. What
/// is lost, doubled or out of order is counted, and so is what this program itself was late with. The
/// spelling of the shell toolkit works too: loadtest -setup -loadtest -subscribers 3 -producers 10.
#[derive(Args)]
#[command(after_help = "Examples:
  loadtest setup --publishers 10 --subscribers 3      certificates pub0 to pub9, sub0 to sub2
  loadtest run --publishers 10 --subscribers 3 --duration 60s
  loadtest run jitp-storm --publishers 1000 --connect-rate 100
  loadtest run fleet.toml --assert 'p99<50ms' --assert 'lost==0'
  loadtest plan --publishers 487 --subscribers 20     beside AWS's quotas
  loadtest merge shard-0 shard-1 --out together")]
struct Arguments {
    #[command(subcommand)]
    command: What,
}

#[derive(Subcommand)]
enum What {
    /// Issue the certificates of a scenario's devices
    Setup(setup::Setup),
    /// Run a scenario, and report what came of it
    Run(Box<running::Run>),
    /// Compare what a scenario asks with AWS's quotas, and say what AWS charges for; nothing is connected
    Plan(planning::Planned),
    /// Put the results of several processes together, exactly
    Merge(merging::Merge),
    /// List the scenarios in the program; with a name, print that one
    Scenarios(Scenarios),
}

#[derive(Args)]
struct Scenarios {
    /// One of them, as TOML
    name: Option<String>,
}

#[derive(Serialize)]
struct Known {
    scenario: String,
    description: String,
}

impl Report for Known {
    fn columns(&self) -> Vec<String> {
        vec![self.scenario.clone(), self.description.clone()]
    }
}

/// A scenario's text is the answer in either format.
#[derive(Serialize)]
struct Text {
    toml: String,
}

impl Report for Text {
    fn columns(&self) -> Vec<String> {
        vec![self.toml.trim_end().to_owned()]
    }
}

/// The whole program. What it takes beyond a fleet that has its certificates is `B`.
pub(crate) fn run<B: Beyond>() -> ExitCode {
    jitp_cli::run_threaded_as(spelling::modern, loadtest::<B>)
}

async fn loadtest<B: Beyond>(
    arguments: Arguments,
    common: &Common,
    signals: Signals,
) -> Result<u8> {
    match arguments.command {
        What::Setup(flags) => setup::setup::<B>(&flags, common).await?,
        What::Run(flags) => return running::run::<B>(*flags, common, signals).await,
        What::Plan(flags) => return planning::plan(&flags, common),
        What::Merge(flags) => return merging::merge_results(&flags, common),
        What::Scenarios(flags) => scenarios(&flags, common)?,
    }
    Ok(Exit::Done as u8)
}

fn scenarios(flags: &Scenarios, common: &Common) -> Result<()> {
    let mut reporter = common.listing();
    if let Some(name) = &flags.name {
        let toml = scenario::built_in(name)?.to_owned();
        return reporter.line(&Text { toml });
    }
    for name in Scenario::names() {
        let scenario =
            Scenario::read(name, scenario::built_in(name)?).map_err(scenario::failure)?;
        reporter.line(&Known {
            scenario: name.to_owned(),
            description: scenario.description,
        })?;
    }
    Ok(())
}
