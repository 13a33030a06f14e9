//! Policy documents: from JSON text to statements.
//!
//! The grammar is that of the AWS IoT developer guide, "AWS IoT Core policies": what IAM has, without Principal.

use std::{fmt, sync::Arc};

use jitp_core::template::{
    json::{self, child, element, kind_of},
    suggest::did_you_mean,
};
use serde_json::{Map, Value};

use super::{
    action::Action,
    condition::Condition,
    malformed::{MalformedPolicy, PolicyFault},
    matcher::Matcher,
    pattern::{Pattern, Token},
    warnings::{self, PolicyWarning},
};

/// Characters a document can have, white space not counted ("AWS IoT Core endpoints and quotas").
pub const LONGEST_DOCUMENT: usize = 2_048;

/// Bytes a document can have with white space (AWS IoT API reference, PolicyDocument).
const LONGEST_TEXT: usize = 404_600;

/// Levels of nesting; a condition's list of values is the sixth.
const DEEPEST: usize = 16;

/// A policy document that has been read and found well-formed.
#[derive(Clone, Debug)]
pub struct PolicyDocument {
    pub(crate) statements: Box<[Statement]>,
    warnings: Box<[PolicyWarning]>,
}

/// A document and the name it goes by in reasons.
#[derive(Clone, Debug)]
pub struct NamedPolicy {
    /// The policy's name.
    pub name: String,
    /// Its default version.
    pub document: Arc<PolicyDocument>,
}

/// What a statement does with what it matches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Effect {
    /// It may be done, unless another statement denies it.
    Allow,
    /// It may not be done, whatever other statements say.
    Deny,
}

#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) sid: Option<Box<str>>,
    pub(crate) effect: Effect,
    /// The actions as written.
    pub(crate) action_texts: Box<[Box<str>]>,
    /// The actions that match, as bits.
    pub(crate) actions: u32,
    pub(crate) resources: Box<[Pattern]>,
    /// The resources are those that do *not* match (NotResource).
    pub(crate) negated: bool,
    pub(crate) conditions: Box<[Condition]>,
}

impl PolicyDocument {
    /// Reads a document.
    ///
    /// # Errors
    /// The first fault, with its JSON path and the way out.
    pub fn parse(text: &str) -> Result<Self, MalformedPolicy> {
        let length = text
            .chars()
            .filter(|letter| !letter.is_whitespace())
            .count();
        if length > LONGEST_DOCUMENT || text.len() > LONGEST_TEXT {
            return Err(MalformedPolicy::new(
                "$",
                PolicyFault::TooLong {
                    length,
                    limit: LONGEST_DOCUMENT,
                },
            ));
        }
        let root = json::read(text, DEEPEST)?;
        let root = object(&root, "$", "an object with Version and Statement")?;
        known_keys(
            root,
            "$",
            &["Version", "Id", "Statement"],
            "Version, Id, Statement",
        )?;
        match root.get("Version") {
            Some(Value::String(version)) if version == "2012-10-17" => {}
            Some(Value::String(version)) => {
                return Err(MalformedPolicy::new(
                    "$.Version",
                    PolicyFault::Version {
                        found: version.clone(),
                    },
                ));
            }
            Some(other) => return Err(wrong_type("$.Version", "the string \"2012-10-17\"", other)),
            None => return Err(missing("$", "Version", "add \"Version\": \"2012-10-17\"")),
        }
        let statements: Box<[Statement]> = match root.get("Statement") {
            Some(one @ Value::Object(_)) => Box::new([read_statement(one, "$.Statement")?]),
            Some(Value::Array(list)) if list.is_empty() => {
                return Err(MalformedPolicy::new(
                    "$.Statement",
                    PolicyFault::Empty { what: "statement" },
                ));
            }
            Some(Value::Array(list)) => {
                let read = |(index, one)| read_statement(one, &element("$.Statement", index));
                list.iter()
                    .enumerate()
                    .map(read)
                    .collect::<Result<_, _>>()?
            }
            Some(other) => {
                return Err(wrong_type(
                    "$.Statement",
                    "a statement or a list of them",
                    other,
                ));
            }
            None => return Err(missing("$", "Statement", "add at least one statement")),
        };
        let is_list = root.get("Statement").is_some_and(Value::is_array);
        let warnings = warnings::of(&statements, is_list).into();
        Ok(Self {
            statements,
            warnings,
        })
    }

    /// What is well-formed but probably not meant: actions that do not exist, resources that an action is never
    /// judged on, MQTT wildcards.
    #[must_use]
    pub fn warnings(&self) -> &[PolicyWarning] {
        &self.warnings
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Allow => "Allow",
            Self::Deny => "Deny",
        })
    }
}

