//! Scenarios: which devices do what, for how long. Read from TOML, written into the outcome.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jitp_core::mqtt::{check_client_id, check_filter, check_topic};
use jitp_wire::topic::split_share;
use serde::{Deserialize, Serialize};

use crate::payload::{Template, TemplateError};

/// What is done with a fleet.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scenario {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// What it is for, in a sentence.
    #[serde(default)]
    pub description: String,
    /// Devices that publish; the first is number 0.
    #[serde(default)]
    pub publishers: u32,
    /// Devices that subscribe.
    #[serde(default)]
    pub subscribers: u32,
    /// How long publishing (or being idle) is measured; 0 ends the run when all are connected.
    #[serde(default)]
    pub duration: Span,
    /// How long is published before that, without being measured.
    #[serde(default)]
    pub warm_up: Span,
    /// How long is waited for what is still on its way afterwards, at most.
    #[serde(default = "default_drain")]
    pub drain: Span,
    /// Where devices have their certificates from.
    #[serde(default)]
    pub identities: Origin,
    /// How they are named: the number follows.
    #[serde(default)]
    pub names: Names,
    /// How they connect.
    #[serde(default)]
    pub connect: Connect,
    /// What publishers do.
    #[serde(default)]
    pub publish: Publish,
    /// What subscribers do.
    #[serde(default)]
    pub subscribe: Subscribe,
    /// A part of the fleet that loses its connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storm: Option<Storm>,
    /// A queue in which messages must arrive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<Queue>,
}

/// Where devices have their certificates from.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// From files that `loadtest setup` made.
    #[default]
    Files,
    /// Issued by the CA when they are needed, and seen by nobody before: each goes through just-in-time provisioning.
    Fresh,
    /// By claim: a certificate from AWS for a key made here, registered by a provisioning template.
    Claim,
}

/// What names begin with.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Names {
    /// Publishers.
    pub publisher: String,
    /// Subscribers.
    pub subscriber: String,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            publisher: "pub".to_owned(),
            subscriber: "sub".to_owned(),
        }
    }
}

/// How devices connect.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Connect {
    /// Devices a second that are due to connect, over the whole fleet.
    pub rate: f64,
    /// MQTT version, `5` or `3.1.1`.
    pub version: MqttVersion,
    /// Keep alive.
    pub keep_alive: Span,
    /// Whether a lost connection is resumed in TLS (AWS IoT Core always makes a full handshake).
    pub resumption: bool,
    /// One attempt.
    pub attempt_timeout: Span,
    /// How long a device tries to get in before it gives up.
    pub timeout: Span,
    /// The wait after the first failure; it doubles, and up to half of it is added at random.
    pub back_off: Span,
    /// The doubling stops here.
    pub max_back_off: Span,
}

impl Default for Connect {
    fn default() -> Self {
        Self {
            rate: 200.0,
            version: MqttVersion::V5,
            keep_alive: Span::seconds(60),
            resumption: false,
            attempt_timeout: Span::seconds(30),
            timeout: Span::seconds(120),
            back_off: Span::seconds(1),
            max_back_off: Span::seconds(16),
        }
    }
}

/// What publishers do.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Publish {
    /// Topic; `{device}` and `{index}` stand for the publisher's.
    pub topic: String,
    /// Messages a second of each publisher.
    pub rate: f64,
    /// Quality of service, 0 or 1.
    pub qos: u8,
    /// Payload with placeholders ([`Template`]); JSON with device, sent, seq and run unless given.
    pub payload: Option<String>,
    /// Pads the payload to at least this many bytes.
    pub size: usize,
    /// When in a period each publisher publishes.
    pub phase: Phase,
    /// Whether messages come at even distances.
    pub arrivals: Arrivals,
    /// Most messages of a connection that are not acknowledged (QoS 1).
    pub in_flight: u16,
}

