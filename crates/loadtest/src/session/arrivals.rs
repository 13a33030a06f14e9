//! What arrives on a connection: messages for a subscriber, and answers.

use std::num::NonZeroU16;
use std::sync::Arc;

use bytes::Bytes;
use jitp_core::mqtt::Closed;
use jitp_wire::{Arrival, Frames, FromServer, QoS, WireError, decode_from_server, encode_puback};

use super::{End, Pending, State, What, qos};
use crate::clock::Micros;
use crate::endings::reason;
use crate::fleet::publisher;
use crate::measure::{Latency, Recorder};
use crate::payload::{Stamp, topic, write_forward};

impl State<'_> {
    /// Takes whole packets; how many bytes they were.
    pub(super) fn take(&mut self, out: &mut Vec<u8>, bytes: &[u8]) -> Result<usize, End> {
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

    pub(super) fn forward_backlog(
        &mut self,
        out: &mut Vec<u8>,
        now: Micros,
        recorder: &mut Recorder,
    ) {
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
}

fn malformed(error: WireError) -> End {
    End::Lost(Closed::Protocol {
        detail: error.to_string(),
    })
}

/// Largest packet that is read: AWS's limit of 146 KB and room for what other brokers send.
const MOST_PACKET: usize = 1024 * 1024;
