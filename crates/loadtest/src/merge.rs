//! What all shards of a run found together: exactly what one process would have found.
//!
//! Counts add, seconds of the wall clock add, histograms add; percentiles come from the added histograms and are never
//! averaged.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::assertion::main_latency;
use crate::hdr_log::{HdrLogError, Log};
use crate::measure::{Counts, Histograms, Latency};
use crate::outcome::{Expected, Generator, Outcome, Rates, SCHEMA, Second, Shard, Summary};
use crate::payload::Template;

/// File of the [`Outcome`] in the folder of a run.
pub const RESULT: &str = "result.json";
/// File of the HDR log in the folder of a run.
pub const LATENCIES: &str = "latencies.hlog";

/// Merges the shards in these folders, each of which is the folder of a shard, or holds such folders.
///
/// # Errors
/// Whatever makes it less than one whole run: see [`MergeError`].
pub fn merge(folders: &[PathBuf]) -> Result<(Outcome, Histograms), MergeError> {
    let mut parts = Vec::new();
    let mut unfinished = Vec::new();
    for folder in folders {
        find(folder, &mut parts, &mut unfinished)?;
    }
    let parts = whole(parts, &unfinished)?;
    let mut logs = Vec::new();
    for part in &parts {
        logs.push(Log::open(&part.folder.join(LATENCIES))?);
    }
    let (timeline, histograms) = gather(&parts, &logs)?;
    let outcome = add(&parts, timeline, &histograms);
    Ok((outcome, histograms))
}

/// First copies that did not arrive: of so many published messages, each of which goes to `copies` subscribers on
/// average over the fleet, when `delivered` first copies arrived.
pub fn lost(published: u64, copies: f64, delivered: u64) -> u64 {
    // Exact up to 2^53 copies; a fraction comes from fleets whose publishers are not all heard by as many.
    ((published as f64 * copies).round() as u64).saturating_sub(delivered)
}

struct Part {
    folder: PathBuf,
    outcome: Outcome,
    shard: Shard,
}

/// The shards in a folder; those that did not end go to `unfinished`.
fn find(
    folder: &Path,
    parts: &mut Vec<Part>,
    unfinished: &mut Vec<PathBuf>,
) -> Result<(), MergeError> {
    if let Some(part) = part(folder)? {
        parts.push(part);
        return Ok(());
    }
    let unreadable = |source| MergeError::Unreadable {
        path: folder.to_owned(),
        source,
    };
    let mut inner = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_dir() {
            inner.push(path);
        }
    }
    // In the order of their names, so that what is said of them does not depend on the file system.
    inner.sort();
    let mut found = Vec::new();
    for path in inner {
        match part(&path)? {
            Some(part) => found.push(part),
            None if path.join(LATENCIES).exists() => unfinished.push(path),
            None => {}
        }
    }
    if found.is_empty() && unfinished.is_empty() {
        return Err(MergeError::Nothing {
            folder: folder.to_owned(),
        });
    }
    // What was merged before may lie beside the shards.
    if found.iter().any(|part| part.outcome.shard.is_some()) {
        found.retain(|part| part.outcome.shard.is_some());
    }
    parts.extend(found);
    Ok(())
}

fn part(folder: &Path) -> Result<Option<Part>, MergeError> {
    let path = folder.join(RESULT);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(MergeError::Unreadable { path, source }),
    };
    // Before the rest, whose form depends on it.
    #[derive(serde::Deserialize)]
    struct Form {
        schema: u32,
    }
    let damaged = |error: serde_json::Error| MergeError::Damaged {
        path: path.clone(),
        why: error.to_string(),
    };
    let form: Form = serde_json::from_slice(&text).map_err(damaged)?;
    if form.schema > SCHEMA {
        return Err(MergeError::Damaged {
            path,
            why: format!(
                "its schema is {}, of a newer program; this one reads up to {SCHEMA}",
                form.schema
            ),
        });
    }
    let outcome: Outcome = serde_json::from_slice(&text).map_err(damaged)?;
    let shard = outcome.shard.unwrap_or(Shard { index: 0, count: 1 });
    if shard.index >= shard.count {
        return Err(MergeError::Damaged {
            path,
            why: format!(
                "it is shard {} of {}, counted from 0",
                shard.index, shard.count
            ),
        });
    }
    Ok(Some(Part {
        folder: folder.to_owned(),
        outcome,
        shard,
    }))
}

