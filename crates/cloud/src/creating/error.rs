//! Why a thing could not be created, how far it came, and the way out.

use std::path::PathBuf;

use jitp_core::ca::KeyError;
use jitp_core::failure::{AnyError, Class, Classified};
use jitp_core::names::ThingName;
use jitp_core::store::StoreError;

use crate::CloudError;

/// A creation that stopped on the way. Running it again goes on from there.
#[derive(Debug)]
pub struct CreationStopped {
    /// What is there now and was not before, a clause each.
    pub done: Vec<&'static str>,
    /// Why it stopped.
    pub error: CreationError,
}

/// Why a certificate was not issued, with the class and the way out that the issuer's own error has.
pub type IssueError = AnyError;

/// Why a thing could not be created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreationError {
    /// AWS refused, or did not answer.
    #[error(transparent)]
    Cloud(CloudError),
    /// A file cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The certificate was not issued.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// AWS handed out a key that cannot be used.
    #[error("the key AWS made cannot be used")]
    Key(#[from] KeyError),
    /// The account does not know the CA.
    #[error("the CA {subject} is not registered")]
    CaNotRegistered {
        /// Its subject.
        subject: String,
    },
    /// The account knows the CA and takes nothing from it.
    #[error("the CA {subject} is registered, but INACTIVE")]
    CaNotActive {
        /// Its subject.
        subject: String,
        /// Its id.
        id: String,
    },
    /// The policy to attach does not exist.
    #[error("the policy {0} does not exist")]
    NoPolicy(String),
    /// The thing has certificates that are not in this folder.
    #[error("{thing} exists and has a certificate that is not in this folder: {}", .certificates.join(", "))]
    HasCertificates {
        /// The thing.
        thing: ThingName,
        /// Their ids.
        certificates: Vec<String>,
    },
    /// The certificate in the folder is of no use here.
    #[error("{} exists, and {why}", .path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: &'static str,
    },
    /// The certificate in the folder is one AWS made and no longer has.
    #[error("{} holds certificate {id}, which AWS no longer has", .path.display())]
    NotRegistered {
        /// Its id.
        id: String,
        /// The file.
        path: PathBuf,
    },
    /// The certificate was revoked, which is final.
    #[error("certificate {0} is revoked")]
    Revoked(String),
}

impl Classified for CreationError {
    fn class(&self) -> Class {
        match self {
            Self::Cloud(error) => error.class(),
            Self::Store(error) => error.class(),
            Self::Issue(error) => error.class(),
            Self::Key(error) => error.class(),
            Self::CaNotRegistered { .. } | Self::NoPolicy(_) => Class::NotFound,
            Self::CaNotActive { .. }
            | Self::HasCertificates { .. }
            | Self::Unfit { .. }
            | Self::NotRegistered { .. }
            | Self::Revoked(_) => Class::Conflict,
        }
    }

    fn code(&self) -> String {
        match self {
            Self::Cloud(error) => error.code(),
            Self::Issue(error) => error.code(),
            other => other.class().code().to_owned(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Cloud(error) => error.hint(),
            Self::Store(error) => error.hint(),
            Self::Issue(error) => error.hint(),
            Self::Key(_) => None,
            Self::CaNotRegistered { .. } => Some("register it first: register CA".to_owned()),
            Self::CaNotActive { id, .. } => Some(format!("activate it: ca enable {id}")),
            Self::NoPolicy(name) => Some(format!(
                "make it: aws iot create-policy --policy-name {name} --policy-document file://policies/{name}.json"
            )),
            Self::HasCertificates { thing, .. } => Some(format!(
                "pass --dir with the folder its certificate lies in, or remove it first: delete-thing {thing}"
            )),
            Self::Unfit { .. } | Self::NotRegistered { .. } | Self::Revoked(_) => Some(
                "keys and certificates are never overwritten: move the thing's files in certs/ aside and run again"
                    .to_owned(),
            ),
        }
    }

    fn request_id(&self) -> Option<String> {
        match self {
            Self::Cloud(error) => error.request_id(),
            _ => None,
        }
    }
}
