//! From `main` to the exit code: parse, log, run, report, and stop on signals.

use std::ffi::OsString;
use std::io::{self, Write};
use std::num::NonZero;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::builder::Resettable;
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::{filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

use crate::common::Common;
use crate::environment;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::report::OutputFormat;
use crate::screen::{self, Screen};

// A program's arguments: its own, and the common ones. No docstring: clap would show it instead of
// the program's.
#[derive(Debug, Parser)]
struct Line<A: clap::Args> {
    #[command(flatten)]
    program: A,
    #[command(flatten)]
    common: Common,
}

/// Runs a program on one thread until it ends, or SIGINT or SIGTERM arrives. What it does is said
/// by the docstring of its arguments.
pub fn run<A, F>(program: F) -> ExitCode
where
    A: clap::Args,
    F: AsyncFnOnce(A, &Common) -> Result<()>,
{
    run_stoppable(async |arguments, common: &Common| {
        until_interrupted(program(arguments, common)).await
    })
}

/// Runs a program that decides itself what a signal means: by [`until_interrupted`], or by a [`Stop`].
pub fn run_stoppable<A, F>(program: F) -> ExitCode
where
    A: clap::Args,
    F: AsyncFnOnce(A, &Common) -> Result<()>,
{
    start(
        std::env::args_os().collect(),
        async |arguments, common: &Common| {
            program(arguments, common).await.map(|()| Exit::Done as u8)
        },
        || Builder::new_current_thread().enable_all().build(),
    )
}

/// Does something until it ends, or SIGINT or SIGTERM arrives.
///
/// # Errors
/// Its own failure, or that it was interrupted.
pub async fn until_interrupted<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    end_what_does_not_end();
    let mut signals = Signals::listen()?;
    tokio::select! {
        outcome = work => outcome,
        exit = signals.next() => Err(Failure::interrupted(exit)),
    }
}

/// For a program that brings what is under way to its end: the first SIGINT or SIGTERM is noted, and the second ends the
/// program at once.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    asked: Arc<AtomicBool>,
    terminated: Arc<AtomicBool>,
}

impl Stop {
    /// Listens from now on.
    pub fn listen() -> Self {
        let stop = Self::default();
        let heard = stop.clone();
        let watch = move || {
            let Ok(runtime) = Builder::new_current_thread().enable_all().build() else {
                return;
            };
            runtime.block_on(async {
                let Ok(mut signals) = Signals::listen() else {
                    return;
                };
                let exit = signals.next().await;
                heard
                    .terminated
                    .store(exit == Exit::Terminated, Ordering::Relaxed);
                heard.asked.store(true, Ordering::Relaxed);
                std::process::exit(signals.next().await as i32);
            });
        };
        // Without that thread signals end the program as they end any other.
        let _ = std::thread::Builder::new().spawn(watch);
        stop
    }

    /// Whether to stop.
    pub fn flag(&self) -> &AtomicBool {
        &self.asked
    }

    /// The failure of a program that stopped because it was told to; nothing if it was not.
    pub fn failure(&self) -> Option<Failure> {
        let exit = match self.terminated.load(Ordering::Relaxed) {
            true => Exit::Terminated,
            false => Exit::Interrupted,
        };
        self.asked
            .load(Ordering::Relaxed)
            .then(|| Failure::interrupted(exit))
    }
}

/// Runs a program that serves many connections, on half of the cores: the other half is for those who
/// connect, and the fewer threads there are, the more of what is ready at the same time is done in one
/// go. It hears of signals itself, and its exit code is its own.
pub fn run_threaded<A, F>(program: F) -> ExitCode
where
    A: clap::Args,
    F: AsyncFnOnce(A, &Common, Signals) -> Result<u8>,
{
    run_threaded_as(|arguments| arguments, program)
}

/// As [`run_threaded`], for a program that understands another spelling of its arguments: `spelled` puts it right, the
/// program's name first.
pub fn run_threaded_as<A, F>(
    spelled: impl FnOnce(Vec<OsString>) -> Vec<OsString>,
    program: F,
) -> ExitCode
where
    A: clap::Args,
    F: AsyncFnOnce(A, &Common, Signals) -> Result<u8>,
{
    start(
        spelled(std::env::args_os().collect()),
        async |arguments, common: &Common| program(arguments, common, Signals::listen()?).await,
        || {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(threads());
            builder.enable_all().build()
        },
    )
}

/// Threads of a program that serves, or makes, many connections.
pub fn threads() -> usize {
    std::thread::available_parallelism()
        .map_or(1, NonZero::get)
        .div_ceil(2)
}

/// SIGINT and SIGTERM, as they arrive.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> Result<Self> {
        let listen =
            |kind| signal(kind).map_err(|error| Failure::io("cannot listen for signals", &error));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// Waits for the next one, and says with which exit code a program ends that obeys it.
    pub async fn next(&mut self) -> Exit {
        tokio::select! {
            _ = self.interrupt.recv() => Exit::Interrupted,
            _ = self.terminate.recv() => Exit::Terminated,
        }
    }
}

