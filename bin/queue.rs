//! The queue of the message pipeline: how full it is, its consumer switched off and on, its messages taken out.

#[path = "shared/queue_drain.rs"]
mod drain;
#[path = "shared/queue_status.rs"]
mod status;
#[path = "shared/queue_switch.rs"]
mod switch;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use jitp_cli::{Common, Result, environment};
use jitp_cloud::{Cloud, CloudSettings};
use jitp_core::names::QueueName;

/// The queue of the message pipeline: how full it is, its consumer switched off and on, its messages taken out
///
/// Without a name it is the queue of `make sqs`, which is called TOPICQueue.
#[derive(Args)]
#[command(after_help = "Examples:
  queue status                           how full it is, and the state of its consumer
  queue pause                            the function is given no more; the backlog grows
  queue resume                           and shrinks again
  queue drain loadtestDeadLetterQueue    prints what could not be processed, and deletes it
  queue drain --keep --count 1           looks at one")]
struct Arguments {
    #[command(subcommand)]
    command: Command,

    /// Topic of the pipeline [default: AWS_TOPIC, then loadtest]
    #[arg(
        long,
        value_name = "TOPIC",
        env = environment::AWS_TOPIC,
        hide_env = true,
        default_value = "loadtest",
        hide_default_value = true,
        global = true
    )]
    topic: String,

    #[command(flatten)]
    cloud: CloudSettings,
}

#[derive(Subcommand)]
enum Command {
    /// Print how many messages are in the queue, how old the oldest is, and the state of what consumes it
    ///
    /// QUEUE, messages that wait, that are in flight, that are delayed, in the dead-letter queue (`-` if there is none),
    /// the state of each event source mapping (`-` if there is none), and the age of the oldest message in seconds (`-` if
    /// there is none). SQS counts approximately, and CloudWatch, which tells the age, does so some minutes late; without
    /// permission to ask it, the rest is told.
    Status {
        /// Name of the queue [default: TOPICQueue]
        queue: Option<QueueName>,
    },
    /// Give the function no more messages, and wait until that is so
    ///
    /// Switches the event source mappings of the queue off. The function finishes what it was given before.
    Pause(Switch),
    /// Give the function messages again, and wait until that is so
    Resume(Switch),
    /// Print the messages as JSON, one a line, and delete each once its line was written
    ///
    /// A line has messageId, body, attributes and, where there are any, messageAttributes, as Lambda hands them to a
    /// function. Ends when no message has come for a while. Several at once share the messages. What is interrupted may
    /// have printed messages that it did not delete: they come again after the queue's visibility timeout.
    Drain(Drain),
}

#[derive(Args)]
struct Switch {
    /// Name of the queue [default: TOPICQueue]
    queue: Option<QueueName>,

    /// Only the mappings to this function
    #[arg(long, value_name = "FUNCTION")]
    function: Option<String>,

    /// How long to wait for it, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(..=86_400))]
    timeout: u64,
}

#[derive(Args)]
struct Drain {
    /// Name of the queue [default: TOPICQueue]
    queue: Option<QueueName>,

    /// End after this many messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Delete nothing, and give everything back at the end; each time counts as a delivery all the same
    #[arg(long)]
    keep: bool,

    /// For how many seconds no message comes until the queue counts as empty
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    wait: u64,
}

impl Arguments {
    fn queue(&self) -> Result<QueueName> {
        let (Command::Status { queue }
        | Command::Pause(Switch { queue, .. })
        | Command::Resume(Switch { queue, .. })
        | Command::Drain(Drain { queue, .. })) = &self.command;
        match queue {
            Some(queue) => Ok(queue.clone()),
            None => Ok(format!("{}Queue", self.topic).parse()?),
        }
    }
}

async fn queue(arguments: Arguments, common: &Common) -> Result<()> {
    let name = arguments.queue()?;
    let cloud = Cloud::connect(&arguments.cloud).await?;
    let queue = cloud.queue(&name).await?;
    match &arguments.command {
        Command::Status { .. } => status::status(&cloud, &queue, common).await,
        Command::Pause(flags) => switch::switch(&cloud, &queue, false, flags, common).await,
        Command::Resume(flags) => switch::switch(&cloud, &queue, true, flags, common).await,
        Command::Drain(flags) => drain::drain(&cloud, &queue, flags, common).await,
    }
}

fn main() -> ExitCode {
    jitp_cli::run(queue)
}
