//! Where the devices of a batch come from, besides a list.

use jitp_core::{
    ca::{Attribute, DeviceRequest, DeviceSubject, SubjectError},
    failure::{Class, Classified},
    names::{NameError, ThingName},
};

use crate::{Item, Source, What};

/// Devices with a number in their name: `sensor-001`, `sensor-002` and so on.
#[derive(Clone, Debug)]
pub struct Numbered {
    prefix: String,
    start: u64,
    count: u64,
    digits: usize,
    common: Vec<(Attribute, String)>,
}

/// Why devices cannot be numbered so.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NumberedError {
    /// The prefix with a number is no thing name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The name or an attribute does not fit the subject.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// The last number is too large.
    #[error("{count} devices from number {start} on go beyond what can be counted")]
    Count {
        /// The first number.
        start: u64,
        /// How many there are.
        count: u64,
    },
}

impl Classified for NumberedError {
    fn class(&self) -> Class {
        Class::Usage
    }
}

impl Numbered {
    /// `count` devices from number `start` on. All numbers have as many digits as the last one, so that names sort as
    /// they are counted. `common` are attributes that all of them get.
    ///
    /// # Errors
    /// When a name is no thing name or does not fit a certificate.
    pub fn new(
        prefix: &str,
        start: u64,
        count: u64,
        common: Vec<(Attribute, String)>,
    ) -> Result<Self, NumberedError> {
        let last = count
            .checked_sub(1)
            .map_or(Some(start), |others| start.checked_add(others))
            .ok_or(NumberedError::Count { start, count })?;
        let numbered = Self {
            prefix: prefix.to_owned(),
            start,
            count,
            digits: last.to_string().len(),
            common,
        };
        // They differ in digits alone: one that fits tells that all do.
        numbered.subject(last)?;
        Ok(numbered)
    }

    fn subject(&self, number: u64) -> Result<DeviceSubject, NumberedError> {
        let name = format!("{}{number:0digits$}", self.prefix, digits = self.digits);
        let mut subject = DeviceSubject::new(name.parse::<ThingName>()?)?;
        for (attribute, value) in &self.common {
            subject = subject.with(*attribute, value)?;
        }
        Ok(subject)
    }
}

impl Source for Numbered {
    fn items(&self) -> Box<dyn Iterator<Item = Item> + '_> {
        let subjects =
            (self.start..self.start + self.count).filter_map(|number| self.subject(number).ok());
        Box::new(subjects.map(|subject| Item {
            what: What::Make(subject),
            formats: None,
        }))
    }
}

/// Devices that were named one by one.
#[derive(Clone, Debug)]
pub struct Named(pub Vec<What>);

impl Named {
    /// From signing requests.
    pub fn requests(requests: impl IntoIterator<Item = DeviceRequest>) -> Self {
        Self(requests.into_iter().map(What::Certify).collect())
    }
}

impl Source for Named {
    fn items(&self) -> Box<dyn Iterator<Item = Item> + '_> {
        Box::new(self.0.iter().map(|what| Item {
            what: what.clone(),
            formats: None,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(numbered: &Numbered) -> Vec<String> {
        numbered
            .items()
            .map(|item| item.what.device().to_owned())
            .collect()
    }

    #[test]
    fn numbers_have_as_many_digits_as_the_last_one() {
        let numbered = Numbered::new("pump-", 8, 3, Vec::new()).unwrap();
        assert_eq!(names(&numbered), ["pump-08", "pump-09", "pump-10"]);
        assert_eq!(
            names(&Numbered::new("p", 0, 1, Vec::new()).unwrap()),
            ["p0"]
        );
    }

    #[test]
    fn what_cannot_be_a_name_is_refused() {
        let refusal = |prefix: &str, start, count| {
            Numbered::new(prefix, start, count, Vec::new())
                .unwrap_err()
                .to_string()
        };
        assert!(refusal("a b", 1, 1).contains("white space"));
        assert!(refusal(&"x".repeat(64), 1, 1).contains("65 characters"));
        assert!(refusal("p", u64::MAX, 2).contains("beyond"));
    }
}
