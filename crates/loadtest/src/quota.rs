//! What a scenario asks of an account and of each connection, beside what AWS allows.
//!
//! AWS General Reference, "AWS IoT Core endpoints and quotas", as read in 2026: defaults of large regions, and of the
//! smaller ones (eu-north-1, eu-west-3, ca-central-1, us-west-1 and others) where they are lower.

use serde::Serialize;

use crate::scenario::{Origin, Scenario};

/// One quantity of a scenario and its quota.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Quantity {
    /// What it is.
    pub name: &'static str,
    /// How much the scenario asks.
    pub asked: f64,
    /// How much AWS allows.
    pub quota: f64,
    /// How much in the smaller regions, where it is less.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smaller_regions: Option<f64>,
    /// Whether the quota can be raised.
    pub adjustable: bool,
}

impl Quantity {
    /// Whether it is within the quota.
    pub fn fits(&self) -> bool {
        self.asked <= self.quota
    }

    /// `fits`, `exceeds`, or `fits in large regions`.
    pub fn verdict(&self) -> &'static str {
        match self.smaller_regions {
            _ if !self.fits() => "exceeds",
            Some(smaller) if self.asked > smaller => "fits in large regions",
            _ => "fits",
        }
    }
}

/// Publishes a second of one connection, in both directions together or in each: AWS does not say, so each is looked at.
pub const PUBLISHES_OF_A_CONNECTION: f64 = 100.0;
/// Bytes a second of one connection.
const BYTES_OF_A_CONNECTION: f64 = 512.0 * 1024.0;
/// CONNECTs a second of an account.
pub const CONNECTS: f64 = 3000.0;
/// Bytes of a message that are counted as one when messages are charged.
const CHARGED: u64 = 5 * 1024;

/// The quantities of a scenario; `size` is that of a message in bytes.
pub fn quantities(scenario: &Scenario, size: usize) -> Vec<Quantity> {
    let rate = if scenario.publishes() {
        scenario.publish.rate
    } else {
        0.0
    };
    let copies = scenario.all_copies() as f64;
    let published = f64::from(scenario.publishers) * rate;
    let delivered = copies * rate;
    let forwarded = if scenario.subscribe.forward.is_some() {
        delivered
    } else {
        0.0
    };
    let heard = match scenario.subscribers {
        0 => 0.0,
        subscribers => delivered / f64::from(subscribers),
    };
    let quantity = |name, asked, quota, smaller_regions, adjustable| Quantity {
        name,
        asked,
        quota,
        smaller_regions,
        adjustable,
    };
    let connects = match scenario.identities {
        // Closed once, and back again.
        Origin::Fresh => scenario.connect.rate * 2.0,
        // With the claim, and with what it got.
        Origin::Claim => scenario.connect.rate * 2.0,
        Origin::Files => scenario.connect.rate,
    };
    let mut all = vec![
        quantity("CONNECTs a second", connects, CONNECTS, Some(100.0), true),
        quantity(
            "connections",
            f64::from(scenario.devices()),
            500_000.0,
            Some(100_000.0),
            true,
        ),
        quantity(
            "inbound messages a second",
            published + forwarded,
            20_000.0,
            Some(2000.0),
            true,
        ),
        quantity(
            "outbound messages a second",
            delivered,
            20_000.0,
            Some(2000.0),
            true,
        ),
        quantity(
            "messages a second of a publisher",
            rate,
            PUBLISHES_OF_A_CONNECTION,
            None,
            false,
        ),
    ];
    if scenario.subscribers > 0 {
        all.push(quantity(
            "messages a second to a subscriber",
            heard,
            PUBLISHES_OF_A_CONNECTION,
            None,
            false,
        ));
        all.push(quantity(
            "subscriptions",
            f64::from(scenario.subscribers),
            500_000.0,
            Some(100_000.0),
            true,
        ));
    }
    if forwarded > 0.0 {
        all.push(quantity(
            "messages a second of a subscriber that forwards",
            heard,
            PUBLISHES_OF_A_CONNECTION,
            None,
            false,
        ));
    }
    let busiest = rate.max(heard + if forwarded > 0.0 { heard } else { 0.0 });
    all.push(quantity(
        "bytes a second of the busiest connection",
        busiest * size as f64,
        BYTES_OF_A_CONNECTION,
        None,
        false,
    ));
    match scenario.identities {
        Origin::Files => {}
        Origin::Fresh => all.push(quantity(
            "new device certificates a second",
            scenario.connect.rate,
            15.0,
            None,
            true,
        )),
        Origin::Claim => {
            all.push(quantity(
                "CreateCertificateFromCsr over MQTT a second",
                scenario.connect.rate,
                20.0,
                None,
                true,
            ));
            all.push(quantity(
                "RegisterThing over MQTT a second",
                scenario.connect.rate,
                10.0,
                None,
                true,
            ));
        }
    }
    all
}

