//! What a creation that was not finished may have left in the account, told by its files.

use jitp_core::names::ThingName;
use jitp_core::store::{Store, StoreError};

use super::record::Record;
use crate::orphans::Mark;
use crate::{Cloud, CloudError};

/// What an unfinished creation of a thing may have left, attached to nothing: a call whose answer was lost may act
/// long after its caller has given up.
#[derive(Clone, Debug, Default)]
pub struct Unfinished {
    /// Id of the certificate on the disk, where no record says that the creation was finished.
    certificate: Option<String>,
    /// AWS was asked for a certificate after this, and the answer was lost.
    requested: Option<Mark>,
    store: Option<Store>,
}

impl Unfinished {
    /// Reads the files of a thing. Those that hold something else tell nothing.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub fn of(thing: &ThingName, store: &Store) -> Result<Self, StoreError> {
        let record = Record::load(store, thing)?;
        let certificate = store.load_thing_certificate(thing).unwrap_or_default();
        let id = certificate.map(|certificate| certificate.id().to_string());
        Ok(Self {
            certificate: id.filter(|id| record.certificate_id.as_ref() != Some(id)),
            requested: record.requested,
            store: Some(store.clone()),
        })
    }

    /// Whether the files tell of anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.certificate.is_none() && self.requested.is_none()
    }

    pub(crate) fn certificate(&self) -> Option<&str> {
        self.certificate.as_deref()
    }
}

impl Cloud {
    /// Ids of the certificates that were made for a thing while nobody heard of it, and belong to no thing here.
    pub(crate) async fn unheard_certificates(
        &self,
        unfinished: &Unfinished,
    ) -> Result<Vec<String>, CloudError> {
        let Some(mark) = &unfinished.requested else {
            return Ok(Vec::new());
        };
        let is_kept = |id: &str| {
            let store = unfinished.store.as_ref();
            store.is_some_and(|store| store.holds_certificate(id))
        };
        let strays = self.stray_certificates(mark).await?.into_iter();
        let ids = strays.map(|stray| stray.id);
        Ok(ids.filter(|id| !is_kept(id)).collect())
    }
}
