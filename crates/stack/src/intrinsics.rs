//! CloudFormation's intrinsic functions (CloudFormation user guide, "Intrinsic function reference").
//!
//! What the names in a template stand for is somebody else's business: a lint makes values up, a deployment has them. What
//! is not known becomes a text that stands for it, and is remembered.

use std::cell::RefCell;

use serde_json::Value;

use crate::tree::{Node, Tree};

/// What the names in a template stand for.
pub trait Names {
    /// What `Ref` gives: of a parameter, a pseudo parameter or a resource.
    fn reference(&self, name: &str) -> Option<Value>;

    /// What `Fn::GetAtt` gives.
    fn attribute(&self, resource: &str, attribute: &str) -> Option<Value>;

    /// Whether a condition holds.
    fn condition(&self, name: &str) -> Option<bool>;
}

/// Something in a template that could not be worked out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unknown {
    /// Line of it, from 1.
    pub line: usize,
    /// The function and what it is given, for example `Ref Bucket`.
    pub what: String,
}

/// A template, and what the names in it stand for.
pub struct Scope<'a> {
    template: &'a Node,
    names: &'a dyn Names,
    unknown: RefCell<Vec<Unknown>>,
}

impl<'a> Scope<'a> {
    /// Nothing is worked out yet.
    pub fn new(template: &'a Node, names: &'a dyn Names) -> Self {
        Self {
            template,
            names,
            unknown: RefCell::default(),
        }
    }

    /// What could not be worked out so far.
    pub fn unknown(self) -> Vec<Unknown> {
        self.unknown.into_inner()
    }

