//! Whether it held, in words for somebody who was not there.

use super::Report;
use super::ticks::{latency, whole};
use crate::assertion::main_latency;
use crate::measure::Latency;

/// What there is to be said first.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verdict {
    /// In a few words.
    pub headline: String,
    /// Good, doubtful or bad.
    pub tone: Tone,
    /// The reasons, a sentence each, the worst first.
    pub sentences: Vec<String>,
}

/// How a verdict is meant.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Tone {
    /// It held.
    Good,
    /// The numbers are not those of the system.
    Doubtful,
    /// It did not hold.
    Bad,
}

impl Tone {
    /// In one word, for scripts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Good => "held",
            Self::Doubtful => "doubtful",
            Self::Bad => "failed",
        }
    }
}

impl Verdict {
    pub(super) fn of(report: &Report<'_>) -> Self {
        let mut found = Findings(Vec::new());
        found.judge_generator(report);
        found.judge_assertions(report);
        found.judge_devices(report);
        found.judge_messages(report);
        found.tell_latency(report);
        if let Some(why) = &report.outcome.ended_early {
            found.add(Tone::Doubtful, format!("It ended before its time: {why}."));
        }
        let Findings(mut found) = found;
        found.sort_by_key(|(tone, _)| std::cmp::Reverse(*tone));
        let tone = found.first().map_or(Tone::Good, |(tone, _)| *tone);
        let limited = !report.outcome.generator.limited.is_empty();
        let headline = match tone {
            Tone::Good => "It held",
            Tone::Doubtful if limited => "The generator was the limit",
            Tone::Doubtful => "It held only in part",
            Tone::Bad => "It did not hold",
        };
        Self {
            headline: headline.to_owned(),
            tone,
            sentences: found.into_iter().map(|(_, sentence)| sentence).collect(),
        }
    }
}

/// Sentences and how they are meant.
struct Findings(Vec<(Tone, String)>);

impl Findings {
    fn add(&mut self, tone: Tone, sentence: String) {
        self.0.push((tone, sentence));
    }

    fn judge_assertions(&mut self, report: &Report<'_>) {
        let all = report.assertions;
        let failed = all.iter().filter(|held| !held.held).count();
        match (all.len(), failed) {
            (0, _) => {}
            (1, 0) => self.add(Tone::Good, "What was asserted holds.".to_owned()),
            (all, 0) => self.add(Tone::Good, format!("All {all} assertions hold.")),
            (1, _) => self.add(Tone::Bad, "What was asserted does not hold.".to_owned()),
            (all, failed) => {
                let does = if failed == 1 { "does" } else { "do" };
                self.add(
                    Tone::Bad,
                    format!("Of {all} assertions, {failed} {does} not hold."),
                );
            }
        }
    }

    fn judge_devices(&mut self, report: &Report<'_>) {
        let (devices, counts) = (report.outcome.devices, &report.outcome.counts);
        match counts.failed_devices {
            0 if counts.connects >= devices => {
                self.add(
                    Tone::Good,
                    format!("All {} got in.", plural(devices, "device")),
                );
            }
            0 => {
                let missing = devices - counts.connects;
                self.add(
                    Tone::Doubtful,
                    format!("Of {devices} devices, {missing} had not got in when it ended."),
                );
            }
            failed => self.add(
                Tone::Bad,
                format!("{} of {devices} gave up.", plural(failed, "device")),
            ),
        }
    }

    fn judge_messages(&mut self, report: &Report<'_>) {
        let outcome = report.outcome;
        if !outcome.scenario.publishes() {
            return;
        }
        match outcome.lost {
            Some(0) if outcome.expected.copies > 0.0 => {
                self.add(Tone::Good, "No message was lost.".to_owned());
            }
            Some(lost) if lost > 0 => self.add(
                Tone::Bad,
                format!("{} did not arrive at a subscriber.", plural(lost, "copy")),
            ),
            _ => {}
        }
        match outcome.queue_lost {
            Some(0) => self.add(Tone::Good, "All messages arrived in the queue.".to_owned()),
            Some(lost) => self.add(
                Tone::Bad,
                format!("{} did not arrive in the queue.", plural(lost, "message")),
            ),
            None => {}
        }
        let counts = &outcome.counts;
        for (count, one, many) in [
            (
                counts.misrouted,
                "1 message arrived where it does not belong.",
                "messages arrived where they do not belong.",
            ),
            (
                counts.refused,
                "1 message was refused by the system.",
                "messages were refused by the system.",
            ),
        ] {
            match count {
                0 => {}
                1 => self.add(Tone::Bad, one.to_owned()),
                count => self.add(Tone::Bad, format!("{count} {many}")),
            }
        }
        let (expected, observed) = (outcome.expected.rates.total(), outcome.observed.total());
        if expected > 0.0 {
            let share = 100.0 * observed / expected;
            let missing = (expected - observed) * outcome.measured_seconds;
            let allowed = expected * (outcome.measured_seconds * MISSING).max(EDGE);
            let tone = match missing <= allowed {
                true => Tone::Good,
                false => Tone::Doubtful,
            };
            self.add(
                tone,
                format!(
                    "{} messages a second of {} that were expected ({share:.1} %).",
                    whole(observed),
                    whole(expected)
                ),
            );
        }
    }

    fn tell_latency(&mut self, report: &Report<'_>) {
        let main = main_latency(&report.outcome.scenario);
        let Some(summary) = report.outcome.latencies.get(&main) else {
            return;
        };
        let what = match main {
            Latency::Delivery => "from publisher to subscriber",
            Latency::Queue => "from publisher to the queue's consumer",
            Latency::Acknowledge => "to the acknowledgement",
            Latency::Claim => "to an identity of its own, served",
            Latency::Reconnect => "to be back after a lost connection",
            Latency::Ping => "for an answer to a ping",
            _ => "to get in",
        };
        self.add(
            Tone::Good,
            format!(
                "Half took at most {} {what}, 99 of 100 at most {}, the slowest {}.",
                latency(summary.p50),
                latency(summary.p99),
                latency(summary.max)
            ),
        );
    }

    fn judge_generator(&mut self, report: &Report<'_>) {
        let limited = &report.outcome.generator.limited;
        if limited.is_empty() {
            return;
        }
        self.add(
            Tone::Doubtful,
            format!(
                "This program did not keep up, so that the numbers are not only those of the system: {}.",
                limited.join("; ")
            ),
        );
    }
}

/// `1 device`, `2 devices`, `3 copies`.
fn plural(count: u64, what: &str) -> String {
    match (count, what.strip_suffix('y')) {
        (1, _) => format!("1 {what}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        (_, None) => format!("{count} {what}s"),
    }
}

/// Share of the expected messages that may be missing of a system that is said to keep up,
const MISSING: f64 = 0.01;
/// or what is expected in so many seconds, since a short time is measured no more exactly than its edges are.
const EDGE: f64 = 0.2;
