//! Retained messages: the last one of each topic, kept for those who subscribe later.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytestring::ByteString;
use parking_lot::RwLock;

use super::message::Message;
use crate::storage::{Storage, StorageError, Write};

/// Space of the storage that holds retained messages by topic.
pub(crate) const SPACE: &str = "retained";

/// The retained messages of the account.
#[derive(Debug, Default)]
pub(crate) struct Retained {
    messages: RwLock<BTreeMap<ByteString, Kept>>,
}

/// A retained message and when it was stored.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) message: Arc<Message>,
    /// Milliseconds since 1970.
    pub(crate) stored_at: i64,
}

impl Kept {
    /// The form it is stored in: when, in eight bytes, most significant first, then the message.
    fn to_record(&self) -> Vec<u8> {
        let mut record = self.stored_at.to_be_bytes().to_vec();
        record.extend_from_slice(&self.message.to_record());
        record
    }

    fn from_record(record: &[u8]) -> Option<Self> {
        let (stored_at, message) = record.split_first_chunk()?;
        Some(Self {
            message: Arc::new(Message::from_record(message)?),
            stored_at: i64::from_be_bytes(*stored_at),
        })
    }
}

impl Retained {
    /// Reads what was kept; damaged records are left out.
    pub(crate) fn load(storage: &Storage) -> Result<Self, StorageError> {
        let messages = storage
            .load(SPACE)?
            .into_iter()
            .filter_map(|(_, record)| Kept::from_record(&record))
            .map(|kept| (kept.message.topic.clone(), kept))
            .collect();
        Ok(Self {
            messages: RwLock::new(messages),
        })
    }

    /// Keeps a message in place of the topic's previous one, or with an empty payload removes that.
    /// What has to be written to stay true after a crash is added to `writes`. `now` is in milliseconds.
    pub(crate) fn keep(&self, message: &Message, now: i64, writes: Option<&mut Vec<Write>>) {
        let kept = (!message.payload.is_empty()).then(|| Kept {
            message: Arc::new(message.detached()),
            stored_at: now,
        });
        if let Some(writes) = writes {
            writes.push(Write {
                space: SPACE,
                key: message.topic.as_bytes().to_vec(),
                value: kept.as_ref().map(Kept::to_record),
            });
        }
        let mut messages = self.messages.write();
        match kept {
            Some(kept) => messages.insert(kept.message.topic.clone(), kept),
            None => messages.remove(&message.topic),
        };
    }

    /// The retained message of exactly this topic.
    pub(crate) fn get(&self, topic: &str) -> Option<Kept> {
        self.messages.read().get(topic).cloned()
    }

    /// Every retained message in the order of the topics.
    pub(crate) fn all(&self) -> Vec<Kept> {
        self.messages.read().values().cloned().collect()
    }

    /// Forgets every message.
    pub(crate) fn clear(&self) {
        self.messages.write().clear();
    }
}
