//! The HDR interval log of a run: every latency of every second, exactly, readable by other HDR tools.
//!
//! One line a second and kind of latency, tagged with [`Latency::name`]; values are microseconds, timestamps seconds
//! since the run began, histograms V2 with DEFLATE.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{
    IntervalLogHistogram, IntervalLogIterator, IntervalLogWriterBuilder, IntervalLogWriterError,
    LogEntry, LogIteratorError, Tag,
};

use crate::compressed::V2Compressed;
use crate::measure::{DIGITS, Histograms, LONGEST, Latency};

/// A log that is being written. What was written before the program ended, however it ended, can be read.
pub struct HdrLog {
    path: PathBuf,
    file: BufWriter<File>,
    serializer: V2Compressed,
}

impl HdrLog {
    /// Makes the file; `started_at` is the Unix time, in milliseconds, from which intervals count.
    ///
    /// # Errors
    /// [`HdrLogError::Write`], also if there is such a file: what was measured is never overwritten.
    pub fn create(path: &Path, started_at: u64) -> Result<Self, HdrLogError> {
        let write = |source| HdrLogError::Write {
            path: path.to_owned(),
            source,
        };
        let mut log = Self {
            path: path.to_owned(),
            file: BufWriter::new(File::create_new(path).map_err(write)?),
            serializer: V2Compressed::new(),
        };
        let started_at = SystemTime::UNIX_EPOCH + Duration::from_millis(started_at);
        IntervalLogWriterBuilder::new()
            .add_comment("[Histogram log format version 1.3]")
            .add_comment("Latencies in microseconds.")
            .with_start_time(started_at)
            .with_base_time(started_at)
            .begin_log_with(&mut log.file, &mut log.serializer)
            .map_err(write)?;
        log.file.write_all(LEGEND).map_err(write)?;
        log.file.flush().map_err(write)?;
        Ok(log)
    }

    /// Writes what was measured in `length` seconds from `start`, counted from the beginning of the run.
    ///
    /// # Errors
    /// [`HdrLogError::Write`].
    pub fn interval(
        &mut self,
        start: f64,
        length: f64,
        histograms: &Histograms,
    ) -> Result<(), HdrLogError> {
        self.write_interval(start, length, histograms)
            .map_err(|source| HdrLogError::Write {
                path: self.path.clone(),
                source,
            })
    }

    fn write_interval(
        &mut self,
        start: f64,
        length: f64,
        histograms: &Histograms,
    ) -> io::Result<()> {
        // Without a header to write, a builder writes nothing.
        let mut writer =
            IntervalLogWriterBuilder::new().begin_log_with(&mut self.file, &mut self.serializer)?;
        for (latency, histogram) in histograms.iter() {
            let tag = Tag::new(latency.name()).expect("a name is one word of letters");
            writer
                .write_histogram(histogram, seconds(start), seconds(length), Some(tag))
                .map_err(|error| match error {
                    IntervalLogWriterError::IoError(error) => error,
                    IntervalLogWriterError::SerializeError(error) => io::Error::other(error),
                })?;
        }
        self.file.flush()
    }
}

impl jitp_core::failure::Classified for HdrLogError {
    fn class(&self) -> jitp_core::failure::Class {
        jitp_core::failure::Class::Configuration
    }
}

impl fmt::Debug for HdrLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HdrLog")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// The sum of all intervals of a log. A last line that was not finished, since the program that wrote it was killed, is
/// left out.
///
/// # Errors
/// [`HdrLogError::Read`] and [`HdrLogError::Malformed`].
pub fn read(path: &Path) -> Result<Histograms, HdrLogError> {
    let log = Log::open(path)?;
    let mut sum = Histograms::default();
    for interval in log.intervals() {
        interval?.add_to(&mut sum)?;
    }
    Ok(sum)
}

/// A log that was written; its histograms are decoded one by one.
pub(crate) struct Log {
    path: PathBuf,
    text: Vec<u8>,
}

impl Log {
    /// Reads the file, without a last line that was not finished.
    pub(crate) fn open(path: &Path) -> Result<Self, HdrLogError> {
        let mut text = std::fs::read(path).map_err(|source| HdrLogError::Read {
            path: path.to_owned(),
            source,
        })?;
        let end = text.iter().rposition(|&byte| byte == b'\n');
        text.truncate(end.map_or(0, |end| end + 1));
        Ok(Self {
            path: path.to_owned(),
            text,
        })
    }

    /// Its intervals, one for each second and kind of latency.
    pub(crate) fn intervals(&self) -> impl Iterator<Item = Result<Interval<'_>, HdrLogError>> {
        let mut number = 0;
        IntervalLogIterator::new(&self.text).filter_map(move |entry| match entry {
            Ok(LogEntry::Interval(entry)) => {
                number += 1;
                Some(self.interval(number, entry))
            }
            Ok(_) => None,
            Err(LogIteratorError::ParseError { offset }) => {
                let before = self.text[..offset].iter();
                let line = before.filter(|&&byte| byte == b'\n').count() + 1;
                Some(Err(
                    self.malformed(format!("line {line} is none of an HDR log"))
                ))
            }
        })
    }

    fn interval<'a>(
        &'a self,
        number: usize,
        entry: IntervalLogHistogram<'a>,
    ) -> Result<Interval<'a>, HdrLogError> {
        let why = match entry.tag().map(|tag| tag.as_str()) {
            None => "it has no tag".to_owned(),
            Some(tag) => match Latency::of_name(tag) {
                Some(latency) => {
                    return Ok(Interval {
                        log: self,
                        number,
                        latency,
                        entry,
                    });
                }
                None => format!("no latency is called {tag}"),
            },
        };
        Err(self.malformed(format!("interval {number}: {why}")))
    }

    fn malformed(&self, why: String) -> HdrLogError {
        HdrLogError::Malformed {
            path: self.path.clone(),
            why,
        }
    }
}

