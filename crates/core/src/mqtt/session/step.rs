//! One step of a session: what a connection brings, what is sent on it, and what its loss means.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{
    super::{
        error::MqttError,
        link::LinkEvent,
        message::{Qos, Version},
        reason::{Closed, Event, count},
    },
    ABOUT_OUR_MESSAGES, Boxed, Session, State, Step, TAKEN_OVER,
};

impl Session {
    /// Has a connection, sends what the window allows, and waits for one thing to happen.
    pub(super) fn step(&mut self, until: Option<Instant>) -> Boxed<'_, Step> {
        Box::pin(self.take_step(until))
    }

    async fn take_step(&mut self, until: Option<Instant>) -> Result<Step, MqttError> {
        if self.link.is_none() {
            self.establish(false).await?;
        }
        self.send();
        let under_way = self.round_trip_sent || self.outbox.iter().any(|o| o.state == State::Sent);
        let stall = under_way.then(|| self.quiet_since + self.options.retry.ack_timeout);
        let Some(link) = self.link.as_mut() else {
            return Ok(Step::Progress);
        };
        let event = tokio::select! {
            biased;
            event = link.next() => event,
            () = at(stall) => {
                if let Some(link) = self.link.take() {
                    link.abandon();
                }
                return self.lost(Closed::Stalled);
            }
            () = at(until) => return Ok(Step::Deadline),
        };
        match event {
            Some(event) => self.happened(event).map(|()| Step::Progress),
            None => {
                let closed = link.ended().await;
                self.lost(closed)
            }
        }
    }

    /// So many messages are out of the way. The window widens by as many, as TCP's does after a loss: over a network
    /// that breaks after some dozens of messages, sending a hundred at once would never get more than one through.
    pub(super) fn moved(&mut self, messages: usize) {
        let now = Instant::now();
        self.quiet_since = now;
        self.stuck_since = now;
        self.fruitless = 0;
        self.hang_ups = 0;
        self.window = (self.window + messages).min(self.capacity());
    }

    fn happened(&mut self, event: LinkEvent) -> Result<(), MqttError> {
        match event {
            LinkEvent::Message(message) => {
                self.fruitless = 0;
                self.inbox.push_back(message);
            }
            LinkEvent::Published {
                sequence,
                result: Ok(()),
            } => {
                let Some(index) = self.outbox.iter().position(|o| o.sequence == sequence) else {
                    return Ok(());
                };
                match self.outbox[index].message.qos {
                    Qos::AtLeastOnce => {
                        self.outbox.remove(index);
                        self.moved(1);
                    }
                    Qos::AtMostOnce => {
                        self.outbox[index].state = State::Written;
                        self.quiet_since = Instant::now();
                    }
                }
            }
            LinkEvent::Published {
                sequence,
                result: Err(reason),
            } => {
                let unacknowledged = self.outbox.len();
                let Some(index) = self.outbox.iter().position(|o| o.sequence == sequence) else {
                    return Ok(());
                };
                let refused = self.outbox.remove(index);
                self.moved(1);
                return Err(MqttError::PublishRefused {
                    topic: refused.map(|o| o.message.topic).unwrap_or_default(),
                    why: reason.to_string(),
                    sequence,
                    unacknowledged,
                });
            }
            LinkEvent::RoundTrip { up_to } => {
                self.round_trip_sent = false;
                let before = self.outbox.len();
                self.outbox
                    .retain(|o| o.state != State::Written || o.sequence > up_to);
                self.moved(before - self.outbox.len());
            }
            LinkEvent::Subscribed(answers) => {
                for (filter, answer) in answers {
                    let known = self.subscriptions.iter().any(|(known, _)| *known == filter);
                    match answer {
                        Err(reason) if known => {
                            self.subscriptions.retain(|(known, _)| *known != filter);
                            return Err(MqttError::SubscribeRefused {
                                filter,
                                why: format!("{reason}, after the connection was made again"),
                            });
                        }
                        answer => self.answers.push((filter, answer)),
                    }
                }
            }
        }
        Ok(())
    }

    /// Sends what waits, as far as the window allows, and asks for the round trip that confirms QoS 0.
    pub(super) fn send(&mut self) {
        let Some(link) = &self.link else {
            return;
        };
        let mut under_way = self
            .outbox
            .iter()
            .filter(|o| o.state == State::Sent)
            .count();
        let mut first = under_way == 0;
        for outgoing in &mut self.outbox {
            if under_way >= self.window {
                break;
            }
            if outgoing.state == State::Waiting {
                link.publish(outgoing.sequence, &outgoing.message);
                outgoing.state = State::Sent;
                under_way += 1;
                if std::mem::take(&mut first) {
                    self.quiet_since = Instant::now();
                }
            }
        }
        let written = self.outbox.iter().filter(|o| o.state == State::Written);
        if let Some(up_to) = written.map(|o| o.sequence).max()
            && under_way == 0
            && !self.round_trip_sent
        {
            link.round_trip(up_to);
            self.round_trip_sent = true;
            self.quiet_since = Instant::now();
        }
    }

    /// Judges a loss: something to come back from, or an answer to what was sent.
    fn lost(&mut self, closed: Closed) -> Result<Step, MqttError> {
        self.link = None;
        self.round_trip_sent = false;
        self.window = 1;
        let under_way = self.outbox.iter().any(|o| o.state != State::Waiting);
        let unacknowledged = self.outbox.len();
        (self.events)(&Event::Lost {
            reason: closed.clone(),
            unacknowledged,
        });
        let lived = self.connected_at.map_or(Duration::ZERO, |at| at.elapsed());
        if lived >= self.options.retry.stable_after && !under_way {
            self.fruitless = 0;
        }
        self.fruitless += 1;

        let reason = match &closed {
            Closed::Disconnected(reason) if reason.code == TAKEN_OVER => {
                return Err(MqttError::TakenOver {
                    endpoint: self.endpoint(),
                    client_id: self.options.client_id.clone(),
                });
            }
            Closed::Disconnected(reason) => Some(reason),
            _ => None,
        };
        let says_so = under_way && reason.is_some_and(|r| ABOUT_OUR_MESSAGES.contains(&r.code));
        let hung_up_on_us = says_so || matches!(closed, Closed::Ended { .. });
        if under_way && hung_up_on_us {
            self.hang_ups += 1;
        }

        // QoS 0 is never sent twice: written and unconfirmed means refused, or lost with the connection.
        let written: Vec<(u64, String)> = self.in_state(State::Written);
        let sent = self.in_state(State::Sent);
        self.outbox.retain(|o| o.state != State::Written);
        for outgoing in &mut self.outbox {
            outgoing.state = State::Waiting;
        }
        if let Some((sequence, topic)) = written.first().cloned() {
            if !hung_up_on_us {
                return Err(MqttError::Unconfirmed {
                    endpoint: self.endpoint(),
                    messages: written.len(),
                });
            }
            return Err(MqttError::PublishRefused {
                topic,
                why: hung_up(
                    &closed,
                    1,
                    &format!("{} at QoS 0", count(written.len(), "message")),
                ),
                sequence,
                unacknowledged,
            });
        }
        // With one message under way it is known which one; with more, the next connection finds out.
        let only = if sent.len() == 1 { sent.first() } else { None };
        if let Some((sequence, topic)) = only.cloned()
            && (says_so || self.hang_ups >= self.options.retry.refusals)
        {
            let why = hung_up(&closed, self.hang_ups, "this message was sent");
            self.outbox.retain(|o| o.sequence != sequence);
            self.hang_ups = 0;
            return Err(MqttError::PublishRefused {
                topic,
                why,
                sequence,
                unacknowledged,
            });
        }
        if self.fruitless > self.options.retry.attempts {
            return Err(MqttError::KeepsClosing {
                endpoint: self.endpoint(),
                client_id: self.options.client_id.clone(),
                times: self.fruitless,
                last: closed.to_string(),
            });
        }
        Ok(Step::Lost(closed))
    }

    fn in_state(&self, state: State) -> Vec<(u64, String)> {
        self.outbox
            .iter()
            .filter(|o| o.state == state)
            .map(|o| (o.sequence, o.message.topic.clone()))
            .collect()
    }
}

pub(super) fn hung_up(closed: &Closed, times: u32, when: &str) -> String {
    match closed {
        Closed::Disconnected(reason) => reason.to_string(),
        _ => format!(
            "the connection was closed {} after {when}; under MQTT {} that is how AWS IoT denies it",
            if times == 1 {
                "right".to_owned()
            } else {
                format!("{times} times in a row")
            },
            Version::V311
        ),
    }
}

/// Sleeps until then, or for ever.
async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
