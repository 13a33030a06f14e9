//! Which scenario: one in the program or in a file, and what of it is asked for otherwise.

use std::path::Path;

use clap::{Args, ValueEnum};
use jitp_cli::{Failure, Result, read_text};
use jitp_core::failure::Class;
use jitp_core::mqtt::Version;
use jitp_loadtest::{Arrivals, MqttVersion, Origin, Phase, Scenario, ScenarioError, Span};

// (No docstring: clap would show it as what the program does.)
#[derive(Args, Clone)]
#[command(next_help_heading = "Scenario")]
pub(super) struct ScenarioFlags {
    /// A scenario in the program (see `loadtest scenarios`), or a TOML file
    #[arg(default_value = "seed")]
    scenario: String,

    /// Devices that publish
    #[arg(long, alias = "producers", value_name = "N")]
    publishers: Option<u32>,

    /// Devices that subscribe
    #[arg(long, value_name = "N")]
    subscribers: Option<u32>,

    /// How long is measured, such as 60s or 5m
    #[arg(long, value_name = "TIME")]
    duration: Option<Span>,

    /// How long is published before that
    #[arg(long, value_name = "TIME")]
    warm_up: Option<Span>,

    /// Messages a second of each publisher
    #[arg(long, value_name = "RATE")]
    rate: Option<f64>,

    /// Devices a second that connect
    #[arg(long, value_name = "RATE")]
    connect_rate: Option<f64>,

    /// Quality of service of what is published and subscribed to
    #[arg(long, value_name = "0|1", value_parser = clap::value_parser!(u8).range(0..=1))]
    qos: Option<u8>,

    /// Pad payloads to this many bytes
    #[arg(long, value_name = "BYTES")]
    size: Option<usize>,

    /// Payload; {device}, {index}, {seq}, {sent}, {run} and {rand} are filled in
    #[arg(long, value_name = "TEMPLATE")]
    payload: Option<String>,

    /// Topic of publishers; {device} and {index} are filled in
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,

    /// Topic filter of subscribers
    #[arg(long, value_name = "FILTER")]
    filter: Option<String>,

    /// Topic on which subscribers publish again what they hear; empty for none
    #[arg(long, value_name = "TOPIC")]
    forward: Option<String>,

    /// Let all publishers publish at the same moment, or spread them evenly
    #[arg(long, value_enum, value_name = "PHASE")]
    phase: Option<PhaseFlag>,

    /// Let messages come at even distances, or at random
    #[arg(long, value_enum, value_name = "ARRIVALS")]
    arrivals: Option<ArrivalsFlag>,

    /// MQTT version, 5 or 3.1.1
    #[arg(long, value_name = "VERSION")]
    mqtt_version: Option<Version>,

    /// Keep alive of the connections
    #[arg(long, value_name = "TIME")]
    keep_alive: Option<Span>,

    /// Resume TLS sessions where the server does
    #[arg(long)]
    resumption: bool,

    /// Where certificates come from: files that setup made, fresh ones of the CA, or by claim
    #[arg(long, value_enum, value_name = "ORIGIN")]
    identities: Option<OriginFlag>,
}

#[derive(Clone, Copy, ValueEnum)]
enum PhaseFlag {
    Golden,
    Aligned,
}

#[derive(Clone, Copy, ValueEnum)]
enum ArrivalsFlag {
    Even,
    Poisson,
}

#[derive(Clone, Copy, ValueEnum)]
enum OriginFlag {
    Files,
    Fresh,
    Claim,
}

impl ScenarioFlags {
    /// What the scenario is called on the command line.
    pub(super) fn called(&self) -> &str {
        &self.scenario
    }

    /// The scenario, changed as the flags say.
    ///
    /// # Errors
    /// When there is none of the name, or its file cannot be read.
    pub(super) fn scenario(&self) -> Result<Scenario> {
        let mut scenario = load(&self.scenario)?;
        let changes = self.clone();
        set(&mut scenario.publishers, changes.publishers);
        set(&mut scenario.subscribers, changes.subscribers);
        set(&mut scenario.duration, changes.duration);
        set(&mut scenario.warm_up, changes.warm_up);
        set(&mut scenario.publish.rate, changes.rate);
        set(&mut scenario.connect.rate, changes.connect_rate);
        set(&mut scenario.publish.qos, changes.qos);
        set(&mut scenario.subscribe.qos, changes.qos);
        set(&mut scenario.publish.size, changes.size);
        set(&mut scenario.publish.topic, changes.topic);
        set(&mut scenario.subscribe.filter, changes.filter);
        set(&mut scenario.connect.keep_alive, changes.keep_alive);
        if changes.payload.is_some() {
            scenario.publish.payload = changes.payload;
        }
        if let Some(forward) = changes.forward {
            scenario.subscribe.forward = Some(forward).filter(|topic| !topic.is_empty());
        }
        set(
            &mut scenario.publish.phase,
            changes.phase.map(|phase| match phase {
                PhaseFlag::Golden => Phase::Golden,
                PhaseFlag::Aligned => Phase::Aligned,
            }),
        );
        set(
            &mut scenario.publish.arrivals,
            changes.arrivals.map(|arrivals| match arrivals {
                ArrivalsFlag::Even => Arrivals::Even,
                ArrivalsFlag::Poisson => Arrivals::Poisson,
            }),
        );
        set(
            &mut scenario.connect.version,
            changes.mqtt_version.map(|version| match version {
                Version::V311 => MqttVersion::V3,
                Version::V5 => MqttVersion::V5,
            }),
        );
        scenario.connect.resumption |= changes.resumption;
        set(
            &mut scenario.identities,
            changes.identities.map(|origin| match origin {
                OriginFlag::Files => Origin::Files,
                OriginFlag::Fresh => Origin::Fresh,
                OriginFlag::Claim => Origin::Claim,
            }),
        );
        Ok(scenario)
    }
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

/// The scenario of this name in the program, or in the file of this path.
fn load(name: &str) -> Result<Scenario> {
    if let Some(toml) = Scenario::built_in(name) {
        return Scenario::read(name, toml).map_err(failure);
    }
    if !name.ends_with(".toml") && !Path::new(name).exists() {
        return Err(built_in(name).err().unwrap_or_else(|| Failure::usage(name)));
    }
    let text = read_text(Path::new(name), "the scenario")?;
    let stem = Path::new(name)
        .file_stem()
        .map(|stem| stem.to_string_lossy());
    let mut scenario = Scenario::read(name, &text).map_err(failure)?;
    if let (true, Some(stem)) = (scenario.name == name, stem) {
        scenario.name = stem.into_owned();
    }
    Ok(scenario)
}

/// The text of a scenario in the program.
///
/// # Errors
/// When there is none of that name.
pub(super) fn built_in(name: &str) -> Result<&'static str> {
    Scenario::built_in(name).ok_or_else(|| {
        let known: Vec<_> = Scenario::names().collect();
        Failure::new(Class::Configuration, format!("there is no scenario {name}")).hint(format!(
            "there are {}, or give the path of a TOML file",
            known.join(", ")
        ))
    })
}

/// A scenario that cannot be run.
pub(super) fn failure(error: ScenarioError) -> Failure {
    let hint = match &error {
        ScenarioError::FeedsItself { .. } => Some(
            "subscribe to another filter, such as loadtest/+; only AWS IoT Core keeps a/# and a apart",
        ),
        _ => None,
    };
    let failure = Failure::new(Class::Configuration, error.to_string());
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
