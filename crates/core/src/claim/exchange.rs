//! The provisioning API of AWS IoT: a request, and its answer on one of two topics.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use tokio::time::{Instant, sleep_until};
use zeroize::{Zeroize, Zeroizing};

use super::{
    error::{ClaimError, Rejection},
    format::Format,
};
use crate::{
    ca::PrivateKey,
    certificate::Certificate,
    mqtt::{Client, MqttError, Publish, Qos, Session},
    names::{TemplateName, ThingName},
};

/// What can be asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Operation {
    /// A certificate for a key made by AWS.
    CreateKeysAndCertificate,
    /// A certificate for a key of our own.
    CreateCertificateFromCsr,
    /// The registration of the device with the certificate.
    RegisterThing,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CreateKeysAndCertificate => "CreateKeysAndCertificate",
            Self::CreateCertificateFromCsr => "CreateCertificateFromCsr",
            Self::RegisterThing => "RegisterThing",
        })
    }
}

/// How long is waited for one answer, and for one request with all its repetitions.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// One answer. A hook may take 5 s of it (developer guide, "Pre-provisioning hooks").
    pub answer: Duration,
    /// One request, repeated while it is throttled or not answered.
    pub request: Duration,
    /// The pause after the first throttling; it doubles with every further one, and up to half of it is chance.
    pub first_pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(15),
            request: Duration::from_secs(60),
            first_pause: Duration::from_millis(500),
        }
    }
}

/// Proof that a certificate was issued to whoever shows it; of use for an hour. Secret.
#[derive(Clone, Deserialize, Serialize)]
pub struct OwnershipToken(String);

impl OwnershipToken {
    /// The token as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for OwnershipToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnershipToken([redacted])")
    }
}

impl Drop for OwnershipToken {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// A certificate that waits to be registered.
#[derive(Clone, Debug)]
pub struct IssuedCertificate {
    /// The certificate.
    pub certificate: Certificate,
    /// The certificate as PEM text, followed by its issuers if they were sent along.
    pub chain_pem: String,
    /// The proof that it was issued to us.
    pub token: OwnershipToken,
}

/// What RegisterThing answers.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Registered {
    /// The thing.
    pub thing_name: ThingName,
    /// What the template has to tell the device; empty if nothing, `None` if the answer that told it was lost.
    pub device_configuration: Option<Map<String, Value>>,
}

/// The API on one connection.
pub struct Exchange<C = Session> {
    session: C,
    template: TemplateName,
    format: Format,
    patience: Patience,
}

impl<C: Client> Exchange<C> {
    /// Subscribes to the answers of RegisterThing and of the operation that is going to be asked for a certificate.
    /// AWS delivers them without it, but its guide wants it.
    ///
    /// # Errors
    /// When the subscription is refused, or the connection is lost for good.
    pub async fn open(
        mut session: C,
        template: &TemplateName,
        create: Operation,
        format: Format,
        patience: Patience,
    ) -> Result<Self, ClaimError> {
        let mut filters = Vec::new();
        for operation in [create, Operation::RegisterThing] {
            let topic = topic(operation, template, format);
            filters.extend([format!("{topic}/accepted"), format!("{topic}/rejected")]);
        }
        let answers = session.subscribe(&filters, Qos::AtLeastOnce).await?;
        for (filter, answer) in filters.into_iter().zip(answers) {
            if let Err(reason) = answer {
                let why = reason.to_string();
                return Err(MqttError::SubscribeRefused { filter, why }.into());
            }
        }
        Ok(Self {
            session,
            template: template.clone(),
            format,
            patience,
        })
    }

