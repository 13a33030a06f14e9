//! The account: what it holds and the rules AWS enforces on it. It knows no sockets.
//!
//! Readers take a [`State`] without a lock. Writers run one after another on a copy; what changed is
//! durable before the copy becomes the present state, so a failed write leaves no trace.

pub mod billing_groups;
pub mod ca;
pub mod certificates;
pub mod claims;
mod clock;
mod error;
pub mod event_sources;
pub mod functions;
pub mod groups;
mod index;
pub mod issuing;
mod open;
pub mod ownership;
pub(crate) mod permissions;
#[cfg(test)]
pub(crate) mod pki;
pub mod policies;
pub mod principals;
mod records;
mod registry_events;
pub mod roles;
pub mod rules;
mod state;
pub mod tags;
pub mod templates;
#[cfg(test)]
mod tests;
pub mod things;
mod transaction;
pub mod transfers;
pub mod types;
mod wildcard;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::{broadcast, mpsc};

pub use clock::{Clock, ClockHand, Timestamp};
pub use error::ApiError;
pub use records::*;
pub use registry_events::RegistryEvent;
pub use state::{Scope, State};
pub use transaction::Transaction;

use crate::storage::Storage;

/// Names of the storage spaces of an account.
mod space {
    pub(super) const ACCOUNT: &str = "account";
    pub(super) const ATTACHMENT: &str = "policy-target";
    pub(super) const BILLING_GROUP: &str = "billing-group";
    pub(super) const CA_CERTIFICATE: &str = "ca-certificate";
    pub(super) const CERTIFICATE: &str = "certificate";
    pub(super) const EVENT_SOURCE: &str = "event-source-mapping";
    pub(super) const FUNCTION: &str = "function";
    pub(super) const FUNCTION_CODE: &str = "function-code";
    pub(super) const MEMBER: &str = "group-thing";
    pub(super) const OWNERSHIP_TOKEN: &str = "ownership-token";
    pub(super) const POLICY: &str = "policy";
    pub(super) const PRINCIPAL: &str = "thing-principal";
    pub(super) const PROVISIONING_CLAIM: &str = "provisioning-claim";
    pub(super) const ROLE: &str = "role";
    pub(super) const TAGS: &str = "tags";
    pub(super) const TEMPLATE: &str = "provisioning-template";
    pub(super) const THING: &str = "thing";
    pub(super) const THING_GROUP: &str = "thing-group";
    pub(super) const THING_TYPE: &str = "thing-type";
    pub(super) const TOPIC_RULE: &str = "topic-rule";
    pub(super) const ALL: [&str; 20] = [
        ACCOUNT,
        ATTACHMENT,
        BILLING_GROUP,
        CA_CERTIFICATE,
        CERTIFICATE,
        EVENT_SOURCE,
        FUNCTION,
        FUNCTION_CODE,
        MEMBER,
        OWNERSHIP_TOKEN,
        POLICY,
        PRINCIPAL,
        PROVISIONING_CLAIM,
        ROLE,
        TAGS,
        TEMPLATE,
        THING,
        THING_GROUP,
        THING_TYPE,
        TOPIC_RULE,
    ];
}

const REGISTRATION_CODE: &str = "registration-code";
const EVENT_CONFIGURATIONS: &str = "event-configurations";

/// Changes a slow listener may lag behind before it misses some.
const CHANGES_KEPT: usize = 4096;

/// What an account is made from.
#[derive(Clone, Debug)]
pub struct AccountSettings {
    /// Account id, 12 digits.
    pub account_id: String,
    /// Region, for example `eu-west-1`.
    pub region: String,
    /// `host` or `host:port` of the data endpoint, answered by DescribeEndpoint.
    pub endpoint: String,
    /// Tells the time.
    pub clock: Clock,
    /// Where records are kept.
    pub storage: Storage,
}

