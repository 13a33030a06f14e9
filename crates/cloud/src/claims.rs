//! Claim certificates: known to the account, with a policy that allows a template's topics and nothing else.
//!
//! A certificate without a policy cannot connect, so attaching the policy is the last step. One that is INACTIVE
//! although it has been registered was locked out by somebody, and stays so.

use jitp_core::certificate::Certificate;
use jitp_core::failure::{Class, Classified};
use jitp_core::placeholders::{self, PlaceholderError};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::call::Repeat;
use crate::certificates::moment;
use crate::policies::PolicyState;
use crate::templating::Change;
use crate::{CertificateStatus, Cloud, CloudError};

/// What a claim certificate may do, with the template's name to be filled in.
const CLAIM_POLICY: &str = include_str!("../../../policies/FleetClaim.json");
/// What a device of a fleet may do, with the template's name to be filled in.
const DEVICE_POLICY: &str = include_str!("../../../policies/FleetDevice.json");

/// The policy of a claim certificate of this template: its document.
///
/// # Errors
/// When the name could not stand in a document.
pub fn claim_policy(template: &str) -> Result<String, PlaceholderError> {
    placeholders::fill(CLAIM_POLICY, &[("TemplateName", template)])
}

/// The policy of the devices of this template: its document.
///
/// # Errors
/// When the name could not stand in a document.
pub fn device_policy(template: &str) -> Result<String, PlaceholderError> {
    placeholders::fill(DEVICE_POLICY, &[("TemplateName", template)])
}

/// The name of a claim policy unless told otherwise.
pub fn claim_policy_name(template: &str) -> String {
    format!("{template}-claim")
}

/// A claim certificate that is on the disk and is to be known to the account.
#[derive(Clone, Copy, Debug)]
pub struct NewClaim<'a> {
    /// The template it is for.
    pub template: &'a str,
    /// Name of its policy, which is made.
    pub policy: &'a str,
    /// Its certificate.
    pub certificate: &'a Certificate,
    /// The registered CA that signed it, as PEM text; none for a self-signed one.
    pub ca_certificate_pem: Option<&'a str>,
}

/// A claim certificate that may be used.
#[derive(Clone, Debug)]
pub struct CreatedClaim {
    /// What this run did.
    pub change: Change,
    /// ARN of the certificate.
    pub certificate_arn: String,
    /// Status of the certificate; not ACTIVE only if somebody has deactivated it since.
    pub status: CertificateStatus,
    /// Other policies that are attached to it, which widen what it may do.
    pub other_policies: Vec<String>,
}

/// A claim that AWS hands out for five minutes (API reference, "CreateProvisioningClaim").
#[derive(Debug)]
pub struct TemporaryClaim {
    /// Lower-case hex SHA-256 of the certificate's DER.
    pub certificate_id: String,
    /// The certificate as PEM text.
    pub certificate_pem: String,
    /// Its private key as PEM text.
    pub private_key_pem: Zeroizing<String>,
    /// When it ends to be of use.
    pub expires: Option<OffsetDateTime>,
}

/// A claim that was not wholly made. Running it again goes on from there.
#[derive(Debug)]
pub struct ClaimStopped {
    /// What is there now and was not before, a clause each.
    pub done: Vec<&'static str>,
    /// Why it stopped.
    pub error: ClaimError,
}

