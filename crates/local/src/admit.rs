//! Admission: what a certificate that sent CONNECT may do: served, provisioned first, or refused.
//!
//! AWS refuses by closing the connection without CONNACK; here the diary says why. The order of the
//! questions is that of the developer guide, "Just-in-time provisioning".

use std::pin::Pin;
use std::sync::Arc;

use serde_json::json;
use tokio::sync::mpsc;

use crate::account::{
    Account, CaCertificate, Certificate, CertificateMode, CertificateStatus, ProvisioningClaim,
    State, certificates, claims,
};
use crate::diary::{Diary, Entry};
use crate::gate::{Admitted, ConnectFacts, Gate, Refusal};
use crate::just_in_time::JustInTime;
use crate::policy::{
    ArnScope, Authorizer, CertificateVariables, ConnectionContext, ThingVariables,
};
use crate::tls::Peer;
use crate::x509::X509;

/// A message the service itself publishes.
#[derive(Clone, Debug)]
pub struct Announcement {
    /// Topic under `$aws/events/`.
    pub topic: String,
    /// JSON.
    pub payload: Vec<u8>,
}

/// Decides who is served. Clones of its account see the same account.
#[derive(Debug)]
pub struct Admission {
    account: Account,
    diary: Diary,
    just_in_time: Arc<JustInTime>,
    announcements: mpsc::UnboundedSender<Announcement>,
}

/// Why a certificate is refused, and what begins with that.
struct Denied {
    refusal: Refusal,
    /// The CA whose template is to be executed for it.
    under: Option<Arc<CaCertificate>>,
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal,
            under: None,
        }
    }
}

impl Admission {
    /// Admission to this account. What it announces comes out of the receiver.
    pub fn new(account: Account, diary: Diary) -> (Self, mpsc::UnboundedReceiver<Announcement>) {
        let (announcements, receiver) = mpsc::unbounded_channel();
        let admission = Self {
            just_in_time: Arc::new(JustInTime::new(account.clone(), diary.clone())),
            account,
            diary,
            announcements,
        };
        (admission, receiver)
    }

    /// Judges the certificate of a CONNECT. An unknown one under an auto-registering CA is
    /// registered and refused this once; provisioning runs meanwhile.
    ///
    /// # Errors
    /// Why the connection is to be closed; the diary has it already.
    pub fn admit(&self, peer: &Peer, client_id: &str) -> Result<Admitted, Refusal> {
        let Denied { refusal, under } = match self.judge(peer) {
            Ok(admitted) => return Ok(admitted),
            Err(denied) => denied,
        };
        let entry = if refusal.expected {
            Entry::step(refusal.code, refusal.sentence.clone())
        } else {
            Entry::refusal(refusal.code, refusal.sentence.clone())
        };
        self.diary.record(
            entry
                .client(client_id)
                .certificate(peer.certificate.id.clone()),
        );
        // Last, so that this task runs next on its thread: whoever follows the diary is woken before it.
        if let Some(ca) = under {
            let just_in_time = Arc::clone(&self.just_in_time);
            let x509 = Arc::clone(&peer.certificate);
            let client_id = client_id.to_owned();
            tokio::spawn(async move { just_in_time.provision(&ca, &x509, &client_id) });
        }
        Err(refusal)
    }

    /// The policies of a connection, compiled for its facts. To be called again after a change.
    pub fn authorizer(&self, admitted: &Admitted, facts: &ConnectFacts) -> Authorizer {
        let state = self.account.snapshot();
        let id = &admitted.certificate_id;
        let thing_name = admitted.thing_name.as_deref().unwrap_or(&facts.client_id);
        let attached = state.attachment(thing_name, id).is_some();
        let mut policies = match state.provisioning_claims.get(id) {
            Some(claim) => claims::policy(&state, claim).into_iter().collect(),
            None => state.policies_of_certificate(id),
        };
        // Developer guide, "Thing groups": a group's policies count where the client id is the thing name.
        if attached && thing_name == facts.client_id {
            policies.extend(state.policies_of_thing_groups(thing_name));
        }
        let thing = state.things.get(thing_name).map(|thing| ThingVariables {
            name: thing.name.clone(),
            type_name: thing.type_name.clone(),
            attributes: thing.attributes.clone(),
            is_attached: attached,
        });
        let context = ConnectionContext {
            partition_region_account: ArnScope {
                region: state.scope.region.clone(),
                account_id: state.scope.account_id.clone(),
            },
            client_id: facts.client_id.clone(),
            source_ip: facts.source_ip,
            certificate_id: id.clone(),
            certificate: CertificateVariables {
                fields: admitted.x509.variables(),
            },
            thing,
            persistent: facts.persistent,
            will_topic: facts.will_topic.clone(),
        };
        Authorizer::compile(&policies, &context)
    }

