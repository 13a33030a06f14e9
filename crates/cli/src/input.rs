//! Input files, read whole and never more than makes sense.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use jitp_core::failure::Class;

use crate::failure::{Failure, Result};

/// More than any template, request or bundle of roots, and nothing for a machine to hold.
const LARGEST: u64 = 4 * 1024 * 1024;

/// The largest zip file that AWS Lambda takes in a request.
const LARGEST_PACKAGE: u64 = 50 * 1024 * 1024;

/// Reads a file that the caller named; `what` it is meant to be, with its article.
///
/// # Errors
/// When it cannot be read, or is larger than 4 MiB.
pub fn read_file(path: &Path, what: &str) -> Result<Vec<u8>> {
    read_up_to(path, what, LARGEST)
}

/// Reads the zip file of a function.
///
/// # Errors
/// When it cannot be read, or is larger than the 50 MiB that AWS Lambda takes in a request.
pub fn read_package(path: &Path, what: &str) -> Result<Vec<u8>> {
    read_up_to(path, what, LARGEST_PACKAGE)
}

fn read_up_to(path: &Path, what: &str, largest: u64) -> Result<Vec<u8>> {
    let failed = |why: String| {
        let message = format!("cannot read {what} {}: {why}", path.display());
        Failure::new(Class::Configuration, message)
    };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(largest + 1).read_to_end(&mut bytes))
        .map_err(|error| failed(error.to_string()))?;
    if bytes.len() as u64 > largest {
        let bound = largest / (1024 * 1024);
        return Err(failed(format!("it is larger than {bound} MiB")));
    }
    Ok(bytes)
}

/// As [`read_text`]; a path that is `-` stands for stdin.
///
/// # Errors
/// As [`read_text`].
pub fn read_text_or_stdin(path: &Path, what: &str) -> Result<String> {
    match path.as_os_str() == "-" {
        true => read_text(Path::new("/dev/stdin"), what),
        false => read_text(path, what),
    }
}

/// As [`read_file`], for text.
///
/// # Errors
/// As [`read_file`], and when it is no UTF-8.
pub fn read_text(path: &Path, what: &str) -> Result<String> {
    String::from_utf8(read_file(path, what)?).map_err(|_| {
        let message = format!("cannot read {what} {}: it is no text", path.display());
        Failure::new(Class::Configuration, message)
    })
}
