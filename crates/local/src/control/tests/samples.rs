//! Requests made from the model: one that fits an operation, and many that break one rule each.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::breaking::broken;
use crate::model::{self, Location, Member, Operation, Service, Shape, ShapeKind, Table, check};

/// What a member of a name may look like; the first that fits its shape is taken.
const FITTING: [&str; 25] = [
    "a1",
    "1",
    "123456789012",
    "arn:aws:iot:eu-west-1:123456789012:cert/abc",
    "arn:aws:iam::123456789012:role/IoTProvisioning",
    "{}",
    "/a",
    "/a/",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    // Of topic rules.
    "https://a.example/b",
    "https://ingestion-a.a.sfdcnow.com/streams/a/a/event",
    "\n",
    // Of AWS Lambda.
    "ALL",
    "lambda:*",
    "/mnt/a",
    "a:1",
    "o-aaaaaaaaaa",
    "sg-a",
    "subnet-a",
    "arn:aws:lambda:eu-west-1:123456789012:layer:a:1",
    "arn:aws:lambda:eu-west-1:123456789012:runtime/aaaa",
    "arn:aws:lambda:eu-west-1:123456789012:capacity-provider:a",
    "arn:aws:lambda:eu-west-1:123456789012:code-signing-config:csc-aaaaaaaaaaaaaaaaa",
    "arn:aws:elasticfilesystem:eu-west-1:123456789012:access-point/fsap-aaaaaaaaaaaaaaaaa",
];

/// Texts that break programs: other people's syntax, other scripts, other directions.
pub(super) const HOSTILE: [&str; 16] = [
    "../../../../etc/passwd",
    "' OR 1=1; DROP TABLE record; --",
    "<script>alert(1)</script>",
    "${iot:ClientId}",
    "{{7*7}}",
    "%00%ff%2e%2e",
    "\u{0}",
    "\u{7f}\u{1b}[31m",
    "a\r\nx-amzn-errortype: none",
    "ключ",
    "\u{202e}\u{feff}\u{200b}",
    "😀😀😀",
    "-",
    "#/+/$share",
    "null",
    " ",
];

/// A request as its members, by location.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    /// What was changed, for the report.
    pub(super) title: String,
    labels: Map<String, Value>,
    query: Map<String, Value>,
    headers: Map<String, Value>,
    body: Map<String, Value>,
    payload: Option<Value>,
}

/// A request ready to be sent.
#[derive(Clone, Debug)]
pub(super) struct Ready {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// Everything but what RFC 3986 calls unreserved.
const ENCODED: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

impl Sample {
    /// A request that fits: with every member there is, or with only those that are required.
    pub(super) fn fitting(service: Service, operation: &Operation, whole: bool) -> Self {
        let table = model::table(service);
        let mut sample = Self {
            title: "fitting".to_owned(),
            ..Self::default()
        };
        for member in members_of(table, operation) {
            if member.required || whole {
                let value = fitting(table, table.shape(member.shape), 0);
                sample.put(operation_payload(table, operation), member, Some(value));
            }
        }
        sample
    }

    fn put(&mut self, payload: Option<&str>, member: &Member, value: Option<Value>) {
        let place = match member.location {
            Location::Uri => &mut self.labels,
            Location::Query => &mut self.query,
            Location::Header => &mut self.headers,
            Location::Body if payload == Some(member.name.as_str()) => {
                self.payload = value;
                return;
            }
            Location::Body => &mut self.body,
            Location::Headers => return,
        };
        match value {
            Some(value) => place.insert(member.wire_name.clone(), value),
            None => place.remove(&member.wire_name),
        };
    }

    /// Requests with one member replaced by something that breaks its rules, or left out.
    pub(super) fn breaking(service: Service, operation: &Operation) -> Vec<Self> {
        let table = model::table(service);
        let whole = Self::fitting(service, operation, true);
        let payload = operation_payload(table, operation);
        let mut samples = Vec::new();
        for member in members_of(table, operation) {
            let shape = table.shape(member.shape);
            let is_payload = payload == Some(member.name.as_str());
            if is_payload && matches!(shape.kind, ShapeKind::Blob | ShapeKind::String) {
                continue;
            }
            let mut change = |what: &str, value: Option<Value>| {
                let mut sample = whole.clone();
                sample.title = format!("{} {what}", member.name);
                sample.put(payload, member, value);
                samples.push(sample);
            };
            if member.required && member.location != Location::Uri {
                change("missing", None);
                if is_typed(service, member) {
                    change("null", Some(Value::Null));
                }
            }
            for (what, value) in broken(table, shape, is_typed(service, member), 0) {
                // An empty label is another path, a header cannot carry everything, and a URI is shorter than 64 KiB.
                let is_empty = value.as_str().is_some_and(str::is_empty);
                let is_short = value.to_string().len() < 40_000;
                let is_sendable = match member.location {
                    Location::Uri => !is_empty && is_short,
                    Location::Query => is_short,
                    Location::Header => value.as_str().is_some_and(is_header_text),
                    _ => true,
                };
                if is_sendable {
                    change(&what, Some(value));
                }
            }
        }
        samples
    }

