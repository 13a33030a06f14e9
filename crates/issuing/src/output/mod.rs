//! Where a batch is written to, and in which forms.

mod archive;
mod folder;
mod format;
mod zip;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub(crate) use archive::{Archive, member};
pub(crate) use folder::{Condition, Folder};
pub use format::Format;
pub(crate) use format::{Artifact, Maker, Subject};

/// How the files of a batch lie.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// All in one folder.
    Folder,
    /// In 256 folders below one, named after the first octet of the SHA-256 of the device's name: a million files in one
    /// folder are more than most tools want to list.
    Sharded,
    /// In one tar archive.
    Tar,
    /// In one zip archive, not compressed.
    Zip,
}

/// Where a batch is written to. It is kept in the ledger, where the next run finds it if this one is interrupted.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// How the files lie.
    pub layout: Layout,
    /// The folder or the archive, absolute.
    pub path: PathBuf,
    /// The forms of each device, unless a row of the list says otherwise.
    pub formats: Vec<Format>,
}

impl Layout {
    pub(crate) fn is_archive(self) -> bool {
        matches!(self, Self::Tar | Self::Zip)
    }
}

impl Target {
    /// A folder with `DEVICE.key` and `DEVICE.crt`.
    pub fn folder(path: impl Into<PathBuf>) -> Self {
        Self {
            layout: Layout::Folder,
            path: path.into(),
            formats: vec![Format::Pem],
        }
    }

    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(crate) fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Where a file of a device lies, from the folder on or in the archive.
    pub(crate) fn place(&self, device: &str, file: &str) -> PathBuf {
        match self.layout {
            Layout::Folder | Layout::Tar | Layout::Zip => PathBuf::from(file),
            Layout::Sharded => Path::new(&shard(device)).join(file),
        }
    }
}

/// Two hexadecimal digits.
pub(crate) fn shard(device: &str) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, device.as_bytes());
    hex::encode(&hash.as_ref()[..1])
}

/// How far the outputs of a batch are known to be on the disk.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Written {
    /// Octets of the archive.
    pub(crate) archive: u64,
}

impl Written {
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(crate) fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}
