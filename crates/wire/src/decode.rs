//! From bytes to packets: framing, and the packets a client sends.

use std::num::NonZeroU16;

use bytes::{Buf, Bytes, BytesMut};
use bytestring::ByteString;
use rmqtt_codec::{v3, v5};
use tokio_util::codec::Decoder;

use crate::encode::length_of_length;
use crate::properties::{self, MessageProperties};
use crate::publish::decode_publish;
use crate::{Connect, Filter, Packet, QoS, Subscribe, Unsubscribe, Version, Will, WireError};

/// A whole packet where it lies: its first byte, its body, and its size with the header.
pub type Peeled<'a> = (u8, &'a [u8], usize);

/// Cuts packets out of a stream of bytes.
#[derive(Clone, Copy, Debug)]
pub struct Frames {
    max: usize,
    minimal: bool,
}

impl Frames {
    /// Takes packets of at most `max` bytes, fixed header included.
    pub fn new(max: usize) -> Self {
        Self {
            max,
            minimal: false,
        }
    }

    /// The same for packets of this version: those of MQTT 5 write their length in as few bytes as it takes
    /// ([MQTT-1.5.5-1]); 3.1.1 does not ask for it.
    #[must_use]
    pub fn of(self, version: Version) -> Self {
        Self {
            minimal: version == Version::V5,
            ..self
        }
    }

    /// The first byte and the body of the next whole packet; none while bytes are missing.
    /// A packet that is too large is refused from its header, before its body has arrived.
    ///
    /// # Errors
    /// The length is malformed or above the maximum.
    pub fn next(&self, stream: &mut BytesMut) -> Result<Option<(u8, Bytes)>, WireError> {
        let Some((first, header, size)) = self.announced(stream)? else {
            return Ok(None);
        };
        if stream.len() < size {
            return Ok(None);
        }
        let mut packet = stream.split_to(size).freeze();
        packet.advance(header);
        Ok(Some((first, packet)))
    }

    /// As [`Frames::next`], for bytes that stay where they are.
    ///
    /// # Errors
    /// The length is malformed or above the maximum.
    pub fn peel<'a>(&self, stream: &'a [u8]) -> Result<Option<Peeled<'a>>, WireError> {
        let Some((first, header, size)) = self.announced(stream)? else {
            return Ok(None);
        };
        Ok(stream.get(header..size).map(|body| (first, body, size)))
    }

    /// Looks at the length that the next packet announces, while it is not known yet how to read it.
    ///
    /// # Errors
    /// The length is malformed or above the maximum.
    pub fn check(&self, stream: &[u8]) -> Result<(), WireError> {
        self.announced(stream).map(drop)
    }

    /// First byte, length of the fixed header, and size of the next packet; none while its header is not whole.
    fn announced(&self, stream: &[u8]) -> Result<Option<(u8, usize, usize)>, WireError> {
        let Some((&first, rest)) = stream.split_first() else {
            return Ok(None);
        };
        let read = match self.minimal {
            true => minimal_length(rest)?,
            false => remaining_length(rest)?,
        };
        let Some((length, bytes)) = read else {
            return Ok(None);
        };
        let header = 1 + bytes;
        let size = header + length;
        if size > self.max {
            return Err(WireError::TooLarge {
                size,
                max: self.max,
            });
        }
        Ok(Some((first, header, size)))
    }
}

/// Reads a packet sent by a client: `first` and `body` are what [`Frames::next`] gave.
///
/// # Errors
/// What is wrong with it; the connection cannot go on after that.
pub fn decode(version: Version, first: u8, body: Bytes) -> Result<Packet, WireError> {
    match first >> 4 {
        3 => decode_publish(version, first, body).map(Packet::Publish),
        4 if first == 0x40 => decode_puback(version, body),
        5..=7 => Ok(Packet::Unsupported("PUBREC, PUBREL or PUBCOMP")),
        12 if first == 0xC0 => empty(&body, Packet::Ping),
        15 => Ok(Packet::Unsupported("AUTH")),
        2 | 9 | 11 | 13 => Ok(Packet::Unsupported("a packet only servers send")),
        _ => match version {
            Version::V3 => decode_v3(first, body),
            Version::V5 => decode_v5(first, body),
        },
    }
}

