//! Attributes of a queue: which there are, within which limits, and what they are unless given.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::error::{invalid_value, unsupported};
use crate::account::ApiError;

/// Largest message, in bytes, and the default ("CreateQueue": 1 MiB).
pub(super) const LARGEST_MESSAGE: u64 = 1_048_576;

/// What a queue is set to. Members that are not set do not apply.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(crate) struct Attributes {
    /// Seconds a message stays away after it was sent.
    pub(crate) delay: u64,
    /// Bytes of a message.
    pub(crate) largest_message: u64,
    /// Seconds a message is kept.
    pub(crate) retention: u64,
    /// Seconds a receive without a wait of its own waits.
    pub(crate) wait: u64,
    /// Seconds a received message stays out of sight.
    pub(crate) visibility: u64,
    /// What becomes of a message that was received too often.
    pub(crate) redrive: Option<Redrive>,
    /// Which queues may send their dead letters here.
    pub(crate) redrive_allow: Option<RedriveAllow>,
    /// Who else may use the queue; kept, and not enforced.
    pub(crate) policy: Option<String>,
    /// A key of KMS; kept, there is no encryption.
    pub(crate) kms_key: Option<String>,
    /// Seconds a data key is used; kept.
    pub(crate) kms_reuse: u64,
    /// Whether SQS encrypts by a key of its own; kept.
    pub(crate) sse: bool,
}

/// What becomes of a message that was received too often.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(crate) struct Redrive {
    /// ARN of the dead-letter queue.
    pub(crate) target: String,
    /// Receives after which a message goes there.
    pub(crate) most_receives: u32,
    /// The policy as it was given.
    text: String,
}

/// Which queues may send their dead letters here.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(crate) struct RedriveAllow {
    /// ARNs of the queues that may; none for every queue.
    sources: Option<Vec<String>>,
    /// The policy as it was given.
    text: String,
}

impl Default for Attributes {
    fn default() -> Self {
        Self {
            delay: 0,
            largest_message: LARGEST_MESSAGE,
            retention: 345_600,
            wait: 0,
            visibility: 30,
            redrive: None,
            redrive_allow: None,
            policy: None,
            kms_key: None,
            kms_reuse: 300,
            sse: true,
        }
    }
}

impl RedriveAllow {
    /// Whether the queue of this ARN may send its dead letters here.
    pub(crate) fn allows(&self, source: &str) -> bool {
        let sources = self.sources.as_ref();
        sources.is_none_or(|sources| sources.iter().any(|known| known == source))
    }
}

impl Attributes {
    /// Takes what CreateQueue and SetQueueAttributes are given.
    ///
    /// # Errors
    /// `InvalidAttributeName`, `InvalidAttributeValue`, `UnsupportedOperation`.
    pub(super) fn set(&mut self, given: &Map<String, Value>) -> Result<(), ApiError> {
        for (name, value) in given {
            let text = value.as_str().unwrap_or_default();
            match name.as_str() {
                "DelaySeconds" => self.delay = number(name, text, 0, 900)?,
                "MaximumMessageSize" => {
                    self.largest_message = number(name, text, 1024, LARGEST_MESSAGE)?;
                }
                "MessageRetentionPeriod" => self.retention = number(name, text, 60, 1_209_600)?,
                "ReceiveMessageWaitTimeSeconds" => self.wait = number(name, text, 0, 20)?,
                "VisibilityTimeout" => self.visibility = number(name, text, 0, 43_200)?,
                "RedrivePolicy" => self.redrive = redrive(text)?,
                "RedriveAllowPolicy" => self.redrive_allow = redrive_allow(text)?,
                "Policy" => self.policy = policy(text)?,
                "KmsMasterKeyId" => {
                    self.kms_key = Some(text.to_owned()).filter(|key| !key.is_empty());
                }
                "KmsDataKeyReusePeriodSeconds" => {
                    self.kms_reuse = number(name, text, 60, 86_400)?;
                }
                "SqsManagedSseEnabled" => self.sse = flag(name, text)?,
                "FifoQueue" if text == "true" => {
                    return Err(unsupported(
                        "The local core has standard queues, no FIFO queues; a topic rule of AWS IoT writes to \
                         standard queues only",
                    ));
                }
                _ => {
                    return Err(ApiError::new(
                        "InvalidAttributeName",
                        format!("Unknown Attribute {name}."),
                    ));
                }
            }
        }
        Ok(())
    }

