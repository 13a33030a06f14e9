//! A local core in a process of its own, so that its CPU is told from that of its clients.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::process::Process;
use crate::{Result, program};

/// `iot-local serve` on free ports. It ends with this value.
#[derive(Debug)]
pub struct LocalCore {
    /// The process.
    pub process: Process,
    /// Where the control plane listens.
    pub control: SocketAddr,
    /// What clients find in their environment.
    pub environment: BTreeMap<String, String>,
}

impl LocalCore {
    /// Starts the `iot-local` of a folder.
    ///
    /// # Errors
    /// It does not start, or says nothing of where it listens.
    pub fn start(programs: &Path) -> Result<Self> {
        let iot_local = program(programs, "iot-local")?;
        let mut command = Command::new(&iot_local);
        command.args([
            "serve",
            "--quiet",
            "--control-port",
            "0",
            "--mqtt-port",
            "0",
        ]);
        let mut process = Process::start(command.stdout(Stdio::piped()))?;
        let stdout = process.child().stdout.take().ok_or("no stdout")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let url = line.split('\t').next().unwrap_or_default();
        let control: SocketAddr = url.trim().trim_start_matches("http://").parse()?;
        let port = control.port().to_string();
        let lines = Command::new(iot_local)
            .args(["env", "--control-port", &port])
            .output()?;
        let environment = String::from_utf8(lines.stdout)?
            .lines()
            .filter_map(|line| line.strip_prefix("export ")?.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.trim_matches('\'').to_owned()))
            .collect();
        Ok(Self {
            process,
            control,
            environment,
        })
    }

    /// Runs a command that talks to it, in a folder; what it prints.
    ///
    /// # Errors
    /// It cannot be started, or fails; with what it said.
    pub fn run(&self, command: &mut Command, dir: &Path) -> Result<String> {
        let output = command.current_dir(dir).envs(&self.environment).output()?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{command:?} failed: {stderr}").into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}
