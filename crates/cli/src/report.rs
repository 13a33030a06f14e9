//! The answer on stdout: tab-separated lines, or one JSON object a line.

use std::io::{self, ErrorKind, Stdout, Write};

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
    /// Whether it is no failure when the reader goes away.
    may_be_closed: bool,
    closed: bool,
    out: Stdout,
}

impl Reporter {
    pub(crate) fn new(format: OutputFormat) -> Self {
        Self {
            format,
            may_be_closed: false,
            closed: false,
            out: io::stdout(),
        }
    }

    pub(crate) fn listing(format: OutputFormat) -> Self {
        Self {
            may_be_closed: true,
            ..Self::new(format)
        }
    }

    /// Writes one line and hands it to the reader at once.
    ///
    /// # Errors
    /// When stdout cannot be written: the failure says what the line was.
    pub fn line(&mut self, report: &impl Report) -> Result<()> {
        self.write(report)
            .map_err(|error| Failure::unwritten(&error, &[self.text(report)]))
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
        self.hand_over(&format!("{document:#}\n"))
            .map_err(|error| Failure::unwritten(&error, &[]))
    }

    /// Whether the reader of a listing has gone: nothing that is written now is read.
    pub fn reader_is_gone(&self) -> bool {
        self.closed
    }

    /// As [`Reporter::line`], for a caller that tells of the failure itself.
    pub(crate) fn write(&mut self, report: &impl Report) -> io::Result<()> {
        let line = self.text(report) + "\n";
        self.hand_over(&line)
    }

    /// A line without its end.
    pub(crate) fn text(&self, report: &impl Report) -> String {
        match self.format {
            OutputFormat::Text => report.columns().join("\t"),
            // A report is a struct or a map with names for keys, which has a JSON form.
            OutputFormat::Json => serde_json::to_string(report).unwrap_or_default(),
        }
    }

    fn hand_over(&mut self, text: &str) -> io::Result<()> {
        if self.closed {
            return Ok(());
        }
        let written = self.out.write_all(text.as_bytes());
        match written.and_then(|()| self.out.flush()) {
            Err(error) if self.may_be_closed && error.kind() == ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            other => other,
        }
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
