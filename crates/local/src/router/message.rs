//! A message on its way, and its encodings, made once for each version and QoS.

use std::sync::Arc;

use bytes::{BufMut, Bytes};
use bytestring::ByteString;
use jitp_wire::{Outline, QoS, Version, encode_publish};

/// A message. Topic, properties and payload may share the bytes of the read they came with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Message {
    /// Topic.
    pub(crate) topic: ByteString,
    /// Payload.
    pub(crate) payload: Bytes,
    /// QoS it was published with.
    pub(crate) qos: QoS,
    /// Retain flag it was published with.
    pub(crate) retain: bool,
    /// Encoded MQTT 5 properties to pass on.
    pub(crate) properties: Bytes,
    /// When it is no longer delivered, in seconds since 1970.
    pub(crate) expires_at: Option<i64>,
    /// Number of the session that published it; 0 for the core itself.
    pub(crate) publisher: u64,
}

impl Message {
    /// A message of the core itself, such as a lifecycle event.
    pub(crate) fn system(
        topic: impl Into<ByteString>,
        payload: impl Into<Bytes>,
        qos: QoS,
    ) -> Self {
        Self {
            topic: topic.into(),
            payload: payload.into(),
            qos,
            retain: false,
            properties: Bytes::new(),
            expires_at: None,
            publisher: 0,
        }
    }

    /// A copy that does not keep the whole read alive it was a part of; for messages that stay.
    pub(crate) fn detached(&self) -> Self {
        Self {
            topic: ByteString::from(&*self.topic),
            payload: Bytes::copy_from_slice(&self.payload),
            properties: Bytes::copy_from_slice(&self.properties),
            ..*self
        }
    }

    /// Seconds left before it expires (may be 0, as on AWS); `Err` once it has expired.
    pub(crate) fn remaining(&self, now: i64) -> Result<Option<u32>, Expired> {
        match self.expires_at {
            None => Ok(None),
            Some(at) if at < now => Err(Expired),
            Some(at) => Ok(Some(u32::try_from(at - now).unwrap_or(u32::MAX))),
        }
    }

    /// The form it is stored in: a layout byte, QoS and retain, expiry, then each part with its length.
    pub(crate) fn to_record(&self) -> Vec<u8> {
        let size = self.topic.len() + self.properties.len() + self.payload.len();
        let mut record = Vec::with_capacity(size + 17);
        record.put_u8(LAYOUT);
        record.put_u8(self.qos as u8 | u8::from(self.retain) << 4);
        record.put_i64(self.expires_at.unwrap_or(i64::MAX));
        record.put_u16(self.topic.len() as u16);
        record.put_slice(self.topic.as_bytes());
        record.put_u32(self.properties.len() as u32);
        record.put_slice(&self.properties);
        record.put_slice(&self.payload);
        record
    }

    /// Reads the form it is stored in; none when it is damaged.
    pub(crate) fn from_record(record: &[u8]) -> Option<Self> {
        let (&[layout, flags], rest) = record.split_first_chunk()?;
        let (expires_at, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (topic, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        let (length, rest) = rest.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (properties, payload) = rest.split_at_checked(length)?;
        let expires_at = i64::from_be_bytes(*expires_at);
        (layout == LAYOUT).then_some(())?;
        Some(Self {
            topic: std::str::from_utf8(topic).ok()?.into(),
            payload: Bytes::copy_from_slice(payload),
            qos: match flags & 0x0F {
                0 => QoS::AtMostOnce,
                _ => QoS::AtLeastOnce,
            },
            retain: flags & 0x10 != 0,
            properties: Bytes::copy_from_slice(properties),
            expires_at: (expires_at != i64::MAX).then_some(expires_at),
            publisher: 0,
        })
    }
}

/// The message has expired.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Expired;

/// A message in the middle of being handed to its subscribers.
pub(crate) struct Copies<'a> {
    pub(crate) message: &'a Message,
    /// Seconds left before it expires.
    pub(crate) remaining: Option<u32>,
    many: bool,
    frames: [Option<(Vec<u8>, usize)>; 4],
    kept: Option<Arc<Message>>,
}

impl<'a> Copies<'a> {
    /// `many` subscribers make it worth keeping an encoding.
    pub(crate) fn new(message: &'a Message, now: i64, many: bool) -> Result<Self, Expired> {
        Ok(Self {
            message,
            remaining: message.remaining(now)?,
            many,
            frames: [const { None }; 4],
            kept: None,
        })
    }

