//! What is measured while a load test runs: latencies, counts, and why connections ended.
//!
//! Every worker thread writes into a [`Recorder`] of its own; once a second they are emptied into one.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// A kind of latency. All are in microseconds, and counted from when something was due, unless they say otherwise:
/// whatever held it up, in us or in the system, is in them (no coordinated omission).
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Latency {
    /// Opening the TCP connection, from the start of the attempt.
    Tcp,
    /// The TLS handshake, from the open TCP connection.
    Tls,
    /// One attempt that was served: from its start to CONNACK.
    Attempt,
    /// From when a device was due to connect to its CONNACK, just-in-time provisioning and repetitions included.
    Connect,
    /// An attempt that was closed without CONNACK, as just-in-time provisioning closes it: from its start.
    ProvisioningClose,
    /// Fleet provisioning by claim: from when the device was due to its identity's CONNACK.
    Claim,
    /// SUBSCRIBE to SUBACK.
    Subscribe,
    /// From the lost connection to the next CONNACK.
    Reconnect,
    /// From when a message was due to its PUBACK (QoS 1).
    Acknowledge,
    /// From when a message was really sent to its PUBACK: what a tool that waits for the system would show.
    AcknowledgeService,
    /// From when a message was due at its publisher to its arrival at a subscriber.
    Delivery,
    /// From when a message was due at its publisher to its arrival in the queue's consumer.
    Queue,
    /// PINGREQ to PINGRESP.
    Ping,
    /// How late this program itself was: from when a message was due to when it was written, where nothing but this
    /// program kept it from being written.
    Lag,
}

impl Latency {
    /// All of them, in the order of a report.
    pub const ALL: [Self; 14] = [
        Self::Tcp,
        Self::Tls,
        Self::Attempt,
        Self::Connect,
        Self::ProvisioningClose,
        Self::Claim,
        Self::Subscribe,
        Self::Reconnect,
        Self::Acknowledge,
        Self::AcknowledgeService,
        Self::Delivery,
        Self::Queue,
        Self::Ping,
        Self::Lag,
    ];

    /// Its name in reports, assertions and as a tag of the HDR log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Attempt => "attempt",
            Self::Connect => "connect",
            Self::ProvisioningClose => "provisioningClose",
            Self::Claim => "claim",
            Self::Subscribe => "subscribe",
            Self::Reconnect => "reconnect",
            Self::Acknowledge => "acknowledge",
            Self::AcknowledgeService => "acknowledgeService",
            Self::Delivery => "delivery",
            Self::Queue => "queue",
            Self::Ping => "ping",
            Self::Lag => "lag",
        }
    }

    /// What it is, for a reader.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Tcp => "opening the TCP connection",
            Self::Tls => "the TLS handshake",
            Self::Attempt => "one served attempt to connect, to CONNACK",
            Self::Connect => "from when a device was due to connect to its CONNACK",
            Self::ProvisioningClose => {
                "an attempt closed without CONNACK while the device was provisioned"
            }
            Self::Claim => "from when a device was due to its own identity being served",
            Self::Subscribe => "SUBSCRIBE to SUBACK",
            Self::Reconnect => "from a lost connection to the next CONNACK",
            Self::Acknowledge => "from when a message was due to its PUBACK",
            Self::AcknowledgeService => "from when a message was sent to its PUBACK",
            Self::Delivery => "from when a message was due to its arrival at a subscriber",
            Self::Queue => "from when a message was due to its arrival at the queue's consumer",
            Self::Ping => "PINGREQ to PINGRESP",
            Self::Lag => "how late this program itself was",
        }
    }

    /// The latency of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|latency| latency.name() == name)
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// This program is the limit when it uses more of its threads' time than this,
pub(crate) const MOST_LOAD: f64 = 0.8;
/// or when a hundredth of the messages leaves this late, in microseconds.
pub(crate) const MOST_LAG: u64 = 10_000;

/// Longest latency that is told from longer ones: an hour, in microseconds.
pub(crate) const LONGEST: u64 = 3_600_000_000;
/// Significant digits of a histogram.
pub(crate) const DIGITS: u8 = 3;

