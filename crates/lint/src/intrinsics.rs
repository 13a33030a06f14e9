//! CloudFormation's intrinsic functions, as far as a document can be known without an account
//! (CloudFormation user guide, "Intrinsic function reference").
//!
//! Pseudo parameters have made-up values, parameters what is given or their Default; what only a deployment can know
//! becomes a text that stands for it.

use std::collections::BTreeMap;

use crate::tree::{Node, Tree};

/// Which way the conditions of a template go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Branch {
    /// Every `Fn::If` gives what holds if its condition is true.
    True,
    /// Every `Fn::If` gives the other value.
    False,
}

/// What the names in a template stand for.
pub(crate) struct Scope<'a> {
    template: &'a Node,
    given: &'a BTreeMap<String, String>,
    branch: Branch,
}

impl<'a> Scope<'a> {
    pub(crate) fn new(
        template: &'a Node,
        given: &'a BTreeMap<String, String>,
        branch: Branch,
    ) -> Self {
        Self {
            template,
            given,
            branch,
        }
    }

    /// A value without its functions; `None` for `AWS::NoValue`.
    pub(crate) fn resolve(&self, node: &Node) -> Option<Node> {
        match &node.value {
            Tree::List(list) => {
                let list = list.iter().filter_map(|item| self.resolve(item));
                Some(Node {
                    value: Tree::List(list.collect()),
                    line: node.line,
                })
            }
            Tree::Object(members) => match members.as_slice() {
                [(name, argument)] if name == "Ref" || name.starts_with("Fn::") => {
                    self.call(name, argument)
                }
                members => {
                    let members = members.iter();
                    let members = members
                        .filter_map(|(key, value)| Some((key.clone(), self.resolve(value)?)));
                    Some(Node {
                        value: Tree::Object(members.collect()),
                        line: node.line,
                    })
                }
            },
            _ => Some(node.clone()),
        }
    }

    fn call(&self, name: &str, argument: &Node) -> Option<Node> {
        let unknown = || Some(argument.with_stand_in(stand_in(name, argument)));
        match name {
            "Ref" => match argument.as_str() {
                Some("AWS::NoValue") => None,
                Some(name) => Some(self.named(name, argument)),
                None => unknown(),
            },
            "Fn::Sub" => match self.substitute(argument) {
                Some(text) => Some(text),
                None => unknown(),
            },
            "Fn::If" => match argument.as_list() {
                Some([_, yes, no]) => self.resolve(match self.branch {
                    Branch::True => yes,
                    Branch::False => no,
                }),
                _ => unknown(),
            },
            "Fn::Join" => match self.resolve(argument)?.as_list() {
                Some([separator, parts]) => {
                    let parts: Option<Vec<String>> = parts
                        .as_list()
                        .map(|list| list.iter().map(written).collect());
                    match (separator.as_str(), parts) {
                        (Some(separator), Some(parts)) => {
                            Some(argument.with_text(parts.join(separator)))
                        }
                        _ => unknown(),
                    }
                }
                _ => unknown(),
            },
            "Fn::Split" => match self.resolve(argument)?.as_list() {
                Some([separator, text]) => match (separator.as_str(), text.as_str()) {
                    (Some(separator), Some(text)) if !separator.is_empty() => {
                        let parts = text.split(separator);
                        let parts = parts.map(|part| Node::text(part, argument.line));
                        Some(Node {
                            value: Tree::List(parts.collect()),
                            line: argument.line,
                        })
                    }
                    _ => unknown(),
                },
                _ => unknown(),
            },
            "Fn::Select" => match self.resolve(argument)?.as_list() {
                Some([index, list]) => {
                    let index = written(index).parse::<usize>().ok();
                    let item = index.and_then(|index| list.as_list()?.get(index));
                    item.cloned().or_else(unknown)
                }
                _ => unknown(),
            },
            "Fn::FindInMap" => self.find_in_map(argument).or_else(unknown),
            // Of the transform AWS::LanguageExtensions.
            "Fn::ToJsonString" => {
                let text = self.resolve(argument)?.to_value().to_string();
                Some(Node::text(text, argument.line))
            }
            _ => unknown(),
        }
    }

