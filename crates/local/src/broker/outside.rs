//! What the broker offers to those who do not speak MQTT: publishing, and reading retained messages.

use bytes::Bytes;
use jitp_wire::topic::check_topic;
use jitp_wire::{MessageProperties, Publish, QoS};

use super::shared::Core;
use crate::diary::Entry;
use crate::reserved::BASIC_INGEST;
use crate::router::{Kept, Message};
use crate::rules::{Ingested, Origin};
use crate::storage::StorageError;

/// A retained message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RetainedMessage {
    /// Topic.
    pub topic: String,
    /// Payload.
    pub payload: Bytes,
    /// QoS it was published with.
    pub qos: QoS,
    /// When it was stored, in milliseconds since 1970.
    pub stored_at: i64,
    /// MQTT 5 user properties, in their order.
    pub user_properties: Vec<(String, String)>,
}

impl RetainedMessage {
    /// The message unless it has expired; `now` is in seconds since 1970.
    pub(super) fn unexpired(kept: &Kept, now: i64) -> Option<Self> {
        let message = &kept.message;
        message.remaining(now).ok()?;
        // What is kept was encoded by this program or read by its decoder.
        let properties = MessageProperties::decode(&message.properties).unwrap_or_default();
        let texts = |(name, value): (bytestring::ByteString, bytestring::ByteString)| {
            (name.to_string(), value.to_string())
        };
        Some(Self {
            topic: message.topic.to_string(),
            payload: message.payload.clone(),
            qos: message.qos,
            stored_at: kept.stored_at,
            user_properties: properties.user.into_iter().map(texts).collect(),
        })
    }
}

/// Why a message from outside MQTT was not published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// AWS would not take it.
    #[error("{0}")]
    Refused(String),
    /// It cannot be made durable.
    #[error("the message cannot be stored")]
    Storage(#[from] StorageError),
}

impl Core {
    /// Hands a message to one rule, past the broker (developer guide, "Basic Ingest"); whether the publisher should
    /// slow down. Whether there is a rule it is not told.
    pub(crate) fn ingest(
        &self,
        rule: &str,
        message: Message,
        origin: impl FnOnce() -> Origin,
    ) -> bool {
        let why = match self.rules.offer_to(rule, message, origin) {
            Ingested::Taken { congested } => return congested,
            Ingested::NoSuchRule => "there is no such rule",
            Ingested::Disabled => "the rule is switched off",
        };
        let sentence = format!("a message to rule {rule} by basic ingest is lost: {why}");
        self.diary
            .record(Entry::refusal("RULE_NOT_FOUND", sentence));
        false
    }

    pub(super) async fn publish_from_outside(&self, publish: Publish) -> Result<(), PublishError> {
        let topic = &*publish.topic;
        let refused = |why: String| Err(PublishError::Refused(why));
        if let Err(fault) = check_topic(topic) {
            return refused(format!("Topic {topic:?}: {fault}"));
        }
        if let Some(ingest) = topic.strip_prefix(BASIC_INGEST) {
            let (rule, rest) = ingest.split_once('/').unwrap_or((ingest, ""));
            let message = Message {
                properties: publish.properties,
                ..Message::system(rest.to_owned(), publish.payload, publish.qos)
            };
            self.ingest(rule, message, Origin::default);
            return Ok(());
        }
        if topic.starts_with('$') {
            // A service behind a reserved topic answers the asking session, and there is none.
            return refused(format!("Topic {topic:?} is reserved"));
        }
        if publish.payload.len() > self.limits.payload_bytes {
            return refused(format!(
                "The payload has {} bytes; {} are allowed",
                publish.payload.len(),
                self.limits.payload_bytes
            ));
        }
        let now = self.now();
        let message = Message {
            retain: publish.retain,
            properties: publish.properties,
            expires_at: crate::connection::expires_at(publish.message_expiry, now),
            ..Message::system(publish.topic, publish.payload, publish.qos)
        };
        let mut writes = Vec::new();
        self.route(&message, Origin::default, now, &mut writes);
        if self.storage.is_durable() && !writes.is_empty() {
            self.storage.commit_async(writes).await?;
        }
        Ok(())
    }
}
