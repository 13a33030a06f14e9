//! Answers of the query protocol: read with an XML parser, and judged by the model as those in JSON are.

use roxmltree::{Document, Node};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Got, judge};
use crate::model::{self, Form, Service, ShapeKind, Table};

/// What an answer to a form says, once the model has nothing against it.
pub(super) fn judged(status: u16, text: &str, form: &Form) -> Got {
    let document = Document::parse(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let root = document.root_element();
    let service = match root.tag_name().namespace() {
        Some("https://iam.amazonaws.com/doc/2010-05-08/") => Service::Iam,
        Some("https://sts.amazonaws.com/doc/2011-06-15/") => Service::Sts,
        Some("http://monitoring.amazonaws.com/doc/2010-08-01/") => Service::CloudWatch,
        other => panic!("{other:?} is the namespace of no service"),
    };
    let (table, action) = (model::table(service), form.action());
    let got = match child(root, "Error") {
        Some(error) => {
            assert_eq!(root.tag_name().name(), "ErrorResponse", "{text}");
            Got {
                status,
                error: text_of(error, "Code"),
                body: json!({ "message": text_of(error, "Message") }),
            }
        }
        None => {
            assert_eq!(
                root.tag_name().name(),
                format!("{action}Response"),
                "{text}"
            );
            Got {
                status,
                error: String::new(),
                body: result(table, root, action),
            }
        }
    };
    if let Some(operation) = table.operation(action) {
        let found = judge::findings(table, operation, &got);
        assert!(found.is_empty(), "{found:#?} in {text}");
    }
    got
}

fn child<'a>(of: Node<'a, 'a>, name: &str) -> Option<Node<'a, 'a>> {
    of.children().find(|node| node.tag_name().name() == name)
}

fn text_of(of: Node<'_, '_>, name: &str) -> String {
    let node = child(of, name).and_then(|node| node.text());
    node.unwrap_or_default().to_owned()
}

/// The members of a result; null where the operation has none.
fn result(table: &Table, root: Node<'_, '_>, action: &str) -> Value {
    let output = table
        .operation(action)
        .and_then(|one| one.output.as_deref());
    let result = child(root, &format!("{action}Result"));
    assert_eq!(output.is_some(), result.is_some(), "{action}");
    let (Some(output), Some(result)) = (output, result) else {
        return Value::Null;
    };
    let shape = table.shapes().iter().position(|shape| shape.name == output);
    value(table, shape.unwrap(), result)
}

fn value(table: &Table, shape: usize, node: Node<'_, '_>) -> Value {
    let text = node.text().unwrap_or_default();
    match &table.shape(shape).kind {
        ShapeKind::Structure { members, .. } => {
            let mut found = Map::new();
            for inner in node.children().filter(Node::is_element) {
                let name = inner.tag_name().name();
                let member = members.iter().find(|member| member.wire_name == name);
                // What the model does not know is left for the judge to find.
                let value = member.map_or(json!(null), |member| value(table, member.shape, inner));
                let before = found.insert(name.to_owned(), value);
                assert_eq!(before, None, "{name} is there twice");
            }
            Value::Object(found)
        }
        ShapeKind::List(item) => {
            let items = node.children().filter(Node::is_element);
            let items = items.map(|inner| {
                assert_eq!(inner.tag_name().name(), "member");
                value(table, *item, inner)
            });
            items.collect()
        }
        ShapeKind::Boolean => json!(text.parse::<bool>().unwrap()),
        ShapeKind::Integer | ShapeKind::Long => json!(text.parse::<i64>().unwrap()),
        ShapeKind::Double => json!(text.parse::<f64>().unwrap()),
        ShapeKind::Timestamp => {
            let time = OffsetDateTime::parse(text, &Rfc3339).unwrap();
            json!(time.unix_timestamp())
        }
        _ => json!(text),
    }
}
