//! Event source mappings told as behaviour: a queue, a function that does well or not, and what is left where.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{EventSourceSettings, EventSources};
use crate::account::event_sources::{self, MappingSettings};
use crate::account::{Account, AccountSettings, Clock};
use crate::diary::Diary;
use crate::functions::tests::{given, program};
use crate::functions::{FunctionSettings, Functions};
use crate::sqs::{Message, QueueSettings, Queues};
use crate::storage::Storage;

/// A queue with a dead-letter queue, and a function that notes what it was given.
struct Lab {
    account: Account,
    queues: Queues,
    sources: EventSources,
    diary: Diary,
    folder: tempfile::TempDir,
    shutdown: CancellationToken,
}

impl Lab {
    /// With a function of this body, which is run for each batch.
    async fn new(body: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let note = folder.path().join("noted");
        let body = format!("printf '%s\\n' \"$payload\" >>{}\n{body}", note.display());
        let consume = given("consume", program(folder.path(), "consume", &body));
        let diary = Diary::new(1000);
        let account = Account::open(AccountSettings {
            account_id: "123456789012".to_owned(),
            region: "eu-west-1".to_owned(),
            endpoint: "localhost".to_owned(),
            // Seconds out of sight pass in tenths.
            clock: Clock::running(10),
            storage: Storage::memory(),
        })
        .unwrap();
        let shutdown = CancellationToken::new();
        let queues = Queues::open(QueueSettings {
            account: account.clone(),
            diary: diary.clone(),
            storage: Storage::memory(),
            url: "http://localhost".to_owned(),
            shutdown: shutdown.clone(),
        })
        .unwrap();
        let sources = EventSources::new(EventSourceSettings {
            account: account.clone(),
            diary: diary.clone(),
            queues: queues.clone(),
            functions: Functions::new(FunctionSettings {
                account: account.clone(),
                diary: diary.clone(),
                given: vec![consume],
                environment: Vec::new(),
            }),
            shutdown: shutdown.clone(),
        });
        queues.make("dead").await;
        let redrive = json!({ "deadLetterTargetArn": queues.arn("dead"), "maxReceiveCount": 3 });
        let attributes = json!({ "VisibilityTimeout": "20", "RedrivePolicy": redrive.to_string() });
        queues
            .make_with("jobs", attributes.as_object().unwrap())
            .await;
        Self {
            account,
            queues,
            sources,
            diary,
            folder,
            shutdown,
        }
    }

    fn map(&self, settings: &MappingSettings) -> String {
        let arn = self.queues.arn("jobs");
        let mapping = self
            .account
            .write(|tx| event_sources::create(tx, &arn, "consume", settings));
        self.sources.reconcile();
        mapping.unwrap().id.clone()
    }

    fn switch(&self, id: &str, enabled: bool) {
        let settings = MappingSettings {
            enabled: Some(enabled),
            ..MappingSettings::default()
        };
        self.account
            .write(|tx| event_sources::update(tx, id, None, &settings))
            .unwrap();
        self.sources.reconcile();
    }

