//! Text in a template that is known only once the parameters are: `Ref` and the `Fn::*` functions.

use std::{cell::RefCell, collections::BTreeMap};

use serde_json::{Map, Value};

use super::{
    error::{Problem, TemplateError},
    json::{child, element, kind_of},
    suggest::did_you_mean,
};

/// The certificate's AWS id: the one parameter that may be referred to without being declared (AWS IoT developer
/// guide, "Provisioning templates", fleet example).
pub(crate) const CERTIFICATE_ID: &str = "AWS::IoT::Certificate::Id";

/// Longest text a function may produce, in bytes. Nested `Fn::Sub` could otherwise double its input at every level.
const LONGEST: usize = 64 * 1024;

/// `Mappings`: map name, first key, second key, and a string or a list of strings.
pub(crate) type Mappings = BTreeMap<String, BTreeMap<String, BTreeMap<String, Value>>>;

/// What an expression may refer to while it is read, and what it did refer to.
pub(crate) struct Scope<'a> {
    pub(crate) parameters: &'a [super::Parameter],
    pub(crate) mappings: &'a Mappings,
    pub(crate) resources: Vec<&'a str>,
    pub(crate) functions: RefCell<Vec<(String, &'static str)>>,
    pub(crate) references: RefCell<Vec<(String, String)>>,
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
    /// Reads a string or a function that gives one.
    pub(crate) fn read(
        value: &Value,
        path: &str,
        room: Room,
        scope: &Scope<'_>,
    ) -> Result<Self, TemplateError> {
        let form = match value {
            Value::String(text) => Form::Literal(text.clone()),
            Value::Object(object) => Self::function(object, path, room, scope)?,
            other => {
                let expected = match other {
                    Value::Number(_) | Value::Bool(_) => "a string (put it in quotes) or a Ref",
                    _ => "a string, or a function that gives one such as {\"Ref\": \"…\"}",
                };
                return Err(wrong_type(path, expected, other));
            }
        };
        Ok(Self {
            path: path.to_owned(),
            form,
        })
    }

    fn function(
        object: &Map<String, Value>,
        path: &str,
        room: Room,
        scope: &Scope<'_>,
    ) -> Result<Form, TemplateError> {
        let (name, argument) = only_member(object, path)?;
        let place = child(path, name);
        match name {
            "Ref" => {
                let Value::String(parameter) = argument else {
                    return Err(wrong_type(
                        &place,
                        "the name of a parameter, as a string",
                        argument,
                    ));
                };
                declared(parameter, &place, scope)?;
                Ok(Form::Ref(parameter.clone()))
            }
            "Fn::Join" => {
                if room == Room::Policy {
                    return Err(TemplateError::new(
                        place,
                        Problem::FunctionNotHere {
                            function: "Fn::Join".to_owned(),
                            place: "inside a policy",
                            remedy: "AWS IoT does not evaluate it there; use Fn::Sub",
                        },
                    ));
                }
                note(scope, path, "Fn::Join");
                let form = r#"{"Fn::Join": ["delimiter", ["a", "b"]]}"#;
                let [delimiter, list] = arguments(argument, &place, "Fn::Join", form)?;
                Ok(Form::Join {
                    delimiter: constant_text(delimiter, &element(&place, 0), "Fn::Join", form)?,
                    list: Box::new(List::read(list, &element(&place, 1), room, scope)?),
                })
            }
            "Fn::Select" => {
                note(scope, path, "Fn::Select");
                let [index, list] = arguments(
                    argument,
                    &place,
                    "Fn::Select",
                    r#"{"Fn::Select": [0, ["a", "b"]]}"#,
                )?;
                let at = element(&place, 0);
                let index = match index {
                    Value::Number(number) => Self {
                        path: at,
                        form: Form::Literal(number.to_string()),
                    },
                    other => Self::read(other, &at, room, scope)?,
                };
                let list = List::read(list, &element(&place, 1), room, scope)?;
                Ok(Form::Select {
                    index: Box::new(index),
                    list: Box::new(list),
                })
            }
            "Fn::FindInMap" => {
                note(scope, path, "Fn::FindInMap");
                Ok(Form::Find(Box::new(Find::read(
                    argument, &place, room, scope,
                )?)))
            }
            "Fn::Sub" => {
                note(scope, path, "Fn::Sub");
                Self::substitution(argument, &place, room, scope)
            }
            "Fn::Split" => Err(TemplateError::new(
                place,
                Problem::FunctionNotHere {
                    function: "Fn::Split".to_owned(),
                    place: "where a single text is expected",
                    remedy: "it gives a list; pick one of it with {\"Fn::Select\": [0, {\"Fn::Split\": …}]}",
                },
            )),
            other => Err(unknown_function(other, path)),
        }
    }

    /// `Fn::Sub` in both forms CloudFormation has: a string, or `[string, {name: value}]`. `${!x}` stands for `${x}`.
    fn substitution(
        argument: &Value,
        place: &str,
        room: Room,
        scope: &Scope<'_>,
    ) -> Result<Form, TemplateError> {
        const FORM: &str =
            r#"{"Fn::Sub": "…${Name}…"} or {"Fn::Sub": ["…${Name}…", {"Name": "value"}]}"#;
        let mut locals = Vec::new();
        let source = match argument {
            Value::String(source) => source,
            Value::Array(_) => {
                let [source, map] = arguments(argument, place, "Fn::Sub", FORM)?;
                let at = element(place, 1);
                let Value::Object(map) = map else {
                    return Err(wrong_form(
                        &at,
                        "Fn::Sub",
                        FORM,
                        format!("found {}", kind_of(map)),
                    ));
                };
                for (name, value) in map {
                    locals.push((
                        name.clone(),
                        Self::read(value, &child(&at, name), room, scope)?,
                    ));
                }
                match source {
                    Value::String(source) => source,
                    other => {
                        return Err(wrong_form(
                            &element(place, 0),
                            "Fn::Sub",
                            FORM,
                            format!("found {}", kind_of(other)),
                        ));
                    }
                }
            }
            other => {
                return Err(wrong_form(
                    place,
                    "Fn::Sub",
                    FORM,
                    format!("found {}", kind_of(other)),
                ));
            }
        };
        let mut pieces = Vec::new();
        let mut rest = source.as_str();
        while let Some(start) = rest.find("${") {
            let (before, from) = rest.split_at(start);
            let Some(end) = from.find('}') else { break };
            let name = &from[2..end];
            push_literal(&mut pieces, before);
            if let Some(escaped) = name.strip_prefix('!') {
                push_literal(&mut pieces, &format!("${{{escaped}}}"));
            } else if locals.iter().any(|(local, _)| local == name) {
                pieces.push(Piece::Name(name.to_owned()));
            } else if room == Room::Policy && is_policy_variable(name) {
                // Belongs to the policy, and is replaced when a device connects.
                push_literal(&mut pieces, &from[..=end]);
            } else {
                declared(name, place, scope)?;
                pieces.push(Piece::Name(name.to_owned()));
            }
            rest = &from[end + 1..];
        }
        push_literal(&mut pieces, rest);
        Ok(Form::Sub { pieces, locals })
    }

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
    /// Reads an array of texts, or a function that gives a list.
    pub(crate) fn read(
        value: &Value,
        path: &str,
        room: Room,
        scope: &Scope<'_>,
    ) -> Result<Self, TemplateError> {
        let form = match value {
            Value::Array(items) => {
                let mut list = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    list.push(match item {
                        Value::Null => None,
                        item => Some(Text::read(item, &element(path, index), room, scope)?),
                    });
                }
                ListForm::Items(list)
            }
            Value::Object(object) => Self::function(object, path, room, scope)?,
            other => return Err(wrong_type(path, "a list", other)),
        };
        Ok(Self {
            path: path.to_owned(),
            form,
        })
    }

    fn function(
        object: &Map<String, Value>,
        path: &str,
        room: Room,
        scope: &Scope<'_>,
    ) -> Result<ListForm, TemplateError> {
        let (name, argument) = only_member(object, path)?;
        let place = child(path, name);
        match name {
            "Fn::Split" => {
                const FORM: &str = r#"{"Fn::Split": ["delimiter", "text"]}"#;
                note(scope, path, "Fn::Split");
                let [delimiter, source] = arguments(argument, &place, "Fn::Split", FORM)?;
                let delimiter = constant_text(delimiter, &element(&place, 0), "Fn::Split", FORM)?;
                if delimiter.is_empty() {
                    return Err(wrong_form(
                        &place,
                        "Fn::Split",
                        FORM,
                        "the delimiter is empty".to_owned(),
                    ));
                }
                let source = Text::read(source, &element(&place, 1), room, scope)?;
                Ok(ListForm::Split { delimiter, source })
            }
            "Fn::FindInMap" => {
                note(scope, path, "Fn::FindInMap");
                Ok(ListForm::Find(Find::read(argument, &place, room, scope)?))
            }
            "Ref" | "Fn::Join" | "Fn::Select" | "Fn::Sub" => Err(TemplateError::new(
                place,
                Problem::FunctionNotHere {
                    function: name.to_owned(),
                    place: "where a list is expected",
                    remedy: "it gives a single text; put it in brackets",
                },
            )),
            other => Err(unknown_function(other, path)),
        }
    }

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
    fn read(
        argument: &Value,
        place: &str,
        room: Room,
        scope: &Scope<'_>,
    ) -> Result<Self, TemplateError> {
        let form = r#"{"Fn::FindInMap": ["Map", "first key", "second key"]}"#;
        let [map, first, second] = arguments(argument, place, "Fn::FindInMap", form)?;
        let find = Self {
            map: Text::read(map, &element(place, 0), room, scope)?,
            first: Text::read(first, &element(place, 1), room, scope)?,
            second: Text::read(second, &element(place, 2), room, scope)?,
        };
        if let Some(name) = find.map.literal()
            && !scope.mappings.contains_key(name)
        {
            let known = scope.mappings.keys().map(String::as_str);
            return Err(not_in_map(
                &find.map.path,
                "the mapping",
                name,
                "Mappings",
                known,
            ));
        }
        Ok(find)
    }

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
    /// Reads any JSON value, with functions wherever a text or a list can stand.
    pub(crate) fn read(
        value: &Value,
        path: &str,
        room: Room,
        scope: &Scope<'_>,
    ) -> Result<Self, TemplateError> {
        Ok(match value {
            Value::String(text) => Self::Text(Text {
                path: path.to_owned(),
                form: Form::Literal(text.clone()),
            }),
            Value::Array(items) => {
                let nodes = items.iter().enumerate();
                Self::Array(
                    nodes
                        .map(|(index, item)| Self::read(item, &element(path, index), room, scope))
                        .collect::<Result<_, _>>()?,
                )
            }
            Value::Object(object) if is_function(object) => {
                if object.contains_key("Fn::Split") {
                    Self::List(List::read(value, path, room, scope)?)
                } else {
                    Self::Text(Text::read(value, path, room, scope)?)
                }
            }
            Value::Object(object) => {
                let mut members = Vec::with_capacity(object.len());
                for (key, value) in object {
                    members.push((
                        key.clone(),
                        Self::read(value, &child(path, key), room, scope)?,
                    ));
                }
                Self::Object(members)
            }
            constant => Self::Constant(constant.clone()),
        })
    }

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

