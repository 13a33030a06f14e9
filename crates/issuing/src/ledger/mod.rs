//! The ledger of a CA: every certificate it signs, recorded before it is signed and completed after it is on the disk.
//!
//! One SQLite file, written by one process at a time. What has been completed is never changed: a chain of hashes goes
//! over it, and the CA signs the chain's end, so that a change or a removal shows.

mod chain;
mod read;
mod schema;

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use jitp_core::{
    ca::{CertificateAuthority, Instance, SerialNumber, Window},
    certificate::{Certificate, CertificateId},
};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, params};
use rustix::fs::FlockOperation;
use time::OffsetDateTime;

use crate::{
    error::IssuingError,
    output::{Target, Written},
};
pub(crate) use chain::{Hash, hash};
use chain::{Row, START, sealed};
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
    /// Whether the device has made the key itself.
    pub(crate) requested: bool,
}

/// A ledger that this process writes; nobody else can while this exists.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    connection: Connection,
    ca: Certificate,
    instance: Instance,
    /// The last sequence number that was reserved.
    reserved: u64,
    /// The last one that was completed, and the chain's hash there.
    completed: u64,
    head: Hash,
    _lock: File,
}

impl Ledger {
    /// Opens the ledger of a CA, or makes it. `instance` is that of a new one.
    ///
    /// # Errors
    /// When another process has it, it belongs to another CA, or its file cannot be used.
    pub fn open(path: &Path, ca: &Certificate, instance: Instance) -> Result<Self, IssuingError> {
        let lock = lock(path)?;
        let exists = is_file(path)?;
        let failed = |source| unusable(path, source);
        let mut connection = schema::open(path, !exists).map_err(failed)?;
        let transaction = connection.transaction().map_err(failed)?;
        if is_new(path, &transaction)? {
            create(&transaction, ca, instance).map_err(failed)?;
        }
        let (found, instance) = identity(path, &transaction)?;
        if found.id() != ca.id() {
            return Err(IssuingError::OtherCa {
                path: path.to_owned(),
                found: found.subject_line(),
            });
        }
        let (completed, head) = last_completed(&transaction).map_err(failed)?;
        let reserved = transaction
            .query_row("SELECT max(sequence) FROM certificate", [], |row| {
                row.get::<_, Option<u64>>(0)
            })
            .map_err(failed)?
            .unwrap_or(0);
        transaction.commit().map_err(failed)?;
        if !exists {
            sync_folder(path)?;
        }
        Ok(Self {
            path: path.to_owned(),
            connection,
            ca: found,
            instance,
            reserved,
            completed,
            head,
            _lock: lock,
        })
    }

    /// The CA's certificate.
    pub fn ca(&self) -> &Certificate {
        &self.ca
    }

