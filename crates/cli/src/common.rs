//! The flags every program has, and those of programs that talk to AWS.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::environment;
use crate::report::Reporter;

/// How the answer is written on stdout.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum OutputFormat {
    /// Tab-separated lines
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

/// Flags that every program has.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// Folder that holds keys and certificates
    #[arg(long, value_name = "DIR", default_value = ".", global = true)]
    pub dir: PathBuf,

    /// Format of the answer on stdout
    #[arg(long, value_name = "FORMAT", env = environment::JITP_OUTPUT, default_value = "text", hide_possible_values = false, global = true)]
    pub output: OutputFormat,

    /// Say nothing on stderr but errors
    #[arg(short, long, conflicts_with = "verbose", global = true)]
    pub quiet: bool,

    /// Say more on stderr; twice for everything
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
}

impl Common {
    /// The writer of this run's answer.
    pub fn reporter(&self) -> Reporter {
        Reporter::new(self.output)
    }

    /// Tells a person something on stderr; `--quiet` silences it.
    pub fn say(&self, sentence: impl AsRef<str>) {
        if !self.quiet {
            // A closed stderr is no reason to fail: nobody is reading.
            let _ = writeln!(io::stderr(), "{}", sentence.as_ref());
        }
    }

    /// Warns a person on stderr; `--quiet` silences it.
    pub fn warn(&self, sentence: impl AsRef<str>) {
        self.say(format!("warning: {}", sentence.as_ref()));
    }

    /// Whether stderr is a terminal that wants colour (`NO_COLOR` is honoured).
    pub fn colour(&self) -> bool {
        io::stderr().is_terminal() && std::env::var_os(environment::NO_COLOR).is_none()
    }
}

/// Flags of programs that call AWS APIs.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "AWS options")]
pub struct CloudFlags {
    /// AWS region [default: as for every AWS tool: AWS_REGION, then the profile's]
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,

    /// AWS profile [default: as for every AWS tool: AWS_PROFILE, then `default`]
    #[arg(long, value_name = "PROFILE")]
    pub profile: Option<String>,
}

/// Flags of programs that connect as a device.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connection options")]
pub struct ConnectFlags {
    /// MQTT endpoint, `host` or `host:port` [default: AWS_IOT_ENDPOINT, then DescribeEndpoint]
    #[arg(long, value_name = "ENDPOINT", env = environment::AWS_IOT_ENDPOINT, hide_env = true)]
    pub endpoint: Option<String>,

    /// PEM file of the roots the endpoint is judged by [default: AWS_IOT_CAFILE, then the Amazon roots]
    #[arg(long, value_name = "FILE", env = environment::AWS_IOT_CAFILE, hide_env = true)]
    pub cafile: Option<PathBuf>,

    /// MQTT version
    #[arg(long, value_name = "VERSION", default_value = "5", value_parser = ["3.1.1", "5"])]
    pub mqtt_version: String,

    /// Seconds to keep trying to get in before giving up
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub connect_timeout: u64,
}
