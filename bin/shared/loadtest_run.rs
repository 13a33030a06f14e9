//! `loadtest run`: everything is looked at before the first connection, then the scenario is run and reported.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use jitp_cli::{
    Common, ConfirmFlags, EndpointFlags, Exit, Failure, NameValue, Result, Signals, threads,
};
use jitp_core::failure::Class;
use jitp_core::mqtt::{Endpoint, Network};
use jitp_core::names::{TemplateName, ThingName};
use jitp_core::store::Store;
use jitp_loadtest::quota::{Quantity, charges, proposals, quantities};
use jitp_loadtest::{
    Assertion, Files, Held, Identities, Matching, Origin, Outcome, Plan, Report, Scenario, Shard,
    check_sources, make_room, names,
};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::beyond::{Beyond, Why};
use super::planning::{in_words, message_size};
use super::results::{Pictures, Results};
use super::scenario::{ScenarioFlags, failure};
use super::screen::Progress;
use super::setup::{self, CaFlags};

#[derive(Args)]
pub(super) struct Run {
    #[command(flatten)]
    scenario: ScenarioFlags,

    /// Issue certificates that are missing first, as `loadtest setup` does
    #[arg(long)]
    setup: bool,

    /// Fail with exit code 9 unless this holds, such as 'p99<50ms', 'lost==0' or 'published>=99.9%'
    #[arg(long = "assert", value_name = "CONDITION")]
    assertions: Vec<Assertion>,

    /// New folder for the results [default: loadtest- with the time]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    #[command(flatten)]
    pictures: Pictures,

    /// Serve what is measured for Prometheus, at http://ADDRESS/metrics
    #[arg(long, value_name = "HOST:PORT")]
    metrics: Option<SocketAddr>,

    /// Connect from these local addresses in turn, such as 127.0.0.1-127.0.0.9, or several with commas
    #[arg(long, value_name = "ADDRESSES", value_parser = sources)]
    source: Option<Sources>,

    /// Topics match as this broker has it; aws for AWS IoT Core, where a/# does not match a
    #[arg(long, value_name = "WHOSE", value_parser = matching)]
    matching: Option<Matching>,

    /// Run against AWS although the scenario exceeds quotas, which disturbs the whole account
    #[arg(long)]
    ignore_quotas: bool,

    #[command(flatten)]
    claim: ClaimFlags,

    #[command(flatten)]
    part: PartFlags,

    #[command(flatten)]
    endpoint: EndpointFlags,

    #[command(flatten)]
    ca: CaFlags,

    #[command(flatten)]
    confirm: ConfirmFlags,
}

// (No docstring: clap would show it as what the program does.)
#[derive(Args)]
#[command(next_help_heading = "Devices by claim")]
pub(crate) struct ClaimFlags {
    /// Provisioning template
    #[arg(long, value_name = "NAME")]
    pub(crate) template: Option<TemplateName>,

    /// Claim: CLAIM.claim.key and CLAIM.claim.pem [default: named like the template]
    #[arg(long, value_name = "CLAIM", requires = "template")]
    pub(crate) claim: Option<ThingName>,

    /// What the template is told of each device; {device} and {index} are filled in
    #[arg(long = "parameter", value_name = "NAME=VALUE", requires = "template")]
    pub(crate) parameters: Vec<NameValue>,
}

// (No docstring: clap would show it as what the program does.)
#[derive(Args)]
#[command(next_help_heading = "Several processes")]
struct PartFlags {
    /// Run this part of the fleet, counted from 0; auto takes the index from JOB_COMPLETION_INDEX or
    /// AWS_BATCH_JOB_ARRAY_INDEX
    #[arg(long, value_name = "I/N|auto")]
    shard: Option<String>,

    /// How many parts there are, where the environment does not say so
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    shards: Option<u32>,

    /// When publishing begins, such as 2026-12-01T12:00:00Z; the same for all parts
    #[arg(long, value_name = "TIME", value_parser = start_at)]
    start_at: Option<u64>,

    /// Id of the run; the same for all parts [default: made up]
    #[arg(long, value_name = "ID", value_parser = run_id)]
    run: Option<String>,
}