    /// How many certificates have been issued by this ledger, those that were replaced included.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn issued(&self) -> Result<u64, IssuingError> {
        self.connection
            .query_row(
                "SELECT count(*) FROM certificate WHERE state = 1",
                [],
                |row| row.get(0),
            )
            .map_err(|source| unusable(&self.path, source))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.reserved == 0
    }

    /// The last batch with this request.
    pub(crate) fn batch_of(
        &self,
        request: &Hash,
    ) -> Result<Option<(OpenBatch, bool)>, IssuingError> {
        let sql = format!("{BATCH} WHERE request = ? ORDER BY batch DESC LIMIT 1");
        self.connection
            .query_row(&sql, [request], |row| {
                Ok((open_batch(row)?, row.get::<_, Option<i64>>(6)?.is_some()))
            })
            .optional()
            .map_err(|source| unusable(&self.path, source))
    }

    /// The batch of this number.
    pub(crate) fn batch(&self, batch: u64) -> Result<OpenBatch, IssuingError> {
        let sql = format!("{BATCH} WHERE batch = ?");
        self.connection
            .query_row(&sql, [batch], open_batch)
            .map_err(|source| unusable(&self.path, source))
    }

    /// Records that a batch begins.
    pub(crate) fn begin(
        &mut self,
        new: &NewBatch<'_>,
        now: OffsetDateTime,
    ) -> Result<OpenBatch, IssuingError> {
        let output = new.target.to_json();
        let written = Written::default();
        let [begin, end] =
            [new.window.not_before(), new.window.not_after()].map(|at| at.unix_timestamp());
        let created = now.unix_timestamp();
        let hash = hash(&[
            &new.request,
            &created.to_be_bytes(),
            new.operator.as_bytes(),
            new.profile.as_bytes(),
            &begin.to_be_bytes(),
            &end.to_be_bytes(),
            output.as_bytes(),
        ]);
        self.connection
            .execute(
                "INSERT INTO batch (request, created, operator, profile, not_before, not_after, output, hash, written)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                params![
                    new.request,
                    created,
                    new.operator,
                    new.profile,
                    begin,
                    end,
                    output,
                    hash,
                    written.to_json()
                ],
            )
            .map_err(|source| unusable(&self.path, source))?;
        let batch = self.connection.last_insert_rowid();
        self.batch(batch.unsigned_abs())
    }

    /// The present certificate of a device, if it has one: its batch, how far it has come, and its id.
    pub(crate) fn current(&self, device: &str) -> Result<Option<Current>, IssuingError> {
        let query = || {
            self.connection
                .prepare_cached(
                    "SELECT batch, state, certificate FROM certificate WHERE device = ? AND current = 1",
                )?
                .query_row([device], |row| {
                    let certificate: Option<Vec<u8>> = row.get(2)?;
                    Ok(Current {
                        batch: row.get(0)?,
                        state: State::of(row.get(1)?),
                        certificate: certificate.and_then(|id| hex::encode(id).parse().ok()),
                    })
                })
                .optional()
        };
        query().map_err(|source| unusable(&self.path, source))
    }

    /// As an error: the certificate that a device has.
    pub(crate) fn taken(&self, device: &str) -> IssuingError {
        let query = self.connection.query_row(
            "SELECT batch, certificate, created FROM certificate JOIN batch USING (batch)
             WHERE device = ? AND current = 1",
            [device],
            |row| {
                Ok((
                    row.get(0)?,
                    row.get::<_, Option<Vec<u8>>>(1)?,
                    row.get::<_, i64>(2)?,
                ))
            },
        );
        match query {
            Ok((batch, certificate, created)) => IssuingError::DeviceTaken {
                device: device.to_owned(),
                certificate: certificate.map_or_else(|| "(not completed)".to_owned(), hex::encode),
                batch,
                made: read::instant(created),
            },
            Err(source) => unusable(&self.path, source),
        }
    }

    /// A key that another device of the ledger has than the one that asks with it, and that other device. Reads the whole
    /// ledger, once for all keys.
    pub(crate) fn key_of_another(
        &self,
        asking: &HashMap<Hash, String>,
    ) -> Result<Option<(Hash, String)>, IssuingError> {
        let query = || {
            let mut statement = self
                .connection
                .prepare("SELECT key, device FROM certificate WHERE state <> 2")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let key: Hash = row.get(0)?;
                let device: String = row.get(1)?;
                if asking.get(&key).is_some_and(|asks| *asks != device) {
                    return Ok(Some((key, device)));
                }
            }
            Ok(None)
        };
        query().map_err(|source| unusable(&self.path, source))
    }

    /// Takes a serial number for each, in one durable step: all or none. With `reissue` a device may have a certificate
    /// already, which stays its present one until the new one is complete.
    pub(crate) fn reserve(
        &mut self,
        batch: &OpenBatch,
        reservations: &[Reservation<'_>],
        reissue: bool,
    ) -> Result<Vec<SerialNumber>, IssuingError> {
        let mut taken = Vec::with_capacity(reservations.len());
        let mut next = self.reserved;
        let mut refused = None;
        let outcome = write(&mut self.connection, |transaction| {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO certificate (sequence, batch, device, serial, key, origin, state, current)
                 VALUES (?, ?, ?, ?, ?, ?, 0, ?)",
            )?;
            for reservation in reservations {
                next += 1;
                let Ok(serial) = SerialNumber::in_sequence(self.instance, next) else {
                    return Err(rusqlite::Error::QueryReturnedNoRows);
                };
                let current = match reissue {
                    true => !has_current(transaction, reservation.device)?,
                    false => true,
                };
                let origin = match reservation.origin {
                    Origin::Made => 0,
                    Origin::Requested => 1,
                };
                let inserted = insert.execute(params![
                    next,
                    batch.batch,
                    reservation.device,
                    serial.octets(),
                    reservation.key,
                    origin,
                    current
                ]);
                if let Err(error) = inserted {
                    refused = Some(reservation.device);
                    return Err(error);
                }
                taken.push(serial);
            }
            Ok(())
        });
        match outcome {
            Ok(()) => {
                self.reserved = next;
                Ok(taken)
            }
            Err(source) => Err(match refused {
                Some(device)
                    if source.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) =>
                {
                    self.taken(device)
                }
                _ => unusable(&self.path, source),
            }),
        }
    }

    /// Every certificate that was reserved and not completed, in the order of the sequence.
    pub(crate) fn unfinished(&self) -> Result<Vec<Reserved>, IssuingError> {
        let query = || {
            self.connection
                .prepare(
                    "SELECT batch, device, serial, key, origin FROM certificate
                     WHERE sequence > ? ORDER BY sequence",
                )?
                .query_map([self.completed], |row| {
                    let serial: Vec<u8> = row.get(2)?;
                    let serial = SerialNumber::from_octets(&serial)
                        .ok_or(rusqlite::Error::IntegralValueOutOfRange(2, 0))?;
                    Ok(Reserved {
                        batch: row.get(0)?,
                        device: row.get(1)?,
                        serial,
                        key: row.get(3)?,
                        requested: row.get::<_, i64>(4)? == 1,
                    })
                })?
                .collect::<Result<Vec<_>, _>>()
        };
        query().map_err(|source| unusable(&self.path, source))
    }

    /// Records what became of the next certificates in the sequence, of which none may be left out: the id of one that
    /// was issued, or nothing for one that is void. `written` is how far the batch's outputs are on the disk.
    pub(crate) fn complete(
        &mut self,
        batch: &OpenBatch,
        outcomes: &[Option<CertificateId>],
        written: &Written,
    ) -> Result<(), IssuingError> {
        let (mut sequence, mut head) = (self.completed, self.head);
        let outcome = write(&mut self.connection, |transaction| {
            let mut select = transaction.prepare_cached(
                "SELECT device, serial, key, origin, current FROM certificate WHERE sequence = ?",
            )?;
            let mut update = transaction.prepare_cached(
                "UPDATE certificate SET state = ?, certificate = ?, hash = ? WHERE sequence = ?",
            )?;
            for outcome in outcomes {
                sequence += 1;
                let (device, serial, key, origin, current) =
                    select.query_row([sequence], |row| {
                        Ok((
                            row.get::<_, String>(0)?,
                            row.get::<_, [u8; SerialNumber::OCTETS]>(1)?,
                            row.get::<_, Hash>(2)?,
                            row.get(3)?,
                            row.get::<_, bool>(4)?,
                        ))
                    })?;
                let state = match outcome {
                    Some(_) => State::Issued,
                    None => State::Void,
                };
                let certificate = outcome
                    .as_ref()
                    .and_then(|id| hex::decode(id.as_str()).ok());
                let row = Row {
                    sequence,
                    batch: &batch.hash,
                    device: &device,
                    serial: &serial,
                    key: &key,
                    origin,
                    state: state.number(),
                    certificate: certificate.as_deref().unwrap_or_default(),
                };
                head = row.after(&head);
                update.execute(params![state.number(), certificate, head, sequence])?;
                match (state, current) {
                    (State::Issued, false) => replace(transaction, &device, sequence)?,
                    (State::Void, true) => {
                        transaction
                            .prepare_cached(
                                "UPDATE certificate SET current = 0 WHERE sequence = ?",
                            )?
                            .execute([sequence])?;
                    }
                    _ => {}
                }
            }
            transaction
                .prepare_cached("UPDATE batch SET written = ? WHERE batch = ?")?
                .execute(params![written.to_json(), batch.batch])?;
            Ok(())
        });
        outcome.map_err(|source| unusable(&self.path, source))?;
        (self.completed, self.head) = (sequence, head);
        Ok(())
    }

    /// Records that a batch is done.
    pub(crate) fn finish(
        &mut self,
        batch: &OpenBatch,
        now: OffsetDateTime,
    ) -> Result<(), IssuingError> {
        self.connection
            .execute(
                "UPDATE batch SET finished = ? WHERE batch = ?",
                params![now.unix_timestamp(), batch.batch],
            )
            .map(drop)
            .map_err(|source| unusable(&self.path, source))
    }

    /// Has the CA sign the chain up to where it goes; nothing if that has been done.
    pub(crate) fn seal(
        &mut self,
        ca: &CertificateAuthority,
        now: OffsetDateTime,
    ) -> Result<(), IssuingError> {
        let failed = |source| unusable(&self.path, source);
        let sealed_up_to: Option<u64> = self
            .connection
            .query_row("SELECT max(sequence) FROM seal", [], |row| row.get(0))
            .map_err(failed)?;
        if self.completed == 0 || sealed_up_to == Some(self.completed) {
            return Ok(());
        }
        let made = now.unix_timestamp();
        let text = sealed(self.instance.get(), self.completed, made, &self.head);
        let signature = ca.sign_record(&text)?;
        self.connection
            .execute(
                "INSERT INTO seal (sequence, made, hash, signature) VALUES (?, ?, ?, ?)",
                params![self.completed, made, self.head, signature],
            )
            .map(drop)
            .map_err(failed)
    }
}

