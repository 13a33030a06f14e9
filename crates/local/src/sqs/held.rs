//! The messages a queue holds, and which of them are in sight: no sockets, no storage, and the time is passed in.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use super::message::Message;

/// Most messages of a standard queue that may be in flight (SQS developer guide, "Amazon SQS message quotas").
const MOST_IN_FLIGHT: usize = 120_000;

/// Receives after which a message no longer counts as the oldest (SQS developer guide, "Available CloudWatch metrics").
const MOST_RECEIVES_OF_OLDEST: u32 = 3;

/// The messages of one queue, by number. Times are milliseconds since 1970.
#[derive(Debug, Default)]
pub(super) struct Held {
    entries: HashMap<u64, Entry>,
    /// Numbers of those in sight, in the order they came into it; some are gone already.
    in_sight: VecDeque<u64>,
    /// Those out of sight, by the time they come back.
    hidden: BTreeSet<(i64, u64)>,
    /// How many of the hidden were received, and not sent with a delay.
    in_flight: usize,
    /// All of them by the time they were sent.
    ages: BTreeSet<(i64, u64)>,
    next: u64,
}

#[derive(Debug)]
struct Entry {
    message: Arc<Message>,
    place: Place,
    /// How often it was received.
    receives: u32,
    /// How often it was received since the local core was started; the last receipt has this number.
    deliveries: u32,
    first_received: Option<i64>,
    /// When it came into this queue: as it was sent, or moved here as a dead letter.
    entered: i64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    InSight,
    Delayed(i64),
    InFlight(i64),
}

/// A message as a receive hands it out.
#[derive(Clone, Debug)]
pub(crate) struct Delivered {
    /// Number of the message in its queue.
    pub(super) number: u64,
    /// Which delivery of this run it is.
    pub(super) delivery: u32,
    /// The message.
    pub(crate) message: Arc<Message>,
    /// How often it was received, this time included.
    pub(crate) receives: u32,
    /// When it was first received, in milliseconds since 1970.
    pub(crate) first_received: i64,
}

impl Delivered {
    /// One that was never in a queue.
    #[cfg(test)]
    pub(crate) fn for_test(body: &str) -> Self {
        Self {
            number: 0,
            delivery: 1,
            message: Arc::new(Message::new(body.to_owned(), "sender")),
            receives: 1,
            first_received: 0,
        }
    }
}

/// What a receive asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// Most messages.
    pub(super) most: usize,
    /// Milliseconds they go out of sight.
    pub(super) visibility: i64,
    /// Receives after which a message is a dead letter.
    pub(super) most_receives: Option<u32>,
}

/// What came of a receive.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) delivered: Vec<Delivered>,
    /// Those that were received too often, and how often; they are no longer held.
    pub(super) dead: Vec<(u64, u32, Arc<Message>)>,
    /// Whether more are in sight.
    pub(super) more: bool,
    /// Whether nothing was taken because too many are in flight.
    pub(super) over_limit: bool,
}

/// How many messages are where.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Counts {
    /// In sight.
    pub(crate) visible: usize,
    /// Received, and not yet deleted.
    pub(crate) in_flight: usize,
    /// Sent with a delay that is not over.
    pub(crate) delayed: usize,
}

/// What a receipt leads to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Found {
    /// The message, by the latest receipt of it.
    Latest,
    /// The message, by a receipt that others came after.
    Older,
    /// Nothing: it is deleted already.
    Gone,
}

impl Held {
    /// A number for one more message.
    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// Takes a message in, which is out of sight for `delay` milliseconds.
    pub(super) fn insert(&mut self, number: u64, message: Arc<Message>, now: i64, delay: i64) {
        self.restore(number, message, 0, None, now.saturating_add(delay), now);
    }

