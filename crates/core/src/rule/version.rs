//! The versions of rule SQL.

use std::fmt;
use std::str::FromStr;

use crate::failure::{Class, Classified};

/// A version of rule SQL, in order of age.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum SqlVersion {
    /// What a rule has whose creator names no version (AWS IoT API reference, "TopicRulePayload").
    #[default]
    V2015_10_08,
    /// Nested selects, literals of arrays and objects, `encode` and `decode`.
    V2016_03_23,
    /// The newest; here the same as the one before.
    Beta,
}

impl SqlVersion {
    /// As a rule's `awsIotSqlVersion` writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V2015_10_08 => "2015-10-08",
            Self::V2016_03_23 => "2016-03-23",
            Self::Beta => "beta",
        }
    }
}

impl fmt::Display for SqlVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that is no version.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("there is no SQL version {0:?}; there are 2015-10-08, 2016-03-23 and beta")]
pub struct UnknownVersion(pub String);

impl Classified for UnknownVersion {
    fn class(&self) -> Class {
        Class::Configuration
    }
}

impl FromStr for SqlVersion {
    type Err = UnknownVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::V2015_10_08, Self::V2016_03_23, Self::Beta]
            .into_iter()
            .find(|version| version.as_str() == text)
            .ok_or_else(|| UnknownVersion(text.to_owned()))
    }
}
