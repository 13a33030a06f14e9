//! Which servers are believed: the Amazon roots in the program, or the roots of a file.

use std::{fmt, sync::Arc};

use aws_lc_rs::digest;
use rustls::{CertificateError, RootCertStore};
use rustls_pki_types::{CertificateDer, UnixTime, pem::PemObject};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::certificate::pem;

/// SHA-256 of Amazon Root CA 1 to 4 and Starfield Services Root CA - G2, which cross-signs them
/// (developer guide, "Server authentication in AWS IoT Core").
pub const AMAZON_ROOT_FINGERPRINTS: [&str; 5] = [
    "8ecde6884f3d87b1125ba31ac3fcb13d7016de7f57cc904fe1cb97c6ae98196e",
    "1ba5b2aa8c65401a82960118f80bec4f62304d83cec4713a19c39c011ea46db4",
    "18ce6cfe7bf14e60b2e347b8dfe868cb31d02ebb3ada271569f50343b46db3a4",
    "e35d28419ed02025cfa69038cd623962458da5c695fbdea3c22b0bfb25897092",
    "568d6905a2c88708a4b3025190edcfedb1974a606a13c6e5290fcb2ae63edab5",
];

/// The root certificates a server's certificate must lead to.
#[derive(Clone)]
pub struct Trust {
    pub(super) roots: Arc<[Root]>,
    origin: Arc<str>,
}

pub(super) struct Root {
    pub(super) der: CertificateDer<'static>,
    pub(super) subject: String,
    not_before: OffsetDateTime,
    pub(super) not_after: OffsetDateTime,
}

/// Why a set of roots cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// No `-----BEGIN CERTIFICATE-----` in it.
    #[error("{origin} contains no certificate in PEM form")]
    Empty {
        /// Where the roots came from.
        origin: String,
    },
    /// Broken PEM or DER.
    #[error("certificate {number} of {origin} cannot be read: {detail}")]
    Malformed {
        /// Where the roots came from.
        origin: String,
        /// Which certificate, counted from 1.
        number: usize,
        /// What the reader said.
        detail: String,
    },
    /// Every root is outside its validity.
    #[error("{origin} cannot be used: {faults}")]
    OutOfDate {
        /// Where the roots came from.
        origin: String,
        /// The roots with their dates.
        faults: String,
    },
}

/// Why a server's certificate was not believed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ServerFault {
    /// It does not lead to any trusted root.
    #[error(
        "its certificate is not issued by a trusted root (issuer: {issuer}; trusted: {trusted})"
    )]
    UnknownIssuer {
        /// Issuer name in the last certificate the server sent.
        issuer: String,
        /// Where the trusted roots came from.
        trusted: String,
    },
    /// The server's certificate, or an intermediate, has expired.
    #[error("its certificate expired on {not_after}")]
    Expired {
        /// Date, in UTC.
        not_after: String,
    },
    /// The server's certificate, or an intermediate, is not valid yet.
    #[error("its certificate is not valid before {not_before}; is this machine's clock right?")]
    NotYetValid {
        /// Date, in UTC.
        not_before: String,
    },
    /// It is a certificate for somebody else.
    #[error("its certificate is for {presented}, not for {expected}")]
    WrongName {
        /// The name that was asked for.
        expected: String,
        /// The names in the certificate.
        presented: String,
    },
    /// The root it leads to is outside its validity. rustls alone would accept it.
    #[error("the root certificate it leads to ({root}) {fault}")]
    Root {
        /// Subject of the root.
        root: String,
        /// `expired on …` or `is not valid before …`.
        fault: String,
    },
    /// Anything else: bad signature, bad encoding, wrong purpose.
    #[error("its certificate is not valid: {detail}")]
    Other {
        /// What the verifier said.
        detail: String,
    },
}

impl Trust {
    /// Amazon Root CA 1 to 4 and Starfield Services Root CA - G2, compiled into the program.
    pub fn amazon_roots() -> Self {
        let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS
            .iter()
            .filter(|der| AMAZON_ROOT_FINGERPRINTS.contains(&fingerprint(der).as_str()))
            .filter_map(|der| Root::read(der.clone()).ok())
            .collect();
        Self {
            roots,
            origin: "the Amazon roots in the program".into(),
        }
    }

