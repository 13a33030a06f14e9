//! Many items at once: one result line an item, so that a failure in the middle names what was and was not done.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, IsTerminal};
use std::pin::pin;
use std::time::Duration;

use clap::Args;
use futures::{Stream, StreamExt, stream};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jitp_core::failure::Class;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::json;

use crate::common::Common;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::report::{Report, Reporter};

// Flags of programs that work on many items. (No docstring: clap would show it as what the program does.)
#[derive(Args, Clone, Debug)]
pub struct BatchFlags {
    /// Items worked on at once
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub concurrency: u16,
}

/// What became of one item.
#[derive(Debug)]
pub struct Done<R> {
    /// Result lines; also of an item that was done in part.
    pub lines: Vec<R>,
    /// Why it was not done, or not wholly.
    pub failure: Option<Failure>,
}

impl<R> From<Result<Vec<R>>> for Done<R> {
    fn from(outcome: Result<Vec<R>>) -> Self {
        match outcome {
            Ok(lines) => Self {
                lines,
                failure: None,
            },
            Err(failure) => Self {
                lines: Vec::new(),
                failure: Some(failure),
            },
        }
    }
}

/// The order of the result lines.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Order {
    /// That of the items: for programs that read.
    Items,
    /// As they are done, so that nothing that was done goes unsaid when the run is interrupted: for programs that change.
    Completion,
}

/// How a number of items is worked on.
#[derive(Debug)]
pub struct Batch<'a> {
    common: &'a Common,
    kind: &'static str,
    concurrency: usize,
    order: Order,
    total: Option<usize>,
}

impl<'a> Batch<'a> {
    /// `kind` is what an item is, in a word: `thing`. `total` is how many there are, if that is known.
    pub fn new(
        common: &'a Common,
        flags: &BatchFlags,
        kind: &'static str,
        order: Order,
        total: Option<usize>,
    ) -> Self {
        Self {
            common,
            kind,
            concurrency: flags.concurrency.into(),
            order,
            total,
        }
    }

    /// Works on every item, whatever becomes of the others, and writes the result lines. Only failures of
    /// configuration or credentials, which every further item would meet, keep the rest from being tried.
    ///
    /// A single item that fails is the program's own failure; of several, each that fails has a line that says so.
    ///
    /// # Errors
    /// When an item failed, the items cannot be listed, or stdout cannot be written.
    pub async fn run<T, R>(
        &self,
        items: impl Stream<Item = Result<T>>,
        work: impl AsyncFn(&T) -> Done<R>,
    ) -> Result<()>
    where
        T: ToString,
        R: Report,
    {
        let hopeless = Cell::new(false);
        let under_way = UnderWay::new(self.common);
        let (work, hopeless_seen, started) = (&work, &hopeless, &under_way);
        let each = items.map(|item| async move {
            let item = item?;
            let name = item.to_string();
            if hopeless_seen.get() {
                let failure = Failure::new(
                    Class::Configuration,
                    "not tried, after the failure of another",
                );
                return Ok((name, Done::from(Err(failure))));
            }
            let number = started.start(&name);
            let done = work(&item).await;
            started.end(number);
            let hopeless = |failure: &Failure| failure.exit() == Exit::Configuration;
            if self.total != Some(1) && done.failure.as_ref().is_some_and(hopeless) {
                hopeless_seen.set(true);
            }
            Ok((name, done))
        });
        let mut results = match self.order {
            Order::Items => pin!(each.buffered(self.concurrency).left_stream()),
            Order::Completion => pin!(each.buffer_unordered(self.concurrency).right_stream()),
        };
        let bar = self.bar();
        let mut reporter = self.common.reporter();
        let mut tally = Tally::default();
        while let Some(result) = results.next().await {
            let (name, done) = match result {
                Ok(result) => result,
                Err(failure) => {
                    under_way.settled();
                    return Err(tally.unlisted(self.kind, failure));
                }
            };
            bar.inc(1);
            let written = bar.suspend(|| self.write(&mut reporter, &name, &done));
            match written {
                // The reader has seen enough, and a program that only reads has nothing more to do.
                Err(error)
                    if error.kind() == ErrorKind::BrokenPipe && self.order == Order::Items =>
                {
                    under_way.settled();
                    return Ok(());
                }
                other => other
                    .map_err(|error| Failure::io("cannot write the answer to stdout", &error))?,
            }
            tally.count(done);
        }
        under_way.settled();
        bar.finish_and_clear();
        tally.verdict(self.kind, self.total)
    }

