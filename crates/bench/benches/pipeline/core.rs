//! The core in a process of its own: this program, started once more.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use jitp_bench::Result;
use jitp_bench::process::{Process, cpu_of_children_of};
use jitp_local::functions::{GivenFunction, Source};
use jitp_local::server::{Local, Options};

use crate::Arguments;

/// A core that runs. It ends with this value.
pub(crate) struct Core {
    pub(crate) process: Process,
    pub(crate) control: SocketAddr,
    pub(crate) mqtt: SocketAddr,
    pub(crate) root_pem: String,
    _data: Option<tempfile::TempDir>,
}

impl Core {
    pub(crate) fn start(arguments: &Arguments) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("--serve")
            .arg("--consumer")
            .arg(&arguments.consumer);
        let data = arguments.durable.then(tempfile::tempdir).transpose()?;
        if let Some(data) = &data {
            command.arg("--data").arg(data.path());
        }
        // It serves until its stdin is closed, also when this process is killed.
        let mut process = Process::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let stdout = process.child().stdout.take().ok_or("no stdout")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let told: BTreeMap<String, String> = serde_json::from_str(&line)?;
        Ok(Self {
            control: told["control"].parse()?,
            mqtt: told["mqtt"].parse()?,
            root_pem: told["root"].clone(),
            process,
            _data: data,
        })
    }

    /// CPU time of the functions' processes.
    pub(crate) fn cpu_of_functions(&self) -> Result<Duration> {
        cpu_of_children_of(&self.process)
    }
}

/// Serves until stdin is closed.
pub(crate) async fn serve(arguments: &Arguments) -> Result<()> {
    let consumer = GivenFunction {
        name: "consume".to_owned(),
        source: Source::Program(std::path::absolute(&arguments.consumer)?),
    };
    let core = Local::start(Options {
        functions: vec![consumer],
        data: arguments.data.clone(),
        ..Options::default()
    })
    .await?;
    let told = BTreeMap::from([
        ("control", format!("127.0.0.1:{}", core.control_port())),
        ("mqtt", core.mqtt_address().to_string()),
        ("root", core.root_pem().to_owned()),
    ]);
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{}", serde_json::to_string(&told)?)?;
    stdout.flush()?;
    let read =
        tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    read.await??;
    core.stop().await;
    Ok(())
}
