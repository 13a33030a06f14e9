//! The load test of the shell toolkit, built again with mqtt.js: a Node.js process for each device.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use jitp_bench::process::Process;
use jitp_bench::{Result, program, programs};

use crate::brokers::{Broker, Lab};

/// A device: `node device.cjs pub|sub NAME DIR HOST PORT ROOT`. It prints nothing.
const DEVICE: &str = include_str!("device.cjs");

/// How long processes have to get in.
const GET_IN: Duration = Duration::from_secs(30);

/// CPU for each message, and resident memory for each device.
pub(crate) fn seed(
    packages: &Path,
    publishers: u32,
    subscribers: u32,
    seconds: u64,
    lab: &Lab,
    broker: &Broker,
) -> Result<()> {
    let script = lab.dir().join("device.cjs");
    fs::write(&script, DEVICE)?;
    let setup = Command::new(program(&programs(), "loadtest")?)
        .args(["setup", "--quiet", "--publishers"])
        .arg(publishers.to_string())
        .args(["--subscribers", &subscribers.to_string(), "--dir"])
        .arg(lab.dir())
        .stdout(Stdio::null())
        .status()?;
    if !setup.success() {
        return Err("the certificates cannot be issued".into());
    }
    let variables: Vec<_> = broker.environment().collect();
    let mut processes = Vec::new();
    let names = (0..subscribers)
        .map(|index| ("sub", index))
        .chain((0..publishers).map(|index| ("pub", index)));
    for (role, index) in names {
        processes.push(Process::start(
            Command::new("node")
                .arg(&script)
                .args([role, &format!("{role}{index}")])
                .arg(lab.dir())
                .env("NODE_PATH", packages.join("node_modules"))
                .envs(variables.iter().copied())
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        )?);
    }
    std::thread::sleep(GET_IN);
    let cpu = |processes: &[Process]| -> Result<f64> {
        processes
            .iter()
            .map(|process| Ok(process.cpu()?.as_secs_f64()))
            .sum()
    };
    let connecting = cpu(&processes)?;
    std::thread::sleep(Duration::from_secs(seconds));
    let used = cpu(&processes)? - connecting;
    let memory: u64 = processes.iter().map(Process::memory).sum::<Result<u64>>()?;
    let devices = f64::from(publishers + subscribers);
    let messages = f64::from(publishers) * f64::from(1 + 2 * subscribers) * seconds as f64;
    crate::row(
        broker,
        "Node.js: CPU a message",
        used * 1e6 / messages,
        "us",
        "",
    );
    crate::row(
        broker,
        "Node.js: CPU to connect",
        connecting / devices * 1000.0,
        "ms a device",
        "",
    );
    crate::row(
        broker,
        "Node.js: memory a device",
        memory as f64 / devices / 1e6,
        "MB",
        "",
    );
    Ok(())
}
