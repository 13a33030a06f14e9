//! What of a publisher's messages arrived at one subscriber: first copies, further copies, and what came too late.

use std::collections::{BTreeMap, HashMap};

use parking_lot::Mutex;

/// What an arrival was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Arrived {
    /// A copy of one that had arrived.
    pub(crate) duplicate: bool,
    /// A later one had arrived before it.
    pub(crate) reordered: bool,
}

/// The messages of each publisher that one receiver has seen, 16 bytes for each publisher, and 16 for each gap.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// One more than the highest number that arrived.
    next: HashMap<u32, u64>,
    /// Numbers below it that did not arrive, of publishers of which there are any.
    gaps: BTreeMap<u32, Gaps>,
}

/// Numbers that did not arrive, as ranges (the end excluded), ascending and apart from each other. However late one of
/// them comes, it is told from a copy.
#[derive(Clone, Debug, Default)]
struct Gaps(Vec<(u64, u64)>);

/// Most gaps that are kept of a publisher: where more messages than that are missing apart from each other, what comes
/// into the oldest gaps is taken for a copy.
const MOST_GAPS: usize = 4096;

impl Seen {
    /// Notes the arrival of a publisher's message.
    pub(crate) fn note(&mut self, publisher: u32, seq: u64) -> Arrived {
        let next = self.next.entry(publisher).or_default();
        if seq >= *next {
            if seq > *next {
                let gaps = self.gaps.entry(publisher).or_default();
                gaps.open(*next, seq);
            }
            *next = seq.saturating_add(1);
            return Arrived {
                duplicate: false,
                reordered: false,
            };
        }
        let late = self.fill(publisher, seq);
        Arrived {
            duplicate: !late,
            reordered: late,
        }
    }

    /// One arrived after a later one; whether it was missing.
    fn fill(&mut self, publisher: u32, seq: u64) -> bool {
        let Some(gaps) = self.gaps.get_mut(&publisher) else {
            return false;
        };
        let late = gaps.fill(seq);
        if gaps.0.is_empty() {
            self.gaps.remove(&publisher);
        }
        late
    }

    /// Notes it for one of several receivers that share what arrives: a copy is one wherever among them the first went; of
    /// order each has its own.
    pub(crate) fn note_shared(&mut self, all: &Mutex<Self>, publisher: u32, seq: u64) -> Arrived {
        let own = self.note(publisher, seq);
        let duplicate = all.lock().note(publisher, seq).duplicate;
        Arrived {
            duplicate,
            reordered: own.reordered && !duplicate,
        }
    }
}

impl Gaps {
    /// Numbers from `first` to `end` (excluded), above all that are known, did not arrive.
    fn open(&mut self, first: u64, end: u64) {
        self.0.push((first, end));
        self.forget();
    }

    fn forget(&mut self) {
        if self.0.len() > MOST_GAPS {
            self.0.remove(0);
        }
    }

    /// One arrived; whether it was missing.
    fn fill(&mut self, seq: u64) -> bool {
        let place = self.0.partition_point(|&(_, end)| end <= seq);
        let Some(&(first, end)) = self.0.get(place).filter(|(first, _)| *first <= seq) else {
            return false;
        };
        let left = (first, seq);
        let right = (seq + 1, end);
        match (left.0 < left.1, right.0 < right.1) {
            (false, false) => drop(self.0.remove(place)),
            (true, false) => self.0[place] = left,
            (false, true) => self.0[place] = right,
            (true, true) => {
                self.0[place] = left;
                self.0.insert(place + 1, right);
                self.forget();
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(numbers: &[u64]) -> String {
        let mut seen = Seen::default();
        numbers
            .iter()
            .map(|&seq| match seen.note(7, seq) {
                Arrived {
                    duplicate: true, ..
                } => 'd',
                Arrived {
                    reordered: true, ..
                } => 'r',
                Arrived { .. } => '.',
            })
            .collect()
    }

    #[test]
    fn copies_and_latecomers_are_told_apart() {
        assert_eq!(kinds(&[0, 1, 2, 3]), "....");
        assert_eq!(kinds(&[0, 0, 2, 1, 1, 3]), ".d.rd.");
        assert_eq!(kinds(&[5, 4, 69, 6, 5]), ".r.rd");
        assert_eq!(kinds(&[0, 200, 136, 137, 136, 0]), "..rrdd");
        assert_eq!(kinds(&[u64::MAX - 1, u64::MAX - 1, u64::MAX]), ".d.");
    }

    #[test]
    fn no_disorder_makes_a_copy_of_a_first_one() {
        // Each number comes far before or after its turn: 3041 is prime to 8000.
        let order: Vec<u64> = (0..8000).map(|place| place * 3041 % 8000).collect();
        let first = kinds(&order);
        assert!(!first.contains('d'), "{first}");
        let mut seen = Seen::default();
        for &seq in &order {
            seen.note(7, seq);
        }
        // All have arrived: nothing is remembered, and everything is a copy.
        assert!(seen.gaps.is_empty());
        assert!(order.iter().all(|&seq| seen.note(7, seq).duplicate));
    }

    #[test]
    fn what_is_missing_apart_from_each_other_is_forgotten_at_last() {
        let mut seen = Seen::default();
        let most = MOST_GAPS as u64;
        // Every other one is missing, two more than are kept.
        for number in 0..most + 2 {
            seen.note(7, 2 * number + 1);
        }
        assert_eq!(seen.gaps[&7].0.len(), MOST_GAPS);
        assert!(seen.note(7, 2).duplicate);
        assert!(seen.note(7, 2 * most).reordered);
    }

    #[test]
    fn a_copy_at_another_receiver_of_a_group_makes_up_for_no_loss() {
        let group = Mutex::default();
        let (mut one, mut other) = (Seen::default(), Seen::default());
        let arrivals = [
            one.note_shared(&group, 7, 0),
            other.note_shared(&group, 7, 1),
            // Number 2 is lost, and number 1 comes again, to somebody else.
            one.note_shared(&group, 7, 1),
            one.note_shared(&group, 7, 4),
            // It was overtaken by one that went elsewhere, which says nothing of order.
            other.note_shared(&group, 7, 3),
        ];
        let first = arrivals.iter().filter(|arrived| !arrived.duplicate).count();
        assert_eq!(first, 4, "{arrivals:?}");
        assert!(arrivals[2].duplicate);
        assert!(arrivals.iter().all(|arrived| !arrived.reordered));
    }

    #[test]
    fn publishers_are_kept_apart() {
        let mut seen = Seen::default();
        seen.note(1, 0);
        assert!(!seen.note(2, 0).duplicate);
    }
}
