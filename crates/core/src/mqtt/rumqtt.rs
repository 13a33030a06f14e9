//! rumqttc's two crates behind one face. Nothing of rumqttc is seen outside of this file.
//!
//! An event loop lives as long as one connection: its stream is handed to it once, already in TLS, so it cannot
//! reconnect by itself (rumqttc would, at once, after every failed poll).

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};

use super::{
    message::{MAX_IN_FLIGHT, Message, Publish, Qos, Version},
    reason::Reason,
    stream::Observed,
};

/// Largest packet accepted: 128 KiB of payload with topic and properties (the quota page says 146 KB).
const MAX_PACKET: u32 = 256 * 1024;

/// What a connection is set up with.
pub(crate) struct Setup {
    pub(crate) version: Version,
    pub(crate) client_id: String,
    pub(crate) keep_alive: Duration,
    pub(crate) connack_timeout: Duration,
}

/// Why an event loop stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The transport; the witness knows more.
    Transport(String),
    /// CONNACK with a refusal.
    Refused,
    /// DISCONNECT of the server.
    Disconnected(Reason),
    /// No PINGRESP.
    NoPing,
    /// Bytes that are not MQTT, or not in order.
    Protocol(String),
    /// We disconnected.
    Done,
}

/// What an event loop reports.
pub(crate) enum Incoming {
    Connected { session_present: bool },
    Message(Message),
    Other,
}

/// The answer to a PUBLISH.
pub(crate) enum Published {
    Accepted,
    Denied(Reason),
    /// The connection ended first.
    Unknown,
}

/// The answers to a SUBSCRIBE, one a filter, or none if the connection ended first.
pub(crate) type Subscribed = Option<Vec<Result<Qos, Reason>>>;

/// An answer to wait for.
pub(crate) type Answer<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The sending half.
pub(crate) enum Client {
    V4(rumqttc_v4::AsyncClient),
    V5(rumqttc::AsyncClient),
}

/// The half that must be polled.
pub(crate) enum EventLoop {
    V4(Box<rumqttc_v4::EventLoop>),
    V5(Box<rumqttc::EventLoop>),
}

/// A client and an event loop on an open stream. The first [`EventLoop::next`] sends CONNECT.
pub(crate) fn start(setup: &Setup, stream: Observed) -> Result<(Client, EventLoop), Stop> {
    let slot = Arc::new(Mutex::new(Some(stream)));
    let take = move || {
        let taken = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        async move { taken.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)) }
    };
    let keep_alive = u16::try_from(setup.keep_alive.as_secs()).unwrap_or(u16::MAX);
    // Host and port are never looked at: the connector below ignores them.
    let broker = ("endpoint", 8883);
    let invalid = |error: &dyn std::fmt::Display| Stop::Protocol(error.to_string());
    match setup.version {
        Version::V311 => {
            let mut options = rumqttc_v4::MqttOptions::new(&setup.client_id, broker);
            let mut network = rumqttc_v4::NetworkOptions::new();
            // Also rumqttc's limit for a flush; our own deadlines are shorter or the same.
            network.set_connection_timeout(setup.connack_timeout.as_secs().max(1) + 30);
            options
                .set_keep_alive(keep_alive.max(1))
                .set_clean_session(true)
                .set_max_packet_size(MAX_PACKET as usize, MAX_PACKET as usize)
                .set_inflight(MAX_IN_FLIGHT as u16)
                .set_max_request_batch(MAX_IN_FLIGHT)
                .set_socket_connector(move |_, _| take());
            let (client, mut event_loop) = rumqttc_v4::AsyncClient::builder(options)
                .unbounded()
                .try_build()
                .map_err(|error| invalid(&error))?;
            event_loop.set_network_options(network);
            Ok((Client::V4(client), EventLoop::V4(Box::new(event_loop))))
        }
        Version::V5 => {
            let mut options = rumqttc::MqttOptions::new(&setup.client_id, broker);
            options
                .set_keep_alive(keep_alive.max(1))
                .set_clean_start(true)
                .set_incoming_packet_size_limit(rumqttc::IncomingPacketSizeLimit::Bytes(MAX_PACKET))
                .set_max_request_batch(MAX_IN_FLIGHT)
                .set_outgoing_inflight_upper_limit(MAX_IN_FLIGHT as u16)
                .set_connect_timeout(setup.connack_timeout + Duration::from_secs(30))
                .set_socket_connector(move |_, _| take());
            let (client, event_loop) = rumqttc::AsyncClient::builder(options)
                .unbounded()
                .try_build()
                .map_err(|error| invalid(&error))?;
            Ok((Client::V5(client), EventLoop::V5(Box::new(event_loop))))
        }
    }
}

