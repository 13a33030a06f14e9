//! The certificate of a thing: found on the disk, issued, or made by AWS, and then known to the account.

use jitp_core::ca::{CertificateAuthority, PrivateKey, Profile};
use jitp_core::certificate::Certificate;
use jitp_core::names::ThingName;

use super::record::Record;
use super::{Creation, CreationError, Source};
use crate::orphans::Mark;
use crate::{CertificateStatus, Cloud, CloudError, IssuedByAws};

/// The certificate of a thing, as far as it has come.
pub(super) struct Held {
    pub(super) id: String,
    pub(super) arn: String,
    pub(super) status: CertificateStatus,
    /// It was made in this run, and so has nothing attached.
    pub(super) new: bool,
    /// An answer was lost since; what it was about may turn up late.
    pub(super) unheard_since: Option<Mark>,
}

impl Cloud {
    /// Sees that a certificate of our own CA is on the disk, and then registered.
    pub(super) async fn hold_own(
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
                    unheard_since: None,
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
                unheard_since: record.requested.clone(),
                ..held
            });
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
        let (made, unheard) = self
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
            unheard_since: unheard.then_some(mark),
        })
    }

    /// Asks AWS for a certificate; a lost answer is asked for once more, after what it left is dealt with.
    /// Also answers whether one was lost.
    async fn made_by_aws(
        &self,
        source: Source<'_>,
        mark: &Mark,
        asked_before: bool,
    ) -> Result<(IssuedByAws, bool), CreationError> {
        let mut unheard = asked_before;
        let mut attempts = 0;
        loop {
            if unheard && let Some(found) = self.recover(source, mark).await? {
                return Ok((found, unheard));
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
                other => return Ok((other?, unheard)),
            }
        }
    }

    /// A call that timed out may act after the account was searched for what it did.
    pub(super) async fn remove_late(
        &self,
        source: Source<'_>,
        mark: &Mark,
    ) -> Result<(), CloudError> {
        if let Some(late) = self.recover(source, mark).await? {
            self.delete_certificate(&late.id).await?;
        }
        Ok(())
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
            unheard_since: None,
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
