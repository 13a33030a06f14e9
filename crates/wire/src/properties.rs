//! The MQTT 5 properties that travel with a message from its publisher to its subscribers.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use bytestring::ByteString;
use rmqtt_codec::v5;

use crate::WireError;
use crate::decode::{TRUNCATED, minimal_length, text};
use crate::limits::{CONTENT_TYPE_BYTES, CORRELATION_DATA_BYTES, USER_PROPERTIES_BYTES};

/// Properties of a message given one by one, as over HTTP or with a will.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MessageProperties {
    /// Whether the payload says to be UTF-8 text, if it says anything.
    pub is_text: Option<bool>,
    /// Content type.
    pub content_type: Option<ByteString>,
    /// Topic an answer is expected on; no wildcards.
    pub response_topic: Option<ByteString>,
    /// What an answer is recognised by.
    pub correlation_data: Option<Bytes>,
    /// Names and values of the user, in their order.
    pub user: Vec<(ByteString, ByteString)>,
}

impl MessageProperties {
    /// The properties as they stand in a PUBLISH, without their length.
    ///
    /// # Errors
    /// Something is longer than AWS allows, or the response topic has a wildcard.
    pub fn encode(&self) -> Result<Bytes, WireError> {
        let mut out = BytesMut::new();
        if let Some(is_text) = self.is_text {
            out.put_u8(PAYLOAD_FORMAT);
            out.put_u8(is_text.into());
        }
        if let Some(content_type) = &self.content_type {
            within(content_type.len(), CONTENT_TYPE_BYTES)?;
            put(&mut out, CONTENT_TYPE, content_type.as_bytes());
        }
        if let Some(topic) = &self.response_topic {
            if crate::topic::has_wildcard(topic) {
                return Err(WireError::Protocol("response topic with a wildcard"));
            }
            within(topic.len(), usize::from(u16::MAX))?;
            put(&mut out, RESPONSE_TOPIC, topic.as_bytes());
        }
        if let Some(data) = &self.correlation_data {
            within(data.len(), CORRELATION_DATA_BYTES)?;
            put(&mut out, CORRELATION_DATA, data);
        }
        let mut user_bytes = 0;
        for (name, value) in &self.user {
            user_bytes += name.len() + value.len();
            within(user_bytes, USER_PROPERTIES_BYTES)?;
            put(&mut out, USER_PROPERTY, name.as_bytes());
            out.put_u16(value.len() as u16);
            out.extend_from_slice(value.as_bytes());
        }
        Ok(out.freeze())
    }

    /// Reads properties that [`MessageProperties::encode`] or the decoder of PUBLISH wrote.
    ///
    /// # Errors
    /// They are damaged.
    pub fn decode(encoded: &[u8]) -> Result<Self, WireError> {
        let mut rest = Bytes::copy_from_slice(encoded);
        let mut read = Self::default();
        while rest.has_remaining() {
            match rest.get_u8() {
                PAYLOAD_FORMAT => read.is_text = Some(take(&mut rest, 1)?[0] == 1),
                CONTENT_TYPE => read.content_type = Some(take_text(&mut rest)?),
                RESPONSE_TOPIC => read.response_topic = Some(take_text(&mut rest)?),
                CORRELATION_DATA => read.correlation_data = Some(take_binary(&mut rest)?),
                USER_PROPERTY => {
                    let name = take_text(&mut rest)?;
                    read.user.push((name, take_text(&mut rest)?));
                }
                _ => return Err(WireError::Malformed("a property a message does not have")),
            }
        }
        Ok(read)
    }
}

impl From<&v5::LastWill> for MessageProperties {
    fn from(will: &v5::LastWill) -> Self {
        Self {
            is_text: will.is_utf8_payload,
            content_type: will.content_type.clone(),
            response_topic: will.response_topic.clone(),
            correlation_data: will.correlation_data.clone(),
            user: will.user_properties.clone(),
        }
    }
}

pub(crate) fn put(out: &mut BytesMut, property: u8, value: &[u8]) {
    out.put_u8(property);
    // Every value here fits a field with a two-byte length.
    out.put_u16(value.len() as u16);
    out.extend_from_slice(value);
}

pub(crate) fn within(size: usize, max: usize) -> Result<(), WireError> {
    if size > max {
        Err(WireError::TooLarge { size, max })
    } else {
        Ok(())
    }
}

pub(crate) fn take(from: &mut Bytes, length: usize) -> Result<Bytes, WireError> {
    if from.len() < length {
        Err(TRUNCATED)
    } else {
        Ok(from.split_to(length))
    }
}

pub(crate) fn take_binary(from: &mut Bytes) -> Result<Bytes, WireError> {
    let length = take(from, 2)?.get_u16();
    take(from, length.into())
}

pub(crate) fn take_text(from: &mut Bytes) -> Result<ByteString, WireError> {
    let bytes = take_binary(from)?;
    text(ByteString::try_from(bytes).map_err(|_| WireError::Malformed("text is not UTF-8"))?)
}

