//! Packets a client sends, in one form for both versions.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use bytestring::ByteString;

use crate::{Publish, QoS};

/// A packet from a client.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Packet {
    /// CONNECT.
    Connect(Box<Connect>),
    /// PUBLISH.
    Publish(Publish),
    /// PUBACK: the client has the QoS 1 message with this packet id.
    PubAck {
        /// The packet id the server gave the message.
        packet_id: NonZeroU16,
        /// 0 for success; always 0 in 3.1.1.
        reason: u8,
    },
    /// SUBSCRIBE.
    Subscribe(Subscribe),
    /// UNSUBSCRIBE.
    Unsubscribe(Unsubscribe),
    /// PINGREQ.
    Ping,
    /// DISCONNECT.
    Disconnect {
        /// 0 for a plain goodbye, [`crate::reason::DISCONNECT_WITH_WILL`] to have the will sent.
        reason: u8,
        /// A new session expiry interval in seconds (MQTT 5).
        session_expiry: Option<u32>,
    },
    /// A packet that is MQTT but that a broker without QoS 2 and enhanced authentication never
    /// takes: its name.
    Unsupported(&'static str),
}

/// CONNECT.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Connect {
    /// Client id; empty when the server is to assign one.
    pub client_id: ByteString,
    /// Clean session (3.1.1) or clean start (5).
    pub clean_start: bool,
    /// Keep alive in seconds as sent; 0 for none.
    pub keep_alive: u16,
    /// Will message.
    pub will: Option<Will>,
    /// Session expiry interval in seconds (MQTT 5; 0 when absent, and always in 3.1.1).
    pub session_expiry: u32,
    /// Most unacknowledged QoS 1 messages the client takes (MQTT 5; 65535 when absent).
    pub receive_maximum: u16,
    /// Largest packet the client takes, in bytes (MQTT 5).
    pub maximum_packet_size: Option<NonZeroU32>,
    /// How many topic aliases the client takes (MQTT 5).
    pub topic_alias_maximum: u16,
    /// Whether reason strings and user properties may be sent with answers (MQTT 5).
    pub request_problem_information: bool,
    /// User name; AWS reads SDK metrics or a custom authorizer's name out of it.
    pub username: Option<ByteString>,
    /// Name of an enhanced authentication method, which AWS does not offer (MQTT 5).
    pub authentication_method: Option<ByteString>,
}

/// Will of a CONNECT.
#[derive(Clone, Debug, PartialEq)]
pub struct Will {
    /// Topic.
    pub topic: ByteString,
    /// Payload.
    pub payload: Bytes,
    /// Quality of service.
    pub qos: QoS,
    /// Whether it is to be retained.
    pub retain: bool,
    /// Message expiry interval in seconds (MQTT 5).
    pub message_expiry: Option<u32>,
    /// MQTT 5 properties to pass on, encoded as in a PUBLISH, without their length.
    pub properties: Bytes,
}

/// SUBSCRIBE.
#[derive(Clone, Debug, PartialEq)]
pub struct Subscribe {
    /// Packet id to answer with.
    pub packet_id: NonZeroU16,
    /// Filters, in order.
    pub filters: Vec<Filter>,
}

/// A topic filter of a SUBSCRIBE with its options.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Filter {
    /// The filter, `$share/<group>/` included.
    pub filter: ByteString,
    /// Highest QoS wanted.
    pub qos: QoS,
    /// Whether the client's own messages are left out (MQTT 5).
    pub no_local: bool,
    /// Whether the retain flag is passed on as published (MQTT 5).
    pub retain_as_published: bool,
    /// When retained messages are sent: 0 always, 1 for a new subscription only, 2 never (MQTT 5).
    pub retain_handling: u8,
}

/// UNSUBSCRIBE.
#[derive(Clone, Debug, PartialEq)]
pub struct Unsubscribe {
    /// Packet id to answer with.
    pub packet_id: NonZeroU16,
    /// Filters, in order.
    pub filters: Vec<ByteString>,
}
