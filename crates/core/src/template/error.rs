//! What can be wrong with a registration template, where, and what to do about it.

use super::json::{JsonError, JsonFault};
use crate::failure::{Class, Classified};

/// A fault in a template or in the values it was filled with.
///
/// The message reads `PATH: what is wrong; the way out`.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct TemplateError {
    path: String,
    // On the heap: a Result that carries the error stays small.
    problem: Box<Problem>,
}

impl Classified for TemplateError {
    fn class(&self) -> Class {
        Class::Configuration
    }
}

impl TemplateError {
    pub(crate) fn new(path: impl Into<String>, problem: Problem) -> Self {
        Self {
            path: path.into(),
            problem: Box::new(problem),
        }
    }

    /// JSON path of the value that has the fault, for example `$.Resources.thing.Properties.ThingName`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is wrong there.
    #[must_use]
    pub fn problem(&self) -> &Problem {
        &self.problem
    }
}

impl From<JsonError> for TemplateError {
    fn from(error: JsonError) -> Self {
        Self::new(error.path, Problem::Json(error.fault))
    }
}

/// The kinds of fault; each message ends with the way out.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The text is not JSON, repeats a key or is nested too deep.
    #[error("{0}")]
    Json(JsonFault),
    /// More than AWS IoT takes as a template body.
    #[error(
        "the template is {length} characters long as compact JSON, and AWS IoT takes at most {limit}; move policy \
         documents into named policies"
    )]
    TooLong {
        /// Characters of the compact form.
        length: usize,
        /// Characters allowed.
        limit: usize,
    },
    /// A value of the wrong JSON type.
    #[error("expected {expected}, found {found}")]
    WrongType {
        /// What belongs here.
        expected: &'static str,
        /// What is here.
        found: &'static str,
    },
    /// A key that has no meaning at this place.
    #[error("`{key}` is not known here{suggestion}; known: {known}")]
    UnknownKey {
        /// The key as written.
        key: String,
        /// `; did you mean …?` or nothing.
        suggestion: String,
        /// The keys that have a meaning here.
        known: String,
    },
    /// A member that must be there.
    #[error("`{key}` is missing; {remedy}")]
    Missing {
        /// The member.
        key: &'static str,
        /// How to add it.
        remedy: &'static str,
    },
    /// A resource that is no thing, certificate or policy.
    #[error(
        "`{found}` is not a resource type{suggestion}; a template can hold AWS::IoT::Thing, AWS::IoT::Certificate and \
         AWS::IoT::Policy"
    )]
    UnknownResourceType {
        /// The type as written.
        found: String,
        /// `; did you mean …?` or nothing.
        suggestion: String,
    },
    /// Two things or two certificates.
    #[error(
        "a second {resource_type}; `{first}` is one already, and a template registers one device"
    )]
    SecondResource {
        /// The type.
        resource_type: &'static str,
        /// Logical id of the first.
        first: String,
    },
    /// `Ref` or `${…}` to something that is not declared.
    #[error("refers to the parameter `{name}`, which is not declared{suggestion}; {declared}")]
    UndeclaredReference {
        /// The name as written.
        name: String,
        /// `; did you mean …?` or nothing.
        suggestion: String,
        /// The declared ones, as a clause.
        declared: String,
    },
    /// Members that exclude each other, or of which exactly one must be there.
    #[error("{found}; give exactly one of {choices}")]
    ExactlyOne {
        /// What is there.
        found: String,
        /// The choices.
        choices: &'static str,
    },
    /// A value that is not one of the allowed words.
    #[error("`{found}` is not one of {allowed}{suggestion}")]
    NotOneOf {
        /// The value.
        found: String,
        /// `; did you mean …?` or nothing.
        suggestion: String,
        /// The allowed words.
        allowed: String,
    },
    /// A function that does not exist.
    #[error(
        "`{name}` is not a function{suggestion}; there are Ref, Fn::Join, Fn::Select, Fn::FindInMap, Fn::Split, Fn::Sub"
    )]
    UnknownFunction {
        /// The name.
        name: String,
        /// `; did you mean …?` or nothing.
        suggestion: String,
    },
    /// A function in a place where AWS IoT does not evaluate it.
    #[error("{function} cannot be used {place}; {remedy}")]
    FunctionNotHere {
        /// The function.
        function: String,
        /// Where it stands.
        place: &'static str,
        /// What to write instead.
        remedy: &'static str,
    },
    /// A function with arguments of another form.
    #[error("{function} is written {form}; {found}")]
    FunctionForm {
        /// The function.
        function: &'static str,
        /// An example of how it is written.
        form: &'static str,
        /// What was found.
        found: String,
    },
    /// `Fn::Select` beyond the end of its list, or of a null.
    #[error(
        "Fn::Select asks for element {index} of a list of {length}{null}; elements count from 0"
    )]
    NothingSelected {
        /// The index as written or computed.
        index: String,
        /// Elements in the list.
        length: usize,
        /// `, which is null` or nothing.
        null: &'static str,
    },
    /// `Fn::FindInMap` of a key that is not there.
    #[error("{what} `{name}` is not in {place}{suggestion}; there {known}")]
    NotInMap {
        /// Mapping, first key or second key.
        what: &'static str,
        /// The name looked for.
        name: String,
        /// The map.
        place: String,
        /// `; did you mean …?` or nothing.
        suggestion: String,
        /// What is there, as a clause.
        known: String,
    },
    /// Declared parameters that have neither a value nor a default.
    #[error(
        "no value for {names}; a declared parameter needs a value in the certificate or a Default, even when it is not \
         used (AWS IoT developer guide, \"Just-in-time provisioning\")"
    )]
    NoValue {
        /// The parameters, comma-separated.
        names: String,
    },
    /// A filled-in value that AWS IoT would refuse.
    #[error("the {what} {value} is not valid: {rule}")]
    BadValue {
        /// What it would become, for example `thing name`.
        what: &'static str,
        /// The value, quoted and shortened.
        value: String,
        /// The rule that it breaks.
        rule: String,
    },
    /// More of something than AWS IoT takes.
    #[error("{count} {what}, and AWS IoT takes at most {limit}; {remedy}")]
    TooMany {
        /// What is counted.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there can be.
        limit: usize,
        /// The way out.
        remedy: &'static str,
    },
    /// A template that just-in-time provisioning could not use, or only by luck.
    #[error("{0}")]
    Jitp(String),
    /// A template that fleet provisioning could not use, or that is probably not meant so.
    #[error("{0}")]
    Fleet(String),
}