/// All shards of one run, in their order.
fn whole(mut parts: Vec<Part>, unfinished: &[PathBuf]) -> Result<Vec<Part>, MergeError> {
    parts.sort_by_key(|part| part.shard.index);
    let Some(first) = parts.first() else {
        return Err(MergeError::Unfinished {
            folders: unfinished.to_vec(),
        });
    };
    for other in &parts[1..] {
        let differ = |member, ours: String, theirs: String| {
            Err(MergeError::Differ {
                one: first.folder.clone(),
                other: other.folder.clone(),
                member,
                values: format!("{ours} and {theirs}"),
            })
        };
        let (a, b) = (&first.outcome, &other.outcome);
        if a.run != b.run {
            return differ("run", a.run.clone(), b.run.clone());
        }
        if first.shard.count != other.shard.count {
            let count = |shard: Shard| format!("{} shards", shard.count);
            return differ("number of shards", count(first.shard), count(other.shard));
        }
        if a.scenario != b.scenario {
            let (ours, theirs) = difference(&a.scenario, &b.scenario);
            return differ("scenario", ours, theirs);
        }
        if a.endpoint != b.endpoint {
            return differ("endpoint", a.endpoint.clone(), b.endpoint.clone());
        }
        // Nobody waits that long for a shard; more likely a clock is wrong, and nothing would be aligned.
        if a.started_at.abs_diff(b.started_at) > FARTHEST_APART {
            let at = |outcome: &Outcome| format!("{} ms", outcome.started_at);
            return differ("start in Unix time", at(a), at(b));
        }
    }
    if let Some(pair) = parts
        .windows(2)
        .find(|pair| pair[0].shard.index == pair[1].shard.index)
    {
        return Err(MergeError::Doubled {
            shard: pair[0].shard,
            one: pair[0].folder.clone(),
            other: pair[1].folder.clone(),
        });
    }
    let count = first.shard.count;
    if parts.len() < count as usize {
        let mut here = parts.iter().map(|part| part.shard.index).peekable();
        let missing = (0..count)
            .filter(|index| here.next_if_eq(index).is_none())
            .collect();
        return Err(MergeError::Missing {
            missing,
            count,
            unfinished: unfinished.to_vec(),
        });
    }
    Ok(parts)
}

/// The first lines of two scenarios that differ.
fn difference(one: &crate::Scenario, other: &crate::Scenario) -> (String, String) {
    let lines = |scenario| toml::to_string(scenario).unwrap_or_default();
    let (one, other) = (lines(one), lines(other));
    let (mut one, mut other) = (one.lines(), other.lines());
    loop {
        match (one.next(), other.next()) {
            (Some(ours), Some(theirs)) if ours == theirs => {}
            (None, None) => return ("other values".to_owned(), "others".to_owned()),
            (ours, theirs) => {
                let shown = |line: Option<&str>| format!("`{}`", line.unwrap_or_default());
                return (shown(ours), shown(theirs));
            }
        }
    }
}

