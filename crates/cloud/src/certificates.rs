//! Device certificates: read, listed, registered, made by AWS, switched on and off, deleted.

use std::fmt;
use std::str::FromStr;

use aws_sdk_iot::primitives::DateTime;
use aws_sdk_iot::types;
use jitp_core::certificate::Certificate;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::call::{PAGE, Repeat, every_page};
use crate::{Cloud, CloudError};

/// Status of a device certificate (developer guide, "X.509 client certificates").
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CertificateStatus {
    /// May connect.
    Active,
    /// May not connect.
    Inactive,
    /// May not connect, for good.
    Revoked,
    /// Offered to another account.
    PendingTransfer,
    /// Registered by a first connection, and not yet provisioned.
    PendingActivation,
}

impl CertificateStatus {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Inactive => "INACTIVE",
            Self::Revoked => "REVOKED",
            Self::PendingTransfer => "PENDING_TRANSFER",
            Self::PendingActivation => "PENDING_ACTIVATION",
        }
    }
}

impl fmt::Display for CertificateStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for CertificateStatus {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Ok(match word {
            "ACTIVE" => Self::Active,
            // The second is the word of old accounts, deprecated in the API reference.
            "INACTIVE" | "REGISTER_INACTIVE" => Self::Inactive,
            "REVOKED" => Self::Revoked,
            "PENDING_TRANSFER" => Self::PendingTransfer,
            "PENDING_ACTIVATION" => Self::PendingActivation,
            other => {
                return Err(format!(
                    "{other:?} is no certificate status; there are ACTIVE, INACTIVE, REVOKED, PENDING_TRANSFER and PENDING_ACTIVATION"
                ));
            }
        })
    }
}

/// A certificate as lists have it.
#[derive(Clone, Debug)]
pub struct CertificateSummary {
    /// Lower-case hex SHA-256 of the certificate's DER.
    pub id: String,
    /// ARN; the principal that things and policies are attached to.
    pub arn: String,
    /// Status when it was listed.
    pub status: CertificateStatus,
    /// When it was registered.
    pub created: Option<OffsetDateTime>,
}

/// A certificate with everything the account knows of it.
#[derive(Clone, Debug)]
pub struct CertificateDetails {
    /// Lower-case hex SHA-256 of the certificate's DER.
    pub id: String,
    /// ARN; the principal that things and policies are attached to.
    pub arn: String,
    /// The certificate as PEM text.
    pub pem: String,
    /// Present status.
    pub status: CertificateStatus,
    /// Id of the registered CA that signed it; none for those AWS issued, and those without a CA.
    pub ca_certificate_id: Option<String>,
    /// When its status last changed, or it was registered.
    pub changed: Option<OffsetDateTime>,
    /// The last second in which it is valid.
    pub not_after: Option<OffsetDateTime>,
}

impl CertificateDetails {
    /// The common name of whoever signed it, or the whole issuer if that has none.
    pub fn issuer(&self) -> Option<String> {
        let certificate = Certificate::from_pem(&self.pem).ok()?;
        Some(certificate.issuer_line())
    }
}

/// What CreateKeysAndCertificate and CreateCertificateFromCsr answer.
#[derive(Debug)]
pub struct IssuedByAws {
    /// Lower-case hex SHA-256 of the certificate's DER.
    pub id: String,
    /// ARN.
    pub arn: String,
    /// The certificate as PEM text.
    pub certificate_pem: String,
    /// Private and public key as PEM texts, if AWS made them. They are never told again.
    pub keys: Option<(Zeroizing<String>, String)>,
}

impl Cloud {
    /// A certificate by its id; `None` if there is none.
    ///
    /// # Errors
    /// When the call fails for another reason than that there is none.
    pub async fn certificate(&self, id: &str) -> Result<Option<CertificateDetails>, CloudError> {
        let send = || self.iot.describe_certificate().certificate_id(id).send();
        let answer = match self.call(DESCRIBE, send).await {
            Err(error) if error.is_not_found() => return Ok(None),
            other => other?,
        };
        let found = answer
            .certificate_description
            .ok_or_else(|| CloudError::incomplete(DESCRIBE, "certificateDescription"))?;
        let pem = found.certificate_pem.unwrap_or_default();
        // Read from the certificate itself; a server that cannot be relied on for it is no reason to fail.
        let not_after = match Certificate::from_pem(&pem) {
            Ok(certificate) => Some(certificate.not_after()),
            Err(_) => found.validity.and_then(|span| moment(span.not_after)),
        };
        Ok(Some(CertificateDetails {
            id: id.to_owned(),
            arn: found.certificate_arn.unwrap_or_default(),
            pem,
            status: status(DESCRIBE, found.status)?,
            ca_certificate_id: found.ca_certificate_id.filter(|id| !id.is_empty()),
            changed: moment(found.last_modified_date).or(moment(found.creation_date)),
            not_after,
        }))
    }

