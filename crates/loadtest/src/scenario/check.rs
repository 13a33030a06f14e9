//! What makes no sense in a scenario, found before anything is connected.

use std::time::Duration;

use jitp_core::mqtt::{check_client_id, check_filter, check_topic};

use super::{Holds, Matching, Origin, Scenario, ScenarioError, Span, matches};
use crate::payload::{Template, TemplateError, topic};

impl Scenario {
    /// Checks what can be checked before anything is connected.
    ///
    /// # Errors
    /// The member and what is wrong with it.
    pub fn check(&self, matching: Matching) -> Result<(), ScenarioError> {
        let value = |member, why: String| Err(ScenarioError::Value { member, why });
        if self.devices() == 0 {
            return value(
                "publishers",
                "there is no device: give --publishers or --subscribers".to_owned(),
            );
        }
        if self.devices() > MOST_DEVICES {
            return value("publishers", format!("more than {MOST_DEVICES} devices"));
        }
        within("connect.rate", self.connect.rate, 0.001, 1e6)?;
        if self.publish.rate != 0.0 {
            within("publish.rate", self.publish.rate, 1e-5, 1e5)?;
        }
        for (member, qos) in [
            ("publish.qos", self.publish.qos),
            ("subscribe.qos", self.subscribe.qos),
        ] {
            if qos > 1 {
                return value(member, format!("{qos}: AWS IoT Core has 0 and 1"));
            }
        }
        if !(1..=100).contains(&self.publish.in_flight) {
            return value(
                "publish.inFlight",
                format!("{}: 1 to 100", self.publish.in_flight),
            );
        }
        if self.publish.size > jitp_wire::limits::PAYLOAD_BYTES {
            return value(
                "publish.size",
                format!("{}: at most 131072 bytes", self.publish.size),
            );
        }
        let keep_alive = self.connect.keep_alive.0.as_secs();
        if !(1..=65_535).contains(&keep_alive) {
            return value("connect.keepAlive", "1s to 65535s".to_owned());
        }
        for (member, span) in [
            ("connect.attemptTimeout", self.connect.attempt_timeout),
            ("connect.timeout", self.connect.timeout),
            ("connect.backOff", self.connect.back_off),
            ("connect.maxBackOff", self.connect.max_back_off),
        ] {
            if span < Span(Duration::from_millis(1)) {
                return value(member, "at least 1ms".to_owned());
            }
        }
        if self.names.publisher == self.names.subscriber {
            return value(
                "names",
                "publishers and subscribers are named alike".to_owned(),
            );
        }
        let last = self.devices().saturating_sub(1);
        for (member, prefix) in [
            ("names.publisher", &self.names.publisher),
            ("names.subscriber", &self.names.subscriber),
        ] {
            let name = format!("{prefix}{last}");
            if let Err(error) = check_client_id(&name) {
                return value(member, error.to_string());
            }
            if let Err(error) = name.parse::<jitp_core::names::ThingName>() {
                return value(member, error.to_string());
            }
            if prefix.ends_with(|last: char| last.is_ascii_digit()) {
                return value(
                    member,
                    "it ends with a digit, and a number follows".to_owned(),
                );
            }
        }
        let topic = topic(&self.publish.topic, "publisher0", 0);
        if let Err(error) = check_topic(&topic) {
            return value("publish.topic", error.to_string());
        }
        let template =
            Template::new(self).map_err(|error: TemplateError| ScenarioError::Value {
                member: "publish.payload",
                why: error.to_string(),
            })?;
        if !template.is_checked() && self.subscribers > 0 && self.subscribe.forward.is_some() {
            return value(
                "publish.payload",
                "what is forwarded says who sent it: the payload needs the members device, sent, seq and run, or give --forward ''"
                    .to_owned(),
            );
        }
        if self.subscribers > 0 {
            self.check_subscribers(matching)?;
        }
        if let Some(storm) = &self.storm {
            within("storm.share", storm.share, f64::MIN_POSITIVE, 1.0)?;
            let every = storm.every.0;
            if every > Duration::ZERO && every < Duration::from_secs(1) {
                return value("storm.every", "at least 1s, or 0s for once".to_owned());
            }
        }
        self.check_times()?;
        if self.queue.is_some() && !self.publishes() {
            return value(
                "queue",
                "nothing is published that could arrive in it".to_owned(),
            );
        }
        if let Some(queue) = &self.queue
            && queue.holds == Holds::Forwarded
            && (self.subscribe.forward.is_none() || self.subscribers == 0)
        {
            return value("queue.holds", "nothing is forwarded".to_owned());
        }
        Ok(())
    }

    /// Whether anything happens in the time there is.
    fn check_times(&self) -> Result<(), ScenarioError> {
        let value = |member, why: &str| {
            Err(ScenarioError::Value {
                member,
                why: why.to_owned(),
            })
        };
        let nothing = Span::default();
        if self.duration == nothing {
            // A storm of new devices is over when all are in.
            if self.identities == Origin::Files && self.publish.rate > 0.0 && self.publishers > 0 {
                return value(
                    "duration",
                    "0s: nothing would be published, and nothing be lost or late; give --duration 60s, or --rate 0 to connect only",
                );
            }
            if self.warm_up > nothing {
                return value("warmUp", "it comes before a duration of 0s");
            }
        }
        match &self.storm {
            Some(storm) if storm.at >= self.warm_up.plus(self.duration) => value(
                "storm.at",
                "it would never come: publishing, warm-up included, is over before",
            ),
            _ => Ok(()),
        }
    }

