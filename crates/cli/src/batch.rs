//! Many items at once: one result line an item, so that a failure in the middle names what was and was not done.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::pin::pin;

use clap::Args;
use futures::{Stream, StreamExt, stream};
use jitp_core::failure::Class;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::json;

use crate::common::Common;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::report::{Report, Reporter};
use crate::screen::Bar;

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
    /// configuration or credentials, which every further item would meet, keep the rest from being tried; and so does
    /// an answer that cannot be written.
    ///
    /// A single item that fails is the program's own failure; of several, each that fails has a line that says so.
    ///
    /// # Errors
    /// When an item failed, the items cannot be listed, or stdout cannot be written. A reader that has gone is a failure
    /// of a program that changes, and none of one that reads.
    pub async fn run<T, R>(
        &self,
        items: impl Stream<Item = Result<T>>,
        work: impl AsyncFn(&T) -> Done<R>,
    ) -> Result<()>
    where
        T: ToString,
        R: Report,
    {
        // Why no further item is begun.
        let halt: Cell<Option<&'static str>> = Cell::new(None);
        let under_way = UnderWay::new(self.common);
        let (work, halted, started) = (&work, &halt, &under_way);
        let each = items.map(|item| async move {
            let item = item?;
            let name = item.to_string();
            if let Some(why) = halted.get() {
                let failure = Failure::new(Class::Configuration, why);
                return Ok((name, Done::from(Err(failure))));
            }
            let number = started.start(&name);
            let done = work(&item).await;
            started.end(number);
            let hopeless = |failure: &Failure| failure.exit() == Exit::Configuration;
            if self.total != Some(1) && done.failure.as_ref().is_some_and(hopeless) {
                halted.set(Some("not tried, after the failure of another"));
            }
            Ok((name, done))
        });
        let mut results = match self.order {
            Order::Items => pin!(each.buffered(self.concurrency).left_stream()),
            Order::Completion => pin!(each.buffer_unordered(self.concurrency).right_stream()),
        };
        let bar = Bar::show(self.total, plural(self.kind), self.has_bar());
        let mut reporter = match self.order {
            Order::Items => self.common.listing(),
            Order::Completion => self.common.reporter(),
        };
        let mut tally = Tally::default();
        let mut unwritten: Option<Unwritten> = None;
        while let Some(result) = results.next().await {
            let (name, done) = match result {
                Ok(result) => result,
                Err(failure) => {
                    under_way.settled();
                    return Err(tally.unlisted(self.kind, failure));
                }
            };
            bar.advance();
            match &mut unwritten {
                Some(unwritten) => unwritten.lines.extend(self.texts(&reporter, &name, &done)),
                None => {
                    if let Err(error) = bar.above(|| self.write(&mut reporter, &name, &done)) {
                        if self.order == Order::Items {
                            under_way.settled();
                            return Err(Failure::unwritten(&error, &[]));
                        }
                        // What is under way is brought to its end, so that nothing is left half made.
                        halt.set(Some(NOT_TRIED));
                        let lines = self.texts(&reporter, &name, &done);
                        unwritten = Some(Unwritten { error, lines });
                    }
                }
            }
            tally.count(done);
            if reporter.reader_is_gone() && self.total.is_none() {
                // Nobody waits for the rest, and it may be long.
                break;
            }
        }
        under_way.settled();
        drop(bar);
        match unwritten {
            Some(unwritten) => Err(tally.unwritten(self.kind, &unwritten)),
            None => tally.verdict(self.kind, self.total),
        }
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
        match self.failed(name, done) {
            Some(failed) => reporter.write(&failed),
            None => Ok(()),
        }
    }

    /// The same lines, for a failure to tell. Those that were not tried are counted only.
    fn texts<R: Report>(&self, reporter: &Reporter, name: &str, done: &Done<R>) -> Vec<String> {
        let lines = done.lines.iter().map(|line| reporter.text(line));
        let failed = self
            .failed(name, done)
            .filter(|failed| failed.failure.message() != NOT_TRIED)
            .map(|failed| reporter.text(&failed));
        lines.chain(failed).collect()
    }

    /// The line of an item that failed, where there are several.
    fn failed<'b, R>(&self, name: &'b str, done: &'b Done<R>) -> Option<Failed<'b>> {
        let failure = done.failure.as_ref().filter(|_| self.total != Some(1))?;
        Some(Failed {
            kind: self.kind,
            name,
            failure,
        })
    }

    /// No progress bar for a single item.
    fn has_bar(&self) -> bool {
        !self.common.quiet && self.total != Some(1)
    }
}

/// The failure of an item that was not begun since nothing can be said of it.
const NOT_TRIED: &str = "not tried, since the answer cannot be written";

/// What could not be written, and why not.
struct Unwritten {
    error: io::Error,
    lines: Vec<String>,
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

    /// The answer could not be written to its end.
    fn unwritten(self, kind: &str, unwritten: &Unwritten) -> Failure {
        let failure = Failure::unwritten(&unwritten.error, &unwritten.lines);
        let untried = |failure: &&Failure| failure.message() == NOT_TRIED;
        match self.failures.iter().filter(untried).count() {
            0 if self.failures.is_empty() => failure,
            0 => failure.partial(),
            count => {
                let context = format!("{count} {} were not tried", plural(kind));
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
