//! From answers to bytes: the packets a server sends, except PUBLISH.

use std::num::NonZeroU16;

use bytes::{BufMut, BytesMut};
use bytestring::ByteString;
use rmqtt_codec::{types::QoS as CodecQoS, v5};
use tokio_util::codec::Encoder;

use crate::{Version, WireError};

/// CONNACK. The properties are written for MQTT 5 only, and only when the connection is accepted.
#[derive(Clone, Debug, Default)]
pub struct ConnAck {
    /// 0 when accepted; an MQTT 5 reason code, or for 3.1.1 a return code from 1 to 5.
    pub reason: u8,
    /// Whether a session was resumed.
    pub session_present: bool,
    /// Session expiry interval in force, in seconds, when it is not the one asked for.
    pub session_expiry: Option<u32>,
    /// Most unacknowledged QoS 1 messages the server takes.
    pub receive_maximum: u16,
    /// Largest packet the server takes, in bytes.
    pub maximum_packet_size: u32,
    /// The client id the server made up, when the client sent none.
    pub assigned_client_id: Option<ByteString>,
    /// How many topic aliases the server takes.
    pub topic_alias_maximum: u16,
    /// Keep alive in force, in seconds.
    pub server_keep_alive: u16,
}

/// Appends a CONNACK as AWS IoT Core fills it in: maximum QoS 1, no subscription identifiers.
///
/// # Errors
/// The assigned client id does not fit a field of a packet.
pub fn encode_connack(
    out: &mut Vec<u8>,
    version: Version,
    connack: &ConnAck,
) -> Result<(), WireError> {
    if version == Version::V3 || connack.reason != 0 {
        let flags = u8::from(connack.session_present && connack.reason == 0);
        match version {
            Version::V3 => out.extend_from_slice(&[0x20, 2, flags, connack.reason]),
            Version::V5 => out.extend_from_slice(&[0x20, 3, flags, connack.reason, 0]),
        }
        return Ok(());
    }
    let packet = v5::ConnectAck {
        session_present: connack.session_present,
        session_expiry_interval_secs: connack.session_expiry,
        receive_max: NonZeroU16::new(connack.receive_maximum).unwrap_or(NonZeroU16::MAX),
        max_qos: CodecQoS::AtLeastOnce,
        max_packet_size: Some(connack.maximum_packet_size),
        assigned_client_id: connack.assigned_client_id.clone(),
        topic_alias_max: connack.topic_alias_maximum,
        subscription_identifiers_available: false,
        server_keepalive_sec: Some(connack.server_keep_alive),
        ..v5::ConnectAck::default()
    };
    let mut bytes = BytesMut::new();
    v5::Codec::new(0, 0).encode(v5::Packet::ConnectAck(Box::new(packet)), &mut bytes)?;
    out.extend_from_slice(&bytes);
    Ok(())
}

/// Appends a PUBACK; `reason` is dropped for 3.1.1, which has none.
pub fn encode_puback(out: &mut Vec<u8>, version: Version, packet_id: NonZeroU16, reason: u8) {
    let [high, low] = packet_id.get().to_be_bytes();
    if version == Version::V3 || reason == 0 {
        out.extend_from_slice(&[0x40, 2, high, low]);
    } else {
        out.extend_from_slice(&[0x40, 3, high, low, reason]);
    }
}

/// Appends a SUBACK: a granted QoS or a reason code for each filter. Codes that 3.1.1 does not have
/// become its one failure code, 0x80.
pub fn encode_suback(out: &mut Vec<u8>, version: Version, packet_id: NonZeroU16, codes: &[u8]) {
    out.push(0x90);
    write_acknowledgement(out, version, packet_id, codes.len());
    match version {
        Version::V3 => out.extend(codes.iter().map(|code| match code {
            0..=2 => *code,
            _ => crate::reason::UNSPECIFIED,
        })),
        Version::V5 => out.extend_from_slice(codes),
    }
}

