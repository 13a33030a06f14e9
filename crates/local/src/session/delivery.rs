//! From a session to its connection: deliver, acknowledge, redeliver.

use std::num::NonZeroU16;
use std::sync::Arc;

use bytestring::ByteString;
use jitp_wire::{QoS, Version, encode_publish};

use super::link::Link;
use super::{InFlight, Pending, Session, State, record};
use crate::connection::verdicts::Receive;
use crate::reserved::Answer;
use crate::router::{Copies, Message, Subscriber, outline};
use crate::storage::Write;

/// Bytes waiting for a connection beyond which those who publish to it slow down.
const CONGESTED: usize = 512 * 1024;
/// Bytes waiting for a connection beyond which QoS 0 messages to it are dropped.
const OVERFULL: usize = 4 * 1024 * 1024;

/// The connection of a session, as those who publish see it.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) link: Arc<Link>,
    /// Encoded packets to be sent; the connection takes them away.
    pub(crate) out: Vec<u8>,
    /// What the policies let it receive.
    pub(crate) receive: Receive,
    /// Most QoS 1 messages in flight to it.
    pub(crate) window: usize,
    /// Largest packet it takes, in bytes.
    pub(crate) largest: usize,
    /// Topics it knows by alias, the first one under 1; as many as it allows.
    pub(crate) aliases: Vec<ByteString>,
    /// How many topic aliases it allows.
    pub(crate) alias_maximum: u16,
}

/// How a delivery went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Delivery {
    /// On its way, or kept for later.
    Delivered,
    /// As `Delivered`, and much is waiting already.
    Congested,
    /// Not delivered: not allowed, not connected, too large, its own.
    NotDelivered,
}

impl Session {
    /// Hands over one message of a live publish. With `online_only`, nothing is kept for a session
    /// without connection.
    pub(crate) fn deliver(
        &self,
        copies: &mut Copies<'_>,
        subscriber: &Subscriber,
        granted: QoS,
        online_only: bool,
        writes: Option<&mut Vec<Write>>,
    ) -> Delivery {
        let message = copies.message;
        if subscriber.no_local && message.publisher == self.number {
            return Delivery::NotDelivered;
        }
        let qos = message.qos.min(granted);
        let retain = subscriber.retain_as_published && message.retain;
        let mut state = self.state.lock();
        let state = &mut *state;
        match &mut state.live {
            Some(live) => {
                if !live.receive.allows(&self.client_id, &message.topic) {
                    return Delivery::NotDelivered;
                }
                if qos == QoS::AtMostOnce {
                    return self.send(live, copies, qos, retain, 0);
                }
            }
            None if qos == QoS::AtMostOnce || online_only || state.ended || state.expiry == 0 => {
                return Delivery::NotDelivered;
            }
            None => {}
        }
        if state.pending.len() >= MOST_PENDING {
            // "Queue over limit": the newest is dropped (developer guide, "Persistent sessions").
            return Delivery::NotDelivered;
        }
        state.last_sequence += 1;
        let pending = Pending {
            sequence: state.last_sequence,
            retain,
            message: copies.kept(),
        };
        let write = (self.durable && state.expiry > 0 && writes.is_some())
            .then(|| record::write_message(self, &pending));
        let packet_id = free_packet_id(state);
        let delivery = match &mut state.live {
            Some(live) if state.pending.is_empty() && state.in_flight.len() < live.window => {
                let sent = self.send(live, copies, qos, retain, packet_id);
                if sent != Delivery::NotDelivered {
                    state.last_packet_id = packet_id;
                    state.in_flight.push_back(InFlight { packet_id, pending });
                }
                sent
            }
            _ => {
                state.pending.push_back(pending);
                Delivery::Delivered
            }
        };
        if delivery != Delivery::NotDelivered
            && let Some(writes) = writes
        {
            writes.extend(write);
        }
        delivery
    }

