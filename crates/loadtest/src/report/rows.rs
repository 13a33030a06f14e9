//! Everything as pairs of name and value.

use super::Report;
use crate::outcome::Rates;

pub(super) fn rows(report: &Report<'_>) -> Vec<(String, String)> {
    let outcome = report.outcome;
    let mut rows = Rows(Vec::new());
    rows.add("verdict", report.verdict().tone.name());
    rows.add("run", &outcome.run);
    rows.add("scenario", &outcome.scenario.name);
    rows.add("endpoint", &outcome.endpoint);
    if let Some(shard) = outcome.shard {
        rows.add("shard", format!("{}/{}", shard.index, shard.count));
    }
    if let Some(why) = &outcome.ended_early {
        rows.add("endedEarly", why);
    }
    rows.add("devices", outcome.devices);
    rows.add("measuredSeconds", decimal(outcome.measured_seconds));
    rows.rates("expected", &outcome.expected.rates);
    rows.rates("rate", &outcome.observed);
    rows.add("lost", known(outcome.lost));
    if outcome.scenario.queue.is_some() {
        rows.add("queueLost", known(outcome.queue_lost));
    }
    let counts = outcome.counts.named();
    // What went wrong before what went well.
    for wrong in [true, false] {
        for (name, count) in &counts {
            if WRONG.contains(name) == wrong {
                rows.add(name, count);
            }
        }
    }
    for (latency, summary) in &outcome.latencies {
        rows.add(&format!("{latency}.count"), summary.count);
        for (name, value) in [
            ("p50", summary.p50),
            ("p90", summary.p90),
            ("p99", summary.p99),
            ("p99.9", summary.p999),
            ("max", summary.max),
        ] {
            rows.add(&format!("{latency}.{name}"), format!("{value:.3}"));
        }
    }
    for (ending, count) in &outcome.endings {
        rows.add(&format!("ending.{ending}"), count);
    }
    let generator = &outcome.generator;
    rows.add("generator.cores", decimal(cores(report)));
    rows.add("generator.cpuSeconds", decimal(generator.total_cpu_seconds));
    rows.add("generator.threads", generator.threads);
    rows.add("generator.peakMemory", generator.peak_memory);
    rows.add("generatorLimited", generator.limited.len());
    for reason in &generator.limited {
        rows.add("generator.limited", reason);
    }
    for note in &outcome.notes {
        rows.add("note", note);
    }
    for held in report.assertions {
        let result = if held.held { "held" } else { "failed" };
        rows.add(
            &format!("assert {}", held.assertion),
            format!("{result}, found {}", held.found),
        );
    }
    rows.0
}

/// Cores that this program used while it was measured; over all, if nothing was measured but getting in.
pub(super) fn cores(report: &Report<'_>) -> f64 {
    let outcome = report.outcome;
    let whole = outcome.timeline.last().map_or(0.0, |second| second.at);
    let (used, seconds) = match outcome.measured_seconds > 0.0 {
        true => (outcome.generator.cpu_seconds, outcome.measured_seconds),
        false => (outcome.generator.total_cpu_seconds, whole),
    };
    match seconds > 0.0 {
        true => used / seconds,
        false => 0.0,
    }
}

/// Counts that are 0 where all is well.
pub(super) const WRONG: [&str; 12] = [
    "duplicated",
    "reordered",
    "misrouted",
    "foreign",
    "refused",
    "failedAttempts",
    "failedDevices",
    "disconnects",
    "resent",
    "queueDuplicated",
    "late",
    "heldUp",
];

struct Rows(Vec<(String, String)>);

impl Rows {
    fn add(&mut self, name: &str, value: impl ToString) {
        self.0.push((one_line(name), one_line(&value.to_string())));
    }

    /// The sum has the bare name.
    fn rates(&mut self, name: &str, rates: &Rates) {
        self.add(name, decimal(rates.total()));
        self.add(&format!("{name}.published"), decimal(rates.published));
        self.add(&format!("{name}.delivered"), decimal(rates.delivered));
        self.add(&format!("{name}.forwarded"), decimal(rates.forwarded));
    }
}

/// Whatever a broker said stays in its row.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

fn decimal(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn known(value: Option<u64>) -> String {
    value.map_or_else(|| "unknown".to_owned(), |value| value.to_string())
}
