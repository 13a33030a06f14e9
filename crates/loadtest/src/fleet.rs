//! Which devices there are, what they are called, and which of them are ours.

use crate::outcome::Shard;
use crate::scenario::Scenario;

/// What a device does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Role {
    Publisher,
    Subscriber,
}

/// One device of a fleet.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// Place in the whole fleet, publishers first.
    pub(crate) place: u32,
    pub(crate) role: Role,
    /// Number among those of its role.
    pub(crate) index: u32,
    /// Thing name and client id.
    pub(crate) name: String,
}

/// The devices of a scenario that belong to a shard, in their order. Everything about a device follows from its place in
/// the whole fleet, so that shards together do what one process would.
pub(crate) fn members(scenario: &Scenario, shard: Option<Shard>) -> impl Iterator<Item = Member> {
    let Shard { index, count } = shard.unwrap_or(Shard { index: 0, count: 1 });
    (0..scenario.devices())
        .filter(move |place| place % count.max(1) == index)
        .map(|place| member(scenario, place))
}

fn member(scenario: &Scenario, place: u32) -> Member {
    let (role, index, prefix) = match place.checked_sub(scenario.publishers) {
        None => (Role::Publisher, place, &scenario.names.publisher),
        Some(index) => (Role::Subscriber, index, &scenario.names.subscriber),
    };
    Member {
        place,
        role,
        index,
        name: format!("{prefix}{index}"),
    }
}

/// Names of a scenario's devices, publishers first.
pub fn names(scenario: &Scenario, shard: Option<Shard>) -> impl Iterator<Item = String> {
    members(scenario, shard).map(|member| member.name)
}

/// Places in the whole fleet and names of a scenario's devices, ascending.
pub fn places(scenario: &Scenario, shard: Option<Shard>) -> impl Iterator<Item = (u32, String)> {
    members(scenario, shard).map(|member| (member.place, member.name))
}

/// The number of the publisher of this name.
pub(crate) fn publisher(scenario: &Scenario, name: &str) -> Option<u32> {
    let number = name.strip_prefix(scenario.names.publisher.as_str())?;
    let index: u32 = number.parse().ok()?;
    // `+7` and `07` are numbers, and no names of ours.
    let plain = number.bytes().all(|byte| byte.is_ascii_digit())
        && (number == "0" || !number.starts_with('0'));
    (plain && index < scenario.publishers).then_some(index)
}

/// Fractions of 1 that lie evenly between each other, however many are taken: multiples of the golden ratio.
pub(crate) fn spread(number: u64) -> f64 {
    (number as f64 * 0.618_033_988_749_894_9).fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_together_are_the_fleet() {
        let scenario = Scenario::read("x", "publishers = 5\nsubscribers = 3").unwrap();
        let whole: Vec<_> = names(&scenario, None).collect();
        assert_eq!(whole[4..6], ["pub4", "sub0"]);
        let mut parts: Vec<_> = (0..3)
            .flat_map(|index| names(&scenario, Some(Shard { index, count: 3 })))
            .collect();
        parts.sort();
        assert_eq!(parts, whole);
    }

    #[test]
    fn only_names_of_the_fleet_are_publishers() {
        let scenario = Scenario::read("x", "publishers = 11").unwrap();
        assert_eq!(publisher(&scenario, "pub10"), Some(10));
        for other in ["pub11", "pub", "pub+1", "pub01", "sub1", "pub1x"] {
            assert_eq!(publisher(&scenario, other), None, "{other}");
        }
    }
}
