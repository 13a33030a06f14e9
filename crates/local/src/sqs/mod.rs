//! Queues as Amazon SQS has them: standard queues with visibility, long polling, delays, retention and dead letters.
//!
//! A queue lives in memory; with a data folder each message is on the disk before its sender is answered, and until
//! its deletion was asked for. What was received and not deleted when the process ended is delivered again.

mod attributes;
mod error;
mod held;
mod message;
mod message_attributes;
mod messages;
mod metrics;
mod operations;
mod queue;
mod receipt;
mod receiving;
mod store;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use serde_json::{Map, Value};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::account::{Account, ApiError, Change, Scope};
use crate::diary::Diary;
use crate::storage::{Storage, StorageError, Write};
use attributes::{Attributes, wrong_policy};
use error::{invalid_value, no_such_queue};
use queue::QueueRecord;

pub(crate) use error::query_code;
pub(crate) use held::Delivered;
pub(crate) use message::{Message, forbidden_character};
pub(crate) use messages::system_attributes;
pub(crate) use metrics::{operations as metric_operations, plug_in as plug_metrics_in};
pub(crate) use operations::{operations, plug_in};
pub(crate) use queue::Queue;
pub(crate) use receiving::Receive;

/// Seconds after its deletion before a queue of the same name can be made ("DeleteQueue").
const DELETED_RECENTLY: i64 = 60;

/// What queues are made from.
#[derive(Clone, Debug)]
pub(crate) struct QueueSettings {
    /// The account whose queues they are; its clock is theirs.
    pub(crate) account: Account,
    /// Where refusals are told.
    pub(crate) diary: Diary,
    /// Where queues and messages are kept.
    pub(crate) storage: Storage,
    /// Base of the queues' URLs, for example `http://127.0.0.1:4566`.
    pub(crate) url: String,
    /// Ends whoever waits for a message.
    pub(crate) shutdown: CancellationToken,
}

/// The queues of a local core. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Queues {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    account: Account,
    scope: Arc<Scope>,
    diary: Diary,
    storage: Storage,
    url: String,
    shutdown: CancellationToken,
    /// Tells the receipts of this run from those of earlier ones.
    run: u64,
    queues: RwLock<HashMap<String, Arc<Queue>>>,
    /// One change of the set of queues at a time.
    changing: tokio::sync::Mutex<()>,
    /// When queues were deleted, by name, in milliseconds since 1970.
    deleted: Mutex<HashMap<String, i64>>,
}

impl Queues {
    /// The queues that the storage has kept.
    ///
    /// # Errors
    /// The storage cannot be read.
    pub(crate) fn open(settings: QueueSettings) -> Result<Self, StorageError> {
        let QueueSettings {
            account,
            diary,
            storage,
            url,
            shutdown,
        } = settings;
        let scope = Arc::clone(&account.snapshot().scope);
        let now = account.clock().timestamp().milliseconds();
        let queues = store::load(&storage, |name| arn(&scope, name), now)?;
        Ok(Self {
            inner: Arc::new(Inner {
                account,
                scope,
                diary,
                storage,
                url,
                shutdown,
                run: rand::random(),
                queues: RwLock::new(queues),
                changing: tokio::sync::Mutex::default(),
                deleted: Mutex::default(),
            }),
        })
    }

    /// Empties the account of queues when it is emptied, until `shutdown`.
    pub(crate) async fn watch(self) {
        let mut changes = self.inner.account.changes();
        let shutdown = self.inner.shutdown.clone();
        while let Some(change) = shutdown.run_until_cancelled(changes.recv()).await {
            match change {
                Ok(Change::Reset) => self.clear(),
                Err(RecvError::Closed) => break,
                _ => {}
            }
        }
    }

    fn clear(&self) {
        self.inner.queues.write().clear();
        self.inner.deleted.lock().clear();
        let spaces = [store::QUEUES, store::MESSAGES, store::RECEIVES];
        if let Err(error) = self.inner.storage.clear(&spaces) {
            tracing::error!("queues cannot be deleted: {error}");
        }
    }

    /// The queue of a name.
    pub(crate) fn named(&self, name: &str) -> Option<Arc<Queue>> {
        self.inner.queues.read().get(name).cloned()
    }

    /// The queue of an ARN.
    pub(crate) fn of_arn(&self, arn: &str) -> Option<Arc<Queue>> {
        let found = self.named(arn.rsplit(':').next().unwrap_or_default());
        found.filter(|queue| queue.arn == arn)
    }

    /// The queue of a URL. Only its end counts, `…/ACCOUNT/NAME`: after a restart the local core may be at another
    /// port, and AWS's own URLs lead here as well.
    pub(crate) fn of_url(&self, url: &str) -> Option<Arc<Queue>> {
        let (rest, name) = url.trim_end_matches('/').rsplit_once('/')?;
        let account = rest.rsplit('/').next().unwrap_or_default();
        (account == self.inner.scope.account_id)
            .then(|| self.named(name))
            .flatten()
    }

    /// `BASE/ACCOUNT/NAME`.
    pub(crate) fn url(&self, name: &str) -> String {
        format!("{}/{}/{name}", self.inner.url, self.inner.scope.account_id)
    }

    /// ARN that a queue of a name has, whether there is one or not.
    pub(crate) fn arn(&self, name: &str) -> String {
        arn(&self.inner.scope, name)
    }

    /// All queues in the order of their names.
    fn all(&self) -> BTreeMap<String, Arc<Queue>> {
        let queues = self.inner.queues.read();
        queues
            .iter()
            .map(|(name, queue)| (name.clone(), Arc::clone(queue)))
            .collect()
    }

