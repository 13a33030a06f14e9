//! Messages, qualities of service, and AWS IoT's limits on them, checked before anything is sent.

use std::{fmt, str::FromStr};

use bytes::Bytes;

/// Longest topic or topic filter, in bytes of UTF-8 (basic ingest prefix not counted).
pub const MAX_TOPIC_BYTES: usize = 256;
/// Most slashes in a topic or filter, that is eight levels.
pub const MAX_TOPIC_SLASHES: usize = 7;
/// Largest payload, in bytes.
pub const MAX_PAYLOAD_BYTES: usize = 131_072;
/// Longest client id, in bytes of UTF-8.
pub const MAX_CLIENT_ID_BYTES: usize = 128;
/// Most filters in one SUBSCRIBE; [`Session::subscribe`](super::Session::subscribe) splits by itself.
pub const MAX_FILTERS_PER_SUBSCRIBE: usize = 8;
/// Most QoS 1 messages unacknowledged at a time.
pub const MAX_IN_FLIGHT: usize = 100;

/// MQTT protocol version.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Version {
    /// MQTT 3.1.1. A refusal is a closed connection, without a reason.
    V311,
    /// MQTT 5, the default: AWS IoT tells a denied CONNECT, PUBLISH or SUBSCRIBE from a lost connection with
    /// a reason code there, and keeps the connection (developer guide, "MQTT 5 supported features").
    #[default]
    V5,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V311 => "3.1.1",
            Self::V5 => "5",
        })
    }
}

impl FromStr for Version {
    type Err = LimitError;

    fn from_str(text: &str) -> Result<Self, LimitError> {
        match text {
            "3.1.1" | "311" | "4" => Ok(Self::V311),
            "5" | "5.0" => Ok(Self::V5),
            _ => Err(LimitError::Version {
                given: text.to_owned(),
            }),
        }
    }
}

/// Quality of service. AWS IoT has no QoS 2, so neither has this type.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Qos {
    /// QoS 0: at most once.
    #[default]
    AtMostOnce,
    /// QoS 1: at least once.
    AtLeastOnce,
}

impl Qos {
    /// 0 or 1.
    pub fn number(self) -> u8 {
        match self {
            Self::AtMostOnce => 0,
            Self::AtLeastOnce => 1,
        }
    }
}

impl TryFrom<u8> for Qos {
    type Error = LimitError;

    fn try_from(number: u8) -> Result<Self, LimitError> {
        match number {
            0 => Ok(Self::AtMostOnce),
            1 => Ok(Self::AtLeastOnce),
            2 => Err(LimitError::QosTwo),
            _ => Err(LimitError::Qos {
                given: number.to_string(),
            }),
        }
    }
}

impl FromStr for Qos {
    type Err = LimitError;

    fn from_str(text: &str) -> Result<Self, LimitError> {
        match text {
            "0" => Ok(Self::AtMostOnce),
            "1" => Ok(Self::AtLeastOnce),
            "2" => Err(LimitError::QosTwo),
            _ => Err(LimitError::Qos {
                given: text.to_owned(),
            }),
        }
    }
}

/// A message to send. [`Publish::new`] checks AWS IoT's limits.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Publish {
    pub(crate) topic: String,
    pub(crate) payload: Bytes,
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
}

impl Publish {
    /// A message, not retained.
    ///
    /// # Errors
    /// [`LimitError`] when AWS IoT would drop the connection over the topic or the payload.
    pub fn new(
        topic: impl Into<String>,
        payload: impl Into<Bytes>,
        qos: Qos,
    ) -> Result<Self, LimitError> {
        let (topic, payload) = (topic.into(), payload.into());
        check_topic(&topic)?;
        if payload.len() > MAX_PAYLOAD_BYTES {
            return Err(LimitError::Payload {
                topic,
                bytes: payload.len(),
            });
        }
        Ok(Self {
            topic,
            payload,
            qos,
            retain: false,
        })
    }

    /// The same message with its retain flag set or cleared. A retained message without payload deletes the
    /// topic's retained message.
    #[must_use]
    pub fn retain(mut self, retain: bool) -> Self {
        self.retain = retain;
        self
    }

    /// Topic name.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Payload bytes.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Quality of service.
    pub fn qos(&self) -> Qos {
        self.qos
    }
}

