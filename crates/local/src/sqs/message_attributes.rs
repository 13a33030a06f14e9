//! What a sender attaches to a message: typed values, within AWS's rules, and the digest of them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::error::{invalid_contents, invalid_value};
use super::message::{forbidden_character, md5};
use crate::account::ApiError;

/// Attributes of one message (SQS developer guide, "Amazon SQS message metadata").
const MOST: usize = 10;
/// Characters of a name.
const LONGEST_NAME: usize = 256;

/// The value of a message attribute.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(crate) struct Attribute {
    /// `String`, `Number` or `Binary`, perhaps with a label behind a dot.
    kind: String,
    /// The text; of a binary value its base64.
    value: String,
}

impl Attribute {
    fn is_binary(&self) -> bool {
        self.kind.split('.').next() == Some("Binary")
    }

    fn octets(&self) -> Vec<u8> {
        match self.is_binary() {
            // It was decoded when it was taken.
            true => STANDARD.decode(&self.value).unwrap_or_default(),
            false => self.value.clone().into_bytes(),
        }
    }

    /// Bytes that count against the largest size of a message.
    pub(super) fn size(&self) -> usize {
        self.kind.len() + self.octets().len()
    }

    /// A text.
    pub(super) fn text(text: &str) -> Self {
        Self {
            kind: "String".to_owned(),
            value: text.to_owned(),
        }
    }

    /// The text, of one that is no binary.
    pub(super) fn into_text(self) -> String {
        self.value
    }

    /// As the API of SQS writes it.
    pub(super) fn described(&self) -> Value {
        let name = match self.is_binary() {
            true => "BinaryValue",
            false => "StringValue",
        };
        json!({ "DataType": self.kind, name: self.value })
    }

    /// As the events of AWS Lambda write it.
    pub(crate) fn in_event(&self) -> Value {
        let (text, binary) = match self.is_binary() {
            true => (None, Some(&self.value)),
            false => (Some(&self.value), None),
        };
        json!({
            "dataType": self.kind, "stringValue": text, "binaryValue": binary,
            "stringListValues": [], "binaryListValues": [],
        })
    }
}

/// Reads the attributes of a message, which the model has judged.
///
/// # Errors
/// `InvalidParameterValueException`, `InvalidMessageContents`.
pub(super) fn read(
    given: Option<&Map<String, Value>>,
) -> Result<BTreeMap<String, Attribute>, ApiError> {
    let Some(given) = given else {
        return Ok(BTreeMap::new());
    };
    if given.len() > MOST {
        return Err(invalid_value(format!(
            "Number of message attributes [{}] exceeds the allowed maximum [{MOST}].",
            given.len()
        )));
    }
    let read_one = |(name, value): (&String, &Value)| {
        judge_name(name)?;
        Ok((name.clone(), read_value(name, value)?))
    };
    given.iter().map(read_one).collect()
}

/// Reads one value.
pub(super) fn read_value(name: &str, value: &Value) -> Result<Attribute, ApiError> {
    let text = |member: &str| value.get(member).and_then(Value::as_str);
    let kind = text("DataType").unwrap_or_default();
    let wrong = |why: &str| invalid_value(format!("The message attribute '{name}' {why}"));
    let base = kind.split('.').next().unwrap_or_default();
    if kind.len() > LONGEST_NAME || !["String", "Number", "Binary"].contains(&base) {
        return Err(wrong(
            "has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String.",
        ));
    }
    let member = match base {
        "Binary" => "BinaryValue",
        _ => "StringValue",
    };
    let Some(found) = text(member).filter(|found| !found.is_empty()) else {
        return Err(wrong(&format!(
            "must contain a non-empty message attribute value ({member}) for the message attribute type '{kind}'."
        )));
    };
    let is_number = || found.parse::<f64>().is_ok_and(f64::is_finite);
    match base {
        "Binary" if STANDARD.decode(found).is_err() => {
            return Err(wrong("has a BinaryValue that is not base64."));
        }
        "Number" if !is_number() => return Err(wrong("has a StringValue that is no number.")),
        "String" => {
            if let Some(letter) = forbidden_character(found) {
                return Err(invalid_contents(letter));
            }
        }
        _ => {}
    }
    Ok(Attribute {
        kind: kind.to_owned(),
        value: found.to_owned(),
    })
}