    /// Executes the template for certificates that a stop of the local core left waiting for it.
    pub fn finish_interrupted(&self) {
        let state = self.account.snapshot();
        for certificate in state.certificates.values() {
            let ca = certificate
                .ca_certificate_id
                .as_ref()
                .and_then(|id| state.ca_certificates.get(id));
            if let Some(ca) = ca
                && certificate.status == CertificateStatus::PendingActivation
            {
                self.just_in_time.provision(ca, &certificate.x509, "");
            }
        }
    }

    fn judge(&self, peer: &Peer) -> Result<Admitted, Denied> {
        let state = self.account.snapshot();
        let x509 = &peer.certificate;
        match state.certificates.get(x509.id.as_str()) {
            Some(certificate) => Ok(self.judge_registered(&state, certificate, peer)?),
            None => match state.provisioning_claims.get(&x509.id) {
                Some(claim) => Ok(self.judge_claim(claim)?),
                None => Err(self.register_unknown(&state, peer)),
            },
        }
    }

    fn judge_claim(&self, claim: &ProvisioningClaim) -> Result<Admitted, Refusal> {
        if claim.ended || claim.expires_at <= self.account.clock().timestamp() {
            return Err(Refusal::new(
                "CLAIM_EXPIRED",
                format!(
                    "the claim for template {} has expired; ask for another (CreateProvisioningClaim), each is good for five minutes",
                    claim.template
                ),
            ));
        }
        Ok(Admitted {
            certificate_id: claim.id.clone(),
            x509: Arc::clone(&claim.x509),
            thing_name: None,
        })
    }

    fn judge_registered(
        &self,
        state: &State,
        certificate: &Certificate,
        peer: &Peer,
    ) -> Result<Admitted, Refusal> {
        match certificate.status {
            CertificateStatus::Active => {}
            CertificateStatus::PendingActivation => {
                // Measured on AWS: a reconnect publishes the event again and changes nothing.
                self.announce_registered(state, certificate);
                return Err(Refusal::new(
                    "CERTIFICATE_PENDING_ACTIVATION",
                    "the certificate waits for its activation; if provisioning failed, repair the template, delete the certificate and connect again",
                ));
            }
            CertificateStatus::Inactive => {
                return Err(Refusal::new(
                    "CERTIFICATE_INACTIVE",
                    "the certificate is registered and INACTIVE",
                ));
            }
            CertificateStatus::Revoked => {
                return Err(Refusal::new(
                    "CERTIFICATE_REVOKED",
                    "the certificate is REVOKED",
                ));
            }
            CertificateStatus::PendingTransfer => {
                return Err(Refusal::new(
                    "CERTIFICATE_PENDING_TRANSFER",
                    "the certificate is being transferred to another account",
                ));
            }
        }
        if certificate.mode == CertificateMode::SniOnly && peer.sni.is_none() {
            return Err(Refusal::new(
                "SNI_MISSING",
                "the certificate is registered SNI_ONLY, and the device sent no server name",
            ));
        }
        self.judge_dates(&peer.certificate)?;
        let thing_name = state
            .exclusive_thing_of_certificate(&certificate.id)
            .map(|thing| thing.name.clone());
        Ok(Admitted {
            certificate_id: certificate.id.clone(),
            // The same certificate; this way a connection keeps no copy of its own.
            x509: Arc::clone(&certificate.x509),
            thing_name,
        })
    }

    fn judge_dates(&self, x509: &X509) -> Result<(), Refusal> {
        let now = self.account.clock().timestamp().whole_seconds();
        if now < x509.not_before {
            return Err(Refusal::new(
                "CERTIFICATE_NOT_YET_VALID",
                "the certificate's validity has not begun; check the clocks of device and CA",
            ));
        }
        if now > x509.not_after {
            return Err(Refusal::new(
                "CERTIFICATE_EXPIRED",
                "the certificate is expired",
            ));
        }
        Ok(())
    }

