//! Queues of Amazon SQS: how many messages wait in one, and taking them out.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, Message,
    MessageSystemAttributeName, QueueAttributeName,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jitp_core::names::QueueName;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{Cloud, CloudError};

/// A queue.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Queue {
    /// Its name.
    pub name: QueueName,
    /// What calls name it by.
    pub url: String,
    /// What other services name it by.
    pub arn: String,
}

/// How many messages are in a queue; SQS counts approximately, and catches up within a minute.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct QueueState {
    /// Messages that wait to be received.
    pub waiting: u64,
    /// Messages that were received, and neither deleted yet nor visible again.
    pub in_flight: u64,
    /// Messages that may not be received yet.
    pub delayed: u64,
    /// The queue of those that were received too often; `None` if there is none, or it is not in this account and region.
    pub dead_letter_queue: Option<QueueName>,
}

/// A message that was received, and is hidden from others until its visibility timeout ends.
///
/// It serializes to what Lambda hands a function of it, without what is good for one receipt only.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueMessage {
    /// Id that it keeps as often as it is delivered.
    pub message_id: String,
    /// What was sent.
    pub body: String,
    /// What SQS says of it, for example `SentTimestamp` and `ApproximateReceiveCount`.
    pub attributes: BTreeMap<String, String>,
    /// What its sender says of it, each with `dataType` and `stringValue` or `binaryValue` (base64).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub message_attributes: BTreeMap<String, Value>,
    /// By what this receipt of it is told from others.
    #[serde(skip)]
    receipt_handle: String,
}

/// A message that could not be deleted, and will be received again.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Undeleted {
    /// Its id.
    pub message_id: String,
    /// What SQS says.
    pub reason: String,
}

impl Cloud {
    /// The queue of a name.
    ///
    /// # Errors
    /// When there is none, or a call fails.
    pub async fn queue(&self, name: &QueueName) -> Result<Queue, CloudError> {
        let send = || self.sqs().get_queue_url().queue_name(name.as_str()).send();
        let url = self.call("GetQueueUrl", send).await?.queue_url;
        let url = url.ok_or_else(|| CloudError::incomplete("GetQueueUrl", "QueueUrl"))?;
        let mut attributes = self
            .attributes(&url, &[QueueAttributeName::QueueArn])
            .await?;
        let arn = attributes.remove(QueueAttributeName::QueueArn.as_str());
        Ok(Queue {
            name: name.clone(),
            url,
            arn: arn.ok_or_else(|| CloudError::incomplete("GetQueueAttributes", "QueueArn"))?,
        })
    }

