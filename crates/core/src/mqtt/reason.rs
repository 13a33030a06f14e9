//! Reason codes of MQTT in words, and the ways in which a connection ends.

use std::{fmt, time::Duration};

use super::trust::ServerFault;
use crate::visible::visible;

/// A reason code of the broker, with the reason string that MQTT 5 may add.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reason {
    /// The code as it stood in the packet.
    pub code: u8,
    /// What the code means.
    pub words: &'static str,
    /// The broker's own sentence (MQTT 5 Reason String), if it sent one.
    pub text: Option<String>,
}

impl Reason {
    /// A reason code of MQTT 5 (OASIS MQTT 5.0, 2.4).
    pub fn v5(code: u8, text: Option<String>) -> Self {
        let words = match code {
            0x00 => "success",
            0x10 => "no matching subscribers",
            0x11 => "no subscription existed",
            0x80 => "unspecified error",
            0x81 => "malformed packet",
            0x82 => "protocol error",
            0x83 => "implementation specific error",
            0x84 => "unsupported protocol version",
            0x85 => "client identifier not valid",
            0x86 => "bad user name or password",
            0x87 => "not authorized",
            0x88 => "server unavailable",
            0x89 => "server busy",
            0x8A => "banned",
            0x8B => "server shutting down",
            0x8C => "bad authentication method",
            0x8D => "keep alive timeout",
            0x8E => "session taken over",
            0x8F => "topic filter invalid",
            0x90 => "topic name invalid",
            0x91 => "packet identifier in use",
            0x93 => "receive maximum exceeded",
            0x94 => "topic alias invalid",
            0x95 => "packet too large",
            0x96 => "message rate too high",
            0x97 => "quota exceeded",
            0x98 => "administrative action",
            0x99 => "payload format invalid",
            0x9A => "retain not supported",
            0x9B => "QoS not supported",
            0x9C => "use another server",
            0x9D => "server moved",
            0x9E => "shared subscriptions not supported",
            0x9F => "connection rate exceeded",
            0xA0 => "maximum connect time",
            0xA1 => "subscription identifiers not supported",
            0xA2 => "wildcard subscriptions not supported",
            _ => "unknown reason",
        };
        Self { code, words, text }
    }

    /// A CONNACK return code of MQTT 3.1.1 (3.2.2.3), or the 7 that AWS IoT was documented to send for 5.
    pub fn v311_connack(code: u8) -> Self {
        let words = match code {
            0 => "success",
            1 => "unacceptable protocol version",
            2 => "client identifier rejected",
            3 => "server unavailable",
            4 => "bad user name or password",
            5 | 7 => "not authorized",
            _ => "unknown return code",
        };
        Self {
            code,
            words,
            text: None,
        }
    }

    /// SUBACK failure of MQTT 3.1.1 (3.9.3).
    pub(crate) fn v311_suback() -> Self {
        Self {
            code: 0x80,
            words: "failure",
            text: None,
        }
    }

    /// Worth another try later: busy, shutting down, unavailable, too fast.
    pub fn is_temporary(&self) -> bool {
        matches!(self.code, 3 | 0x88 | 0x89 | 0x8B | 0x96 | 0x97 | 0x9F)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (0x{:02X})", self.words, self.code)?;
        match &self.text {
            // The broker's words are data: control characters must not reach a terminal.
            Some(text) => write!(f, ": {}", visible(text)),
            None => Ok(()),
        }
    }
}

/// Where a connection was when something happened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stage {
    /// Looking up the address.
    Lookup,
    /// Opening the TCP connection.
    Tcp,
    /// In the TLS handshake.
    Handshake,
    /// CONNECT sent, CONNACK awaited.
    Connack,
    /// Connected.
    Session,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lookup => "while looking up the address",
            Self::Tcp => "while opening the TCP connection",
            Self::Handshake => "in the TLS handshake",
            Self::Connack => "before CONNACK",
            Self::Session => "while connected",
        })
    }
}

