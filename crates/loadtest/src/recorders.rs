//! A recorder for each worker thread, so that devices do not wait for each other to write down what they measured.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};

use crate::measure::Recorder;

/// The recorders of all worker threads.
#[derive(Debug)]
pub(crate) struct Recorders(Box<[Mutex<Recorder>]>);

thread_local! {
    /// Number of this thread among those that record.
    static THREAD: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Number of the next thread that records.
static NEXT: AtomicUsize = AtomicUsize::new(0);

impl Recorders {
    /// One for each of so many threads.
    pub(crate) fn new(threads: usize) -> Self {
        Self((0..threads.max(1)).map(|_| Mutex::default()).collect())
    }

    /// The recorder of this thread, to be let go before the next await.
    pub(crate) fn mine(&self) -> MutexGuard<'_, Recorder> {
        let number = THREAD.with(|thread| {
            thread.get().unwrap_or_else(|| {
                let number = NEXT.fetch_add(1, Ordering::Relaxed);
                thread.set(Some(number));
                number
            })
        });
        self.0[number % self.0.len()].lock()
    }

    /// Moves what all have measured into one.
    pub(crate) fn drain_into(&self, sum: &mut Recorder) {
        for recorder in &self.0 {
            sum.absorb(&mut recorder.lock());
        }
    }
}
