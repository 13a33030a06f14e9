//! The certificates of a scenario's devices, issued as any batch is.

use std::num::NonZero;
use std::path::Path;

use jitp_cli::{Bar, Common, Failure, Result, Stop};
use jitp_core::ca::{DeviceSubject, Profile};
use jitp_core::failure::Class;
use jitp_core::store::{Store, write_file};
use jitp_issuing::{Batch, Format, Item, Layout, Plan, Source, Target, What};
use jitp_loadtest::{Files, Scenario};
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::OffsetDateTime;

use crate::program::{CaFlags, Ready};
use crate::signing::{Signing, absolute, operator};

/// What signing takes.
pub(super) fn signing(flags: &CaFlags) -> Signing<'_> {
    Signing {
        ca: &flags.ca,
        key: &flags.key,
        station: flags.station,
        cloud: &flags.cloud,
    }
}

/// Issues what is missing.
pub(super) async fn issue(scenario: &Scenario, flags: &CaFlags, common: &Common) -> Result<Ready> {
    let stop = Stop::listen();
    let store = Store::open(&common.dir)?;
    let signing = signing(flags);
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
