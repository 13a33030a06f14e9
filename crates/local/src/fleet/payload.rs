//! The two forms payloads travel in, JSON and CBOR, and what requests hold.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::rejection::Rejection;

/// The form of a payload; the answer has that of the request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Format {
    Json,
    Cbor,
}

/// Levels of nesting read in CBOR; a request has two.
const DEEPEST: usize = 16;

/// What CreateCertificateFromCsr is asked.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreateFromCsr {
    pub(super) certificate_signing_request: String,
}

/// What RegisterThing is asked.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RegisterThing {
    #[serde(default)]
    pub(super) certificate_ownership_token: Option<String>,
    #[serde(default)]
    pub(super) parameters: Option<BTreeMap<String, String>>,
}

impl Format {
    /// Reads a payload, of which nothing may be left over.
    pub(super) fn read<T: DeserializeOwned>(self, payload: &[u8]) -> Result<T, Rejection> {
        let read = match self {
            Self::Json => serde_json::from_slice(payload).map_err(|error| error.to_string()),
            Self::Cbor => cbor(payload),
        };
        read.map_err(|fault| {
            let kind = match self {
                Self::Json => "JSON",
                Self::Cbor => "CBOR",
            };
            Rejection::invalid_payload(format!(
                "The payload is not the {kind} it should be: {fault}"
            ))
        })
    }

    pub(super) fn write(self, body: &Map<String, Value>) -> Vec<u8> {
        let mut payload = Vec::new();
        match self {
            Self::Json => payload = Value::from(body.clone()).to_string().into_bytes(),
            // Texts, numbers and maps of them, into memory.
            Self::Cbor => ciborium::into_writer(body, &mut payload)
                .expect("scalars under text keys can be written"),
        }
        payload
    }
}

fn cbor<T: DeserializeOwned>(payload: &[u8]) -> Result<T, String> {
    let mut rest = payload;
    let value =
        ciborium::de::from_reader_with_recursion_limit(&mut rest, DEEPEST).map_err(|error| {
            match error {
                ciborium::de::Error::Semantic(_, fault) => fault,
                ciborium::de::Error::RecursionLimitExceeded => "it is nested too deep".to_owned(),
                ciborium::de::Error::Syntax(offset) => format!("byte {offset} is no CBOR"),
                ciborium::de::Error::Io(_) => "it ends early".to_owned(),
            }
        })?;
    match rest.len() {
        0 => Ok(value),
        bytes => Err(format!("{bytes} bytes follow it")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(format: Format, value: &Value) -> Vec<u8> {
        format.write(value.as_object().unwrap())
    }

    #[test]
    fn a_request_reads_alike_in_both_forms() {
        let request =
            json!({"certificateOwnershipToken": "t", "parameters": {"a": "b"}, "more": 1});
        for format in [Format::Json, Format::Cbor] {
            let read: RegisterThing = format.read(&written(format, &request)).unwrap();
            assert_eq!(read.certificate_ownership_token.as_deref(), Some("t"));
            assert_eq!(read.parameters.unwrap()["a"], "b");
            let nothing: RegisterThing = format.read(&written(format, &json!({}))).unwrap();
            assert!(nothing.parameters.is_none());
        }
    }

    #[test]
    fn what_is_not_a_request_is_a_sentence() {
        let wrong = [
            json!({"parameters": {"a": 1}}),
            json!({"parameters": ["a"]}),
            json!({"certificateOwnershipToken": {"a": "b"}}),
        ];
        for format in [Format::Json, Format::Cbor] {
            for value in &wrong {
                assert!(
                    format
                        .read::<RegisterThing>(&written(format, value))
                        .is_err()
                );
            }
            let whole = written(format, &json!({"parameters": {"a": "b"}}));
            for length in 0..whole.len() {
                assert!(format.read::<RegisterThing>(&whole[..length]).is_err());
            }
            let more = [&whole[..], b"\x01"].concat();
            assert!(format.read::<RegisterThing>(&more).is_err());
        }
    }

    #[test]
    fn bytes_of_every_kind_are_survived() {
        use rand::{Rng as _, SeedableRng as _};
        let mut random = rand::rngs::StdRng::seed_from_u64(17);
        let whole = written(Format::Cbor, &json!({"parameters": {"abc": "def"}}));
        for _ in 0..20_000 {
            let mut bytes: Vec<u8> = if random.random() {
                (0..random.random_range(0..64))
                    .map(|_| random.random())
                    .collect()
            } else {
                whole.clone()
            };
            if !bytes.is_empty() {
                let at = random.random_range(0..bytes.len());
                bytes[at] = random.random();
            }
            let _ = Format::Cbor.read::<RegisterThing>(&bytes);
            let _ = Format::Json.read::<CreateFromCsr>(&bytes);
        }
        // A text of 2^63 bytes that is not there, and a hundred thousand lists in each other.
        let huge = b"\x7b\x7f\xff\xff\xff\xff\xff\xff\xff";
        assert!(Format::Cbor.read::<RegisterThing>(huge).is_err());
        assert!(
            Format::Cbor
                .read::<RegisterThing>(&[0x81; 100_000])
                .is_err()
        );
        assert!(
            Format::Json
                .read::<RegisterThing>(&[b'['; 100_000])
                .is_err()
        );
    }
}
