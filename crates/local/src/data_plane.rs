//! The data plane over HTTP: Publish, retained messages and DeleteConnection, as operations for the control port.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use bytestring::ByteString;
use jitp_wire::{MessageProperties, Publish, QoS};
use serde_json::{Map, Value, json};

use crate::account::ApiError;
use crate::broker::{Broker, PublishError, RetainedMessage};
use crate::control::{Answer, ControlSettings, Extension, Page};
use crate::model::{Input, Service};

/// What is offered of the data plane, besides Publish.
const OPERATIONS: [(&str, Handler); 3] = [
    ("DeleteConnection", disconnect),
    ("GetRetainedMessage", get),
    ("ListRetainedMessages", list),
];

/// The meaning of an operation for a broker.
type Handler = fn(&Broker, &Input) -> Result<Value, ApiError>;

/// The names of the operations that [`plug_in`] adds.
pub(crate) fn operations() -> impl Iterator<Item = (Service, &'static str)> {
    let names = OPERATIONS.iter().map(|(name, _)| *name);
    names
        .chain(["Publish"])
        .map(|name| (Service::IotData, name))
}

/// Adds the operations of the data plane, served by a broker.
pub(crate) fn plug_in(mut settings: ControlSettings, broker: &Broker) -> ControlSettings {
    for (name, serve) in OPERATIONS {
        let broker = broker.clone();
        let extension: Extension = Arc::new(move |input| {
            let answer = serve(&broker, &input).map(Answer::Json);
            Box::pin(async move { answer })
        });
        settings = settings.with(Service::IotData, name, extension);
    }
    let broker = broker.clone();
    let publisher: Extension = Arc::new(move |input| {
        let broker = broker.clone();
        Box::pin(async move { publish(&broker, &input).await })
    });
    settings.with(Service::IotData, "Publish", publisher)
}

async fn publish(broker: &Broker, input: &Input) -> Result<Answer, ApiError> {
    let invalid = |why: &dyn std::fmt::Display| ApiError::invalid_request(why.to_string());
    let message_expiry = match input.get("messageExpiry").and_then(Value::as_i64) {
        Some(seconds) if seconds < 0 => return Err(invalid(&"messageExpiry is negative")),
        // The broker shortens what is longer than AWS's longest.
        expiry => expiry.map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX)),
    };
    let publish = Publish {
        dup: false,
        retain: input.flag("retain"),
        qos: match input.number("qos") {
            Some(1) => QoS::AtLeastOnce,
            _ => QoS::AtMostOnce,
        },
        topic: input.required("topic").into(),
        packet_id: None,
        topic_alias: None,
        message_expiry,
        properties: properties(input)?
            .encode()
            .map_err(|error| invalid(&error))?,
        payload: input.payload().clone(),
    };
    match broker.publish(publish).await {
        Ok(()) => Ok(Answer::Json(Value::Null)),
        Err(PublishError::Refused(why)) => Err(invalid(&why)),
        Err(PublishError::Storage(error)) => Err(error.into()),
    }
}

fn properties(input: &Input) -> Result<MessageProperties, ApiError> {
    let correlation_data = input.text("correlationData").map(|text| {
        let decoded = STANDARD.decode(text).map(Bytes::from);
        decoded.map_err(|_| ApiError::invalid_request("correlationData is not base64"))
    });
    let user = input.text("userProperties").map(user_properties);
    Ok(MessageProperties {
        is_text: input
            .text("payloadFormatIndicator")
            .map(|word| word == "UTF8_DATA"),
        content_type: input.text("contentType").map(Into::into),
        response_topic: input.text("responseTopic").map(Into::into),
        correlation_data: correlation_data.transpose()?,
        user: user.transpose()?.unwrap_or_default(),
    })
}

/// User properties as the header carries them: base64 of a JSON list of objects, each with names and
/// texts (API Reference, Publish).
fn user_properties(header: &str) -> Result<Vec<(ByteString, ByteString)>, ApiError> {
    let wrong = || {
        ApiError::invalid_request(
            "userProperties must be base64 of a JSON list of objects with texts, as in [{\"name\":\"value\"}]",
        )
    };
    let json = STANDARD.decode(header).map_err(|_| wrong())?;
    let list: Vec<Map<String, Value>> = serde_json::from_slice(&json).map_err(|_| wrong())?;
    let pairs = list.into_iter().flatten();
    pairs
        .map(|(name, value)| match value {
            Value::String(value) => Ok((name.into(), value.into())),
            _ => Err(wrong()),
        })
        .collect()
}

fn get(broker: &Broker, input: &Input) -> Result<Value, ApiError> {
    let topic = input.required("topic");
    let message = broker
        .retained(topic)
        .ok_or_else(|| ApiError::not_found(format!("No message is retained for topic {topic}")))?;
    let mut answer = summary(&message);
    answer.insert("payload".into(), json!(STANDARD.encode(&message.payload)));
    if !message.user_properties.is_empty() {
        let pairs = message.user_properties.into_iter();
        let list: Vec<Value> = pairs.map(|(name, value)| json!({ name: value })).collect();
        let encoded = STANDARD.encode(Value::from(list).to_string());
        answer.insert("userProperties".into(), json!(encoded));
    }
    Ok(Value::Object(answer))
}

fn summary(message: &RetainedMessage) -> Map<String, Value> {
    Map::from_iter([
        ("topic".to_owned(), json!(message.topic)),
        ("qos".to_owned(), json!(message.qos as u8)),
        ("lastModifiedTime".to_owned(), json!(message.stored_at)),
    ])
}

fn list(broker: &Broker, input: &Input) -> Result<Value, ApiError> {
    let items = broker.all_retained().into_iter().map(|message| {
        let mut item = summary(&message);
        item.insert("payloadSize".into(), json!(message.payload.len()));
        (message.topic, Value::Object(item))
    });
    Ok(Page::tokened(input)?.of_keyed("retainedTopics", items.collect()))
}

fn disconnect(broker: &Broker, input: &Input) -> Result<Value, ApiError> {
    let client_id = input.required("clientId");
    let (clean, silent) = (input.flag("cleanSession"), input.flag("preventWillMessage"));
    if broker.disconnect(client_id, clean, silent) {
        return Ok(Value::Null);
    }
    Err(ApiError::not_found(format!(
        "Client {client_id} has neither a connection nor a session"
    )))
}
