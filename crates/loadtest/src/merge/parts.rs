//! The shards of a run, found and compared: all of them, once each, and of one run.

use std::io;
use std::path::{Path, PathBuf};

use super::error::MergeError;
use super::{LATENCIES, RESULT};
use crate::outcome::{Outcome, SCHEMA, Shard};

/// A shard that was found.
pub(super) struct Part {
    pub(super) folder: PathBuf,
    pub(super) outcome: Outcome,
    pub(super) shard: Shard,
}

/// The shards in a folder; those that did not end go to `unfinished`.
pub(super) fn find(
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
pub(super) fn whole(mut parts: Vec<Part>, unfinished: &[PathBuf]) -> Result<Vec<Part>, MergeError> {
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

/// Milliseconds that may lie between the starts of two shards: an hour.
const FARTHEST_APART: u64 = 3_600_000;
