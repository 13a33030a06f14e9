//! The conditions of a template (CloudFormation user guide, "Conditions syntax reference").

use std::collections::BTreeMap;

use serde_json::Value;

use crate::intrinsics::{Names, Scope, written};
use crate::tree::Node;

/// Why it cannot be said whether a condition holds.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConditionError {
    /// No condition has this name.
    #[error("there is no condition {name}")]
    Missing {
        /// The name.
        name: String,
    },
    /// It depends on itself.
    #[error("the condition {name} depends on itself")]
    Circle {
        /// The name.
        name: String,
    },
    /// It is none of what conditions are made of, or compares what is not known before a deployment.
    #[error(
        "line {line}: this is no condition: Fn::Equals, Fn::And, Fn::Or, Fn::Not or Condition of what is known"
    )]
    Malformed {
        /// Line of it, from 1.
        line: usize,
    },
}

/// Whether each condition of a template holds; `reference` gives the values of parameters and pseudo parameters.
pub(crate) fn conditions(
    template: &Node,
    reference: impl Fn(&str) -> Option<Value>,
) -> Result<BTreeMap<String, bool>, ConditionError> {
    let parameters = Parameters(reference);
    let declared = template.member("Conditions").into_iter();
    let names: Vec<&str> = declared
        .flat_map(Node::members)
        .map(|(name, _)| name)
        .collect();
    let mut known = BTreeMap::new();
    for name in names {
        let judge = Judge {
            template,
            parameters: &parameters,
        };
        let holds = judge.named(name, &mut Vec::new())?;
        known.insert(name.to_owned(), holds);
    }
    Ok(known)
}

/// In conditions there are neither resources nor `Fn::If`.
struct Parameters<F>(F);

impl<F: Fn(&str) -> Option<Value>> Names for Parameters<F> {
    fn reference(&self, name: &str) -> Option<Value> {
        (self.0)(name)
    }

    fn attribute(&self, _: &str, _: &str) -> Option<Value> {
        None
    }

    fn condition(&self, _: &str) -> Option<bool> {
        None
    }
}

struct Judge<'a> {
    template: &'a Node,
    parameters: &'a dyn Names,
}

impl Judge<'_> {
    /// `above` are the conditions that ask for this one.
    fn named(&self, name: &str, above: &mut Vec<String>) -> Result<bool, ConditionError> {
        let own = || name.to_owned();
        if above.iter().any(|one| one == name) {
            return Err(ConditionError::Circle { name: own() });
        }
        let conditions = self.template.member("Conditions");
        let condition = conditions.and_then(|conditions| conditions.member(name));
        let condition = condition.ok_or_else(|| ConditionError::Missing { name: own() })?;
        above.push(own());
        let holds = self.holds(condition, above)?;
        above.pop();
        Ok(holds)
    }

    fn holds(&self, condition: &Node, above: &mut Vec<String>) -> Result<bool, ConditionError> {
        let malformed = || ConditionError::Malformed {
            line: condition.line,
        };
        let [(function, argument)] = condition.as_object().ok_or_else(malformed)? else {
            return Err(malformed());
        };
        if function == "Condition" {
            return self.named(argument.as_str().ok_or_else(malformed)?, above);
        }
        let list = argument.as_list().ok_or_else(malformed)?;
        let mut all = || {
            list.iter()
                .map(|one| self.holds(one, above))
                .collect::<Result<Vec<_>, _>>()
        };
        match (function.as_str(), list) {
            ("Fn::Equals", [one, other]) => {
                let scope = Scope::new(self.template, self.parameters);
                let value = |node| scope.resolve(node).map(|node| written(&node));
                let equal = value(one) == value(other);
                match scope.unknown().is_empty() {
                    true => Ok(equal),
                    false => Err(malformed()),
                }
            }
            ("Fn::Not", [_]) => Ok(!all()?[0]),
            ("Fn::And", [_, ..]) => Ok(all()?.into_iter().all(|holds| holds)),
            ("Fn::Or", [_, ..]) => Ok(all()?.into_iter().any(|holds| holds)),
            _ => Err(malformed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::yaml;

    fn judged(text: &str) -> Result<BTreeMap<String, bool>, ConditionError> {
        let template = yaml::read(&format!("Conditions:\n{text}")).unwrap();
        conditions(&template, |name| match name {
            "Empty" => Some(json!("")),
            "Three" => Some(json!("3")),
            _ => None,
        })
    }

    #[test]
    fn what_conditions_are_made_of() {
        let text = "
  Set: !Not [!Equals [!Ref Empty, '']]
  Three: !Equals [!Ref Three, 3]
  Both: !And [!Condition Set, !Condition Three]
  Either: !Or [!Condition Set, !Condition Three]
";
        let held = judged(text).unwrap();
        let held: Vec<_> = held
            .iter()
            .filter(|(_, holds)| **holds)
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(held, ["Either", "Three"]);
    }

    #[test]
    fn what_cannot_be_said() {
        let circle = judged("  A: !Not [!Condition B]\n  B: !Not [!Condition A]\n");
        assert!(
            matches!(circle, Err(ConditionError::Circle { .. })),
            "{circle:?}"
        );
        let missing = judged("  A: !Condition B\n");
        assert!(
            matches!(missing, Err(ConditionError::Missing { .. })),
            "{missing:?}"
        );
        for wrong in [
            "yes",
            "!Equals [a]",
            "!Not []",
            "!Equals [!Ref Other, a]",
            "[]",
            "{Fn::And: []}",
        ] {
            let judged = judged(&format!("  A: {wrong}\n"));
            assert_eq!(
                judged,
                Err(ConditionError::Malformed { line: 2 }),
                "{wrong}"
            );
        }
    }
}
