//! The local core and mosquitto side by side: what a connection, a message and an idle connection cost each.
//!
//! Both run as processes of their own, turn by turn in every round, under the same load from this process, whose
//! own CPU is counted nowhere. CPU for each unit is what to trust; the rates depend on who else is busy.

#![expect(clippy::print_stdout, reason = "what a benchmark prints is its answer")]

mod load;
mod report;
mod servers;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use jitp_wire::QoS;
use rustix::process::{Resource, getrlimit, setrlimit};

use jitp_bench::Result;
use load::Flow;
use report::{Row, Table};
use servers::{Kind, Lab, Server};

/// Measure iot-local and mosquitto side by side
#[derive(Parser)]
struct Arguments {
    /// Rounds of everything but memory
    #[arg(long, default_value_t = 5)]
    rounds: usize,

    /// Seconds each kind of message flow is measured for
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,

    /// Connections opened to measure one
    #[arg(long, default_value_t = 2000)]
    connections: usize,

    /// Idle connections held to measure the memory of one
    #[arg(long, default_value_t = 2000)]
    idle: usize,

    /// Rounds of memory
    #[arg(long, default_value_t = 2)]
    memory_rounds: usize,

    /// Folder of the programs to measure
    #[arg(long, value_name = "DIR", default_value_os_t = jitp_bench::programs())]
    bin: PathBuf,

    /// Folder of other programs, to stand in mosquitto's place: what did a change bring?
    #[arg(long, value_name = "DIR")]
    against: Option<PathBuf>,

    /// Only measurements whose name contains this
    filter: Option<String>,

    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

const ROWS: [Row; 8] = [
    Row::new("connection", "CPU us", Some(3.0)),
    Row::new("fan-in 50 to 1, QoS 0", "CPU us", Some(4.0)),
    Row::new("fan-out 1 to 100, QoS 0", "CPU us", Some(4.0)),
    Row::new("fan-in 50 to 1, QoS 1", "CPU us", None),
    Row::new("fan-out 1 to 100, QoS 1", "CPU us", None),
    Row::new("fan-in 50 to 1, QoS 0, 20 a record", "CPU us", None),
    Row::new("fan-in 50 to 1, QoS 0, 20000 a second", "CPU us", None),
    Row::new("idle connection", "KiB", Some(1.0)),
];
const FLOWS: [Flow; 6] = [
    FAN_IN,
    FAN_OUT,
    Flow {
        qos: QoS::AtLeastOnce,
        ..FAN_IN
    },
    Flow {
        qos: QoS::AtLeastOnce,
        ..FAN_OUT
    },
    Flow {
        burst: 20,
        ..FAN_IN
    },
    Flow {
        pace: Some(20_000),
        ..FAN_IN
    },
];
const FAN_IN: Flow = Flow {
    publishers: 50,
    subscribers: 1,
    qos: QoS::AtMostOnce,
    burst: 1,
    pace: None,
};
const FAN_OUT: Flow = Flow {
    publishers: 1,
    subscribers: 100,
    ..FAN_IN
};
const IDLE: usize = ROWS.len() - 1;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let Some(mosquitto) = jitp_bench::mosquitto::version() else {
        println!("mosquitto is missing; remedy: sudo apt-get install mosquitto");
        return Ok(());
    };
    println!("{mosquitto}; load average {}", load_average());
    let (name, other) = match arguments.against.clone() {
        None => ("mosquitto", Kind::Mosquitto),
        Some(folder) => ("the other", Kind::IotLocal(folder)),
    };
    let kinds = [other, Kind::IotLocal(arguments.bin.clone())];
    let files = raise_file_limit();
    let idle = arguments.idle.min(files.saturating_sub(200));
    let lab = Lab::new(&arguments.bin, idle.max(arguments.connections).max(101))?;
    let wanted = |row: usize| {
        let filter = arguments.filter.as_deref().unwrap_or_default();
        ROWS[row].name.contains(filter)
    };
    let mut table = Table::new(&ROWS, [name, "iot-local"]);

    let servers = [lab.start(&kinds[0]).await?, lab.start(&kinds[1]).await?];
    for round in 0..arguments.rounds {
        for row in (0..IDLE).filter(|row| wanted(*row)) {
            for turn in 0..2 {
                // Who goes first changes, should the first one have it easier.
                let side = (round + turn) % 2;
                let cost = measure(row, &servers[side], &arguments).await?;
                table.add(row, side, cost.cpu, Some(cost.rate));
            }
            table.print_last(row);
        }
    }
    drop(servers);
    if wanted(IDLE) {
        for _ in 0..arguments.memory_rounds {
            for (side, kind) in kinds.iter().enumerate() {
                let server = lab.start(kind).await?;
                let bytes = load::idle(&server, idle).await?;
                table.add(IDLE, side, bytes / 1024.0, None);
            }
            table.print_last(IDLE);
        }
    }
    table.print();
    println!("load average {}", load_average());
    Ok(())
}

async fn measure(row: usize, server: &Server, arguments: &Arguments) -> Result<load::Cost> {
    let cost = match row.checked_sub(1) {
        None => load::connections(server, arguments.connections).await,
        Some(index) => {
            let duration = Duration::from_secs_f64(arguments.seconds);
            load::messages(server, FLOWS[index], duration).await
        }
    };
    // What was opened is closed: let that be over before the next one's turn.
    tokio::time::sleep(Duration::from_millis(300)).await;
    cost
}

/// As many open files as this user may have, here and in what is started from here.
fn raise_file_limit() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    let before = limit.current;
    limit.current = limit.maximum;
    let allowed = match setrlimit(Resource::Nofile, limit) {
        Ok(()) => limit.current,
        Err(_) => before,
    };
    allowed.map_or(usize::MAX, |files| files as usize)
}

fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_ascii_whitespace()
        .take(3)
        .collect::<Vec<_>>()
        .join(" ")
}
