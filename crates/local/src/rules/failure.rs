//! An action that failed, and what the error action is told of it (developer guide, "Error handling (error action)").

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::inlet::Job;
use crate::account::TopicRule;

/// An action that failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Failure {
    /// Its kind, for example `SqsAction`.
    pub(super) action: &'static str,
    /// What it was about: a queue, a function, a topic, a bucket.
    pub(super) resource: String,
    /// Stable code for the diary.
    pub(super) code: &'static str,
    /// Why, in a sentence.
    pub(super) why: String,
}

impl Failure {
    /// Makes failures of one kind of action, of a resource, a code and a sentence.
    pub(super) fn of(action: &'static str) -> impl Fn(&str, &'static str, String) -> Self {
        move |resource, code, why| Self {
            action,
            resource: resource.to_owned(),
            code,
            why,
        }
    }
}

/// What the error action gets: one message for a rule and the message that triggered it.
pub(super) fn report(job: &Job, rule: &TopicRule, trace_id: &str, failures: &[Failure]) -> Vec<u8> {
    let failures: Vec<_> = failures
        .iter()
        .map(|failure| {
            json!({
                "failedAction": failure.action,
                "failedResource": failure.resource,
                "errorMessage": failure.why,
            })
        })
        .collect();
    let report = json!({
        "ruleName": rule.name,
        "topic": &*job.message.topic,
        "cloudwatchTraceId": trace_id,
        // As clientid() has it for what did not come over MQTT.
        "clientId": job.origin.client_id.as_deref().unwrap_or("N/A"),
        "base64OriginalPayload": STANDARD.encode(&job.message.payload),
        "failures": failures,
    });
    report.to_string().into_bytes()
}