    /// As [`Batch::run`], over a list.
    ///
    /// # Errors
    /// As [`Batch::run`].
    pub async fn run_list<T, R>(
        &self,
        items: Vec<T>,
        work: impl AsyncFn(&T) -> Done<R>,
    ) -> Result<()>
    where
        T: ToString,
        R: Report,
    {
        self.run(stream::iter(items.into_iter().map(Ok)), work)
            .await
    }

    /// The lines of one item.
    fn write<R: Report>(
        &self,
        reporter: &mut Reporter,
        name: &str,
        done: &Done<R>,
    ) -> io::Result<()> {
        for line in &done.lines {
            reporter.write(line)?;
        }
        match &done.failure {
            Some(failure) if self.total != Some(1) => reporter.write(&Failed {
                kind: self.kind,
                name,
                failure,
            }),
            _ => Ok(()),
        }
    }

    /// A progress bar on a terminal, and none elsewhere or for a single item.
    fn bar(&self) -> ProgressBar {
        let target = match io::stderr().is_terminal() && !self.common.quiet && self.total != Some(1)
        {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let length = self.total.map(|total| total as u64);
        let bar = ProgressBar::with_draw_target(length, target);
        let template = match self.total {
            Some(_) => "{bar:32} {pos}/{len} {msg} {eta}",
            None => "{spinner} {pos} {msg} {elapsed}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(plural(self.kind));
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }
}

/// What was done and what was not, so far.
#[derive(Default)]
struct Tally {
    done: usize,
    /// Items of which a part was done.
    partly: usize,
    failures: Vec<Failure>,
}

impl Tally {
    fn count<R>(&mut self, done: Done<R>) {
        match done.failure {
            None => self.done += 1,
            Some(failure) => {
                self.partly += usize::from(!done.lines.is_empty());
                self.failures.push(failure);
            }
        }
    }

    /// The items could not be listed to their end.
    fn unlisted(self, kind: &str, failure: Failure) -> Failure {
        match self.done + self.partly {
            0 => failure,
            done => {
                let context = format!("{done} {} done, and then", plural(kind));
                failure.context(context).partial()
            }
        }
    }

    fn verdict(mut self, kind: &str, total: Option<usize>) -> Result<()> {
        let Some(last) = self.failures.pop() else {
            return Ok(());
        };
        let failed = self.failures.len() + 1;
        if self.done + self.partly == 0 {
            if total == Some(1) {
                return Err(last);
            }
            let kinds = plural(kind);
            let alike = self.failures.iter().all(|one| one.exit() == last.exit());
            let context = format!("none of {failed} {kinds} done; the last");
            let failure = last.context(context);
            return Err(if alike { failure } else { failure.partial() });
        }
        if total == Some(1) {
            return Err(last.partial());
        }
        let all = self.done + failed;
        let message = format!("{failed} of {all} {} failed, see their lines", plural(kind));
        Err(Failure::new(Class::Partial, message)
            .hint("run again with those: every step that is done is skipped"))
    }
}

fn plural(kind: &str) -> String {
    match kind.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{kind}s"),
    }
}

/// The line of an item that failed.
struct Failed<'a> {
    kind: &'static str,
    name: &'a str,
    failure: &'a Failure,
}

impl Serialize for Failed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry(self.kind, self.name)?;
        map.serialize_entry("outcome", "failed")?;
        map.serialize_entry("error", &json!(self.failure.details()))?;
        map.end()
    }
}

impl Report for Failed<'_> {
    fn columns(&self) -> Vec<String> {
        // One line it stays, whatever a service says.
        let message = self.failure.message().replace(['\t', '\n', '\r'], " ");
        vec![self.name.to_owned(), "failed".to_owned(), message]
    }
}

/// Items that were begun and not ended. Dropped with any of them left, as an interrupted run does, it names them.
struct UnderWay<'a> {
    common: &'a Common,
    next: Cell<u64>,
    names: RefCell<BTreeMap<u64, String>>,
}

impl<'a> UnderWay<'a> {
    fn new(common: &'a Common) -> Self {
        Self {
            common,
            next: Cell::new(0),
            names: RefCell::default(),
        }
    }

    fn start(&self, name: &str) -> u64 {
        let number = self.next.get();
        self.next.set(number + 1);
        self.names.borrow_mut().insert(number, name.to_owned());
        number
    }

    fn end(&self, number: u64) {
        self.names.borrow_mut().remove(&number);
    }

    /// The run ended by itself, and says what there is to say.
    fn settled(&self) {
        self.names.borrow_mut().clear();
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let names: Vec<String> = self.names.borrow().values().cloned().collect();
        if !names.is_empty() {
            let names = names.join(", ");
            self.common
                .say(format!("under way and perhaps done in part: {names}"));
        }
    }
}
