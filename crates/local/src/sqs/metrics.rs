//! What Amazon CloudWatch knows of the queues (`AWS/SQS`): how many messages are where, and the age of the oldest one.
//!
//! There is no history: each metric has one sample, of now, exact and at once, where CloudWatch is some minutes late.

use std::collections::HashSet;
use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Queues;
use crate::account::ApiError;
use crate::control::{Answer, ControlSettings, Extension};
use crate::model::{Input, Service};

type Handler = fn(&Queues, &Input, i64) -> Result<Value, ApiError>;

const OPERATIONS: [(&str, Handler); 2] =
    [("GetMetricData", data), ("GetMetricStatistics", statistics)];

/// The statistics with a name of their own ("Statistics definitions").
const STATISTICS: [&str; 5] = ["SampleCount", "Average", "Sum", "Minimum", "Maximum"];

/// Queries of one GetMetricData ("GetMetricData").
const MOST_QUERIES: usize = 500;

/// The names of the operations that [`plug_in`] adds.
pub(crate) fn operations() -> impl Iterator<Item = (Service, &'static str)> {
    let handlers = OPERATIONS.iter();
    handlers.map(|(name, _)| (Service::CloudWatch, *name))
}

/// Adds CloudWatch, which knows of these queues.
pub(crate) fn plug_in(mut settings: ControlSettings, queues: &Queues) -> ControlSettings {
    for (name, serve) in OPERATIONS {
        let queues = queues.clone();
        let extension: Extension = Arc::new(move |input| {
            // Callers ask by the time of this machine, which the clock of the core may be ahead of (`--clock-speed`).
            let now = OffsetDateTime::now_utc().unix_timestamp();
            let answer = serve(&queues, &input, now).map(Answer::Json);
            Box::pin(async move { answer }) as BoxFuture<'static, _>
        });
        settings = settings.with(Service::CloudWatch, name, extension);
    }
    settings
}

/// A metric as it is now.
#[derive(Debug)]
struct Sample {
    value: f64,
    unit: &'static str,
}

impl Sample {
    /// What a statistic makes of a single sample.
    fn statistic(&self, statistic: &str) -> Result<f64, ApiError> {
        // Percentiles and means of a part, such as p99.9 and tm(10%:90%).
        let of_a_part = ["p", "tm", "wm"].into_iter().any(|kind| {
            let rest = statistic.strip_prefix(kind).unwrap_or_default();
            rest.starts_with(|first: char| first.is_ascii_digit() || first == '(')
        });
        match statistic {
            "SampleCount" => Ok(1.0),
            _ if STATISTICS.contains(&statistic) || of_a_part => Ok(self.value),
            _ => Err(invalid(format!(
                "The value {} for parameter Stat is not supported.",
                shown(statistic)
            ))),
        }
    }
}

/// What of a metric is asked for.
struct Asked<'a> {
    namespace: &'a str,
    name: &'a str,
    dimensions: Vec<(&'a str, &'a str)>,
    unit: Option<&'a str>,
    period: i64,
}

impl Asked<'_> {
    /// The metric now, and the beginning of the period in which that is; nothing of what nobody has put there.
    fn sample(&self, queues: &Queues, window: (i64, i64), now: i64) -> Option<(i64, Sample)> {
        let [("QueueName", queue)] = self.dimensions.as_slice() else {
            return None;
        };
        let queue = queues
            .named(queue)
            .filter(|_| self.namespace == "AWS/SQS")?;
        let at = now - now.rem_euclid(self.period);
        let (start, end) = window;
        if at < start - start.rem_euclid(self.period) || at >= end {
            return None;
        }
        let moment = queues.now();
        let counts = || queue.counts(moment);
        let (value, unit) = match self.name {
            "ApproximateAgeOfOldestMessage" => ((queue.age(moment)? / 1000) as f64, "Seconds"),
            "ApproximateNumberOfMessagesVisible" => (counts().visible as f64, "Count"),
            "ApproximateNumberOfMessagesNotVisible" => (counts().in_flight as f64, "Count"),
            "ApproximateNumberOfMessagesDelayed" => (counts().delayed as f64, "Count"),
            _ => return None,
        };
        let wanted = self.unit.is_none_or(|wanted| wanted == unit);
        wanted.then_some((at, Sample { value, unit }))
    }
}

