//! A run: devices get in, publish for a while, what is on its way arrives, everybody leaves; and once a second what was
//! measured is gathered.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use jitp_core::mqtt::Network;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::claim::Claim;
use crate::clock::{Micros, RunClock};
use crate::conclusion::Concluded;
use crate::device::Device;
use crate::fleet::members;
use crate::gatherer::{Gatherer, Tick};
use crate::identities::Identities;
use crate::measure::{Counts, Histograms};
use crate::outcome::{Outcome, Rates, Shard};
use crate::payload::{Template, TemplateError};
use crate::queue::Bodies;
use crate::recorders::Recorders;
use crate::scenario::Scenario;
use crate::shared::{Addresses, Groups, Phase, Settled, Shared, Window};
use crate::usage::cpu_time;

/// Everything a run needs.
pub struct Plan {
    /// What is done. It was checked ([`Scenario::check`]).
    pub scenario: Scenario,
    /// The way to the endpoint.
    pub network: Network,
    /// The endpoint, for the outcome.
    pub endpoint: String,
    /// Keys and certificates.
    pub identities: Box<dyn Identities>,
    /// How devices get an identity by claim; needed where the scenario says so.
    pub claim: Option<Claim>,
    /// What the consumer of the scenario's queue receives.
    pub queue: Option<Bodies>,
    /// Local addresses to connect from; the system chooses if there is none.
    pub sources: Vec<IpAddr>,
    /// Which part of the fleet is ours.
    pub shard: Option<Shard>,
    /// When publishing begins, Unix time in milliseconds; when all devices have got in if not given.
    pub start_at: Option<u64>,
    /// Identifies the run; the same for all shards.
    pub run: String,
    /// Threads of the runtime this is run on.
    pub threads: usize,
}

