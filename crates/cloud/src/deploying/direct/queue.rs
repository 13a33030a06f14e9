//! `AWS::SQS::Queue`: its properties are the attributes of the API, by the same names.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use aws_sdk_sqs::types::QueueAttributeName;
use jitp_core::names::QueueName;
use jitp_stack::Made;
use serde_json::Value;

use super::properties::Properties;
use super::{DeployError, Direct, Present};
use crate::environment::OWNER;
use crate::environment::roles::{Found, gone};
use crate::{CloudError, Queue};

impl Direct<'_> {
    pub(super) async fn queue(&self, properties: &Properties<'_>) -> Result<Present, DeployError> {
        let name = queue_name(properties)?;
        let found = match self.cloud.queue(&name).await {
            Err(error) if error.is_not_found() => None,
            other => Some(other?),
        };
        let Some(queue) = found else {
            // Only what is made can have another URL.
            let (arn, url) = (
                self.place.arn("sqs", name.as_str()),
                format!(
                    "https://sqs.{}.amazonaws.com/{}/{name}",
                    self.place.region, self.place.account
                ),
            );
            return Ok(present(&name, arn, url, Found::nothing()));
        };
        let attributes = self.cloud.all_attributes(&queue).await?;
        let differs = attributes_of(properties)?.into_iter().any(|(name, value)| {
            let found = attributes.get(&name);
            !found.is_some_and(|found| same(found, &value))
        });
        let owner = self.cloud.owner_of_queue(&queue).await?;
        let found = Found::with(
            owner.as_deref() == Some(self.name),
            &[("attributes", differs)],
        );
        Ok(present(&name, queue.arn, queue.url, found))
    }

    pub(super) async fn bring_queue(&self, properties: &Properties<'_>) -> Result<(), DeployError> {
        let name = queue_name(properties)?;
        let attributes: HashMap<QueueAttributeName, String> = attributes_of(properties)?
            .into_iter()
            .map(|(name, value)| (QueueAttributeName::from(name.as_str()), value))
            .collect();
        let sqs = self.cloud.sqs();
        match self.cloud.queue(&name).await {
            Err(error) if error.is_not_found() => {
                let send = || {
                    let call = sqs.create_queue().queue_name(name.as_str());
                    call.set_attributes(Some(attributes.clone()))
                        .tags(OWNER, self.name)
                        .send()
                };
                let start = Instant::now();
                while let Err(error) = self.cloud.call("CreateQueue", send).await {
                    let recently = error.is("QueueDeletedRecently")
                        || error.is("AWS.SimpleQueueService.QueueDeletedRecently");
                    if !recently || start.elapsed() > NAME_TAKEN {
                        return Err(error.into());
                    }
                    tracing::info!("{error}; waiting");
                    tokio::time::sleep(Duration::from_secs(2)).await;
                }
            }
            other => {
                let url = other?.url;
                let send = || {
                    let call = sqs.set_queue_attributes().queue_url(&url);
                    call.set_attributes(Some(attributes.clone())).send()
                };
                self.cloud.call("SetQueueAttributes", send).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn delete_queue(&self, url: &str) -> Result<(), DeployError> {
        let send = || self.cloud.sqs().delete_queue().queue_url(url).send();
        Ok(gone(self.cloud.call("DeleteQueue", send).await)?)
    }
}

impl crate::Cloud {
    async fn all_attributes(&self, queue: &Queue) -> Result<BTreeMap<String, String>, CloudError> {
        let send = || {
            let call = self.sqs().get_queue_attributes().queue_url(&queue.url);
            call.attribute_names(QueueAttributeName::All).send()
        };
        let answer = self.call("GetQueueAttributes", send).await?;
        let attributes = answer.attributes.unwrap_or_default().into_iter();
        Ok(attributes
            .map(|(name, value)| (name.as_str().to_owned(), value))
            .collect())
    }

    async fn owner_of_queue(&self, queue: &Queue) -> Result<Option<String>, CloudError> {
        let send = || self.sqs().list_queue_tags().queue_url(&queue.url).send();
        let answer = self.call("ListQueueTags", send).await?;
        Ok(answer.tags.and_then(|mut tags| tags.remove(OWNER)))
    }
}

/// How long the name of a deleted queue is not given to another: a minute (Amazon SQS API reference, "DeleteQueue"), and
/// some seconds until all its servers agree.
const NAME_TAKEN: Duration = Duration::from_secs(75);

fn queue_name(properties: &Properties<'_>) -> Result<QueueName, DeployError> {
    let name = properties.text("QueueName")?;
    name.parse()
        .map_err(|_| properties.wrong("QueueName", "the name of a queue"))
}

fn present(name: &QueueName, arn: String, url: String, found: Found) -> Present {
    let attributes = [
        ("Arn", arn),
        ("QueueName", name.to_string()),
        ("QueueUrl", url.clone()),
    ];
    Present {
        name: name.to_string(),
        made: Made {
            reference: url,
            attributes: attributes
                .map(|(name, value)| (name.to_owned(), value))
                .into(),
        },
        found,
    }
}

/// The attributes that the template names, as texts.
fn attributes_of(properties: &Properties<'_>) -> Result<Vec<(String, String)>, DeployError> {
    let members = properties.members();
    let members = members.filter(|(name, value)| *name != "QueueName" && !value.is_null());
    members
        .map(|(name, value)| {
            if name == "Tags" {
                return Err(properties.wrong(name, "left to --tag where there is CloudFormation"));
            }
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Object(_) => policy(value).to_string(),
                other => other.to_string(),
            };
            Ok((name.to_owned(), text))
        })
        .collect()
}

/// A redrive policy, in which a number that came from a parameter is a number.
fn policy(value: &Value) -> Value {
    let mut policy = value.clone();
    let count = policy.get("maxReceiveCount").and_then(Value::as_str);
    if let Some(count) = count.and_then(|count| count.parse::<u32>().ok()) {
        policy["maxReceiveCount"] = count.into();
    }
    policy
}

/// Whether two values of an attribute say the same: as texts, or as JSON whose numbers may be texts.
fn same(one: &str, other: &str) -> bool {
    let read = |text: &str| serde_json::from_str::<Value>(text).map(|value| policy(&value));
    one == other || matches!((read(one), read(other)), (Ok(one), Ok(other)) if one == other)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_template_says_becomes_attributes() {
        let value = json!({
            "QueueName": "q",
            "SqsManagedSseEnabled": true,
            "VisibilityTimeout": 90,
            "RedrivePolicy": {"deadLetterTargetArn": "arn", "maxReceiveCount": "5"},
        });
        let attributes = attributes_of(&Properties::new("Queue", &value)).unwrap();
        let expected = [
            ("SqsManagedSseEnabled", "true"),
            ("VisibilityTimeout", "90"),
            (
                "RedrivePolicy",
                r#"{"deadLetterTargetArn":"arn","maxReceiveCount":5}"#,
            ),
        ];
        assert_eq!(
            attributes,
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
        assert!(same(
            r#"{"maxReceiveCount":"5","deadLetterTargetArn":"arn"}"#,
            &attributes[2].1
        ));
        assert!(!same("91", "90"));
    }
}
