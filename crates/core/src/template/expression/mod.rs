//! Text in a template that is known only once the parameters are: `Ref` and the `Fn::*` functions.
//!
//! Here is what they are and how they are evaluated; `read` makes them from JSON, `faults` finds what can never work.

mod faults;
mod read;

pub(crate) use read::is_function;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use serde_json::{Map, Value};

use super::{
    error::{Problem, TemplateError},
    json::{element, kind_of},
    suggest::did_you_mean,
};

/// The certificate's AWS id: the one parameter that may be referred to without being declared (AWS IoT developer
/// guide, "Provisioning templates", fleet example).
pub(crate) const CERTIFICATE_ID: &str = "AWS::IoT::Certificate::Id";

/// Longest text a function may produce, in bytes. Nested `Fn::Sub` could otherwise double its input at every level.
const LONGEST: usize = 64 * 1024;

/// `Mappings`: map name, first key, second key, and a string or a list of strings.
pub(crate) type Mappings = BTreeMap<String, BTreeMap<String, BTreeMap<String, Value>>>;

/// What an expression may refer to while it is read, the functions it used, and the parameters it referred to.
pub(crate) struct Scope<'a> {
    pub(crate) parameters: &'a [super::Parameter],
    pub(crate) mappings: &'a Mappings,
    pub(crate) resources: Vec<&'a str>,
    pub(crate) functions: RefCell<Vec<(String, &'static str)>>,
    pub(crate) references: RefCell<BTreeSet<String>>,
}

/// Where an expression stands: inside a policy `Fn::Join` does not exist, and policy variables pass untouched.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Room {
    Policy,
    Elsewhere,
}

/// The values an expression is evaluated with.
pub(crate) struct Values<'a> {
    pub(crate) parameter: &'a dyn Fn(&str) -> Option<String>,
    pub(crate) mappings: &'a Mappings,
}

/// Text, and the place it was written at.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    pub(crate) path: String,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Literal(String),
    Ref(String),
    Join {
        delimiter: String,
        list: Box<List>,
    },
    Select {
        index: Box<Text>,
        list: Box<List>,
    },
    Find(Box<Find>),
    Sub {
        pieces: Vec<Piece>,
        locals: Vec<(String, Text)>,
    },
}

#[derive(Clone, Debug)]
enum Piece {
    Literal(String),
    Name(String),
}

/// A list of texts.
#[derive(Clone, Debug)]
pub(crate) struct List {
    path: String,
    form: ListForm,
}

#[derive(Clone, Debug)]
enum ListForm {
    /// `None` is a null: an error only for the `Fn::Select` that picks it.
    Items(Vec<Option<Text>>),
    Split {
        delimiter: String,
        source: Text,
    },
    Find(Find),
}

#[derive(Clone, Debug)]
struct Find {
    map: Text,
    first: Text,
    second: Text,
}

