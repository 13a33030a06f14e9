//! The two forms in which requests and answers travel.

use std::{fmt, str::FromStr};

use serde::{Serialize, de::DeserializeOwned};

/// Form of the payloads; the last level of the topics.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Format {
    /// JSON.
    #[default]
    Json,
    /// CBOR (RFC 8949).
    Cbor,
}

impl Format {
    /// As topics end.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Cbor => "cbor",
        }
    }

    /// A payload; the requests have nothing in them that could not be written.
    pub(super) fn write(self, value: &impl Serialize) -> Result<Vec<u8>, String> {
        match self {
            Self::Json => serde_json::to_vec(value).map_err(|error| error.to_string()),
            Self::Cbor => {
                let mut payload = Vec::new();
                ciborium::into_writer(value, &mut payload).map_err(|error| error.to_string())?;
                Ok(payload)
            }
        }
    }

    /// Reads a payload, of which nothing may be left over.
    pub(super) fn read<T: DeserializeOwned>(self, payload: &[u8]) -> Result<T, String> {
        match self {
            Self::Json => serde_json::from_slice(payload).map_err(|error| error.to_string()),
            Self::Cbor => {
                let mut rest = payload;
                let value = ciborium::de::from_reader_with_recursion_limit(&mut rest, DEEPEST)
                    .map_err(|error| error.to_string())?;
                match rest.len() {
                    0 => Ok(value),
                    bytes => Err(format!("{bytes} bytes follow it")),
                }
            }
        }
    }
}

/// Levels of nesting; a device configuration is flat.
const DEEPEST: usize = 16;

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "json" => Ok(Self::Json),
            "cbor" => Ok(Self::Cbor),
            other => Err(format!("{other:?} is no payload format: give json or cbor")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_is_written_reads_back_in_either_form() {
        let value = json!({"parameters": {"License": "123"}, "n": 4, "flag": true, "none": null});
        for format in [Format::Json, Format::Cbor] {
            let payload = format.write(&value).unwrap();
            assert_eq!(format.read::<Value>(&payload).unwrap(), value, "{format}");
        }
    }

    #[test]
    fn damaged_overlong_and_deep_payloads_are_errors() {
        for format in [Format::Json, Format::Cbor] {
            let mut payload = format.write(&json!({"a": "b"})).unwrap();
            payload.push(b'1');
            assert!(format.read::<Value>(&payload).is_err(), "{format}");
            assert!(format.read::<Value>(&payload[..3]).is_err(), "{format}");
            assert!(format.read::<Value>(b"").is_err(), "{format}");
        }
        let nested = vec![0x81; 100_000]; // arrays of one array each
        assert!(Format::Cbor.read::<Value>(&nested).is_err());
    }
}
