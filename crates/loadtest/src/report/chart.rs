//! The charts of a run, and what is shown in each.

use super::Report;
use super::plot::{Colour, Line, Plot, Style};
use super::ticks::Axis;
use crate::assertion::main_latency;
use crate::measure::{Counts, Latency};
use crate::outcome::Second;

/// A chart of a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Chart {
    /// Messages a second, due and done.
    Rates,
    /// Latencies by percentile.
    Percentiles,
    /// The main latency over time.
    Latency,
    /// Connected devices.
    Connected,
    /// Errors by second.
    Errors,
    /// What this program itself used.
    Generator,
}

impl Chart {
    /// All of them, in the order of a report.
    pub const ALL: [Self; 6] = [
        Self::Rates,
        Self::Percentiles,
        Self::Latency,
        Self::Connected,
        Self::Errors,
        Self::Generator,
    ];

    /// Its name, as a file's without ending.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rates => "rates",
            Self::Percentiles => "percentiles",
            Self::Latency => "latency",
            Self::Connected => "connected",
            Self::Errors => "errors",
            Self::Generator => "generator",
        }
    }

    /// What it shows, as a heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Rates => "Messages per second: due and done",
            Self::Percentiles => "Latency by percentile",
            Self::Latency => "Latency over time",
            Self::Connected => "Connected devices",
            Self::Errors => "Errors by second",
            Self::Generator => "CPU of the generator",
        }
    }

    /// How it is read.
    pub(super) fn explanation(self) -> &'static str {
        match self {
            Self::Rates => {
                "The dashed line is what the schedule asked for. Where the others lie below it, the system, or this \
                 program, did not keep up."
            }
            Self::Percentiles => {
                "How long it took at most for a share of all messages or devices: at 99% one of a hundred took longer. \
                 Counted from when something was due, so that waiting is in it."
            }
            Self::Latency => {
                "For each second, what half of that second's messages or devices took at most, and what 99 of 100 took. \
                 The scale is logarithmic."
            }
            Self::Connected => {
                "The dashed line is when devices were due to connect. Drops are lost connections."
            }
            Self::Errors => "How many there were in each second.",
            Self::Generator => {
                "Cores that this program itself used. Near the dashed line, which is all it may use, the numbers are its \
                 own and not those of the system."
            }
        }
    }

    /// What is drawn; `None` if nothing was measured for it.
    pub(super) fn plot(self, report: &Report<'_>) -> Option<Plot> {
        let lines = match self {
            Self::Rates => rates(report),
            Self::Percentiles => return percentiles(report),
            Self::Latency => latency(report),
            Self::Connected => connected(report),
            Self::Errors => errors(report),
            Self::Generator => generator(report),
        };
        let points = || lines.iter().flat_map(|line| line.pieces.iter().flatten());
        points().next()?;
        let to = report.outcome.timeline.last()?.at.max(0.25);
        let largest = points().map(|(_, y)| *y).fold(0.0, f64::max);
        let least = points().map(|(_, y)| *y).fold(f64::INFINITY, f64::min);
        let y = match self {
            Self::Latency => Axis::latency(least, largest),
            Self::Generator => Axis::amount(largest),
            _ => Axis::count(largest),
        };
        Some(Plot {
            title: self.title(),
            x: Axis::Time { to },
            y,
            unit: match self {
                Self::Rates | Self::Errors => "per second",
                Self::Connected => "devices",
                Self::Generator => "cores",
                Self::Latency | Self::Percentiles => "",
            },
            shade: measured(&report.outcome.timeline),
            lines,
        })
    }
}

/// The measured time, where it is only a part.
fn measured(timeline: &[Second]) -> Option<(f64, f64)> {
    let first = timeline.iter().position(|second| second.measured)?;
    let last = timeline.iter().rposition(|second| second.measured)?;
    let from = match first {
        0 => 0.0,
        _ => timeline[first - 1].at,
    };
    (first > 0 || last + 1 < timeline.len()).then_some((from, timeline[last].at))
}

/// Seconds that are drawn as one point.
struct Group<'a> {
    at: f64,
    /// How long it is, in seconds.
    length: f64,
    seconds: &'a [Second],
}

impl Group<'_> {
    fn per_second(&self, of: impl Fn(&Counts) -> u64) -> f64 {
        let sum: u64 = self.seconds.iter().map(|second| of(&second.counts)).sum();
        sum as f64 / self.length
    }

    /// The worst entry, since what is rare would vanish in an average.
    fn most(&self, of: impl Fn(&Second) -> Option<f64>) -> Option<f64> {
        self.seconds.iter().filter_map(of).reduce(f64::max)
    }
}

