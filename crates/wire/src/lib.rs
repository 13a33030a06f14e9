//! MQTT 3.1.1 and 5 packets and AWS's limits; nothing about sockets.
//!
//! One set of types for both protocol versions, so that a broker or a load generator is written once.
//! `rmqtt-codec` decodes and encodes everything that is rare (CONNECT, SUBSCRIBE, …) and never shows
//! in a signature, so it can be replaced; PUBLISH and PUBACK, which are not rare, are read and written
//! here without copying or allocating.

mod arrival;
mod client;
mod decode;
mod encode;
mod error;
pub mod limits;
mod packet;
mod properties;
mod publish;
pub mod reason;
mod sniff;
pub mod topic;

pub use arrival::Arrival;
pub use client::{
    ClientConnect, FromServer, decode_from_server, encode_connect, encode_disconnect_from_client,
    encode_ping, encode_subscribe, encode_unsubscribe,
};
pub use decode::{Frames, Peeled, decode};
pub use encode::{
    ConnAck, encode_connack, encode_disconnect, encode_ping_response, encode_puback, encode_suback,
    encode_unsuback,
};
pub use error::WireError;
pub use packet::{Connect, Filter, Packet, Subscribe, Unsubscribe, Will};
pub use properties::MessageProperties;
pub use publish::{Encoded, Outline, Publish, encode_publish};
pub use sniff::{Sniffed, sniff};

/// The MQTT version of a connection, chosen by the protocol level of its CONNECT.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Version {
    /// MQTT 3.1.1, protocol level 4.
    V3,
    /// MQTT 5, protocol level 5.
    V5,
}

/// Quality of service.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum QoS {
    /// 0: at most once, not acknowledged.
    AtMostOnce = 0,
    /// 1: at least once, acknowledged with PUBACK.
    AtLeastOnce = 1,
    /// 2: exactly once. AWS IoT Core does not support it.
    ExactlyOnce = 2,
}

impl QoS {
    pub(crate) fn from_bits(bits: u8) -> Result<Self, WireError> {
        match bits {
            0 => Ok(Self::AtMostOnce),
            1 => Ok(Self::AtLeastOnce),
            2 => Ok(Self::ExactlyOnce),
            _ => Err(WireError::Malformed("QoS 3")),
        }
    }
}
