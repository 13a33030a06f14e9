//! The parameters of a template: what is given, or their Default, judged as CloudFormation judges them
//! (CloudFormation user guide, "Parameters syntax reference").

use std::collections::BTreeMap;

use regex_lite::Regex;
use serde_json::{Value, json};

use crate::intrinsics::written;
use crate::tree::Node;

/// Values of parameters, by name: a text each, or a list of them.
pub type Parameters = BTreeMap<String, Value>;

/// Why a parameter has no value, or not this one.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ParametersError {
    /// The template does not declare it.
    #[error("the template has no parameter {name}; it has {}", .declared.join(", "))]
    Undeclared {
        /// The name.
        name: String,
        /// Those it has.
        declared: Vec<String>,
    },
    /// It is neither given nor has a Default.
    #[error("the parameter {name} has no value")]
    Missing {
        /// The name.
        name: String,
    },
    /// It may not have this value.
    #[error("the parameter {name} cannot be {value:?}: {rule}")]
    Refused {
        /// The name.
        name: String,
        /// The value.
        value: String,
        /// What it must be.
        rule: String,
    },
    /// Its value comes from somewhere else than the template and whoever deploys it.
    #[error("the parameter {name} is of the type {kind}, which only CloudFormation can look up")]
    Elsewhere {
        /// The name.
        name: String,
        /// The type.
        kind: String,
    },
}

/// The values of all parameters that a template declares.
pub(crate) fn parameters(
    template: &Node,
    given: &BTreeMap<String, String>,
) -> Result<Parameters, ParametersError> {
    let declared: Vec<(&str, &Node)> = template
        .member("Parameters")
        .into_iter()
        .flat_map(Node::members)
        .collect();
    if let Some(name) = given
        .keys()
        .find(|name| declared.iter().all(|(known, _)| known != name))
    {
        return Err(ParametersError::Undeclared {
            name: name.clone(),
            declared: declared
                .iter()
                .map(|(name, _)| (*name).to_owned())
                .collect(),
        });
    }
    let values = declared.into_iter().map(|(name, declaration)| {
        let default = || declaration.member("Default").map(written);
        let value = given.get(name).cloned().or_else(default);
        let value = value.ok_or_else(|| ParametersError::Missing {
            name: name.to_owned(),
        })?;
        Ok((name.to_owned(), judged(name, declaration, value)?))
    });
    values.collect()
}

fn judged(name: &str, declaration: &Node, value: String) -> Result<Value, ParametersError> {
    let kind = declaration.member("Type").and_then(Node::as_str);
    let kind = kind.unwrap_or("String");
    if kind.starts_with("AWS::SSM::") {
        return Err(ParametersError::Elsewhere {
            name: name.to_owned(),
            kind: kind.to_owned(),
        });
    }
    let is_list = kind == "CommaDelimitedList" || kind.starts_with("List<");
    let parts: Vec<&str> = match is_list {
        true if value.is_empty() => Vec::new(),
        true => value.split(',').map(str::trim).collect(),
        false => vec![&value],
    };
    for part in &parts {
        if let Some(rule) = broken_rule(declaration, kind, part) {
            return Err(ParametersError::Refused {
                name: name.to_owned(),
                value: (*part).to_owned(),
                rule,
            });
        }
    }
    Ok(match is_list {
        true => json!(parts),
        false => json!(value),
    })
}

/// The first rule that a value breaks.
fn broken_rule(declaration: &Node, kind: &str, value: &str) -> Option<String> {
    let rule = |name| declaration.member(name);
    let said = |own: String| match rule("ConstraintDescription").and_then(Node::as_str) {
        Some(description) => Some(description.to_owned()),
        None => Some(own),
    };
    let number = |name| rule(name).map(written)?.parse::<f64>().ok();
    if kind == "Number" || kind == "List<Number>" {
        let Ok(own) = value.parse::<f64>() else {
            return said("it must be a number".to_owned());
        };
        let (least, most) = (number("MinValue"), number("MaxValue"));
        if least.is_some_and(|least| own < least) || most.is_some_and(|most| own > most) {
            return said(bounds("it must be", least, most));
        }
    }
    let length = value.chars().count() as f64;
    let (least, most) = (number("MinLength"), number("MaxLength"));
    if least.is_some_and(|least| length < least) || most.is_some_and(|most| length > most) {
        return said(bounds("its length must be", least, most));
    }
    if let Some(allowed) = rule("AllowedValues").and_then(Node::as_list) {
        let allowed: Vec<String> = allowed.iter().map(written).collect();
        if !allowed.iter().any(|one| one == value) {
            return said(format!("it must be one of {}", allowed.join(", ")));
        }
    }
    if let Some(pattern) = rule("AllowedPattern").and_then(Node::as_str) {
        // The whole value has to match. A pattern that only Java's expressions know is left to CloudFormation.
        let whole = Regex::new(&format!("^(?:{pattern})$"));
        if whole.is_ok_and(|whole| !whole.is_match(value)) {
            return said(format!("it must match {pattern}"));
        }
    }
    None
}

fn bounds(what: &str, least: Option<f64>, most: Option<f64>) -> String {
    match (least, most) {
        (Some(least), Some(most)) => format!("{what} from {least} to {most}"),
        (Some(least), None) => format!("{what} {least} at least"),
        (None, Some(most)) => format!("{what} {most} at most"),
        (None, None) => what.to_owned(), // no rule is broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    const DECLARED: &str = "
Parameters:
  Topic: {Type: String, Default: loadtest, AllowedPattern: '[a-z]{1,8}'}
  Batch: {Type: Number, Default: 10, MinValue: 1, MaxValue: 10}
  Kind: {Type: String, Default: x86_64, AllowedValues: [x86_64, arm64]}
  Names: {Type: CommaDelimitedList, Default: 'a, b'}
";

    fn judged(given: &[(&str, &str)]) -> Result<Parameters, ParametersError> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let template = yaml::read(DECLARED).unwrap();
        parameters(&template, &given.iter().map(own).collect())
    }

    #[test]
    fn what_is_not_given_has_its_default() {
        let values = judged(&[("Topic", "other")]).unwrap();
        let values: Vec<String> = values.values().map(Value::to_string).collect();
        assert_eq!(
            values,
            ["\"10\"", "\"x86_64\"", "[\"a\",\"b\"]", "\"other\""]
        );
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_rule() {
        for (name, value, rule) in [
            ("Topic", "UPPER", "match [a-z]{1,8}"),
            ("Topic", "toolongatopic", "match"),
            ("Batch", "11", "from 1 to 10"),
            ("Batch", "ten", "a number"),
            ("Kind", "mips", "one of x86_64, arm64"),
            ("Other", "x", "no parameter Other"),
        ] {
            let error = judged(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(rule), "{error}");
        }
        let template = yaml::read("Parameters: {A: {Type: String}}").unwrap();
        let missing = parameters(&template, &BTreeMap::new()).unwrap_err();
        assert!(matches!(missing, ParametersError::Missing { .. }));
    }
}
