//! The JSON protocol of AWS's services without paths (SQS): the operation is named by a header, members and answers
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
/// What stands before the operation of SQS.
const PREFIX: &str = "AmazonSQS.";
const CONTENT_TYPE: &str = "application/x-amz-json-1.0";
/// What the error is called in the query protocol that these services once spoke; clients still go by it.
const QUERY_ERROR: HeaderName = HeaderName::from_static("x-amzn-query-error");

/// Whether a service takes its operations by a header.
pub(super) fn is_for(service: Service) -> bool {
    service == Service::Sqs
}

/// Whether the header names an operation of SQS.
pub(super) fn names_sqs(parts: &Parts) -> bool {
    target(parts).is_some_and(|target| target.starts_with(PREFIX))
}

/// The operation of SQS that the header names.
pub(super) fn find(parts: &Parts) -> Result<Route<'_>, ApiError> {
    let name = target(parts).and_then(|target| target.strip_prefix(PREFIX));
    let Some(name) = name else {
        return Err(ApiError::new(
            "InvalidAction",
            format!(
                "The local core speaks the JSON protocol of SQS, and the request has no header {TARGET}: \
                 {PREFIX}OPERATION; SDKs speak it since the end of 2023 (botocore 1.31.81)"
            ),
        ));
    };
    let operation = model::table(Service::Sqs).operation(name);
    let operation = operation.ok_or_else(|| {
        ApiError::new(
            "InvalidAction",
            format!(
                "SQS has no operation {:?}",
                name.chars().take(80).collect::<String>()
            ),
        )
    })?;
    Ok(Route {
        operation,
        labels: Vec::new(),
    })
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
    operation: &str,
    error: &ApiError,
    request_id: &str,
) -> Response {
    let sentence = match operation {
        "" => error.message.clone(),
        operation => format!("{operation}: {}", error.message),
    };
    settings.diary.record(Entry::answer(error.code, sentence));
    // All that these services declare is the caller's fault, and 400.
    let (status, fault) = match error.code {
        "NotImplementedException" => (501, "Sender"),
        "InternalFailureException" => (500, "Receiver"),
        "ServiceUnavailableException" => (503, "Receiver"),
        _ => (400, "Sender"),
    };
    let body = json!({
        "__type": format!("com.amazonaws.sqs#{}", error.code),
        "message": error.message,
    });
    let body = body.to_string().into();
    let mut response = answer::build(status, CONTENT_TYPE, request_id, body);
    let headers = response.headers_mut();
    headers.insert(answer::ERROR_TYPE, HeaderValue::from_static(error.code));
    let query = format!("{};{fault}", sqs::query_code(error.code));
    if let Ok(query) = HeaderValue::try_from(query) {
        headers.insert(QUERY_ERROR, query);
    }
    response
}
