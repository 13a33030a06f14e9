//! `loadtest setup`: the certificates of a scenario's devices.

use clap::Args;
use jitp_cli::{CaKeyFlags, Common, Failure, Report, Result};
use jitp_cloud::CloudSettings;
use jitp_core::failure::Class;
use jitp_core::names::CaName;
use jitp_loadtest::{Matching, Origin, Scenario};
use serde::Serialize;

use super::beyond::{Beyond, Why};
use super::scenario::{ScenarioFlags, failure};
use crate::station::StationFlag;

#[derive(Args)]
pub(super) struct Setup {
    #[command(flatten)]
    scenario: ScenarioFlags,

    #[command(flatten)]
    ca: CaFlags,
}

// (No docstring: clap would show it as what the program does.)
#[derive(Args)]
pub(crate) struct CaFlags {
    /// CA to sign with
    #[arg(long, value_name = "CA", default_value = "root")]
    pub(crate) ca: CaName,

    #[command(flatten)]
    pub(crate) key: CaKeyFlags,

    #[command(flatten)]
    pub(crate) station: StationFlag,

    #[command(flatten)]
    pub(crate) cloud: CloudSettings,
}

/// What was made.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ready {
    pub(crate) publishers: u32,
    pub(crate) subscribers: u32,
    pub(crate) issued: u64,
    pub(crate) unchanged: u64,
}

impl Report for Ready {
    fn columns(&self) -> Vec<String> {
        vec![
            format!("{} publishers", self.publishers),
            format!("{} subscribers", self.subscribers),
            format!("{} issued", self.issued),
            format!("{} unchanged", self.unchanged),
        ]
    }
}

pub(super) async fn setup<B: Beyond>(flags: &Setup, common: &Common) -> Result<()> {
    let scenario = flags.scenario.scenario()?;
    // Where it will be run is not known yet; the run looks again.
    scenario.check(Matching::Aws).map_err(failure)?;
    if scenario.identities != Origin::Files {
        let message = format!(
            "the scenario {} takes no certificates from files",
            scenario.name
        );
        return Err(Failure::new(Class::Configuration, message)
            .hint("nothing needs to be set up: its devices get theirs while it runs"));
    }
    B::is_needed(Why::Certificates)?;
    let ready = B::issue(&scenario, &flags.ca, common).await?;
    common.reporter().line(&ready)
}

/// Issues what is missing, and tells a person.
pub(super) async fn before_run<B: Beyond>(
    scenario: &Scenario,
    flags: &CaFlags,
    common: &Common,
) -> Result<()> {
    let ready = B::issue(scenario, flags, common).await?;
    common.say(format!(
        "certificates: {} issued, {} there already",
        ready.issued, ready.unchanged
    ));
    Ok(())
}