/// Something in the account is no longer as it was.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Change {
    /// A device certificate was made, changed or deleted.
    Certificate {
        /// Certificate id.
        id: String,
    },
    /// A policy was made, changed or deleted.
    Policy {
        /// Policy name.
        name: String,
    },
    /// Policies or things of a certificate were attached or detached.
    Attachments {
        /// Certificate id.
        certificate_id: String,
    },
    /// A thing was made, changed or deleted, or its groups were.
    Thing {
        /// Thing name.
        name: String,
    },
    /// A thing group was made, changed or deleted, or its policies were.
    Group {
        /// Group name.
        name: String,
    },
    /// A CA certificate was registered, changed or deleted.
    Ca {
        /// CA certificate id.
        id: String,
    },
    /// A topic rule was made, changed or deleted.
    TopicRule {
        /// Rule name.
        name: String,
    },
    /// Everything was deleted.
    Reset,
}

/// An AWS account as the local core knows it. Clones share it.
#[derive(Clone)]
pub struct Account {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Clock,
    storage: Storage,
    state: ArcSwap<State>,
    writing: Mutex<()>,
    changes: broadcast::Sender<Change>,
    events: Mutex<Option<mpsc::UnboundedSender<RegistryEvent>>>,
    issuing_ca: Mutex<Option<Arc<issuing::IssuingCa>>>,
    /// How often the topic rules have changed.
    topic_rules: AtomicU64,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Account({})", self.snapshot().scope.account_id)
    }
}

impl Account {
    /// The present state, without a lock; it does not change under the caller.
    pub fn snapshot(&self) -> Arc<State> {
        self.inner.state.load_full()
    }

    /// The clock the account goes by.
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// Whether changes outlive the process; then [`Account::write`] waits for a disk.
    pub fn is_durable(&self) -> bool {
        self.inner.storage.is_durable()
    }

    /// Makes one change, all of it or nothing: the closure works on a copy, which becomes the present
    /// state once its records are stored. Changes run one after another. Blocks for the storage.
    ///
    /// # Errors
    /// What the closure refuses, or `InternalFailureException` when the records cannot be stored.
    pub fn write<T>(
        &self,
        change: impl FnOnce(&mut Transaction) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let inner = &*self.inner;
        let _writing = inner.writing.lock();
        let state = State::clone(&inner.state.load());
        let mut transaction =
            Transaction::new(state, inner.clock.timestamp(), inner.storage.is_durable());
        let answer = change(&mut transaction)?;
        let finished = transaction.finish();
        inner.storage.commit(finished.writes)?;
        inner.state.store(Arc::new(finished.state));
        for change in finished.changes {
            if matches!(change, Change::TopicRule { .. }) {
                inner.topic_rules.fetch_add(1, Ordering::Release);
            }
            // Nobody listening is fine.
            let _ = inner.changes.send(change);
        }
        if let Some(listener) = &*inner.events.lock() {
            for event in finished.events {
                let _ = listener.send(event);
            }
        }
        Ok(answer)
    }

    /// How often the topic rules have changed: whoever keeps what follows from them compares it, and is never late.
    pub(crate) fn topic_rules_generation(&self) -> u64 {
        self.inner.topic_rules.load(Ordering::Acquire)
    }

    /// Changes from now on, in the order they were made. A receiver that lags misses some and is told so.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.inner.changes.subscribe()
    }

    /// Registry events from now on, in the order of the changes; none is missed. There is one listener: who
    /// asks last.
    pub fn registry_events(&self) -> mpsc::UnboundedReceiver<RegistryEvent> {
        let (sender, receiver) = mpsc::unbounded_channel();
        *self.inner.events.lock() = Some(sender);
        receiver
    }

    /// Deletes everything, as if the account were new.
    ///
    /// # Errors
    /// When the storage cannot be cleared; then nothing was deleted.
    pub fn reset(&self) -> Result<(), ApiError> {
        let inner = &*self.inner;
        let _writing = inner.writing.lock();
        inner.storage.clear(&space::ALL)?;
        let before = inner.state.load();
        let empty = State::new(Scope::clone(&before.scope), &before.endpoint);
        inner.state.store(Arc::new(empty));
        inner.topic_rules.fetch_add(1, Ordering::Release);
        let _ = inner.changes.send(Change::Reset);
        Ok(())
    }
}