    /// The attributes by name, as the API writes them.
    pub(super) fn described(&self) -> Vec<(&'static str, String)> {
        let mut described = vec![
            ("DelaySeconds", self.delay.to_string()),
            ("MaximumMessageSize", self.largest_message.to_string()),
            ("MessageRetentionPeriod", self.retention.to_string()),
            ("ReceiveMessageWaitTimeSeconds", self.wait.to_string()),
            ("VisibilityTimeout", self.visibility.to_string()),
            ("SqsManagedSseEnabled", self.sse.to_string()),
        ];
        if let Some(redrive) = &self.redrive {
            described.push(("RedrivePolicy", redrive.text.clone()));
        }
        if let Some(allow) = &self.redrive_allow {
            described.push(("RedriveAllowPolicy", allow.text.clone()));
        }
        if let Some(policy) = &self.policy {
            described.push(("Policy", policy.clone()));
        }
        if let Some(key) = &self.kms_key {
            described.push(("KmsMasterKeyId", key.clone()));
            described.push(("KmsDataKeyReusePeriodSeconds", self.kms_reuse.to_string()));
        }
        described
    }
}

fn invalid(name: &str) -> ApiError {
    ApiError::new(
        "InvalidAttributeValue",
        format!("Invalid value for the parameter {name}."),
    )
}

fn number(name: &str, text: &str, least: u64, most: u64) -> Result<u64, ApiError> {
    let number = text.parse().ok();
    let number = number.filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| invalid(name))
}

fn flag(name: &str, text: &str) -> Result<bool, ApiError> {
    text.parse().map_err(|_| invalid(name))
}

/// An empty text takes the policy away, here and below.
fn policy(text: &str) -> Result<Option<String>, ApiError> {
    match serde_json::from_str(text) {
        _ if text.is_empty() => Ok(None),
        Ok(Value::Object(_)) => Ok(Some(text.to_owned())),
        _ => Err(invalid("Policy")),
    }
}

fn redrive(text: &str) -> Result<Option<Redrive>, ApiError> {
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = |why: &str| wrong_policy("RedrivePolicy", text, why);
    let document = document("RedrivePolicy", text)?;
    let target = document.get("deadLetterTargetArn").and_then(Value::as_str);
    let target = target.ok_or_else(|| {
        wrong("Redrive policy does not contain mandatory attribute: deadLetterTargetArn.")
    })?;
    let most_receives = match document.get("maxReceiveCount") {
        // It is a number in some people's documents and a text in others'.
        Some(Value::String(text)) => text.parse().ok(),
        Some(value) => value.as_u64(),
        None => {
            return Err(wrong(
                "Redrive policy does not contain mandatory attribute: maxReceiveCount.",
            ));
        }
    };
    let most_receives = most_receives.filter(|count| (1..=1000).contains(count));
    let most_receives = most_receives.and_then(|count| u32::try_from(count).ok());
    let most_receives = most_receives
        .ok_or_else(|| wrong("Invalid value for maxReceiveCount: it must be from 1 to 1000."))?;
    Ok(Some(Redrive {
        target: target.to_owned(),
        most_receives,
        text: text.to_owned(),
    }))
}

