//! The message broker: a listener that feeds it connections, and what others ask of it.

mod limits;
mod listener;
mod outside;
pub(crate) mod shared;
#[cfg(test)]
mod tests;
mod watch;

use std::sync::Arc;

use bytes::Bytes;
use jitp_wire::{Publish, QoS};
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use crate::reserved::{Answer, Handler, Request};
pub use limits::Limits;
pub use outside::{PublishError, RetainedMessage};
#[cfg(test)]
pub(crate) use watch::watch;

use crate::account::{Account, Clock};
use crate::diary::Diary;
use crate::gate::Gate;
use crate::router::Message;
use crate::rules::{Origin, Outlet};
use crate::session::Close;
use crate::storage::{Storage, StorageError};
use shared::Core;

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

    /// Where an engine takes the messages that rules see; whoever asks first has it.
    pub(crate) fn outlet(&self) -> Option<Outlet> {
        self.core.outlet.lock().take()
    }

    /// Publishes what a rule has made of a message.
    pub(crate) fn republish(&self, message: &Message, origin: Origin) {
        self.core.publish_as(message, origin);
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
