//! Why a policy document is refused, and where.

use jitp_core::template::json::JsonError;

/// A policy document that AWS IoT would refuse with MalformedPolicyException.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{path}: {fault}")]
pub struct MalformedPolicy {
    path: String,
    fault: PolicyFault,
}

impl MalformedPolicy {
    pub(crate) fn new(path: impl Into<String>, fault: PolicyFault) -> Self {
        Self {
            path: path.into(),
            fault,
        }
    }

    /// JSON path of the value that has the fault, for example `$.Statement[1].Effect`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is wrong there.
    #[must_use]
    pub fn fault(&self) -> &PolicyFault {
        &self.fault
    }
}

impl From<JsonError> for MalformedPolicy {
    fn from(error: JsonError) -> Self {
        Self::new(error.path, PolicyFault::Json(error.fault.to_string()))
    }
}

/// The kinds of fault; each message ends with the way out.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyFault {
    /// Not JSON, a repeated key, or nested too deep.
    #[error("{0}")]
    Json(String),
    /// Too many characters.
    #[error(
        "the document has {length} characters without white space, and at most {limit} are possible; split it"
    )]
    TooLong {
        /// Characters, white space not counted.
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
    /// A key without a meaning.
    #[error("`{key}` is not known here{suggestion}; known: {known}")]
    UnknownKey {
        /// The key.
        key: String,
        /// `; did you mean …?` or nothing.
        suggestion: String,
        /// What is known.
        known: &'static str,
    },
    /// A member that must be there.
    #[error("`{key}` is missing; {remedy}")]
    Missing {
        /// The member.
        key: &'static str,
        /// How to add it.
        remedy: &'static str,
    },
    /// A list without anything in it.
    #[error("the list is empty; give at least one {what}")]
    Empty {
        /// What belongs in it.
        what: &'static str,
    },
    /// Another version of the policy language.
    #[error("the version `{found}` is not supported; write \"2012-10-17\"")]
    Version {
        /// As written.
        found: String,
    },
    /// Neither Allow nor Deny.
    #[error("the effect `{found}` is not valid; write \"Allow\" or \"Deny\"")]
    Effect {
        /// As written.
        found: String,
    },
    /// Not an action.
    #[error("`{found}` is not an action; write `*`, or service and name such as `iot:Publish`")]
    Action {
        /// As written.
        found: String,
    },
    /// Not a resource.
    #[error(
        "`{found}` is not a resource; write `*`, or an ARN such as `arn:aws:iot:REGION:ACCOUNT:topic/TOPIC` (client/, \
         topic/, topicfilter/)"
    )]
    Resource {
        /// As written.
        found: String,
    },
    /// Resource and NotResource in one statement, or neither.
    #[error("{found}; give exactly one of Resource, NotResource")]
    OneResource {
        /// What is there.
        found: &'static str,
    },
    /// A condition operator that does not exist, or is not evaluated for IoT policies.
    #[error("`{found}` is not a condition operator that is known here{suggestion}; known: {known}")]
    Operator {
        /// As written.
        found: String,
        /// `; did you mean …?` or nothing.
        suggestion: String,
        /// The known ones.
        known: String,
    },
    /// A condition value that its operator cannot compare with.
    #[error("`{found}` is not {expected}")]
    ConditionValue {
        /// As written.
        found: String,
        /// What belongs here.
        expected: &'static str,
    },
}
