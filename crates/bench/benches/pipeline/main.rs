//! The pipeline: what a message costs the core from its publisher to the function that consumes it, beside what it
//! costs to be delivered to one subscriber.
//!
//! The core is this same program in a process of its own, so that its CPU is told from that of the devices.

#![expect(clippy::print_stdout, reason = "what a benchmark prints is its answer")]

mod control;
mod core;
mod devices;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;
use jitp_bench::Result;

use crate::control::Setup;
use crate::core::Core;
use crate::devices::{Devices, Received, SILENCE};

/// Measure the pipeline from a publish to a function that is done with it
#[derive(Parser)]
pub(crate) struct Arguments {
    /// The consumer: process-queue, built in release mode
    #[arg(long, value_name = "PROGRAM")]
    consumer: PathBuf,

    /// Messages of each run
    #[arg(long, default_value_t = 40_000)]
    messages: u32,

    /// Devices that publish
    #[arg(long, default_value_t = 8)]
    publishers: u32,

    /// Runs, of which the median is told
    #[arg(long, default_value_t = 3)]
    rounds: u32,

    /// Keep the state of the core in a folder
    #[arg(long)]
    durable: bool,

    /// Be the core
    #[arg(long, hide = true)]
    serve: bool,

    /// Folder of the core's state
    #[arg(long, hide = true)]
    data: Option<PathBuf>,

    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

/// How far a message goes.
#[derive(Clone, Copy, Debug)]
enum Way {
    Subscriber,
    Queue,
    Function,
}

/// What a run came to.
struct Cost {
    messages: u32,
    core: Duration,
    functions: Duration,
    wall: Duration,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Runtime::new()?;
    if arguments.serve {
        return runtime.block_on(core::serve(&arguments));
    }
    println!(
        "| a message of 38 bytes, QoS 1 | core, CPU µs | function, CPU µs | messages a CPU second | messages a second |"
    );
    println!("|---|---|---|---|---|");
    for (way, name) in [
        (Way::Subscriber, "to one subscriber"),
        (Way::Queue, "by a rule into a queue"),
        (
            Way::Function,
            "by a rule and a queue to the end of the function",
        ),
    ] {
        let mut costs = Vec::new();
        for _ in 0..arguments.rounds {
            costs.push(runtime.block_on(run(&arguments, way))?);
        }
        costs.sort_by_key(|cost| cost.core + cost.functions);
        let median = &costs[costs.len() / 2];
        let each = |all: Duration| all.as_secs_f64() * 1e6 / f64::from(median.messages);
        let both = median.core + median.functions;
        println!(
            "| {name} | {:.1} | {:.1} | {:.0} | {:.0} |",
            each(median.core),
            each(median.functions),
            f64::from(median.messages) / both.as_secs_f64(),
            f64::from(median.messages) / median.wall.as_secs_f64(),
        );
    }
    Ok(())
}

async fn run(arguments: &Arguments, way: Way) -> Result<Cost> {
    let core = Core::start(arguments)?;
    let setup = Setup::new(core.control);
    let devices = Devices::new(&core, &setup, arguments.publishers)?;
    let subscriber = match way {
        Way::Subscriber => Some(devices.subscribe().await?),
        Way::Queue | Way::Function => {
            setup.rule_into_queue()?;
            None
        }
    };
    if matches!(way, Way::Function) {
        setup.map_function()?;
    }
    let before = (
        core.process.cpu()?,
        core.cpu_of_functions()?,
        Instant::now(),
    );
    let receiving = subscriber.map(|subscriber| tokio::spawn(subscriber.take(arguments.messages)));
    devices.publish(arguments.messages).await?;
    let mut messages = arguments.messages;
    let mut silence = Duration::ZERO;
    match (way, receiving) {
        (_, Some(receiving)) => {
            let Received(count) = receiving.await??;
            if count < messages {
                (messages, silence) = (count, SILENCE);
            }
        }
        (Way::Queue, None) => setup.until_depth(messages).await?,
        (_, None) => setup.until_depth(0).await?,
    }
    Ok(Cost {
        messages,
        core: core.process.cpu()? - before.0,
        functions: core.cpu_of_functions()?.saturating_sub(before.1),
        wall: before.2.elapsed().saturating_sub(silence),
    })
}
