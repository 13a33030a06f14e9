//! A run: devices get in, publish for a while, what is on its way arrives, everybody leaves; and once a second what was
//! measured is gathered.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jitp_core::mqtt::Network;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::assertion::main_latency;
use crate::claim::Claim;
use crate::clock::{Micros, RunClock};
use crate::device::Device;
use crate::fleet::members;
use crate::identities::Identities;
use crate::measure::{Counts, Histograms, Latency, Recorder};
use crate::outcome::{Expected, Generator, Outcome, Rates, SCHEMA, Second, Shard, Summary};
use crate::payload::{Template, TemplateError};
use crate::queue::{Arrivals, Bodies};
use crate::recorders::Recorders;
use crate::scenario::{Holds, Scenario};
use crate::schedule::Schedule;
use crate::shared::{Addresses, Phase, Settled, Shared, Window};
use crate::usage::{cpu_time, peak_memory};

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

/// What is told once a second.
#[derive(Debug)]
pub struct Tick<'a> {
    /// When the first device was due: Unix time in milliseconds.
    pub started_at: u64,
    /// The second that ended.
    pub second: &'a Second,
    /// How long it was, in seconds.
    pub length: f64,
    /// Its latencies.
    pub latencies: &'a Histograms,
    /// All that was counted so far.
    pub counts: &'a Counts,
    /// What the run does: connecting, publishing, draining.
    pub phase: &'static str,
    /// Devices of this process.
    pub devices: u64,
    /// Share of the threads' time that this program used in the second, 0 to 1.
    pub load: f64,
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
        addresses: Addresses::default(),
        identities: plan.identities,
        claim: plan.claim,
        sources: plan.sources,
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
        Schedule::new(&shared.scenario, plan.shard),
        devices.len() as u64,
        plan.threads,
        plan.queue,
        watch,
    );
    let scenario = &shared.scenario;
    let mut course = Course::default();
    let ended_early = course
        .follow(&phase, &shared, plan.start_at, &mut gatherer, &mut stop)
        .await
        .err();
    phase.send_replace(Phase::Ending);
    gatherer.window = None;
    // Devices that disconnect in good order take no time; one that hangs is not waited for.
    let _ = timeout(FAREWELL, async {
        while devices.join_next().await.is_some() {}
    })
    .await;
    devices.abort_all();
    gatherer.tick();

    let mut expected = expected(scenario, plan.shard);
    let counts = gatherer.totals.counts;
    let queue_lost = gatherer.queue.is_some().then(|| {
        expected.queued = expected_in_queue(scenario, &counts);
        expected.queued.saturating_sub(counts.queued)
    });
    let lost = match plan.shard {
        _ if scenario.subscribers == 0 || !shared.template.is_checked() => None,
        Some(Shard { count: 2.., .. }) => None,
        _ => Some(crate::merge::lost(
            counts.published,
            expected.copies,
            counts.delivered,
        )),
    };
    let mut notes = Vec::new();
    let step = clock.step();
    if step.unsigned_abs() > STEP {
        notes.push(format!(
            "the clock of this machine was set by {:+.3} s during the run; latencies are measured by a clock that is not set",
            step as f64 / 1e6
        ));
    }
    if !shared.template.is_checked() {
        notes.push(
            "messages do not carry device, sent, seq and run: what was lost, doubled or late was not looked at".to_owned(),
        );
    }
    if let Some(late) = course.late {
        notes.push(format!(
            "this process was ready {:.1} s after the common start",
            late as f64 / 1e6
        ));
    }
    let measured = course.measured(clock.now());
    let mut generator = Generator {
        cpu_seconds: course
            .cpu_at_end
            .unwrap_or_else(cpu_time)
            .saturating_sub(course.cpu_at_start.unwrap_or_default())
            .as_secs_f64(),
        total_cpu_seconds: cpu_time().as_secs_f64(),
        threads: plan.threads as u32,
        peak_memory: peak_memory(),
        limited: Vec::new(),
    };
    generator.limited = limits(&gatherer, &generator, measured);
    let totals = &gatherer.totals;
    let outcome = Outcome {
        schema: SCHEMA,
        run: shared.run.clone(),
        endpoint: plan.endpoint,
        shard: plan.shard,
        started_at: clock.unix(connect_from) / 1000,
        published_from: course.window.map(|window| clock.unix(window.from) / 1000),
        measured_seconds: measured,
        ended_early,
        devices: gatherer.devices,
        counts,
        expected,
        observed: course.observed(measured),
        lost,
        queue_lost,
        latencies: totals
            .histograms
            .iter()
            .map(|(latency, histogram)| (latency, Summary::of(histogram)))
            .collect(),
        endings: totals.endings.clone(),
        generator,
        timeline: std::mem::take(&mut gatherer.timeline),
        notes,
        scenario: scenario.clone(),
    };
    let histograms = std::mem::take(&mut gatherer.totals.histograms);
    Ok((outcome, histograms))
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
/// How long devices get to disconnect.
const FAREWELL: Duration = Duration::from_secs(5);
/// From this on a difference between two clocks is a step, in microseconds.
const STEP: u64 = 100_000;
/// The generator is the limit when it used more of its threads' time than this,
const MOST_LOAD: f64 = 0.8;
/// or when a hundredth of the messages left this much late, in microseconds.
const MOST_LAG: u64 = 10_000;

