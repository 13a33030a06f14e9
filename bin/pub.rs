//! Publish as a device.

use std::process::ExitCode;

use clap::Args;
use jitp_cli::{Common, ConnectFlags, Failure, Report, Result};
use jitp_cloud::{Cloud, CloudSettings};
use jitp_core::mqtt::{MAX_PAYLOAD_BYTES, Publish, Qos, Session};
use jitp_core::names::ThingName;
use serde::Serialize;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, BufReader};

/// Publish as a device
///
/// Connects with THING.key and THING.crt, and rides out the disconnect by which AWS IoT answers the
/// first connection of a new certificate. Ends with 0 only when every message was delivered.
#[derive(Args)]
#[command(after_help = "Examples:
  pub sensor-17 hello world              \"hello world\" on the topic sensor-17
  pub sensor-17 --topic a/b '{\"t\":21}'   another topic
  tail -f log | pub sensor-17 --stdin    a line a message
  pub sensor-17                          only connect: the first connection makes the thing")]
struct Arguments {
    /// Device to publish as
    thing: ThingName,

    /// The message; words are joined by spaces
    #[arg(value_name = "MESSAGE")]
    message: Vec<String>,

    /// Topic [default: THING]
    #[arg(long)]
    topic: Option<String>,

    /// 1: delivered at least once; 0: at most once
    #[arg(long, value_name = "0|1", default_value = "1")]
    qos: Qos,

    /// Ask the broker to keep the message for later subscribers
    #[arg(long)]
    retain: bool,

    /// Publish every line of stdin as a message of its own
    #[arg(long, conflicts_with = "message")]
    stdin: bool,

    #[command(flatten)]
    connection: ConnectFlags,

    #[command(flatten)]
    cloud: CloudSettings,
}

#[derive(Serialize)]
struct Published {
    thing: String,
    topic: String,
    messages: u64,
}

impl Report for Published {
    fn columns(&self) -> Vec<String> {
        vec![self.topic.clone(), self.messages.to_string()]
    }
}

async fn publish(arguments: Arguments, common: &Common) -> Result<()> {
    let topic = match &arguments.topic {
        Some(topic) => topic.clone(),
        None => arguments.thing.to_string(),
    };
    let message = |payload: Vec<u8>| {
        Publish::new(topic.clone(), payload, arguments.qos)
            .map(|publish| publish.retain(arguments.retain))
            .map_err(|error| Failure::usage(error.to_string()))
    };
    // What cannot be sent is said before anything is connected.
    let only = message(arguments.message.join(" ").into_bytes())?;
    let describe_endpoint = async || Ok(Cloud::connect(&arguments.cloud).await?.endpoint().await?);
    let mut session = arguments
        .connection
        .session(common, &arguments.thing, describe_endpoint)
        .await?;
    let messages = if arguments.stdin {
        let stdin = BufReader::new(tokio::io::stdin());
        publish_lines(&mut session, stdin, message).await?
    } else if arguments.message.is_empty() {
        0
    } else {
        session.publish(only).await?;
        1
    };
    session.disconnect().await?;
    common.reporter().line(&Published {
        thing: arguments.thing.to_string(),
        topic,
        messages,
    })
}

/// Publishes line after line, many at a time in flight. Which lines are not delivered is said by
/// the failure.
async fn publish_lines(
    session: &mut Session,
    mut lines: impl AsyncBufRead + Unpin,
    message: impl Fn(Vec<u8>) -> Result<Publish>,
) -> Result<u64> {
    let mut read = 0;
    loop {
        let next = next_line(&mut lines);
        tokio::pin!(next);
        // What becomes of the lines before is heard while the next one is waited for.
        let line = loop {
            tokio::select! {
                line = &mut next => break line?,
                heard = session.next_message(None) => if let Err(error) = heard {
                    return Err(undelivered(session, read, error.into()));
                },
            }
        };
        let Some(line) = line else { break };
        read += 1;
        let publish = message(line).map_err(|failure| failure.context(format!("line {read}")))?;
        if let Err(error) = session.queue(publish).await {
            return Err(undelivered(session, read - 1, error.into()));
        }
    }
    match session.flush().await {
        Ok(()) => Ok(read),
        Err(error) => Err(undelivered(session, read, error.into())),
    }
}

/// The next line without its end, or none. A line beyond what AWS IoT takes is not read to its end:
/// it is refused as it is.
async fn next_line(lines: &mut (impl AsyncBufRead + Unpin)) -> Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let bytes = lines
        .take(MAX_PAYLOAD_BYTES as u64 + 2)
        .read_until(b'\n', &mut line)
        .await
        .map_err(|error| Failure::io("cannot read stdin", &error))?;
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Ok((bytes > 0).then_some(line))
}

/// Says how much of the input is known to have arrived.
fn undelivered(session: &Session, accepted: u64, failure: Failure) -> Failure {
    let missing = session.unacknowledged();
    match missing.first() {
        Some(first) => failure.context(format!(
            "{} of {accepted} lines are not acknowledged, the first of them line {first}",
            missing.len()
        )),
        None => failure.context(format!("after {accepted} lines")),
    }
}

fn main() -> ExitCode {
    jitp_cli::run(publish)
}
