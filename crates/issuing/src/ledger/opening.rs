//! Opening a ledger: whose it is, that nobody else writes it, and a new one.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use jitp_core::{
    ca::{SerialNumber, Station},
    certificate::Certificate,
};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use rustix::fs::FlockOperation;
use time::OffsetDateTime;

use super::{
    Ledger, Origin, Reserved,
    chain::{Hash, START},
    find::unreadable,
    schema, unusable,
};
use crate::error::IssuingError;

impl Ledger {
    /// Opens the ledger of a CA, or makes it. `station` is who issues with it.
    ///
    /// # Errors
    /// When another process has it, it belongs to another CA or another station, or its file cannot be used.
    pub fn open(path: &Path, ca: &Certificate, station: Station) -> Result<Self, IssuingError> {
        let lock = lock(path)?;
        let exists = is_file(path)?;
        let failed = |source| unusable(path, source);
        let mut connection = schema::open(path, !exists).map_err(failed)?;
        let transaction = connection.transaction().map_err(failed)?;
        if is_new(path, &transaction)? {
            create(&transaction, ca, station).map_err(failed)?;
        }
        bring_up(&transaction).map_err(failed)?;
        let (found, its_station) = identity(path, &transaction)?;
        if found.id() != ca.id() {
            return Err(IssuingError::OtherCa {
                path: path.to_owned(),
                found: found.subject_line(),
            });
        }
        if its_station != station {
            return Err(IssuingError::OtherStation {
                path: path.to_owned(),
                found: its_station,
            });
        }
        let (completed, head) = last_completed(&transaction).map_err(failed)?;
        let pending = pending(&transaction, completed).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        if !exists {
            sync_folder(path)?;
        }
        Ok(Self {
            path: path.to_owned(),
            connection,
            ca: found,
            station,
            others: Vec::new(),
            completed,
            head,
            pending,
            _lock: lock,
        })
    }
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
pub(super) fn is_file(path: &Path) -> Result<bool, IssuingError> {
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
pub(super) fn is_new(path: &Path, transaction: &Transaction<'_>) -> Result<bool, IssuingError> {
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
        (schema::APPLICATION, 1 | schema::VERSION) => Ok(false),
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
    station: Station,
) -> rusqlite::Result<()> {
    transaction.pragma_update(None, "application_id", schema::APPLICATION)?;
    transaction.pragma_update(None, "user_version", schema::VERSION)?;
    transaction.execute_batch(schema::TABLES)?;
    transaction.execute(
        "INSERT INTO ledger (one, ca, instance, created) VALUES (1, ?, ?, ?)",
        params![
            ca.der(),
            station.get(),
            OffsetDateTime::now_utc().unix_timestamp()
        ],
    )?;
    Ok(())
}

/// Brings the tables of an earlier version to the present one.
fn bring_up(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let version: i32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version == 1 {
        transaction.execute_batch(schema::FROM_1)?;
        transaction.pragma_update(None, "user_version", schema::VERSION)?;
    }
    Ok(())
}

/// Whose ledger it is.
pub(super) fn identity(
    path: &Path,
    connection: &Connection,
) -> Result<(Certificate, Station), IssuingError> {
    let not = |detail: &str| IssuingError::NotALedger {
        path: path.to_owned(),
        detail: detail.to_owned(),
    };
    let (der, station): (Vec<u8>, u8) = connection
        .query_row("SELECT ca, instance FROM ledger", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .map_err(|source| unusable(path, source))?;
    let ca = Certificate::from_der(&der).map_err(|_| not("its CA certificate is damaged"))?;
    let station = Station::new(station).ok_or_else(|| not("its station is none"))?;
    Ok((ca, station))
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

/// What an earlier run has reserved and not completed.
fn pending(connection: &Connection, completed: u64) -> rusqlite::Result<VecDeque<Reserved>> {
    connection
        .prepare(
            "SELECT batch, device, serial, key, origin, current, formats FROM certificate
             WHERE sequence > ? ORDER BY sequence",
        )?
        .query_map([completed], |row| {
            let serial: Vec<u8> = row.get(2)?;
            let serial = SerialNumber::from_octets(&serial)
                .ok_or(rusqlite::Error::IntegralValueOutOfRange(2, 0))?;
            let formats: Option<String> = row.get(6)?;
            let formats = formats.map(|formats| serde_json::from_str(&formats));
            Ok(Reserved {
                batch: row.get(0)?,
                device: row.get(1)?,
                serial,
                key: row.get(3)?,
                origin: Origin::of(row.get(4)?),
                current: row.get(5)?,
                formats: formats.transpose().map_err(|error| unreadable(6, error))?,
            })
        })?
        .collect()
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
