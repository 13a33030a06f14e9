//! How a program ends when it could not do what was asked.

use std::fmt::Display;
use std::io;

use jitp_core::failure::{Class, Classified};
use serde_json::json;

use crate::exit::Exit;

/// Shorthand for what programs return.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// A failure as the caller sees it: message, way out, exit code.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    code: String,
    message: String,
    hint: Option<String>,
    retryable: bool,
    request_id: Option<String>,
}

impl Failure {
    /// A failure of this class with a message: lower case, naming the thing, no full stop.
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Self {
            exit: class.into(),
            code: class.code().to_owned(),
            message: message.into(),
            hint: None,
            retryable: class == Class::Temporary,
            request_id: None,
        }
    }

    /// The command line makes no sense in a way clap cannot see.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Class::Usage, message)
    }

    /// Ended by a signal.
    pub(crate) fn interrupted(exit: Exit) -> Self {
        Self {
            exit,
            code: "Interrupted".to_owned(),
            retryable: true,
            ..Self::new(Class::Unexpected, "interrupted")
        }
    }

    /// Adds the way out.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says in front of the message what was being done, or what had been done before it failed.
    #[must_use]
    pub fn context(mut self, context: impl Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// What went wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The two lines a person reads.
    pub(crate) fn text(&self, program: &str) -> String {
        match &self.hint {
            Some(hint) => format!("{program}: {}\nhint: {hint}", self.message),
            None => format!("{program}: {}", self.message),
        }
    }

    /// The one line a script reads in JSON mode.
    pub(crate) fn json(&self) -> String {
        json!({"error": self.details()}).to_string()
    }

    /// Everything a script may want to know.
    pub(crate) fn details(&self) -> serde_json::Value {
        json!({
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "retryable": self.retryable,
            "requestId": self.request_id,
        })
    }

    /// The same, as the end of a batch of which something was done.
    #[must_use]
    pub fn partial(self) -> Self {
        Self {
            exit: Exit::Partial,
            ..self
        }
    }
}

impl<E: Classified> From<E> for Failure {
    fn from(error: E) -> Self {
        let class = error.class();
        Self {
            exit: class.into(),
            code: error.code(),
            message: chain(&error),
            hint: error.hint(),
            retryable: class == Class::Temporary,
            request_id: error.request_id(),
        }
    }
}

impl Failure {
    /// The answer could not be written. What it was is said here, where it may still be read.
    pub(crate) fn unwritten(error: &io::Error, lines: &[String]) -> Self {
        let failure = Self::io("cannot write the answer to stdout", error);
        match lines {
            [] => failure,
            lines => failure.hint(format!("not written: {}", lines.join("; "))),
        }
    }

    /// A failure of the machine's own input or output.
    pub fn io(what: &str, error: &io::Error) -> Self {
        Self::new(Class::Unexpected, format!("{what}: {error}"))
    }
}

/// The error and its causes, in one line. A cause that the line already says is not said twice.
fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        source = cause.source();
    }
    line
}