/// Looks at the properties at the start of `from` and takes them away: each is one of `allowed`, is whole, and but for user
/// properties is there once at most (MQTT 5, 2.2.2.2: another is malformed, twice is a protocol error).
pub(crate) fn check(from: &mut Bytes, allowed: &[u8]) -> Result<(), WireError> {
    let (length, header) = minimal_length(from)?.ok_or(TRUNCATED)?;
    from.advance(header);
    let mut rest = take(from, length)?;
    let mut seen = [false; 0x80];
    while rest.has_remaining() {
        let property = rest.get_u8();
        if !allowed.contains(&property) {
            return Err(WireError::Malformed("a property this packet does not have"));
        }
        // Every property that is allowed anywhere is below 0x80.
        let again = std::mem::replace(&mut seen[usize::from(property & 0x7F)], true);
        if again && property != USER_PROPERTY {
            return Err(WireError::Protocol("a property appears twice"));
        }
        match property {
            SESSION_EXPIRY | MAXIMUM_PACKET_SIZE | WILL_DELAY | MESSAGE_EXPIRY => {
                drop(take(&mut rest, 4)?)
            }
            RECEIVE_MAXIMUM | TOPIC_ALIAS_MAXIMUM => drop(take(&mut rest, 2)?),
            REQUEST_RESPONSE | REQUEST_PROBLEM | PAYLOAD_FORMAT => drop(take(&mut rest, 1)?),
            SUBSCRIPTION_ID => {
                let (id, bytes) = minimal_length(&rest)?.ok_or(TRUNCATED)?;
                if id == 0 {
                    return Err(WireError::Protocol("subscription identifier 0"));
                }
                rest.advance(bytes);
            }
            AUTHENTICATION_DATA | CORRELATION_DATA => drop(take_binary(&mut rest)?),
            USER_PROPERTY => {
                take_text(&mut rest)?;
                take_text(&mut rest)?;
            }
            _ => drop(take_text(&mut rest)?),
        }
    }
    Ok(())
}

/// What CONNECT may have beside the properties of its will.
pub(crate) const OF_CONNECT: &[u8] = &[
    SESSION_EXPIRY,
    RECEIVE_MAXIMUM,
    MAXIMUM_PACKET_SIZE,
    TOPIC_ALIAS_MAXIMUM,
    REQUEST_RESPONSE,
    REQUEST_PROBLEM,
    AUTHENTICATION_METHOD,
    AUTHENTICATION_DATA,
    USER_PROPERTY,
];
/// What the will of a CONNECT may have.
pub(crate) const OF_WILL: &[u8] = &[
    WILL_DELAY,
    PAYLOAD_FORMAT,
    MESSAGE_EXPIRY,
    CONTENT_TYPE,
    RESPONSE_TOPIC,
    CORRELATION_DATA,
    USER_PROPERTY,
];
/// What DISCONNECT may have; the server reference only if the server sends it.
pub(crate) const OF_DISCONNECT: &[u8] = &[SESSION_EXPIRY, REASON_STRING, USER_PROPERTY];
pub(crate) const OF_PUBACK: &[u8] = &[REASON_STRING, USER_PROPERTY];
pub(crate) const OF_SUBSCRIBE: &[u8] = &[SUBSCRIPTION_ID, USER_PROPERTY];
pub(crate) const OF_UNSUBSCRIBE: &[u8] = &[USER_PROPERTY];

pub(crate) const PAYLOAD_FORMAT: u8 = 0x01;
pub(crate) const MESSAGE_EXPIRY: u8 = 0x02;
pub(crate) const CONTENT_TYPE: u8 = 0x03;
pub(crate) const RESPONSE_TOPIC: u8 = 0x08;
pub(crate) const CORRELATION_DATA: u8 = 0x09;
pub(crate) const SUBSCRIPTION_ID: u8 = 0x0B;
pub(crate) const SESSION_EXPIRY: u8 = 0x11;
pub(crate) const AUTHENTICATION_METHOD: u8 = 0x15;
pub(crate) const AUTHENTICATION_DATA: u8 = 0x16;
pub(crate) const REQUEST_PROBLEM: u8 = 0x17;
pub(crate) const WILL_DELAY: u8 = 0x18;
pub(crate) const REQUEST_RESPONSE: u8 = 0x19;
pub(crate) const REASON_STRING: u8 = 0x1F;
pub(crate) const RECEIVE_MAXIMUM: u8 = 0x21;
pub(crate) const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
pub(crate) const TOPIC_ALIAS: u8 = 0x23;
pub(crate) const USER_PROPERTY: u8 = 0x26;
pub(crate) const MAXIMUM_PACKET_SIZE: u8 = 0x27;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_read_back_and_limits_hold() {
        let properties = MessageProperties {
            is_text: Some(true),
            content_type: Some("text/plain".into()),
            response_topic: Some("answers/1".into()),
            correlation_data: Some(Bytes::from_static(b"\x00\xff")),
            user: vec![("a".into(), "1".into()), ("a".into(), "2".into())],
        };
        let encoded = properties.encode().unwrap();
        assert_eq!(MessageProperties::decode(&encoded), Ok(properties));
        for end in 0..encoded.len() {
            let _ = MessageProperties::decode(&encoded[..end]);
        }
        let wrong = |properties: MessageProperties| properties.encode().unwrap_err();
        wrong(MessageProperties {
            response_topic: Some("answers/#".into()),
            ..MessageProperties::default()
        });
        wrong(MessageProperties {
            user: vec![("n".into(), "v".repeat(8192).into())],
            ..MessageProperties::default()
        });
    }
}
