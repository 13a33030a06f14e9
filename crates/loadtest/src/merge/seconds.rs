//! The seconds of all shards, added by the clock of the wall, and what their logs hold.

use super::error::MergeError;
use super::parts::Part;
use super::{LATENCIES, RESULT, started_at};
use crate::assertion::main_latency;
use crate::hdr_log::{HdrLogError, Log};
use crate::measure::{Histograms, Latency};
use crate::outcome::{Outcome, Second};

/// Adds the seconds of all shards by the wall clock, and all that their logs hold; with the seconds of an entry. `each`
/// hears of every entry: its start since the run began, its length, and its latencies.
pub(super) fn gather(
    parts: &[Part],
    logs: &[Log],
    each: &mut dyn FnMut(f64, f64, &Histograms) -> Result<(), HdrLogError>,
) -> Result<((Vec<Second>, u32), Histograms), MergeError> {
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
    // The last round takes what lies beyond the last second, if a log has more of them than its result.
    for slot in 0..=timeline.len() {
        let mut sum = Histograms::default();
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
        let end = grid.end(slot);
        let start = (end - f64::from(grid.step)).max(0.0);
        each(start, end - start, &sum)?;
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
    Ok(((timeline, grid.step), all))
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
    /// Seconds of an entry: as many as the shard with the longest ones has.
    step: u32,
}

impl Grid {
    fn of(parts: &[Part]) -> Self {
        let started_at = started_at(parts);
        let published_from = parts.iter().filter_map(|part| part.outcome.published_from);
        let before = published_from
            .min()
            .map_or(0, |from| from.saturating_sub(started_at));
        let step = parts.iter().map(|part| part.outcome.timeline_step);
        let step = step.max().unwrap_or(1).max(1);
        let length = u64::from(step) * 1000;
        Self {
            origin: (started_at + before).saturating_sub(before.div_ceil(length) * length),
            started_at,
            step,
        }
    }

    /// The second, from 0, of a moment in seconds since a shard began.
    fn slot(self, outcome: &Outcome, moment: f64) -> usize {
        let offset = (outcome.started_at - self.origin) as f64 / 1000.0;
        ((moment + offset).clamp(0.0, LONGEST_RUN) / f64::from(self.step)).floor() as usize
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
        (slot + 1) as f64 * f64::from(self.step) - (self.started_at - self.origin) as f64 / 1000.0
    }
}

/// Seconds of a run, the last of which takes the rest: more than a scenario allows.
const LONGEST_RUN: f64 = 30.0 * 86_400.0;
