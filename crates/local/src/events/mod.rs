//! Lifecycle events: `$aws/events/presence/…` and `$aws/events/subscriptions/…`.
//!
//! Developer guide, "Lifecycle events". An event nobody subscribed to is not even written down.

use std::net::IpAddr;
use std::sync::Arc;

use jitp_wire::QoS;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::broker::shared::Core;
use crate::router::Message;

/// A connection as its events describe it.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) client_id: String,
    /// Only for an exclusive attachment.
    pub(crate) thing_name: Option<String>,
    pub(crate) session_identifier: Uuid,
    pub(crate) certificate_id: Arc<str>,
    pub(crate) address: IpAddr,
    pub(crate) version_number: u64,
}

impl Client {
    pub(crate) fn connected(&self, core: &Core) {
        self.publish(core, "presence", "connected", |event| {
            event.insert("ipAddress".into(), json!(self.address.to_string()));
            event.insert("versionNumber".into(), json!(self.version_number));
        });
    }

    pub(crate) fn disconnected(&self, core: &Core, by_client: bool, reason: &'static str) {
        self.publish(core, "presence", "disconnected", |event| {
            event.insert("clientInitiatedDisconnect".into(), json!(by_client));
            event.insert("disconnectReason".into(), json!(reason));
            event.insert("versionNumber".into(), json!(self.version_number));
        });
    }

    /// Only for what a policy refused at CONNECT, not for certificates that are not let in.
    pub(crate) fn connect_failed(&self, core: &Core) {
        self.publish(core, "presence", "connect_failed", |event| {
            event.insert("connectFailureReason".into(), json!("AUTHORIZATION_FAILED"));
            event.insert("ipAddress".into(), json!(self.address.to_string()));
        });
    }

    pub(crate) fn subscribed(&self, core: &Core, topics: &[&str]) {
        self.publish(core, "subscriptions", "subscribed", |event| {
            event.insert("topics".into(), json!(topics));
        });
    }

    pub(crate) fn unsubscribed(&self, core: &Core, topics: &[&str]) {
        self.publish(core, "subscriptions", "unsubscribed", |event| {
            event.insert("topics".into(), json!(topics));
        });
    }

    fn publish(
        &self,
        core: &Core,
        family: &str,
        kind: &str,
        more: impl FnOnce(&mut Map<String, Value>),
    ) {
        // "Lifecycle events … not published for client IDs that contain # or +".
        if self.client_id.contains(['#', '+']) {
            return;
        }
        let topic = format!("$aws/events/{family}/{kind}/{}", self.client_id);
        if !core.is_heard(&topic) {
            return;
        }
        let mut event = Map::new();
        event.insert("clientId".into(), json!(self.client_id));
        if let Some(thing_name) = &self.thing_name {
            event.insert("thingName".into(), json!(thing_name));
        }
        event.insert("timestamp".into(), json!(core.now_ms()));
        event.insert("eventType".into(), json!(kind));
        let session = self.session_identifier.to_string();
        event.insert("sessionIdentifier".into(), json!(session));
        event.insert("principalIdentifier".into(), json!(&*self.certificate_id));
        more(&mut event);
        let payload = Value::Object(event).to_string();
        core.publish_system(&Message::system(topic, payload, QoS::AtLeastOnce));
    }
}
