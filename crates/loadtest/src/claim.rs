//! Devices that get their identity by claim while the run goes on.

use std::collections::BTreeMap;
use std::time::Duration;

use jitp_core::ca::PrivateKey;
use jitp_core::claim::{ClaimError, Exchange, Format, Operation, Patience};
use jitp_core::csr::SigningRequest;
use jitp_core::mqtt::Identity;
use jitp_core::names::{TemplateName, ThingName};

use crate::asking::Asking;
use crate::endings::Missed;
use crate::payload::topic;

/// How devices get their identity by claim. What is asked and answered is what `fleet-provision` asks; the connection is
/// made as every other of the fleet.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The claim certificate, which all devices share.
    pub identity: Identity,
    /// Provisioning template.
    pub template: TemplateName,
    /// What it is told of each device; `{device}` and `{index}` stand for the device's.
    pub parameters: BTreeMap<String, String>,
}

/// What a device got.
pub(crate) struct Claimed {
    pub(crate) thing: ThingName,
    pub(crate) identity: Identity,
}

impl Claim {
    /// The exchange on a connection that was made with the claim: key, certificate for it, registration.
    pub(crate) async fn exchange(
        &self,
        connection: Asking,
        device: &ThingName,
        index: u32,
        patience: Duration,
    ) -> Result<Claimed, Missed> {
        self.ask(connection, device, index, patience)
            .await
            .map_err(|Failed(why)| Missed::Claim(why))
    }

    async fn ask(
        &self,
        connection: Asking,
        device: &ThingName,
        index: u32,
        patience: Duration,
    ) -> Result<Claimed, Failed> {
        let patience = Patience {
            request: patience,
            ..Patience::default()
        };
        let create = Operation::CreateCertificateFromCsr;
        let mut exchange =
            Exchange::open(connection, &self.template, create, Format::Json, patience).await?;
        let key = PrivateKey::generate_p256().map_err(other)?;
        let request = SigningRequest::create(&key, device).map_err(other)?;
        let issued = exchange
            .certificate_from_csr(request.pem(), &key, |_, _| {})
            .await?;
        let parameters = self
            .parameters
            .iter()
            .map(|(parameter, value)| (parameter.clone(), topic(value, device.as_str(), index)))
            .collect();
        let registered = exchange
            .register(&issued.token, &parameters, |_, _| {})
            .await?;
        exchange.close().await;
        let key = key.to_pem();
        let identity =
            Identity::from_pem(issued.chain_pem.as_bytes(), key.as_bytes()).map_err(other)?;
        Ok(Claimed {
            thing: registered.thing_name,
            identity,
        })
    }
}

/// Why it did not come to an identity.
struct Failed(String);

impl From<ClaimError> for Failed {
    fn from(error: ClaimError) -> Self {
        other(error)
    }
}

fn other(error: impl std::fmt::Display) -> Failed {
    Failed(error.to_string())
}
