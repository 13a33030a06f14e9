//! One connection of a device, from CONNACK to its end: reads what is there, writes what is due, and sleeps.

mod arrivals;
mod departures;

use std::num::NonZeroU16;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use jitp_core::mqtt::{Closed, Stage};
use jitp_wire::{QoS, Version, encode_disconnect_from_client, encode_ping, encode_subscribe};
use parking_lot::Mutex;
use tokio::time::Sleep;

use crate::clock::Micros;
use crate::device::{Device, Greeted, Terms};
use crate::fleet::{Role, spread};
use crate::integrity::Seen;
use crate::line::Line;
use crate::payload::topic;
use crate::shared::{Phase, Shared};

/// How a connection ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The run is over.
    Finished,
    /// The scenario dropped it.
    Dropped,
    /// The subscription was refused: this device is of no use.
    Refused(String),
    /// It was lost.
    Lost(Closed),
}

/// A message that is not acknowledged.
#[derive(Debug)]
pub(crate) struct Pending {
    packet_id: NonZeroU16,
    sent: Micros,
    what: What,
}

/// What a message was, so that it can be sent again.
#[derive(Debug)]
enum What {
    /// A publisher's: its number and when it was due.
    Own(u64, Micros),
    /// A forwarded one: its payload.
    Forward(Box<[u8]>),
}

/// The connection and its alarm clock.
pub(crate) struct Session<'d> {
    line: Line,
    timer: Pin<Box<Sleep>>,
    armed: Micros,
    state: State<'d>,
}

/// What a connection knows.
struct State<'d> {
    device: &'d mut Device,
    phase: Phase,
    version: Version,
    /// Most messages that are not acknowledged: ours, or what the broker takes.
    most_in_flight: usize,
    /// Keep alive that is in force.
    keep_alive: Micros,
    /// When something was last read, and last written.
    heard: Micros,
    spoke: Micros,
    /// When the PINGREQ that is not answered was sent.
    ping: Option<Micros>,
    /// When the SUBSCRIBE that is not answered was sent.
    subscribing: Option<Micros>,
    packet_id: NonZeroU16,
    /// Topic of this publisher.
    topic: String,
    /// What has arrived at the shared subscription of this subscriber.
    group: Option<Arc<Mutex<Seen>>>,
    /// Whether the connection takes no more at the moment.
    blocked: bool,
    /// What was due before this was held up by something else than this program.
    held_up_until: Micros,
}

/// Packet id of the only SUBSCRIBE.
const SUBSCRIBE_ID: NonZeroU16 = NonZeroU16::MIN;
impl<'d> Session<'d> {
    /// Serves the connection until it ends.
    pub(crate) async fn run(device: &'d mut Device, Greeted { stream, terms }: Greeted) -> End {
        let mut phase = device.phase.clone();
        let mut session = Self::new(device, Line::new(stream), terms, *phase.borrow_and_update());
        loop {
            tokio::select! {
                biased;
                changed = phase.changed() => match changed {
                    Ok(()) => session.enter(*phase.borrow_and_update()),
                    Err(_) => return End::Finished,
                },
                end = std::future::poll_fn(|cx| session.poll(cx)) => return end,
            }
        }
    }

