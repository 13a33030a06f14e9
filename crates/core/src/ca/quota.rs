//! Quotas: how many devices a CA may make, under which names and until when, signed by the CA above it.
//!
//! The document is JSON that a person can read, with the certificate of the CA above in it: that this CA's own
//! certificate is signed by the same key shows that the quota comes from there, and nothing else is needed to check it.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{CaError, CertificateAuthority, profile::instant};
use crate::{
    certificate::{Certificate, CertificateId},
    failure::{Class, Classified},
    names::ThingName,
};

/// What a CA may make.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Quota {
    ca: CertificateId,
    count: u64,
    prefix: String,
    until: OffsetDateTime,
}

/// Why a quota is of no use, or does not allow what was asked.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum QuotaError {
    /// The document cannot be read.
    #[error("it is no quota: {detail}")]
    Unreadable {
        /// What the reader stumbled over.
        detail: String,
    },
    /// The quota is of another CA.
    #[error("it is the quota of another CA ({of})")]
    OtherCa {
        /// The id of that CA's certificate.
        of: CertificateId,
    },
    /// The CA that is said to be above is not.
    #[error("the CA ({ca}) is not signed by the one that the quota is from ({signer})")]
    NotAbove {
        /// The subject of the CA.
        ca: String,
        /// The subject of the one that is said to be above it.
        signer: String,
    },
    /// The signature is not that of the CA above.
    #[error(
        "its signature is not that of the CA above ({signer}): it was changed, or made by somebody else"
    )]
    Signature {
        /// The subject of the CA above.
        signer: String,
    },
    /// A quota of nothing.
    #[error("a quota of 0 devices allows nothing")]
    Empty,
    /// A prefix that no thing name begins with.
    #[error("no thing name begins with {prefix:?}")]
    Prefix {
        /// The prefix.
        prefix: String,
    },
    /// A name outside the quota.
    #[error("the quota of the CA allows names that begin with {prefix}, and {name} does not")]
    Name {
        /// The name.
        name: ThingName,
        /// What names must begin with.
        prefix: String,
    },
    /// The time of the quota is over.
    #[error("the quota of the CA ended at {}, and it is {}", instant(*.until), instant(*.now))]
    Ended {
        /// Its last second.
        until: OffsetDateTime,
        /// The time it was asked at.
        now: OffsetDateTime,
    },
    /// The quota is used up, or would be.
    #[error(
        "the quota of the CA is {count} devices; {issued} are made, and {asked} more are asked for"
    )]
    UsedUp {
        /// How many it allows.
        count: u64,
        /// How many were made.
        issued: u64,
        /// How many more were asked for.
        asked: u64,
    },
    /// A CA under a quota signs no other CA, which would be under none.
    #[error("the CA is under a quota of devices, and may not make another CA")]
    NoCas,
}

impl Classified for QuotaError {
    fn class(&self) -> Class {
        match self {
            Self::Name { .. } | Self::Ended { .. } | Self::UsedUp { .. } | Self::NoCas => {
                Class::Refused
            }
            Self::Empty | Self::Prefix { .. } => Class::Usage,
            _ => Class::Configuration,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::UsedUp { .. } | Self::Ended { .. } | Self::Name { .. } => {
                "ask whoever holds the CA above for another quota: create-intermediate, run again with other figures, \
                 signs one for the same CA"
            }
            Self::NoCas => "let the CA above make it",
            Self::Empty | Self::Prefix { .. } => return None,
            _ => "get the file again from whoever holds the CA above",
        };
        Some(hint.to_owned())
    }
}

/// The document.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Document {
    quota: Terms,
    /// PEM of the CA above.
    signer: String,
    /// Of [`Terms::text`], in base64.
    signature: String,
}

/// What is signed. Every member is, since none that is not known here is let through.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Terms {
    version: u32,
    /// Id of the CA's certificate.
    ca: CertificateId,
    count: u64,
    prefix: String,
    until: String,
}

impl Terms {
    /// One text for one meaning: as serde writes it, without spaces, in the order above.
    fn text(&self) -> String {
        let json = serde_json::to_string(self).unwrap_or_default(); // strings and numbers can always be written
        format!("quota\n{json}")
    }
}

impl Quota {
    /// A quota for a CA: at most `count` devices, with names that begin with `prefix`, through the second `until`.
    ///
    /// # Errors
    /// When it allows nothing.
    pub fn new(
        ca: &Certificate,
        count: u64,
        prefix: &str,
        until: OffsetDateTime,
    ) -> Result<Self, QuotaError> {
        if count == 0 {
            return Err(QuotaError::Empty);
        }
        if !prefix.is_empty() && prefix.parse::<ThingName>().is_err() {
            return Err(QuotaError::Prefix {
                prefix: prefix.to_owned(),
            });
        }
        Ok(Self {
            ca: ca.id().clone(),
            count,
            prefix: prefix.to_owned(),
            // As the document says it.
            until: until.replace_nanosecond(0).unwrap_or(until),
        })
    }

