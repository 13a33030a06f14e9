//! Who hears whom: to how many subscribers a message goes.

use std::collections::{HashMap, HashSet};

use jitp_wire::topic::split_share;

use super::Scenario;
use crate::payload;

/// By whose rules a topic matches a filter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Matching {
    /// AWS IoT Core: `a/#` does not match `a` (developer guide, "MQTT", differences from the specification).
    Aws,
    /// MQTT: it does.
    Standard,
}

impl Scenario {
    /// Subscribers that get a message of the publisher of this index: all whose filter matches its topic, and one of each
    /// group that shares a subscription.
    pub fn copies(&self, publisher: u32) -> u32 {
        let topic = payload::topic(
            &self.publish.topic,
            &format!("{}{publisher}", self.names.publisher),
            publisher,
        );
        let filter = |subscriber: u32| {
            payload::topic(
                &self.subscribe.filter,
                &format!("{}{subscriber}", self.names.subscriber),
                subscriber,
            )
        };
        let mut groups = HashSet::new();
        let mut gets = |filter: String| match split_share(&filter) {
            Some((_, inner)) if jitp_wire::topic::matches(inner, &topic) => groups.insert(filter),
            Some(_) => false,
            None => jitp_wire::topic::matches(&filter, &topic),
        };
        // Filters that are all the same need to be looked at once.
        match self.subscribe.filter.contains('{') {
            false if self.subscribers > 0 => match split_share(&self.subscribe.filter) {
                Some(_) => u32::from(gets(filter(0))),
                None => u32::from(gets(filter(0))) * self.subscribers,
            },
            _ => (0..self.subscribers)
                .filter(|&index| gets(filter(index)))
                .count() as u32,
        }
    }

    /// Copies of one message of each publisher, all together.
    pub fn all_copies(&self) -> u64 {
        if self.publishers == 0 || self.subscribers == 0 {
            return 0;
        }
        if !self.subscribe.filter.contains('{') {
            // Topics that differ in nothing but the publisher are matched alike by a filter that names none.
            return match self.names_a_publisher() {
                false => u64::from(self.copies(0)) * u64::from(self.publishers),
                true => (0..self.publishers)
                    .map(|index| u64::from(self.copies(index)))
                    .sum(),
            };
        }
        let mut topics: HashMap<String, u64> = HashMap::new();
        for index in 0..self.publishers {
            let device = format!("{}{index}", self.names.publisher);
            let topic = payload::topic(&self.publish.topic, &device, index);
            *topics.entry(topic).or_default() += 1;
        }
        let mut groups = HashSet::new();
        let heard = |filter: String| {
            let shared = split_share(&filter).map(|(_, inner)| inner.to_owned());
            let (inner, first) = match shared {
                Some(inner) => (inner, groups.insert(filter)),
                None => (filter, true),
            };
            match (first, jitp_wire::topic::has_wildcard(&inner)) {
                (false, _) => 0,
                (true, false) => topics.get(&inner).copied().unwrap_or(0),
                (true, true) => topics
                    .iter()
                    .filter(|(topic, _)| jitp_wire::topic::matches(&inner, topic))
                    .map(|(_, count)| count)
                    .sum(),
            }
        };
        (0..self.subscribers)
            .map(|index| {
                let device = format!("{}{index}", self.names.subscriber);
                payload::topic(&self.subscribe.filter, &device, index)
            })
            .map(heard)
            .sum()
    }

    /// Whether the filter of subscribers is about single publishers.
    fn names_a_publisher(&self) -> bool {
        self.subscribe
            .filter
            .split('/')
            .any(|level| level.contains(&self.names.publisher))
            || self.publish.topic.contains("{index}")
    }
}

/// Whether a topic matches a filter by these rules.
pub fn matches(filter: &str, topic: &str, matching: Matching) -> bool {
    let filter = split_share(filter).map_or(filter, |(_, inner)| inner);
    let parent = || {
        filter
            .strip_suffix("/#")
            .is_some_and(|parent| jitp_wire::topic::matches(parent, topic))
    };
    jitp_wire::topic::matches(filter, topic) || (matching == Matching::Standard && parent())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seed() -> Scenario {
        Scenario::read("seed", Scenario::built_in("seed").unwrap()).unwrap()
    }

    #[test]
    fn copies_are_counted_by_the_filters() {
        let mut scenario = seed();
        scenario.subscribers = 3;
        assert_eq!(scenario.copies(0), 3);
        scenario.subscribe.filter = "loadtest/pub{index}".to_owned();
        assert_eq!(scenario.copies(2), 1);
        assert_eq!(scenario.copies(5), 0);
    }
}
