//! What all devices of a run share.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jitp_core::mqtt::{Closed, Network, Stage};
use jitp_wire::topic::split_share;
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::{Instant, timeout_at};

use crate::claim::Claim;
use crate::clock::{Micros, RunClock};
use crate::fleet::{Role, members};
use crate::identities::Identities;
use crate::integrity::Seen;
use crate::outcome::Shard;
use crate::payload::{Template, topic};
use crate::recorders::Recorders;
use crate::scenario::Scenario;

/// What all devices of a run share.
pub(crate) struct Shared {
    pub(crate) scenario: Scenario,
    pub(crate) template: Template,
    pub(crate) network: Network,
    /// `host:port`, for messages.
    pub(crate) endpoint: String,
    pub(crate) addresses: Addresses,
    pub(crate) identities: Box<dyn Identities>,
    /// How devices get their identity, where they have none.
    pub(crate) claim: Option<Claim>,
    /// Local addresses to connect from; the system chooses if there is none.
    pub(crate) sources: Vec<IpAddr>,
    /// What has arrived at each shared subscription, by its filter.
    pub(crate) groups: Groups,
    pub(crate) recorders: Recorders,
    pub(crate) clock: RunClock,
    /// When the first device is due to connect.
    pub(crate) connect_from: Micros,
    /// Identifies the run.
    pub(crate) run: String,
    /// Devices connected now.
    pub(crate) connected: AtomicU64,
    pub(crate) settled: Settled,
    pub(crate) phase: watch::Receiver<Phase>,
}

/// What has arrived at the shared subscriptions of this process's devices: a message goes to one device of a group, and
/// a further copy may go to another.
#[derive(Debug, Default)]
pub(crate) struct Groups(HashMap<String, Arc<parking_lot::Mutex<Seen>>>);

impl Groups {
    /// The groups of a scenario, of as much of its fleet as falls to a shard.
    pub(crate) fn new(scenario: &Scenario, shard: Option<Shard>) -> Self {
        if split_share(&scenario.subscribe.filter).is_none() {
            return Self::default();
        }
        let filters = members(scenario, shard)
            .filter(|member| member.role == Role::Subscriber)
            .map(|member| topic(&scenario.subscribe.filter, &member.name, member.index));
        Self(filters.map(|filter| (filter, Arc::default())).collect())
    }

    /// What has arrived at the group of this filter; none if it is not shared.
    pub(crate) fn of(&self, filter: &str) -> Option<Arc<parking_lot::Mutex<Seen>>> {
        self.0.get(filter).cloned()
    }
}

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Phase {
    /// Devices get in.
    Connecting,
    /// Messages are due.
    Publishing(Window),
    /// Nothing new is due; what is on its way may still arrive.
    Draining(Option<Window>),
    /// Everybody disconnects.
    Ending,
}

impl Phase {
    /// When messages are due, if they are or were.
    pub(crate) fn window(&self) -> Option<Window> {
        match self {
            Self::Publishing(window) => Some(*window),
            Self::Draining(window) => *window,
            Self::Connecting | Self::Ending => None,
        }
    }
}

/// When messages are due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Window {
    /// From when.
    pub(crate) from: Micros,
    /// From when they are measured.
    pub(crate) measured: Micros,
    /// Until when.
    pub(crate) until: Micros,
}

/// How many devices have got in or given up.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    count: AtomicU64,
    changed: Notify,
}

impl Settled {
    /// One more.
    pub(crate) fn add(&self) {
        self.count.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_one();
    }

    /// Waits until so many have.
    pub(crate) async fn reach(&self, count: u64) {
        while self.count.load(Ordering::Acquire) < count {
            self.changed.notified().await;
        }
    }
}

/// The endpoint's addresses, looked up now and then for all devices together.
#[derive(Debug, Default)]
pub(crate) struct Addresses(Mutex<Option<(Instant, Arc<[SocketAddr]>)>>);

/// How long what was looked up is used.
const FRESH: Duration = Duration::from_secs(30);

impl Addresses {
    /// The addresses as they are known now; one at least.
    pub(crate) async fn known(
        &self,
        network: &Network,
        deadline: Instant,
    ) -> Result<Arc<[SocketAddr]>, Closed> {
        // Whoever has the lock looks them up, until its own deadline.
        let started = Instant::now();
        let mut known =
            timeout_at(deadline, self.0.lock())
                .await
                .map_err(|_| Closed::TimedOut {
                    stage: Stage::Lookup,
                    waited: started.elapsed(),
                })?;
        if let Some((since, addresses)) = &*known
            && since.elapsed() < FRESH
        {
            return Ok(Arc::clone(addresses));
        }
        let addresses: Arc<[SocketAddr]> = network.addresses(deadline).await?.into();
        *known = Some((Instant::now(), Arc::clone(&addresses)));
        Ok(addresses)
    }
}
