//! The flags every program has.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use crate::environment;
use crate::report::{OutputFormat, Reporter};
use crate::screen::Screen;

// Flags that every program has. (No docstring: clap would show it as what the program does.)
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// Folder that holds keys and certificates
    #[arg(long, value_name = "DIR", default_value = ".", global = true)]
    pub dir: PathBuf,

    /// Format of the answer on stdout, text or json [default: JITP_OUTPUT, then text]
    #[arg(
        long,
        value_name = "FORMAT",
        env = environment::JITP_OUTPUT,
        hide_env = true,
        default_value = "text",
        hide_default_value = true,
        hide_possible_values = true,
        global = true
    )]
    pub output: OutputFormat,

    /// Say nothing on stderr but errors
    #[arg(short, long, conflicts_with = "verbose", global = true)]
    pub quiet: bool,

    /// Say more on stderr; twice for everything
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
}

impl Common {
    /// The writer of this run's answer. An answer that cannot be written is a failure that says it: what was done must
    /// not go unsaid.
    pub fn reporter(&self) -> Reporter {
        Reporter::new(self.output)
    }

    /// The writer of the answer of a program that only reads. A reader that has seen enough and closes its pipe, as
    /// `head` does, is no failure.
    pub fn listing(&self) -> Reporter {
        Reporter::listing(self.output)
    }

    /// Tells a person something on stderr; `--quiet` silences it.
    pub fn say(&self, sentence: impl AsRef<str>) {
        if !self.quiet {
            // A closed stderr is no reason to fail: nobody is reading.
            let line = format!("{}\n", sentence.as_ref());
            let _ = Screen.write_all(line.as_bytes());
        }
    }

    /// Warns a person on stderr; `--quiet` silences it.
    pub fn warn(&self, sentence: impl AsRef<str>) {
        self.say(format!("warning: {}", sentence.as_ref()));
    }
}
