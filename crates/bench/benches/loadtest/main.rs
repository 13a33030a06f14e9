//! The load tester itself: what a device, a connect and a message cost it, against mosquitto with TLS and client
//! certificates and against the local core, beside the load test of the shell toolkit (a Node.js process for each device).
//!
//! Everything runs as the programs that are shipped, in processes of their own. The load tester counts its own CPU and
//! memory; those of Node.js are read from /proc.

#![expect(clippy::print_stdout, reason = "what a benchmark prints is its answer")]

mod brokers;
mod node;

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;

use brokers::{Bare, Broker, Lab};
use jitp_bench::{Result, program};

/// Measure the load tester
#[derive(Parser)]
struct Arguments {
    /// Folder of the programs to measure
    #[arg(long, value_name = "DIR", default_value_os_t = jitp_bench::programs())]
    bin: PathBuf,

    /// Seconds each load is measured for
    #[arg(long, default_value_t = 20)]
    seconds: u64,

    /// Idle devices
    #[arg(long, default_value_t = 15_000)]
    idle: u32,

    /// New devices that connect for the first time
    #[arg(long, default_value_t = 10_000)]
    storm: u32,

    /// Publishers and subscribers of the load test of the shell toolkit, each a process
    #[arg(long, default_value_t = 20)]
    node_publishers: u32,

    /// Folder with the package mqtt of npm in node_modules; without it the Node.js devices are left out
    #[arg(long, value_name = "DIR")]
    node: Option<PathBuf>,

    /// Only measurements whose name contains this
    filter: Option<String>,

    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    // Brokers inherit it: mosquitto takes what it is given.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    )?;
    let lab = Lab::new(&arguments.bin)?;
    let wanted = |name: &str| {
        arguments
            .filter
            .as_ref()
            .is_none_or(|filter| name.contains(filter.as_str()))
    };
    println!("what\tbroker\tvalue\tunit\ttarget");
    for broker in [lab.mosquitto(), lab.iot_local()] {
        let broker = match broker {
            Ok(broker) => broker,
            Err(error) => {
                println!("left out\t-\t{error}\t\t");
                continue;
            }
        };
        if wanted("headline") {
            headline(&arguments, &lab, &broker)?;
        }
        if wanted("publish") {
            for qos in ["0", "1"] {
                publish_only(&arguments, &lab, &broker, qos)?;
            }
        }
        if wanted("idle") {
            idle(&arguments, &lab, &broker)?;
        }
        if wanted("storm") && broker.provisions() {
            storm(&arguments, &lab, &broker)?;
        }
        if let (true, Some(node)) = (wanted("node"), &arguments.node) {
            node::seed(
                node,
                arguments.node_publishers,
                4,
                arguments.seconds,
                &lab,
                &broker,
            )?;
        }
    }
    Ok(())
}

/// The seed's headline: 487 publishers, 20 subscribers that forward, 19,967 messages a second.
fn headline(arguments: &Arguments, lab: &Lab, broker: &Broker) -> Result<()> {
    let seconds = format!("{}s", arguments.seconds);
    let found = run(
        &arguments.bin,
        lab,
        broker,
        &[
            "seed",
            "--publishers",
            "487",
            "--subscribers",
            "20",
            "--duration",
            &seconds,
        ],
    )?;
    let expected = sum(&found["expected"]["rates"]);
    let observed = sum(&found["observed"]);
    let cores = number(&found["generator"]["cpuSeconds"]) / number(&found["measuredSeconds"]);
    row(broker, "headline: cores", cores, "", "0.15");
    row(
        broker,
        "headline: CPU a message",
        number(&found["generator"]["cpuSeconds"]) * 1e6
            / (observed * number(&found["measuredSeconds"])),
        "us",
        "",
    );
    row(broker, "headline: memory", megabytes(&found), "MB", "20");
    row(
        broker,
        "headline: rate",
        observed / expected * 100.0,
        "% of expected",
        "99.9",
    );
    row(
        broker,
        "headline: lost",
        number(&found["lost"]),
        "messages",
        "0",
    );
    row(
        broker,
        "headline: delivery p99",
        number(&found["latencies"]["delivery"]["p99"]),
        "ms",
        "",
    );
    limited(broker, "headline", &found);
    Ok(())
}

/// 500 devices that publish ten times a second, and nobody who hears them.
fn publish_only(arguments: &Arguments, lab: &Lab, broker: &Broker, qos: &str) -> Result<()> {
    let seconds = format!("{}s", arguments.seconds);
    let flags = [
        "seed",
        "--publishers",
        "500",
        "--subscribers",
        "0",
        "--rate",
        "10",
        "--size",
        "128",
        "--qos",
        qos,
        "--duration",
        &seconds,
    ];
    let found = run(&arguments.bin, lab, broker, &flags)?;
    let published = number(&found["observed"]["published"]) * number(&found["measuredSeconds"]);
    let cpu = number(&found["generator"]["cpuSeconds"]) * 1e6 / published;
    let what = format!("publish, QoS {qos}: CPU");
    row(
        broker,
        &what,
        cpu,
        "us",
        if qos == "0" { "22" } else { "28" },
    );
    let sent = number(&found["counts"]["published"]) / number(&found["counts"]["due"]) * 100.0;
    row(
        broker,
        &format!("publish, QoS {qos}: sent"),
        sent,
        "% of due",
        "100",
    );
    limited(broker, &what, &found);
    Ok(())
}

