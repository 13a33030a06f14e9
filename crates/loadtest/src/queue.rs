//! What arrives in a queue behind the topic rule, as its consumer sees it.

use std::collections::HashMap;

use jitp_core::names::ThingName;
use tokio::sync::mpsc;

use crate::clock::RunClock;
use crate::fleet::publisher;
use crate::integrity::Seen;
use crate::measure::{Latency, Recorder};
use crate::payload::Stamp;
use crate::scenario::Scenario;
use crate::shared::Window;

/// Bodies of messages, in the order in which the consumer received them.
pub type Bodies = mpsc::UnboundedReceiver<String>;

/// What has arrived in the queue.
pub(crate) struct Arrivals {
    bodies: Bodies,
    /// By the subscriber that forwarded it; publishers' own under none.
    seen: HashMap<Option<String>, Seen>,
}

impl Arrivals {
    pub(crate) fn new(bodies: Bodies) -> Self {
        Self {
            bodies,
            seen: HashMap::new(),
        }
    }

    /// Waits for the next message, and writes down what it was.
    pub(crate) async fn next(&mut self) -> Option<String> {
        self.bodies.recv().await
    }

    /// Writes down a message of the queue.
    pub(crate) fn note(
        &mut self,
        body: &str,
        scenario: &Scenario,
        run: &str,
        clock: RunClock,
        window: Option<Window>,
        recorder: &mut Recorder,
    ) {
        let now = clock.now();
        let stamp = Stamp::read(body.as_bytes()).filter(|stamp| stamp.run == Some(run));
        let known = stamp.and_then(|stamp| {
            let index = publisher(scenario, stamp.device)?;
            Some((stamp, index, stamp.seq?))
        });
        let Some((stamp, index, seq)) = known else {
            recorder.counts.foreign += 1;
            return;
        };
        let forwarder = match stamp.subscriber {
            Some(name) if name.parse::<ThingName>().is_err() => {
                recorder.counts.foreign += 1;
                return;
            }
            name => name.map(str::to_owned),
        };
        let seen = self.seen.entry(forwarder).or_default();
        if seen.note(index, seq).duplicate {
            recorder.counts.queue_duplicated += 1;
            return;
        }
        recorder.counts.queued += 1;
        let due = clock.at_unix(stamp.sent_micros());
        if window.is_some_and(|window| due >= window.measured) {
            recorder
                .histograms
                .record(Latency::Queue, now.saturating_sub(due));
        }
    }
}
