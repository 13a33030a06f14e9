//! Judging values against their shapes, in the words AWS uses.

use serde_json::Value;

use super::table::{Location, Shape, ShapeKind, Table};

/// Longest value repeated in a message, in characters.
const SHOWN: usize = 128;

/// Why an input is refused.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Violation {
    path: String,
    shown: Option<String>,
    constraint: String,
}

impl Violation {
    pub(super) fn new(path: &str, value: Option<&Value>, constraint: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            shown: value.map(shown),
            constraint: constraint.into(),
        }
    }

    /// The sentence of the exception.
    pub(super) fn message(&self) -> String {
        let Self {
            path, constraint, ..
        } = self;
        let value = match &self.shown {
            Some(value) => format!("Value '{value}'"),
            None => "Value null".to_owned(),
        };
        format!(
            "1 validation error detected: {value} at '{path}' failed to satisfy constraint: {constraint}"
        )
    }
}

fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.chars().count() <= SHOWN {
        return text;
    }
    let start: String = text.chars().take(SHOWN).collect();
    format!("{start}…")
}

/// Checks one value. Members a structure does not know are left alone, as AWS leaves them.
pub(super) fn check(
    table: &Table,
    shape: &Shape,
    value: &Value,
    path: &str,
) -> Result<(), Violation> {
    let wrong = |what: &str| Violation::new(path, Some(value), format!("Member must be {what}"));
    match &shape.kind {
        ShapeKind::Structure { members, .. } => {
            let object = value.as_object().ok_or_else(|| wrong("an object"))?;
            for member in members {
                if member.location != Location::Body {
                    continue;
                }
                let path = format!("{path}.{}", member.name);
                match object.get(&member.wire_name) {
                    None | Some(Value::Null) if member.required => {
                        return Err(Violation::new(&path, None, "Member must not be null"));
                    }
                    None | Some(Value::Null) => {}
                    Some(inner) => check(table, table.shape(member.shape), inner, &path)?,
                }
            }
        }
        ShapeKind::List(member) => {
            let list = value.as_array().ok_or_else(|| wrong("a list"))?;
            check_count(shape, list.len(), path, value)?;
            for (index, inner) in list.iter().enumerate() {
                let path = format!("{path}.{}.member", index + 1);
                check(table, table.shape(*member), inner, &path)?;
            }
        }
        ShapeKind::Map {
            key,
            value: value_shape,
        } => {
            let object = value.as_object().ok_or_else(|| wrong("a map"))?;
            check_count(shape, object.len(), path, value)?;
            for (name, inner) in object {
                let name_value = Value::String(name.clone());
                check(
                    table,
                    table.shape(*key),
                    &name_value,
                    &format!("{path}.key"),
                )?;
                if !inner.is_null() {
                    let path = format!("{path}.{name}.member");
                    check(table, table.shape(*value_shape), inner, &path)?;
                }
            }
        }
        ShapeKind::String => {
            let text = value.as_str().ok_or_else(|| wrong("a string"))?;
            check_text(shape, text, path, value)?;
        }
        ShapeKind::Integer | ShapeKind::Long => {
            let number = value.as_i64().ok_or_else(|| wrong("a whole number"))?;
            if matches!(shape.kind, ShapeKind::Integer) && i32::try_from(number).is_err() {
                return Err(wrong("a whole number of 32 bits"));
            }
            check_range(shape, number as f64, path, value)?;
        }
        ShapeKind::Double => {
            let number = value.as_f64().ok_or_else(|| wrong("a number"))?;
            check_range(shape, number, path, value)?;
        }
        ShapeKind::Boolean if !value.is_boolean() => return Err(wrong("true or false")),
        ShapeKind::Timestamp if !value.is_number() && !value.is_string() => {
            return Err(wrong("a timestamp"));
        }
        ShapeKind::Blob if !value.is_string() => return Err(wrong("base64 text")),
        ShapeKind::Boolean | ShapeKind::Timestamp | ShapeKind::Blob => {}
    }
    Ok(())
}

fn check_text(shape: &Shape, text: &str, path: &str, value: &Value) -> Result<(), Violation> {
    let broken = |constraint: String| Err(Violation::new(path, Some(value), constraint));
    let length = text.chars().count() as f64;
    if let Some(max) = shape.max
        && length > max
    {
        return broken(format!(
            "Member must have length less than or equal to {max}"
        ));
    }
    if let Some(min) = shape.min
        && length < min
    {
        return broken(format!(
            "Member must have length greater than or equal to {min}"
        ));
    }
    if let Some(pattern) = shape.pattern()
        && !pattern.matches(text)
    {
        return broken(format!(
            "Member must satisfy regular expression pattern: {}",
            pattern.text()
        ));
    }
    if !shape.allowed.is_empty() && !shape.allowed.iter().any(|allowed| allowed == text) {
        return broken(format!(
            "Member must satisfy enum value set: [{}]",
            shape.allowed.join(", ")
        ));
    }
    Ok(())
}

fn check_count(shape: &Shape, count: usize, path: &str, value: &Value) -> Result<(), Violation> {
    let count = count as f64;
    let broken = |constraint: String| Err(Violation::new(path, Some(value), constraint));
    match (shape.min, shape.max) {
        (_, Some(max)) if count > max => broken(format!(
            "Member must have length less than or equal to {max}"
        )),
        (Some(min), _) if count < min => broken(format!(
            "Member must have length greater than or equal to {min}"
        )),
        _ => Ok(()),
    }
}

fn check_range(shape: &Shape, number: f64, path: &str, value: &Value) -> Result<(), Violation> {
    let broken = |constraint: String| Err(Violation::new(path, Some(value), constraint));
    match (shape.min, shape.max) {
        (_, Some(max)) if number > max => broken(format!(
            "Member must have value less than or equal to {max}"
        )),
        (Some(min), _) if number < min => broken(format!(
            "Member must have value greater than or equal to {min}"
        )),
        _ => Ok(()),
    }
}