/// Appends an UNSUBACK: a reason code for each filter, which 3.1.1 does not carry.
pub fn encode_unsuback(out: &mut Vec<u8>, version: Version, packet_id: NonZeroU16, codes: &[u8]) {
    out.push(0xB0);
    match version {
        Version::V3 => write_acknowledgement(out, version, packet_id, 0),
        Version::V5 => {
            write_acknowledgement(out, version, packet_id, codes.len());
            out.extend_from_slice(codes);
        }
    }
}

/// Appends a PINGRESP.
pub fn encode_ping_response(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xD0, 0]);
}

/// Appends a DISCONNECT with a reason code. Servers of 3.1.1 send none: nothing is written then.
pub fn encode_disconnect(out: &mut Vec<u8>, version: Version, reason: u8) {
    if version == Version::V5 {
        // The empty property length may be left out (MQTT 5, 3.14.2.2.1), but not every client knows.
        out.extend_from_slice(&[0xE0, 2, reason, 0]);
    }
}

fn write_acknowledgement(out: &mut Vec<u8>, version: Version, packet_id: NonZeroU16, codes: usize) {
    let properties = usize::from(version == Version::V5);
    write_length(out, 2 + properties + codes);
    out.put_u16(packet_id.get());
    if version == Version::V5 {
        out.push(0);
    }
}

/// Appends a variable byte integer. Lengths are bounded by the packet limits, far below its maximum.
pub(crate) fn write_length(out: &mut Vec<u8>, mut length: usize) {
    loop {
        let byte = (length & 0x7F) as u8;
        length >>= 7;
        if length == 0 {
            out.push(byte);
            return;
        }
        out.push(byte | 0x80);
    }
}

pub(crate) fn length_of_length(length: usize) -> usize {
    match length {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FromServer, decode_from_server};
    use bytes::Bytes;

    fn id(id: u16) -> NonZeroU16 {
        NonZeroU16::new(id).unwrap()
    }

    #[test]
    fn a_v5_connack_says_what_aws_offers() {
        let mut out = Vec::new();
        let connack = ConnAck {
            session_expiry: Some(3600),
            receive_maximum: 100,
            maximum_packet_size: 149_504,
            topic_alias_maximum: 8,
            server_keep_alive: 30,
            ..ConnAck::default()
        };
        encode_connack(&mut out, Version::V5, &connack).unwrap();
        let body = Bytes::copy_from_slice(&out[2..]);
        let FromServer::ConnAck {
            reason,
            receive_maximum,
            server_keep_alive,
            session_expiry,
            ..
        } = decode_from_server(Version::V5, out[0], body).unwrap()
        else {
            panic!("not a CONNACK");
        };
        assert_eq!((reason, receive_maximum), (0, 100));
        assert_eq!((server_keep_alive, session_expiry), (Some(30), Some(3600)));
    }

    #[test]
    fn acknowledgements_have_their_exact_bytes() {
        let mut out = Vec::new();
        encode_puback(&mut out, Version::V3, id(0x0102), 0x87);
        encode_puback(&mut out, Version::V5, id(0x0102), 0x87);
        encode_suback(&mut out, Version::V3, id(1), &[1, 0x87]);
        encode_suback(&mut out, Version::V5, id(1), &[1, 0x87]);
        encode_unsuback(&mut out, Version::V3, id(1), &[0]);
        encode_unsuback(&mut out, Version::V5, id(1), &[0]);
        encode_disconnect(&mut out, Version::V3, 0x8E);
        encode_disconnect(&mut out, Version::V5, 0x8E);
        assert_eq!(
            out,
            b"\x40\x02\x01\x02\x40\x03\x01\x02\x87\x90\x04\x00\x01\x01\x80\x90\x05\x00\x01\x00\x01\x87\
              \xb0\x02\x00\x01\xb0\x04\x00\x01\x00\x00\xe0\x02\x8e\x00"
        );
    }
}