    /// One page of all certificates, the newest first, and the marker of the next.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn certificates_page(
        &self,
        marker: Option<String>,
    ) -> Result<(Vec<CertificateSummary>, Option<String>), CloudError> {
        let send = || {
            let call = self.iot.list_certificates().set_marker(marker.clone());
            call.page_size(PAGE).ascending_order(false).send()
        };
        let answer = self.call(LIST, send).await?;
        let page = answer.certificates.unwrap_or_default();
        let page: Result<Vec<_>, _> = page.into_iter().map(|item| summary(LIST, item)).collect();
        Ok((page?, answer.next_marker))
    }

    /// Every certificate that a registered CA signed, the oldest first.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn certificates_of_ca(
        &self,
        ca_certificate_id: &str,
    ) -> Result<Vec<CertificateSummary>, CloudError> {
        const OPERATION: &str = "ListCertificatesByCA";
        every_page(async |marker| {
            let send = || {
                let call = self.iot.list_certificates_by_ca();
                let call = call.ca_certificate_id(ca_certificate_id);
                let call = call.page_size(PAGE).ascending_order(true);
                call.set_marker(marker.clone()).send()
            };
            let answer = self.call(OPERATION, send).await?;
            let page = answer.certificates.unwrap_or_default();
            let page: Result<Vec<_>, _> = page
                .into_iter()
                .map(|item| summary(OPERATION, item))
                .collect();
            Ok((page?, answer.next_marker))
        })
        .await
    }

    /// Registers a certificate with this status under the registered CA that signed it; one that is registered
    /// already is left as it is. Answers its ARN if it was new.
    ///
    /// # Errors
    /// When AWS refuses it.
    pub async fn register_certificate(
        &self,
        certificate_pem: &str,
        ca_certificate_pem: &str,
        status: CertificateStatus,
    ) -> Result<Option<String>, CloudError> {
        let send = || {
            let call = self.iot.register_certificate();
            let call = call.certificate_pem(certificate_pem);
            let call = call.ca_certificate_pem(ca_certificate_pem);
            call.status(status.as_str().into()).send()
        };
        let answer = self.call("RegisterCertificate", send).await;
        new_arn("RegisterCertificate", answer, |answer| {
            answer.certificate_arn
        })
    }

    /// As [`Cloud::register_certificate`], for a certificate of no registered CA, such as a self-signed one.
    ///
    /// # Errors
    /// When AWS refuses it.
    pub async fn register_certificate_without_ca(
        &self,
        certificate_pem: &str,
        status: CertificateStatus,
    ) -> Result<Option<String>, CloudError> {
        const OPERATION: &str = "RegisterCertificateWithoutCA";
        let send = || {
            let call = self.iot.register_certificate_without_ca();
            let call = call.certificate_pem(certificate_pem);
            call.status(status.as_str().into()).send()
        };
        let answer = self.call(OPERATION, send).await;
        new_arn(OPERATION, answer, |answer| answer.certificate_arn)
    }

    /// Lets AWS make an RSA-2048 key and an INACTIVE certificate. Not repeated when the answer is lost.
    ///
    /// # Errors
    /// When the call fails; after [`CloudError::is_unheard`] the certificate may exist.
    pub async fn create_keys_and_certificate(&self) -> Result<IssuedByAws, CloudError> {
        const OPERATION: &str = "CreateKeysAndCertificate";
        let send = || {
            let call = self.iot.create_keys_and_certificate();
            call.set_as_active(false).send()
        };
        let answer = self
            .call_with(Repeat::MakesAnother, OPERATION, send)
            .await?;
        let missing = |member| CloudError::incomplete(OPERATION, member);
        let keys = answer.key_pair.ok_or_else(|| missing("keyPair"))?;
        let private = keys.private_key.ok_or_else(|| missing("PrivateKey"))?;
        Ok(IssuedByAws {
            id: answer
                .certificate_id
                .ok_or_else(|| missing("certificateId"))?,
            arn: answer
                .certificate_arn
                .ok_or_else(|| missing("certificateArn"))?,
            certificate_pem: answer
                .certificate_pem
                .ok_or_else(|| missing("certificatePem"))?,
            keys: Some((
                Zeroizing::new(private),
                keys.public_key.ok_or_else(|| missing("PublicKey"))?,
            )),
        })
    }

    /// Lets AWS certify the key of a certificate signing request, as INACTIVE. Not repeated when the answer is lost.
    ///
    /// # Errors
    /// When the call fails; after [`CloudError::is_unheard`] the certificate may exist.
    pub async fn create_certificate_from_csr(&self, csr: &str) -> Result<IssuedByAws, CloudError> {
        const OPERATION: &str = "CreateCertificateFromCsr";
        let send = || {
            let call = self.iot.create_certificate_from_csr();
            call.certificate_signing_request(csr)
                .set_as_active(false)
                .send()
        };
        let answer = self
            .call_with(Repeat::MakesAnother, OPERATION, send)
            .await?;
        let missing = |member| CloudError::incomplete(OPERATION, member);
        Ok(IssuedByAws {
            id: answer
                .certificate_id
                .ok_or_else(|| missing("certificateId"))?,
            arn: answer
                .certificate_arn
                .ok_or_else(|| missing("certificateArn"))?,
            certificate_pem: answer
                .certificate_pem
                .ok_or_else(|| missing("certificatePem"))?,
            keys: None,
        })
    }

    /// Changes the status of a certificate. AWS disconnects the device of one that is no longer ACTIVE
    /// within a few minutes (API reference, "UpdateCertificate").
    ///
    /// # Errors
    /// When AWS refuses the change.
    pub async fn set_certificate_status(
        &self,
        id: &str,
        status: CertificateStatus,
    ) -> Result<(), CloudError> {
        let send = || {
            let call = self.iot.update_certificate().certificate_id(id);
            call.new_status(status.as_str().into()).send()
        };
        self.call("UpdateCertificate", send).await.map(drop)
    }

    /// Deletes a certificate; one that does not exist is deleted already.
    ///
    /// # Errors
    /// When it is ACTIVE, or attached to a thing or a policy.
    pub async fn delete_certificate(&self, id: &str) -> Result<(), CloudError> {
        let send = || self.iot.delete_certificate().certificate_id(id).send();
        match self.call("DeleteCertificate", send).await {
            Err(error) if error.is_not_found() => Ok(()),
            other => other.map(drop),
        }
    }
}

