//! One connection of a device, from CONNACK to its end: reads what is there, writes what is due, and sleeps.

use std::num::NonZeroU16;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use jitp_core::mqtt::{Closed, Stage};
use jitp_wire::{
    Arrival, Frames, FromServer, Outline, QoS, Version, WireError, decode_from_server,
    encode_disconnect_from_client, encode_ping, encode_puback, encode_publish, encode_subscribe,
};
use parking_lot::Mutex;
use tokio::time::Sleep;

use crate::clock::Micros;
use crate::device::{Device, Greeted, Terms};
use crate::endings::reason;
use crate::fleet::{Role, publisher, spread};
use crate::integrity::Seen;
use crate::line::Line;
use crate::measure::{Latency, Recorder};
use crate::payload::{Stamp, Values, topic, write_forward};
use crate::scenario::{Arrivals, Phase as Distribution};
use crate::schedule::Poisson;
use crate::shared::{Phase, Shared, Window};

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
/// Largest packet that is read: AWS's limit of 146 KB and room for what other brokers send.
const MOST_PACKET: usize = 1024 * 1024;
/// What is written at once, in bytes.
const BATCH: usize = 16 * 1024;
/// From this on a message counts as late.
const LATE: Micros = 10_000;

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

    /// When the message of this number is due; each is asked for once, in their order.
    fn due(&mut self, seq: u64, window: Window) -> Micros {
        let publish = &self.device.shared.scenario.publish;
        let period = 1e6 / publish.rate;
        match publish.arrivals {
            Arrivals::Even => {
                let phase = match publish.phase {
                    Distribution::Golden => spread(u64::from(self.device.member.index)),
                    Distribution::Aligned => 0.0,
                };
                window.from + ((seq as f64 + phase) * period) as Micros
            }
            Arrivals::Poisson => {
                let place = self.device.member.place;
                let moments = &mut self.device.poisson;
                let poisson = moments.get_or_insert_with(|| Box::new(Poisson::new(place, period)));
                window.from + poisson.next()
            }
        }
    }

    /// Takes whole packets; how many bytes they were.
    fn take(&mut self, out: &mut Vec<u8>, bytes: &[u8]) -> Result<usize, End> {
        let shared = Arc::clone(&self.device.shared);
        let now = shared.clock.now();
        self.heard = now;
        let mut recorder = shared.recorders.mine();
        let frames = Frames::new(MOST_PACKET);
        let mut taken = 0;
        while let Some((first, body, size)) = frames.peel(&bytes[taken..]).map_err(malformed)? {
            self.packet(first, body, out, now, &mut recorder)?;
            taken += size;
        }
        recorder.counts.bytes_received += taken as u64;
        Ok(taken)
    }

    fn packet(
        &mut self,
        first: u8,
        body: &[u8],
        out: &mut Vec<u8>,
        now: Micros,
        recorder: &mut Recorder,
    ) -> Result<(), End> {
        match Arrival::read(self.version, first, body).map_err(malformed)? {
            Arrival::Publish {
                topic,
                payload,
                packet_id,
                ..
            } => {
                if let Some(packet_id) = packet_id {
                    encode_puback(out, self.version, packet_id, 0);
                }
                self.arrived(topic, payload, out, now, recorder);
            }
            Arrival::PubAck { packet_id, reason } => {
                self.acknowledged(packet_id, reason, now, recorder);
                self.forward_backlog(out, now, recorder);
            }
            Arrival::Other => {
                let body = Bytes::copy_from_slice(body);
                match decode_from_server(self.version, first, body).map_err(malformed)? {
                    FromServer::SubAck { codes, .. } => {
                        if let Some(code) = codes.iter().find(|code| **code >= 0x80) {
                            let why = reason(self.version, false, *code);
                            return Err(End::Refused(format!("subscription refused: {why}")));
                        }
                        if let Some(since) = self.subscribing.take() {
                            recorder.histograms.record(Latency::Subscribe, now - since);
                        }
                        self.device.settle();
                    }
                    FromServer::Ping => {
                        if let Some(since) = self.ping.take() {
                            recorder.histograms.record(Latency::Ping, now - since);
                        }
                    }
                    FromServer::Disconnect(code) => {
                        let why = reason(self.version, false, code);
                        return Err(End::Lost(Closed::Disconnected(why)));
                    }
                    _ => {
                        return Err(End::Lost(Closed::Protocol {
                            detail: "a packet that nobody asked for".to_owned(),
                        }));
                    }
                }
            }
        }
        Ok(())
    }

    /// A message for this subscriber: is it one of this run, has it been here before, does it belong here?
    fn arrived(
        &mut self,
        topic_name: &str,
        payload: &[u8],
        out: &mut Vec<u8>,
        now: Micros,
        recorder: &mut Recorder,
    ) {
        let shared = Arc::clone(&self.device.shared);
        if !shared.template.is_checked() {
            recorder.counts.received += 1;
            recorder.counts.delivered += 1;
            return;
        }
        let Some(stamp) = Stamp::read(payload).filter(|stamp| stamp.run == Some(&shared.run))
        else {
            recorder.counts.foreign += 1;
            return;
        };
        recorder.counts.received += 1;
        let scenario = &shared.scenario;
        let index = publisher(scenario, stamp.device);
        let at_home = index.is_some_and(|index| {
            stamp.subscriber.is_none()
                && topic(&scenario.publish.topic, stamp.device, index) == topic_name
        });
        let (Some(index), Some(seq), true) = (index, stamp.seq, at_home) else {
            recorder.counts.misrouted += 1;
            return;
        };
        let seen = &mut self.device.seen;
        let arrived = match &self.group {
            None => seen.note(index, seq),
            Some(group) => seen.note_shared(group, index, seq),
        };
        recorder.counts.reordered += u64::from(arrived.reordered);
        if arrived.duplicate {
            recorder.counts.duplicated += 1;
        } else {
            recorder.counts.delivered += 1;
            let due = shared.clock.at_unix(stamp.sent_micros());
            if self.is_measured(due) {
                recorder
                    .histograms
                    .record(Latency::Delivery, now.saturating_sub(due));
            }
        }
        // Of copies only the first goes on, or what is behind would look as if something were missing.
        if scenario.subscribe.forward.is_some() && !arrived.duplicate {
            let mut forward = Vec::with_capacity(192);
            let name = &self.device.member.name;
            write_forward(&mut forward, &stamp, name, shared.clock.unix(now));
            match self.device.backlog.is_empty() && self.may_send(scenario.publish.qos) {
                true => self.forward(out, forward.into(), now, recorder),
                false => self.device.backlog.push_back(forward.into()),
            }
        }
    }

    fn forward_backlog(&mut self, out: &mut Vec<u8>, now: Micros, recorder: &mut Recorder) {
        while self.may_send(self.shared().scenario.publish.qos)
            && let Some(payload) = self.device.backlog.pop_front()
        {
            recorder.counts.held_up += 1;
            self.forward(out, payload, now, recorder);
        }
    }

    fn forward(
        &mut self,
        out: &mut Vec<u8>,
        payload: Box<[u8]>,
        now: Micros,
        recorder: &mut Recorder,
    ) {
        let qos = qos(self.shared().scenario.publish.qos);
        recorder.counts.forwarded += 1;
        recorder.counts.bytes_sent += self.write(out, &payload, qos, false) as u64;
        if qos == QoS::AtLeastOnce {
            self.device.pending.push_back(Pending {
                packet_id: self.packet_id,
                sent: now,
                what: What::Forward(payload),
            });
        }
    }

    /// Whether the number of unacknowledged messages allows another.
    fn may_send(&self, qos: u8) -> bool {
        qos == 0 || self.device.pending.len() < self.most_in_flight
    }

    /// Appends a PUBLISH on this device's topic, with the next packet id.
    fn write(&mut self, out: &mut Vec<u8>, payload: &[u8], qos: QoS, dup: bool) -> usize {
        if qos == QoS::AtLeastOnce {
            self.packet_id = self.packet_id.checked_add(1).unwrap_or(NonZeroU16::MIN);
        }
        let outline = Outline {
            topic: &self.topic,
            payload,
            qos,
            retain: false,
            dup,
            packet_id: self.packet_id.get(),
            properties: &[],
            message_expiry: None,
            alias: None,
        };
        encode_publish(out, self.version, &outline).length
    }

    fn acknowledged(
        &mut self,
        packet_id: NonZeroU16,
        code: u8,
        now: Micros,
        recorder: &mut Recorder,
    ) {
        // Brokers mostly answer in order.
        let pending = &mut self.device.pending;
        let Some(place) = pending.iter().position(|one| one.packet_id == packet_id) else {
            return;
        };
        let Some(Pending { sent, what, .. }) = pending.remove(place) else {
            return;
        };
        if code >= 0x80 {
            recorder.counts.refused += 1;
            let why = reason(self.version, false, code);
            *recorder
                .endings
                .entry(format!("message refused: {why}"))
                .or_default() += 1;
            return;
        }
        match what {
            What::Own(_, due) => {
                recorder.counts.acknowledged += 1;
                if self.is_measured(due) {
                    let histograms = &mut recorder.histograms;
                    histograms.record(Latency::Acknowledge, now.saturating_sub(due));
                    histograms.record(Latency::AcknowledgeService, now.saturating_sub(sent));
                }
            }
            What::Forward(_) => recorder.counts.forwarded_acknowledged += 1,
        }
    }

    /// After a lost connection: what was not acknowledged goes out again.
    fn send_again(&mut self, out: &mut Vec<u8>, now: Micros) {
        let shared = Arc::clone(&self.device.shared);
        let mut recorder = shared.recorders.mine();
        let mut payload = Vec::new();
        for Pending { what, .. } in std::mem::take(&mut self.device.pending) {
            let written = match &what {
                What::Own(seq, due) => {
                    payload.clear();
                    self.fill(&mut payload, *seq, *due);
                    self.write(out, &payload, QoS::AtLeastOnce, true)
                }
                What::Forward(payload) => self.write(out, payload, QoS::AtLeastOnce, true),
            };
            recorder.counts.resent += 1;
            recorder.counts.bytes_sent += written as u64;
            self.device.pending.push_back(Pending {
                packet_id: self.packet_id,
                sent: now,
                what,
            });
        }
    }

    fn fill(&self, payload: &mut Vec<u8>, seq: u64, due: Micros) {
        let (shared, member) = (self.shared(), &self.device.member);
        shared.template.write(
            payload,
            &Values {
                device: &member.name,
                index: member.index,
                seq,
                sent: shared.clock.unix(due),
                run: &shared.run,
            },
        );
    }

    /// Publishes what is due, as far as the connection takes it.
    fn publish(&mut self, out: &mut Vec<u8>, drained: bool, now: Micros) {
        let (Some(window), Some((_, due))) = (self.phase.window(), self.device.next) else {
            return;
        };
        if due > now || due >= window.until {
            self.blocked = false;
            return;
        }
        if !drained {
            self.blocked = true;
            return;
        }
        if std::mem::take(&mut self.blocked) {
            self.held_up_until = now;
        }
        let shared = Arc::clone(&self.device.shared);
        let qos = qos(shared.scenario.publish.qos);
        let mut recorder = shared.recorders.mine();
        let mut payload = Vec::new();
        while let Some((seq, due)) = self.device.next
            && due <= now
            && due < window.until
            && out.len() < BATCH
        {
            if !self.may_send(qos as u8) {
                self.blocked = true;
                break;
            }
            if due <= self.held_up_until {
                recorder.counts.held_up += u64::from(now - due > LATE);
            } else {
                recorder.histograms.record(Latency::Lag, now - due);
                recorder.counts.late += u64::from(now - due > LATE);
            }
            payload.clear();
            self.fill(&mut payload, seq, due);
            recorder.counts.published += 1;
            recorder.counts.bytes_sent += self.write(out, &payload, qos, false) as u64;
            if qos == QoS::AtLeastOnce {
                self.device.pending.push_back(Pending {
                    packet_id: self.packet_id,
                    sent: now,
                    what: What::Own(seq, due),
                });
            }
            let next = self.due(seq + 1, window);
            self.device.next = Some((seq + 1, next));
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

fn malformed(error: WireError) -> End {
    End::Lost(Closed::Protocol {
        detail: error.to_string(),
    })
}

/// QoS 0 or 1; a scenario was checked for it.
fn qos(number: u8) -> QoS {
    match number {
        0 => QoS::AtMostOnce,
        _ => QoS::AtLeastOnce,
    }
}
