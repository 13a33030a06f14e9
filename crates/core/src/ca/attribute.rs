//! Attributes of a subject: their names, their bounds in RFC 5280, and why a value was refused.

use crate::{
    certificate::{
        COMMON_NAME, COUNTRY, DN_QUALIFIER, LOCALITY, ORGANIZATION, ORGANIZATIONAL_UNIT,
        SERIAL_NUMBER, STATE,
    },
    failure::{Class, Classified},
};

/// An attribute a subject may have.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Attribute {
    /// CN, 1 to 64 characters.
    CommonName,
    /// C, an ISO 3166 code of two upper-case letters.
    Country,
    /// L, 1 to 128 characters.
    Locality,
    /// ST, 1 to 128 characters.
    State,
    /// O, 1 to 64 characters.
    Organization,
    /// OU, 1 to 64 characters.
    OrganizationalUnit,
    /// dnQualifier, 1 to 64 characters of the PrintableString alphabet.
    DnQualifier,
    /// serialNumber, 1 to 64 characters of the PrintableString alphabet. Not the certificate's own serial number.
    SerialNumber,
}

/// Why a subject was refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SubjectError {
    /// No value.
    #[error("the {} of a certificate must not be empty", .attribute.label())]
    Empty {
        /// Which attribute.
        attribute: Attribute,
    },
    /// More characters than X.509 allows.
    #[error(
        "the {} {value:?} has {length} characters, and X.509 allows {limit} (RFC 5280, appendix A.1)",
        .attribute.label()
    )]
    TooLong {
        /// Which attribute.
        attribute: Attribute,
        /// The value as given.
        value: String,
        /// Its length in characters.
        length: usize,
        /// The greatest length.
        limit: usize,
    },
    /// A character that must not be in there.
    #[error("the {} {value:?} contains {character:?}; {allowed}", .attribute.label())]
    Character {
        /// Which attribute.
        attribute: Attribute,
        /// The value as given.
        value: String,
        /// The first character refused.
        character: char,
        /// What is allowed.
        allowed: &'static str,
    },
    /// Not a country code.
    #[error(
        "{value:?} is not a country: X.509 wants the two capital letters of ISO 3166, for example LU"
    )]
    Country {
        /// The value as given.
        value: String,
    },
    /// White space around a value, which readers of names disagree about.
    #[error("the {} {value:?} begins or ends with white space", .attribute.label())]
    Padding {
        /// Which attribute.
        attribute: Attribute,
        /// The value as given.
        value: String,
    },
    /// The same attribute a second time.
    #[error("the {} is given twice", .attribute.label())]
    Repeated {
        /// Which attribute.
        attribute: Attribute,
    },
    /// More positional values than there are places.
    #[error("{count} values were given for the subject; there are six places: CN C L ST O OU")]
    Surplus {
        /// How many were given.
        count: usize,
    },
}

impl Classified for SubjectError {
    fn class(&self) -> Class {
        Class::Usage
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::TooLong {
                attribute: Attribute::CommonName,
                ..
            } => Some(
                "a thing name may have 128 characters, but one that is proved by a certificate has to fit its common name"
                    .to_owned(),
            ),
            Self::Country { value } if value.to_ascii_uppercase() != *value => {
                Some(format!("write {}", value.to_ascii_uppercase()))
            }
            _ => None,
        }
    }
}

impl Attribute {
    /// The order of the shell toolkit's `create-ca`: CN C L ST O OU.
    pub const POSITIONAL: [Self; 6] = [
        Self::CommonName,
        Self::Country,
        Self::Locality,
        Self::State,
        Self::Organization,
        Self::OrganizationalUnit,
    ];

    /// The abbreviation, for example `OU`.
    pub fn label(self) -> &'static str {
        match self {
            Self::CommonName => "common name (CN)",
            Self::Country => "country (C)",
            Self::Locality => "locality (L)",
            Self::State => "state (ST)",
            Self::Organization => "organization (O)",
            Self::OrganizationalUnit => "organizational unit (OU)",
            Self::DnQualifier => "dnQualifier",
            Self::SerialNumber => "serialNumber",
        }
    }

    /// The type as a dotted object identifier.
    pub fn oid(self) -> &'static str {
        match self {
            Self::CommonName => COMMON_NAME,
            Self::Country => COUNTRY,
            Self::Locality => LOCALITY,
            Self::State => STATE,
            Self::Organization => ORGANIZATION,
            Self::OrganizationalUnit => ORGANIZATIONAL_UNIT,
            Self::DnQualifier => DN_QUALIFIER,
            Self::SerialNumber => SERIAL_NUMBER,
        }
    }

    /// The upper bound in characters (RFC 5280, appendix A.1). X.520 sets none for dnQualifier; it gets serialNumber's.
    pub fn limit(self) -> usize {
        match self {
            Self::Country => 2,
            Self::Locality | Self::State => 128,
            _ => 64,
        }
    }

    /// RFC 5280 allows these only as PrintableString.
    pub(super) fn is_printable_string(self) -> bool {
        matches!(self, Self::Country | Self::DnQualifier | Self::SerialNumber)
    }

    /// The type's object identifier in DER without its header; all are below 2.5.4 (X.520).
    pub(super) fn oid_der(self) -> [u8; 3] {
        let number = match self {
            Self::CommonName => 3,
            Self::SerialNumber => 5,
            Self::Country => 6,
            Self::Locality => 7,
            Self::State => 8,
            Self::Organization => 10,
            Self::OrganizationalUnit => 11,
            Self::DnQualifier => 46,
        };
        [2 * 40 + 5, 4, number]
    }

    pub(super) fn check(self, value: &str) -> Result<(), SubjectError> {
        let attribute = self;
        if value.is_empty() {
            return Err(SubjectError::Empty { attribute });
        }
        if self == Self::Country {
            let letters = value.len() == 2 && value.bytes().all(|b| b.is_ascii_uppercase());
            return if letters {
                Ok(())
            } else {
                Err(SubjectError::Country {
                    value: value.to_owned(),
                })
            };
        }
        let length = value.chars().count();
        if length > self.limit() {
            return Err(SubjectError::TooLong {
                attribute,
                value: value.to_owned(),
                length,
                limit: self.limit(),
            });
        }
        let (refused, allowed) = if self.is_printable_string() {
            (
                value.chars().find(|&c| !is_printable(c)),
                "allowed are a-z A-Z 0-9, space and ' ( ) + , - . / : = ?",
            )
        } else {
            (
                value.chars().find(|c| c.is_control()),
                "control characters are not allowed",
            )
        };
        if let Some(character) = refused {
            return Err(SubjectError::Character {
                attribute,
                value: value.to_owned(),
                character,
                allowed,
            });
        }
        if value.trim() != value {
            return Err(SubjectError::Padding {
                attribute,
                value: value.to_owned(),
            });
        }
        Ok(())
    }
}

/// X.680, 41.4: the PrintableString alphabet.
fn is_printable(character: char) -> bool {
    character.is_ascii_alphanumeric() || " '()+,-./:=?".contains(character)
}
