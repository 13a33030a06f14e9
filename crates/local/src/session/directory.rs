//! All sessions by client id: opening, takeover, leaving, expiry.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytestring::ByteString;
use jitp_wire::Version;
use parking_lot::Mutex;

use super::delivery::is_attached;
use super::holders::Holders;
use super::{Close, Link, Live, Session, record};
use crate::router::{Router, Subscriber};
use crate::storage::{Storage, StorageError, Write};

/// How long the version number of lifecycle events is remembered for a client that is gone, in
/// seconds (developer guide, "Lifecycle events": reset after about an hour).
const VERSION_MEMORY: i64 = 3600;

/// The sessions of the account.
#[derive(Debug)]
pub(crate) struct Directory {
    durable: bool,
    slots: Mutex<HashMap<ByteString, Slot>>,
    /// Of the connections that are attached; locked after the slots, where both are.
    holders: Mutex<Holders>,
}

/// What is known of a client id.
#[derive(Debug, Default)]
struct Slot {
    session: Option<Arc<Session>>,
    /// Version number of the next connected event.
    next_version: u64,
    /// Last CONNECT, in milliseconds since 1970; for the limit of one a second.
    last_connect: i64,
    /// Since when no connection is attached, in seconds since 1970.
    offline_since: Option<i64>,
}

/// A CONNECT that may have its session.
pub(crate) struct Opening {
    pub(crate) client_id: ByteString,
    pub(crate) version: Version,
    /// Begin anew even if there is a session to resume.
    pub(crate) clean: bool,
    /// Seconds the session outlives the connection.
    pub(crate) expiry: u32,
    /// The connection.
    pub(crate) live: Live,
}

/// A session with a connection attached to it.
pub(crate) struct Attached {
    pub(crate) session: Arc<Session>,
    /// Whether a session was resumed.
    pub(crate) present: bool,
    /// `versionNumber` of the lifecycle events of this connection.
    pub(crate) version_number: u64,
}

impl Directory {
    /// Restores the sessions the storage kept, their subscriptions included.
    pub(crate) fn load(storage: &Storage, router: &Router, now: i64) -> Result<Self, StorageError> {
        let (sessions, stale) = record::load(storage, now)?;
        storage.commit(stale)?;
        let mut slots = HashMap::new();
        for session in sessions {
            for own in &session.state.lock().subscriptions {
                router.subscribe(
                    &own.filter,
                    Subscriber {
                        session: Arc::clone(&session),
                        qos: own.qos,
                        no_local: own.no_local,
                        retain_as_published: own.retain_as_published,
                    },
                );
            }
            let slot = Slot {
                session: Some(Arc::clone(&session)),
                offline_since: Some(now),
                ..Slot::default()
            };
            slots.insert(session.client_id.clone(), slot);
        }
        Ok(Self {
            durable: storage.is_durable(),
            slots: Mutex::new(slots),
            holders: Mutex::default(),
        })
    }

    /// Whether the client id connected less than a second ago; notes this CONNECT.
    pub(crate) fn connects_too_fast(&self, client_id: &ByteString, now_ms: i64) -> bool {
        let mut slots = self.slots.lock();
        let slot = slots.entry(client_id.clone()).or_default();
        let too_fast = now_ms - slot.last_connect < 1000;
        slot.last_connect = now_ms;
        slot.offline_since.get_or_insert(now_ms / 1000);
        too_fast
    }

    /// Attaches a connection to its session: the one there is, or a new one. A connection that was
    /// attached before is told to close; from this moment on it is no longer the one.
    pub(crate) fn open(
        &self,
        opening: Opening,
        router: &Router,
        now: i64,
        writes: &mut Vec<Write>,
    ) -> Attached {
        let mut replaced = None;
        let mut slots = self.slots.lock();
        let slot = slots.entry(opening.client_id.clone()).or_default();
        let mut resumed = None;
        if let Some(session) = slot.session.take() {
            let mut state = session.state.lock();
            if let Some(old) = state.live.take() {
                self.holders.lock().remove(&session.client_id, &old.link);
                old.link.close(Close::TakenOver);
            }
            let expired = state.expires_at.is_some_and(|at| at <= now);
            let resumable = !opening.clean
                && session.version == opening.version
                && state.expiry > 0
                && !state.ended
                && !expired;
            drop(state);
            if expired {
                slot.next_version = 0;
            }
            if resumable {
                resumed = Some(session);
            } else {
                replaced = Some(session);
            }
        }
        let present = resumed.is_some();
        let session = resumed.unwrap_or_else(|| {
            Session::new(
                opening.client_id,
                opening.version,
                self.durable,
                opening.expiry,
            )
        });
        let mut state = session.state.lock();
        state.expiry = opening.expiry;
        state.expires_at = None;
        // What was in flight to the connection before goes back in front of what waits, before anybody
        // can deliver to the new one. AWS redelivers with a new packet id and without DUP.
        while let Some(sent) = state.in_flight.pop_back() {
            state.pending.push_front(sent.pending);
        }
        self.holders
            .lock()
            .add(&session.client_id, &opening.live.link);
        state.live = Some(Box::new(opening.live));
        drop(state);
        slot.session = Some(Arc::clone(&session));
        slot.offline_since = None;
        let version_number = slot.next_version;
        slot.next_version += 1;
        // The old session's records go before the new one's are written: both have the same key.
        if let Some(replaced) = replaced {
            finish(&replaced, router, writes);
        }
        drop(slots);
        writes.extend(session.write_of());
        Attached {
            session,
            present,
            version_number,
        }
    }

