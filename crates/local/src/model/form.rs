//! From the form of a request of the query protocol to the members an operation takes, each judged by the table.

use std::collections::HashMap;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::input::{Input, convert};
use super::table::{Operation, ShapeKind, Table};

/// The form of a request: names of members, nested ones with their path (`Tags.member.1.Key`), and texts.
#[derive(Clone, Debug, Default)]
pub struct Form(HashMap<String, String>);

impl Form {
    /// Reads a body; of a repeated member the first counts.
    pub fn read(body: &Bytes) -> Self {
        let text = String::from_utf8_lossy(body);
        let mut members = HashMap::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            members
                .entry(decoded(name))
                .or_insert_with(|| decoded(value));
        }
        Self(members)
    }

    /// The operation asked for.
    pub fn action(&self) -> &str {
        self.text("Action").unwrap_or_default()
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// All members of an operation, not judged.
    pub fn members(&self, table: &Table, operation: &Operation) -> Value {
        let mut found = Map::new();
        let shape = operation.input.map(|shape| &table.shape(shape).kind);
        if let Some(ShapeKind::Structure { members, .. }) = shape {
            for member in members {
                if let Some(value) = self.value(table, member.shape, &member.wire_name) {
                    found.insert(member.wire_name.clone(), value);
                }
            }
        }
        Value::Object(found)
    }

    /// The value of a shape under a name; nothing where no member of it was sent.
    fn value(&self, table: &Table, shape: usize, name: &str) -> Option<Value> {
        match &table.shape(shape).kind {
            ShapeKind::Structure { members, .. } => {
                let found = members.iter().filter_map(|member| {
                    let name = format!("{name}.{}", member.wire_name);
                    let value = self.value(table, member.shape, &name)?;
                    Some((member.wire_name.clone(), value))
                });
                let found: Map<String, Value> = found.collect();
                (!found.is_empty()).then_some(Value::Object(found))
            }
            // An empty list is its name and nothing.
            ShapeKind::List(_) if self.text(name) == Some("") => Some(Value::Array(Vec::new())),
            ShapeKind::List(item) => {
                let values = (1..).map_while(|number| {
                    self.value(table, *item, &format!("{name}.member.{number}"))
                });
                let values: Vec<Value> = values.collect();
                (!values.is_empty()).then_some(Value::Array(values))
            }
            kind => Some(convert(kind, self.text(name)?.to_owned())),
        }
    }
}

/// Reads and judges everything an operation of the query protocol takes.
///
/// # Errors
/// A sentence naming the member and the rule it breaks.
pub fn read_form(table: &Table, operation: &Operation, form: &Form) -> Result<Input, String> {
    let mut input = Input::default();
    let shape = operation.input.map(|shape| &table.shape(shape).kind);
    if let Some(ShapeKind::Structure { members, .. }) = shape {
        for member in members {
            let value = form.value(table, member.shape, &member.wire_name);
            input.admit(table, member, value)?;
        }
    }
    Ok(input)
}

fn decoded(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced)
        .decode_utf8_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Service, table};
    use super::*;

    fn read(operation: &str, form: &'static str) -> Result<Input, String> {
        let table = table(Service::Iam);
        let operation = table.operation(operation).unwrap();
        read_form(
            table,
            operation,
            &Form::read(&Bytes::from_static(form.as_bytes())),
        )
    }

    #[test]
    fn a_form_is_decoded_and_its_lists_are_counted_from_one() {
        let form = "Action=TagRole&RoleName=a%2Bb&odd&Tags.member.1.Key=x&Tags.member.1.Value=\
                    &Tags.member.2.Key=y&Tags.member.2.Value=1+2&Tags.member.4.Key=z&RoleName=c";
        assert_eq!(
            Form::read(&Bytes::from_static(form.as_bytes())).action(),
            "TagRole"
        );
        let input = read("TagRole", form).unwrap();
        assert_eq!(input.text("RoleName"), Some("a+b"));
        let tags = json!([{ "Key": "x", "Value": "" }, { "Key": "y", "Value": "1 2" }]);
        assert_eq!(input.get("Tags"), Some(&tags));
        assert_eq!(
            read("UntagRole", "RoleName=a&TagKeys=")
                .unwrap()
                .get("TagKeys"),
            Some(&json!([]))
        );
        assert_eq!(
            read("ListRoles", "MaxItems=7").unwrap().number("MaxItems"),
            Some(7)
        );
    }

    #[test]
    fn a_broken_rule_names_the_member() {
        let refused = |operation, form, member| {
            let message = read(operation, form).unwrap_err();
            assert!(message.contains(&format!("'{member}'")), "{message}");
        };
        refused("GetRole", "RoleName=a%20b", "RoleName");
        refused("GetRole", "", "RoleName");
        refused("ListRoles", "MaxItems=many", "MaxItems");
        refused("TagRole", "RoleName=a", "Tags");
        refused(
            "TagRole",
            "RoleName=a&Tags.member.1.Key=x",
            "Tags.1.member.Value",
        );
    }
}
