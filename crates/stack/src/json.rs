//! JSON into a tree with lines.

use jitp_core::template::json::{self, JsonError, JsonFault};
use jsonc_parser::ast::{ObjectPropName, Value};
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use serde_json::Number;

use crate::tree::{Node, Text, Tree};

/// Reads one JSON value, 100 levels deep at most.
///
/// # Errors
/// What is wrong with the text; [`line_of`] says where.
pub fn read(text: &str) -> Result<Node, JsonError> {
    // The one that is strict; the other reads JSON with comments too, and knows where everything is.
    json::read(text, DEEPEST)?;
    let lines = Lines::of(text);
    let parsed = parse_to_ast(text, &CollectOptions::default(), &ParseOptions::default());
    let value = parsed.ok().and_then(|parsed| parsed.value);
    let value = value.ok_or_else(|| JsonError {
        path: "$".to_owned(),
        fault: JsonFault::Syntax {
            message: "no value".to_owned(),
            line: 1,
            column: 1,
        },
    })?;
    Ok(node(&value, &lines))
}

/// Line of a fault, as far as it is known.
pub fn line_of(error: &JsonError) -> usize {
    match error.fault {
        JsonFault::Syntax { line, .. } => line.max(1),
        _ => 1,
    }
}

fn node(value: &Value<'_>, lines: &Lines) -> Node {
    let tree = match value {
        Value::NullKeyword(_) => Tree::Null,
        Value::BooleanLit(literal) => Tree::Bool(literal.value),
        Value::NumberLit(literal) => match literal.value.parse::<Number>() {
            Ok(number) => Tree::Number(number),
            Err(_) => Tree::Null,
        },
        Value::StringLit(literal) => Tree::Text(Text {
            text: literal.value.to_string(),
            keeps_lines: false,
            stands_in: false,
        }),
        Value::Array(array) => {
            let elements = array.elements.iter();
            Tree::List(elements.map(|element| node(element, lines)).collect())
        }
        Value::Object(object) => {
            let members = object.properties.iter().map(|member| {
                let key = match &member.name {
                    ObjectPropName::String(name) => name.value.to_string(),
                    ObjectPropName::Word(name) => name.value.to_owned(),
                };
                (key, node(&member.value, lines))
            });
            Tree::Object(members.collect())
        }
    };
    Node {
        value: tree,
        line: lines.line(value.start()),
    }
}

/// Where the lines of a text begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        let breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        Self(std::iter::once(0).chain(breaks).collect())
    }

    /// Line of the byte at `offset`, from 1.
    fn line(&self, offset: usize) -> usize {
        self.0.partition_point(|start| *start <= offset)
    }
}

const DEEPEST: usize = 100;
