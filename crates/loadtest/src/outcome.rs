//! What a run found, as it is written to `result.json` and read again by `merge`.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::measure::{Counts, Latency};
use crate::scenario::Scenario;

/// Version of the form of [`Outcome`]; members are only added.
pub const SCHEMA: u32 = 1;

/// What a run, or all shards of one together, found.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Identifies the run; the same for all its shards.
    pub run: String,
    /// What was run.
    pub scenario: Scenario,
    /// Where to, `host:port`.
    pub endpoint: String,
    /// Which part of the fleet this was; all of it if there is none.
    pub shard: Option<Shard>,
    /// When the first device was due to connect: Unix time in milliseconds.
    pub started_at: u64,
    /// When publishing began: Unix time in milliseconds; none if it never did.
    pub published_from: Option<u64>,
    /// Seconds of publishing that were measured, the warm-up left out.
    pub measured_seconds: f64,
    /// Why it ended before its time, if it did.
    pub ended_early: Option<String>,
    /// Devices of this shard.
    pub devices: u64,
    /// What was counted, from the first connection to the last answer.
    pub counts: Counts,
    /// What was expected of a system that loses nothing and a generator that is never late.
    pub expected: Expected,
    /// Messages a second that were observed in the measured time.
    pub observed: Rates,
    /// First copies that did not arrive at a subscriber although their message was published; `null` in a shard, whose
    /// messages arrive at devices of other shards too.
    pub lost: Option<u64>,
    /// Messages that did not arrive in the queue; `null` where no queue was looked at.
    pub queue_lost: Option<u64>,
    /// Latencies by name ([`Latency::name`]), in the order of [`Latency::ALL`].
    pub latencies: BTreeMap<Latency, Summary>,
    /// How connections and attempts ended, and how often.
    pub endings: BTreeMap<String, u64>,
    /// This program's own part.
    pub generator: Generator,
    /// The course of time: one entry for so many seconds as [`Outcome::timeline_step`] says.
    pub timeline: Vec<Second>,
    /// Seconds of an entry of the timeline: 1 in the first hour, then 2, 4, 8 and so on.
    #[serde(default = "one")]
    pub timeline_step: u32,
    /// Whatever else a reader should know.
    pub notes: Vec<String>,
}

fn one() -> u32 {
    1
}

/// Part `index` (from 0) of `count`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Shard {
    /// Which, from 0.
    pub index: u32,
    /// Of how many, 1 at least.
    pub count: u32,
}

/// Messages a second.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rates {
    /// By publishers.
    pub published: f64,
    /// To subscribers.
    pub delivered: f64,
    /// By subscribers.
    pub forwarded: f64,
}

impl Rates {
    /// What a scenario asks for, the whole fleet together, if a message goes to so many subscribers on average.
    pub fn expected(scenario: &Scenario, copies: f64) -> Self {
        if !scenario.publishes() {
            return Self::default();
        }
        let published = f64::from(scenario.publishers) * scenario.publish.rate;
        let delivered = published * copies;
        Self {
            published,
            delivered,
            forwarded: match scenario.subscribe.forward {
                Some(_) => delivered,
                None => 0.0,
            },
        }
    }

    /// All messages a second.
    pub fn total(&self) -> f64 {
        self.published + self.delivered + self.forwarded
    }
}

/// What was expected.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Expected {
    /// Messages a second, by the scenario.
    pub rates: Rates,
    /// Subscribers of the whole fleet to which each message goes, on average.
    pub copies: f64,
    /// Messages that should be in the queue: one for each publish or forward that its rule selects; 0 without a queue.
    pub queued: u64,
}

/// A histogram in numbers; latencies in milliseconds.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Values.
    pub count: u64,
    /// Least.
    pub min: f64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// 99.9th percentile.
    pub p999: f64,
    /// Largest.
    pub max: f64,
}

impl Summary {
    /// Of a histogram in microseconds.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let at = |percentile| milliseconds(histogram.value_at_quantile(percentile));
        Self {
            count: histogram.len(),
            min: milliseconds(histogram.min()),
            mean: histogram.mean() / 1000.0,
            p50: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: milliseconds(histogram.max()),
        }
    }
}

