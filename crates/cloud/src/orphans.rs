//! Certificates that AWS made and whose answer was lost: found again, taken over or removed.
//!
//! Neither CreateKeysAndCertificate nor CreateCertificateFromCsr can be told to act only once. So before
//! the call the account's newest certificates are remembered ([`Mark`]). What is made between then and a while
//! after the call, INACTIVE, by AWS and attached to nothing, is what a lost answer left behind, or the work
//! of another caller that is under way, who needs a moment to attach it.

use std::time::Duration;

use jitp_core::certificate::Certificate;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{CertificateDetails, CertificateStatus, CertificateSummary, Cloud, CloudError};

/// The newest certificates of the account before something was asked of it, and when that was.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mark {
    /// When the newest was made, in milliseconds since 1970 by the service's clock; absent if there were none.
    newest: Option<i64>,
    /// Ids of those that were made in that instant.
    known: Vec<String>,
    /// When it was asked last, in milliseconds since 1970.
    asked: i64,
    /// The public key (its SubjectPublicKeyInfo, in hex) that a certificate was asked for; absent if AWS was to make
    /// the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
}

impl Mark {
    /// The same mark, for one more call.
    #[must_use]
    pub fn asked_again(mut self, now: OffsetDateTime) -> Self {
        self.asked = milliseconds(now);
        self
    }

    /// The same mark, before a certificate for this public key is asked for, or for one that AWS makes.
    #[must_use]
    pub fn for_key(mut self, public_key_info: Option<&[u8]>) -> Self {
        self.public_key = public_key_info.map(hex::encode);
        self
    }

    /// Whether a call may still act, or its certificate be taken for one of a later caller.
    pub fn is_fresh(&self, now: OffsetDateTime) -> bool {
        milliseconds(now) <= self.end()
    }

    /// Whether a certificate in a list may be what was asked for. Without an end, what somebody made by hand
    /// days later would be taken for it.
    fn covers(&self, item: &CertificateSummary) -> bool {
        let created = item.created.map(milliseconds);
        !self.is_before(item)
            && !self.known.contains(&item.id)
            && created.is_none_or(|created| created <= self.end())
    }

    /// Whether a certificate is for the key that was asked for, if one was.
    fn is_for_its_key(&self, stray: &CertificateDetails) -> bool {
        self.public_key.as_ref().is_none_or(|key| {
            Certificate::from_pem(&stray.pem)
                .is_ok_and(|certificate| hex::encode(certificate.public_key_info()) == *key)
        })
    }

    fn is_before(&self, item: &CertificateSummary) -> bool {
        item.created.map(milliseconds) < self.newest
    }

    fn end(&self) -> i64 {
        self.asked.saturating_add(LATEST)
    }
}

impl Cloud {
    /// Remembers the newest certificates before something is asked for now.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn mark_certificates(&self, now: OffsetDateTime) -> Result<Mark, CloudError> {
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
            asked: milliseconds(now),
            public_key: None,
        })
    }

    /// Certificates made by AWS since the mark that may not connect and are attached to nothing.
    pub(crate) async fn stray_certificates(
        &self,
        mark: &Mark,
    ) -> Result<Vec<CertificateDetails>, CloudError> {
        let mut strays = Vec::new();
        let mut marker = None;
        loop {
            let (page, next) = self.certificates_page(marker).await?;
            let mut newer = false;
            for item in page {
                newer |= !mark.is_before(&item);
                if item.status == CertificateStatus::Inactive
                    && mark.covers(&item)
                    && let Some(stray) = self.stray(&item.id).await?
                    && mark.is_for_its_key(&stray)
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
            && match self.is_attached(&details.arn).await {
                // Another look for strays was quicker.
                Err(error) if error.is_not_found() => false,
                attached => !attached?,
            };
        Ok(stray.then_some(details))
    }

    async fn is_attached(&self, arn: &str) -> Result<bool, CloudError> {
        Ok(
            !self.things_of(arn).await?.is_empty()
                || !self.attached_policies(arn).await?.is_empty(),
        )
    }

    /// Removes a certificate that a lost answer left behind, unless it is another caller's who attaches it by and by.
    ///
    /// # Errors
    /// When a call fails.
    pub(crate) async fn remove_stray(&self, id: &str) -> Result<(), CloudError> {
        tokio::time::sleep(UNDER_WAY).await;
        match self.stray(id).await? {
            Some(stray) => self.delete_certificate(&stray.id).await,
            None => Ok(()),
        }
    }

    /// Removes what a CreateKeysAndCertificate since the mark left behind, whose private key nobody has; not
    /// those that are kept. Answers the ids of the removed ones.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn remove_strays(
        &self,
        mark: &Mark,
        is_kept: impl Fn(&str) -> bool,
    ) -> Result<Vec<String>, CloudError> {
        let mut removed = Vec::new();
        let mut strays = self.stray_certificates(mark).await?;
        strays.retain(|stray| !is_kept(&stray.id));
        if strays.is_empty() {
            return Ok(removed);
        }
        // Another caller's certificate is attached by then, and so no stray any more; what this program is
        // being answered is kept by then.
        tokio::time::sleep(UNDER_WAY).await;
        drop(self.asking.write().await);
        for stray in strays {
            if !is_kept(&stray.id) && self.stray(&stray.id).await?.is_some() {
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
/// How long after a call, in milliseconds, its certificate may have been made: time for a service that is late,
/// and for two clocks that differ, whose difference AWS bears up to five minutes.
const LATEST: i64 = 10 * 60 * 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn made(id: &str, seconds: i64) -> CertificateSummary {
        CertificateSummary {
            id: id.to_owned(),
            arn: String::new(),
            status: CertificateStatus::Inactive,
            created: OffsetDateTime::from_unix_timestamp(seconds).ok(),
        }
    }

    #[test]
    fn what_was_made_long_after_is_somebody_elses() {
        let asked = OffsetDateTime::from_unix_timestamp(1_000).unwrap();
        let mark = Mark {
            newest: Some(900_000),
            known: vec!["known".to_owned()],
            asked: milliseconds(asked),
            public_key: None,
        };
        assert!(!mark.covers(&made("old", 899)));
        assert!(!mark.covers(&made("known", 900)));
        assert!(mark.covers(&made("twin", 900)));
        assert!(mark.covers(&made("late", 1_600)));
        assert!(!mark.covers(&made("other", 1_601)));
        let again = mark.asked_again(asked + Duration::from_secs(60));
        assert!(again.covers(&made("other", 1_601)));
    }
}
