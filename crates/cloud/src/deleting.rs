//! Deleting a thing without a trace: a plan of steps, each harmless to repeat, the thing itself last.
//!
//! A run may end anywhere. The thing is the anchor for the next one: while it exists, something is left to do. A
//! certificate that is detached but not yet deleted could no longer be found from it, so the ids are noted on
//! the thing first, as an attribute. What a creation that was not finished left attached to nothing is found by the
//! files it wrote, also when there is no thing.

use std::fmt;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};

use crate::certificates::id_of;
use crate::creating::Unfinished;
use crate::waiting::{DETACHING, until_detached};
use crate::{CertificateDetails, CertificateStatus, Cloud, CloudError};

/// Attribute that names the certificates a deletion is about to detach, joined by commas.
const NOTE: &str = "jitp-deleting";
/// Ids in one note: an attribute value has at most 800 characters, an id has 64.
const NOTED_AT_ONCE: usize = 12;

/// What is to become of a thing's certificates.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Certificates {
    /// Deactivated, detached and deleted.
    Delete,
    /// Deactivated and detached; the certificate stays, with the policies of others.
    Keep,
}

/// One step of a deletion. Every step is harmless to repeat.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// Set a certificate, by id, to INACTIVE.
    Deactivate(String),
    /// Note the certificates, by id, that the thing is about to lose.
    Note(Vec<String>),
    /// Detach a policy from a certificate's ARN.
    DetachPolicy(String, String),
    /// Detach a principal from the thing.
    DetachPrincipal(String),
    /// Delete a certificate by id.
    DeleteCertificate(String),
    /// Delete a certificate, by id, that AWS made for the thing while nobody heard of it.
    DeleteUnheard(String),
    /// Delete a policy with all its versions.
    DeletePolicy(String),
    /// Delete the thing.
    DeleteThing,
}

impl Step {
    /// What is done, in words without spaces, for tables.
    pub fn action(&self) -> &'static str {
        match self {
            Self::Deactivate(_) => "deactivate-certificate",
            Self::Note(_) => "note-certificates",
            Self::DetachPolicy(..) => "detach-policy",
            Self::DetachPrincipal(_) => "detach-principal",
            Self::DeleteCertificate(_) => "delete-certificate",
            Self::DeleteUnheard(_) => "delete-unheard-certificate",
            Self::DeletePolicy(_) => "delete-policy",
            Self::DeleteThing => "delete-thing",
        }
    }

    /// What it is done to; empty for the thing itself.
    pub fn object(&self) -> String {
        match self {
            Self::Deactivate(name)
            | Self::DetachPrincipal(name)
            | Self::DeleteCertificate(name)
            | Self::DeleteUnheard(name)
            | Self::DetachPolicy(name, _)
            | Self::DeletePolicy(name) => name.clone(),
            Self::Note(ids) => ids.join(","),
            Self::DeleteThing => String::new(),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.object() {
            object if object.is_empty() => f.write_str(self.action()),
            object => write!(f, "{} {object}", self.action()),
        }
    }
}

/// Everything that deleting a thing takes, in its order.
#[derive(Clone, Debug)]
pub struct Deletion {
    /// The thing.
    pub thing: String,
    /// The steps.
    pub steps: Vec<Step>,
    /// Certificates, by id, whose CA registers them again with the device's next connection.
    pub readmitted: Vec<String>,
    /// Certificates, by id, that stay as they are because other things have them too.
    pub shared: Vec<String>,
}

/// A deletion that stopped on the way.
#[derive(Debug)]
pub struct Stopped {
    /// The steps that were taken.
    pub done: Vec<Step>,
    /// The step that failed.
    pub at: Step,
    /// Why.
    pub error: CloudError,
}

/// The policy that is a thing's own: what create-thing with its own policy makes, and the shell toolkit made.
pub fn own_policy(thing: &str) -> String {
    format!("{thing}-policy")
}