    fn check_subscribers(&self, matching: Matching) -> Result<(), ScenarioError> {
        let filter = topic(&self.subscribe.filter, "subscriber0", 0);
        let many = u64::from(self.publishers) * u64::from(self.subscribers) > MOST_PAIRS;
        if many
            && self.subscribe.filter.contains('{')
            && jitp_wire::topic::has_wildcard(&self.subscribe.filter)
        {
            return Err(ScenarioError::Value {
                member: "subscribe.filter",
                why: "so many different filters with wildcards cannot be counted: one filter for all, or none with wildcards"
                    .to_owned(),
            });
        }
        if let Err(error) = check_filter(&filter) {
            return Err(ScenarioError::Value {
                member: "subscribe.filter",
                why: error.to_string(),
            });
        }
        let Some(forward) = &self.subscribe.forward else {
            return Ok(());
        };
        let forward = topic(forward, "subscriber0", 0);
        if let Err(error) = check_topic(&forward) {
            return Err(ScenarioError::Value {
                member: "subscribe.forward",
                why: error.to_string(),
            });
        }
        match matches(&filter, &forward, matching) {
            true => Err(ScenarioError::FeedsItself { forward, filter }),
            false => Ok(()),
        }
    }
}

fn within(member: &'static str, value: f64, least: f64, most: f64) -> Result<(), ScenarioError> {
    // Written so that NaN is refused.
    match value >= least && value <= most {
        true => Ok(()),
        false => Err(ScenarioError::Value {
            member,
            why: format!("{value} is not within {least} and {most}"),
        }),
    }
}

/// Most pairs of a publisher and a subscriber that are matched one by one.
const MOST_PAIRS: u64 = 20_000_000;
/// Most devices of a fleet.
const MOST_DEVICES: u32 = 10_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn seed() -> Scenario {
        Scenario::read("seed", Scenario::built_in("seed").unwrap()).unwrap()
    }

    #[test]
    fn a_topology_that_feeds_itself_is_refused_but_where_aws_keeps_it_apart() {
        let mut scenario = seed();
        scenario.subscribe.filter = "loadtest/#".to_owned();
        assert!(matches!(
            scenario.check(Matching::Standard),
            Err(ScenarioError::FeedsItself { .. })
        ));
        scenario.check(Matching::Aws).unwrap();
        scenario.subscribe.filter = "#".to_owned();
        assert!(scenario.check(Matching::Aws).is_err());
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        for (toml, member) in [
            ("publishers = 0", "publishers"),
            ("publishers = 1\n[connect]\nrate = 0.0", "connect.rate"),
            ("publishers = 1\n[connect]\nrate = nan", "connect.rate"),
            ("publishers = 1\n[publish]\nqos = 2", "publish.qos"),
            ("publishers = 1\n[publish]\ntopic = 'a/+'", "publish.topic"),
            ("publishers = 1\n[publish]\nrate = -1.0", "publish.rate"),
            (
                "publishers = 1\n[publish]\npayload = '{nothing}'",
                "publish.payload",
            ),
            (
                "publishers = 1\n[names]\npublisher = 'a/b'",
                "names.publisher",
            ),
            ("publishers = 1\n[names]\npublisher = 'sub'", "names"),
            (
                "subscribers = 1\n[subscribe]\nfilter = 'a/#/b'",
                "subscribe.filter",
            ),
            (
                "publishers = 4294967295\nsubscribers = 4294967295",
                "publishers",
            ),
            (
                "publishers = 1\nduration = '9s'\n[storm]\nat = '1s'\nshare = 1.5",
                "storm.share",
            ),
            (
                "publishers = 1\nduration = '9s'\n[storm]\nat = '9s'\nshare = 0.5",
                "storm.at",
            ),
            ("publishers = 1\nduration = '0s'", "duration"),
            (
                "publishers = 1\nwarmUp = '5s'\nduration = '0s'\n[publish]\nrate = 0.0",
                "warmUp",
            ),
            ("publishers = 1\n[publish]\nrate = inf", "publish.rate"),
            ("publishers = 1\n[publish]\nsize = 131073", "publish.size"),
            ("publishers = 1\n[connect]\nrate = -5.0", "connect.rate"),
        ] {
            let scenario = Scenario::read("x", toml).unwrap();
            let error = scenario.check(Matching::Aws).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{member}: ")), "{toml}: {error}");
        }
        for toml in [
            "publishers = -1",
            "publisher = 1",
            "duration = 'soon'",
            "duration = '1000d'",
            "[",
        ] {
            let error = Scenario::read("x", toml).unwrap_err().to_string();
            assert!(error.contains("line 1"), "{toml}: {error}");
        }
    }
}