/// The value and the length in bytes of a variable byte integer; none while bytes are missing.
pub(crate) fn remaining_length(bytes: &[u8]) -> Result<Option<(usize, usize)>, WireError> {
    let mut value = 0;
    for (index, &byte) in bytes.iter().enumerate().take(4) {
        value |= usize::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some((value, index + 1)));
        }
    }
    if bytes.len() >= 4 {
        return Err(WireError::Malformed("remaining length"));
    }
    Ok(None)
}

/// The same, where it must be written in as few bytes as it takes ([MQTT-1.5.5-1]).
pub(crate) fn minimal_length(bytes: &[u8]) -> Result<Option<(usize, usize)>, WireError> {
    let read = remaining_length(bytes)?;
    match read {
        Some((value, length)) if length > length_of_length(value) => {
            Err(WireError::Malformed("a length in more bytes than it takes"))
        }
        read => Ok(read),
    }
}

fn decode_puback(version: Version, mut body: Bytes) -> Result<Packet, WireError> {
    let packet_id = body
        .first_chunk::<2>()
        .and_then(|id| NonZeroU16::new(u16::from_be_bytes(*id)))
        .ok_or(WireError::Malformed("packet id"))?;
    body.advance(2);
    let reason = match body.first() {
        None => 0,
        Some(&reason) if version == Version::V5 => {
            if !PUBACK_REASONS.contains(&reason) {
                return Err(WireError::Malformed("reason of PUBACK"));
            }
            reason
        }
        Some(_) => return Err(WireError::Malformed("PUBACK has more than a packet id")),
    };
    if body.len() > 1 {
        body.advance(1);
        properties::check(&mut body, properties::OF_PUBACK)?;
        at_its_end(&body)?;
    }
    Ok(Packet::PubAck { packet_id, reason })
}

/// What a PUBACK may say (MQTT 5, 3.4.2.1).
const PUBACK_REASONS: [u8; 9] = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];

fn at_its_end(rest: &[u8]) -> Result<(), WireError> {
    match rest.is_empty() {
        true => Ok(()),
        false => Err(WireError::Malformed("bytes behind the last field")),
    }
}

fn empty(body: &[u8], packet: Packet) -> Result<Packet, WireError> {
    if body.is_empty() {
        Ok(packet)
    } else {
        Err(WireError::Malformed("a body where none may be"))
    }
}

fn decode_v3(first: u8, body: Bytes) -> Result<Packet, WireError> {
    if first == 0xE0 {
        return empty(
            &body,
            Packet::Disconnect {
                reason: 0,
                session_expiry: None,
            },
        );
    }
    check_connect_flags(first, &body)?;
    check_connect_fields(Version::V3, first, &body)?;
    let packet = v3::Codec::new(0)
        .decode(&mut reframe(first, &body))?
        .ok_or(TRUNCATED)?;
    match packet.0 {
        v3::Packet::Connect(connect) => {
            let connect = *connect;
            let will = match connect.last_will {
                Some(will) => Some(Will {
                    topic: text(will.topic)?,
                    payload: will.message,
                    qos: QoS::from_bits(will.qos.into())?,
                    retain: will.retain,
                    message_expiry: None,
                    properties: Bytes::new(),
                }),
                None => None,
            };
            Ok(Packet::Connect(Box::new(Connect {
                client_id: text(connect.client_id)?,
                clean_start: connect.clean_session,
                keep_alive: connect.keep_alive,
                will,
                session_expiry: 0,
                receive_maximum: u16::MAX,
                maximum_packet_size: None,
                topic_alias_maximum: 0,
                request_problem_information: false,
                username: connect.username,
                authentication_method: None,
            })))
        }
        v3::Packet::Subscribe {
            packet_id,
            topic_filters,
        } => {
            // [MQTT-3-8.3-4] The upper six bits are reserved; the codec masks them away.
            if !v3_subscribe_options_are_clean(&body) {
                return Err(WireError::Malformed("reserved bits of a requested QoS"));
            }
            let mut filters = Vec::with_capacity(topic_filters.len());
            for (filter, qos) in topic_filters {
                filters.push(Filter {
                    filter: text(filter)?,
                    qos: QoS::from_bits(qos.into())?,
                    no_local: false,
                    retain_as_published: false,
                    retain_handling: 0,
                });
            }
            Ok(Packet::Subscribe(Subscribe { packet_id, filters }))
        }
        v3::Packet::Unsubscribe {
            packet_id,
            topic_filters,
        } => Ok(Packet::Unsubscribe(Unsubscribe {
            packet_id,
            filters: texts(topic_filters)?,
        })),
        _ => Err(WireError::Malformed("packet type or its flags")),
    }
}

