//! The exchange of a claim for an identity, step by step, each on the disk before the next.
//!
//! The key is written before a certificate is asked for it, and the certificate before it is registered, because from
//! the moment RegisterThing is sent the service may count the device as provisioned: whoever loses the key then has
//! lost the device. All of that is in a folder of its own ([`ProvisioningFolder`]). Only what was accepted, and has
//! connected, takes the place of what the device had; a refusal takes the folder away.

use super::{
    attempt::{Asked, Attempt, Record, Step, thing_name},
    error::ClaimError,
    exchange::{Exchange, Operation, OwnershipToken, Registered},
    present::{at_hand, present},
    provisioning::{Keys, Progress, Provisioned, Provisioning, ProvisioningStopped},
};
use crate::{ca::PrivateKey, csr::SigningRequest, mqtt::MqttError, store::ProvisioningFolder};

pub(super) struct Run<'a> {
    pub(super) asked: Asked,
    pub(super) of: &'a Provisioning<'a>,
    pub(super) progress: &'a mut dyn FnMut(&Progress),
    /// Whether a certificate was given up for another one in this run.
    anew: bool,
}

/// What is to become of the folder when a step fails.
pub(super) enum Fate {
    /// The service may have acted: another run goes on from here.
    Keep,
    /// Nothing in it is of use to anybody.
    Discard,
}

pub(super) type Failed = Box<(ClaimError, Fate)>;

impl<'a> Run<'a> {
    pub(super) fn new(of: &'a Provisioning<'a>, progress: &'a mut dyn FnMut(&Progress)) -> Self {
        Self {
            asked: Asked::of(of),
            of,
            progress,
            anew: false,
        }
    }

    pub(super) async fn finish(mut self) -> Result<Provisioned, Box<ProvisioningStopped>> {
        let stopped = |error| {
            let kept = None;
            Box::new(ProvisioningStopped { error, kept })
        };
        if let Some(present) = self.at_hand().map_err(stopped)? {
            return Ok(present);
        }
        let folder = self.of.store.open_provisioning(self.of.device);
        let folder = match folder.map_err(|error| stopped(error.into()))? {
            Some(folder) => folder,
            None => {
                let device = self.of.device.clone();
                return Err(stopped(ClaimError::UnderWay { device }));
            }
        };
        let path = folder.path().to_owned();
        match self.steps(&folder).await {
            Ok(done) => {
                folder.remove().map_err(|error| stopped(error.into()))?;
                (self.progress)(&Progress::Cleaned);
                Ok(done)
            }
            Err(failed) => {
                let (error, fate) = *failed;
                let left = match fate {
                    Fate::Keep => true,
                    Fate::Discard => folder.remove().is_err(),
                };
                let kept = left.then_some(path);
                Err(Box::new(ProvisioningStopped { error, kept }))
            }
        }
    }

    async fn steps(&mut self, folder: &ProvisioningFolder) -> Result<Provisioned, Failed> {
        let attempt = match Attempt::load(folder).map_err(keep)? {
            Some(attempt) => {
                let (device, renew) = (self.of.device, self.of.renew);
                let attempt = attempt.for_this(&self.asked, renew, device, folder);
                attempt.map_err(keep)?
            }
            None => None,
        };
        // Only what was accepted may have begun to take its place.
        let accepted =
            |attempt: &Attempt| matches!(attempt.step, Step::Accepted(_) | Step::Swapping(_));
        if !attempt.as_ref().is_some_and(accepted)
            && let Some(present) = self.present().map_err(|error| match attempt {
                Some(_) => keep(error),
                None => discard(error),
            })?
        {
            return Ok(present);
        }
        match attempt {
            Some(attempt) => {
                (self.progress)(&Progress::Resumed);
                self.go_on(attempt, folder).await
            }
            None => {
                folder.clear().map_err(discard)?;
                let exchange = self.connect().await.map_err(discard)?;
                self.begin(exchange, folder).await
            }
        }
    }

    /// What takes neither claim nor network, unless the device is to be renewed.
    fn at_hand(&mut self) -> Result<Option<Provisioned>, ClaimError> {
        if self.of.renew {
            return Ok(None);
        }
        let now = self.of.connection.clock.now();
        at_hand(
            self.of.store,
            self.of.device,
            &self.asked,
            now,
            self.progress,
        )
    }