    /// Milliseconds since 1970.
    fn now(&self) -> i64 {
        self.inner.account.clock().timestamp().milliseconds()
    }

    /// Makes a queue, or finds the one that is just so.
    ///
    /// # Errors
    /// `QueueNameExists`, `QueueDeletedRecently`, and what is wrong with the name or an attribute.
    async fn create(
        &self,
        name: &str,
        given: &Map<String, Value>,
        tags: BTreeMap<String, String>,
    ) -> Result<Arc<Queue>, ApiError> {
        judge_name(name)?;
        let _changing = self.inner.changing.lock().await;
        if let Some(queue) = self.named(name) {
            return match different(&queue.record().attributes, given)? {
                None => Ok(queue),
                Some(attribute) => Err(ApiError::new(
                    "QueueNameExists",
                    format!(
                        "A queue already exists with the same name and a different value for attribute {attribute}"
                    ),
                )),
            };
        }
        let mut attributes = Attributes::default();
        attributes.set(given)?;
        self.judge_redrive(name, &attributes)?;
        let now = self.now();
        let deleted = self.inner.deleted.lock().get(name).copied();
        if deleted.is_some_and(|deleted| now - deleted < DELETED_RECENTLY * 1000) {
            return Err(ApiError::new(
                "QueueDeletedRecently",
                "You must wait 60 seconds after deleting a queue before you can create another with the same name.",
            ));
        }
        let record = QueueRecord {
            name: name.to_owned(),
            id: rand::random(),
            attributes,
            tags,
            created: now / 1000,
            modified: now / 1000,
        };
        self.commit(vec![store::put_queue(&record)]).await?;
        let queue = Arc::new(Queue::new(self.arn(name), record));
        self.inner.deleted.lock().remove(name);
        let mut queues = self.inner.queues.write();
        queues.insert(name.to_owned(), Arc::clone(&queue));
        Ok(queue)
    }

    /// A queue with nothing set, for tests.
    #[cfg(test)]
    pub(crate) async fn make(&self, name: &str) -> Arc<Queue> {
        self.make_with(name, &Map::new()).await
    }

    /// A queue with these attributes, for tests.
    #[cfg(test)]
    pub(crate) async fn make_with(&self, name: &str, given: &Map<String, Value>) -> Arc<Queue> {
        let made = self.create(name, given, BTreeMap::new()).await;
        made.unwrap()
    }

    /// Changes what a queue is set to, or its tags.
    async fn change(
        &self,
        queue: &Queue,
        change: impl FnOnce(&mut QueueRecord) -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        let _changing = self.inner.changing.lock().await;
        let mut record = QueueRecord::clone(&queue.record());
        change(&mut record)?;
        if self
            .named(&record.name)
            .is_none_or(|present| present.record().id != record.id)
        {
            return Err(no_such_queue());
        }
        self.judge_redrive(&record.name, &record.attributes)?;
        self.commit(vec![store::put_queue(&record)]).await?;
        queue.record.store(Arc::new(record));
        Ok(())
    }

    /// Deletes a queue with its messages.
    async fn delete(&self, queue: &Queue) -> Result<(), ApiError> {
        let _changing = self.inner.changing.lock().await;
        let record = queue.record();
        let mut writes = vec![store::forget_queue(&record.name)];
        self.inner.queues.write().remove(&record.name);
        let now = self.now();
        self.inner.deleted.lock().insert(record.name.clone(), now);
        writes.extend(receiving::forgotten(queue));
        // Whoever waits for a message finds that there is no queue.
        queue.arrived.notify_waiters();
        self.commit(writes).await
    }

    /// Writes, and returns once it is durable.
    async fn commit(&self, writes: Vec<Write>) -> Result<(), ApiError> {
        if writes.is_empty() || !self.inner.storage.is_durable() {
            return Ok(());
        }
        Ok(self.inner.storage.commit_async(writes).await?)
    }

    /// A dead-letter queue is there, and takes the dead letters of this queue.
    fn judge_redrive(&self, name: &str, attributes: &Attributes) -> Result<(), ApiError> {
        let Some(redrive) = &attributes.redrive else {
            return Ok(());
        };
        let wrong = |why: &str| Err(wrong_policy("RedrivePolicy", &redrive.target, why));
        let Some(target) = self.of_arn(&redrive.target) else {
            return wrong("Dead letter target does not exist.");
        };
        let source = self.arn(name);
        let record = target.record();
        let allow = record.attributes.redrive_allow.as_ref();
        if allow.is_some_and(|allow| !allow.allows(&source)) {
            return wrong("The dead letter queue's RedriveAllowPolicy does not allow this queue.");
        }
        Ok(())
    }
}

fn arn(scope: &Scope, name: &str) -> String {
    format!("arn:aws:sqs:{}:{}:{name}", scope.region, scope.account_id)
}

/// The first attribute given that is other than the present one.
fn different(present: &Attributes, given: &Map<String, Value>) -> Result<Option<String>, ApiError> {
    for (name, value) in given {
        let mut wanted = present.clone();
        wanted.set(&Map::from_iter([(name.clone(), value.clone())]))?;
        if wanted != *present {
            return Ok(Some(name.clone()));
        }
    }
    Ok(None)
}

fn judge_name(name: &str) -> Result<(), ApiError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if name.ends_with(".fifo") {
        return Err(error::unsupported(
            "The local core has standard queues, no FIFO queues (.fifo); a topic rule of AWS IoT writes to standard \
             queues only",
        ));
    }
    match !name.is_empty() && name.len() <= 80 && name.bytes().all(plain) {
        true => Ok(()),
        false => Err(invalid_value(
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length",
        )),
    }
}
