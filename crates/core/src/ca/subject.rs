//! Subjects: what a certificate says about whom it is for, checked against the bounds of RFC 5280.

use rcgen::{DistinguishedName, DnType, DnValue, string::PrintableString};

use crate::{
    certificate::{
        COMMON_NAME, COUNTRY, DN_QUALIFIER, LOCALITY, ORGANIZATION, ORGANIZATIONAL_UNIT,
        SERIAL_NUMBER, STATE,
    },
    failure::{Class, Classified},
    names::{CaName, RegistrationCode, ThingName},
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

/// The subject of a CA certificate; every attribute at most once.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Subject {
    attributes: Vec<(Attribute, String)>,
}

/// The subject of a device certificate: a thing name as common name, and what a registration template may ask for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DeviceSubject {
    thing_name: ThingName,
    subject: Subject,
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
        Class::Configuration
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
    fn is_printable_string(self) -> bool {
        matches!(self, Self::Country | Self::DnQualifier | Self::SerialNumber)
    }

    fn kind(self) -> DnType {
        match self {
            Self::CommonName => DnType::CommonName,
            Self::Country => DnType::CountryName,
            Self::Locality => DnType::LocalityName,
            Self::State => DnType::StateOrProvinceName,
            Self::Organization => DnType::OrganizationName,
            Self::OrganizationalUnit => DnType::OrganizationalUnitName,
            Self::DnQualifier => DnType::CustomDnType(vec![2, 5, 4, 46]),
            Self::SerialNumber => DnType::CustomDnType(vec![2, 5, 4, 5]),
        }
    }

    fn check(self, value: &str) -> Result<(), SubjectError> {
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

impl Subject {
    /// What stands in the six positional places when nothing is given.
    pub const DEFAULTS: [&'static str; 6] =
        ["root", "LU", "Luxembourg", "Luxembourg", "AWS", "Demo"];

    /// A subject of a common name only.
    ///
    /// # Errors
    /// When the name is empty, longer than 64 characters, or holds control characters.
    pub fn new(common_name: &str) -> Result<Self, SubjectError> {
        Attribute::CommonName.check(common_name)?;
        Ok(Self {
            attributes: vec![(Attribute::CommonName, common_name.to_owned())],
        })
    }

    /// The subject of `create-root [CN [C [L [ST [O [OU]]]]]]`: a place that is not given gets its default, a place
    /// given as an empty text leaves that attribute out. The attributes stand in the certificate in this order.
    ///
    /// # Errors
    /// When there are more than six values, the common name is empty, or a value breaks the bounds of its attribute.
    pub fn positional<S: AsRef<str>>(values: &[S]) -> Result<Self, SubjectError> {
        if values.len() > Attribute::POSITIONAL.len() {
            return Err(SubjectError::Surplus {
                count: values.len(),
            });
        }
        let mut attributes = Vec::with_capacity(Attribute::POSITIONAL.len());
        for (place, attribute) in Attribute::POSITIONAL.into_iter().enumerate() {
            let value = values
                .get(place)
                .map_or(Self::DEFAULTS[place], |value| value.as_ref());
            if value.is_empty() && attribute != Attribute::CommonName {
                continue;
            }
            attribute.check(value)?;
            attributes.push((attribute, value.to_owned()));
        }
        Ok(Self { attributes })
    }

    /// The subject with one more attribute at its end.
    ///
    /// # Errors
    /// When the value breaks the attribute's bounds, or the subject has that attribute already.
    pub fn with(mut self, attribute: Attribute, value: &str) -> Result<Self, SubjectError> {
        attribute.check(value)?;
        if self.value(attribute).is_some() {
            return Err(SubjectError::Repeated { attribute });
        }
        self.attributes.push((attribute, value.to_owned()));
        Ok(self)
    }

    /// The attributes in the order of the certificate.
    pub fn attributes(&self) -> impl Iterator<Item = (Attribute, &str)> {
        self.attributes
            .iter()
            .map(|(a, value)| (*a, value.as_str()))
    }

    /// The value of one attribute.
    pub fn value(&self, attribute: Attribute) -> Option<&str> {
        self.attributes()
            .find_map(|(a, value)| (a == attribute).then_some(value))
    }

    /// The common name; every subject has one.
    pub fn common_name(&self) -> &str {
        self.value(Attribute::CommonName).unwrap_or_default()
    }

    /// As rcgen takes it. Safe although rcgen drops repeated attributes: a subject has none.
    pub(super) fn to_rcgen(&self) -> Result<DistinguishedName, rcgen::Error> {
        let mut name = DistinguishedName::new();
        for (attribute, value) in &self.attributes {
            let value = if attribute.is_printable_string() {
                DnValue::PrintableString(PrintableString::try_from(value.as_str())?)
            } else {
                DnValue::Utf8String(value.clone())
            };
            name.push(attribute.kind(), value);
        }
        Ok(name)
    }
}

impl Default for Subject {
    /// `CN=root, C=LU, L=Luxembourg, ST=Luxembourg, O=AWS, OU=Demo`, as the shell toolkit's.
    fn default() -> Self {
        Self {
            attributes: std::iter::zip(Attribute::POSITIONAL, Self::DEFAULTS)
                .map(|(attribute, value)| (attribute, value.to_owned()))
                .collect(),
        }
    }
}

impl From<&CaName> for Subject {
    /// A common name only.
    fn from(name: &CaName) -> Self {
        Self::trusted(name.as_str())
    }
}

impl From<&RegistrationCode> for Subject {
    fn from(code: &RegistrationCode) -> Self {
        Self::trusted(code.as_str())
    }
}

impl Subject {
    /// For names whose type already is stricter than a common name.
    fn trusted(common_name: &str) -> Self {
        Self {
            attributes: vec![(Attribute::CommonName, common_name.to_owned())],
        }
    }
}

impl DeviceSubject {
    /// A subject of the thing name only.
    ///
    /// # Errors
    /// When the name has more than 64 characters: AWS allows 128 for a thing, X.509 only 64 for a common name.
    pub fn new(thing_name: ThingName) -> Result<Self, SubjectError> {
        Ok(Self {
            subject: Subject::new(thing_name.as_str())?,
            thing_name,
        })
    }

    /// The subject with one more attribute after the common name.
    ///
    /// # Errors
    /// As [`Subject::with`].
    pub fn with(mut self, attribute: Attribute, value: &str) -> Result<Self, SubjectError> {
        self.subject = self.subject.with(attribute, value)?;
        Ok(self)
    }

    /// The thing name, which is the common name too.
    pub fn thing_name(&self) -> &ThingName {
        &self.thing_name
    }

    /// The whole subject.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }
}

impl TryFrom<&ThingName> for DeviceSubject {
    type Error = SubjectError;

    fn try_from(thing_name: &ThingName) -> Result<Self, SubjectError> {
        Self::new(thing_name.clone())
    }
}

impl From<&Self> for DeviceSubject {
    fn from(subject: &Self) -> Self {
        subject.clone()
    }
}

/// X.680, 41.4: the PrintableString alphabet.
fn is_printable(character: char) -> bool {
    character.is_ascii_alphanumeric() || " '()+,-./:=?".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_that_are_not_given_get_the_defaults_of_the_shell_toolkit() {
        assert_eq!(
            Subject::positional::<&str>(&[]).unwrap(),
            Subject::default()
        );
        let subject = Subject::positional(&["factory", "DE"]).unwrap();
        let values: Vec<_> = subject.attributes().map(|(_, value)| value).collect();
        assert_eq!(
            values,
            ["factory", "DE", "Luxembourg", "Luxembourg", "AWS", "Demo"]
        );
    }

    #[test]
    fn an_empty_place_leaves_its_attribute_out() {
        let subject = Subject::positional(&["factory", "", "", "", "Acme", ""]).unwrap();
        let labels: Vec<_> = subject.attributes().map(|(a, _)| a.oid()).collect();
        assert_eq!(labels, [COMMON_NAME, ORGANIZATION]);
        assert_eq!(
            Subject::positional(&[""]).unwrap_err(),
            SubjectError::Empty {
                attribute: Attribute::CommonName
            }
        );
    }

    #[test]
    fn the_bounds_of_rfc_5280_are_kept() {
        let refusal = |values: &[&str]| Subject::positional(values).unwrap_err().to_string();
        assert!(Subject::positional(&[&"é".repeat(64)]).is_ok());
        assert!(refusal(&[&"x".repeat(65)]).contains("65 characters, and X.509 allows 64"));
        assert!(refusal(&["a", "lu"]).contains("ISO 3166"));
        assert!(refusal(&["a", "LUX"]).contains("ISO 3166"));
        assert!(Subject::positional(&["a", "LU", &"l".repeat(128)]).is_ok());
        assert!(refusal(&["a", "LU", &"l".repeat(129)]).contains("X.509 allows 128"));
        assert!(refusal(&["a\0b"]).contains("control characters"));
        assert!(refusal(&[" a"]).contains("white space"));
        assert!(refusal(&["a", "LU", "b", "c", "d", "e", "f"]).contains("six places"));
    }

    #[test]
    fn a_device_has_each_attribute_once_and_in_the_right_alphabet() {
        let device = || DeviceSubject::new("sensor-17".parse().unwrap()).unwrap();
        assert!(device().with(Attribute::SerialNumber, "SN-0042/A").is_ok());
        let refusal = device().with(Attribute::SerialNumber, "SN_42").unwrap_err();
        assert!(refusal.to_string().contains('_'), "{refusal}");
        let refusal = device().with(Attribute::CommonName, "other").unwrap_err();
        assert!(matches!(refusal, SubjectError::Repeated { .. }));
        let long = "x".repeat(65).parse::<ThingName>().unwrap();
        let refusal = DeviceSubject::new(long).unwrap_err();
        assert!(refusal.hint().unwrap().contains("128"));
    }
}