/// An empty histogram of latencies in microseconds, 1 to an hour, three digits. It has buckets only up to the longest
/// latency it has met (16 kB below 2 ms, 100 kB at 3 s, 183 kB at an hour); where they lie does not depend on it, so that
/// any two can be added, exactly.
pub fn histogram() -> Histogram<u64> {
    Histogram::new(DIGITS).expect("three digits are a number of digits")
}

/// A histogram for each kind of latency that occurred.
#[derive(Clone, Debug, Default)]
pub struct Histograms([Option<Box<Histogram<u64>>>; Latency::ALL.len()]);

impl Histograms {
    /// Counts a latency of so many microseconds; what is longer than an hour counts as an hour.
    pub fn record(&mut self, latency: Latency, micros: u64) {
        self.entry(latency)
            .record(micros.clamp(1, LONGEST))
            .expect("it grows to an hour");
    }

    /// The histogram of a kind of latency, if it occurred.
    pub fn get(&self, latency: Latency) -> Option<&Histogram<u64>> {
        self.0[latency as usize]
            .as_deref()
            .filter(|histogram| !histogram.is_empty())
    }

    /// The histogram of a kind of latency, made if there is none.
    pub fn entry(&mut self, latency: Latency) -> &mut Histogram<u64> {
        self.0[latency as usize].get_or_insert_with(|| Box::new(histogram()))
    }

    /// Adds what another has; exact, since all have the same buckets.
    pub fn add(&mut self, other: &Self) {
        for latency in Latency::ALL {
            if let Some(theirs) = other.get(latency) {
                self.entry(latency)
                    .add(theirs)
                    .expect("the same buckets, and it grows");
            }
        }
    }

    /// Takes over what another has, which is empty then: kinds that do not occur any more take no memory.
    pub fn absorb(&mut self, other: &mut Self) {
        for (ours, theirs) in self.0.iter_mut().zip(&mut other.0) {
            match (ours, theirs.take()) {
                (_, None) => {}
                (ours @ None, theirs) => *ours = theirs,
                (Some(ours), Some(theirs)) => {
                    ours.add(*theirs).expect("the same buckets, and it grows");
                }
            }
        }
    }

    /// Those that occurred.
    pub fn iter(&self) -> impl Iterator<Item = (Latency, &Histogram<u64>)> {
        Latency::ALL
            .into_iter()
            .filter_map(|latency| Some((latency, self.get(latency)?)))
    }
}

