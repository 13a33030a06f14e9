//! The allow list that is a file in the function's package.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

/// The devices that may be provisioned.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AllowList {
    /// The devices, one by one.
    pub devices: Vec<Device>,
    /// Parameters that a device may tell besides those it is known by; every other is refused, since the template may
    /// act on it.
    #[serde(default)]
    pub free_parameters: BTreeSet<String>,
}

/// A device that may be provisioned.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Device {
    /// What it is known by: all of these, exactly.
    pub parameters: BTreeMap<String, String>,
    /// What the template is told of it instead of, or besides, what it says itself.
    #[serde(default)]
    pub overrides: BTreeMap<String, String>,
}

/// Why a text is no allow list.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// It is not JSON, or has other members.
    #[error("the allow list cannot be read")]
    Json(#[from] serde_json::Error),
    /// A device would match anything.
    #[error("device {0} of the allow list is known by no parameter, and would be anybody")]
    KnownByNothing(usize),
    /// Two devices would match the same.
    #[error("devices {0} and {1} of the allow list are known by the same parameters")]
    Twins(usize, usize),
}

impl AllowList {
    /// Reads a list, and sees that it says of each device which it is.
    ///
    /// # Errors
    /// When it does not. Devices are counted from 1.
    pub fn parse(text: &str) -> Result<Self, ListError> {
        let list: Self = serde_json::from_str(text)?;
        let mut known = BTreeMap::new();
        for (index, device) in (1..).zip(&list.devices) {
            if device.parameters.is_empty() {
                return Err(ListError::KnownByNothing(index));
            }
            if let Some(before) = known.insert(&device.parameters, index) {
                return Err(ListError::Twins(before, index));
            }
        }
        Ok(list)
    }

    /// The device that these parameters are of.
    pub(crate) fn device(&self, parameters: &BTreeMap<String, String>) -> Option<&Device> {
        let says = |(name, value): (&String, &String)| parameters.get(name) == Some(value);
        let mut devices = self.devices.iter();
        devices.find(|device| device.parameters.iter().all(says))
    }

    /// Names of the parameters that devices are known by.
    pub fn key_parameters(&self) -> BTreeSet<&str> {
        let names = self
            .devices
            .iter()
            .flat_map(|device| device.parameters.keys());
        names.map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_would_let_anybody_in_is_none() {
        let refused = |text: &str| AllowList::parse(text).unwrap_err().to_string();
        let anybody = r#"{"devices":[{"parameters":{"License":"1"}},{"parameters":{}}]}"#;
        assert!(
            refused(anybody).contains("device 2"),
            "{}",
            refused(anybody)
        );
        let twins =
            r#"{"devices":[{"parameters":{"License":"1"}},{"parameters":{"License":"1"}}]}"#;
        assert!(refused(twins).contains("devices 1 and 2"));
        // A misspelt member must not be taken for an absent one.
        assert!(refused(r#"{"devices":[{"parametres":{}}]}"#).contains("cannot be read"));
        assert!(refused("").contains("cannot be read"));
    }

    #[test]
    fn an_empty_list_is_one_that_refuses_everybody() {
        let list = AllowList::parse(r#"{"devices":[]}"#).unwrap();
        assert!(list.device(&BTreeMap::new()).is_none());
    }
}
