//! Documents in which every value knows its line, and CloudFormation templates with their functions worked out.

mod condition;
mod intrinsics;
pub mod json;
mod parameters;
mod stack;
mod tree;
pub mod yaml;

pub use condition::ConditionError;
pub use intrinsics::{Names, Scope, Unknown};
pub use parameters::{Parameters, ParametersError};
pub use stack::{Made, Output, Resource, Stack, StackError};
pub use tree::{Node, Text, Tree};

/// Where a text that is neither JSON nor YAML stops being it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {line}, at {path}: {message}")]
pub struct Unreadable {
    /// What is wrong.
    pub message: String,
    /// JSON path of where, as far as it is known.
    pub path: String,
    /// From 1.
    pub line: usize,
}

/// Reads a document: JSON if it looks like it, otherwise YAML.
///
/// # Errors
/// What [`json::read`] and [`yaml::read`] do not take.
pub fn read(text: &str) -> Result<Node, Unreadable> {
    if is_json(text) {
        return json::read(text).map_err(|error| Unreadable {
            line: json::line_of(&error),
            message: error.fault.to_string(),
            path: error.path,
        });
    }
    yaml::read(text).map_err(|error| Unreadable {
        message: error.message,
        path: "$".to_owned(),
        line: error.line,
    })
}

/// Whether a text looks like JSON.
#[must_use]
pub fn is_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '['])
}
