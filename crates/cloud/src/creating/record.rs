//! The file `things/THING.json`: what the registry answered, and what was asked of it and not yet answered.

use jitp_core::names::ThingName;
use jitp_core::store::{Store, StoreError};
use serde::{Deserialize, Serialize};

use crate::orphans::Mark;

/// The contents of the file; the names are those of the AWS API.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Record {
    pub(super) thing_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) thing_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) thing_id: Option<String>,
    /// Only once everything is attached and the certificate was activated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) certificate_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) certificate_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) policy_name: Option<String>,
    /// AWS was asked for a certificate after this, and the answer was lost, or is not on the disk yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) requested: Option<Mark>,
}

impl Record {
    /// What was written about a thing. What cannot be read, such as the file of another tool, counts as nothing.
    pub(super) fn load(store: &Store, thing: &ThingName) -> Result<Self, StoreError> {
        let text = store.load_thing_record(thing)?.unwrap_or_default();
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }

    /// The record of a thing whose certificate AWS is being asked for.
    pub(super) fn asking(thing: &ThingName, mark: &Mark) -> Self {
        Self {
            thing_name: thing.to_string(),
            requested: Some(mark.clone()),
            ..Self::default()
        }
    }

    pub(super) fn save(&self, store: &Store, thing: &ThingName) -> Result<(), StoreError> {
        // Strings and numbers only: it always has a JSON form.
        let text = serde_json::to_string_pretty(self).unwrap_or_default() + "\n";
        store.save_thing_record(thing, &text)
    }
}