/// Devices that are connected.
fn idle(arguments: &Arguments, lab: &Lab, broker: &Broker) -> Result<()> {
    let devices = arguments.idle.to_string();
    let flags = [
        "idle",
        "--publishers",
        &devices,
        "--connect-rate",
        "300",
        "--keep-alive",
        "20m",
        "--duration",
        "5s",
    ];
    let few = run(
        &arguments.bin,
        lab,
        broker,
        &[
            "idle",
            "--publishers",
            "100",
            "--keep-alive",
            "20m",
            "--duration",
            "1s",
        ],
    )?;
    let found = run(&arguments.bin, lab, broker, &flags)?;
    let grown = number(&found["generator"]["peakMemory"]) - number(&few["generator"]["peakMemory"]);
    let more = f64::from(arguments.idle) - 100.0;
    row(broker, "idle: memory", megabytes(&found), "MB", "200");
    row(
        broker,
        "idle: memory a device",
        grown / more / 1000.0,
        "kB",
        "14",
    );
    let cpu = number(&found["generator"]["totalCpuSeconds"])
        - number(&few["generator"]["totalCpuSeconds"]);
    row(
        broker,
        "idle: CPU a connect",
        cpu / more * 1000.0,
        "ms",
        "0.7",
    );
    row(
        broker,
        "idle: connects",
        number(&found["counts"]["connects"]),
        "",
        "",
    );
    Ok(())
}

/// Devices that nobody has seen, beside bare handshakes before and after. Every device shakes hands twice: it is closed,
/// provisioned, and served when it comes back. Counted from when the first is due until the last is served.
fn storm(arguments: &Arguments, lab: &Lab, broker: &Broker) -> Result<()> {
    let devices = arguments.storm.to_string();
    let flags = [
        "jitp-storm",
        "--publishers",
        &devices,
        "--connect-rate",
        "2000",
        "--ca",
        "root",
    ];
    let before = Bare::measure(lab)?;
    let core = broker.cpu()?;
    let found = run(&arguments.bin, lab, broker, &flags)?;
    let core = broker.cpu()?.saturating_sub(core).as_secs_f64();
    let bare = Bare::between(before, Bare::measure(lab)?);
    let seconds = found["timeline"]
        .as_array()
        .and_then(|seconds| {
            seconds
                .iter()
                .find(|second| number(&second["connected"]) >= f64::from(arguments.storm))
        })
        .map_or(f64::NAN, |second| number(&second["at"]));
    let counts = &found["counts"];
    // Those that are needed; what is tried once more in vain does not make it look faster.
    let handshakes = 2.0 * f64::from(arguments.storm);
    let generator = number(&found["generator"]["totalCpuSeconds"]);
    let say = |what: &str, value: f64, unit: &str, target: &str| {
        row(broker, &format!("storm: {what}"), value, unit, target);
    };
    say(
        "devices",
        f64::from(arguments.storm) / seconds,
        "a second",
        "",
    );
    say("handshakes", handshakes / seconds, "a second", "");
    say(
        "bare handshakes, both sides on all cores",
        bare.rate,
        "a second",
        "",
    );
    say(
        "of bare handshakes",
        handshakes / seconds / bare.rate,
        "",
        "0.6",
    );
    say("gave up", number(&counts["failedDevices"]), "devices", "0");
    let cpu = |what: &str, seconds: f64| say(what, seconds * 1000.0, "ms", "");
    cpu("CPU of the load tester a handshake", generator / handshakes);
    cpu("CPU of the core a handshake", core / handshakes);
    cpu("CPU of a bare handshake", bare.cpu);
    say(
        "bare handshakes, of the CPU of both",
        bare.cpu * handshakes / (generator + core),
        "",
        "",
    );
    Ok(())
}

/// Runs the load tester; certificates are issued first where they are missing, by a process of its own.
fn run(bin: &Path, lab: &Lab, broker: &Broker, flags: &[&str]) -> Result<Value> {
    let folder = tempfile::tempdir()?;
    if !flags.contains(&"jitp-storm") {
        let fleet = flags.iter().take(1).chain(
            flags
                .windows(2)
                .filter(|pair| matches!(pair[0], "--publishers" | "--subscribers"))
                .flatten(),
        );
        let issued = Command::new(program(bin, "loadtest")?)
            .arg("setup")
            .args(fleet)
            .args(["--quiet", "--dir"])
            .arg(lab.dir())
            .output()?;
        if !issued.status.success() {
            let said = String::from_utf8_lossy(&issued.stderr);
            return Err(format!("loadtest setup: {said}").into());
        }
    }
    let mut arguments = vec!["run"];
    arguments.extend(flags);
    arguments.extend(["--quiet", "--output", "json", "--dir"]);
    let output = Command::new(program(bin, "loadtest")?)
        .args(arguments)
        .arg(lab.dir())
        .arg("--out")
        .arg(folder.path().join("results"))
        .envs(broker.environment())
        .output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("loadtest {flags:?}: {said}").into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn row(broker: &Broker, what: &str, value: f64, unit: &str, target: &str) {
    println!("{what}\t{}\t{value:.3}\t{unit}\t{target}", broker.name());
}

fn limited(broker: &Broker, what: &str, found: &Value) {
    for why in found["generator"]["limited"]
        .as_array()
        .into_iter()
        .flatten()
    {
        println!(
            "{what}: limited by the generator\t{}\t{why}\t\t",
            broker.name()
        );
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

fn sum(rates: &Value) -> f64 {
    ["published", "delivered", "forwarded"]
        .iter()
        .map(|name| number(&rates[*name]))
        .sum()
}

fn megabytes(found: &Value) -> f64 {
    number(&found["generator"]["peakMemory"]) / 1e6
}
