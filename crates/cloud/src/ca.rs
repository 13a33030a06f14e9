//! CA certificates registered with AWS IoT.

use aws_sdk_iot::types;
use jitp_core::certificate::Certificate;
use time::OffsetDateTime;

use crate::call::{PAGE, every_page};
use crate::certificates::moment;
use crate::{Cloud, CloudError};

/// How a CA proves to belong to the account (API reference, RegisterCACertificate).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CertificateMode {
    /// With a verification certificate; one account per region can hold the CA.
    Default,
    /// Without; devices must send SNI, and any number of accounts can hold the CA.
    SniOnly,
}

/// What AWS does with a first connection under a CA.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RegistrationConfig {
    /// A registration template kept with the CA.
    Body {
        /// The template as a string, at most 10,240 characters.
        template_body: String,
        /// Role that provisioning assumes.
        role_arn: String,
    },
    /// A provisioning template of type JITP, by name.
    Name(String),
}

impl CertificateMode {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "DEFAULT",
            Self::SniOnly => "SNI_ONLY",
        }
    }
}

/// A CA certificate as it is registered.
#[derive(Clone, Debug)]
pub struct RegisteredCa {
    /// Lower-case hex SHA-256 of the certificate's DER.
    pub certificate_id: String,
    /// ARN of the CA certificate.
    pub certificate_arn: String,
    /// The certificate as PEM text.
    pub pem: String,
    /// When it was registered.
    pub created: Option<OffsetDateTime>,
    /// Whether it may sign new registrations.
    pub active: bool,
    /// Whether unknown device certificates register themselves.
    pub auto_registration: bool,
    /// Mode it was registered in.
    pub mode: CertificateMode,
    /// What happens to a first connection.
    pub registration_config: Option<RegistrationConfig>,
}

