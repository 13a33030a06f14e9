//! Devices that get their identity by claim while the run goes on.

use std::collections::BTreeMap;
use std::time::Duration;

use jitp_core::ca::{KeyType, PrivateKey};
use jitp_core::claim::{ClaimError, Exchange, Format, Operation, Patience, client_id};
use jitp_core::csr::SigningRequest;
use jitp_core::mqtt::{
    Closed, Endpoint, Identity, MqttError, Options, Retry, Session, Trust, Version,
};
use jitp_core::names::{TemplateName, ThingName};

use crate::payload::topic;

/// How devices get their identity by claim. The exchange itself is the one of `fleet-provision`; the device then connects
/// as every other of the fleet.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Where.
    pub endpoint: Endpoint,
    /// Roots for the server's certificate.
    pub trust: Trust,
    /// The claim certificate, which all devices share.
    pub identity: Identity,
    /// Provisioning template.
    pub template: TemplateName,
    /// What it is told of each device; `{device}` and `{index}` stand for the device's.
    pub parameters: BTreeMap<String, String>,
    /// MQTT version.
    pub version: Version,
}

/// What a device got.
pub(crate) struct Claimed {
    pub(crate) thing: ThingName,
    pub(crate) identity: Identity,
}

impl Claim {
    /// One exchange: key, certificate for it, registration.
    pub(crate) async fn identity(
        &self,
        name: &str,
        index: u32,
        patience: Duration,
    ) -> Result<Claimed, Closed> {
        self.exchange(name, index, patience)
            .await
            .map_err(|error| match error {
                Failed::Mqtt(error) => Closed::Protocol {
                    detail: format!("with the claim: {error}"),
                },
                Failed::Other(detail) => Closed::Protocol { detail },
            })
    }

    async fn exchange(
        &self,
        name: &str,
        index: u32,
        patience: Duration,
    ) -> Result<Claimed, Failed> {
        let device: ThingName = name.parse().map_err(other)?;
        let mut options = Options::new(
            self.endpoint.clone(),
            client_id(&device),
            self.identity.clone(),
            self.trust.clone(),
        );
        options.version = self.version;
        options.retry = Retry {
            total_timeout: patience,
            attempt_timeout: Retry::default().attempt_timeout.min(patience),
            ..Retry::default()
        };
        let session = Session::connect(options, |_| {})
            .await
            .map_err(Failed::Mqtt)?;
        let patience = Patience {
            request: patience,
            ..Patience::default()
        };
        let create = Operation::CreateCertificateFromCsr;
        let mut exchange =
            Exchange::open(session, &self.template, create, Format::Json, patience).await?;
        let key = PrivateKey::generate(KeyType::default()).map_err(other)?;
        let request = SigningRequest::create(&key, &device).map_err(other)?;
        let issued = exchange
            .certificate_from_csr(request.pem(), &key, |_, _| {})
            .await?;
        let parameters = self
            .parameters
            .iter()
            .map(|(parameter, value)| (parameter.clone(), topic(value, name, index)))
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

enum Failed {
    Mqtt(MqttError),
    Other(String),
}

impl From<ClaimError> for Failed {
    fn from(error: ClaimError) -> Self {
        Self::Other(error.to_string())
    }
}

fn other(error: impl std::fmt::Display) -> Failed {
    Failed::Other(error.to_string())
}
