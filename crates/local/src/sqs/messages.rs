//! The operations on messages, one by one and in batches.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::attributes::LARGEST_MESSAGE;
use super::error::{invalid_contents, invalid_value, missing};
use super::held::Delivered;
use super::message::{Message, forbidden_character};
use super::message_attributes::{self, Attribute};
use super::operations::{Handler, queue_of};
use super::receiving::Receive;
use super::{Queue, Queues};
use crate::account::ApiError;
use crate::model::Input;

pub(super) const OPERATIONS: [(&str, Handler); 7] = [
    ("ChangeMessageVisibility", |queues, input| {
        Box::pin(async move { change_visibility(&queues, &input) })
    }),
    ("ChangeMessageVisibilityBatch", |queues, input| {
        Box::pin(async move { change_visibility_batch(&queues, &input) })
    }),
    ("DeleteMessage", |queues, input| {
        Box::pin(delete(queues, input))
    }),
    ("DeleteMessageBatch", |queues, input| {
        Box::pin(delete_batch(queues, input))
    }),
    ("ReceiveMessage", |queues, input| {
        Box::pin(receive(queues, input))
    }),
    ("SendMessage", |queues, input| Box::pin(send(queues, input))),
    ("SendMessageBatch", |queues, input| {
        Box::pin(send_batch(queues, input))
    }),
];

/// Entries of a batch, and messages of a receive.
const BATCH: usize = 10;
/// Seconds a message may be out of sight: twelve hours.
const LONGEST_VISIBILITY: i64 = 43_200;
/// The id of whoever calls the local core; credentials are not looked at.
const SENDER: &str = "AIDALOCALCORE00000000";

async fn send(queues: Queues, input: Input) -> Result<Value, ApiError> {
    let queue = queue_of(&queues, &input)?;
    let message = outgoing(&queue, |name| input.get(name))?;
    let sent = queues.send(&queue, vec![message]).await?;
    Ok(sent
        .first()
        .map_or(Value::Null, |sent| Value::Object(receipt_of(sent))))
}

async fn send_batch(queues: Queues, input: Input) -> Result<Value, ApiError> {
    let queue = queue_of(&queues, &input)?;
    let entries = entries(&input)?;
    let (mut ids, mut messages, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    let mut size = 0;
    for (id, entry) in entries {
        match outgoing(&queue, |name| entry.get(name)) {
            Ok(message) => {
                size += message.0.size();
                ids.push(id);
                messages.push(message);
            }
            Err(error) => failed.push(failure(id, &error)),
        }
    }
    if size as u64 > LARGEST_MESSAGE {
        return Err(ApiError::new(
            "BatchRequestTooLong",
            format!(
                "Batch requests cannot be longer than {LARGEST_MESSAGE} bytes. You have sent {size} bytes."
            ),
        ));
    }
    let sent = queues.send(&queue, messages).await?;
    let successful = ids.into_iter().zip(sent).map(|(id, sent)| {
        let mut entry = receipt_of(&sent);
        entry.insert("Id".to_owned(), id.into());
        Value::Object(entry)
    });
    Ok(json!({ "Successful": successful.collect::<Vec<_>>(), "Failed": failed }))
}

/// A message to be sent, and seconds before which it is out of sight.
fn outgoing<'a>(
    queue: &Queue,
    member: impl Fn(&str) -> Option<&'a Value>,
) -> Result<(Message, u64), ApiError> {
    let text = |name: &str| member(name).and_then(Value::as_str);
    let record = queue.record();
    let body = text("MessageBody").unwrap_or_default();
    if body.is_empty() {
        return Err(missing("MessageBody"));
    }
    if let Some(letter) = forbidden_character(body) {
        return Err(invalid_contents(letter));
    }
    if text("MessageDeduplicationId").is_some() {
        return Err(invalid_value(
            "The request includes a parameter that is not valid for this queue type: MessageDeduplicationId",
        ));
    }
    let delay = match member("DelaySeconds").and_then(Value::as_i64) {
        None => record.attributes.delay,
        Some(seconds @ 0..=900) => seconds.unsigned_abs(),
        Some(seconds) => {
            return Err(invalid_value(format!(
                "Value {seconds} for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900."
            )));
        }
    };
    let mut message = Message::new(body.to_owned(), SENDER);
    message.attributes =
        message_attributes::read(member("MessageAttributes").and_then(Value::as_object))?;
    message.group = text("MessageGroupId").map(str::to_owned);
    if let Some(header) =
        member("MessageSystemAttributes").and_then(|all| all.get("AWSTraceHeader"))
    {
        let header = message_attributes::read_value("AWSTraceHeader", header)?;
        message.trace_header = Some(header.into_text());
    }
    let largest = record.attributes.largest_message;
    if message.size() as u64 > largest {
        return Err(invalid_value(format!(
            "One or more parameters are invalid. Reason: Message must be shorter than {largest} bytes."
        )));
    }
    Ok((message, delay))
}