impl Client {
    /// Hands a message to the event loop. The answer comes with PUBACK, or for QoS 0 when it is written.
    pub(crate) fn publish(&self, message: &Publish) -> Answer<Published> {
        let (topic, payload) = (message.topic.clone(), message.payload.clone());
        match self {
            Self::V4(client) => {
                let options = rumqttc_v4::PublishOptions::new(match message.qos {
                    Qos::AtMostOnce => rumqttc_v4::QoS::AtMostOnce,
                    Qos::AtLeastOnce => rumqttc_v4::QoS::AtLeastOnce,
                })
                .retain(message.retain);
                let notice = client.try_publish_tracked(topic, payload, options);
                Box::pin(async move {
                    match notice {
                        Ok(notice) => match notice.wait_async().await {
                            Ok(_) => Published::Accepted,
                            Err(_) => Published::Unknown,
                        },
                        Err(_) => Published::Unknown,
                    }
                })
            }
            Self::V5(client) => {
                let options = rumqttc::PublishOptions::new(match message.qos {
                    Qos::AtMostOnce => rumqttc::QoS::AtMostOnce,
                    Qos::AtLeastOnce => rumqttc::QoS::AtLeastOnce,
                })
                .retain(message.retain);
                let notice = client.try_publish_tracked(topic, payload, options);
                Box::pin(async move {
                    match notice {
                        Ok(notice) => published_v5(notice.wait_async().await),
                        Err(_) => Published::Unknown,
                    }
                })
            }
        }
    }

    /// Sends SUBSCRIBE.
    pub(crate) fn subscribe(&self, filters: &[String], qos: Qos) -> Answer<Subscribed> {
        match self {
            Self::V4(client) => {
                let qos = match qos {
                    Qos::AtMostOnce => rumqttc_v4::QoS::AtMostOnce,
                    Qos::AtLeastOnce => rumqttc_v4::QoS::AtLeastOnce,
                };
                let filters: Vec<_> = filters
                    .iter()
                    .map(|filter| rumqttc_v4::SubscribeFilter::new(filter.clone(), qos))
                    .collect();
                let notice = client.try_subscribe_many_tracked(filters);
                Box::pin(async move {
                    let answer = notice.ok()?.wait_async().await.ok()?;
                    Some(answer.return_codes.into_iter().map(granted_v4).collect())
                })
            }
            Self::V5(client) => {
                let qos = match qos {
                    Qos::AtMostOnce => rumqttc::QoS::AtMostOnce,
                    Qos::AtLeastOnce => rumqttc::QoS::AtLeastOnce,
                };
                let filters: Vec<_> = filters
                    .iter()
                    .map(|filter| rumqttc::SubscribeFilter::new(filter.clone(), qos))
                    .collect();
                let notice = client.try_subscribe_many_tracked(filters);
                Box::pin(async move {
                    let answer = notice.ok()?.wait_async().await.ok()?;
                    let text = answer.properties.and_then(|p| p.reason_string);
                    Some(
                        answer
                            .return_codes
                            .into_iter()
                            .map(|code| granted_v5(code, text.clone()))
                            .collect(),
                    )
                })
            }
        }
    }

    /// A round trip behind everything sent so far: UNSUBSCRIBE from a filter nobody has, which needs no
    /// permission and must be answered (MQTT 3.1.1, 3.10.4). rumqttc offers no PINGREQ of one's own.
    pub(crate) fn round_trip(&self, filter: &str) -> Answer<bool> {
        match self {
            Self::V4(client) => {
                let notice = client.try_unsubscribe_tracked(filter);
                Box::pin(async move {
                    match notice {
                        Ok(notice) => notice.wait_async().await.is_ok(),
                        Err(_) => false,
                    }
                })
            }
            Self::V5(client) => {
                let notice = client.try_unsubscribe_tracked(filter);
                Box::pin(async move {
                    match notice {
                        Ok(notice) => notice.wait_async().await.is_ok(),
                        Err(_) => false,
                    }
                })
            }
        }
    }

    /// Sends DISCONNECT; the event loop then reports [`Stop::Done`].
    pub(crate) fn disconnect(&self) {
        // A channel that is closed already means the loop has ended already.
        match self {
            Self::V4(client) => drop(client.try_disconnect_now()),
            Self::V5(client) => drop(client.try_disconnect_now()),
        }
    }
}

