//! What was left behind in an account: found, protected where it must be, and removed.
//!
//! A finding is judged when it is found and again just before it is removed, so that what came into use in
//! between stays, and a sweep that was interrupted is finished by another.

use std::collections::HashSet;
use std::fmt;

use futures::{Stream, StreamExt, TryStreamExt, stream};
use time::{Duration, OffsetDateTime};

use crate::keeping::KEEP;
use crate::things::Thing;
use crate::waiting::{DETACHING, until_detached};
use crate::{CertificateStatus, Cloud, CloudError};

/// Kinds of resources that can be left behind.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, clap::ValueEnum)]
pub enum Kind {
    /// Never activated, or deactivated and attached to no thing
    Certificates,
    /// Without any certificate
    Things,
    /// Attached to nothing, and named by no template
    Policies,
    /// Expired
    Cas,
}

impl Kind {
    /// All kinds, in the order in which their removal frees the next.
    pub const ALL: [Self; 4] = [Self::Certificates, Self::Things, Self::Policies, Self::Cas];

    /// One of the kind, in a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Certificates => "certificate",
            Self::Things => "thing",
            Self::Policies => "policy",
            Self::Cas => "ca",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What counts as left behind.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// Certificates and policies that changed within this time are left alone.
    pub older_than: Duration,
    /// Whether certificates may go that their CA registers again when the device connects.
    pub readmit: bool,
    /// The present time.
    pub now: OffsetDateTime,
    /// Policies that templates name ([`Cloud::policies_of_templates`]).
    pub named_policies: HashSet<String>,
}

/// Something that seems to be left behind.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// Its kind.
    pub kind: Kind,
    /// Its name, or its id.
    pub name: String,
    /// Why it seems so.
    pub reason: &'static str,
    /// Why it is not removed all the same.
    pub protected: Option<&'static str>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