    fn state(&self, id: &str) -> &'static str {
        let mapping = event_sources::find(&self.account.snapshot(), id).unwrap();
        self.sources.state_of(&mapping)
    }

    async fn send(&self, bodies: impl IntoIterator<Item = String>) {
        let queue = self.queues.named("jobs").unwrap();
        let messages = bodies
            .into_iter()
            .map(|body| (Message::new(body, "sender"), 0));
        self.queues.send(&queue, messages.collect()).await.unwrap();
    }

    /// Messages in a queue, in sight or not.
    fn held(&self, queue: &str) -> usize {
        let counts = self.queues.named(queue).unwrap();
        let counts = counts.counts(self.account.clock().timestamp().milliseconds());
        counts.visible + counts.in_flight
    }

    /// Waits until something is so.
    async fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        for _ in 0..1500 {
            if is_so() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{what} did not happen: {:#?}", self.diary.recent());
    }

    /// The events that the function was given.
    fn noted(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path().join("noted")).unwrap_or_default();
        let events = text.lines().map(serde_json::from_str);
        events.filter_map(Result::ok).collect()
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(Path::new(name))
    }

    fn told(&self, code: &str) -> bool {
        self.diary.recent().iter().any(|entry| entry.code == code)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

const REPORTING: MappingSettings = MappingSettings {
    enabled: None,
    batch_size: None,
    window: None,
    reports_failures: Some(true),
    most_at_once: None,
};

#[tokio::test]
async fn a_function_is_given_batches_and_what_it_has_done_is_deleted() {
    let lab = Lab::new("answer '{\"batchItemFailures\":[]}'").await;
    lab.send((0..25).map(|number| number.to_string())).await;
    let id = lab.map(&REPORTING);
    lab.until("the queue was empty", || lab.held("jobs") == 0)
        .await;
    assert_eq!(lab.state(&id), "Enabled");
    let events = lab.noted();
    let records = events
        .iter()
        .flat_map(|event| event["Records"].as_array().unwrap());
    let bodies: BTreeSet<&str> = records
        .clone()
        .filter_map(|record| record["body"].as_str())
        .collect();
    assert_eq!((records.count(), bodies.len()), (25, 25), "each once");
    let record = &events[0]["Records"][0];
    assert_eq!(record["eventSource"], "aws:sqs");
    assert_eq!(
        record["eventSourceARN"],
        "arn:aws:sqs:eu-west-1:123456789012:jobs"
    );
    assert_eq!(record["awsRegion"], "eu-west-1");
    assert_eq!(record["attributes"]["ApproximateReceiveCount"], "1");
    assert_eq!(lab.held("dead"), 0);
}

#[tokio::test]
async fn a_message_that_fails_comes_again_and_ends_as_a_dead_letter_alone() {
    // The id of the message `bad` is told as failed.
    let body = r#"
  bad=$(printf '%s' "$payload" | sed -n 's/.*"messageId":"\([^"]*\)","receiptHandle":"[^"]*","body":"bad".*/\1/p')
  if [ -n "$bad" ]; then answer "{\"batchItemFailures\":[{\"itemIdentifier\":\"$bad\"}]}"; else answer '{}'; fi"#;
    let lab = Lab::new(body).await;
    lab.send(["good", "bad", "fine"].map(str::to_owned)).await;
    lab.map(&REPORTING);
    lab.until("the bad one was a dead letter", || lab.held("dead") == 1)
        .await;
    assert_eq!(lab.held("jobs"), 0);
    let events = lab.noted();
    let about = |body: &str| {
        let records = events
            .iter()
            .flat_map(|event| event["Records"].as_array().unwrap());
        records.filter(|record| record["body"] == body).count()
    };
    assert_eq!((about("good"), about("fine"), about("bad")), (1, 1, 3));
    assert!(lab.told("EVENT_SOURCE_MESSAGES_FAILED"));
}

#[tokio::test]
async fn a_crash_a_failure_and_nonsense_lose_no_message() {
    for (kind, body) in [
        ("crash", "exit 7"),
        (
            "failure",
            r#"failure '{"errorType":"Oops","errorMessage":"no"}'"#,
        ),
        ("nonsense", "answer 'this is no JSON'"),
        (
            "unknown",
            r#"answer '{"batchItemFailures":[{"itemIdentifier":"other"}]}'"#,
        ),
    ] {
        // Once it goes wrong, and then it does well.
        let body = format!(
            "if ! [ -e \"$(dirname \"$0\")/over\" ]; then : >\"$(dirname \"$0\")/over\"; {body}; else answer '{{}}'; fi"
        );
        let lab = Lab::new(&body).await;
        lab.send(["a", "b"].map(str::to_owned)).await;
        lab.map(&REPORTING);
        lab.until("the messages were done", || lab.held("jobs") == 0)
            .await;
        assert_eq!(lab.noted().len(), 2, "{kind}");
        assert_eq!(lab.held("dead"), 0, "{kind}");
        assert!(lab.told("EVENT_SOURCE_BATCH_FAILED"), "{kind}");
        assert!(lab.file("over").exists());
    }
}

#[tokio::test]
async fn without_reports_the_answer_does_not_matter() {
    let lab = Lab::new(r#"answer '{"batchItemFailures":[{"itemIdentifier":"other"}]}'"#).await;
    lab.send(["a".to_owned()]).await;
    lab.map(&MappingSettings::default());
    lab.until("the queue was empty", || lab.held("jobs") == 0)
        .await;
    assert_eq!(lab.noted().len(), 1);
}

#[tokio::test]
async fn a_mapping_that_is_switched_off_takes_nothing_until_it_is_switched_on() {
    let lab = Lab::new("answer '{}'").await;
    let id = lab.map(&REPORTING);
    lab.until("it works", || lab.state(&id) == "Enabled").await;
    lab.switch(&id, false);
    lab.until("it has stopped", || lab.state(&id) == "Disabled")
        .await;
    lab.send(["a".to_owned()]).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!((lab.held("jobs"), lab.noted().len()), (1, 0));
    lab.switch(&id, true);
    lab.until("the queue was empty", || lab.held("jobs") == 0)
        .await;
    lab.account
        .write(|tx| event_sources::delete(tx, &id))
        .unwrap();
    lab.sources.reconcile();
    let ended = || {
        let running = lab.sources.inner.running.lock();
        running.values().all(|poller| poller.ended.is_cancelled())
    };
    lab.until("it has ended", ended).await;
    lab.send(["b".to_owned()]).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(lab.held("jobs"), 1);
}

#[tokio::test]
async fn a_window_gathers_what_comes_in_it() {
    let lab = Lab::new("answer '{}'").await;
    lab.map(&MappingSettings {
        batch_size: Some(100),
        window: Some(1),
        ..REPORTING
    });
    for number in 0..30 {
        lab.send([number.to_string()]).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    lab.until("the queue was empty", || lab.held("jobs") == 0)
        .await;
    let events = lab.noted();
    let largest = events
        .iter()
        .map(|event| event["Records"].as_array().unwrap().len());
    assert!(largest.max() > Some(10), "{events:#?}");
}

#[tokio::test]
async fn where_there_is_no_function_messages_stay_as_they_are() {
    let lab = Lab::new("answer '{}'").await;
    let arn = lab.queues.arn("jobs");
    lab.account
        .write(|tx| event_sources::create(tx, &arn, "missing", &REPORTING))
        .unwrap();
    lab.sources.reconcile();
    lab.send(["a".to_owned()]).await;
    lab.until("it was told", || lab.told("EVENT_SOURCE_IDLE"))
        .await;
    let queue = lab.queues.named("jobs").unwrap();
    let counts = queue.counts(lab.account.clock().timestamp().milliseconds());
    assert_eq!((counts.visible, counts.in_flight), (1, 0));
}

#[test]
fn what_is_too_large_for_one_event_becomes_several() {
    let one = |size: usize| crate::sqs::Delivered::for_test(&"a".repeat(size));
    let batches = super::batch::split(vec![
        one(2_000_000),
        one(1_200_000),
        one(10),
        one(2_000_000),
    ]);
    let sizes: Vec<usize> = batches.iter().map(Vec::len).collect();
    assert_eq!(sizes, [1, 2, 1]);
    assert!(super::batch::split(Vec::new()).is_empty());
}
