//! A session: subscriptions and unacknowledged messages of a client id. It survives its connection.
//!
//! Whoever publishes writes straight into the buffer of the connection that is attached, under the
//! session's lock, which is never held across an await. A connection is attached by its [`Link`];
//! a takeover attaches another one, and the old connection finds that it is no longer the one.

mod delivery;
mod directory;
mod holders;
mod link;
mod record;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytestring::ByteString;
use jitp_wire::{QoS, Version};
use parking_lot::Mutex;

pub(crate) use delivery::{Delivery, Live};
pub(crate) use directory::{Directory, Opening};
pub(crate) use link::{Close, Link};
pub(crate) use record::{QUEUE_SPACE, SESSION_SPACE};

use crate::router::Message;
use crate::storage::Write;

/// A session.
#[derive(Debug)]
pub(crate) struct Session {
    /// Client id.
    pub(crate) client_id: ByteString,
    /// MQTT version: a session of one cannot be resumed with the other.
    pub(crate) version: Version,
    /// Different for every session of this process; how "no local" knows its own messages.
    pub(crate) number: u64,
    /// Whether its unacknowledged messages are written to the storage.
    durable: bool,
    state: Mutex<State>,
}

/// What changes in a session.
#[derive(Debug, Default)]
struct State {
    /// The connection, while there is one.
    live: Option<Box<Live>>,
    /// Sent and not acknowledged, oldest first.
    in_flight: VecDeque<InFlight>,
    /// QoS 1 messages that wait for the connection or for room among those in flight.
    pending: VecDeque<Pending>,
    subscriptions: Vec<Subscription>,
    last_packet_id: u16,
    last_sequence: u64,
    /// Seconds it outlives its connection.
    expiry: u32,
    /// When it ends, in seconds since 1970, while no connection is attached.
    expires_at: Option<i64>,
    /// It was replaced or has expired; what is still delivered to it is dropped.
    ended: bool,
}

#[derive(Debug)]
struct InFlight {
    packet_id: u16,
    pending: Pending,
}

/// A QoS 1 message kept until it is acknowledged. `sequence` orders it and names it in the storage.
#[derive(Debug)]
struct Pending {
    sequence: u64,
    retain: bool,
    message: Arc<Message>,
}

/// A subscription as the session remembers it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Subscription {
    /// Filter, `$share/<group>/` included.
    pub(crate) filter: ByteString,
    pub(crate) qos: QoS,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
}

impl Session {
    fn new(client_id: ByteString, version: Version, durable: bool, expiry: u32) -> Arc<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        Arc::new(Self {
            client_id,
            version,
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            durable,
            state: Mutex::new(State {
                expiry,
                ..State::default()
            }),
        })
    }

    /// How many subscriptions it has, and whether one of them has this filter.
    pub(crate) fn subscriptions(&self, filter: &str) -> (usize, bool) {
        let state = self.state.lock();
        let known = state.subscriptions.iter().any(|own| *own.filter == *filter);
        (state.subscriptions.len(), known)
    }

    /// Remembers a subscription in place of one with the same filter; whether it is a new one.
    pub(crate) fn remember(&self, subscription: Subscription) -> bool {
        let mut state = self.state.lock();
        let known = state
            .subscriptions
            .iter_mut()
            .find(|own| own.filter == subscription.filter);
        match known {
            Some(own) => {
                *own = subscription;
                false
            }
            None => {
                state.subscriptions.push(subscription);
                true
            }
        }
    }

    /// Forgets a subscription; whether there was one.
    pub(crate) fn forget(&self, filter: &str) -> bool {
        let mut state = self.state.lock();
        let before = state.subscriptions.len();
        state.subscriptions.retain(|own| *own.filter != *filter);
        state.subscriptions.len() != before
    }

    /// Sets how long it outlives its connection, in seconds.
    pub(crate) fn set_expiry(&self, expiry: u32) {
        self.state.lock().expiry = expiry;
    }

    /// How long it outlives its connection, in seconds.
    pub(crate) fn expiry(&self) -> u32 {
        self.state.lock().expiry
    }

    /// The connection attached, if any.
    pub(crate) fn link(&self) -> Option<Arc<Link>> {
        let state = self.state.lock();
        state.live.as_ref().map(|live| Arc::clone(&live.link))
    }

    /// The record that restores it, if it is to survive the process and its connection.
    pub(crate) fn write_of(&self) -> Option<Write> {
        let state = self.state.lock();
        (self.durable && state.expiry > 0 && !state.ended).then(|| record::write(self, &state))
    }

    /// Ends it: it keeps nothing from here on. Its filters, to be taken out of the router, and the
    /// writes that remove it from the storage.
    fn end(&self) -> (Vec<ByteString>, Vec<Write>) {
        let mut state = self.state.lock();
        let state = std::mem::replace(
            &mut *state,
            State {
                ended: true,
                ..State::default()
            },
        );
        let mut writes = Vec::new();
        if self.durable {
            writes.push(record::delete(self));
            let kept = state.in_flight.iter().map(|sent| &sent.pending);
            for pending in kept.chain(&state.pending) {
                writes.push(record::delete_message(self, pending.sequence));
            }
        }
        let filters = state.subscriptions.into_iter().map(|own| own.filter);
        (filters.collect(), writes)
    }
}