fn add(parts: &[Part], timeline: Vec<Second>, histograms: &Histograms) -> Outcome {
    let first = parts[0].outcome.clone();
    // A whole run has nothing to be added, and knows better than a sum what was lost.
    if parts.len() == 1 {
        return Outcome {
            shard: None,
            latencies: summaries(histograms),
            lost: first.lost.or_else(|| heard(&first, first.counts)),
            queue_lost: first
                .queue_lost
                .or_else(|| unqueued(&first, first.counts, first.expected.queued)),
            ..first
        };
    }
    let outcomes = || parts.iter().map(|part| &part.outcome);
    let mut counts = Counts::default();
    let mut endings = BTreeMap::new();
    let mut generator = Generator::default();
    let mut observed = Rates::default();
    let measured_seconds = outcomes()
        .map(|outcome| outcome.measured_seconds)
        .fold(0.0, f64::max);
    let mut ended_early = Vec::new();
    let mut notes: Vec<String> = Vec::new();
    let published_from = outcomes()
        .filter_map(|outcome| outcome.published_from)
        .min();
    for part in parts {
        let (outcome, index) = (&part.outcome, part.shard.index);
        counts += outcome.counts;
        for (ending, count) in &outcome.endings {
            *endings.entry(ending.clone()).or_default() += count;
        }
        generator.cpu_seconds += outcome.generator.cpu_seconds;
        generator.total_cpu_seconds += outcome.generator.total_cpu_seconds;
        generator.threads += outcome.generator.threads;
        generator.peak_memory += outcome.generator.peak_memory;
        for reason in &outcome.generator.limited {
            generator.limited.push(format!("shard {index}: {reason}"));
        }
        // A shard that ended early sent for a part of the time only.
        let share = match measured_seconds > 0.0 {
            true => outcome.measured_seconds / measured_seconds,
            false => 1.0,
        };
        observed.published += outcome.observed.published * share;
        observed.delivered += outcome.observed.delivered * share;
        observed.forwarded += outcome.observed.forwarded * share;
        if let Some(why) = &outcome.ended_early {
            ended_early.push(format!("shard {index}: {why}"));
        }
        let late = match (outcome.published_from, published_from) {
            (Some(own), Some(first)) => own - first,
            _ => 0,
        };
        if late > LATE_START {
            notes.push(format!(
                "shard {index} began to publish {:.1} s after the first",
                late as f64 / 1000.0
            ));
        }
        for note in &outcome.notes {
            let all = outcomes().all(|outcome| outcome.notes.contains(note));
            let note = match all {
                true => note.clone(),
                false => format!("shard {index}: {note}"),
            };
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
    }
    let queued = outcomes().map(|outcome| outcome.expected.queued).sum();
    let copies = first.expected.copies;
    Outcome {
        schema: SCHEMA,
        shard: None,
        started_at: started_at(parts),
        published_from,
        measured_seconds,
        ended_early: (!ended_early.is_empty()).then(|| ended_early.join("; ")),
        devices: outcomes().map(|outcome| outcome.devices).sum(),
        counts,
        expected: Expected {
            rates: Rates::expected(&first.scenario, copies),
            copies,
            queued,
        },
        observed,
        lost: heard(&first, counts),
        queue_lost: unqueued(&first, counts, queued),
        latencies: summaries(histograms),
        endings,
        generator,
        timeline,
        notes,
        ..first
    }
}

fn started_at(parts: &[Part]) -> u64 {
    let all = parts.iter().map(|part| part.outcome.started_at);
    all.min().expect("a run has a shard at least")
}

/// What subscribers did not hear of what all publishers published, if there are any and messages say which they are.
fn heard(outcome: &Outcome, counts: Counts) -> Option<u64> {
    let checked = || Template::new(&outcome.scenario).is_ok_and(|template| template.is_checked());
    (outcome.scenario.subscribers > 0 && checked())
        .then(|| lost(counts.published, outcome.expected.copies, counts.delivered))
}

fn unqueued(outcome: &Outcome, counts: Counts, expected: u64) -> Option<u64> {
    (outcome.scenario.queue.is_some() && expected > 0)
        .then(|| expected.saturating_sub(counts.queued))
}

fn summaries(histograms: &Histograms) -> BTreeMap<Latency, Summary> {
    histograms
        .iter()
        .map(|(latency, histogram)| (latency, Summary::of(histogram)))
        .collect()
}

/// Adds the seconds of all shards by the wall clock, and all that their logs hold.
fn gather(parts: &[Part], logs: &[Log]) -> Result<(Vec<Second>, Histograms), MergeError> {
    let grid = Grid::of(parts);
    let main = main_latency(&parts[0].outcome.scenario);
    let mut timeline = counted(parts, grid);
    let mut shards: Vec<_> = parts
        .iter()
        .zip(logs)
        .map(|(part, log)| {
            log.intervals()
                .map(move |interval| interval.map(|of| (grid.slot(&part.outcome, of.middle()), of)))
                .peekable()
        })
        .collect();
    let mut found = vec![[0; Latency::ALL.len()]; parts.len()];
    let mut all = Histograms::default();
    let mut sum = Histograms::default();
    // The last round takes what lies beyond the last second, if a log has more of them than its result.
    for slot in 0..=timeline.len() {
        sum.clear();
        let last = slot == timeline.len();
        for (intervals, found) in shards.iter_mut().zip(&mut found) {
            while let Some(next) = intervals.next_if(|next| match next {
                Ok((of, _)) => last || *of <= slot,
                Err(_) => true,
            }) {
                let (_, interval) = next?;
                found[interval.latency() as usize] += interval.add_to(&mut sum)?;
            }
        }
        all.add(&sum);
        let at = |latency, quantile| {
            let histogram = sum.get(latency)?;
            Some(histogram.value_at_quantile(quantile) as f64 / 1000.0)
        };
        if let Some(second) = timeline.get_mut(slot) {
            second.p50 = at(main, 0.5);
            second.p99 = at(main, 0.99);
            second.connect_p99 = at(Latency::Connect, 0.99);
        }
    }
    for (part, found) in parts.iter().zip(&found) {
        complete(part, found)?;
    }
    Ok((timeline, all))
}

/// The seconds of all shards, without latencies.
fn counted(parts: &[Part], grid: Grid) -> Vec<Second> {
    let slots: Vec<Vec<usize>> = parts.iter().map(|part| grid.slots(&part.outcome)).collect();
    let length = slots.iter().flatten().max().map_or(0, |last| last + 1);
    let mut timeline: Vec<Second> = (0..length)
        .map(|slot| Second {
            at: grid.end(slot),
            ..Second::default()
        })
        .collect();
    for (part, slots) in parts.iter().zip(&slots) {
        for (index, second) in part.outcome.timeline.iter().enumerate() {
            let slot = slots[index];
            let whole = &mut timeline[slot];
            whole.counts += second.counts;
            whole.cpu += second.cpu;
            whole.measured |= second.measured;
            // Until the next entry, which may be in the same second, or some seconds later.
            let next = slots.get(index + 1).copied().unwrap_or(slot + 1);
            for whole in &mut timeline[slot..next.max(slot)] {
                whole.connected += second.connected;
            }
        }
    }
    timeline
}

/// Whether the log of a shard holds as many latencies as its result says.
fn complete(part: &Part, found: &[u64; Latency::ALL.len()]) -> Result<(), MergeError> {
    for (latency, &found) in Latency::ALL.into_iter().zip(found) {
        let said = part.outcome.latencies.get(&latency);
        let said = said.map_or(0, |summary| summary.count);
        if said != found {
            return Err(MergeError::Damaged {
                path: part.folder.join(LATENCIES),
                why: format!("it has {found} latencies of {latency}, and {RESULT} says {said}"),
            });
        }
    }
    Ok(())
}

/// The seconds of the whole run. What a shard tells of a second is said in the one in whose middle it lies: the ticks of
/// all shards begin anew when publishing begins, at the same moment in all of them, and so does the grid.
#[derive(Clone, Copy)]
struct Grid {
    /// Unix time in milliseconds at which the first second begins.
    origin: u64,
    /// Unix time in milliseconds from which seconds are counted.
    started_at: u64,
}

impl Grid {
    fn of(parts: &[Part]) -> Self {
        let started_at = started_at(parts);
        let published_from = parts.iter().filter_map(|part| part.outcome.published_from);
        let before = published_from
            .min()
            .map_or(0, |from| from.saturating_sub(started_at));
        Self {
            origin: (started_at + before).saturating_sub(before.div_ceil(1000) * 1000),
            started_at,
        }
    }

    /// The second, from 0, of a moment in seconds since a shard began.
    fn slot(self, outcome: &Outcome, moment: f64) -> usize {
        let offset = (outcome.started_at - self.origin) as f64 / 1000.0;
        (moment + offset).clamp(0.0, LONGEST_RUN).floor() as usize
    }

    /// The second of each entry of a shard's timeline.
    fn slots(self, outcome: &Outcome) -> Vec<usize> {
        let mut begin = 0.0;
        let mut least = 0;
        let slot = |second: &Second| {
            let middle = f64::midpoint(begin, second.at);
            begin = second.at;
            least = self.slot(outcome, middle).max(least);
            least
        };
        outcome.timeline.iter().map(slot).collect()
    }

    /// The end of a second, since the run began.
    fn end(self, slot: usize) -> f64 {
        (slot + 1) as f64 - (self.started_at - self.origin) as f64 / 1000.0
    }
}

/// Milliseconds after the first shard from which another one is said to have begun to publish late.
const LATE_START: u64 = 500;
/// Milliseconds that may lie between the starts of two shards: an hour.
const FARTHEST_APART: u64 = 3_600_000;
/// Seconds of a run, the last of which takes the rest: more than a scenario allows.
const LONGEST_RUN: f64 = 30.0 * 86_400.0;

/// Why shards do not make a run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// There is nothing to merge.
    #[error("{} holds no {RESULT}, nor does a folder in it", .folder.display())]
    Nothing {
        /// The folder.
        folder: PathBuf,
    },
    /// No shard ended.
    #[error("no shard ended: {} has no {RESULT}", list(.folders))]
    Unfinished {
        /// Folders with a log and no result.
        folders: Vec<PathBuf>,
    },
    /// A file or folder cannot be read.
    #[error("cannot read {}", .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file does not say what it should.
    #[error("{}: {why}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The log of a shard is unreadable.
    #[error(transparent)]
    Log(#[from] HdrLogError),
    /// Two folders are not of one run.
    #[error("{} and {} are not of one run; {member}: {values}", .one.display(), .other.display())]
    Differ {
        /// A folder.
        one: PathBuf,
        /// And another.
        other: PathBuf,
        /// In what they differ.
        member: &'static str,
        /// What each has.
        values: String,
    },
    /// A shard is there twice.
    #[error(
        "shard {} of {} is there twice: {} and {}", .shard.index, .shard.count, .one.display(), .other.display()
    )]
    Doubled {
        /// Which.
        shard: Shard,
        /// A folder of it.
        one: PathBuf,
        /// And another.
        other: PathBuf,
    },
    /// Shards are not there.
    #[error("of {count} shards, counted from 0, {} missing{}", are(.missing), ended(.unfinished))]
    Missing {
        /// Which.
        missing: Vec<u32>,
        /// Of how many.
        count: u32,
        /// Folders with a log and no result.
        unfinished: Vec<PathBuf>,
    },
}