fn decode_v5(first: u8, body: Bytes) -> Result<Packet, WireError> {
    check_connect_flags(first, &body)?;
    check_connect_fields(Version::V5, first, &body)?;
    check_v5(first, &body)?;
    let packet = v5::Codec::new(0, 0)
        .decode(&mut reframe(first, &body))?
        .ok_or(TRUNCATED)?;
    match packet.0 {
        v5::Packet::Connect(connect) => {
            let connect = *connect;
            // MQTT 5, 3.1.2.11.10: a protocol error, which the codec lets pass.
            if connect.auth_data.is_some() && connect.auth_method.is_none() {
                return Err(WireError::Malformed("authentication data without a method"));
            }
            let will = connect.last_will.map(will_v5).transpose()?;
            Ok(Packet::Connect(Box::new(Connect {
                client_id: text(connect.client_id)?,
                clean_start: connect.clean_start,
                keep_alive: connect.keep_alive,
                will,
                session_expiry: connect.session_expiry_interval_secs,
                receive_maximum: connect.receive_max.map_or(u16::MAX, NonZeroU16::get),
                maximum_packet_size: connect.max_packet_size,
                topic_alias_maximum: connect.topic_alias_max,
                request_problem_information: connect.request_problem_info,
                username: connect.username,
                authentication_method: connect.auth_method,
            })))
        }
        v5::Packet::Subscribe(subscribe) => {
            if subscribe.id.is_some() {
                return Err(WireError::SubscriptionIdentifier);
            }
            let mut filters = Vec::with_capacity(subscribe.topic_filters.len());
            for (filter, options) in subscribe.topic_filters {
                filters.push(Filter {
                    filter: text(filter)?,
                    qos: QoS::from_bits(options.qos.into())?,
                    no_local: options.no_local,
                    retain_as_published: options.retain_as_published,
                    retain_handling: options.retain_handling.into(),
                });
            }
            Ok(Packet::Subscribe(Subscribe {
                packet_id: subscribe.packet_id,
                filters,
            }))
        }
        v5::Packet::Unsubscribe(unsubscribe) => Ok(Packet::Unsubscribe(Unsubscribe {
            packet_id: unsubscribe.packet_id,
            filters: texts(unsubscribe.topic_filters)?,
        })),
        v5::Packet::Disconnect(disconnect) => Ok(Packet::Disconnect {
            reason: disconnect.reason_code.into(),
            session_expiry: disconnect.session_expiry_interval_secs,
        }),
        _ => Err(WireError::Malformed("packet type or its flags")),
    }
}

fn will_v5(will: v5::LastWill) -> Result<Will, WireError> {
    let properties = MessageProperties::from(&will).encode()?;
    Ok(Will {
        topic: text(will.topic)?,
        payload: will.message,
        qos: QoS::from_bits(will.qos.into())?,
        retain: will.retain,
        message_expiry: will.message_expiry_interval.map(Into::into),
        properties,
    })
}

/// What the codec leaves unchecked: will QoS and will retain without a will ([MQTT-3.1.2-11] and
/// [MQTT-3.1.2-13]), which it checks for 3.1.1 only, and a password without a user name
/// ([MQTT-3.1.2-22], allowed in MQTT 5).
fn check_connect_flags(first: u8, body: &[u8]) -> Result<(), WireError> {
    if first != 0x10 {
        return Ok(());
    }
    let (Some(&level), Some(&flags)) = (body.get(6), body.get(7)) else {
        return Err(TRUNCATED);
    };
    if flags & 0x04 == 0 && flags & 0x38 != 0 {
        return Err(WireError::Malformed("will flags without a will"));
    }
    if level == 4 && flags & 0xC0 == 0x40 {
        return Err(WireError::Malformed("a password without a user name"));
    }
    Ok(())
}

