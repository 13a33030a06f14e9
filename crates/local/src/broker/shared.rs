//! What all connections share: account, sessions, topics and limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::limits::Limits;
use crate::account::{Account, Clock};
use crate::diary::Diary;
use crate::gate::Gate;
use crate::reserved::Services;
use crate::router::{Message, Retained, Routed, Router};
use crate::rules::{Inlet, Origin, Outlet};
use crate::session::{Directory, Link};
use crate::storage::{Storage, StorageError, Write};

/// What all connections share.
pub(crate) struct Core {
    pub(crate) account: Account,
    pub(crate) gate: Arc<dyn Gate>,
    pub(crate) diary: Diary,
    pub(crate) storage: Storage,
    pub(crate) limits: Limits,
    pub(crate) router: Router,
    pub(crate) retained: Retained,
    pub(crate) directory: Directory,
    pub(crate) services: Services,
    pub(crate) rules: Inlet,
    /// The other end of it, until somebody executes rules.
    pub(super) outlet: Mutex<Option<Outlet>>,
    clock: Clock,
    pub(super) handshakes: Semaphore,
    pub(super) stopping: AtomicBool,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core")
            .field("account", &self.account)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Core {
    pub(crate) fn new(
        account: Account,
        gate: Arc<dyn Gate>,
        diary: Diary,
        storage: Storage,
        clock: Clock,
        limits: Limits,
    ) -> Result<Self, StorageError> {
        let router = Router::default();
        let now = clock.now().unix_timestamp();
        let directory = Directory::load(&storage, &router, now)?;
        let (rules, outlet) = Inlet::new(account.clone(), diary.clone());
        Ok(Self {
            rules,
            outlet: Mutex::new(Some(outlet)),
            retained: Retained::load(&storage)?,
            handshakes: Semaphore::new(limits.handshakes),
            account,
            gate,
            diary,
            storage,
            limits,
            router,
            directory,
            services: Services::default(),
            clock,
            stopping: AtomicBool::new(false),
        })
    }

    /// Seconds since 1970.
    pub(crate) fn now(&self) -> i64 {
        self.clock.now().unix_timestamp()
    }

    /// Milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.timestamp().milliseconds()
    }

    /// Keeps a message if it is to be retained, and hands it to its subscribers and to the rules that see it. What
    /// has to be durable before the publisher is answered is added to `writes`.
    pub(crate) fn route(
        &self,
        message: &Message,
        origin: impl FnOnce() -> Origin,
        now: i64,
        writes: &mut Vec<Write>,
    ) -> Routed {
        let congested = self.rules.offer(message, origin);
        let mut writes = self.storage.is_durable().then_some(writes);
        if message.retain {
            self.retained
                .keep(message, self.now_ms(), writes.as_deref_mut());
        }
        let mut routed = self.router.publish(message, now, writes);
        routed.congested |= congested;
        routed
    }

    /// Whether a message on this topic would reach anybody.
    pub(crate) fn is_heard(&self, topic: &str) -> bool {
        self.rules.sees(topic) || self.router.has_subscriber(topic)
    }

    /// Routes a message nobody waits for.
    pub(crate) fn publish_system(&self, message: &Message) {
        self.publish_as(message, Origin::default());
    }

    /// Routes a message of a rule.
    pub(crate) fn publish_as(&self, message: &Message, origin: Origin) {
        let mut writes = Vec::new();
        self.route(message, || origin, self.now(), &mut writes);
        self.commit(writes);
    }

    /// Stores without anybody waiting for it.
    pub(crate) fn commit(&self, writes: Vec<Write>) {
        if writes.is_empty() || !self.storage.is_durable() {
            return;
        }
        let committed = self.storage.commit_async(writes);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = committed.await {
                    tracing::error!("messages cannot be stored: {error}");
                }
            });
        }
    }

    /// Forgets every session and retained message, in memory and in the storage.
    pub(crate) fn clear(&self) {
        use crate::router::RETAINED_SPACE;
        use crate::session::{QUEUE_SPACE, SESSION_SPACE};
        // The records go with their spaces, those of messages under way included.
        self.directory.clear(&self.router, &mut Vec::new());
        self.retained.clear();
        let cleared = self
            .storage
            .clear(&[SESSION_SPACE, QUEUE_SPACE, RETAINED_SPACE]);
        if let Err(error) = cleared {
            tracing::error!("sessions and retained messages cannot be deleted: {error}");
        }
    }

    /// Whether the certificate of a connection may still hold one.
    pub(crate) fn is_active(&self, link: &Link) -> bool {
        let state = self.account.snapshot();
        state.may_stay_connected(&link.certificate_id)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }
}
