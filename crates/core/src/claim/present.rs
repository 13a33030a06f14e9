//! A device that was provisioned before: what it has, told and finished without asking anybody.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use super::{
    attempt::{Asked, Attempt, Record, Step},
    error::ClaimError,
    provisioning::{Outcome, Progress, Provisioned},
    swap::swap,
};
use crate::{
    names::{TemplateName, ThingName},
    store::{Store, StoreError},
};

/// What the device has from an earlier provisioning with the same template and parameters, without claim or network; if
/// nothing but files was left to do, that is done. `None` if there was none, or it takes more to finish it. An unfinished
/// renewal takes nothing from the identity that the device has.
///
/// # Errors
/// When it was provisioned with something else, its certificate is not valid at `now`, other files are in the way, or
/// another run is at it.
pub fn provisioned(
    store: &Store,
    device: &ThingName,
    template: &TemplateName,
    parameters: &BTreeMap<String, String>,
    now: OffsetDateTime,
) -> Result<Option<Provisioned>, ClaimError> {
    let asked = Asked {
        template_name: template.clone(),
        parameters: parameters.clone(),
    };
    at_hand(store, device, &asked, now, &mut |_| ())
}

/// The same, for what is asked.
pub(super) fn at_hand(
    store: &Store,
    device: &ThingName,
    asked: &Asked,
    now: OffsetDateTime,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Option<Provisioned>, ClaimError> {
    if !store.is_provisioning(device) {
        return present(store, device, asked, now);
    }
    let folder = store.open_provisioning(device)?;
    let folder = folder.ok_or_else(|| ClaimError::UnderWay {
        device: device.clone(),
    })?;
    let Some(attempt) = Attempt::load(&folder)? else {
        // Broken off before anything was asked.
        let present = present(store, device, asked, now)?;
        if present.is_some() {
            folder.remove()?;
        }
        return Ok(present);
    };
    let renews = attempt.renews;
    let finished = match &attempt.step {
        Step::Swapping(registered) if renews || attempt.asked == *asked => {
            progress(&Progress::Resumed);
            let asked = (&attempt.asked, renews);
            let done = swap(store, device, asked, registered, &folder, progress)?;
            folder.remove()?;
            progress(&Progress::Cleaned);
            Some(done)
        }
        _ if renews => None,
        // Says so if it is for something else.
        _ => {
            return attempt
                .for_this(asked, false, device, &folder)
                .map(|_| None);
        }
    };
    if !renews {
        return Ok(finished);
    }
    let present = present(store, device, asked, now)?;
    let outcome = finished.map(|finished| finished.outcome);
    Ok(present.map(|present| Provisioned {
        outcome: outcome.unwrap_or(present.outcome),
        ..present
    }))
}

/// What the device has, whatever is unfinished.
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
        return Err(ClaimError::ProvisionedOtherwise {
            device: device.clone(),
            thing: record.thing_name,
            what,
        });
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
