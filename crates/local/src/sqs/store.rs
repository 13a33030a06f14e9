//! How queues and their messages are stored, and read back.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::message::Message;
use super::queue::{Queue, QueueId, QueueRecord};
use crate::storage::{Storage, StorageError, Write};

/// Queues by name; what sessions keep for their clients is in a space called `queue`.
pub(super) const QUEUES: &str = "sqs-queue";
/// Messages by the id of their queue and their number.
pub(super) const MESSAGES: &str = "sqs-message";
/// How often a message was received, by the same key; from the second time on.
pub(super) const RECEIVES: &str = "sqs-receives";

/// A message with the time before which it is out of sight, in milliseconds since 1970.
#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    #[serde(flatten)]
    message: std::borrow::Cow<'a, Message>,
    #[serde(default, skip_serializing_if = "is_zero")]
    not_before: i64,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Receives {
    count: u32,
    first: i64,
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// Keeps a queue.
pub(super) fn put_queue(record: &QueueRecord) -> Write {
    Write {
        space: QUEUES,
        key: record.name.clone().into(),
        value: encoded(record),
    }
}

/// Forgets a queue.
pub(super) fn forget_queue(name: &str) -> Write {
    Write {
        space: QUEUES,
        key: name.into(),
        value: None,
    }
}

/// Keeps a message that is out of sight until a moment, 0 for none.
pub(super) fn put_message(
    queue: QueueId,
    number: u64,
    message: &Message,
    not_before: i64,
) -> Write {
    let stored = Stored {
        message: std::borrow::Cow::Borrowed(message),
        not_before,
    };
    Write {
        space: MESSAGES,
        key: key(queue, number),
        value: encoded(&stored),
    }
}

/// Forgets a message that was received so often.
pub(super) fn forget_message(queue: QueueId, number: u64, receives: u32, writes: &mut Vec<Write>) {
    let spaces = match receives > 1 {
        true => [MESSAGES, RECEIVES].as_slice(),
        false => &[MESSAGES],
    };
    for space in spaces {
        writes.push(Write {
            space,
            key: key(queue, number),
            value: None,
        });
    }
}

/// Keeps how often a message was received.
pub(super) fn put_receives(queue: QueueId, number: u64, count: u32, first: i64) -> Write {
    Write {
        space: RECEIVES,
        key: key(queue, number),
        value: encoded(&Receives { count, first }),
    }
}

/// Reads every queue with its messages. What was received is in sight again: whoever received it may be gone, and
/// each message is to be delivered at least once. `now` is in milliseconds since 1970.
pub(super) fn load(
    storage: &Storage,
    arn: impl Fn(&str) -> String,
    now: i64,
) -> Result<HashMap<String, Arc<Queue>>, StorageError> {
    let mut queues = HashMap::new();
    let mut by_id = HashMap::new();
    for (key, value) in storage.load(QUEUES)? {
        let record: QueueRecord = decoded(QUEUES, &key, &value)?;
        let (name, id) = (record.name.clone(), record.id);
        let queue = Arc::new(Queue::new(arn(&name), record));
        by_id.insert(id, Arc::clone(&queue));
        queues.insert(name, queue);
    }
    let mut receives = HashMap::new();
    for (key, value) in storage.load(RECEIVES)? {
        let read: Receives = decoded(RECEIVES, &key, &value)?;
        receives.insert(key, read);
    }
    let mut orphans = Vec::new();
    for (key, value) in storage.load(MESSAGES)? {
        let Some((id, number)) = parse_key(&key) else {
            return Err(unreadable(MESSAGES, &key, "it names no queue"));
        };
        let Some(queue) = by_id.get(&id) else {
            // It was on its way as its queue was deleted.
            forget_message(id, number, u32::MAX, &mut orphans);
            continue;
        };
        let stored: Stored<'static> = decoded(MESSAGES, &key, &value)?;
        let (count, first) = match receives.get(&key) {
            Some(Receives { count, first }) => (*count, Some(*first)),
            None => (0, None),
        };
        let message = Arc::new(stored.message.into_owned());
        let mut held = queue.held.lock();
        held.restore(number, message, count, first, stored.not_before, now);
    }
    storage.commit(orphans)?;
    Ok(queues)
}

fn key(queue: QueueId, number: u64) -> Vec<u8> {
    let mut key = queue.to_vec();
    key.extend(number.to_be_bytes());
    key
}

fn parse_key(key: &[u8]) -> Option<(QueueId, u64)> {
    let (queue, rest) = key.split_first_chunk()?;
    let number = rest.try_into().ok()?;
    Some((*queue, u64::from_be_bytes(number)))
}

fn encoded<T: Serialize>(record: &T) -> Option<Vec<u8>> {
    // Texts and numbers, which JSON can always say.
    serde_json::to_vec(record).ok()
}

fn decoded<T: for<'de> Deserialize<'de>>(
    space: &'static str,
    key: &[u8],
    value: &[u8],
) -> Result<T, StorageError> {
    serde_json::from_slice(value).map_err(|error| unreadable(space, key, &error.to_string()))
}

fn unreadable(space: &'static str, key: &[u8], reason: &str) -> StorageError {
    StorageError::Record {
        space,
        key: match std::str::from_utf8(key) {
            Ok(text) => text.to_owned(),
            Err(_) => hex::encode(key),
        },
        reason: reason.to_owned(),
    }
}
