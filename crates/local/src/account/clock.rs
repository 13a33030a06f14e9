//! The clock of the local core: passed in, so that a test can set the time.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

/// Tells the time to everything in the local core; clones tell the same time.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> OffsetDateTime + Send + Sync>);

impl Clock {
    /// The clock of the machine.
    pub fn system() -> Self {
        Self(Arc::new(OffsetDateTime::now_utc))
    }

    /// A clock that asks `now` every time.
    pub fn from_fn(now: impl Fn() -> OffsetDateTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// A clock that runs so many times as fast as that of the machine, from now on.
    pub fn running(times: u32) -> Self {
        match times {
            1 => Self::system(),
            times => {
                let (start, began) = (OffsetDateTime::now_utc(), Instant::now());
                Self::from_fn(move || start + began.elapsed() * times)
            }
        }
    }

    /// A clock that stands still until its hand is moved.
    pub fn manual(start: OffsetDateTime) -> (Self, ClockHand) {
        let hand = ClockHand(Arc::new(Mutex::new(start)));
        let shown = hand.clone();
        (Self(Arc::new(move || *shown.0.lock())), hand)
    }

    /// The present time.
    pub fn now(&self) -> OffsetDateTime {
        (self.0)()
    }

    /// The present time as records keep it.
    pub fn timestamp(&self) -> Timestamp {
        Timestamp::from(self.now())
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

/// Moves a clock made by [`Clock::manual`].
#[derive(Clone, Debug)]
pub struct ClockHand(Arc<Mutex<OffsetDateTime>>);

impl ClockHand {
    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        *self.0.lock() += by;
    }
}

/// A moment in microseconds since 1970.
#[derive(
    Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Seconds since 1970 with milliseconds as a fraction, the form of every date in the API.
    pub fn seconds(self) -> f64 {
        (self.0 / 1000) as f64 / 1000.0
    }

    /// Whole seconds since 1970.
    pub fn whole_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Milliseconds since 1970, the form of dates in events.
    pub fn milliseconds(self) -> i64 {
        self.0.div_euclid(1000)
    }
}

impl From<OffsetDateTime> for Timestamp {
    fn from(time: OffsetDateTime) -> Self {
        Self(i64::try_from(time.unix_timestamp_nanos() / 1000).unwrap_or(i64::MAX))
    }
}
