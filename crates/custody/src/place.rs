//! Where a CA key is, as one argument says it: a file, a token, or AWS KMS.

use std::{fmt, path::PathBuf, str::FromStr};

use jitp_core::failure::{Class, Classified};

use crate::{TokenUri, UriError};

/// The place of a key: `root.ca.key`, `pkcs11:token=…;object=…` or `awskms:alias/…`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum KeyPlace {
    /// A file in PEM.
    File(PathBuf),
    /// A PKCS#11 token.
    Token(Box<TokenUri>),
    /// AWS KMS: the id, the ARN or the alias of a key, without `awskms:`.
    Kms(String),
}

/// Why a text names no place of a key.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// Nothing at all.
    #[error("the place of the CA key is empty")]
    Empty,
    /// A scheme that is not known.
    #[error("{scheme}: is no place of a CA key that is known")]
    Scheme {
        /// What stands before the colon.
        scheme: String,
    },
    /// Not the name of a KMS key.
    #[error("{name:?} names no key of AWS KMS")]
    Kms {
        /// What stands after `awskms:`.
        name: String,
    },
    /// A PKCS#11 URI that is none.
    #[error("the PKCS#11 URI of the CA key cannot be used: {0}")]
    Uri(#[from] UriError),
}

impl Classified for PlaceError {
    fn class(&self) -> Class {
        Class::Usage
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Uri(error) => return error.hint(),
            Self::Empty | Self::Scheme { .. } => {
                "name a file (./NAME if there is a colon in it), pkcs11:token=…;object=…, or awskms:alias/…"
            }
            Self::Kms { .. } => "name it by awskms:alias/NAME, awskms:KEY-ID or awskms:ARN",
        };
        Some(hint.to_owned())
    }
}

impl FromStr for KeyPlace {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        if text.starts_with("pkcs11:") {
            return Ok(Self::Token(Box::new(text.parse()?)));
        }
        if let Some(name) = text.strip_prefix("awskms:") {
            // The alphabet of aliases, ids and ARNs (AWS KMS API reference, "Sign", KeyId).
            let fits =
                |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | ':' | '.');
            return match !name.is_empty() && name.len() <= 2048 && name.chars().all(fits) {
                true => Ok(Self::Kms(name.to_owned())),
                false => Err(PlaceError::Kms {
                    name: name.to_owned(),
                }),
            };
        }
        match text.split_once(':') {
            _ if text.is_empty() => Err(PlaceError::Empty),
            // Not a path: what was meant is another scheme, or one of these misspelled.
            Some((scheme, _)) if !scheme.is_empty() && !scheme.contains(['/', '.']) => {
                Err(PlaceError::Scheme {
                    scheme: scheme.to_owned(),
                })
            }
            _ => Ok(Self::File(text.into())),
        }
    }
}

impl fmt::Display for KeyPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Token(uri) => uri.fmt(f),
            Self::Kms(name) => write!(f, "awskms:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_tokens_and_kms_are_told_apart() {
        let parse = |text: &str| text.parse::<KeyPlace>();
        for path in ["root.ca.key", "/a/b:c", "./a:b", "../x", "-"] {
            assert_eq!(parse(path), Ok(KeyPlace::File(path.into())));
        }
        assert!(matches!(parse("pkcs11:token=t"), Ok(KeyPlace::Token(_))));
        let arn = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab";
        for name in ["alias/ca", "1234abcd-12ab", arn] {
            let place = parse(&format!("awskms:{name}")).unwrap();
            assert_eq!(place, KeyPlace::Kms(name.to_owned()));
            assert_eq!(place.to_string(), format!("awskms:{name}"));
        }
        for text in [
            "",
            "kms:alias/ca",
            "PKCS11:token=t",
            "pkcs11:tok=t",
            "awskms:",
            "awskms:a b",
        ] {
            let refusal = parse(text).unwrap_err();
            assert_eq!(refusal.class(), Class::Usage, "{text}");
            assert!(refusal.hint().is_some());
        }
    }
}
