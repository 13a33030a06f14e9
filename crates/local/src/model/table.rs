//! The table in memory: operations and shapes, resolved once.

use std::collections::HashMap;

use serde::Deserialize;

use super::pattern::Pattern;
use super::route::{Label, Router};

/// A service of the model.
pub struct Table {
    operations: Vec<Operation>,
    shapes: Vec<Shape>,
    statuses: HashMap<String, u16>,
    router: Router,
}

/// One operation.
#[derive(Debug)]
pub struct Operation {
    /// Its name, for example `CreateThing`.
    pub name: String,
    /// HTTP method.
    pub method: String,
    /// Path with `{labels}`.
    pub path: String,
    /// HTTP status of success.
    pub status: u16,
    /// Index of the input shape.
    pub(crate) input: Option<usize>,
    /// Whether the operation answers a body at all.
    pub has_output: bool,
    /// Name of the output shape.
    pub output: Option<String>,
    /// Exceptions the operation may answer, as they are called on the wire.
    pub errors: Vec<String>,
}

impl Operation {
    /// Whether the operation declares an exception.
    pub fn declares(&self, code: &str) -> bool {
        self.errors.iter().any(|error| error == code)
    }
}

/// An operation found by its path, with the labels of it.
#[derive(Debug)]
pub struct Route<'a> {
    /// The operation.
    pub operation: &'a Operation,
    /// Label name and decoded value; `None` when it is not UTF-8.
    pub labels: Vec<Label<'a>>,
}

/// A type with its limits.
#[derive(Debug)]
pub struct Shape {
    /// Its name in the model.
    pub name: String,
    /// What it is.
    pub kind: ShapeKind,
    pub(crate) min: Option<f64>,
    pub(crate) max: Option<f64>,
    pub(super) pattern: Option<Pattern>,
    pub(crate) allowed: Vec<String>,
}

impl Shape {
    /// The pattern of a string.
    pub fn pattern(&self) -> Option<&Pattern> {
        self.pattern.as_ref()
    }
}

/// What a shape is; other shapes are indices into the table.
#[derive(Debug)]
pub enum ShapeKind {
    /// An object with known members.
    Structure {
        /// Its members.
        members: Vec<Member>,
        /// The member that is the whole body.
        payload: Option<String>,
    },
    /// An array.
    List(usize),
    /// An object with keys of the caller's.
    Map {
        /// Shape of the keys.
        key: usize,
        /// Shape of the values.
        value: usize,
    },
    /// Text.
    String,
    /// A whole number of 32 bits.
    Integer,
    /// A whole number of 64 bits.
    Long,
    /// A number.
    Double,
    /// true or false.
    Boolean,
    /// Seconds since 1970 as a number.
    Timestamp,
    /// Octets; base64 inside JSON, raw as a whole body.
    Blob,
}

/// A member of a structure.
#[derive(Debug)]
pub struct Member {
    /// The name handlers know it by.
    pub name: String,
    /// The name on the wire.
    pub wire_name: String,
    /// Where it travels.
    pub location: Location,
    /// Whether it must be there.
    pub required: bool,
    pub(crate) shape: usize,
}

/// Where a member travels.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Location {
    /// In the JSON body, or as the whole of it.
    Body,
    /// In the path.
    Uri,
    /// In the query.
    Query,
    /// In a header.
    Header,
    /// In all headers with a prefix.
    Headers,
}

impl Table {
    /// Reads a checked-in table.
    ///
    /// # Panics
    /// When the table is damaged; it is part of the program, and a test reads it.
    pub(super) fn parse(text: &str) -> Self {
        let raw: RawTable =
            serde_json::from_str(text).expect("the model table in the program is well-formed");
        let names: HashMap<&str, usize> = raw
            .shapes
            .keys()
            .enumerate()
            .map(|(index, name)| (name.as_str(), index))
            .collect();
        let index = |name: &str| {
            *names
                .get(name)
                .expect("the model table refers to shapes it holds")
        };
        let statuses = raw
            .shapes
            .iter()
            .filter_map(|(name, shape)| Some((shape.code(name).to_owned(), shape.status?)))
            .collect();
        let shapes = raw
            .shapes
            .iter()
            .map(|(name, shape)| shape.resolve(name, &index))
            .collect();
        let operations: Vec<Operation> = raw
            .operations
            .into_iter()
            .map(|(name, operation)| Operation {
                name,
                method: operation.method,
                path: operation.path,
                status: operation.status.unwrap_or(200),
                input: operation.input.as_deref().map(&index),
                has_output: operation.output.is_some(),
                output: operation.output,
                errors: operation
                    .errors
                    .into_iter()
                    .map(|name| raw.shapes[&name].code(&name).to_owned())
                    .collect(),
            })
            .collect();
        Self {
            router: Router::new(
                operations
                    .iter()
                    .map(|o| (o.method.as_str(), o.path.as_str())),
            ),
            operations,
            shapes,
            statuses,
        }
    }