    /// The message as sessions keep it until it is acknowledged.
    pub(crate) fn kept(&mut self) -> Arc<Message> {
        Arc::clone(
            self.kept
                .get_or_insert_with(|| Arc::new(self.message.detached())),
        )
    }

    /// Appends a PUBLISH without retain flag and topic alias to `out`.
    pub(crate) fn write(&mut self, out: &mut Vec<u8>, version: Version, qos: QoS, packet_id: u16) {
        let outline = outline(self.message, self.remaining, qos, packet_id);
        if !self.many {
            encode_publish(out, version, &outline);
            return;
        }
        let slot = usize::from(version == Version::V5) * 2 + usize::from(qos != QoS::AtMostOnce);
        let (frame, packet_id_at) = self.frames[slot].get_or_insert_with(|| {
            let mut frame = Vec::new();
            let encoded = encode_publish(&mut frame, version, &outline);
            (frame, encoded.packet_id_at)
        });
        let start = out.len();
        out.extend_from_slice(frame);
        if *packet_id_at != 0 {
            let at = start + *packet_id_at;
            out[at..at + 2].copy_from_slice(&packet_id.to_be_bytes());
        }
    }
}

/// What a PUBLISH of this message says, without retain flag and topic alias.
pub(crate) fn outline(
    message: &Message,
    remaining: Option<u32>,
    qos: QoS,
    packet_id: u16,
) -> Outline<'_> {
    Outline {
        topic: &message.topic,
        payload: &message.payload,
        qos,
        retain: false,
        dup: false,
        packet_id,
        properties: &message.properties,
        message_expiry: remaining,
        alias: None,
    }
}

const LAYOUT: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        Message {
            properties: Bytes::from_static(b"\x01\x01"),
            expires_at: Some(100),
            retain: true,
            ..Message::system("a/b", "hello", QoS::AtLeastOnce)
        }
    }

    #[test]
    fn a_record_holds_the_whole_message_and_no_damage_panics() {
        let record = message().to_record();
        assert_eq!(Message::from_record(&record), Some(message()));
        for cut in 0..18 {
            assert_eq!(Message::from_record(&record[..cut]), None, "{cut}");
        }
        for index in 0..record.len() {
            let mut damaged = record.clone();
            damaged[index] ^= 0xFF;
            let _ = Message::from_record(&damaged);
        }
    }

    #[test]
    fn one_encoding_serves_every_subscriber_with_its_own_packet_id() {
        for version in [Version::V3, Version::V5] {
            let message = message();
            let mut one = Vec::new();
            let mut copies = Copies::new(&message, 90, false).unwrap();
            copies.write(&mut one, version, QoS::AtLeastOnce, 0x0102);
            copies.write(&mut one, version, QoS::AtLeastOnce, 0x0304);
            let mut many = Vec::new();
            let mut copies = Copies::new(&message, 90, true).unwrap();
            copies.write(&mut many, version, QoS::AtLeastOnce, 0x0102);
            copies.write(&mut many, version, QoS::AtLeastOnce, 0x0304);
            assert_eq!(one, many);
        }
    }

    #[test]
    fn expiry_counts_down_to_zero_and_then_drops() {
        assert_eq!(message().remaining(90), Ok(Some(10)));
        assert_eq!(message().remaining(100), Ok(Some(0)));
        assert_eq!(message().remaining(101), Err(Expired));
    }
}
