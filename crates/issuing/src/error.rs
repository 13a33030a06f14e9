//! What can go wrong in issuing, and the way out of it.

use std::{io, path::PathBuf};

use jitp_core::{
    ca::{CaError, Station},
    failure::{Class, Classified},
};

/// Why a batch could not be issued, or a ledger not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssuingError {
    /// There is no such ledger.
    #[error("there is no ledger {}", .path.display())]
    NoLedger {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The ledger's file cannot be opened, read or written.
    #[error("the ledger {} cannot be used", .path.display())]
    Database {
        /// The ledger.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// Something else than a ledger.
    #[error("{} is no ledger of this toolkit: {detail}", .path.display())]
    NotALedger {
        /// The file.
        path: PathBuf,
        /// What it is.
        detail: String,
    },
    /// A ledger that was written for another CA.
    #[error("the ledger {} is that of another CA ({found})", .path.display())]
    OtherCa {
        /// The ledger.
        path: PathBuf,
        /// The subject of the CA it belongs to.
        found: String,
    },
    /// A ledger that another station issues with.
    #[error("the ledger {} is that of station {found}", .path.display())]
    OtherStation {
        /// The ledger.
        path: PathBuf,
        /// Whose it is.
        found: Station,
    },
    /// Two ledgers of one station.
    #[error("the ledger {} is of station {station} too", .path.display())]
    SameStation {
        /// The other ledger.
        path: PathBuf,
        /// The station.
        station: Station,
    },
    /// A device that has a certificate of another station.
    #[error("{device} has a certificate of another station, in {}", .path.display())]
    TakenElsewhere {
        /// The device.
        device: String,
        /// The ledger of that station.
        path: PathBuf,
    },
    /// A quota that several stations would count, each for itself.
    #[error("the CA is under a quota of devices, which only one station can count")]
    QuotaOfStations,
    /// Another process has it.
    #[error("another run is issuing with the ledger {}", .path.display())]
    Busy {
        /// The ledger.
        path: PathBuf,
    },
    /// A device that has a certificate already.
    #[error("{device} has certificate {certificate} of batch {batch}, made {made}")]
    DeviceTaken {
        /// The device.
        device: String,
        /// Its certificate's id, or that it was never completed.
        certificate: String,
        /// In which batch it was made.
        batch: u64,
        /// When, RFC 3339.
        made: String,
    },
    /// A request whose key has been certified before, or two requests with one key.
    #[error("{device} asks a certificate for the key of {other}")]
    KeyTaken {
        /// The device.
        device: String,
        /// Whose key it is.
        other: String,
    },
    /// What an unfinished batch writes to is not there.
    #[error("batch {batch} was interrupted, and {} is not there", .path.display())]
    TargetGone {
        /// The batch.
        batch: u64,
        /// Its output.
        path: PathBuf,
    },
    /// An archive that is shorter than what was written to it.
    #[error("{} has {found} bytes, and batch {batch} has written {written} to it", .path.display())]
    TargetCut {
        /// The batch.
        batch: u64,
        /// Its output.
        path: PathBuf,
        /// How long it is.
        found: u64,
        /// How long it was when it was last known to be on the disk.
        written: u64,
    },
    /// A file is there already; nothing is ever overwritten.
    #[error("{} already exists", .path.display())]
    Exists {
        /// The file, or what else has its name.
        path: PathBuf,
    },
    /// An output cannot be written.
    #[error("cannot write {}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The CA did not sign.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// A format that wants a passphrase, and none was given.
    #[error("the format {format} encrypts the key, and no passphrase was given")]
    PassphraseNeeded {
        /// The format.
        format: &'static str,
    },
    /// A format that holds the private key, for a device that made its own.
    #[error("the format {format} holds the private key, and {device} has made its own")]
    NoKey {
        /// The format.
        format: &'static str,
        /// The device.
        device: String,
    },
    /// A device for which nothing was issued, and nobody knows why.
    #[error("nothing was issued for {device}")]
    Nothing {
        /// The device.
        device: String,
    },
    /// The cryptographic library failed.
    #[error("the output of {device} could not be made: {detail}")]
    Encode {
        /// The device.
        device: String,
        /// What the library said.
        detail: String,
    },
}

impl Classified for IssuingError {
    fn class(&self) -> Class {
        match self {
            Self::NoLedger { .. } => Class::NotFound,
            Self::Busy { .. } => Class::Temporary,
            Self::DeviceTaken { .. }
            | Self::KeyTaken { .. }
            | Self::TakenElsewhere { .. }
            | Self::Exists { .. }
            | Self::TargetCut { .. } => Class::Conflict,
            Self::Ca(error) => error.class(),
            Self::Encode { .. } | Self::Nothing { .. } => Class::Unexpected,
            Self::NoKey { .. } => Class::Usage,
            Self::QuotaOfStations => Class::Refused,
            Self::PassphraseNeeded { .. }
            | Self::Database { .. }
            | Self::NotALedger { .. }
            | Self::OtherCa { .. }
            | Self::OtherStation { .. }
            | Self::SameStation { .. }
            | Self::TargetGone { .. }
            | Self::Write { .. } => Class::Configuration,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoLedger { .. } => {
                "it is made by the first batch: provision --count or --from; or pass --dir".to_owned()
            }
            Self::Busy { .. } => "wait for it to end; a batch uses every core anyway".to_owned(),
            Self::OtherCa { .. } => {
                "a ledger goes with the CA of its name: move it aside".to_owned()
            }
            Self::OtherStation { found, .. } => {
                format!("pass --station {found} if this is that station; a ledger goes with the station of its name")
            }
            Self::SameStation { .. } => {
                "a copy of the ledger? Move it aside; two stations with one number would give out one serial number's \
                 beginning twice"
                    .to_owned()
            }
            Self::TakenElsewhere { .. } => {
                "the station that made it can replace it: there, pass --reissue".to_owned()
            }
            Self::QuotaOfStations => {
                "let each station have a CA of its own, with a quota of its own: create-intermediate".to_owned()
            }
            Self::DeviceTaken { .. } => {
                "pass --reissue to replace it; the old certificate stays valid until it is revoked or expires".to_owned()
            }
            Self::TargetGone { .. } => {
                "put it back (is the disk mounted?) and run the same command again; if it is lost for good, \
                 pass --abandon: what was not finished is then recorded as void"
                    .to_owned()
            }
            Self::TargetCut { .. } => "put the whole file back from a copy".to_owned(),
            Self::Exists { .. } => {
                "nothing is overwritten: move it aside, or pass --out with another folder".to_owned()
            }
            Self::Write { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "the disk is out of bytes or of inodes (df, df -i): free some and run the same command again".to_owned()
            }
            Self::Write { source, .. } if source.kind() == io::ErrorKind::QuotaExceeded => {
                "the user's quota is used up (quota): free some and run the same command again".to_owned()
            }
            Self::Write { source, .. }
                if matches!(
                    source.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                "pass --out with a folder that you may write to".to_owned()
            }
            Self::PassphraseNeeded { .. } => {
                "give it in JITP_DEVICE_PASSPHRASE, from a place that others cannot read".to_owned()
            }
            Self::NoKey { .. } => "choose pem or der for signing requests".to_owned(),
            Self::Ca(error) => return error.hint(),
            _ => return None,
        })
    }
}
