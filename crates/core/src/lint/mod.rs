//! Lint: what is wrong, or probably not meant, in templates and policy documents, before anything is sent.

mod policy;
mod template;

use std::fmt;

pub use policy::lint_policy;
pub use template::{TemplateLint, TemplateUse, lint_template};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Severity {
    /// AWS refuses it, or no device gets through.
    Error,
    /// Allowed, and probably not meant.
    Warning,
    /// Something to know, such as what must exist beforehand.
    Note,
}

impl Severity {
    /// In a word, for tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Something found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What kind of finding it is, a stable word for other programs, for example `policy-effect`.
    pub rule: &'static str,
    /// JSON path of the value, for example `$.Resources.thing.Properties.ThingName`.
    pub path: String,
    /// What is wrong there, and the way out.
    pub message: String,
}

impl Finding {
    fn new(
        severity: Severity,
        rule: &'static str,
        path: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            severity,
            rule,
            path: path.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.severity, self.path, self.message)
    }
}