/// As many points as can be told apart, however long the run was, none of them of an instant: there are short entries
/// where publishing begins and ends.
fn groups(timeline: &[Second]) -> Vec<Group<'_>> {
    let end = timeline.last().map_or(0.0, |second| second.at);
    let least = (end / MOST_POINTS).max(SHORTEST);
    let mut groups: Vec<Group<'_>> = Vec::new();
    let (mut from, mut begin) = (0, 0.0);
    for (index, second) in timeline.iter().enumerate() {
        let length = second.at - begin;
        if length < least && index + 1 < timeline.len() {
            continue;
        }
        // What is left at the end belongs to what was before it.
        match groups.last_mut() {
            Some(last) if length < least => {
                let start = from - last.seconds.len();
                last.seconds = &timeline[start..];
                last.length += length;
                last.at = second.at;
            }
            _ => groups.push(Group {
                at: second.at,
                length: length.max(0.001),
                seconds: &timeline[from..=index],
            }),
        }
        (from, begin) = (index + 1, second.at);
    }
    groups
}

fn rates(report: &Report<'_>) -> Vec<Line> {
    let groups = groups(&report.outcome.timeline);
    let line = |name, colour, style, of: fn(&Counts) -> u64| {
        solid(
            name,
            colour,
            style,
            groups.iter().map(|group| (group.at, group.per_second(of))),
        )
    };
    let mut lines = vec![
        line("published", Colour::Blue, Style::Filled, |counts| {
            counts.published
        }),
        line("delivered", Colour::Green, Style::Solid, |counts| {
            counts.delivered
        }),
        line("forwarded", Colour::Purple, Style::Broad, |counts| {
            counts.forwarded
        }),
        line("queued", Colour::Orange, Style::Solid, |counts| {
            counts.queued
        }),
    ];
    lines.retain(|line| line.pieces.iter().flatten().any(|(_, y)| *y > 0.0));
    // Drawn first, below what was done.
    let due = line("due", Colour::Grey, Style::Dashed, |counts| counts.due);
    if due.pieces.iter().flatten().any(|(_, y)| *y > 0.0) {
        let copies = report.outcome.expected.copies;
        if copies != 1.0 && copies > 0.0 {
            let deliveries = groups.iter().map(|group| {
                let due = group.per_second(|counts| counts.due);
                (group.at, due * copies)
            });
            lines.push(solid(
                "deliveries due",
                Colour::Grey,
                Style::Dashed,
                deliveries,
            ));
        }
        lines.push(due);
    }
    lines
}

fn latency(report: &Report<'_>) -> Vec<Line> {
    let groups = groups(&report.outcome.timeline);
    let main = main_latency(&report.outcome.scenario);
    let line = |name: String, colour, of: fn(&Second) -> Option<f64>| Line {
        name,
        colour,
        style: Style::Solid,
        pieces: pieces(groups.iter().map(|group| (group.at, group.most(of)))),
    };
    let mut lines = vec![
        line(format!("{main} p99"), Colour::Orange, |second| second.p99),
        line(format!("{main} p50"), Colour::Blue, |second| second.p50),
    ];
    if main != Latency::Connect {
        let connect = |second: &Second| second.connect_p99;
        lines.push(line("connect p99".to_owned(), Colour::Grey, connect));
    }
    lines.retain(|line| !line.pieces.is_empty());
    lines
}

fn connected(report: &Report<'_>) -> Vec<Line> {
    let outcome = report.outcome;
    let groups = groups(&outcome.timeline);
    // No rate, and so not too short for one: when all are in, the run may end at once.
    let step = outcome.timeline.len().div_ceil(MOST_POINTS as usize).max(1);
    let seconds = outcome.timeline.iter().rev().step_by(step).rev();
    let mut lines = vec![solid(
        "connected",
        Colour::Blue,
        Style::Filled,
        seconds.map(|second| (second.at, second.connected as f64)),
    )];
    // Of a part of the fleet, a part of the rate.
    let fleet = f64::from(outcome.scenario.devices()).max(1.0);
    let devices = outcome.devices as f64;
    let rate = outcome.scenario.connect.rate * devices / fleet;
    let due = |at: f64| (at, (rate * at).min(devices));
    // The corner belongs to it, wherever the seconds end.
    let mut times: Vec<f64> = groups.iter().map(|group| group.at).collect();
    times.push(0.0);
    times.push(devices / rate.max(1e-9));
    times.sort_by(f64::total_cmp);
    let end = groups.last().map_or(0.0, |group| group.at);
    times.retain(|at| *at <= end);
    lines.push(solid(
        "due",
        Colour::Grey,
        Style::Dashed,
        times.into_iter().map(due),
    ));
    let any = outcome.timeline.iter().any(|second| second.connected > 0);
    match any || outcome.counts.attempts > 0 {
        true => lines,
        false => Vec::new(),
    }
}