impl Cloud {
    /// The account's registration code: 64 hex digits, the same until it is deleted.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn registration_code(&self) -> Result<String, CloudError> {
        let send = || self.iot.get_registration_code().send();
        self.call("GetRegistrationCode", send)
            .await?
            .registration_code
            .ok_or_else(|| CloudError::incomplete("GetRegistrationCode", "registrationCode"))
    }

    /// The CA certificate with this id, if it is registered.
    ///
    /// # Errors
    /// When the call fails for another reason than that there is none.
    pub async fn registered_ca(
        &self,
        certificate_id: &str,
    ) -> Result<Option<RegisteredCa>, CloudError> {
        let send = || {
            let call = self.iot.describe_ca_certificate();
            call.certificate_id(certificate_id).send()
        };
        let answer = match self.call("DescribeCACertificate", send).await {
            Err(error) if error.is_not_found() => return Ok(None),
            other => other?,
        };
        let description = answer.certificate_description.ok_or_else(|| {
            CloudError::incomplete("DescribeCACertificate", "certificateDescription")
        })?;
        Ok(Some(RegisteredCa {
            certificate_id: certificate_id.to_owned(),
            certificate_arn: description.certificate_arn.unwrap_or_default(),
            pem: description.certificate_pem.unwrap_or_default(),
            created: moment(description.creation_date),
            active: description.status == Some(types::CaCertificateStatus::Active),
            auto_registration: description.auto_registration_status
                == Some(types::AutoRegistrationStatus::Enable),
            mode: match description.certificate_mode {
                Some(types::CertificateMode::SniOnly) => CertificateMode::SniOnly,
                _ => CertificateMode::Default,
            },
            registration_config: answer.registration_config.and_then(read_config),
        }))
    }

    /// Registers a CA as ACTIVE and auto-registering, and returns its ARN.
    ///
    /// # Errors
    /// When AWS refuses it; `verification_certificate` goes with [`CertificateMode::Default`] only.
    pub async fn register_ca(
        &self,
        ca_certificate_pem: &str,
        verification_certificate_pem: Option<&str>,
        config: &RegistrationConfig,
    ) -> Result<String, CloudError> {
        let mode = match verification_certificate_pem {
            Some(_) => types::CertificateMode::Default,
            None => types::CertificateMode::SniOnly,
        };
        let verification = verification_certificate_pem.map(ToOwned::to_owned);
        let send = || {
            let call = self.iot.register_ca_certificate();
            call.ca_certificate(ca_certificate_pem)
                .set_verification_certificate(verification.clone())
                .certificate_mode(mode.clone())
                .set_as_active(true)
                .allow_auto_registration(true)
                .registration_config(write_config(config))
                .send()
        };
        self.call("RegisterCACertificate", send)
            .await?
            .certificate_arn
            .ok_or_else(|| CloudError::incomplete("RegisterCACertificate", "certificateArn"))
    }

    /// Makes a registered CA active and auto-registering with this configuration.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn update_ca(
        &self,
        certificate_id: &str,
        config: &RegistrationConfig,
    ) -> Result<(), CloudError> {
        let send = || {
            let call = self.iot.update_ca_certificate();
            call.certificate_id(certificate_id)
                .new_status(types::CaCertificateStatus::Active)
                .new_auto_registration_status(types::AutoRegistrationStatus::Enable)
                .registration_config(write_config(config))
                .send()
        };
        self.call("UpdateCACertificate", send).await.map(drop)
    }

    /// Ids of all registered CA certificates, the oldest first.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn registered_ca_ids(&self) -> Result<Vec<String>, CloudError> {
        let ids = every_page(async |marker| {
            let send = || {
                let call = self.iot.list_ca_certificates().page_size(PAGE);
                call.ascending_order(true).set_marker(marker.clone()).send()
            };
            let answer = self.call("ListCACertificates", send).await?;
            let page = answer.certificates.unwrap_or_default().into_iter();
            let ids = page.filter_map(|item| item.certificate_id).collect();
            Ok((ids, answer.next_marker))
        });
        ids.await
    }

    /// Changes whether a registered CA may sign new registrations, and, where given, whether unknown device
    /// certificates register themselves. Certificates that are registered already are not touched by it.
    ///
    /// # Errors
    /// When there is no such CA, or the call fails.
    pub async fn set_ca_status(
        &self,
        certificate_id: &str,
        active: bool,
        auto_registration: Option<bool>,
    ) -> Result<(), CloudError> {
        let status = match active {
            true => types::CaCertificateStatus::Active,
            false => types::CaCertificateStatus::Inactive,
        };
        let auto_registration = auto_registration.map(|enable| match enable {
            true => types::AutoRegistrationStatus::Enable,
            false => types::AutoRegistrationStatus::Disable,
        });
        let send = || {
            let call = self.iot.update_ca_certificate();
            call.certificate_id(certificate_id)
                .new_status(status.clone())
                .set_new_auto_registration_status(auto_registration.clone())
                .send()
        };
        self.call("UpdateCACertificate", send).await.map(drop)
    }

    /// Deletes a registered CA, which must be INACTIVE; one that does not exist is deleted already. The
    /// device certificates it signed stay registered and go on connecting.
    ///
    /// # Errors
    /// `CertificateStateException` while it is ACTIVE.
    pub async fn delete_ca(&self, certificate_id: &str) -> Result<(), CloudError> {
        let send = || {
            let call = self.iot.delete_ca_certificate();
            call.certificate_id(certificate_id).send()
        };
        match self.call("DeleteCACertificate", send).await {
            Err(error) if error.is_not_found() => Ok(()),
            other => other.map(drop),
        }
    }
}

impl RegisteredCa {
    /// The certificate itself.
    ///
    /// # Errors
    /// When what the service answered cannot be read.
    pub fn certificate(&self) -> Result<Certificate, CloudError> {
        Certificate::from_pem(&self.pem).map_err(|error| CloudError::Incomprehensible {
            operation: "DescribeCACertificate",
            reason: format!("certificatePem of {}: {error}", self.certificate_id),
        })
    }
}

fn write_config(config: &RegistrationConfig) -> types::RegistrationConfig {
    match config {
        RegistrationConfig::Body {
            template_body,
            role_arn,
        } => types::RegistrationConfig::builder()
            .template_body(template_body)
            .role_arn(role_arn)
            .build(),
        RegistrationConfig::Name(name) => types::RegistrationConfig::builder()
            .template_name(name)
            .build(),
    }
}

fn read_config(config: types::RegistrationConfig) -> Option<RegistrationConfig> {
    match (config.template_name, config.template_body) {
        (Some(name), _) => Some(RegistrationConfig::Name(name)),
        (None, Some(template_body)) => Some(RegistrationConfig::Body {
            template_body,
            role_arn: config.role_arn.unwrap_or_default(),
        }),
        (None, None) => None,
    }
}
