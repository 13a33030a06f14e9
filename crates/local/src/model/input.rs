//! From an HTTP request to the members an operation takes, each judged by the table.

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::table::{Location, Member, Route, ShapeKind, Table};
use super::validate::{Violation, check};

/// What of an HTTP request an operation may read.
#[derive(Debug)]
pub struct Request<'a> {
    /// The raw query, without `?`.
    pub query: &'a str,
    /// Header names in lower case, and values that are text.
    pub headers: Vec<(&'a str, &'a str)>,
    /// The whole body.
    pub body: &'a Bytes,
}

/// The members of a request by their names in the model, converted and within their limits.
#[derive(Clone, Debug, Default)]
pub struct Input {
    members: Map<String, Value>,
    payload: Bytes,
}

impl Input {
    /// An input from members that are known to fit, for callers inside the program.
    pub fn from_members(members: Map<String, Value>) -> Self {
        Self {
            members,
            payload: Bytes::new(),
        }
    }

    /// A member, if it was sent.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.members.get(name)
    }

    /// A text member, if it was sent.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// A text member the model requires; empty only if the table is not asked first.
    pub fn required(&self, name: &str) -> &str {
        self.text(name).unwrap_or_default()
    }

    /// A Boolean member; absent is false.
    pub fn flag(&self, name: &str) -> bool {
        self.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// A Boolean member, if it was sent.
    pub fn optional_flag(&self, name: &str) -> Option<bool> {
        self.get(name)?.as_bool()
    }

    /// A number member that is not negative, if it was sent.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.as_u64()
    }

    /// An object member, if it was sent.
    pub fn object(&self, name: &str) -> Option<&Map<String, Value>> {
        self.get(name)?.as_object()
    }

    /// A list member; absent is empty.
    pub fn list(&self, name: &str) -> &[Value] {
        let list = self.get(name).and_then(Value::as_array);
        list.map(Vec::as_slice).unwrap_or_default()
    }

    /// A list of texts; absent is empty.
    pub fn texts(&self, name: &str) -> Vec<&str> {
        self.list(name).iter().filter_map(Value::as_str).collect()
    }

    /// Judges a member and takes it in; one that is not there is judged too.
    pub(super) fn admit(
        &mut self,
        table: &Table,
        member: &Member,
        value: Option<Value>,
    ) -> Result<(), String> {
        match value.filter(|value| !value.is_null()) {
            Some(value) => {
                check(table, table.shape(member.shape), &value, &member.name)
                    .map_err(|violation| violation.message())?;
                self.members.insert(member.name.clone(), value);
            }
            None if member.required => {
                let violation = Violation::new(&member.name, None, "Member must not be null");
                return Err(violation.message());
            }
            None => {}
        }
        Ok(())
    }

    /// The raw body, where a member is the whole of it.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }
}

/// Reads and judges everything an operation takes.
///
/// # Errors
/// A sentence naming the member and the rule it breaks.
pub fn read_input(
    table: &Table,
    route: &Route<'_>,
    request: &Request<'_>,
) -> Result<Input, String> {
    let Some(shape) = route.operation.input else {
        return Ok(Input::default());
    };
    let ShapeKind::Structure { members, payload } = &table.shape(shape).kind else {
        return Ok(Input::default());
    };
    let mut input = Input::default();
    let body = body_members(table, members, payload.as_deref(), request.body)?;
    let mut body = match body {
        Body::Members(body) => body,
        Body::Payload(name, value) => Map::from_iter([(name, value)]),
        Body::Raw => {
            input.payload = request.body.clone();
            Map::new()
        }
    };
    for member in members {
        let value = match member.location {
            Location::Body => body.remove(&member.wire_name),
            Location::Uri => label(table, route, member)?,
            Location::Query => query(table, member, request.query)?,
            Location::Header => request
                .headers
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(&member.wire_name))
                .map(|(_, text)| convert(&table.shape(member.shape).kind, (*text).to_owned())),
            Location::Headers => None,
        };
        let is_payload = payload.as_deref() == Some(member.name.as_str());
        let sent_raw = is_payload && !input.payload.is_empty();
        if value.is_some() || !sent_raw {
            input.admit(table, member, value)?;
        }
    }
    Ok(input)
}

enum Body {
    Members(Map<String, Value>),
    Payload(String, Value),
    Raw,
}

fn body_members(
    table: &Table,
    members: &[Member],
    payload: Option<&str>,
    body: &Bytes,
) -> Result<Body, String> {
    let in_body = |member: &&Member| member.location == Location::Body;
    if let Some(payload) = payload {
        let Some(member) = members.iter().find(|member| member.name == payload) else {
            return Ok(Body::Raw);
        };
        if matches!(
            table.shape(member.shape).kind,
            ShapeKind::Blob | ShapeKind::String
        ) {
            return Ok(Body::Raw);
        }
        if body.is_empty() {
            return Ok(Body::Members(Map::new()));
        }
        return Ok(Body::Payload(member.wire_name.clone(), json(body)?));
    }
    if body.is_empty() || !members.iter().any(|member| in_body(&member)) {
        return Ok(Body::Members(Map::new()));
    }
    match json(body)? {
        Value::Object(object) => Ok(Body::Members(object)),
        Value::Null => Ok(Body::Members(Map::new())),
        _ => Err("The body of the request must be a JSON object".to_owned()),
    }
}

