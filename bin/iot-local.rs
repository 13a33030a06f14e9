//! An AWS IoT Core on this machine.

use std::ffi::OsString;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use jitp_cli::{Common, Exit, Failure, Report, Result, Signals};
use jitp_core::failure::Class;
use jitp_local::account::Clock;
use jitp_local::functions::GivenFunction;
use jitp_local::running;
use jitp_local::server::{Local, Options, operations};
use serde::Serialize;
use tokio::process::{Child, Command};
use tokio::sync::broadcast::error::RecvError;

/// An AWS IoT Core on this machine: control plane, MQTT broker, just-in-time provisioning, policies
///
/// No account, no container, no network. It behaves as AWS does, also where that is unkind, and
/// says why it refuses something.
#[derive(Args)]
#[command(after_help = "Examples:
  iot-local run -- make test      one command with a fresh core behind it
  iot-local serve                 until Ctrl-C; then, in another terminal:
  eval \"$(iot-local env)\"         point AWS tools and the programs at it
  iot-local serve --data ~/iot    keep the state")]
struct Arguments {
    #[command(subcommand)]
    command: What,
}

#[derive(Subcommand)]
enum What {
    /// Serve until SIGINT or SIGTERM
    Serve(Serve),
    /// Run one command with a fresh core behind it; its exit code is passed on
    Run(Run),
    /// Print the environment that points tools at a running core, for `eval`
    Env(Env),
    /// Print the operations of AWS it serves: service, name, method and path
    Operations,
}

#[derive(Args)]
struct Serve {
    /// Port of the AWS APIs, HTTP; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = running::CONTROL_PORT)]
    control_port: u16,

    /// Port of MQTT, mutual TLS; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 8883)]
    mqtt_port: u16,

    /// Address to listen on. Anything but loopback lets everybody on that network change the
    /// account: credentials are never checked
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    listen: IpAddr,

    /// Folder that keeps the state [default: in memory]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Serve POST /_local/reset, which empties the account; for test suites
    #[arg(long)]
    allow_reset: bool,

    #[command(flatten)]
    account: AccountFlags,
}

#[derive(Args)]
struct Run {
    #[command(flatten)]
    account: AccountFlags,

    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

#[derive(Args)]
struct AccountFlags {
    /// Region to pretend
    #[arg(long, value_name = "REGION", default_value = "eu-central-1", value_parser = region)]
    region: String,

    /// Account to pretend, 12 digits
    #[arg(long, value_name = "ID", default_value = "123456789012", value_parser = account_id)]
    account: String,

    /// Start with nothing, not even the policy IoTAccess
    #[arg(long)]
    empty: bool,

    /// Enforce rates: with `aws`, those of the AWS General Reference, for the calls of each operation and
    /// the messages of each connection [default: none]
    #[arg(long, value_name = "WHOSE")]
    quotas: Option<Quotas>,

    /// A function that hooks, topic rules and event source mappings may name: a program that speaks the Lambda
    /// Runtime API (the `bootstrap` that is deployed, or its folder), or http://HOST:PORT/PATH, which
    /// takes the payload by POST. May be given several times
    #[arg(long = "function", value_name = "NAME=PATH")]
    functions: Vec<GivenFunction>,

    /// Folder of the buckets that topic rules write objects to, each a folder in it [default: `s3` in the folder
    /// of --data; without that, writing one fails]
    #[arg(long = "s3", value_name = "DIR")]
    objects: Option<PathBuf>,

    /// Let the core's time run this many times as fast, so that AWS's waits of minutes and hours pass in seconds
    #[arg(long, value_name = "TIMES", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=3600))]
    clock_speed: u32,

