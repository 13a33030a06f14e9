//! Durable key-value storage under the account and the broker: memory, or SQLite in a directory.
//!
//! What was committed survives `kill -9` at any moment: SQLite in WAL mode hands every transaction to
//! the operating system before it answers. With `synchronous=NORMAL` (the default here) a power cut may
//! lose the last transactions, never the consistency; [`Durability::PowerLoss`] pays an fsync a commit for that too.

#[cfg(test)]
mod tests;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::future::Future;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode, params};
use tokio::sync::oneshot;

/// Version of the table layout, kept in `PRAGMA user_version`.
const SCHEMA_VERSION: i64 = 1;

/// Most queued commits one transaction takes in.
const GROUP_LIMIT: usize = 4096;

const DATABASE: &str = "iot-local.sqlite";
const LOCK: &str = "iot-local.lock";

/// Why the storage could not be opened, read or written.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The directory or a file in it cannot be made or opened.
    #[error("cannot open {}", .path.display())]
    Open {
        /// What was to be opened.
        path: PathBuf,
        /// The operating system's reason.
        source: Arc<io::Error>,
    },
    /// Another process has the directory.
    #[error("{} is in use by another process; stop it, or choose another directory", .path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// A newer program wrote the directory.
    #[error("{} was written by a newer version (layout {found}, this program knows {SCHEMA_VERSION}); use that version, or another directory", .path.display())]
    Schema {
        /// The database file.
        path: PathBuf,
        /// The layout version found.
        found: i64,
    },
    /// No room left for a change; nothing of it was kept.
    #[error("no space left for {}", .path.display())]
    Full {
        /// The database file.
        path: PathBuf,
    },
    /// SQLite failed otherwise.
    #[error("{} failed", .path.display())]
    Database {
        /// The database file.
        path: PathBuf,
        /// SQLite's reason.
        source: Arc<rusqlite::Error>,
    },
    /// A stored record is not what this program writes.
    #[error("record {key:?} of {space} is unreadable: {reason}")]
    Record {
        /// The space it is in.
        space: &'static str,
        /// The key, as text where it is text.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The writer thread is gone.
    #[error("the storage is closed")]
    Closed,
}

/// A record as it is loaded: key and value.
pub type Record = (Vec<u8>, Vec<u8>);

/// One change of one record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Write {
    /// The space, a constant of the code.
    pub space: &'static str,
    /// The key within the space.
    pub key: Vec<u8>,
    /// The new value; `None` deletes the record.
    pub value: Option<Vec<u8>>,
}

/// What a committed change survives.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Durability {
    /// The end of the process, however sudden.
    #[default]
    ProcessCrash,
    /// A power cut as well, at the price of an fsync a commit.
    PowerLoss,
}

/// A handle on the storage; clones share it.
#[derive(Clone)]
pub struct Storage {
    disk: Option<Arc<Disk>>,
}

struct Disk {
    path: PathBuf,
    connection: Arc<Mutex<Connection>>,
    queue: Mutex<Option<mpsc::Sender<Queued>>>,
    writer: Mutex<Option<thread::JoinHandle<()>>>,
    // Held for the lock on it, which the operating system drops with the process.
    _lock: File,
}

struct Queued {
    writes: Vec<Write>,
    answer: oneshot::Sender<Result<(), StorageError>>,
}

impl Drop for Disk {
    /// Writes what is still queued before the directory is free for another process.
    fn drop(&mut self) {
        *self.queue.lock() = None;
        if let Some(writer) = self.writer.lock().take() {
            // A writer that panicked has already answered everybody with an error.
            let _ = writer.join();
        }
    }
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.disk {
            Some(disk) => write!(f, "Storage({})", disk.path.display()),
            None => f.write_str("Storage(memory)"),
        }
    }
}

impl Storage {
    /// Storage that keeps nothing: commits succeed at once, loads are empty.
    pub fn memory() -> Self {
        Self { disk: None }
    }

    /// Opens or makes the storage in `dir`, which is made (mode 0700) when missing.
    ///
    /// # Errors
    /// When the directory cannot be used, is in use by another process, or was written by a newer version.
    pub fn open(dir: &Path) -> Result<Self, StorageError> {
        Self::open_with(dir, Durability::default())
    }

