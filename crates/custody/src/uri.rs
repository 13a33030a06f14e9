//! PKCS#11 URIs (RFC 7512), as far as they name a key and how to get at it.

use std::{fmt, path::PathBuf, str::FromStr};

use jitp_core::failure::{Class, Classified};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// Which key in which token, and by which module: `pkcs11:token=factory;object=root`.
///
/// What is not named may be anything.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TokenUri {
    pub(crate) token: Option<String>,
    pub(crate) manufacturer: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) serial: Option<String>,
    pub(crate) slot: Option<u64>,
    pub(crate) object: Option<String>,
    pub(crate) id: Option<Vec<u8>>,
    pub(crate) module_path: Option<PathBuf>,
    pub(crate) pin_file: Option<PathBuf>,
}

/// Why a text is no URI of a key. It never repeats a PIN.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UriError {
    /// It does not begin with `pkcs11:`.
    #[error("it does not begin with pkcs11:")]
    Scheme,
    /// A part without `=`.
    #[error("{part:?} is no attribute: they are written NAME=VALUE, with ; between them")]
    NoAttribute {
        /// The part.
        part: String,
    },
    /// An attribute that is not known here.
    #[error("{name:?} is no attribute that a CA key is found by")]
    Unknown {
        /// Its name.
        name: String,
    },
    /// An attribute that is there twice.
    #[error("the attribute {name} is there twice")]
    Twice {
        /// Its name.
        name: &'static str,
    },
    /// A value that cannot be.
    #[error("the attribute {name} {fault}")]
    Value {
        /// Its name.
        name: &'static str,
        /// What is wrong with its value.
        fault: &'static str,
    },
    /// A PIN, where everybody on the machine can read it.
    #[error(
        "a PIN does not belong into a URI, where every process list and shell history shows it"
    )]
    PinValue,
}

impl Classified for UriError {
    fn class(&self) -> Class {
        Class::Usage
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::PinValue => {
                "set JITP_PKCS11_PIN, or write pin-source=file:/path/of/a/file, or type it when asked; and change \
                 that PIN if others could have seen it"
                    .to_owned()
            }
            Self::Unknown { .. } => format!("there are {}", Name::ALL.map(Name::as_str).join(", ")),
            _ => "for example: pkcs11:token=factory;object=root".to_owned(),
        })
    }
}

impl TokenUri {
    /// The module that leads to the token, if the URI names one.
    pub fn module_path(&self) -> Option<&PathBuf> {
        self.module_path.as_ref()
    }

    /// The file that holds the PIN, if the URI names one.
    pub fn pin_file(&self) -> Option<&PathBuf> {
        self.pin_file.as_ref()
    }

    /// The part that names the token.
    pub(crate) fn token_part(&self) -> String {
        let part = Self {
            object: None,
            id: None,
            ..self.clone()
        };
        part.to_string()
    }

    fn set(&mut self, name: Name, text: &str) -> Result<(), UriError> {
        let twice = || UriError::Twice {
            name: name.as_str(),
        };
        let bytes = decoded(name, text)?;
        let utf8 = || {
            String::from_utf8(bytes.clone()).map_err(|_| UriError::Value {
                name: name.as_str(),
                fault: "is no UTF-8",
            })
        };
        let place = match name {
            Name::Token => &mut self.token,
            Name::Manufacturer => &mut self.manufacturer,
            Name::Model => &mut self.model,
            Name::Serial => &mut self.serial,
            Name::Object => &mut self.object,
            Name::SlotId => {
                let number = utf8()?.parse().map_err(|_| UriError::Value {
                    name: name.as_str(),
                    fault: "is no number",
                })?;
                return once(&mut self.slot, number).ok_or_else(twice);
            }
            Name::Id if bytes.is_empty() => {
                return Err(UriError::Value {
                    name: name.as_str(),
                    fault: "is empty; its bytes are written %01%02",
                });
            }
            Name::Id => return once(&mut self.id, bytes).ok_or_else(twice),
            Name::Type => {
                // The private key is what signs; with another type the URI is for something else.
                return match bytes.as_slice() {
                    b"private" => Ok(()),
                    _ => Err(UriError::Value {
                        name: name.as_str(),
                        fault: "must be private: the private key signs",
                    }),
                };
            }
            Name::ModulePath => {
                return once(&mut self.module_path, utf8()?.into()).ok_or_else(twice);
            }
            Name::PinSource => {
                let path = pin_file(&utf8()?)?;
                return once(&mut self.pin_file, path).ok_or_else(twice);
            }
        };
        let value = utf8()?;
        if value.is_empty() {
            return Err(UriError::Value {
                name: name.as_str(),
                fault: "is empty",
            });
        }
        once(place, value).ok_or_else(twice)
    }
}

