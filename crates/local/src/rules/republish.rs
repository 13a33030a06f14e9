//! Republishing: the message that a rule makes of another one.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jitp_core::rule::{Evaluation, EvaluationError, Substitution};
use jitp_wire::limits::{MESSAGE_EXPIRY_MAX, PAYLOAD_BYTES};
use jitp_wire::topic::check_topic;
use jitp_wire::{MessageProperties, QoS};

use super::inlet::Origin;
use crate::account::rules::Republish;
use crate::router::Message;

/// How a republished message gets back to the broker.
pub(crate) type Republisher = Arc<dyn Fn(&Message, Origin) + Send + Sync>;

/// How often rules may republish one message; AWS names no number, and a circle of rules must end.
pub(super) const MOST_REPUBLISHED: u32 = 10;

/// The topic of a republish action.
///
/// # Errors
/// A sentence why it is none.
pub(super) fn topic(evaluation: &Evaluation<'_>, action: &Republish) -> Result<String, String> {
    let topic = filled(evaluation, &action.topic)?;
    let topic = match topic.strip_prefix("$$") {
        Some(reserved) => format!("${reserved}"),
        None if topic.starts_with('$') => {
            return Err(format!(
                "the topic {topic:?} is reserved; $$ stands for its $"
            ));
        }
        None => topic,
    };
    check_topic(&topic).map_err(|fault| format!("the topic {topic:?}: {fault}"))?;
    let levels: Vec<&str> = topic.split('/').collect();
    match levels[..] {
        ["$aws", "rules", ..] => Err(format!(
            "{topic} is for basic ingest, which rules cannot publish to"
        )),
        ["$aws", "things", _, "jobs", ..] => Err(format!(
            "{topic} is a topic of jobs, which rules cannot publish to"
        )),
        _ => Ok(topic),
    }
}

/// The message that a republish action makes; `now` is in seconds since 1970.
///
/// # Errors
/// A sentence why there is none.
pub(super) fn message(
    evaluation: &Evaluation<'_>,
    action: &Republish,
    topic: String,
    payload: Vec<u8>,
    now: i64,
) -> Result<Message, String> {
    if payload.len() > PAYLOAD_BYTES {
        return Err(format!(
            "the payload has {} bytes; {PAYLOAD_BYTES} are allowed",
            payload.len()
        ));
    }
    let header = |substitution: &Option<Substitution>| -> Result<Option<String>, String> {
        let text = substitution.as_ref().map(|text| filled(evaluation, text));
        Ok(text.transpose()?.filter(|text| !text.is_empty()))
    };
    let is_text = match header(&action.payload_format)?.as_deref() {
        None => None,
        Some("UTF8_DATA") => Some(true),
        Some("UNSPECIFIED_BYTES") => Some(false),
        Some(other) => {
            return Err(format!(
                "payloadFormatIndicator {other:?} is neither UTF8_DATA nor UNSPECIFIED_BYTES"
            ));
        }
    };
    let correlation_data = match header(&action.correlation_data)? {
        None => None,
        Some(text) => match STANDARD.decode(&text) {
            Ok(data) => Some(data.into()),
            Err(_) => return Err("correlationData is not base64".to_owned()),
        },
    };
    let expires_at = match header(&action.message_expiry)? {
        None => None,
        Some(text) => match text.parse::<u32>() {
            Ok(seconds) => Some(now + i64::from(seconds.clamp(1, MESSAGE_EXPIRY_MAX))),
            Err(_) => return Err(format!("messageExpiry {text:?} is no number of seconds")),
        },
    };
    let mut user = Vec::new();
    for (name, value) in &action.user {
        user.push((
            filled(evaluation, name)?.into(),
            filled(evaluation, value)?.into(),
        ));
    }
    let properties = MessageProperties {
        is_text,
        content_type: header(&action.content_type)?.map(Into::into),
        response_topic: header(&action.response_topic)?.map(Into::into),
        correlation_data,
        user,
    };
    let qos = match action.at_least_once {
        true => QoS::AtLeastOnce,
        false => QoS::AtMostOnce,
    };
    Ok(Message {
        properties: properties.encode().map_err(|error| error.to_string())?,
        expires_at,
        ..Message::system(topic, payload, qos)
    })
}

pub(super) fn filled(
    evaluation: &Evaluation<'_>,
    substitution: &Substitution,
) -> Result<String, String> {
    evaluation
        .fill(substitution)
        .map_err(|error: EvaluationError| error.to_string())
}
