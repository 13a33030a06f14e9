//! A template with its parameters: which resources it makes, in which order, and of what.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::condition::{ConditionError, conditions};
use crate::intrinsics::{Names, Scope, attribute};
use crate::parameters::{Parameters, ParametersError, parameters};
use crate::tree::{Node, Tree};

/// A template with everything known that is known before something is made.
#[derive(Clone, Debug)]
pub struct Stack {
    template: Node,
    parameters: Parameters,
    conditions: BTreeMap<String, bool>,
    pseudo: BTreeMap<&'static str, String>,
}

/// A resource that is to be made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Resource {
    /// Its name in the template.
    pub id: String,
    /// What it is, for example `AWS::SQS::Queue`.
    pub kind: String,
    /// Line of it, from 1.
    pub line: usize,
}

/// What is known of a resource once it was made.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Made {
    /// What `Ref` gives.
    pub reference: String,
    /// What `Fn::GetAtt` gives, by name.
    pub attributes: BTreeMap<String, String>,
}

/// An output of a stack.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// Why a template cannot be worked out.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StackError {
    /// A parameter has no value, or not this one.
    #[error(transparent)]
    Parameters(#[from] ParametersError),
    /// A condition makes no sense.
    #[error(transparent)]
    Condition(#[from] ConditionError),
    /// It has no resources.
    #[error("the template has no Resources")]
    NoResources,
    /// A resource does not say what it is.
    #[error("line {line}: the resource {id} has no Type")]
    NoType {
        /// Its name.
        id: String,
        /// Line of it.
        line: usize,
    },
    /// Resources need each other.
    #[error("resources need each other: {}", .0.join(", "))]
    Circle(Vec<String>),
    /// A value depends on what is not known.
    #[error("line {line}: {what} cannot be worked out without CloudFormation")]
    Unknown {
        /// Line of it.
        line: usize,
        /// The function and what it is given.
        what: String,
    },
}

impl Stack {
    /// A template, the parameters that are given, and where it is made: partition, region, account, name of the stack.
    ///
    /// # Errors
    /// When a parameter or a condition makes no sense, or there are no resources.
    pub fn new(
        template: Node,
        given: &BTreeMap<String, String>,
        [partition, region, account, name]: [&str; 4],
    ) -> Result<Self, StackError> {
        if template
            .member("Resources")
            .is_none_or(|all| all.members().next().is_none())
        {
            return Err(StackError::NoResources);
        }
        let id = "00000000-0000-0000-0000-000000000000";
        let pseudo = BTreeMap::from([
            ("AWS::Partition", partition.to_owned()),
            ("AWS::Region", region.to_owned()),
            ("AWS::AccountId", account.to_owned()),
            ("AWS::StackName", name.to_owned()),
            (
                "AWS::StackId",
                format!("arn:{partition}:cloudformation:{region}:{account}:stack/{name}/{id}"),
            ),
            (
                "AWS::URLSuffix",
                match partition {
                    "aws-cn" => "amazonaws.com.cn".to_owned(),
                    _ => "amazonaws.com".to_owned(),
                },
            ),
        ]);
        let parameters = parameters(&template, given)?;
        let conditions = conditions(&template, |name| {
            let of_pseudo = || pseudo.get(name).map(|text| json!(text));
            parameters.get(name).cloned().or_else(of_pseudo)
        })?;
        Ok(Self {
            template,
            parameters,
            conditions,
            pseudo,
        })
    }

    /// The resources whose condition holds, each after those that it needs.
    ///
    /// # Errors
    /// When resources need each other, or one has no type.
    pub fn resources(&self) -> Result<Vec<Resource>, StackError> {
        let mut waiting = Vec::new();
        for (id, node) in self.declared() {
            let kind = node.member("Type").and_then(Node::as_str);
            let kind = kind.ok_or_else(|| StackError::NoType {
                id: id.to_owned(),
                line: node.line,
            })?;
            let resource = Resource {
                id: id.to_owned(),
                kind: kind.to_owned(),
                line: node.line,
            };
            waiting.push((resource, self.needs(node)));
        }
        let mut ordered: Vec<Resource> = Vec::new();
        while !waiting.is_empty() {
            let is_waiting: BTreeSet<String> =
                waiting.iter().map(|(one, _)| one.id.clone()).collect();
            let ready = waiting
                .iter()
                .position(|(_, needs)| needs.is_disjoint(&is_waiting));
            let Some(ready) = ready else {
                return Err(StackError::Circle(is_waiting.into_iter().collect()));
            };
            ordered.push(waiting.remove(ready).0);
        }
        Ok(ordered)
    }

    /// The properties of a resource without functions, once those it needs are made.
    ///
    /// # Errors
    /// When something in them is not known.
    pub fn properties(&self, id: &str, made: &BTreeMap<String, Made>) -> Result<Value, StackError> {
        let resource = self
            .template
            .member("Resources")
            .and_then(|all| all.member(id));
        match resource.and_then(|resource| resource.member("Properties")) {
            Some(properties) => self.resolved(properties, made),
            None => Ok(json!({})),
        }
    }

    /// The outputs whose condition holds.
    ///
    /// # Errors
    /// When something in them is not known.
    pub fn outputs(&self, made: &BTreeMap<String, Made>) -> Result<Vec<Output>, StackError> {
        let outputs = self.template.member("Outputs").into_iter();
        let outputs = outputs.flat_map(Node::members);
        let outputs = outputs.filter(|(_, output)| self.applies(output));
        outputs
            .filter_map(|(name, output)| Some((name, output.member("Value")?)))
            .map(|(name, value)| {
                let value = self.resolved(value, made)?;
                Ok(Output {
                    name: name.to_owned(),
                    value: value
                        .as_str()
                        .map_or_else(|| value.to_string(), str::to_owned),
                })
            })
            .collect()
    }

    fn resolved(&self, node: &Node, made: &BTreeMap<String, Made>) -> Result<Value, StackError> {
        let names = Known { stack: self, made };
        let scope = Scope::new(&self.template, &names);
        let value = scope
            .resolve(node)
            .map_or(Value::Null, |node| node.to_value());
        match scope.unknown().into_iter().next() {
            None => Ok(value),
            Some(unknown) => Err(StackError::Unknown {
                line: unknown.line,
                what: unknown.what,
            }),
        }
    }

    /// The resources whose condition holds.
    fn declared(&self) -> impl Iterator<Item = (&str, &Node)> {
        let resources = self.template.member("Resources").into_iter();
        resources
            .flat_map(Node::members)
            .filter(|(_, resource)| self.applies(resource))
    }

    fn applies(&self, part: &Node) -> bool {
        let condition = part.member("Condition").and_then(Node::as_str);
        condition.is_none_or(|name| self.conditions.get(name).copied().unwrap_or(false))
    }

    /// The resources that a resource needs.
    fn needs(&self, resource: &Node) -> BTreeSet<String> {
        let mut needs = BTreeSet::new();
        match resource.member("DependsOn") {
            Some(one) if one.as_str().is_some() => {
                needs.extend(one.as_str().map(str::to_owned));
            }
            Some(list) => {
                let list = list.as_list().unwrap_or_default().iter();
                needs.extend(list.filter_map(Node::as_str).map(str::to_owned));
            }
            None => {}
        }
        if let Some(properties) = resource.member("Properties") {
            self.named_in(properties, &mut needs);
        }
        needs
    }

    /// The names that functions in a value lead to; of `Fn::If`, those of the value that holds.
    fn named_in(&self, node: &Node, names: &mut BTreeSet<String>) {
        match &node.value {
            Tree::List(list) => list.iter().for_each(|item| self.named_in(item, names)),
            Tree::Object(members) => match members.as_slice() {
                [(function, argument)] if function == "Ref" => {
                    names.extend(argument.as_str().map(str::to_owned));
                }
                [(function, argument)] if function == "Fn::GetAtt" => {
                    names.extend(attribute(argument).map(|(resource, _)| resource));
                }
                [(function, argument)] if function == "Fn::Sub" => {
                    let (text, variables) = match argument.as_list() {
                        Some([text, variables]) => (text, Some(variables)),
                        _ => (argument, None),
                    };
                    let text = text.as_str().unwrap_or_default();
                    let own = |name: &str| {
                        variables.is_some_and(|variables| variables.member(name).is_some())
                    };
                    names.extend(
                        text.split("${")
                            .skip(1)
                            .filter_map(|part| part.split_once('}'))
                            .map(|(name, _)| name.trim())
                            .filter(|name| !name.starts_with('!') && !own(name))
                            .map(|name| name.split('.').next().unwrap_or(name).to_owned()),
                    );
                    if let Some(variables) = variables {
                        self.named_in(variables, names);
                    }
                }
                [(function, argument)] if function == "Fn::If" => {
                    if let Some([condition, yes, no]) = argument.as_list() {
                        let condition = condition.as_str().unwrap_or_default();
                        let holds = self.conditions.get(condition).copied().unwrap_or(false);
                        self.named_in(if holds { yes } else { no }, names);
                    }
                }
                members => members
                    .iter()
                    .for_each(|(_, value)| self.named_in(value, names)),
            },
            _ => {}
        }
    }
}

/// What names stand for once some resources are made.
struct Known<'a> {
    stack: &'a Stack,
    made: &'a BTreeMap<String, Made>,
}