    /// Takes a message in as it was when it was stored.
    pub(super) fn restore(
        &mut self,
        number: u64,
        message: Arc<Message>,
        receives: u32,
        first_received: Option<i64>,
        not_before: i64,
        now: i64,
    ) {
        self.next = self.next.max(number + 1);
        self.ages.insert((message.sent, number));
        // A dead letter has no delay: what stands there is when it was moved, from which its age counts. It still expires
        // by when it was sent.
        let is_dead = message.dead_letter_source.is_some();
        let entered = match is_dead {
            true => not_before.max(message.sent),
            false => message.sent,
        };
        let place = match not_before > now && !is_dead {
            true => {
                self.hidden.insert((not_before, number));
                Place::Delayed(not_before)
            }
            false => {
                self.in_sight.push_back(number);
                Place::InSight
            }
        };
        self.entries.insert(
            number,
            Entry {
                message,
                place,
                receives,
                deliveries: 0,
                first_received,
                entered,
            },
        );
    }

    /// Brings those back into sight whose time has come.
    fn advance(&mut self, now: i64) {
        while let Some((until, number)) = self.hidden.first().copied() {
            if until > now {
                break;
            }
            self.hidden.pop_first();
            if let Some(entry) = self.entries.get_mut(&number) {
                self.in_flight -= usize::from(matches!(entry.place, Place::InFlight(_)));
                entry.place = Place::InSight;
                self.in_sight.push_back(number);
            }
        }
    }

    /// Drops what was sent before a moment; numbers, and how often each was received.
    pub(super) fn expire(&mut self, before: i64) -> Vec<(u64, u32)> {
        let mut expired = Vec::new();
        while let Some((sent, number)) = self.ages.first().copied() {
            if sent >= before {
                break;
            }
            // Whatever has an age is there.
            let receives = self.remove(number).unwrap_or_default();
            expired.push((number, receives));
        }
        expired
    }

    /// Receives messages.
    pub(super) fn take(&mut self, now: i64, wanted: &Wanted) -> Taken {
        self.advance(now);
        let mut taken = Taken::default();
        // Once round the queue is enough: what goes not out of sight lines up again at its end.
        let mut turns = self.in_sight.len();
        while taken.delivered.len() < wanted.most && turns > 0 {
            turns -= 1;
            if self.in_flight >= MOST_IN_FLIGHT {
                taken.over_limit = taken.delivered.is_empty();
                break;
            }
            let Some(number) = self.in_sight.pop_front() else {
                break;
            };
            let Some(entry) = self.entries.get_mut(&number) else {
                continue;
            };
            if wanted
                .most_receives
                .is_some_and(|most| entry.receives >= most)
            {
                let (message, receives) = (Arc::clone(&entry.message), entry.receives);
                self.remove(number);
                taken.dead.push((number, receives, message));
                continue;
            }
            entry.receives = entry.receives.saturating_add(1);
            entry.deliveries = entry.deliveries.saturating_add(1);
            let first_received = *entry.first_received.get_or_insert(now);
            taken.delivered.push(Delivered {
                number,
                delivery: entry.deliveries,
                message: Arc::clone(&entry.message),
                receives: entry.receives,
                first_received,
            });
            if wanted.visibility > 0 {
                let until = now.saturating_add(wanted.visibility);
                entry.place = Place::InFlight(until);
                self.hidden.insert((until, number));
                self.in_flight += 1;
            } else {
                self.in_sight.push_back(number);
            }
        }
        taken.more = self.entries.len() > self.hidden.len();
        taken
    }

    /// What a receipt leads to. One of an earlier run counts as the latest until the message is received again.
    pub(super) fn find(&self, number: u64, delivery: Option<u32>) -> Found {
        match self.entries.get(&number) {
            None => Found::Gone,
            Some(entry) if entry.deliveries == delivery.unwrap_or(0) => Found::Latest,
            Some(_) => Found::Older,
        }
    }

    /// Deletes a message; how often it was received, if it was there.
    pub(super) fn remove(&mut self, number: u64) -> Option<u32> {
        let entry = self.entries.remove(&number)?;
        self.ages.remove(&(entry.message.sent, number));
        match entry.place {
            Place::InSight => {
                // Its number stays in line, and is passed over; not for ever, where nobody receives.
                if self.in_sight.len() > 2 * self.entries.len() + 1024 {
                    let entries = &self.entries;
                    self.in_sight.retain(|number| entries.contains_key(number));
                }
            }
            Place::Delayed(until) => {
                self.hidden.remove(&(until, number));
            }
            Place::InFlight(until) => {
                self.hidden.remove(&(until, number));
                self.in_flight -= 1;
            }
        }
        Some(entry.receives)
    }