/// Local addresses.
#[derive(Clone, Debug)]
struct Sources(Vec<IpAddr>);

impl Run {
    /// What it takes beside devices that have their certificates, and an endpoint.
    fn beyond(&self, scenario: &Scenario) -> Option<Why> {
        match scenario.identities {
            _ if !self.endpoint.is_told() => Some(Why::Endpoint),
            _ if scenario.queue.is_some() => Some(Why::Queue),
            Origin::Files => self.setup.then_some(Why::Certificates),
            Origin::Fresh => Some(Why::Certificates),
            Origin::Claim => Some(Why::Claim),
        }
    }
}

pub(super) async fn run<B: Beyond>(
    flags: Run,
    common: &Common,
    mut signals: Signals,
) -> Result<u8> {
    let scenario = flags.scenario.scenario()?;
    let shard = flags.part.shard()?;
    if let Some(why) = flags.beyond(&scenario) {
        B::is_needed(why)?;
    }
    let describe_endpoint = async || B::endpoint(&flags.ca.cloud).await;
    let endpoint = flags.endpoint.endpoint(describe_endpoint).await?;
    let matching = flags.matching.unwrap_or(match endpoint.is_aws() {
        true => Matching::Aws,
        false => Matching::Standard,
    });
    scenario.check(matching).map_err(failure)?;
    let sources = flags.source.map(|sources| sources.0).unwrap_or_default();
    let devices = names(&scenario, shard).count() as u64;
    if devices == 0 {
        return Err(Failure::usage("no device falls to this shard")
            .hint("there are more shards than devices"));
    }
    make_room(devices, sources.len())
        .and_then(|()| check_sources(&sources))
        .map_err(|error| {
            Failure::new(Class::Configuration, error.to_string()).hint(error.remedy())
        })?;
    protect(
        &scenario,
        &endpoint,
        flags.ignore_quotas,
        &flags.confirm,
        common,
    )
    .await?;
    let trust = flags.endpoint.trust()?;
    let network = Network::of_fleet(&endpoint, &trust)?;
    let claim = match scenario.identities {
        Origin::Claim => Some(B::claim(&flags.claim, common)?),
        Origin::Files | Origin::Fresh => None,
    };
    if let Some(queue) = &scenario.queue {
        B::find_queue(&queue.name, &flags.ca.cloud).await?;
    }
    if flags.setup && scenario.identities == Origin::Files {
        setup::before_run::<B>(&scenario, &flags.ca, common).await?;
    }
    let called = flags.scenario.called();
    let identities = identities::<B>(&scenario, called, shard, &flags.ca, common).await?;
    let run = flags
        .part
        .run
        .unwrap_or_else(|| format!("{:016x}", rand_id()));
    let mut progress = Progress::show(&run, &scenario, flags.metrics, common).await?;
    let mut results = Results::prepare(flags.out, flags.pictures)?;
    // Last, since what is received is deleted.
    let queue = match &scenario.queue {
        None => None,
        Some(queue) => Some(B::consume(&queue.name, &flags.ca.cloud, common)?),
    };
    let plan = Plan {
        scenario,
        network,
        endpoint: endpoint.to_string(),
        identities,
        claim,
        queue,
        sources,
        shard,
        start_at: flags.part.start_at,
        run,
        threads: threads(),
    };
    let mut stopped_by = None;
    let stop = async {
        let exit = signals.next().await;
        stopped_by = Some(exit);
        // The second ends it at once, whatever it does.
        tokio::spawn(async move {
            let exit = signals.next().await;
            std::process::exit(exit as i32);
        });
        "it was interrupted".to_owned()
    };
    let run = jitp_loadtest::run(plan, stop, |tick| {
        progress.tick(tick);
        results.tick(tick);
    });
    let (outcome, histograms) = Box::pin(run)
        .await
        .map_err(|error| Failure::usage(error.to_string()))?;
    drop(progress);
    let held: Vec<_> = flags
        .assertions
        .iter()
        .map(|assertion| assertion.check(&outcome, &histograms))
        .collect();
    let report = Report {
        outcome: &outcome,
        histograms: &histograms,
        assertions: &held,
    };
    results.publish(&report, common)?;
    if let Some(exit) = stopped_by {
        return Ok(exit as u8);
    }
    verdict(&outcome, &held)
}