/// A message received.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// Topic name.
    pub topic: String,
    /// Payload, up to [`MAX_PAYLOAD_BYTES`].
    pub payload: Bytes,
    /// Quality of service of this delivery.
    pub qos: Qos,
    /// True when it is a topic's retained message, sent in answer to a subscription.
    pub retain: bool,
    /// True when the broker says that it may have been delivered before. AWS IoT does not set it.
    pub dup: bool,
}

/// What AWS IoT would not take, said before it is sent
/// ("AWS IoT Core message broker and protocol limits and quotas").
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitError {
    /// No topic.
    #[error("a topic cannot be empty")]
    EmptyTopic,
    /// Over [`MAX_TOPIC_BYTES`].
    #[error("the topic {topic:?} has {bytes} bytes; AWS IoT takes at most {MAX_TOPIC_BYTES}")]
    TopicBytes {
        /// Topic or filter.
        topic: String,
        /// Its size in bytes.
        bytes: usize,
    },
    /// Over [`MAX_TOPIC_SLASHES`].
    #[error("the topic {topic:?} has {slashes} slashes; AWS IoT takes at most {MAX_TOPIC_SLASHES}")]
    TopicSlashes {
        /// Topic or filter.
        topic: String,
        /// How many it has.
        slashes: usize,
    },
    /// `+` or `#` in a topic to publish on.
    #[error("the topic {topic:?} contains the wildcard {wildcard:?}; a message goes to one topic")]
    Wildcard {
        /// The topic.
        topic: String,
        /// `+` or `#`.
        wildcard: char,
    },
    /// A wildcard that is not a whole level, or `#` before the end.
    #[error("the topic filter {filter:?} is not valid: {fault}")]
    Filter {
        /// The filter.
        filter: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// U+0000 (MQTT 3.1.1, 1.5.3).
    #[error("the topic {topic:?} contains a NUL character, which MQTT forbids")]
    Nul {
        /// Topic or filter.
        topic: String,
    },
    /// Over [`MAX_PAYLOAD_BYTES`].
    #[error(
        "the message for {topic:?} has {bytes} bytes; AWS IoT takes at most {MAX_PAYLOAD_BYTES} (128 KiB)"
    )]
    Payload {
        /// Topic.
        topic: String,
        /// Payload size in bytes.
        bytes: usize,
    },
    /// Quality of service 2.
    #[error("AWS IoT has no QoS 2; use 0 or 1")]
    QosTwo,
    /// Not a quality of service at all.
    #[error("{given:?} is not a quality of service; use 0 or 1")]
    Qos {
        /// What was given.
        given: String,
    },
    /// Not a protocol version.
    #[error("{given:?} is not an MQTT version; use 3.1.1 or 5")]
    Version {
        /// What was given.
        given: String,
    },
    /// Empty, over [`MAX_CLIENT_ID_BYTES`], or with NUL.
    #[error("the client id {client_id:?} is not valid: {fault}")]
    ClientId {
        /// The client id.
        client_id: String,
        /// What is wrong with it.
        fault: &'static str,
    },
}

/// Checks a topic to publish on.
///
/// # Errors
/// The limit that it breaks.
pub fn check_topic(topic: &str) -> Result<(), LimitError> {
    if let Some(wildcard) = topic.chars().find(|c| matches!(c, '+' | '#')) {
        return Err(LimitError::Wildcard {
            topic: topic.to_owned(),
            wildcard,
        });
    }
    check_size(topic)
}

/// Checks a topic filter to subscribe to.
///
/// # Errors
/// The limit or the MQTT rule (3.1.1, 4.7.1) that it breaks.
pub fn check_filter(filter: &str) -> Result<(), LimitError> {
    let fault = |fault| {
        Err(LimitError::Filter {
            filter: filter.to_owned(),
            fault,
        })
    };
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        if level.contains('#') && (level != "#" || levels.peek().is_some()) {
            return fault("\"#\" stands alone in the last level");
        }
        if level.contains('+') && level != "+" {
            return fault("\"+\" stands alone in its level");
        }
    }
    check_size(filter)
}

