//! What others tell a connection: that there is something to send, or that it has to close.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Why a connection has to close, other than by its own doing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Close {
    /// Another connection uses the client id.
    TakenOver,
    /// Its certificate is no longer ACTIVE.
    CertificateNotActive,
    /// The local core stops.
    ShuttingDown,
    /// An administrator wants it closed; whether its will is withheld.
    Administrative { without_will: bool },
}

/// The way to a connection.
#[derive(Debug)]
pub(crate) struct Link {
    /// Id of the certificate it was opened with.
    pub(crate) certificate_id: Arc<str>,
    /// The thing the certificate is attached to exclusively.
    pub(crate) thing_name: Option<Box<str>>,
    /// Something is to be sent, or one of the orders below was given.
    pub(crate) wake: Notify,
    /// Interrupts a write the other side does not take.
    pub(crate) closing: Notify,
    order: Mutex<Option<Close>>,
    policies_changed: AtomicBool,
}

impl Link {
    pub(crate) fn new(certificate_id: Arc<str>, thing_name: Option<&str>) -> Self {
        Self {
            certificate_id,
            thing_name: thing_name.map(Into::into),
            wake: Notify::new(),
            closing: Notify::new(),
            order: Mutex::new(None),
            policies_changed: AtomicBool::new(false),
        }
    }

    /// Orders the connection to close. The first order stands.
    pub(crate) fn close(&self, why: Close) {
        self.order.lock().get_or_insert(why);
        self.wake.notify_one();
        self.closing.notify_one();
    }

    /// The order to close, once given.
    pub(crate) fn ordered(&self) -> Option<Close> {
        *self.order.lock()
    }

    /// Tells the connection to compile its policies anew before it decides anything else.
    pub(crate) fn policies_changed(&self) {
        self.policies_changed.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Whether the policies changed since this was last asked.
    pub(crate) fn take_policies_changed(&self) -> bool {
        self.policies_changed.load(Ordering::Relaxed)
            && self.policies_changed.swap(false, Ordering::Acquire)
    }
}