/// What is noted on the way.
#[derive(Debug, Default)]
struct Course {
    window: Option<Window>,
    at_start: Option<Counts>,
    at_end: Option<(Counts, Micros)>,
    cpu_at_start: Option<Duration>,
    cpu_at_end: Option<Duration>,
    /// By how much a common start was missed.
    late: Option<Micros>,
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
            let start = clock.at_unix(start.saturating_mul(1000));
            if start < from {
                self.late = Some(from - start);
            }
            from = from.max(start);
        }
        let measured = from + scenario.warm_up.micros();
        let window = Window {
            from,
            measured,
            until: measured + scenario.duration.micros(),
        };
        self.window = Some(window);
        gatherer.window = Some(window);
        phase.send_replace(Phase::Publishing(window));
        gatherer.phase = "publishing";
        let published = async {
            sleep_until(clock.instant(measured)).await;
        };
        gatherer.during(published, stop).await?;
        gatherer.tick();
        gatherer.measured = true;
        self.at_start = Some(gatherer.totals.counts);
        self.cpu_at_start = Some(cpu_time());
        let ended = gatherer
            .during(sleep_until(clock.instant(window.until)), stop)
            .await;
        gatherer.tick();
        gatherer.measured = false;
        self.at_end = Some((gatherer.totals.counts, clock.now().min(window.until)));
        self.cpu_at_end = Some(cpu_time());
        let window = Window {
            until: window.until.min(clock.now()),
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
        gatherer.drain(give_up).await;
        ended
    }

    /// Seconds that were measured.
    fn measured(&self, now: Micros) -> f64 {
        let Some(window) = self.window else {
            return 0.0;
        };
        let end = self.at_end.map_or(now.min(window.until), |(_, end)| end);
        end.saturating_sub(window.measured) as f64 / 1e6
    }

    /// Messages a second in the measured time.
    fn observed(&self, seconds: f64) -> Rates {
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

/// What a scenario asks of a system, this shard's part of it.
fn expected(scenario: &Scenario, shard: Option<Shard>) -> Expected {
    let rate = match scenario.publishes() {
        true => scenario.publish.rate,
        false => 0.0,
    };
    let share = shard.map_or(1.0, |shard| 1.0 / f64::from(shard.count.max(1)));
    let copies = match scenario.publishers {
        0 => 0.0,
        count => scenario.all_copies() as f64 / f64::from(count),
    };
    let published = f64::from(scenario.publishers) * rate * share;
    let delivered = published * copies;
    let forwarded = match scenario.subscribe.forward {
        Some(_) => delivered,
        None => 0.0,
    };
    Expected {
        rates: Rates {
            published,
            delivered,
            forwarded,
        },
        copies,
        queued: 0,
    }
}

/// How many messages the rule of the scenario's queue selects.
fn expected_in_queue(scenario: &Scenario, counts: &Counts) -> u64 {
    match scenario.queue.as_ref().map(|queue| queue.holds) {
        None => 0,
        Some(Holds::Published) => counts.published,
        Some(Holds::Forwarded) => counts.forwarded,
    }
}

/// Why the numbers are those of this program; empty if it kept up.
fn limits<W>(gatherer: &Gatherer<W>, generator: &Generator, measured: f64) -> Vec<String> {
    let mut limited = Vec::new();
    let load = generator.cpu_seconds / (measured * f64::from(generator.threads));
    if measured > 0.0 && load > MOST_LOAD {
        limited.push(format!(
            "it used {:.0} % of the time of its {} thread(s)",
            load * 100.0,
            generator.threads
        ));
    }
    if let Some(lag) = gatherer.totals.histograms.get(Latency::Lag)
        && lag.value_at_quantile(0.99) > MOST_LAG
    {
        limited.push(format!(
            "a hundredth of the messages left {:.1} ms or more after they were due",
            lag.value_at_quantile(0.99) as f64 / 1000.0
        ));
    }
    limited
}

/// Gathers once a second what the devices measured.
struct Gatherer<W> {
    shared: Arc<Shared>,
    devices: u64,
    threads: usize,
    watch: W,
    totals: Recorder,
    interval: Recorder,
    timeline: Vec<Second>,
    main: Latency,
    phase: &'static str,
    measured: bool,
    last: Micros,
    cpu: Duration,
    queue: Option<Arrivals>,
    /// When messages are due, and how many of them were counted.
    schedule: Schedule,
    window: Option<Window>,
    due: u64,
}

impl<W: FnMut(&Tick<'_>)> Gatherer<W> {
    fn new(
        shared: Arc<Shared>,
        schedule: Schedule,
        devices: u64,
        threads: usize,
        queue: Option<Bodies>,
        watch: W,
    ) -> Self {
        Self {
            main: main_latency(&shared.scenario),
            last: shared.connect_from,
            shared,
            devices,
            threads,
            watch,
            totals: Recorder::default(),
            interval: Recorder::default(),
            timeline: Vec::new(),
            phase: "connecting",
            measured: false,
            cpu: cpu_time(),
            queue: queue.map(Arrivals::new),
            window: None,
            schedule,
            due: 0,
        }
    }

    /// Messages that are due up to this moment.
    fn due(&self, now: Micros) -> u64 {
        let Some(window) = self.window else {
            return 0;
        };
        // What is due in this very microsecond is.
        let until = window.until.min(now + 1);
        self.schedule.due(until.saturating_sub(window.from))
    }

    /// Writes down the next message of the queue; waits for ever if there is no queue.
    async fn take_from_queue(&mut self) {
        let body = match &mut self.queue {
            Some(queue) => queue.next().await,
            None => None,
        };
        let (Some(body), Some(queue)) = (body, &mut self.queue) else {
            return std::future::pending().await;
        };
        let shared = &self.shared;
        let recorder = &mut self.interval;
        queue.note(
            &body,
            &shared.scenario,
            &shared.run,
            shared.clock,
            self.window,
            recorder,
        );
    }

    /// Does something, ticking once a second, until it is done or the run is stopped.
    async fn during<T>(
        &mut self,
        work: impl Future<Output = T>,
        stop: &mut Pin<&mut impl Future<Output = String>>,
    ) -> Result<T, String> {
        let mut work = std::pin::pin!(work);
        loop {
            let next = self.shared.clock.instant(self.last + 1_000_000);
            tokio::select! {
                biased;
                reason = stop.as_mut() => return Err(reason),
                done = work.as_mut() => return Ok(done),
                () = sleep_until(next) => self.tick(),
                () = self.take_from_queue() => {}
            }
        }
    }

    /// Ticks until everything that is expected has arrived, but not beyond this moment.
    async fn drain(&mut self, give_up: Instant) {
        loop {
            self.gather();
            if self.is_drained() || Instant::now() >= give_up {
                return;
            }
            if self.shared.clock.now() >= self.last + 1_000_000 {
                self.tick();
            }
            let soon = give_up.min(Instant::now() + Duration::from_millis(20));
            tokio::select! {
                () = sleep_until(soon) => {}
                () = self.take_from_queue() => {}
            }
        }
    }

    /// Whether every message was answered and arrived wherever it should.
    fn is_drained(&self) -> bool {
        let scenario = &self.shared.scenario;
        let mut counts = self.totals.counts;
        counts += self.interval.counts;
        let answered = scenario.publish.qos == 0
            || (counts.acknowledged + counts.refused >= counts.published
                && counts.forwarded_acknowledged >= counts.forwarded);
        // In a shard messages of others arrive, too: only time tells.
        let copies = scenario.all_copies() as f64 / f64::from(scenario.publishers.max(1));
        let delivered = counts.delivered as f64 >= counts.published as f64 * copies;
        let queued = self.queue.is_none() || counts.queued >= expected_in_queue(scenario, &counts);
        answered && delivered && queued
    }

    /// Moves what the devices measured into the interval.
    fn gather(&mut self) {
        self.shared.recorders.drain_into(&mut self.interval);
    }

    /// Ends a second (or less, where something else ends).
    fn tick(&mut self) {
        self.gather();
        let now = self.shared.clock.now();
        let due = self.due(now);
        self.interval.counts.due += due.saturating_sub(std::mem::replace(&mut self.due, due));
        let cpu = cpu_time();
        let used = cpu.saturating_sub(std::mem::replace(&mut self.cpu, cpu));
        let length = now.saturating_sub(std::mem::replace(&mut self.last, now));
        let main = self.interval.histograms.get(self.main);
        let at =
            |quantile| main.map(|histogram| histogram.value_at_quantile(quantile) as f64 / 1000.0);
        let connect = self.interval.histograms.get(Latency::Connect);
        let second = Second {
            at: now.saturating_sub(self.shared.connect_from) as f64 / 1e6,
            connected: self.shared.connected.load(Ordering::Relaxed),
            counts: self.interval.counts,
            p50: at(0.5),
            p99: at(0.99),
            connect_p99: connect.map(|histogram| histogram.value_at_quantile(0.99) as f64 / 1000.0),
            cpu: used.as_secs_f64(),
            measured: self.measured,
        };
        self.totals.add(&self.interval);
        let threads = self.threads.max(1) as f64;
        let load = match length {
            0 => 0.0,
            length => used.as_secs_f64() * 1e6 / length as f64 / threads,
        };
        (self.watch)(&Tick {
            started_at: self.shared.clock.unix(self.shared.connect_from) / 1000,
            second: &second,
            length: length as f64 / 1e6,
            latencies: &self.interval.histograms,
            counts: &self.totals.counts,
            phase: self.phase,
            devices: self.devices,
            load,
        });
        self.interval.clear();
        self.timeline.push(second);
    }
}