    /// Requests with one text replaced by a hostile one that the model does not forbid.
    pub(super) fn hostile(service: Service, operation: &Operation) -> Vec<Self> {
        let table = model::table(service);
        let whole = Self::fitting(service, operation, true);
        let payload = operation_payload(table, operation);
        let mut samples = Vec::new();
        for member in members_of(table, operation) {
            let shape = table.shape(member.shape);
            for text in HOSTILE {
                let value = planted(table, shape, text, 0);
                let sendable = match member.location {
                    Location::Header => is_header_text(text),
                    _ => true,
                };
                if let Some(value) = value.filter(|_| sendable) {
                    let mut sample = whole.clone();
                    sample.title = format!("{} = {text:?}", member.name);
                    sample.put(payload, member, Some(value));
                    samples.push(sample);
                }
            }
        }
        samples
    }

    /// Method, path, query, headers and body of the request.
    pub(super) fn ready(&self, service: Service, operation: &Operation) -> Ready {
        if is_query(service) {
            return ready_form(service, operation, &self.body);
        }
        let mut target = operation.path.clone();
        for (name, value) in &self.labels {
            let value = encoded(value);
            target = target.replace(&format!("{{{name}}}"), &value);
            target = target.replace(&format!("{{{name}+}}"), &value);
        }
        let mut separator = '?';
        for (name, value) in &self.query {
            let values = match value {
                Value::Array(values) => values.iter().collect(),
                value => vec![value],
            };
            for value in values {
                target.push_str(&format!("{separator}{name}={}", encoded(value)));
                separator = '&';
            }
        }
        let mut headers = self.headers.clone();
        let prefix = match service {
            Service::Sqs => Some("AmazonSQS"),
            Service::CloudWatch => Some("GraniteServiceVersion20100801"),
            _ => None,
        };
        if let Some(prefix) = prefix {
            let target = json!(format!("{prefix}.{}", operation.name));
            headers.insert("x-amz-target".to_owned(), target);
        }
        let headers = headers.iter();
        let body = match &self.payload {
            Some(Value::String(text)) if has_raw_payload(service, operation) => {
                text.clone().into_bytes()
            }
            Some(value) => value.to_string().into_bytes(),
            None if self.body.is_empty() => Vec::new(),
            None => Value::Object(self.body.clone()).to_string().into_bytes(),
        };
        Ready {
            method: operation.method.clone(),
            target,
            headers: headers
                .map(|(name, value)| (name.clone(), text_of(value)))
                .collect(),
            body,
        }
    }
}

/// Whether a service takes forms.
fn is_query(service: Service) -> bool {
    matches!(service, Service::Iam | Service::Sts)
}

/// Whether a member has a type on the wire, and not just a text.
fn is_typed(service: Service, member: &Member) -> bool {
    member.location == Location::Body && !is_query(service)
}

fn ready_form(service: Service, operation: &Operation, members: &Map<String, Value>) -> Ready {
    let mut form = format!("Action={}&Version=2010-05-08", operation.name);
    for (name, value) in members {
        add_to_form(&mut form, name, value);
    }
    let signed = format!(
        "AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/{}/aws4_request, SignedHeaders=host, Signature=00",
        service.name()
    );
    let headers = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("authorization", &signed),
    ];
    Ready {
        method: "POST".to_owned(),
        target: "/".to_owned(),
        headers: headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        body: form.into_bytes(),
    }
}

fn add_to_form(form: &mut String, name: &str, value: &Value) {
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                add_to_form(form, &format!("{name}.member.{}", index + 1), item);
            }
        }
        Value::Object(members) => {
            for (member, value) in members {
                add_to_form(form, &format!("{name}.{member}"), value);
            }
        }
        value => form.push_str(&format!("&{name}={}", encoded(value))),
    }
}

