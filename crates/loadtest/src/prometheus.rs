//! A snapshot in the text format of OpenMetrics, for Prometheus and what reads it.

use std::fmt;
use std::sync::atomic::AtomicU64;

use hdrhistogram::Histogram;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::measure::Counts;
use crate::snapshot::Snapshot;

/// Content type of [`text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A snapshot as text.
pub fn text(snapshot: &Snapshot) -> String {
    let mut registry = Registry::with_prefix("jitp_loadtest");
    let labels = [("run", &snapshot.run), ("scenario", &snapshot.scenario)];
    let labels = labels.map(|(name, value)| (name, value.clone()));
    registry.register("run", "The run", Info::new(labels.to_vec()));
    let mut gauge = |name: &str, help: &str, value: f64| {
        registry.register(name, help, ConstGauge::new(value));
    };
    gauge(
        "devices",
        "Devices of this process",
        snapshot.devices as f64,
    );
    gauge(
        "connected",
        "Devices that are connected",
        snapshot.connected as f64,
    );
    gauge(
        "elapsed_seconds",
        "Seconds since the first device was due to connect",
        snapshot.elapsed,
    );
    gauge(
        "generator_load_ratio",
        "Share of its threads' time that this program used in the last second",
        snapshot.load,
    );
    gauge(
        "generator_limited",
        "Reasons why the last second was one of this program and not of the system",
        snapshot.limited.len() as f64,
    );
    let rates = Floats::default();
    for (name, value) in [
        ("published", snapshot.rates.published),
        ("delivered", snapshot.rates.delivered),
        ("forwarded", snapshot.rates.forwarded),
    ] {
        rates.get_or_create(&vec![("messages", name)]).set(value);
    }
    registry.register("rate", "Messages a second in the last second", rates);
    if let Some([p50, p99, max]) = snapshot.last {
        let last = Floats::default();
        for (quantile, value) in [("0.5", p50), ("0.99", p99), ("1", max)] {
            let labels = vec![("latency", snapshot.main.name()), ("quantile", quantile)];
            // Whole microseconds, and not what a division leaves of them.
            last.get_or_create(&labels)
                .set((value * 1000.0).round() / 1e6);
        }
        registry.register_with_unit(
            "latency_last_second",
            "The latency the scenario is about, in the last second",
            Unit::Seconds,
            last,
        );
    }
    let meanings = Counts::meanings();
    for ((name, count), (_, meaning)) in snapshot.counts.named().into_iter().zip(meanings) {
        registry.register(
            snake_case(name),
            meaning.trim_end_matches('.'),
            ConstCounter::new(count),
        );
    }
    for (latency, buckets) in &snapshot.latencies {
        registry.register_with_unit(
            format!("{}_latency", snake_case(latency.name())),
            format!("Latency: {}", latency.meaning()),
            Unit::Seconds,
            buckets.clone(),
        );
    }
    let mut text = String::new();
    encode(&mut text, &registry).expect("a string takes everything");
    text
}

/// Labels and values.
type Floats = Family<Vec<(&'static str, &'static str)>, Gauge<f64, AtomicU64>>;

/// `provisioningCloses` as `provisioning_closes`.
fn snake_case(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

/// A histogram in fewer buckets.
#[derive(Clone)]
pub struct Buckets {
    /// Upper bound in seconds, values above the bound before it.
    buckets: Vec<(f64, u64)>,
    /// In seconds.
    sum: f64,
    count: u64,
}

impl Buckets {
    /// Of latencies in microseconds.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        // Beyond its longest the histogram need not have buckets: what is asked for there would be its last one.
        let count = |from: u64, to: u64| match from > histogram.max() {
            true => 0,
            false => histogram.count_between(from, to),
        };
        let mut from = 0;
        let mut buckets: Vec<_> = BOUNDS
            .iter()
            .map(|&bound| {
                let bucket = (bound as f64 / 1e6, count(from, bound));
                from = histogram.next_non_equivalent(bound);
                bucket
            })
            .collect();
        buckets.push((f64::INFINITY, count(from, histogram.max())));
        Self {
            buckets,
            sum: histogram.mean() * histogram.len() as f64 / 1e6,
            count: histogram.len(),
        }
    }
}

impl Buckets {
    /// Values in all of them.
    pub fn count(&self) -> u64 {
        self.count
    }
}

impl EncodeMetric for Buckets {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        encoder.encode_histogram::<Vec<(String, String)>>(self.sum, self.count, &self.buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

impl fmt::Debug for Buckets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} values", self.count)
    }
}

/// Upper bounds in microseconds: a tenth of a millisecond to a minute.
const BOUNDS: [u64; 18] = [
    100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::tests::snapshot;

    #[test]
    fn a_snapshot_is_told_as_openmetrics() {
        let mut snapshot = snapshot();
        snapshot.run = "r\"1\"\n\\".to_owned();
        let text = text(&snapshot);
        for line in [
            "jitp_loadtest_run_info{run=\"r\\\"1\\\"\\n\\\\\",scenario=\"seed\"} 1",
            "jitp_loadtest_connected 102.0",
            "# TYPE jitp_loadtest_published counter",
            "jitp_loadtest_published_total 200",
            "jitp_loadtest_provisioning_closes_total 6",
            "jitp_loadtest_rate{messages=\"delivered\"} 400.0",
            "jitp_loadtest_latency_last_second_seconds{latency=\"delivery\",quantile=\"0.99\"} 0.003001",
            "# UNIT jitp_loadtest_delivery_latency_seconds seconds",
            "jitp_loadtest_delivery_latency_seconds_bucket{le=\"0.0025\"} 0",
            "jitp_loadtest_delivery_latency_seconds_bucket{le=\"0.005\"} 200",
            "jitp_loadtest_delivery_latency_seconds_bucket{le=\"1.0\"} 200",
            "jitp_loadtest_delivery_latency_seconds_bucket{le=\"2.5\"} 202",
            "jitp_loadtest_delivery_latency_seconds_bucket{le=\"+Inf\"} 202",
            "jitp_loadtest_delivery_latency_seconds_count 202",
            "jitp_loadtest_generator_limited 2.0",
        ] {
            assert!(
                text.lines().any(|told| told == line),
                "{line} is not in\n{text}"
            );
        }
        assert!(text.ends_with("# EOF\n"));
        assert!(!text.contains("NaN"));
    }

    #[test]
    fn before_anything_has_happened_there_is_something_to_be_told() {
        let (outcome, _) = crate::outcome::tests::outcome();
        let text = text(&Snapshot::new("r1", &outcome.scenario));
        assert!(text.contains("jitp_loadtest_published_total 0\n"));
        assert!(!text.contains("latency"));
    }
}
