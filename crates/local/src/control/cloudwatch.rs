//! CloudWatch in each of the protocols that its clients speak: CBOR (SDKs of today), JSON (some of them), and forms
//! with XML (those of yesterday). In here all are brought to JSON, and answers from it.

use std::io::Cursor;

use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ciborium::Value as Cbor;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::query::{escaped, xml};
use super::target::{self, Targeted};
use super::{Answer, ControlSettings, answer};
use crate::account::ApiError;
use crate::diary::Entry;
use crate::model::{self, Form, Operation, Service, ShapeKind, Table};

/// How the JSON protocol names its operations.
pub(super) const TARGETED: Targeted = Targeted {
    service: Service::CloudWatch,
    name: "CloudWatch",
    prefix: "GraniteServiceVersion20100801.",
    namespace: "com.amazonaws.cloudwatch",
    query_code,
};
/// How the CBOR protocol does (smithy.protocols#rpcv2Cbor).
const PATH: &str = "/service/GraniteServiceVersion20100801/operation/";
const PROTOCOL: (HeaderName, HeaderValue) = (
    HeaderName::from_static("smithy-protocol"),
    HeaderValue::from_static("rpc-v2-cbor"),
);
const CBOR: &str = "application/cbor";
const NAMESPACE: &str = "http://monitoring.amazonaws.com/doc/2010-08-01/";
/// CBOR's tag of a moment in seconds since 1970 (RFC 8949, section 3.4.2).
const EPOCH: u64 = 1;

/// What the model calls an error, and what the older protocol does.
const QUERY_CODES: [(&str, &str); 4] = [
    (
        "InvalidParameterCombinationException",
        "InvalidParameterCombination",
    ),
    ("InvalidParameterValueException", "InvalidParameterValue"),
    ("MissingRequiredParameterException", "MissingParameter"),
    ("ThrottlingException", "Throttling"),
];

fn query_code(code: &str) -> &str {
    let known = QUERY_CODES.iter().find(|(json, _)| *json == code);
    known.map_or(code, |(_, query)| query)
}

/// How a request speaks, and is answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Wire {
    Cbor,
    Json,
    Form,
}

/// An operation that is asked for.
pub(super) struct Asked {
    pub(super) operation: &'static Operation,
    pub(super) wire: Wire,
}

/// Whether an unsigned request is for CloudWatch.
pub(super) fn is_meant(parts: &Parts) -> bool {
    parts.uri.path().starts_with(PATH) || target::names(&TARGETED, parts)
}

pub(super) fn wire(parts: &Parts) -> Wire {
    let is_cbor = parts
        .headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind == CBOR);
    if parts.uri.path().starts_with("/service/") || is_cbor {
        Wire::Cbor
    } else if super::query::is_form(parts) {
        Wire::Form
    } else {
        Wire::Json
    }
}

/// The operation that a request means.
pub(super) fn find(parts: &Parts, body: &Bytes) -> Result<Asked, ApiError> {
    let wire = wire(parts);
    let form;
    let name = match wire {
        Wire::Cbor => parts.uri.path().strip_prefix(PATH).unwrap_or_default(),
        Wire::Json => target::operation(&TARGETED, parts)?,
        Wire::Form => {
            form = Form::read(body);
            form.action()
        }
    };
    let operation = model::table(Service::CloudWatch).operation(name);
    let operation = operation.ok_or_else(|| target::unknown(&TARGETED, name))?;
    Ok(Asked { operation, wire })
}

/// The members of a request as JSON.
pub(super) fn members(asked: &Asked, body: &Bytes) -> Result<Bytes, ApiError> {
    let value = match asked.wire {
        Wire::Json => return Ok(body.clone()),
        Wire::Form => Form::read(body).members(model::table(Service::CloudWatch), asked.operation),
        Wire::Cbor if body.is_empty() => Value::Object(Map::new()),
        Wire::Cbor => {
            let wrong = |why: &str| {
                let message = format!("The body of the request is not valid CBOR: {why}");
                ApiError::new("SerializationException", message)
            };
            let read: Result<Cbor, _> = ciborium::from_reader(Cursor::new(body));
            let read = read.map_err(|error| wrong(&error.to_string()))?;
            from_cbor(read).ok_or_else(|| wrong("it holds what no member can be"))?
        }
    };
    Ok(value.to_string().into())
}

/// Answers an operation.
pub(super) fn success(asked: &Asked, given: Answer, request_id: &str) -> Response {
    let Asked { operation, wire } = asked;
    if *wire == Wire::Json {
        return target::success(operation, given, request_id);
    }
    let table = model::table(Service::CloudWatch);
    let shape = operation.output.as_deref();
    let shape = shape.and_then(|name| table.shapes().iter().position(|shape| shape.name == name));
    let value = match given {
        Answer::Json(value) => value,
        Answer::Raw(_) | Answer::Whole { .. } => Value::Null,
    };
    match (wire, shape) {
        (Wire::Form, shape) => {
            let mut result = String::new();
            if let Some(shape) = shape {
                add_xml(&mut result, table, shape, &value);
            }
            let name = &operation.name;
            let body = format!(
                "<{name}Response xmlns=\"{NAMESPACE}\"><{name}Result>{result}</{name}Result><ResponseMetadata>\
                 <RequestId>{request_id}</RequestId></ResponseMetadata></{name}Response>"
            );
            xml(200, request_id, body)
        }
        (_, Some(shape)) => cbor(200, &to_cbor(table, shape, &value), request_id),
        (_, None) => cbor(200, &Cbor::Map(Vec::new()), request_id),
    }
}

