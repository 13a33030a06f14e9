//! What leaves on a connection: what is due, and what has to be sent again.

use std::num::NonZeroU16;
use std::sync::Arc;

use jitp_wire::{Outline, QoS, encode_publish};

use super::{Pending, State, What, qos};
use crate::clock::Micros;
use crate::fleet::spread;
use crate::measure::Latency;
use crate::payload::Values;
use crate::scenario::{Arrivals, Phase as Distribution};
use crate::schedule::Poisson;
use crate::shared::Window;

impl State<'_> {
    /// When the message of this number is due; each is asked for once, in their order.
    pub(super) fn due(&mut self, seq: u64, window: Window) -> Micros {
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

    /// After a lost connection: what was not acknowledged goes out again.
    pub(super) fn send_again(&mut self, out: &mut Vec<u8>, now: Micros) {
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
    pub(super) fn publish(&mut self, out: &mut Vec<u8>, drained: bool, now: Micros) {
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

    /// Whether the number of unacknowledged messages allows another.
    pub(super) fn may_send(&self, qos: u8) -> bool {
        qos == 0 || self.device.pending.len() < self.most_in_flight
    }

    /// Appends a PUBLISH on this device's topic, with the next packet id.
    pub(super) fn write(
        &mut self,
        out: &mut Vec<u8>,
        payload: &[u8],
        qos: QoS,
        dup: bool,
    ) -> usize {
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
}

/// What is written at once, in bytes.
const BATCH: usize = 16 * 1024;
/// From this on a message counts as late.
const LATE: Micros = 10_000;
