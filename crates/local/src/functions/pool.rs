//! The processes of one function: as many as are needed at once, up to a bound, each used again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::process::{Done, Process};
use super::runtime_api::{Outcome, Work};
use super::{CallError, log};
use crate::diary::Diary;

/// Most processes of one function; who comes on top waits for one.
pub(super) const MOST: usize = 4;

/// How a process of a function is started.
#[derive(Clone, Debug)]
pub(super) struct Launch {
    pub(super) name: String,
    pub(super) arn: String,
    pub(super) program: PathBuf,
    pub(super) handler: String,
    pub(super) memory_size: u64,
    /// Whether it has the environment of the local core itself.
    pub(super) inherits: bool,
    pub(super) environment: BTreeMap<String, String>,
}

/// The processes of one function. Dropping it ends them.
#[derive(Debug)]
pub(super) struct Pool {
    launch: Launch,
    diary: Diary,
    places: Semaphore,
    idle: Mutex<Vec<Process>>,
}

impl Pool {
    pub(super) fn new(launch: Launch, diary: Diary) -> Self {
        Self {
            launch,
            diary,
            places: Semaphore::new(MOST),
            idle: Mutex::default(),
        }
    }

    /// Has a process do one piece of work, which takes `longest` at most, waiting and starting included.
    pub(super) async fn call(&self, payload: Bytes, longest: Duration) -> Result<Bytes, CallError> {
        let until = Instant::now() + longest;
        let called = self.call_until(payload, until);
        // A process that is late is dropped with the future that waits for it, and so ended.
        match tokio::time::timeout_at(until, called).await {
            Ok(outcome) => outcome,
            Err(_) => Err(CallError::TooSlow(longest)),
        }
    }

    async fn call_until(&self, payload: Bytes, until: Instant) -> Result<Bytes, CallError> {
        let Ok(_place) = self.places.acquire().await else {
            return Err(CallError::Stopping);
        };
        loop {
            let mut process = match self.take_idle() {
                Some(process) => process,
                None => Process::start(&self.launch, &self.diary).await?,
            };
            let work = Work {
                request_id: uuid::Uuid::new_v4().to_string(),
                payload: payload.clone(),
                arn: self.launch.arn.clone(),
                time: until.saturating_duration_since(Instant::now()),
            };
            match process.work(work).await {
                Done::Outcome(outcome) => {
                    if !self.places.is_closed() {
                        self.idle.lock().push(process);
                    }
                    return match outcome {
                        Outcome::Answer(answer) => Ok(answer),
                        Outcome::Error(report) => Err(CallError::Reported(report)),
                    };
                }
                // One that was idle has died of itself; the next one is another.
                Done::NotBegun(error) => {
                    log::tell(
                        &self.diary,
                        &self.launch.name,
                        &format!("an idle process {error}"),
                    );
                }
                Done::Ended(error) => return Err(error),
            }
        }
    }

    /// Ends the processes that do nothing, and lets nobody in any more.
    pub(super) async fn stop(&self) {
        self.places.close();
        let idle: Vec<_> = std::mem::take(&mut *self.idle.lock());
        for process in idle {
            process.stop().await;
        }
    }

    fn take_idle(&self) -> Option<Process> {
        loop {
            let mut process = self.idle.lock().pop()?;
            if process.is_alive() {
                return Some(process);
            }
        }
    }
}