    /// The certificates of a PEM file; `origin` names it in messages. Text between the certificates is skipped.
    ///
    /// # Errors
    /// [`TrustError::Empty`] and [`TrustError::Malformed`].
    pub fn from_pem(pem: &[u8], origin: impl Into<String>) -> Result<Self, TrustError> {
        let origin = origin.into();
        let mut roots = Vec::new();
        for (index, der) in CertificateDer::pem_slice_iter(pem).enumerate() {
            let malformed = |detail| TrustError::Malformed {
                origin: origin.clone(),
                number: index + 1,
                detail,
            };
            let der = der.map_err(|error| malformed(pem::fault(&error)))?;
            roots.push(Root::read(der).map_err(malformed)?);
        }
        if roots.is_empty() {
            return Err(TrustError::Empty { origin });
        }
        Ok(Self {
            roots: roots.into(),
            origin: origin.into(),
        })
    }

    /// Checks that at least one root is inside its validity; rustls itself does not look at a root's dates.
    ///
    /// # Errors
    /// [`TrustError::OutOfDate`] with the dates of every root.
    pub fn check(&self, now: OffsetDateTime) -> Result<(), TrustError> {
        let faults: Vec<String> = self
            .roots
            .iter()
            .map_while(|root| Some(format!("{} {}", root.subject, root.fault(now)?)))
            .collect();
        if faults.len() < self.roots.len() {
            return Ok(());
        }
        Err(TrustError::OutOfDate {
            origin: self.origin.to_string(),
            faults: faults.join("; "),
        })
    }

    /// Where the roots came from, for messages.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// SHA-256 of every root, lower-case hex.
    pub fn fingerprints(&self) -> Vec<String> {
        self.roots
            .iter()
            .map(|root| fingerprint(&root.der))
            .collect()
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("origin", &self.origin)
            .field("roots", &self.roots.len())
            .finish()
    }
}

impl Root {
    fn read(der: CertificateDer<'static>) -> Result<Self, String> {
        let (rest, certificate) =
            X509Certificate::from_der(&der).map_err(|error| error.to_string())?;
        if !rest.is_empty() {
            return Err("bytes follow the certificate".to_owned());
        }
        let subject = certificate.subject().to_string();
        let not_before = certificate.validity().not_before.to_datetime();
        let not_after = certificate.validity().not_after.to_datetime();
        // What rustls would not take as a root is said here, with the certificate's number.
        RootCertStore::empty()
            .add(der.clone())
            .map_err(|error| match error {
                rustls::Error::InvalidCertificate(fault) => in_words(&fault),
                other => other.to_string(),
            })?;
        Ok(Self {
            der,
            subject,
            not_before,
            not_after,
        })
    }

    /// Nothing wrong with its dates: `None`.
    pub(super) fn fault(&self, now: OffsetDateTime) -> Option<String> {
        if now > self.not_after {
            Some(format!("expired on {}", day(self.not_after)))
        } else if now < self.not_before {
            Some(format!("is not valid before {}", day(self.not_before)))
        } else {
            None
        }
    }
}

impl ServerFault {
    /// The sentence for rustls' verdict; `issuer` as left by the verifier.
    pub(crate) fn of(error: &CertificateError, issuer: Option<String>, trust: &Trust) -> Self {
        match error {
            CertificateError::UnknownIssuer => Self::UnknownIssuer {
                issuer: issuer.unwrap_or_else(|| "unreadable".to_owned()),
                trusted: trust.origin.to_string(),
            },
            // A server root made anew under its old name, and the old file still in use.
            CertificateError::BadSignature => Self::UnknownIssuer {
                issuer: format!(
                    "{}; a root of that name is trusted, but it has another key",
                    issuer.as_deref().unwrap_or("unreadable")
                ),
                trusted: trust.origin.to_string(),
            },
            CertificateError::ExpiredContext { not_after, .. } => Self::Expired {
                not_after: unix_day(*not_after),
            },
            CertificateError::NotValidYetContext { not_before, .. } => Self::NotYetValid {
                not_before: unix_day(*not_before),
            },
            CertificateError::NotValidForNameContext {
                expected,
                presented,
            } => Self::WrongName {
                expected: expected.to_str().into_owned(),
                presented: if presented.is_empty() {
                    "no name at all".to_owned()
                } else {
                    let names: Vec<&str> = presented.iter().map(|name| bare(name)).collect();
                    names.join(", ")
                },
            },
            CertificateError::Other(other) => other
                .0
                .downcast_ref::<Self>()
                .cloned()
                .unwrap_or_else(|| Self::Other {
                    detail: in_words(error),
                }),
            other => Self::Other {
                detail: in_words(other),
            },
        }
    }
}