fn json(body: &Bytes) -> Result<Value, String> {
    serde_json::from_slice(body)
        .map_err(|error| format!("The body of the request is not valid JSON: {error}"))
}

fn label(table: &Table, route: &Route<'_>, member: &Member) -> Result<Option<Value>, String> {
    let Some((_, value)) = route
        .labels
        .iter()
        .find(|(name, _)| *name == member.wire_name)
    else {
        return Ok(None);
    };
    match value {
        Some(value) => {
            let kind = &table.shape(member.shape).kind;
            Ok(Some(convert(kind, value.clone())))
        }
        None => Err(format!("'{}' in the path is not UTF-8", member.name)),
    }
}

fn query(table: &Table, member: &Member, query: &str) -> Result<Option<Value>, String> {
    let mut found = Vec::new();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if decode(name).as_deref() == Some(member.wire_name.as_str()) {
            let value = decode(value)
                .ok_or_else(|| format!("'{}' in the query is not UTF-8", member.name))?;
            found.push(value);
        }
    }
    let shape = table.shape(member.shape);
    if let ShapeKind::List(item) = &shape.kind {
        if found.is_empty() {
            return Ok(None);
        }
        let kind = &table.shape(*item).kind;
        let values = found.into_iter().map(|text| convert(kind, text));
        return Ok(Some(Value::Array(values.collect())));
    }
    // Of a repeated member the last one counts.
    Ok(found.pop().map(|text| convert(&shape.kind, text)))
}

/// Text of a path, query or header as the type it stands for; what does not convert stays text and is then refused.
pub(super) fn convert(kind: &ShapeKind, text: String) -> Value {
    match kind {
        ShapeKind::Boolean => match text.as_str() {
            "true" | "True" | "TRUE" => Value::Bool(true),
            "false" | "False" | "FALSE" => Value::Bool(false),
            _ => Value::String(text),
        },
        ShapeKind::Integer | ShapeKind::Long => match text.parse::<i64>() {
            Ok(number) => Value::from(number),
            Err(_) => Value::String(text),
        },
        ShapeKind::Double => match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Value::from(number),
            _ => Value::String(text),
        },
        _ => Value::String(text),
    }
}

fn decode(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::super::{Service, table};
    use super::*;

    fn read(method: &str, target: &str, body: &str) -> Result<Input, String> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let table = table(Service::Iot);
        let route = table.route(method, path).unwrap();
        let body = Bytes::copy_from_slice(body.as_bytes());
        let headers = vec![("x-amzn-principal", "arn:aws:iot:eu-west-1:1:cert/a")];
        let request = Request {
            query,
            headers,
            body: &body,
        };
        read_input(table, &route, &request)
    }

    #[test]
    fn members_come_from_path_query_header_and_body() {
        let input = read("POST", "/things/a%3Ab", r#"{"thingTypeName":"t"}"#).unwrap();
        assert_eq!(input.text("thingName"), Some("a:b"));
        assert_eq!(input.text("thingTypeName"), Some("t"));
        let input = read("POST", "/keys-and-certificate?setAsActive=true", "").unwrap();
        assert!(input.flag("setAsActive"));
        let input = read("PUT", "/things/a/principals", "").unwrap();
        assert!(input.required("principal").starts_with("arn:"));
        let input = read("GET", "/policies?pageSize=3&isAscendingOrder=false", "").unwrap();
        assert_eq!(input.number("pageSize"), Some(3));
        assert_eq!(input.optional_flag("ascendingOrder"), Some(false));
        let input = read("GET", "/provisioning-templates/t/versions/2", "").unwrap();
        assert_eq!(input.number("versionId"), Some(2));
    }

    #[test]
    fn a_broken_rule_names_the_member() {
        let refused = |method, target, body| read(method, target, body).unwrap_err();
        let message = refused("POST", "/things/a%20b", "");
        assert!(
            message.contains("'thingName'") && message.contains("pattern"),
            "{message}"
        );
        let message = refused("GET", "/policies?pageSize=251", "");
        assert!(message.contains("'pageSize'"), "{message}");
        let message = refused("POST", "/policies/p", "{}");
        assert!(message.contains("'policyDocument'"), "{message}");
        let message = refused(
            "POST",
            "/things/a",
            r#"{"attributePayload":{"attributes":[]}}"#,
        );
        assert!(
            message.contains("'attributePayload.attributes'"),
            "{message}"
        );
        let message = refused("PUT", "/certificates/0000?newStatus=GREAT", "");
        assert!(message.contains("'certificateId'"), "{message}");
        assert!(refused("POST", "/things/a", "{").contains("JSON"));
        assert!(refused("POST", "/things/a", "[]").contains("object"));
        assert!(refused("POST", "/things/%ff", "").contains("UTF-8"));
    }
}
