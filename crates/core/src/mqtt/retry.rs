//! When to try again, and when to stop.

use std::time::Duration;

/// Waits and limits of making a connection; every wait of a [`Session`](super::Session) is bounded by these.
///
/// AWS IoT takes one CONNECT a second of one client id ("AWS IoT Core message broker and protocol limits
/// and quotas") and closes the first connection of an unknown certificate while just-in-time provisioning
/// runs (developer guide, "Just-in-time provisioning"); samples reconnect after 1 to 5 seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// Attempts until "the device is not accepted": connections closed before CONNACK. Also the attempts
    /// to get a lost connection back.
    pub attempts: u32,
    /// Attempts when the first connection fails below MQTT: no address, refused, timed out, or closed
    /// within the TLS handshake. Fewer, since a wrong endpoint should not take a minute to tell.
    pub unreachable_attempts: u32,
    /// Attempts when the endpoint answers the client certificate with a TLS alert: some AWS endpoints did
    /// so for certificates not yet active, so once is not enough to know.
    pub alert_attempts: u32,
    /// Wait after the first failure; doubles with every further one.
    pub first_delay: Duration,
    /// The doubling stops here.
    pub max_delay: Duration,
    /// Up to this share of the wait is added at random (0.0..=1.0), so that a batch of devices that was
    /// dropped together does not come back together.
    pub jitter: f64,
    /// Never less than this between two CONNECTs of the same client id.
    pub min_gap: Duration,
    /// One attempt, from the name lookup to CONNACK.
    pub attempt_timeout: Duration,
    /// All attempts together.
    pub total_timeout: Duration,
    /// An answer to a PUBLISH, SUBSCRIBE or UNSUBSCRIBE; later the connection counts as stalled and is made anew.
    pub ack_timeout: Duration,
    /// A message that made no progress for this long, reconnections included, is given up.
    pub delivery_timeout: Duration,
    /// A connection that closes this many times in a row on the same message (or subscription) means the
    /// broker refuses it: under MQTT 3.1.1 closing is the only way AWS IoT has to say so.
    pub refusals: u32,
    /// A connection that lived this long before it was lost does not count as "closes again and again".
    pub stable_after: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 8,
            unreachable_attempts: 3,
            alert_attempts: 3,
            first_delay: Duration::from_millis(1_100),
            max_delay: Duration::from_secs(10),
            jitter: 0.3,
            min_gap: Duration::from_millis(1_050),
            attempt_timeout: Duration::from_secs(15),
            total_timeout: Duration::from_secs(75),
            ack_timeout: Duration::from_secs(20),
            delivery_timeout: Duration::from_secs(90),
            refusals: 4,
            stable_after: Duration::from_secs(30),
        }
    }
}

impl Retry {
    /// The wait after the `failures`-th failure in a row (counted from 1); `random` in 0.0..1.0 is the dice.
    pub fn delay(&self, failures: u32, random: f64) -> Duration {
        let doubled = self
            .first_delay
            .saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1).min(20)));
        let share = (self.jitter.clamp(0.0, 1.0)) * random.clamp(0.0, 1.0);
        doubled
            .min(self.max_delay)
            .mul_f64(1.0 + share)
            .max(self.min_gap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_limit_and_never_fall_below_the_gap() {
        let retry = Retry {
            first_delay: Duration::from_millis(100),
            max_delay: Duration::from_millis(1_000),
            min_gap: Duration::from_millis(150),
            jitter: 0.5,
            ..Retry::default()
        };
        let waits: Vec<u128> = (1..=6).map(|n| retry.delay(n, 0.0).as_millis()).collect();
        assert_eq!(waits, [150, 200, 400, 800, 1_000, 1_000]);
        assert_eq!(retry.delay(3, 1.0).as_millis(), 600);
        assert_eq!(retry.delay(u32::MAX, 1.0).as_millis(), 1_500);
        assert_eq!(retry.delay(0, 0.0).as_millis(), 150);
    }

    #[test]
    fn the_defaults_keep_a_second_between_connects_and_fit_their_own_deadline() {
        let retry = Retry::default();
        let all: Duration = (1..retry.attempts).map(|n| retry.delay(n, 1.0)).sum();
        assert!(all < retry.total_timeout, "{all:?}");
        assert!(retry.delay(1, 0.0) > Duration::from_secs(1));
    }
}
