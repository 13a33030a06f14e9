//! Certificates that our own CA signs one by one, recorded where the CA has a ledger.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use jitp_cli::{Common, Result};
use jitp_core::ca::{CaError, CertificateAuthority, DeviceSubject, IssuedDevice, Profile};
use jitp_core::names::ThingName;
use jitp_core::store::Store;
use jitp_issuing::{Format, IssuingError, Layout, Single, Target};
use time::OffsetDateTime;

use crate::ledger_kept::ledger_kept;
use crate::signing::{Signing, absolute, operator};

/// A CA of ours, with what its certificates are like and where they go.
pub(crate) struct OwnCa<'a> {
    pub(crate) ca: CertificateAuthority,
    signing: Signing<'a>,
    store: &'a Store,
    profile: Profile,
    reissue: bool,
    target: Target,
    /// Held while something is recorded: one thing at a time.
    recording: Mutex<()>,
}

/// How far a certificate has come that was issued.
pub(crate) enum Made {
    /// It is recorded, and in its files.
    Recorded,
    /// Signed and not recorded, since the CA keeps no ledger: it is to be saved.
    Unrecorded(Box<IssuedDevice>),
}

impl<'a> OwnCa<'a> {
    /// Loads the CA, and sees what became of anything that was being recorded when a run was interrupted. `folder` is where
    /// the files of one certificate are, in the one form there is.
    pub(crate) async fn load(
        signing: Signing<'a>,
        common: &Common,
        store: &'a Store,
        profile: Profile,
        reissue: bool,
        (folder, format): (PathBuf, Format),
    ) -> Result<Self> {
        let ca = signing.load(store, common).await?;
        let now = OffsetDateTime::now_utc();
        if let Some(mut ledger) = ledger_kept(&signing, store, &ca)? {
            ledger.settle(&ca, now)?;
        }
        Ok(Self {
            ca,
            signing,
            store,
            profile,
            reissue,
            target: Target {
                layout: Layout::Folder,
                path: absolute(&folder)?,
                formats: vec![format],
            },
            recording: Mutex::default(),
        })
    }

    /// Whether the CA's quota, if it has one, allows a certificate of this name now; to be asked before work that cannot be
    /// undone.
    pub(crate) fn check(&self, device: &ThingName) -> Result<()> {
        match self.ca.quota() {
            Some(quota) => Ok(quota.check(device, 0, OffsetDateTime::now_utc())?),
            None => Ok(()),
        }
    }

    /// Signs one certificate.
    pub(crate) fn issue(&self, device: &ThingName) -> Result<Made, IssuingError> {
        let now = OffsetDateTime::now_utc();
        let subject = DeviceSubject::new(device.clone()).map_err(CaError::from)?;
        let _recording = self
            .recording
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match ledger_kept(&self.signing, self.store, &self.ca)? {
            Some(mut ledger) => {
                let single = Single {
                    subject,
                    profile: &self.profile,
                    target: self.target.clone(),
                    operator: operator(None),
                    reissue: self.reissue,
                };
                single.issue(&mut ledger, &self.ca, now)?;
                Ok(Made::Recorded)
            }
            None => {
                let issued = self.ca.issue(subject, &self.profile, now)?;
                Ok(Made::Unrecorded(Box::new(issued)))
            }
        }
    }
}

impl fmt::Debug for OwnCa<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnCa")
            .field("ca", &self.ca)
            .finish_non_exhaustive()
    }
}
