//! A session over as many connections as it takes: publishes, subscribes, and comes back when lost.

mod connect;

use std::{collections::VecDeque, fmt, sync::Arc, time::Duration};

use connect::Campaign;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{
    dial::Dialer,
    error::MqttError,
    link::{Link, LinkEvent},
    message::{
        MAX_FILTERS_PER_SUBSCRIBE, MAX_IN_FLIGHT, Message, Publish, Qos, Version, check_filter,
    },
    options::{BURST, Options},
    reason::{Closed, Event, Reason, count},
};

/// MQTT reason codes with which a server that disconnects speaks of what we sent.
const ABOUT_OUR_MESSAGES: [u8; 8] = [0x83, 0x87, 0x90, 0x94, 0x95, 0x99, 0x9A, 0x9B];
/// The same client id connected elsewhere.
const TAKEN_OVER: u8 = 0x8E;

/// A connected client. Sessions of MQTT are clean ones: what a broker kept for a client id is not asked for, and
/// after a lost connection this type subscribes and sends again by itself.
///
/// Nothing is done in the background but reading and keep-alive: a lost connection is made again by the next call.
/// Calls may be cancelled (dropped) and made again, except that a cancelled [`Session::subscribe`] may have taken
/// effect. Dropped without [`Session::disconnect`], the connection breaks, and QoS 0 messages may be lost with it.
pub struct Session {
    options: Options,
    dialer: Arc<Dialer>,
    events: Arc<dyn Fn(&Event) + Send + Sync>,
    link: Option<Link>,
    /// The connection being made, if there is none.
    campaign: Option<Campaign>,
    /// When the last CONNECT was sent.
    connected_at: Option<Instant>,
    attempts: u32,
    subscriptions: Vec<(String, Qos)>,
    /// Answers to SUBSCRIBE that nobody has looked at yet.
    answers: Vec<(String, Result<Qos, Reason>)>,
    inbox: VecDeque<Message>,
    outbox: VecDeque<Outgoing>,
    sequence: u64,
    /// One after a loss, so that a message the broker hangs up on is found; wide again with the first success.
    window: usize,
    round_trip_sent: bool,
    /// Connections lost in a row with nothing achieved in between.
    fruitless: u32,
    /// Of these, in good order and with messages under way.
    hang_ups: u32,
    /// Since when nothing under way was answered, on this connection and over all.
    quiet_since: Instant,
    stuck_since: Instant,
    /// The next free slot under [`Options::rate`].
    slot: Instant,
}

struct Outgoing {
    sequence: u64,
    message: Publish,
    state: State,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Not sent on this connection.
    Waiting,
    /// Handed to the connection; QoS 1 waits for PUBACK.
    Sent,
    /// QoS 0: written, and a round trip will tell whether the broker hung up on it.
    Written,
}

/// What one step brought.
enum Step {
    Progress,
    Deadline,
    Lost(Closed),
}

/// What [`probe`] found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Probed {
    /// Attempts it took; more than one for a device that was provisioned by its first connection.
    pub attempts: u32,
    /// From the first attempt to CONNACK.
    pub elapsed: Duration,
}

/// Connects until the device is accepted, then disconnects in good order: the first connection of a device.
///
/// # Errors
/// As [`Session::connect`].
pub async fn probe(
    options: Options,
    events: impl Fn(&Event) + Send + Sync + 'static,
) -> Result<Probed, MqttError> {
    let started = Instant::now();
    let session = Session::connect(options, events).await?;
    let probed = Probed {
        attempts: session.attempts,
        elapsed: started.elapsed(),
    };
    session.disconnect().await?;
    Ok(probed)
}

impl Session {
    /// Connects, with as many attempts as [`Retry`](super::Retry) allows; `events` hears of each.
    ///
    /// # Errors
    /// [`MqttError`] with the attempts made and the time it took.
    pub async fn connect(
        options: Options,
        events: impl Fn(&Event) + Send + Sync + 'static,
    ) -> Result<Self, MqttError> {
        options.check()?;
        let dialer = Arc::new(Dialer::new(&options)?);
        let window = options.in_flight.clamp(1, MAX_IN_FLIGHT);
        let now = Instant::now();
        let mut session = Self {
            options,
            dialer,
            events: Arc::new(events),
            link: None,
            campaign: None,
            connected_at: None,
            attempts: 0,
            subscriptions: Vec::new(),
            answers: Vec::new(),
            inbox: VecDeque::new(),
            outbox: VecDeque::new(),
            sequence: 0,
            window,
            round_trip_sent: false,
            fruitless: 0,
            hang_ups: 0,
            quiet_since: now,
            stuck_since: now,
            slot: now,
        };
        session.establish(true).await?;
        Ok(session)
    }

