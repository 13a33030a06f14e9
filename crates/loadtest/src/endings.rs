//! How connections and attempts end, in words of which there are few.

use jitp_core::mqtt::{Closed, Reason, Stage};

/// Why an attempt came to nothing.
#[derive(Debug)]
pub(crate) enum Missed {
    /// The connection was not made, or ended.
    Closed(Closed),
    /// There is no identity to connect with, and there will be none: why, in a sentence.
    Identity(String),
    /// The claim did not become an identity: why, in a sentence.
    Claim(String),
}

impl From<Closed> for Missed {
    fn from(closed: Closed) -> Self {
        Self::Closed(closed)
    }
}

impl Missed {
    /// As it is counted.
    pub(crate) fn ending(&self) -> String {
        match self {
            Self::Closed(closed) => ending(closed),
            Self::Identity(why) => why.clone(),
            Self::Claim(why) => format!("with the claim: {why}"),
        }
    }

    /// Whether trying again is of no use.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::Identity(_))
    }

    /// Whether it is how just-in-time provisioning ends the first attempt of a device.
    pub(crate) fn is_provisioning(&self) -> bool {
        matches!(self, Self::Closed(closed) if is_provisioning(closed))
    }
}

/// The ending as it is counted: without times, which would make every one another.
pub(crate) fn ending(closed: &Closed) -> String {
    match closed {
        Closed::TimedOut { stage, .. } => format!("no answer {stage}"),
        Closed::Unreachable { detail } => format!("cannot reach the endpoint: {detail}"),
        other => other.to_string(),
    }
}

/// Whether an attempt of a device that was never served ended as just-in-time provisioning ends it: closed without
/// CONNACK (developer guide, "Just-in-time provisioning").
fn is_provisioning(closed: &Closed) -> bool {
    matches!(
        closed,
        Closed::Ended {
            stage: Stage::Connack
        } | Closed::Reset {
            stage: Stage::Connack
        }
    )
}

/// A refusal in CONNACK or a DISCONNECT of the server, in the words of its version.
pub(crate) fn reason(version: jitp_wire::Version, connack: bool, code: u8) -> Reason {
    match (version, connack) {
        (jitp_wire::Version::V3, true) => Reason::v311_connack(code),
        _ => Reason::v5(code, None),
    }
}
