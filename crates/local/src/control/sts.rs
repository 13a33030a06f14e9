//! STS GetCallerIdentity, by which programs find the account they act on (query protocol, XML).

use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::Response;
use bytes::Bytes;

use super::{ControlSettings, answer};
use crate::account::ApiError;
use crate::diary::Entry;

/// The operation of STS there is.
pub(super) const OPERATION: &str = "GetCallerIdentity";

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// Whether an unsigned request looks like one for STS: a form with an Action, on `/`.
pub(super) fn is_for(parts: &Parts, body: &Bytes) -> bool {
    let form = parts
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    parts.uri.path() == "/" && form && body.starts_with(b"Action=")
}

pub(super) fn answer(settings: &ControlSettings, body: &Bytes, request_id: &str) -> Response {
    let text = String::from_utf8_lossy(body);
    let action = text
        .split('&')
        .find_map(|pair| pair.strip_prefix("Action="))
        .unwrap_or_default();
    if action == OPERATION {
        let account = &settings.account.snapshot().scope.account_id;
        return xml(
            200,
            request_id,
            &format!(
                "<GetCallerIdentityResponse xmlns=\"{NAMESPACE}\"><GetCallerIdentityResult>\
             <Arn>arn:aws:iam::{account}:user/local</Arn><UserId>AIDALOCALCORE00000000</UserId>\
             <Account>{account}</Account></GetCallerIdentityResult>\
             <ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
            ),
        );
    }
    let name: String = action
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(64)
        .collect();
    let error = ApiError::new(
        "NotImplementedException",
        format!("The local core offers GetCallerIdentity of STS only, not '{name}'"),
    );
    refuse(settings, &error, request_id)
}

/// Tells the diary of a refusal, and answers it in the form of the query protocol.
pub(super) fn refuse(settings: &ControlSettings, error: &ApiError, request_id: &str) -> Response {
    settings
        .diary
        .record(Entry::answer(error.code, error.message.clone()));
    let (status, fault, code) = match error.code {
        "NotImplementedException" => (501, "Sender", error.code),
        // STS has names of its own for what AWS IoT calls exceptions (STS API Reference, "Common errors").
        "ThrottlingException" => (400, "Sender", "Throttling"),
        _ => (500, "Receiver", "InternalFailure"),
    };
    let body = format!(
        "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>{fault}</Type><Code>{code}</Code>\
         <Message>{}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>",
        error.message
    );
    xml(status, request_id, &body)
}

fn xml(status: u16, request_id: &str, body: &str) -> Response {
    answer::build(status, "text/xml", request_id, body.to_owned().into())
}