impl Default for Publish {
    fn default() -> Self {
        Self {
            topic: "loadtest/{device}".to_owned(),
            rate: 1.0,
            qos: 0,
            payload: None,
            size: 0,
            phase: Phase::Golden,
            arrivals: Arrivals::Even,
            in_flight: 100,
        }
    }
}

/// When in a period each publisher publishes.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Spread evenly by the golden ratio, however many there are.
    #[default]
    Golden,
    /// All at the same moment.
    Aligned,
}

/// Whether messages come at even distances.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arrivals {
    /// At even distances.
    #[default]
    Even,
    /// At random, independent of each other (a Poisson process); the same for every run with the same fleet.
    Poisson,
}

/// What subscribers do.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Subscribe {
    /// Topic filter; `{device}` and `{index}` stand for the subscriber's.
    pub filter: String,
    /// Quality of service, 0 or 1.
    pub qos: u8,
    /// Topic on which what was received is published again as `{"publisher","subscriber","sent","ack"}`.
    pub forward: Option<String>,
}

impl Default for Subscribe {
    fn default() -> Self {
        Self {
            filter: "loadtest/+".to_owned(),
            qos: 0,
            forward: None,
        }
    }
}

/// A part of the fleet loses its connection and comes back.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Storm {
    /// When, from the start of publishing.
    pub at: Span,
    /// Again after so long, until the end; once if it is 0.
    #[serde(default)]
    pub every: Span,
    /// Share of the fleet, above 0 and at most 1.
    pub share: f64,
    /// Over how long devices come back, at random.
    #[serde(default)]
    pub spread: Span,
}

/// A queue in which messages must arrive.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Queue {
    /// Name of the queue.
    pub name: String,
    /// Which messages its rule selects.
    pub holds: Holds,
}

/// Which messages arrive in a queue.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holds {
    /// What publishers publish.
    Published,
    /// What subscribers forward.
    Forwarded,
}

/// MQTT version of a scenario.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum MqttVersion {
    /// 3.1.1.
    #[serde(rename = "3.1.1")]
    V3,
    /// 5.
    #[default]
    #[serde(rename = "5")]
    V5,
}

impl From<MqttVersion> for jitp_wire::Version {
    fn from(version: MqttVersion) -> Self {
        match version {
            MqttVersion::V3 => Self::V3,
            MqttVersion::V5 => Self::V5,
        }
    }
}

/// A length of time, written `90s`, `1m 30s` or `250ms`.
#[derive(Clone, Copy, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(pub Duration);

impl Span {
    /// So many seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// Both, one after the other.
    fn plus(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// In microseconds.
    pub(crate) fn micros(self) -> u64 {
        u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX)
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A bare number is one of seconds, as the programs' other flags take it.
        let seconds = text.parse::<f64>().ok().map(Duration::try_from_secs_f64);
        let span = match seconds {
            Some(Ok(span)) => span,
            Some(Err(_)) => return Err(format!("{text} is no length of time: write 90s or 5m")),
            None => humantime::parse_duration(text).map_err(|error| {
                format!("{text} is no length of time: {error}; write 90s or 5m")
            })?,
        };
        match span > LONGEST_SPAN {
            true => Err(format!("{text} is longer than 7 days")),
            false => Ok(Self(span)),
        }
    }
}

/// A week.
const LONGEST_SPAN: Duration = Duration::from_secs(7 * 86_400);

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn default_drain() -> Span {
    Span::seconds(10)
}

/// Why a scenario cannot be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// No TOML, or not the members it must have.
    #[error("the scenario {name} cannot be read: {detail}")]
    Unreadable {
        /// File or name.
        name: String,
        /// What the reader said, with the line.
        detail: String,
    },
    /// A value that makes no sense.
    #[error("{member}: {why}")]
    Value {
        /// Member of the scenario.
        member: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// What subscribers forward comes back to them.
    #[error(
        "subscribers forward to {forward}, which {filter} matches: every message would come back and be forwarded for ever"
    )]
    FeedsItself {
        /// The topic.
        forward: String,
        /// The filter.
        filter: String,
    },
}