fn receipt_of(sent: &Message) -> Map<String, Value> {
    let mut told = Map::new();
    told.insert("MessageId".to_owned(), json!(sent.id));
    told.insert("MD5OfMessageBody".to_owned(), json!(sent.md5));
    let attributes = sent.attributes.iter();
    let digest = message_attributes::digest(attributes.map(|(name, one)| (name.as_str(), one)));
    if let Some(digest) = digest {
        told.insert("MD5OfMessageAttributes".to_owned(), json!(digest));
    }
    if let Some(header) = &sent.trace_header {
        let header = Attribute::text(header);
        let digest = message_attributes::digest([("AWSTraceHeader", &header)].into_iter());
        told.insert("MD5OfMessageSystemAttributes".to_owned(), json!(digest));
    }
    told
}

async fn receive(queues: Queues, input: Input) -> Result<Value, ApiError> {
    let queue = queue_of(&queues, &input)?;
    let whole = |name: &str| input.get(name).and_then(Value::as_i64);
    let most = match whole("MaxNumberOfMessages") {
        None => 1,
        Some(most @ 1..=10) => most.unsigned_abs(),
        Some(most) => {
            return Err(invalid_value(format!(
                "Value {most} for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided."
            )));
        }
    };
    let wait = match whole("WaitTimeSeconds") {
        None => queue.record().attributes.wait,
        Some(wait @ 0..=20) => wait.unsigned_abs(),
        Some(wait) => {
            return Err(invalid_value(format!(
                "Value {wait} for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided."
            )));
        }
    };
    let ask = Receive {
        most: usize::try_from(most).unwrap_or(1),
        wait: Duration::from_secs(wait),
        visibility: visibility(input.get("VisibilityTimeout"))?,
    };
    let delivered = queues.receive(&queue, &ask).await?;
    if delivered.is_empty() {
        return Ok(Value::Null);
    }
    let described = delivered
        .iter()
        .map(|one| describe(&queues, &queue, one, &input));
    Ok(json!({ "Messages": described.collect::<Vec<_>>() }))
}

fn describe(queues: &Queues, queue: &Queue, delivered: &Delivered, input: &Input) -> Value {
    let message = &delivered.message;
    let mut told = json!({
        "MessageId": message.id,
        "ReceiptHandle": queues.handle(queue, delivered),
        "MD5OfBody": message.md5,
        "Body": message.body,
    });
    let mut wanted = input.texts("MessageSystemAttributeNames");
    wanted.extend(input.texts("AttributeNames"));
    let all = wanted.contains(&"All");
    let attributes = system_attributes(delivered).into_iter();
    let attributes = attributes.filter(|(name, _)| all || wanted.contains(name));
    let attributes: Map<String, Value> = attributes
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    if !attributes.is_empty() {
        told["Attributes"] = Value::Object(attributes);
    }
    let wanted = input.texts("MessageAttributeNames");
    let is_wanted = |name: &str| {
        wanted.iter().any(|wanted| {
            let prefix = wanted.strip_suffix(".*");
            matches!(*wanted, "All" | ".*")
                || *wanted == name
                || prefix.is_some_and(|prefix| name.starts_with(prefix))
        })
    };
    let attributes: Vec<(&str, &Attribute)> = message
        .attributes
        .iter()
        .map(|(name, attribute)| (name.as_str(), attribute))
        .filter(|(name, _)| is_wanted(name))
        .collect();
    if let Some(digest) = message_attributes::digest(attributes.iter().copied()) {
        told["MD5OfMessageAttributes"] = digest.into();
        let described = attributes.iter();
        let described = described.map(|(name, one)| ((*name).to_owned(), one.described()));
        told["MessageAttributes"] = Value::Object(described.collect());
    }
    told
}