fn members_of<'a>(table: &'a Table, operation: &Operation) -> &'a [Member] {
    match operation.input.map(|shape| &table.shape(shape).kind) {
        Some(ShapeKind::Structure { members, .. }) => members,
        _ => &[],
    }
}

fn operation_payload<'a>(table: &'a Table, operation: &Operation) -> Option<&'a str> {
    match operation.input.map(|shape| &table.shape(shape).kind) {
        Some(ShapeKind::Structure { payload, .. }) => payload.as_deref(),
        _ => None,
    }
}

/// Whether the body is octets of whatever kind, and not JSON.
fn has_raw_payload(service: Service, operation: &Operation) -> bool {
    let table = model::table(service);
    let payload = operation_payload(table, operation);
    let mut members = members_of(table, operation).iter();
    let member = members.find(|member| payload == Some(member.name.as_str()));
    member.is_some_and(|member| {
        let kind = &table.shape(member.shape).kind;
        matches!(kind, ShapeKind::Blob | ShapeKind::String)
    })
}

fn is_header_text(text: &str) -> bool {
    text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
}

pub(super) fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

fn encoded(value: &Value) -> String {
    utf8_percent_encode(&text_of(value), &ENCODED).to_string()
}

/// A value within the rules of its shape.
pub(super) fn fitting(table: &Table, shape: &Shape, depth: u8) -> Value {
    match &shape.kind {
        ShapeKind::Structure { members, .. } => {
            let wanted = members
                .iter()
                .filter(|member| member.required || depth < 3)
                .map(|member| {
                    let value = fitting(table, table.shape(member.shape), depth + 1);
                    (member.wire_name.clone(), value)
                });
            Value::Object(wanted.collect())
        }
        ShapeKind::List(member) => {
            let item = fitting(table, table.shape(*member), depth + 1);
            Value::Array(vec![item; shape.min.map_or(1, |min| min.max(1.0) as usize)])
        }
        ShapeKind::Map { key, value } => {
            let name = text_of(&fitting(table, table.shape(*key), depth + 1));
            json!({ name: fitting(table, table.shape(*value), depth + 1) })
        }
        ShapeKind::String if !shape.allowed.is_empty() => json!(shape.allowed[0]),
        ShapeKind::String => {
            let fits = |text: &&&str| check(table, shape, &json!(text), "sample").is_ok();
            match FITTING.iter().find(fits) {
                Some(text) => json!(text),
                None => panic!("no sample fits {}", shape.name),
            }
        }
        ShapeKind::Integer | ShapeKind::Long => json!(shape.min.unwrap_or(1.0) as i64),
        ShapeKind::Double => json!(shape.min.unwrap_or(1.0)),
        ShapeKind::Boolean => json!(true),
        ShapeKind::Timestamp => json!(1_767_225_600),
        ShapeKind::Blob => json!("AAAA"),
    }
}

/// The fitting value with this text somewhere in it, if the model allows it.
fn planted(table: &Table, shape: &Shape, text: &str, depth: u8) -> Option<Value> {
    match &shape.kind {
        ShapeKind::String => {
            let value = json!(text);
            let fits = check(table, shape, &value, "sample").is_ok();
            (fits && !text.is_empty()).then_some(value)
        }
        ShapeKind::Structure { members, .. } if depth < 4 => {
            let mut whole = fitting(table, shape, depth);
            let mut changed = false;
            for member in members {
                let inner = planted(table, table.shape(member.shape), text, depth + 1);
                if let (Some(inner), Some(object)) = (inner, whole.as_object_mut()) {
                    object.insert(member.wire_name.clone(), inner);
                    changed = true;
                }
            }
            changed.then_some(whole)
        }
        ShapeKind::List(member) => {
            planted(table, table.shape(*member), text, depth + 1).map(|inner| json!([inner]))
        }
        ShapeKind::Map { key, value } => {
            let name = planted(table, table.shape(*key), text, depth + 1);
            let inner = planted(table, table.shape(*value), text, depth + 1);
            if name.is_none() && inner.is_none() {
                return None;
            }
            let fitting = |shape: usize| fitting(table, table.shape(shape), depth + 1);
            let name = text_of(&name.unwrap_or_else(|| fitting(*key)));
            Some(json!({ name: inner.unwrap_or_else(|| fitting(*value)) }))
        }
        _ => None,
    }
}
