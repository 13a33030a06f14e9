//! What the names in a template stand for before it is deployed: pseudo parameters have made-up values, parameters what is
//! given or their Default, and all conditions go one way.

use std::collections::BTreeMap;

use jitp_stack::{Names, Node};
use serde_json::Value;

/// Made-up values for a template.
pub(crate) struct MadeUp<'a> {
    template: &'a Node,
    given: &'a BTreeMap<String, String>,
    holds: bool,
}

impl<'a> MadeUp<'a> {
    /// With the values of parameters that are given, and every condition holding, or none.
    pub(crate) fn new(
        template: &'a Node,
        given: &'a BTreeMap<String, String>,
        holds: bool,
    ) -> Self {
        Self {
            template,
            given,
            holds,
        }
    }

    /// A parameter's default or first allowed value. One without either is known only by its name, as resources are.
    fn parameter(&self, name: &str) -> Option<Value> {
        let declared = self.template.member("Parameters")?.member(name)?;
        let allowed = || declared.member("AllowedValues")?.as_list()?.first();
        let value = declared.member("Default").or_else(allowed)?.to_value();
        let text = match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        (!text.is_empty()).then_some(Value::String(text))
    }
}

impl Names for MadeUp<'_> {
    fn reference(&self, name: &str) -> Option<Value> {
        let text = match name {
            "AWS::AccountId" => "123456789012",
            "AWS::Region" => "us-east-1",
            "AWS::Partition" => "aws",
            "AWS::URLSuffix" => "amazonaws.com",
            "AWS::StackName" => "stack",
            "AWS::StackId" => {
                "arn:aws:cloudformation:us-east-1:123456789012:stack/stack/00000000-0000-0000-0000-000000000000"
            }
            _ => match self.given.get(name) {
                Some(value) => value,
                None => return self.parameter(name),
            },
        };
        Some(text.into())
    }

    fn attribute(&self, _: &str, _: &str) -> Option<Value> {
        None
    }

    fn condition(&self, _: &str) -> Option<bool> {
        Some(self.holds)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_have_what_is_given_or_allowed() {
        let text = "
Parameters:
  Name: {Type: String, Default: fleet}
  Level: {Type: String, AllowedValues: [WARN, ERROR]}
  Count: {Type: Number, Default: 3}
  Empty: {Type: String, Default: ''}
";
        let template = jitp_stack::read(text).unwrap();
        let given = BTreeMap::from([("Given".to_owned(), "told".to_owned())]);
        let names = MadeUp::new(&template, &given, true);
        for (name, value) in [
            ("Name", Some(json!("fleet"))),
            ("Level", Some(json!("WARN"))),
            ("Count", Some(json!("3"))),
            ("Empty", None),
            ("Resource", None),
            ("Given", Some(json!("told"))),
            ("AWS::Region", Some(json!("us-east-1"))),
        ] {
            assert_eq!(names.reference(name), value, "{name}");
        }
    }
}