    /// How many messages are in a queue.
    ///
    /// # Errors
    /// When the queue does not exist any more, or the call fails.
    pub async fn queue_state(&self, queue: &Queue) -> Result<QueueState, CloudError> {
        let [waiting, in_flight, delayed] = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
        ];
        let redrive = QueueAttributeName::RedrivePolicy;
        let asked = [waiting, in_flight, delayed, redrive.clone()];
        let attributes = self.attributes(&queue.url, &asked).await?;
        let count = |name: &QueueAttributeName| {
            let count = attributes.get(name.as_str());
            let count = count.and_then(|count| count.parse().ok());
            count.ok_or_else(|| CloudError::incomplete("GetQueueAttributes", name.as_str()))
        };
        let policy = attributes.get(redrive.as_str());
        Ok(QueueState {
            waiting: count(&asked[0])?,
            in_flight: count(&asked[1])?,
            delayed: count(&asked[2])?,
            dead_letter_queue: policy.and_then(|policy| dead_letter_queue(policy, &queue.arn)),
        })
    }

    /// Receives up to `most` messages (ten at most), and waits up to `wait` (whole seconds, twenty at most) for the first.
    /// What is received is hidden from others until it is deleted, given back, or the queue's visibility timeout ends.
    ///
    /// # Errors
    /// When the queue does not exist any more, or the call fails.
    pub async fn receive(
        &self,
        queue: &Queue,
        most: u8,
        wait: Duration,
    ) -> Result<Vec<QueueMessage>, CloudError> {
        let (most, wait) = (i32::from(most.clamp(1, 10)), wait.as_secs().min(20));
        let send = || {
            let call = self.sqs().receive_message().queue_url(&queue.url);
            call.max_number_of_messages(most)
                .wait_time_seconds(i32::try_from(wait).unwrap_or(20))
                .message_system_attribute_names(MessageSystemAttributeName::All)
                .message_attribute_names("All")
                .send()
        };
        let answer = self.call("ReceiveMessage", send).await?;
        let messages = answer.messages.unwrap_or_default();
        messages.into_iter().map(QueueMessage::read).collect()
    }

    /// Deletes messages (ten at most) that were received; answers those that could not be.
    ///
    /// # Errors
    /// When the call as a whole fails: then none is deleted.
    pub async fn delete_messages(
        &self,
        queue: &Queue,
        messages: &[QueueMessage],
    ) -> Result<Vec<Undeleted>, CloudError> {
        let entries = messages.iter().enumerate().map(|(index, message)| {
            DeleteMessageBatchRequestEntry::builder()
                .id(index.to_string())
                .receipt_handle(&message.receipt_handle)
                .build()
        });
        let entries = entries.collect::<Result<Vec<_>, _>>();
        let entries = entries.map_err(|error| unbuilt("DeleteMessageBatch", &error))?;
        let send = || {
            let call = self.sqs().delete_message_batch().queue_url(&queue.url);
            call.set_entries(Some(entries.clone())).send()
        };
        let answer = self.call("DeleteMessageBatch", send).await?;
        let failed = answer.failed.into_iter().filter_map(|failed| {
            let message = messages.get(failed.id.parse::<usize>().ok()?)?;
            Some(Undeleted {
                message_id: message.message_id.clone(),
                reason: failed.message.unwrap_or(failed.code),
            })
        });
        Ok(failed.collect())
    }

    /// Gives back messages (ten at most) that were received: they can be received again at once. One whose receipt has
    /// expired is visible already.
    ///
    /// # Errors
    /// When the call as a whole fails: they are visible again when the visibility timeout ends.
    pub async fn give_back(
        &self,
        queue: &Queue,
        messages: &[QueueMessage],
    ) -> Result<(), CloudError> {
        let entries = messages.iter().enumerate().map(|(index, message)| {
            ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(index.to_string())
                .receipt_handle(&message.receipt_handle)
                .visibility_timeout(0)
                .build()
        });
        let entries = entries.collect::<Result<Vec<_>, _>>();
        let entries = entries.map_err(|error| unbuilt("ChangeMessageVisibilityBatch", &error))?;
        let send = || {
            let call = self.sqs().change_message_visibility_batch();
            call.queue_url(&queue.url)
                .set_entries(Some(entries.clone()))
                .send()
        };
        self.call("ChangeMessageVisibilityBatch", send)
            .await
            .map(drop)
    }

    async fn attributes(
        &self,
        url: &str,
        names: &[QueueAttributeName],
    ) -> Result<BTreeMap<String, String>, CloudError> {
        let send = || {
            let call = self.sqs().get_queue_attributes().queue_url(url);
            call.set_attribute_names(Some(names.to_vec())).send()
        };
        let answer = self.call("GetQueueAttributes", send).await?;
        let attributes = answer.attributes.unwrap_or_default().into_iter();
        Ok(attributes
            .map(|(name, value)| (name.as_str().to_owned(), value))
            .collect())
    }
}

impl QueueMessage {
    fn read(message: Message) -> Result<Self, CloudError> {
        let missing = |member| CloudError::incomplete("ReceiveMessage", member);
        let attributes = message.attributes.unwrap_or_default().into_iter();
        let of_sender = message.message_attributes.unwrap_or_default().into_iter();
        Ok(Self {
            message_id: message.message_id.ok_or_else(|| missing("MessageId"))?,
            body: message.body.unwrap_or_default(),
            attributes: attributes
                .map(|(name, value)| (name.as_str().to_owned(), value))
                .collect(),
            message_attributes: of_sender
                .map(|(name, value)| {
                    let mut told = json!({ "dataType": value.data_type });
                    if let Some(text) = value.string_value {
                        told["stringValue"] = text.into();
                    }
                    if let Some(bytes) = value.binary_value {
                        told["binaryValue"] = STANDARD.encode(bytes).into();
                    }
                    (name, told)
                })
                .collect(),
            receipt_handle: message
                .receipt_handle
                .ok_or_else(|| missing("ReceiptHandle"))?,
        })
    }
}

/// The name in a redrive policy, if that queue is where this one is.
fn dead_letter_queue(policy: &str, arn: &str) -> Option<QueueName> {
    let policy: Value = serde_json::from_str(policy).ok()?;
    let (place, name) = policy["deadLetterTargetArn"].as_str()?.rsplit_once(':')?;
    let (own, _) = arn.rsplit_once(':')?;
    name.parse().ok().filter(|_| place == own)
}

/// A request that the SDK does not take, which no message that SQS has delivered can come to.
fn unbuilt(operation: &'static str, error: &dyn std::error::Error) -> CloudError {
    CloudError::Incomprehensible {
        operation,
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:sqs:eu-central-1:123456789012:loadtestQueue";

    #[test]
    fn a_dead_letter_queue_is_known_by_its_arn_if_it_is_beside() {
        let target =
            |arn: &str| format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":5}}"#);
        let beside = target("arn:aws:sqs:eu-central-1:123456789012:dead");
        let found = dead_letter_queue(&beside, ARN).map(String::from);
        assert_eq!(found.as_deref(), Some("dead"));
        let elsewhere = target("arn:aws:sqs:eu-central-1:999999999999:dead");
        for policy in [elsewhere.as_str(), "", "{}", "no JSON"] {
            assert_eq!(dead_letter_queue(policy, ARN), None, "{policy}");
        }
    }
}
