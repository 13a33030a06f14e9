//! The query protocol of AWS's older services (IAM, STS): a form in, XML out.

use std::borrow::Cow;

use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::Response;

use super::{ControlSettings, answer};
use crate::account::{Account, ApiError};
use crate::diary::Entry;
use crate::model::{self, Form, Input, Service, read_form};

/// The meaning of an operation: members in, the XML of its result out, if it has one.
pub(super) type Handler = fn(&Account, &Input) -> Result<Option<String>, ApiError>;

/// A service that speaks the query protocol.
pub(super) struct QueryService {
    /// Its table.
    pub(super) service: Service,
    /// Its name, for people.
    pub(super) name: &'static str,
    /// The namespace of its answers.
    pub(super) namespace: &'static str,
    /// What it calls an error of its own.
    pub(super) failure: &'static str,
    /// The operations offered.
    pub(super) operations: &'static [(&'static str, Handler)],
}

/// Whether a request is a form, on `/`.
pub(super) fn is_form(parts: &Parts) -> bool {
    let kind = parts.headers.get(CONTENT_TYPE);
    let kind = kind.and_then(|value| value.to_str().ok());
    let form = kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    parts.uri.path() == "/" && form
}

/// Calls an operation. Blocks for the storage.
pub(super) fn call(
    service: &QueryService,
    account: &Account,
    form: &Form,
) -> Result<Option<String>, ApiError> {
    let (table, action) = (model::table(service.service), form.action());
    let operation = table.operation(action).ok_or_else(|| {
        // "Common errors" of their API references.
        let message = format!("{} has no operation {action:?}", service.name);
        ApiError::new("InvalidAction", message)
    })?;
    let mut offered = service.operations.iter();
    let (_, handler) = offered.find(|(name, _)| *name == action).ok_or_else(|| {
        let message = format!("The local core does not offer {action} of {}", service.name);
        ApiError::new("NotImplementedException", message)
    })?;
    let input = read_form(table, operation, form)
        .map_err(|message| ApiError::new("ValidationError", message))?;
    handler(account, &input)
}

/// `<NAME>TEXT</NAME>`, with the text's own markup taken for text.
pub(super) fn element(name: &str, text: &str) -> String {
    format!("<{name}>{}</{name}>", escaped(text))
}

/// Answers an operation; `result` is the XML inside of its result element, or nothing.
pub(super) fn success(
    service: &QueryService,
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
    service: &QueryService,
    error: &ApiError,
    request_id: &str,
) -> Response {
    settings
        .diary
        .record(Entry::answer(error.code, error.message.clone()));
    let modelled = model::table(service.service).error_status(error.code);
    let (status, fault, code) = match (modelled, error.code) {
        (Some(status), code) => (status, "Sender", code),
        (None, "NotImplementedException") => (501, "Sender", error.code),
        // Names of these services' own for what AWS IoT calls exceptions ("Common errors" of their API references).
        (None, "ThrottlingException") => (400, "Sender", "Throttling"),
        (None, "ValidationError" | "InvalidAction") => (400, "Sender", error.code),
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

pub(super) fn xml(status: u16, request_id: &str, body: String) -> Response {
    answer::build(status, "text/xml", request_id, body.into())
}

/// Text as XML 1.0 can carry it: characters that it has no form for are replaced.
pub(super) fn escaped(text: &str) -> Cow<'_, str> {
    let is_plain = |letter: char| {
        !matches!(
            letter,
            '&' | '<' | '>' | '"' | '\r' | '\u{fffe}' | '\u{ffff}'
        ) && (letter >= ' ' || matches!(letter, '\t' | '\n'))
    };
    if text.chars().all(is_plain) {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // A reader would take it for a line feed.
            '\r' => escaped.push_str("&#13;"),
            letter if is_plain(letter) => escaped.push(letter),
            _ => escaped.push(char::REPLACEMENT_CHARACTER),
        }
    }
    escaped.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_not_taken_for_markup_and_stays_xml() {
        assert_eq!(element("A", "<b>&\"'"), "<A>&lt;b&gt;&amp;&quot;'</A>");
        assert_eq!(
            element("A", "a\0\u{1b}\r\n\tü"),
            "<A>a\u{fffd}\u{fffd}&#13;\n\tü</A>"
        );
    }
}