/// One kind of latency in one second.
pub(crate) struct Interval<'a> {
    log: &'a Log,
    number: usize,
    latency: Latency,
    entry: IntervalLogHistogram<'a>,
}

impl Interval<'_> {
    /// Its kind.
    pub(crate) fn latency(&self) -> Latency {
        self.latency
    }

    /// Its middle, in seconds since the run began.
    pub(crate) fn middle(&self) -> f64 {
        (self.entry.start_timestamp() + self.entry.duration() / 2).as_secs_f64()
    }

    /// Decodes it and adds it; returns how many values it has.
    pub(crate) fn add_to(&self, sum: &mut Histograms) -> Result<u64, HdrLogError> {
        let decoded = BASE64_STANDARD
            .decode(self.entry.encoded_histogram())
            .map_err(|error| error.to_string())
            .and_then(|bytes| {
                Deserializer::new()
                    .deserialize::<u64, _>(&mut bytes.as_slice())
                    .map_err(|error| error.to_string())
            })
            .and_then(|histogram: Histogram<u64>| {
                // Other buckets could be added too, but not exactly. How far they reach does not matter.
                let buckets = (histogram.low(), histogram.sigfig());
                match buckets == (1, DIGITS) && histogram.high() <= MOST {
                    true => Ok(histogram),
                    false => Err("its histogram has other buckets".to_owned()),
                }
            });
        let added = decoded.and_then(|histogram| {
            let sum = sum.entry(self.latency);
            sum.add(&histogram).map_err(|error| error.to_string())?;
            Ok(histogram.len())
        });
        added.map_err(|why| {
            self.log
                .malformed(format!("interval {}: {why}", self.number))
        })
    }
}

/// How far the buckets of a log may reach: they take memory.
const MOST: u64 = 2 * LONGEST;

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// Names of the columns, which readers skip.
const LEGEND: &[u8] =
    b"\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n";

/// Why a log could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HdrLogError {
    /// The file could not be made or written.
    #[error("cannot write {}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file could not be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no HDR log of a load test.
    #[error("{}: {why}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        why: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(folder: &Path) -> (PathBuf, Histograms) {
        let path = folder.join("latencies.hlog");
        let mut log = HdrLog::create(&path, 1_700_000_000_123).unwrap();
        let mut all = Histograms::default();
        for second in 0..5_u32 {
            let mut one = Histograms::default();
            for value in 0..100_u64 {
                one.record(Latency::Delivery, value * value * u64::from(second + 1));
            }
            if second == 3 {
                one.record(Latency::Connect, u64::MAX);
            }
            log.interval(f64::from(second), 1.0, &one).unwrap();
            all.add(&one);
        }
        (path, all)
    }

    #[test]
    fn what_is_written_is_read_exactly() {
        let folder = tempfile::tempdir().unwrap();
        let (path, all) = written(folder.path());
        let read = read(&path).unwrap();
        for latency in Latency::ALL {
            assert_eq!(read.get(latency), all.get(latency), "{latency}");
        }
        assert_eq!(read.get(Latency::Delivery).unwrap().len(), 500);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("#[StartTime: 1700000000.123 (seconds since epoch)]\n"));
        assert!(text.contains("\nTag=connect,3.000,1.000,"));
    }

    #[test]
    fn a_log_that_was_cut_off_gives_what_was_finished() {
        let folder = tempfile::tempdir().unwrap();
        let (path, _) = written(folder.path());
        let text = std::fs::read(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 10]).unwrap();
        assert_eq!(
            read(&path).unwrap().get(Latency::Delivery).unwrap().len(),
            400
        );
        std::fs::write(&path, "").unwrap();
        assert_eq!(read(&path).unwrap().iter().count(), 0);
    }

    #[test]
    fn a_log_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let (path, _) = written(folder.path());
        assert!(matches!(
            HdrLog::create(&path, 0),
            Err(HdrLogError::Write { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists
        ));
    }

    #[test]
    fn what_is_no_log_is_refused_with_the_place() {
        let folder = tempfile::tempdir().unwrap();
        let (path, _) = written(folder.path());
        let text = std::fs::read_to_string(&path).unwrap();
        for (broken, why) in [
            (
                text.replace("Tag=connect", "Tag=teleport"),
                "called teleport",
            ),
            (text.replace("Tag=connect,", ""), "has no tag"),
            (text.replace("HISTF", "HISTX"), "interval 1: "),
            ("what?\n".to_owned(), "line 1 "),
        ] {
            std::fs::write(&path, broken).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
