//! A run while it goes on, as it is shown to somebody who looks in from outside.

use crate::assertion::main_latency;
use crate::gatherer::Tick;
use crate::measure::{Counts, Latency, MOST_LAG, MOST_LOAD};
use crate::outcome::Rates;
use crate::prometheus::Buckets;
use crate::scenario::Scenario;

/// A run up to its last second.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The run.
    pub run: String,
    /// Its scenario's name.
    pub scenario: String,
    /// What it does: connecting, publishing, draining.
    pub phase: &'static str,
    /// Seconds since the first device was due to connect.
    pub elapsed: f64,
    /// Devices of this process.
    pub devices: u64,
    /// Devices that are connected.
    pub connected: u64,
    /// What was counted so far.
    pub counts: Counts,
    /// Messages a second, in the last second.
    pub rates: Rates,
    /// The latency the scenario is about.
    pub main: Latency,
    /// Its median, 99th percentile and largest in the last second, in milliseconds; none if there was none.
    pub last: Option<[f64; 3]>,
    /// All latencies so far that occurred.
    pub latencies: Vec<(Latency, Buckets)>,
    /// Share of the threads' time that this program used in the last second, 0 to 1.
    pub load: f64,
    /// Why the last second was one of this program and not of the system; empty if it kept up.
    pub limited: Vec<String>,
}

impl Snapshot {
    /// Before anything has happened.
    pub fn new(run: &str, scenario: &Scenario) -> Self {
        Self {
            run: run.to_owned(),
            scenario: scenario.name.clone(),
            phase: "connecting",
            elapsed: 0.0,
            devices: u64::from(scenario.devices()),
            connected: 0,
            counts: Counts::default(),
            rates: Rates::default(),
            main: main_latency(scenario),
            last: None,
            latencies: Vec::new(),
            load: 0.0,
            limited: Vec::new(),
        }
    }

    /// Takes in the second that ended.
    pub fn update(&mut self, tick: &Tick<'_>) {
        let rate = |count: u64| match tick.length > 0.0 {
            true => count as f64 / tick.length,
            false => 0.0,
        };
        let counts = &tick.second.counts;
        self.rates = Rates {
            published: rate(counts.published),
            delivered: rate(counts.delivered),
            forwarded: rate(counts.forwarded),
        };
        self.phase = tick.phase;
        self.elapsed = tick.second.at;
        self.devices = tick.devices;
        self.connected = tick.second.connected;
        self.counts = *tick.counts;
        self.latencies = tick
            .all
            .iter()
            .map(|(latency, histogram)| (latency, Buckets::of(histogram)))
            .collect();
        self.load = tick.load;
        self.last = tick.latencies.get(self.main).map(|histogram| {
            [
                histogram.value_at_quantile(0.5),
                histogram.value_at_quantile(0.99),
                histogram.max(),
            ]
            .map(|micros| micros as f64 / 1000.0)
        });
        self.limited.clear();
        if tick.load > MOST_LOAD {
            let percent = tick.load * 100.0;
            self.limited
                .push(format!("{percent:.0} % of its threads' time is used"));
        }
        let lag = tick.latencies.get(Latency::Lag);
        let lag = lag.map_or(0, |histogram| histogram.value_at_quantile(0.99));
        if lag > MOST_LAG {
            let milliseconds = lag as f64 / 1000.0;
            self.limited
                .push(format!("messages leave {milliseconds:.1} ms late"));
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::measure::Histograms;
    use crate::outcome::Second;
    use crate::outcome::tests::outcome;

    /// After two seconds, the second of which was half as long and busy.
    pub(crate) fn snapshot() -> Snapshot {
        let (outcome, _) = outcome();
        let mut snapshot = Snapshot::new(&outcome.run, &outcome.scenario);
        let mut counts = Counts::default();
        let mut all = Histograms::default();
        for (at, length, load, lag) in [(1.0, 1.0, 0.1, 50), (1.5, 0.5, 0.95, 30_000)] {
            let second = Second {
                at,
                connected: 102,
                counts: Counts {
                    published: 100,
                    delivered: 200,
                    provisioning_closes: 3,
                    ..Counts::default()
                },
                ..Second::default()
            };
            counts += second.counts;
            let mut latencies = Histograms::default();
            for _ in 0..100 {
                latencies.record(Latency::Delivery, 3000);
                latencies.record(Latency::Lag, lag);
            }
            latencies.record(Latency::Delivery, 2_000_000);
            all.add(&latencies);
            snapshot.update(&Tick {
                started_at: 0,
                length,
                second: &second,
                latencies: &latencies,
                all: &all,
                endings: &std::collections::BTreeMap::new(),
                counts: &counts,
                phase: "publishing",
                devices: 102,
                load,
            });
        }
        snapshot
    }

    #[test]
    fn the_last_second_is_told_beside_all_that_was() {
        let snapshot = snapshot();
        assert_eq!(snapshot.counts.published, 200);
        assert_eq!(snapshot.rates.published, 200.0);
        assert_eq!(snapshot.rates.delivered, 400.0);
        let all = |(latency, buckets): &(Latency, Buckets)| (*latency, buckets.count());
        let all: Vec<_> = snapshot.latencies.iter().map(all).collect();
        assert_eq!(all, [(Latency::Delivery, 202), (Latency::Lag, 200)]);
        assert_eq!(snapshot.last.unwrap()[1], 3.001);
        assert_eq!(
            snapshot.limited,
            [
                "95 % of its threads' time is used",
                "messages leave 30.0 ms late"
            ]
        );
    }
}