    /// Serve /_local/faults, which makes calls fail on order; for test suites
    #[arg(long)]
    allow_faults: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Quotas {
    /// AWS's default quotas
    Aws,
}

#[derive(Args)]
struct Env {
    /// Port of the AWS APIs of the running core
    #[arg(long, value_name = "PORT", default_value_t = running::CONTROL_PORT)]
    control_port: u16,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Serving {
    endpoint_url: String,
    mqtt_endpoint: String,
}

impl Report for Serving {
    fn columns(&self) -> Vec<String> {
        vec![self.endpoint_url.clone(), self.mqtt_endpoint.clone()]
    }
}

#[derive(Serialize)]
struct Variable {
    name: String,
    value: String,
}

impl Report for Variable {
    fn columns(&self) -> Vec<String> {
        // Single quotes keep everything literal in a shell but the single quote itself.
        vec![format!(
            "export {}='{}'",
            self.name,
            self.value.replace('\'', r"'\''")
        )]
    }
}

#[derive(Serialize)]
struct Operation {
    service: &'static str,
    operation: &'static str,
    method: &'static str,
    path: &'static str,
}

impl Report for Operation {
    fn columns(&self) -> Vec<String> {
        [self.service, self.operation, self.method, self.path]
            .map(str::to_owned)
            .into()
    }
}

async fn iot_local(arguments: Arguments, common: &Common, signals: Signals) -> Result<u8> {
    match arguments.command {
        What::Serve(serve) => serve_until_told(serve, common, signals).await,
        What::Run(run) => run_command(run, common, signals).await,
        What::Env(env) => print_environment(&env, common).await,
        What::Operations => print_operations(common),
    }
}

async fn serve_until_told(serve: Serve, common: &Common, mut signals: Signals) -> Result<u8> {
    serve.account.check()?;
    if !serve.listen.is_loopback() {
        common.warn(format!(
            "listening on {}: whoever reaches it can change the account",
            serve.listen
        ));
    }
    let core = Local::start(Options {
        control: SocketAddr::new(serve.listen, serve.control_port),
        mqtt: SocketAddr::new(serve.listen, serve.mqtt_port),
        data: serve.data,
        reset: serve.allow_reset,
        ..serve.account.options()
    })
    .await?;
    tell(&core, common);
    common.reporter().line(&Serving {
        endpoint_url: core.control_url(),
        mqtt_endpoint: core.mqtt_endpoint(),
    })?;
    common.say(format!(
        "serving; eval \"$(iot-local env --control-port {})\" in another terminal points tools at it",
        core.control_port()
    ));
    signals.next().await;
    core.stop().await;
    // Stopping is what a server is told to do, not a failure.
    Ok(Exit::Done as u8)
}

async fn run_command(run: Run, common: &Common, mut signals: Signals) -> Result<u8> {
    run.account.check()?;
    let core = Local::start(run.account.options()).await?;
    tell(&core, common);
    let (program, arguments) = run
        .command
        .split_first()
        .expect("clap requires at least one word");
    let mut child = Command::new(program)
        .args(arguments)
        .envs(core.environment())
        .env_remove("AWS_PROFILE")
        .env_remove("AWS_SESSION_TOKEN")
        .spawn()
        .map_err(|error| {
            Failure::new(
                Class::Configuration,
                format!("cannot run {}: {error}", program.to_string_lossy()),
            )
        })?;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            exit = signals.next() => pass_on(&child, exit),
        }
    };
    core.stop().await;
    let status = status.map_err(|error| Failure::io("cannot wait for the command", &error))?;
    // As a shell says it: 128 and the signal for a command that a signal ended.
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    Ok(code.map_or(Exit::Unexpected as u8, |code| code as u8))
}

/// Gives a signal to the command. It may have had it from the terminal already; twice is harmless.
fn pass_on(child: &Child, exit: Exit) {
    let Some(id) = child.id() else { return };
    let signal = match exit {
        Exit::Interrupted => rustix::process::Signal::INT,
        _ => rustix::process::Signal::TERM,
    };
    if let Some(id) = i32::try_from(id)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
    {
        // It may just have ended.
        let _ = rustix::process::kill_process(id, signal);
    }
}

async fn print_environment(env: &Env, common: &Common) -> Result<u8> {
    let mut reporter = common.listing();
    for (name, value) in running::environment(env.control_port).await? {
        reporter.line(&Variable { name, value })?;
    }
    Ok(Exit::Done as u8)
}

fn print_operations(common: &Common) -> Result<u8> {
    let mut reporter = common.listing();
    for offered in operations() {
        reporter.line(&Operation {
            service: offered.service,
            operation: offered.name,
            method: offered.method,
            path: offered.path,
        })?;
    }
    Ok(Exit::Done as u8)
}

/// Prints the diary on stderr while the core runs. What an API call was answered its caller knows;
/// that is printed with `--verbose` only.
fn tell(core: &Local, common: &Common) {
    if common.quiet {
        return;
    }
    let everything = common.verbose > 0;
    let mut entries = core.diary().follow();
    // A thread of its own: where nobody reads stderr, only the telling waits, and misses entries.
    std::thread::spawn(move || {
        loop {
            let line = match entries.blocking_recv() {
                Ok(entry) if entry.answered && !everything => continue,
                Ok(entry) if entry.refused => format!("iot-local: refused: {entry}"),
                Ok(entry) => match &entry.client_id {
                    Some(client_id) => format!("iot-local: {client_id}: {}", entry.sentence),
                    None => format!("iot-local: {}", entry.sentence),
                },
                Err(RecvError::Lagged(missed)) => format!("iot-local: … {missed} entries more"),
                Err(RecvError::Closed) => break,
            };
            // A closed stderr is no reason to stop serving.
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    });
}

/// An account id is 12 digits.
fn account_id(text: &str) -> std::result::Result<String, String> {
    let digits = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .then(|| text.to_owned())
        .ok_or_else(|| "an AWS account id has 12 digits".to_owned())
}

/// A region is part of every ARN and of the server's name.
fn region(text: &str) -> std::result::Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let named = !text.is_empty() && text.len() <= 32 && text.bytes().all(plain);
    named
        .then(|| text.to_owned())
        .ok_or_else(|| "a region is lower-case letters, digits and -, as eu-central-1".to_owned())
}

impl AccountFlags {
    /// Which of two of the same name is meant, nobody knows.
    fn check(&self) -> Result<()> {
        let names = self.functions.iter().map(|function| &function.name);
        for (index, name) in names.clone().enumerate() {
            if names.clone().skip(index + 1).any(|other| other == name) {
                let message = format!("--function {name}=… is given twice");
                return Err(Failure::usage(message).hint("give each function another name"));
            }
        }
        Ok(())
    }

    fn options(self) -> Options {
        Options {
            account_id: self.account,
            region: self.region,
            empty: self.empty,
            enforce_quotas: matches!(self.quotas, Some(Quotas::Aws)),
            faults: self.allow_faults,
            functions: self.functions,
            objects: self.objects,
            clock: Clock::running(self.clock_speed),
            ..Options::default()
        }
    }
}

fn main() -> ExitCode {
    jitp_cli::run_threaded(iot_local)
}
