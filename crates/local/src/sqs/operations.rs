//! The operations on queues, as SQS offers them on the control port; those on messages are in `messages`.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::{Map, Value, json};

use super::error::{invalid_value, no_such_queue};
use super::{Queue, Queues, messages};
use crate::account::ApiError;
use crate::control::{Answer, ControlSettings, Extension};
use crate::model::{Input, Service};

/// The meaning of an operation for queues.
pub(super) type Handler = fn(Queues, Input) -> BoxFuture<'static, Result<Value, ApiError>>;

const OPERATIONS: [(&str, Handler); 11] = [
    ("CreateQueue", |queues, input| {
        Box::pin(create(queues, input))
    }),
    ("DeleteQueue", |queues, input| {
        Box::pin(delete(queues, input))
    }),
    ("GetQueueAttributes", |queues, input| {
        Box::pin(async move { attributes(&queues, &input) })
    }),
    ("GetQueueUrl", |queues, input| {
        Box::pin(async move { url(&queues, &input) })
    }),
    ("ListDeadLetterSourceQueues", |queues, input| {
        Box::pin(async move { list_sources(&queues, &input) })
    }),
    ("ListQueueTags", |queues, input| {
        Box::pin(async move { list_tags(&queues, &input) })
    }),
    ("ListQueues", |queues, input| {
        Box::pin(async move { list(&queues, &input) })
    }),
    ("PurgeQueue", |queues, input| Box::pin(purge(queues, input))),
    ("SetQueueAttributes", |queues, input| {
        Box::pin(set_attributes(queues, input))
    }),
    ("TagQueue", |queues, input| Box::pin(tag(queues, input))),
    ("UntagQueue", |queues, input| Box::pin(untag(queues, input))),
];

/// Tags of one queue ("TagQueue").
const MOST_TAGS: usize = 50;
/// Items of a list, most and unless told otherwise ("ListQueues").
const LONGEST_LIST: u64 = 1000;

/// The names of the operations that [`plug_in`] adds.
pub(crate) fn operations() -> impl Iterator<Item = (Service, &'static str)> {
    let handlers = OPERATIONS.iter().chain(&messages::OPERATIONS);
    handlers.map(|(name, _)| (Service::Sqs, *name))
}

/// Adds SQS, served by these queues.
pub(crate) fn plug_in(mut settings: ControlSettings, queues: &Queues) -> ControlSettings {
    for (name, serve) in OPERATIONS.into_iter().chain(messages::OPERATIONS) {
        let queues = queues.clone();
        let extension: Extension = Arc::new(move |input| {
            let answer = serve(queues.clone(), input);
            Box::pin(async move { answer.await.map(Answer::Json) })
        });
        settings = settings.with(Service::Sqs, name, extension);
    }
    settings
}

/// The queue a request is about.
pub(super) fn queue_of(queues: &Queues, input: &Input) -> Result<Arc<Queue>, ApiError> {
    let queue = queues.of_url(input.required("QueueUrl"));
    queue.ok_or_else(no_such_queue)
}

async fn create(queues: Queues, input: Input) -> Result<Value, ApiError> {
    let given = input.object("Attributes").cloned().unwrap_or_default();
    let tags = tags(input.object("tags"));
    let queue = queues
        .create(input.required("QueueName"), &given, tags)
        .await?;
    Ok(json!({ "QueueUrl": queues.url(&queue.record().name) }))
}

async fn delete(queues: Queues, input: Input) -> Result<Value, ApiError> {
    let queue = queue_of(&queues, &input)?;
    queues.delete(&queue).await?;
    Ok(Value::Null)
}

fn url(queues: &Queues, input: &Input) -> Result<Value, ApiError> {
    let name = input.required("QueueName");
    let owner = input.text("QueueOwnerAWSAccountId");
    let own = owner.is_none_or(|owner| owner == queues.inner.scope.account_id);
    match queues.named(name).filter(|_| own) {
        Some(_) => Ok(json!({ "QueueUrl": queues.url(name) })),
        None => Err(no_such_queue()),
    }
}

fn list(queues: &Queues, input: &Input) -> Result<Value, ApiError> {
    let prefix = input.text("QueueNamePrefix").unwrap_or_default();
    let names = queues.all().into_keys();
    let names = names.filter(|name| name.starts_with(prefix));
    page(queues, input, "QueueUrls", names)
}

fn list_sources(queues: &Queues, input: &Input) -> Result<Value, ApiError> {
    let target = queue_of(queues, input)?;
    let sources = queues.all().into_iter().filter(|(_, queue)| {
        let record = queue.record();
        let redrive = record.attributes.redrive.as_ref();
        redrive.is_some_and(|redrive| redrive.target == target.arn)
    });
    page(queues, input, "queueUrls", sources.map(|(name, _)| name))
}