fn read_statement(value: &Value, path: &str) -> Result<Statement, MalformedPolicy> {
    const KNOWN: &str = "Sid, Effect, Action, Resource, NotResource, Condition";
    let statement = object(
        value,
        path,
        "a statement: an object with Effect, Action and Resource",
    )?;
    known_keys(
        statement,
        path,
        &[
            "Sid",
            "Effect",
            "Action",
            "Resource",
            "NotResource",
            "Condition",
        ],
        KNOWN,
    )?;
    let sid = match statement.get("Sid") {
        Some(Value::String(sid)) => Some(sid.as_str().into()),
        Some(other) => return Err(wrong_type(&child(path, "Sid"), "a string", other)),
        None => None,
    };
    let effect_path = child(path, "Effect");
    let effect = match statement.get("Effect") {
        Some(Value::String(effect)) => match effect.as_str() {
            "Allow" => Effect::Allow,
            "Deny" => Effect::Deny,
            other => {
                return Err(MalformedPolicy::new(
                    effect_path,
                    PolicyFault::Effect {
                        found: other.to_owned(),
                    },
                ));
            }
        },
        Some(other) => return Err(wrong_type(&effect_path, "\"Allow\" or \"Deny\"", other)),
        None => {
            return Err(missing(
                path,
                "Effect",
                "add \"Effect\": \"Allow\" or \"Deny\"",
            ));
        }
    };
    let action_path = child(path, "Action");
    let action_texts = match statement.get("Action") {
        Some(value) => texts(value, &action_path, "action")?,
        None => {
            return Err(missing(
                path,
                "Action",
                "add for example \"Action\": \"iot:Publish\"",
            ));
        }
    };
    let mut actions = 0;
    for (place, text) in &action_texts {
        actions |= matching_actions(text, place)?;
    }
    let (negated, key) = match (
        statement.contains_key("Resource"),
        statement.contains_key("NotResource"),
    ) {
        (true, false) => (false, "Resource"),
        (false, true) => (true, "NotResource"),
        (both, _) => {
            let found = if both {
                "Resource and NotResource stand together"
            } else {
                "neither is there"
            };
            return Err(MalformedPolicy::new(
                path,
                PolicyFault::OneResource { found },
            ));
        }
    };
    let mut resources = Vec::new();
    if let Some(value) = statement.get(key) {
        for (place, text) in texts(value, &child(path, key), "resource")? {
            // CreatePolicy answers "The following resources are invalid" to anything that is no ARN.
            let is_resource = text.starts_with("arn:") || text.starts_with('*');
            if !is_resource {
                return Err(MalformedPolicy::new(
                    place,
                    PolicyFault::Resource { found: text },
                ));
            }
            resources.push(Pattern::parse(&text, true));
        }
    }
    let conditions = match statement.get("Condition") {
        Some(value) => Condition::read(value, &child(path, "Condition"))?,
        None => Vec::new(),
    };
    Ok(Statement {
        sid,
        effect,
        action_texts: action_texts
            .into_iter()
            .map(|(_, text)| text.into())
            .collect(),
        actions,
        resources: resources.into(),
        negated,
        conditions: conditions.into(),
    })
}

/// The actions a text such as `iot:*` stands for, as bits; an action that nobody knows stands for none.
fn matching_actions(text: &str, path: &str) -> Result<u32, MalformedPolicy> {
    let well_formed = text == "*"
        || text.split_once(':').is_some_and(|(service, name)| {
            let plain = |part: &str| {
                !part.is_empty()
                    && part
                        .chars()
                        .all(|letter| letter.is_ascii_alphanumeric() || "-_*?".contains(letter))
            };
            plain(service) && plain(name)
        });
    if !well_formed {
        return Err(MalformedPolicy::new(
            path,
            PolicyFault::Action {
                found: text.to_owned(),
            },
        ));
    }
    let tokens: Vec<Token> = text
        .chars()
        .map(|letter| match letter {
            '*' => Token::Star,
            '?' => Token::One,
            other => Token::Literal(other.to_ascii_lowercase()),
        })
        .collect();
    let matcher = Matcher::new(&tokens);
    let matches = |action: &&Action| {
        let (name, older) = action.names();
        matcher.matches(&name.to_ascii_lowercase())
            || older.is_some_and(|older| matcher.matches(&older.to_ascii_lowercase()))
    };
    Ok(Action::ALL
        .iter()
        .filter(matches)
        .fold(0, |bits, action| bits | action.bit()))
}

/// One string or a list of them, each with its path.
fn texts(
    value: &Value,
    path: &str,
    what: &'static str,
) -> Result<Vec<(String, String)>, MalformedPolicy> {
    match value {
        Value::String(text) => Ok(vec![(path.to_owned(), text.clone())]),
        Value::Array(list) if list.is_empty() => {
            Err(MalformedPolicy::new(path, PolicyFault::Empty { what }))
        }
        Value::Array(list) => list
            .iter()
            .enumerate()
            .map(|(index, item)| {
                let place = element(path, index);
                match item {
                    Value::String(text) => Ok((place, text.clone())),
                    other => Err(wrong_type(&place, "a string", other)),
                }
            })
            .collect(),
        other => Err(wrong_type(path, "a string or a list of strings", other)),
    }
}

pub(crate) fn object<'a>(
    value: &'a Value,
    path: &str,
    expected: &'static str,
) -> Result<&'a Map<String, Value>, MalformedPolicy> {
    value
        .as_object()
        .ok_or_else(|| wrong_type(path, expected, value))
}

pub(crate) fn wrong_type(path: &str, expected: &'static str, found: &Value) -> MalformedPolicy {
    MalformedPolicy::new(
        path,
        PolicyFault::WrongType {
            expected,
            found: kind_of(found),
        },
    )
}

fn known_keys(
    object: &Map<String, Value>,
    path: &str,
    keys: &[&str],
    known: &'static str,
) -> Result<(), MalformedPolicy> {
    let Some(key) = object.keys().find(|key| !keys.contains(&key.as_str())) else {
        return Ok(());
    };
    let suggestion = match key.as_str() {
        "Principal" | "NotPrincipal" => {
            "; an IoT policy is attached to its principal and does not name it".to_owned()
        }
        "NotAction" => "; AWS documents no NotAction for IoT policies, list the actions".to_owned(),
        other => did_you_mean(other, keys.iter().copied()),
    };
    Err(MalformedPolicy::new(
        child(path, key),
        PolicyFault::UnknownKey {
            key: key.clone(),
            suggestion,
            known,
        },
    ))
}

fn missing(path: &str, key: &'static str, remedy: &'static str) -> MalformedPolicy {
    MalformedPolicy::new(path, PolicyFault::Missing { key, remedy })
}
