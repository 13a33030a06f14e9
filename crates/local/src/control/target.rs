//! The JSON protocol of AWS's services without paths (SQS, CloudWatch): the operation is named by a header, members and answers
//! are JSON, and an error carries its type in the body.

use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::{Answer, ControlSettings, answer};
use crate::account::ApiError;
use crate::diary::Entry;
use crate::model::{self, Operation, Route, Service};
use crate::sqs;

const TARGET: &str = "x-amz-target";
const CONTENT_TYPE: &str = "application/x-amz-json-1.0";
/// What the error is called in the query protocol that these services once spoke; clients still go by it.
const QUERY_ERROR: HeaderName = HeaderName::from_static("x-amzn-query-error");

/// A service that speaks the protocol.
pub(super) struct Targeted {
    /// Its table.
    pub(super) service: Service,
    /// Its name, for people.
    pub(super) name: &'static str,
    /// What stands before the operation.
    pub(super) prefix: &'static str,
    /// What stands before the type of an error.
    pub(super) namespace: &'static str,
    /// What an error is called in the query protocol.
    pub(super) query_code: fn(&str) -> &str,
}

/// SQS.
pub(super) const SQS: Targeted = Targeted {
    service: Service::Sqs,
    name: "SQS",
    prefix: "AmazonSQS.",
    namespace: "com.amazonaws.sqs",
    query_code: sqs::query_code,
};

/// Whether a service takes its operations by a header, and nothing else.
pub(super) fn is_for(service: Service) -> bool {
    service == Service::Sqs
}

/// Whether the header names an operation of a service.
pub(super) fn names(service: &Targeted, parts: &Parts) -> bool {
    target(parts).is_some_and(|target| target.starts_with(service.prefix))
}

/// The operation of SQS that the header names.
pub(super) fn find(parts: &Parts) -> Result<Route<'_>, ApiError> {
    let name = operation(&SQS, parts)?;
    let operation = model::table(Service::Sqs).operation(name);
    Ok(Route {
        operation: operation.ok_or_else(|| unknown(&SQS, name))?,
        labels: Vec::new(),
    })
}

/// What the header names of a service.
pub(super) fn operation<'a>(service: &Targeted, parts: &'a Parts) -> Result<&'a str, ApiError> {
    let name = target(parts).and_then(|target| target.strip_prefix(service.prefix));
    name.ok_or_else(|| {
        let Targeted { name, prefix, .. } = service;
        let mut message = format!(
            "The local core speaks the JSON protocol of {name}, and the request has no header {TARGET}: {prefix}OPERATION"
        );
        if service.service == Service::Sqs {
            message.push_str("; SDKs speak it since the end of 2023 (botocore 1.31.81)");
        }
        ApiError::new("InvalidAction", message)
    })
}

/// A service has no operation of a name.
pub(super) fn unknown(service: &Targeted, name: &str) -> ApiError {
    let shown: String = name.chars().take(80).collect();
    ApiError::new(
        "InvalidAction",
        format!("{} has no operation {shown:?}", service.name),
    )
}

fn target(parts: &Parts) -> Option<&str> {
    parts.headers.get(TARGET)?.to_str().ok()
}

/// Answers an operation.
pub(super) fn success(operation: &Operation, given: Answer, request_id: &str) -> Response {
    let body = match given {
        Answer::Json(_) if !operation.has_output => String::new(),
        Answer::Json(Value::Null) => Value::Object(Map::new()).to_string(),
        Answer::Json(value) => value.to_string(),
        Answer::Raw(body) | Answer::Whole { body, .. } => {
            return answer::build(200, CONTENT_TYPE, request_id, body);
        }
    };
    answer::build(200, CONTENT_TYPE, request_id, body.into())
}

/// Tells the diary of a refusal, and answers it.
pub(super) fn refuse(
    settings: &ControlSettings,
    service: &Targeted,
    operation: &str,
    error: &ApiError,
    request_id: &str,
) -> Response {
    let sentence = match operation {
        "" => error.message.clone(),
        operation => format!("{operation}: {}", error.message),
    };
    settings.diary.record(Entry::answer(error.code, sentence));
    let (status, fault) = status(error.code);
    let body = json!({
        "__type": format!("{}#{}", service.namespace, error.code),
        "message": error.message,
    });
    let body = body.to_string().into();
    let mut response = answer::build(status, CONTENT_TYPE, request_id, body);
    let headers = response.headers_mut();
    headers.insert(answer::ERROR_TYPE, HeaderValue::from_static(error.code));
    add_query_error(&mut response, (service.query_code)(error.code), fault);
    response
}

/// Status of an error, and whose fault it is: all that these services declare is the caller's, and 400.
pub(super) fn status(code: &str) -> (u16, &'static str) {
    match code {
        "NotImplementedException" => (501, "Sender"),
        "InternalFailureException" => (500, "Receiver"),
        "ServiceUnavailableException" => (503, "Receiver"),
        _ => (400, "Sender"),
    }
}

/// Says what an error is called in the query protocol.
pub(super) fn add_query_error(response: &mut Response, code: &str, fault: &str) {
    if let Ok(query) = HeaderValue::try_from(format!("{code};{fault}")) {
        response.headers_mut().insert(QUERY_ERROR, query);
    }
}
