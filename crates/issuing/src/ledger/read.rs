//! Reading a ledger: what is in it, and whether it is what the CA has signed.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use jitp_core::{
    ca::{SerialNumber, Station},
    certificate::Certificate,
};
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    State,
    chain::{Hash, Row, START, sealed},
    opening::{identity, is_file, is_new},
    schema, unusable,
};
use crate::error::IssuingError;

/// A ledger that is looked at, also while another process writes it.
#[derive(Debug)]
pub struct LedgerReader {
    pub(super) path: PathBuf,
    pub(super) connection: Connection,
    ca: Certificate,
    station: Station,
}

/// A batch as it was recorded.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchRecord {
    /// Its number.
    pub batch: u64,
    /// When it began, RFC 3339.
    pub created: String,
    /// Who began it.
    pub operator: String,
    /// The kind of key of what was made, and the profile.
    pub profile: String,
    /// First second of the certificates, RFC 3339.
    pub not_before: String,
    /// Last second of the certificates, RFC 3339.
    pub not_after: String,
    /// Where to and how it was written, as JSON.
    pub output: serde_json::Value,
    /// Certificates issued in it.
    pub issued: u64,
    /// Certificates that were reserved and are void.
    pub void: u64,
    /// Certificates that are reserved: the batch was interrupted, or is under way.
    pub reserved: u64,
    /// When it was done; absent if it is not.
    pub finished: Option<String>,
}

/// A certificate as it was recorded.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its place in the ledger.
    pub sequence: u64,
    /// Its batch.
    pub batch: u64,
    /// The device.
    pub device: String,
    /// The certificate's serial number.
    pub serial: SerialNumber,
    /// SHA-256 of the SubjectPublicKeyInfo, hexadecimal.
    pub key: String,
    /// How far it has come.
    pub state: State,
    /// Whether it is the device's present one.
    pub current: bool,
    /// What AWS IoT calls it; of one that was issued.
    pub certificate: Option<String>,
    /// The last second of its validity.
    pub not_after: OffsetDateTime,
    /// When its batch began, RFC 3339.
    pub created: String,
    /// Who began it.
    pub operator: String,
    /// Whether the device made the key itself.
    pub requested: bool,
}

/// What the CA has signed last.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Seal {
    /// Up to which row.
    pub sequence: u64,
    /// When, RFC 3339.
    pub made: String,
    /// The chain's hash there, hexadecimal.
    pub hash: String,
    /// The CA's signature, hexadecimal.
    pub signature: String,
}

/// A ledger that is what the CA has signed.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verified {
    /// The station whose ledger it is.
    pub station: u8,
    /// Rows that were looked at.
    pub rows: u64,
    /// Certificates issued.
    pub issued: u64,
    /// Certificates void.
    pub void: u64,
    /// Certificates reserved and not completed.
    pub reserved: u64,
    /// Seals, all of them good.
    pub seals: u64,
    /// Rows after the last seal, which no signature covers yet.
    pub unsealed: u64,
}

/// What is wrong with a ledger.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// A row is missing.
    #[error("row {sequence} is missing")]
    Missing {
        /// Its sequence number.
        sequence: u64,
    },
    /// A row was changed, or one before it was removed, added or changed.
    #[error("row {sequence} ({device}) is not what was recorded")]
    Row {
        /// Its sequence number.
        sequence: u64,
        /// The device it names.
        device: String,
    },
    /// A batch was changed.
    #[error("batch {batch} is not what was recorded")]
    Batch {
        /// Its number.
        batch: u64,
    },
    /// A seal that the CA did not make for this chain.
    #[error("the seal at row {sequence} is not the CA's, or not for these rows")]
    Seal {
        /// Up to which row it goes.
        sequence: u64,
    },
    /// A seal for rows that are not there any more.
    #[error("the CA has sealed {sealed} rows, and {found} are there")]
    CutOff {
        /// Up to which row the last seal goes.
        sealed: u64,
        /// The last row.
        found: u64,
    },
    /// Two certificates for one key.
    #[error("rows {first} and {second} are for the same key")]
    KeyTwice {
        /// The one.
        first: u64,
        /// The other.
        second: u64,
    },
    /// A device whose present certificate is not its last one.
    #[error("the present certificate of {device} is not the last that was issued for it")]
    Current {
        /// The device.
        device: String,
    },
}