    /// Sends a retained message as the answer to a subscription.
    pub(crate) fn deliver_retained(&self, message: &Arc<Message>, granted: QoS, now: i64) {
        let mut state = self.state.lock();
        let state = &mut *state;
        let Some(live) = &mut state.live else { return };
        let qos = message.qos.min(granted);
        if qos != QoS::AtMostOnce {
            state.last_sequence += 1;
            state.pending.push_back(Pending {
                sequence: state.last_sequence,
                retain: true,
                message: Arc::clone(message),
            });
            self.send_pending(state, now, None);
        } else if live.receive.allows(&self.client_id, &message.topic)
            && let Ok(remaining) = message.remaining(now)
        {
            write_one(live, self.version, message, remaining, qos, true, 0);
        }
    }

    /// Sends an answer that only this connection gets, whatever its session subscribed to. A connection
    /// that is gone gets none, and its policies must allow it to receive it.
    pub(crate) fn answer(&self, link: &Arc<Link>, answer: Answer, now: i64) {
        let mut state = self.state.lock();
        let state = &mut *state;
        if !is_attached(state, link) {
            return;
        }
        let wanted = state
            .subscriptions
            .iter()
            .filter(|own| jitp_wire::topic::matches(&own.filter, &answer.topic))
            .map(|own| own.qos);
        let qos = wanted.max().unwrap_or(QoS::AtMostOnce);
        let message = Message::system(answer.topic, answer.payload, qos);
        let Some(live) = &mut state.live else { return };
        if qos != QoS::AtMostOnce {
            state.last_sequence += 1;
            state.pending.push_back(Pending {
                sequence: state.last_sequence,
                retain: false,
                message: Arc::new(message),
            });
            self.send_pending(state, now, None);
        } else if live.receive.allows(&self.client_id, &message.topic) {
            write_one(live, self.version, &message, None, qos, false, 0);
        }
    }

    /// The client has acknowledged a message; the next ones take its place.
    pub(crate) fn acknowledge(
        &self,
        link: &Arc<Link>,
        packet_id: NonZeroU16,
        now: i64,
        writes: &mut Vec<Write>,
    ) {
        let mut state = self.state.lock();
        if !is_attached(&state, link) {
            return;
        }
        let found = state
            .in_flight
            .iter()
            .position(|sent| sent.packet_id == packet_id.get());
        let Some(sent) = found.and_then(|index| state.in_flight.remove(index)) else {
            return;
        };
        if self.durable && state.expiry > 0 {
            writes.push(record::delete_message(self, sent.pending.sequence));
        }
        self.send_pending(&mut state, now, Some(writes));
    }

    /// Swaps the bytes to be sent into `out`, which is empty; whether this connection is still the one.
    pub(crate) fn take_out(&self, link: &Arc<Link>, out: &mut Vec<u8>) -> bool {
        let mut state = self.state.lock();
        if !is_attached(&state, link) {
            return false;
        }
        if let Some(live) = &mut state.live
            && !live.out.is_empty()
        {
            std::mem::swap(&mut live.out, out);
        }
        true
    }

    /// Gives the memory of an empty buffer back.
    pub(crate) fn shrink(&self, link: &Arc<Link>) {
        let mut state = self.state.lock();
        if is_attached(&state, link)
            && let Some(live) = &mut state.live
            && live.out.is_empty()
        {
            live.out = Vec::new();
            live.receive.shrink();
        }
        if state.in_flight.is_empty() && state.pending.is_empty() {
            state.in_flight.shrink_to_fit();
            state.pending.shrink_to_fit();
        }
    }

    /// Sets what the policies let the connection receive from here on.
    pub(crate) fn set_receive(&self, link: &Arc<Link>, receive: Receive) {
        let mut state = self.state.lock();
        if is_attached(&state, link)
            && let Some(live) = &mut state.live
        {
            live.receive = receive;
        }
    }

    /// Sends a connection that has just been attached what there is room for.
    pub(super) fn resume(&self, state: &mut State, now: i64, writes: &mut Vec<Write>) {
        self.send_pending(state, now, Some(writes));
    }