    /// Says anew how long a message in flight stays out of sight; whether it is in flight.
    pub(super) fn change_visibility(&mut self, number: u64, now: i64, milliseconds: i64) -> bool {
        self.advance(now);
        let Some(entry) = self.entries.get_mut(&number) else {
            return false;
        };
        let Place::InFlight(before) = entry.place else {
            return false;
        };
        self.hidden.remove(&(before, number));
        if milliseconds > 0 {
            let until = now.saturating_add(milliseconds);
            entry.place = Place::InFlight(until);
            self.hidden.insert((until, number));
        } else {
            entry.place = Place::InSight;
            self.in_flight -= 1;
            self.in_sight.push_back(number);
        }
        true
    }

    /// Empties it; numbers of what was there, and how often each was received.
    pub(super) fn clear(&mut self) -> Vec<(u64, u32)> {
        let entries = self.entries.iter();
        let numbers = entries
            .map(|(number, entry)| (*number, entry.receives))
            .collect();
        *self = Self {
            next: self.next,
            ..Self::default()
        };
        numbers
    }

    pub(super) fn counts(&mut self, now: i64) -> Counts {
        self.advance(now);
        Counts {
            visible: self.entries.len() - self.hidden.len(),
            in_flight: self.in_flight,
            delayed: self.hidden.len() - self.in_flight,
        }
    }

    /// When the oldest message came into the queue, of those sent since a moment. What was received more than three times
    /// is passed over.
    pub(super) fn oldest(&self, since: i64) -> Option<i64> {
        let entries = self.entries.values();
        let counted = entries.filter(|entry| {
            entry.message.sent >= since && entry.receives <= MOST_RECEIVES_OF_OLDEST
        });
        counted.map(|entry| entry.entered).min()
    }