    /// As [`Storage::open`], choosing what a commit survives.
    ///
    /// # Errors
    /// As [`Storage::open`].
    pub fn open_with(dir: &Path, durability: Durability) -> Result<Self, StorageError> {
        let failed = |path: &Path, source: io::Error| StorageError::Open {
            path: path.to_owned(),
            source: Arc::new(source),
        };
        // The CA key of the local core is in there: nobody else may look.
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|error| failed(dir, error))?;
        let lock_path = dir.join(LOCK);
        let lock = private_file(&lock_path).map_err(|error| failed(&lock_path, error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StorageError::Locked {
                    path: dir.to_owned(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(failed(&lock_path, error)),
        }
        let path = dir.join(DATABASE);
        private_file(&path).map_err(|error| failed(&path, error))?;
        let connection = Connection::open(&path).map_err(|error| database_error(&path, error))?;
        prepare(&connection, &path, durability)?;
        let connection = Arc::new(Mutex::new(connection));
        let (queue, queued) = mpsc::channel();
        let (its_path, its_connection) = (path.clone(), Arc::clone(&connection));
        let writer = thread::Builder::new()
            .name("storage".to_owned())
            .spawn(move || write_queued(&queued, &its_path, &its_connection))
            .map_err(|error| failed(&path, error))?;
        Ok(Self {
            disk: Some(Arc::new(Disk {
                path,
                connection,
                queue: Mutex::new(Some(queue)),
                writer: Mutex::new(Some(writer)),
                _lock: lock,
            })),
        })
    }

    /// Whether commits outlive the process.
    pub fn is_durable(&self) -> bool {
        self.disk.is_some()
    }

    /// Every record of a space, ordered by key.
    ///
    /// # Errors
    /// When SQLite cannot read.
    pub fn load(&self, space: &str) -> Result<Vec<Record>, StorageError> {
        let Some(disk) = &self.disk else {
            return Ok(Vec::new());
        };
        let connection = disk.connection.lock();
        let load = || -> rusqlite::Result<Vec<Record>> {
            let mut statement = connection
                .prepare_cached("SELECT key, value FROM record WHERE space = ?1 ORDER BY key")?;
            let rows = statement.query_map([space], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        };
        load().map_err(|error| database_error(&disk.path, error))
    }

    /// Writes all or nothing, and returns once it is durable. Blocks; see [`Storage::commit_async`].
    ///
    /// # Errors
    /// When SQLite cannot write; then nothing was changed.
    pub fn commit(&self, writes: Vec<Write>) -> Result<(), StorageError> {
        let Some(disk) = &self.disk else {
            return Ok(());
        };
        if writes.is_empty() {
            return Ok(());
        }
        let mut connection = disk.connection.lock();
        apply(&mut connection, writes.iter()).map_err(|error| database_error(&disk.path, error))
    }

    /// Queues the writes to one thread that groups whatever waits into one transaction; the future is
    /// ready once they are durable. Queued writes keep their order; dropping the future does not undo them.
    ///
    /// # Errors
    /// As [`Storage::commit`].
    pub fn commit_async(
        &self,
        writes: Vec<Write>,
    ) -> impl Future<Output = Result<(), StorageError>> + Send + 'static {
        let pending = self.disk.as_ref().map(|disk| {
            let (answer, answered) = oneshot::channel();
            // A send fails only when the thread is gone; then `answered` reports it.
            if let Some(queue) = disk.queue.lock().as_ref() {
                let _ = queue.send(Queued { writes, answer });
            }
            answered
        });
        async move {
            match pending {
                Some(answered) => answered.await.unwrap_or(Err(StorageError::Closed)),
                None => Ok(()),
            }
        }
    }

    /// Makes every later commit run out of room, as a full disk does.
    #[cfg(test)]
    pub(crate) fn fill_up(&self) {
        let disk = self.disk.as_ref().unwrap();
        let connection = disk.connection.lock();
        connection.pragma_update(None, "max_page_count", 1).unwrap();
    }

    /// Deletes every record of the given spaces.
    ///
    /// # Errors
    /// As [`Storage::commit`].
    pub fn clear(&self, spaces: &[&str]) -> Result<(), StorageError> {
        let Some(disk) = &self.disk else {
            return Ok(());
        };
        let mut connection = disk.connection.lock();
        let mut clear = || -> rusqlite::Result<()> {
            let transaction = connection.transaction()?;
            for space in spaces {
                transaction.execute("DELETE FROM record WHERE space = ?1", [space])?;
            }
            transaction.commit()
        };
        clear().map_err(|error| database_error(&disk.path, error))
    }
}

fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

fn prepare(
    connection: &Connection,
    path: &Path,
    durability: Durability,
) -> Result<(), StorageError> {
    let run = |sql: &str| {
        connection
            .execute_batch(sql)
            .map_err(|error| database_error(path, error))
    };
    let found: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(|error| database_error(path, error))?;
    if found != 0 && found != SCHEMA_VERSION {
        return Err(StorageError::Schema {
            path: path.to_owned(),
            found,
        });
    }
    run("PRAGMA journal_mode=WAL; PRAGMA temp_store=MEMORY;")?;
    run(match durability {
        Durability::ProcessCrash => "PRAGMA synchronous=NORMAL;",
        Durability::PowerLoss => "PRAGMA synchronous=FULL;",
    })?;
    if found == 0 {
        run(&format!(
            "BEGIN;
             CREATE TABLE IF NOT EXISTS record (
                 space TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL,
                 PRIMARY KEY (space, key)) WITHOUT ROWID;
             PRAGMA user_version={SCHEMA_VERSION};
             COMMIT;"
        ))?;
    }
    Ok(())
}

fn apply<'a>(
    connection: &mut Connection,
    writes: impl Iterator<Item = &'a Write>,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    {
        let mut put =
            transaction.prepare_cached("INSERT OR REPLACE INTO record VALUES (?1, ?2, ?3)")?;
        let mut delete =
            transaction.prepare_cached("DELETE FROM record WHERE space = ?1 AND key = ?2")?;
        for write in writes {
            match &write.value {
                Some(value) => put.execute(params![write.space, write.key, value])?,
                None => delete.execute(params![write.space, write.key])?,
            };
        }
    }
    transaction.commit()
}

/// The writer thread: ends when the last handle is dropped and the queue is written.
fn write_queued(queue: &mpsc::Receiver<Queued>, path: &Path, connection: &Mutex<Connection>) {
    while let Ok(first) = queue.recv() {
        let mut group = vec![first];
        while group.len() < GROUP_LIMIT {
            match queue.try_recv() {
                Ok(next) => group.push(next),
                Err(_) => break,
            }
        }
        let writes = group.iter().flat_map(|queued| queued.writes.iter());
        let outcome =
            apply(&mut connection.lock(), writes).map_err(|error| database_error(path, error));
        for queued in group {
            // Whoever no longer waits does not need the answer.
            let _ = queued.answer.send(outcome.clone());
        }
    }
}

fn database_error(path: &Path, error: rusqlite::Error) -> StorageError {
    let path = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StorageError::Full { path },
        _ => StorageError::Database {
            path,
            source: Arc::new(error),
        },
    }
}