impl LedgerReader {
    /// Opens a ledger.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn open(path: &Path) -> Result<Self, IssuingError> {
        let none = || IssuingError::NoLedger {
            path: path.to_owned(),
        };
        if !is_file(path)? {
            return Err(none());
        }
        let failed = |source| unusable(path, source);
        let mut connection = schema::open_read_only(path).map_err(failed)?;
        let transaction = connection.transaction().map_err(failed)?;
        if is_new(path, &transaction)? {
            return Err(none());
        }
        drop(transaction);
        let (ca, station) = identity(path, &connection)?;
        Ok(Self {
            path: path.to_owned(),
            connection,
            ca,
            station,
        })
    }

    /// The CA whose ledger it is.
    pub fn ca(&self) -> &Certificate {
        &self.ca
    }

    /// The station whose ledger it is.
    pub fn station(&self) -> Station {
        self.station
    }

    /// Every batch, oldest first.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn batches(&self) -> Result<Vec<BatchRecord>, IssuingError> {
        let query = || {
            self.connection
                .prepare(
                    "SELECT batch, created, operator, profile, not_before, not_after, output, finished,
                            count(*) FILTER (WHERE state = 1), count(*) FILTER (WHERE state = 2),
                            count(*) FILTER (WHERE state = 0)
                     FROM batch LEFT JOIN certificate USING (batch) GROUP BY batch ORDER BY batch",
                )?
                .query_map([], |row| {
                    Ok(BatchRecord {
                        batch: row.get(0)?,
                        created: instant(row.get(1)?),
                        operator: row.get(2)?,
                        profile: row.get(3)?,
                        not_before: instant(row.get(4)?),
                        not_after: instant(row.get(5)?),
                        output: serde_json::from_str(&row.get::<_, String>(6)?).unwrap_or_default(),
                        finished: row.get::<_, Option<i64>>(7)?.map(instant),
                        issued: row.get(8)?,
                        void: row.get(9)?,
                        reserved: row.get(10)?,
                    })
                })?
                .collect::<Result<Vec<_>, _>>()
        };
        query().map_err(|source| unusable(&self.path, source))
    }

    /// Hands every certificate to `visit`, in the order of the sequence, until it says stop.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn each(&self, mut visit: impl FnMut(Entry) -> bool) -> Result<(), IssuingError> {
        let mut query = || {
            let mut statement = self
                .connection
                .prepare(&format!("{ENTRY} ORDER BY sequence"))?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                if !visit(entry(row)?) {
                    break;
                }
            }
            Ok(())
        };
        query().map_err(|source| unusable(&self.path, source))
    }

    /// Every certificate of a device, oldest first.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn of_device(&self, device: &str) -> Result<Vec<Entry>, IssuingError> {
        let query = || {
            self.connection
                .prepare(&format!("{ENTRY} WHERE device = ? ORDER BY sequence"))?
                .query_map([device], entry)?
                .collect::<Result<Vec<_>, _>>()
        };
        query().map_err(|source| unusable(&self.path, source))
    }

    /// What the CA has signed last: whoever keeps it elsewhere can tell a ledger that was put back to an older state.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn last_seal(&self) -> Result<Option<Seal>, IssuingError> {
        self.connection
            .query_row(
                "SELECT sequence, made, hash, signature FROM seal ORDER BY sequence DESC LIMIT 1",
                [],
                |row| {
                    Ok(Seal {
                        sequence: row.get(0)?,
                        made: instant(row.get(1)?),
                        hash: hex::encode(row.get::<_, Vec<u8>>(2)?),
                        signature: hex::encode(row.get::<_, Vec<u8>>(3)?),
                    })
                },
            )
            .optional()
            .map_err(|source| unusable(&self.path, source))
    }

    /// Goes over every row, every batch and every seal.
    ///
    /// # Errors
    /// When the ledger cannot be read. What is wrong with it is in the answer.
    pub fn verify(&self) -> Result<Result<Verified, Fault>, IssuingError> {
        self.examine()
            .map_err(|source| unusable(&self.path, source))
    }

    fn examine(&self) -> rusqlite::Result<Result<Verified, Fault>> {
        let batches = match self.hashes_of_batches()? {
            Ok(batches) => batches,
            Err(fault) => return Ok(Err(fault)),
        };
        let mut seals = self.seals()?.into_iter().peekable();
        let mut counts = Verified {
            station: self.station.get(),
            rows: 0,
            issued: 0,
            void: 0,
            reserved: 0,
            seals: 0,
            unsealed: 0,
        };
        let (mut head, mut sealed_up_to) = (START, 0);
        let mut statement = self.connection.prepare(
            "SELECT sequence, batch, device, serial, key, origin, state, certificate, hash
             FROM certificate ORDER BY sequence",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            counts.rows += 1;
            let sequence: u64 = row.get(0)?;
            if sequence != counts.rows {
                return Ok(Err(Fault::Missing {
                    sequence: counts.rows,
                }));
            }
            let device: String = row.get(2)?;
            let state = State::of(row.get(6)?);
            match state {
                State::Issued => counts.issued += 1,
                State::Void => counts.void += 1,
                State::Reserved => counts.reserved += 1,
            }
            let recorded: Option<Hash> = row.get(8)?;
            let batch: u64 = row.get(1)?;
            let changed = || {
                Ok(Err(Fault::Row {
                    sequence,
                    device: device.clone(),
                }))
            };
            let Some(recorded) = recorded else {
                // Not completed: only at the end, where the next ones are not completed either.
                if state != State::Reserved {
                    return changed();
                }
                continue;
            };
            let Some(batch) = batches.get(&batch) else {
                return Ok(Err(Fault::Batch { batch }));
            };
            head = Row {
                sequence,
                batch,
                device: &device,
                serial: &row.get::<_, Vec<u8>>(3)?,
                key: &row.get::<_, Vec<u8>>(4)?,
                origin: row.get(5)?,
                state: state.number(),
                certificate: &row.get::<_, Option<Vec<u8>>>(7)?.unwrap_or_default(),
            }
            .after(&head);
            if counts.reserved > 0 || state == State::Reserved || recorded != head {
                return changed();
            }
            if let Some((_, made, hash, signature)) = seals.next_if(|seal| seal.0 == sequence) {
                let text = sealed(self.station.get(), sequence, made, &head);
                if hash != head || !self.ca.has_signed_record(&text, &signature) {
                    return Ok(Err(Fault::Seal { sequence }));
                }
                counts.seals += 1;
                sealed_up_to = sequence;
            }
        }
        if let Some((sealed, ..)) = seals.next() {
            return Ok(Err(Fault::CutOff {
                sealed,
                found: counts.rows,
            }));
        }
        counts.unsealed = counts.rows - counts.reserved - sealed_up_to;
        if let Some(fault) = self.doubles()? {
            return Ok(Err(fault));
        }
        Ok(Ok(counts))
    }

    fn seals(&self) -> rusqlite::Result<Vec<SealRow>> {
        self.connection
            .prepare("SELECT sequence, made, hash, signature FROM seal ORDER BY sequence")?
            .query_map([], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })?
            .collect()
    }

    /// What the rows of each batch were hashed with; a batch whose record was changed is a fault.
    fn hashes_of_batches(&self) -> rusqlite::Result<Result<HashMap<u64, Hash>, Fault>> {
        let mut statement = self.connection.prepare(
            "SELECT batch, request, created, operator, profile, not_before, not_after, output, hash
             FROM batch ORDER BY batch",
        )?;
        let mut rows = statement.query([])?;
        let mut batches = HashMap::new();
        while let Some(row) = rows.next()? {
            let batch = row.get(0)?;
            let number = |index| Ok::<_, rusqlite::Error>(row.get::<_, i64>(index)?.to_be_bytes());
            let hash = super::hash(&[
                &row.get::<_, Vec<u8>>(1)?,
                &number(2)?,
                row.get::<_, String>(3)?.as_bytes(),
                row.get::<_, String>(4)?.as_bytes(),
                &number(5)?,
                &number(6)?,
                row.get::<_, String>(7)?.as_bytes(),
            ]);
            if row.get::<_, Hash>(8)? != hash {
                return Ok(Err(Fault::Batch { batch }));
            }
            batches.insert(batch, hash);
        }
        Ok(Ok(batches))
    }

    /// What must not be twice, and what the rows themselves tell.
    fn doubles(&self) -> rusqlite::Result<Option<Fault>> {
        let key = self
            .connection
            .query_row(
                "SELECT min(sequence), max(sequence) FROM certificate WHERE state = 1
                 GROUP BY key HAVING count(DISTINCT device) > 1 LIMIT 1",
                [],
                |row| {
                    Ok(Fault::KeyTwice {
                        first: row.get(0)?,
                        second: row.get(1)?,
                    })
                },
            )
            .optional()?;
        if key.is_some() {
            return Ok(key);
        }
        self.connection
            .query_row(
                "SELECT device FROM certificate WHERE state = 1 GROUP BY device
                 HAVING max(sequence) <> coalesce(max(sequence) FILTER (WHERE current = 1), 0) LIMIT 1",
                params![],
                |row| {
                    Ok(Fault::Current {
                        device: row.get(0)?,
                    })
                },
            )
            .optional()
    }
}