fn data(queues: &Queues, input: &Input, now: i64) -> Result<Value, ApiError> {
    let window = window(input)?;
    let queries = input.list("MetricDataQueries");
    if queries.is_empty() || queries.len() > MOST_QUERIES {
        return Err(invalid(format!(
            "The parameter MetricDataQueries must have 1 to {MOST_QUERIES} entries."
        )));
    }
    let mut ids = HashSet::new();
    let mut results = Vec::new();
    for query in queries {
        let id = text(query, "Id").unwrap_or_default();
        if !id.starts_with(|first: char| first.is_ascii_lowercase()) || !ids.insert(id) {
            return Err(invalid(format!(
                "The value {} for parameter MetricDataQueries.member.Id must start with a lowercase letter and be \
                 there once.",
                shown(id)
            )));
        }
        let stat = query.get("MetricStat").filter(|stat| !stat.is_null());
        let (None, Some(stat)) = (text(query, "Expression"), stat) else {
            return Err(invalid(format!(
                "The query {} must have a MetricStat and no Expression: the local core has no metric math.",
                shown(id)
            )));
        };
        let metric = &stat["Metric"];
        let asked = Asked {
            namespace: text(metric, "Namespace").unwrap_or_default(),
            name: text(metric, "MetricName").unwrap_or_default(),
            dimensions: dimensions(metric["Dimensions"].as_array().map(Vec::as_slice)),
            unit: text(stat, "Unit"),
            period: period(stat["Period"].as_i64())?,
        };
        let sample = asked.sample(queues, window, now);
        let sample = sample.map(|(at, sample)| {
            let value = sample.statistic(text(stat, "Stat").unwrap_or_default());
            value.map(|value| (at, value))
        });
        let (at, values) = sample
            .transpose()?
            .into_iter()
            .unzip::<_, _, Vec<_>, Vec<_>>();
        if query["ReturnData"].as_bool() != Some(false) {
            results.push(json!({
                "Id": id,
                "Label": text(query, "Label").unwrap_or(asked.name),
                "Timestamps": at,
                "Values": values,
                "StatusCode": "Complete",
            }));
        }
    }
    Ok(json!({ "MetricDataResults": results, "Messages": [] }))
}

fn statistics(queues: &Queues, input: &Input, now: i64) -> Result<Value, ApiError> {
    let window = window(input)?;
    let asked = Asked {
        namespace: input.required("Namespace"),
        name: input.required("MetricName"),
        dimensions: dimensions(Some(input.list("Dimensions"))),
        unit: input.text("Unit"),
        period: period(input.get("Period").and_then(Value::as_i64))?,
    };
    let (named, extended) = (input.texts("Statistics"), input.texts("ExtendedStatistics"));
    if named.is_empty() == extended.is_empty() {
        return Err(ApiError::new(
            "InvalidParameterCombinationException",
            "Either Statistics or ExtendedStatistics must be given, and not both.",
        ));
    }
    let mut points = Vec::new();
    if let Some((at, sample)) = asked.sample(queues, window, now) {
        let mut point = Map::from_iter([
            ("Timestamp".to_owned(), json!(at)),
            ("Unit".to_owned(), json!(sample.unit)),
        ]);
        for statistic in named {
            point.insert(statistic.to_owned(), json!(sample.statistic(statistic)?));
        }
        let mut parts = Map::new();
        for statistic in extended {
            parts.insert(statistic.to_owned(), json!(sample.statistic(statistic)?));
        }
        if !parts.is_empty() {
            point.insert("ExtendedStatistics".to_owned(), Value::Object(parts));
        }
        points.push(Value::Object(point));
    }
    Ok(json!({ "Label": asked.name, "Datapoints": points }))
}

/// From when to when, in seconds since 1970.
fn window(input: &Input) -> Result<(i64, i64), ApiError> {
    let moment = |name: &str| {
        let found = input.get(name).and_then(moment);
        found.ok_or_else(|| invalid(format!("The parameter {name} must be a timestamp.")))
    };
    let (start, end) = (moment("StartTime")?, moment("EndTime")?);
    match start < end {
        true => Ok((start, end)),
        false => Err(invalid(
            "The parameter StartTime must be less than the parameter EndTime.",
        )),
    }
}

/// Seconds since 1970 as a number, or a text as ISO 8601 has it.
fn moment(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => {
            let read = OffsetDateTime::parse(text, &Rfc3339).ok()?;
            Some(read.unix_timestamp())
        }
        // Beyond these a period before them could not be told.
        value => value
            .as_f64()
            .filter(|seconds| seconds.abs() < 1e12)
            .map(|seconds| seconds.floor() as i64),
    }
}

fn period(given: Option<i64>) -> Result<i64, ApiError> {
    let period = given.unwrap_or_default();
    match [1, 5, 10, 20, 30].contains(&period) || (period > 0 && period % 60 == 0) {
        true => Ok(period),
        false => Err(invalid(
            "The parameter Period must be 1, 5, 10, 20, 30, or a multiple of 60.",
        )),
    }
}

fn dimensions(given: Option<&[Value]>) -> Vec<(&str, &str)> {
    let given = given.unwrap_or_default().iter();
    given
        .filter_map(|one| Some((text(one, "Name")?, text(one, "Value")?)))
        .collect()
}

fn text<'a>(value: &'a Value, member: &str) -> Option<&'a str> {
    value.get(member)?.as_str()
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidParameterValueException", message)
}
