//! What all shards of a run found together: exactly what one process would have found.
//!
//! Counts add, seconds of the wall clock add, histograms add; percentiles come from the added histograms and are never
//! averaged.

mod error;
mod parts;
mod seconds;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use self::error::MergeError;
use self::parts::{Part, find, whole};
use self::seconds::gather;
use crate::hdr_log::{HdrLog, Log};
use crate::measure::{Counts, Histograms, Latency};
use crate::outcome::{Expected, Generator, Outcome, Rates, SCHEMA, Second, Summary};
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
    let (parts, logs) = read(folders)?;
    let ((timeline, step), histograms) = gather(&parts, &logs, &mut |_, _, _| Ok(()))?;
    let outcome = add(&parts, (timeline, step), &histograms);
    Ok((outcome, histograms))
}

/// Writes the log that one process would have written: each second of all shards together.
///
/// # Errors
/// As [`merge`], and if the file is there already or cannot be written.
pub fn merge_logs(folders: &[PathBuf], path: &Path) -> Result<(), MergeError> {
    let (parts, logs) = read(folders)?;
    let mut merged = HdrLog::create(path, started_at(&parts))?;
    gather(&parts, &logs, &mut |start, length, histograms| {
        merged.interval(start, length, histograms)
    })?;
    Ok(())
}

/// All shards of a run, and their logs.
fn read(folders: &[PathBuf]) -> Result<(Vec<Part>, Vec<Log>), MergeError> {
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
    Ok((parts, logs))
}

/// First copies that did not arrive: of so many published messages, each of which goes to `copies` subscribers on
/// average over the fleet, when `delivered` first copies arrived.
pub fn lost(published: u64, copies: f64, delivered: u64) -> u64 {
    // Exact up to 2^53 copies; a fraction comes from fleets whose publishers are not all heard by as many.
    ((published as f64 * copies).round() as u64).saturating_sub(delivered)
}

fn add(
    parts: &[Part],
    (timeline, timeline_step): (Vec<Second>, u32),
    histograms: &Histograms,
) -> Outcome {
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
        timeline_step,
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

/// Milliseconds after the first shard from which another one is said to have begun to publish late.
const LATE_START: u64 = 500;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Shard;
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
        // The log of all is the sum of theirs, second by second.
        let log = root.path().join("all.hlog");
        merge_logs(&folders, &log).unwrap();
        let read = crate::hdr_log::read(&log).unwrap();
        for latency in Latency::ALL {
            assert_eq!(read.get(latency), all.get(latency), "{latency}");
        }
        let text = std::fs::read_to_string(&log).unwrap();
        let lines = |tag: &str| text.lines().filter(|line| line.starts_with(tag)).count();
        assert_eq!(lines("Tag=delivery,"), SECONDS as usize);
        assert!(text.contains("\nTag=connect,4.000,1.000,"));
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
    fn a_shard_that_tells_of_two_seconds_at_once_makes_all_do_so_and_nothing_is_lost() {
        let root = tempfile::tempdir().unwrap();
        let (folders, _, all) = shards(root.path(), 2);
        let mut coarse = load(&folders[1]);
        coarse.timeline_step = 2;
        // The first second is by itself: publishing begins after it.
        for place in [2, 3] {
            let earlier = coarse.timeline.remove(place - 1);
            coarse.timeline[place - 1].counts += earlier.counts;
        }
        save(&folders[1], &coarse);
        let (outcome, histograms) = merge(&folders).unwrap();
        assert_eq!(outcome.timeline_step, 2);
        let published = |seconds: &[Second]| -> Vec<u64> {
            seconds
                .iter()
                .map(|second| second.counts.published)
                .collect()
        };
        assert_eq!(published(&coarse.timeline), [25, 50, 50]);
        assert_eq!(published(&outcome.timeline), [50, 100, 100]);
        let ends: Vec<_> = outcome.timeline.iter().map(|second| second.at).collect();
        assert_eq!(ends, [1.0, 3.0, 5.0]);
        for latency in Latency::ALL {
            assert_eq!(histograms.get(latency), all.get(latency), "{latency}");
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
