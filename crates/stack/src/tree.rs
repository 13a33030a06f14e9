//! A document as a tree in which every value knows its line.

use serde_json::{Map, Number, Value};

/// A value and where it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it is.
    pub value: Tree,
    /// Line of its first character, from 1.
    pub line: usize,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    Text(Text),
    /// A list.
    List(Vec<Node>),
    /// In the order of the document; no key occurs twice.
    Object(Vec<(String, Node)>),
}

/// A text.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    /// Its characters.
    pub text: String,
    /// Whether the lines of the text are lines of the document (a literal block of YAML).
    pub keeps_lines: bool,
    /// Whether it only stands for something that is not known.
    pub stands_in: bool,
}

impl Node {
    /// A text that is written on one line.
    pub fn text(text: impl Into<String>, line: usize) -> Self {
        let text = Text {
            text: text.into(),
            keeps_lines: false,
            stands_in: false,
        };
        Self {
            value: Tree::Text(text),
            line,
        }
    }

    /// Whether it is a text that only stands for something that is not known.
    pub fn stands_in(&self) -> bool {
        matches!(&self.value, Tree::Text(text) if text.stands_in)
    }

    /// A text that takes the place of this one.
    pub fn with_text(&self, text: String) -> Self {
        let keeps_lines = match &self.value {
            Tree::Text(own) => own.keeps_lines && own.text.lines().count() == text.lines().count(),
            _ => false,
        };
        Self {
            value: Tree::Text(Text {
                text,
                keeps_lines,
                stands_in: false,
            }),
            line: self.line,
        }
    }

    /// A text that stands for the value of this one, which is not known.
    pub fn with_stand_in(&self, text: String) -> Self {
        Self {
            value: Tree::Text(Text {
                text,
                keeps_lines: false,
                stands_in: true,
            }),
            line: self.line,
        }
    }

    /// A value that takes the place of this one.
    #[must_use]
    pub fn with_value(&self, value: Value) -> Self {
        match value {
            Value::String(text) => self.with_text(text),
            other => Self::at(other, self.line),
        }
    }

    /// A value all of which is written on one line.
    fn at(value: Value, line: usize) -> Self {
        let value = match value {
            Value::Null => Tree::Null,
            Value::Bool(value) => Tree::Bool(value),
            Value::Number(number) => Tree::Number(number),
            Value::String(text) => return Self::text(text, line),
            Value::Array(list) => {
                Tree::List(list.into_iter().map(|item| Self::at(item, line)).collect())
            }
            Value::Object(members) => {
                let members = members.into_iter();
                Tree::Object(
                    members
                        .map(|(key, value)| (key, Self::at(value, line)))
                        .collect(),
                )
            }
        };
        Self { value, line }
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Tree::Text(text) => Some(&text.text),
            _ => None,
        }
    }

    /// The items, if it is a list.
    pub fn as_list(&self) -> Option<&[Node]> {
        match &self.value {
            Tree::List(list) => Some(list),
            _ => None,
        }
    }

    /// The members, if it is an object.
    pub fn as_object(&self) -> Option<&[(String, Node)]> {
        match &self.value {
            Tree::Object(members) => Some(members),
            _ => None,
        }
    }

    /// The member of an object by its key.
    pub fn member(&self, key: &str) -> Option<&Node> {
        let members = self.as_object()?;
        members
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value)
    }

    /// The values of an object's members; none for anything else.
    pub fn members(&self) -> impl Iterator<Item = (&str, &Node)> {
        let members = self.as_object().unwrap_or_default().iter();
        members.map(|(key, value)| (key.as_str(), value))
    }

    /// The same without the places.
    pub fn to_value(&self) -> Value {
        match &self.value {
            Tree::Null => Value::Null,
            Tree::Bool(value) => Value::Bool(*value),
            Tree::Number(number) => Value::Number(number.clone()),
            Tree::Text(text) => Value::String(text.text.clone()),
            Tree::List(list) => list.iter().map(Node::to_value).collect(),
            Tree::Object(members) => {
                let members = members.iter();
                let members: Map<String, Value> = members
                    .map(|(key, value)| (key.clone(), value.to_value()))
                    .collect();
                Value::Object(members)
            }
        }
    }

    /// Line of the value that a JSON path leads to, for example `$.Statement[0].Action`; where a step is missing, that of
    /// the value in which it is missing.
    pub fn line_of(&self, path: &str) -> usize {
        let mut here = self;
        for step in steps(path) {
            let next = match &step {
                Step::Key(key) => here.member(key),
                Step::Index(index) => here.as_list().and_then(|list| list.get(*index)),
            };
            match next {
                Some(next) => here = next,
                None => break,
            }
        }
        here.line
    }
}

enum Step {
    Key(String),
    Index(usize),
}

/// The steps of a path as `jitp_core::template::json` writes them: `.key`, `['any key']`, `[0]`.
fn steps(path: &str) -> Vec<Step> {
    let mut rest = path.strip_prefix('$').unwrap_or(path);
    let mut steps = Vec::new();
    loop {
        if let Some(after) = rest.strip_prefix("['") {
            let Some((key, after)) = after.split_once("']") else {
                return steps;
            };
            steps.push(Step::Key(key.replace("\\'", "'").replace("\\\"", "\"")));
            rest = after;
        } else if let Some(after) = rest.strip_prefix('[') {
            let Some((index, after)) = after.split_once(']') else {
                return steps;
            };
            let Ok(index) = index.parse() else {
                return steps;
            };
            steps.push(Step::Index(index));
            rest = after;
        } else if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let (key, after) = after.split_at(end);
            steps.push(Step::Key(key.to_owned()));
            rest = after;
        } else {
            return steps;
        }
    }
}