fn list(folders: &[PathBuf]) -> String {
    let folders: Vec<_> = folders
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    folders.join(", ")
}

/// `1 is`, `1, 2 are`; the first of many.
fn are(indices: &[u32]) -> String {
    const SHOWN: usize = 10;
    let shown: Vec<_> = indices.iter().take(SHOWN).map(u32::to_string).collect();
    let shown = shown.join(", ");
    match indices.len() {
        1 => format!("{shown} is"),
        2..=SHOWN => format!("{shown} are"),
        more => format!("{shown} and {} more are", more - SHOWN),
    }
}

fn ended(folders: &[PathBuf]) -> String {
    match folders.is_empty() {
        true => String::new(),
        false => format!("; not ended: {}", list(folders)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hdr_log::HdrLog;
    use crate::outcome::tests::outcome;

    const SECONDS: u64 = 5;

    /// The folders of so many shards of one run, and what one process would have found.
    fn shards(root: &Path, count: u32) -> (Vec<PathBuf>, Outcome, Histograms) {
        let (whole, _) = outcome();
        let mut all = Histograms::default();
        let mut folders = Vec::new();
        for index in 0..count {
            let folder = root.join(format!("shard-{index}"));
            std::fs::create_dir(&folder).unwrap();
            let mut part = whole.clone();
            // Clocks of machines are not the same to the millisecond.
            part.started_at += u64::from(index) * 30;
            part.shard = Some(Shard { index, count });
            part.devices = 10;
            part.lost = None;
            part.timeline.clear();
            part.counts = Counts::default();
            let mut log = HdrLog::create(&folder.join(LATENCIES), part.started_at).unwrap();
            let mut sum = Histograms::default();
            for second in 0..SECONDS {
                let mut one = Histograms::default();
                for value in 0..50 {
                    let micros = (value * value + 7 * u64::from(index) + 1) * (second + 1);
                    one.record(Latency::Delivery, micros);
                }
                one.record(Latency::Connect, 1000 * (u64::from(index) + second));
                log.interval(second as f64 + 0.002, 0.998, &one).unwrap();
                sum.add(&one);
                let counts = Counts {
                    published: 25,
                    delivered: 50,
                    ..Counts::default()
                };
                part.counts += counts;
                part.timeline.push(Second {
                    at: second as f64 + 1.0,
                    connected: 10,
                    counts,
                    cpu: 0.5,
                    measured: second > 0,
                    ..Second::default()
                });
            }
            part.latencies = summaries(&sum);
            all.add(&sum);
            save(&folder, &part);
            folders.push(folder);
        }
        (folders, whole, all)
    }

    fn save(folder: &Path, outcome: &Outcome) {
        let text = serde_json::to_vec(outcome).unwrap();
        std::fs::write(folder.join(RESULT), text).unwrap();
    }

    fn load(folder: &Path) -> Outcome {
        serde_json::from_slice(&std::fs::read(folder.join(RESULT)).unwrap()).unwrap()
    }

    fn error(folders: &[PathBuf]) -> String {
        merge(folders).unwrap_err().to_string()
    }

    #[test]
    fn four_shards_are_one_run_bit_for_bit() {
        let root = tempfile::tempdir().unwrap();
        let (folders, whole, all) = shards(root.path(), 4);
        let (outcome, histograms) = merge(&[root.path().to_owned()]).unwrap();
        for latency in Latency::ALL {
            assert_eq!(histograms.get(latency), all.get(latency), "{latency}");
            let summary = all.get(latency).map(Summary::of);
            assert_eq!(outcome.latencies.get(&latency), summary.as_ref());
        }
        assert_eq!(outcome.counts.published, 4 * 25 * SECONDS);
        assert_eq!(outcome.lost, Some(0));
        assert_eq!(outcome.devices, 40);
        assert_eq!(outcome.shard, None);
        assert_eq!(outcome.generator.threads, 4 * whole.generator.threads);
        assert_eq!(outcome.observed.published, 4.0 * whole.observed.published);
        assert_eq!(outcome.expected.rates, whole.expected.rates);
        assert_eq!(outcome.endings["closed by us"], 4 * 102);
        assert!(outcome.notes.is_empty(), "{:?}", outcome.notes);
        // In any order, named one by one, and again with the result beside them.
        let merged = root.path().join("merged");
        std::fs::create_dir(&merged).unwrap();
        save(&merged, &outcome);
        let reversed: Vec<_> = folders.into_iter().rev().collect();
        for folders in [reversed, vec![root.path().to_owned()]] {
            let (again, _) = merge(&folders).unwrap();
            assert_eq!(
                serde_json::to_string(&again).unwrap(),
                serde_json::to_string(&outcome).unwrap()
            );
        }
    }

    #[test]
    fn seconds_of_the_wall_clock_add() {
        let root = tempfile::tempdir().unwrap();
        let (folders, _, _) = shards(root.path(), 2);
        // The second one began two seconds late and did not write its third second.
        let mut late = load(&folders[1]);
        late.started_at += 2000;
        late.timeline.remove(2);
        save(&folders[1], &late);
        let (outcome, _) = merge(&folders).unwrap();
        let connected: Vec<_> = outcome.timeline.iter().map(|s| s.connected).collect();
        assert_eq!(connected, [10, 10, 20, 20, 20, 10, 10]);
        let published: Vec<_> = outcome
            .timeline
            .iter()
            .map(|s| s.counts.published)
            .collect();
        assert_eq!(published, [25, 25, 50, 50, 25, 25, 25]);
        let measured: Vec<_> = outcome.timeline.iter().map(|s| s.measured).collect();
        assert_eq!(measured, [false, true, true, true, true, true, true]);
        // Latencies of a second come from both shards: the first is in its third, the second in its first.
        let mut third = Histograms::default();
        for (index, second) in [(0, 2), (1, 0)] {
            for value in 0..50 {
                third.record(
                    Latency::Delivery,
                    (value * value + 7 * index + 1) * (second + 1),
                );
            }
        }
        let p99 = third
            .get(Latency::Delivery)
            .unwrap()
            .value_at_quantile(0.99);
        assert_eq!(outcome.timeline[2].p99, Some(p99 as f64 / 1000.0));
        assert!(outcome.timeline.iter().all(|second| second.p50.is_some()));
    }

    #[test]
    fn seconds_begin_with_the_common_start_of_publishing() {
        let root = tempfile::tempdir().unwrap();
        let (folders, _, _) = shards(root.path(), 2);
        // Both got in at their own pace, ticked once more when they began to publish, and then every second.
        for (index, first) in [(0, 0.41), (1, 1.73)] {
            let mut part = load(&folders[index]);
            part.published_from = Some(1_700_000_003_000);
            part.started_at = 1_700_000_003_000 - (first * 1000.0) as u64;
            let mut at = first;
            part.timeline.clear();
            for _ in 0..3 {
                // A timer is never early, and seldom as late as this.
                at += 1.0;
                part.timeline.push(Second {
                    at: at + 0.004,
                    counts: Counts {
                        published: 9,
                        ..Counts::default()
                    },
                    ..Second::default()
                });
            }
            let before = Second {
                at: first,
                connected: 5,
                ..Second::default()
            };
            part.timeline.insert(0, before);
            save(&folders[index], &part);
        }
        let (outcome, _) = merge(&folders).unwrap();
        let published: Vec<_> = outcome
            .timeline
            .iter()
            .map(|s| s.counts.published)
            .collect();
        assert_eq!(published, [0, 0, 18, 18, 18]);
        let ends: Vec<_> = outcome.timeline.iter().map(|s| s.at).collect();
        let expected = [0.73, 1.73, 2.73, 3.73, 4.73];
        assert!(
            ends.iter()
                .zip(expected)
                .all(|(end, expected)| (end - expected).abs() < 1e-9)
        );
        assert!(outcome.notes.is_empty(), "{:?}", outcome.notes);
        let mut late = load(&folders[1]);
        late.published_from = Some(1_700_000_005_500);
        save(&folders[1], &late);
        let (outcome, _) = merge(&folders).unwrap();
        assert_eq!(
            outcome.notes,
            ["shard 1 began to publish 2.5 s after the first"]
        );
    }

    #[test]
    fn what_subscribers_of_other_shards_did_not_hear_is_lost() {
        let root = tempfile::tempdir().unwrap();
        let (folders, _, _) = shards(root.path(), 2);
        let mut deaf = load(&folders[1]);
        deaf.counts.delivered -= 3;
        deaf.generator.limited.push("late by 1 s".to_owned());
        deaf.ended_early = Some("interrupted".to_owned());
        save(&folders[1], &deaf);
        let (outcome, _) = merge(&folders).unwrap();
        assert_eq!(outcome.lost, Some(3));
        assert_eq!(outcome.generator.limited, ["shard 1: late by 1 s"]);
        assert_eq!(outcome.ended_early.as_deref(), Some("shard 1: interrupted"));
    }

    #[test]
    fn less_or_more_than_a_whole_run_is_refused_by_name() {
        let root = tempfile::tempdir().unwrap();
        let (folders, _, _) = shards(root.path(), 4);
        let told = error(&folders[..2]);
        assert_eq!(told, "of 4 shards, counted from 0, 2, 3 are missing");
        let told = error(&[&folders[..], &folders[1..2]].concat());
        assert!(told.starts_with("shard 1 of 4 is there twice: "), "{told}");
        // One was killed.
        std::fs::remove_file(folders[2].join(RESULT)).unwrap();
        let told = error(&[root.path().to_owned()]);
        let expected = "of 4 shards, counted from 0, 2 is missing; not ended: ";
        assert!(
            told.starts_with(expected) && told.ends_with("shard-2"),
            "{told}"
        );
        let told = error(&[tempfile::tempdir().unwrap().path().to_owned()]);
        assert!(told.contains("holds no result.json"), "{told}");
        let told = error(&[root.path().join("nowhere")]);
        assert!(told.contains("cannot read"), "{told}");
    }

    type Change = fn(&mut Outcome);

    #[test]
    fn shards_of_other_runs_and_damaged_ones_are_refused_by_name() {
        let root = tempfile::tempdir().unwrap();
        let (folders, _, _) = shards(root.path(), 2);
        let good = load(&folders[1]);
        let changes: [(Change, &str); 8] = [
            (|o| o.run = "r2".to_owned(), "run: r1 and r2"),
            (
                |o| o.scenario.publish.rate = 2.0,
                "scenario: `rate = 1.0` and `rate = 2.0`",
            ),
            (
                |o| o.endpoint = "elsewhere:1".to_owned(),
                "endpoint: localhost:8883 and ",
            ),
            (|o| o.started_at += 7_200_000, "start in Unix time: "),
            (
                |o| o.shard = Some(Shard { index: 1, count: 3 }),
                "number of shards: 2 shards and 3 shards",
            ),
            (
                |o| o.shard = Some(Shard { index: 2, count: 2 }),
                "shard 2 of 2",
            ),
            (|o| o.schema = SCHEMA + 1, "of a newer program"),
            (
                |o| {
                    o.latencies
                        .retain(|&latency, _| latency != Latency::Connect)
                },
                "it has 5 latencies of connect, and result.json says 0",
            ),
        ];
        for (change, why) in changes {
            let mut bad = good.clone();
            change(&mut bad);
            save(&folders[1], &bad);
            let told = error(&folders);
            assert!(told.contains(why) && told.contains("shard-1"), "{told}");
        }
        std::fs::write(folders[1].join(RESULT), "{\"schema\": 1").unwrap();
        assert!(error(&folders).contains("result.json: "));
    }
}