    /// The document, signed by the CA above.
    ///
    /// # Errors
    /// When the key does not sign.
    pub fn sign(&self, above: &CertificateAuthority) -> Result<String, CaError> {
        let quota = Terms {
            version: VERSION,
            ca: self.ca.clone(),
            count: self.count,
            prefix: self.prefix.clone(),
            until: instant(self.until),
        };
        let signature = above.sign_record(&quota.text())?;
        let document = Document {
            signature: BASE64_STANDARD.encode(signature),
            signer: above.certificate_pem().to_owned(),
            quota,
        };
        let mut text = serde_json::to_string_pretty(&document).unwrap_or_default(); // as above
        text.push('\n');
        Ok(text)
    }

    /// Reads the document of the quota of `ca`.
    ///
    /// # Errors
    /// When it is none, is another CA's, or is not signed by the CA above.
    pub fn verify(document: &str, ca: &Certificate) -> Result<Self, QuotaError> {
        let unreadable = |detail: String| QuotaError::Unreadable { detail };
        let document: Document =
            serde_json::from_str(document).map_err(|error| unreadable(error.to_string()))?;
        let terms = &document.quota;
        if terms.version != VERSION {
            return Err(unreadable(format!(
                "its version is {}, and this program knows {VERSION}",
                terms.version
            )));
        }
        let until = OffsetDateTime::parse(&terms.until, &Rfc3339)
            .map_err(|error| unreadable(format!("until: {error}")))?;
        let above = Certificate::from_pem(&document.signer)
            .map_err(|error| unreadable(format!("signer: {error}")))?;
        if terms.ca != *ca.id() {
            return Err(QuotaError::OtherCa {
                of: terms.ca.clone(),
            });
        }
        if !ca.is_signed_by(&above) || !above.is_ca() {
            return Err(QuotaError::NotAbove {
                ca: ca.subject_line(),
                signer: above.subject_line(),
            });
        }
        let signed = BASE64_STANDARD
            .decode(&document.signature)
            .is_ok_and(|signature| above.has_signed_record(&terms.text(), &signature));
        if !signed {
            return Err(QuotaError::Signature {
                signer: above.subject_line(),
            });
        }
        Self::new(ca, terms.count, &terms.prefix, until)
    }

    /// How many devices in all.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// What names must begin with; may be nothing.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The last second in which devices may be made.
    pub fn until(&self) -> OffsetDateTime {
        self.until
    }

    /// Whether one more device of this name may be made at `now`, `already_issued` being made.
    ///
    /// # Errors
    /// When not.
    pub fn check(
        &self,
        name: &ThingName,
        already_issued: u64,
        now: OffsetDateTime,
    ) -> Result<(), QuotaError> {
        self.check_name(name)?;
        self.check_time(now)?;
        self.check_count(already_issued, 1)
    }

    /// Whether a device may have this name.
    ///
    /// # Errors
    /// [`QuotaError::Name`]
    pub fn check_name(&self, name: &ThingName) -> Result<(), QuotaError> {
        if name.as_str().starts_with(&self.prefix) {
            return Ok(());
        }
        Err(QuotaError::Name {
            name: name.clone(),
            prefix: self.prefix.clone(),
        })
    }

    /// Whether devices may be made at `now`.
    ///
    /// # Errors
    /// [`QuotaError::Ended`]
    pub fn check_time(&self, now: OffsetDateTime) -> Result<(), QuotaError> {
        let until = self.until;
        // Through the whole of its last second, as certificates are (RFC 5280, 4.1.2.5).
        match now < until.saturating_add(time::Duration::SECOND) {
            true => Ok(()),
            false => Err(QuotaError::Ended { until, now }),
        }
    }

    /// Whether `asked` more devices may be made, `issued` being made.
    ///
    /// # Errors
    /// [`QuotaError::UsedUp`]
    pub fn check_count(&self, issued: u64, asked: u64) -> Result<(), QuotaError> {
        match issued.saturating_add(asked) <= self.count {
            true => Ok(()),
            false => Err(QuotaError::UsedUp {
                count: self.count,
                issued,
                asked,
            }),
        }
    }
}

/// The one version of the document so far.
const VERSION: u32 = 1;

#[cfg(test)]
mod tests {
    use time::{Duration, macros::datetime};

    use super::*;
    use crate::ca::{KeyType, Profile, Subject, Validity};

    const NOW: OffsetDateTime = datetime!(2026-12-01 12:00 UTC);

    fn root(name: &str, key_type: KeyType) -> CertificateAuthority {
        let subject = Subject::new(name).unwrap();
        CertificateAuthority::create_root(&subject, key_type, Validity::ROOT, NOW).unwrap()
    }

    fn line(root: &CertificateAuthority) -> CertificateAuthority {
        let subject = Subject::new("line 4").unwrap();
        root.create_intermediate(&subject, KeyType::P256, Validity::Days(900), 0, NOW)
            .unwrap()
    }

