//! Creating a thing with its certificate and policy, so that an interrupted run is finished by the next.
//!
//! Nothing connects before everything is there: certificates are made INACTIVE and activated last. A key is on
//! the disk before AWS hears of its certificate, so a lost answer costs nothing: registering it again says that it
//! exists. Where AWS itself makes the certificate, what it must be found by is on the disk before the call.

mod error;
mod holding;
mod preparing;
mod record;
mod unfinished;

use std::fmt;

use jitp_core::ca::CertificateAuthority;
use jitp_core::certificate::Certificate;
use jitp_core::csr::SigningRequest;
use jitp_core::names::ThingName;
use jitp_core::store::{Store, ThingFiles};
use time::OffsetDateTime;

pub use error::{CreationError, CreationStopped, IssueError};
use holding::{Held, on_disk};
use record::Record;
pub use unfinished::Unfinished;

use crate::certificates::id_of;
use crate::{CertificateStatus, Cloud, CloudError};

/// Where a thing's certificate comes from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// Signed by our own CA, which is registered.
    OwnCa {
        /// The CA.
        ca: &'a CertificateAuthority,
        /// Issues with it.
        issue: &'a dyn IssueThing,
    },
    /// Key and certificate made by AWS.
    AwsKeys,
    /// Certificate made by AWS for a key that is elsewhere.
    Csr(&'a SigningRequest),
}

/// Makes keys and certificates of things, keeping whatever records the CA has.
pub trait IssueThing: fmt::Debug + Sync {
    /// Makes a thing's key and certificate, and sees them into their files. Answers the certificate.
    ///
    /// # Errors
    /// When nothing was issued; then no file is left behind.
    fn issue(&self, thing: &ThingName) -> Result<Certificate, IssueError>;
}

/// What a thing's certificate may do.
#[derive(Clone, Copy, Debug)]
pub enum Policy<'a> {
    /// A policy of the account.
    Existing(&'a str),
    /// One policy for all things; made from the document where the account has none of this name.
    Shared {
        /// Its name.
        name: &'a str,
        /// Its document, in which variables stand for the thing.
        document: &'a str,
    },
    /// A policy for this thing alone, made from the document with the thing's name filled in.
    Own(&'a str),
}

/// How things are created.
#[derive(Clone, Copy, Debug)]
pub struct Creation<'a> {
    /// Folder that holds `things/` and `certs/`.
    pub store: &'a Store,
    /// Where certificates come from.
    pub source: Source<'a>,
    /// What they may do.
    pub policy: Policy<'a>,
    /// The present time, which validity counts from.
    pub now: OffsetDateTime,
}

/// What a creation came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CreationOutcome {
    /// The thing is new.
    Created,
    /// The thing was there, and something was missing.
    Completed,
    /// Everything was there.
    Unchanged,
}

/// A thing with its certificate and policy attached.
#[derive(Clone, Debug)]
pub struct CreatedThing {
    /// What this run did.
    pub outcome: CreationOutcome,
    /// ARN of the thing.
    pub thing_arn: String,
    /// Id of its certificate.
    pub certificate_id: String,
    /// ARN of its certificate.
    pub certificate_arn: String,
    /// Status of its certificate; not ACTIVE only if somebody has deactivated it since.
    pub status: CertificateStatus,
    /// The attached policy.
    pub policy: String,
    /// Where everything lies.
    pub files: ThingFiles,
}

impl Cloud {
    /// Creates a thing, or finishes what an earlier run began.
    ///
    /// # Errors
    /// With the steps that were taken; the next run goes on from there.
    pub async fn create_thing(
        &self,
        thing: &ThingName,
        creation: &Creation<'_>,
    ) -> Result<CreatedThing, Box<CreationStopped>> {
        let mut done = Vec::new();
        let outcome = self.create_steps(thing, creation, &mut done).await;
        outcome.map_err(|error| Box::new(CreationStopped { done, error }))
    }

