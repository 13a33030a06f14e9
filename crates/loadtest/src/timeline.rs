//! The course of a run in as many entries as a reader can use: one a second, and of a long run one for every two, four,
//! eight seconds.

use crate::outcome::Second;

/// The course of a run. Counts add up exactly, however long an entry is; latencies as they were, exactly, are in the HDR
/// log.
#[derive(Debug)]
pub(crate) struct Timeline {
    entries: Vec<Second>,
    /// Seconds of an entry.
    step: u32,
    /// Where seconds are counted from, so that all shards of a run have them alike: when publishing began.
    origin: f64,
    /// Which step the last entry is of.
    last: i64,
}

/// Most entries: an hour in seconds, some 300 bytes each.
const MOST: usize = 3600;

impl Default for Timeline {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            step: 1,
            origin: 0.0,
            last: i64::MIN,
        }
    }
}

impl Timeline {
    /// One more second, or less, that has ended.
    pub(crate) fn push(&mut self, second: Second) {
        match self.step {
            1 => self.entries.push(second),
            _ => self.place(second),
        }
        while self.entries.len() > MOST {
            self.step *= 2;
            self.last = i64::MIN;
            for second in std::mem::take(&mut self.entries) {
                self.place(second);
            }
        }
    }

    /// From now on seconds are counted from here, which is in seconds since the first device was due.
    pub(crate) fn count_from(&mut self, origin: f64) {
        self.origin = origin;
        self.last = i64::MIN;
    }

    /// The entries, and how many seconds each is of.
    pub(crate) fn entries(&self) -> (&[Second], u32) {
        (&self.entries, self.step)
    }

    /// Into the entry of its step; what is measured and what is not are kept apart.
    fn place(&mut self, second: Second) {
        let begin = self.entries.last().map_or(0.0, |last| last.at);
        let middle = f64::midpoint(begin, second.at) - self.origin;
        let of = (middle / f64::from(self.step)).floor() as i64;
        match self.entries.last_mut() {
            Some(last) if of == self.last && last.measured == second.measured => {
                last.follow(second);
            }
            _ => self.entries.push(second),
        }
        self.last = of;
    }
}

impl Second {
    /// What came after it becomes a part of it.
    fn follow(&mut self, later: Self) {
        self.at = later.at;
        self.connected = later.connected;
        self.counts += later.counts;
        self.cpu += later.cpu;
        for (worst, later) in [
            (&mut self.p50, later.p50),
            (&mut self.p99, later.p99),
            (&mut self.connect_p99, later.connect_p99),
        ] {
            // Percentiles are not averaged: the worst second is told.
            *worst = worst.iter().copied().chain(later).reduce(f64::max);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Counts;

    fn second(number: u32, measured: bool) -> Second {
        let published = u64::from(number);
        Second {
            // Ticks are always a little late.
            at: f64::from(number) * 1.0003,
            connected: published,
            counts: Counts {
                published,
                ..Counts::default()
            },
            p50: None,
            p99: (number % 1000 == 7).then_some(f64::from(number)),
            connect_p99: None,
            cpu: 0.25,
            measured,
        }
    }

    #[test]
    fn of_a_day_an_hour_of_entries_is_kept_and_nothing_is_lost() {
        let mut timeline = Timeline::default();
        let seconds = 86_400;
        for number in 1..=seconds {
            if number == 101 {
                timeline.count_from(100.03);
            }
            timeline.push(second(number, number > 100));
            assert!(timeline.entries.len() <= MOST);
        }
        let (entries, step) = timeline.entries();
        assert_eq!(step, 32);
        assert!(entries.len() > MOST / 2, "{}", entries.len());
        let published: u64 = entries.iter().map(|entry| entry.counts.published).sum();
        assert_eq!(published, (1..=u64::from(seconds)).sum::<u64>());
        let cpu: f64 = entries.iter().map(|entry| entry.cpu).sum();
        assert_eq!(cpu, 0.25 * f64::from(seconds));
        let last = entries.last().unwrap();
        assert_eq!(
            (last.at, last.connected),
            (second(seconds, true).at, u64::from(seconds))
        );
        // The worst of each, and every thousand seconds once.
        let told = entries.iter().filter(|entry| entry.p99.is_some()).count();
        assert_eq!(told, 87);
        // In their order, each of a step but where measuring began.
        let lengths = entries.windows(2).map(|pair| pair[1].at - pair[0].at);
        assert!(lengths.clone().all(|length| length > 0.0 && length < 33.1));
        let measured = entries.iter().position(|entry| entry.measured).unwrap();
        assert_eq!(entries[measured - 1].at, second(100, false).at);
        assert!(entries[measured..].iter().all(|entry| entry.measured));
    }

    #[test]
    fn an_hour_is_told_second_by_second() {
        let mut timeline = Timeline::default();
        for number in 1..=3600 {
            timeline.push(second(number, true));
        }
        let (entries, step) = timeline.entries();
        assert_eq!((entries.len(), step), (3600, 1));
    }
}
