//! Topic rules: the statement, and the `${…}` in the actions.

use jitp_core::lint::Severity;
use jitp_core::rule::{Position, RuleSql, SqlVersion};
use jitp_core::template::json::{child, element};
use jitp_stack::{Node, Tree};

use crate::Located;

/// Everything found in a statement that stands in a file of its own.
pub(crate) fn lint_sql(text: &str) -> Vec<Located> {
    let mut found = Vec::new();
    judge(text, NEWEST, "$", |position| position.line, &mut found);
    found
}

/// Everything found in a rule that stands at `place`, its members named as in the AWS API (`sql`), in CloudFormation
/// (`Sql`) or in Terraform (`sql_version`).
pub(crate) fn lint(rule: &Node, place: &str) -> Vec<Located> {
    let mut found = Vec::new();
    let member = |names: &[&'static str]| {
        names
            .iter()
            .find_map(|name| Some((child(place, name), rule.member(name)?)))
    };
    let version = match member(&["awsIotSqlVersion", "AwsIotSqlVersion", "sql_version"]) {
        None => SqlVersion::default(),
        Some((path, node)) => match node.as_str().unwrap_or_default().parse::<SqlVersion>() {
            Ok(version) => version,
            Err(error) => {
                found.push(Located {
                    severity: Severity::Error,
                    rule: "rule-sql-version",
                    line: node.line,
                    path,
                    message: error.to_string(),
                });
                NEWEST
            }
        },
    };
    let Some((path, node)) = member(&["sql", "Sql"]) else {
        found.push(Located {
            severity: Severity::Error,
            rule: "rule-sql",
            line: rule.line,
            path: place.to_owned(),
            message: "a topic rule has a statement: `sql`".to_owned(),
        });
        return found;
    };
    if node.stands_in() {
        found.push(Located::unknown(node, &path));
        return found;
    }
    let Tree::Text(text) = &node.value else {
        found.push(Located {
            severity: Severity::Error,
            rule: "rule-sql",
            line: node.line,
            path,
            message: "the statement is a text".to_owned(),
        });
        return found;
    };
    let line_of = |position: Position| match text.keeps_lines {
        true => node.line + position.line - 1,
        false => node.line,
    };
    if let Some(statement) = judge(&text.text, version, &path, line_of, &mut found) {
        for (key, value) in rule.members().filter(|(_, value)| value.as_str().is_none()) {
            substitutions(&statement, value, &child(place, key), &mut found);
        }
    }
    found
}

/// Reads a statement that stands at `path`; `line_of` says on which line of the document a position of it is.
fn judge(
    text: &str,
    version: SqlVersion,
    path: &str,
    line_of: impl Fn(Position) -> usize,
    found: &mut Vec<Located>,
) -> Option<RuleSql> {
    let statement = RuleSql::parse(text, version);
    let (warnings, error) = match &statement {
        Ok(statement) => (statement.warnings(), None),
        Err(error) => ([].as_slice(), Some(error)),
    };
    let warnings = warnings.iter().map(|warning| {
        (
            Severity::Warning,
            "rule-sql-meaning",
            warning.position,
            warning.to_string(),
        )
    });
    let errors = error.map(|error| {
        (
            Severity::Error,
            "rule-sql",
            error.position,
            error.to_string(),
        )
    });
    for (severity, rule, position, message) in warnings.chain(errors) {
        found.push(Located {
            severity,
            rule,
            line: line_of(position),
            path: path.to_owned(),
            message,
        });
    }
    statement.ok()
}

/// The expressions in the texts of an action.
fn substitutions(statement: &RuleSql, node: &Node, path: &str, found: &mut Vec<Located>) {
    match &node.value {
        Tree::Text(text) => {
            if let Err(error) = statement.substitution(&text.text) {
                found.push(Located {
                    severity: Severity::Error,
                    rule: "rule-substitution",
                    line: node.line,
                    path: path.to_owned(),
                    message: error.to_string(),
                });
            }
        }
        Tree::List(list) => {
            for (index, item) in list.iter().enumerate() {
                substitutions(statement, item, &element(path, index), found);
            }
        }
        Tree::Object(members) => {
            for (key, member) in members {
                substitutions(statement, member, &child(path, key), found);
            }
        }
        Tree::Null | Tree::Bool(_) | Tree::Number(_) => {}
    }
}

/// What a statement is read as whose version is not told.
const NEWEST: SqlVersion = SqlVersion::V2016_03_23;
