//! `loadtest setup`: the certificates of a scenario's devices, issued as any batch is.

use std::num::NonZero;
use std::path::Path;

use clap::Args;
use jitp_cli::{Bar, CaKeyFlags, Common, Failure, Report, Result, Stop};
use jitp_cloud::CloudSettings;
use jitp_core::ca::{DeviceSubject, Profile};
use jitp_core::failure::Class;
use jitp_core::names::CaName;
use jitp_core::store::{Store, write_file};
use jitp_issuing::{Batch, Format, Item, Layout, Plan, Source, Target, What};
use jitp_loadtest::{Files, Matching, Origin, Scenario};
use serde::{Deserialize, Serialize};
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

/// Devices `first` to `end` (excluded) with this prefix.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Range {
    prefix: String,
    first: u32,
    end: u32,
}

impl Source for Range {
    fn items(&self) -> Box<dyn Iterator<Item = Item> + '_> {
        Box::new((self.first..self.end).filter_map(|number| {
            // The longest name was looked at before: it fits.
            let name = format!("{}{number}", self.prefix).parse().ok()?;
            let subject = DeviceSubject::new(name).ok()?;
            Some(Item {
                what: What::Make(subject),
                formats: None,
            })
        }))
    }
}

/// What was issued for load tests in a folder: a fleet that grows gets a range more, and what was interrupted is gone on
/// with as it was begun.
#[derive(Default, Deserialize, Serialize)]
struct Ranges(Vec<Range>);

/// Where that is written.
const RANGES: &str = "loadtest.setup.json";

impl Ranges {
    fn load(path: &Path) -> Result<Self> {
        match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                let message = format!("cannot read {}: {error}", path.display());
                Failure::new(Class::Configuration, message)
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(Failure::io(
                &format!("cannot read {}", path.display()),
                &error,
            )),
        }
    }

    fn save(&self, path: &Path) -> Result<()> {
        // Names and numbers always have a JSON form.
        let text = serde_json::to_string(self).unwrap_or_default() + "\n";
        Ok(write_file(path, text.as_bytes())?)
    }

    /// The ranges of which devices up to `end` (excluded) consist, with one more if they go beyond what there is.
    fn reach(&mut self, prefix: &str, end: u32) -> Vec<Range> {
        let known = |range: &&Range| range.prefix == prefix;
        let reached = self.0.iter().filter(known).map(|range| range.end).max();
        let first = reached.unwrap_or(0);
        if end > first {
            self.0.push(Range {
                prefix: prefix.to_owned(),
                first,
                end,
            });
        }
        self.0
            .iter()
            .filter(known)
            .filter(|range| range.first < end)
            .cloned()
            .collect()
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
    let profile = Profile::device();
    let dir = absolute(store.dir())?;
    let path = dir.join(RANGES);
    let mut ranges = Ranges::load(&path)?;
    let names = &scenario.names;
    let mut wanted = ranges.reach(&names.publisher, scenario.publishers);
    wanted.extend(ranges.reach(&names.subscriber, scenario.subscribers));
    // Before anything is issued, so that an interrupted run is gone on with by the next.
    ranges.save(&path)?;
    let mut ledger = signing.ledger(&store, &ca)?;
    let bar = Bar::show(
        usize::try_from(scenario.devices()).ok(),
        "devices".to_owned(),
        !common.quiet,
    );
    let (mut issued, mut unchanged) = (0, 0);
    for range in wanted {
        let plan = Plan {
            request: json!({
                "ca": flags.ca.as_str(),
                "loadtest": range,
                "dir": dir,
            })
            .to_string(),
            operator: operator(None),
            key_type: profile.key_type(),
            window: ca.window(profile.validity(), OffsetDateTime::now_utc())?,
            target: Target {
                layout: Layout::Folder,
                path: dir.clone(),
                formats: vec![Format::Pem],
            },
            reissue: false,
            abandon: false,
            passphrase: None,
            threads: std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN),
        };
        let batch = Batch {
            ledger: &mut ledger,
            ca: &ca,
            plan: &plan,
        };
        let summary = batch.run(&range, stop.flag(), |_| {
            bar.advance();
            true
        })?;
        issued += summary.issued;
        unchanged += summary.unchanged;
        if let Some(error) = summary.failure {
            return Err(Failure::from(error)
                .context(format!("{issued} certificates were issued, and then")));
        }
        if !summary.finished {
            return Err(stop
                .failure()
                .unwrap_or_else(|| Failure::new(Class::Unexpected, "the batch was not finished"))
                .hint("run the same command again: it goes on from here"));
        }
    }
    drop(bar);
    let files = Files::new(store);
    if let Some(missing) = files.missing(jitp_loadtest::names(scenario, None)).next() {
        let message = format!(
            "{missing} was issued a certificate, and {missing}.key or {missing}.crt is not there any more"
        );
        return Err(Failure::new(Class::Conflict, message).hint(
            "put it back, or issue another: move what is left of it away, then provision --from a list with --reissue",
        ));
    }
    Ok(Ready {
        publishers: scenario.publishers,
        subscribers: scenario.subscribers,
        issued,
        unchanged,
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
