//! One archive for a whole batch, tar or zip: appended to in groups, and cut back to what is known to be whole.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
};

use rustix::fs::OFlags;

use super::{Artifact, Layout, Target, Written, zip};
use crate::error::IssuingError;

/// The archive of a batch, open for appending.
#[derive(Debug)]
pub(crate) struct Archive<'a> {
    target: &'a Target,
    file: File,
    length: u64,
}

impl<'a> Archive<'a> {
    /// Makes the archive, which must not exist yet.
    pub(crate) fn create(target: &'a Target) -> Result<Self, IssuingError> {
        let file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&target.path)
            .map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => IssuingError::Exists {
                    path: target.path.clone(),
                },
                _ => write_error(target, error),
            })?;
        Ok(Self {
            target,
            file,
            length: 0,
        })
    }

    /// Opens the archive of an interrupted batch and cuts it back to what is known to be on the disk; `None` if it is not
    /// there.
    pub(crate) fn reopen(
        target: &'a Target,
        batch: u64,
        written: &Written,
    ) -> Result<Option<Self>, IssuingError> {
        let open = File::options()
            .write(true)
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
            .open(&target.path);
        let file = match open {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(write_error(target, error)),
        };
        let failed = |source| write_error(target, source);
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(IssuingError::Exists {
                path: target.path.clone(),
            });
        }
        let found = metadata.len();
        if found < written.archive {
            return Err(IssuingError::TargetCut {
                batch,
                path: target.path.clone(),
                found,
                written: written.archive,
            });
        }
        let mut archive = Self {
            target,
            file,
            length: written.archive,
        };
        archive.cut().map_err(failed)?;
        Ok(Some(archive))
    }

    /// Sees on the disk that it is as long as it is.
    pub(crate) fn sync(&self) -> Result<(), IssuingError> {
        self.file
            .sync_all()
            .map_err(|error| write_error(self.target, error))
    }

    /// Appends members and sees them onto the disk. After an error the archive is as long as it was.
    pub(crate) fn append(&mut self, members: &[u8]) -> Result<Written, IssuingError> {
        let appended = self
            .file
            .write_all(members)
            .and_then(|()| self.file.sync_data());
        if let Err(error) = appended {
            // The error that led here is the one to report; the next run cuts it back as well.
            let _ = self.cut();
            return Err(write_error(self.target, error));
        }
        self.length += members.len() as u64;
        Ok(Written {
            archive: self.length,
        })
    }

    /// Writes what an archive ends with.
    pub(crate) fn finish(mut self) -> Result<(), IssuingError> {
        let mut finish = || match self.target.layout {
            Layout::Zip => {
                let members = BufReader::new(File::open(&self.target.path)?.take(self.length));
                let mut end = BufWriter::new(&mut self.file);
                zip::directory(members, self.length, &mut end)?;
                end.flush()
            }
            _ => self.file.write_all(&[0; 1024]),
        };
        finish()
            .and_then(|()| self.file.sync_all())
            .map_err(|error| write_error(self.target, error))
    }

    fn cut(&mut self) -> io::Result<()> {
        self.file.set_len(self.length)?;
        self.file.seek(SeekFrom::Start(self.length)).map(drop)
    }
}

/// Appends a file of a device to the octets of an archive.
pub(crate) fn member(
    layout: Layout,
    archive: &mut Vec<u8>,
    artifact: &Artifact,
    time: u64,
) -> io::Result<()> {
    if layout == Layout::Zip {
        zip::member(archive, artifact);
        return Ok(());
    }
    let mut header = tar::Header::new_ustar();
    let name = artifact.file.as_bytes();
    match header.as_old_mut().name.get_mut(..name.len()) {
        // A file's name as it is: what begins with a device's name leads nowhere else.
        Some(place) => place.copy_from_slice(name),
        None => header.set_path(&artifact.file)?,
    }
    header.set_size(artifact.contents.len() as u64);
    header.set_mode(if artifact.secret { 0o600 } else { 0o644 });
    header.set_mtime(time);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    archive.extend_from_slice(header.as_bytes());
    archive.extend_from_slice(&artifact.contents);
    let end = archive.len().next_multiple_of(512);
    archive.resize(end, 0);
    Ok(())
}

fn write_error(target: &Target, source: io::Error) -> IssuingError {
    IssuingError::Write {
        path: target.path.clone(),
        source,
    }
}