/// Tells the diary of a refusal, and answers it.
pub(super) fn refuse(
    settings: &ControlSettings,
    wire: Wire,
    operation: &str,
    error: &ApiError,
    request_id: &str,
) -> Response {
    if wire == Wire::Json {
        return target::refuse(settings, &TARGETED, operation, error, request_id);
    }
    let sentence = match operation {
        "" => error.message.clone(),
        operation => format!("{operation}: {}", error.message),
    };
    settings.diary.record(Entry::answer(error.code, sentence));
    let (status, fault) = target::status(error.code);
    let code = query_code(error.code);
    if wire == Wire::Form {
        let body = format!(
            "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>{fault}</Type><Code>{code}</Code><Message>{}</Message>\
             </Error><RequestId>{request_id}</RequestId></ErrorResponse>",
            escaped(&error.message)
        );
        return xml(status, request_id, body);
    }
    let kind = format!("{}#{}", TARGETED.namespace, error.code);
    let body = [("__type", kind), ("message", error.message.clone())];
    let body = body.map(|(name, text)| (Cbor::Text(name.to_owned()), Cbor::Text(text)));
    let mut response = cbor(status, &Cbor::Map(body.into()), request_id);
    target::add_query_error(&mut response, code, fault);
    response
}

fn cbor(status: u16, body: &Cbor, request_id: &str) -> Response {
    let mut octets = Vec::new();
    // Into memory, which takes everything.
    let _ = ciborium::into_writer(body, &mut octets);
    let mut response = answer::build(status, CBOR, request_id, octets.into());
    let (name, value) = PROTOCOL;
    response.headers_mut().insert(name, value);
    response
}

/// Any CBOR that has a form in JSON; moments are seconds, octets are base64.
fn from_cbor(value: Cbor) -> Option<Value> {
    Some(match value {
        Cbor::Null => Value::Null,
        Cbor::Bool(flag) => flag.into(),
        Cbor::Integer(number) => i64::try_from(number).ok()?.into(),
        Cbor::Float(number) => json!(Some(number).filter(|number| number.is_finite())?),
        Cbor::Text(text) => text.into(),
        Cbor::Bytes(octets) => STANDARD.encode(octets).into(),
        Cbor::Tag(EPOCH, moment) => from_cbor(*moment)?,
        Cbor::Array(list) => list.into_iter().map(from_cbor).collect::<Option<_>>()?,
        Cbor::Map(members) => {
            let members = members
                .into_iter()
                .map(|(name, value)| Some((name.into_text().ok()?, from_cbor(value)?)));
            Value::Object(members.collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

/// A value of a shape: clients want numbers and moments in the type that the model says.
fn to_cbor(table: &Table, shape: usize, value: &Value) -> Cbor {
    let text = |text: &str| Cbor::Text(text.to_owned());
    match (&table.shape(shape).kind, value) {
        (ShapeKind::Structure { members, .. }, Value::Object(object)) => {
            let members = members.iter().filter_map(|member| {
                let value = object.get(&member.wire_name)?;
                Some((text(&member.wire_name), to_cbor(table, member.shape, value)))
            });
            Cbor::Map(members.collect())
        }
        (ShapeKind::Map { value: inner, .. }, Value::Object(object)) => {
            let members = object.iter();
            let members = members.map(|(name, value)| (text(name), to_cbor(table, *inner, value)));
            Cbor::Map(members.collect())
        }
        (ShapeKind::List(item), Value::Array(list)) => {
            let list = list.iter().map(|value| to_cbor(table, *item, value));
            Cbor::Array(list.collect())
        }
        (ShapeKind::Timestamp, Value::Number(number)) => {
            let seconds = number.as_f64().unwrap_or_default();
            Cbor::Tag(EPOCH, Box::new(Cbor::Float(seconds)))
        }
        (ShapeKind::Double, Value::Number(number)) => {
            Cbor::Float(number.as_f64().unwrap_or_default())
        }
        (_, Value::Number(number)) => Cbor::Integer(number.as_i64().unwrap_or_default().into()),
        (_, Value::String(value)) => text(value),
        (_, Value::Bool(flag)) => Cbor::Bool(*flag),
        _ => Cbor::Null,
    }
}

/// The inside of an element that holds a value of a shape.
fn add_xml(to: &mut String, table: &Table, shape: usize, value: &Value) {
    let mut add = |name: &str, shape: usize, value: &Value| {
        to.push_str(&format!("<{name}>"));
        add_xml(to, table, shape, value);
        to.push_str(&format!("</{name}>"));
    };
    match (&table.shape(shape).kind, value) {
        (_, Value::Null) => {}
        (ShapeKind::Structure { members, .. }, Value::Object(object)) => {
            for member in members {
                if let Some(value) = object.get(&member.wire_name) {
                    add(&member.wire_name, member.shape, value);
                }
            }
        }
        (ShapeKind::Map { value: inner, .. }, Value::Object(object)) => {
            for (name, value) in object {
                to.push_str(&format!("<entry><key>{}</key><value>", escaped(name)));
                add_xml(to, table, *inner, value);
                to.push_str("</value></entry>");
            }
        }
        (ShapeKind::List(item), Value::Array(list)) => {
            for value in list {
                add("member", *item, value);
            }
        }
        (ShapeKind::Timestamp, Value::Number(number)) => {
            let seconds = number.as_f64().unwrap_or_default() as i64;
            let moment = OffsetDateTime::from_unix_timestamp(seconds).ok();
            let moment = moment.and_then(|moment| moment.format(&Rfc3339).ok());
            to.push_str(&moment.unwrap_or_default());
        }
        (_, Value::String(text)) => to.push_str(&escaped(text)),
        (_, value) => to.push_str(&value.to_string()),
    }
}
