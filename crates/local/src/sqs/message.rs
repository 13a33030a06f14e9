//! A message of a queue, as it lies there and as it is stored.

use std::collections::BTreeMap;

use openssl::hash::{MessageDigest, hash};
use serde::{Deserialize, Serialize};

use super::message_attributes::Attribute;

/// A message as it lies in a queue.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(crate) struct Message {
    /// A UUID, which the message keeps wherever it is moved.
    pub(crate) id: String,
    /// Text, at most a mebibyte with the attributes.
    pub(crate) body: String,
    /// MD5 of the body, in hex.
    pub(crate) md5: String,
    /// When it was sent, in milliseconds since 1970.
    pub(crate) sent: i64,
    /// Who sent it: the id of a principal.
    pub(crate) sender: String,
    /// What the sender attached to it, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) attributes: BTreeMap<String, Attribute>,
    /// The header of AWS X-Ray.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trace_header: Option<String>,
    /// The group of a fair queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<String>,
    /// ARN of the queue it was moved from, once it is a dead letter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) dead_letter_source: Option<String>,
}

impl Message {
    /// A message with a fresh id and nothing attached.
    pub(crate) fn new(body: String, sender: &str) -> Self {
        Self {
            // The generator of the thread is as random, and no system call.
            id: uuid::Builder::from_random_bytes(rand::random())
                .into_uuid()
                .to_string(),
            md5: md5(body.as_bytes()),
            body,
            sent: 0,
            sender: sender.to_owned(),
            attributes: BTreeMap::new(),
            trace_header: None,
            group: None,
            dead_letter_source: None,
        }
    }

    /// Bytes that count against the largest size of a message.
    pub(crate) fn size(&self) -> usize {
        let attributes = self.attributes.iter();
        let attached = attributes.map(|(name, attribute)| name.len() + attribute.size());
        self.body.len() + attached.sum::<usize>()
    }
}

/// MD5 in hex: clients compare it with what they sent.
pub(super) fn md5(bytes: &[u8]) -> String {
    let digest = hash(MessageDigest::md5(), bytes);
    digest.map(hex::encode).unwrap_or_default()
}

/// The first character that no message may have ("SendMessage": those of XML 1.0 are allowed).
pub(crate) fn forbidden_character(text: &str) -> Option<char> {
    text.chars().find(|letter| {
        !matches!(letter,
            '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_characters_of_xml_are_allowed_and_no_others() {
        assert_eq!(forbidden_character("a\t\r\n\u{7f}é\u{fffd}😀"), None);
        for letter in ['\0', '\u{b}', '\u{1f}', '\u{fffe}', '\u{ffff}'] {
            assert_eq!(forbidden_character(&format!("a{letter}")), Some(letter));
        }
    }
}
