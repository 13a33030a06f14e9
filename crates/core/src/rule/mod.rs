//! Rule SQL: the statement of a topic rule, read and checked; no sockets, no state.
//!
//! [`RuleSql::parse`] judges a statement as AWS IoT does when a rule is made, and says where it is wrong;
//! [`RuleSql::substitution`] does the same for the `${…}` in a rule's actions. What AWS IoT takes although it was
//! hardly meant is in [`RuleSql::warnings`], for a lint (AWS IoT developer guide, "AWS IoT SQL reference").
//!
//! ```
//! use jitp_core::rule::{RuleSql, SqlVersion};
//!
//! let rule = RuleSql::parse("SELECT temperature AS t FROM 'sensors/+' WHERE temperature > 50", SqlVersion::V2016_03_23)?;
//! assert_eq!(rule.topic_filter(), Some("sensors/+"));
//!
//! let error = RuleSql::parse("SELECT * FORM 'loadtest'", SqlVersion::default()).unwrap_err();
//! assert_eq!(error.to_string(), "line 1, column 10: expected `,`, FROM or WHERE, found `FORM`");
//! # Ok::<(), jitp_core::rule::SqlError>(())
//! ```
//!
//! [`RuleSql::on`] puts a message under the statement and evaluates it, without asking anybody but the given
//! [`Surroundings`].

mod call;
#[cfg(test)]
mod conformance;
mod convert;
mod error;
mod evaluate;
mod filter;
mod function;
mod moment;
mod number;
mod parse;
mod pattern;
mod substitution;
mod syntax;
#[cfg(test)]
mod tests;
mod token;
mod version;

pub use error::{Position, SqlError, SqlWarning};
pub use evaluate::{Evaluation, EvaluationError, Message, Properties, Surroundings};
pub use substitution::Substitution;
pub use version::{SqlVersion, UnknownVersion};

use syntax::{Expression, Selection};

/// A statement that AWS IoT takes.
#[derive(Clone, Debug)]
pub struct RuleSql {
    version: SqlVersion,
    variables: Vec<(String, Expression)>,
    selection: Selection,
    topic_filter: Option<String>,
    condition: Option<Expression>,
    warnings: Vec<SqlWarning>,
}

impl RuleSql {
    /// Reads a statement.
    ///
    /// # Errors
    /// Where AWS IoT answers SqlParseException, with the place.
    pub fn parse(text: &str, version: SqlVersion) -> Result<Self, SqlError> {
        let statement = parse::statement(text, version)?;
        Ok(Self {
            version,
            variables: statement.variables,
            selection: statement.selection,
            topic_filter: statement.topic_filter,
            condition: statement.condition,
            warnings: statement.warnings,
        })
    }

    /// The topics whose messages the rule sees; none for a rule that only basic ingest reaches.
    #[must_use]
    pub fn topic_filter(&self) -> Option<&str> {
        self.topic_filter.as_deref()
    }

    /// The version of the language the statement is in.
    #[must_use]
    pub fn version(&self) -> SqlVersion {
        self.version
    }

    /// What was hardly meant, such as a function with the wrong number of arguments.
    #[must_use]
    pub fn warnings(&self) -> &[SqlWarning] {
        &self.warnings
    }

    /// Reads a member of an action that may contain `${expression}`.
    ///
    /// # Errors
    /// When an expression is none, or has no closing bracket; the position counts from the beginning of `text`.
    pub fn substitution(&self, text: &str) -> Result<Substitution, SqlError> {
        let variables: Vec<String> = self
            .variables
            .iter()
            .map(|(name, _)| name.clone())
            .collect();
        Substitution::parse(text, self.version, &variables)
    }
}
