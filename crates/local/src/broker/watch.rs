//! What happens to connections and sessions when the account changes or time passes.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio_util::sync::CancellationToken;

use super::shared::Core;
use crate::account::{Change, State};
use crate::session::{Close, Link};

/// How often sessions are looked through for those that have expired.
const SWEEP: Duration = Duration::from_secs(1);

/// Watches until `shutdown`.
pub(crate) async fn watch(core: Arc<Core>, shutdown: CancellationToken) {
    let mut changes = core.account.changes();
    let mut sweep = tokio::time::interval(SWEEP);
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = sweep.tick() => {
                let mut writes = Vec::new();
                core.directory.sweep(&core.router, core.now(), &mut writes);
                core.commit(writes);
            }
            change = changes.recv() => {
                // Whatever else has changed is looked at in the same pass over the connections.
                let mut affected = Affected::default();
                match change {
                    Ok(change) => affected.add(change),
                    Err(RecvError::Lagged(_)) => affected.everything = true,
                    Err(RecvError::Closed) => return,
                }
                loop {
                    match changes.try_recv() {
                        Ok(change) => affected.add(change),
                        Err(TryRecvError::Lagged(_)) => affected.everything = true,
                        Err(_) => break,
                    }
                }
                affected.apply(&core);
            }
        }
    }
}

/// Who has to look again at what it may do.
#[derive(Debug, Default)]
struct Affected {
    everything: bool,
    reset: bool,
    certificates: HashSet<String>,
    policies: HashSet<String>,
    things: HashSet<String>,
}

impl Affected {
    fn add(&mut self, change: Change) {
        match change {
            Change::Certificate { id } | Change::Attachments { certificate_id: id } => {
                self.certificates.insert(id);
            }
            Change::Policy { name } => {
                self.policies.insert(name);
            }
            Change::Thing { name } => {
                self.things.insert(name);
            }
            // Which things are in the group, or were, is more than is worth finding out.
            Change::Group { .. } => self.everything = true,
            Change::Reset => self.reset = true,
            // A CA that is deactivated does not touch the certificates it has signed.
            _ => {}
        }
    }

    fn apply(&self, core: &Core) {
        if self.reset {
            core.clear();
            return;
        }
        let state = core.account.snapshot();
        if self.everything || !self.policies.is_empty() {
            core.directory
                .for_each_link(|client_id, link| self.look(core, &state, client_id, link));
            return;
        }
        // Thousands of devices that come to life at once change something a thousand times a second: whom it does not
        // concern is not asked.
        let concerned = core.directory.links_of(&self.certificates, &self.things);
        for (client_id, link) in concerned {
            self.look(core, &state, &client_id, &link);
        }
    }

    /// Tells a connection what has become of it, if anything has.
    fn look(&self, core: &Core, state: &State, client_id: &str, link: &Link) {
        let certificate_id = &*link.certificate_id;
        let own_certificate = self.everything || self.certificates.contains(certificate_id);
        if own_certificate && !core.is_active(link) {
            link.close(Close::CertificateNotActive);
            return;
        }
        let concerned = own_certificate
            || self.things.contains(client_id)
            || link
                .thing_name
                .as_deref()
                .is_some_and(|thing| self.things.contains(thing))
            || !self.policies.is_empty() && self.names_a_policy_of(state, client_id, link);
        if concerned {
            link.policies_changed();
        }
    }

    /// Whether one of the policies is attached to the certificate or reaches it through thing groups.
    fn names_a_policy_of(&self, state: &State, client_id: &str, link: &Link) -> bool {
        let thing = link.thing_name.as_deref().unwrap_or(client_id);
        let attached = state.policies_of_certificate(&link.certificate_id);
        let through_groups = state.policies_of_thing_groups(thing);
        attached
            .iter()
            .chain(&through_groups)
            .any(|policy| self.policies.contains(&policy.name))
    }
}
