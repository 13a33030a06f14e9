//! Lengths of time as people write them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A length of time, written `90s`, `1m 30s` or `250ms`.
#[derive(Clone, Copy, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(pub Duration);

impl Span {
    /// So many seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// Both, one after the other.
    pub(super) fn plus(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// In microseconds.
    pub(crate) fn micros(self) -> u64 {
        u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX)
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A bare number is one of seconds, as the programs' other flags take it.
        let seconds = text.parse::<f64>().ok().map(Duration::try_from_secs_f64);
        let span = match seconds {
            Some(Ok(span)) => span,
            Some(Err(_)) => return Err(format!("{text} is no length of time: write 90s or 5m")),
            None => humantime::parse_duration(text).map_err(|error| {
                format!("{text} is no length of time: {error}; write 90s or 5m")
            })?,
        };
        match span > LONGEST_SPAN {
            true => Err(format!("{text} is longer than 7 days")),
            false => Ok(Self(span)),
        }
    }
}

/// A week.
const LONGEST_SPAN: Duration = Duration::from_secs(7 * 86_400);

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