/// Why a claim could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// AWS refused, or did not answer.
    #[error(transparent)]
    Cloud(#[from] CloudError),
    /// The template's name cannot stand in the policy.
    #[error(transparent)]
    Placeholder(#[from] PlaceholderError),
    /// There is no such template.
    #[error("there is no provisioning template {0}")]
    NoTemplate(String),
    /// The account's policy of this name says something else.
    #[error("the policy {0} exists and says something else than a claim of this template may do")]
    OtherPolicy(String),
    /// The claim was revoked, which is final.
    #[error("the claim certificate {0} is revoked")]
    Revoked(String),
}

impl Classified for ClaimError {
    fn class(&self) -> Class {
        match self {
            Self::Cloud(error) => error.class(),
            Self::Placeholder(error) => error.class(),
            Self::NoTemplate(_) => Class::NotFound,
            Self::OtherPolicy(_) | Self::Revoked(_) => Class::Conflict,
        }
    }

    fn code(&self) -> String {
        match self {
            Self::Cloud(error) => error.code(),
            other => other.class().code().to_owned(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Cloud(error) => error.hint(),
            Self::Placeholder(_) => None,
            Self::NoTemplate(name) => Some(format!("make it first: template create {name} --body FILE")),
            Self::OtherPolicy(name) => Some(format!(
                "see what it says: aws iot get-policy --policy-name {name}; or choose another name with --policy"
            )),
            Self::Revoked(_) => {
                Some("keys and certificates are never overwritten: make another claim, under another name".to_owned())
            }
        }
    }

    fn request_id(&self) -> Option<String> {
        match self {
            Self::Cloud(error) => error.request_id(),
            _ => None,
        }
    }
}

impl Cloud {
    /// Registers a claim certificate and gives it its policy, or finishes what an earlier run began.
    ///
    /// # Errors
    /// With the steps that were taken; the next run goes on from there.
    pub async fn create_claim(
        &self,
        claim: &NewClaim<'_>,
    ) -> Result<CreatedClaim, Box<ClaimStopped>> {
        let mut done = Vec::new();
        let outcome = self.claim_steps(claim, &mut done).await;
        outcome.map_err(|error| Box::new(ClaimStopped { done, error }))
    }

    /// Sees that a claim could be made for a template: that there is one.
    ///
    /// # Errors
    /// When there is none, or the call fails.
    pub async fn check_claim_template(&self, template: &str) -> Result<(), ClaimError> {
        match self.provisioning_template(template).await? {
            Some(_) => Ok(()),
            None => Err(ClaimError::NoTemplate(template.to_owned())),
        }
    }

    async fn claim_steps(
        &self,
        claim: &NewClaim<'_>,
        done: &mut Vec<&'static str>,
    ) -> Result<CreatedClaim, ClaimError> {
        let document = claim_policy(claim.template)?;
        match self.ensure_policy(claim.policy, &document).await? {
            PolicyState::Made => done.push("the policy is made"),
            PolicyState::Same => {}
            PolicyState::Other => return Err(ClaimError::OtherPolicy(claim.policy.to_owned())),
        }
        let certificate_pem = claim.certificate.to_pem();
        let active = CertificateStatus::Active;
        let new = match claim.ca_certificate_pem {
            Some(ca) => {
                self.register_certificate(&certificate_pem, ca, active)
                    .await?
            }
            None => {
                self.register_certificate_without_ca(&certificate_pem, active)
                    .await?
            }
        };
        let id = claim.certificate.id().as_str();
        let (certificate_arn, status) = match new {
            Some(arn) => {
                done.push("the certificate is registered");
                (arn, active)
            }
            None => {
                let found = self.certificate(id).await?;
                let found = found.ok_or_else(|| {
                    CloudError::incomplete("DescribeCertificate", "the certificate")
                })?;
                (found.arn, found.status)
            }
        };
        if status == CertificateStatus::Revoked {
            return Err(ClaimError::Revoked(id.to_owned()));
        }
        let mut attached = self.attached_policies(&certificate_arn).await?;
        if !attached.iter().any(|name| name == claim.policy) {
            self.attach_policy(claim.policy, &certificate_arn).await?;
            done.push("the policy is attached");
        }
        attached.retain(|name| name != claim.policy);
        Ok(CreatedClaim {
            change: match done.is_empty() {
                true => Change::Unchanged,
                false => Change::Created,
            },
            certificate_arn,
            status,
            other_policies: attached,
        })
    }

    /// Asks AWS for a claim that is of use for five minutes; made anew by every call.
    ///
    /// # Errors
    /// When there is no such template, or the call fails.
    pub async fn temporary_claim(&self, template: &str) -> Result<TemporaryClaim, ClaimError> {
        const OPERATION: &str = "CreateProvisioningClaim";
        let send = || {
            let call = self.iot.create_provisioning_claim();
            call.template_name(template).send()
        };
        // A claim whose answer is lost ends by itself.
        let answer = match self.call_with(Repeat::Harmless, OPERATION, send).await {
            Err(error) if error.is_not_found() => {
                return Err(ClaimError::NoTemplate(template.to_owned()));
            }
            other => other?,
        };
        let missing = |member| CloudError::incomplete(OPERATION, member);
        let keys = answer.key_pair.ok_or_else(|| missing("keyPair"))?;
        let private = keys.private_key.ok_or_else(|| missing("PrivateKey"))?;
        Ok(TemporaryClaim {
            certificate_id: answer
                .certificate_id
                .ok_or_else(|| missing("certificateId"))?,
            certificate_pem: answer
                .certificate_pem
                .ok_or_else(|| missing("certificatePem"))?,
            private_key_pem: Zeroizing::new(private),
            expires: moment(answer.expiration),
        })
    }
}
