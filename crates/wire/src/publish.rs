//! PUBLISH, the packet that has to be cheap: read without copying, written straight into a buffer.

use std::num::NonZeroU16;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use bytestring::ByteString;

use crate::decode::{TRUNCATED, minimal_length};
use crate::encode::{length_of_length, write_length};
use crate::limits::{CONTENT_TYPE_BYTES, CORRELATION_DATA_BYTES, USER_PROPERTIES_BYTES};
use crate::properties::{
    CONTENT_TYPE, CORRELATION_DATA, MESSAGE_EXPIRY, PAYLOAD_FORMAT, RESPONSE_TOPIC,
    SUBSCRIPTION_ID, TOPIC_ALIAS, USER_PROPERTY, take, take_binary, take_text, within,
};
use crate::{QoS, Version, WireError};

/// A PUBLISH as received. Topic, properties and payload share the bytes it was read from.
#[derive(Clone, Debug, PartialEq)]
pub struct Publish {
    /// Set on a redelivery; AWS does not look at it.
    pub dup: bool,
    /// Whether the message is to be retained.
    pub retain: bool,
    /// Quality of service.
    pub qos: QoS,
    /// Topic; empty when only an alias was sent.
    pub topic: ByteString,
    /// Packet id; none at QoS 0.
    pub packet_id: Option<NonZeroU16>,
    /// Topic alias as sent, 0 included (MQTT 5).
    pub topic_alias: Option<u16>,
    /// Message expiry interval in seconds (MQTT 5).
    pub message_expiry: Option<u32>,
    /// The properties that travel with the message to its subscribers (payload format indicator,
    /// content type, response topic, correlation data, user properties), encoded, in their order,
    /// without their length (MQTT 5).
    pub properties: Bytes,
    /// Payload.
    pub payload: Bytes,
}

/// What goes into a PUBLISH to be written.
#[derive(Clone, Copy, Debug)]
pub struct Outline<'a> {
    /// Topic; written empty when `alias` says that the receiver knows it.
    pub topic: &'a str,
    /// Payload.
    pub payload: &'a [u8],
    /// Quality of service.
    pub qos: QoS,
    /// Retain flag.
    pub retain: bool,
    /// Redelivery flag.
    pub dup: bool,
    /// Packet id; ignored at QoS 0.
    pub packet_id: u16,
    /// Encoded properties to pass on (MQTT 5; dropped for 3.1.1).
    pub properties: &'a [u8],
    /// Message expiry interval in seconds (MQTT 5).
    pub message_expiry: Option<u32>,
    /// Topic alias (MQTT 5), and whether the receiver already knows its topic.
    pub alias: Option<(NonZeroU16, bool)>,
}

/// Where the packet id of a written PUBLISH is, so that one encoding serves many subscribers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Encoded {
    /// Bytes written.
    pub length: usize,
    /// Offset of the two bytes of the packet id from the start of the packet; 0 at QoS 0.
    pub packet_id_at: usize,
}

/// Appends a PUBLISH to `out`.
pub fn encode_publish(out: &mut Vec<u8>, version: Version, outline: &Outline<'_>) -> Encoded {
    let topic = match outline.alias {
        Some((_, true)) => "",
        _ => outline.topic,
    };
    let id = if outline.qos == QoS::AtMostOnce { 0 } else { 2 };
    let properties = match version {
        Version::V3 => 0,
        Version::V5 => {
            outline.properties.len()
                + outline.message_expiry.map_or(0, |_| 5)
                + outline.alias.map_or(0, |_| 3)
        }
    };
    let properties_header = match version {
        Version::V3 => 0,
        Version::V5 => length_of_length(properties),
    };
    let remaining = 2 + topic.len() + id + properties_header + properties + outline.payload.len();
    let start = out.len();
    out.reserve(remaining + 5);
    out.push(
        0x30 | u8::from(outline.dup) << 3 | (outline.qos as u8) << 1 | u8::from(outline.retain),
    );
    write_length(out, remaining);
    // A topic received in a PUBLISH has a two-byte length, so it has one here.
    out.put_u16(topic.len() as u16);
    out.extend_from_slice(topic.as_bytes());
    let mut packet_id_at = 0;
    if id != 0 {
        packet_id_at = out.len() - start;
        out.put_u16(outline.packet_id);
    }
    if version == Version::V5 {
        write_length(out, properties);
        if let Some(seconds) = outline.message_expiry {
            out.push(MESSAGE_EXPIRY);
            out.put_u32(seconds);
        }
        if let Some((alias, _)) = outline.alias {
            out.push(TOPIC_ALIAS);
            out.put_u16(alias.get());
        }
        out.extend_from_slice(outline.properties);
    }
    out.extend_from_slice(outline.payload);
    Encoded {
        length: out.len() - start,
        packet_id_at,
    }
}

