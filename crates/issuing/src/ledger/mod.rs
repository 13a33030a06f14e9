//! The ledger of a CA: every certificate it signs, recorded before it is signed and completed after it is on the disk.
//!
//! One SQLite file, written by one process at a time. What has been completed is never changed: a chain of hashes goes
//! over it, and the CA signs the chain's end, so that a change or a removal shows.

mod beside;
mod chain;
mod find;
mod opening;
mod read;
mod schema;
mod write;

use std::{
    collections::VecDeque,
    fs::File,
    path::{Path, PathBuf},
};

use jitp_core::{
    ca::{SerialNumber, Station, Window},
    certificate::{Certificate, CertificateId},
};
use rusqlite::{Connection, ErrorCode};

use crate::{
    error::IssuingError,
    output::{Format, Target, Written},
};
pub use beside::{Double, ledger_file, ledgers_beside};
pub(crate) use chain::{Hash, hash};
pub use read::{BatchRecord, Entry, Fault, LedgerReader, Seal, Verified};

/// How far a certificate of the ledger has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// Its serial number is taken, and nothing is known of it yet.
    Reserved,
    /// It was signed, and is where it was to be.
    Issued,
    /// It was not signed, or what was signed was lost and never handed out. Its serial number is used by nobody.
    Void,
}

impl State {
    /// The word in outputs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Issued => "issued",
            Self::Void => "void",
        }
    }

    fn number(self) -> i64 {
        match self {
            Self::Reserved => 0,
            Self::Issued => 1,
            Self::Void => 2,
        }
    }

    fn of(number: i64) -> Self {
        match number {
            0 => Self::Reserved,
            1 => Self::Issued,
            _ => Self::Void,
        }
    }
}

/// Who made the key of a certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Origin {
    /// The batch itself.
    Made,
    /// The device, which asked with a signing request.
    Requested,
}

impl Origin {
    fn number(self) -> i64 {
        match self {
            Self::Made => 0,
            Self::Requested => 1,
        }
    }

    fn of(number: i64) -> Self {
        match number {
            0 => Self::Made,
            _ => Self::Requested,
        }
    }
}

/// A batch as it is begun.
#[derive(Debug)]
pub(crate) struct NewBatch<'a> {
    /// What tells it from every other: the hash of what was asked for.
    pub(crate) request: Hash,
    pub(crate) operator: &'a str,
    pub(crate) profile: &'a str,
    pub(crate) window: Window,
    pub(crate) target: &'a Target,
}

/// A batch that is under way.
#[derive(Clone, Debug)]
pub(crate) struct OpenBatch {
    pub(crate) batch: u64,
    pub(crate) window: Window,
    pub(crate) target: Target,
    pub(crate) written: Written,
    hash: Hash,
}

/// What is reserved for one certificate.
#[derive(Clone, Debug)]
pub(crate) struct Reservation<'a> {
    pub(crate) device: &'a str,
    /// SHA-256 of the SubjectPublicKeyInfo.
    pub(crate) key: Hash,
    pub(crate) origin: Origin,
    /// Other forms than those of the batch.
    pub(crate) formats: Option<&'a [Format]>,
}

/// The present certificate of a device.
#[derive(Clone, Debug)]
pub(crate) struct Current {
    pub(crate) batch: u64,
    pub(crate) state: State,
    /// Its id, once it is issued.
    pub(crate) certificate: Option<CertificateId>,
}

/// A certificate that was reserved and not completed.
#[derive(Clone, Debug)]
pub(crate) struct Reserved {
    pub(crate) batch: u64,
    pub(crate) device: String,
    pub(crate) serial: SerialNumber,
    pub(crate) key: Hash,
    pub(crate) origin: Origin,
    /// Other forms than those of the batch.
    pub(crate) formats: Option<Vec<Format>>,
    /// Whether it is the device's present one until it is completed.
    current: bool,
}

/// A ledger that this process writes; nobody else can while this exists.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    connection: Connection,
    ca: Certificate,
    station: Station,
    /// Ledgers of the same CA, of other stations.
    others: Vec<LedgerReader>,
    /// The last sequence number that was completed, and the chain's hash there.
    completed: u64,
    head: Hash,
    /// What was reserved and not completed, in the order of the sequence.
    pending: VecDeque<Reserved>,
    _lock: File,
}

impl Ledger {
    /// The CA's certificate.
    pub fn ca(&self) -> &Certificate {
        &self.ca
    }

    /// Whose ledger of the CA it is.
    pub fn station(&self) -> Station {
        self.station
    }

    /// The last sequence number that was reserved.
    fn reserved(&self) -> u64 {
        self.completed + self.pending.len() as u64
    }
}

fn unusable(path: &Path, source: rusqlite::Error) -> IssuingError {
    if source.sqlite_error_code() == Some(ErrorCode::NotADatabase) {
        return IssuingError::NotALedger {
            path: path.to_owned(),
            detail: "no SQLite database".to_owned(),
        };
    }
    IssuingError::Database {
        path: path.to_owned(),
        source,
    }
}
