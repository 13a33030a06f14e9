//! Getting a connection, with retries, and judging why one could not be had.

use std::time::Duration;

use aws_lc_rs::rand;
use tokio::time::{Instant, sleep};

use super::{
    super::{
        error::{MqttError, Tries},
        link::Link,
        message::{MAX_FILTERS_PER_SUBSCRIBE, Qos},
        reason::{Closed, Event, Stage},
        rumqtt::Setup,
    },
    Session,
};

impl Session {
    /// Makes a connection, with retries, and asks for the subscriptions again.
    pub(super) async fn establish(&mut self, first: bool) -> Result<(), MqttError> {
        let retry = self.options.retry.clone();
        let started = Instant::now();
        let limit = started + retry.total_timeout;
        // After a loss too, however long ago the last CONNECT was: whoever was dropped together must not come
        // back together.
        let mut wait = match self.connected_at {
            None => Duration::ZERO,
            Some(_) => retry.delay(self.fruitless.max(1), dice()),
        };
        let mut number = 0;
        let (mut below, mut alerts) = (0, 0);
        loop {
            sleep(wait).await;
            number += 1;
            (self.events)(&Event::Attempt {
                number,
                after: wait,
            });
            let deadline = (Instant::now() + retry.attempt_timeout).min(limit);
            let closed = match self.attempt(deadline).await {
                Ok(link) => {
                    self.attempts = number;
                    (self.events)(&Event::Connected {
                        attempts: number,
                        elapsed: started.elapsed(),
                        session_present: link.session_present(),
                    });
                    self.link = Some(link);
                    self.quiet_since = Instant::now();
                    self.resubscribe();
                    return Ok(());
                }
                Err(closed) => closed,
            };
            let allowed = match &closed {
                Closed::Server(_) | Closed::Tls { .. } => false,
                Closed::Refused(reason) => reason.is_temporary() && number < retry.attempts,
                Closed::CertificateRefused { .. } => {
                    alerts += 1;
                    alerts < retry.alert_attempts
                }
                Closed::Ended {
                    stage: Stage::Connack,
                }
                | Closed::Reset {
                    stage: Stage::Connack,
                }
                | Closed::Disconnected(_) => number < retry.attempts,
                Closed::Protocol { .. } | Closed::ByUs => false,
                _ => {
                    below += 1;
                    let most = if first {
                        retry.unreachable_attempts
                    } else {
                        retry.attempts
                    };
                    below < most && number < retry.attempts
                }
            };
            wait = retry.delay(number, dice());
            let again = allowed && Instant::now() + wait < limit;
            (self.events)(&Event::Failed {
                number,
                reason: closed.clone(),
                retry_in: again.then_some(wait),
            });
            if !again {
                let tries = Tries {
                    attempts: number,
                    elapsed: started.elapsed(),
                };
                return Err(self.given_up(closed, tries));
            }
        }
    }

    async fn attempt(&mut self, deadline: Instant) -> Result<Link, Closed> {
        // Counted even if it never gets as far as CONNECT: waiting too long harms nobody.
        self.connected_at = Some(Instant::now());
        let stream = self.dialer.dial(deadline).await?;
        self.connected_at = Some(Instant::now());
        let setup = Setup {
            version: self.options.version,
            client_id: self.options.client_id.clone(),
            keep_alive: self.options.keep_alive,
            connack_timeout: deadline.saturating_duration_since(Instant::now()),
        };
        Link::open(setup, stream, deadline).await
    }

    fn resubscribe(&mut self) {
        let Some(link) = &self.link else {
            return;
        };
        for qos in [Qos::AtMostOnce, Qos::AtLeastOnce] {
            let filters: Vec<String> = self
                .subscriptions
                .iter()
                .filter(|(_, wanted)| *wanted == qos)
                .map(|(filter, _)| filter.clone())
                .collect();
            for batch in filters.chunks(MAX_FILTERS_PER_SUBSCRIBE) {
                link.subscribe(batch, qos);
            }
        }
    }

    /// The final error of a connection that could not be made.
    fn given_up(&self, closed: Closed, tries: Tries) -> MqttError {
        let endpoint = self.endpoint();
        let client_id = self.options.client_id.clone();
        let note = self.options.identity.out_of_date(self.options.clock.now());
        match closed {
            Closed::Unreachable { detail } => MqttError::Unreachable {
                endpoint,
                tries,
                detail,
            },
            Closed::TimedOut { stage, .. } => MqttError::Timeout {
                endpoint,
                stage,
                tries,
            },
            Closed::Stalled => MqttError::Timeout {
                endpoint,
                stage: Stage::Connack,
                tries,
            },
            Closed::Server(fault) => MqttError::ServerUntrusted { endpoint, fault },
            Closed::Tls { detail } => MqttError::Tls { endpoint, detail },
            Closed::CertificateRefused { alert } => MqttError::ClientCertificateRefused {
                endpoint,
                client_id,
                tries,
                alert,
                note,
            },
            Closed::Ended {
                stage: Stage::Connack,
            }
            | Closed::Reset {
                stage: Stage::Connack,
            } => MqttError::ClosedBeforeConnack {
                endpoint,
                client_id,
                tries,
                note,
            },
            Closed::Ended { .. } | Closed::Reset { .. } => MqttError::Unreachable {
                endpoint,
                tries,
                detail: closed.to_string(),
            },
            Closed::Refused(reason) | Closed::Disconnected(reason) => MqttError::Refused {
                endpoint,
                client_id,
                tries,
                reason,
            },
            Closed::Protocol { detail } => MqttError::Protocol { endpoint, detail },
            Closed::ByUs => MqttError::Protocol {
                endpoint,
                detail: "disconnected while connecting".to_owned(),
            },
        }
    }
}

/// A number in 0.0..1.0 for the jitter. Without a random source the middle will do.
fn dice() -> f64 {
    let mut bytes = [0_u8; 4];
    match rand::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0),
        Err(_) => 0.5,
    }
}