    fn send_pending(&self, state: &mut State, now: i64, mut writes: Option<&mut Vec<Write>>) {
        while state.in_flight.len() < state.live.as_ref().map_or(0, |live| live.window) {
            let Some(pending) = state.pending.pop_front() else {
                break;
            };
            let packet_id = free_packet_id(state);
            let Some(live) = &mut state.live else { break };
            let message = &pending.message;
            let sent = match message.remaining(now) {
                Ok(remaining) if live.receive.allows(&self.client_id, &message.topic) => {
                    let qos = QoS::AtLeastOnce;
                    write_one(
                        live,
                        self.version,
                        message,
                        remaining,
                        qos,
                        pending.retain,
                        packet_id,
                    )
                }
                _ => Delivery::NotDelivered,
            };
            if sent != Delivery::NotDelivered {
                state.last_packet_id = packet_id;
                state.in_flight.push_back(InFlight { packet_id, pending });
            } else if self.durable
                && state.expiry > 0
                && let Some(writes) = writes.as_deref_mut()
            {
                writes.push(record::delete_message(self, pending.sequence));
            }
        }
    }

    /// Writes into the buffer of the connection: from the common encoding where that is possible.
    fn send(
        &self,
        live: &mut Live,
        copies: &mut Copies<'_>,
        qos: QoS,
        retain: bool,
        packet_id: u16,
    ) -> Delivery {
        if live.alias_maximum > 0 || retain {
            let (message, remaining) = (copies.message, copies.remaining);
            return write_one(
                live,
                self.version,
                message,
                remaining,
                qos,
                retain,
                packet_id,
            );
        }
        if qos == QoS::AtMostOnce && live.out.len() > OVERFULL {
            return Delivery::NotDelivered;
        }
        let start = live.out.len();
        copies.write(&mut live.out, self.version, qos, packet_id);
        written(live, start)
    }
}

fn write_one(
    live: &mut Live,
    version: Version,
    message: &Message,
    remaining: Option<u32>,
    qos: QoS,
    retain: bool,
    packet_id: u16,
) -> Delivery {
    if qos == QoS::AtMostOnce && live.out.len() > OVERFULL {
        return Delivery::NotDelivered;
    }
    let mut outline = outline(message, remaining, qos, packet_id);
    outline.retain = retain;
    let mut new_alias = false;
    if live.alias_maximum > 0 && version == Version::V5 {
        let known = live
            .aliases
            .iter()
            .position(|topic| *topic == message.topic);
        new_alias = known.is_none() && live.aliases.len() < usize::from(live.alias_maximum);
        let alias = known.or(new_alias.then_some(live.aliases.len()));
        outline.alias = alias
            .and_then(|index| NonZeroU16::new(index as u16 + 1))
            .map(|alias| (alias, known.is_some()));
    }
    let start = live.out.len();
    encode_publish(&mut live.out, version, &outline);
    let sent = written(live, start);
    if new_alias && sent != Delivery::NotDelivered {
        live.aliases.push(ByteString::from(&*message.topic));
    }
    sent
}

/// Wakes the connection, or takes back what is larger than it accepts [MQTT-3.1.2-25].
fn written(live: &mut Live, start: usize) -> Delivery {
    if live.out.len() - start > live.largest {
        live.out.truncate(start);
        return Delivery::NotDelivered;
    }
    if start == 0 {
        live.link.wake.notify_one();
    }
    if live.out.len() > CONGESTED && live.out.len() < OVERFULL {
        Delivery::Congested
    } else {
        Delivery::Delivered
    }
}

pub(super) fn is_attached(state: &State, link: &Arc<Link>) -> bool {
    state
        .live
        .as_ref()
        .is_some_and(|live| Arc::ptr_eq(&live.link, link))
}

/// A packet id that is not in flight; there are many more ids than messages in flight.
fn free_packet_id(state: &State) -> u16 {
    let mut id = state.last_packet_id;
    loop {
        id = id.checked_add(1).unwrap_or(1);
        if !state.in_flight.iter().any(|sent| sent.packet_id == id) {
            return id;
        }
    }
}

/// Most messages a session keeps. AWS limits the rate at which they are queued, not their number.
const MOST_PENDING: usize = 10_000;