    /// Attempts the latest connection took.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Sends one message and waits until it is delivered: PUBACK at QoS 1; at QoS 0 until the broker has read it
    /// without hanging up. A lost connection is made again, and a message of QoS 1 is sent again on it.
    ///
    /// # Errors
    /// [`MqttError::PublishRefused`], [`MqttError::NotAcknowledged`], or why no connection could be had.
    pub async fn publish(&mut self, message: Publish) -> Result<(), MqttError> {
        let sequence = self.queue(message).await?;
        self.wait_for(sequence).await
    }

    /// Accepts a message and gives its sequence number (1, 2, …), waiting only while
    /// [`Options::in_flight`] messages are unconfirmed. [`Session::flush`] waits for the rest.
    ///
    /// # Errors
    /// As [`Session::publish`], about an earlier message: the message given was **not** accepted. A message that
    /// was refused is given up, the others stay ([`Session::unacknowledged`]) and are sent by the next call.
    pub async fn queue(&mut self, message: Publish) -> Result<u64, MqttError> {
        while self.outbox.len() >= self.capacity() {
            self.deliver().await?;
        }
        self.pace().await?;
        if self.outbox.is_empty() {
            self.moved();
        }
        self.sequence += 1;
        self.outbox.push_back(Outgoing {
            sequence: self.sequence,
            message,
            state: State::Waiting,
        });
        self.send();
        Ok(self.sequence)
    }

    /// Waits until every accepted message is confirmed.
    ///
    /// # Errors
    /// As [`Session::publish`].
    pub async fn flush(&mut self) -> Result<(), MqttError> {
        self.wait_for(self.sequence).await
    }

    /// Sequence numbers of the messages accepted and not confirmed, in order.
    pub fn unacknowledged(&self) -> Vec<u64> {
        self.outbox.iter().map(|o| o.sequence).collect()
    }

    /// Subscribes to every filter, at most [`MAX_FILTERS_PER_SUBSCRIBE`] in one packet, and gives the broker's
    /// answer for each in the order given. What is granted is subscribed to again after a lost connection.
    ///
    /// # Errors
    /// [`MqttError::SubscribeRefused`] when the broker closes the connection over it (MQTT 3.1.1), a limit
    /// that a filter breaks, or why no connection could be had.
    pub async fn subscribe(
        &mut self,
        filters: &[String],
        qos: Qos,
    ) -> Result<Vec<Result<Qos, Reason>>, MqttError> {
        for filter in filters {
            check_filter(filter)?;
        }
        let mut results = Vec::with_capacity(filters.len());
        for batch in filters.chunks(MAX_FILTERS_PER_SUBSCRIBE) {
            let answers = self.subscribe_batch(batch, qos).await?;
            for (filter, answer) in batch.iter().zip(&answers) {
                if answer.is_ok() {
                    self.subscriptions.retain(|(known, _)| known != filter);
                    self.subscriptions.push((filter.clone(), qos));
                }
            }
            results.extend(answers);
        }
        Ok(results)
    }

    /// The next message, or `None` when `deadline` passes first. A lost connection is made again meanwhile.
    ///
    /// # Errors
    /// Why no connection could be had again, or a subscription that is no longer granted.
    pub async fn next_message(
        &mut self,
        deadline: Option<Instant>,
    ) -> Result<Option<Message>, MqttError> {
        loop {
            if let Some(message) = self.inbox.pop_front() {
                return Ok(Some(message));
            }
            // Also when the connection is being made again: the caller's deadline comes first.
            let step = match deadline {
                None => self.step(None).await?,
                Some(deadline) => match timeout_at(deadline, self.step(None)).await {
                    Ok(step) => step?,
                    Err(_) => return Ok(None),
                },
            };
            if let Step::Deadline = step {
                return Ok(None);
            }
        }
    }

    /// Waits for what is under way, sends DISCONNECT and closes in good order.
    ///
    /// # Errors
    /// As [`Session::flush`]; the connection is closed all the same.
    pub async fn disconnect(mut self) -> Result<(), MqttError> {
        let flushed = if self.outbox.is_empty() {
            Ok(())
        } else {
            self.flush().await
        };
        if let Some(link) = self.link.take() {
            link.disconnect().await;
        }
        flushed
    }

    fn capacity(&self) -> usize {
        self.options.in_flight.clamp(1, MAX_IN_FLIGHT)
    }

