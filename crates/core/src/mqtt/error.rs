//! What can go wrong for a program that talks MQTT, with what to look at.

use std::{fmt, time::Duration};

use super::{
    endpoint::EndpointError,
    identity::IdentityError,
    message::LimitError,
    reason::{Reason, Stage, count},
    trust::{ServerFault, TrustError},
};
use crate::failure::{Class, Classified};

/// How many attempts were made, and for how long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tries {
    /// Attempts.
    pub attempts: u32,
    /// From the first one's start to the last one's end.
    pub elapsed: Duration,
}

impl fmt::Display for Tries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} in {:.1} s",
            count(self.attempts as usize, "attempt"),
            self.elapsed.as_secs_f64()
        )
    }
}

/// A failure of the MQTT client.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MqttError {
    /// Not an endpoint.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// Unusable roots.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// Unusable certificate or key.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Beyond a limit of AWS IoT; nothing was sent.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// A name that TLS cannot ask for.
    #[error("{name:?} is not a server name")]
    ServerName {
        /// The name given.
        name: String,
    },
    /// No connection to the endpoint at all.
    #[error("cannot reach {endpoint} after {tries}: {detail}")]
    Unreachable {
        /// `host:port`.
        endpoint: String,
        /// Attempts and time.
        tries: Tries,
        /// What the operating system said, or how it ended.
        detail: String,
    },
    /// The endpoint answered and then kept silent.
    #[error("no answer from {endpoint} {stage} after {tries}")]
    Timeout {
        /// `host:port`.
        endpoint: String,
        /// Where the silence began.
        stage: Stage,
        /// Attempts and time.
        tries: Tries,
    },
    /// The server's certificate was not believed. Not tried again.
    #[error("{endpoint} is not trusted: {fault}")]
    ServerUntrusted {
        /// `host:port`.
        endpoint: String,
        /// Why.
        fault: ServerFault,
    },
    /// No common TLS version, cipher or ALPN; or no TLS at all.
    #[error("no TLS connection to {endpoint}: {detail}")]
    Tls {
        /// `host:port`.
        endpoint: String,
        /// Why.
        detail: String,
    },
    /// The server answered our certificate with a TLS alert.
    #[error("{endpoint} refused the certificate of {client_id} after {tries}: TLS alert {alert}")]
    ClientCertificateRefused {
        /// `host:port`.
        endpoint: String,
        /// Client id, which is the thing name.
        client_id: String,
        /// Attempts and time.
        tries: Tries,
        /// Name of the alert.
        alert: String,
        /// What this program can see is wrong with the certificate.
        note: Option<String>,
    },
    /// Every connection was closed before CONNACK: AWS IoT's only answer to a certificate it does not accept.
    #[error("device {client_id} not accepted by {endpoint}: closed before CONNACK, {tries}")]
    ClosedBeforeConnack {
        /// `host:port`.
        endpoint: String,
        /// Client id, which is the thing name.
        client_id: String,
        /// Attempts and time.
        tries: Tries,
        /// What this program can see is wrong with the certificate.
        note: Option<String>,
    },
    /// CONNACK with a refusal.
    #[error("{endpoint} refused the connection of {client_id} after {tries}: {reason}")]
    Refused {
        /// `host:port`.
        endpoint: String,
        /// Client id.
        client_id: String,
        /// Attempts and time.
        tries: Tries,
        /// Why.
        reason: Reason,
    },
    /// A message was refused, or the connection closed every time it was sent.
    #[error("publishing on {topic} was refused: {why}")]
    PublishRefused {
        /// Topic of the message, or of the oldest of those it may have been.
        topic: String,
        /// In words.
        why: String,
        /// Sequence number of the message, counted from 1 in this session.
        sequence: u64,
        /// Messages accepted and not acknowledged, this one included.
        unacknowledged: usize,
    },
    /// A subscription was refused, or the connection closed every time it was asked for.
    #[error("subscribing to {filter} was refused: {why}")]
    SubscribeRefused {
        /// The filter.
        filter: String,
        /// In words.
        why: String,
    },
    /// Messages that could not be delivered in time.
    #[error("{} not acknowledged by {endpoint} within {:.0} s, the first on {topic}", count(*.unacknowledged, "message"), .waited.as_secs_f64())]
    NotAcknowledged {
        /// `host:port`.
        endpoint: String,
        /// How many.
        unacknowledged: usize,
        /// Topic of the first.
        topic: String,
        /// Since the last progress.
        waited: Duration,
    },
    /// QoS 0 messages were written, and the connection broke before the broker can have confirmed them.
    #[error("the connection to {endpoint} broke after {} at QoS 0; nobody knows whether they arrived", count(*.messages, "message"))]
    Unconfirmed {
        /// `host:port`.
        endpoint: String,
        /// How many.
        messages: usize,
    },
    /// The broker answers nothing any more to a request.
    #[error("{endpoint} did not answer {request} within {:.0} s", .waited.as_secs_f64())]
    NoAnswer {
        /// `host:port`.
        endpoint: String,
        /// `SUBSCRIBE`.
        request: &'static str,
        /// How long.
        waited: Duration,
    },
    /// Connections are made and lost, over and over, with nothing done in between.
    #[error(
        "{endpoint} closed the connection of {client_id} {times} times soon after it was made: {last}"
    )]
    KeepsClosing {
        /// `host:port`.
        endpoint: String,
        /// Client id.
        client_id: String,
        /// How often in a row.
        times: u32,
        /// The last reason.
        last: String,
    },
    /// Another client connected with the same client id.
    #[error("another connection took over the client id {client_id} at {endpoint}")]
    TakenOver {
        /// `host:port`.
        endpoint: String,
        /// Client id.
        client_id: String,
    },
    /// Something other than MQTT came back in answer to CONNECT.
    #[error("{endpoint} does not speak MQTT: {detail}")]
    Protocol {
        /// `host:port`.
        endpoint: String,
        /// What.
        detail: String,
    },
}

