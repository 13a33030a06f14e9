//! Assertions on what a run found, by which a load test is a gate: `p99<50ms`, `lost==0`, `published>=99.9%`.

use std::fmt;
use std::str::FromStr;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::measure::{Counts, Histograms, Latency};
use crate::outcome::Outcome;
use crate::scenario::{Origin, Scenario, Span};

/// The latency that a scenario is about: what a percentile without a name means.
pub fn main_latency(scenario: &Scenario) -> Latency {
    let heard = || {
        // What one publisher says, others say too, but for filters that name a publisher.
        let looked_at = match scenario.subscribe.filter.contains('{') {
            true => 16,
            false => 10_000,
        };
        (0..scenario.publishers.min(looked_at)).any(|publisher| scenario.copies(publisher) > 0)
    };
    match scenario.publishes() {
        true if scenario.queue.is_some() => Latency::Queue,
        true if scenario.subscribers > 0 && heard() => Latency::Delivery,
        true if scenario.publish.qos > 0 => Latency::Acknowledge,
        true => Latency::Connect,
        false if scenario.identities == Origin::Claim => Latency::Claim,
        false if scenario.storm.is_some() => Latency::Reconnect,
        false if scenario.duration > Span::default() => Latency::Ping,
        false => Latency::Connect,
    }
}

/// What must be so: a value, a comparison, a limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Assertion {
    text: String,
    value: Value,
    comparison: Comparison,
    limit: f64,
    /// Whether the limit is one in percent of what was expected.
    percent: bool,
}

/// Whether an assertion held.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// The assertion as it was given.
    pub assertion: String,
    /// Whether it held. What was not measured holds nothing.
    pub held: bool,
    /// The value that was found, with its unit; why there is none, if there is none.
    pub found: String,
}

impl Assertion {
    /// Compares with what was found. Percentiles come from the histograms, so that there is any of them.
    pub fn check(&self, outcome: &Outcome, histograms: &Histograms) -> Held {
        let (held, found) = match self.find(outcome, histograms) {
            Ok(found) => (self.comparison.holds(found, self.limit), self.shown(found)),
            Err(why) => (false, why.to_owned()),
        };
        Held {
            assertion: self.text.clone(),
            held,
            found,
        }
    }

    /// In microseconds, percent, or as it is.
    fn find(&self, outcome: &Outcome, histograms: &Histograms) -> Result<f64, &'static str> {
        let found = match &self.value {
            Value::Latency(latency, statistic) => {
                let latency = latency.unwrap_or_else(|| main_latency(&outcome.scenario));
                let histogram = histograms.get(latency);
                return match statistic {
                    Statistic::Count => Ok(histogram.map_or(0, Histogram::len) as f64),
                    _ => Ok(statistic.of(histogram.ok_or("no such latency occurred")?)),
                };
            }
            Value::Count(name) => {
                let named = outcome.counts.named();
                let count = named.iter().find(|(known, _)| known == name);
                count.map_or(0, |(_, count)| *count) as f64
            }
            Value::Lost => outcome.lost.ok_or("not known of a part of the fleet")? as f64,
            Value::QueueLost => outcome.queue_lost.ok_or("no queue was looked at")? as f64,
            Value::GeneratorLimited => outcome.generator.limited.len() as f64,
            Value::Devices => outcome.devices as f64,
            Value::Rate(rate) => rate.of(&outcome.observed),
        };
        if !self.percent {
            return Ok(found);
        }
        let expected = self.expected(outcome);
        match expected > 0.0 {
            true => Ok(100.0 * found / expected),
            false => Err("nothing was expected"),
        }
    }

    /// What 100 % is.
    fn expected(&self, outcome: &Outcome) -> f64 {
        let counts = &outcome.counts;
        match &self.value {
            Value::Rate(rate) => rate.of(&outcome.expected.rates),
            Value::Count(name) => match *name {
                "connects" => outcome.devices as f64,
                "published" => counts.due as f64,
                "acknowledged" => counts.published as f64,
                "delivered" => counts.published as f64 * outcome.expected.copies,
                "forwarded" => counts.delivered as f64,
                "forwardedAcknowledged" => counts.forwarded as f64,
                "queued" => outcome.expected.queued as f64,
                _ => 0.0,
            },
            _ => 0.0,
        }
    }

    fn shown(&self, found: f64) -> String {
        match &self.value {
            _ if self.percent => format!("{found:.3}%"),
            Value::Latency(_, Statistic::Count) => format!("{found:.0}"),
            Value::Latency(..) => format!("{}ms", found / 1000.0),
            Value::Rate(_) => format!("{found:.1}"),
            _ => format!("{found:.0}"),
        }
    }
}

