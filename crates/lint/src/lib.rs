//! Finds what is wrong in IoT policies, templates and rules: in files of their own, and where they stand inside
//! CloudFormation templates and what Terraform prints.
//!
//! What is judged, and how, is `jitp_core::lint`; this crate finds the documents and says on which line a finding is.

mod cloudformation;
mod document;
mod files;
mod kind;
mod made_up;
mod rule;
mod sarif;
mod terraform;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jitp_core::lint::Severity;
use jitp_stack::Node;

pub use files::files;
pub use kind::{Kind, UnknownKind};
pub use sarif::sarif;

/// How documents are looked at.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// What the document is; told by its content if not given.
    pub kind: Option<Kind>,
    /// Values of CloudFormation parameters, by name.
    pub parameters: BTreeMap<String, String>,
}

/// Something found, and where.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Located {
    /// How bad it is.
    pub severity: Severity,
    /// What kind of finding it is, a stable word for other programs, for example `policy-effect`.
    pub rule: &'static str,
    /// Line of the document, from 1.
    pub line: usize,
    /// Where inside the document: a JSON path; behind `in the string:` that inside a text which is itself a document.
    pub path: String,
    /// What is wrong there, and the way out.
    pub message: String,
}

impl Located {
    /// A document whose text only a deployment will know.
    fn unknown(node: &Node, place: &str) -> Self {
        Self {
            severity: Severity::Note,
            rule: "unknown",
            line: node.line,
            path: place.to_owned(),
            message: "known only when it is deployed, and not looked at; --set gives a CloudFormation parameter its value, \
                      `terraform show -json` of the state has what was applied"
                .to_owned(),
        }
    }
}

/// Why a document was not looked at.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LintError {
    /// Nothing in it tells what it is.
    #[error(
        "this is neither a policy, a template, a topic rule, CloudFormation nor Terraform's JSON"
    )]
    NotRecognized,
}

/// Everything found in a document, in the order of its lines; the same as often as it is asked.
///
/// # Errors
/// [`LintError::NotRecognized`], unless the settings say what it is. What cannot be read is a finding.
pub fn lint(text: &str, settings: &Settings) -> Result<Vec<Located>, LintError> {
    let mut found = kind::lint(text, settings)?;
    found.sort_by(|one, other| {
        (one.line, one.severity, &one.path, &one.message).cmp(&(
            other.line,
            other.severity,
            &other.path,
            &other.message,
        ))
    });
    found.dedup();
    Ok(found)
}
