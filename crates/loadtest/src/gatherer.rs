//! What the devices measured, gathered once a second.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::assertion::main_latency;
use crate::clock::Micros;
use crate::fleet::{Role, members};
use crate::measure::{Counts, Histograms, Latency, Recorder};
use crate::outcome::{Second, Shard};
use crate::queue::{Arrivals, Bodies};
use crate::scenario::{Holds, Scenario};
use crate::schedule::Schedule;
use crate::shared::{Shared, Window};
use crate::timeline::Timeline;
use crate::usage::cpu_time;

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
    /// All latencies so far.
    pub all: &'a Histograms,
    /// All that was counted so far.
    pub counts: &'a Counts,
    /// How connections and attempts ended so far, and how often.
    pub endings: &'a BTreeMap<String, u64>,
    /// What the run does: connecting, publishing, draining.
    pub phase: &'static str,
    /// Devices of this process.
    pub devices: u64,
    /// Share of the threads' time that this program used in the second, 0 to 1.
    pub load: f64,
}

/// Gathers once a second what the devices measured.
pub(crate) struct Gatherer<W> {
    pub(crate) shared: Arc<Shared>,
    pub(crate) devices: u64,
    threads: usize,
    watch: W,
    pub(crate) totals: Recorder,
    interval: Recorder,
    pub(crate) timeline: Timeline,
    main: Latency,
    pub(crate) phase: &'static str,
    pub(crate) measured: bool,
    last: Micros,
    cpu: Duration,
    pub(crate) queue: Option<Arrivals>,
    /// Subscribers to which each message goes, on average.
    pub(crate) copies: f64,
    /// Publishers of this part.
    pub(crate) publishers: u64,
    /// Whether this process has the whole fleet.
    whole: bool,
    /// When messages are due, and how many of them were counted.
    schedule: Schedule,
    pub(crate) window: Option<Window>,
    due: u64,
}

impl<W: FnMut(&Tick<'_>)> Gatherer<W> {
    pub(crate) fn new(
        shared: Arc<Shared>,
        shard: Option<Shard>,
        threads: usize,
        queue: Option<Bodies>,
        watch: W,
    ) -> Self {
        let scenario = &shared.scenario;
        let devices = members(scenario, shard).count() as u64;
        let schedule = Schedule::new(scenario, shard);
        let publishers = members(scenario, shard)
            .filter(|member| member.role == Role::Publisher)
            .count() as u64;
        let copies = scenario.all_copies() as f64 / f64::from(scenario.publishers.max(1));
        Self {
            main: main_latency(scenario),
            last: shared.connect_from,
            shared,
            devices,
            threads,
            watch,
            totals: Recorder::default(),
            interval: Recorder::default(),
            timeline: Timeline::default(),
            phase: "connecting",
            measured: false,
            cpu: cpu_time(),
            queue: queue.map(Arrivals::new),
            window: None,
            schedule,
            copies,
            publishers,
            whole: shard.is_none_or(|shard| shard.count < 2),
            due: 0,
        }
    }

    /// A moment in seconds since the first device was due.
    pub(crate) fn since_start(&self, at: Micros) -> f64 {
        at.saturating_sub(self.shared.connect_from) as f64 / 1e6
    }

    /// Messages that are due up to this moment.
    fn due(&mut self, now: Micros) -> u64 {
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
    pub(crate) async fn during<T>(
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
    /// `stop` is heard if `listening`, and ends it with the reason.
    pub(crate) async fn drain(
        &mut self,
        give_up: Instant,
        stop: &mut Pin<&mut impl Future<Output = String>>,
        listening: bool,
    ) -> Result<(), String> {
        loop {
            self.gather();
            if self.is_drained() || Instant::now() >= give_up {
                return Ok(());
            }
            if self.shared.clock.now() >= self.last + 1_000_000 {
                self.tick();
            }
            let soon = give_up.min(Instant::now() + Duration::from_millis(20));
            tokio::select! {
                reason = stop.as_mut(), if listening => return Err(reason),
                () = sleep_until(soon) => {}
                () = self.take_from_queue() => {}
            }
        }
    }

    /// Whether nothing more is due, and every message was answered and arrived wherever it should.
    fn is_drained(&self) -> bool {
        let now = self.shared.clock.now();
        if self.window.is_some_and(|window| now < window.until) {
            return false;
        }
        let scenario = &self.shared.scenario;
        let mut counts = self.totals.counts;
        counts += self.interval.counts;
        let answered = scenario.publish.qos == 0
            || (counts.acknowledged + counts.refused >= counts.published
                && counts.forwarded_acknowledged >= counts.forwarded);
        let delivered = counts.delivered as f64 >= counts.published as f64 * self.copies;
        let queued = self.queue.is_none() || counts.queued >= expected_in_queue(scenario, &counts);
        // In a part messages of others arrive, too: only time tells.
        self.whole && answered && delivered && queued
    }

    /// Moves what the devices measured into the interval.
    fn gather(&mut self) {
        self.shared.recorders.drain_into(&mut self.interval);
    }

    /// Ends a second (or less, where something else ends).
    pub(crate) fn tick(&mut self) {
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
            at: self.since_start(now),
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
            all: &self.totals.histograms,
            counts: &self.totals.counts,
            endings: &self.totals.endings,
            phase: self.phase,
            devices: self.devices,
            load,
        });
        self.interval = Recorder::default();
        self.timeline.push(second);
    }
}

/// How many messages the rule of the scenario's queue selects.
pub(crate) fn expected_in_queue(scenario: &Scenario, counts: &Counts) -> u64 {
    match scenario.queue.as_ref().map(|queue| queue.holds) {
        None => 0,
        Some(Holds::Published) => counts.published,
        Some(Holds::Forwarded) => counts.forwarded,
    }
}