    /// A value without its functions; `None` for `AWS::NoValue`.
    pub fn resolve(&self, node: &Node) -> Option<Node> {
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
        let unknown = || {
            let text = stand_in(name, argument);
            self.not_known(argument.line, format!("{name} {text}"));
            Some(argument.with_stand_in(text))
        };
        match name {
            "Ref" => match argument.as_str() {
                Some("AWS::NoValue") => None,
                Some(name) => Some(self.named(name, argument)),
                None => unknown(),
            },
            "Fn::GetAtt" => {
                let value = attribute(argument)
                    .and_then(|(resource, name)| self.names.attribute(&resource, &name));
                match value {
                    Some(value) => Some(argument.with_value(value)),
                    None => unknown(),
                }
            }
            "Fn::Sub" => match self.substitute(argument) {
                Some(text) => Some(text),
                None => unknown(),
            },
            "Fn::If" => match argument.as_list() {
                Some([condition, yes, no]) => {
                    match self.names.condition(condition.as_str().unwrap_or_default()) {
                        Some(holds) => self.resolve(if holds { yes } else { no }),
                        None => unknown(),
                    }
                }
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

    /// What `Ref`, or `${name}` in a text, gives.
    fn named(&self, name: &str, place: &Node) -> Node {
        let value = match name.split_once('.') {
            Some((resource, attribute)) => self.names.attribute(resource, attribute),
            None => self.names.reference(name),
        };
        match value {
            Some(value) => place.with_value(value),
            None => {
                self.not_known(place.line, format!("Ref {name}"));
                place.with_stand_in(name.to_owned())
            }
        }
    }

    fn not_known(&self, line: usize, what: String) {
        self.unknown.borrow_mut().push(Unknown { line, what });
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

/// The resource and the attribute that `Fn::GetAtt` is given: a list, or in JSON also a text.
pub(crate) fn attribute(argument: &Node) -> Option<(String, String)> {
    match argument.as_list() {
        Some([resource, attribute]) => Some((
            resource.as_str()?.to_owned(),
            attribute.as_str()?.to_owned(),
        )),
        Some(_) => None,
        None => {
            let (resource, attribute) = argument.as_str()?.split_once('.')?;
            Some((resource.to_owned(), attribute.to_owned()))
        }
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
pub(crate) fn written(node: &Node) -> String {
    match node.as_str() {
        Some(text) => text.to_owned(),
        None => node.to_value().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::yaml;

    /// One parameter, one resource, one condition.
    struct Known(bool);

    impl Names for Known {
        fn reference(&self, name: &str) -> Option<Value> {
            match name {
                "AWS::Region" => Some(json!("us-east-1")),
                "Name" => Some(json!("fleet")),
                "List" => Some(json!(["a", "b"])),
                _ => None,
            }
        }

        fn attribute(&self, resource: &str, attribute: &str) -> Option<Value> {
            (resource == "Role").then(|| json!(format!("{attribute} of it")))
        }

        fn condition(&self, name: &str) -> Option<bool> {
            (name == "C").then_some(self.0)
        }
    }

    const TEMPLATE: &str = "
Mappings:
  Sizes: {us-east-1: {big: large}}
Value:
";

    fn resolved(value: &str, holds: bool) -> (Value, Vec<Unknown>) {
        let template = yaml::read(&format!("{TEMPLATE}  {value}\n")).unwrap();
        let names = Known(holds);
        let scope = Scope::new(&template, &names);
        let value = scope.resolve(template.member("Value").unwrap());
        let value = value.map_or(Value::Null, |node| node.to_value());
        (value, scope.unknown())
    }

    #[test]
    fn functions_give_what_they_give_in_a_deployment() {
        for (written, expected) in [
            ("!Ref Name", json!("fleet")),
            ("!Ref List", json!(["a", "b"])),
            ("!Ref AWS::NoValue", json!(null)),
            ("!GetAtt Role.Arn", json!("Arn of it")),
            ("{Fn::GetAtt: Role.Policy.Id}", json!("Policy.Id of it")),
            (
                "!Sub 'arn:${AWS::Region}:topic/${!iot:ClientId}/${Name}'",
                json!("arn:us-east-1:topic/${iot:ClientId}/fleet"),
            ),
            (
                "!Sub ['${x}-${Role.Arn}', {x: !Ref Name}]",
                json!("fleet-Arn of it"),
            ),
            ("!Join ['-', [a, !Ref Name, 3]]", json!("a-fleet-3")),
            ("!Join [',', !Ref List]", json!("a,b")),
            ("!Select [1, !Split [',', 'a,b']]", json!("b")),
            ("!FindInMap [Sizes, !Ref AWS::Region, big]", json!("large")),
            (
                "{Fn::ToJsonString: {a: !Ref Name}}",
                json!("{\"a\":\"fleet\"}"),
            ),
            ("[a, !If [C, b, !Ref AWS::NoValue]]", json!(["a", "b"])),
        ] {
            assert_eq!(resolved(written, true), (expected, vec![]), "{written}");
        }
        let other = resolved("[a, !If [C, b, !Ref AWS::NoValue]]", false);
        assert_eq!(other, (json!(["a"]), vec![]));
    }

    #[test]
    fn what_is_not_known_stands_for_itself_and_is_remembered() {
        for (written, stand_in, what) in [
            ("!Ref Bucket", "Bucket", "Ref Bucket"),
            ("!GetAtt Other.Arn", "Other.Arn", "Fn::GetAtt Other.Arn"),
            ("!Sub 'a/${Bucket}'", "a/Bucket", "Ref Bucket"),
            ("!ImportValue other", "other", "Fn::ImportValue other"),
        ] {
            let unknown = Unknown {
                line: 5,
                what: what.to_owned(),
            };
            assert_eq!(resolved(written, true), (json!(stand_in), vec![unknown]));
        }
    }

    #[test]
    fn what_is_malformed_is_left_standing() {
        for written in [
            "!Sub '${open'",
            "!Join [a]",
            "!If [a]",
            "!If [D, a, b]",
            "!Select [x, [a]]",
            "!Sub [a]",
            "!FindInMap [a, b, c]",
        ] {
            let (value, unknown) = resolved(written, true);
            assert!(
                value.is_string() && unknown.len() == 1,
                "{written}: {unknown:?}"
            );
        }
    }
}
