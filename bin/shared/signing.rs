//! What signing takes: the CA with its key, and its ledger.

use std::path::{Path, PathBuf};

use jitp_cli::{CaKeyFlags, Common, Failure, Result};
use jitp_cloud::CloudSettings;
use jitp_core::ca::CertificateAuthority;
use jitp_core::names::CaName;
use jitp_core::store::Store;

/// The CA that signs, and where its key is.
pub(super) struct Signing<'a> {
    pub(super) ca: &'a CaName,
    pub(super) key: &'a CaKeyFlags,
    pub(super) cloud: &'a CloudSettings,
}

impl Signing<'_> {
    /// Loads the CA with its key.
    pub(super) async fn load(
        &self,
        store: &Store,
        common: &Common,
    ) -> Result<CertificateAuthority> {
        let kms = async |name: &str| Ok(self.cloud.kms_key(name).await?);
        self.key.load(common, store, self.ca, kms).await
    }

    /// Where the CA's ledger is.
    pub(super) fn ledger(&self, store: &Store) -> PathBuf {
        store.dir().join(format!("{}.ledger", self.ca))
    }
}

/// Who issues: as told, or the user.
pub(super) fn operator(told: Option<&str>) -> String {
    told.map(str::to_owned)
        .or_else(|| std::env::var("USER").ok().filter(|user| !user.is_empty()))
        .unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
}

/// A path that means the same from every folder.
pub(super) fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path)
        .map_err(|error| Failure::io(&format!("cannot tell where {} is", path.display()), &error))
}
