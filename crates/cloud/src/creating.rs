//! Creating a thing with its certificate and policy, so that an interrupted run is finished by the next.
//!
//! Nothing connects before everything is there: certificates are made INACTIVE and activated last. A key is on
//! the disk before AWS hears of its certificate, so a lost answer costs nothing: registering it again says that it
//! exists. Where AWS itself makes the certificate, what it must be found by is on the disk before the call.

mod error;
mod record;

use jitp_core::ca::{CertificateAuthority, PrivateKey, Profile};
use jitp_core::certificate::Certificate;
use jitp_core::csr::SigningRequest;
use jitp_core::names::ThingName;
use jitp_core::store::{Store, ThingFiles};
use time::OffsetDateTime;

pub use error::{CreationError, CreationStopped};
use record::Record;

use crate::certificates::id_of;
use crate::deleting::own_policy;
use crate::orphans::Mark;
use crate::{CertificateStatus, Cloud, CloudError, IssuedByAws};

/// Where a thing's certificate comes from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// Signed by our own CA, which is registered.
    OwnCa {
        /// The CA.
        ca: &'a CertificateAuthority,
        /// What the certificate is like.
        profile: &'a Profile,
    },
    /// Key and certificate made by AWS.
    AwsKeys,
    /// Certificate made by AWS for a key that is elsewhere.
    Csr(&'a SigningRequest),
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

/// The certificate of a thing, as far as it has come.
struct Held {
    id: String,
    arn: String,
    status: CertificateStatus,
    /// It was made in this run, and so has nothing attached.
    new: bool,
}

impl Cloud {
    /// Sees, once for any number of things, that their CA is registered and their policy exists; a shared
    /// policy is made. Answers a warning where the account's policy says something else than the document.
    ///
    /// # Errors
    /// When something is missing that creating a thing does not make.
    pub async fn prepare_creation(
        &self,
        creation: &Creation<'_>,
    ) -> Result<Option<String>, CreationError> {
        if let Source::OwnCa { ca, .. } = creation.source {
            let id = ca.certificate().id().as_str();
            let registered = self.registered_ca(id).await?;
            let subject = ca.certificate().subject_line();
            match registered {
                None => return Err(CreationError::CaNotRegistered { subject }),
                Some(found) if !found.active => {
                    let id = id.to_owned();
                    return Err(CreationError::CaNotActive { subject, id });
                }
                Some(_) => {}
            }
        }
        match creation.policy {
            Policy::Existing(name) => match self.policy_exists(name).await? {
                true => Ok(None),
                false => Err(CreationError::NoPolicy(name.to_owned())),
            },
            Policy::Shared { name, document } => self.ensure_policy(name, document).await,
            Policy::Own(_) => Ok(None),
        }
    }

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
            Source::OwnCa { ca, profile } => {
                let signing = (ca, profile);
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
        let finished = Record {
            thing_name: thing.to_string(),
            thing_arn: Some(registered.arn.clone()),
            thing_id: registered.id,
            certificate_id: Some(held.id.clone()),
            certificate_arn: Some(held.arn.clone()),
            policy_name: Some(policy.clone()),
            requested: None,
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

    /// Sees that a certificate of our own CA is on the disk, and then registered.
    async fn hold_own(
        &self,
        thing: &ThingName,
        creation: &Creation<'_>,
        (ca, profile): (&CertificateAuthority, &Profile),
        local: Option<Certificate>,
        done: &mut Vec<&'static str>,
    ) -> Result<Held, CreationError> {
        let store = creation.store;
        let certificate = match local {
            Some(certificate) => certificate,
            None => {
                store.check_thing_is_free(thing)?;
                let issued = ca.issue(thing, profile, creation.now)?;
                store.save_thing(thing, &issued.chain_pem(), Some(issued.private_key()))?;
                done.push("key and certificate are written");
                let read = Certificate::from_der(issued.certificate_der());
                read.map_err(CreationError::Certificate)?
            }
        };
        let id = certificate.id().to_string();
        let new = self
            .register_certificate(&certificate.to_pem(), ca.certificate_pem())
            .await?;
        match new {
            Some(arn) => {
                done.push("the certificate is registered");
                Ok(Held {
                    id,
                    arn,
                    status: CertificateStatus::Inactive,
                    new: true,
                })
            }
            None => self.held(&id, creation, thing).await,
        }
    }

    /// Sees that a certificate AWS made is on the disk.
    async fn hold_aws(
        &self,
        thing: &ThingName,
        creation: &Creation<'_>,
        record: &Record,
        local: Option<Certificate>,
        done: &mut Vec<&'static str>,
    ) -> Result<Held, CreationError> {
        if let Some(certificate) = local {
            return self.held(certificate.id().as_str(), creation, thing).await;
        }
        let store = creation.store;
        store.check_thing_is_free(thing)?;
        let (mark, asked_before) = match &record.requested {
            Some(mark) => (mark.clone(), true),
            None => {
                let mark = self.mark_certificates().await?;
                Record::asking(thing, &mark).save(store, thing)?;
                (mark, false)
            }
        };
        let made = self
            .made_by_aws(creation.source, &mark, asked_before)
            .await?;
        done.push("AWS has made the certificate");
        let key = match &made.keys {
            Some((key, _)) => Some(PrivateKey::from_pem(key.as_bytes(), None)?),
            None => None,
        };
        let saved = store.save_thing(thing, &made.certificate_pem, key.as_ref());
        if let Err(error) = saved {
            // Its key is nowhere now, so the certificate is of no use to anybody.
            if key.is_some() && self.delete_certificate(&made.id).await.is_ok() {
                done.pop();
            }
            return Err(error.into());
        }
        done.push("the certificate is written");
        Ok(Held {
            id: made.id,
            arn: made.arn,
            status: CertificateStatus::Inactive,
            new: true,
        })
    }

    /// Asks AWS for a certificate; a lost answer is asked for once more, after what it left is dealt with.
    async fn made_by_aws(
        &self,
        source: Source<'_>,
        mark: &Mark,
        asked_before: bool,
    ) -> Result<IssuedByAws, CreationError> {
        let mut unheard = asked_before;
        let mut attempts = 0;
        loop {
            if unheard && let Some(found) = self.recover(source, mark).await? {
                return Ok(found);
            }
            let answer = match source {
                Source::Csr(request) => self.create_certificate_from_csr(request.pem()).await,
                _ => self.create_keys_and_certificate().await,
            };
            attempts += 1;
            match answer {
                Err(error) if error.is_unheard() && attempts < 2 => {
                    tracing::info!("{error}; looking for what it may have left");
                    unheard = true;
                }
                other => return Ok(other?),
            }
        }
    }

    /// Takes over what a lost answer was about, or removes it if its key is lost.
    async fn recover(
        &self,
        source: Source<'_>,
        mark: &Mark,
    ) -> Result<Option<IssuedByAws>, CloudError> {
        let Source::Csr(request) = source else {
            for id in self.remove_strays(mark).await? {
                tracing::info!("removed certificate {id}, whose key was lost on the way");
            }
            return Ok(None);
        };
        let key = request.public_key_info();
        let found = self.stray_with_key(mark, key).await?;
        Ok(found.map(|found| IssuedByAws {
            id: found.id,
            arn: found.arn,
            certificate_pem: found.pem,
            keys: None,
        }))
    }

    /// A certificate that was registered before this run.
    async fn held(
        &self,
        id: &str,
        creation: &Creation<'_>,
        thing: &ThingName,
    ) -> Result<Held, CreationError> {
        let found = self.certificate(id).await?;
        let found = found.ok_or_else(|| CreationError::NotRegistered {
            id: id.to_owned(),
            path: creation.store.thing_files(thing).certificate,
        })?;
        Ok(Held {
            id: found.id,
            arn: found.arn,
            status: found.status,
            new: false,
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

    /// The name of the policy to attach; a thing's own is made.
    async fn policy_for(
        &self,
        thing: &ThingName,
        policy: Policy<'_>,
    ) -> Result<String, CreationError> {
        match policy {
            Policy::Existing(name) | Policy::Shared { name, .. } => Ok(name.to_owned()),
            Policy::Own(document) => {
                let name = own_policy(thing.as_str());
                let document = document.replace(THING_NAME_VARIABLE, thing.as_str());
                if let Some(warning) = self.ensure_policy(&name, &document).await? {
                    tracing::warn!("{warning}");
                }
                Ok(name)
            }
        }
    }

    /// Makes a policy unless there is one of this name; a warning if that says something else.
    async fn ensure_policy(
        &self,
        name: &str,
        document: &str,
    ) -> Result<Option<String>, CreationError> {
        let existing = match self.policy(name).await? {
            Some(existing) => existing,
            None => match self.make_policy(name, document).await {
                Ok(()) => return Ok(None),
                // Another run was faster, or the answer to an earlier attempt was lost on the way.
                Err(error) if error.is("ResourceAlreadyExistsException") => return Ok(None),
                Err(error) => return Err(error.into()),
            },
        };
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
        let same = read(&existing.document) == read(document);
        Ok((!same).then(|| {
            format!("the account's policy {name} says something else than this toolkit's; it is left as it is")
        }))
    }
}

/// The certificate that lies on the disk already and can be used.
fn on_disk(
    thing: &ThingName,
    creation: &Creation<'_>,
) -> Result<Option<Certificate>, CreationError> {
    let store = creation.store;
    let certificate = match creation.source {
        Source::Csr(_) => store.load_thing_certificate(thing)?,
        _ => store
            .load_thing(thing)?
            .map(|identity| identity.certificate().clone()),
    };
    let Some(certificate) = certificate else {
        return Ok(None);
    };
    let unfit = |why| CreationError::Unfit {
        path: store.thing_files(thing).certificate,
        why,
    };
    match creation.source {
        Source::OwnCa { ca, .. } if certificate.issuer_der() != ca.certificate().subject_der() => {
            Err(unfit("is signed by another CA"))
        }
        Source::Csr(request) if certificate.public_key_info() != request.public_key_info() => {
            Err(unfit("is for another key than the request's"))
        }
        _ if !certificate.is_valid_at(creation.now) => Err(unfit("is not valid today")),
        _ => Ok(Some(certificate)),
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

/// What stands for the thing's name in the documents under `policies/`.
const THING_NAME_VARIABLE: &str = "${iot:Connection.Thing.ThingName}";

impl From<CloudError> for CreationError {
    fn from(error: CloudError) -> Self {
        Self::Cloud(error)
    }
}
