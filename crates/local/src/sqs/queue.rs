//! One queue: what it is set to, and the messages it holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::attributes::Attributes;
use super::held::{Counts, Held};
use super::message::Message;

/// Tells a queue from others of its name, before it and after it.
pub(super) type QueueId = [u8; 16];

/// What is stored of a queue, beside its messages.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct QueueRecord {
    /// Its name.
    pub(crate) name: String,
    /// Never used again, as a name may be.
    pub(crate) id: QueueId,
    /// What it is set to.
    pub(crate) attributes: Attributes,
    /// Its tags.
    pub(crate) tags: BTreeMap<String, String>,
    /// When it was made, in seconds since 1970.
    pub(crate) created: i64,
    /// When it was last changed, in seconds since 1970.
    pub(crate) modified: i64,
}

/// A queue.
#[derive(Debug)]
pub(crate) struct Queue {
    /// `arn:aws:sqs:REGION:ACCOUNT:NAME`.
    pub(crate) arn: String,
    pub(super) record: ArcSwap<QueueRecord>,
    pub(super) held: Mutex<Held>,
    /// Told when a message comes into sight that somebody may wait for.
    pub(super) arrived: Notify,
    /// When it was last purged, in milliseconds since 1970.
    pub(super) purged: Mutex<Option<i64>>,
}

impl Queue {
    pub(super) fn new(arn: String, record: QueueRecord) -> Self {
        Self {
            arn,
            record: ArcSwap::from_pointee(record),
            held: Mutex::default(),
            arrived: Notify::new(),
            purged: Mutex::default(),
        }
    }

    /// What it is set to, as it is now.
    pub(crate) fn record(&self) -> Arc<QueueRecord> {
        self.record.load_full()
    }

    /// Takes messages in, each with its number and milliseconds before which it is out of sight.
    pub(super) fn take_in<'a>(
        &self,
        messages: impl Iterator<Item = (u64, &'a Arc<Message>, i64)>,
        now: i64,
    ) {
        let mut held = self.held.lock();
        for (number, message, delay) in messages {
            held.insert(number, Arc::clone(message), now, delay);
        }
        drop(held);
        self.arrived.notify_waiters();
    }

    /// Whether it was purged less than so many milliseconds ago; if not, it now is.
    pub(super) fn was_purged_within(&self, now: i64, pause: i64) -> bool {
        let mut purged = self.purged.lock();
        let lately = purged.is_some_and(|before| now - before < pause);
        if !lately {
            *purged = Some(now);
        }
        lately
    }

    /// How many messages are where; `now` is in milliseconds since 1970.
    pub(crate) fn counts(&self, now: i64) -> Counts {
        let retention = self.record.load().attributes.retention;
        let mut held = self.held.lock();
        held.expire(now - milliseconds(retention));
        held.counts(now)
    }

    /// How many milliseconds the oldest message has been here; `now` is in milliseconds since 1970.
    pub(super) fn age(&self, now: i64) -> Option<i64> {
        let retention = milliseconds(self.record.load().attributes.retention);
        let oldest = self.held.lock().oldest(now - retention)?;
        Some((now - oldest).max(0))
    }
}

/// Seconds as the clock of a queue counts.
pub(super) fn milliseconds(seconds: u64) -> i64 {
    i64::try_from(seconds)
        .unwrap_or(i64::MAX / 1000)
        .saturating_mul(1000)
}
