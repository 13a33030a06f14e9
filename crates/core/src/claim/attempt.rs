//! What is remembered of a provisioning: of one under way, how far it came; of one that ended, what it gave.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    error::ClaimError,
    exchange::{OwnershipToken, Registered},
    provisioning::Provisioning,
};
use crate::{
    names::{TemplateName, ThingName},
    store::{ProvisioningFolder, Store, StoreError},
};

/// What was asked for: a run goes on only with the same.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Asked {
    pub(super) template_name: TemplateName,
    pub(super) parameters: BTreeMap<String, String>,
}

impl Asked {
    pub(super) fn of(provisioning: &Provisioning<'_>) -> Self {
        Self {
            template_name: provisioning.template.clone(),
            parameters: provisioning.parameters.clone(),
        }
    }

    /// What is not the same, in a word.
    pub(super) fn difference(&self, other: &Self) -> Option<&'static str> {
        if self.template_name != other.template_name {
            Some("template")
        } else if self.parameters != other.parameters {
            Some("set of parameters")
        } else {
            None
        }
    }
}

/// An attempt under way: the file `attempt.json`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Attempt {
    #[serde(flatten)]
    pub(super) asked: Asked,
    /// Whether it is the renewal of an identity.
    pub(super) renews: bool,
    #[serde(flatten)]
    pub(super) step: Step,
}

/// How far an attempt came.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", tag = "step")]
pub(super) enum Step {
    /// The key is there; a certificate is being asked for.
    Requested,
    /// The certificate is there; RegisterThing is being asked for, and may have been acted upon.
    #[serde(rename_all = "camelCase")]
    Registering {
        certificate_ownership_token: OwnershipToken,
    },
    /// RegisterThing was accepted.
    Accepted(Registered),
    /// The certificate has proved itself, or need not: nothing is left to do but to put files in their places.
    Swapping(Registered),
}

impl Attempt {
    /// The attempt, if it counts for what is asked for now: one that was made for something else does not.
    ///
    /// # Errors
    /// When it was accepted, and is for something else.
    pub(super) fn for_this(
        self,
        asked: &Asked,
        renew: bool,
        device: &ThingName,
        folder: &ProvisioningFolder,
    ) -> Result<Option<Self>, ClaimError> {
        let difference = match self.renews == renew {
            true => self.asked.difference(asked),
            false => Some("aim: the one was a renewal, the other is none"),
        };
        match (difference, &self.step) {
            (None, _) => Ok(Some(self)),
            (Some(what), Step::Accepted(_) | Step::Swapping(_)) => {
                Err(ClaimError::AcceptedOtherwise {
                    device: device.clone(),
                    what,
                    folder: folder.path().to_owned(),
                })
            }
            (Some(_), _) => Ok(None),
        }
    }

    /// What an earlier run left; what cannot be read is of no use to anybody.
    pub(super) fn load(folder: &ProvisioningFolder) -> Result<Option<Self>, StoreError> {
        let text = folder.load_attempt()?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    pub(super) fn save(&self, folder: &ProvisioningFolder) -> Result<(), ClaimError> {
        // Texts and maps only: it always has a JSON form.
        let text = serde_json::to_string_pretty(self).unwrap_or_default() + "\n";
        Ok(folder.save_attempt(&text)?)
    }
}

/// A provisioning that ended: the file `DEVICE.fleet.json`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    #[serde(flatten)]
    pub(super) asked: Asked,
    pub(super) thing_name: ThingName,
    pub(super) certificate_id: String,
    /// Null if the answer that told it was lost.
    pub(super) device_configuration: Option<Map<String, Value>>,
}

impl Record {
    /// What the device was provisioned with; nothing if the file cannot be read.
    pub(super) fn load(store: &Store, device: &ThingName) -> Result<Option<Self>, StoreError> {
        let text = store.load_fleet_record(device)?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    pub(super) fn save(&self, folder: &ProvisioningFolder) -> Result<(), ClaimError> {
        let text = serde_json::to_string_pretty(self).unwrap_or_default() + "\n";
        Ok(folder.save_fleet_record(&text)?)
    }
}

/// What the thing of a device is called: what the template called it when the device was provisioned, or else as the
/// device.
///
/// # Errors
/// When what was written then cannot be read.
pub fn thing_name(store: &Store, device: &ThingName) -> Result<ThingName, StoreError> {
    let record = Record::load(store, device)?;
    Ok(record.map_or_else(|| device.clone(), |record| record.thing_name))
}