/// Whether an object is a function call and not a plain object.
pub(crate) fn is_function(object: &Map<String, Value>) -> bool {
    object.len() == 1
        && object
            .keys()
            .all(|key| key == "Ref" || key.starts_with("Fn::"))
}

/// `iot:ClientId`, `aws:SourceIp`, `*`, `?`, `$`: what `${…}` can hold in a policy when it is evaluated. Parameters
/// with a colon in their name are the `AWS::…` ones.
fn is_policy_variable(name: &str) -> bool {
    matches!(name, "*" | "?" | "$") || (name.contains(':') && !name.starts_with("AWS::"))
}

fn push_literal(pieces: &mut Vec<Piece>, text: &str) {
    match pieces.last_mut() {
        _ if text.is_empty() => {}
        Some(Piece::Literal(last)) => last.push_str(text),
        _ => pieces.push(Piece::Literal(text.to_owned())),
    }
}

fn note(scope: &Scope<'_>, path: &str, function: &'static str) {
    scope
        .functions
        .borrow_mut()
        .push((path.to_owned(), function));
}

fn declared(name: &str, path: &str, scope: &Scope<'_>) -> Result<(), TemplateError> {
    scope
        .references
        .borrow_mut()
        .push((path.to_owned(), name.to_owned()));
    if name == CERTIFICATE_ID
        || scope
            .parameters
            .iter()
            .any(|parameter| parameter.name == name)
    {
        return Ok(());
    }
    let names: Vec<&str> = scope
        .parameters
        .iter()
        .map(|parameter| parameter.name.as_str())
        .collect();
    let declared = if scope.resources.contains(&name) {
        "it is the name of a resource, and only parameters can be referred to".to_owned()
    } else if names.is_empty() {
        format!(
            "declare it under Parameters: \"{}\": {{\"Type\": \"String\"}}",
            name.escape_debug()
        )
    } else {
        format!("declared: {}", names.join(", "))
    };
    let problem = Problem::UndeclaredReference {
        name: name.to_owned(),
        suggestion: did_you_mean(name, names.iter().copied()),
        declared,
    };
    Err(TemplateError::new(path, problem))
}

