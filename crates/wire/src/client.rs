//! The client's side: what it writes, and what it reads from a server.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::{BufMut, Bytes, BytesMut};
use bytestring::ByteString;
use rmqtt_codec::{types::QoS as CodecQoS, v3, v5};
use tokio_util::codec::{Decoder, Encoder};

use crate::encode::write_length;
use crate::publish::decode_publish;
use crate::{Publish, QoS, Version, WireError};

/// What goes into a CONNECT.
#[derive(Clone, Debug, Default)]
pub struct ClientConnect {
    /// Client id.
    pub client_id: String,
    /// Clean session (3.1.1) or clean start (5).
    pub clean_start: bool,
    /// Keep alive in seconds.
    pub keep_alive: u16,
    /// Session expiry interval in seconds (MQTT 5).
    pub session_expiry: u32,
    /// Most unacknowledged QoS 1 messages this client takes (MQTT 5; none means 65535).
    pub receive_maximum: Option<NonZeroU16>,
    /// Largest packet this client takes, in bytes (MQTT 5).
    pub maximum_packet_size: Option<NonZeroU32>,
    /// How many topic aliases this client takes (MQTT 5).
    pub topic_alias_maximum: u16,
    /// Will: topic, payload, QoS, retain.
    pub will: Option<(String, Bytes, QoS, bool)>,
}

/// A packet from a server.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum FromServer {
    /// CONNACK.
    ConnAck {
        /// 0 when accepted.
        reason: u8,
        /// Whether a session was resumed.
        session_present: bool,
        /// Session expiry in seconds, when the server changed it (MQTT 5).
        session_expiry: Option<u32>,
        /// Most unacknowledged QoS 1 messages the server takes.
        receive_maximum: u16,
        /// The client id the server made up (MQTT 5).
        assigned_client_id: Option<ByteString>,
        /// Keep alive in force, in seconds (MQTT 5).
        server_keep_alive: Option<u16>,
    },
    /// PUBLISH.
    Publish(Publish),
    /// PUBACK.
    PubAck {
        /// Packet id of the message.
        packet_id: NonZeroU16,
        /// 0 for success.
        reason: u8,
    },
    /// SUBACK.
    SubAck {
        /// Packet id of the SUBSCRIBE.
        packet_id: NonZeroU16,
        /// A granted QoS or a reason code for each filter.
        codes: Vec<u8>,
    },
    /// UNSUBACK.
    UnsubAck {
        /// Packet id of the UNSUBSCRIBE.
        packet_id: NonZeroU16,
    },
    /// PINGRESP.
    Ping,
    /// DISCONNECT with its reason code (MQTT 5).
    Disconnect(u8),
}

/// Appends a CONNECT.
///
/// # Errors
/// A text is longer than 65535 bytes.
pub fn encode_connect(
    out: &mut Vec<u8>,
    version: Version,
    connect: &ClientConnect,
) -> Result<(), WireError> {
    let mut bytes = BytesMut::new();
    match version {
        Version::V3 => {
            let packet = v3::Connect {
                clean_session: connect.clean_start,
                keep_alive: connect.keep_alive,
                last_will: connect.will.as_ref().map(|(topic, message, qos, retain)| {
                    v3::LastWill {
                        qos: codec_qos(*qos),
                        retain: *retain,
                        topic: topic.clone().into(),
                        message: message.clone(),
                    }
                }),
                client_id: connect.client_id.clone().into(),
                ..v3::Connect::default()
            };
            v3::Codec::new(0).encode(packet.into(), &mut bytes)?;
        }
        Version::V5 => {
            let packet = v5::Connect {
                clean_start: connect.clean_start,
                keep_alive: connect.keep_alive,
                session_expiry_interval_secs: connect.session_expiry,
                receive_max: connect.receive_maximum,
                topic_alias_max: connect.topic_alias_maximum,
                max_packet_size: connect.maximum_packet_size,
                last_will: connect.will.as_ref().map(|(topic, message, qos, retain)| {
                    v5::LastWill {
                        qos: codec_qos(*qos),
                        retain: *retain,
                        topic: topic.clone().into(),
                        message: message.clone(),
                        will_delay_interval_sec: None,
                        correlation_data: None,
                        message_expiry_interval: None,
                        content_type: None,
                        user_properties: Vec::new(),
                        is_utf8_payload: None,
                        response_topic: None,
                    }
                }),
                client_id: connect.client_id.clone().into(),
                ..v5::Connect::default()
            };
            v5::Codec::new(0, 0).encode(packet.into(), &mut bytes)?;
        }
    }
    out.extend_from_slice(&bytes);
    Ok(())
}

