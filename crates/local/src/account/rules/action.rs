//! The actions of a topic rule as they were understood: what they write to, and the expressions in it.

use jitp_core::rule::{RuleSql, Substitution};
use serde_json::{Map, Value};

use crate::account::ApiError;

/// An action that the local core executes.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// Sends a message to a queue.
    Sqs {
        /// URL of the queue.
        queue_url: Substitution,
        /// ARN of the role it is done under.
        role: String,
        /// Whether the message is sent in base64.
        base64: bool,
    },
    /// Calls a function, and does not wait for its answer.
    Lambda {
        /// ARN of the function.
        function_arn: Substitution,
    },
    /// Publishes to another topic.
    Republish(Box<Republish>),
    /// Writes an object into a bucket.
    S3 {
        /// The bucket.
        bucket: Substitution,
        /// The key in it.
        key: Substitution,
        /// ARN of the role it is done under.
        role: String,
    },
}

/// What a republish action does.
#[derive(Clone, Debug)]
pub(crate) struct Republish {
    /// The topic; `$$` stands for the `$` of a reserved one.
    pub(crate) topic: Substitution,
    /// ARN of the role it is done under.
    pub(crate) role: String,
    /// Whether it is published with QoS 1.
    pub(crate) at_least_once: bool,
    /// `UTF8_DATA` or `UNSPECIFIED_BYTES`.
    pub(crate) payload_format: Option<Substitution>,
    /// Content type.
    pub(crate) content_type: Option<Substitution>,
    /// Response topic.
    pub(crate) response_topic: Option<Substitution>,
    /// Correlation data, in base64.
    pub(crate) correlation_data: Option<Substitution>,
    /// Seconds until it expires.
    pub(crate) message_expiry: Option<Substitution>,
    /// Names and values of the user.
    pub(crate) user: Vec<(Substitution, Substitution)>,
}

impl Action {
    /// Reads an action, which the model has judged.
    ///
    /// # Errors
    /// `InvalidRequestException` for one that is not executed here, `SqlParseException` for a bad expression.
    pub(super) fn read(statement: &RuleSql, action: &Value) -> Result<Self, ApiError> {
        let kinds: Vec<(&String, &Value)> = action
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(_, value)| !value.is_null())
            .collect();
        let [(kind, Value::Object(members))] = kinds[..] else {
            return Err(ApiError::invalid_request(
                "Each action of a rule is of one kind, for example sqs",
            ));
        };
        let read = Reading {
            statement,
            kind,
            members,
        };
        match kind.as_str() {
            "sqs" => Ok(Self::Sqs {
                queue_url: read.required("queueUrl")?,
                role: read.role(),
                base64: members.get("useBase64").and_then(Value::as_bool) == Some(true),
            }),
            "lambda" => Ok(Self::Lambda {
                function_arn: read.required("functionArn")?,
            }),
            "republish" => read.republish(),
            "s3" => Ok(Self::S3 {
                bucket: read.required("bucketName")?,
                key: read.required("key")?,
                role: read.role(),
            }),
            other => Err(ApiError::invalid_request(format!(
                "The local core executes the actions sqs, lambda, republish and s3, and not {other}"
            ))),
        }
    }

    /// ARN of the role it is done under; a function has permissions instead.
    pub(crate) fn role(&self) -> Option<&str> {
        match self {
            Self::Sqs { role, .. } | Self::S3 { role, .. } => Some(role),
            Self::Republish(republish) => Some(&republish.role),
            Self::Lambda { .. } => None,
        }
    }
}

/// An action being read.
struct Reading<'a> {
    statement: &'a RuleSql,
    kind: &'a str,
    members: &'a Map<String, Value>,
}

impl Reading<'_> {
    fn role(&self) -> String {
        let role = self.members.get("roleArn").and_then(Value::as_str);
        role.unwrap_or_default().to_owned()
    }

    fn required(&self, name: &str) -> Result<Substitution, ApiError> {
        let text = self.members.get(name).and_then(Value::as_str);
        self.substitution(name, text.unwrap_or_default())
    }

    fn substitution(&self, name: &str, text: &str) -> Result<Substitution, ApiError> {
        self.statement.substitution(text).map_err(|error| {
            let message = format!("{}.{name}: {error}", self.kind);
            ApiError::new("SqlParseException", message)
        })
    }

    fn republish(&self) -> Result<Action, ApiError> {
        let topic = self.members.get("topic").and_then(Value::as_str);
        let topic = topic.unwrap_or_default();
        // "To republish to a reserved topic … use $$" (developer guide, "Republish").
        if topic.starts_with('$') && !topic.starts_with("$$") && !topic.starts_with("${") {
            return Err(ApiError::invalid_request(format!(
                "republish.topic: {topic:?} is reserved; to republish there, write ${topic}"
            )));
        }
        let headers = self.members.get("headers").and_then(Value::as_object);
        let header = |name: &str| {
            let text = headers.and_then(|headers| headers.get(name)?.as_str());
            text.map(|text| self.substitution(&format!("headers.{name}"), text))
                .transpose()
        };
        let user = headers.and_then(|headers| headers.get("userProperties")?.as_array());
        let user: Result<Vec<_>, ApiError> = user
            .into_iter()
            .flatten()
            .map(|pair| {
                let part = |name: &str| {
                    self.substitution(
                        "headers.userProperties",
                        pair[name].as_str().unwrap_or_default(),
                    )
                };
                Ok((part("key")?, part("value")?))
            })
            .collect();
        Ok(Action::Republish(Box::new(Republish {
            topic: self.substitution("topic", topic)?,
            role: self.role(),
            at_least_once: self.members.get("qos").and_then(Value::as_u64) == Some(1),
            payload_format: header("payloadFormatIndicator")?,
            content_type: header("contentType")?,
            response_topic: header("responseTopic")?,
            correlation_data: header("correlationData")?,
            message_expiry: header("messageExpiry")?,
            user: user?,
        })))
    }
}