    /// First contact. The answer is a refusal in every case, as on AWS.
    fn register_unknown(&self, state: &State, peer: &Peer) -> Denied {
        let ca = match self.auto_registering_ca(state, peer) {
            Ok(ca) => ca,
            Err(refusal) => return refusal.into(),
        };
        let x509 = Arc::clone(&peer.certificate);
        let registered = self
            .account
            .write(|tx| certificates::auto_register(tx, x509, &ca));
        let certificate = match registered {
            Ok(certificate) => certificate,
            Err(error) if error.code == "ResourceAlreadyExistsException" => {
                return Refusal::new(
                    "CERTIFICATE_PENDING_ACTIVATION",
                    "another connection of the same certificate was first; it waits for its activation",
                )
                .into();
            }
            Err(error) => {
                return Refusal::new(
                    "REGISTRATION_FAILED",
                    format!("the certificate could not be registered: {}", error.message),
                )
                .into();
            }
        };
        self.announce_registered(&self.account.snapshot(), &certificate);
        if ca.registration_config.is_none() {
            return Refusal::first_contact(
                "JITR_REGISTERED",
                "first connection: certificate registered PENDING_ACTIVATION, connection closed; its CA has no template, so somebody must activate it",
            )
            .into();
        }
        Denied {
            refusal: Refusal::first_contact(
                "JITP_STARTED",
                "first connection: certificate registered PENDING_ACTIVATION, connection closed; executing the template of its CA",
            ),
            under: Some(ca),
        }
    }

    /// The CA under which this certificate registers itself.
    fn auto_registering_ca(
        &self,
        state: &State,
        peer: &Peer,
    ) -> Result<Arc<CaCertificate>, Refusal> {
        let x509 = &peer.certificate;
        let named = state.cas_by_subject(&x509.issuer_der);
        if named.is_empty() {
            return Err(Refusal::new(
                "CERTIFICATE_NOT_REGISTERED",
                "neither the certificate nor a CA with its issuer's name is registered",
            ));
        }
        let signed = state.cas_that_signed(x509);
        if signed.is_empty() {
            return Err(Refusal::new(
                "CERTIFICATE_SIGNATURE",
                "a CA with its issuer's name is registered, but that CA's key did not sign the certificate",
            ));
        }
        let Some(ca) = signed.iter().find(|ca| ca.active && ca.auto_registration) else {
            return Err(if signed.iter().any(|ca| ca.active) {
                Refusal::new(
                    "CA_AUTO_REGISTRATION_DISABLED",
                    "its CA is registered, but does not register certificates by itself",
                )
            } else {
                Refusal::new("CA_INACTIVE", "its CA is registered and INACTIVE")
            });
        };
        if let Err(fault) = x509.check_algorithms_of_proven() {
            return Err(Refusal::new("CERTIFICATE_UNSUPPORTED", fault.to_string()));
        }
        if x509.is_ca {
            return Err(Refusal::new(
                "CERTIFICATE_UNSUPPORTED",
                "a CA certificate is no device certificate",
            ));
        }
        self.judge_dates(x509)?;
        if !ca
            .x509
            .is_valid_at(self.account.clock().timestamp().whole_seconds())
        {
            return Err(Refusal::new(
                "CA_EXPIRED",
                "its CA is expired, or not yet valid",
            ));
        }
        if ca.mode == CertificateMode::SniOnly && peer.sni.is_none() {
            return Err(Refusal::new(
                "SNI_MISSING",
                "its CA is registered SNI_ONLY, and the device sent no server name",
            ));
        }
        Ok(Arc::clone(ca))
    }

    /// The event of a registration (developer guide, "Register a client certificate automatically").
    fn announce_registered(&self, state: &State, certificate: &Certificate) {
        let Some(ca) = &certificate.ca_certificate_id else {
            return;
        };
        let payload = json!({
            "certificateId": certificate.id,
            "caCertificateId": ca,
            "timestamp": self.account.clock().timestamp().milliseconds(),
            "certificateStatus": "PENDING_ACTIVATION",
            "awsAccountId": state.scope.account_id,
            // Documented as a time, measured as null.
            "certificateRegistrationTimestamp": null,
        });
        // Without a broker nobody could hear it.
        let _ = self.announcements.send(Announcement {
            topic: format!("$aws/events/certificates/registered/{ca}"),
            payload: payload.to_string().into_bytes(),
        });
    }
}

impl Gate for Admission {
    fn admit<'a>(
        &'a self,
        peer: &'a Peer,
        client_id: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Admitted, Refusal>> + Send + 'a>> {
        Box::pin(std::future::ready(Self::admit(self, peer, client_id)))
    }

    fn authorizer(&self, admitted: &Admitted, facts: &ConnectFacts) -> Authorizer {
        Self::authorizer(self, admitted, facts)
    }
}
