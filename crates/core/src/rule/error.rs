//! What is wrong with a statement, and where.

use std::fmt;

use crate::failure::{Class, Classified};

/// A place in a statement.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Position {
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
}

impl Position {
    /// The place of a byte of a statement.
    pub(super) fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// A statement or a substitution template that AWS IoT would not take.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{position}: {message}")]
pub struct SqlError {
    /// Where.
    pub position: Position,
    /// What, and the way out where there is one.
    pub message: String,
}

impl Classified for SqlError {
    fn class(&self) -> Class {
        Class::Configuration
    }
}

/// Something AWS IoT takes, and that was hardly meant.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SqlWarning {
    /// Where.
    pub position: Position,
    /// What it leads to.
    pub message: String,
}

impl fmt::Display for SqlWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.position, self.message)
    }
}
