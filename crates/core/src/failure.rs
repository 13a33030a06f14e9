//! What kind of failure an error is: the one thing scripts and retry loops need to know of it.
//!
//! Every error type of the libraries says its [`Class`] through [`Classified`]; the programs turn
//! the class into an exit code in one place.

use std::{error::Error, fmt};

/// The kinds of failure a caller treats differently.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Class {
    /// Nobody expected this.
    Unexpected,
    /// An argument that cannot be.
    Usage,
    /// Configuration, credentials or an input file are missing or invalid.
    Configuration,
    /// A thing, certificate, CA or policy does not exist.
    NotFound,
    /// Something exists with other content, or is in the wrong state.
    Conflict,
    /// The service or a policy refused.
    Refused,
    /// Throttled, timed out or unreachable; the same call may work later.
    Temporary,
    /// The device was not accepted in time.
    NotAccepted,
    /// A check failed.
    CheckFailed,
    /// Some items of a batch are done and some are not.
    Partial,
}

impl Class {
    /// Name used as the `code` of an error that brings no code of its own, spelled as AWS spells exceptions.
    pub fn code(self) -> &'static str {
        match self {
            Self::Unexpected => "Unexpected",
            Self::Usage => "Usage",
            Self::Configuration => "Configuration",
            Self::NotFound => "NotFound",
            Self::Conflict => "Conflict",
            Self::Refused => "Refused",
            Self::Temporary => "Temporary",
            Self::NotAccepted => "NotAccepted",
            Self::CheckFailed => "CheckFailed",
            Self::Partial => "Partial",
        }
    }
}

/// An error that knows its class and, where there is one, the way out.
pub trait Classified: Error {
    /// The kind of failure.
    fn class(&self) -> Class;

    /// A stable code: the AWS exception name, or the class's own.
    fn code(&self) -> String {
        self.class().code().to_owned()
    }

    /// What to do about it, in one line without a full stop.
    fn hint(&self) -> Option<String> {
        None
    }

    /// The AWS request id, for errors that came from the service.
    fn request_id(&self) -> Option<String> {
        None
    }
}

/// An error of whoever was asked, behind a pointer: with its class, its way out and its chain, and no type of its own.
#[derive(Debug)]
pub struct AnyError(Box<dyn Classified + Send + Sync>);

impl AnyError {
    /// Wraps an error.
    pub fn new(error: impl Classified + Send + Sync + 'static) -> Self {
        Self(Box::new(error))
    }
}

impl fmt::Display for AnyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for AnyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

impl Classified for AnyError {
    fn class(&self) -> Class {
        self.0.class()
    }

    fn code(&self) -> String {
        self.0.code()
    }

    fn hint(&self) -> Option<String> {
        self.0.hint()
    }

    fn request_id(&self) -> Option<String> {
        self.0.request_id()
    }
}