/// What WebPKI holds against a certificate, where it would only name its own constant.
fn in_words(fault: &CertificateError) -> String {
    let own = match fault {
        CertificateError::Other(other) => other.0.to_string(),
        other => other.to_string(),
    };
    let words = match own.as_str() {
        "UnsupportedCertVersion" => {
            "it is X.509 version 1; a server and its root need version 3, with basicConstraints"
        }
        "CaUsedAsEndEntity" => "it is a CA's certificate, not a server's",
        "EndEntityUsedAsCa" => "what issued it is no CA",
        "ExtensionValueInvalid" | "MalformedExtensions" => "one of its extensions is malformed",
        "MissingOrMalformedExtensions" => "it has no extensions, or malformed ones",
        "UnsupportedCriticalExtension" => "it has a critical extension that is not known here",
        "InvalidSerialNumber" => "its serial number is not a positive number of at most 20 octets",
        "PathLenConstraintViolated" => "there are more CAs above it than one of them allows",
        "BadDer" | "BadEncoding" => "it is damaged: not DER as X.509 asks for it",
        _ => return own,
    };
    words.to_owned()
}

/// `DnsName("example.org")`, as webpki gives a name, without its wrapping.
fn bare(name: &str) -> &str {
    let inner = name.split_once('(').map_or(name, |(_, inner)| inner);
    inner.strip_suffix(')').unwrap_or(inner).trim_matches('"')
}

/// SHA-256 of a DER certificate, lower-case hex.
fn fingerprint(der: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, der))
}

/// `2030-12-31 23:59:59 UTC`.
pub(crate) fn day(time: OffsetDateTime) -> String {
    format!(
        "{} {:02}:{:02}:{:02} UTC",
        time.date(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

fn unix_day(time: UnixTime) -> String {
    i64::try_from(time.as_secs())
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .map_or_else(|| "an unknown date".to_owned(), day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn the_amazon_roots_are_the_five_of_the_documentation() {
        let mut found = Trust::amazon_roots().fingerprints();
        found.sort();
        let mut expected = AMAZON_ROOT_FINGERPRINTS.map(str::to_owned).to_vec();
        expected.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_amazon_roots_are_valid_until_2037_and_then_say_so() {
        let trust = Trust::amazon_roots();
        trust.check(datetime!(2026-11-21 00:00 UTC)).unwrap();
        let message = trust
            .check(datetime!(2041-01-01 00:00 UTC))
            .unwrap_err()
            .to_string();
        assert!(message.contains("Amazon Root CA 1"), "{message}");
        assert!(message.contains("expired on 2038-01-17"), "{message}");
        let message = trust
            .check(datetime!(2000-01-01 00:00 UTC))
            .unwrap_err()
            .to_string();
        assert!(message.contains("not valid before 2015-05-26"), "{message}");
    }

    #[test]
    fn a_file_without_certificates_or_with_broken_ones_is_an_error() {
        let error = Trust::from_pem(b"hello", "ca.pem").unwrap_err();
        assert_eq!(
            error.to_string(),
            "ca.pem contains no certificate in PEM form"
        );
        let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let error = Trust::from_pem(broken, "ca.pem").unwrap_err().to_string();
        assert!(
            error.starts_with("certificate 1 of ca.pem cannot be read"),
            "{error}"
        );
        let broken = b"-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n";
        assert!(Trust::from_pem(broken, "ca.pem").is_err());
    }
}