/// How the program ends after a run that was not interrupted.
pub(super) fn verdict(outcome: &Outcome, held: &[Held]) -> Result<u8> {
    if outcome.counts.connects == 0 {
        // Why most of them gave up says more than how single attempts ended.
        let most = outcome
            .endings
            .iter()
            .max_by_key(|(ending, count)| (ending.starts_with("gave up"), **count));
        let why = most.map_or("nobody said why", |(ending, _)| ending);
        return Err(Failure::new(
            Class::NotAccepted,
            format!("none of {} devices got in: {why}", outcome.devices),
        )
        .hint("try one of them alone: sub NAME, with the same endpoint"));
    }
    let broken: Vec<_> = held.iter().filter(|held| !held.held).collect();
    match broken.first() {
        None => Ok(Exit::Done as u8),
        Some(first) => Err(Failure::new(
            Class::CheckFailed,
            format!(
                "{} of {} assertions did not hold: {}, found {}",
                broken.len(),
                held.len(),
                first.assertion,
                first.found
            ),
        )),
    }
}

/// Accounts are protected: where it costs something it has to be wanted, and quotas are kept to.
async fn protect(
    scenario: &Scenario,
    endpoint: &Endpoint,
    ignore_quotas: bool,
    confirm: &ConfirmFlags,
    common: &Common,
) -> Result<()> {
    let here = endpoint
        .address()
        .is_some_and(|address| address.is_loopback())
        || endpoint.host() == "localhost";
    if here {
        return Ok(());
    }
    let size = message_size(scenario);
    let exceeded: Vec<_> = quantities(scenario, size)
        .into_iter()
        .filter(|quantity| !quantity.fits())
        .collect();
    if let Some(Quantity {
        name, asked, quota, ..
    }) = exceeded.first()
        && endpoint.is_aws()
        && !ignore_quotas
    {
        for proposal in proposals(scenario) {
            common.say(format!("hint: {proposal}"));
        }
        return Err(Failure::new(
            Class::Configuration,
            format!(
                "the scenario exceeds a quota of AWS: {name}: {asked:.0}, and {quota} are allowed"
            ),
        )
        .hint("loadtest plan shows all of them; --ignore-quotas runs it all the same"));
    }
    let what = in_words(&charges(scenario, size));
    common.say(format!(
        "{endpoint} is not on this machine; AWS charges for {what}"
    ));
    if confirm.check().is_err() {
        return Err(
            Failure::usage("this may cost something, and there is no terminal to ask on")
                .hint("pass --yes; loadtest plan shows what it asks of an account"),
        );
    }
    confirm
        .ask(common, &format!("put this load on {endpoint}?"))
        .await
}

/// Keys and certificates of this process's devices.
async fn identities<B: Beyond>(
    scenario: &Scenario,
    called: &str,
    shard: Option<Shard>,
    ca: &CaFlags,
    common: &Common,
) -> Result<Box<dyn Identities>> {
    let store = Store::open(&common.dir)?;
    match scenario.identities {
        Origin::Files => {
            let files = Files::new(store);
            let missing: Vec<_> = files.missing(names(scenario, shard)).collect();
            match missing.first() {
                None => Ok(Box::new(files)),
                Some(first) => Err(Failure::new(
                    Class::Configuration,
                    format!(
                        "{} of the devices have no certificate in {}; the first is {first}",
                        missing.len(),
                        common.dir.display()
                    ),
                )
                .hint(format!(
                    "make them, with the same --dir and the CA that is registered: loadtest setup {called} --publishers {} --subscribers {}",
                    scenario.publishers, scenario.subscribers
                ))),
            }
        }
        Origin::Fresh => B::fresh(scenario, shard, ca, common).await,
        // Nobody asks for what is made on the way.
        Origin::Claim => Ok(Box::new(Files::new(store))),
    }
}