impl fmt::Display for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    /// Of the main latency if none is named.
    Latency(Option<Latency>, Statistic),
    Count(&'static str),
    Lost,
    QueueLost,
    GeneratorLimited,
    Devices,
    Rate(Rate),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Statistic {
    Quantile(f64),
    Min,
    Mean,
    Max,
    Count,
}

impl Statistic {
    /// In microseconds.
    fn of(self, histogram: &Histogram<u64>) -> f64 {
        match self {
            Self::Quantile(quantile) => histogram.value_at_quantile(quantile) as f64,
            Self::Min => histogram.min() as f64,
            Self::Mean => histogram.mean(),
            Self::Max => histogram.max() as f64,
            Self::Count => histogram.len() as f64,
        }
    }

    fn read(text: &str) -> Option<Self> {
        match text {
            "min" => Some(Self::Min),
            "mean" => Some(Self::Mean),
            "max" => Some(Self::Max),
            "count" => Some(Self::Count),
            _ => {
                let percent = text.strip_prefix('p')?;
                // No sign, no exponent, no word that is a number too.
                if !percent.chars().all(|c| c.is_ascii_digit() || c == '.') {
                    return None;
                }
                let percent: f64 = percent.parse().ok()?;
                // 99.9 / 100 is a little more than 0.999, and would be one value further.
                let quantile = (percent * 1e7).round() / 1e9;
                (percent <= 100.0).then_some(Self::Quantile(quantile))
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Rate {
    Total,
    Published,
    Delivered,
    Forwarded,
}

impl Rate {
    fn of(self, rates: &crate::Rates) -> f64 {
        match self {
            Self::Total => rates.total(),
            Self::Published => rates.published,
            Self::Delivered => rates.delivered,
            Self::Forwarded => rates.forwarded,
        }
    }
}

impl Value {
    fn read(name: &str) -> Option<Self> {
        let other = match name {
            "lost" => Some(Self::Lost),
            "queueLost" => Some(Self::QueueLost),
            "generatorLimited" => Some(Self::GeneratorLimited),
            "devices" => Some(Self::Devices),
            "rate" => Some(Self::Rate(Rate::Total)),
            "rate.published" => Some(Self::Rate(Rate::Published)),
            "rate.delivered" => Some(Self::Rate(Rate::Delivered)),
            "rate.forwarded" => Some(Self::Rate(Rate::Forwarded)),
            _ => None,
        };
        let count = || {
            let named = Counts::default().named();
            let (known, _) = named.into_iter().find(|(known, _)| *known == name)?;
            Some(Self::Count(known))
        };
        let latency = || {
            if let Some(statistic) = Statistic::read(name) {
                return Some(Self::Latency(None, statistic));
            }
            let (latency, statistic) = name.split_once('.')?;
            Some(Self::Latency(
                Some(Latency::of_name(latency)?),
                Statistic::read(statistic)?,
            ))
        };
        other.or_else(count).or_else(latency)
    }

    fn is_latency(&self) -> bool {
        matches!(self, Self::Latency(_, statistic) if *statistic != Statistic::Count)
    }

    /// Whether it is known what of it is expected.
    fn has_expectation(&self) -> bool {
        match self {
            Self::Rate(_) => true,
            Self::Count(name) => WITH_EXPECTATION.contains(name),
            _ => false,
        }
    }
}

/// Counts that can be asserted in percent.
const WITH_EXPECTATION: [&str; 7] = [
    "connects",
    "published",
    "acknowledged",
    "delivered",
    "forwarded",
    "forwardedAcknowledged",
    "queued",
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    Less,
    AtMost,
    Greater,
    AtLeast,
    Equal,
    Unequal,
}

impl Comparison {
    /// The longer ones first.
    const ALL: [(&str, Self); 6] = [
        ("<=", Self::AtMost),
        (">=", Self::AtLeast),
        ("==", Self::Equal),
        ("!=", Self::Unequal),
        ("<", Self::Less),
        (">", Self::Greater),
    ];

    #[expect(clippy::float_cmp, reason = "counts below 2^53 and limits as written")]
    fn holds(self, found: f64, limit: f64) -> bool {
        match self {
            Self::Less => found < limit,
            Self::AtMost => found <= limit,
            Self::Greater => found > limit,
            Self::AtLeast => found >= limit,
            Self::Equal => found == limit,
            Self::Unequal => found != limit,
        }
    }
}

impl FromStr for Assertion {
    type Err = AssertionError;

    fn from_str(text: &str) -> Result<Self, AssertionError> {
        let error = |rest: &str, why: String| AssertionError {
            // `rest` is the end of `text`.
            column: text[..text.len() - rest.len()].chars().count() + 1,
            text: text.to_owned(),
            why,
        };
        let rest = text.trim_start();
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '.'))
            .unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        if name.is_empty() {
            return Err(error(
                rest,
                format!("a value comes first; known: {}", known()),
            ));
        }
        let value = Value::read(name).ok_or_else(|| {
            let why = format!("nothing is called {name}; known: {}", known());
            error(rest, why)
        })?;
        let after = after.trim_start();
        let (sign, comparison) = Comparison::ALL
            .into_iter()
            .find(|(sign, _)| after.starts_with(sign))
            .ok_or_else(|| error(after, "here comes one of < <= > >= == !=".to_owned()))?;
        let limit = after[sign.len()..].trim_start();
        let end = limit
            .find(|c: char| !(c.is_ascii_digit() || c == '.'))
            .unwrap_or(limit.len());
        let (number, unit) = limit.split_at(end);
        let number: f64 = number
            .parse()
            .map_err(|_| error(limit, "here comes a number".to_owned()))?;
        let mut percent = false;
        let scale = match (unit.trim(), value.is_latency()) {
            ("us" | "µs", true) => 1.0,
            ("ms", true) => 1e3,
            ("s", true) => 1e6,
            ("", true) => {
                return Err(error(unit, "a latency has a unit: us, ms or s".to_owned()));
            }
            (_, true) => return Err(error(unit, "no unit; known: us, ms, s".to_owned())),
            ("", false) => 1.0,
            ("%", false) if value.has_expectation() => {
                percent = true;
                1.0
            }
            ("%", false) => {
                let known = WITH_EXPECTATION.join(", ");
                let why = format!("of {name} nothing is expected; in percent: {known}, rate");
                return Err(error(unit, why));
            }
            (_, false) => return Err(error(unit, format!("{name} is a number without unit"))),
        };
        Ok(Self {
            text: text.trim().to_owned(),
            value,
            comparison,
            limit: number * scale,
            percent,
        })
    }
}

/// Everything an assertion can be about.
fn known() -> String {
    let counts = Counts::default().named();
    let counts: Vec<_> = counts.into_iter().map(|(name, _)| name).collect();
    let latencies: Vec<_> = Latency::ALL.into_iter().map(Latency::name).collect();
    format!(
        "lost, queueLost, generatorLimited, devices, rate[.published|.delivered|.forwarded], {}, and \
         [LATENCY.]p50, p99.9, min, mean, max, count, where LATENCY is one of {}",
        counts.join(", "),
        latencies.join(", ")
    )
}

/// Why an assertion says nothing.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{text:?}, column {column}: {why}")]
pub struct AssertionError {
    /// As it was given.
    pub text: String,
    /// Where, in characters from 1.
    pub column: usize,
    /// What is wrong there.
    pub why: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::tests::outcome;

    fn check(text: &str, outcome: &Outcome, histograms: &Histograms) -> (bool, String) {
        let assertion: Assertion = text.parse().unwrap_or_else(|error| panic!("{error}"));
        let held = assertion.check(outcome, histograms);
        assert_eq!(held.assertion, text);
        (held.held, held.found)
    }

    #[test]
    fn what_was_found_is_compared() {
        let (mut outcome, histograms) = outcome();
        outcome.counts.due = 1000;
        outcome.counts.published = 999;
        outcome.counts.delivered = 1997;
        outcome.expected.copies = 2.0;
        outcome.lost = Some(1);
        outcome.observed.published = 99.0;
        outcome.expected.rates.published = 100.0;
        for (text, held, found) in [
            // Latencies of delivery are 1 to 1000 ms.
            ("p50<=500ms", false, "500.223ms"),
            ("p50 <= 501 ms", true, "500.223ms"),
            ("delivery.p99.9<=0.9s", false, "999.423ms"),
            ("delivery.p25 < 251000us", true, "250.111ms"),
            ("max>1s", true, "1000.447ms"),
            ("delivery.count==1000", true, "1000"),
            ("queue.count == 0", true, "0"),
            ("lost==0", false, "1"),
            ("lost!=0", true, "1"),
            ("published>=99.9%", true, "99.900%"),
            ("published>99.9%", false, "99.900%"),
            ("delivered>=100%", false, "99.950%"),
            ("rate.published>=99%", true, "99.000%"),
            ("published==999", true, "999"),
            ("generatorLimited==0", true, "0"),
        ] {
            let result = check(text, &outcome, &histograms);
            assert_eq!(result, (held, found.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_was_not_measured_holds_nothing() {
        let (mut outcome, histograms) = outcome();
        outcome.lost = None;
        outcome.counts = Counts::default();
        for text in [
            "lost==0",
            "lost!=0",
            "queueLost==0",
            "reconnect.p99<1s",
            "published>=0%",
        ] {
            let (held, found) = check(text, &outcome, &histograms);
            assert!(
                !held && !found.contains(char::is_numeric),
                "{text}: {found}"
            );
        }
    }

    #[test]
    fn every_count_and_latency_can_be_asserted() {
        for (name, _) in Counts::default().named() {
            let assertion: Assertion = format!("{name}>=0").parse().unwrap();
            assert_eq!(assertion.value, Value::Count(name));
        }
        for latency in Latency::ALL {
            let assertion: Assertion = format!("{latency}.p99<1s").parse().unwrap();
            let statistic = Statistic::Quantile(0.99);
            assert_eq!(assertion.value, Value::Latency(Some(latency), statistic));
        }
    }

    #[test]
    fn what_cannot_be_understood_is_refused_with_the_place() {
        for (text, column, why) in [
            ("", 1, "a value comes first"),
            ("<3", 1, "a value comes first"),
            ("p101<1s", 1, "nothing is called p101; known: lost, "),
            ("pinf<1s", 1, "nothing is called pinf"),
            ("p9é9<1s", 3, "here comes one of"),
            ("  speed<1s", 3, "nothing is called speed"),
            ("delivery.p99", 13, "here comes one of"),
            ("lost=0", 5, "here comes one of"),
            ("lost==", 7, "here comes a number"),
            ("lost==-1", 7, "here comes a number"),
            ("lost==1.2.3", 7, "here comes a number"),
            ("p99<50", 7, "a latency has a unit"),
            ("p99<50%", 7, "no unit"),
            ("p99<50ms!", 7, "no unit"),
            ("lost==0ms", 8, "lost is a number without unit"),
            ("lost<=1%", 8, "of lost nothing is expected"),
        ] {
            let error = text.parse::<Assertion>().unwrap_err();
            assert_eq!(error.column, column, "{error}");
            assert!(error.why.starts_with(why), "{error}");
        }
    }

    #[test]
    fn the_latency_of_a_scenario_is_the_one_it_is_about() {
        let of = |name: &str| {
            let toml = Scenario::built_in(name).unwrap();
            main_latency(&Scenario::read(name, toml).unwrap())
        };
        assert_eq!(of("seed"), Latency::Delivery);
        assert_eq!(of("fan-out"), Latency::Delivery);
        assert_eq!(of("pipeline"), Latency::Queue);
        assert_eq!(of("idle"), Latency::Ping);
        assert_eq!(of("jitp-storm"), Latency::Connect);
        assert_eq!(of("claim-storm"), Latency::Claim);
        let mut scenario = Scenario::read("x", "publishers = 3\nduration = '1s'").unwrap();
        assert_eq!(main_latency(&scenario), Latency::Connect);
        scenario.publish.qos = 1;
        assert_eq!(main_latency(&scenario), Latency::Acknowledge);
        scenario.subscribers = 1;
        scenario.subscribe.filter = "elsewhere".to_owned();
        assert_eq!(main_latency(&scenario), Latency::Acknowledge);
        scenario.subscribe.filter = "loadtest/pub2".to_owned();
        assert_eq!(main_latency(&scenario), Latency::Delivery);
    }
}