/// `None` if there is a value already.
fn once<T>(place: &mut Option<T>, value: T) -> Option<()> {
    if place.is_some() {
        return None;
    }
    *place = Some(value);
    Some(())
}

fn decoded(name: Name, text: &str) -> Result<Vec<u8>, UriError> {
    let escapes = text.split('%').skip(1);
    let good = escapes.into_iter().all(|after| {
        let digits = after.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    match good {
        true => Ok(percent_decode_str(text).collect()),
        false => Err(UriError::Value {
            name: name.as_str(),
            fault: "has a % without two hexadecimal digits after it; % itself is written %25",
        }),
    }
}

/// RFC 7512, 2.4: a file, or a command, which is not run here. Many write the path of the file alone.
fn pin_file(source: &str) -> Result<PathBuf, UriError> {
    let path = match source.strip_prefix("file:") {
        Some(path) => path.strip_prefix("//").unwrap_or(path),
        None => source,
    };
    match path.starts_with('/') {
        true => Ok(path.into()),
        false => Err(UriError::Value {
            name: Name::PinSource.as_str(),
            fault: "must be file: and the whole path of a file",
        }),
    }
}

impl FromStr for TokenUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let attributes = text.strip_prefix("pkcs11:").ok_or(UriError::Scheme)?;
        let mut uri = Self::default();
        // The RFC separates the path from the query by ? and &; programs that know only ; are common, and what they
        // write means the same.
        for part in attributes.split([';', '?', '&']) {
            if part.is_empty() {
                continue;
            }
            let Some((name, value)) = part.split_once('=') else {
                return Err(UriError::NoAttribute {
                    part: part.to_owned(),
                });
            };
            if name == "pin-value" {
                return Err(UriError::PinValue);
            }
            let known = Name::ALL.into_iter().find(|known| known.as_str() == name);
            let known = known.ok_or_else(|| UriError::Unknown {
                name: name.to_owned(),
            })?;
            uri.set(known, value)?;
        }
        Ok(uri)
    }
}

impl fmt::Display for TokenUri {
    /// What names token and key; not how to get at them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let texts = [
            (Name::Token, &self.token),
            (Name::Manufacturer, &self.manufacturer),
            (Name::Model, &self.model),
            (Name::Serial, &self.serial),
        ];
        let written = |name: Name, value: &str| {
            format!("{}={}", name.as_str(), utf8_percent_encode(value, ESCAPED))
        };
        parts.extend(
            texts
                .into_iter()
                .filter_map(|(name, value)| Some(written(name, value.as_deref()?))),
        );
        parts.extend(self.slot.map(|slot| format!("slot-id={slot}")));
        parts.extend(
            self.object
                .as_deref()
                .map(|object| written(Name::Object, object)),
        );
        parts.extend(self.id.as_ref().map(|id| {
            let octets: String = id.iter().map(|octet| format!("%{octet:02X}")).collect();
            format!("id={octets}")
        }));
        write!(f, "pkcs11:{}", parts.join(";"))
    }
}

/// What stands for itself in a value is RFC 7512's pk11-pchar; the rest is escaped.
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'&')
    .add(b'/')
    .add(b';')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// The attributes that count here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Name {
    Token,
    Manufacturer,
    Model,
    Serial,
    SlotId,
    Object,
    Id,
    Type,
    ModulePath,
    PinSource,
}

