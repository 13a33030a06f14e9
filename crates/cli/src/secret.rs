//! Secrets: from the environment, a file or a person at a terminal, never from a flag.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;

use jitp_core::failure::Class;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use crate::failure::{Failure, Result};

/// The value of a variable; one that is set to nothing counts as not set.
pub(crate) fn from_environment(variable: &str) -> Option<Zeroizing<Vec<u8>>> {
    std::env::var_os(variable)
        .filter(|value| !value.is_empty())
        .map(|value| Zeroizing::new(value.into_encoded_bytes()))
}

/// The only line of a file, without its end; `what` it is meant to be, with its article.
pub(crate) fn from_file(path: &Path, what: &str) -> Result<Zeroizing<Vec<u8>>> {
    let fault = |fault: &str| {
        let message = format!("cannot use {what} {}: {fault}", path.display());
        Failure::new(Class::Configuration, message).hint(HINT)
    };
    // Room for all of it at once: a buffer that grows leaves copies behind.
    let mut contents = Zeroizing::new(Vec::with_capacity(LONGEST + 1));
    File::open(path)
        .and_then(|file| file.take(LONGEST as u64 + 1).read_to_end(&mut contents))
        .map_err(|error| fault(&error.to_string()))?;
    if contents.len() > LONGEST {
        return Err(fault(&format!("it is longer than {LONGEST} bytes")));
    }
    let mut lines = contents.split(|&byte| byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let first = first.strip_suffix(b"\r").unwrap_or(first);
    if first.is_empty() {
        return Err(fault("its first line is empty"));
    }
    if lines.any(|line| !line.trim_ascii().is_empty()) {
        return Err(fault("it has more than one line"));
    }
    Ok(Zeroizing::new(first.to_vec()))
}

const HINT: &str = "it must be a file that holds the secret in its only line";

/// Whether there is a person to ask.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks a person, and does not show what is typed. To be called only if somebody [`can_ask`].
///
/// # Errors
/// When the terminal cannot be made not to show it, or the input ends.
pub(crate) async fn ask(question: &str) -> Result<Zeroizing<String>> {
    let failed = |error: io::Error| Failure::io("cannot read what is typed", &error);
    let hidden = Hidden::begin().map_err(failed)?;
    let mut stderr = io::stderr();
    // A prompt that cannot be written is not answered either.
    let _ = write!(stderr, "{question}: ").and_then(|()| stderr.flush());
    let (sender, answer) = oneshot::channel();
    // A thread of its own, which nobody waits for: a signal ends the program while it reads.
    std::thread::spawn(move || {
        let mut line = Zeroizing::new(String::with_capacity(LONGEST));
        let read = io::stdin().read_line(&mut line).map(|_| line);
        let _ = sender.send(read); // nobody listens any more when a signal came
    });
    let read = answer.await;
    drop(hidden);
    let _ = writeln!(stderr);
    match read {
        Ok(Ok(line)) if line.ends_with('\n') => Ok(Zeroizing::new(
            line.trim_end_matches(['\r', '\n']).to_owned(),
        )),
        Ok(Err(error)) => Err(failed(error)),
        _ => Err(failed(io::ErrorKind::UnexpectedEof.into())),
    }
}

/// Room for a line, so that a buffer that grows leaves no copies behind.
const LONGEST: usize = 1024;

/// A terminal that shows nothing of what is typed; dropped, also when a signal ends the program, it does again.
struct Hidden(Termios);

impl Hidden {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &hidden)?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}