fn errors(report: &Report<'_>) -> Vec<Line> {
    type Kind = (&'static str, Colour, fn(&Counts) -> u64);
    const KINDS: [Kind; 6] = [
        ("failed attempts", Colour::Red, |counts| {
            counts.failed_attempts
        }),
        ("disconnects", Colour::Orange, |counts| counts.disconnects),
        ("refused", Colour::Purple, |counts| counts.refused),
        ("duplicated, reordered, misrouted", Colour::Blue, |counts| {
            counts.duplicated + counts.reordered + counts.misrouted + counts.queue_duplicated
        }),
        ("held up", Colour::Green, |counts| counts.held_up),
        ("late by us", Colour::Grey, |counts| counts.late),
    ];
    let groups = groups(&report.outcome.timeline);
    let mut lines = Vec::new();
    for (name, colour, of) in KINDS {
        let points = groups.iter().map(|group| {
            let most = group.most(|second| Some(of(&second.counts) as f64));
            (group.at, most.unwrap_or_default())
        });
        let line = solid(name, colour, Style::Solid, points);
        if line.pieces.iter().flatten().any(|(_, y)| *y > 0.0) {
            lines.push(line);
        }
    }
    lines
}

fn generator(report: &Report<'_>) -> Vec<Line> {
    let groups = groups(&report.outcome.timeline);
    let cores = |group: &Group<'_>| {
        let seconds: f64 = group.seconds.iter().map(|second| second.cpu).sum();
        (group.at, seconds / group.length)
    };
    let threads = f64::from(report.outcome.generator.threads);
    let end = groups.last().map_or(0.0, |group| group.at);
    let mut lines = vec![solid(
        "used",
        Colour::Blue,
        Style::Filled,
        groups.iter().map(cores),
    )];
    if threads > 0.0 && end > 0.0 {
        let all = [(0.0, threads), (end, threads)];
        lines.push(solid(
            "all there is",
            Colour::Grey,
            Style::Dashed,
            all.into_iter(),
        ));
    }
    lines.retain(|_| !groups.is_empty());
    lines
}

fn percentiles(report: &Report<'_>) -> Option<Plot> {
    const COLOURS: [Colour; 5] = [
        Colour::Blue,
        Colour::Orange,
        Colour::Green,
        Colour::Purple,
        Colour::Grey,
    ];
    let main = main_latency(&report.outcome.scenario);
    let rest = [
        Latency::Delivery,
        Latency::Acknowledge,
        Latency::AcknowledgeService,
        Latency::Queue,
        Latency::Reconnect,
        Latency::Connect,
        Latency::Claim,
        Latency::Lag,
    ];
    let rest = rest.into_iter().filter(|latency| *latency != main);
    let found: Vec<_> = std::iter::once(main)
        .chain(rest)
        .filter_map(|latency| Some((latency, report.histograms.get(latency)?)))
        .take(COLOURS.len())
        .collect();
    let most = found.iter().map(|(_, histogram)| histogram.len()).max()?;
    // One of so many is the last that is told.
    let to = (most as f64).log10().clamp(1.0, 7.0);
    let lines: Vec<_> = found
        .iter()
        .zip(COLOURS)
        .map(|((latency, histogram), colour)| {
            let own = (histogram.len() as f64).log10().clamp(0.0, 7.0);
            let points = (0..=CURVE_POINTS).map(|index| {
                let nines = own * f64::from(index) / f64::from(CURVE_POINTS);
                // The last one is the largest, of which there is one in so many.
                let quantile = match index {
                    CURVE_POINTS => 1.0,
                    _ => 1.0 - 10_f64.powf(-nines),
                };
                let value = histogram.value_at_quantile(quantile);
                (nines, value as f64 / 1000.0)
            });
            solid(latency.name(), colour, Style::Solid, points)
        })
        .collect();
    let values = || lines.iter().flat_map(|line| line.pieces.iter().flatten());
    let largest = values().map(|(_, y)| *y).fold(0.0, f64::max);
    let least = values().map(|(_, y)| *y).fold(f64::INFINITY, f64::min);
    Some(Plot {
        title: Chart::Percentiles.title(),
        x: Axis::Nines { to },
        y: Axis::latency(least, largest),
        unit: "",
        shade: None,
        lines,
    })
}

/// A line without gaps.
fn solid(
    name: impl Into<String>,
    colour: Colour,
    style: Style,
    points: impl Iterator<Item = (f64, f64)>,
) -> Line {
    Line {
        name: name.into(),
        colour,
        style,
        pieces: pieces(points.map(|(x, y)| (x, Some(y)))),
    }
}

/// Points without those that are none, cut where one is missing.
fn pieces(points: impl Iterator<Item = (f64, Option<f64>)>) -> Vec<Vec<(f64, f64)>> {
    let mut pieces = vec![Vec::new()];
    for (x, y) in points {
        match y.filter(|y| y.is_finite() && x.is_finite()) {
            Some(y) => pieces.last_mut().expect("there is one").push((x, y)),
            None => pieces.push(Vec::new()),
        }
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

/// Points of a line that can be told apart on a plot of this width.
const MOST_POINTS: f64 = 600.0;
/// Seconds of which there is a point at least.
const SHORTEST: f64 = 0.9;
const CURVE_POINTS: u32 = 250;
