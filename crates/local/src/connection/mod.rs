//! A connection: one task that reads, decodes a batch, handles it, makes durable what it is about to
//! acknowledge, and writes its answers and whatever its session has for it in one go.
//!
//! Where AWS's documents are silent, this is what happens here:
//!
//! - MQTT 3.1 (level 3) and anything that is no CONNECT is closed without an answer.
//! - An empty client id in 3.1.1, and one above 128 bytes, gets CONNACK 2 (MQTT 5: 0x85 for the long one).
//! - SUBSCRIBE with QoS 2 closes the connection as PUBLISH does (MQTT 5: DISCONNECT 0x9B).
//! - A publish on an unknown or read-only `$` topic closes the connection (MQTT 5: DISCONNECT 0x90).
//! - A packet or payload that is too large closes with 0x97, since AWS lists no 0x95; so does a SUBSCRIBE
//!   with more than 8 filters. A 51st subscription is 0x97 in the SUBACK of MQTT 5 and closes 3.1.1.
//! - A bad topic is a PUBACK 0x90 at QoS 1 of MQTT 5, and closes in every other case.
//! - The receive maximum of 100 binds MQTT 5 clients; 3.1.1 has no word for it and may send more.
//! - Unacknowledged messages are sent again when the client reconnects, never while it is connected.
//! - A will has no delay. Its topic may not be reserved.
//! - A deactivated certificate ends its connections at once (`FORBIDDEN_ACCESS`), where AWS takes minutes;
//!   a denied publish or subscribe ends them with `AUTH_ERROR`.
//! - A PUBACK for nothing that was sent changes nothing.
//! - A changed policy holds from the next packet on; `iot:Connect` is not asked again.

mod connect;
mod ending;
mod publish;
mod stream;
mod subscribe;
#[cfg(test)]
mod tests;
pub(crate) mod verdicts;

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use bytestring::ByteString;
use jitp_wire::reason;
use jitp_wire::{Frames, Packet, Version, Will, decode, encode_disconnect, encode_ping_response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::broker::shared::Core;
use crate::diary::Entry;
use crate::events::Client;
use crate::gate::{Admitted, ConnectFacts};
use crate::policy::{Action, Authorizer, Decision};
use crate::router::Message;
use crate::rules::Origin;
use crate::session::{Link, Session};
use crate::storage::Write;
use crate::tls::Peer;
use ending::Ending;
use stream::Written;
use verdicts::{Receive, Told, Verdicts};

/// How long a connection keeps its buffers after it was last used.
const KEEP_BUFFERS: Duration = Duration::from_secs(2);
/// A buffer above this size is given back at once.
const LARGE_BUFFER: usize = 64 * 1024;

/// Serves one connection from its first byte to its end.
pub(crate) async fn serve<S>(core: Arc<Core>, stream: S, peer: Peer)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    // Boxed, so that what it takes to connect is not carried along for the life of the connection.
    let connected = Box::pin(connect::connect(core, stream, peer)).await;
    if let Some(mut connection) = connected {
        let ending = connection.run().await;
        Box::pin(connection.finish(ending)).await;
    }
}

/// A connection that was accepted.
struct Connection<S> {
    core: Arc<Core>,
    stream: S,
    version: Version,
    session: Arc<Session>,
    link: Arc<Link>,
    client: Client,
    admitted: Admitted,
    facts: ConnectFacts,
    authorizer: Arc<Authorizer>,
    publish_verdicts: Verdicts,
    will: Option<Will>,
    /// Silence after which the connection is taken for dead.
    patience: Duration,
    /// What was read and not yet decoded.
    input: BytesMut,
    /// Answers to what was read.
    reply: Vec<u8>,
    /// What the session had to send, on its way out.
    out: Vec<u8>,
    /// To be durable before `reply` is sent.
    writes: Vec<Write>,
    /// Topics by alias, the first one under 1.
    aliases: Vec<Option<ByteString>>,
    /// QoS 1 messages of this batch, acknowledged when it is written.
    unacknowledged: usize,
    /// Publishes of this second, and the second; for the limit on their rate.
    rate: (i64, u32),
    /// Somebody this connection publishes to cannot keep up.
    congested: bool,
    /// Keeps the number of its refusals in the diary within bounds.
    told: Told,
}

