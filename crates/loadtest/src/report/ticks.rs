//! Where an axis is marked, and what is written there.

/// How values lie on an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Axis {
    /// Seconds of a run.
    Time {
        /// The last.
        to: f64,
    },
    /// A number of things from 0.
    Number {
        /// The largest.
        to: f64,
        /// From mark to mark.
        step: f64,
    },
    /// Milliseconds, by their logarithm.
    Latency {
        /// Least, above 0.
        from: f64,
        /// Largest.
        to: f64,
    },
    /// Quantiles by how little is beyond them: 0 is none, 1 is 90 %, 2 is 99 %.
    Nines {
        /// The largest.
        to: f64,
    },
}

impl Axis {
    /// Of whole things up to so many, a little room included.
    pub(super) fn count(largest: f64) -> Self {
        Self::with_step(largest.max(1.0), 1.0)
    }

    /// Of something that has parts.
    pub(super) fn amount(largest: f64) -> Self {
        Self::with_step(largest.max(0.01), 0.0)
    }

    fn with_step(largest: f64, least: f64) -> Self {
        let step = step(largest, NUMBERS).max(least);
        let to = (largest / step * 1.02).ceil() * step;
        Self::Number { to, step }
    }

    /// Of latencies in milliseconds.
    pub(super) fn latency(least: f64, largest: f64) -> Self {
        let least = least.max(SHORTEST);
        // At least a factor of ten, so that a line that is level looks level.
        let from = down(least);
        let to = up(largest.max(from * 10.0));
        Self::Latency { from, to }
    }

    /// Where a value lies, 0 to 1.
    pub(super) fn place(self, value: f64) -> f64 {
        let share = match self {
            Self::Time { to } | Self::Number { to, .. } | Self::Nines { to } => value / to,
            Self::Latency { from, to } => {
                let value = value.max(from);
                (value / from).ln() / (to / from).ln()
            }
        };
        share.clamp(0.0, 1.0)
    }

    /// Values that are marked, with their labels.
    pub(super) fn ticks(self) -> Vec<(f64, String)> {
        match self {
            Self::Time { to } => {
                let step = STEPS
                    .into_iter()
                    .find(|step| to / step <= TIMES)
                    .unwrap_or(to / TIMES);
                every(step, to)
                    .map(|value| (value, time(value, to)))
                    .collect()
            }
            Self::Number { to, step } => every(step, to)
                .map(|value| (value, number(value)))
                .collect(),
            Self::Latency { from, to } => {
                let decades = (to / from).log10();
                let factors: &[f64] = match decades {
                    few if few <= 2.0 => &[1.0, 2.0, 5.0],
                    _ => &[1.0],
                };
                let first = from.log10().floor() as i32;
                (first..=to.log10().ceil() as i32)
                    .flat_map(|power| factors.iter().map(move |f| f * 10_f64.powi(power)))
                    .filter(|&value| value >= from * 0.999 && value <= to * 1.001)
                    .map(|value| (value, latency(value)))
                    .collect()
            }
            Self::Nines { to } => NINES
                .into_iter()
                .filter(|(value, _)| *value <= to + 0.001)
                .map(|(value, label)| (value, label.to_owned()))
                .collect(),
        }
    }
}

fn every(step: f64, to: f64) -> impl Iterator<Item = f64> {
    let count = (to / step + 0.001).floor() as u32;
    (0..=count).map(move |index| f64::from(index) * step)
}

/// A round step that divides this into at most so many parts.
fn step(to: f64, parts: f64) -> f64 {
    let exact = to / parts;
    ROUND
        .map(|factor| factor * power(exact))
        .into_iter()
        .find(|step| *step >= exact * 0.999)
        .unwrap_or(exact)
}

/// The next round value that is not above this.
fn down(value: f64) -> f64 {
    ROUND
        .map(|factor| factor * power(value))
        .into_iter()
        .rfind(|round| *round <= value * 1.001)
        .unwrap_or(value)
}

/// The next round value that is not below this.
fn up(value: f64) -> f64 {
    ROUND
        .map(|factor| factor * power(value))
        .into_iter()
        .find(|round| *round >= value * 0.999)
        .unwrap_or(value)
}

/// The power of ten that is not above this.
fn power(value: f64) -> f64 {
    10_f64.powf(value.log10().floor())
}

/// What is round, times a power of ten.
const ROUND: [f64; 4] = [1.0, 2.0, 5.0, 10.0];

/// A number of things, shortened.
pub(super) fn number(value: f64) -> String {
    let short = |value: f64, unit: &str| {
        let digits = match value {
            v if (v - v.round()).abs() < 0.005 => 0,
            v if v < 10.0 => 2,
            _ => 1,
        };
        let text = format!("{value:.digits$}");
        let text = match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.'),
            false => &text,
        };
        format!("{text}{unit}")
    };
    match value.abs() {
        v if v >= 1e9 => short(value / 1e9, "G"),
        v if v >= 1e6 => short(value / 1e6, "M"),
        v if v >= 1e4 => short(value / 1e3, "k"),
        _ => short(value, ""),
    }
}