    /// When the next message comes into sight that is out of it.
    pub(super) fn next_in_sight(&self) -> Option<i64> {
        self.hidden.first().map(|(until, _)| *until)
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    fn wanted(most: usize, visibility: i64) -> Wanted {
        Wanted {
            most,
            visibility,
            most_receives: None,
        }
    }

    fn put(held: &mut Held, body: &str, now: i64, delay: i64) -> u64 {
        let number = held.number();
        let mut message = Message::new(body.to_owned(), "sender");
        message.sent = now;
        held.insert(number, Arc::new(message), now, delay);
        number
    }

    fn bodies(taken: &Taken) -> Vec<&str> {
        let delivered = taken.delivered.iter();
        delivered.map(|one| one.message.body.as_str()).collect()
    }

    #[test]
    fn what_is_received_is_out_of_sight_and_comes_back_behind_the_others() {
        let mut held = Held::default();
        put(&mut held, "a", 0, 0);
        put(&mut held, "late", 0, 50);
        put(&mut held, "b", 0, 0);
        let taken = held.take(10, &wanted(1, 100));
        assert_eq!((bodies(&taken), taken.more), (vec!["a"], true));
        assert_eq!(
            held.counts(10),
            Counts {
                visible: 1,
                in_flight: 1,
                delayed: 1
            }
        );
        assert_eq!(held.next_in_sight(), Some(50));
        assert_eq!(bodies(&held.take(109, &wanted(10, 1000))), ["b", "late"]);
        let again = held.take(110, &wanted(10, 1000));
        assert_eq!(bodies(&again), ["a"]);
        assert_eq!(
            (
                again.delivered[0].receives,
                again.delivered[0].first_received
            ),
            (2, 10)
        );
        assert!(held.take(120, &wanted(10, 1000)).delivered.is_empty());
    }

    #[test]
    fn a_message_received_too_often_is_a_dead_letter() {
        let mut held = Held::default();
        put(&mut held, "a", 0, 0);
        let ask = Wanted {
            most_receives: Some(2),
            ..wanted(10, 10)
        };
        assert_eq!(bodies(&held.take(0, &ask)), ["a"]);
        assert_eq!(bodies(&held.take(10, &ask)), ["a"]);
        let taken = held.take(20, &ask);
        assert!(taken.delivered.is_empty());
        assert_eq!(taken.dead[0].2.body, "a");
        assert_eq!(held.counts(20).visible, 0);
    }

    #[test]
    fn the_latest_receipt_counts_and_one_of_an_earlier_run_until_the_next() {
        let mut held = Held::default();
        let number = put(&mut held, "a", 0, 0);
        assert_eq!(held.find(number, None), Found::Latest);
        held.take(0, &wanted(1, 10));
        assert_eq!(held.find(number, None), Found::Older);
        assert_eq!(held.find(number, Some(1)), Found::Latest);
        held.take(10, &wanted(1, 10));
        assert_eq!(held.find(number, Some(1)), Found::Older);
        assert!(held.change_visibility(number, 11, 0));
        assert!(!held.change_visibility(number, 11, 0), "it is in sight");
        held.remove(number);
        assert_eq!(held.find(number, Some(2)), Found::Gone);
    }

    #[test]
    fn the_oldest_is_whatever_came_first_and_was_not_received_too_often() {
        let mut held = Held::default();
        assert_eq!(held.oldest(0), None);
        let first = put(&mut held, "a", 5, 0);
        put(&mut held, "b", 7, 100);
        assert_eq!(held.oldest(0), Some(5));
        for _ in 0..3 {
            assert_eq!(bodies(&held.take(10, &wanted(10, 0))), ["a"]);
        }
        assert_eq!(held.oldest(0), Some(5));
        held.take(10, &wanted(10, 0));
        assert_eq!(held.oldest(0), Some(7), "the first was received four times");
        held.remove(first);
        let mut dead = Message::new("dead".to_owned(), "sender");
        (dead.sent, dead.dead_letter_source) = (1, Some("arn".to_owned()));
        let number = held.number();
        held.insert(number, Arc::new(dead), 6, 0);
        assert_eq!(held.oldest(0), Some(6), "it is a dead letter since then");
        assert_eq!(held.oldest(2), Some(7), "and expires as it was sent");
        assert_eq!(held.expire(2), [(number, 0)]);
    }

    #[test]
    fn without_visibility_each_is_received_once_a_call() {
        let mut held = Held::default();
        put(&mut held, "a", 0, 0);
        put(&mut held, "b", 0, 0);
        put(&mut held, "late", 0, 50);
        assert_eq!(bodies(&held.take(0, &wanted(10, 0))), ["a", "b"]);
        assert_eq!(bodies(&held.take(0, &wanted(10, 0))), ["a", "b"]);
    }

    #[test]
    fn whatever_happens_the_counts_are_right_and_nothing_is_lost() {
        let mut random = StdRng::seed_from_u64(5);
        let mut held = Held::default();
        let mut alive = BTreeSet::new();
        let mut now = 0;
        for _ in 0..20_000 {
            now += random.random_range(0..3);
            let number = random.random_range(0..held.next.max(1));
            match random.random_range(0..7) {
                0 | 1 => {
                    let delay = random.random_range(0..20);
                    alive.insert(put(&mut held, "m", now, delay));
                }
                2 | 3 => {
                    let visibility = random.random_range(0..30);
                    let taken = held.take(now, &wanted(3, visibility));
                    for one in taken.delivered {
                        assert!(alive.contains(&one.number));
                    }
                }
                4 => {
                    held.remove(number);
                    alive.remove(&number);
                }
                5 => {
                    held.change_visibility(number, now, random.random_range(0..30));
                }
                _ => {
                    for (number, _) in held.expire(now - 400) {
                        assert!(alive.remove(&number));
                    }
                }
            }
            let counts = held.counts(now);
            let all = counts.visible + counts.in_flight + counts.delayed;
            assert_eq!(all, alive.len());
        }
        let taken = held.take(now + 100, &wanted(usize::MAX, 10));
        let found: BTreeSet<u64> = taken.delivered.iter().map(|one| one.number).collect();
        assert_eq!(found, alive);
    }
}