/// Checks a client id.
///
/// # Errors
/// [`LimitError::ClientId`].
pub fn check_client_id(client_id: &str) -> Result<(), LimitError> {
    let fault = if client_id.is_empty() {
        "it is empty"
    } else if client_id.len() > MAX_CLIENT_ID_BYTES {
        "it is longer than 128 bytes"
    } else if client_id.contains('\0') {
        "it contains a NUL character"
    } else {
        return Ok(());
    };
    Err(LimitError::ClientId {
        client_id: client_id.to_owned(),
        fault,
    })
}

fn check_size(topic: &str) -> Result<(), LimitError> {
    if topic.is_empty() {
        return Err(LimitError::EmptyTopic);
    }
    if topic.contains('\0') {
        return Err(LimitError::Nul {
            topic: topic.to_owned(),
        });
    }
    let counted = without_prefix(topic);
    if counted.len() > MAX_TOPIC_BYTES {
        return Err(LimitError::TopicBytes {
            topic: topic.to_owned(),
            bytes: counted.len(),
        });
    }
    // Reserved topics have the depth AWS gave them.
    if counted.starts_with("$aws/") {
        return Ok(());
    }
    let slashes = counted.bytes().filter(|b| *b == b'/').count();
    if slashes > MAX_TOPIC_SLASHES {
        return Err(LimitError::TopicSlashes {
            topic: topic.to_owned(),
            slashes,
        });
    }
    Ok(())
}

/// The part of a topic that the limits count: without `$aws/rules/RULE/` (basic ingest) and `$share/GROUP/`.
fn without_prefix(topic: &str) -> &str {
    for prefix in ["$aws/rules/", "$share/"] {
        if let Some((_, rest)) = topic.strip_prefix(prefix).and_then(|t| t.split_once('/')) {
            return rest;
        }
    }
    topic
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_of_256_bytes_and_eight_levels_pass_and_one_more_does_not() {
        check_topic(&"t".repeat(256)).unwrap();
        assert!(matches!(
            check_topic(&"t".repeat(257)),
            Err(LimitError::TopicBytes { bytes: 257, .. })
        ));
        // Bytes, not characters.
        assert!(check_topic(&"é".repeat(129)).is_err());
        check_topic("a/b/c/d/e/f/g/h").unwrap();
        assert!(matches!(
            check_topic("a/b/c/d/e/f/g/h/i"),
            Err(LimitError::TopicSlashes { slashes: 8, .. })
        ));
    }

    #[test]
    fn basic_ingest_reserved_and_shared_prefixes_are_not_counted() {
        check_topic("$aws/rules/rule/a/b/c/d/e/f/g/h").unwrap();
        assert!(check_topic("$aws/rules/rule/a/b/c/d/e/f/g/h/i").is_err());
        check_filter("$share/group/a/b/c/d/e/f/g/#").unwrap();
        check_topic("$aws/a/b/c/d/e/f/g/h/i").unwrap();
    }

    #[test]
    fn a_message_goes_to_one_topic_and_a_filter_has_its_wildcards_in_place() {
        assert!(matches!(
            check_topic("a/+/b"),
            Err(LimitError::Wildcard { wildcard: '+', .. })
        ));
        assert!(check_topic("").is_err());
        assert!(check_topic("a\0").is_err());
        for filter in ["#", "+", "a/#", "+/a/+", "/", "a//b"] {
            check_filter(filter).unwrap();
        }
        for filter in ["", "a#", "#/a", "a/+b", "a/#/b"] {
            assert!(check_filter(filter).is_err(), "{filter}");
        }
    }

    #[test]
    fn payloads_end_at_128_kib_and_qos_at_one() {
        let publish = |bytes| Publish::new("t", vec![0_u8; bytes], Qos::AtLeastOnce);
        assert!(publish(131_072).is_ok());
        assert!(matches!(
            publish(131_073),
            Err(LimitError::Payload { bytes: 131_073, .. })
        ));
        let message = Qos::try_from(2).unwrap_err().to_string();
        assert!(message.contains("AWS IoT has no QoS 2"));
        assert!("3".parse::<Qos>().is_err());
        assert!("3".parse::<Version>().is_err());
    }

    #[test]
    fn client_ids_have_1_to_128_bytes() {
        check_client_id("sensor-17").unwrap();
        check_client_id(&"c".repeat(128)).unwrap();
        for bad in [String::new(), "c".repeat(129), "a\0".to_owned()] {
            assert!(check_client_id(&bad).is_err());
        }
    }
}