impl Classified for MqttError {
    fn class(&self) -> Class {
        match self {
            Self::Limit(_) => Class::Usage,
            Self::Endpoint(_)
            | Self::Trust(_)
            | Self::Identity(_)
            | Self::ServerName { .. }
            | Self::ServerUntrusted { .. }
            | Self::Tls { .. }
            | Self::Protocol { .. } => Class::Configuration,
            Self::Unreachable { .. }
            | Self::Timeout { .. }
            | Self::NotAcknowledged { .. }
            | Self::Unconfirmed { .. }
            | Self::NoAnswer { .. }
            | Self::KeepsClosing { .. } => Class::Temporary,
            Self::Refused { reason, .. } if reason.is_temporary() => Class::Temporary,
            Self::Refused { .. } | Self::PublishRefused { .. } | Self::SubscribeRefused { .. } => {
                Class::Refused
            }
            Self::ClientCertificateRefused { .. } | Self::ClosedBeforeConnack { .. } => {
                Class::NotAccepted
            }
            Self::TakenOver { .. } => Class::Conflict,
        }
    }

    fn code(&self) -> String {
        let name = match self {
            Self::Endpoint(_) => "InvalidEndpoint",
            Self::Trust(_) => "InvalidTrust",
            Self::Identity(_) => "InvalidIdentity",
            Self::Limit(_) => "LimitExceeded",
            Self::ServerName { .. } => "InvalidServerName",
            Self::Unreachable { .. } => "Unreachable",
            Self::Timeout { .. } => "Timeout",
            Self::ServerUntrusted { .. } => "ServerUntrusted",
            Self::Tls { .. } => "TlsFailed",
            Self::ClientCertificateRefused { .. } => "ClientCertificateRefused",
            Self::ClosedBeforeConnack { .. } => "ClosedBeforeConnack",
            Self::Refused { .. } => "ConnectRefused",
            Self::PublishRefused { .. } => "PublishRefused",
            Self::SubscribeRefused { .. } => "SubscribeRefused",
            Self::NotAcknowledged { .. } => "NotAcknowledged",
            Self::Unconfirmed { .. } => "Unconfirmed",
            Self::NoAnswer { .. } => "NoAnswer",
            Self::KeepsClosing { .. } => "KeepsClosing",
            Self::TakenOver { .. } => "TakenOver",
            Self::Protocol { .. } => "ProtocolError",
        };
        name.to_owned()
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::ClosedBeforeConnack {
                client_id, note, ..
            }
            | Self::ClientCertificateRefused {
                client_id, note, ..
            } => match note {
                Some(note) => format!("{note}; if that cannot be, check this machine's clock"),
                None => format!(
                    "the CA may not be registered, active and with auto-registration on, its template may \
                     have failed, the certificate may be inactive, or the policy denies iot:Connect; \
                     see: device-status {client_id}"
                ),
            },
            Self::Unreachable { .. } => {
                "check the endpoint (--endpoint or AWS_IOT_ENDPOINT), the network, and that port 8883 \
                 (or 443) is open"
                    .to_owned()
            }
            Self::Timeout {
                stage: Stage::Connack,
                ..
            } => "the endpoint completes TLS but does not speak MQTT on this port; MQTT is on 8883, or \
                  on 443 with ALPN"
                .to_owned(),
            Self::Timeout { .. } => {
                "a firewall or proxy may swallow the traffic; try port 443: --endpoint HOST:443"
                    .to_owned()
            }
            Self::ServerUntrusted { fault, .. } => match fault {
                ServerFault::UnknownIssuer { .. } => {
                    "for a local core pass its root with --cafile or AWS_IOT_CAFILE; for AWS use the \
                     iot:Data-ATS endpoint"
                        .to_owned()
                }
                ServerFault::WrongName { .. } => {
                    "connect by a name that is in the server's certificate".to_owned()
                }
                ServerFault::Root { .. } => {
                    "replace the root certificate (--cafile or AWS_IOT_CAFILE)".to_owned()
                }
                _ => "check this machine's clock, and the server's certificate".to_owned(),
            },
            Self::Tls { .. } | Self::Protocol { .. } => {
                "is this an MQTT endpoint? MQTT is on port 8883, or on 443 with ALPN".to_owned()
            }
            Self::Trust(_) => "check --cafile or AWS_IOT_CAFILE".to_owned(),
            Self::Refused { reason, .. } if reason.is_temporary() => {
                "the endpoint is busy, or more is asked of it than it allows: try again later".to_owned()
            }
            Self::Refused { client_id, .. } => format!(
                "the policy must allow iot:Connect on client/{client_id}, and only one connection may \
                 use this client id"
            ),
            Self::PublishRefused { topic, .. } => {
                format!("the policy must allow iot:Publish on topic/{topic}")
            }
            Self::SubscribeRefused { filter, .. } => {
                format!("the policy must allow iot:Subscribe on topicfilter/{filter}")
            }
            Self::NotAcknowledged { .. } | Self::Unconfirmed { .. } => {
                "send them again; at QoS 1 a message may then arrive twice".to_owned()
            }
            Self::KeepsClosing { .. } | Self::TakenOver { .. } => {
                "is another program connected as the same thing?".to_owned()
            }
            _ => return None,
        })
    }
}
