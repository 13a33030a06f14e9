//! Asking before something is destroyed.

use std::io::{self, IsTerminal, Write};

use clap::Args;
use jitp_core::failure::Class;
use tokio::sync::oneshot;

use crate::common::Common;
use crate::failure::{Failure, Result};

// Flags of programs that destroy. (No docstring: clap would show it as what the program does.)
#[derive(Args, Clone, Debug)]
pub struct ConfirmFlags {
    /// Do not ask; needed where there is no terminal to ask on
    #[arg(long)]
    pub yes: bool,
}

impl ConfirmFlags {
    /// Sees early that an answer can be had: `--yes`, or a terminal.
    ///
    /// # Errors
    /// When there is neither.
    pub fn check(&self) -> Result<()> {
        if self.yes || (io::stdin().is_terminal() && io::stderr().is_terminal()) {
            return Ok(());
        }
        Err(
            Failure::usage("this destroys, and there is no terminal to ask on")
                .hint("pass --yes, or --dry-run to see what would be done"),
        )
    }

    /// Asks a person, unless `--yes` has answered already.
    ///
    /// # Errors
    /// When the answer is not yes, or nobody can be asked.
    pub async fn ask(&self, common: &Common, question: &str) -> Result<()> {
        self.check()?;
        if self.yes {
            return Ok(());
        }
        let mut stderr = io::stderr();
        // A prompt that cannot be written is not answered either.
        let _ = write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush());
        let (sender, answer) = oneshot::channel();
        // A thread of its own, which nobody waits for: a signal ends the program while it reads.
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = io::stdin().read_line(&mut line).map(|_| line);
            let _ = sender.send(read); // nobody listens any more when a signal came
        });
        match answer.await {
            Ok(Ok(line)) if matches!(line.trim(), "y" | "Y" | "yes") => Ok(()),
            Ok(Err(error)) => Err(Failure::io("cannot read the answer", &error)),
            _ => {
                common.say("nothing was done");
                Err(Failure::new(Class::Unexpected, "not confirmed"))
            }
        }
    }
}
