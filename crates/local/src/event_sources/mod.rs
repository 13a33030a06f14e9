//! Event source mappings executed: messages of a queue, in batches, given to a function. What the function does not
//! finish comes back when it is in sight again, and in the end is a dead letter.

mod batch;
mod operations;
mod poller;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::account::{Account, Change, EventSourceMapping};
use crate::diary::Diary;
use crate::functions::Functions;
use crate::sqs::Queues;

pub(crate) use operations::{operations, plug_in};
use poller::Poller;

/// What event sources are made from.
#[derive(Clone, Debug)]
pub(crate) struct EventSourceSettings {
    /// The account whose mappings they are.
    pub(crate) account: Account,
    /// Where failures are told.
    pub(crate) diary: Diary,
    /// The queues.
    pub(crate) queues: Queues,
    /// The functions.
    pub(crate) functions: Functions,
    /// Ends the pollers.
    pub(crate) shutdown: CancellationToken,
}

/// The event source mappings of a local core. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct EventSources {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: EventSourceSettings,
    /// Pollers that run, by the id of their mapping.
    running: Mutex<HashMap<String, Running>>,
    pollers: TaskTracker,
}

/// A poller that runs.
#[derive(Debug)]
struct Running {
    mapping: Arc<EventSourceMapping>,
    stop: CancellationToken,
    /// Cancelled once it has ended.
    ended: CancellationToken,
}

impl EventSources {
    pub(crate) fn new(settings: EventSourceSettings) -> Self {
        Self {
            inner: Arc::new(Inner {
                settings,
                running: Mutex::default(),
                pollers: TaskTracker::new(),
            }),
        }
    }

    /// Runs the mappings until `shutdown`, and then until what is under way is done.
    pub(crate) async fn run(self) {
        let mut changes = self.inner.settings.account.changes();
        let shutdown = self.inner.settings.shutdown.clone();
        self.reconcile();
        while let Some(change) = shutdown.run_until_cancelled(changes.recv()).await {
            match change {
                Ok(Change::Reset) | Err(RecvError::Lagged(_)) => self.reconcile(),
                Err(RecvError::Closed) => break,
                Ok(_) => {}
            }
        }
        self.inner.pollers.close();
        self.inner.pollers.wait().await;
    }

    /// Starts and stops pollers, so that each mapping that is switched on has one of its own making.
    fn reconcile(&self) {
        let state = self.inner.settings.account.snapshot();
        let mut running = self.inner.running.lock();
        running.retain(|id, poller| {
            let mapping = state.event_sources.get(id);
            let wanted =
                mapping.is_some_and(|mapping| mapping.enabled && *mapping == poller.mapping);
            if !wanted {
                poller.stop.cancel();
            }
            // One that is stopped is kept until it has ended, so that it is known to go on.
            wanted || !poller.ended.is_cancelled()
        });
        for (id, mapping) in &state.event_sources {
            let is_running = running
                .get(id)
                .is_some_and(|poller| !poller.stop.is_cancelled());
            if mapping.enabled && !is_running {
                let stop = self.inner.settings.shutdown.child_token();
                let ended = CancellationToken::new();
                let poller = Poller::new(&self.inner.settings, mapping, stop.clone());
                let over = ended.clone();
                self.inner.pollers.spawn(async move {
                    poller.run().await;
                    over.cancel();
                });
                let mapping = Arc::clone(mapping);
                running.insert(
                    id.clone(),
                    Running {
                        mapping,
                        stop,
                        ended,
                    },
                );
            }
        }
    }

    /// The state of a mapping, in the words of AWS Lambda.
    fn state_of(&self, mapping: &EventSourceMapping) -> &'static str {
        let running = self.inner.running.lock();
        let poller = running.get(&mapping.id);
        let works = poller.is_some_and(|poller| !poller.ended.is_cancelled());
        match (mapping.enabled, works) {
            (true, true) => "Enabled",
            (true, false) => "Enabling",
            // What it has taken is still being worked on.
            (false, true) => "Disabling",
            (false, false) => "Disabled",
        }
    }
}
