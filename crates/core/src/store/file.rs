//! Files that are read without following links, and appear whole or not at all.

use std::{
    fs::{self, File, FileType, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags};
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use super::{LooseMode, StoreError, error::SYMBOLIC_LINK};

/// What a file held; wiped when dropped, since it may be a key.
pub(super) type Contents = Zeroizing<Vec<u8>>;

/// For the owner only.
pub(super) const SECRET: u32 = 0o600;
/// For everyone to read, as far as the umask allows.
pub(super) const PUBLIC: u32 = 0o644;

/// No key or chain of certificates comes near it.
const LARGEST: u64 = 1 << 20;

/// Reads a file; `None` if there is none.
pub(super) fn read(path: &Path) -> Result<Option<Contents>, StoreError> {
    if !exists(path)? {
        return Ok(None);
    }
    let failed = |source| StoreError::Read {
        path: path.to_owned(),
        source,
    };
    // What was a file a moment ago may be a link or a pipe by now: neither is followed or waited for.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| failed(e.into()))?;
    let file = File::from(file);
    let metadata = file.metadata().map_err(failed)?;
    check_type(path, metadata.file_type())?;
    if metadata.len() > LARGEST {
        return Err(StoreError::TooLarge {
            path: path.to_owned(),
            size: metadata.len(),
        });
    }
    // Room for all of it at once: a buffer that grows leaves copies of the key behind.
    let mut contents = Zeroizing::new(Vec::with_capacity(LARGEST.min(metadata.len() + 1) as usize));
    file.take(LARGEST)
        .read_to_end(&mut contents)
        .map_err(failed)?;
    Ok(Some(contents))
}

/// Whether there is a file of this name.
///
/// # Errors
/// When there is something else: a link, even one that leads nowhere, a folder, a pipe.
pub(super) fn exists(path: &Path) -> Result<bool, StoreError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => check_type(path, metadata.file_type()).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(StoreError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

/// A warning if the file is there and open to others than its owner.
pub(super) fn loose_mode(path: PathBuf) -> Option<LooseMode> {
    let mode = fs::symlink_metadata(&path).ok()?.permissions().mode() & 0o7777;
    (mode & 0o077 != 0).then_some(LooseMode { path, mode })
}

/// Writes the contents to a temporary file beside `target` and sees them onto the disk. Dropping it removes it.
///
/// Its name is hidden, says whose it was if a crash leaves it behind, and ends like the target's: whatever keeps `*.key`
/// out of a repository or a backup keeps it out too.
pub(super) fn stage(
    dir: &Path,
    target: &Path,
    contents: &[u8],
    mode: u32,
) -> Result<NamedTempFile, StoreError> {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let extension = target.extension().unwrap_or_default().to_string_lossy();
    let write = || {
        let mut file = tempfile::Builder::new()
            .prefix(&format!(".{name}."))
            .suffix(&format!(".{extension}"))
            .permissions(Permissions::from_mode(mode))
            .tempfile_in(dir)?;
        file.write_all(contents)?;
        file.as_file().sync_all()?;
        Ok(file)
    };
    write().map_err(|source| StoreError::Write {
        path: target.to_owned(),
        source,
    })
}

/// Files that have their final name; dropping this takes them away again, unless they are to be kept.
#[derive(Default)]
pub(super) struct Published(Vec<PathBuf>);

impl Published {
    /// Gives a staged file its name, if nothing has that name. A link or a folder is something too.
    pub(super) fn add(&mut self, staged: NamedTempFile, target: &Path) -> Result<(), StoreError> {
        match staged.persist_noclobber(target) {
            Ok(_) => {
                self.0.push(target.to_owned());
                Ok(())
            }
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                exists(target)?;
                Err(StoreError::AlreadyExists {
                    path: target.to_owned(),
                })
            }
            Err(error) => Err(StoreError::Write {
                path: target.to_owned(),
                source: error.error,
            }),
        }
    }

    /// Leaves the files where they are.
    pub(super) fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        for path in &self.0 {
            // The error that led here is the one to report.
            let _ = fs::remove_file(path);
        }
    }
}

/// Sees the names of new files onto the disk.
pub(super) fn sync_directory(dir: &Path) -> Result<(), StoreError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|source| StoreError::Write {
            path: dir.to_owned(),
            source,
        })
}

fn check_type(path: &Path, file_type: FileType) -> Result<(), StoreError> {
    let what = if file_type.is_file() {
        return Ok(());
    } else if file_type.is_symlink() {
        SYMBOLIC_LINK
    } else if file_type.is_dir() {
        "a folder"
    } else if file_type.is_fifo() {
        "a pipe"
    } else if file_type.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    Err(StoreError::NotAFile {
        path: path.to_owned(),
        what,
    })
}
