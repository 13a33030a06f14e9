//! A session over as many connections as it takes: publishes, subscribes, and comes back when lost.

mod connect;
mod step;

use std::{collections::VecDeque, fmt, pin::Pin, sync::Arc, time::Duration};

use connect::Campaign;
use step::hung_up;
use tokio::time::{Instant, timeout_at};

use super::{
    dial::Dialer,
    error::MqttError,
    link::Link,
    message::{MAX_FILTERS_PER_SUBSCRIBE, MAX_IN_FLIGHT, Message, Publish, Qos, check_filter},
    options::{BURST, Options},
    reason::{Closed, Event, Reason},
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
    /// Connections made so far.
    connections: u32,
    subscriptions: Vec<(String, Qos)>,
    /// Answers to SUBSCRIBE that nobody has looked at yet.
    answers: Vec<(String, Result<Qos, Reason>)>,
    inbox: VecDeque<Message>,
    outbox: VecDeque<Outgoing>,
    sequence: u64,
    /// One after a loss, so that a message the broker hangs up on is found; wider again with every success.
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

/// A future of which only the pointer is known outside, so that the machinery behind it is compiled once, in this
/// crate, and not again in every program.
type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, MqttError>> + Send + 'a>>;

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
            connections: 0,
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

    /// Connections made so far: more than one says that some were lost, and with them perhaps answers.
    pub fn connections(&self) -> u32 {
        self.connections
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
            self.moved(0);
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
        // Also when the connection is being made again: what was promised of the messages comes first.
        match timeout_at(until, self.step(Some(until))).await {
            Ok(step) => step.map(|_| ()),
            Err(_) => Ok(()),
        }
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