impl EventLoop {
    /// The next thing that happens. Not safe to cancel and go on.
    pub(crate) async fn next(&mut self) -> Result<Incoming, Stop> {
        match self {
            Self::V4(event_loop) => event_loop.poll().await.map(of_v4).map_err(stop_v4),
            Self::V5(event_loop) => event_loop.poll().await.map(of_v5).map_err(stop_v5),
        }
    }
}

/// A refusal in a CONNACK at the start of a stream, read from its bytes: rumqttc drops the reason string, and
/// takes return code 7, which AWS IoT was documented to send, for a broken packet.
pub(crate) fn refusal(head: &[u8], version: Version) -> Option<Reason> {
    if head.first() != Some(&0x20) {
        return None;
    }
    let length_bytes = head
        .iter()
        .skip(1)
        .take(4)
        .position(|byte| byte & 0x80 == 0)?
        + 1;
    let code = *head.get(1 + length_bytes + 1)?;
    if code == 0 {
        return None;
    }
    Some(match version {
        Version::V311 => Reason::v311_connack(code),
        Version::V5 => {
            let text = match rumqttc::Packet::read(&mut BytesMut::from(head), Some(MAX_PACKET)) {
                Ok(rumqttc::Packet::ConnAck(connack)) => {
                    connack.properties.and_then(|p| p.reason_string)
                }
                _ => None,
            };
            Reason::v5(code, text)
        }
    })
}

fn of_v4(event: rumqttc_v4::Event) -> Incoming {
    match event {
        rumqttc_v4::Event::Incoming(rumqttc_v4::Packet::ConnAck(connack)) => Incoming::Connected {
            session_present: connack.session_present,
        },
        rumqttc_v4::Event::Incoming(rumqttc_v4::Packet::Publish(publish)) => {
            Incoming::Message(Message {
                topic: text(&publish.topic),
                payload: publish.payload,
                qos: match publish.qos {
                    rumqttc_v4::QoS::AtMostOnce => Qos::AtMostOnce,
                    _ => Qos::AtLeastOnce,
                },
                retain: publish.retain,
                dup: publish.dup,
            })
        }
        _ => Incoming::Other,
    }
}

fn of_v5(event: rumqttc::Event) -> Incoming {
    match event {
        rumqttc::Event::Incoming(rumqttc::Packet::ConnAck(connack)) => Incoming::Connected {
            session_present: connack.session_present,
        },
        rumqttc::Event::Incoming(rumqttc::Packet::Publish(publish)) => Incoming::Message(Message {
            topic: text(&publish.topic),
            payload: publish.payload,
            qos: match publish.qos {
                rumqttc::QoS::AtMostOnce => Qos::AtMostOnce,
                _ => Qos::AtLeastOnce,
            },
            retain: publish.retain,
            dup: publish.dup,
        }),
        _ => Incoming::Other,
    }
}

fn stop_v4(error: rumqttc_v4::ConnectionError) -> Stop {
    use rumqttc_v4::{ConnectionError, StateError};
    match error {
        ConnectionError::ConnectionRefused(_) => Stop::Refused,
        ConnectionError::RequestsDone => Stop::Done,
        ConnectionError::MqttState(StateError::AwaitPingResp) => Stop::NoPing,
        ConnectionError::Io(error) | ConnectionError::MqttState(StateError::Io(error)) => {
            Stop::Transport(error.to_string())
        }
        ConnectionError::MqttState(StateError::ConnectionAborted)
        | ConnectionError::NetworkTimeout
        | ConnectionError::FlushTimeout => Stop::Transport(error.to_string()),
        ConnectionError::MqttState(StateError::Deserialization(_)) => {
            Stop::Protocol(NOT_A_PACKET.to_owned())
        }
        ConnectionError::MqttState(StateError::Unsolicited(id)) => Stop::Protocol(unasked(id)),
        ConnectionError::MqttState(StateError::ProtocolViolation(violation)) => {
            Stop::Protocol(violation.to_string())
        }
        ConnectionError::NotConnAck(_) => Stop::Protocol(NOT_CONNACK.to_owned()),
        ConnectionError::SessionStateMismatch { .. } => Stop::Protocol(OLD_SESSION.to_owned()),
        other => Stop::Protocol(other.to_string()),
    }
}

