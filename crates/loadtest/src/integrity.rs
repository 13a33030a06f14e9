//! What of a publisher's messages arrived at one subscriber: first copies, further copies, and what came too late.

use std::collections::HashMap;

/// What an arrival was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Arrived {
    /// A copy of one that had arrived.
    pub(crate) duplicate: bool,
    /// A later one had arrived before it.
    pub(crate) reordered: bool,
}

/// The messages of each publisher that one receiver has seen, 24 bytes for each publisher.
#[derive(Debug, Default)]
pub(crate) struct Seen(HashMap<u32, Track>);

#[derive(Clone, Copy, Debug, Default)]
struct Track {
    /// One more than the highest number that arrived.
    next: u64,
    /// Bit `i`: whether the number `next - 1 - i` arrived.
    window: u64,
}

impl Seen {
    /// Notes the arrival of a publisher's message.
    pub(crate) fn note(&mut self, publisher: u32, seq: u64) -> Arrived {
        self.0.entry(publisher).or_default().note(seq)
    }
}

impl Track {
    fn note(&mut self, seq: u64) -> Arrived {
        if seq >= self.next {
            let ahead = (seq - self.next).saturating_add(1);
            self.window = match ahead < 64 {
                true => self.window << ahead | 1,
                false => 1,
            };
            self.next = seq.saturating_add(1);
            return Arrived {
                duplicate: false,
                reordered: false,
            };
        }
        let back = self.next - 1 - seq;
        // What lies further back than 64 messages is taken for a copy: queues deliver copies late, and nothing is known to
        // be overtaken by so many.
        let duplicate = back >= 64 || self.window >> back & 1 == 1;
        if !duplicate {
            self.window |= 1 << back;
        }
        Arrived {
            duplicate,
            reordered: !duplicate,
        }
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
        assert_eq!(kinds(&[0, 200, 136, 137, 0]), "..drd");
        assert_eq!(kinds(&[u64::MAX - 1, u64::MAX - 1, u64::MAX]), ".d.");
    }

    #[test]
    fn publishers_are_kept_apart() {
        let mut seen = Seen::default();
        seen.note(1, 0);
        assert!(!seen.note(2, 0).duplicate);
    }
}
