//! The end of a provisioning, for which nothing is needed but the disk: the new key and certificate take the place of what
//! the device had, and what it was provisioned with is written down.

use std::path::Path;

use super::{
    attempt::{Asked, Record},
    error::ClaimError,
    exchange::Registered,
    provisioning::{Outcome, Progress, Provisioned},
};
use crate::{
    names::ThingName,
    store::{DeviceIdentity, ProvisioningFolder, Store, StoreError},
};

/// Puts the files in their places. May be broken off and done again as often as it takes. `asked` is what was asked for,
/// and whether it was a renewal.
pub(super) fn swap(
    store: &Store,
    device: &ThingName,
    (asked, renews): (&Asked, bool),
    registered: &Registered,
    folder: &ProvisioningFolder,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Provisioned, ClaimError> {
    let thing = &registered.thing_name;
    let next = load_next(thing, folder)?;
    let swapped = |path: &Path| progress(&Progress::FileSwapped(path.to_owned()));
    let files = folder.publish(thing, renews, swapped)?;
    let certificate_id = next.certificate().id().to_string();
    // A renewal changes nothing of what the device was provisioned as.
    let asked = match Record::load(store, device)? {
        Some(before) if renews => before.asked,
        _ => asked.clone(),
    };
    let record = Record {
        asked,
        thing_name: thing.clone(),
        certificate_id: certificate_id.clone(),
        device_configuration: registered.device_configuration.clone(),
    };
    record.save(folder)?;
    progress(&Progress::RecordWritten);
    Ok(Provisioned {
        outcome: match renews {
            true => Outcome::Renewed,
            false => Outcome::Provisioned,
        },
        thing_name: thing.clone(),
        certificate_id,
        files,
        device_configuration: registered.device_configuration.clone(),
    })
}

/// The next identity, which is there from before RegisterThing on.
pub(super) fn load_next(
    thing: &ThingName,
    folder: &ProvisioningFolder,
) -> Result<DeviceIdentity, StoreError> {
    folder
        .load_next()?
        .ok_or_else(|| StoreError::DeviceNotFound {
            name: thing.clone(),
            path: folder.path().join("next.crt"),
        })
}