impl Name {
    const ALL: [Self; 10] = [
        Self::Token,
        Self::Manufacturer,
        Self::Model,
        Self::Serial,
        Self::SlotId,
        Self::Object,
        Self::Id,
        Self::Type,
        Self::ModulePath,
        Self::PinSource,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Manufacturer => "manufacturer",
            Self::Model => "model",
            Self::Serial => "serial",
            Self::SlotId => "slot-id",
            Self::Object => "object",
            Self::Id => "id",
            Self::Type => "type",
            Self::ModulePath => "module-path",
            Self::PinSource => "pin-source",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<TokenUri, UriError> {
        text.parse()
    }

    #[test]
    fn a_uri_is_taken_apart_and_named_again() {
        let text = "pkcs11:token=The%20Factory%3b%201;serial=0007;slot-id=3;object=line%204%2Fa;id=%01%fE;type=private";
        let uri = parse(&format!(
            "{text}?pin-source=file:/etc/pin&module-path=/usr/lib/a%3Bb.so"
        ))
        .unwrap();
        assert_eq!(uri.token.as_deref(), Some("The Factory; 1"));
        assert_eq!(uri.serial.as_deref(), Some("0007"));
        assert_eq!(
            (uri.slot, uri.object.as_deref()),
            (Some(3), Some("line 4/a"))
        );
        assert_eq!(uri.id.as_deref(), Some(&[1, 0xfe][..]));
        assert_eq!(uri.pin_file().unwrap(), &PathBuf::from("/etc/pin"));
        assert_eq!(
            uri.module_path().unwrap(),
            &PathBuf::from("/usr/lib/a;b.so")
        );
        let named =
            "pkcs11:token=The%20Factory%3B%201;serial=0007;slot-id=3;object=line%204%2Fa;id=%01%FE";
        assert_eq!(uri.to_string(), named);
        let again = TokenUri {
            module_path: None,
            pin_file: None,
            ..uri
        };
        assert_eq!(parse(named), Ok(again));
        assert_eq!(parse("pkcs11:").unwrap(), TokenUri::default());
    }

    #[test]
    fn every_way_to_write_the_file_of_the_pin_is_known() {
        for source in ["file:/a/pin", "file:///a/pin", "/a/pin", "file:%2Fa%2Fpin"] {
            let uri = parse(&format!("pkcs11:token=t;pin-source={source}")).unwrap();
            assert_eq!(
                uri.pin_file().unwrap(),
                &PathBuf::from("/a/pin"),
                "{source}"
            );
        }
        for source in ["|/usr/bin/askpin", "pin", "file:pin"] {
            let refusal = parse(&format!("pkcs11:pin-source={source}")).unwrap_err();
            assert!(refusal.to_string().contains("whole path"), "{refusal}");
        }
    }

    #[test]
    fn a_pin_in_a_uri_is_refused_and_not_repeated() {
        for text in [
            "pkcs11:token=t?pin-value=987654",
            "pkcs11:token=t;object=o;pin-value=987654",
        ] {
            let refusal = parse(text).unwrap_err();
            let said = format!("{refusal} {refusal:?} {}", refusal.hint().unwrap());
            assert!(!said.contains("987654"), "{said}");
            assert!(said.contains("JITP_PKCS11_PIN"), "{said}");
        }
    }

    #[test]
    fn what_is_no_uri_is_refused_by_what_is_wrong_with_it() {
        for (text, why) in [
            ("token=t", "pkcs11:"),
            ("pkcs11:token", "NAME=VALUE"),
            ("pkcs11:tokn=t", "\"tokn\" is no attribute"),
            ("pkcs11:token=a;token=b", "twice"),
            ("pkcs11:token=", "is empty"),
            ("pkcs11:id=", "is empty"),
            ("pkcs11:slot-id=x", "no number"),
            ("pkcs11:type=public", "must be private"),
            ("pkcs11:token=%zz", "% without"),
            ("pkcs11:token=%4", "% without"),
            ("pkcs11:token=%FF", "no UTF-8"),
        ] {
            let refusal = parse(text).unwrap_err();
            assert!(refusal.to_string().contains(why), "{text}: {refusal}");
            assert_eq!(refusal.class(), Class::Usage);
            assert!(refusal.hint().is_some());
        }
    }
}