pub(crate) fn decode_publish(
    version: Version,
    first: u8,
    mut body: Bytes,
) -> Result<Publish, WireError> {
    let qos = QoS::from_bits(first >> 1 & 3)?;
    // [MQTT-3.3.1-2]
    if qos == QoS::AtMostOnce && first & 8 != 0 {
        return Err(WireError::Malformed("DUP at QoS 0"));
    }
    let topic = take_text(&mut body)?;
    let packet_id = match qos {
        QoS::AtMostOnce => None,
        _ if body.len() < 2 => return Err(TRUNCATED),
        _ => Some(NonZeroU16::new(body.get_u16()).ok_or(WireError::Malformed("packet id"))?),
    };
    let mut publish = Publish {
        dup: first & 8 != 0,
        retain: first & 1 != 0,
        qos,
        topic,
        packet_id,
        topic_alias: None,
        message_expiry: None,
        properties: Bytes::new(),
        payload: Bytes::new(),
    };
    if version == Version::V5 {
        let (length, header) = minimal_length(&body)?.ok_or(TRUNCATED)?;
        body.advance(header);
        if body.len() < length {
            return Err(TRUNCATED);
        }
        let properties = body.split_to(length);
        if length > 0 {
            read_properties(&mut publish, properties)?;
        }
    }
    publish.payload = body;
    Ok(publish)
}

