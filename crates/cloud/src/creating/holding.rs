//! The certificate of a thing: found on the disk, issued, or made by AWS, and then known to the account.

use std::time::{Duration, Instant};

use jitp_core::ca::{CertificateAuthority, PrivateKey};
use jitp_core::certificate::Certificate;
use jitp_core::names::ThingName;
use time::OffsetDateTime;

use super::record::Record;
use super::{Creation, CreationError, IssueThing, Source};
use crate::orphans::Mark;
use crate::{CertificateStatus, Cloud, CloudError, IssuedByAws};

/// The certificate of a thing, as far as it has come.
pub(super) struct Held {
    pub(super) id: String,
    pub(super) arn: String,
    pub(super) status: CertificateStatus,
    /// It was made in this run, and so has nothing attached.
    pub(super) new: bool,
    pub(super) lookout: Option<Lookout>,
}

/// An answer was lost; what it was about may turn up late.
pub(super) enum Lookout {
    /// In this run.
    Wait(Mark),
    /// In an earlier run.
    Once(Mark),
}

impl Cloud {
    /// Sees that a certificate of our own CA is on the disk, and then registered.
    pub(super) async fn hold_own(
        &self,
        thing: &ThingName,
        creation: &Creation<'_>,
        (ca, issue): (&CertificateAuthority, &dyn IssueThing),
        local: Option<Certificate>,
        done: &mut Vec<&'static str>,
    ) -> Result<Held, CreationError> {
        let store = creation.store;
        let certificate = match local {
            Some(certificate) => certificate,
            None => {
                store.check_thing_is_free(thing)?;
                let certificate = issue.issue(thing)?;
                done.push("key and certificate are written");
                certificate
            }
        };
        let id = certificate.id().to_string();
        let inactive = CertificateStatus::Inactive;
        let new = self
            .register_certificate(&certificate.to_pem(), ca.certificate_pem(), inactive)
            .await?;
        match new {
            Some(arn) => {
                done.push("the certificate is registered");
                Ok(Held {
                    id,
                    arn,
                    status: CertificateStatus::Inactive,
                    new: true,
                    lookout: None,
                })
            }
            None => self.held(&id, creation, thing).await,
        }
    }

    /// Sees that a certificate AWS made is on the disk.
    pub(super) async fn hold_aws(
        &self,
        thing: &ThingName,
        creation: &Creation<'_>,
        record: &Record,
        local: Option<Certificate>,
        done: &mut Vec<&'static str>,
    ) -> Result<Held, CreationError> {
        if let Some(certificate) = local {
            let id = certificate.id().as_str();
            let held = self.held(id, creation, thing).await?;
            return Ok(Held {
                lookout: record.requested.clone().map(Lookout::Once),
                ..held
            });
        }
        let store = creation.store;
        store.check_thing_is_free(thing)?;
        if let Some(mark) = &record.requested
            && let Some(found) = self.recover(creation, mark).await?
        {
            let held = self.keep(thing, creation, found, done).await?;
            let lookout = Some(Lookout::Once(mark.clone()));
            return Ok(Held { lookout, ..held });
        }
        let now = OffsetDateTime::now_utc();
        let earlier = record.requested.clone().filter(|mark| mark.is_fresh(now));
        let mark = match earlier.clone() {
            Some(mark) => mark.asked_again(now),
            None => self.mark_certificates(now).await?,
        };
        let key = match creation.source {
            Source::Csr(request) => Some(request.public_key_info()),
            _ => None,
        };
        let mark = mark.for_key(key);
        Record::asking(thing, &mark).save(store, thing)?;
        let lookout = match self.ask(thing, creation, done).await {
            Err(CreationError::Cloud(error)) if error.is_unheard() => {
                tracing::info!("{error}; looking for what it may have left");
                Some(Lookout::Wait(mark.clone()))
            }
            other => {
                let lookout = earlier.map(|_| Lookout::Once(mark));
                return other.map(|held| Held { lookout, ..held });
            }
        };
        let held = match self.recover(creation, &mark).await? {
            Some(found) => self.keep(thing, creation, found, done).await?,
            None => self.ask(thing, creation, done).await?,
        };
        Ok(Held { lookout, ..held })
    }

    /// Asks AWS for a certificate, once.
    async fn ask(
        &self,
        thing: &ThingName,
        creation: &Creation<'_>,
        done: &mut Vec<&'static str>,
    ) -> Result<Held, CreationError> {
        // Until its key is on the disk, nobody in this program may take it for a stray.
        let _asking = self.asking.read().await;
        let made = match creation.source {
            Source::Csr(request) => self.create_certificate_from_csr(request.pem()).await?,
            _ => self.create_keys_and_certificate().await?,
        };
        self.keep(thing, creation, made, done).await
    }

    /// Writes down what AWS has made.
    async fn keep(
        &self,
        thing: &ThingName,
        creation: &Creation<'_>,
        made: IssuedByAws,
        done: &mut Vec<&'static str>,
    ) -> Result<Held, CreationError> {
        done.push("AWS has made the certificate");
        let key = match &made.keys {
            Some((key, _)) => Some(PrivateKey::from_pem(key.as_bytes(), None)?),
            None => None,
        };
        let store = creation.store;
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
            lookout: None,
        })
    }

    /// A call whose answer was lost may act after the account was searched for what it did. Answers what the
    /// next run is to look for.
    pub(super) async fn remove_late(
        &self,
        creation: &Creation<'_>,
        lookout: Lookout,
    ) -> Result<Option<Mark>, CloudError> {
        let (mark, patience) = match lookout {
            Lookout::Once(mark) => (mark, Duration::ZERO),
            Lookout::Wait(mark) => (mark, LATE),
        };
        let start = Instant::now();
        loop {
            if let Some(late) = self.recover(creation, &mark).await? {
                self.delete_certificate(&late.id).await?;
            }
            if start.elapsed() >= patience {
                return Ok((!patience.is_zero()).then_some(mark));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Takes over what a lost answer was about, or removes it if its key is lost.
    async fn recover(
        &self,
        creation: &Creation<'_>,
        mark: &Mark,
    ) -> Result<Option<IssuedByAws>, CloudError> {
        let Source::Csr(request) = creation.source else {
            let is_kept = |id: &str| creation.store.holds_certificate(id);
            for id in self.remove_strays(mark, is_kept).await? {
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
            lookout: None,
        })
    }
}

/// The certificate that lies on the disk already and can be used.
pub(super) fn on_disk(
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

/// How long a call whose answer was lost may still act before a creation counts as done.
const LATE: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_secs(1);
