//! What can go wrong with a certificate authority, and the way out of it.

use std::convert::Infallible;

use time::OffsetDateTime;

use super::{ExternalKeyError, KeyError, LintError, QuotaError, SubjectError, profile::instant};
use crate::{
    certificate::CertificateError,
    failure::{Class, Classified},
};

/// Why a CA could not be made, loaded or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaError {
    /// The CA's certificate cannot be read.
    #[error("the CA certificate cannot be used")]
    Certificate(#[source] CertificateError),
    /// The CA's key cannot be read, or a key could not be made.
    #[error("the key cannot be used")]
    Key(#[from] KeyError),
    /// A subject breaks a rule.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// Key and certificate do not belong together.
    #[error("the CA key is not the key of the CA certificate ({subject})")]
    KeyMismatch {
        /// The certificate's subject.
        subject: String,
    },
    /// The certificate is not a CA's.
    #[error("the certificate ({subject}) is not a CA's: {why}")]
    NotACa {
        /// The certificate's subject.
        subject: String,
        /// What it lacks.
        why: &'static str,
    },
    /// The CA's life is over.
    #[error("the CA ({subject}) expired at {}, and it is {}", instant(*.not_after), instant(*.now))]
    Expired {
        /// The CA's subject.
        subject: String,
        /// The last second of its life.
        not_after: OffsetDateTime,
        /// The time it was asked to sign at.
        now: OffsetDateTime,
    },
    /// The CA's life has not begun.
    #[error("the CA ({subject}) is valid from {} on, and it is {}", instant(*.not_before), instant(*.now))]
    NotYetValid {
        /// The CA's subject.
        subject: String,
        /// The first second of its life.
        not_before: OffsetDateTime,
        /// The time it was asked to sign at.
        now: OffsetDateTime,
    },
    /// The certificate asked for would be valid longer than its CA.
    #[error(
        "the certificate would be valid until {}, longer than its CA ({ca}), which ends at {}",
        instant(*.not_after),
        instant(*.ca_not_after)
    )]
    OutlivesCa {
        /// The end asked for.
        not_after: OffsetDateTime,
        /// The CA's subject.
        ca: String,
        /// The CA's last second.
        ca_not_after: OffsetDateTime,
        /// Whole days that are left of the CA's life.
        days_left: i64,
    },
    /// A validity of no days.
    #[error("a certificate cannot be valid for 0 days")]
    ValidityEmpty,
    /// A validity that ends before it begins.
    #[error("a certificate cannot end in the past, at {}", instant(*.not_after))]
    ValidityPast {
        /// The end asked for.
        not_after: OffsetDateTime,
    },
    /// A date that a certificate cannot hold.
    #[error("a certificate cannot be valid beyond the year 9999 (RFC 5280, 4.1.2.5)")]
    ValidityBeyond9999,
    /// A root asked to live as long as its CA.
    #[error("a root has no CA above it to take its end from")]
    ValidityOfRoot,
    /// The CA may not have the CA asked for below it.
    #[error(
        "the CA ({ca}) allows {allowed} CAs below it in a chain, and one that allows {asked} itself was asked for"
    )]
    PathLength {
        /// The CA's subject.
        ca: String,
        /// Its path length constraint.
        allowed: u32,
        /// The path length constraint asked for.
        asked: u8,
    },
    /// A certificate with the subject of its issuer, which readers of chains take for a root.
    #[error("the certificate would have the same subject as its CA ({subject}), like a root")]
    SameSubject {
        /// The subject of both.
        subject: String,
    },
    /// The draft was not what was asked for; nothing was signed.
    #[error(transparent)]
    Lint(#[from] LintError),
    /// The certificate could not be encoded.
    #[error("the certificate could not be encoded")]
    Encode(#[from] rcgen::Error),
    /// The quota of the CA does not allow it.
    #[error(transparent)]
    Quota(#[from] QuotaError),
    /// Whoever holds the CA's key did not sign.
    #[error(transparent)]
    External(#[from] ExternalKeyError),
    /// Whoever holds the CA's key signed something else, or with another key.
    #[error("the answer of the holder of the CA key is not a signature of that key")]
    SignatureOfOtherKey,
    /// The cryptographic library failed.
    #[error("the certificate could not be signed: the cryptographic library failed")]
    Sign,
}

impl From<Infallible> for CaError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl Classified for CaError {
    fn class(&self) -> Class {
        match self {
            Self::Key(error) => error.class(),
            Self::Subject(error) => error.class(),
            Self::External(error) => error.class(),
            Self::Quota(error) => error.class(),
            Self::ValidityEmpty
            | Self::ValidityPast { .. }
            | Self::ValidityBeyond9999
            | Self::ValidityOfRoot => Class::Usage,
            Self::Lint(_) => Class::CheckFailed,
            Self::Encode(_) | Self::Sign | Self::SignatureOfOtherKey => Class::Unexpected,
            _ => Class::Configuration,
        }
    }

    fn code(&self) -> String {
        match self {
            Self::External(error) => error.code(),
            other => other.class().code().to_owned(),
        }
    }

    fn request_id(&self) -> Option<String> {
        match self {
            Self::External(error) => error.request_id(),
            _ => None,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Key(error) => return error.hint(),
            Self::Subject(error) => return error.hint(),
            Self::External(error) => return error.hint(),
            Self::Quota(error) => return error.hint(),
            Self::SignatureOfOtherKey => {
                "nothing was issued; a token's public object may belong to another key than its private one"
            }
            Self::Certificate(CertificateError::Several { .. }) => {
                "keep only the certificate that signs the devices; its issuers are no part of the file"
            }
            Self::KeyMismatch { .. } => {
                "both files must come from the same run; look for a copy of the right one in a backup"
            }
            Self::NotACa { .. } => {
                "AWS IoT registers only certificates with basicConstraints CA:TRUE; use the CA's own files"
            }
            Self::Expired { .. } => {
                "make a new CA and register it; devices already made stop working"
            }
            Self::NotYetValid { .. } => "check this machine's clock",
            Self::OutlivesCa { days_left: 0, .. } => {
                "the CA is about to end: ask for validity `ca`, or make and register a new CA"
            }
            Self::OutlivesCa { days_left, .. } => {
                let days = if *days_left == 1 { "day" } else { "days" };
                return Some(format!(
                    "ask for at most {days_left} {days}, or for validity `ca`, which ends with the CA; \
                     for longer ones make and register a new CA"
                ));
            }
            Self::SameSubject { .. } => "choose another name",
            Self::PathLength { allowed: 0, .. } => "it may only sign devices",
            Self::PathLength { allowed, .. } => {
                return Some(format!("ask for a path length below {allowed}"));
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
