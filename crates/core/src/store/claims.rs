//! The files of a claim: `CLAIM.claim.key` and `CLAIM.claim.pem`.

use super::{
    DeviceIdentity, Files, LooseMode, Store, StoreError, check_free, file, identity, read_pair,
};
use crate::{ca::PrivateKey, names::ThingName};

impl Store {
    /// The files of a claim, whether they exist or not.
    pub fn claim_files(&self, name: &ThingName) -> Files {
        Files {
            key: self.path(format!("{name}.claim.key")),
            certificate: self.path(format!("{name}.claim.pem")),
        }
    }

    /// Whether the files of a claim could be written; to be asked before work that cannot be undone.
    ///
    /// # Errors
    /// As [`Store::save_claim`].
    pub fn check_claim_is_free(&self, name: &ThingName) -> Result<(), StoreError> {
        check_free(&self.claim_files(name))
    }

    /// Writes a claim's key and certificate, the latter followed by its CA's if there is one.
    ///
    /// # Errors
    /// When one of the files exists or cannot be written; then neither of them is left behind by this call.
    pub fn save_claim(
        &self,
        name: &ThingName,
        key: &PrivateKey,
        chain_pem: &str,
    ) -> Result<Files, StoreError> {
        let files = self.claim_files(name);
        self.publish(&files, Some(key.to_pem()), chain_pem)?;
        Ok(files)
    }

    /// A warning for the user if the claim's key file is open to others.
    pub fn claim_key_warning(&self, name: &ThingName) -> Option<LooseMode> {
        file::loose_mode(self.claim_files(name).key)
    }

    /// A claim's key and certificates; `None` if neither file is there.
    ///
    /// # Errors
    /// When one of the files is missing or not what it should be, or they do not belong together.
    pub fn load_claim(&self, name: &ThingName) -> Result<Option<DeviceIdentity>, StoreError> {
        let files = self.claim_files(name);
        match read_pair(&files)? {
            Some(pair) => identity(name, &pair, files).map(Some),
            None => Ok(None),
        }
    }
}