fn redrive_allow(text: &str) -> Result<Option<RedriveAllow>, ApiError> {
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = |why: &str| wrong_policy("RedriveAllowPolicy", text, why);
    let document = document("RedriveAllowPolicy", text)?;
    let listed = document.get("sourceQueueArns").and_then(Value::as_array);
    let permission = document.get("redrivePermission").and_then(Value::as_str);
    let sources = match (permission, listed) {
        (Some("allowAll"), None) => None,
        (Some("denyAll"), None) => Some(Vec::new()),
        (Some("byQueue"), Some(listed)) if (1..=10).contains(&listed.len()) => {
            let arns: Option<Vec<String>> = listed
                .iter()
                .map(|arn| arn.as_str().map(str::to_owned))
                .collect();
            Some(arns.ok_or_else(|| wrong("sourceQueueArns is a list of ARNs."))?)
        }
        _ => {
            return Err(wrong(
                "redrivePermission is allowAll, denyAll, or byQueue with one to ten sourceQueueArns.",
            ));
        }
    };
    Ok(Some(RedriveAllow {
        sources,
        text: text.to_owned(),
    }))
}

fn document(name: &str, text: &str) -> Result<Map<String, Value>, ApiError> {
    match serde_json::from_str(text) {
        Ok(Value::Object(document)) => Ok(document),
        _ => Err(wrong_policy(name, text, "it is no JSON object.")),
    }
}

pub(super) fn wrong_policy(name: &str, text: &str, why: &str) -> ApiError {
    let shown: String = text.chars().take(400).collect();
    invalid_value(format!(
        "Value {shown} for parameter {name} is invalid. Reason: {why}"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(given: Value) -> Result<Attributes, ApiError> {
        let mut attributes = Attributes::default();
        attributes.set(given.as_object().unwrap())?;
        Ok(attributes)
    }

    #[test]
    fn attributes_are_taken_within_their_limits() {
        let arn = "arn:aws:sqs:eu-west-1:123456789012:dead";
        let policy = json!({ "deadLetterTargetArn": arn, "maxReceiveCount": "3" }).to_string();
        let taken = set(json!({ "VisibilityTimeout": "0", "RedrivePolicy": policy })).unwrap();
        assert_eq!(taken.visibility, 0);
        let redrive = taken.redrive.as_ref().unwrap();
        assert_eq!((redrive.target.as_str(), redrive.most_receives), (arn, 3));
        assert!(taken.described().contains(&("RedrivePolicy", policy)));
        for (name, value, code) in [
            ("VisibilityTimeout", "43201", "InvalidAttributeValue"),
            ("DelaySeconds", "-1", "InvalidAttributeValue"),
            ("MaximumMessageSize", "1023", "InvalidAttributeValue"),
            ("MessageRetentionPeriod", "59", "InvalidAttributeValue"),
            ("SqsManagedSseEnabled", "yes", "InvalidAttributeValue"),
            ("Policy", "{", "InvalidAttributeValue"),
            ("FifoQueue", "true", "UnsupportedOperation"),
            ("QueueArn", arn, "InvalidAttributeName"),
            ("RedrivePolicy", "[]", "InvalidParameterValueException"),
            (
                "RedrivePolicy",
                r#"{"deadLetterTargetArn":"a"}"#,
                "InvalidParameterValueException",
            ),
            (
                "RedrivePolicy",
                r#"{"deadLetterTargetArn":"a","maxReceiveCount":0}"#,
                "InvalidParameterValueException",
            ),
            (
                "RedriveAllowPolicy",
                r#"{"redrivePermission":"some"}"#,
                "InvalidParameterValueException",
            ),
        ] {
            assert_eq!(
                set(json!({ name: value })).unwrap_err().code,
                code,
                "{name}={value}"
            );
        }
        assert_eq!(
            set(json!({ "RedrivePolicy": "" })).unwrap(),
            Attributes::default()
        );
    }

    #[test]
    fn dead_letters_are_taken_from_those_that_were_named() {
        let allow = |policy: Value| {
            let set = set(json!({ "RedriveAllowPolicy": policy.to_string() })).unwrap();
            set.redrive_allow.unwrap().allows("a")
        };
        assert!(allow(json!({ "redrivePermission": "allowAll" })));
        assert!(!allow(json!({ "redrivePermission": "denyAll" })));
        assert!(allow(
            json!({ "redrivePermission": "byQueue", "sourceQueueArns": ["a"] })
        ));
        assert!(!allow(
            json!({ "redrivePermission": "byQueue", "sourceQueueArns": ["b"] })
        ));
    }
}
