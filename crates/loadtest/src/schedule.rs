//! When messages are due, and how many of them: what the offered load is, whatever becomes of it.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

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
    /// Of publishers whose messages come at random: what comes next, and how many have come.
    random: Vec<(Poisson, Micros)>,
    come: u64,
}

/// The moments at which a publisher's messages come at random, independent of each other: a Poisson process, the same in
/// every run.
#[derive(Clone, Debug)]
pub(crate) struct Poisson {
    chance: SmallRng,
    /// When the last one came, in microseconds since the first publisher began. Not rounded, or all would come too soon.
    last: f64,
    /// Microseconds between two, on average.
    period: f64,
}

impl Poisson {
    /// Of the publisher at this place of the fleet.
    pub(crate) fn new(place: u32, period: f64) -> Self {
        Self {
            // Another one than that of the device's pauses, of which nobody knows how many there will be.
            chance: SmallRng::seed_from_u64(u64::from(place) << 1 | 1 << 63),
            last: 0.0,
            period,
        }
    }

    /// When the next one comes, since the first publisher began.
    pub(crate) fn next(&mut self) -> Micros {
        let chance: f64 = self.chance.random();
        self.last += -(1.0 - chance).ln() * self.period;
        self.last as Micros
    }
}

impl Schedule {
    pub(crate) fn new(scenario: &Scenario, shard: Option<Shard>) -> Self {
        let period = 1e6 / scenario.publish.rate;
        let publishers = members(scenario, shard)
            .filter(|member| scenario.publishes() && member.role == Role::Publisher);
        let (mut phases, mut random) = (Vec::new(), Vec::new());
        match scenario.publish.arrivals {
            Arrivals::Even => {
                phases.extend(publishers.map(|member| match scenario.publish.phase {
                    Phase::Golden => spread(u64::from(member.index)),
                    Phase::Aligned => 0.0,
                }))
            }
            Arrivals::Poisson => random.extend(publishers.map(|member| {
                let mut poisson = Poisson::new(member.place, period);
                let first = poisson.next();
                (poisson, first)
            })),
        }
        Self {
            phases,
            period,
            random,
            come: 0,
        }
    }

    /// Messages that are due in so many microseconds from the start of publishing, the last one excluded. What comes at
    /// random is counted on from the last time this was asked: less time than then has no fewer of them.
    pub(crate) fn due(&mut self, elapsed: Micros) -> u64 {
        for (poisson, next) in &mut self.random {
            while *next < elapsed {
                *next = poisson.next();
                self.come += 1;
            }
        }
        let even = self.phases.iter();
        let even: u64 = even.map(|&phase| self.of_publisher(phase, elapsed)).sum();
        even + self.come
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
                let mut schedule = schedule(&toml, None);
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
    fn what_comes_at_random_is_counted_one_by_one() {
        let toml =
            "publishers = 10\nduration = '10s'\n[publish]\nrate = 50000.0\narrivals = 'poisson'";
        let mut counted = schedule(toml, None);
        let moments: Vec<Vec<Micros>> = (0..10)
            .map(|place| {
                let mut poisson = Poisson::new(place, 20.0);
                std::iter::repeat_with(|| poisson.next())
                    .take_while(|&moment| moment < 2_000_000)
                    .collect()
            })
            .collect();
        for elapsed in [0, 19, 20, 1000, 1001, 999_999, 2_000_000] {
            let come = |moments: &Vec<Micros>| {
                moments.iter().filter(|moment| **moment < elapsed).count() as u64
            };
            let come: u64 = moments.iter().map(come).sum();
            assert_eq!(counted.due(elapsed), come, "{elapsed}");
        }
        // Two seconds of 500,000 a second: gaps are not cut off to whole microseconds, which would make 25,000 more.
        let all = counted.due(2_000_000);
        assert!(all.abs_diff(1_000_000) < 5_000, "{all}");
        // Other publishers, other moments.
        assert_ne!(moments[0], moments[1]);
        let parts: u64 = (0..3)
            .map(|index| schedule(toml, Some(Shard { index, count: 3 })).due(2_000_000))
            .sum();
        assert_eq!(parts, all);
    }

    #[test]
    fn who_is_silent_owes_nothing() {
        let silent = "publishers = 10\nduration = '10s'\n[publish]\nrate = 0.0";
        assert_eq!(schedule(silent, None).due(10_000_000), 0);
    }
}
