//! The programs as a script sees them: how long `provision` takes, beside the OpenSSL commands it replaces.
//!
//! Turn by turn, so that whoever else uses the machine disturbs all alike. The fastest run says what a program costs,
//! the median what one waits for it.

#![expect(clippy::print_stdout, reason = "what a benchmark prints is its answer")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use jitp_bench::process::cpu_of_children;
use jitp_bench::{Result, program};

/// Measure how long provision takes, beside the OpenSSL commands it replaces
#[derive(Parser)]
struct Arguments {
    /// Folder of the programs to measure
    #[arg(long, value_name = "DIR", default_value_os_t = jitp_bench::programs())]
    bin: PathBuf,

    /// Runs of each
    #[arg(long, default_value_t = 200)]
    runs: u32,

    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

/// The commands of the shell toolkit's way: key, request, signature. `$1` is the device.
const SHELL: &str = r#"set -e
openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"
openssl req -new -key "$1.key" -subj "/CN=$1" -out "$1.csr"
openssl x509 -req -in "$1.csr" -CA root.ca.pem -CAkey root.ca.key -CAcreateserial -days 500 -sha256 -out "$1.pem" 2>/dev/null
cat "$1.pem" root.ca.pem > "$1.crt""#;

struct Candidate {
    name: &'static str,
    /// With the folder of the programs and the name of a device that does not exist yet.
    command: fn(&Path, &str) -> Result<Command>,
    /// Most a median may be, in milliseconds.
    target: Option<f64>,
}

const CANDIDATES: [Candidate; 5] = [
    Candidate {
        name: "provision --help",
        command: |bin, _| ours(bin, "provision", &["--help"]),
        target: Some(3.0),
    },
    Candidate {
        name: "provision DEVICE",
        command: |bin, device| ours(bin, "provision", &[device]),
        target: None,
    },
    Candidate {
        name: "openssl ecparam, req, x509",
        command: |_, device| {
            let mut command = Command::new("sh");
            command.args(["-c", SHELL, "sh", device]);
            Ok(command)
        },
        target: None,
    },
    Candidate {
        name: "openssl version",
        command: |_, _| {
            let mut command = Command::new("openssl");
            command.arg("version");
            Ok(command)
        },
        target: None,
    },
    // What starting any program costs here.
    Candidate {
        name: "true",
        command: |_, _| Ok(Command::new("true")),
        target: None,
    },
];

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let bin = arguments.bin.as_path();
    let folder = tempfile::tempdir()?;
    let dir = folder.path();
    run(ours(bin, "create-root", &[])?, dir)?;
    let has_openssl = Command::new("openssl").arg("version").output().is_ok();
    let mut wall: [Vec<Duration>; CANDIDATES.len()] = Default::default();
    let mut cpu = [Duration::ZERO; CANDIDATES.len()];
    for number in 0..arguments.runs {
        for (index, candidate) in CANDIDATES.iter().enumerate() {
            if candidate.name.starts_with("openssl") && !has_openssl {
                continue;
            }
            let device = format!("device-{index}-{number}");
            let command = (candidate.command)(bin, &device)?;
            let (before, clock) = (cpu_of_children()?, Instant::now());
            run(command, dir)?;
            wall[index].push(clock.elapsed());
            cpu[index] += cpu_of_children()? - before;
        }
    }
    println!(
        "| program, {} runs | fastest ms | median ms | CPU ms | target | |",
        arguments.runs
    );
    println!("|---|---|---|---|---|---|");
    for ((candidate, wall), cpu) in CANDIDATES.iter().zip(&mut wall).zip(cpu) {
        wall.sort();
        let Some(fastest) = wall.first() else {
            continue;
        };
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        let median = milliseconds(wall[wall.len() / 2]);
        let (target, verdict) = match candidate.target {
            None => (String::new(), ""),
            Some(target) if median <= target => (format!("{target} median"), "met"),
            Some(target) => (format!("{target} median"), "NOT MET"),
        };
        println!(
            "| {} | {:.2} | {median:.2} | {:.2} | {target} | {verdict} |",
            candidate.name,
            milliseconds(*fastest),
            milliseconds(cpu) / f64::from(arguments.runs),
        );
    }
    Ok(())
}

fn ours(bin: &Path, name: &str, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(program(bin, name)?);
    command.args(arguments);
    Ok(command)
}

fn run(mut command: Command, dir: &Path) -> Result<()> {
    command
        .current_dir(dir)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let status = command.status()?;
    if !status.success() {
        return Err(format!("{command:?} failed").into());
    }
    Ok(())
}
