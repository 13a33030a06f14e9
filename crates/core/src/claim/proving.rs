//! The proof of a new certificate: it connects.

use super::{
    attempt::{Step, thing_name},
    error::ClaimError,
    exchange::Registered,
    provisioning::{Progress, Provisioned},
    run::{Failed, Run, keep},
    swap::{load_next, swap},
};
use crate::{
    mqtt::{Event, Identity, IdentityError, MqttError, Options, Retry, Session},
    names::ThingName,
    store::{DeviceIdentity, ProvisioningFolder},
};

impl Run<'_> {
    pub(super) async fn session(&self, options: Options) -> Result<Session, MqttError> {
        let listener = self.of.listener.clone();
        Session::connect(options, move |event: &Event| listener.hear(event)).await
    }

    /// The last part, which may be broken off and done again as often as it takes.
    pub(super) async fn prove_and_swap(
        &mut self,
        registered: Registered,
        folder: &ProvisioningFolder,
    ) -> Result<Provisioned, Failed> {
        let thing = &registered.thing_name;
        let next = load_next(thing, folder).map_err(keep)?;
        if self.of.prove {
            self.prove(&next, thing).await.map_err(keep)?;
        }
        self.save_attempt(Step::Swapping(registered.clone()), folder)
            .map_err(keep)?;
        (self.progress)(&Progress::ProofWritten);
        self.swap(&registered, folder)
    }

    pub(super) fn swap(
        &mut self,
        registered: &Registered,
        folder: &ProvisioningFolder,
    ) -> Result<Provisioned, Failed> {
        let asked = (&self.asked, self.of.renew);
        swap(
            self.of.store,
            self.of.device,
            asked,
            registered,
            folder,
            self.progress,
        )
        .map_err(keep)
    }

    async fn prove(&mut self, next: &DeviceIdentity, thing: &ThingName) -> Result<(), ClaimError> {
        let options = self.options_of(next, thing).map_err(MqttError::from)?;
        let session = self.session(options).await;
        let session = session.map_err(|source| ClaimError::NotProved {
            thing: thing.clone(),
            source: Box::new(source),
        })?;
        let attempts = session.attempts();
        // It has connected; how the connection ends changes nothing.
        let _ = session.disconnect().await;
        (self.progress)(&Progress::Proved(attempts));
        Ok(())
    }

    /// The claim's connection, with another identity.
    fn options_of(
        &self,
        next: &DeviceIdentity,
        thing: &ThingName,
    ) -> Result<Options, IdentityError> {
        let key = next.private_key().to_pem();
        Ok(Options {
            identity: Identity::from_pem(next.chain_pem().as_bytes(), key.as_bytes())?,
            client_id: thing.to_string(),
            ..self.of.connection.clone()
        })
    }

    /// Whether the next certificate gets in under the name that the thing was expected to get.
    pub(super) async fn connects_already(&self, folder: &ProvisioningFolder) -> bool {
        let Ok(Some(next)) = folder.load_next() else {
            return false;
        };
        let Ok(thing) = thing_name(self.of.store, self.of.device) else {
            return false;
        };
        let Ok(options) = self.options_of(&next, &thing) else {
            return false;
        };
        let options = Options {
            retry: Retry {
                attempts: 2,
                ..options.retry
            },
            ..options
        };
        match self.session(options).await {
            Ok(session) => {
                let _ = session.disconnect().await;
                true
            }
            Err(_) => false,
        }
    }
}