fn only_member<'a>(
    object: &'a Map<String, Value>,
    path: &str,
) -> Result<(&'a str, &'a Value), TemplateError> {
    let mut members = object.iter();
    match (members.next(), members.next()) {
        (Some((name, argument)), None) => Ok((name, argument)),
        _ => {
            let problem = Problem::WrongType {
                expected: "a string or one function such as {\"Ref\": \"…\"}",
                found: if object.is_empty() {
                    "an empty object"
                } else {
                    "an object with several members"
                },
            };
            Err(TemplateError::new(path, problem))
        }
    }
}

fn arguments<'a, const N: usize>(
    argument: &'a Value,
    path: &str,
    function: &'static str,
    form: &'static str,
) -> Result<&'a [Value; N], TemplateError> {
    let Value::Array(list) = argument else {
        return Err(wrong_form(
            path,
            function,
            form,
            format!("found {}", kind_of(argument)),
        ));
    };
    list.as_slice().try_into().map_err(|_| {
        wrong_form(
            path,
            function,
            form,
            format!("found {} arguments", list.len()),
        )
    })
}

fn constant_text(
    value: &Value,
    path: &str,
    function: &'static str,
    form: &'static str,
) -> Result<String, TemplateError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        other => Err(wrong_form(
            path,
            function,
            form,
            format!("found {} as the delimiter", kind_of(other)),
        )),
    }
}

fn wrong_form(
    path: &str,
    function: &'static str,
    form: &'static str,
    found: String,
) -> TemplateError {
    TemplateError::new(
        path,
        Problem::FunctionForm {
            function,
            form,
            found,
        },
    )
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

fn unknown_function(name: &str, path: &str) -> TemplateError {
    let known = [
        "Ref",
        "Fn::Join",
        "Fn::Select",
        "Fn::FindInMap",
        "Fn::Split",
        "Fn::Sub",
    ];
    let problem = Problem::UnknownFunction {
        name: name.to_owned(),
        suggestion: did_you_mean(name, known),
    };
    TemplateError::new(path, problem)
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
