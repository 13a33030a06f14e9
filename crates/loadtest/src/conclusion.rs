//! The end of a run: what was gathered becomes its outcome.

use crate::gatherer::{Gatherer, expected_in_queue};
use crate::measure::{Latency, MOST_LAG, MOST_LOAD};
use crate::outcome::{Expected, Generator, Outcome, Rates, SCHEMA, Shard, Summary};
use crate::run::Course;
use crate::scenario::Scenario;
use crate::shared::Shared;
use crate::usage::{cpu_time, peak_memory};

/// A run that is over.
pub(crate) struct Concluded {
    pub(crate) shard: Option<Shard>,
    pub(crate) threads: usize,
    /// Why it ended before its time.
    pub(crate) ended_early: Option<String>,
    pub(crate) course: Course,
}

impl Concluded {
    /// Its outcome.
    pub(crate) fn outcome<W>(self, shared: &Shared, gatherer: &Gatherer<W>) -> Outcome {
        let (scenario, clock) = (&shared.scenario, shared.clock);
        let mut expected = expected(scenario, gatherer.publishers, gatherer.copies);
        let counts = gatherer.totals.counts;
        if gatherer.queue.is_some() {
            expected.queued = expected_in_queue(scenario, &counts);
        }
        let parts = self.shard.map_or(1, |shard| shard.count);
        // Which part's consumer gets a message is chance: what is missing is known of all of them together.
        let queue_lost = (gatherer.queue.is_some() && parts < 2)
            .then(|| expected.queued.saturating_sub(counts.queued));
        let lost = match () {
            () if scenario.subscribers == 0 || !shared.template.is_checked() => None,
            // Messages arrive at devices of other parts, too.
            () if parts > 1 => None,
            () => Some(crate::merge::lost(
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
        if let Some(late) = self.course.late {
            notes.push(format!(
                "this process was ready {:.1} s after the common start",
                late as f64 / 1e6
            ));
        }
        let measured = self.course.measured(clock.now());
        let mut generator = Generator {
            cpu_seconds: self
                .course
                .cpu_at_end
                .unwrap_or_else(cpu_time)
                .saturating_sub(self.course.cpu_at_start.unwrap_or_default())
                .as_secs_f64(),
            total_cpu_seconds: cpu_time().as_secs_f64(),
            threads: self.threads as u32,
            peak_memory: peak_memory(),
            limited: Vec::new(),
        };
        generator.limited = limits(gatherer, &generator, measured);
        let totals = &gatherer.totals;
        let (timeline, timeline_step) = gatherer.timeline.entries();
        Outcome {
            schema: SCHEMA,
            run: shared.run.clone(),
            endpoint: shared.endpoint.clone(),
            shard: self.shard,
            started_at: clock.unix(shared.connect_from) / 1000,
            published_from: self
                .course
                .window
                .map(|window| clock.unix(window.from) / 1000),
            measured_seconds: measured,
            ended_early: self.ended_early,
            devices: gatherer.devices,
            counts,
            expected,
            observed: self.course.observed(measured),
            lost,
            queue_lost,
            latencies: totals
                .histograms
                .iter()
                .map(|(latency, histogram)| (latency, Summary::of(histogram)))
                .collect(),
            endings: totals.endings.clone(),
            generator,
            timeline: timeline.to_vec(),
            timeline_step,
            notes,
            scenario: scenario.clone(),
        }
    }
}

/// From this on a difference between two clocks is a step, in microseconds.
const STEP: u64 = 100_000;
/// What a scenario asks of a system, as far as the publishers of this part go.
fn expected(scenario: &Scenario, publishers: u64, copies: f64) -> Expected {
    let rate = match scenario.publishes() {
        true => scenario.publish.rate,
        false => 0.0,
    };
    let published = publishers as f64 * rate;
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