/// Sequence, time, hash and signature.
type SealRow = (u64, i64, Hash, Vec<u8>);

const ENTRY: &str =
    "SELECT sequence, batch, device, serial, key, state, current, certificate, not_after, created,
    operator, origin FROM certificate JOIN batch USING (batch)";

fn entry(row: &rusqlite::Row<'_>) -> rusqlite::Result<Entry> {
    let serial: Vec<u8> = row.get(3)?;
    Ok(Entry {
        sequence: row.get(0)?,
        batch: row.get(1)?,
        device: row.get(2)?,
        serial: SerialNumber::from_octets(&serial)
            .ok_or(rusqlite::Error::IntegralValueOutOfRange(3, 0))?,
        key: hex::encode(row.get::<_, Vec<u8>>(4)?),
        state: State::of(row.get(5)?),
        current: row.get(6)?,
        certificate: row.get::<_, Option<Vec<u8>>>(7)?.map(hex::encode),
        not_after: OffsetDateTime::from_unix_timestamp(row.get(8)?)
            .map_err(|_| rusqlite::Error::IntegralValueOutOfRange(8, 0))?,
        created: instant(row.get(9)?),
        operator: row.get(10)?,
        requested: row.get::<_, i64>(11)? == 1,
    })
}

/// Seconds since 1970 as RFC 3339 in UTC.
pub(super) fn instant(seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|at| at.format(&Rfc3339).ok())
        .unwrap_or_else(|| seconds.to_string())
}
