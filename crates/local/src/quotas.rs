//! AWS's limits on calls, enforced: a token bucket for each operation.

use std::collections::HashMap;

use jitp_core::quotas::calls_per_second;
use parking_lot::Mutex;

use crate::account::Clock;

/// Microseconds in a second; a bucket is counted in millionths of a call.
const SECOND: i64 = 1_000_000;

/// Counts calls against the quotas of AWS.
#[derive(Debug)]
pub(crate) struct Quotas {
    clock: Clock,
    buckets: Mutex<HashMap<String, Bucket>>,
}

/// What is left of a quota. It is full at the start, and fills by one second's calls a second.
#[derive(Debug)]
struct Bucket {
    /// Calls left, in millionths.
    left: i64,
    /// When this was so, in microseconds since 1970.
    at: i64,
}

impl Quotas {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            buckets: Mutex::new(HashMap::new()),
        }
    }

    /// Counts a call; whether it is within its operation's quota.
    pub(crate) fn admit(&self, operation: &str) -> bool {
        calls_per_second(operation).is_none_or(|rate| self.admit_at(operation, rate))
    }

    /// Counts a call; whether it is within `rate` calls of its kind a second.
    pub(crate) fn admit_at(&self, operation: &str, rate: u32) -> bool {
        let rate = i64::from(rate);
        let now = self.clock.timestamp().0;
        let mut buckets = self.buckets.lock();
        let bucket = buckets.entry(operation.to_owned()).or_insert(Bucket {
            left: rate * SECOND,
            at: now,
        });
        let elapsed = (now - bucket.at).clamp(0, SECOND);
        bucket.left = (bucket.left + elapsed * rate).min(rate * SECOND);
        bucket.at = now;
        let within = bucket.left >= SECOND;
        if within {
            bucket.left -= SECOND;
        }
        within
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::Duration;
    use time::macros::datetime;

    #[test]
    fn a_burst_of_one_second_is_served_and_then_the_rate() {
        let (clock, hand) = Clock::manual(datetime!(2026-01-01 0:00 UTC));
        let quotas = Quotas::new(clock);
        let served = |calls: usize| (0..calls).filter(|_| quotas.admit("AttachPolicy")).count();
        assert_eq!(served(40), 15);
        hand.advance(Duration::milliseconds(200));
        assert_eq!(served(40), 3);
        hand.advance(Duration::hours(1));
        assert_eq!(served(40), 15);
        assert!(quotas.admit("DetachPolicy"), "each operation has its own");
        assert!(
            (0..1000).all(|_| quotas.admit("UpdateEventConfigurations")),
            "no quota is documented"
        );
    }
}
