//! `loadtest setup`: the certificates of a scenario's devices, issued as any batch is.

use std::num::NonZero;

use clap::Args;
use jitp_cli::{Bar, CaKeyFlags, Common, Failure, Report, Result, Stop};
use jitp_cloud::CloudSettings;
use jitp_core::ca::{DeviceSubject, Profile};
use jitp_core::failure::Class;
use jitp_core::names::CaName;
use jitp_core::store::Store;
use jitp_issuing::{Batch, Format, Item, Layout, Plan, Source, Target, What};
use jitp_loadtest::{Matching, Origin, Scenario, names};
use serde::Serialize;
use serde_json::json;
use time::OffsetDateTime;

use crate::scenario::{ScenarioFlags, failure};
use crate::signing::{Signing, StationFlag, absolute, operator};

#[derive(Args)]
pub(super) struct Setup {
    #[command(flatten)]
    scenario: ScenarioFlags,

    #[command(flatten)]
    pub(super) ca: CaFlags,
}

// (No docstring: clap would show it as what the program does.)
#[derive(Args)]
pub(super) struct CaFlags {
    /// CA to sign with
    #[arg(long, value_name = "CA", default_value = "root")]
    pub(super) ca: CaName,

    #[command(flatten)]
    pub(super) key: CaKeyFlags,

    #[command(flatten)]
    station: StationFlag,

    #[command(flatten)]
    pub(super) cloud: CloudSettings,
}

impl CaFlags {
    /// What signing takes.
    pub(super) fn signing(&self) -> Signing<'_> {
        Signing {
            ca: &self.ca,
            key: &self.key,
            station: self.station,
            cloud: &self.cloud,
        }
    }
}

/// What was made.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Ready {
    publishers: u32,
    subscribers: u32,
    issued: u64,
    unchanged: u64,
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

/// The devices of a scenario, publishers first.
struct Fleet(Vec<DeviceSubject>);

impl Source for Fleet {
    fn items(&self) -> Box<dyn Iterator<Item = Item> + '_> {
        Box::new(self.0.iter().cloned().map(|subject| Item {
            what: What::Make(subject),
            formats: None,
        }))
    }
}

pub(super) async fn setup(flags: &Setup, common: &Common) -> Result<()> {
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
    let ready = issue(&scenario, &flags.ca, common).await?;
    common.reporter().line(&ready)
}

/// Issues what is missing.
async fn issue(scenario: &Scenario, flags: &CaFlags, common: &Common) -> Result<Ready> {
    let stop = Stop::listen();
    let store = Store::open(&common.dir)?;
    let signing = flags.signing();
    let ca = signing.load(&store, common).await?;
    let subjects = names(scenario, None)
        .map(|name| {
            let name = name
                .parse()
                .map_err(|error| Failure::usage(format!("{error}")))?;
            DeviceSubject::new(name).map_err(|error| Failure::usage(error.to_string()))
        })
        .collect::<Result<Vec<_>>>()?;
    let profile = Profile::device();
    let plan = Plan {
        request: json!({
            "ca": flags.ca.as_str(),
            "loadtest": {
                "publishers": [scenario.names.publisher, scenario.publishers],
                "subscribers": [scenario.names.subscriber, scenario.subscribers],
            },
            "dir": absolute(store.dir())?,
        })
        .to_string(),
        operator: operator(None),
        key_type: profile.key_type(),
        window: ca.window(profile.validity(), OffsetDateTime::now_utc())?,
        target: Target {
            layout: Layout::Folder,
            path: absolute(store.dir())?,
            formats: vec![Format::Pem],
        },
        reissue: false,
        abandon: false,
        passphrase: None,
        threads: std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN),
    };
    let mut ledger = signing.ledger(&store, &ca)?;
    let bar = Bar::show(Some(subjects.len()), "devices".to_owned(), !common.quiet);
    let batch = Batch {
        ledger: &mut ledger,
        ca: &ca,
        plan: &plan,
    };
    let summary = batch.run(&Fleet(subjects), stop.flag(), |_| {
        bar.advance();
        true
    })?;
    drop(bar);
    if let Some(error) = summary.failure {
        return Err(Failure::from(error).context(format!(
            "{} certificates were issued, and then",
            summary.issued
        )));
    }
    if !summary.finished {
        let interrupted = stop.failure();
        return Err(interrupted
            .unwrap_or_else(|| Failure::new(Class::Unexpected, "the batch was not finished"))
            .hint("run the same command again: it goes on from here"));
    }
    Ok(Ready {
        publishers: scenario.publishers,
        subscribers: scenario.subscribers,
        issued: summary.issued,
        unchanged: summary.unchanged,
    })
}

/// Issues what is missing, and tells a person.
pub(super) async fn before_run(
    scenario: &Scenario,
    flags: &CaFlags,
    common: &Common,
) -> Result<()> {
    let ready = issue(scenario, flags, common).await?;
    common.say(format!(
        "certificates: {} issued, {} there already",
        ready.issued, ready.unchanged
    ));
    Ok(())
}
