//! The zip file of a function: checked when it comes, unpacked into a folder of its own when it is first called.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Cursor, Read as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use tempfile::TempDir;
use zip::ZipArchive;

use super::CallError;
use crate::account::{ApiError, Function};

/// Most bytes a zip file may hold, unpacked; as on AWS.
const LARGEST: u64 = 262_144_000;

/// Most files in it.
const MOST_FILES: usize = 10_000;

/// Whether a zip file can be run here: it is one, and has a program `bootstrap`.
///
/// # Errors
/// `InvalidParameterValueException` with the reason.
pub(crate) fn check(code: &[u8]) -> Result<(), ApiError> {
    let refuse = |why: &dyn std::fmt::Display| {
        ApiError::new(
            "InvalidParameterValueException",
            format!(
                "Could not unzip uploaded file. Please check your file, then try to upload again: {why}"
            ),
        )
    };
    let mut archive = ZipArchive::new(Cursor::new(code)).map_err(|error| refuse(&error))?;
    if archive.len() > MOST_FILES {
        return Err(refuse(&"it holds too many files"));
    }
    let mut size = 0_u64;
    for index in 0..archive.len() {
        let entry = archive
            .by_index_raw(index)
            .map_err(|error| refuse(&error))?;
        size = size.saturating_add(entry.size());
        if entry.enclosed_name().is_none() {
            return Err(refuse(&format!(
                "{:?} leads out of its folder",
                entry.name()
            )));
        }
    }
    if size > LARGEST {
        return Err(ApiError::new(
            "InvalidParameterValueException",
            format!("Unzipped size must be smaller than {LARGEST} bytes"),
        ));
    }
    match archive.by_name("bootstrap") {
        Ok(entry) if entry.is_file() => Ok(()),
        _ => Err(ApiError::new(
            "InvalidParameterValueException",
            "The zip file has no program named bootstrap at its top, which is what a provided runtime starts",
        )),
    }
}

/// The folder that unpacked functions lie in, for this user only; it goes with the core.
#[derive(Debug, Default)]
pub(super) struct Folder(Mutex<Option<TempDir>>);

impl Folder {
    /// The folder of a function's code, unpacked unless it was already.
    pub(super) fn unpack(&self, function: &Function) -> Result<PathBuf, CallError> {
        let failed = |error: &dyn std::fmt::Display| {
            CallError::Start(format!("its zip file cannot be unpacked: {error}"))
        };
        let mut scratch = self.0.lock();
        if scratch.is_none() {
            let made = tempfile::Builder::new()
                .prefix("iot-local-functions-")
                .tempdir();
            *scratch = Some(made.map_err(|error| failed(&error))?);
        }
        let Some(scratch) = scratch.as_ref() else {
            return Err(failed(&"no folder"));
        };
        let folder = scratch.path().join(&function.revision_id);
        if !folder.is_dir() {
            // Whole or not at all.
            let fresh = tempfile::Builder::new()
                .tempdir_in(scratch.path())
                .map_err(|error| failed(&error))?;
            unpack_into(&function.code, fresh.path()).map_err(|error| failed(&error))?;
            fs::rename(fresh.keep(), &folder).map_err(|error| failed(&error))?;
        }
        Ok(folder)
    }
}

fn unpack_into(code: &[u8], folder: &Path) -> io::Result<()> {
    let mut archive = ZipArchive::new(Cursor::new(code)).map_err(io::Error::other)?;
    let mut left = LARGEST;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(io::Error::other)?;
        let name = entry
            .enclosed_name()
            .ok_or_else(|| io::Error::other("a name in it leads out of its folder"))?;
        let path = folder.join(name);
        if entry.is_dir() {
            fs::create_dir_all(&path)?;
            continue;
        }
        // A link could lead anywhere; AWS's own runtimes need none.
        if !entry.is_file() {
            continue;
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mode = entry.unix_mode().unwrap_or(0o644) & 0o755 | 0o600;
        let mut file: File = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&path)?;
        // What the file says of its size may be a lie.
        let written = io::copy(&mut entry.by_ref().take(left + 1), &mut file)?;
        left = left
            .checked_sub(written)
            .ok_or_else(|| io::Error::other("it is too large"))?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}