impl<S> Connection<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    async fn run(&mut self) -> Ending {
        let mut heard = Instant::now();
        let mut used = heard;
        let timer = tokio::time::sleep(KEEP_BUFFERS);
        tokio::pin!(timer);
        // Whether the timer waits for the keep alive only, because the buffers were given back.
        let mut idle = false;
        loop {
            if self.link.take_policies_changed() {
                self.compile_policies();
            }
            let ended = match self.link.ordered() {
                Some(order) => Some(Ending::Ordered(order)),
                None => self.work().err(),
            };
            if let Some(ending) = self.flush().await.err().or(ended) {
                return ending;
            }
            if std::mem::take(&mut self.congested) {
                // Slower, never stopped: a subscriber that takes nothing must not hold up others.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let fired = tokio::select! {
                biased;
                read = stream::fill(&mut self.stream, &mut self.input) => match read {
                    Ok(1..) => {
                        heard = Instant::now();
                        false
                    }
                    _ => return Ending::Lost,
                },
                () = self.link.wake.notified() => {
                    // Whoever else has something to read goes first: what they publish to this
                    // connection leaves in the same write.
                    tokio::task::yield_now().await;
                    false
                }
                () = timer.as_mut() => true,
            };
            if fired {
                let left = self.patience.saturating_sub(heard.elapsed());
                if left.is_zero() {
                    return Ending::KeepAlive;
                }
                idle = used.elapsed() >= KEEP_BUFFERS;
                let next = if idle {
                    self.shrink();
                    left
                } else {
                    left.min(KEEP_BUFFERS)
                };
                timer.as_mut().reset(Instant::now() + next);
            } else {
                used = Instant::now();
                if std::mem::take(&mut idle) {
                    timer.as_mut().reset(used + KEEP_BUFFERS);
                }
            }
        }
    }

    /// Decodes and handles whatever has arrived.
    fn work(&mut self) -> Result<(), Ending> {
        let frames = Frames::new(self.core.limits.packet_bytes).of(self.version);
        self.unacknowledged = 0;
        loop {
            let packet = match frames.next(&mut self.input) {
                Ok(None) => return Ok(()),
                Ok(Some((first, body))) => decode(self.version, first, body),
                Err(error) => Err(error),
            };
            match packet {
                Ok(packet) => self.handle(packet)?,
                Err(error) => {
                    self.refuse("MQTT_PACKET_REFUSED", error.to_string());
                    return Err(Ending::from(&error));
                }
            }
        }
    }

    fn handle(&mut self, packet: Packet) -> Result<(), Ending> {
        match packet {
            Packet::Publish(publish) => self.publish(publish),
            Packet::PubAck { packet_id, .. } => {
                let now = self.core.now();
                self.session
                    .acknowledge(&self.link, packet_id, now, &mut self.writes);
                Ok(())
            }
            Packet::Subscribe(subscribe) => self.subscribe(subscribe),
            Packet::Unsubscribe(unsubscribe) => self.unsubscribe(unsubscribe),
            Packet::Ping => {
                encode_ping_response(&mut self.reply);
                Ok(())
            }
            Packet::Disconnect {
                reason,
                session_expiry,
            } => Err(self.goodbye(reason, session_expiry)),
            Packet::Connect(_) => {
                self.refuse("MQTT_PACKET_REFUSED", "a second CONNECT on one connection");
                Err(Ending::Fault(reason::PROTOCOL_ERROR))
            }
            Packet::Unsupported(name) => {
                self.refuse("MQTT_PACKET_REFUSED", format!("{name} is not supported"));
                Err(Ending::Fault(reason::PROTOCOL_ERROR))
            }
            _ => Err(Ending::Fault(reason::PROTOCOL_ERROR)),
        }
    }

    fn goodbye(&mut self, code: u8, session_expiry: Option<u32>) -> Ending {
        if let Some(expiry) = session_expiry {
            if self.session.expiry() == 0 && expiry != 0 {
                self.refuse(
                    "MQTT_PACKET_REFUSED",
                    "DISCONNECT makes a session persistent that was not",
                );
                return Ending::Fault(reason::PROTOCOL_ERROR);
            }
            let expiry = expiry.min(self.core.limits.session_expiry);
            self.session.set_expiry(expiry);
        }
        Ending::Client {
            with_will: code == reason::DISCONNECT_WITH_WILL,
        }
    }

    /// Sends what there is to send, once what it promises is durable.
    async fn flush(&mut self) -> Result<(), Ending> {
        if !self.writes.is_empty() {
            let writes = std::mem::take(&mut self.writes);
            if let Err(error) = self.core.storage.commit_async(writes).await {
                tracing::error!("messages cannot be stored: {error}");
                self.reply.clear();
                return Err(Ending::Storage);
            }
        }
        self.out.clear();
        self.session.take_out(&self.link, &mut self.out);
        let bytes = if self.reply.is_empty() {
            &self.out
        } else {
            self.reply.extend_from_slice(&self.out);
            &self.reply
        };
        if !bytes.is_empty() {
            match stream::write(&mut self.stream, bytes, &self.link, self.patience).await {
                Written::Whole => {}
                Written::Broken => return Err(Ending::Lost),
                Written::Interrupted => {
                    // Bytes may be missing in the middle: nothing can be said any more.
                    return Err(self.link.ordered().map_or(Ending::Lost, Ending::Ordered));
                }
            }
            self.reply.clear();
            for buffer in [&mut self.reply, &mut self.out] {
                if buffer.capacity() > LARGE_BUFFER {
                    *buffer = Vec::new();
                }
            }
        }
        Ok(())
    }

    /// Gives back the memory an idle connection does not need.
    fn shrink(&mut self) {
        self.reply = Vec::new();
        self.out = Vec::new();
        self.writes = Vec::new();
        self.publish_verdicts.clear();
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        self.session.shrink(&self.link);
    }

    fn compile_policies(&mut self) {
        self.authorizer = Arc::new(self.core.gate.authorizer(&self.admitted, &self.facts));
        self.publish_verdicts.clear();
        let receive = Receive::new(
            Arc::clone(&self.authorizer),
            self.core.diary.clone(),
            Arc::clone(&self.client.certificate_id),
        );
        self.session.set_receive(&self.link, receive);
    }

    async fn finish(mut self, ending: Ending) {
        let mut writes = std::mem::take(&mut self.writes);
        let core = Arc::clone(&self.core);
        let now = core.now();
        core.directory
            .leave(&self.session, &self.link, &core.router, now, &mut writes);
        if let Some(will) = self.will.take().filter(|_| ending.sends_will()) {
            self.publish_will(will, now, &mut writes);
        }
        self.client
            .disconnected(&core, ending.is_client_initiated(), ending.event_reason());
        core.commit(writes);
        match ending {
            Ending::KeepAlive => self.refuse(
                "MQTT_KEEP_ALIVE_TIMEOUT",
                format!("nothing was heard for {} s", self.patience.as_secs()),
            ),
            Ending::Ordered(crate::session::Close::CertificateNotActive) => self.refuse(
                "CERTIFICATE_NO_LONGER_ACTIVE",
                "the certificate is no longer ACTIVE, so its connection was closed",
            ),
            Ending::Ordered(crate::session::Close::TakenOver) => self.refuse(
                "DUPLICATE_CLIENT_ID",
                "another connection uses the same client id",
            ),
            _ => {}
        }
        self.reply.clear();
        if let Some(code) = ending.reason_code() {
            encode_disconnect(&mut self.reply, self.version, code);
        }
        stream::close(&mut self.stream, &self.reply).await;
    }

    fn publish_will(&self, will: Will, now: i64, writes: &mut Vec<Write>) {
        let message = Message {
            topic: will.topic,
            payload: will.payload,
            qos: will.qos,
            retain: will.retain,
            properties: will.properties,
            expires_at: expires_at(will.message_expiry, now),
            publisher: self.session.number,
        };
        self.core.route(&message, || self.origin(), now, writes);
    }

    /// Where the messages of this connection come from, as rules see it.
    fn origin(&self) -> Origin {
        Origin {
            client_id: Some(self.client.client_id.as_str().into()),
            principal: Some(Arc::clone(&self.client.certificate_id)),
            address: Some(self.client.address),
            republished: 0,
        }
    }

    /// Writes a refusal into the diary.
    fn refuse(&self, code: &'static str, sentence: impl Into<String>) {
        if !self.told.once_more() {
            return;
        }
        self.core.diary.record(
            Entry::refusal(code, sentence)
                .client(&*self.client.client_id)
                .certificate(&*self.client.certificate_id),
        );
    }

    /// Writes a policy's refusal into the diary.
    fn denied(&self, what: &str, decision: &Decision) {
        let reason = decision.reason();
        self.refuse(reason.code, format!("{what}: {}", reason.sentence));
    }

    fn allows(&mut self, action: Action, resource: &str, what: &str) -> bool {
        let decision = self.authorizer.decide(action, resource);
        if !decision.allowed {
            self.denied(what, &decision);
        }
        decision.allowed
    }
}

/// When a message with this expiry interval, in seconds, is no longer delivered.
pub(crate) fn expires_at(interval: Option<u32>, now: i64) -> Option<i64> {
    let interval = interval?.clamp(1, jitp_wire::limits::MESSAGE_EXPIRY_MAX);
    Some(now.saturating_add(interval.into()))
}