const BATCH: &str =
    "SELECT batch, not_before, not_after, output, written, hash, finished FROM batch";

fn open_batch(row: &rusqlite::Row<'_>) -> rusqlite::Result<OpenBatch> {
    let at = |index| -> rusqlite::Result<OffsetDateTime> {
        OffsetDateTime::from_unix_timestamp(row.get(index)?)
            .map_err(|_| rusqlite::Error::IntegralValueOutOfRange(index, 0))
    };
    let unreadable = |index: usize, error: serde_json::Error| {
        rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, error.into())
    };
    Ok(OpenBatch {
        batch: row.get(0)?,
        window: Window::new(at(1)?, at(2)?),
        target: Target::from_json(&row.get::<_, String>(3)?).map_err(|e| unreadable(3, e))?,
        written: Written::from_json(&row.get::<_, String>(4)?).map_err(|e| unreadable(4, e))?,
        hash: row.get(5)?,
    })
}

fn has_current(transaction: &Transaction<'_>, device: &str) -> rusqlite::Result<bool> {
    transaction
        .prepare_cached("SELECT 1 FROM certificate WHERE device = ? AND current = 1")?
        .exists([device])
}

/// The new certificate of a device takes the place of its old one.
fn replace(transaction: &Transaction<'_>, device: &str, sequence: u64) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("UPDATE certificate SET current = 0 WHERE device = ? AND current = 1")?
        .execute([device])?;
    transaction
        .prepare_cached("UPDATE certificate SET current = 1 WHERE sequence = ?")?
        .execute([sequence])?;
    Ok(())
}