/// Defines [`Counts`] with addition and a list of its names.
macro_rules! counts {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal,)*) => {
        /// What was counted.
        #[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
        #[serde(rename_all = "camelCase", default)]
        pub struct Counts {
            $($(#[doc = $doc])* pub $name: u64,)*
        }

        impl AddAssign for Counts {
            fn add_assign(&mut self, other: Self) {
                $(self.$name += other.$name;)*
            }
        }

        impl Counts {
            /// Every count with its name, in the order of a report.
            pub fn named(&self) -> Vec<(&'static str, u64)> {
                vec![$(($text, self.$name),)*]
            }

            /// What each count is of, in the same order.
            pub fn meanings() -> Vec<(&'static str, &'static str)> {
                vec![$(($text, concat!($($doc),*).trim_ascii()),)*]
            }

            /// What was counted since `earlier`.
            pub fn since(&self, earlier: &Self) -> Self {
                Self { $($name: self.$name.saturating_sub(earlier.$name),)* }
            }
        }
    };
}

counts! {
    /// Attempts to connect.
    attempts = "attempts",
    /// Attempts that were served: CONNACK with success.
    connects = "connects",
    /// Attempts of devices that were never served before, closed without CONNACK: just-in-time provisioning at work.
    provisioning_closes = "provisioningCloses",
    /// Attempts that failed otherwise.
    failed_attempts = "failedAttempts",
    /// Connections that were lost.
    disconnects = "disconnects",
    /// Devices that gave up.
    failed_devices = "failedDevices",
    /// Devices that got an identity by claim.
    claimed = "claimed",
    /// Messages due by the schedule.
    due = "due",
    /// Messages published by publishers; each once, however often it was sent.
    published = "published",
    /// Messages sent again after a lost connection (QoS 1).
    resent = "resent",
    /// PUBACKs of success for messages of publishers.
    acknowledged = "acknowledged",
    /// PUBACKs of a refusal.
    refused = "refused",
    /// Messages of publishers that arrived at subscribers, copies included.
    received = "received",
    /// Of these, the first copies.
    delivered = "delivered",
    /// Of these, further copies.
    duplicated = "duplicated",
    /// Messages that arrived after a later one of the same publisher.
    reordered = "reordered",
    /// Messages that arrived where their topic or sender does not belong.
    misrouted = "misrouted",
    /// Messages that are not of this run.
    foreign = "foreign",
    /// Messages subscribers forwarded.
    forwarded = "forwarded",
    /// PUBACKs of success for forwarded messages.
    forwarded_acknowledged = "forwardedAcknowledged",
    /// Messages received from the queue, first copies.
    queued = "queued",
    /// Further copies from the queue.
    queue_duplicated = "queueDuplicated",
    /// Messages that left later than they were due by this program's own fault, by more than 10 ms.
    late = "late",
    /// Messages that left later because the connection took no more: unacknowledged messages at their limit, a full
    /// socket, or no connection.
    held_up = "heldUp",
    /// Bytes written, before TLS.
    bytes_sent = "bytesSent",
    /// Bytes read, after TLS.
    bytes_received = "bytesReceived",
}

/// What one worker thread measured since it was last emptied.
#[derive(Debug, Default)]
pub struct Recorder {
    /// Latencies.
    pub histograms: Histograms,
    /// Counts.
    pub counts: Counts,
    /// How connections and attempts ended, and how often.
    pub endings: BTreeMap<String, u64>,
}

impl Recorder {
    /// Adds what another has.
    pub fn add(&mut self, other: &Self) {
        self.histograms.add(&other.histograms);
        self.counts += other.counts;
        for (ending, count) in &other.endings {
            *self.endings.entry(ending.clone()).or_default() += count;
        }
    }

    /// Takes over what another has, which is empty then.
    pub fn absorb(&mut self, other: &mut Self) {
        self.histograms.absorb(&mut other.histograms);
        self.counts += std::mem::take(&mut other.counts);
        for (ending, count) in std::mem::take(&mut other.endings) {
            *self.endings.entry(ending).or_default() += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_of_different_size_are_added_exactly() {
        let mut all = Histograms::default();
        let (mut added, mut absorbed) = (Histograms::default(), Histograms::default());
        for from in [900, 0, 7, 30_000, 1] {
            for value in [from, 3 * from, 1000 * from, 40_000 * from] {
                all.record(Latency::Delivery, value);
            }
            let mut part = Histograms::default();
            for value in [from, 3 * from, 1000 * from, 40_000 * from] {
                part.record(Latency::Delivery, value);
            }
            added.add(&part);
            absorbed.absorb(&mut part);
            assert!(part.iter().next().is_none());
        }
        let all = all.get(Latency::Delivery).unwrap();
        assert_eq!(added.get(Latency::Delivery), Some(all));
        assert_eq!(absorbed.get(Latency::Delivery), Some(all));
        // The buckets are those of a histogram that was made for an hour.
        let mut whole = Histogram::<u64>::new_with_bounds(1, LONGEST, DIGITS).unwrap();
        whole.add(all).unwrap();
        assert_eq!(*all, whole);
        for quantile in [0.0, 0.1, 0.5, 0.99, 1.0] {
            assert_eq!(
                all.value_at_quantile(quantile),
                whole.value_at_quantile(quantile)
            );
        }
    }

    #[test]
    fn what_is_longer_than_an_hour_counts_as_an_hour() {
        let mut some = Histograms::default();
        some.record(Latency::Connect, u64::MAX);
        let connect = some.get(Latency::Connect).unwrap();
        assert_eq!(connect.len(), 1);
        assert_eq!(connect.max(), connect.highest_equivalent(LONGEST));
    }

    #[test]
    fn short_latencies_take_little_memory() {
        let mut short = Histograms::default();
        short.record(Latency::Tls, 1500);
        assert!(short.get(Latency::Tls).unwrap().distinct_values() * 8 <= 16 * 1024);
    }
}