    /// Sends a resumed session what waits for it; after its CONNACK is on its way.
    pub(crate) fn resume(
        &self,
        session: &Session,
        link: &Arc<Link>,
        now: i64,
        writes: &mut Vec<Write>,
    ) {
        let mut state = session.state.lock();
        if is_attached(&state, link) {
            session.resume(&mut state, now, writes);
        }
    }

    /// Detaches a connection that has ended. Its session goes on, or ends with it. Whether it was still
    /// the one of the session.
    pub(crate) fn leave(
        &self,
        session: &Arc<Session>,
        link: &Arc<Link>,
        router: &Router,
        now: i64,
        writes: &mut Vec<Write>,
    ) -> bool {
        let mut slots = self.slots.lock();
        let mut state = session.state.lock();
        if !is_attached(&state, link) {
            return false;
        }
        state.live = None;
        self.holders.lock().remove(&session.client_id, link);
        state.expires_at = Some(now.saturating_add(state.expiry.into()));
        let ends = state.expiry == 0;
        drop(state);
        if let Some(slot) = slots.get_mut(&session.client_id) {
            slot.offline_since = Some(now);
            if ends {
                slot.session = None;
            }
        }
        if ends {
            finish(session, router, writes);
        }
        drop(slots);
        writes.extend(session.write_of());
        true
    }

    /// Ends the sessions that have expired, and forgets clients that are long gone.
    pub(crate) fn sweep(&self, router: &Router, now: i64, writes: &mut Vec<Write>) {
        let mut slots = self.slots.lock();
        slots.retain(|_, slot| {
            let expired = slot.session.take_if(|session| {
                let state = session.state.lock();
                state.live.is_none() && state.expires_at.is_some_and(|at| at <= now)
            });
            if let Some(session) = expired {
                finish(&session, router, writes);
                slot.next_version = 0;
            }
            let gone = slot
                .offline_since
                .is_none_or(|since| now - since > VERSION_MEMORY);
            slot.session.is_some() || !gone
        });
    }

    /// Calls `visit` for every connection: its client id and the way to it.
    pub(crate) fn for_each_link(&self, mut visit: impl FnMut(&ByteString, &Arc<Link>)) {
        for slot in self.slots.lock().values() {
            if let Some(session) = &slot.session
                && let Some(link) = session.link()
            {
                visit(&session.client_id, &link);
            }
        }
    }

    /// The connections with one of these certificates, for one of these things, or under the name of one: client ids and
    /// the ways to them.
    pub(crate) fn links_of(
        &self,
        certificates: &HashSet<String>,
        things: &HashSet<String>,
    ) -> Vec<(ByteString, Arc<Link>)> {
        let clients = self.holders.lock().of(certificates, things);
        clients
            .into_iter()
            .filter_map(|client_id| self.link(&client_id).map(|link| (client_id, link)))
            .collect()
    }

    /// The connection of a client id, if there is one.
    pub(crate) fn link(&self, client_id: &str) -> Option<Arc<Link>> {
        let slots = self.slots.lock();
        slots.get(client_id)?.session.as_ref()?.link()
    }

    /// Ends the session of a client id now, or with the connection that is attached to it; whether there
    /// was one.
    pub(crate) fn end(
        &self,
        client_id: &str,
        router: &Router,
        now: i64,
        writes: &mut Vec<Write>,
    ) -> bool {
        let mut slots = self.slots.lock();
        let Some(slot) = slots.get_mut(client_id) else {
            return false;
        };
        let Some(session) = slot.session.clone() else {
            return false;
        };
        session.set_expiry(0);
        if session.link().is_some() {
            return true;
        }
        let expired = session.state.lock().expires_at.is_some_and(|at| at <= now);
        slot.session = None;
        finish(&session, router, writes);
        !expired
    }

    /// Ends every session and closes every connection.
    pub(crate) fn clear(&self, router: &Router, writes: &mut Vec<Write>) {
        let sessions: Vec<_> = self
            .slots
            .lock()
            .drain()
            .filter_map(|(_, slot)| slot.session)
            .collect();
        for session in sessions {
            if let Some(link) = session.link() {
                link.close(Close::Administrative { without_will: true });
            }
            finish(&session, router, writes);
        }
    }
}

/// Takes a session out of the router and out of the storage.
fn finish(session: &Arc<Session>, router: &Router, writes: &mut Vec<Write>) {
    let (filters, gone) = session.end();
    for filter in filters {
        router.unsubscribe(&filter, session);
    }
    writes.extend(gone);
}