    /// Asks for a certificate for a key made by AWS.
    ///
    /// # Errors
    /// When it is rejected, not answered, or the answer makes no sense.
    pub async fn keys_and_certificate(
        &mut self,
        paused: impl FnMut(&Rejection, Duration),
    ) -> Result<(IssuedCertificate, PrivateKey), ClaimError> {
        let operation = Operation::CreateKeysAndCertificate;
        let answer: CreateAnswer = self.ask(operation, Vec::new(), paused).await?;
        let key = answer.private_key.clone();
        let key = key.ok_or_else(|| nonsense(operation, "privateKey is missing"))?;
        let key = PrivateKey::from_pem(key.as_bytes(), None)?;
        let issued = answer.issued(operation, key.public_key())?;
        Ok((issued, key))
    }

    /// Asks for a certificate for the key of a signing request.
    ///
    /// # Errors
    /// As [`Exchange::keys_and_certificate`], and when the certificate is for another key.
    pub async fn certificate_from_csr(
        &mut self,
        csr: &str,
        key: &PrivateKey,
        paused: impl FnMut(&Rejection, Duration),
    ) -> Result<IssuedCertificate, ClaimError> {
        let operation = Operation::CreateCertificateFromCsr;
        let request = CreateRequest {
            certificate_signing_request: csr,
        };
        let payload = self.payload(operation, &request)?;
        let answer: CreateAnswer = self.ask(operation, payload, paused).await?;
        answer.issued(operation, key.public_key())
    }

    /// Registers the device: the template is executed for the certificate and these parameters.
    ///
    /// # Errors
    /// As [`Exchange::keys_and_certificate`].
    pub async fn register(
        &mut self,
        token: &OwnershipToken,
        parameters: &BTreeMap<String, String>,
        paused: impl FnMut(&Rejection, Duration),
    ) -> Result<Registered, ClaimError> {
        let operation = Operation::RegisterThing;
        let request = RegisterRequest {
            certificate_ownership_token: token.as_str(),
            parameters,
        };
        let payload = self.payload(operation, &request)?;
        let answer: RegisterAnswer = self.ask(operation, payload, paused).await?;
        Ok(Registered {
            thing_name: answer.thing_name.parse()?,
            device_configuration: Some(answer.device_configuration.unwrap_or_default()),
        })
    }

    /// Closes the connection in good order.
    pub async fn close(self) {
        // Everything asked was answered: how the connection ends changes nothing.
        let _ = self.session.disconnect().await;
    }

    fn payload(
        &self,
        operation: Operation,
        request: &impl Serialize,
    ) -> Result<Vec<u8>, ClaimError> {
        let written = self.format.write(request);
        written.map_err(|detail| nonsense(operation, detail))
    }

    /// Asks until there is an answer that is none of "later", or patience ends.
    async fn ask<A: DeserializeOwned>(
        &mut self,
        operation: Operation,
        payload: Vec<u8>,
        mut paused: impl FnMut(&Rejection, Duration),
    ) -> Result<A, ClaimError> {
        let started = Instant::now();
        let limit = started + self.patience.request;
        let topic = topic(operation, &self.template, self.format);
        let mut attempts = 0;
        let mut throttled = 0;
        let mut unanswered = false;
        let connections = self.session.connections();
        loop {
            attempts += 1;
            let message = Publish::new(topic.clone(), payload.clone(), Qos::AtLeastOnce)
                .map_err(MqttError::from)?;
            self.session.publish(message).await?;
            let deadline = (Instant::now() + self.patience.answer).min(limit);
            match self.answer(operation, &topic, deadline).await? {
                Some(Ok(accepted)) => return Ok(accepted),
                Some(Err(rejection)) => {
                    throttled += 1;
                    let pause = self.pause(throttled);
                    if !rejection.is_temporary() || Instant::now() + pause >= limit {
                        // A connection that was lost may have taken an answer with it, too.
                        let repeated = unanswered || self.session.connections() != connections;
                        return Err(ClaimError::Rejected {
                            operation,
                            rejection,
                            repeated,
                        });
                    }
                    paused(&rejection, pause);
                    sleep_until(Instant::now() + pause).await;
                }
                None if Instant::now() >= limit => {
                    return Err(ClaimError::NoAnswer {
                        operation,
                        attempts,
                        waited: started.elapsed(),
                    });
                }
                // The request or its answer may have been lost with a connection: asking again costs at most a
                // certificate that is never registered, which AWS deletes.
                None => unanswered = true,
            }
        }
    }