/// A list from the token on, which is the last name of the page before. Without MaxResults there are no pages.
fn page(
    queues: &Queues,
    input: &Input,
    list: &str,
    names: impl Iterator<Item = String>,
) -> Result<Value, ApiError> {
    let asked = input.get("MaxResults").and_then(Value::as_i64);
    let most = match asked.map(u64::try_from) {
        None => LONGEST_LIST,
        Some(Ok(most)) if (1..=LONGEST_LIST).contains(&most) => most,
        _ => {
            return Err(invalid_value(format!(
                "MaxResults must be an integer between 1 and {LONGEST_LIST}"
            )));
        }
    };
    let after = input.text("NextToken").unwrap_or_default();
    let mut rest = names.filter(|name| name.as_str() > after).peekable();
    let most = usize::try_from(most).unwrap_or(1);
    let found: Vec<String> = rest.by_ref().take(most).collect();
    let urls: Vec<String> = found.iter().map(|name| queues.url(name)).collect();
    let mut answer = Map::from_iter([(list.to_owned(), json!(urls))]);
    if asked.is_some() && rest.peek().is_some() {
        answer.insert("NextToken".to_owned(), json!(found.last()));
    }
    Ok(Value::Object(answer))
}

fn attributes(queues: &Queues, input: &Input) -> Result<Value, ApiError> {
    let queue = queue_of(queues, input)?;
    let record = queue.record();
    let counts = queue.counts(queues.now());
    let mut known = record.attributes.described();
    known.extend([
        ("QueueArn", queue.arn.clone()),
        ("CreatedTimestamp", record.created.to_string()),
        ("LastModifiedTimestamp", record.modified.to_string()),
        ("ApproximateNumberOfMessages", counts.visible.to_string()),
        (
            "ApproximateNumberOfMessagesNotVisible",
            counts.in_flight.to_string(),
        ),
        (
            "ApproximateNumberOfMessagesDelayed",
            counts.delayed.to_string(),
        ),
    ]);
    let asked = input.texts("AttributeNames");
    let all = asked.contains(&"All");
    let wanted = known
        .into_iter()
        .filter(|(name, _)| all || asked.contains(name));
    let wanted: Map<String, Value> = wanted
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    match wanted.is_empty() {
        // AWS leaves the member out.
        true => Ok(Value::Null),
        false => Ok(json!({ "Attributes": wanted })),
    }
}

async fn set_attributes(queues: Queues, input: Input) -> Result<Value, ApiError> {
    let queue = queue_of(&queues, &input)?;
    let given = input.object("Attributes").cloned().unwrap_or_default();
    let now = queues.now() / 1000;
    let changed = queues.change(&queue, |record| {
        record.attributes.set(&given)?;
        record.modified = now;
        Ok(())
    });
    changed.await?;
    // A shorter delay of sight may let a waiting receive go on.
    queue.arrived.notify_waiters();
    Ok(Value::Null)
}

async fn purge(queues: Queues, input: Input) -> Result<Value, ApiError> {
    let queue = queue_of(&queues, &input)?;
    queues.purge(&queue).await?;
    Ok(Value::Null)
}

async fn tag(queues: Queues, input: Input) -> Result<Value, ApiError> {
    let queue = queue_of(&queues, &input)?;
    let added = tags(input.object("Tags"));
    let changed = queues.change(&queue, |record| {
        record.tags.extend(added);
        match record.tags.len() > MOST_TAGS {
            true => Err(invalid_value(format!("A queue may have {MOST_TAGS} tags"))),
            false => Ok(()),
        }
    });
    changed.await?;
    Ok(Value::Null)
}

async fn untag(queues: Queues, input: Input) -> Result<Value, ApiError> {
    let queue = queue_of(&queues, &input)?;
    let keys = input.texts("TagKeys");
    let changed = queues.change(&queue, |record| {
        record.tags.retain(|key, _| !keys.contains(&key.as_str()));
        Ok(())
    });
    changed.await?;
    Ok(Value::Null)
}

fn list_tags(queues: &Queues, input: &Input) -> Result<Value, ApiError> {
    let record = queue_of(queues, input)?.record();
    match record.tags.is_empty() {
        true => Ok(Value::Null),
        false => Ok(json!({ "Tags": record.tags })),
    }
}

fn tags(given: Option<&Map<String, Value>>) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let given = given.into_iter().flatten();
    given
        .map(|(key, value)| (key.clone(), text(value)))
        .collect()
}