    /// The identity the device has already, unless it is to be renewed.
    fn present(&self) -> Result<Option<Provisioned>, ClaimError> {
        if self.of.renew {
            return Ok(None);
        }
        let now = self.of.connection.clock.now();
        present(self.of.store, self.of.device, &self.asked, now)
    }

    async fn connect(&self) -> Result<Exchange, ClaimError> {
        let create = match self.of.keys {
            Keys::Own(_) => Operation::CreateCertificateFromCsr,
            Keys::Aws => Operation::CreateKeysAndCertificate,
        };
        let session = self.session(self.of.connection.clone()).await?;
        let (format, patience) = (self.of.format, self.of.patience);
        Exchange::open(session, self.of.template, create, format, patience).await
    }

    /// From nothing to a certificate that is about to be registered.
    async fn begin(
        &mut self,
        mut exchange: Exchange,
        folder: &ProvisioningFolder,
    ) -> Result<Provisioned, Failed> {
        match self.of.keys {
            Keys::Own(key_type) => {
                let key = PrivateKey::generate(key_type).map_err(discard)?;
                folder.save_key(&key).map_err(discard)?;
                (self.progress)(&Progress::KeyWritten);
                self.write_attempt(Step::Requested, folder)?;
                self.certify(exchange, &key, folder).await
            }
            Keys::Aws => {
                let progress = &mut self.progress;
                let paused = |rejection: &_, pause| {
                    progress(&Progress::Paused(Clone::clone(rejection), pause));
                };
                let (issued, key) = exchange
                    .keys_and_certificate(paused)
                    .await
                    .map_err(discard)?;
                (self.progress)(&Progress::Issued(issued.certificate.id().to_string()));
                folder.save_key(&key).map_err(discard)?;
                (self.progress)(&Progress::KeyWritten);
                folder
                    .save_certificate(&issued.chain_pem)
                    .map_err(discard)?;
                (self.progress)(&Progress::CertificateWritten);
                self.register(exchange, issued.token, folder).await
            }
        }
    }

    /// Has a key of our own certified.
    async fn certify(
        &mut self,
        mut exchange: Exchange,
        key: &PrivateKey,
        folder: &ProvisioningFolder,
    ) -> Result<Provisioned, Failed> {
        let request = SigningRequest::create(key, self.of.device).map_err(discard)?;
        let progress = &mut self.progress;
        let paused = |rejection: &_, pause| {
            progress(&Progress::Paused(Clone::clone(rejection), pause));
        };
        let issued = exchange
            .certificate_from_csr(request.pem(), key, paused)
            .await;
        let issued = issued.map_err(discard)?;
        (self.progress)(&Progress::Issued(issued.certificate.id().to_string()));
        folder
            .save_certificate(&issued.chain_pem)
            .map_err(discard)?;
        (self.progress)(&Progress::CertificateWritten);
        self.register(exchange, issued.token, folder).await
    }

    async fn register(
        &mut self,
        exchange: Exchange,
        token: OwnershipToken,
        folder: &ProvisioningFolder,
    ) -> Result<Provisioned, Failed> {
        let step = Step::Registering {
            certificate_ownership_token: token.clone(),
        };
        self.write_attempt(step, folder)?;
        self.settle(exchange, &token, folder, false).await
    }

    /// Asks for the registration. Where it may have been made before, and its answer was lost, a rejection says nothing:
    /// what the certificate can do tells the truth.
    async fn settle(
        &mut self,
        mut exchange: Exchange,
        token: &OwnershipToken,
        folder: &ProvisioningFolder,
        asked_before: bool,
    ) -> Result<Provisioned, Failed> {
        let registered = self.ask_to_register(&mut exchange, token).await;
        exchange.close().await;
        let error = match registered {
            Ok(registered) => return self.accepted(registered, folder).await,
            Err(error) => error,
        };
        if !is_final(&error) {
            return Err(keep(error));
        }
        let repeated = matches!(error, ClaimError::Rejected { repeated: true, .. });
        if !asked_before && !repeated {
            return Err(discard(error));
        }
        if self.connects_already(folder).await {
            let record = Record::load(self.of.store, self.of.device).map_err(keep)?;
            (self.progress)(&Progress::AnswerLost);
            let registered = Registered {
                thing_name: thing_name(self.of.store, self.of.device).map_err(keep)?,
                // A renewal's is the one of before, as far as anybody knows.
                device_configuration: record.and_then(|record| record.device_configuration),
            };
            return self.accepted(registered, folder).await;
        }
        // A token that is used up or too old says nothing about the device.
        let stale =
            matches!(&error, ClaimError::Rejected { rejection, .. } if rejection.is_about_token());
        if !stale || self.anew {
            return Err(discard(error));
        }
        self.anew = true;
        folder.clear().map_err(discard)?;
        let exchange = self.connect().await.map_err(discard)?;
        // Boxed: what is begun anew comes by here again, though not further.
        Box::pin(self.begin(exchange, folder)).await
    }

