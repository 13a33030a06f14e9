//! The query protocol of AWS's older services (IAM, STS): a form in, XML out.

use std::borrow::Cow;

use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::Response;
use bytes::Bytes;

use super::{ControlSettings, answer};
use crate::account::ApiError;
use crate::diary::Entry;

/// A service that speaks the query protocol.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct QueryService {
    /// Its name, for people.
    pub(super) name: &'static str,
    /// The namespace of its answers.
    pub(super) namespace: &'static str,
    /// What it calls an error of its own.
    pub(super) failure: &'static str,
}

/// The form of a request.
#[derive(Clone, Debug)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    pub(super) fn read(body: &Bytes) -> Self {
        let text = String::from_utf8_lossy(body);
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        });
        Self(pairs.collect())
    }

    /// A member by its name.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let mut pairs = self.0.iter();
        let (_, value) = pairs.find(|(member, _)| member == name)?;
        Some(value)
    }

    /// The operation asked for.
    pub(super) fn action(&self) -> &str {
        self.text("Action").unwrap_or_default()
    }

    /// The members of a list, `NAME.member.1` and on.
    pub(super) fn list(&self, name: &str) -> Vec<&str> {
        let members = (1..).map_while(|index| self.text(&format!("{name}.member.{index}")));
        members.collect()
    }
}

/// Whether a request is a form with an action, on `/`.
pub(super) fn is_query(parts: &Parts, body: &Bytes) -> bool {
    let form = parts
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    parts.uri.path() == "/" && form && body.starts_with(b"Action=")
}

/// `<NAME>TEXT</NAME>`, with the text's own markup taken for text.
pub(super) fn element(name: &str, text: &str) -> String {
    format!("<{name}>{}</{name}>", escaped(text))
}

/// Answers an operation; `result` is the XML inside of its result element, or nothing.
pub(super) fn success(
    service: QueryService,
    action: &str,
    result: Option<&str>,
    request_id: &str,
) -> Response {
    let result = match result {
        Some(result) => format!("<{action}Result>{result}</{action}Result>"),
        None => String::new(),
    };
    let body = format!(
        "<{action}Response xmlns=\"{}\">{result}<ResponseMetadata><RequestId>{request_id}</RequestId>\
         </ResponseMetadata></{action}Response>",
        service.namespace
    );
    xml(200, request_id, body)
}

/// Tells the diary of a refusal, and answers it.
pub(super) fn refuse(
    settings: &ControlSettings,
    service: QueryService,
    error: &ApiError,
    request_id: &str,
) -> Response {
    settings
        .diary
        .record(Entry::answer(error.code, error.message.clone()));
    let (status, fault, code) = match error.code {
        "NotImplementedException" => (501, "Sender", error.code),
        // Names of these services' own for what AWS IoT calls exceptions ("Common errors" of their API references).
        "ThrottlingException" => (400, "Sender", "Throttling"),
        "NoSuchEntity" => (404, "Sender", error.code),
        "DeleteConflict" | "EntityAlreadyExists" | "LimitExceeded" => (409, "Sender", error.code),
        "MalformedPolicyDocument" | "ValidationError" => (400, "Sender", error.code),
        _ => (500, "Receiver", service.failure),
    };
    let body = format!(
        "<ErrorResponse xmlns=\"{}\"><Error><Type>{fault}</Type><Code>{code}</Code>{}</Error>\
         <RequestId>{request_id}</RequestId></ErrorResponse>",
        service.namespace,
        element("Message", &error.message)
    );
    xml(status, request_id, body)
}

/// The error for an operation that is not offered.
pub(super) fn not_offered(service: QueryService, action: &str) -> ApiError {
    let action: String = action
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(64)
        .collect();
    ApiError::new(
        "NotImplementedException",
        format!("The local core does not offer {action} of {}", service.name),
    )
}

fn xml(status: u16, request_id: &str, body: String) -> Response {
    answer::build(status, "text/xml", request_id, body.into())
}

fn decoded(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced)
        .decode_utf8_lossy()
        .into_owned()
}

fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"']) {
        return text.into();
    }
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;");
    escaped.replace('>', "&gt;").replace('"', "&quot;").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_decoded_and_its_lists_are_counted_from_one() {
        let body = Bytes::from_static(
            b"Action=TagRole&Name=a%2Bb+c&Tags.member.1=x&Tags.member.2=y&Tags.member.4=z&odd",
        );
        let form = Form::read(&body);
        assert_eq!(form.action(), "TagRole");
        assert_eq!(form.text("Name"), Some("a+b c"));
        assert_eq!(form.list("Tags"), ["x", "y"]);
        assert_eq!(form.text("odd"), Some(""));
        assert_eq!(form.text("Missing"), None);
    }

    #[test]
    fn text_is_not_taken_for_markup() {
        assert_eq!(element("A", "<b>&\"'"), "<A>&lt;b&gt;&amp;&quot;'</A>");
    }
}
