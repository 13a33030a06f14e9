//! Stderr as a person sees it: sentences and log lines, and below them the progress bar, if there is one.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::environment;

/// The bar that is on the screen. What is said meanwhile must go above it, or it is drawn over.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

fn shown() -> Option<ProgressBar> {
    // A bar is whole at any moment: what another thread broke off in is no matter.
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Whether stderr is a terminal that can move its cursor and colour its letters.
fn is_screen() -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    io::stderr().is_terminal() && !dumb
}

/// Whether stderr is a terminal that wants colour: `NO_COLOR` with any value but nothing forbids it (no-color.org).
pub(crate) fn colour() -> bool {
    let forbidden = std::env::var_os(environment::NO_COLOR).is_some_and(|value| !value.is_empty());
    is_screen() && !forbidden
}

/// Where sentences and log lines are written.
#[derive(Debug)]
pub(crate) struct Screen;

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let write = || io::stderr().write(bytes);
        match shown() {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Lines at the bottom of the screen that are written anew, until it is dropped.
#[derive(Debug)]
pub struct Panel(ProgressBar);

impl Panel {
    /// An empty one; none where stderr is no terminal, or nobody wants to see it.
    pub fn show(visible: bool) -> Option<Self> {
        if !visible || !is_screen() {
            return None;
        }
        let panel = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            panel.set_style(style);
        }
        *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = Some(panel.clone());
        Some(Self(panel))
    }

    /// Shows this text, of one line or several.
    pub fn set(&self, text: String) {
        self.0.set_message(text);
        self.0.tick();
    }
}

impl Drop for Panel {
    fn drop(&mut self) {
        *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.0.finish_and_clear();
    }
}

/// A progress bar, on the screen until it is dropped.
#[derive(Debug)]
pub struct Bar(ProgressBar);

impl Bar {
    /// A bar over `total` things, whose word is `things`; without a total, a count. `visible` it is on a terminal only.
    pub fn show(total: Option<usize>, things: String, visible: bool) -> Self {
        let target = match visible && is_screen() {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(total.map(|total| total as u64), target);
        let template = match total {
            Some(_) => "{bar:32} {pos}/{len} {msg} {per_sec} {eta}",
            None => "{spinner} {pos} {msg} {elapsed}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(things);
        if !bar.is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(200));
            *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.clone());
        }
        Self(bar)
    }

    /// One more is done.
    pub fn advance(&self) {
        self.0.inc(1);
    }

    /// Writes something else to the terminal, above the bar. Nothing may be said meanwhile.
    pub fn above<R>(&self, write: impl FnOnce() -> R) -> R {
        self.0.suspend(write)
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.0.finish_and_clear();
    }
}
