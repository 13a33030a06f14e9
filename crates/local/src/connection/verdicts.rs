//! Decisions remembered: the same client asks about the same few topics again and again.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::diary::{Diary, Entry};
use crate::policy::{Action, Authorizer};

/// Topics remembered for each connection and direction. A power of two.
const SLOTS: usize = 32;

/// The verdicts on the topics asked about last. It takes no memory until the first one.
///
/// A verdict depends on the topic and on what is fixed for the connection, so it holds until the
/// policies are compiled anew.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    slots: Vec<Option<(Box<str>, bool)>>,
}

impl Verdicts {
    /// The verdict on a topic, from memory or by `decide`.
    pub(crate) fn get(&mut self, topic: &str, decide: impl FnOnce() -> bool) -> bool {
        if self.slots.is_empty() {
            self.slots.resize(SLOTS, None);
        }
        let slot = &mut self.slots[slot_of(topic)];
        if let Some((known, verdict)) = slot
            && **known == *topic
        {
            return *verdict;
        }
        let verdict = decide();
        *slot = Some((topic.into(), verdict));
        verdict
    }

    /// Forgets everything and the memory it took.
    pub(crate) fn clear(&mut self) {
        self.slots = Vec::new();
    }
}

/// FNV-1a. Topics that collide on purpose cost their sender a decision each and nobody else anything.
fn slot_of(topic: &str) -> usize {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in topic.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    (hash >> 32) as usize & (SLOTS - 1)
}

/// How often one connection's refusals are told, so that a flood of them costs little and does not push
/// everything else out of the diary.
#[derive(Debug)]
pub(crate) struct Told {
    since: Cell<Option<Instant>>,
    count: Cell<u32>,
}

/// Refusals of one connection told each second.
const TOLD_PER_SECOND: u32 = 10;

impl Told {
    pub(crate) fn new() -> Self {
        Self {
            since: Cell::new(None),
            count: Cell::new(0),
        }
    }

    /// Whether one more may be told.
    pub(crate) fn once_more(&self) -> bool {
        let now = Instant::now();
        match self.since.get() {
            Some(since) if now - since < Duration::from_secs(1) => {}
            _ => {
                self.since.set(Some(now));
                self.count.set(0);
            }
        }
        self.count.set(self.count.get() + 1);
        self.count.get() <= TOLD_PER_SECOND
    }
}

/// What the policies of a connection let it receive, asked by those who publish to it.
#[derive(Debug)]
pub(crate) struct Receive {
    authorizer: Arc<Authorizer>,
    verdicts: Verdicts,
    diary: Diary,
    certificate_id: Arc<str>,
    told: Told,
}

impl Receive {
    pub(crate) fn new(authorizer: Arc<Authorizer>, diary: Diary, certificate_id: Arc<str>) -> Self {
        Self {
            authorizer,
            verdicts: Verdicts::default(),
            diary,
            certificate_id,
            told: Told::new(),
        }
    }

    /// Gives back the memory an idle connection does not need.
    pub(crate) fn shrink(&mut self) {
        self.verdicts.clear();
    }

    /// Whether a message on this topic may be delivered. A refusal goes to the diary when it is decided,
    /// not each time it is remembered, so that a flood costs nothing.
    pub(crate) fn allows(&mut self, client_id: &str, topic: &str) -> bool {
        self.verdicts.get(topic, || {
            let decision = self.authorizer.decide(Action::Receive, topic);
            if !decision.allowed && self.told.once_more() {
                let reason = decision.reason();
                let sentence = format!(
                    "a message on {topic:?} is not delivered: {}",
                    reason.sentence
                );
                self.diary.record(
                    Entry::refusal(reason.code, sentence)
                        .client(client_id)
                        .certificate(&*self.certificate_id),
                );
            }
            decision.allowed
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_asked_for_once_and_again_after_forgetting() {
        let mut verdicts = Verdicts::default();
        let mut asked = 0;
        for _ in 0..3 {
            assert!(verdicts.get("a/b", || {
                asked += 1;
                true
            }));
        }
        assert!(!verdicts.get("a/c", || false));
        verdicts.clear();
        assert!(!verdicts.get("a/b", || false));
        assert_eq!(asked, 1);
    }

    #[test]
    fn topics_that_share_a_slot_are_told_apart() {
        let mut verdicts = Verdicts::default();
        for round in 0..2 {
            for number in 0..1000 {
                let topic = format!("topic/{number}");
                let verdict = number % 3 == 0;
                assert_eq!(verdicts.get(&topic, || verdict), verdict, "{round}");
            }
        }
    }
}
