//! Certificates that AWS made and whose answer was lost: found again, taken over or removed.
//!
//! Neither CreateKeysAndCertificate nor CreateCertificateFromCsr can be told to act only once. So before
//! the call the account's newest certificates are remembered ([`Mark`]). What is newer afterwards, INACTIVE,
//! made by AWS and attached to nothing, is what a lost answer left behind, or the work of another caller
//! that is under way, who needs a moment to attach it.

use std::time::Duration;

use jitp_core::certificate::Certificate;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{CertificateDetails, CertificateStatus, Cloud, CloudError};

/// The newest certificates of the account before something was asked of it.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mark {
    /// When the newest was made, in milliseconds since 1970 by the service's clock; absent if there were none.
    newest: Option<i64>,
    /// Ids of those that were made in that instant.
    known: Vec<String>,
}

impl Cloud {
    /// Remembers the newest certificates.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn mark_certificates(&self) -> Result<Mark, CloudError> {
        let (page, _) = self.certificates_page(None).await?;
        let times = page.iter().filter_map(|item| item.created);
        let newest = times.map(milliseconds).max();
        let known = page
            .into_iter()
            .filter(|item| item.created.map(milliseconds) == newest)
            .map(|item| item.id);
        Ok(Mark {
            newest,
            known: known.collect(),
        })
    }

    /// Certificates made by AWS since the mark that may not connect and are attached to nothing.
    async fn stray_certificates(&self, mark: &Mark) -> Result<Vec<CertificateDetails>, CloudError> {
        let mut strays = Vec::new();
        let mut marker = None;
        loop {
            let (page, next) = self.certificates_page(marker).await?;
            let mut newer = false;
            for item in page {
                let is_old = item.created.map(milliseconds) < mark.newest;
                if is_old || mark.known.contains(&item.id) {
                    continue;
                }
                newer = true;
                if item.status == CertificateStatus::Inactive
                    && let Some(stray) = self.stray(&item.id).await?
                {
                    strays.push(stray);
                }
            }
            match next.filter(|_| newer) {
                Some(next) => marker = Some(next),
                None => return Ok(strays),
            }
        }
    }

    /// The certificate, if it is INACTIVE, made by AWS and attached to nothing.
    async fn stray(&self, id: &str) -> Result<Option<CertificateDetails>, CloudError> {
        let Some(details) = self.certificate(id).await? else {
            return Ok(None);
        };
        let stray = details.status == CertificateStatus::Inactive
            && details.ca_certificate_id.is_none()
            && is_amazons(&details.pem)
            && self.things_of(&details.arn).await?.is_empty()
            && self.attached_policies(&details.arn).await?.is_empty();
        Ok(stray.then_some(details))
    }

    /// Removes what a CreateKeysAndCertificate since the mark left behind, whose private key nobody has.
    /// Answers the ids of the removed ones.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn remove_strays(&self, mark: &Mark) -> Result<Vec<String>, CloudError> {
        let mut removed = Vec::new();
        let strays = self.stray_certificates(mark).await?;
        if !strays.is_empty() {
            // Another caller's certificate is attached by then, and so no stray any more.
            tokio::time::sleep(UNDER_WAY).await;
        }
        for stray in strays {
            if self.stray(&stray.id).await?.is_some() {
                self.delete_certificate(&stray.id).await?;
                removed.push(stray.id);
            }
        }
        Ok(removed)
    }

    /// The certificate that a CreateCertificateFromCsr since the mark made for this key, if it did; should
    /// there be several, the others are removed.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn stray_with_key(
        &self,
        mark: &Mark,
        public_key_info: &[u8],
    ) -> Result<Option<CertificateDetails>, CloudError> {
        let mut strays = self.stray_certificates(mark).await?;
        strays.retain(|stray| {
            Certificate::from_pem(&stray.pem)
                .is_ok_and(|certificate| certificate.public_key_info() == public_key_info)
        });
        let found = strays.pop();
        for stray in strays {
            self.delete_certificate(&stray.id).await?;
        }
        Ok(found)
    }
}

/// Whether AWS issued it: `OU=Amazon Web Services O=Amazon.com Inc. L=Seattle ST=Washington C=US`.
fn is_amazons(pem: &str) -> bool {
    Certificate::from_pem(pem).is_ok_and(|certificate| {
        let issuer = certificate.issuer_line();
        issuer.contains("Amazon")
    })
}

fn milliseconds(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

/// Longer than any caller takes from a new certificate to attaching it, throttling aside.
const UNDER_WAY: Duration = Duration::from_secs(5);