/// Runs it. `stop` ends it early, with the reason; `watch` hears of every second.
///
/// # Errors
/// The payload is none; what goes wrong with devices is in the outcome.
pub async fn run(
    plan: Plan,
    stop: impl Future<Output = String>,
    watch: impl FnMut(&Tick<'_>),
) -> Result<(Outcome, Histograms), TemplateError> {
    let mut stop = std::pin::pin!(stop);
    let clock = RunClock::start();
    let (phase, phases) = watch::channel(Phase::Connecting);
    let connect_from = clock.now() + SOON;
    let shared = Arc::new(Shared {
        template: Template::new(&plan.scenario)?,
        network: plan.network,
        endpoint: plan.endpoint,
        addresses: Addresses::default(),
        identities: plan.identities,
        claim: plan.claim,
        sources: plan.sources,
        groups: Groups::new(&plan.scenario, plan.shard),
        recorders: Recorders::new(plan.threads + 1),
        clock,
        connect_from,
        run: plan.run,
        connected: AtomicU64::new(0),
        settled: Settled::default(),
        phase: phases,
        scenario: plan.scenario,
    });
    let mut devices = spawn(&shared, plan.shard);
    let mut gatherer = Gatherer::new(
        Arc::clone(&shared),
        plan.shard,
        plan.threads,
        plan.queue,
        watch,
    );
    let mut course = Course::default();
    let ended_early = course
        .follow(&phase, &shared, plan.start_at, &mut gatherer, &mut stop)
        .await
        .err();
    phase.send_replace(Phase::Ending);
    // Devices that disconnect in good order take no time; one that hangs is not waited for.
    let _ = timeout(FAREWELL, async {
        while devices.join_next().await.is_some() {}
    })
    .await;
    devices.abort_all();
    gatherer.tick();

    let concluded = Concluded {
        shard: plan.shard,
        threads: plan.threads,
        ended_early,
        course,
    };
    let outcome = concluded.outcome(&shared, &gatherer);
    Ok((outcome, gatherer.totals.histograms))
}

/// Brings the devices to life. Apart from [`run`], which every program compiles for itself, so that what devices do is
/// compiled here, and optimised.
#[inline(never)]
fn spawn(shared: &Arc<Shared>, shard: Option<Shard>) -> JoinSet<()> {
    let mut devices = JoinSet::new();
    for member in members(&shared.scenario, shard) {
        devices.spawn(Device::new(Arc::clone(shared), member).live());
    }
    devices
}

/// Between the start of the process's tasks and the first device, in microseconds.
const SOON: Micros = 50_000;
/// Between the moment all devices are in and the first message, in microseconds.
const BREATH: Micros = 200_000;
/// Within how long all devices hear that nothing more is due, in microseconds.
const HEARD: Micros = 50_000;
/// How long devices get to disconnect.
const FAREWELL: Duration = Duration::from_secs(5);
/// What is noted on the way.
#[derive(Debug, Default)]
pub(crate) struct Course {
    pub(crate) window: Option<Window>,
    pub(crate) at_start: Option<Counts>,
    pub(crate) at_end: Option<(Counts, Micros)>,
    pub(crate) cpu_at_start: Option<Duration>,
    pub(crate) cpu_at_end: Option<Duration>,
    /// By how much a common start was missed.
    pub(crate) late: Option<Micros>,
}

impl Course {
    /// From phase to phase. An early end is an error with its reason.
    async fn follow<W: FnMut(&Tick<'_>)>(
        &mut self,
        phase: &watch::Sender<Phase>,
        shared: &Shared,
        start_at: Option<u64>,
        gatherer: &mut Gatherer<W>,
        stop: &mut Pin<&mut impl Future<Output = String>>,
    ) -> Result<(), String> {
        let scenario = &shared.scenario;
        let clock = shared.clock;
        let settled = shared.settled.reach(gatherer.devices);
        gatherer.during(settled, stop).await?;
        gatherer.tick();
        if gatherer.totals.counts.connects == 0 || scenario.duration.micros() == 0 {
            return Ok(());
        }
        let mut from = clock.now() + BREATH;
        if let Some(start) = start_at {
            let start = start.saturating_mul(1000);
            let ready = clock.unix(from);
            match start < ready {
                true => self.late = Some(ready - start),
                false => from = clock.at_unix(start),
            }
        }
        let measured = from + scenario.warm_up.micros();
        let window = Window {
            from,
            measured,
            until: measured + scenario.duration.micros(),
        };
        self.window = Some(window);
        gatherer.window = Some(window);
        // The first messages are due at the very moment: what is counted before is counted here.
        let before = gatherer.totals.counts;
        gatherer.timeline.count_from(gatherer.since_start(from));
        phase.send_replace(Phase::Publishing(window));
        gatherer.phase = "publishing";
        let mut ended = gatherer
            .during(sleep_until(clock.instant(measured)), stop)
            .await;
        gatherer.tick();
        if ended.is_ok() {
            gatherer.measured = true;
            self.at_start = Some(match scenario.warm_up.micros() {
                0 => before,
                _ => gatherer.totals.counts,
            });
            self.cpu_at_start = Some(cpu_time());
            ended = gatherer
                .during(sleep_until(clock.instant(window.until)), stop)
                .await;
            gatherer.tick();
            gatherer.measured = false;
            self.at_end = Some((gatherer.totals.counts, clock.now().min(window.until)));
            self.cpu_at_end = Some(cpu_time());
        }
        let window = Window {
            // Of an early end devices hear a little later, and may have sent what fell due meanwhile: it is due for all.
            until: window.until.min(clock.now() + HEARD),
            ..window
        };
        gatherer.window = Some(window);
        phase.send_replace(Phase::Draining(Some(window)));
        gatherer.phase = "draining";
        let give_up = Instant::now()
            + match ended {
                Ok(()) => scenario.drain.0,
                // Whoever interrupts wants to see the end soon.
                Err(_) => scenario.drain.0.min(Duration::from_secs(1)),
            };
        let drained = gatherer.drain(give_up, stop, ended.is_ok()).await;
        ended.and(drained)
    }

    /// Seconds that were measured.
    pub(crate) fn measured(&self, now: Micros) -> f64 {
        let Some(window) = self.window else {
            return 0.0;
        };
        let end = self.at_end.map_or(now.min(window.until), |(_, end)| end);
        end.saturating_sub(window.measured) as f64 / 1e6
    }

    /// Messages a second in the measured time.
    pub(crate) fn observed(&self, seconds: f64) -> Rates {
        let (Some(start), Some((end, _))) = (self.at_start, self.at_end) else {
            return Rates::default();
        };
        let counts = end.since(&start);
        let rate = |count: u64| {
            if seconds > 0.0 {
                count as f64 / seconds
            } else {
                0.0
            }
        };
        Rates {
            published: rate(counts.published),
            delivered: rate(counts.delivered),
            forwarded: rate(counts.forwarded),
        }
    }
}
