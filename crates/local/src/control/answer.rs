//! Answers in the form AWS's clients parse: status, request id, error type and JSON.

use std::io;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use futures::stream;
use serde_json::{Map, Value};

use super::ControlSettings;
use crate::account::ApiError;
use crate::diary::Entry;
use crate::model::{self, Operation, Service, ShapeKind};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
pub(super) const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// What an operation answers.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The members of the body; `Value::Null` for none.
    Json(Value),
    /// A body that is one member, such as a shadow document.
    Raw(Bytes),
    /// A body that is one member, with a status and headers that are others.
    Whole {
        /// HTTP status.
        status: u16,
        /// Names and values of headers.
        headers: Vec<(&'static str, String)>,
        /// The body.
        body: Bytes,
    },
}

pub(super) fn success(operation: &Operation, answer: Answer, request_id: &str) -> Response {
    match answer {
        Answer::Raw(body) => build(operation.status, "application/json", request_id, body),
        Answer::Whole {
            status,
            headers,
            body,
        } => {
            let mut response = build(status, "application/json", request_id, body);
            for (name, value) in headers {
                if let Ok(value) = HeaderValue::try_from(value) {
                    response.headers_mut().insert(name, value);
                }
            }
            response
        }
        // Operations without output shape answer nothing at all; AWS's own choice is not documented.
        Answer::Json(_) if !operation.has_output => build(
            operation.status,
            "application/json",
            request_id,
            Bytes::new(),
        ),
        Answer::Json(Value::Null) => json(operation.status, &Value::Object(Map::new()), request_id),
        Answer::Json(value) => json(operation.status, &value, request_id),
    }
}

/// Tells the diary of a refusal, and answers it.
pub(super) fn refuse(
    settings: &ControlSettings,
    service: Option<Service>,
    operation: &str,
    error: &ApiError,
    request_id: &str,
) -> Response {
    let sentence = match operation {
        "" => error.message.clone(),
        operation => format!("{operation}: {}", error.message),
    };
    settings.diary.record(Entry::answer(error.code, sentence));
    failure(service, error, request_id)
}

fn failure(service: Option<Service>, error: &ApiError, request_id: &str) -> Response {
    // AWS Lambda spells it one way or the other.
    let spelled = service.and_then(|service| {
        let shapes = model::table(service).shapes();
        let shape = shapes.iter().find(|shape| shape.name == error.code)?;
        let ShapeKind::Structure { members, .. } = &shape.kind else {
            return None;
        };
        let mut names = members.iter().map(|member| member.wire_name.as_str());
        names.find(|name| name.eq_ignore_ascii_case("message"))
    });
    let message = spelled.unwrap_or("message");
    let mut body = Map::from_iter([(message.to_owned(), Value::from(error.message.as_str()))]);
    if service == Some(Service::Lambda) {
        body.insert("Type".to_owned(), "User".into());
    }
    for (name, value) in &error.members {
        body.insert((*name).to_owned(), Value::from(value.as_str()));
    }
    let mut response = json(
        status(service, error.code),
        &Value::Object(body),
        request_id,
    );
    let headers = response.headers_mut();
    headers.insert(ERROR_TYPE, HeaderValue::from_static(error.code));
    response
}

/// The exception for an input the table refuses: the operation's own one for client errors.
pub(super) fn validation_code(service: Service, operation: &Operation) -> &'static str {
    if matches!(service, Service::Sqs | Service::CloudWatch) {
        return "InvalidParameterValueException";
    }
    if !operation.declares("InvalidRequestException") && operation.declares("ValidationException") {
        return "ValidationException";
    }
    if operation.declares("InvalidParameterValueException") {
        return "InvalidParameterValueException";
    }
    "InvalidRequestException"
}

fn status(service: Option<Service>, code: &str) -> u16 {
    let modelled = service.and_then(|service| model::table(service).error_status(code));
    modelled.unwrap_or(match code {
        "UnknownOperationException" => 404,
        "RequestTimeoutException" => 408,
        "RequestEntityTooLargeException" => 413,
        "NotImplementedException" => 501,
        "ServiceUnavailableException" => 503,
        "InternalFailureException" => 500,
        _ => 400,
    })
}

/// An answer that is none: the connection is closed before a byte of it is sent.
pub(super) fn cut() -> Response {
    // hyper gives a connection up when a body fails, and the head is still in its buffer then.
    let broken = || Err::<Bytes, _>(io::Error::from(io::ErrorKind::ConnectionAborted));
    Response::new(Body::from_stream(stream::iter(std::iter::once_with(
        broken,
    ))))
}

pub(super) fn json(status: u16, body: &Value, request_id: &str) -> Response {
    build(
        status,
        "application/json",
        request_id,
        body.to_string().into(),
    )
}

pub(super) fn build(
    status: u16,
    content_type: &'static str,
    request_id: &str,
    body: Bytes,
) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Ok(value) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, value);
    }
    response
}
