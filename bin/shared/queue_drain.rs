//! `queue drain`: receive, print, and delete what was printed.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use jitp_cli::{Common, Failure, Report, Reporter, Result};
use jitp_cloud::{Cloud, Queue, QueueMessage, Undeleted};
use jitp_core::failure::Class;
use serde::Serialize;

use crate::Drain;

/// Messages of one receipt, at most (Amazon SQS API reference, "ReceiveMessage").
const MOST: u64 = 10;
/// How long SQS is asked to wait at once: less than a call may take.
const LONGEST_POLL: Duration = Duration::from_secs(10);

/// A message is JSON in either format: there is no other that loses nothing.
#[derive(Serialize)]
#[serde(transparent)]
struct Line<'a>(&'a QueueMessage);

impl Report for Line<'_> {
    fn columns(&self) -> Vec<String> {
        // A structure of texts always serializes.
        vec![serde_json::to_string(self.0).unwrap_or_default()]
    }
}

/// What happened so far.
#[derive(Default)]
struct Drained {
    printed: u64,
    undeleted: Vec<Undeleted>,
    /// What was received and is to be given back.
    kept: Vec<QueueMessage>,
    seen: HashSet<String>,
}

pub(crate) async fn drain(
    cloud: &Cloud,
    queue: &Queue,
    flags: &Drain,
    common: &Common,
) -> Result<()> {
    let mut reporter = common.reporter();
    let mut drained = Drained::default();
    let outcome = empty(cloud, queue, flags, &mut reporter, &mut drained).await;
    for messages in drained.kept.chunks(MOST as usize) {
        let given_back = cloud.give_back(queue, messages).await;
        if let Err(error) = given_back {
            common.warn(format!(
                "messages that were received and not deleted come again only after the visibility timeout: {error}"
            ));
            break;
        }
    }
    outcome.map_err(|failure| match drained.printed {
        0 => failure,
        printed => failure.context(format!("{printed} messages were printed, and then")),
    })?;
    match drained.undeleted.first() {
        None => Ok(()),
        Some(first) => {
            let (undeleted, printed) = (drained.undeleted.len(), drained.printed);
            let message = format!(
                "{undeleted} of {printed} messages were printed and not deleted; the first is {}: {}",
                first.message_id, first.reason
            );
            Err(Failure::new(Class::Partial, message)
                .hint("they come again: tell them by their messageId"))
        }
    }
}

/// Takes messages until there are none, or as many as were asked for.
async fn empty(
    cloud: &Cloud,
    queue: &Queue,
    flags: &Drain,
    reporter: &mut Reporter,
    drained: &mut Drained,
) -> Result<()> {
    let wait = Duration::from_secs(flags.wait);
    let mut last = Instant::now();
    loop {
        let most = match flags.count {
            Some(count) => (count - drained.printed).min(MOST),
            None => MOST,
        };
        let left = wait.saturating_sub(last.elapsed());
        // Whole seconds, and at least one: only then are all of its servers asked.
        let poll = Duration::from_secs(left.as_millis().div_ceil(1_000) as u64);
        let poll = poll.clamp(Duration::from_secs(1), LONGEST_POLL);
        let received = cloud.receive(queue, most as u8, poll).await?;
        // With --keep a message may come again before the end, when its visibility timeout is short.
        let (new, again): (Vec<_>, Vec<_>) = received
            .into_iter()
            .partition(|message| !flags.keep || drained.seen.insert(message.message_id.clone()));
        drained.kept.extend(again);
        if new.is_empty() {
            if last.elapsed() >= wait {
                return Ok(());
            }
            continue;
        }
        last = Instant::now();
        print(cloud, queue, flags.keep, new, reporter, drained).await?;
        if flags.count == Some(drained.printed) {
            return Ok(());
        }
    }
}

/// Prints messages, and deletes those whose line was written out.
async fn print(
    cloud: &Cloud,
    queue: &Queue,
    keep: bool,
    mut messages: Vec<QueueMessage>,
    reporter: &mut Reporter,
    drained: &mut Drained,
) -> Result<()> {
    let mut written = Ok(());
    let mut printed = 0;
    for message in &messages {
        written = reporter.line(&Line(message));
        if written.is_err() {
            break;
        }
        printed += 1;
    }
    drained.printed += printed as u64;
    // Nobody has read the rest.
    let rest = messages.split_off(printed);
    drained.kept.extend(rest);
    if keep {
        drained.kept.extend(messages);
    } else if !messages.is_empty() {
        let undeleted = cloud.delete_messages(queue, &messages).await;
        drained.undeleted.extend(undeleted?);
    }
    written
}