/// Ends a program that does not obey a signal in [`GRACE`], or at the second signal: it may be in a
/// read of a pipe that nobody writes, or in a write that nobody reads.
fn end_what_does_not_end() {
    let watch = || {
        let Ok(runtime) = Builder::new_current_thread().enable_all().build() else {
            return;
        };
        runtime.block_on(async {
            let Ok(mut signals) = Signals::listen() else {
                return;
            };
            let exit = signals.next().await;
            let _ = tokio::time::timeout(GRACE, signals.next()).await;
            std::process::exit(exit as i32);
        });
    };
    // Without that thread signals are obeyed all the same, only not in the middle of a read.
    let _ = std::thread::Builder::new().spawn(watch);
}

/// How long a program has to end after SIGINT or SIGTERM.
const GRACE: Duration = Duration::from_secs(2);

fn start<A, F>(
    arguments: Vec<OsString>,
    program: F,
    runtime: impl FnOnce() -> io::Result<Runtime>,
) -> ExitCode
where
    A: clap::Args,
    F: AsyncFnOnce(A, &Common) -> Result<u8>,
{
    let name = program_name(&arguments);
    let command = Line::<A>::command()
        .name(name.clone())
        .bin_name(name.clone())
        .version(env!("CARGO_PKG_VERSION"))
        .mut_args(ignore_empty_variable);
    let json_asked = asks_for_json(&arguments);
    let line = command
        .try_get_matches_from(arguments)
        .and_then(|matches| Line::<A>::from_arg_matches(&matches));
    let line = match line {
        Ok(line) => line,
        Err(error) => return usage(&error, &name, json_asked),
    };
    log(&line.common);
    let json = line.common.output == OutputFormat::Json;
    let outcome = match runtime() {
        Ok(runtime) => {
            let outcome = runtime.block_on(program(line.program, &line.common));
            // Not waiting for a read of stdin that may never end.
            runtime.shutdown_background();
            outcome
        }
        Err(error) => Err(Failure::io("cannot start the runtime", &error)),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            complain(&failure, &name, json);
            ExitCode::from(failure.exit() as u8)
        }
    }
}

/// A variable that is set to nothing, as makefiles export them, counts as not set.
fn ignore_empty_variable(argument: clap::Arg) -> clap::Arg {
    let is_empty = argument
        .get_env()
        .and_then(std::env::var_os)
        .is_some_and(|value| value.is_empty());
    if is_empty {
        argument.env(Resettable::Reset)
    } else {
        argument
    }
}

/// The name the program was called by, so that the alias `create-ca` speaks as `create-ca`.
fn program_name(arguments: &[OsString]) -> String {
    arguments
        .first()
        .and_then(|path| std::path::Path::new(path).file_name())
        .map_or_else(
            || "jitp".to_owned(),
            |name| name.to_string_lossy().into_owned(),
        )
}

/// Whether the caller wants JSON, as far as a command line that did not parse can tell.
fn asks_for_json(arguments: &[OsString]) -> bool {
    let flag = arguments.iter().enumerate().find_map(|(index, argument)| {
        let argument = argument.to_str()?;
        match argument.strip_prefix("--output") {
            Some("") => arguments.get(index + 1)?.to_str().map(str::to_owned),
            Some(rest) => rest.strip_prefix('=').map(str::to_owned),
            None => None,
        }
    });
    match flag {
        Some(format) => format == "json",
        None => std::env::var(environment::JITP_OUTPUT).is_ok_and(|format| format == "json"),
    }
}

/// Help and version go to stdout with exit code 0; a usage error to stderr with 2.
fn usage(error: &clap::Error, name: &str, json: bool) -> ExitCode {
    let help = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    if help || !json {
        match error.print() {
            // Whoever reads the help has seen enough, or there is no terminal to tell of a usage error.
            Err(error) if help && error.kind() != io::ErrorKind::BrokenPipe => {
                let failure = Failure::unwritten(&error, &[]);
                complain(&failure, name, json);
                return ExitCode::from(failure.exit() as u8);
            }
            _ => {}
        }
    } else {
        let text = error.to_string();
        let message: Vec<&str> = text
            .lines()
            .map(str::trim)
            .take_while(|line| !line.is_empty())
            .collect();
        let message = message.join(" ");
        let message = message.strip_prefix("error: ").unwrap_or(&message);
        let failure = Failure::usage(message).hint(format!("try '{name} --help'"));
        complain(&failure, name, true);
    }
    if help {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(Exit::Usage as u8)
    }
}

fn complain(failure: &Failure, name: &str, json: bool) {
    let text = if json {
        failure.json()
    } else {
        failure.text(name)
    };
    // A closed stderr cannot be told anything; the exit code still says it.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Log lines go to stderr: errors, and that a call is made again; more with `-v`. The programs' own sentences are
/// not log lines.
fn log(common: &Common) {
    let level = match (common.quiet, common.verbose) {
        (true, _) => "off",
        (false, 0) => "error,jitp_cloud::call=warn",
        (false, 1) => "info,aws_config=warn,aws_sdk_iot=warn",
        (false, _) => "debug",
    };
    let asked = std::env::var("RUST_LOG").ok();
    let targets: Targets = asked
        .and_then(|asked| asked.parse().ok())
        .or_else(|| level.parse().ok())
        .unwrap_or_default();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(|| Screen)
        .with_ansi(screen::colour())
        // What cannot be written on stderr cannot be complained of there: it would end the program.
        .log_internal_errors(false);
    tracing_subscriber::registry()
        .with(targets)
        .with(lines)
        .init();
}
