//! Subjects: what a certificate says about whom it is for.

use super::{
    Attribute, SubjectError,
    der::{OBJECT_IDENTIFIER, PRINTABLE_STRING, SEQUENCE, SET, UTF8_STRING, push, wrap},
};
use crate::{
    certificate::Certificate,
    names::{CaName, RegistrationCode, ThingName},
};

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

    /// Whether `certificate` has this very subject.
    pub fn is_that_of(&self, certificate: &Certificate) -> bool {
        let found = certificate.subject().iter();
        found
            .map(|attribute| (attribute.oid.as_str(), attribute.value.as_str()))
            .eq(self.attributes().map(|(a, value)| (a.oid(), value)))
    }

    /// The Name in DER (X.501; RFC 5280, 4.1.2.4), one attribute in each RelativeDistinguishedName.
    pub(super) fn to_der(&self) -> Vec<u8> {
        let mut names = Vec::with_capacity(64);
        for (attribute, value) in &self.attributes {
            let string = match attribute.is_printable_string() {
                true => PRINTABLE_STRING,
                false => UTF8_STRING,
            };
            let mut pair = Vec::with_capacity(value.len() + 8);
            push(&mut pair, OBJECT_IDENTIFIER, &attribute.oid_der());
            push(&mut pair, string, value.as_bytes());
            push(&mut names, SET, &wrap(SEQUENCE, &pair));
        }
        wrap(SEQUENCE, &names)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        certificate::{COMMON_NAME, ORGANIZATION},
        failure::Classified,
    };

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