    async fn wait_for(&mut self, sequence: u64) -> Result<(), MqttError> {
        while self.outbox.front().is_some_and(|o| o.sequence <= sequence) {
            self.deliver().await?;
        }
        Ok(())
    }

    /// Waits for its turn under [`Options::rate`], with an eye on the connection.
    async fn pace(&mut self) -> Result<(), MqttError> {
        let Some(rate) = self.options.rate.filter(|rate| *rate > 0) else {
            return Ok(());
        };
        let gap = Duration::from_secs(1) / rate;
        let slot = self.slot.max(Instant::now());
        if let Some(turn) = slot.checked_sub(gap * (BURST - 1)) {
            while Instant::now() < turn {
                self.step(Some(turn)).await?;
            }
        }
        self.slot = slot + gap;
        Ok(())
    }

    /// One step towards an empty outbox.
    async fn deliver(&mut self) -> Result<(), MqttError> {
        let stuck = self.stuck_since.elapsed();
        if stuck >= self.options.retry.delivery_timeout {
            let topic = self.outbox.front().map(|o| o.message.topic.clone());
            return Err(MqttError::NotAcknowledged {
                endpoint: self.endpoint(),
                unacknowledged: self.outbox.len(),
                topic: topic.unwrap_or_default(),
                waited: stuck,
            });
        }
        let until = self.stuck_since + self.options.retry.delivery_timeout;
        self.step(Some(until)).await.map(|_| ())
    }

    async fn subscribe_batch(
        &mut self,
        batch: &[String],
        qos: Qos,
    ) -> Result<Vec<Result<Qos, Reason>>, MqttError> {
        let retry = self.options.retry.clone();
        let mut hang_ups = 0;
        'connection: loop {
            if self.link.is_none() {
                self.establish(false).await?;
            }
            self.answers.clear();
            if let Some(link) = &self.link {
                link.subscribe(batch, qos);
            }
            let until = Instant::now() + retry.ack_timeout;
            loop {
                let answers: Vec<_> = batch
                    .iter()
                    .filter_map(|f| self.answers.iter().find(|(filter, _)| filter == f))
                    .map(|(_, answer)| answer.clone())
                    .collect();
                if answers.len() == batch.len() {
                    return Ok(answers);
                }
                match self.step(Some(until)).await? {
                    Step::Progress => {}
                    Step::Deadline => {
                        return Err(MqttError::NoAnswer {
                            endpoint: self.endpoint(),
                            request: "SUBSCRIBE",
                            waited: retry.ack_timeout,
                        });
                    }
                    Step::Lost(closed) => {
                        if matches!(closed, Closed::Ended { .. }) {
                            hang_ups += 1;
                        }
                        let says_so = matches!(&closed, Closed::Disconnected(reason)
                            if reason.code == 0x8F || ABOUT_OUR_MESSAGES.contains(&reason.code));
                        if says_so || hang_ups >= retry.refusals {
                            return Err(MqttError::SubscribeRefused {
                                filter: batch.join(", "),
                                why: hung_up(&closed, hang_ups, "this subscription was asked for"),
                            });
                        }
                        continue 'connection;
                    }
                }
            }
        }
    }

    /// Has a connection, sends what the window allows, and waits for one thing to happen.
    async fn step(&mut self, until: Option<Instant>) -> Result<Step, MqttError> {
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

    /// Something was achieved.
    fn moved(&mut self) {
        let now = Instant::now();
        self.quiet_since = now;
        self.stuck_since = now;
        self.fruitless = 0;
        self.hang_ups = 0;
        self.window = self.capacity();
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
                        self.moved();
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
                self.moved();
                return Err(MqttError::PublishRefused {
                    topic: refused.map(|o| o.message.topic).unwrap_or_default(),
                    why: reason.to_string(),
                    sequence,
                    unacknowledged,
                });
            }
            LinkEvent::RoundTrip { up_to } => {
                self.round_trip_sent = false;
                self.outbox
                    .retain(|o| o.state != State::Written || o.sequence > up_to);
                self.moved();
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
    fn send(&mut self) {
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

    fn endpoint(&self) -> String {
        self.options.endpoint.to_string()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("endpoint", &self.options.endpoint)
            .field("client_id", &self.options.client_id)
            .field("version", &self.options.version)
            .field("connected", &self.link.is_some())
            .field("unacknowledged", &self.outbox.len())
            .finish_non_exhaustive()
    }
}

fn hung_up(closed: &Closed, times: u32, when: &str) -> String {
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