/// A JSON value with texts in it: a policy document that is written as an object, or a device configuration.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Constant(Value),
    Text(Text),
    List(List),
    Array(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Text {
    /// The text for these values.
    pub(crate) fn evaluate(&self, values: &Values<'_>) -> Result<String, TemplateError> {
        let text = match &self.form {
            Form::Literal(text) => text.clone(),
            Form::Ref(name) => self.parameter(name, values)?,
            Form::Join { delimiter, list } => {
                let mut items = Vec::new();
                for (index, item) in list.evaluate(values)?.into_iter().enumerate() {
                    items.push(item.ok_or_else(|| null_at(&element(&list.path, index)))?);
                }
                let length =
                    items.iter().map(String::len).sum::<usize>() + delimiter.len() * items.len();
                self.bounded(length)?;
                items.join(delimiter)
            }
            Form::Select { index, list } => {
                let written = index.evaluate(values)?;
                let items = list.evaluate(values)?;
                let length = items.len();
                let chosen = written
                    .trim()
                    .parse::<usize>()
                    .ok()
                    .and_then(|at| items.into_iter().nth(at));
                match chosen {
                    Some(Some(text)) => text,
                    other => {
                        let null = if other.is_some() {
                            ", which is null"
                        } else {
                            ""
                        };
                        let problem = Problem::NothingSelected {
                            index: written,
                            length,
                            null,
                        };
                        return Err(TemplateError::new(&self.path, problem));
                    }
                }
            }
            Form::Find(find) => match find.evaluate(&self.path, values)? {
                Value::String(text) => text.clone(),
                other => {
                    return Err(wrong_type(
                        &self.path,
                        "a mapping that holds a single text here",
                        other,
                    ));
                }
            },
            Form::Sub { pieces, locals } => {
                let mut named = BTreeMap::new();
                for (name, text) in locals {
                    named.insert(name.as_str(), text.evaluate(values)?);
                }
                let mut text = String::new();
                for piece in pieces {
                    match piece {
                        Piece::Literal(literal) => text.push_str(literal),
                        Piece::Name(name) => match named.get(name.as_str()) {
                            Some(value) => text.push_str(value),
                            None => text.push_str(&self.parameter(name, values)?),
                        },
                    }
                    self.bounded(text.len())?;
                }
                text
            }
        };
        Ok(text)
    }

    fn parameter(&self, name: &str, values: &Values<'_>) -> Result<String, TemplateError> {
        (values.parameter)(name).ok_or_else(|| {
            TemplateError::new(
                &self.path,
                Problem::NoValue {
                    names: name.to_owned(),
                },
            )
        })
    }

    fn bounded(&self, length: usize) -> Result<(), TemplateError> {
        if length <= LONGEST {
            return Ok(());
        }
        Err(TemplateError::new(
            &self.path,
            Problem::TooMany {
                what: "bytes come out of a function",
                count: length,
                limit: LONGEST,
                remedy: "repeat less",
            },
        ))
    }

    /// The text, if it does not depend on any parameter.
    pub(crate) fn constant(&self, mappings: &Mappings) -> Option<String> {
        self.evaluate(&Values {
            parameter: &|_| None,
            mappings,
        })
        .ok()
    }

    /// The text as it was written, when no function was used.
    pub(crate) fn literal(&self) -> Option<&str> {
        match &self.form {
            Form::Literal(text) => Some(text),
            _ => None,
        }
    }
}

impl List {
    /// The texts for these values; `None` for a null.
    fn evaluate(&self, values: &Values<'_>) -> Result<Vec<Option<String>>, TemplateError> {
        match &self.form {
            ListForm::Items(items) => items
                .iter()
                .map(|item| item.as_ref().map(|text| text.evaluate(values)).transpose())
                .collect(),
            ListForm::Split { delimiter, source } => Ok(source
                .evaluate(values)?
                .split(delimiter.as_str())
                .map(|part| Some(part.to_owned()))
                .collect()),
            ListForm::Find(find) => match find.evaluate(&self.path, values)? {
                Value::Array(items) => Ok(items
                    .iter()
                    .map(|item| item.as_str().map(str::to_owned))
                    .collect()),
                other => Err(wrong_type(
                    &self.path,
                    "a mapping that holds a list here",
                    other,
                )),
            },
        }
    }

    /// The texts, each with the path it came from; a null is an error.
    pub(crate) fn texts(
        &self,
        values: &Values<'_>,
    ) -> Result<Vec<(String, String)>, TemplateError> {
        let items = self.evaluate(values)?.into_iter().enumerate();
        items
            .map(|(index, item)| {
                let path = match &self.form {
                    ListForm::Items(_) => element(&self.path, index),
                    _ => self.path.clone(),
                };
                item.map(|text| (path.clone(), text))
                    .ok_or_else(|| null_at(&path))
            })
            .collect()
    }

    /// The texts that do not depend on any parameter, each with its path.
    pub(crate) fn constants(&self, mappings: &Mappings) -> Vec<(String, String)> {
        match &self.form {
            ListForm::Items(items) => items
                .iter()
                .flatten()
                .filter_map(|text| {
                    text.constant(mappings)
                        .map(|constant| (text.path.clone(), constant))
                })
                .collect(),
            _ => self
                .texts(&Values {
                    parameter: &|_| None,
                    mappings,
                })
                .unwrap_or_default(),
        }
    }
}

impl Find {
    fn evaluate<'a>(&self, path: &str, values: &Values<'a>) -> Result<&'a Value, TemplateError> {
        let map_name = self.map.evaluate(values)?;
        let first_key = self.first.evaluate(values)?;
        let second_key = self.second.evaluate(values)?;
        let known = values.mappings.keys().map(String::as_str);
        let map = values
            .mappings
            .get(&map_name)
            .ok_or_else(|| not_in_map(path, "the mapping", &map_name, "Mappings", known))?;
        let first = map.get(&first_key).ok_or_else(|| {
            not_in_map(
                path,
                "the first key",
                &first_key,
                &map_name,
                map.keys().map(String::as_str),
            )
        })?;
        first.get(&second_key).ok_or_else(|| {
            let place = format!("{map_name}.{first_key}");
            not_in_map(
                path,
                "the second key",
                &second_key,
                &place,
                first.keys().map(String::as_str),
            )
        })
    }
}

impl Node {
    /// The JSON value for these parameter values.
    pub(crate) fn evaluate(&self, values: &Values<'_>) -> Result<Value, TemplateError> {
        Ok(match self {
            Self::Constant(value) => value.clone(),
            Self::Text(text) => match &text.form {
                // A mapping may hold a list, and a list is as good as a text in a policy document.
                Form::Find(find) => find.evaluate(&text.path, values)?.clone(),
                _ => Value::String(text.evaluate(values)?),
            },
            Self::List(list) => Value::Array(
                list.texts(values)?
                    .into_iter()
                    .map(|(_, text)| Value::String(text))
                    .collect(),
            ),
            Self::Array(nodes) => Value::Array(
                nodes
                    .iter()
                    .map(|node| node.evaluate(values))
                    .collect::<Result<_, _>>()?,
            ),
            Self::Object(members) => {
                let mut object = Map::new();
                for (key, node) in members {
                    object.insert(key.clone(), node.evaluate(values)?);
                }
                Value::Object(object)
            }
        })
    }
}

pub(crate) fn wrong_type(path: &str, expected: &'static str, found: &Value) -> TemplateError {
    TemplateError::new(
        path,
        Problem::WrongType {
            expected,
            found: kind_of(found),
        },
    )
}

fn null_at(path: &str) -> TemplateError {
    wrong_type(path, "a string", &Value::Null)
}

fn not_in_map<'a>(
    path: &str,
    what: &'static str,
    name: &str,
    place: &str,
    known: impl Iterator<Item = &'a str>,
) -> TemplateError {
    let names: Vec<&str> = known.collect();
    let problem = Problem::NotInMap {
        what,
        name: name.to_owned(),
        place: place.to_owned(),
        suggestion: did_you_mean(name, names.iter().copied()),
        known: if names.is_empty() {
            "is nothing".to_owned()
        } else {
            format!("are: {}", names.join(", "))
        },
    };
    TemplateError::new(path, problem)
}