    async fn create_steps(
        &self,
        thing: &ThingName,
        creation: &Creation<'_>,
        done: &mut Vec<&'static str>,
    ) -> Result<CreatedThing, CreationError> {
        let store = creation.store;
        let record = Record::load(store, thing)?;
        let found = self.thing(thing.as_str()).await?;
        let principals = match &found {
            Some(_) => self.principals(thing.as_str()).await?,
            None => Vec::new(),
        };
        let local = on_disk(thing, creation)?;
        refuse_others(thing, &principals, local.as_ref())?;
        let existed = found.is_some();
        let registered = match found {
            Some(found) => found,
            None => {
                let made = self.make_thing(thing.as_str()).await?;
                done.push("the thing is made");
                made
            }
        };
        let held = match creation.source {
            Source::OwnCa { ca, issue } => {
                let signing = (ca, issue);
                self.hold_own(thing, creation, signing, local, done).await?
            }
            Source::AwsKeys | Source::Csr(_) => {
                self.hold_aws(thing, creation, &record, local, done).await?
            }
        };
        let attached = match held.new {
            true => Vec::new(),
            false => self.attached_policies(&held.arn).await?,
        };
        let policy = self.policy_for(thing, creation.policy).await?;
        if !attached.contains(&policy) {
            self.attach_policy(&policy, &held.arn).await?;
            done.push("the policy is attached");
        }
        if !principals.contains(&held.arn) {
            self.attach_principal(thing.as_str(), &held.arn).await?;
            done.push("the certificate is attached");
        }
        let status = self.activate(&held, &record, done).await?;
        let requested = match held.lookout {
            Some(lookout) => self.remove_late(creation, lookout).await?,
            None => None,
        };
        let finished = Record {
            thing_name: thing.to_string(),
            thing_arn: Some(registered.arn.clone()),
            thing_id: registered.id,
            certificate_id: Some(held.id.clone()),
            certificate_arn: Some(held.arn.clone()),
            policy_name: Some(policy.clone()),
            requested,
        };
        if record != finished {
            finished.save(store, thing)?;
            done.push("the record is written");
        }
        Ok(CreatedThing {
            outcome: match (existed, done.is_empty()) {
                (false, _) => CreationOutcome::Created,
                (true, false) => CreationOutcome::Completed,
                (true, true) => CreationOutcome::Unchanged,
            },
            thing_arn: registered.arn,
            certificate_id: held.id,
            certificate_arn: held.arn,
            status,
            policy,
            files: store.thing_files(thing),
        })
    }

    /// The last step. A certificate that was finished before and is not ACTIVE was deactivated by somebody,
    /// and stays so.
    async fn activate(
        &self,
        held: &Held,
        record: &Record,
        done: &mut Vec<&'static str>,
    ) -> Result<CertificateStatus, CreationError> {
        let finished = record.certificate_id.as_deref() == Some(&held.id);
        match held.status {
            CertificateStatus::Active => {}
            CertificateStatus::Revoked => return Err(CreationError::Revoked(held.id.clone())),
            CertificateStatus::Inactive if finished => return Ok(held.status),
            _ => {
                let active = CertificateStatus::Active;
                self.set_certificate_status(&held.id, active).await?;
                done.push("the certificate is active");
            }
        }
        Ok(CertificateStatus::Active)
    }
}

/// A thing that has a certificate does not get a second one by accident.
fn refuse_others(
    thing: &ThingName,
    principals: &[String],
    local: Option<&Certificate>,
) -> Result<(), CreationError> {
    let ours = local.map(|certificate| certificate.id().as_str());
    let others = principals
        .iter()
        .filter_map(|principal| id_of(principal))
        .filter(|id| Some(*id) != ours);
    let others: Vec<String> = others.map(ToOwned::to_owned).collect();
    match others.is_empty() {
        true => Ok(()),
        false => Err(CreationError::HasCertificates {
            thing: thing.clone(),
            certificates: others,
        }),
    }
}

impl From<CloudError> for CreationError {
    fn from(error: CloudError) -> Self {
        Self::Cloud(error)
    }
}