/// Why a connection, or an attempt at one, ended.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Closed {
    /// No address, refused, no route.
    Unreachable {
        /// What the operating system said.
        detail: String,
    },
    /// No answer in time.
    TimedOut {
        /// What was being waited for.
        stage: Stage,
        /// How long.
        waited: Duration,
    },
    /// The server's certificate was not believed.
    Server(ServerFault),
    /// The TLS handshake failed for another reason.
    Tls {
        /// What failed.
        detail: String,
    },
    /// A TLS alert that speaks of our certificate.
    CertificateRefused {
        /// Name of the alert, as in RFC 8446, section 6.
        alert: String,
    },
    /// Closed in good order by the other side, without a word.
    Ended {
        /// When.
        stage: Stage,
    },
    /// Torn down: reset, broken pipe.
    Reset {
        /// When.
        stage: Stage,
    },
    /// CONNACK with a refusal.
    Refused(Reason),
    /// DISCONNECT from the server (MQTT 5).
    Disconnected(Reason),
    /// No answer to a PINGREQ, or to a packet that must be answered.
    Stalled,
    /// Something that is not MQTT, or not in order.
    Protocol {
        /// What.
        detail: String,
    },
    /// We disconnected.
    ByUs,
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { detail } => write!(f, "cannot reach the endpoint: {detail}"),
            Self::TimedOut { stage, waited } => {
                write!(f, "no answer {stage} within {:.1} s", waited.as_secs_f64())
            }
            Self::Server(fault) => write!(f, "the server is not trusted: {fault}"),
            Self::Tls { detail } => write!(f, "the TLS handshake failed: {detail}"),
            Self::CertificateRefused { alert } => {
                write!(f, "the server refused our certificate (TLS alert {alert})")
            }
            Self::Ended { stage } => write!(f, "closed by the server {stage}"),
            Self::Reset { stage } => write!(f, "connection reset {stage}"),
            Self::Refused(reason) => write!(f, "CONNECT refused: {reason}"),
            Self::Disconnected(reason) => write!(f, "disconnected by the server: {reason}"),
            Self::Stalled => f.write_str("the server stopped answering"),
            Self::Protocol { detail } => write!(f, "the server does not speak MQTT: {detail}"),
            Self::ByUs => f.write_str("disconnected"),
        }
    }
}

/// What happens to a connection, told as it happens; [`fmt::Display`] is a line for stderr.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// An attempt starts.
    Attempt {
        /// Counted from 1, anew for every connection to be made.
        number: u32,
        /// The wait before it.
        after: Duration,
    },
    /// The attempt failed.
    Failed {
        /// Which attempt.
        number: u32,
        /// Why.
        reason: Closed,
        /// The wait until the next, or nothing when this was the last.
        retry_in: Option<Duration>,
    },
    /// CONNACK arrived.
    Connected {
        /// How many attempts it took.
        attempts: u32,
        /// How long it took.
        elapsed: Duration,
        /// Whether the broker kept a session. We ask for a clean one, so it is false.
        session_present: bool,
    },
    /// An established connection was lost; it will be made again when needed.
    Lost {
        /// Why.
        reason: Closed,
        /// Messages accepted and not acknowledged yet; those of QoS 1 are sent again.
        unacknowledged: usize,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attempt { number: 1, .. } => f.write_str("connecting"),
            Self::Attempt { number, after } => {
                write!(f, "attempt {number} after {:.1} s", after.as_secs_f64())
            }
            Self::Failed {
                number,
                reason,
                retry_in,
            } => {
                write!(f, "attempt {number}: {reason}")?;
                if let Some(wait) = retry_in {
                    write!(f, "; trying again in {:.1} s", wait.as_secs_f64())?;
                }
                // The first close is how AWS IoT starts just-in-time provisioning; nobody should worry yet.
                if matches!(
                    (number, reason),
                    (
                        1,
                        Closed::Ended {
                            stage: Stage::Connack
                        }
                    )
                ) && retry_in.is_some()
                {
                    f.write_str(
                        " (expected on a device's first connection: AWS IoT provisions it now)",
                    )?;
                }
                Ok(())
            }
            Self::Connected {
                attempts, elapsed, ..
            } => write!(
                f,
                "connected after {} in {:.1} s",
                count(*attempts as usize, "attempt"),
                elapsed.as_secs_f64()
            ),
            Self::Lost {
                reason,
                unacknowledged: 0,
            } => write!(f, "connection lost: {reason}"),
            Self::Lost {
                reason,
                unacknowledged,
            } => write!(
                f,
                "connection lost: {reason}; {} not acknowledged yet",
                count(*unacknowledged, "message")
            ),
        }
    }
}

/// `1 attempt`, `2 attempts`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_words_and_never_control_characters() {
        assert_eq!(Reason::v5(0x87, None).to_string(), "not authorized (0x87)");
        assert_eq!(
            Reason::v5(0x97, Some("slow\u{1b}[31m".into())).to_string(),
            "quota exceeded (0x97): slow\\u{1b}[31m"
        );
        assert_eq!(Reason::v311_connack(7).words, "not authorized");
        assert!(Reason::v5(0x89, None).is_temporary());
        assert!(!Reason::v5(0x87, None).is_temporary());
    }

    #[test]
    fn events_read_like_sentences() {
        let first = Event::Failed {
            number: 1,
            reason: Closed::Ended {
                stage: Stage::Connack,
            },
            retry_in: Some(Duration::from_millis(1_250)),
        };
        assert_eq!(
            first.to_string(),
            "attempt 1: closed by the server before CONNACK; trying again in 1.2 s \
             (expected on a device's first connection: AWS IoT provisions it now)"
        );
        let lost = Event::Lost {
            reason: Closed::Stalled,
            unacknowledged: 1,
        };
        assert_eq!(
            lost.to_string(),
            "connection lost: the server stopped answering; 1 message not acknowledged yet"
        );
    }
}
