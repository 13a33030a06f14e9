//! The diary: why the local core refused something, as a stable code and a sentence.
//!
//! AWS answers a refusal by closing the connection; here every refusal is also an entry that names
//! its cause. Whoever follows the diary gets entries as they happen (`iot-local` prints them), and
//! the most recent stay readable.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::SystemTime;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::broadcast;

/// One refusal or notable step.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// When it happened, in milliseconds since 1970.
    pub timestamp: u64,
    /// Stable upper-case code, for example `CERTIFICATE_INACTIVE`.
    pub code: &'static str,
    /// The cause in one sentence, for a person.
    pub sentence: String,
    /// MQTT client id, where one was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Certificate id (64 hex digits), where a certificate is involved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_id: Option<String>,
    /// Whether something was refused, as opposed to a step that went well.
    pub refused: bool,
    /// Whether it is what an API call was answered, which its caller knows, and not about a device.
    pub answered: bool,
}

impl Entry {
    /// A refusal with its code and cause.
    pub fn refusal(code: &'static str, sentence: impl Into<String>) -> Self {
        Self::new(code, sentence.into(), true)
    }

    /// A step worth telling that refused nothing, such as "thing sensor-17 created".
    pub fn step(code: &'static str, sentence: impl Into<String>) -> Self {
        Self::new(code, sentence.into(), false)
    }

    /// What an API call was answered: the exception and its text.
    pub fn answer(code: &'static str, sentence: impl Into<String>) -> Self {
        Self {
            answered: true,
            ..Self::refusal(code, sentence)
        }
    }

    fn new(code: &'static str, sentence: String, refused: bool) -> Self {
        let timestamp = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |elapsed| elapsed.as_millis() as u64);
        Self {
            timestamp,
            code,
            sentence,
            client_id: None,
            certificate_id: None,
            refused,
            answered: false,
        }
    }

    /// Names the MQTT client concerned.
    #[must_use]
    pub fn client(mut self, client_id: impl Into<String>) -> Self {
        self.client_id = Some(client_id.into());
        self
    }

    /// Names the certificate concerned.
    #[must_use]
    pub fn certificate(mut self, certificate_id: impl Into<String>) -> Self {
        self.certificate_id = Some(certificate_id.into());
        self
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.sentence)?;
        if let Some(client_id) = &self.client_id {
            write!(f, " (client {client_id:?})")?;
        }
        if let Some(certificate_id) = &self.certificate_id {
            write!(f, " (certificate {certificate_id})")?;
        }
        Ok(())
    }
}

/// The recent entries of one local core. Clones share them.
#[derive(Clone, Debug)]
pub struct Diary {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    capacity: usize,
    entries: Mutex<VecDeque<Entry>>,
    live: broadcast::Sender<Entry>,
}

impl Diary {
    /// A diary that keeps the last `capacity` entries.
    pub fn new(capacity: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                capacity,
                entries: Mutex::new(VecDeque::new()),
                live: broadcast::channel(1024).0,
            }),
        }
    }

    /// Keeps an entry and tells it to those who follow.
    pub fn record(&self, entry: Entry) {
        let mut entries = self.shared.entries.lock();
        if entries.len() == self.shared.capacity {
            entries.pop_front();
        }
        entries.push_back(entry.clone());
        drop(entries);
        // Nobody listening is fine: the diary is complete without listeners.
        let _ = self.shared.live.send(entry);
    }

    /// The entries kept, oldest first.
    pub fn recent(&self) -> Vec<Entry> {
        self.shared.entries.lock().iter().cloned().collect()
    }

    /// Entries from now on.
    pub fn follow(&self) -> broadcast::Receiver<Entry> {
        self.shared.live.subscribe()
    }
}

/// Counts what is told each second, so that a flood of one kind does not push all else out of the diary.
#[derive(Debug, Default)]
pub(crate) struct PerSecond {
    second: AtomicI64,
    count: AtomicU32,
}

impl PerSecond {
    /// Whether one more may be told in this second, of so many at most; `now` is in seconds since 1970.
    pub(crate) fn once_more(&self, now: i64, most: u32) -> bool {
        if self.second.swap(now, Ordering::Relaxed) != now {
            self.count.store(0, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed) < most
    }
}