/// One transaction, which is on the disk when this returns, or did not happen.
fn write(
    connection: &mut Connection,
    change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    change(&transaction)?;
    transaction.commit()
}

/// The lock of whoever writes; it goes with the process. Beside the database, whose own file SQLite locks.
fn lock(path: &Path) -> Result<File, IssuingError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    is_file(&name)?;
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&name)
        .map_err(|source| IssuingError::Write {
            path: name.clone(),
            source,
        })?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(IssuingError::Busy {
            path: path.to_owned(),
        }),
        Err(error) => Err(IssuingError::Write {
            path: name,
            source: error.into(),
        }),
    }
}

/// Whether there is a file of this name; a link, a folder or a pipe is an error.
fn is_file(path: &Path) -> Result<bool, IssuingError> {
    let not = |detail: &str| IssuingError::NotALedger {
        path: path.to_owned(),
        detail: detail.to_owned(),
    };
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(true),
        Ok(metadata) if metadata.is_symlink() => Err(not("a symbolic link, which is not followed")),
        Ok(metadata) if metadata.is_dir() => Err(not("a folder")),
        Ok(_) => Err(not("no file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(IssuingError::Write {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Whether a database has nothing in it yet; one with other things than a ledger in it is an error.
fn is_new(path: &Path, transaction: &Transaction<'_>) -> Result<bool, IssuingError> {
    let failed = |source| unusable(path, source);
    let number = |name| -> rusqlite::Result<i32> {
        transaction.pragma_query_value(None, name, |row| row.get(0))
    };
    let application = number("application_id").map_err(failed)?;
    let version = number("user_version").map_err(failed)?;
    let tables: u64 = transaction
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(failed)?;
    let not = |detail: String| IssuingError::NotALedger {
        path: path.to_owned(),
        detail,
    };
    match (application, version) {
        (0, 0) if tables == 0 => Ok(true),
        (schema::APPLICATION, schema::VERSION) => Ok(false),
        (schema::APPLICATION, other) => Err(not(format!(
            "its tables are of version {other}, and this program knows {}",
            schema::VERSION
        ))),
        _ => Err(not("another SQLite database".to_owned())),
    }
}

fn create(
    transaction: &Transaction<'_>,
    ca: &Certificate,
    instance: Instance,
) -> rusqlite::Result<()> {
    transaction.pragma_update(None, "application_id", schema::APPLICATION)?;
    transaction.pragma_update(None, "user_version", schema::VERSION)?;
    transaction.execute_batch(schema::TABLES)?;
    transaction.execute(
        "INSERT INTO ledger (one, ca, instance, created) VALUES (1, ?, ?, ?)",
        params![
            ca.der(),
            instance.get(),
            OffsetDateTime::now_utc().unix_timestamp()
        ],
    )?;
    Ok(())
}

/// Whose ledger it is.
fn identity(path: &Path, connection: &Connection) -> Result<(Certificate, Instance), IssuingError> {
    let not = |detail: &str| IssuingError::NotALedger {
        path: path.to_owned(),
        detail: detail.to_owned(),
    };
    let (der, instance): (Vec<u8>, u8) = connection
        .query_row("SELECT ca, instance FROM ledger", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .map_err(|source| unusable(path, source))?;
    let ca = Certificate::from_der(&der).map_err(|_| not("its CA certificate is damaged"))?;
    let instance = Instance::new(instance).ok_or_else(|| not("its instance is none"))?;
    Ok((ca, instance))
}

/// The end of the chain.
fn last_completed(connection: &Connection) -> rusqlite::Result<(u64, Hash)> {
    let last = connection
        .query_row(
            "SELECT sequence, hash FROM certificate WHERE hash IS NOT NULL ORDER BY sequence DESC LIMIT 1",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    Ok(last.unwrap_or((0, START)))
}

/// Sees the name of a new ledger onto the disk.
fn sync_folder(path: &Path) -> Result<(), IssuingError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| IssuingError::Write {
            path: folder.to_owned(),
            source,
        })
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