/// What the codec leaves unchecked behind the header of a CONNECT: null characters in a user name, and bytes behind the
/// last field, which belong to no packet.
fn check_connect_fields(version: Version, first: u8, body: &Bytes) -> Result<(), WireError> {
    if first != 0x10 {
        return Ok(());
    }
    let flags = body.get(7).copied().ok_or(TRUNCATED)?;
    let mut rest = body.clone();
    // Protocol name, level, flags, keep alive.
    properties::take(&mut rest, 10)?;
    if version == Version::V5 {
        properties::check(&mut rest, properties::OF_CONNECT)?;
    }
    properties::take_text(&mut rest)?;
    if flags & 0x04 != 0 {
        if version == Version::V5 {
            properties::check(&mut rest, properties::OF_WILL)?;
        }
        properties::take_text(&mut rest)?;
        properties::take_binary(&mut rest)?;
    }
    if flags & 0x80 != 0 {
        properties::take_text(&mut rest)?;
    }
    if flags & 0x40 != 0 {
        properties::take_binary(&mut rest)?;
    }
    at_its_end(&rest)
}

/// What the codec for MQTT 5 takes for malformed, and is a protocol error.
fn check_v5(first: u8, body: &Bytes) -> Result<(), WireError> {
    let mut rest = body.clone();
    let (skipped, allowed) = match first {
        0x82 => (2, properties::OF_SUBSCRIBE),
        0xA2 => (2, properties::OF_UNSUBSCRIBE),
        // DISCONNECT may end before its properties, or before its reason.
        0xE0 if body.len() > 1 => (1, properties::OF_DISCONNECT),
        _ => return Ok(()),
    };
    properties::take(&mut rest, skipped)?;
    properties::check(&mut rest, allowed)?;
    // MQTT 5, 3.8.3.1: retain handling 3 is a protocol error.
    while first == 0x82 && !rest.is_empty() {
        properties::take_text(&mut rest)?;
        if properties::take(&mut rest, 1)?[0] & 0x30 == 0x30 {
            return Err(WireError::Protocol("retain handling 3"));
        }
    }
    Ok(())
}

fn v3_subscribe_options_are_clean(body: &[u8]) -> bool {
    let mut rest = &body[2..];
    while let Some(length) = rest.first_chunk::<2>() {
        let at = 2 + usize::from(u16::from_be_bytes(*length));
        match rest.get(at) {
            Some(options) if options & 0xFC == 0 => rest = &rest[at + 1..],
            _ => return false,
        }
    }
    true
}

/// The codec reads whole packets only; rare ones can afford the copy.
fn reframe(first: u8, body: &[u8]) -> BytesMut {
    let mut packet = Vec::with_capacity(body.len() + 5);
    packet.push(first);
    crate::encode::write_length(&mut packet, body.len());
    packet.extend_from_slice(body);
    BytesMut::from(&packet[..])
}

/// [MQTT-1.5.3-2] The null character is not allowed in text.
pub(crate) fn text(text: ByteString) -> Result<ByteString, WireError> {
    if text.as_bytes().contains(&0) {
        Err(WireError::Malformed("text with a null character"))
    } else {
        Ok(text)
    }
}

fn texts(all: Vec<ByteString>) -> Result<Vec<ByteString>, WireError> {
    all.into_iter().map(text).collect()
}

pub(crate) const TRUNCATED: WireError = WireError::Malformed("it ends too early");

#[cfg(test)]
mod tests {
    use super::*;

    fn all(version: Version, bytes: &[u8]) -> Result<Vec<Packet>, WireError> {
        let mut stream = BytesMut::from(bytes);
        let mut packets = Vec::new();
        while let Some((first, body)) = Frames::new(1 << 20).next(&mut stream)? {
            packets.push(decode(version, first, body)?);
        }
        Ok(packets)
    }

    #[test]
    fn packets_are_cut_out_of_a_stream_wherever_it_is_split() {
        let bytes = b"\x30\x05\x00\x01ahi\xc0\x00\x40\x02\x00\x07";
        let mut stream = BytesMut::new();
        let mut packets = Vec::new();
        for byte in bytes {
            stream.extend_from_slice(&[*byte]);
            while let Some((first, body)) = Frames::new(100).next(&mut stream).unwrap() {
                packets.push(decode(Version::V3, first, body).unwrap());
            }
        }
        assert_eq!(packets, all(Version::V3, bytes).unwrap());
        assert_eq!(packets.len(), 3);
    }

