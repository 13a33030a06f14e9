//! What a batch is made from: a number, a list or signing requests, and what of them is bad.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use jitp_cli::{Failure, Report, Result, read_file};
use jitp_core::ca::DeviceRequest;
use jitp_core::certificate::CertificateId;
use jitp_core::failure::Class;
use jitp_issuing::{BadRow, DeviceList, Named, Numbered, Source};
use serde::Serialize;
use serde_json::json;

use crate::certificate_flags::CertificateFlags;
use crate::many::ManyFlags;

/// What a batch is made from.
pub(super) struct Wanted {
    pub(super) source: Box<dyn Source>,
    /// What tells it from others.
    pub(super) request: serde_json::Value,
    pub(super) total: u64,
    pub(super) bad: Vec<Bad>,
}

/// What is left out of a batch.
#[derive(Serialize)]
pub(super) struct Bad {
    /// Line or file.
    pub(super) place: String,
    outcome: &'static str,
    pub(super) why: String,
}

impl Report for Bad {
    fn columns(&self) -> Vec<String> {
        vec![
            self.place.clone(),
            self.outcome.to_owned(),
            self.why.clone(),
        ]
    }
}

impl From<BadRow> for Bad {
    fn from(row: BadRow) -> Self {
        let column = row
            .column
            .map(|column| format!("column {column}: "))
            .unwrap_or_default();
        Self {
            place: format!("line {}", row.line),
            outcome: "skipped",
            why: format!("{column}{}", row.why),
        }
    }
}

/// What the flags ask for.
pub(super) fn wanted(flags: &ManyFlags, certificate: &CertificateFlags) -> Result<Wanted> {
    if let (Some(count), Some(prefix)) = (flags.count, &flags.prefix) {
        let source = Numbered::new(prefix, flags.start, count, certificate.attributes())?;
        return Ok(Wanted {
            source: Box::new(source),
            request: json!({"prefix": prefix, "start": flags.start, "count": count}),
            total: count,
            bad: Vec::new(),
        });
    }
    if let Some(path) = &flags.from {
        let bytes = read_list(path)?;
        let (list, bad) = DeviceList::read(bytes, certificate.attributes()).map_err(|error| {
            Failure::from(error).context(format!("cannot use {}", path.display()))
        })?;
        if list.is_empty() && bad.is_empty() {
            let message = format!("{} names no device", path.display());
            return Err(Failure::new(Class::Configuration, message));
        }
        let digest = CertificateId::of(list.bytes());
        return Ok(Wanted {
            total: list.len(),
            request: json!({"list": digest.as_str()}),
            source: Box::new(list),
            bad: bad.into_iter().map(Bad::from).collect(),
        });
    }
    requests(&flags.csr)
}

/// A list may have a line for every device of a large factory.
const LARGEST_LIST: u64 = 1 << 30;

fn read_list(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = match path.as_os_str() == "-" {
        true => std::io::stdin()
            .lock()
            .take(LARGEST_LIST + 1)
            .read_to_end(&mut bytes),
        false => fs::File::open(path)
            .and_then(|file| file.take(LARGEST_LIST + 1).read_to_end(&mut bytes)),
    };
    let failed = |why: String| {
        Failure::new(
            Class::Configuration,
            format!("cannot read the list {}: {why}", path.display()),
        )
    };
    read.map_err(|error| failed(error.to_string()))?;
    match bytes.len() as u64 > LARGEST_LIST {
        true => Err(failed("it is larger than 1 GiB".to_owned())),
        false => Ok(bytes),
    }
}

/// The signing requests of files and folders.
fn requests(paths: &[PathBuf]) -> Result<Wanted> {
    let mut files = Vec::new();
    for path in paths {
        match path.is_dir() {
            true => files.extend(requests_in(path)?),
            false => files.push(path.clone()),
        }
    }
    let mut names = HashMap::new();
    let (mut requests, mut bad) = (Vec::new(), Vec::new());
    for file in files {
        let read = || -> Result<DeviceRequest> {
            let request = DeviceRequest::read(&read_file(&file, "the signing request")?)?;
            let name = request.thing_name().to_string();
            if let Some(other) = names.insert(name.clone(), file.clone()) {
                let message = format!("{name} is in {} already", other.display());
                return Err(Failure::new(Class::Configuration, message));
            }
            Ok(request)
        };
        match { read }() {
            Ok(request) => requests.push(request),
            Err(failure) => bad.push(Bad {
                place: file.display().to_string(),
                outcome: "skipped",
                why: failure.message().to_owned(),
            }),
        }
    }
    let keys: Vec<_> = requests
        .iter()
        .map(|request| {
            json!([
                request.thing_name().as_str(),
                CertificateId::of(request.public_key_info()).as_str()
            ])
        })
        .collect();
    Ok(Wanted {
        total: requests.len() as u64,
        request: json!({"requests": keys}),
        source: Box::new(Named::requests(requests)),
        bad,
    })
}

/// The files of a folder that are named like signing requests, in the order of their names.
fn requests_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error: std::io::Error| {
        Failure::new(
            Class::Configuration,
            format!("cannot read the folder {}: {error}", folder.display()),
        )
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let named = |ending: &str| {
            path.extension()
                .is_some_and(|extension| extension == ending)
        };
        if ["csr", "req", "p10"].into_iter().any(named) {
            files.push(path);
        }
    }
    files.sort();
    match files.is_empty() {
        true => Err(Failure::new(
            Class::Configuration,
            format!(
                "there is no signing request in {} (*.csr, *.req, *.p10)",
                folder.display()
            ),
        )),
        false => Ok(files),
    }
}
