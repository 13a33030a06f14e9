//! Consuming a queue batch by batch: each message is judged by itself, and each is done once.
//!
//! What this function does for a message is to write a record of it with its message id. SQS may deliver a message
//! twice: one that this process has done is not done again, and of records that two processes wrote the id tells that
//! they are one message. A function that changes something elsewhere would make the id the condition of that change.

use std::collections::{HashSet, VecDeque};
use std::io;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use serde_json::{Value, json};

use crate::LoadTestMessage;

/// Messages of which it is remembered that they were done.
const REMEMBERED: usize = 10_000;
/// Characters of a message that are logged.
const LOGGED: usize = 1_024;

/// Consumes batches, and remembers which messages were done.
#[derive(Debug, Default)]
pub struct Consumer {
    done: Remembered,
}

/// Why a batch could not be answered message by message; SQS delivers all of it again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// A message without an id cannot be named in the answer.
    #[error("a message of the batch has no messageId")]
    Unnamed,
    /// Nothing is done of which there is no record.
    #[error("the records cannot be written: {0}")]
    Write(#[from] io::Error),
}

impl Consumer {
    /// Processes a batch at a time (Unix time in milliseconds): hands one line of JSON a message, and one of the batch,
    /// to `write`, and answers which messages failed. A message counts as done only once its record was written.
    ///
    /// # Errors
    /// When the records cannot be written, or a message has no id.
    pub fn process(
        &mut self,
        batch: &SqsEvent,
        now: f64,
        request_id: &str,
        write: impl FnOnce(&[u8]) -> io::Result<()>,
    ) -> Result<SqsBatchResponse, BatchError> {
        let mut response = SqsBatchResponse::default();
        let mut records = String::new();
        let mut in_batch = HashSet::new();
        let mut done = Vec::new();
        let mut duplicates = 0;
        for message in &batch.records {
            let id = message.message_id.as_deref().filter(|id| !id.is_empty());
            let id = id.ok_or(BatchError::Unnamed)?;
            let duplicate = !in_batch.insert(id) || self.done.contains(id);
            let outcome = match duplicate {
                true => Outcome::Duplicate,
                false => judge(message),
            };
            match &outcome {
                Outcome::Failed(_) => response.add_failure(id),
                Outcome::Duplicate => duplicates += 1,
                Outcome::LoadTest(_) | Outcome::Other => done.push(id),
            }
            records.push_str(&record(message, id, &outcome, now, request_id).to_string());
            records.push('\n');
        }
        let failed = response.batch_item_failures.len();
        let summary = json!({
            "level": if failed == 0 { "INFO" } else { "WARN" },
            "message": "batch processed",
            "requestId": request_id,
            "messages": batch.records.len(),
            "failed": failed,
            "duplicates": duplicates,
        });
        records.push_str(&summary.to_string());
        records.push('\n');
        write(records.as_bytes())?;
        for id in done {
            self.done.insert(id);
        }
        Ok(response)
    }
}

/// What becomes of one message.
enum Outcome {
    LoadTest(LoadTestMessage),
    Other,
    Duplicate,
    /// It is delivered again, and in the end goes to the dead-letter queue.
    Failed(String),
}

fn judge(message: &SqsMessage) -> Outcome {
    let body = message.body.as_deref().unwrap_or_default();
    let parsed: Value = match serde_json::from_str(body) {
        Ok(parsed) => parsed,
        Err(error) => return Outcome::Failed(format!("the message is not JSON: {error}")),
    };
    match LoadTestMessage::read(&parsed) {
        None => Outcome::Other,
        Some(Ok(loadtest)) => Outcome::LoadTest(loadtest),
        Some(Err(reason)) => {
            Outcome::Failed(format!("the message is none of a load test: {reason}"))
        }
    }
}

/// The line of a message. Latencies are in milliseconds, and negative where clocks disagree.
fn record(message: &SqsMessage, id: &str, outcome: &Outcome, now: f64, request_id: &str) -> Value {
    let (level, said) = match outcome {
        Outcome::LoadTest(_) => ("INFO", "load-test message".to_owned()),
        Outcome::Other => ("INFO", "message".to_owned()),
        Outcome::Duplicate => ("INFO", "delivered again, and done before".to_owned()),
        Outcome::Failed(reason) => ("WARN", reason.clone()),
    };
    let mut line = json!({
        "level": level,
        "message": said,
        "outcome": match outcome {
            Outcome::LoadTest(_) | Outcome::Other => "processed",
            Outcome::Duplicate => "duplicate",
            Outcome::Failed(_) => "failed",
        },
        "messageId": id,
        "requestId": request_id,
    });
    let number = |name: &str| message.attributes.get(name)?.parse::<f64>().ok();
    if let Some(received) = number("ApproximateReceiveCount") {
        line["receiveCount"] = json!(received as u64);
    }
    if let Some(queued) = number("SentTimestamp") {
        line["queueMilliseconds"] = json!(now - queued);
    }
    match outcome {
        Outcome::LoadTest(loadtest) => {
            line["publisher"] = json!(loadtest.publisher);
            line["latencyMilliseconds"] = json!(now - loadtest.sent);
            if let Some(subscriber) = &loadtest.subscriber {
                line["subscriber"] = json!(subscriber);
            }
            if let Some(acknowledged) = loadtest.acknowledged {
                line["subscriberMilliseconds"] = json!(acknowledged - loadtest.sent);
            }
        }
        Outcome::Other | Outcome::Failed(_) => {
            let body = message.body.as_deref().unwrap_or_default();
            line["body"] = json!(body.chars().take(LOGGED).collect::<String>());
        }
        Outcome::Duplicate => {}
    }
    line
}