/// What SQS itself knows of a message, by the names of the API.
pub(crate) fn system_attributes(delivered: &Delivered) -> Vec<(&'static str, String)> {
    let message = &delivered.message;
    let mut known = vec![
        ("SenderId", message.sender.clone()),
        ("SentTimestamp", message.sent.to_string()),
        ("ApproximateReceiveCount", delivered.receives.to_string()),
        (
            "ApproximateFirstReceiveTimestamp",
            delivered.first_received.to_string(),
        ),
    ];
    for (name, value) in [
        ("AWSTraceHeader", &message.trace_header),
        ("MessageGroupId", &message.group),
        ("DeadLetterQueueSourceArn", &message.dead_letter_source),
    ] {
        known.extend(value.clone().map(|value| (name, value)));
    }
    known
}

async fn delete(queues: Queues, input: Input) -> Result<Value, ApiError> {
    let queue = queue_of(&queues, &input)?;
    let receipt = queues.read_handle(&queue, input.required("ReceiptHandle"))?;
    queues.remove_by(&queue, &[receipt]).await?;
    Ok(Value::Null)
}

async fn delete_batch(queues: Queues, input: Input) -> Result<Value, ApiError> {
    let queue = queue_of(&queues, &input)?;
    let (mut successful, mut receipts, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for (id, entry) in entries(&input)? {
        match queues.read_handle(&queue, handle_of(&entry)) {
            Ok(receipt) => {
                receipts.push(receipt);
                successful.push(json!({ "Id": id }));
            }
            Err(error) => failed.push(failure(id, &error)),
        }
    }
    queues.remove_by(&queue, &receipts).await?;
    Ok(json!({ "Successful": successful, "Failed": failed }))
}

fn change_visibility(queues: &Queues, input: &Input) -> Result<Value, ApiError> {
    let queue = queue_of(queues, input)?;
    let handle = input.required("ReceiptHandle");
    change_one(queues, &queue, handle, input.get("VisibilityTimeout"))?;
    Ok(Value::Null)
}

fn change_visibility_batch(queues: &Queues, input: &Input) -> Result<Value, ApiError> {
    let queue = queue_of(queues, input)?;
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for (id, entry) in entries(input)? {
        let changed = change_one(
            queues,
            &queue,
            handle_of(&entry),
            entry.get("VisibilityTimeout"),
        );
        match changed {
            Ok(()) => successful.push(json!({ "Id": id })),
            Err(error) => failed.push(failure(id, &error)),
        }
    }
    Ok(json!({ "Successful": successful, "Failed": failed }))
}

fn change_one(
    queues: &Queues,
    queue: &Arc<Queue>,
    handle: &str,
    seconds: Option<&Value>,
) -> Result<(), ApiError> {
    let receipt = queues.read_handle(queue, handle)?;
    let seconds = visibility(seconds)?.unwrap_or(queue.record().attributes.visibility);
    queues.change_visibility(queue, &receipt, seconds)
}

fn visibility(seconds: Option<&Value>) -> Result<Option<u64>, ApiError> {
    match seconds.and_then(Value::as_i64) {
        None => Ok(None),
        Some(seconds @ 0..=LONGEST_VISIBILITY) => Ok(Some(seconds.unsigned_abs())),
        Some(seconds) => Err(invalid_value(format!(
            "Value {seconds} for parameter VisibilityTimeout is invalid. Reason: VisibilityTimeout must be an integer \
             between 0 and {LONGEST_VISIBILITY}"
        ))),
    }
}

/// The entries of a batch with their ids.
fn entries(input: &Input) -> Result<Vec<(String, Value)>, ApiError> {
    let entries = input.list("Entries");
    if entries.is_empty() {
        return Err(ApiError::new(
            "EmptyBatchRequest",
            "There should be at least one entry in the request.",
        ));
    }
    if entries.len() > BATCH {
        return Err(ApiError::new(
            "TooManyEntriesInBatchRequest",
            format!(
                "Maximum number of entries per request are {BATCH}. You have sent {}.",
                entries.len()
            ),
        ));
    }
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for entry in entries {
        let id = entry["Id"].as_str().unwrap_or_default();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if id.is_empty() || id.len() > 80 || !id.bytes().all(plain) {
            return Err(ApiError::new(
                "InvalidBatchEntryId",
                "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.",
            ));
        }
        if !seen.insert(id) {
            return Err(ApiError::new(
                "BatchEntryIdsNotDistinct",
                format!("Id {id} repeated."),
            ));
        }
        found.push((id.to_owned(), entry.clone()));
    }
    Ok(found)
}

fn handle_of(entry: &Value) -> &str {
    entry["ReceiptHandle"].as_str().unwrap_or_default()
}

fn failure(id: String, error: &ApiError) -> Value {
    json!({
        "Id": id, "SenderFault": true, "Code": super::query_code(error.code), "Message": error.message,
    })
}