/// A number of things for a sentence: `19,967`, and with a decimal where it is small.
pub(super) fn whole(value: f64) -> String {
    if value < 100.0 {
        return number((value * 10.0).round() / 10.0);
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Milliseconds in the unit that fits.
pub(super) fn latency(milliseconds: f64) -> String {
    match milliseconds {
        v if v >= 60_000.0 => format!("{} min", number(v / 60_000.0)),
        v if v >= 1000.0 => format!("{} s", number(v / 1000.0)),
        v if v >= 1.0 => format!("{} ms", number(v)),
        v => format!("{} µs", number(v * 1000.0)),
    }
}

/// Seconds since the beginning of something that takes so long.
fn time(seconds: f64, to: f64) -> String {
    let whole = seconds.round() as u64;
    match to {
        short if short < 2.0 => format!("{} s", number(seconds)),
        short if short <= 300.0 => format!("{whole} s"),
        long if long <= 7200.0 => format!("{}:{:02} min", whole / 60, whole % 60),
        _ => format!("{}:{:02} h", whole / 3600, whole / 60 % 60),
    }
}

/// Parts of an axis of numbers, and of one of time.
const NUMBERS: f64 = 5.0;
const TIMES: f64 = 8.0;
/// Steps of time, in seconds.
const STEPS: [f64; 20] = [
    0.25, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0,
    7200.0, 10_800.0, 21_600.0, 43_200.0, 86_400.0, 172_800.0,
];
/// Shortest latency of an axis, in milliseconds: what a histogram tells from 0.
const SHORTEST: f64 = 0.001;
const NINES: [(f64, &str); 9] = [
    (0.0, "0%"),
    (std::f64::consts::LOG10_2, "50%"),
    (1.0, "90%"),
    (2.0, "99%"),
    (3.0, "99.9%"),
    (4.0, "99.99%"),
    (5.0, "99.999%"),
    (6.0, "99.9999%"),
    (7.0, "99.99999%"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: Axis) -> Vec<String> {
        axis.ticks().into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn axes_are_marked_at_round_values() {
        assert_eq!(
            labels(Axis::count(23_456.0)),
            ["0", "5000", "10k", "15k", "20k", "25k"]
        );
        assert_eq!(labels(Axis::count(0.0)), ["0", "1", "2"]);
        assert_eq!(
            labels(Axis::amount(0.2)),
            ["0", "0.05", "0.1", "0.15", "0.2", "0.25"]
        );
        assert_eq!(labels(Axis::Time { to: 60.0 }).last().unwrap(), "60 s");
        assert_eq!(
            labels(Axis::Time { to: 10_000.0 }),
            ["0:00 h", "0:30 h", "1:00 h", "1:30 h", "2:00 h", "2:30 h"]
        );
        assert_eq!(
            labels(Axis::latency(3.0, 40.0)),
            ["2 ms", "5 ms", "10 ms", "20 ms", "50 ms"]
        );
        assert_eq!(
            labels(Axis::latency(0.09, 1800.0)),
            ["100 µs", "1 ms", "10 ms", "100 ms", "1 s"]
        );
        assert_eq!(labels(Axis::Nines { to: 3.2 }).last().unwrap(), "99.9%");
    }

    #[test]
    fn numbers_are_written_as_people_read_them() {
        for (value, text) in [
            (0.0, "0"),
            (1.0 / 3.0, "0.3"),
            (487.0, "487"),
            (19_966.6, "19,967"),
            (1e6, "1,000,000"),
        ] {
            assert_eq!(whole(value), text);
        }
        for (value, text) in [
            (0.012, "12 µs"),
            (2.365, "2.37 ms"),
            (33.04, "33 ms"),
            (1852.4, "1.85 s"),
            (90_000.0, "1.5 min"),
        ] {
            assert_eq!(latency(value), text);
        }
    }

    #[test]
    fn whatever_is_measured_lies_on_its_axis() {
        for value in [1e-9, 0.001, 1.0, 7.3, 1e6, 3.6e6, 1e15] {
            for axis in [
                Axis::latency(value, value),
                Axis::count(value),
                Axis::amount(value),
                Axis::Time {
                    to: value.max(0.25),
                },
            ] {
                let place = axis.place(value);
                assert!((0.0..=1.0).contains(&place), "{axis:?}: {place}");
                let ticks = axis.ticks();
                assert!((2..=16).contains(&ticks.len()), "{axis:?}: {ticks:?}");
                assert!(ticks.iter().all(|(at, _)| at.is_finite()), "{axis:?}");
            }
        }
    }
}