/// The last [`REMEMBERED`] ids.
#[derive(Debug, Default)]
struct Remembered {
    ids: HashSet<String>,
    order: VecDeque<String>,
}

impl Remembered {
    fn contains(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    fn insert(&mut self, id: &str) {
        if !self.ids.insert(id.to_owned()) {
            return;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: f64 = 1_000_250.0;

    /// A batch as Lambda hands it to a function (Lambda developer guide, "Example Amazon SQS message event").
    fn batch(messages: &[(&str, &str)]) -> SqsEvent {
        let records = messages.iter().map(|(id, body)| {
            json!({
                "messageId": id, "receiptHandle": "AQEB", "body": body,
                "attributes": { "ApproximateReceiveCount": "2", "SentTimestamp": "1000200",
                    "SenderId": "A", "ApproximateFirstReceiveTimestamp": "1000201" },
                "messageAttributes": {}, "md5OfBody": "", "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:loadtestQueue",
                "awsRegion": "eu-central-1",
            })
        });
        serde_json::from_value(json!({ "Records": records.collect::<Vec<_>>() })).unwrap()
    }

    /// The lines that were written, and the ids that failed.
    fn run(consumer: &mut Consumer, messages: &[(&str, &str)]) -> (Vec<Value>, Vec<String>) {
        let mut written = Vec::new();
        let response = consumer.process(&batch(messages), NOW, "request", |lines| {
            written.extend_from_slice(lines);
            Ok(())
        });
        let lines = String::from_utf8(written).unwrap();
        let lines = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        let failures = response.unwrap().batch_item_failures.into_iter();
        (
            lines.collect(),
            failures.map(|one| one.item_identifier).collect(),
        )
    }

    #[test]
    fn latencies_of_load_test_messages_are_told() {
        let (lines, failed) = run(
            &mut Consumer::default(),
            &[
                ("a", r#"{"device":"pub0","sent":1000000}"#),
                (
                    "b",
                    r#"{"publisher":"pub0","subscriber":"sub1","sent":1000000,"ack":1000100}"#,
                ),
            ],
        );
        assert!(failed.is_empty());
        assert_eq!(lines[0]["latencyMilliseconds"], 250.0);
        assert_eq!(lines[0]["queueMilliseconds"], 50.0);
        assert_eq!(lines[0]["receiveCount"], 2);
        assert_eq!(lines[1]["subscriberMilliseconds"], 100.0);
        assert_eq!(lines[1]["subscriber"], "sub1");
        assert_eq!(lines[2]["messages"], 2);
    }

    #[test]
    fn one_bad_message_does_not_fail_its_batch() {
        let (lines, failed) = run(
            &mut Consumer::default(),
            &[
                ("a", r#"{"temperature":21}"#),
                ("b", "\u{fffd}not JSON"),
                ("c", r#"{"device":"pub0","sent":"now"}"#),
                ("d", "7"),
            ],
        );
        assert_eq!(failed, ["b", "c"]);
        let outcomes: Vec<_> = lines[..4].iter().map(|line| &line["outcome"]).collect();
        assert_eq!(outcomes, ["processed", "failed", "failed", "processed"]);
        assert_eq!(lines[4]["failed"], 2);
        assert_eq!(lines[4]["level"], "WARN");
    }

    #[test]
    fn what_was_done_is_not_done_again_and_what_failed_is() {
        let mut consumer = Consumer::default();
        let messages = [("a", "1"), ("a", "1"), ("b", "")];
        let (lines, failed) = run(&mut consumer, &messages);
        assert_eq!(
            (lines[1]["outcome"].as_str(), failed.len()),
            (Some("duplicate"), 1)
        );
        let (lines, failed) = run(&mut consumer, &[("a", "1"), ("b", "2")]);
        assert_eq!(lines[0]["outcome"], "duplicate");
        assert_eq!(lines[1]["outcome"], "processed");
        assert!(
            failed.is_empty(),
            "a duplicate is no failure: SQS may delete it"
        );
    }

    #[test]
    fn without_its_record_nothing_counts_as_done() {
        let mut consumer = Consumer::default();
        let full = |_: &[u8]| Err(io::Error::other("no space left"));
        let failed = consumer.process(&batch(&[("a", "1")]), NOW, "request", full);
        assert!(matches!(failed, Err(BatchError::Write(_))));
        let (lines, _) = run(&mut consumer, &[("a", "1")]);
        assert_eq!(lines[0]["outcome"], "processed");
    }

    #[test]
    fn a_message_that_cannot_be_named_fails_the_batch() {
        let unnamed = consumer_error(&[("", "1")]);
        assert!(matches!(unnamed, Some(BatchError::Unnamed)));
    }

    fn consumer_error(messages: &[(&str, &str)]) -> Option<BatchError> {
        let mut consumer = Consumer::default();
        consumer
            .process(&batch(messages), NOW, "request", |_| Ok(()))
            .err()
    }

    #[test]
    fn memory_is_bounded() {
        let mut remembered = Remembered::default();
        for id in 0..=REMEMBERED {
            remembered.insert(&id.to_string());
        }
        assert!(!remembered.contains("0") && remembered.contains("1"));
        assert_eq!(
            (remembered.ids.len(), remembered.order.len()),
            (REMEMBERED, REMEMBERED)
        );
    }
}
