//! One certificate, recorded as those of a batch are.

use std::{num::NonZero, sync::atomic::AtomicBool};

use jitp_core::{
    ca::{CertificateAuthority, DeviceSubject, Profile},
    certificate::CertificateId,
};
use time::OffsetDateTime;

use crate::{Batch, IssuingError, Ledger, Named, Plan, Target, What, batch::settle};

/// What one certificate is to be.
#[derive(Clone, Debug)]
pub struct Single<'a> {
    /// Whom it is for.
    pub subject: DeviceSubject,
    /// What it is like.
    pub profile: &'a Profile,
    /// Where its files go.
    pub target: Target,
    /// Who asks.
    pub operator: String,
    /// Whether a device that has a certificate gets another.
    pub reissue: bool,
}

impl Single<'_> {
    /// Issues it; when this returns its files are on the disk and the ledger says so.
    ///
    /// # Errors
    /// As [`Batch::run`]; then no file is left behind.
    pub fn issue(
        self,
        ledger: &mut Ledger,
        ca: &CertificateAuthority,
        now: OffsetDateTime,
    ) -> Result<CertificateId, IssuingError> {
        let device = self.subject.thing_name().to_string();
        let plan = Plan {
            // Whether it is wanted is known to the caller: nothing is ever asked for twice.
            request: format!("device {device} at {}", now.unix_timestamp_nanos()),
            operator: self.operator,
            key_type: self.profile.key_type(),
            window: ca.window(self.profile.validity(), now)?,
            target: self.target,
            reissue: self.reissue,
            abandon: false,
            passphrase: None,
            threads: NonZero::<usize>::MIN,
        };
        let mut id = None;
        let batch = Batch {
            ledger,
            ca,
            plan: &plan,
        };
        let source = Named(vec![What::Make(self.subject)]);
        let summary = batch.run(&source, &AtomicBool::new(false), |order| {
            id = Some(order.certificate.clone());
            true
        })?;
        match (summary.failure, id) {
            (None, Some(id)) => Ok(id),
            (Some(error), _) => Err(error),
            (None, None) => Err(IssuingError::Nothing { device }),
        }
    }
}

impl Ledger {
    /// Sees what became of everything that an interrupted run has left, as every batch does before it begins: for whoever
    /// looks at the files of a device before anything is issued.
    ///
    /// # Errors
    /// When outputs of an interrupted batch are gone, or the ledger cannot be written.
    pub fn settle(
        &mut self,
        ca: &CertificateAuthority,
        now: OffsetDateTime,
    ) -> Result<(), IssuingError> {
        settle::settle(self, ca, false, now)
    }
}
