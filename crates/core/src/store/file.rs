//! Files that are looked at and read without following links.

use std::{
    fs::{self, File, FileType},
    io::{self, Read},
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags};
use zeroize::Zeroizing;

use super::{LooseMode, StoreError, error::SYMBOLIC_LINK};

/// What a file held; wiped when dropped, since it may be a key.
pub(super) type Contents = Zeroizing<Vec<u8>>;

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
    let metadata = fs::symlink_metadata(&path).ok()?;
    let mode = metadata.permissions().mode() & 0o7777;
    // The mode of a link, a pipe or a folder says nothing about a key; whoever loads it hears what it is.
    (metadata.is_file() && mode & 0o077 != 0).then_some(LooseMode { path, mode })
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