impl PartFlags {
    /// Which part of the fleet is asked for.
    fn shard(&self) -> Result<Option<Shard>> {
        let Some(text) = &self.shard else {
            return match self.shards {
                None => Ok(None),
                Some(_) => Err(Failure::usage("--shards goes with --shard auto")),
            };
        };
        let variable = |name: &str| {
            std::env::var(name)
                .ok()
                .and_then(|text| text.parse::<u32>().ok())
        };
        use jitp_cli::environment::{
            AWS_BATCH_JOB_ARRAY_INDEX, AWS_BATCH_JOB_ARRAY_SIZE, JOB_COMPLETION_INDEX,
        };
        let (index, count) = match text.split_once('/') {
            Some((index, count)) => (index.parse().ok(), count.parse().ok()),
            None if text == "auto" => (
                variable(JOB_COMPLETION_INDEX).or_else(|| variable(AWS_BATCH_JOB_ARRAY_INDEX)),
                self.shards.or_else(|| variable(AWS_BATCH_JOB_ARRAY_SIZE)),
            ),
            None => (text.parse().ok(), self.shards),
        };
        let (Some(index), Some(count)) = (index, count) else {
            let failure = Failure::usage(format!(
                "--shard {text} does not say which part of how many"
            ));
            return Err(failure.hint(
                "give --shard 0/4, or --shard auto with --shards 4 where JOB_COMPLETION_INDEX or AWS_BATCH_JOB_ARRAY_INDEX is set",
            ));
        };
        if index >= count {
            return Err(Failure::usage(format!(
                "--shard {index}/{count}: parts are counted from 0 to {}",
                i64::from(count) - 1
            )));
        }
        if self.run.is_none() && count > 1 {
            return Err(Failure::usage("several parts need the same --run ID").hint(
                "messages of other runs are not counted, and results of other runs are not merged",
            ));
        }
        Ok(Some(Shard { index, count }))
    }
}

fn rand_id() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    // Seeded by the operating system, anew for every one.
    RandomState::new().hash_one(std::process::id())
}

fn run_id(text: &str) -> std::result::Result<String, String> {
    let fits = (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
    match fits {
        true => Ok(text.to_owned()),
        false => Err("1 to 64 letters, digits and - _ . :".to_owned()),
    }
}

/// A moment as Unix time in milliseconds.
fn start_at(text: &str) -> std::result::Result<u64, String> {
    if let Ok(seconds) = text.parse::<u64>() {
        return soon(seconds.saturating_mul(1000));
    }
    let moment = OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| "write it as 2026-12-01T12:00:00Z, or as Unix time in seconds".to_owned())?;
    let moment = u64::try_from(moment.unix_timestamp_nanos() / 1_000_000)
        .map_err(|_| "it is before 1970".to_owned())?;
    soon(moment)
}

/// A moment that is not further away than a week.
fn soon(moment: u64) -> std::result::Result<u64, String> {
    const WEEK: i128 = 7 * 86_400 * 1000;
    let now = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
    match i128::from(moment) > now + WEEK {
        true => Err("it is more than a week away".to_owned()),
        false => Ok(moment),
    }
}

fn matching(text: &str) -> std::result::Result<Matching, String> {
    match text {
        "aws" => Ok(Matching::Aws),
        "standard" => Ok(Matching::Standard),
        _ => Err("aws or standard".to_owned()),
    }
}

/// Most local addresses.
const MOST_SOURCES: u32 = 65_536;

/// Addresses with commas, and ranges of IPv4 addresses.
fn sources(text: &str) -> std::result::Result<Sources, String> {
    let mut addresses = Vec::new();
    for part in text.split(',') {
        let address = |text: &str| {
            text.parse::<IpAddr>()
                .map_err(|_| format!("{text} is no IP address"))
        };
        match part.split_once('-') {
            None => addresses.push(address(part)?),
            Some((first, last)) => {
                let (IpAddr::V4(first), IpAddr::V4(last)) = (address(first)?, address(last)?)
                else {
                    return Err(format!("{part}: a range is one of IPv4 addresses"));
                };
                let (first, last) = (u32::from(first), u32::from(last));
                if last < first || last - first >= MOST_SOURCES {
                    return Err(format!(
                        "{part}: at most {MOST_SOURCES} addresses, the first before the last"
                    ));
                }
                addresses.extend((first..=last).map(|bits| IpAddr::V4(bits.into())));
            }
        }
    }
    Ok(Sources(addresses))
}
