//! Judges answers by the service model: what a strict client would find wrong with them.

use serde_json::Value;

use super::Got;
use crate::model::{Location, Operation, ShapeKind, Table, check};

/// Any operation may answer with these, although no model lists them (AWS General Reference, "Common errors";
/// of SQS: SQS API reference, "Common errors"; of CloudWatch by their names in JSON; the last three are what the local core says beyond AWS).
const COMMON: [&str; 13] = [
    "InternalFailureException",
    "ServiceUnavailableException",
    "ThrottlingException",
    "Throttling",
    "ValidationError",
    "InvalidAction",
    "InvalidParameterCombinationException",
    "InvalidParameterValueException",
    "MissingRequiredParameterException",
    "UnknownOperationException",
    "NotImplementedException",
    "RequestEntityTooLargeException",
    "RequestTimeoutException",
];

/// What is wrong with this answer to this operation.
pub(super) fn findings(table: &Table, operation: &Operation, got: &Got) -> Vec<String> {
    let mut found = Vec::new();
    if got.status < 300 {
        if got.status != operation.status {
            found.push(format!("status {}, not {}", got.status, operation.status));
        }
        match operation.output.as_deref() {
            None if !got.body.is_null() => found.push("a body where none is modelled".to_owned()),
            None => {}
            Some(name) => {
                let shape = table.shapes().iter().position(|shape| shape.name == name);
                let shape = shape.unwrap();
                // A body that is one member is the function's, and nothing modelled.
                let is_raw = matches!(
                    &table.shape(shape).kind,
                    ShapeKind::Structure {
                        payload: Some(_),
                        ..
                    }
                );
                if !is_raw {
                    walk(table, shape, &got.body, "answer", &mut found);
                }
            }
        }
        return found;
    }
    let declared = operation.declares(&got.error);
    if !declared && !COMMON.contains(&got.error.as_str()) {
        found.push(format!("{} is not declared", got.error));
    }
    // The model of SQS names no status: all its exceptions are 400.
    if declared && table.error_status(&got.error).unwrap_or(400) != got.status {
        found.push(format!("{} with status {}", got.error, got.status));
    }
    let message = got.body.get("message").or(got.body.get("Message"));
    if message.and_then(Value::as_str).is_none_or(str::is_empty) {
        found.push("an error without message".to_owned());
    }
    if let Some(shape) = table
        .shapes()
        .iter()
        .position(|shape| shape.name == got.error)
    {
        // The protocols add the type and a sentence, also to those that are modelled without.
        let mut members = got.body.clone();
        if let Some(members) = members
            .as_object_mut()
            .filter(|all| all.contains_key("__type"))
        {
            members.remove("__type");
            members.remove("message");
        }
        walk(table, shape, &members, "error", &mut found);
    }
    found
}

fn walk(table: &Table, shape: usize, value: &Value, path: &str, found: &mut Vec<String>) {
    let shape = table.shape(shape);
    match (&shape.kind, value) {
        (_, Value::Null) => {}
        (ShapeKind::Structure { members, .. }, Value::Object(object)) => {
            for (name, inner) in object {
                let member = members.iter().find(|member| member.wire_name == *name);
                match member {
                    Some(member) if member.location == Location::Body => {
                        walk(table, member.shape, inner, &format!("{path}.{name}"), found);
                    }
                    _ => found.push(format!("{path}: {name} is no member of {}", shape.name)),
                }
            }
            for member in members.iter().filter(|member| member.required) {
                if object.get(&member.wire_name).is_none_or(Value::is_null) {
                    found.push(format!("{path}: {} is missing", member.wire_name));
                }
            }
        }
        (ShapeKind::List(member), Value::Array(list)) => {
            for (index, inner) in list.iter().enumerate() {
                walk(table, *member, inner, &format!("{path}[{index}]"), found);
            }
        }
        (ShapeKind::Map { key, value: inner }, Value::Object(object)) => {
            for (name, value) in object {
                let name_value = Value::from(name.as_str());
                walk(
                    table,
                    *key,
                    &name_value,
                    &format!("{path}, key {name}"),
                    found,
                );
                walk(table, *inner, value, &format!("{path}.{name}"), found);
            }
        }
        // Seconds since 1970, to the year 9999; milliseconds of today are beyond that.
        (ShapeKind::Timestamp, value) => {
            if !value
                .as_f64()
                .is_some_and(|time| (0.0..2.6e11).contains(&time))
            {
                found.push(format!("{path}: {value} is not in seconds since 1970"));
            }
        }
        _ => found.extend(check(table, shape, value, path).err()),
    }
}