impl Cloud {
    /// Everything of a kind that seems to be left behind, `concurrency` looked at together, in the order of
    /// the account.
    pub fn findings<'a>(
        &'a self,
        kind: Kind,
        sweep: &'a Sweep,
        concurrency: usize,
    ) -> impl Stream<Item = Result<Finding, CloudError>> + 'a {
        let names = match kind {
            Kind::Certificates => self.idle_certificates().boxed_local(),
            Kind::Things => self.things().map_ok(|thing| thing.name).boxed_local(),
            Kind::Policies => listed(self.policies()).boxed_local(),
            Kind::Cas => listed(self.registered_ca_ids()).boxed_local(),
        };
        names
            .map_ok(move |name| async move { self.judge(kind, &name, sweep).await })
            .try_buffered(concurrency)
            .try_filter_map(async |finding| Ok(finding))
    }

    /// Removes a finding, if it still is one; what it is now if it is not removed.
    ///
    /// # Errors
    /// When a call fails; the next run goes on from there.
    pub async fn remove(&self, finding: &Finding, sweep: &Sweep) -> Result<Removal, CloudError> {
        let name = finding.name.as_str();
        match self.judge(finding.kind, name, sweep).await? {
            None => return Ok(Removal::InUse),
            Some(now) if now.protected.is_some() => return Ok(Removal::Protected),
            Some(_) => {}
        }
        match finding.kind {
            Kind::Certificates => self.remove_certificate(name).await?,
            Kind::Things => self.delete_thing(name).await?,
            Kind::Policies => {
                until_detached(DETACHING, async || self.delete_policy(name).await).await?;
            }
            Kind::Cas => {
                self.set_ca_status(name, false, None).await?;
                self.delete_ca(name).await?;
            }
        }
        Ok(Removal::Removed)
    }

    async fn judge(
        &self,
        kind: Kind,
        name: &str,
        sweep: &Sweep,
    ) -> Result<Option<Finding>, CloudError> {
        let verdict = match kind {
            Kind::Certificates => self.judge_certificate(name, sweep).await?,
            Kind::Things => self.judge_thing(name).await?,
            Kind::Policies => self.judge_policy(name, sweep).await?,
            Kind::Cas => self.judge_ca(name, sweep).await?,
        };
        Ok(verdict.map(|(reason, protected)| Finding {
            kind,
            name: name.to_owned(),
            reason,
            protected,
        }))
    }

    async fn judge_certificate(&self, id: &str, sweep: &Sweep) -> Result<Verdict, CloudError> {
        let Some(found) = self.certificate(id).await? else {
            return Ok(None);
        };
        if !sweep.is_old(found.changed) {
            return Ok(None);
        }
        let reason = match found.status {
            CertificateStatus::PendingActivation => "never activated",
            CertificateStatus::Inactive if self.things_of(&found.arn).await?.is_empty() => {
                "inactive and without a thing"
            }
            _ => return Ok(None),
        };
        // One that was never activated is provisioned anew: what a failed first connection needs.
        let locked_out = found.status == CertificateStatus::Inactive && !sweep.readmit;
        let protected = match &found.ca_certificate_id {
            Some(ca) if locked_out && self.is_auto_registering(ca).await? => {
                Some("its CA would let the device in again")
            }
            _ => self.tagged_keep(&found.arn).await?,
        };
        Ok(Some((reason, protected)))
    }

    async fn judge_thing(&self, name: &str) -> Result<Verdict, CloudError> {
        let principals = match self.principals(name).await {
            Err(error) if error.is_not_found() => return Ok(None),
            other => other?,
        };
        if !principals.is_empty() {
            return Ok(None);
        }
        let thing: Option<Thing> = self.thing(name).await?;
        let keeps = |thing: &Thing| thing.attributes.contains_key(KEEP);
        let protected = thing
            .as_ref()
            .is_some_and(keeps)
            .then_some("attribute keep");
        Ok(thing.map(|_| ("without a certificate", protected)))
    }

    async fn judge_policy(&self, name: &str, sweep: &Sweep) -> Result<Verdict, CloudError> {
        let Some(found) = self.policy(name).await? else {
            return Ok(None);
        };
        if !sweep.is_old(found.changed) {
            return Ok(None);
        }
        match self.targets_of_policy(name).await {
            Ok(targets) if targets.is_empty() => {}
            Ok(_) => return Ok(None),
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        }
        let protected = match sweep.named_policies.contains(name) {
            true => Some("a registered template names it"),
            false => self.tagged_keep(&found.arn).await?,
        };
        Ok(Some(("attached to nothing", protected)))
    }

    async fn judge_ca(&self, id: &str, sweep: &Sweep) -> Result<Verdict, CloudError> {
        let Some(found) = self.registered_ca(id).await? else {
            return Ok(None);
        };
        if found.certificate()?.not_after() >= sweep.now {
            return Ok(None);
        }
        let protected = self.tagged_keep(&found.certificate_arn).await?;
        Ok(Some(("expired", protected)))
    }

    async fn tagged_keep(&self, arn: &str) -> Result<Option<&'static str>, CloudError> {
        Ok(self.is_tagged_keep(arn).await?.then_some("tag keep"))
    }

    /// A certificate that was never activated may have been attached by a template that failed later.
    pub(crate) async fn remove_certificate(&self, id: &str) -> Result<(), CloudError> {
        let Some(found) = self.certificate(id).await? else {
            return Ok(());
        };
        for policy in self.attached_policies(&found.arn).await? {
            self.detach_policy(&policy, &found.arn).await?;
        }
        for thing in self.things_of(&found.arn).await? {
            self.detach_principal(&thing, &found.arn).await?;
        }
        until_detached(DETACHING, async || self.delete_certificate(id).await).await
    }

    /// Ids of the certificates that are worth a closer look, page by page, the newest first.
    fn idle_certificates(&self) -> impl Stream<Item = Result<String, CloudError>> + '_ {
        let pages = stream::try_unfold(Some(None), async move |marker: Option<Option<String>>| {
            let Some(marker) = marker else {
                return Ok::<_, CloudError>(None);
            };
            let (page, next) = self.certificates_page(marker).await?;
            use CertificateStatus::{Inactive, PendingActivation};
            let idle = page
                .into_iter()
                .filter(|item| matches!(item.status, Inactive | PendingActivation))
                .map(|item| Ok(item.id));
            let idle: Vec<_> = idle.collect();
            let next = next.filter(|next| !next.is_empty());
            Ok(Some((stream::iter(idle), next.map(Some))))
        });
        pages.try_flatten()
    }
}

/// What became of a finding that was to be removed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Removal {
    /// It is gone.
    Removed,
    /// It is in use again, or was gone before.
    InUse,
    /// It is protected by now.
    Protected,
}

impl Sweep {
    /// Whether something has not changed for long enough. What has no date may be new; only where any age will
    /// do it counts as old.
    fn is_old(&self, changed: Option<OffsetDateTime>) -> bool {
        match changed {
            Some(changed) => self.now - changed >= self.older_than,
            None => self.older_than.is_zero(),
        }
    }
}

/// Reason, and protection if there is one; none for what is in use.
type Verdict = Option<(&'static str, Option<&'static str>)>;

fn listed<'a>(
    names: impl Future<Output = Result<Vec<String>, CloudError>> + 'a,
) -> impl Stream<Item = Result<String, CloudError>> + 'a {
    stream::once(names)
        .map_ok(|names| stream::iter(names.into_iter().map(Ok)))
        .try_flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_date_is_not_taken_for_old() {
        let sweep = |older_than| Sweep {
            older_than,
            readmit: false,
            now: OffsetDateTime::UNIX_EPOCH + Duration::days(10),
            named_policies: HashSet::new(),
        };
        let day = sweep(Duration::DAY);
        assert!(!day.is_old(None));
        assert!(day.is_old(Some(day.now - Duration::DAY)));
        assert!(!day.is_old(Some(day.now - Duration::HOUR)));
        assert!(sweep(Duration::ZERO).is_old(None), "any age will do");
    }
}
