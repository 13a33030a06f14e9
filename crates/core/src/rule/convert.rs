//! Conversions between types, and equality (AWS IoT developer guide, "Data types", "Operators", "cast()").

use std::borrow::Cow;

use serde_json::Value;

use super::number::Number;
use super::syntax::Type;
use super::version::SqlVersion;

/// A value as text; null is none.
pub(super) fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(Cow::Borrowed(text)),
        other => Some(Cow::Owned(other.to_string())),
    }
}

/// A boolean, or a string that writes one in any case.
pub(super) fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// What an explicit cast makes of a value: as the conversions, and between numbers and booleans.
pub(super) fn cast(value: &Value, target: Type, version: SqlVersion) -> Option<Value> {
    let number = || match value {
        Value::Bool(value) => Number::of(&Value::from(i64::from(*value))),
        other => Number::of(other),
    };
    match target {
        Type::Text => text(value).map(|text| Value::String(text.into_owned())),
        Type::Int => number()?.floor().to_value(version),
        Type::Decimal => {
            let number = number()?;
            match version {
                // "A Decimal with no decimal point" is an Int in JSON; of true is 1.0.
                SqlVersion::V2015_10_08 if value.is_boolean() => {
                    Value::from(number.to_double()?).into()
                }
                _ => number.to_value(version),
            }
        }
        Type::Boolean => match value {
            Value::Number(_) => Some(Value::Bool(!Number::of(value)?.is_zero())),
            other => boolean(other).map(Value::Bool),
        },
    }
}

/// Whether two values are equal: numbers by their value, arrays in order, objects in any.
pub(super) fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => a == b || Number::of(left) == Number::of(right),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(name, a)| b.get(name).is_some_and(|b| equal(a, b)))
        }
        (a, b) => a == b,
    }
}

/// Since 2016 a decimal of the payload without a fraction is an Int.
pub(super) fn whole_numbers_are_ints(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            if let Some(int) = number.as_f64().filter(|number| number.fract() == 0.0)
                && int.abs() < GREATEST_EXACT
            {
                *value = Value::from(int as i64);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers_are_ints),
        Value::Object(members) => members.values_mut().for_each(whole_numbers_are_ints),
        _ => {}
    }
}

/// 2^53: every whole number up to it is one of double precision.
const GREATEST_EXACT: f64 = 9_007_199_254_740_992.0;
