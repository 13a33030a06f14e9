//! Getting a connection, with retries, and judging why one could not be had.

use std::{future::Future, sync::Arc, time::Duration};

use aws_lc_rs::rand;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use super::{
    super::{
        dial::Dialer,
        error::{MqttError, Tries},
        link::Link,
        message::{MAX_FILTERS_PER_SUBSCRIBE, Qos},
        options::Options,
        reason::{Closed, Event, Stage},
        retry::Retry,
        rumqtt::Setup,
    },
    Boxed, Session,
};

/// The making of one connection. It is kept in the session, so that a caller who waits in small portions, giving
/// up and asking again, neither starts it anew nor breaks an attempt off.
pub(super) struct Campaign {
    /// When the first attempt is due: the wait before it takes nothing from the time there is for attempts.
    started: Instant,
    /// Attempts started.
    number: u32,
    /// Failures below MQTT, and TLS alerts about our certificate.
    below: u32,
    alerts: u32,
    wait: Duration,
    next: Instant,
    running: Option<JoinHandle<Result<Link, Closed>>>,
}

impl Campaign {
    fn after(wait: Duration) -> Self {
        let due = Instant::now() + wait;
        Self {
            started: due,
            number: 0,
            below: 0,
            alerts: 0,
            wait,
            next: due,
            running: None,
        }
    }

    /// Counts a failure; whether its kind may be tried again. A certificate that is out of date is not waited for: no
    /// provisioning that may be under way makes it valid.
    fn failed(&mut self, closed: &Closed, first: bool, out_of_date: bool, retry: &Retry) -> bool {
        let more = self.number < retry.attempts;
        match closed {
            Closed::Server(_) | Closed::Tls { .. } | Closed::Protocol { .. } | Closed::ByUs => {
                false
            }
            Closed::Refused(reason) => reason.is_temporary() && more,
            Closed::CertificateRefused { .. } => {
                self.alerts += 1;
                self.alerts < retry.alert_attempts && more && !out_of_date
            }
            Closed::Ended {
                stage: Stage::Connack,
            }
            | Closed::Reset {
                stage: Stage::Connack,
            }
            | Closed::Disconnected(_) => more && !out_of_date,
            _ => {
                self.below += 1;
                more && (!first || self.below < retry.unreachable_attempts)
            }
        }
    }
}

impl Session {
    /// Makes a connection, with retries, and asks for the subscriptions again.
    pub(super) fn establish(&mut self, first: bool) -> Boxed<'_, ()> {
        Box::pin(self.make_connection(first))
    }

    async fn make_connection(&mut self, first: bool) -> Result<(), MqttError> {
        let retry = self.options.retry.clone();
        loop {
            // After a loss the first attempt waits too, however long ago the last CONNECT was: whoever was
            // dropped together must not come back together.
            let wait = match self.connected_at {
                None => Duration::ZERO,
                Some(_) => retry.delay(self.fruitless.max(1), dice()),
            };
            let campaign = self.campaign.get_or_insert_with(|| Campaign::after(wait));
            let limit = campaign.started + retry.total_timeout;
            let running = match &mut campaign.running {
                Some(running) => running,
                None => {
                    sleep_until(campaign.next).await;
                    campaign.number += 1;
                    (self.events)(&Event::Attempt {
                        number: campaign.number,
                        after: campaign.wait,
                    });
                    let now = Instant::now();
                    self.connected_at = Some(now);
                    let deadline = (now + retry.attempt_timeout).min(limit);
                    let attempt = attempt(Arc::clone(&self.dialer), &self.options, deadline);
                    campaign.running.insert(tokio::spawn(attempt))
                }
            };
            let outcome = running.await.unwrap_or(Err(Closed::ByUs));
            campaign.running = None;
            let elapsed = campaign.started.elapsed();
            let number = campaign.number;
            let closed = match outcome {
                Ok(link) => {
                    self.campaign = None;
                    self.attempts = number;
                    self.connections += 1;
                    (self.events)(&Event::Connected {
                        attempts: number,
                        elapsed,
                        session_present: link.session_present(),
                    });
                    self.link = Some(link);
                    self.quiet_since = Instant::now();
                    self.resubscribe();
                    return Ok(());
                }
                Err(closed) => closed,
            };
            campaign.wait = retry.delay(number, dice());
            campaign.next = Instant::now() + campaign.wait;
            let identity = &self.options.identity;
            let out_of_date = identity.out_of_date(self.options.clock.now()).is_some();
            let again =
                campaign.failed(&closed, first, out_of_date, &retry) && campaign.next < limit;
            (self.events)(&Event::Failed {
                number,
                reason: closed.clone(),
                retry_in: again.then_some(campaign.wait),
            });
            if !again {
                self.campaign = None;
                let tries = Tries {
                    attempts: number,
                    elapsed,
                };
                return Err(self.given_up(closed, tries));
            }
        }
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

/// Address, TCP, TLS, CONNECT, CONNACK.
fn attempt(
    dialer: Arc<Dialer>,
    options: &Options,
    deadline: Instant,
) -> impl Future<Output = Result<Link, Closed>> + Send + use<> {
    let (version, client_id, keep_alive) = (
        options.version,
        options.client_id.clone(),
        options.keep_alive,
    );
    async move {
        let stream = dialer.dial(deadline).await?;
        let setup = Setup {
            version,
            client_id,
            keep_alive,
            connack_timeout: deadline.saturating_duration_since(Instant::now()),
        };
        Link::open(setup, stream, deadline).await
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
