//! One mapping at work: it receives, has the function work, and deletes what is done.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::EventSourceSettings;
use super::batch::{event, failed, split};
use crate::account::EventSourceMapping;
use crate::diary::{Entry, PerSecond};
use crate::sqs::{Delivered, Queue, Receive};

/// How long a receive waits, as that of AWS Lambda does.
const WAIT: Duration = Duration::from_secs(20);
/// How long it is waited where there is no queue or no function.
const PAUSE: Duration = Duration::from_secs(1);
/// Batches at once; a function has no more processes.
const AT_ONCE: u32 = 4;
/// Messages received at once.
const MOST_RECEIVED: usize = 10;
/// Longest a function may run.
const LONGEST: Duration = Duration::from_secs(900);
/// Failures told each second.
const TOLD_PER_SECOND: u32 = 10;

/// Takes from a queue and gives to a function.
#[derive(Clone, Debug)]
pub(super) struct Poller {
    settings: EventSourceSettings,
    mapping: Arc<EventSourceMapping>,
    stop: CancellationToken,
    told: Arc<PerSecond>,
}

impl Poller {
    pub(super) fn new(
        settings: &EventSourceSettings,
        mapping: &Arc<EventSourceMapping>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            settings: settings.clone(),
            mapping: Arc::clone(mapping),
            stop,
            told: Arc::default(),
        }
    }

    /// Works until it is stopped, and then until what it has taken is done.
    pub(super) async fn run(self) {
        let most = self.mapping.most_at_once.unwrap_or(AT_ONCE).min(AT_ONCE);
        let places = Arc::new(Semaphore::new(most as usize));
        let tasks = TaskTracker::new();
        let mut lacking = None;
        loop {
            let place = Arc::clone(&places).acquire_owned();
            let Some(Ok(place)) = self.stop.run_until_cancelled(place).await else {
                break;
            };
            let queue = match self.ready() {
                Ok(queue) => queue,
                Err(why) => {
                    // Once for each reason, and not each second.
                    if lacking.as_ref() != Some(&why) {
                        self.refuse("EVENT_SOURCE_IDLE", &why);
                        lacking = Some(why);
                    }
                    let pause = tokio::time::sleep(PAUSE);
                    if self.stop.run_until_cancelled(pause).await.is_none() {
                        break;
                    }
                    continue;
                }
            };
            lacking = None;
            let batches = split(self.gather(&queue).await);
            if batches.is_empty() {
                if self.stop.is_cancelled() {
                    break;
                }
                continue;
            }
            let poller = self.clone();
            tasks.spawn(async move {
                let _place = place;
                for batch in batches {
                    poller.process(&queue, batch).await;
                }
            });
        }
        tasks.close();
        tasks.wait().await;
    }

    /// The queue, if there is anything to take and anybody to give it to: what nobody can work on stays where it is.
    fn ready(&self) -> Result<Arc<Queue>, String> {
        let Some(queue) = self.settings.queues.of_arn(&self.mapping.queue_arn) else {
            return Err(format!("there is no queue {}", self.mapping.queue_arn));
        };
        let name = &self.mapping.function;
        match self.settings.functions.is_there(name) {
            true => Ok(queue),
            false => Err(format!("there is no function {name}")),
        }
    }

    /// Receives a batch: what is there, or with a window what comes until it is over.
    async fn gather(&self, queue: &Arc<Queue>) -> Vec<Delivered> {
        let wanted = self.mapping.batch_size as usize;
        let mut gathered = Vec::new();
        let mut until = Instant::now() + WAIT;
        while gathered.len() < wanted {
            let wait = until.saturating_duration_since(Instant::now());
            let ask = Receive {
                most: (wanted - gathered.len()).min(MOST_RECEIVED),
                wait,
                visibility: None,
            };
            let received = self.settings.queues.receive(queue, &ask);
            let received = match self.stop.run_until_cancelled(received).await {
                Some(Ok(received)) => received,
                Some(Err(error)) => {
                    self.refuse("EVENT_SOURCE_IDLE", &error.message);
                    let _ = self
                        .stop
                        .run_until_cancelled(tokio::time::sleep(PAUSE))
                        .await;
                    break;
                }
                None => break,
            };
            if gathered.is_empty() && self.mapping.window > 0 {
                until = Instant::now() + Duration::from_secs(self.mapping.window);
            }
            let is_over = received.is_empty();
            gathered.extend(received);
            if is_over || self.mapping.window == 0 {
                break;
            }
        }
        gathered
    }

    async fn process(&self, queue: &Queue, batch: Vec<Delivered>) {
        let EventSourceSettings {
            account,
            queues,
            functions,
            ..
        } = &self.settings;
        let state = account.snapshot();
        let event = event(queues, queue, &batch, &state.scope.region);
        let answer = functions
            .invoke(&self.mapping.function, event.into(), LONGEST)
            .await;
        let failed = match answer {
            Ok(answer) if self.mapping.reports_failures => failed(&answer, &batch),
            Ok(_) => Ok(Default::default()),
            Err(error) => Err(error.to_string()),
        };
        let done: Vec<Delivered> = match failed {
            Ok(failed) => {
                if !failed.is_empty() {
                    let why = format!(
                        "says that {} of {} messages failed; they come again",
                        failed.len(),
                        batch.len()
                    );
                    self.refuse_batch("EVENT_SOURCE_MESSAGES_FAILED", &why);
                }
                let done = batch.into_iter();
                done.filter(|one| !failed.contains(&one.message.id))
                    .collect()
            }
            Err(why) => {
                let why = format!("{why}; {} messages come again", batch.len());
                self.refuse_batch("EVENT_SOURCE_BATCH_FAILED", &why);
                return;
            }
        };
        if let Err(error) = queues.remove(queue, &done).await {
            self.refuse("EVENT_SOURCE_NOT_DELETED", &error.message);
        }
    }

    fn refuse_batch(&self, code: &'static str, why: &str) {
        let now = self.settings.account.clock().now().unix_timestamp();
        if self.told.once_more(now, TOLD_PER_SECOND) {
            self.refuse(code, &format!("the function {why}"));
        }
    }

    fn refuse(&self, code: &'static str, why: &str) {
        let EventSourceMapping {
            queue_arn,
            function,
            ..
        } = &*self.mapping;
        let sentence = format!("messages of {queue_arn} for the function {function}: {why}");
        self.settings.diary.record(Entry::refusal(code, sentence));
    }
}
