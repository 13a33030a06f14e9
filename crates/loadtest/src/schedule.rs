//! How many messages are due: what the offered load is, whatever becomes of it.

use crate::clock::Micros;
use crate::fleet::{Role, members, spread};
use crate::outcome::Shard;
use crate::scenario::{Arrivals, Phase, Scenario};

/// The publishers of a shard, and when they are to publish.
#[derive(Debug)]
pub(crate) struct Schedule {
    /// When in a period each of them publishes, 0 to 1.
    phases: Vec<f64>,
    /// Microseconds between two messages of one publisher.
    period: f64,
    arrivals: Arrivals,
}

impl Schedule {
    pub(crate) fn new(scenario: &Scenario, shard: Option<Shard>) -> Self {
        let phases = match scenario.publishes() {
            false => Vec::new(),
            true => members(scenario, shard)
                .filter(|member| member.role == Role::Publisher)
                .map(|member| match scenario.publish.phase {
                    Phase::Golden => spread(u64::from(member.index)),
                    Phase::Aligned => 0.0,
                })
                .collect(),
        };
        Self {
            phases,
            period: 1e6 / scenario.publish.rate,
            arrivals: scenario.publish.arrivals,
        }
    }

    /// Messages that are due in so many microseconds from the start of publishing, the last one excluded. Of messages
    /// that come at random, as many as there are on average.
    pub(crate) fn due(&self, elapsed: Micros) -> u64 {
        match self.arrivals {
            Arrivals::Even => self
                .phases
                .iter()
                .map(|&phase| self.of_publisher(phase, elapsed))
                .sum(),
            Arrivals::Poisson => {
                (self.phases.len() as f64 * elapsed as f64 / self.period).round() as u64
            }
        }
    }

    fn of_publisher(&self, phase: f64, elapsed: Micros) -> u64 {
        // The very expression by which a device knows when to send.
        let at = |number: u64| ((number as f64 + phase) * self.period) as Micros;
        let about = (elapsed as f64 / self.period - phase).ceil().max(0.0) as u64;
        // A division and a multiplication may be one off each other.
        let from = about.saturating_sub(1);
        (from..=about + 1)
            .find(|&number| at(number) >= elapsed)
            .unwrap_or(about)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(toml: &str, shard: Option<Shard>) -> Schedule {
        Schedule::new(&Scenario::read("x", toml).unwrap(), shard)
    }

    #[test]
    fn every_message_is_due_once_at_its_moment() {
        for rate in ["1.0", "3.0", "0.7", "1000.0", "0.00001"] {
            for phase in ["golden", "aligned"] {
                let toml = format!(
                    "publishers = 7\nduration = '10s'\n[publish]\nrate = {rate}\nphase = '{phase}'"
                );
                let schedule = schedule(&toml, None);
                for elapsed in [0, 1, 333_333, 1_000_000, 1_000_001, 2_999_999, 3_000_000] {
                    let counted: u64 = schedule
                        .phases
                        .iter()
                        .map(|phase| {
                            let at =
                                |number: u64| ((number as f64 + phase) * schedule.period) as u64;
                            (0..4000).filter(|&number| at(number) < elapsed).count() as u64
                        })
                        .sum();
                    assert_eq!(schedule.due(elapsed), counted, "{toml} {elapsed}");
                }
            }
        }
    }

    #[test]
    fn shards_together_owe_what_the_fleet_owes() {
        let toml = "publishers = 11\nsubscribers = 2\nduration = '10s'\n[publish]\nrate = 3.0";
        let parts: u64 = (0..3)
            .map(|index| schedule(toml, Some(Shard { index, count: 3 })).due(2_345_678))
            .sum();
        assert_eq!(parts, schedule(toml, None).due(2_345_678));
        assert_eq!(schedule(toml, None).due(10_000_000), 330);
    }

    #[test]
    fn what_comes_at_random_is_counted_on_average_and_who_is_silent_owes_nothing() {
        let random = "publishers = 10\nduration = '10s'\n[publish]\narrivals = 'poisson'";
        assert_eq!(schedule(random, None).due(2_500_000), 25);
        let silent = "publishers = 10\nduration = '10s'\n[publish]\nrate = 0.0";
        assert_eq!(schedule(silent, None).due(10_000_000), 0);
    }
}