fn judge_name(name: &str) -> Result<(), ApiError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    let lower = name.to_ascii_lowercase();
    let dotted = name.starts_with('.') || name.ends_with('.') || name.contains("..");
    let reserved = lower.starts_with("aws.") || lower.starts_with("amazon.");
    match name.is_empty()
        || name.len() > LONGEST_NAME
        || !name.bytes().all(plain)
        || dotted
        || reserved
    {
        true => Err(invalid_value(format!(
            "The message attribute name '{name}' is invalid: it has 1 to {LONGEST_NAME} letters, digits, _, - and ., \
             no dot at either end or twice, and does not begin with AWS. or Amazon."
        ))),
        false => Ok(()),
    }
}

/// MD5 of attributes, in hex; none for no attributes (SQS developer guide, "Calculating the MD5 message digest for
/// message attributes").
pub(super) fn digest<'a>(
    attributes: impl Iterator<Item = (&'a str, &'a Attribute)>,
) -> Option<String> {
    let mut encoded = Vec::new();
    let put = |encoded: &mut Vec<u8>, bytes: &[u8]| {
        encoded.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
        encoded.extend(bytes);
    };
    // They come in the order of their names.
    for (name, attribute) in attributes {
        put(&mut encoded, name.as_bytes());
        put(&mut encoded, attribute.kind.as_bytes());
        encoded.push(if attribute.is_binary() { 2 } else { 1 });
        put(&mut encoded, &attribute.octets());
    }
    (!encoded.is_empty()).then(|| md5(&encoded))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_json(given: Value) -> Result<BTreeMap<String, Attribute>, ApiError> {
        read(given.as_object())
    }

    #[test]
    fn values_are_read_by_their_type_and_their_digest_is_that_of_the_guide() {
        let read = read_json(json!({
            "b": { "DataType": "Binary.png", "BinaryValue": "AQID" },
            "n": { "DataType": "Number", "StringValue": "-1.5e3" },
            "s": { "DataType": "String", "StringValue": "ü" },
        }))
        .unwrap();
        let encoded = digest(read.iter().map(|(name, value)| (name.as_str(), value)));
        // By Python: hashlib.md5 of lengths as big-endian 32-bit numbers, names, types, transport types and values.
        assert_eq!(encoded.as_deref(), Some("3de3aa154e883a215fb4778626e286a3"));
        assert_eq!(digest(std::iter::empty()), None);
        assert_eq!(read["s"].in_event()["stringValue"], "ü");
        assert_eq!(read["b"].described()["BinaryValue"], "AQID");
    }

    #[test]
    fn what_sqs_does_not_take_is_refused_by_name() {
        for (name, value) in [
            ("a", json!({ "DataType": "Text", "StringValue": "a" })),
            ("a", json!({ "DataType": "String", "StringValue": "" })),
            ("a", json!({ "DataType": "String", "BinaryValue": "AQID" })),
            ("a", json!({ "DataType": "Binary", "BinaryValue": "%" })),
            ("a", json!({ "DataType": "Number", "StringValue": "one" })),
            ("AWS.a", json!({ "DataType": "String", "StringValue": "a" })),
            ("a..b", json!({ "DataType": "String", "StringValue": "a" })),
            ("a b", json!({ "DataType": "String", "StringValue": "a" })),
        ] {
            let refused = read_json(json!({ name: value })).unwrap_err();
            assert_eq!(refused.code, "InvalidParameterValueException", "{name}");
            assert!(refused.message.contains(name), "{}", refused.message);
        }
        let control = json!({ "a": { "DataType": "String", "StringValue": "\u{1}" } });
        assert_eq!(
            read_json(control).unwrap_err().code,
            "InvalidMessageContents"
        );
        let many: Map<String, Value> = (0..11)
            .map(|n| {
                (
                    format!("a{n}"),
                    json!({ "DataType": "String", "StringValue": "a" }),
                )
            })
            .collect();
        assert!(read(Some(&many)).is_err());
    }
}