    fn quota(ca: &CertificateAuthority) -> Quota {
        let until = NOW + Duration::days(30);
        Quota::new(ca.certificate(), 3, "pump-", until).unwrap()
    }

    #[test]
    fn a_quota_is_read_back_by_whoever_has_the_certificate_of_the_line() {
        for key_type in [KeyType::P256, KeyType::P384, KeyType::Rsa2048] {
            let root = root("root", key_type);
            let line = line(&root);
            let document = quota(&line).sign(&root).unwrap();
            assert!(document.contains("\"count\": 3"), "{document}");
            let read = Quota::verify(&document, line.certificate()).unwrap();
            assert_eq!(read, quota(&line));
        }
    }

    #[test]
    fn every_change_of_the_document_shows() {
        let root = root("root", KeyType::P256);
        let line = line(&root);
        let document = quota(&line).sign(&root).unwrap();
        let changed = |from: &str, to: &str| {
            assert!(document.contains(from), "{from} in {document}");
            let document = document.replacen(from, to, 1);
            Quota::verify(&document, line.certificate()).unwrap_err()
        };
        let forged = |error: &QuotaError| matches!(error, QuotaError::Signature { .. });
        assert!(forged(&changed("\"count\": 3", "\"count\": 30")));
        assert!(forged(&changed("pump-", "pum")));
        assert!(forged(&changed("2026-12-31T12", "2027-12-31T12")));
        let unreadable = |error| matches!(error, QuotaError::Unreadable { .. });
        assert!(unreadable(changed("\"version\": 1", "\"version\": 2")));
        assert!(unreadable(changed(
            "\"count\": 3",
            "\"count\": 3, \"more\": 1"
        )));
        assert!(unreadable(changed("2026-12-31T12", "soon")));
        assert!(unreadable(changed("{", "")));
        let of_root = Quota::verify(&document, root.certificate()).unwrap_err();
        assert!(matches!(of_root, QuotaError::OtherCa { .. }));
    }

    #[test]
    fn only_the_ca_above_can_sign_it() {
        let (root, other) = (root("root", KeyType::P256), root("root", KeyType::P256));
        let line = line(&root);
        for stranger in [&other, &line] {
            let document = quota(&line).sign(stranger).unwrap();
            let refusal = Quota::verify(&document, line.certificate()).unwrap_err();
            assert!(matches!(refusal, QuotaError::NotAbove { .. }), "{refusal}");
        }
    }

    #[test]
    fn names_times_and_counts_have_their_bounds() {
        let root = root("root", KeyType::P256);
        let quota = quota(&line(&root));
        let name = |text: &str| text.parse::<ThingName>().unwrap();
        quota.check(&name("pump-1"), 2, NOW).unwrap();
        quota.check(&name("pump-1"), 2, quota.until()).unwrap();
        let refusals = [
            quota.check(&name("pum"), 0, NOW),
            quota.check(&name("pump-1"), 3, NOW),
            quota.check(&name("pump-1"), u64::MAX, NOW),
            quota.check(&name("pump-1"), 0, quota.until() + Duration::SECOND),
            quota.check_count(1, 3),
        ];
        for refusal in refusals {
            let refusal = refusal.unwrap_err();
            assert_eq!(refusal.class(), Class::Refused, "{refusal}");
            assert!(refusal.hint().is_some());
        }
        let ca = root.certificate();
        assert_eq!(Quota::new(ca, 0, "", NOW), Err(QuotaError::Empty));
        assert!(matches!(
            Quota::new(ca, 1, "a b", NOW),
            Err(QuotaError::Prefix { .. })
        ));
    }

    #[test]
    fn a_ca_under_a_quota_keeps_to_it() {
        let root = root("root", KeyType::P256);
        let line = line(&root);
        let under = quota(&line);
        let line = line.under(under);
        let issue = |name: &str, now| {
            let name: ThingName = name.parse().unwrap();
            line.issue(&name, &Profile::device(), now)
        };
        issue("pump-1", NOW).unwrap();
        let refusal = issue("valve-1", NOW).unwrap_err();
        assert_eq!(refusal.class(), Class::Refused, "{refusal}");
        let refusal = issue("pump-1", NOW + Duration::days(31)).unwrap_err();
        assert!(matches!(refusal, CaError::Quota(QuotaError::Ended { .. })));
        let subject = Subject::new("deeper").unwrap();
        let deeper = root
            .create_intermediate(&subject, KeyType::P256, Validity::Days(900), 1, NOW)
            .unwrap();
        let free = Quota::new(deeper.certificate(), 1, "", NOW + Duration::DAY).unwrap();
        let another = deeper.under(free).create_intermediate(
            &Subject::new("deepest").unwrap(),
            KeyType::P256,
            Validity::Days(10),
            0,
            NOW,
        );
        assert!(matches!(another, Err(CaError::Quota(QuotaError::NoCas))));
    }
}