/// By whose rules a topic matches a filter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Matching {
    /// AWS IoT Core: `a/#` does not match `a` (developer guide, "MQTT", differences from the specification).
    Aws,
    /// MQTT: it does.
    Standard,
}

/// Most pairs of a publisher and a subscriber that are matched one by one.
const MOST_PAIRS: u64 = 20_000_000;
/// Most devices of a fleet.
const MOST_DEVICES: u32 = 10_000_000;

impl Scenario {
    /// Reads TOML; `name` is what it is called where it does not say so.
    ///
    /// # Errors
    /// [`ScenarioError::Unreadable`], with the line.
    pub fn read(name: &str, toml: &str) -> Result<Self, ScenarioError> {
        let mut scenario: Self =
            toml::from_str(toml).map_err(|error| ScenarioError::Unreadable {
                name: name.to_owned(),
                detail: error.to_string().trim_end().to_owned(),
            })?;
        if scenario.name.is_empty() {
            name.clone_into(&mut scenario.name);
        }
        Ok(scenario)
    }

    /// The scenario of this name that is in the program, as TOML.
    pub fn built_in(name: &str) -> Option<&'static str> {
        BUILT_IN
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, toml)| *toml)
    }

    /// Names of the scenarios in the program.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// All devices.
    pub fn devices(&self) -> u32 {
        self.publishers.saturating_add(self.subscribers)
    }

    /// Whether messages are published.
    pub fn publishes(&self) -> bool {
        self.publishers > 0 && self.publish.rate > 0.0 && self.duration > Span::default()
    }

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
        let topic = crate::payload::topic(&self.publish.topic, "publisher0", 0);
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
        let filter = crate::payload::topic(&self.subscribe.filter, "subscriber0", 0);
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
        let forward = crate::payload::topic(forward, "subscriber0", 0);
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

    /// Subscribers that get a message of the publisher of this index: all whose filter matches its topic, and one of each
    /// group that shares a subscription.
    pub fn copies(&self, publisher: u32) -> u32 {
        let topic = crate::payload::topic(
            &self.publish.topic,
            &format!("{}{publisher}", self.names.publisher),
            publisher,
        );
        let filter = |subscriber: u32| {
            crate::payload::topic(
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
}

impl Scenario {
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
            let topic = crate::payload::topic(&self.publish.topic, &device, index);
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
                crate::payload::topic(&self.subscribe.filter, &device, index)
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

/// The scenarios in etc/loadtest, so that the program needs no file.
const BUILT_IN: [(&str, &str); 7] = [
    ("seed", include_str!("../../../etc/loadtest/seed.toml")),
    (
        "jitp-storm",
        include_str!("../../../etc/loadtest/jitp-storm.toml"),
    ),
    (
        "reconnect-storm",
        include_str!("../../../etc/loadtest/reconnect-storm.toml"),
    ),
    ("idle", include_str!("../../../etc/loadtest/idle.toml")),
    (
        "claim-storm",
        include_str!("../../../etc/loadtest/claim-storm.toml"),
    ),
    (
        "fan-out",
        include_str!("../../../etc/loadtest/fan-out.toml"),
    ),
    (
        "pipeline",
        include_str!("../../../etc/loadtest/pipeline.toml"),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn seed() -> Scenario {
        Scenario::read("seed", Scenario::built_in("seed").unwrap()).unwrap()
    }

    #[test]
    fn every_scenario_in_the_program_can_be_run() {
        for name in Scenario::names() {
            let scenario = Scenario::read(name, Scenario::built_in(name).unwrap()).unwrap();
            scenario
                .check(Matching::Standard)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(!scenario.description.is_empty(), "{name}");
            // What is written is read back the same.
            let written = toml::to_string(&scenario).unwrap();
            assert_eq!(Scenario::read(name, &written).unwrap(), scenario);
        }
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
