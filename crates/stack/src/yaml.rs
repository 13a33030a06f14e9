//! YAML into a tree with lines; the short forms of CloudFormation's functions (`!Ref x`) as the long ones.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};
use serde_json::Number;

use crate::tree::{Node, Text, Tree};

/// What is wrong with a YAML text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct YamlError {
    /// What is wrong, and the way out.
    pub message: String,
    /// Line of it, from 1.
    pub line: usize,
}

impl YamlError {
    fn new(message: impl Into<String>, line: usize) -> Self {
        Self {
            message: message.into(),
            line,
        }
    }
}

/// Reads the one document of a YAML text (YAML 1.2).
///
/// # Errors
/// What is no YAML, repeats a key, is nested more than 100 levels deep or, its aliases expanded, has more than 200,000
/// values; and more than one document.
pub fn read(text: &str) -> Result<Node, YamlError> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            YamlError::new(format!("not YAML: {}", error.info()), error.marker().line())
        })?;
        builder.take(event, span.start)?;
    }
    builder
        .document
        .ok_or_else(|| YamlError::new("the document is empty", 1))
}

#[derive(Default)]
struct Builder {
    open: Vec<Collection>,
    anchors: HashMap<usize, Node>,
    values: usize,
    document: Option<Node>,
}

/// A list or an object that has begun.
struct Collection {
    line: usize,
    anchor: usize,
    tag: Option<String>,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Object {
        members: Vec<(String, Node)>,
        /// The key whose value comes next.
        key: Option<String>,
    },
}

impl Builder {
    fn take(&mut self, event: Event<'_>, place: Marker) -> Result<(), YamlError> {
        let line = place.line();
        match event {
            Event::SequenceStart(anchor, tag) => {
                self.begin(anchor, tag.as_deref(), line, Content::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                let content = Content::Object {
                    members: Vec::new(),
                    key: None,
                };
                self.begin(anchor, tag.as_deref(), line, content)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Scalar(text, style, anchor, tag) => {
                // Where a tag or an anchor stands before a literal block, that is the place of the event.
                let below = style == ScalarStyle::Literal && (tag.is_some() || anchor != 0);
                let tag = tag.as_deref().and_then(own_tag);
                let node = Node {
                    value: scalar(&text, style, tag.is_some()),
                    line: line + usize::from(below),
                };
                self.finished(node, anchor, tag)
            }
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).cloned();
                let node =
                    node.ok_or_else(|| YamlError::new("an alias stands in its own value", line))?;
                self.values += count(&node);
                self.finished(node, 0, None)
            }
            Event::DocumentStart(_) if self.document.is_some() => Err(YamlError::new(
                "a second document begins here; give each a file of its own",
                line,
            )),
            Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::StreamStart
            | Event::StreamEnd
            | Event::Nothing => Ok(()),
        }
    }

    fn begin(
        &mut self,
        anchor: usize,
        tag: Option<&Tag>,
        line: usize,
        content: Content,
    ) -> Result<(), YamlError> {
        if self.open.len() >= DEEPEST {
            let message = format!("nested deeper than {DEEPEST} levels");
            return Err(YamlError::new(message, line));
        }
        self.open.push(Collection {
            line,
            anchor,
            tag: tag.and_then(own_tag),
            content,
        });
        Ok(())
    }

    fn end(&mut self) -> Result<(), YamlError> {
        let Some(collection) = self.open.pop() else {
            return Ok(()); // the parser balances them
        };
        let value = match collection.content {
            Content::List(list) => Tree::List(list),
            Content::Object { members, .. } => Tree::Object(members),
        };
        let node = Node {
            value,
            line: collection.line,
        };
        self.finished(node, collection.anchor, collection.tag)
    }

    /// A value is complete: it goes into the collection around it.
    fn finished(
        &mut self,
        node: Node,
        anchor: usize,
        tag: Option<String>,
    ) -> Result<(), YamlError> {
        let line = node.line;
        self.values += 1;
        if self.values > MOST {
            let message = format!("more than {MOST} values, aliases expanded");
            return Err(YamlError::new(message, line));
        }
        let node = match tag {
            Some(tag) => function(&tag, node),
            None => node,
        };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.document = Some(node),
            Some(Content::List(list)) => list.push(node),
            Some(Content::Object { members, key }) => match key.take() {
                Some(key) => members.push((key, node)),
                None => {
                    let name = match node.value {
                        Tree::Text(text) => text.text,
                        Tree::Null => "null".to_owned(),
                        Tree::Bool(value) => value.to_string(),
                        Tree::Number(number) => number.to_string(),
                        Tree::List(_) | Tree::Object(_) => {
                            return Err(YamlError::new("a key must be a word", line));
                        }
                    };
                    if members.iter().any(|(known, _)| *known == name) {
                        let message = format!(
                            "the key `{name}` occurs twice in one object; remove one of the two"
                        );
                        return Err(YamlError::new(message, line));
                    }
                    *key = Some(name);
                }
            },
        }
        Ok(())
    }
}