/// The ARN of what was registered; none for what was registered before.
fn new_arn<T>(
    operation: &'static str,
    answer: Result<T, CloudError>,
    arn: impl Fn(T) -> Option<String>,
) -> Result<Option<String>, CloudError> {
    match answer {
        Ok(answer) => match arn(answer) {
            Some(arn) => Ok(Some(arn)),
            None => Err(CloudError::incomplete(operation, "certificateArn")),
        },
        Err(error) if error.is("ResourceAlreadyExistsException") => Ok(None),
        Err(error) => Err(error),
    }
}

/// The certificate id at the end of a certificate's ARN; `None` for principals that are no certificates.
pub(crate) fn id_of(principal: &str) -> Option<&str> {
    principal
        .split_once(":cert/")
        .map(|(_, id)| id)
        .filter(|id| !id.is_empty())
}

/// A time of the API.
pub(crate) fn moment(time: Option<DateTime>) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(time?.as_nanos()).ok()
}

fn status(
    operation: &'static str,
    status: Option<types::CertificateStatus>,
) -> Result<CertificateStatus, CloudError> {
    let status = status.ok_or_else(|| CloudError::incomplete(operation, "status"))?;
    let known = status.as_str().parse();
    known.map_err(|reason| CloudError::Incomprehensible { operation, reason })
}

fn summary(
    operation: &'static str,
    item: types::Certificate,
) -> Result<CertificateSummary, CloudError> {
    let missing = |member| CloudError::incomplete(operation, member);
    Ok(CertificateSummary {
        id: item
            .certificate_id
            .ok_or_else(|| missing("certificateId"))?,
        arn: item
            .certificate_arn
            .ok_or_else(|| missing("certificateArn"))?,
        status: status(operation, item.status)?,
        created: moment(item.creation_date),
    })
}

const DESCRIBE: &str = "DescribeCertificate";
const LIST: &str = "ListCertificates";
