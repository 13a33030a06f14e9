//! The message broker: what its parts share, and the listener that feeds it connections.

mod limits;
mod listener;
mod outside;
#[cfg(test)]
mod tests;
mod watch;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use jitp_wire::{Publish, QoS};
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use crate::reserved::{Answer, Handler, Request};
pub use limits::Limits;
pub use outside::{PublishError, RetainedMessage};
#[cfg(test)]
pub(crate) use watch::watch;

use crate::account::{Account, CertificateStatus, Clock};
use crate::admit::{Admitted, ConnectFacts, Refusal};
use crate::diary::Diary;
use crate::policy::Authorizer;
use crate::reserved::Services;
use crate::router::{Message, Retained, Routed, Router};
use crate::session::{Close, Directory, Link};
use crate::storage::{Storage, StorageError, Write};
use crate::tls::Peer;

/// What a broker is made from.
#[derive(Clone)]
pub struct BrokerSettings {
    /// The account whose certificates and policies count.
    pub account: Account,
    /// Decides about certificates.
    pub admission: Arc<dyn Gate>,
    /// Where refusals are told.
    pub diary: Diary,
    /// Where persistent sessions and retained messages are kept.
    pub storage: Storage,
    /// The clock of expiry and events; silence on a connection is measured by the machine's.
    pub clock: Clock,
    /// The limits in force.
    pub limits: Limits,
}

/// The message broker. Clones share it.
#[derive(Clone, Debug)]
pub struct Broker {
    core: Arc<Core>,
}

impl Broker {
    /// A broker with the sessions and retained messages its storage has kept.
    ///
    /// # Errors
    /// The storage cannot be read.
    pub fn new(settings: BrokerSettings) -> Result<Self, StorageError> {
        let BrokerSettings {
            account,
            admission,
            diary,
            storage,
            clock,
            limits,
        } = settings;
        let core = Core::new(account, admission, diary, storage, clock, limits)?;
        Ok(Self {
            core: Arc::new(core),
        })
    }

    /// Serves connections until `shutdown`, then tells those there are goodbye and returns.
    pub async fn serve(
        &self,
        listener: TcpListener,
        tls: Arc<ServerConfig>,
        shutdown: CancellationToken,
    ) {
        listener::serve(Arc::clone(&self.core), listener, tls, shutdown).await;
    }

    /// Publishes a message of the core itself, such as `$aws/events/certificates/registered/<caId>`.
    pub fn inject(&self, topic: &str, payload: impl Into<Bytes>, qos: QoS, retain: bool) {
        let message = Message {
            retain,
            ..Message::system(topic, payload, qos)
        };
        self.core.publish_system(&message);
    }

    /// Adds a service behind reserved topics.
    pub fn install(&self, handler: Arc<dyn Handler>) {
        self.core.services.install(handler);
    }

    /// Publishes a message that came from outside MQTT; it is durable on return, as after a PUBACK.
    ///
    /// # Errors
    /// A sentence why the message is none AWS would take, or why it cannot be stored.
    pub async fn publish(&self, publish: Publish) -> Result<(), PublishError> {
        self.core.publish_from_outside(publish).await
    }

    /// The retained message of a topic, unless it has expired.
    pub fn retained(&self, topic: &str) -> Option<RetainedMessage> {
        let kept = self.core.retained.get(topic)?;
        RetainedMessage::unexpired(&kept, self.core.now())
    }

    /// Every retained message that has not expired, in the order of the topics.
    pub fn all_retained(&self) -> Vec<RetainedMessage> {
        let now = self.core.now();
        let all = self.core.retained.all();
        all.iter()
            .filter_map(|kept| RetainedMessage::unexpired(kept, now))
            .collect()
    }

    /// Closes the connection of a client (MQTT 5: DISCONNECT 0x98), with or without its will, and with
    /// `end_session` forgets its session too; whether there was a connection or a session.
    pub fn disconnect(&self, client_id: &str, end_session: bool, without_will: bool) -> bool {
        let core = &self.core;
        let link = core.directory.link(client_id);
        let mut known = link.is_some();
        if end_session {
            let mut writes = Vec::new();
            known |= core
                .directory
                .end(client_id, &core.router, core.now(), &mut writes);
            core.commit(writes);
        }
        if let Some(link) = link {
            link.close(Close::Administrative { without_will });
        }
        known
    }

    /// How many connections have a session.
    pub fn connections(&self) -> usize {
        let mut count = 0;
        self.core.directory.for_each_link(|_, _| count += 1);
        count
    }
}

/// What the broker asks about a connection before it serves it.
pub trait Gate: Send + Sync {
    /// Whether the certificate may hold a connection.
    fn admit<'a>(
        &'a self,
        peer: &'a Peer,
        client_id: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Admitted, Refusal>> + Send + 'a>>;

    /// The policies of the certificate, compiled for this connection.
    fn authorizer(&self, admitted: &Admitted, facts: &ConnectFacts) -> Authorizer;
}

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
    clock: Clock,
    handshakes: Semaphore,
    stopping: AtomicBool,
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
        Ok(Self {
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

    /// Keeps a message if it is to be retained, and hands it to its subscribers. What has to be durable
    /// before the publisher is answered is added to `writes`.
    pub(crate) fn route(&self, message: &Message, now: i64, writes: &mut Vec<Write>) -> Routed {
        let mut writes = self.storage.is_durable().then_some(writes);
        if message.retain {
            self.retained
                .keep(message, self.now_ms(), writes.as_deref_mut());
        }
        self.router.publish(message, now, writes)
    }

    /// Routes a message nobody waits for.
    pub(crate) fn publish_system(&self, message: &Message) {
        let mut writes = Vec::new();
        self.route(message, self.now(), &mut writes);
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
        let certificate = state.certificates.get(&*link.certificate_id);
        certificate.is_some_and(|certificate| certificate.status == CertificateStatus::Active)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }
}
