//! The two that are compared: `iot-local` as it is shipped, and mosquitto with the same TLS settings.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use jitp_core::ca::CertificateAuthority;
use jitp_core::names::CaName;
use jitp_core::store::Store;
use jitp_wire::Version;
use tokio::task::JoinSet;

use jitp_bench::mosquitto::Mosquitto;
use jitp_bench::process::Process;
use jitp_bench::{Device, Dialler, Result, program};

/// Which server.
#[derive(Debug)]
pub(crate) enum Kind {
    Mosquitto,
    /// Of the programs in this folder.
    IotLocal(PathBuf),
}

/// Device CA, devices, and what mosquitto needs; shared by all servers of a run.
pub(crate) struct Lab {
    folder: tempfile::TempDir,
    devices: Vec<Device>,
}

/// A running server that knows the devices of its lab.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) diallers: Vec<Dialler>,
}

impl Lab {
    /// Makes the CA with `create-root`, and that many devices.
    pub(crate) fn new(programs: &Path, devices: usize) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let dir = folder.path();
        run(Command::new(program(programs, "create-root")?).current_dir(dir))?;
        let ca = Store::open(dir)?.load_ca(&"root".parse::<CaName>()?)?;
        Ok(Self {
            devices: issue(&ca, devices)?,
            folder,
        })
    }

    /// Starts a server and makes it know the devices.
    pub(crate) async fn start(&self, kind: &Kind) -> Result<Server> {
        match kind {
            Kind::Mosquitto => self.mosquitto(),
            Kind::IotLocal(programs) => self.iot_local(programs).await,
        }
    }

    /// The program as it is shipped, in memory. The CA is registered with `register`, and every device makes its
    /// first connection, so that its thing, its policy and its attachments are there.
    async fn iot_local(&self, programs: &Path) -> Result<Server> {
        let iot_local = program(programs, "iot-local")?;
        let mut process = Process::start(
            Command::new(&iot_local)
                .args([
                    "serve",
                    "--quiet",
                    "--control-port",
                    "0",
                    "--mqtt-port",
                    "0",
                ])
                .stdout(Stdio::piped()),
        )?;
        let stdout = process.child().stdout.take().ok_or("no stdout")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let port = |part: Option<&str>| part?.trim().rsplit_once(':')?.1.parse::<u16>().ok();
        let mut parts = line.split('\t');
        let control = port(parts.next()).ok_or("iot-local does not say where it serves")?;
        let mqtt = port(parts.next()).ok_or("iot-local does not say where it serves")?;

        let environment = environment(&iot_local, control)?;
        run(Command::new(program(programs, "register")?)
            .arg("--quiet")
            .current_dir(self.folder.path())
            .envs(environment.iter().map(|(name, value)| (name, value))))?;
        let root_file = environment
            .iter()
            .find(|(name, _)| name == "AWS_IOT_CAFILE");
        let (_, root_file) = root_file.ok_or("iot-local env names no AWS_IOT_CAFILE")?;
        let root = fs::read_to_string(root_file)?;
        let diallers = self.diallers(&root, mqtt)?;
        first_connections(&diallers).await?;
        Ok(Server { process, diallers })
    }

    fn mosquitto(&self) -> Result<Server> {
        let Mosquitto {
            process,
            address,
            root_file,
        } = Mosquitto::start(self.folder.path())?;
        let root = fs::read_to_string(root_file)?;
        let diallers = self.diallers(&root, address.port())?;
        Ok(Server { process, diallers })
    }

    fn diallers(&self, root: &str, port: u16) -> Result<Vec<Dialler>> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        self.devices
            .iter()
            .map(|device| device.dialler(root, address))
            .collect()
    }
}

fn issue(ca: &CertificateAuthority, count: usize) -> Result<Vec<Device>> {
    (0..count)
        .map(|number| Device::issue(ca, &format!("bench-{number:04}")))
        .collect()
}

/// Connects every device until it is served.
async fn first_connections(diallers: &[Dialler]) -> Result<()> {
    let mut tasks = JoinSet::new();
    for part in diallers.chunks(diallers.len().div_ceil(16).max(1)) {
        let part = part.to_vec();
        tasks.spawn(async move {
            for dialler in part {
                let deadline = Instant::now() + Duration::from_secs(10);
                while dialler.dial(Version::V3).await?.is_none() {
                    if Instant::now() > deadline {
                        return Err(format!("{} is not provisioned", dialler.name).into());
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            Result::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

/// What `iot-local env` prints, as names and values.
fn environment(iot_local: &Path, control_port: u16) -> Result<Vec<(String, String)>> {
    let output = run(Command::new(iot_local)
        .args(["env", "--output", "json", "--control-port"])
        .arg(control_port.to_string()))?;
    let variable = |line: &str| -> Result<(String, String)> {
        let object: serde_json::Value = serde_json::from_str(line)?;
        let text = |member: &str| object[member].as_str().map(str::to_owned);
        text("name")
            .zip(text("value"))
            .ok_or_else(|| "a line without name or value".into())
    };
    output.lines().map(variable).collect()
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{command:?} failed: {stderr}").into());
    }
    Ok(String::from_utf8(output.stdout)?)
}
