//! Reserved topics: everything that begins with `$` (developer guide, "Reserved topics").
//!
//! Services of AWS IoT live there. A service is a [`Handler`]: what a client publishes on its topics is
//! a request, and the answers go to the asking session only, whatever others subscribed to.

use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use futures::future::BoxFuture;
use parking_lot::RwLock;

/// How the topics of basic ingest begin; the name of a rule follows.
pub(crate) const BASIC_INGEST: &str = "$aws/rules/";

/// A service behind reserved topics.
pub trait Handler: Send + Sync {
    /// Whether a publish on this topic is a request to this service.
    fn takes(&self, topic: &str) -> bool;

    /// Serves a request; policies have allowed the publish. The future runs beside the connection, which
    /// goes on meanwhile; what takes processor time belongs on a blocking thread.
    fn handle(&self, request: Request) -> BoxFuture<'static, Vec<Answer>>;
}

/// A publish on a reserved topic.
#[derive(Clone, Debug)]
pub struct Request {
    /// MQTT client id of the asking session.
    pub client_id: String,
    /// Certificate id of its connection.
    pub certificate_id: Arc<str>,
    /// Topic of the request.
    pub topic: ByteString,
    /// Payload of the request.
    pub payload: Bytes,
}

/// A message to the asking session. Its QoS is that of the session's subscription, or 0 without one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    /// Topic, for example the one of the request with `/accepted` behind it.
    pub topic: String,
    /// Payload.
    pub payload: Bytes,
}

/// What a topic beginning with `$` is.
pub(crate) enum Reserved {
    /// A service takes it.
    Service(Arc<dyn Handler>),
    /// A topic rule takes it, past the broker.
    Rule,
    /// AWS publishes there and clients only listen.
    EventsOnly,
    /// Nothing this core offers.
    Unknown,
}

/// The services there are.
#[derive(Default)]
pub(crate) struct Services {
    handlers: RwLock<Vec<Arc<dyn Handler>>>,
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Services({})", self.handlers.read().len())
    }
}

impl Services {
    pub(crate) fn install(&self, handler: Arc<dyn Handler>) {
        self.handlers.write().push(handler);
    }

    /// What a publish on this topic, which begins with `$`, is.
    pub(crate) fn publish(&self, topic: &str) -> Reserved {
        if topic.starts_with("$aws/events/") {
            return Reserved::EventsOnly;
        }
        if topic.starts_with(BASIC_INGEST) {
            return Reserved::Rule;
        }
        let handlers = self.handlers.read();
        match handlers.iter().find(|handler| handler.takes(topic)) {
            Some(handler) => Reserved::Service(Arc::clone(handler)),
            None => Reserved::Unknown,
        }
    }
}

/// Whether clients may subscribe to this filter as far as reserved topics go: to ordinary topics, to
/// `$share` groups of them and to everything under `$aws/`; not to `$SYS/#` and the like.
pub(crate) fn may_subscribe(filter: &str) -> bool {
    let filter = jitp_wire::topic::split_share(filter).map_or(filter, |(_, inner)| inner);
    !filter.starts_with('$') || filter.starts_with("$aws/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_listen_to_events_but_do_not_publish_them() {
        let services = Services::default();
        let events = services.publish("$aws/events/presence/connected/x");
        assert!(matches!(events, Reserved::EventsOnly));
        assert!(matches!(services.publish("$SYS/x"), Reserved::Unknown));
        assert!(may_subscribe("$aws/events/#"));
        assert!(may_subscribe("$share/g/$aws/events/#"));
        assert!(may_subscribe("a/$b"));
        assert!(!may_subscribe("$SYS/#"));
        assert!(!may_subscribe("$share/g/$SYS/#"));
    }
}
