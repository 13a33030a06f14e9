//! The control plane: `device-status` beside the seed's aws and jq, and requests beside moto's server.
//!
//! CPU is what is compared: of the commands, and of the servers' processes. Requests are the same for both servers, on
//! one connection for as long as the server keeps it, as SDKs do.

#![expect(clippy::print_stdout, reason = "what a benchmark prints is its answer")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use jitp_bench::local_core::LocalCore;
use jitp_bench::process::{Process, cpu_of_children};
use jitp_bench::{Result, program};

/// Measure the control plane and device-status beside what others use
#[derive(Parser)]
struct Arguments {
    /// Folder of the programs to measure
    #[arg(long, value_name = "DIR", default_value_os_t = jitp_bench::programs())]
    bin: PathBuf,

    /// moto's server, as tests/witnesses/run.sh installs it
    #[arg(long, value_name = "FILE", default_value_os_t = jitp_bench::programs().join("../target/witnesses/venv/bin/moto_server"))]
    moto: PathBuf,

    /// Runs of device-status, and of aws and jq
    #[arg(long, default_value_t = 20)]
    runs: u32,

    /// Rounds of requests to moto's server; ours gets 50 times as many
    #[arg(long, default_value_t = 100)]
    rounds: u32,

    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

/// What the shell toolkit did for every certificate of the thing `$1`. Older versions of aws do not read the variable
/// of the endpoint.
const SHELL: &str = r#"set -e
aws() { command aws --endpoint-url "$AWS_ENDPOINT_URL" "$@"; }
aws iot list-thing-principals --thing-name "$1" --output json | jq -r '.principals[]' | while read -r principal; do
  status=$(aws iot describe-certificate --certificate-id "${principal##*/}" --output json | jq -r .certificateDescription.status)
  printf '%s\t%s\n' "$1" "$status"
done"#;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let core = LocalCore::start(&arguments.bin)?;
    println!("| | theirs | ours | ratio | target | |\n|---|---|---|---|---|---|");
    device_status(&arguments, &core)?;
    if !arguments.moto.is_file() {
        println!("moto's server is missing; remedy: tests/witnesses/run.sh programs");
        return Ok(());
    }
    let moto = Moto::start(&arguments.moto)?;
    let theirs = requests(&moto.process, moto.address, arguments.rounds)?;
    let ours = requests(&core.process, core.control, arguments.rounds * 50)?;
    row(
        "a request, CPU ms of moto's server and of iot-local",
        theirs,
        ours,
    );
    Ok(())
}

fn device_status(arguments: &Arguments, core: &LocalCore) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dir = folder.path();
    let thing = "sensor-17";
    let ours = |name: &str| program(&arguments.bin, name);
    let mut create = Command::new(ours("create-thing")?);
    core.run(create.args(["--aws-keys", thing]), dir)?;
    let has = |name: &str| Command::new(name).arg("--version").output().is_ok();
    if !has("aws") || !has("jq") {
        println!("aws or jq is missing; remedy: sudo apt-get install awscli jq");
        return Ok(());
    }
    let (mut theirs, mut own) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..arguments.runs {
        let before = cpu_of_children()?;
        let expected = core.run(Command::new("sh").args(["-c", SHELL, "sh", thing]), dir)?;
        let between = cpu_of_children()?;
        let answer = core.run(Command::new(ours("device-status")?).arg(thing), dir)?;
        own += cpu_of_children()? - between;
        theirs += between - before;
        if answer != expected || !answer.contains("ACTIVE") {
            return Err(format!("{answer:?} and {expected:?} are not the same").into());
        }
    }
    let each = |all: Duration| all.as_secs_f64() * 1e3 / f64::from(arguments.runs);
    row(
        "the statuses of a thing, CPU ms of aws and jq and of device-status",
        each(theirs),
        each(own),
    );
    Ok(())
}

fn row(name: &str, theirs: f64, ours: f64) {
    const TARGET: f64 = 50.0;
    let ratio = theirs / ours;
    let verdict = if ratio >= TARGET { "met" } else { "NOT MET" };
    println!("| {name} | {theirs:.3} | {ours:.3} | {ratio:.0} | {TARGET} | {verdict} |");
}

/// moto's server, a process of its own.
struct Moto {
    process: Process,
    address: SocketAddr,
}

impl Moto {
    fn start(program: &Path) -> Result<Self> {
        // Free now, and nobody else here asks for ports in between.
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut command = Command::new(program);
        command.args(["--host", "127.0.0.1", "--port", &free.port().to_string()]);
        let process = Process::start(command.stdout(Stdio::null()).stderr(Stdio::null()))?;
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(free).is_err() {
            if Instant::now() > deadline {
                return Err("moto's server does not answer".into());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(Self {
            process,
            address: free,
        })
    }
}

/// CPU milliseconds of a server for one request of a mix: a thing made, changed, read, and a page of a list.
fn requests(process: &Process, address: SocketAddr, rounds: u32) -> Result<f64> {
    let mut connection = Connection::new(address);
    connection.round(u32::MAX)?;
    let before = process.cpu()?;
    for number in 0..rounds {
        connection.round(number)?;
    }
    let spent = process.cpu()? - before;
    Ok(spent.as_secs_f64() * 1e3 / f64::from(rounds * MIX))
}

/// A client that keeps its connection.
struct Connection {
    address: SocketAddr,
    socket: Option<BufReader<TcpStream>>,
}

impl Connection {
    fn new(address: SocketAddr) -> Self {
        let socket = None;
        Self { address, socket }
    }

    fn round(&mut self, number: u32) -> Result<()> {
        let thing = format!("/things/bench-{number}");
        self.request(
            "POST",
            &thing,
            r#"{"attributePayload":{"attributes":{"site":"a"}}}"#,
        )?;
        self.request(
            "PATCH",
            &thing,
            r#"{"attributePayload":{"attributes":{"site":"b"}}}"#,
        )?;
        self.request("GET", &thing, "")?;
        self.request("GET", "/things?maxResults=20", "")
    }

    fn request(&mut self, method: &str, path: &str, body: &str) -> Result<()> {
        let mut socket = match self.socket.take() {
            Some(socket) => socket,
            None => {
                let socket = TcpStream::connect(self.address)?;
                socket.set_nodelay(true)?;
                BufReader::new(socket)
            }
        };
        let credential = "AWS4-HMAC-SHA256 Credential=local/20260101/eu-central-1/iot/aws4_request, \
                          SignedHeaders=host, Signature=0";
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: {credential}\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        socket.get_mut().write_all(request.as_bytes())?;
        let mut line = String::new();
        socket.read_line(&mut line)?;
        if line.get(9..12) != Some("200") {
            return Err(format!("{method} {path}: {line}").into());
        }
        let keeps_by_default = line.starts_with("HTTP/1.1");
        let (mut length, mut closes) = (0, !keeps_by_default);
        loop {
            line.clear();
            socket.read_line(&mut line)?;
            let (name, value) = line.trim().split_once(':').unwrap_or_default();
            match name.to_ascii_lowercase().as_str() {
                "" => break,
                "content-length" => length = value.trim().parse()?,
                "connection" => closes = value.trim().eq_ignore_ascii_case("close"),
                _ => {}
            }
        }
        let mut answer = vec![0; length];
        socket.read_exact(&mut answer)?;
        if !closes {
            self.socket = Some(socket);
        }
        Ok(())
    }
}

/// Requests of a round.
const MIX: u32 = 4;
