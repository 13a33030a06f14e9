//! All certificates of a thing: what their status is, and changing it.

use crate::certificates::id_of;
use crate::{CertificateDetails, CertificateStatus, Cloud, CloudError};

/// What became of one certificate of a thing.
#[derive(Debug)]
pub struct StatusChange {
    /// The certificate.
    pub certificate_id: String,
    /// Its status before.
    pub before: CertificateStatus,
    /// Its status now, or why it could not be changed.
    pub after: Result<CertificateStatus, CloudError>,
}

impl Cloud {
    /// Every certificate of a thing, ordered by id; other principals are left out.
    ///
    /// # Errors
    /// `ResourceNotFoundException` if there is no such thing; also when a call fails.
    pub async fn certificates_of_thing(
        &self,
        thing: &str,
    ) -> Result<Vec<CertificateDetails>, CloudError> {
        let mut certificates = Vec::new();
        for principal in self.principals(thing).await? {
            let Some(id) = id_of(&principal) else {
                continue;
            };
            // Gone since it was listed: then it is none of the thing's any more.
            certificates.extend(self.certificate(id).await?);
        }
        Ok(certificates)
    }

    /// Brings every certificate of a thing to a status. The first that cannot be changed does not keep the
    /// others from it. A revoked certificate counts as inactive.
    ///
    /// # Errors
    /// When the certificates cannot be found out; nothing was changed then.
    pub async fn set_thing_status(
        &self,
        thing: &str,
        status: CertificateStatus,
    ) -> Result<Vec<StatusChange>, CloudError> {
        let mut changes = Vec::new();
        for certificate in self.certificates_of_thing(thing).await? {
            let before = certificate.status;
            let keeps = before == status
                || (before == CertificateStatus::Revoked && status == CertificateStatus::Inactive);
            let after = match keeps {
                true => Ok(before),
                false => {
                    let change = self.set_certificate_status(&certificate.id, status).await;
                    change.map(|()| status)
                }
            };
            changes.push(StatusChange {
                certificate_id: certificate.id,
                before,
                after,
            });
        }
        Ok(changes)
    }
}
