//! Retained messages: the last one of each topic, kept for those who subscribe later.

use std::collections::HashMap;
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
    messages: RwLock<HashMap<ByteString, Arc<Message>>>,
}

impl Retained {
    /// Reads what was kept; damaged records are left out.
    pub(crate) fn load(storage: &Storage) -> Result<Self, StorageError> {
        let messages = storage
            .load(SPACE)?
            .into_iter()
            .filter_map(|(_, record)| Message::from_record(&record))
            .map(|message| (message.topic.clone(), Arc::new(message)))
            .collect();
        Ok(Self {
            messages: RwLock::new(messages),
        })
    }

    /// Keeps a message in place of the topic's previous one, or with an empty payload removes that.
    /// What has to be written to stay true after a crash is added to `writes`.
    pub(crate) fn keep(&self, message: &Message, writes: Option<&mut Vec<Write>>) {
        let removes = message.payload.is_empty();
        if let Some(writes) = writes {
            writes.push(Write {
                space: SPACE,
                key: message.topic.as_bytes().to_vec(),
                value: (!removes).then(|| message.to_record()),
            });
        }
        let mut messages = self.messages.write();
        if removes {
            messages.remove(&message.topic);
        } else {
            let message = message.detached();
            messages.insert(message.topic.clone(), Arc::new(message));
        }
    }

    /// The retained message of exactly this topic.
    pub(crate) fn get(&self, topic: &str) -> Option<Arc<Message>> {
        self.messages.read().get(topic).cloned()
    }

    /// Forgets every message.
    pub(crate) fn clear(&self) {
        self.messages.write().clear();
    }
}