    fn new(device: &'d mut Device, mut line: Line, terms: Terms, phase: Phase) -> Self {
        let shared = Arc::clone(&device.shared);
        let now = shared.clock.now();
        let version = shared.scenario.connect.version.into();
        let scenario = &shared.scenario;
        let keep_alive = match terms.keep_alive {
            Some(seconds) if seconds > 0 => u64::from(seconds) * 1_000_000,
            _ => scenario.connect.keep_alive.micros(),
        };
        let mut state = State {
            most_in_flight: usize::from(scenario.publish.in_flight.min(terms.receive_maximum)),
            keep_alive,
            phase,
            version,
            heard: now,
            spoke: now,
            ping: None,
            subscribing: None,
            packet_id: SUBSCRIBE_ID,
            topic: String::new(),
            group: None,
            blocked: false,
            held_up_until: now,
            device,
        };
        let member = &state.device.member;
        match member.role {
            Role::Publisher => {
                state.topic = topic(&shared.scenario.publish.topic, &member.name, member.index);
                state.device.settle();
            }
            Role::Subscriber => {
                let filter = &shared.scenario.subscribe.filter;
                let filter = topic(filter, &member.name, member.index);
                let qos = qos(shared.scenario.subscribe.qos);
                encode_subscribe(line.out(), version, SUBSCRIBE_ID, &[(&filter, qos)]);
                state.subscribing = Some(now);
                state.group = shared.groups.of(&filter);
                if let Some(forward) = &shared.scenario.subscribe.forward {
                    state.topic = topic(forward, &member.name, member.index);
                }
            }
        }
        state.send_again(line.out(), now);
        state.enter(phase);
        Self {
            line,
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            armed: 0,
            state,
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.state.enter(phase);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            loop {
                let state = &mut self.state;
                match self.line.poll_read(cx, |out, bytes| state.take(out, bytes)) {
                    Poll::Pending => break,
                    Poll::Ready(Err(error)) => {
                        return Poll::Ready(End::Lost(Closed::of(&error, Stage::Session)));
                    }
                    Poll::Ready(Ok((_, Err(end)))) => return Poll::Ready(end),
                    Poll::Ready(Ok((0, Ok(())))) => {
                        return Poll::Ready(End::Lost(Closed::Ended {
                            stage: Stage::Session,
                        }));
                    }
                    Poll::Ready(Ok(_)) => {}
                }
            }
            let now = self.state.now();
            if let Some(end) = self.state.look_at_the_time(now) {
                return Poll::Ready(end);
            }
            if self.state.phase == Phase::Ending {
                encode_disconnect_from_client(self.line.out());
                // Whether it still gets through changes nothing.
                let _ = self.line.poll_write(cx);
                return Poll::Ready(End::Finished);
            }
            self.state.ping_if_quiet(self.line.out(), now);
            // First what was left or is an answer; only when the socket has taken all of it, what is due.
            if let Some(end) = self.write(cx, now) {
                return Poll::Ready(end);
            }
            let drained = self.line.is_drained();
            self.state.publish(self.line.out(), drained, now);
            if let Some(end) = self.write(cx, now) {
                return Poll::Ready(end);
            }
            let drained = self.line.is_drained();
            if !drained {
                // What falls due until the socket takes more is held up by it.
                self.state.blocked = true;
            }
            let wake = self.state.wake(drained);
            if wake != self.armed {
                self.armed = wake;
                let at = self.state.shared().clock.instant(wake);
                self.timer.as_mut().reset(at);
            }
            if self.state.is_idle(now) {
                self.line.rest();
            }
            match self.timer.as_mut().poll(cx) {
                Poll::Ready(()) => self.armed = 0,
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl Session<'_> {
    /// Writes what there is, as far as the socket takes it.
    fn write(&mut self, cx: &mut Context<'_>, now: Micros) -> Option<End> {
        if self.line.is_drained() {
            return None;
        }
        match self.line.poll_write(cx) {
            Poll::Ready(Ok(())) => self.state.spoke = now,
            Poll::Ready(Err(error)) => {
                return Some(End::Lost(Closed::of(&error, Stage::Session)));
            }
            Poll::Pending => {}
        }
        None
    }
}

impl State<'_> {
    fn shared(&self) -> &Shared {
        &self.device.shared
    }

    fn now(&self) -> Micros {
        self.shared().clock.now()
    }

    /// A new phase: from the first window on it is known when messages are due.
    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        let Some(window) = phase.window() else {
            return;
        };
        let scenario = &self.device.shared.scenario;
        if self.device.next.is_none()
            && self.device.member.role == Role::Publisher
            && scenario.publishes()
        {
            let first = self.due(0, window);
            self.device.next = Some((0, first));
        }
        let scenario = &self.device.shared.scenario;
        if let (None, Some(storm)) = (self.device.storm, &scenario.storm) {
            self.device.storm = Some((0, window.from + storm.at.micros()));
        }
    }

    fn is_measured(&self, due: Micros) -> bool {
        self.phase
            .window()
            .is_some_and(|window| due >= window.measured)
    }

    /// Whether it is quiet for so long that memory is better given back.
    fn is_idle(&self, now: Micros) -> bool {
        let soon = self
            .device
            .next
            .is_some_and(|(_, due)| due < now + 1_000_000);
        !soon && self.device.pending.is_empty()
    }

    /// What time alone brings about.
    fn look_at_the_time(&mut self, now: Micros) -> Option<End> {
        let patience = self.shared().scenario.connect.attempt_timeout.micros();
        let oldest = self.device.pending.front().map(|pending| pending.sent);
        let waited = |since: Option<Micros>| since.is_some_and(|since| now > since + patience);
        if waited(self.ping) || waited(self.subscribing) || waited(oldest) {
            return Some(End::Lost(Closed::Stalled));
        }
        let (number, at) = self.device.storm?;
        if now < at || !matches!(self.phase, Phase::Publishing(_)) {
            return None;
        }
        let storm = self.shared().scenario.storm.clone()?;
        self.device.storm = Some(match storm.every.micros() {
            0 => (number + 1, Micros::MAX),
            every => (number + 1, at + every),
        });
        // Another part of the fleet every time, spread evenly over it.
        let place = spread(u64::from(self.device.member.place) + 1 + number * 7);
        (place < storm.share).then_some(End::Dropped)
    }

    fn ping_if_quiet(&mut self, out: &mut Vec<u8>, now: Micros) {
        if self.ping.is_none() && now >= self.ping_at() {
            encode_ping(out);
            self.ping = Some(now);
        }
    }

    /// When a PINGREQ is due: after three quarters of the keep alive without a word from one of the sides.
    fn ping_at(&self) -> Micros {
        self.heard.min(self.spoke) + self.keep_alive / 4 * 3
    }

    /// When there is something to do next, if nothing arrives before.
    fn wake(&self, drained: bool) -> Micros {
        let patience = self.shared().scenario.connect.attempt_timeout.micros() + 1;
        let due = match (self.phase.window(), self.device.next) {
            (Some(window), Some((_, due))) if !self.blocked && drained && due < window.until => due,
            _ => Micros::MAX,
        };
        let ping = match self.ping {
            None => self.ping_at(),
            Some(since) => since + patience,
        };
        let storm = match (self.phase, self.device.storm) {
            (Phase::Publishing(_), Some((_, at))) => at,
            _ => Micros::MAX,
        };
        let answer = self
            .device
            .pending
            .front()
            .map(|pending| pending.sent)
            .into_iter()
            .chain(self.subscribing)
            .map(|since| since + patience)
            .min()
            .unwrap_or(Micros::MAX);
        due.min(ping).min(storm).min(answer).min(FAR)
    }
}

/// Timers are set no further than a year from the start: no run is that long.
const FAR: Micros = 365 * 86_400 * 1_000_000;

/// QoS 0 or 1; a scenario was checked for it.
fn qos(number: u8) -> QoS {
    match number {
        0 => QoS::AtMostOnce,
        _ => QoS::AtLeastOnce,
    }
}
