//! Persistent sessions in the storage: one record a session, one a QoS 1 message not acknowledged.
//!
//! What a publisher was told is safe (PUBACK) is on disk before it is told, and so is what a
//! subscriber was granted (SUBACK). Messages of sessions without expiry never touch the storage.

use std::collections::HashMap;

use bytestring::ByteString;
use jitp_wire::{QoS, Version};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use super::{Pending, Session, State, Subscription};
use crate::router::Message;
use crate::storage::{Storage, StorageError, Write};

/// Space of the sessions, by client id.
pub(crate) const SESSION_SPACE: &str = "session";
/// Space of their messages, by client id, a zero byte (no client id has one) and the sequence number
/// in eight bytes, most significant first.
pub(crate) const QUEUE_SPACE: &str = "queue";

#[derive(Serialize, Deserialize)]
struct Record {
    version: u8,
    expiry: u32,
    /// Absent while a connection was attached.
    expires_at: Option<i64>,
    subscriptions: Vec<SubscriptionRecord>,
}

#[derive(Serialize, Deserialize)]
struct SubscriptionRecord {
    filter: String,
    qos: u8,
    #[serde(default)]
    no_local: bool,
    #[serde(default)]
    retain_as_published: bool,
}

pub(super) fn write(session: &Session, state: &State) -> Write {
    let record = Record {
        version: match session.version {
            Version::V3 => 4,
            Version::V5 => 5,
        },
        expiry: state.expiry,
        expires_at: state.expires_at,
        subscriptions: state
            .subscriptions
            .iter()
            .map(|own| SubscriptionRecord {
                filter: own.filter.to_string(),
                qos: own.qos as u8,
                no_local: own.no_local,
                retain_as_published: own.retain_as_published,
            })
            .collect(),
    };
    Write {
        space: SESSION_SPACE,
        key: session.client_id.as_bytes().to_vec(),
        value: serde_json::to_vec(&record).ok(),
    }
}

pub(super) fn delete(session: &Session) -> Write {
    Write {
        space: SESSION_SPACE,
        key: session.client_id.as_bytes().to_vec(),
        value: None,
    }
}

pub(super) fn write_message(session: &Session, pending: &Pending) -> Write {
    // The first byte keeps the retain flag this copy is to be sent with.
    let mut value = vec![u8::from(pending.retain)];
    value.extend_from_slice(&pending.message.to_record());
    Write {
        space: QUEUE_SPACE,
        key: message_key(session, pending.sequence),
        value: Some(value),
    }
}

pub(super) fn delete_message(session: &Session, sequence: u64) -> Write {
    Write {
        space: QUEUE_SPACE,
        key: message_key(session, sequence),
        value: None,
    }
}

/// The sessions that were kept and have not expired since, each with its subscriptions and messages.
/// The records of the others are to be deleted.
pub(super) fn load(
    storage: &Storage,
    now: i64,
) -> Result<(Vec<Arc<Session>>, Vec<Write>), StorageError> {
    let mut sessions = HashMap::new();
    let mut stale = Vec::new();
    for (key, value) in storage.load(SESSION_SPACE)? {
        match restore(&key, &value, now) {
            Some(session) => {
                sessions.insert(key, session);
            }
            None => stale.push(Write {
                space: SESSION_SPACE,
                key,
                value: None,
            }),
        }
    }
    for (key, value) in storage.load(QUEUE_SPACE)? {
        if restore_message(&sessions, &key, &value).is_none() {
            stale.push(Write {
                space: QUEUE_SPACE,
                key,
                value: None,
            });
        }
    }
    Ok((sessions.into_values().collect(), stale))
}

fn restore(key: &[u8], value: &[u8], now: i64) -> Option<Arc<Session>> {
    let client_id: ByteString = std::str::from_utf8(key).ok()?.into();
    let record: Record = serde_json::from_slice(value).ok()?;
    let expires_at = record
        .expires_at
        .unwrap_or_else(|| now.saturating_add(record.expiry.into()));
    if expires_at <= now {
        return None;
    }
    let version = match record.version {
        4 => Version::V3,
        5 => Version::V5,
        _ => return None,
    };
    let session = Session::new(client_id, version, true, record.expiry);
    let mut state = session.state.lock();
    state.expires_at = Some(expires_at);
    for own in record.subscriptions {
        state.subscriptions.push(Subscription {
            filter: own.filter.into(),
            qos: match own.qos {
                0 => QoS::AtMostOnce,
                _ => QoS::AtLeastOnce,
            },
            no_local: own.no_local,
            retain_as_published: own.retain_as_published,
        });
    }
    drop(state);
    Some(session)
}

/// Records come ordered by key, so messages come in their order.
fn restore_message(
    sessions: &HashMap<Vec<u8>, Arc<Session>>,
    key: &[u8],
    value: &[u8],
) -> Option<()> {
    let (client_id, sequence) = key.split_last_chunk::<8>()?;
    let session = sessions.get(client_id.strip_suffix(&[0])?)?;
    let (&retain, record) = value.split_first()?;
    let pending = Pending {
        sequence: u64::from_be_bytes(*sequence),
        retain: retain != 0,
        message: Arc::new(Message::from_record(record)?),
    };
    let mut state = session.state.lock();
    state.last_sequence = state.last_sequence.max(pending.sequence);
    state.pending.push_back(pending);
    Some(())
}

fn message_key(session: &Session, sequence: u64) -> Vec<u8> {
    let client_id = session.client_id.as_bytes();
    let mut key = Vec::with_capacity(client_id.len() + 9);
    key.extend_from_slice(client_id);
    key.push(0);
    key.extend_from_slice(&sequence.to_be_bytes());
    key
}
