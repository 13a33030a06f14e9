//! The answer on stdout: tab-separated lines, or one JSON object a line.

use std::io::{self, BufWriter, Stdout, Write};

use clap::ValueEnum;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::failure::{Failure, Result};

/// How the answer is written on stdout.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum OutputFormat {
    /// Tab-separated lines
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

/// One line of a program's answer.
///
/// The JSON form is the type's own serialization (camelCase, as in the AWS API); fields are only
/// ever added. The text form is its columns.
pub trait Report: Serialize {
    /// The columns of the tab-separated line.
    fn columns(&self) -> Vec<String>;
}

/// Writes the answer in the format asked for.
#[derive(Debug)]
pub struct Reporter {
    format: OutputFormat,
    out: BufWriter<Stdout>,
}

impl Reporter {
    pub(crate) fn new(format: OutputFormat) -> Self {
        Self {
            format,
            out: BufWriter::new(io::stdout()),
        }
    }

    /// Writes one line and hands it to the reader at once.
    ///
    /// # Errors
    /// When stdout cannot be written, for example because the reader of a pipe is gone.
    pub fn line(&mut self, report: &impl Report) -> Result<()> {
        self.write(report)
            .map_err(|error| Failure::io("cannot write the answer to stdout", &error))
    }

    /// Writes everything about one item: as text a line for each member that has a value, named as in the JSON form.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn members(&mut self, item: &impl Serialize) -> Result<()> {
        let members = serde_json::to_value(item).unwrap_or_default();
        if self.format == OutputFormat::Json {
            return self.line(&Member("", &members));
        }
        for (name, value) in members.as_object().into_iter().flatten() {
            if !value.is_null() {
                self.line(&Member(name, value))?;
            }
        }
        Ok(())
    }

    /// Writes one JSON document as a whole, over several lines, whichever format was asked for.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn document(&mut self, document: &Value) -> Result<()> {
        writeln!(self.out, "{document:#}")
            .and_then(|()| self.out.flush())
            .map_err(|error| Failure::io("cannot write the answer to stdout", &error))
    }

    /// As [`Reporter::line`], but leaves the I/O error to a caller that treats a closed pipe as
    /// an ordinary end.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn write(&mut self, report: &impl Report) -> io::Result<()> {
        match self.format {
            OutputFormat::Text => writeln!(self.out, "{}", report.columns().join("\t"))?,
            OutputFormat::Json => {
                serde_json::to_writer(&mut self.out, report)?;
                self.out.write_all(b"\n")?;
            }
        }
        self.out.flush()
    }
}

/// A member of an item, by its name.
struct Member<'a>(&'a str, &'a Value);

impl Serialize for Member<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.1.serialize(serializer)
    }
}

impl Report for Member<'_> {
    fn columns(&self) -> Vec<String> {
        let value = match self.1.as_str() {
            Some(text) => text.replace(['\t', '\n', '\r'], " "),
            None => self.1.to_string(),
        };
        vec![self.0.to_owned(), value]
    }
}
