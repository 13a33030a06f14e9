//! A batch: the event that a function is given, and what its answer says of each message.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use crate::sqs::{Delivered, Queue, Queues, system_attributes};

/// Most bytes of an event (Lambda developer guide, "Lambda quotas": 6 MB).
const LARGEST_EVENT: usize = 6 * 1024 * 1024;
/// Bytes that a message takes in an event beside its own, generously.
const AROUND: usize = 1024;

/// Splits what was received into batches that fit an event.
pub(super) fn split(delivered: Vec<Delivered>) -> Vec<Vec<Delivered>> {
    let mut batches: Vec<Vec<Delivered>> = Vec::new();
    let mut size = LARGEST_EVENT;
    for one in delivered {
        // Quotes and line feeds are written as two characters.
        let own = 2 * one.message.size() + AROUND;
        if size + own > LARGEST_EVENT {
            batches.push(Vec::new());
            size = 0;
        }
        size += own;
        if let Some(batch) = batches.last_mut() {
            batch.push(one);
        }
    }
    batches
}

/// The event of a batch (Lambda developer guide, "Example Amazon SQS message event").
pub(super) fn event(queues: &Queues, queue: &Queue, batch: &[Delivered], region: &str) -> Vec<u8> {
    let records: Vec<Value> = batch
        .iter()
        .map(|one| {
            let message = &one.message;
            let attributes = system_attributes(one).into_iter();
            let attributes: Map<String, Value> = attributes
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect();
            let attached = message.attributes.iter();
            let attached: Map<String, Value> = attached
                .map(|(name, attribute)| (name.clone(), attribute.in_event()))
                .collect();
            json!({
                "messageId": message.id,
                "receiptHandle": queues.handle(queue, one),
                "body": message.body,
                "attributes": attributes,
                "messageAttributes": attached,
                "md5OfBody": message.md5,
                "eventSource": "aws:sqs",
                "eventSourceARN": queue.arn,
                "awsRegion": region,
            })
        })
        .collect();
    json!({ "Records": records }).to_string().into_bytes()
}

/// Ids of the messages that failed, by the answer of a function that says so (Lambda developer guide, "Implementing
/// partial batch responses").
///
/// # Errors
/// A sentence why the answer counts as the failure of all of them.
pub(super) fn failed(answer: &[u8], batch: &[Delivered]) -> Result<HashSet<String>, String> {
    if answer.is_empty() {
        return Ok(HashSet::new());
    }
    let answer: Value = serde_json::from_slice(answer)
        .map_err(|error| format!("answered what is not JSON: {error}"))?;
    let listed = match &answer {
        // "An empty or null EventResponse" and an empty string are success.
        Value::Null => return Ok(HashSet::new()),
        Value::String(text) if text.is_empty() => return Ok(HashSet::new()),
        Value::Object(members) => members.get("batchItemFailures"),
        _ => return Err("answered neither an object nor nothing".to_owned()),
    };
    let listed = match listed {
        None | Some(Value::Null) => return Ok(HashSet::new()),
        Some(Value::Array(listed)) => listed,
        Some(_) => return Err("answered batchItemFailures that is no list".to_owned()),
    };
    let mut failed = HashSet::new();
    for item in listed {
        let id = item.get("itemIdentifier").and_then(Value::as_str);
        match id.filter(|id| batch.iter().any(|one| one.message.id == *id)) {
            Some(id) => failed.insert(id.to_owned()),
            None => {
                return Err(format!(
                    "answered a failure of no message of the batch: {item}"
                ));
            }
        };
    }
    Ok(failed)
}
