//! From JSON to expressions: which function may stand where, and with which arguments.

use serde_json::{Map, Value};

use super::{
    CERTIFICATE_ID, Find, Form, List, ListForm, Node, Piece, Room, Scope, Text, not_in_map,
    wrong_type,
};
use crate::template::{
    error::{Problem, TemplateError},
    json::{child, element, kind_of},
    suggest::did_you_mean,
};

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
    if name == CERTIFICATE_ID
        || scope
            .parameters
            .iter()
            .any(|parameter| parameter.name == name)
    {
        scope.references.borrow_mut().insert(name.to_owned());
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
