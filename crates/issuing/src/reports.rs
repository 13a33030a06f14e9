//! What a batch leaves for others: a manifest for whoever enrols the devices, and a report for the line's CI.

use std::{
    fmt::Display,
    fs::{self, File},
    io::{self, BufWriter, Seek, Write},
    path::{Path, PathBuf},
};

use serde::Serialize;
use tempfile::NamedTempFile;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{IssuingError, Order};

/// A file that is written aside, and takes its place when it is whole.
#[derive(Debug)]
struct Aside {
    path: PathBuf,
    out: BufWriter<NamedTempFile>,
}

impl Aside {
    fn create(path: &Path) -> Result<Self, IssuingError> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let create = || {
            if fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
                return Err(io::Error::other("something that is no file has its name"));
            }
            tempfile::Builder::new()
                .prefix(".report.")
                .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
                .tempfile_in(folder)
        };
        let file = create().map_err(|source| IssuingError::Write {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            out: BufWriter::new(file),
        })
    }

    fn write(
        &mut self,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), IssuingError> {
        write(&mut self.out).map_err(|source| IssuingError::Write {
            path: self.path.clone(),
            source,
        })
    }

    fn publish(self) -> Result<(), IssuingError> {
        let path = self.path;
        let publish = || {
            let file = self
                .out
                .into_inner()
                .map_err(io::IntoInnerError::into_error)?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            Ok(())
        };
        publish().map_err(|source: io::Error| IssuingError::Write {
            path: path.clone(),
            source,
        })
    }
}

/// A row of the manifest.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    device: &'a str,
    certificate_id: &'a str,
    not_after: &'a str,
    files: Vec<String>,
}

/// The devices of a batch with the certificate ids that AWS IoT will show: CSV, or one JSON object a line.
#[derive(Debug)]
pub struct Manifest {
    aside: Aside,
    csv: bool,
    not_after: String,
}

impl Manifest {
    /// Begins a manifest; a name that ends with `.csv` makes it CSV.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(path: &Path, not_after: OffsetDateTime) -> Result<Self, IssuingError> {
        let mut aside = Aside::create(path)?;
        let csv = path.extension().is_some_and(|extension| extension == "csv");
        if csv {
            aside.write(|out| out.write_all(b"device,certificate_id,not_after,files\n"))?;
        }
        Ok(Self {
            aside,
            csv,
            not_after: not_after.format(&Rfc3339).unwrap_or_default(),
        })
    }

    /// Adds a device.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add(&mut self, order: &Order<'_>) -> Result<(), IssuingError> {
        let row = Row {
            device: order.device,
            certificate_id: order.certificate.as_str(),
            not_after: &self.not_after,
            files: order
                .files
                .iter()
                .map(|file| file.display().to_string())
                .collect(),
        };
        let csv = self.csv;
        self.aside.write(|out| {
            if csv {
                let mut writer = csv::WriterBuilder::new()
                    .has_headers(false)
                    .from_writer(out);
                let files = row.files.join(" ");
                writer.write_record([row.device, row.certificate_id, row.not_after, &files])?;
                return writer.flush();
            }
            serde_json::to_writer(&mut *out, &row)?;
            out.write_all(b"\n")
        })
    }

    /// Gives it its name, in place of an older one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn publish(self) -> Result<(), IssuingError> {
        self.aside.publish()
    }
}

/// A batch as a suite of tests in JUnit's XML, a case a device.
#[derive(Debug)]
pub struct Junit {
    path: PathBuf,
    cases: BufWriter<File>,
    tests: u64,
    failures: u64,
}

impl Junit {
    /// Begins a report.
    ///
    /// # Errors
    /// When there is no room for what goes into it.
    pub fn create(path: &Path) -> Result<Self, IssuingError> {
        let cases = tempfile::tempfile().map_err(|source| IssuingError::Write {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            cases: BufWriter::new(cases),
            tests: 0,
            failures: 0,
        })
    }

    /// A device that has its certificate.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add(&mut self, order: &Order<'_>) -> Result<(), IssuingError> {
        self.tests += 1;
        let case = format!(
            "  <testcase classname=\"provision\" name=\"{}\"/>\n",
            escaped(order.device)
        );
        self.write(&case)
    }

    /// Something that went wrong: a bad row, or the batch itself.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add_failure(&mut self, name: &str, why: impl Display) -> Result<(), IssuingError> {
        self.tests += 1;
        self.failures += 1;
        let case = format!(
            "  <testcase classname=\"provision\" name=\"{}\"><failure message=\"{}\"/></testcase>\n",
            escaped(name),
            escaped(&why.to_string())
        );
        self.write(&case)
    }

    /// Writes the whole report, in place of an older one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn publish(mut self) -> Result<(), IssuingError> {
        let mut aside = Aside::create(&self.path)?;
        let head = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <testsuite name=\"provision\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"0\">\n",
            self.tests, self.failures
        );
        aside.write(|out| {
            out.write_all(head.as_bytes())?;
            self.cases.flush()?;
            let mut cases = self
                .cases
                .into_inner()
                .map_err(io::IntoInnerError::into_error)?;
            cases.rewind()?;
            io::copy(&mut cases, &mut *out)?;
            out.write_all(b"</testsuite>\n")
        })?;
        aside.publish()
    }

    fn write(&mut self, case: &str) -> Result<(), IssuingError> {
        self.cases
            .write_all(case.as_bytes())
            .map_err(|source| IssuingError::Write {
                path: self.path.clone(),
                source,
            })
    }
}

/// As an attribute's value (XML 1.0, 2.4); what XML cannot hold at all becomes a replacement character.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\r' | '\t' => escaped.push(' '),
            control if control.is_control() => escaped.push(char::REPLACEMENT_CHARACTER),
            other => escaped.push(other),
        }
    }
    escaped
}