    async fn ask_to_register(
        &mut self,
        exchange: &mut Exchange,
        token: &OwnershipToken,
    ) -> Result<Registered, ClaimError> {
        let progress = &mut self.progress;
        let paused = |rejection: &_, pause| {
            progress(&Progress::Paused(Clone::clone(rejection), pause));
        };
        exchange
            .register(token, &self.asked.parameters, paused)
            .await
    }

    /// Goes on where an earlier run was broken off.
    async fn go_on(
        &mut self,
        attempt: Attempt,
        folder: &ProvisioningFolder,
    ) -> Result<Provisioned, Failed> {
        match attempt.step {
            Step::Requested => {
                let exchange = self.connect().await.map_err(discard)?;
                match folder.load_key().map_err(discard)? {
                    Some(key) => self.certify(exchange, &key, folder).await,
                    None => self.begin(exchange, folder).await,
                }
            }
            Step::Registering {
                certificate_ownership_token,
            } => {
                self.register_again(certificate_ownership_token, folder)
                    .await
            }
            Step::Accepted(registered) => self.prove_and_swap(registered, folder).await,
            Step::Swapping(registered) => self.swap(&registered, folder),
        }
    }

    /// RegisterThing may have been accepted, and the answer lost with the run that asked.
    async fn register_again(
        &mut self,
        token: OwnershipToken,
        folder: &ProvisioningFolder,
    ) -> Result<Provisioned, Failed> {
        if folder.load_next().map_err(keep)?.is_none() {
            // The files were lost with the machine's last writes: nothing was sent before they were on the disk.
            folder.clear().map_err(discard)?;
            let exchange = self.connect().await.map_err(discard)?;
            return self.begin(exchange, folder).await;
        }
        let exchange = self.connect().await.map_err(keep)?;
        self.settle(exchange, &token, folder, true).await
    }

    async fn accepted(
        &mut self,
        registered: Registered,
        folder: &ProvisioningFolder,
    ) -> Result<Provisioned, Failed> {
        (self.progress)(&Progress::Accepted(registered.thing_name.clone()));
        if self.of.renew {
            let thing = thing_name(self.of.store, self.of.device).map_err(keep)?;
            let registered = registered.thing_name.clone();
            if registered != thing {
                return Err(discard(ClaimError::OtherThing { thing, registered }));
            }
        }
        let step = Step::Accepted(registered.clone());
        self.save_attempt(step, folder).map_err(keep)?;
        (self.progress)(&Progress::AcceptanceWritten);
        self.prove_and_swap(registered, folder).await
    }

    fn write_attempt(&mut self, step: Step, folder: &ProvisioningFolder) -> Result<(), Failed> {
        self.save_attempt(step, folder).map_err(discard)?;
        (self.progress)(&Progress::AttemptWritten);
        Ok(())
    }

    pub(super) fn save_attempt(
        &self,
        step: Step,
        folder: &ProvisioningFolder,
    ) -> Result<(), ClaimError> {
        let attempt = Attempt {
            asked: self.asked.clone(),
            renews: self.of.renew,
            step,
        };
        attempt.save(folder)
    }
}

/// Whether the same request would be answered in the same way.
fn is_final(error: &ClaimError) -> bool {
    match error {
        ClaimError::Rejected { rejection, .. } => !rejection.is_temporary(),
        ClaimError::Mqtt(error) => matches!(**error, MqttError::PublishRefused { .. }),
        _ => false,
    }
}

pub(super) fn keep(error: impl Into<ClaimError>) -> Failed {
    Box::new((error.into(), Fate::Keep))
}

fn discard(error: impl Into<ClaimError>) -> Failed {
    Box::new((error.into(), Fate::Discard))
}
