//! Files in folders: made and never overwritten, synced in groups, and looked at again after an interruption.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;
use zeroize::Zeroizing;

use super::{Artifact, Layout, Target};
use crate::error::IssuingError;

/// The folder of a batch, for whoever writes files into it.
#[derive(Debug)]
pub(crate) struct Folder<'a> {
    target: &'a Target,
    root: File,
}

/// What is found in place of a file that was to be written.
#[derive(Debug)]
pub(crate) enum Condition {
    /// Nothing.
    Absent,
    /// A file with this in it.
    File(Zeroizing<Vec<u8>>),
    /// Something else.
    Other,
}

impl<'a> Folder<'a> {
    /// Opens the folder, and makes it and its shards if `create`.
    pub(crate) fn open(target: &'a Target, create: bool) -> Result<Option<Self>, IssuingError> {
        let failed = |path: &Path, source| IssuingError::Write {
            path: path.to_owned(),
            source,
        };
        let path = &target.path;
        if create {
            make(path)?;
            if target.layout == Layout::Sharded {
                for shard in 0..=255u8 {
                    make(&path.join(hex::encode([shard])))?;
                }
            }
        }
        // Of a pipe, an ordinary open would wait until somebody writes to it.
        let directory = OFlags::DIRECTORY.bits().cast_signed();
        let root = File::options()
            .read(true)
            .custom_flags(directory)
            .open(path);
        match root {
            Ok(root) => Ok(Some(Self { target, root })),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                Err(IssuingError::Exists { path: path.clone() })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && !create => Ok(None),
            Err(source) => Err(failed(path, source)),
        }
    }

    /// Writes the files of one device: all of them, or none is left behind.
    pub(crate) fn write(&self, device: &str, artifacts: &[Artifact]) -> Result<(), IssuingError> {
        let mut made: Vec<PathBuf> = Vec::with_capacity(artifacts.len());
        for artifact in artifacts {
            let path = self.path(device, &artifact.file);
            let place = self.target.place(device, &artifact.file);
            match create(&self.root, &place, artifact) {
                Ok(()) => made.push(path),
                Err(error) => {
                    if error.kind() != io::ErrorKind::AlreadyExists {
                        // It was made, and could not be filled.
                        made.push(path.clone());
                    }
                    for path in made {
                        // The error that led here is the one to report.
                        let _ = fs::remove_file(path);
                    }
                    return Err(match error.kind() {
                        io::ErrorKind::AlreadyExists => IssuingError::Exists { path },
                        _ => IssuingError::Write {
                            path,
                            source: error,
                        },
                    });
                }
            }
        }
        Ok(())
    }

    /// Sees everything that was written so far onto the disk, names included.
    pub(crate) fn sync(&self) -> Result<(), IssuingError> {
        rustix::fs::syncfs(&self.root).map_err(|error| IssuingError::Write {
            path: self.target.path.clone(),
            source: error.into(),
        })
    }

    /// Where a file of a device lies.
    pub(crate) fn path(&self, device: &str, file: &str) -> PathBuf {
        self.target.path.join(self.target.place(device, file))
    }

    /// What has the name of a file.
    pub(crate) fn look(&self, device: &str, file: &str) -> Result<Condition, IssuingError> {
        let path = self.path(device, file);
        let failed = |source| IssuingError::Write {
            path: path.clone(),
            source,
        };
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Condition::Absent),
            Err(error) => return Err(failed(error)),
            Ok(metadata) if !metadata.is_file() => return Ok(Condition::Other),
            Ok(_) => {}
        }
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = File::options()
            .read(true)
            .custom_flags(flags.bits().cast_signed())
            .open(&path)
            .map_err(failed)?;
        let mut contents = Zeroizing::new(Vec::with_capacity(LARGEST));
        file.take(LARGEST as u64)
            .read_to_end(&mut contents)
            .map_err(failed)?;
        Ok(Condition::File(contents))
    }

    /// Takes a file away that is not whole.
    pub(crate) fn remove(&self, device: &str, file: &str) -> Result<(), IssuingError> {
        let path = self.path(device, file);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(IssuingError::Write {
                path,
                source: error,
            }),
            _ => Ok(()),
        }
    }
}

/// No file of a device comes near it.
const LARGEST: usize = 64 * 1024;

fn make(path: &Path) -> Result<(), IssuingError> {
    match fs::create_dir_all(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(IssuingError::Exists {
            path: path.to_owned(),
        }),
        Err(source) => Err(IssuingError::Write {
            path: path.to_owned(),
            source,
        }),
    }
}

/// A new file; what has the name already, be it a link that leads nowhere, stays as it is.
fn create(root: &File, place: &Path, artifact: &Artifact) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mode = if artifact.secret { 0o600 } else { 0o644 };
    let file = rustix::fs::openat(root, place, flags, mode.into())?;
    File::from(file).write_all(&artifact.contents)
}