    /// Gives a member another shape, where the service takes other than its model says.
    ///
    /// # Panics
    /// When the table has no such member or shape; it is part of the program, and a test reads it.
    pub(super) fn correct_member(&mut self, structure: &str, member: &str, shape: &str) {
        let index = |name: &str, shapes: &[Shape]| {
            let found = shapes.iter().position(|shape| shape.name == name);
            found.expect("the table has the shape")
        };
        let to = index(shape, &self.shapes);
        let at = index(structure, &self.shapes);
        let ShapeKind::Structure { members, .. } = &mut self.shapes[at].kind else {
            panic!("{structure} is no structure");
        };
        let member = members.iter_mut().find(|known| known.name == member);
        member.expect("the structure has the member").shape = to;
    }

    /// Every operation, ordered by name.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The operation of a name.
    pub fn operation(&self, name: &str) -> Option<&Operation> {
        self.operations
            .iter()
            .find(|operation| operation.name == name)
    }

    /// The operation that a method and a raw (still encoded) path mean.
    pub fn route<'a>(&'a self, method: &str, path: &'a str) -> Option<Route<'a>> {
        let (number, labels) = self.router.find(method, path)?;
        Some(Route {
            operation: &self.operations[number],
            labels,
        })
    }

    /// Every shape, ordered by name.
    pub fn shapes(&self) -> &[Shape] {
        &self.shapes
    }

    /// HTTP status of an exception.
    pub fn error_status(&self, code: &str) -> Option<u16> {
        self.statuses.get(code).copied()
    }

    pub(crate) fn shape(&self, index: usize) -> &Shape {
        &self.shapes[index]
    }
}

#[derive(Deserialize)]
struct RawTable {
    operations: std::collections::BTreeMap<String, RawOperation>,
    shapes: std::collections::BTreeMap<String, RawShape>,
}

#[derive(Deserialize)]
struct RawOperation {
    method: String,
    path: String,
    status: Option<u16>,
    input: Option<String>,
    output: Option<String>,
    errors: Vec<String>,
}

#[derive(Deserialize)]
struct RawShape {
    r#type: String,
    #[serde(default)]
    required: Vec<String>,
    payload: Option<String>,
    min: Option<f64>,
    max: Option<f64>,
    pattern: Option<String>,
    #[serde(default, rename = "enum")]
    allowed: Vec<String>,
    member: Option<String>,
    key: Option<String>,
    value: Option<String>,
    #[serde(default)]
    members: serde_json::Map<String, serde_json::Value>,
    status: Option<u16>,
    code: Option<String>,
}

impl RawShape {
    /// What an exception of this shape is called on the wire.
    fn code<'a>(&'a self, name: &'a str) -> &'a str {
        self.code.as_deref().unwrap_or(name)
    }

    fn resolve(&self, name: &str, index: &impl Fn(&str) -> usize) -> Shape {
        let to = |shape: &Option<String>| index(shape.as_deref().unwrap_or_default());
        let kind = match self.r#type.as_str() {
            "structure" => ShapeKind::Structure {
                members: self
                    .members
                    .iter()
                    .map(|(name, member)| self.member(name, member, index))
                    .collect(),
                payload: self.payload.clone(),
            },
            "list" => ShapeKind::List(to(&self.member)),
            "map" => ShapeKind::Map {
                key: to(&self.key),
                value: to(&self.value),
            },
            "integer" => ShapeKind::Integer,
            "long" => ShapeKind::Long,
            "float" | "double" => ShapeKind::Double,
            "boolean" => ShapeKind::Boolean,
            "timestamp" => ShapeKind::Timestamp,
            "blob" => ShapeKind::Blob,
            _ => ShapeKind::String,
        };
        Shape {
            name: name.to_owned(),
            kind,
            min: self.min,
            max: self.max,
            pattern: self.pattern.as_deref().map(Pattern::new),
            allowed: self.allowed.clone(),
        }
    }

    fn member(
        &self,
        name: &str,
        member: &serde_json::Value,
        index: &impl Fn(&str) -> usize,
    ) -> Member {
        // A plain name is a member of the body; an object says where else it travels.
        let text = |key: &str| member.get(key).and_then(serde_json::Value::as_str);
        let shape = member.as_str().or_else(|| text("shape"));
        Member {
            name: name.to_owned(),
            wire_name: text("locationName").unwrap_or(name).to_owned(),
            location: match text("location") {
                Some("uri") => Location::Uri,
                Some("querystring") => Location::Query,
                Some("header") => Location::Header,
                Some("headers") => Location::Headers,
                _ => Location::Body,
            },
            required: self.required.iter().any(|required| required == name),
            shape: index(shape.unwrap_or_default()),
        }
    }
}
