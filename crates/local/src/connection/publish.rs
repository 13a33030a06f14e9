//! PUBLISH from a client.

use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use jitp_wire::limits::TOPIC_ALIASES;
use jitp_wire::topic::check_topic;
use jitp_wire::{Publish, QoS, Version, encode_puback, reason};
use tokio::io::{AsyncRead, AsyncWrite};

use super::ending::Ending;
use super::{Connection, expires_at};
use crate::policy::Action;
use crate::reserved::{BASIC_INGEST, Request, Reserved};
use crate::router::Message;

impl<S> Connection<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    pub(super) fn publish(&mut self, mut publish: Publish) -> Result<(), Ending> {
        if publish.qos == QoS::ExactlyOnce {
            self.refuse("QOS_NOT_SUPPORTED", "PUBLISH with QoS 2");
            return Err(Ending::Fault(reason::QOS_NOT_SUPPORTED));
        }
        self.unacknowledged += usize::from(publish.qos == QoS::AtLeastOnce);
        if self.version == Version::V5 && self.unacknowledged > self.core.limits.in_flight {
            let sentence = "more unacknowledged QoS 1 messages than the receive maximum allows";
            self.refuse("RECEIVE_MAXIMUM_EXCEEDED", sentence);
            return Err(Ending::Fault(reason::RECEIVE_MAXIMUM_EXCEEDED));
        }
        self.resolve_alias(&mut publish)?;
        if let Err(fault) = check_topic(&publish.topic) {
            let sentence = format!("PUBLISH on {:?}: {fault}", &*publish.topic);
            self.refuse("TOPIC_REFUSED", sentence);
            return self.reject(&publish, reason::TOPIC_NAME_INVALID, false);
        }
        if publish.payload.len() > self.core.limits.payload_bytes {
            let sentence = format!(
                "PUBLISH with a payload of {} bytes; {} are allowed",
                publish.payload.len(),
                self.core.limits.payload_bytes
            );
            self.refuse("PAYLOAD_TOO_LARGE", sentence);
            return Err(Ending::Fault(reason::QUOTA_EXCEEDED));
        }
        if self.core.limits.enforce_rates && self.is_throttled() {
            // AWS discards what is over the limit, and acknowledges none of it.
            return Ok(());
        }
        let reserved = publish.topic.starts_with('$');
        if reserved && let Some(refused) = self.refuse_reserved(&publish) {
            return refused;
        }
        if !self.may_publish(&publish) {
            return self.reject(&publish, reason::NOT_AUTHORIZED, true);
        }
        let packet_id = publish.packet_id;
        if let Some(ingest) = publish.topic.strip_prefix(BASIC_INGEST) {
            self.ingest(ingest, &publish);
        } else if reserved {
            self.ask_service(&publish);
        } else {
            self.route(publish);
        }
        if let Some(packet_id) = packet_id {
            encode_puback(&mut self.reply, self.version, packet_id, reason::SUCCESS);
        }
        Ok(())
    }

    fn route(&mut self, publish: Publish) {
        let now = match publish.message_expiry {
            // Without expiry nothing looks at the time of a message that is delivered at once.
            None => 0,
            Some(_) => self.core.now(),
        };
        let message = Message {
            topic: publish.topic,
            payload: publish.payload,
            qos: publish.qos,
            retain: publish.retain,
            properties: publish.properties,
            expires_at: expires_at(publish.message_expiry, now),
            publisher: self.session.number,
        };
        let mut writes = std::mem::take(&mut self.writes);
        let routed = self
            .core
            .route(&message, || self.origin(), now, &mut writes);
        self.writes = writes;
        self.congested |= routed.congested;
    }

    /// Hands a message to the rule named first in `RULE/TOPIC`.
    fn ingest(&mut self, ingest: &str, publish: &Publish) {
        let (rule, topic) = ingest.split_once('/').unwrap_or((ingest, ""));
        let message = Message {
            topic: topic.into(),
            payload: Bytes::copy_from_slice(&publish.payload),
            qos: publish.qos,
            retain: false,
            properties: Bytes::copy_from_slice(&publish.properties),
            expires_at: None,
            publisher: self.session.number,
        };
        self.congested |= self.core.ingest(rule, message, || self.origin());
    }

    /// Puts the topic of an alias in place, and remembers the alias of a topic.
    fn resolve_alias(&mut self, publish: &mut Publish) -> Result<(), Ending> {
        let Some(alias) = publish.topic_alias else {
            if publish.topic.is_empty() {
                self.refuse("TOPIC_REFUSED", "PUBLISH without a topic");
                return Err(Ending::Fault(reason::PROTOCOL_ERROR));
            }
            return Ok(());
        };
        let index = usize::from(alias.wrapping_sub(1));
        if alias == 0 || alias > TOPIC_ALIASES {
            let sentence = format!("topic alias {alias}; 1 to {TOPIC_ALIASES} are allowed");
            self.refuse("TOPIC_ALIAS_INVALID", sentence);
            return Err(Ending::Fault(reason::TOPIC_ALIAS_INVALID));
        }
        if self.aliases.len() <= index {
            self.aliases.resize(index + 1, None);
        }
        if !publish.topic.is_empty() {
            self.aliases[index] = Some(ByteString::from(&*publish.topic));
        } else if let Some(topic) = &self.aliases[index] {
            publish.topic = topic.clone();
        } else {
            let sentence = format!("topic alias {alias} was never given a topic");
            self.refuse("TOPIC_ALIAS_INVALID", sentence);
            return Err(Ending::Fault(reason::TOPIC_ALIAS_INVALID));
        }
        Ok(())
    }

    fn may_publish(&mut self, publish: &Publish) -> bool {
        let topic = &*publish.topic;
        let authorizer = &self.authorizer;
        let allowed = self
            .publish_verdicts
            .get(topic, || authorizer.decide(Action::Publish, topic).allowed);
        if !allowed {
            let what = format!("PUBLISH on {topic:?} refused");
            return self.allows(Action::Publish, topic, &what);
        }
        if !publish.retain {
            return true;
        }
        let what = format!("PUBLISH with retain on {topic:?} refused");
        self.allows(Action::RetainPublish, topic, &what)
    }

    /// Refuses a publish on a topic beginning with `$` that nobody serves; none when somebody does.
    fn refuse_reserved(&mut self, publish: &Publish) -> Option<Result<(), Ending>> {
        let topic = &*publish.topic;
        let sentence = match self.core.services.publish(topic) {
            Reserved::Service(_) | Reserved::Rule if publish.retain => {
                format!("PUBLISH with retain on the reserved topic {topic:?}")
            }
            Reserved::Service(_) | Reserved::Rule => return None,
            Reserved::EventsOnly => {
                format!("PUBLISH on {topic:?}: only AWS IoT publishes events")
            }
            Reserved::Unknown => {
                format!("PUBLISH on {topic:?}: no such reserved topic is served here")
            }
        };
        self.refuse("RESERVED_TOPIC", sentence);
        // "$SYS/# and other unknown $ topics: disconnect", in both versions.
        Some(Err(Ending::Fault(reason::TOPIC_NAME_INVALID)))
    }

    fn ask_service(&mut self, publish: &Publish) {
        let Reserved::Service(service) = self.core.services.publish(&publish.topic) else {
            return;
        };
        // A request of its own: the read it came with must not stay alive while the service works.
        let answers = service.handle(Request {
            client_id: self.client.client_id.clone(),
            certificate_id: Arc::clone(&self.client.certificate_id),
            topic: ByteString::from(&*publish.topic),
            payload: Bytes::copy_from_slice(&publish.payload),
        });
        let core = Arc::clone(&self.core);
        let (session, link) = (Arc::clone(&self.session), Arc::clone(&self.link));
        tokio::spawn(async move {
            for answer in answers.await {
                session.answer(&link, answer, core.now());
            }
        });
    }

    /// Answers a publish that is not accepted: MQTT 5 tells a QoS 1 message by PUBACK and closes for a
    /// QoS 0 one; 3.1.1 has no way to tell and is closed.
    fn reject(&mut self, publish: &Publish, code: u8, denied: bool) -> Result<(), Ending> {
        match publish.packet_id {
            Some(packet_id) if self.version == Version::V5 => {
                encode_puback(&mut self.reply, self.version, packet_id, code);
                Ok(())
            }
            _ if denied => Err(Ending::Denied),
            _ => Err(Ending::Fault(code)),
        }
    }

    fn is_throttled(&mut self) -> bool {
        let now = self.core.now();
        if self.rate.0 != now {
            self.rate = (now, 0);
        }
        self.rate.1 += 1;
        if self.rate.1 == self.core.limits.publishes_per_second + 1 {
            let sentence = format!(
                "more than {} publishes a second; the rest of this second is discarded",
                self.core.limits.publishes_per_second
            );
            self.refuse("THROTTLED", sentence);
        }
        self.rate.1 > self.core.limits.publishes_per_second
    }
}
