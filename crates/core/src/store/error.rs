//! What can go wrong with the folder of keys and certificates, and the way out of it.

use std::{io, path::PathBuf};

use crate::{
    ca::{CaError, KeyError, QuotaError},
    certificate::CertificateError,
    failure::{Class, Classified},
    names::{CaName, ThingName},
};

/// Why a key or a certificate could not be loaded or saved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The folder cannot be used.
    #[error("cannot use the folder {}", .path.display())]
    Directory {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something that is no folder.
    #[error("{} is not a folder", .path.display())]
    NotADirectory {
        /// What was given as folder.
        path: PathBuf,
    },
    /// A file is there already; nothing is ever overwritten.
    #[error("{} already exists", .path.display())]
    AlreadyExists {
        /// The file.
        path: PathBuf,
    },
    /// Something that is no file has the file's name.
    #[error("{} is {what}, not a file", .path.display())]
    NotAFile {
        /// Its path.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// A key whose certificate is missing: a run was interrupted between the two, or the certificate was moved.
    #[error("{} exists without its certificate {}", .key.display(), .certificate.display())]
    KeyWithoutCertificate {
        /// The key, which is there.
        key: PathBuf,
        /// The certificate, which is not.
        certificate: PathBuf,
    },
    /// A certificate whose key is missing.
    #[error("{} exists without its key {}", .certificate.display(), .key.display())]
    CertificateWithoutKey {
        /// The key, which is not there.
        key: PathBuf,
        /// The certificate, which is.
        certificate: PathBuf,
    },
    /// A CA's certificate whose key is not in a file beside it.
    #[error("{} is here, but not its key: {} does not exist", .certificate.display(), .key.display())]
    CaWithoutKey {
        /// The key, which is not there.
        key: PathBuf,
        /// The certificate, which is.
        certificate: PathBuf,
    },
    /// There is no such CA in the folder.
    #[error("there is no CA {name}: {} does not exist", .path.display())]
    CaNotFound {
        /// The CA asked for.
        name: CaName,
        /// Its certificate's path.
        path: PathBuf,
    },
    /// There is no such device in the folder.
    #[error("there is no device {name}: {} does not exist", .path.display())]
    DeviceNotFound {
        /// The device asked for.
        name: ThingName,
        /// Its certificate's path.
        path: PathBuf,
    },
    /// A file cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is far too large to be a key or a certificate.
    #[error("{} is larger than any key or certificate ({size} bytes)", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
    },
    /// A file cannot be written.
    #[error("cannot write {}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The key file holds no usable key.
    #[error("cannot use {}", .path.display())]
    Key {
        /// The key file.
        path: PathBuf,
        /// Why.
        source: KeyError,
    },
    /// The certificate file holds no usable certificate.
    #[error("cannot use {}", .path.display())]
    Certificate {
        /// The certificate file.
        path: PathBuf,
        /// Why.
        source: CertificateError,
    },
    /// The certificate is not a CA's.
    #[error("cannot use {}", .path.display())]
    Ca {
        /// The certificate file.
        path: PathBuf,
        /// Why.
        source: Box<CaError>,
    },
    /// The file of a CA's quota holds none for it.
    #[error("cannot use {}", .path.display())]
    Quota {
        /// The file.
        path: PathBuf,
        /// Why.
        source: QuotaError,
    },
    /// Key and certificate do not belong together.
    #[error("{} is not the key of {}", .key.display(), .certificate.display())]
    KeyMismatch {
        /// The key file.
        key: PathBuf,
        /// The certificate file.
        certificate: PathBuf,
    },
}

impl Classified for StoreError {
    fn class(&self) -> Class {
        match self {
            Self::AlreadyExists { .. }
            | Self::NotAFile { .. }
            | Self::KeyWithoutCertificate { .. }
            | Self::CertificateWithoutKey { .. } => Class::Conflict,
            Self::CaNotFound { .. } | Self::CaWithoutKey { .. } | Self::DeviceNotFound { .. } => {
                Class::NotFound
            }
            _ => Class::Configuration,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Directory { path, source } if source.kind() == io::ErrorKind::NotFound => {
                format!("make it first: mkdir -p {}", path.display())
            }
            Self::Directory { source, .. } if is_forbidden(source) => WRITABLE.to_owned(),
            Self::NotADirectory { .. } => "move it aside, or pass --dir with a folder".to_owned(),
            Self::AlreadyExists { .. } => {
                "pass --dir, or move the old files aside; keys and certificates are never overwritten".to_owned()
            }
            Self::NotAFile { what, .. } if *what == SYMBOLIC_LINK => {
                "links are not followed: pass --dir with the folder where the file itself lies, or copy it here".to_owned()
            }
            Self::NotAFile { .. } => "move it aside, or pass --dir".to_owned(),
            Self::KeyWithoutCertificate { key, .. } => format!(
                "an earlier run was interrupted, or the certificate was moved: put it back, or, if the key is in no use, \
                 move {} aside and run again",
                key.display()
            ),
            Self::CertificateWithoutKey { .. } => {
                "put the key back from where it was moved to; a lost key cannot be made again from its certificate".to_owned()
            }
            Self::CaWithoutKey { .. } => {
                "say where it is: --ca-key FILE, --ca-key pkcs11:…, or --ca-key awskms:…".to_owned()
            }
            Self::CaNotFound { name, .. } => {
                format!("make it with: create-root {name}; or pass --dir with the folder it lies in")
            }
            Self::DeviceNotFound { name, .. } => {
                format!(
                    "make it with: provision {name}, or with fleet-provision if it has a claim; or pass --dir with the \
                     folder it lies in"
                )
            }
            Self::Read { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "run this as the user the file belongs to".to_owned()
            }
            Self::Write { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "free some space and run again; nothing was left behind".to_owned()
            }
            Self::Write { source, .. } if is_forbidden(source) => WRITABLE.to_owned(),
            Self::KeyMismatch { .. } => {
                "both files must come from the same run; in a device's .crt its own certificate comes first".to_owned()
            }
            Self::Key { source, .. } => return source.hint(),
            Self::Certificate { source, .. } => return source.hint(),
            Self::Ca { source, .. } => return source.hint(),
            Self::Quota { source, .. } => return source.hint(),
            _ => return None,
        })
    }
}

fn is_forbidden(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}

const WRITABLE: &str = "pass --dir with a folder that you may write to";

pub(super) const SYMBOLIC_LINK: &str = "a symbolic link";
