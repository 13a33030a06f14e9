//! The time of a run: one origin, from which everything is counted by the machine's monotonic clock, so that a clock that
//! is set in the middle changes nothing.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Microseconds since the origin of a run.
pub(crate) type Micros = u64;

/// The clock of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunClock {
    origin: Instant,
    /// Unix time of the origin in microseconds.
    unix: u64,
}

impl RunClock {
    /// Starts now.
    pub(crate) fn start() -> Self {
        Self {
            origin: Instant::now(),
            unix: unix_now(),
        }
    }

    /// Microseconds since the origin.
    pub(crate) fn now(&self) -> Micros {
        self.origin.elapsed().as_micros() as Micros
    }

    /// The moment so many microseconds after the origin.
    pub(crate) fn instant(&self, at: Micros) -> Instant {
        self.origin + Duration::from_micros(at)
    }

    /// Unix time in microseconds of that moment, by the clock of the wall as it stood at the origin.
    pub(crate) fn unix(&self, at: Micros) -> u64 {
        self.unix + at
    }

    /// The moment of a Unix time in microseconds; the origin if it lies before that.
    pub(crate) fn at_unix(&self, unix: u64) -> Micros {
        unix.saturating_sub(self.unix)
    }

    /// By how many microseconds the clock of the wall was set since the origin.
    pub(crate) fn step(&self) -> i64 {
        unix_now() as i64 - self.unix(self.now()) as i64
    }
}

fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_micros() as u64)
}
