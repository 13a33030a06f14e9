//! The tables of a ledger.

use rusqlite::{Connection, OpenFlags};
use std::path::Path;

/// The number that SQLite keeps for the application in the file's header: "JITP".
pub(super) const APPLICATION: i32 = 0x4a49_5450;
/// The version of the tables.
pub(super) const VERSION: i32 = 2;
/// What makes tables of version 1 such of this one.
pub(super) const FROM_1: &str = "ALTER TABLE certificate ADD COLUMN formats TEXT";

/// A row of `certificate` is reserved before anything is signed, and becomes issued or void in the order of the
/// sequence; from then on it does not change, and its hash covers it and the row before. `current` is the one thing
/// that does: which of a device's certificates is the present one, which the rows themselves also tell. `formats` says
/// for what is not completed yet which files were to be written, if not those of its batch.
///
/// Serial numbers begin with the sequence, so that their index grows at its end only: a random one costs a third of the
/// cryptography. Keys that are made here are different by themselves (256 random bits); those that come with requests
/// are kept apart by an index, and a request's key is looked for among all.
pub(super) const TABLES: &str = "
CREATE TABLE ledger (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    ca BLOB NOT NULL,
    instance INTEGER NOT NULL,
    created INTEGER NOT NULL
) STRICT;
CREATE TABLE batch (
    batch INTEGER PRIMARY KEY,
    request BLOB NOT NULL,
    created INTEGER NOT NULL,
    operator TEXT NOT NULL,
    profile TEXT NOT NULL,
    not_before INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    output TEXT NOT NULL,
    hash BLOB NOT NULL,
    written TEXT NOT NULL,
    finished INTEGER
) STRICT;
CREATE INDEX batch_request ON batch (request);
CREATE TABLE certificate (
    sequence INTEGER PRIMARY KEY,
    batch INTEGER NOT NULL REFERENCES batch,
    device TEXT NOT NULL,
    serial BLOB NOT NULL UNIQUE,
    key BLOB NOT NULL,
    origin INTEGER NOT NULL,
    state INTEGER NOT NULL,
    current INTEGER NOT NULL,
    certificate BLOB,
    hash BLOB,
    formats TEXT
) STRICT;
CREATE UNIQUE INDEX certificate_device ON certificate (device) WHERE current = 1;
CREATE UNIQUE INDEX certificate_key ON certificate (key) WHERE origin = 1 AND current = 1;
CREATE TABLE seal (
    sequence INTEGER PRIMARY KEY,
    made INTEGER NOT NULL,
    hash BLOB NOT NULL,
    signature BLOB NOT NULL
) STRICT;
";

/// Opens a database to write; every transaction is on the disk when it has been committed.
pub(super) fn open(path: &Path, create: bool) -> rusqlite::Result<Connection> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if create {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let connection = Connection::open_with_flags(path, flags)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    Ok(connection)
}

/// Opens a database to read. One that is being written is read as it was at a commit.
pub(super) fn open_read_only(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    Ok(connection)
}