/// Appends a SUBSCRIBE with one QoS for each filter.
pub fn encode_subscribe(
    out: &mut Vec<u8>,
    version: Version,
    packet_id: NonZeroU16,
    filters: &[(&str, QoS)],
) {
    let size: usize = filters.iter().map(|(filter, _)| filter.len() + 3).sum();
    encode_filters(out, version, 0x82, packet_id, size);
    for (filter, qos) in filters {
        out.put_u16(filter.len() as u16);
        out.extend_from_slice(filter.as_bytes());
        out.push(*qos as u8);
    }
}

/// Appends an UNSUBSCRIBE.
pub fn encode_unsubscribe(
    out: &mut Vec<u8>,
    version: Version,
    packet_id: NonZeroU16,
    filters: &[&str],
) {
    let size: usize = filters.iter().map(|filter| filter.len() + 2).sum();
    encode_filters(out, version, 0xA2, packet_id, size);
    for filter in filters {
        out.put_u16(filter.len() as u16);
        out.extend_from_slice(filter.as_bytes());
    }
}

/// Appends a PINGREQ.
pub fn encode_ping(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xC0, 0]);
}

/// Appends a plain DISCONNECT, which discards the will.
pub fn encode_disconnect_from_client(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xE0, 0]);
}

/// Reads a packet sent by a server: `first` and `body` are what [`crate::Frames::next`] gave.
///
/// # Errors
/// What is wrong with it.
pub fn decode_from_server(
    version: Version,
    first: u8,
    body: Bytes,
) -> Result<FromServer, WireError> {
    match first >> 4 {
        3 => return decode_publish(version, first, body).map(FromServer::Publish),
        13 => return Ok(FromServer::Ping),
        14 => return Ok(FromServer::Disconnect(body.first().copied().unwrap_or(0))),
        _ => {}
    }
    let mut packet = vec![first];
    write_length(&mut packet, body.len());
    packet.extend_from_slice(&body);
    let mut packet = BytesMut::from(&packet[..]);
    match version {
        Version::V3 => match v3::Codec::new(0)
            .decode(&mut packet)?
            .map(|(packet, _)| packet)
        {
            Some(v3::Packet::ConnectAck(connack)) => Ok(FromServer::ConnAck {
                reason: connack.return_code.into(),
                session_present: connack.session_present,
                session_expiry: None,
                receive_maximum: u16::MAX,
                assigned_client_id: None,
                server_keep_alive: None,
            }),
            Some(v3::Packet::PublishAck { packet_id }) => Ok(FromServer::PubAck {
                packet_id,
                reason: 0,
            }),
            Some(v3::Packet::SubscribeAck { packet_id, status }) => Ok(FromServer::SubAck {
                packet_id,
                codes: status
                    .into_iter()
                    .map(|code| match code {
                        v3::SubscribeReturnCode::Success(qos) => qos.into(),
                        v3::SubscribeReturnCode::Failure => crate::reason::UNSPECIFIED,
                    })
                    .collect(),
            }),
            Some(v3::Packet::UnsubscribeAck { packet_id }) => {
                Ok(FromServer::UnsubAck { packet_id })
            }
            _ => Err(NOT_FROM_A_SERVER),
        },
        Version::V5 => match v5::Codec::new(0, 0)
            .decode(&mut packet)?
            .map(|(packet, _)| packet)
        {
            Some(v5::Packet::ConnectAck(connack)) => Ok(FromServer::ConnAck {
                reason: connack.reason_code.into(),
                session_present: connack.session_present,
                session_expiry: connack.session_expiry_interval_secs,
                receive_maximum: connack.receive_max.get(),
                assigned_client_id: connack.assigned_client_id,
                server_keep_alive: connack.server_keepalive_sec,
            }),
            Some(v5::Packet::PublishAck(ack)) => Ok(FromServer::PubAck {
                packet_id: ack.packet_id,
                reason: ack.reason_code.into(),
            }),
            Some(v5::Packet::SubscribeAck(ack)) => Ok(FromServer::SubAck {
                packet_id: ack.packet_id,
                codes: ack.status.into_iter().map(Into::into).collect(),
            }),
            Some(v5::Packet::UnsubscribeAck(ack)) => Ok(FromServer::UnsubAck {
                packet_id: ack.packet_id,
            }),
            _ => Err(NOT_FROM_A_SERVER),
        },
    }
}

