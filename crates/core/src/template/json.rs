//! JSON as people write it: every fault names the place, keys cannot repeat, depth has a limit.
//!
//! `serde_json::Value` keeps the last of two equal keys without a word, which in a template or a policy silently drops
//! a statement, and its errors know a line but not a path. Both matter more here than speed.

use std::{cell::RefCell, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// A fault in a JSON text, and where it is.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{path}: {fault}")]
pub struct JsonError {
    /// JSON path of the nearest value that could be named, for example `$.Resources.thing`.
    pub path: String,
    /// What is wrong there.
    pub fault: JsonFault,
}

/// What can be wrong with a JSON text before anybody looks at its meaning.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonFault {
    /// It is not JSON.
    #[error("not JSON: {message}, line {line} column {column}")]
    Syntax {
        /// The parser's own words.
        message: String,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// A key occurs twice in one object.
    #[error("the key `{key}` occurs twice in one object; remove one of the two")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// Objects and arrays are nested deeper than anything that has a meaning.
    #[error("nested deeper than {limit} levels; nothing that AWS IoT reads is")]
    TooDeep {
        /// Number of levels that are allowed.
        limit: usize,
    },
}

/// Reads one JSON value, at most `limit` levels deep (the top level counts as one, and more than 100 are never
/// allowed).
///
/// # Errors
/// The first fault, with the path of the value that has it.
pub fn read(text: &str, limit: usize) -> Result<Value, JsonError> {
    // serde_json itself gives up at 128 levels; ours must come first to be the one that is reported.
    let limit = limit.min(100);
    let first = RefCell::new(None);
    let seed = Reader {
        place: Place::Top,
        depth: 0,
        limit,
        first: &first,
    };
    let mut source = serde_json::Deserializer::from_str(text);
    let outcome = seed
        .deserialize(&mut source)
        .and_then(|value| source.end().map(|()| value));
    outcome.map_err(|error| match first.into_inner() {
        Some(JsonError {
            path,
            fault: JsonFault::Syntax { .. },
        }) => JsonError {
            path,
            fault: syntax(&error),
        },
        Some(found) => found,
        None => JsonError {
            path: "$".to_owned(),
            fault: syntax(&error),
        },
    })
}

/// Appends a key to a path: `.key` where the key reads well that way, otherwise `['key']`.
#[must_use]
pub fn child(path: &str, key: &str) -> String {
    let plain = key.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && key
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-');
    if plain {
        format!("{path}.{key}")
    } else {
        format!("{path}['{}']", key.escape_debug())
    }
}

/// Appends an array index to a path.
#[must_use]
pub fn element(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}

/// What a value is, in the words of an error message.
#[must_use]
pub fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn syntax(error: &serde_json::Error) -> JsonFault {
    let whole = error.to_string();
    let message = whole.split(" at line ").next().unwrap_or(&whole).to_owned();
    JsonFault::Syntax {
        message,
        line: error.line(),
        column: error.column(),
    }
}

/// Where the reader is; a list on the stack, so that nothing is allocated until something is wrong.
#[derive(Clone, Copy)]
enum Place<'a> {
    Top,
    Key(&'a Place<'a>, &'a str),
    Index(&'a Place<'a>, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Top => out.write_str("$"),
            Place::Key(above, key) => out.write_str(&child(&above.to_string(), key)),
            Place::Index(above, index) => out.write_str(&element(&above.to_string(), *index)),
        }
    }
}

struct Reader<'a> {
    place: Place<'a>,
    depth: usize,
    limit: usize,
    first: &'a RefCell<Option<JsonError>>,
}

impl Reader<'_> {
    fn record(&self, place: &Place<'_>, fault: impl FnOnce() -> JsonFault) {
        let mut first = self.first.borrow_mut();
        if first.is_none() {
            *first = Some(JsonError {
                path: place.to_string(),
                fault: fault(),
            });
        }
    }

    fn descend<E: serde::de::Error>(&self) -> Result<usize, E> {
        if self.depth < self.limit {
            return Ok(self.depth + 1);
        }
        self.record(&self.place, || JsonFault::TooDeep { limit: self.limit });
        Err(E::custom("too deep"))
    }
}

/// Marks the place of a syntax error; its text is filled in at the top, where line and column are known.
fn unknown_syntax() -> JsonFault {
    JsonFault::Syntax {
        message: String::new(),
        line: 0,
        column: 0,
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Value, D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let depth = self.descend()?;
        let mut list = Vec::new();
        loop {
            let place = Place::Index(&self.place, list.len());
            let seed = Reader {
                place,
                depth,
                limit: self.limit,
                first: self.first,
            };
            match items.next_element_seed(seed) {
                Ok(Some(item)) => list.push(item),
                Ok(None) => return Ok(Value::Array(list)),
                Err(error) => {
                    self.record(&place, unknown_syntax);
                    return Err(error);
                }
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let depth = self.descend()?;
        let mut object = Map::new();
        loop {
            let key = members
                .next_key::<String>()
                .inspect_err(|_| self.record(&self.place, unknown_syntax))?;
            let Some(key) = key else {
                return Ok(Value::Object(object));
            };
            let place = Place::Key(&self.place, &key);
            if object.contains_key(&key) {
                self.record(&self.place, || JsonFault::DuplicateKey { key: key.clone() });
                return Err(A::Error::custom("duplicate key"));
            }
            let seed = Reader {
                place,
                depth,
                limit: self.limit,
                first: self.first,
            };
            let value = members
                .next_value_seed(seed)
                .inspect_err(|_| self.record(&place, unknown_syntax))?;
            object.insert(key, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_serde_json_reads() {
        let text = r#" {"a": [1, -2, 2.5, true, null, "x\u0000y"], "b": {"c": {}}, "ü": 18446744073709551615} "#;
        assert_eq!(
            read(text, 10).unwrap(),
            serde_json::from_str::<Value>(text).unwrap()
        );
    }

    #[test]
    fn a_repeated_key_is_named_with_the_path_of_its_object() {
        let error = read(
            r#"{"Resources": {"thing": {"Type": "x", "Type": "y"}}}"#,
            10,
        )
        .unwrap_err();
        assert_eq!(error.path, "$.Resources.thing");
        assert_eq!(
            error.fault,
            JsonFault::DuplicateKey {
                key: "Type".to_owned()
            }
        );
    }

    #[test]
    fn broken_json_is_placed_by_path_line_and_column() {
        let error = read("{\n \"a\": [true, {\"b:c\": tru}]}", 10).unwrap_err();
        assert_eq!(error.path, "$.a[1]['b:c']");
        assert!(error.to_string().contains("line 2 column"), "{error}");
    }

    #[test]
    fn a_million_brackets_are_refused_without_a_stack_overflow() {
        for opening in ["[", "{\"a\":"] {
            let error = read(&opening.repeat(1_000_000), 1000).unwrap_err();
            assert_eq!(error.fault, JsonFault::TooDeep { limit: 100 });
        }
    }

    #[test]
    fn text_after_the_value_and_no_value_at_all_are_refused() {
        for text in ["{} {}", "", "   ", "{", "\u{feff}{}", "nul", "{\"a\":1,}"] {
            assert!(
                matches!(read(text, 10).unwrap_err().fault, JsonFault::Syntax { .. }),
                "{text:?}"
            );
        }
    }
}
