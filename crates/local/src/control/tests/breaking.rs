//! Values that break the rules of their shapes.

use serde_json::{Value, json};

use super::samples::{HOSTILE, fitting, text_of};
use crate::model::{Shape, ShapeKind, Table, check};

/// Values that break one rule of a shape each, and which. In a path, a query or a form everything is a text, and
/// none breaks a rule by its type.
pub(super) fn broken(
    table: &Table,
    shape: &Shape,
    is_typed: bool,
    depth: u8,
) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    let mut add = |what: &str, value: Value| found.push((what.to_owned(), value));
    match &shape.kind {
        ShapeKind::Structure { members, .. } => {
            if is_typed {
                add("a text, not an object", json!("text"));
                add("a list, not an object", json!([]));
            }
            if depth < 4 {
                let whole = fitting(table, shape, depth);
                for member in members {
                    let mut replaced = |what: String, value: Option<Value>| {
                        let mut object = whole.as_object().cloned().unwrap_or_default();
                        match value {
                            Some(value) => object.insert(member.wire_name.clone(), value),
                            None => object.remove(&member.wire_name),
                        };
                        found.push((format!(".{} {what}", member.name), Value::Object(object)));
                    };
                    if member.required {
                        replaced("missing".to_owned(), None);
                    }
                    for (what, value) in
                        broken(table, table.shape(member.shape), is_typed, depth + 1)
                    {
                        replaced(what, Some(value));
                    }
                }
            }
        }
        ShapeKind::List(member) => {
            if is_typed {
                add("a text, not a list", json!("text"));
                add("an object, not a list", json!({}));
            }
            let member = table.shape(*member);
            if let Some(max) = shape.max.filter(|max| *max < 2000.0) {
                let item = fitting(table, member, depth + 1);
                add("too many", Value::Array(vec![item; max as usize + 1]));
            }
            if shape.min.is_some_and(|min| min >= 1.0) && is_typed {
                add("too few", json!([]));
            }
            if depth < 4 {
                for (what, value) in broken(table, member, is_typed, depth + 1) {
                    found.push((format!("[] {what}"), json!([value])));
                }
            }
        }
        ShapeKind::Map { key, value } => {
            if is_typed {
                add("a text, not a map", json!("text"));
                add("a list, not a map", json!([1]));
            }
            let name = text_of(&fitting(table, table.shape(*key), depth + 1));
            for (what, bad) in broken(table, table.shape(*key), is_typed, depth + 1) {
                if let Value::String(bad) = bad {
                    let item = fitting(table, table.shape(*value), depth + 1);
                    found.push((format!("{{}} key {what}"), json!({ bad: item })));
                }
            }
            for (what, bad) in broken(table, table.shape(*value), is_typed, depth + 1) {
                found.push((format!("{{}} value {what}"), json!({ name.clone(): bad })));
            }
        }
        ShapeKind::String => {
            if is_typed {
                for (what, value) in [
                    ("a number, not a text", json!(7)),
                    ("true, not a text", json!(true)),
                    ("an object, not a text", json!({ "a": 1 })),
                    ("a list, not a text", json!(["a"])),
                ] {
                    add(what, value);
                }
            }
            // No body is longer than a megabyte.
            if let Some(max) = shape.max.filter(|max| *max < 500_000.0) {
                add("too long", json!("a".repeat(max as usize + 1)));
            }
            if shape.min.is_some_and(|min| min >= 1.0) {
                add("empty", json!(""));
            }
            for text in HOSTILE.iter().chain(&["", "nothing of the kind"]) {
                if check(table, shape, &json!(text), "sample").is_err() {
                    add(&format!("= {text:?}"), json!(text));
                }
            }
        }
        ShapeKind::Integer | ShapeKind::Long => {
            for value in [
                json!("many"),
                json!("1e9"),
                json!(""),
                json!("0x10"),
                json!(1.5),
            ] {
                add(&format!("= {value}"), value);
            }
            if is_typed {
                add("a list, not a number", json!([1]));
                add("true, not a number", json!(true));
                add("too large to be a number", json!(1e300));
            }
            if matches!(shape.kind, ShapeKind::Integer) {
                add("more than 32 bits", json!(1_i64 << 40));
            }
            let below = shape.min.map(|min| min - 1.0);
            let above = shape.max.map(|max| max + 1.0);
            for bound in below.into_iter().chain(above) {
                add("out of range", json!(bound as i64));
            }
        }
        ShapeKind::Double => add("a text, not a number", json!("many")),
        ShapeKind::Boolean => {
            add("= perhaps", json!("perhaps"));
            if is_typed {
                add("a number, not true or false", json!(1));
            }
        }
        ShapeKind::Timestamp => add("a list, not a time", json!([1])),
        ShapeKind::Blob => add("a list, not base64", json!([1])),
    }
    found
}