fn milliseconds(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

/// What this program itself used, and whether it was the bottleneck.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Generator {
    /// CPU seconds in the measured time.
    pub cpu_seconds: f64,
    /// CPU seconds over all.
    pub total_cpu_seconds: f64,
    /// Cores this program may use (threads of its engine).
    pub threads: u32,
    /// Most resident memory, in bytes.
    pub peak_memory: u64,
    /// Why the numbers are those of this program and not of the system; empty if it kept up.
    pub limited: Vec<String>,
}

/// One second of a run, or some of them ([`Outcome::timeline_step`]).
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Second {
    /// Its end, in seconds since the first device was due to connect.
    pub at: f64,
    /// Devices connected at its end.
    pub connected: u64,
    /// What was counted in it.
    pub counts: Counts,
    /// The main latency of the scenario, median and 99th percentile, in milliseconds; none if there was none. Of several
    /// seconds those of the worst one; exactly those of all in what was merged.
    pub p50: Option<f64>,
    /// See `p50`.
    pub p99: Option<f64>,
    /// [`Latency::Connect`], 99th percentile, in milliseconds.
    pub connect_p99: Option<f64>,
    /// CPU seconds this program used in it.
    pub cpu: f64,
    /// Whether it lies in the measured time.
    pub measured: bool,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What a run of the seed's scenario could have found: ten seconds, deliveries that took 1 to 1000 ms.
    pub(crate) fn outcome() -> (Outcome, crate::Histograms) {
        let toml = Scenario::built_in("seed").expect("it is in the program");
        let mut scenario = Scenario::read("seed", toml).expect("it can be read");
        scenario.publishers = 100;
        scenario.subscribers = 2;
        let mut histograms = crate::Histograms::default();
        for value in 1..=1000 {
            histograms.record(Latency::Delivery, value * 1000);
            histograms.record(Latency::Connect, value * 10);
        }
        let timeline: Vec<Second> = (1..=10_u32)
            .map(|second| Second {
                at: f64::from(second),
                connected: 102,
                counts: Counts {
                    published: 100,
                    delivered: 200,
                    forwarded: 200,
                    ..Counts::default()
                },
                p50: Some(10.0 + f64::from(second)),
                p99: Some(100.0),
                connect_p99: None,
                cpu: 0.1,
                measured: true,
            })
            .collect();
        let rates = Rates::expected(&scenario, 2.0);
        let outcome = Outcome {
            schema: SCHEMA,
            run: "r1".to_owned(),
            endpoint: "localhost:8883".to_owned(),
            shard: None,
            started_at: 1_700_000_000_000,
            published_from: Some(1_700_000_001_000),
            measured_seconds: 10.0,
            ended_early: None,
            devices: 102,
            counts: Counts {
                attempts: 102,
                connects: 102,
                due: 1000,
                published: 1000,
                received: 2000,
                delivered: 2000,
                forwarded: 2000,
                ..Counts::default()
            },
            expected: Expected {
                rates,
                copies: 2.0,
                queued: 0,
            },
            observed: rates,
            lost: Some(0),
            queue_lost: None,
            latencies: histograms
                .iter()
                .map(|(latency, histogram)| (latency, Summary::of(histogram)))
                .collect(),
            endings: BTreeMap::from([("closed by us".to_owned(), 102)]),
            generator: Generator {
                cpu_seconds: 1.0,
                total_cpu_seconds: 1.2,
                threads: 2,
                peak_memory: 20_000_000,
                limited: Vec::new(),
            },
            timeline,
            timeline_step: 1,
            notes: Vec::new(),
            scenario,
        };
        (outcome, histograms)
    }

    #[test]
    fn what_is_expected_follows_from_the_scenario() {
        let (outcome, _) = outcome();
        let rates = Rates::expected(&outcome.scenario, 2.0);
        assert_eq!(
            (rates.published, rates.delivered, rates.forwarded),
            (100.0, 200.0, 200.0)
        );
        // The formula of the shell toolkit: publishers * (1 + 2 * subscribers).
        assert_eq!(rates.total(), 500.0);
        let mut silent = outcome.scenario.clone();
        silent.publish.rate = 0.0;
        assert_eq!(Rates::expected(&silent, 2.0), Rates::default());
    }

    #[test]
    fn an_outcome_is_read_as_it_was_written() {
        let (outcome, _) = outcome();
        let text = serde_json::to_string(&outcome).unwrap();
        let again: Outcome = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&again).unwrap(), text);
    }
}
