//! Subscribe as a device and print what arrives.

use std::process::ExitCode;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use clap::Args;
use jitp_cli::{Common, ConnectFlags, Failure, Report, Result};
use jitp_cloud::{Cloud, CloudSettings};
use jitp_core::failure::Class;
use jitp_core::mqtt::{LimitError, Message, Qos, check_filter};
use jitp_core::names::ThingName;
use serde::Serialize;
use tokio::time::Instant;

/// Subscribe as a device and print what arrives, a line a message
///
/// Connects with THING.key and THING.crt, and rides out the disconnect by which AWS IoT answers the
/// first connection of a new certificate. Prints the topic, a tab, and the payload. So that a line
/// is a message, control characters are printed as \\n, \\t or \\xNN; with --output json every
/// payload is exact.
#[derive(Args)]
#[command(after_help = "Examples:
  sub sensor-17                        every topic
  sub sensor-17 'fleet/+/status'       these
  sub sensor-17 --count 1 --timeout 5  one message, or exit code 7 after five seconds
  sub sensor-17 --output json | jq .   payload as text, or payloadBase64 if it is none")]
struct Arguments {
    /// Device to subscribe as
    thing: ThingName,

    /// Topic filter
    #[arg(default_value = "#", value_parser = topic_filter)]
    topic: String,

    /// End after this many messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// End after this many seconds of listening; with --count, fewer messages are a failure (exit code 7)
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(..=31_536_000))]
    timeout: Option<u64>,

    /// Highest QoS to receive with
    #[arg(long, value_name = "0|1", default_value = "1")]
    qos: Qos,

    #[command(flatten)]
    connection: ConnectFlags,

    #[command(flatten)]
    cloud: CloudSettings,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Received<'a> {
    topic: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
    qos: u8,
    retain: bool,
    #[serde(skip)]
    bytes: &'a [u8],
}

impl<'a> Received<'a> {
    fn new(message: &'a Message) -> Self {
        let payload = std::str::from_utf8(&message.payload).ok();
        Self {
            topic: &message.topic,
            payload,
            payload_base64: payload.is_none().then(|| BASE64.encode(&message.payload)),
            qos: message.qos.number(),
            retain: message.retain,
            bytes: &message.payload,
        }
    }
}

impl Report for Received<'_> {
    fn columns(&self) -> Vec<String> {
        vec![printable(self.topic.as_bytes()), printable(self.bytes)]
    }
}

/// Text on one line: control characters and what is no UTF-8 become escapes.
fn printable(bytes: &[u8]) -> String {
    let mut line = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\n' => line.push_str("\\n"),
                '\t' => line.push_str("\\t"),
                control if control.is_ascii_control() => {
                    line.push_str(&format!("\\x{:02x}", control as u32));
                }
                other => line.push(other),
            }
        }
        for byte in chunk.invalid() {
            line.push_str(&format!("\\x{byte:02x}"));
        }
    }
    line
}

fn topic_filter(text: &str) -> std::result::Result<String, LimitError> {
    check_filter(text)?;
    Ok(text.to_owned())
}

async fn subscribe(arguments: Arguments, common: &Common) -> Result<()> {
    let describe_endpoint = async || Ok(Cloud::connect(&arguments.cloud).await?.endpoint().await?);
    let mut session = arguments
        .connection
        .session(common, &arguments.thing, describe_endpoint)
        .await?;
    let granted = session
        .subscribe(std::slice::from_ref(&arguments.topic), arguments.qos)
        .await?;
    if let Some(Err(reason)) = granted.into_iter().next() {
        let topic = &arguments.topic;
        return Err(Failure::new(
            Class::Refused,
            format!("subscribing to {topic} was refused: {reason}"),
        )
        .hint(format!(
            "the policy must allow iot:Subscribe on topicfilter/{topic}"
        )));
    }
    common.say(format!(
        "{}: listening on {}",
        arguments.thing, arguments.topic
    ));
    let deadline = arguments
        .timeout
        .map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut reporter = common.listing();
    let mut received = 0;
    while arguments.count.is_none_or(|count| received < count) {
        let Some(message) = session.next_message(deadline).await? else {
            break;
        };
        received += 1;
        reporter.line(&Received::new(&message))?;
        if reporter.reader_is_gone() {
            // It has had enough: `sub THING | head -3`.
            return Ok(session.disconnect().await?);
        }
    }
    session.disconnect().await?;
    match arguments.count {
        Some(count) if received < count => Err(Failure::new(
            Class::Temporary,
            format!("{received} of {count} messages arrived in time"),
        )),
        _ => Ok(()),
    }
}

fn main() -> ExitCode {
    jitp_cli::run(subscribe)
}