    /// What `Ref` gives.
    fn named(&self, name: &str, place: &Node) -> Node {
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
                None => return self.parameter(name, place),
            },
        };
        place.with_text(text.to_owned())
    }

    /// A parameter's default or first allowed value; a resource, or one without either, is known by its name.
    fn parameter(&self, name: &str, place: &Node) -> Node {
        let declared = self
            .template
            .member("Parameters")
            .and_then(|parameters| parameters.member(name));
        let value = declared.and_then(|declared| {
            let allowed = || {
                Some(
                    declared
                        .member("AllowedValues")?
                        .as_list()?
                        .first()?
                        .clone(),
                )
            };
            let default = declared.member("Default").cloned();
            default.or_else(allowed)
        });
        match value.map(|value| written(&value)) {
            Some(text) if !text.is_empty() => place.with_text(text),
            _ => place.with_stand_in(name.to_owned()),
        }
    }

    /// `${name}` by its value, `${!name}` by `${name}`.
    fn substitute(&self, argument: &Node) -> Option<Node> {
        let (place, variables) = match argument.as_list() {
            Some([text, variables]) => (text, Some(variables)),
            Some(_) => return None,
            None => (argument, None),
        };
        let text = place.as_str()?;
        let mut written_out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            written_out.push_str(before);
            let (name, after) = after.split_once('}')?;
            match name.strip_prefix('!') {
                Some(literal) => {
                    written_out.push_str("${");
                    written_out.push_str(literal);
                    written_out.push('}');
                }
                None => {
                    let name = name.trim();
                    let own = variables.and_then(|variables| variables.member(name));
                    let value = match own {
                        Some(own) => self.resolve(own)?,
                        None => self.named(name, place),
                    };
                    written_out.push_str(&written(&value));
                }
            }
            rest = after;
        }
        written_out.push_str(rest);
        Some(place.with_text(written_out))
    }

    fn find_in_map(&self, argument: &Node) -> Option<Node> {
        let resolved = self.resolve(argument)?;
        let [map, first, second, ..] = resolved.as_list()? else {
            return None;
        };
        let map = self.template.member("Mappings")?.member(map.as_str()?)?;
        let found = map.member(first.as_str()?)?.member(second.as_str()?)?;
        Some(found.clone())
    }
}

/// A text that stands for what a function would give.
fn stand_in(function: &str, argument: &Node) -> String {
    match argument.as_list() {
        Some(list) => list.iter().map(written).collect::<Vec<_>>().join("."),
        None => match argument.as_str() {
            Some(text) => text.to_owned(),
            None => function.trim_start_matches("Fn::").to_owned(),
        },
    }
}

/// A value as it stands in a text.
fn written(node: &Node) -> String {
    match node.as_str() {
        Some(text) => text.to_owned(),
        None => node.to_value().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::yaml;

    const TEMPLATE: &str = "
Parameters:
  Name: {Type: String, Default: fleet}
  Level: {Type: String, AllowedValues: [WARN, ERROR]}
  Bucket: {Type: String}
Mappings:
  Sizes: {us-east-1: {big: large}}
Value:
";

    fn resolved(value: &str, branch: Branch) -> Value {
        let template = yaml::read(&format!("{TEMPLATE}  {value}\n")).unwrap();
        let given = BTreeMap::from([("Given".to_owned(), "told".to_owned())]);
        let scope = Scope::new(&template, &given, branch);
        let value = template.member("Value").unwrap();
        scope
            .resolve(value)
            .map_or(Value::Null, |node| node.to_value())
    }

    #[test]
    fn functions_give_what_they_give_in_a_deployment() {
        for (written, expected) in [
            ("!Ref Name", json!("fleet")),
            ("!Ref Level", json!("WARN")),
            ("!Ref Bucket", json!("Bucket")),
            ("!Ref Given", json!("told")),
            ("!Ref AWS::NoValue", json!(null)),
            (
                "!Sub 'arn:${AWS::Partition}:iot:${AWS::Region}:${AWS::AccountId}:topic/${!iot:ClientId}/${Name}'",
                json!("arn:aws:iot:us-east-1:123456789012:topic/${iot:ClientId}/fleet"),
            ),
            (
                "!Sub ['${x}-${Role.Arn}', {x: !Ref Name}]",
                json!("fleet-Role.Arn"),
            ),
            ("!Join ['-', [a, !Ref Name, 3]]", json!("a-fleet-3")),
            ("!Select [1, !Split [',', 'a,b']]", json!("b")),
            ("!FindInMap [Sizes, !Ref AWS::Region, big]", json!("large")),
            ("!ImportValue other", json!("other")),
            (
                "{Fn::ToJsonString: {a: !Ref Name}}",
                json!("{\"a\":\"fleet\"}"),
            ),
            ("[a, !If [C, b, !Ref AWS::NoValue]]", json!(["a", "b"])),
        ] {
            assert_eq!(resolved(written, Branch::True), expected, "{written}");
        }
        let other = resolved("[a, !If [C, b, !Ref AWS::NoValue]]", Branch::False);
        assert_eq!(other, json!(["a"]));
    }

    #[test]
    fn what_is_malformed_is_left_standing() {
        for written in [
            "!Sub '${open'",
            "!Join [a]",
            "!If [a]",
            "!Select [x, [a]]",
            "!Sub [a]",
            "!FindInMap [a, b, c]",
        ] {
            assert!(resolved(written, Branch::True).is_string(), "{written}");
        }
    }
}