fn encode_filters(
    out: &mut Vec<u8>,
    version: Version,
    first: u8,
    packet_id: NonZeroU16,
    size: usize,
) {
    let properties = usize::from(version == Version::V5);
    out.push(first);
    write_length(out, 2 + properties + size);
    out.put_u16(packet_id.get());
    if version == Version::V5 {
        out.push(0);
    }
}

fn codec_qos(qos: QoS) -> CodecQoS {
    match qos {
        QoS::AtMostOnce => CodecQoS::AtMostOnce,
        QoS::AtLeastOnce => CodecQoS::AtLeastOnce,
        QoS::ExactlyOnce => CodecQoS::ExactlyOnce,
    }
}

const NOT_FROM_A_SERVER: WireError = WireError::Malformed("not a packet a server sends");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Frames, Packet, decode};

    #[test]
    fn a_server_reads_what_a_client_writes() {
        for version in [Version::V3, Version::V5] {
            let id = NonZeroU16::new(9).unwrap();
            let mut out = Vec::new();
            let connect = ClientConnect {
                client_id: "c".into(),
                keep_alive: 30,
                will: Some((
                    "w".into(),
                    Bytes::from_static(b"x"),
                    QoS::AtLeastOnce,
                    false,
                )),
                ..ClientConnect::default()
            };
            encode_connect(&mut out, version, &connect).unwrap();
            encode_subscribe(
                &mut out,
                version,
                id,
                &[("a/#", QoS::AtLeastOnce), ("b", QoS::AtMostOnce)],
            );
            encode_unsubscribe(&mut out, version, id, &["b"]);
            encode_ping(&mut out);
            encode_disconnect_from_client(&mut out);
            let mut stream = BytesMut::from(&out[..]);
            let mut kinds = Vec::new();
            while let Some((first, body)) = Frames::new(1000).next(&mut stream).unwrap() {
                kinds.push(match decode(version, first, body).unwrap() {
                    Packet::Connect(connect) => {
                        assert!(connect.will.is_some());
                        "connect"
                    }
                    Packet::Subscribe(subscribe) => {
                        assert_eq!(subscribe.filters.len(), 2);
                        assert_eq!(subscribe.filters[0].qos, QoS::AtLeastOnce);
                        "subscribe"
                    }
                    Packet::Unsubscribe(_) => "unsubscribe",
                    Packet::Ping => "ping",
                    Packet::Disconnect { reason: 0, .. } => "disconnect",
                    _ => "other",
                });
            }
            assert_eq!(
                kinds,
                ["connect", "subscribe", "unsubscribe", "ping", "disconnect"]
            );
        }
    }
}
