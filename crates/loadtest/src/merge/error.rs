//! Why shards do not make a run.

use std::io;
use std::path::PathBuf;

use super::RESULT;
use crate::hdr_log::HdrLogError;
use crate::outcome::Shard;

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

impl jitp_core::failure::Classified for MergeError {
    fn class(&self) -> jitp_core::failure::Class {
        jitp_core::failure::Class::Configuration
    }
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
