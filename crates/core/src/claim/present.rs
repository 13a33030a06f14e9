//! A device that was provisioned before: what it has, told without asking anybody.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use super::{
    attempt::{Asked, Record},
    error::ClaimError,
    provisioning::{Outcome, Provisioned},
};
use crate::{
    names::{TemplateName, ThingName},
    store::{Store, StoreError},
};

/// What the device has from an earlier provisioning with the same template and parameters; `None` if there was none, or
/// it is not finished.
///
/// # Errors
/// When it was provisioned with something else, its certificate is not valid at `now`, or other files are in the way.
pub fn provisioned(
    store: &Store,
    device: &ThingName,
    template: &TemplateName,
    parameters: &BTreeMap<String, String>,
    now: OffsetDateTime,
) -> Result<Option<Provisioned>, ClaimError> {
    if store.is_provisioning(device) {
        return Ok(None);
    }
    let asked = Asked {
        template_name: template.clone(),
        parameters: parameters.clone(),
    };
    present(store, device, &asked, now)
}

/// The same, whatever is unfinished.
pub(super) fn present(
    store: &Store,
    device: &ThingName,
    asked: &Asked,
    now: OffsetDateTime,
) -> Result<Option<Provisioned>, ClaimError> {
    let Some(record) = Record::load(store, device)? else {
        store.check_device_is_free(device)?;
        return Ok(None);
    };
    let identity = match store.load_device(&record.thing_name) {
        // Moved aside, to begin anew.
        Err(StoreError::DeviceNotFound { .. }) => return Ok(None),
        other => other?,
    };
    if let Some(what) = record.asked.difference(asked) {
        let device = device.clone();
        return Err(ClaimError::ProvisionedOtherwise { device, what });
    }
    if !identity.certificate().is_valid_at(now) {
        let device = device.clone();
        return Err(ClaimError::NotValid { device });
    }
    Ok(Some(Provisioned {
        outcome: Outcome::Unchanged,
        certificate_id: identity.certificate().id().to_string(),
        files: store.device_files(&record.thing_name),
        thing_name: record.thing_name,
        device_configuration: record.device_configuration,
    }))
}
