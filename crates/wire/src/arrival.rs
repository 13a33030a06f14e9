//! What a client reads most, PUBLISH and PUBACK, read where it lies: nothing is copied or allocated.

use std::num::NonZeroU16;

use crate::decode::{TRUNCATED, minimal_length};
use crate::{QoS, Version, WireError};

/// A packet from a server, sharing the bytes it was read from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Arrival<'a> {
    /// PUBLISH; properties of MQTT 5 are passed over.
    Publish {
        /// Topic.
        topic: &'a str,
        /// Payload.
        payload: &'a [u8],
        /// Packet id to acknowledge; none at QoS 0.
        packet_id: Option<NonZeroU16>,
        /// Whether the server sends it again.
        dup: bool,
    },
    /// PUBACK.
    PubAck {
        /// Packet id of the message.
        packet_id: NonZeroU16,
        /// 0 for success.
        reason: u8,
    },
    /// Another packet: [`crate::decode_from_server`] reads it.
    Other,
}

impl<'a> Arrival<'a> {
    /// Reads it: `first` and `body` are what [`crate::Frames::peel`] gave.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(version: Version, first: u8, body: &'a [u8]) -> Result<Self, WireError> {
        match first >> 4 {
            3 => publish(version, first, body),
            4 => {
                let (packet_id, rest) = packet_id(body)?;
                Ok(Self::PubAck {
                    packet_id,
                    reason: rest.first().copied().unwrap_or(0),
                })
            }
            _ => Ok(Self::Other),
        }
    }
}

fn publish(version: Version, first: u8, body: &[u8]) -> Result<Arrival<'_>, WireError> {
    let qos = QoS::from_bits(first >> 1 & 3)?;
    let (length, rest) = body.split_first_chunk::<2>().ok_or(TRUNCATED)?;
    let (topic, rest) = rest
        .split_at_checked(usize::from(u16::from_be_bytes(*length)))
        .ok_or(TRUNCATED)?;
    let topic = std::str::from_utf8(topic).map_err(|_| WireError::Malformed("topic"))?;
    let (packet_id, mut rest) = match qos {
        QoS::AtMostOnce => (None, rest),
        _ => {
            let (id, rest) = packet_id(rest)?;
            (Some(id), rest)
        }
    };
    if version == Version::V5 {
        let (length, header) = minimal_length(rest)?.ok_or(TRUNCATED)?;
        rest = rest.get(header + length..).ok_or(TRUNCATED)?;
    }
    Ok(Arrival::Publish {
        topic,
        payload: rest,
        packet_id,
        dup: first & 8 != 0,
    })
}

fn packet_id(body: &[u8]) -> Result<(NonZeroU16, &[u8]), WireError> {
    let (id, rest) = body.split_first_chunk::<2>().ok_or(TRUNCATED)?;
    let id = NonZeroU16::new(u16::from_be_bytes(*id)).ok_or(WireError::Malformed("packet id"))?;
    Ok((id, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Frames, Outline, encode_puback, encode_publish};

    #[test]
    fn it_agrees_with_what_is_written_and_no_cut_packet_is_read() {
        for version in [Version::V3, Version::V5] {
            let mut out = Vec::new();
            let outline = Outline {
                topic: "a/b",
                payload: b"payload",
                qos: QoS::AtLeastOnce,
                retain: false,
                dup: true,
                packet_id: 7,
                properties: b"\x01\x01",
                message_expiry: Some(9),
                alias: None,
            };
            encode_publish(&mut out, version, &outline);
            let frames = Frames::new(1000);
            let (first, body, size) = frames.peel(&out).unwrap().unwrap();
            assert_eq!(size, out.len());
            let packet_id = NonZeroU16::new(7);
            assert_eq!(
                Arrival::read(version, first, body).unwrap(),
                Arrival::Publish {
                    topic: "a/b",
                    payload: b"payload",
                    packet_id,
                    dup: true
                }
            );
            for end in 0..out.len() {
                assert_eq!(frames.peel(&out[..end]).unwrap(), None);
            }
            // A body that ends early is an error or a shorter payload, never a panic.
            for end in 0..body.len() {
                let _ = Arrival::read(version, first, &body[..end]);
            }
            let mut out = Vec::new();
            encode_puback(&mut out, version, packet_id.unwrap(), 0x87);
            let (first, body, _) = frames.peel(&out).unwrap().unwrap();
            let reason = if version == Version::V5 { 0x87 } else { 0 };
            assert_eq!(
                Arrival::read(version, first, body).unwrap(),
                Arrival::PubAck {
                    packet_id: packet_id.unwrap(),
                    reason
                }
            );
        }
        assert_eq!(Arrival::read(Version::V5, 0xD0, b""), Ok(Arrival::Other));
    }
}
