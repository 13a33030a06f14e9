//! What signing takes: the CA with its key, and its ledger.

use std::path::{Path, PathBuf};

use jitp_cli::{CaKeyFlags, Common, Failure, Result};
use jitp_cloud::CloudSettings;
use jitp_core::ca::CertificateAuthority;
use jitp_core::names::CaName;
use jitp_core::store::Store;
use jitp_issuing::{IssuingError, Ledger, ledger_file, ledgers_beside};

use crate::station::StationFlag;

/// The CA that signs, where its key is, and who issues with it.
#[derive(Clone, Copy)]
pub(crate) struct Signing<'a> {
    pub(crate) ca: &'a CaName,
    pub(crate) key: &'a CaKeyFlags,
    pub(crate) station: StationFlag,
    pub(crate) cloud: &'a CloudSettings,
}

impl Signing<'_> {
    /// Loads the CA with its key.
    pub(crate) async fn load(
        &self,
        store: &Store,
        common: &Common,
    ) -> Result<CertificateAuthority> {
        let kms = async |name: &str| Ok(self.cloud.kms_key(name).await?);
        self.key.load(common, store, self.ca, kms).await
    }

    /// The ledger of the CA, which is made if there is none, with those of other stations beside it.
    pub(crate) fn ledger(
        &self,
        store: &Store,
        ca: &CertificateAuthority,
    ) -> Result<Ledger, IssuingError> {
        let station = self.station.station;
        let beside = ledgers_beside(store.dir(), self.ca, station);
        let path = ledger_file(store.dir(), self.ca, station);
        Ledger::open(&path, ca.certificate(), station)?.beside(&beside)
    }
}

/// Who issues: as told, or the user.
pub(crate) fn operator(told: Option<&str>) -> String {
    told.map(str::to_owned)
        .or_else(|| std::env::var("USER").ok().filter(|user| !user.is_empty()))
        .unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
}

/// A path that means the same from every folder.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path)
        .map_err(|error| Failure::io(&format!("cannot tell where {} is", path.display()), &error))
}
