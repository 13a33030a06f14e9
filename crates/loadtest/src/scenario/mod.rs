//! Scenarios: which devices do what, for how long. Read from TOML, written into the outcome.

mod check;
mod copies;
mod error;
mod span;

use serde::{Deserialize, Serialize};

pub use self::copies::{Matching, matches};
pub use self::error::ScenarioError;
pub use self::span::Span;

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
    /// Payload with placeholders ([`Template`](crate::Template)); JSON with device, sent, seq and run unless given.
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

fn default_drain() -> Span {
    Span::seconds(10)
}

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
}

/// The scenarios in etc/loadtest, so that the program needs no file.
const BUILT_IN: [(&str, &str); 7] = [
    ("seed", include_str!("../../../../etc/loadtest/seed.toml")),
    (
        "jitp-storm",
        include_str!("../../../../etc/loadtest/jitp-storm.toml"),
    ),
    (
        "reconnect-storm",
        include_str!("../../../../etc/loadtest/reconnect-storm.toml"),
    ),
    ("idle", include_str!("../../../../etc/loadtest/idle.toml")),
    (
        "claim-storm",
        include_str!("../../../../etc/loadtest/claim-storm.toml"),
    ),
    (
        "fan-out",
        include_str!("../../../../etc/loadtest/fan-out.toml"),
    ),
    (
        "pipeline",
        include_str!("../../../../etc/loadtest/pipeline.toml"),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

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
}
