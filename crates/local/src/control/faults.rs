//! Faults on order: what a network and a busy service do to a caller, at the very step a test wants it.
//!
//! A fault waits for calls of an operation, lets some pass, strikes a number of times and is gone.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// What happens to a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FaultKind {
    /// `ThrottlingException`; nothing is done.
    Throttle,
    /// `InternalFailureException` (HTTP 500); nothing is done.
    Fail,
    /// The connection is closed without an answer; nothing is done.
    CutBefore,
    /// The call is served, and the connection is closed without an answer.
    CutAfter,
    /// The call is served after a while.
    Delay,
    /// The connection is closed without an answer, and the call is served after a while all the same, as by a
    /// service so slow that its caller has given up.
    ServeLate,
}

/// A fault on order.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// Name of the operation; `*` stands for all of them, `GetCallerIdentity` included.
    #[serde(default = "any")]
    pub operation: String,
    /// What happens.
    pub fault: FaultKind,
    /// Calls that pass before it strikes.
    #[serde(default)]
    pub skip: u32,
    /// Calls it strikes.
    #[serde(default = "once")]
    pub count: u32,
    /// How long a `delay` is, and until a `serve-late` serves, in milliseconds.
    #[serde(default)]
    pub milliseconds: u64,
}

impl Fault {
    /// A fault that strikes the next call of an operation, or with `*` the next call at all.
    pub fn next(operation: &str, fault: FaultKind) -> Self {
        Self {
            operation: operation.to_owned(),
            fault,
            skip: 0,
            count: 1,
            milliseconds: 0,
        }
    }

    /// The same fault after `skip` calls have passed.
    #[must_use]
    pub fn after(mut self, skip: u32) -> Self {
        self.skip = skip;
        self
    }

    /// The same fault striking `count` calls.
    #[must_use]
    pub fn times(mut self, count: u32) -> Self {
        self.count = count;
        self
    }

    /// How long it takes until the call is served.
    pub fn duration(&self) -> Duration {
        Duration::from_millis(self.milliseconds.min(LONGEST_DELAY))
    }
}

/// The faults on order. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Vec<Fault>>>);

impl Faults {
    /// Orders a fault. Of several for the same call the one ordered first strikes.
    pub fn order(&self, fault: Fault) {
        self.0.lock().push(fault);
    }

    /// Cancels every fault.
    pub fn clear(&self) {
        self.0.lock().clear();
    }

    /// The faults that have not yet struck as often as they are to, in the order they were ordered.
    pub fn waiting(&self) -> Vec<Fault> {
        self.0.lock().clone()
    }

    /// Counts a call of an operation; the fault that strikes it, if one does.
    pub(super) fn strike(&self, operation: &str) -> Option<Fault> {
        let mut faults = self.0.lock();
        let mut struck = None;
        for fault in faults.iter_mut() {
            if fault.operation != "*" && fault.operation != operation {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
            } else if struck.is_none() {
                fault.count = fault.count.saturating_sub(1);
                struck = Some(fault.clone());
            }
        }
        faults.retain(|fault| fault.count > 0);
        struck
    }
}

/// Longest delay, in milliseconds: ten minutes.
const LONGEST_DELAY: u64 = 600_000;

fn any() -> String {
    "*".to_owned()
}

fn once() -> u32 {
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_lets_calls_pass_strikes_and_is_gone() {
        let faults = Faults::default();
        faults.order(
            Fault::next("AttachPolicy", FaultKind::Fail)
                .after(1)
                .times(2),
        );
        let struck = |operation| faults.strike(operation).map(|fault| fault.fault);
        assert_eq!(struck("CreateThing"), None);
        assert_eq!(struck("AttachPolicy"), None);
        assert_eq!(struck("AttachPolicy"), Some(FaultKind::Fail));
        assert_eq!(struck("AttachPolicy"), Some(FaultKind::Fail));
        assert_eq!(struck("AttachPolicy"), None);
        assert!(faults.waiting().is_empty());
    }

    #[test]
    fn the_first_order_strikes_first_and_a_star_counts_every_call() {
        let faults = Faults::default();
        faults.order(Fault::next("*", FaultKind::CutAfter).after(2));
        faults.order(Fault::next("CreateThing", FaultKind::Throttle));
        let struck = |operation| faults.strike(operation).map(|fault| fault.fault);
        assert_eq!(struck("CreateThing"), Some(FaultKind::Throttle));
        assert_eq!(struck("GetPolicy"), None);
        assert_eq!(struck("DeleteThing"), Some(FaultKind::CutAfter));
        faults.order(Fault::next("*", FaultKind::Delay));
        faults.clear();
        assert_eq!(struck("GetPolicy"), None);
    }
}