    #[test]
    fn a_packet_above_the_maximum_is_refused_from_its_header() {
        let mut stream = BytesMut::from(&b"\x30\x80\x80\x01"[..]);
        assert_eq!(
            Frames::new(100).next(&mut stream),
            Err(WireError::TooLarge {
                size: 16388,
                max: 100
            })
        );
        // The same is known before anybody can say which version it is.
        assert!(Frames::new(100).check(b"\x10\xff\xff\xff\x7f").is_err());
        assert!(Frames::new(100).check(b"\x10\xff").is_ok());
    }

    #[test]
    fn a_connect_is_read_in_both_versions() {
        let v3 = b"\x10\x18\x00\x04MQTT\x04\x2e\x00\x3c\x00\x01c\x00\x01w\x00\x03bye".as_slice();
        let Packet::Connect(connect) =
            &all(Version::V3, &[&[0x10, 21], &v3[2..]].concat()).unwrap()[0]
        else {
            panic!("not a CONNECT");
        };
        assert_eq!(&*connect.client_id, "c");
        let will = connect.will.as_ref().unwrap();
        assert_eq!(
            (will.qos, will.retain, &*will.topic),
            (QoS::AtLeastOnce, true, "w")
        );

        let v5 = b"\x10\x13\x00\x04MQTT\x05\x02\x00\x3c\x05\x11\x00\x00\x00\x0a\x00\x01c";
        let Packet::Connect(connect) = &all(Version::V5, v5).unwrap()[0] else {
            panic!("not a CONNECT");
        };
        assert_eq!(connect.session_expiry, 10);
        assert_eq!(connect.receive_maximum, 65535);
    }

    #[test]
    fn what_the_specification_forbids_is_malformed() {
        for (version, bytes) in [
            // Will QoS without a will, in MQTT 5.
            (
                Version::V5,
                &b"\x10\x0e\x00\x04MQTT\x05\x0a\x00\x3c\x00\x00\x01c"[..],
            ),
            // Password without user name, in 3.1.1.
            (
                Version::V3,
                b"\x10\x10\x00\x04MQTT\x04\x42\x00\x3c\x00\x01c\x00\x01p",
            ),
            // Bytes behind the last field of a CONNECT.
            (
                Version::V3,
                b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x01cx",
            ),
            // Authentication data without a method.
            (
                Version::V5,
                b"\x10\x12\x00\x04MQTT\x05\x02\x00\x3c\x04\x16\x00\x01x\x00\x01c",
            ),
            // DUP at QoS 0 ([MQTT-3.3.1-2]).
            (Version::V3, b"\x38\x03\x00\x01a"),
            (Version::V5, b"\x38\x04\x00\x01a\x00"),
            // Null character in a client id.
            (
                Version::V3,
                b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01\x00",
            ),
            // Reserved bits of the requested QoS.
            (Version::V3, b"\x82\x06\x00\x01\x00\x01a\x41"),
            // SUBSCRIBE without its fixed flags.
            (Version::V3, b"\x80\x06\x00\x01\x00\x01a\x01"),
            // PUBLISH with QoS 3; with packet id 0; with a null character; not UTF-8.
            (Version::V3, b"\x36\x05\x00\x01a\x00\x01"),
            (Version::V3, b"\x32\x05\x00\x01a\x00\x00"),
            (Version::V3, b"\x30\x03\x00\x01\x00"),
            (Version::V3, b"\x30\x03\x00\x01\xff"),
            // PINGREQ and DISCONNECT with a body.
            (Version::V3, b"\xc0\x01x"),
            (Version::V3, b"\xe0\x01x"),
            (Version::V3, b"\x00\x00"),
        ] {
            assert!(all(version, bytes).is_err(), "{bytes:x?}");
        }
    }

    #[test]
    fn a_subscription_identifier_is_refused_by_name() {
        let subscribe = b"\x82\x09\x00\x01\x02\x0b\x01\x00\x01a\x00";
        assert_eq!(
            all(Version::V5, subscribe),
            Err(WireError::SubscriptionIdentifier)
        );
    }
}