impl Cloud {
    /// Finds out what deleting a thing takes; `None` if there is neither such a thing nor anything that an
    /// unfinished creation left. Changes nothing.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn plan_deletion(
        &self,
        thing: &str,
        certificates: Certificates,
        unfinished: &Unfinished,
    ) -> Result<Option<Deletion>, CloudError> {
        let present = self.presence(thing).await?;
        let exists = present.is_some();
        let (noted, principals) = present.unwrap_or_default();
        let mut ids: Vec<&str> = principals.iter().filter_map(|arn| id_of(arn)).collect();
        ids.extend(noted.split(',').filter(|id| !id.is_empty()));
        let mut unheard = Vec::new();
        if certificates == Certificates::Delete {
            ids.extend(unfinished.certificate());
            unheard = self.unheard_certificates(unfinished).await?;
        }
        ids.sort_unstable();
        ids.dedup();
        let own = own_policy(thing);
        let found: Vec<Found> = stream::iter(ids)
            .map(|id| self.find(thing, id, certificates))
            .buffered(AT_ONCE)
            .try_filter_map(async |found| Ok(found))
            .try_collect()
            .await?;
        let others = principals.iter().filter(|arn| id_of(arn).is_none());
        let mut steps = steps_of(&found, &principals, &own, certificates);
        if !exists {
            // There is nothing to note on, and nothing that the next run could not find by the files again.
            steps.retain(|step| !matches!(step, Step::Note(_)));
        }
        steps.extend(others.map(|principal| Step::DetachPrincipal(principal.clone())));
        steps.extend(unheard.into_iter().map(Step::DeleteUnheard));
        let mine: Vec<&str> = found
            .iter()
            .map(|found| found.details.arn.as_str())
            .collect();
        if (exists || !unfinished.is_empty()) && self.is_used_by_nobody_but(&own, &mine).await? {
            steps.push(Step::DeletePolicy(own));
        }
        if exists {
            steps.push(Step::DeleteThing);
        }
        if steps.is_empty() {
            return Ok(None);
        }
        let ids_where = |holds: fn(&Found) -> bool| {
            let ids = found.iter().filter(|found| holds(found));
            ids.map(|found| found.details.id.clone()).collect()
        };
        Ok(Some(Deletion {
            thing: thing.to_owned(),
            steps,
            readmitted: ids_where(|found| found.readmitted),
            shared: ids_where(|found| found.shared),
        }))
    }

    /// What an interrupted deletion noted on a thing, and its principals; `None` if there is no such thing.
    async fn presence(&self, thing: &str) -> Result<Option<(String, Vec<String>)>, CloudError> {
        let Some(found) = self.thing(thing).await? else {
            return Ok(None);
        };
        let noted = found.attributes.get(NOTE).cloned().unwrap_or_default();
        match self.principals(thing).await {
            Err(error) if error.is_not_found() => Ok(None),
            other => Ok(Some((noted, other?))),
        }
    }

    /// Takes the steps of a deletion one after the other.
    ///
    /// # Errors
    /// At the first step that fails, with what was done before it.
    pub async fn delete(&self, deletion: &Deletion) -> Result<(), Box<Stopped>> {
        for (index, step) in deletion.steps.iter().enumerate() {
            if let Err(error) = self.take(&deletion.thing, step).await {
                return Err(Box::new(Stopped {
                    done: deletion.steps[..index].to_vec(),
                    at: step.clone(),
                    error,
                }));
            }
        }
        Ok(())
    }

    async fn take(&self, thing: &str, step: &Step) -> Result<(), CloudError> {
        match step {
            Step::Deactivate(id) => {
                let inactive = CertificateStatus::Inactive;
                self.set_certificate_status(id, inactive).await
            }
            Step::Note(ids) => self.set_attribute(thing, NOTE, &ids.join(","), true).await,
            Step::DetachPolicy(policy, target) => self.detach_policy(policy, target).await,
            Step::DetachPrincipal(principal) => self.detach_principal(thing, principal).await,
            Step::DeleteCertificate(id) => {
                until_detached(SOON, async || self.delete_certificate(id).await).await
            }
            Step::DeleteUnheard(id) => self.remove_stray(id).await,
            Step::DeletePolicy(name) => {
                until_detached(DETACHING, async || self.delete_policy(name).await).await
            }
            Step::DeleteThing => {
                until_detached(SOON, async || self.delete_thing(thing).await).await
            }
        }
    }

    /// Everything about one certificate that the plan depends on; `None` if it exists no more.
    async fn find(
        &self,
        thing: &str,
        id: &str,
        certificates: Certificates,
    ) -> Result<Option<Found>, CloudError> {
        let Some(details) = self.certificate(id).await? else {
            return Ok(None);
        };
        let things = self.things_of(&details.arn).await?;
        let policies = self.attached_policies(&details.arn).await?;
        let readmitted = match &details.ca_certificate_id {
            Some(ca) if certificates == Certificates::Delete => {
                self.is_auto_registering(ca).await?
            }
            _ => false,
        };
        Ok(Some(Found {
            shared: things.iter().any(|other| other != thing),
            details,
            policies,
            readmitted,
        }))
    }

    /// Whether a policy exists and is attached to these targets at most.
    async fn is_used_by_nobody_but(
        &self,
        policy: &str,
        targets: &[&str],
    ) -> Result<bool, CloudError> {
        if self.policy(policy).await?.is_none() {
            return Ok(false);
        }
        let used_by = self.targets_of_policy(policy).await?;
        Ok(used_by.iter().all(|user| targets.contains(&user.as_str())))
    }
}

struct Found {
    details: CertificateDetails,
    policies: Vec<String>,
    /// Other things have it too.
    shared: bool,
    readmitted: bool,
}

/// The device is locked out first, then loosened, then removed.
fn steps_of(
    found: &[Found],
    principals: &[String],
    own: &str,
    certificates: Certificates,
) -> Vec<Step> {
    let mut steps = Vec::new();
    let (shared, alone): (Vec<&Found>, Vec<&Found>) = found.iter().partition(|one| one.shared);
    for one in &alone {
        use CertificateStatus::{Active, PendingActivation};
        if matches!(one.details.status, Active | PendingActivation) {
            steps.push(Step::Deactivate(one.details.id.clone()));
        }
    }
    let loosen = |steps: &mut Vec<Step>, one: &Found, all_policies: bool| {
        let policies = one.policies.iter();
        for policy in policies.filter(|policy| all_policies || *policy == own) {
            let (policy, target) = (policy.clone(), one.details.arn.clone());
            steps.push(Step::DetachPolicy(policy, target));
        }
        if principals.contains(&one.details.arn) {
            steps.push(Step::DetachPrincipal(one.details.arn.clone()));
        }
    };
    match certificates {
        Certificates::Keep => {
            for one in &alone {
                loosen(&mut steps, one, false);
            }
        }
        Certificates::Delete => {
            for chunk in alone.chunks(NOTED_AT_ONCE) {
                let ids = chunk.iter().map(|one| one.details.id.clone());
                steps.push(Step::Note(ids.collect()));
                for one in chunk {
                    loosen(&mut steps, one, true);
                }
                let ids = chunk.iter().map(|one| one.details.id.clone());
                steps.extend(ids.map(Step::DeleteCertificate));
            }
        }
    }
    for one in shared {
        loosen(&mut steps, one, false);
    }
    steps
}

/// Certificates of one thing that are looked at together.
const AT_ONCE: usize = 4;
/// DetachThingPrincipal takes "several seconds" (API reference); this is several times as long.
const SOON: Duration = Duration::from_secs(120);