impl Names for Known<'_> {
    fn reference(&self, name: &str) -> Option<Value> {
        let parameter = self.stack.parameters.get(name).cloned();
        let pseudo = || self.stack.pseudo.get(name).map(|text| json!(text));
        let resource = || self.made.get(name).map(|made| json!(made.reference));
        parameter.or_else(pseudo).or_else(resource)
    }

    fn attribute(&self, resource: &str, attribute: &str) -> Option<Value> {
        let made = self.made.get(resource)?;
        made.attributes.get(attribute).map(|text| json!(text))
    }

    fn condition(&self, name: &str) -> Option<bool> {
        self.stack.conditions.get(name).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    fn stack(text: &str) -> Result<Stack, StackError> {
        let place = ["aws", "eu-central-1", "123456789012", "stack"];
        Stack::new(yaml::read(text).unwrap(), &BTreeMap::new(), place)
    }

    fn order(stack: &Stack) -> Result<Vec<String>, StackError> {
        let resources = stack.resources()?.into_iter();
        Ok(resources.map(|one| one.id).collect())
    }

    #[test]
    fn the_pipeline_is_made_in_an_order_in_which_all_that_a_resource_needs_is_there() {
        let text = include_str!("../../../etc/cloudformation/sqs.yaml");
        let stack = stack(text).unwrap();
        let order = order(&stack).unwrap();
        let place = |id: &str| order.iter().position(|one| one == id).unwrap();
        assert_eq!(order.len(), 13, "{order:?}");
        for (first, then) in [
            ("SQSDeadLetterQueue", "SQSQueue"),
            ("SQSQueue", "IoTSQSPublisherRole"),
            ("IoTSQSPublisherRole", "IoTSQSPublishRule"),
            ("SQSProcessLambdaLog", "SQSProcessLambda"),
            ("SQSProcessLambda", "SQSLambdaEventSource"),
            ("SQSQueue", "QueueAgeAlarm"),
        ] {
            assert!(place(first) < place(then), "{first}, {then}: {order:?}");
        }
        let dead = Made {
            reference: "https://sqs/dead".to_owned(),
            attributes: BTreeMap::from([("Arn".to_owned(), "arn:dead".to_owned())]),
        };
        let made = BTreeMap::from([("SQSDeadLetterQueue".to_owned(), dead)]);
        let queue = stack.properties("SQSQueue", &made).unwrap();
        assert_eq!(
            queue,
            json!({
                "QueueName": "loadtestQueue",
                "SqsManagedSseEnabled": true,
                "MessageRetentionPeriod": 345_600,
                "VisibilityTimeout": 90,
                "RedrivePolicy": {"deadLetterTargetArn": "arn:dead", "maxReceiveCount": "5"},
            })
        );
        let too_early = stack.properties("IoTSQSPublishRule", &made).unwrap_err();
        assert!(
            matches!(too_early, StackError::Unknown { .. }),
            "{too_early}"
        );
    }

    #[test]
    fn what_a_condition_excludes_is_neither_made_nor_told() {
        let text = "
Parameters: {Name: {Type: String, Default: ''}}
Conditions: {Named: !Not [!Equals [!Ref Name, '']]}
Resources:
  A: {Type: T, Condition: Named, Properties: {B: !Ref B}}
  B: {Type: T, Properties: {Name: !If [Named, !Ref A, !Ref AWS::NoValue]}}
Outputs:
  A: {Condition: Named, Value: !Ref A}
  B: {Value: !Sub '${AWS::StackName} ${B}'}
";
        let stack = stack(text).unwrap();
        assert_eq!(order(&stack).unwrap(), ["B"]);
        let made = BTreeMap::from([(
            "B".to_owned(),
            Made {
                reference: "b".to_owned(),
                ..Made::default()
            },
        )]);
        assert_eq!(stack.properties("B", &made).unwrap(), json!({}));
        let outputs = stack.outputs(&made).unwrap();
        assert_eq!(
            outputs,
            [Output {
                name: "B".to_owned(),
                value: "stack b".to_owned()
            }]
        );
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        let circle =
            "Resources: {A: {Type: T, DependsOn: B}, B: {Type: T, Properties: {x: !GetAtt A.Arn}}}";
        let circle = stack(circle).unwrap().resources().unwrap_err();
        assert_eq!(
            circle,
            StackError::Circle(vec!["A".to_owned(), "B".to_owned()])
        );
        assert_eq!(stack("Resources: {}").unwrap_err(), StackError::NoResources);
        assert_eq!(stack("a: 1").unwrap_err(), StackError::NoResources);
        let typeless = stack("Resources: {A: {}}")
            .unwrap()
            .resources()
            .unwrap_err();
        assert!(matches!(typeless, StackError::NoType { .. }));
    }
}