/// A shape that fits, where subscribers hear more than a connection may; in sentences.
pub fn proposals(scenario: &Scenario) -> Vec<String> {
    let rate = if scenario.publishes() {
        scenario.publish.rate
    } else {
        0.0
    };
    let (publishers, subscribers) = (scenario.publishers, scenario.subscribers);
    if rate <= 0.0 || subscribers == 0 {
        return Vec::new();
    }
    let heard = scenario.all_copies() as f64 * rate / f64::from(subscribers);
    if heard <= PUBLISHES_OF_A_CONNECTION {
        return Vec::new();
    }
    let most = (PUBLISHES_OF_A_CONNECTION / rate).floor() as u32;
    let mut proposals = Vec::new();
    if most > 0 {
        proposals.push(format!(
            "--publishers {most} --subscribers {subscribers}: each subscriber hears {:.0} messages a second; more subscribers change nothing, since each hears every publisher",
            f64::from(most) * rate
        ));
    }
    let sharing = (f64::from(publishers) * rate / PUBLISHES_OF_A_CONNECTION).ceil() as u32;
    let filter = &scenario.subscribe.filter;
    if jitp_wire::topic::split_share(filter).is_none() {
        proposals.push(format!(
            "--publishers {publishers} --subscribers {sharing} --filter '$share/loadtest/{filter}': subscribers share the messages, {:.0} a second each",
            f64::from(publishers) * rate / f64::from(sharing)
        ));
    }
    proposals
}

/// What AWS charges a run for, by unit (AWS IoT Core pricing: connectivity, messaging).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Charges {
    /// Minutes of connections.
    pub connection_minutes: u64,
    /// Messages, to and from, each begun 5 KB one.
    pub messages: u64,
    /// Things, certificates and attachments that are made: operations of the registry.
    pub registry_operations: u64,
    /// Rules triggered and actions executed, if a rule selects what is counted in the queue.
    pub rules: u64,
    /// Messages of the queue: requests of Amazon SQS, at the least.
    pub queue_requests: u64,
}

/// What a run would be charged for, before it is begun; `size` is that of a message in bytes.
pub fn charges(scenario: &Scenario, size: usize) -> Charges {
    let seconds = (scenario.warm_up.0 + scenario.duration.0).as_secs_f64();
    let devices = f64::from(scenario.devices());
    let ramp = devices / scenario.connect.rate;
    let rate = if scenario.publishes() {
        scenario.publish.rate
    } else {
        0.0
    };
    let published = f64::from(scenario.publishers) * rate * seconds;
    let delivered = scenario.all_copies() as f64 * rate * seconds;
    let forwarded = if scenario.subscribe.forward.is_some() {
        delivered
    } else {
        0.0
    };
    let units = (size as u64).div_ceil(CHARGED).max(1) as f64;
    let new = match scenario.identities {
        Origin::Files => 0.0,
        // Registration, thing, two attachments, activation.
        Origin::Fresh | Origin::Claim => devices * 5.0,
    };
    let queued = match &scenario.queue {
        None => 0.0,
        Some(queue) => match queue.holds {
            crate::scenario::Holds::Published => published,
            crate::scenario::Holds::Forwarded => forwarded,
        },
    };
    Charges {
        connection_minutes: (devices * (seconds + ramp) / 60.0).ceil() as u64,
        // CONNECT, and a PINGREQ or more where nothing else is said, are messages too, but few.
        messages: ((published + delivered + forwarded) * units).ceil() as u64,
        registry_operations: new as u64,
        rules: (queued * 2.0).ceil() as u64,
        queue_requests: (queued * 2.0).ceil() as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seed(publishers: u32, subscribers: u32) -> Scenario {
        let mut scenario = Scenario::read("seed", Scenario::built_in("seed").unwrap()).unwrap();
        scenario.publishers = publishers;
        scenario.subscribers = subscribers;
        scenario
    }

    fn exceeded(scenario: &Scenario) -> Vec<&'static str> {
        quantities(scenario, 100)
            .into_iter()
            .filter(|quantity| !quantity.fits())
            .map(|quantity| quantity.name)
            .collect()
    }

    #[test]
    fn the_headline_of_the_seed_asks_too_much_of_a_subscriber_and_what_is_proposed_does_not() {
        let headline = seed(487, 20);
        assert_eq!(
            exceeded(&headline),
            [
                "messages a second to a subscriber",
                "messages a second of a subscriber that forwards"
            ]
        );
        let proposals = proposals(&headline);
        assert!(proposals[0].starts_with("--publishers 100 --subscribers 20"));
        assert!(proposals[1].starts_with("--publishers 487 --subscribers 5 --filter '$share/"));
        assert!(exceeded(&seed(100, 20)).is_empty());
        let mut shared = seed(487, 5);
        shared.subscribe.filter = "$share/loadtest/loadtest/+".to_owned();
        assert!(exceeded(&shared).is_empty());
    }

    #[test]
    fn charges_are_those_of_the_schedule() {
        let charges = charges(&seed(10, 3), 100);
        assert_eq!(charges.messages, 10 * (1 + 2 * 3) * 60);
        assert_eq!(charges.connection_minutes, 14);
        assert_eq!(charges.registry_operations, 0);
    }
}