    /// The answer to an operation, or none before the deadline. Late answers to others are passed over.
    async fn answer<A: DeserializeOwned>(
        &mut self,
        operation: Operation,
        topic: &str,
        deadline: Instant,
    ) -> Result<Option<Result<A, Rejection>>, ClaimError> {
        while let Some(message) = self.session.next_message(Some(deadline)).await? {
            let Some(kind) = message.topic.strip_prefix(topic) else {
                continue;
            };
            let read = |detail| nonsense(operation, detail);
            match kind {
                "/accepted" => {
                    let accepted = self.format.read(&message.payload).map_err(read)?;
                    return Ok(Some(Ok(accepted)));
                }
                "/rejected" => {
                    let rejection = self.format.read(&message.payload).map_err(read)?;
                    return Ok(Some(Err(rejection)));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// Doubles, and half of it is chance: devices that were throttled together do not come back together.
    fn pause(&self, throttled: u32) -> Duration {
        let doubled = self.patience.first_pause * (1 << (throttled - 1).min(5));
        doubled.mul_f64(0.5 + rand::random::<f64>() / 2.0)
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("session", &self.session)
            .field("template", &self.template)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

/// Where an operation is asked for (developer guide, "Device provisioning MQTT API").
fn topic(operation: Operation, template: &TemplateName, format: Format) -> String {
    match operation {
        Operation::CreateKeysAndCertificate => format!("$aws/certificates/create/{format}"),
        Operation::CreateCertificateFromCsr => {
            format!("$aws/certificates/create-from-csr/{format}")
        }
        Operation::RegisterThing => {
            format!("$aws/provisioning-templates/{template}/provision/{format}")
        }
    }
}

fn nonsense(operation: Operation, detail: impl Into<String>) -> ClaimError {
    ClaimError::Nonsense {
        operation,
        detail: detail.into(),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreateRequest<'a> {
    certificate_signing_request: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RegisterRequest<'a> {
    certificate_ownership_token: &'a str,
    parameters: &'a BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreateAnswer {
    certificate_pem: String,
    certificate_ownership_token: OwnershipToken,
    #[serde(default, deserialize_with = "secret")]
    private_key: Option<Zeroizing<String>>,
}

impl CreateAnswer {
    fn issued(
        self,
        operation: Operation,
        public_key: &[u8],
    ) -> Result<IssuedCertificate, ClaimError> {
        let chain = Certificate::all_from_pem(&self.certificate_pem)
            .map_err(|source| ClaimError::Certificate { operation, source })?;
        let chain_pem = chain.iter().map(Certificate::to_pem).collect();
        let certificate = chain.into_iter().next();
        let ours = certificate.filter(|certificate| certificate.public_key() == public_key);
        Ok(IssuedCertificate {
            certificate: ours.ok_or(ClaimError::OtherKey(operation))?,
            chain_pem,
            token: self.certificate_ownership_token,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RegisterAnswer {
    thing_name: String,
    #[serde(default)]
    device_configuration: Option<Map<String, Value>>,
}

fn secret<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Zeroizing<String>>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(Zeroizing::new))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_those_of_the_guide() {
        let template: TemplateName = "fleet".parse().unwrap();
        let of = |operation| topic(operation, &template, Format::Cbor);
        assert_eq!(
            of(Operation::CreateKeysAndCertificate),
            "$aws/certificates/create/cbor"
        );
        assert_eq!(
            of(Operation::CreateCertificateFromCsr),
            "$aws/certificates/create-from-csr/cbor"
        );
        assert_eq!(
            of(Operation::RegisterThing),
            "$aws/provisioning-templates/fleet/provision/cbor"
        );
    }

    #[test]
    fn a_token_shows_nothing_of_itself() {
        let token = OwnershipToken("secret".to_owned());
        assert!(!format!("{token:?}").contains("secret"));
    }
}