fn stop_v5(error: rumqttc::ConnectionError) -> Stop {
    use rumqttc::{ConnectionError, StateError};
    match error {
        ConnectionError::ConnectionRefused(_)
        | ConnectionError::MqttState(StateError::ConnFail { .. }) => Stop::Refused,
        ConnectionError::RequestsDone => Stop::Done,
        ConnectionError::MqttState(StateError::AwaitPingResp) => Stop::NoPing,
        ConnectionError::MqttState(StateError::ServerDisconnect {
            reason_code,
            reason_string,
        }) => Stop::Disconnected(Reason::v5(reason_code as u8, reason_string)),
        ConnectionError::Io(error) | ConnectionError::MqttState(StateError::Io(error)) => {
            Stop::Transport(error.to_string())
        }
        ConnectionError::MqttState(StateError::ConnectionAborted) | ConnectionError::Timeout(_) => {
            Stop::Transport(error.to_string())
        }
        ConnectionError::MqttState(StateError::Deserialization(_)) => {
            Stop::Protocol(NOT_A_PACKET.to_owned())
        }
        ConnectionError::MqttState(StateError::IncomingPacketTooLarge { pkt_size, max }) => {
            Stop::Protocol(format!(
                "it sent a packet of {pkt_size} bytes, and {max} are the most that AWS IoT sends"
            ))
        }
        ConnectionError::MqttState(StateError::Unsolicited(id)) => Stop::Protocol(unasked(id)),
        ConnectionError::MqttState(StateError::ProtocolViolation(violation)) => {
            Stop::Protocol(violation.to_string())
        }
        ConnectionError::NotConnAck(_) => Stop::Protocol(NOT_CONNACK.to_owned()),
        ConnectionError::SessionStateMismatch { .. } => Stop::Protocol(OLD_SESSION.to_owned()),
        other => Stop::Protocol(other.to_string()),
    }
}

const NOT_A_PACKET: &str = "it sent bytes that are no MQTT packet";
const NOT_CONNACK: &str = "it answered CONNECT with something else than CONNACK";
const OLD_SESSION: &str = "it resumed a session where a clean one was asked for";

fn unasked(id: u16) -> String {
    format!("it acknowledged packet {id}, which was not sent")
}

fn published_v5(result: Result<rumqttc::PublishResult, rumqttc::PublishNoticeError>) -> Published {
    use rumqttc::{PublishNoticeError, PublishResult};
    match result {
        Ok(PublishResult::Qos1(ack)) if (ack.reason as u8) >= 0x80 => {
            Published::Denied(Reason::v5(
                ack.reason as u8,
                ack.properties.and_then(|p| p.reason_string),
            ))
        }
        Ok(_) => Published::Accepted,
        Err(PublishNoticeError::V5PubAck(reason)) => {
            Published::Denied(Reason::v5(reason as u8, None))
        }
        Err(PublishNoticeError::RetainNotSupported) => Published::Denied(Reason::v5(0x9A, None)),
        Err(_) => Published::Unknown,
    }
}

fn granted_v4(code: rumqttc_v4::SubscribeReasonCode) -> Result<Qos, Reason> {
    match code {
        rumqttc_v4::SubscribeReasonCode::Success(rumqttc_v4::QoS::AtMostOnce) => {
            Ok(Qos::AtMostOnce)
        }
        rumqttc_v4::SubscribeReasonCode::Success(_) => Ok(Qos::AtLeastOnce),
        rumqttc_v4::SubscribeReasonCode::Failure => Err(Reason::v311_suback()),
    }
}

fn granted_v5(code: rumqttc::SubscribeReasonCode, text: Option<String>) -> Result<Qos, Reason> {
    use rumqttc::SubscribeReasonCode as Code;
    let number = match code {
        Code::Success(rumqttc::QoS::AtMostOnce) => return Ok(Qos::AtMostOnce),
        Code::Success(_) => return Ok(Qos::AtLeastOnce),
        Code::Failure | Code::Unspecified => 0x80,
        Code::ImplementationSpecific => 0x83,
        Code::NotAuthorized => 0x87,
        Code::TopicFilterInvalid => 0x8F,
        Code::PkidInUse => 0x91,
        Code::QuotaExceeded => 0x97,
        Code::SharedSubscriptionsNotSupported => 0x9E,
        Code::SubscriptionIdNotSupported => 0xA1,
        Code::WildcardSubscriptionsNotSupported => 0xA2,
    };
    Err(Reason::v5(number, text))
}

/// rumqttc has checked that a topic is UTF-8.
fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
