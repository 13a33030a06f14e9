//! Keeping within AWS's limits: a token bucket for each operation, which learns from ThrottlingException.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use jitp_core::quotas::calls_per_second;

/// Whose limits calls keep within.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum Quotas {
    /// AWS's where calls go to AWS; elsewhere none, until the service throttles
    #[default]
    Auto,
    /// AWS's default quotas, from the first call
    Aws,
    /// None until the service throttles
    Off,
}

/// When each operation may be called next.
///
/// An operation starts at its documented rate (or without one) with half a second's calls at once. Every
/// throttled call halves its rate; every served one gives a little back, up to the documented rate.
#[derive(Debug)]
pub(crate) struct Pace {
    from_the_start: bool,
    buckets: Mutex<HashMap<&'static str, Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    /// Calls a second; `None` while nothing limits them.
    rate: Option<f64>,
    /// Calls that may be made now; below zero are those that wait already.
    left: f64,
    /// When that was so.
    at: Instant,
    /// When the rate was last lowered.
    lowered: Option<Instant>,
}

impl Pace {
    /// `from_the_start`: whether documented quotas count before the service has throttled.
    pub(crate) fn new(from_the_start: bool) -> Self {
        Self {
            from_the_start,
            buckets: Mutex::default(),
        }
    }

    /// Counts a call, and says how long it must wait.
    pub(crate) fn reserve(&self, operation: &'static str, now: Instant) -> Duration {
        self.with(operation, now, |bucket| {
            let Some(rate) = bucket.rate else {
                return Duration::ZERO;
            };
            bucket.left -= 1.0;
            Duration::from_secs_f64((-bucket.left).max(0.0) / rate)
        })
    }

    /// The service refused a call because there were too many.
    pub(crate) fn throttled(&self, operation: &'static str, now: Instant) {
        self.with(operation, now, |bucket| {
            // Calls that were under way together tell the same thing once.
            let told = bucket
                .lowered
                .is_some_and(|at| now.duration_since(at) < SAME_THROTTLING);
            if told {
                return;
            }
            bucket.lowered = Some(now);
            bucket.rate = Some(match bucket.rate {
                Some(rate) => (rate / 2.0).max(SLOWEST),
                None => documented(operation).unwrap_or(UNDOCUMENTED),
            });
            bucket.left = bucket.left.min(0.0);
        });
    }

    /// The service served a call.
    pub(crate) fn served(&self, operation: &'static str, now: Instant) {
        let ceiling = documented(operation).unwrap_or(f64::INFINITY);
        self.with(operation, now, |bucket| {
            if let Some(rate) = &mut bucket.rate {
                *rate = (*rate * RECOVERY).min(ceiling.max(*rate));
            }
        });
    }

    fn with<T>(
        &self,
        operation: &'static str,
        now: Instant,
        act: impl FnOnce(&mut Bucket) -> T,
    ) -> T {
        // A panic while the lock was held cannot leave the numbers half-written.
        let mut buckets = self
            .buckets
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let bucket = buckets.entry(operation).or_insert_with(|| {
            let rate = documented(operation).filter(|_| self.from_the_start);
            Bucket {
                rate,
                left: rate.map_or(0.0, burst),
                at: now,
                lowered: None,
            }
        });
        if let Some(rate) = bucket.rate {
            let elapsed = now.saturating_duration_since(bucket.at).as_secs_f64();
            bucket.left = (bucket.left + elapsed * rate).min(burst(rate));
        }
        bucket.at = bucket.at.max(now);
        act(bucket)
    }
}

fn documented(operation: &str) -> Option<f64> {
    calls_per_second(operation).map(f64::from)
}

/// Half a second's calls: with the rate itself, a second never sees more than one and a half times the quota.
fn burst(rate: f64) -> f64 {
    (rate / 2.0).max(1.0)
}

/// Calls a second below which no throttling lowers the rate.
const SLOWEST: f64 = 0.5;
/// Rate after the first throttling of an operation whose quota is not documented.
const UNDOCUMENTED: f64 = 10.0;
/// Growth of the rate with every served call.
const RECOVERY: f64 = 1.02;
/// Throttled calls closer together than this count as one.
const SAME_THROTTLING: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    const OPERATION: &str = "AttachPolicy"; // 15 calls a second

    /// Seconds until the last of `calls` made at once may go.
    fn last_of(pace: &Pace, calls: usize, now: Instant) -> f64 {
        (0..calls)
            .map(|_| pace.reserve(OPERATION, now).as_secs_f64())
            .fold(0.0, f64::max)
    }

    #[test]
    fn a_documented_quota_is_kept_from_the_first_call() {
        let (pace, now) = (Pace::new(true), Instant::now());
        assert_eq!(last_of(&pace, 7, now), 0.0);
        let wait = last_of(&pace, 30, now);
        assert!((1.9..2.1).contains(&wait), "{wait}");
        let other = pace.reserve("DetachPolicy", now);
        assert_eq!(other, Duration::ZERO, "each operation has its own");
    }

    #[test]
    fn elsewhere_nothing_waits_until_the_service_throttles() {
        let (pace, now) = (Pace::new(false), Instant::now());
        assert_eq!(last_of(&pace, 1000, now), 0.0);
        pace.throttled(OPERATION, now);
        let wait = last_of(&pace, 15, now);
        assert!((0.9..1.1).contains(&wait), "the documented rate: {wait}");
    }

    #[test]
    fn every_throttling_halves_the_rate_and_service_brings_it_back() {
        let (pace, mut now) = (Pace::new(true), Instant::now());
        pace.throttled(OPERATION, now);
        pace.throttled(OPERATION, now); // under way together with the first
        let wait = last_of(&pace, 15, now);
        assert!((1.9..2.1).contains(&wait), "{wait}");
        for _ in 0..200 {
            pace.served(OPERATION, now);
        }
        now += Duration::from_secs(60);
        let wait = last_of(&pace, 30, now);
        assert!((1.4..1.6).contains(&wait), "15 a second again: {wait}");
        for _ in 0..40 {
            now += Duration::from_secs(1);
            pace.throttled(OPERATION, now);
        }
        now += Duration::from_secs(60);
        let wait = last_of(&pace, 2, now);
        assert!((1.9..2.1).contains(&wait), "never slower than this: {wait}");
    }
}