/// Checks the properties, takes alias and expiry out, and keeps the rest as it was encoded.
fn read_properties(publish: &mut Publish, all: Bytes) -> Result<(), WireError> {
    let mut seen = [false; 10];
    let mut user_bytes = 0;
    let mut rest = all.clone();
    let mut removed = false;
    let mut kept = BytesMut::new();
    while rest.has_remaining() {
        let start = all.len() - rest.len();
        let property = rest.get_u8();
        if property != USER_PROPERTY {
            let again = match seen.get_mut(usize::from(property)) {
                Some(seen) => std::mem::replace(seen, true),
                None => property == TOPIC_ALIAS && publish.topic_alias.is_some(),
            };
            if again {
                return Err(WireError::Protocol("a property appears twice"));
            }
        }
        let mut passed_on = true;
        match property {
            PAYLOAD_FORMAT => match take(&mut rest, 1)?[0] {
                0 | 1 => {}
                _ => return Err(WireError::Protocol("payload format indicator")),
            },
            MESSAGE_EXPIRY => {
                publish.message_expiry = Some(take(&mut rest, 4)?.get_u32());
                passed_on = false;
            }
            TOPIC_ALIAS => {
                publish.topic_alias = Some(take(&mut rest, 2)?.get_u16());
                passed_on = false;
            }
            CONTENT_TYPE => within(take_text(&mut rest)?.len(), CONTENT_TYPE_BYTES)?,
            RESPONSE_TOPIC => {
                if crate::topic::has_wildcard(&take_text(&mut rest)?) {
                    return Err(WireError::Protocol("response topic with a wildcard"));
                }
            }
            CORRELATION_DATA => within(take_binary(&mut rest)?.len(), CORRELATION_DATA_BYTES)?,
            USER_PROPERTY => {
                user_bytes += take_text(&mut rest)?.len() + take_text(&mut rest)?.len();
                within(user_bytes, USER_PROPERTIES_BYTES)?;
            }
            SUBSCRIPTION_ID => return Err(WireError::SubscriptionIdentifier),
            _ => return Err(WireError::Malformed("a property PUBLISH does not have")),
        }
        let end = all.len() - rest.len();
        if !passed_on && !removed {
            // The first one to be left out: from here on what stays has to be copied.
            removed = true;
            kept.extend_from_slice(&all[..start]);
        } else if passed_on && removed {
            kept.extend_from_slice(&all[start..end]);
        }
    }
    publish.properties = if removed { kept.freeze() } else { all };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::put;
    use crate::{Frames, Packet, decode};

    fn read(version: Version, bytes: &[u8]) -> Result<Publish, WireError> {
        let mut stream = BytesMut::from(bytes);
        let (first, body) = Frames::new(1 << 20).next(&mut stream)?.ok_or(TRUNCATED)?;
        match decode(version, first, body)? {
            Packet::Publish(publish) => Ok(publish),
            _ => Err(TRUNCATED),
        }
    }

    fn outline<'a>() -> Outline<'a> {
        Outline {
            topic: "a/b",
            payload: b"payload",
            qos: QoS::AtLeastOnce,
            retain: false,
            dup: false,
            packet_id: 7,
            properties: b"",
            message_expiry: None,
            alias: None,
        }
    }

    #[test]
    fn what_is_written_is_read_back_in_both_versions() {
        for version in [Version::V3, Version::V5] {
            let mut out = vec![0xAA];
            let encoded = encode_publish(&mut out, version, &outline());
            assert_eq!(encoded.length, out.len() - 1);
            assert_eq!(out[1 + encoded.packet_id_at..][..2], [0, 7]);
            let publish = read(version, &out[1..]).unwrap();
            assert_eq!(&*publish.topic, "a/b");
            assert_eq!(publish.packet_id.map(NonZeroU16::get), Some(7));
            assert_eq!(&publish.payload[..], b"payload");
        }
    }

    #[test]
    fn alias_and_expiry_are_taken_out_and_the_rest_is_kept_in_order() {
        let kept = b"\x01\x01\x26\x00\x01k\x00\x01v\x03\x00\x04text\x26\x00\x01k\x00\x01w\x08\x00\x01r\x09\x00\x01c";
        let properties = [
            &b"\x23\x00\x03"[..],
            &kept[..9],
            &b"\x02\x00\x00\x00\x09"[..],
            &kept[9..],
        ]
        .concat();
        let mut out = Vec::new();
        encode_publish(
            &mut out,
            Version::V5,
            &Outline {
                properties: &properties,
                ..outline()
            },
        );
        let publish = read(Version::V5, &out).unwrap();
        assert_eq!(publish.topic_alias, Some(3));
        assert_eq!(publish.message_expiry, Some(9));
        assert_eq!(&publish.properties[..], kept);
    }

    #[test]
    fn an_alias_known_to_the_receiver_replaces_the_topic() {
        let mut out = Vec::new();
        let alias = NonZeroU16::new(2).map(|alias| (alias, true));
        encode_publish(
            &mut out,
            Version::V5,
            &Outline {
                alias,
                message_expiry: Some(5),
                ..outline()
            },
        );
        let publish = read(Version::V5, &out).unwrap();
        assert_eq!(
            (&*publish.topic, publish.topic_alias, publish.message_expiry),
            ("", Some(2), Some(5))
        );
    }

    #[test]
    fn properties_beyond_awss_limits_are_refused() {
        for (property, size) in [(CONTENT_TYPE, 257), (CORRELATION_DATA, 8193)] {
            let mut properties = BytesMut::new();
            put(&mut properties, property, &vec![b'x'; size]);
            let mut out = Vec::new();
            encode_publish(
                &mut out,
                Version::V5,
                &Outline {
                    properties: &properties,
                    ..outline()
                },
            );
            assert!(matches!(
                read(Version::V5, &out),
                Err(WireError::TooLarge { .. })
            ));
        }
    }

    #[test]
    fn a_property_twice_or_out_of_place_is_refused() {
        for properties in [
            &b"\x01\x01\x01\x00"[..],
            b"\x0b\x01",
            b"\x11\x00\x00\x00\x01",
            b"\x23\x00\x01\x23\x00\x01",
            b"\x03\x00\x09x",
            b"\x08\x00\x01#",
        ] {
            let mut out = Vec::new();
            encode_publish(
                &mut out,
                Version::V5,
                &Outline {
                    properties,
                    ..outline()
                },
            );
            assert!(read(Version::V5, &out).is_err(), "{properties:x?}");
        }
    }
}