/// A tag that is not of YAML itself, without its `!`.
fn own_tag(tag: &Tag) -> Option<String> {
    (tag.handle == "!").then(|| tag.suffix.clone())
}

/// The long form of `!Name value` (CloudFormation user guide, "Intrinsic function reference").
fn function(name: &str, argument: Node) -> Node {
    let line = argument.line;
    let (key, argument) = match name {
        "Ref" | "Condition" => (name.to_owned(), argument),
        // `!GetAtt resource.attribute`: the attribute may have dots of its own.
        "GetAtt" => match argument.as_str().and_then(|text| text.split_once('.')) {
            Some((resource, attribute)) => {
                let parts = [resource, attribute].map(|part| Node::text(part, line));
                let list = Node {
                    value: Tree::List(parts.into()),
                    line,
                };
                ("Fn::GetAtt".to_owned(), list)
            }
            None => ("Fn::GetAtt".to_owned(), argument),
        },
        other => (format!("Fn::{other}"), argument),
    };
    Node {
        value: Tree::Object(vec![(key, argument)]),
        line,
    }
}

/// The type of a scalar that is not quoted (YAML 1.2, "Core Schema").
fn scalar(text: &str, style: ScalarStyle, tagged: bool) -> Tree {
    let string = || {
        Tree::Text(Text {
            text: text.to_owned(),
            keeps_lines: style == ScalarStyle::Literal,
            stands_in: false,
        })
    };
    if style != ScalarStyle::Plain || tagged {
        return string();
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Tree::Null,
        "true" | "True" | "TRUE" => Tree::Bool(true),
        "false" | "False" | "FALSE" => Tree::Bool(false),
        _ => match text.parse::<Number>() {
            Ok(number) => Tree::Number(number),
            Err(_) => string(),
        },
    }
}

fn count(node: &Node) -> usize {
    let inside: usize = match &node.value {
        Tree::List(list) => list.iter().map(count).sum(),
        Tree::Object(members) => members.iter().map(|(_, value)| count(value)).sum(),
        _ => 0,
    };
    inside + 1
}

const DEEPEST: usize = 100;
const MOST: usize = 200_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> serde_json::Value {
        read(text).unwrap().to_value()
    }

    #[test]
    fn short_forms_become_long_ones() {
        let text = "a: !Ref Name\nb: !GetAtt Role.Arn\nc: !Sub\n  - \"${x}\"\n  - x: !If [Yes, 1, !Ref AWS::NoValue]\n";
        assert_eq!(
            value(text),
            serde_json::json!({
                "a": {"Ref": "Name"},
                "b": {"Fn::GetAtt": ["Role", "Arn"]},
                "c": {"Fn::Sub": ["${x}", {"x": {"Fn::If": ["Yes", 1, {"Ref": "AWS::NoValue"}]}}]},
            })
        );
    }

    #[test]
    fn dates_stay_texts_and_aliases_are_values() {
        let text = "a: 2012-10-17\nb: &x [1, -2.5, true, ~, 'no']\nc: *x\n";
        let list = serde_json::json!([1, -2.5, true, null, "no"]);
        assert_eq!(
            value(text),
            serde_json::json!({"a": "2012-10-17", "b": list, "c": list})
        );
    }

    #[test]
    fn lines_are_those_of_the_text() {
        let node = read("a:\n  b:\n    - x\n    - y: |\n        one\n        two\n").unwrap();
        assert_eq!(node.line_of("$.a.b[0]"), 3);
        assert_eq!(node.line_of("$.a.b[1].y"), 5);
        assert_eq!(node.line_of("$.a.b[1].z"), 4);
        assert_eq!(node.line_of("$"), 1);
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_line() {
        for (text, line, word) in [
            ("a: 1\na: 2\n", 2, "twice"),
            ("a: 1\n---\nb: 1\n", 2, "second document"),
            ("a: [1\n", 2, "not YAML"),
            ("a: &x [*x]\n", 1, "alias"),
            ("", 1, "empty"),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.line, line, "{text:?}: {error:?}");
            assert!(error.message.contains(word), "{text:?}: {error:?}");
        }
        for deep in [101, 100_000] {
            let message = read(&"[".repeat(deep)).unwrap_err().message;
            assert!(
                message.contains("deeper") || message.contains("recursion"),
                "{message}"
            );
        }
        let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for (name, of) in [
            ("b", "a"),
            ("c", "b"),
            ("d", "c"),
            ("e", "d"),
            ("f", "e"),
            ("g", "f"),
        ] {
            let nine = vec![format!("*{of}"); 9].join(", ");
            bomb.push_str(&format!("{name}: &{name} [{nine}]\n"));
        }
        assert!(read(&bomb).unwrap_err().message.contains("values"));
    }
}
