//! Registering a CA: everything its template names must exist, and running it again changes nothing.

use jitp_core::ca::{CaError, CertificateAuthority};
use jitp_core::certificate::CertificateId;
use jitp_core::failure::{Class, Classified};
use jitp_core::names::{NameError, RegistrationCode};
use jitp_core::role::RoleArn;
use jitp_core::template::{Template, TemplateError};
use time::OffsetDateTime;

use crate::registry::Missing;
use crate::templates::TemplateKind;
use crate::templating::same_json;
use crate::{CertificateMode, Cloud, CloudError, RegistrationConfig};

/// What a registration came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The CA was not registered before.
    Registered,
    /// It was, with another template, or it was not active or not auto-registering.
    Updated,
    /// It was, exactly so.
    Unchanged,
}

/// A CA that is registered, active and auto-registering.
#[derive(Clone, Debug)]
pub struct Registered {
    /// What this run did.
    pub outcome: Outcome,
    /// Lower-case hex SHA-256 of the CA certificate's DER.
    pub certificate_id: CertificateId,
    /// ARN of the CA certificate.
    pub certificate_arn: String,
    /// Other registered CAs with the same subject, by id, where this run looked for them.
    pub twins: Vec<String>,
}

/// Where the template of a CA is.
#[derive(Clone, Copy, Debug)]
pub enum RegisteredTemplate<'a> {
    /// It is kept with the CA.
    Body {
        /// The template.
        template: &'a Template,
        /// Role it is executed under; without it, the role `IoTProvisioning` of the account.
        role_arn: Option<&'a RoleArn>,
    },
    /// It is a provisioning template of type JITP, which has a role of its own.
    Name(&'a str),
}

/// What to register a CA with.
#[derive(Clone, Debug)]
pub struct Registration<'a> {
    /// Template that a first connection executes.
    pub template: RegisteredTemplate<'a>,
    /// With or without a verification certificate.
    pub mode: CertificateMode,
    /// The present time, which the verification certificate counts from.
    pub now: OffsetDateTime,
}

/// Why a CA could not be registered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistrationError {
    /// AWS refused, or did not answer.
    #[error(transparent)]
    Cloud(#[from] CloudError),
    /// The CA cannot sign.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// Just-in-time provisioning with the template would fail for every device.
    #[error("the template would fail for every device: {0}")]
    Template(TemplateError),
    /// Something the template names does not exist in the account.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// There is no such provisioning template.
    #[error("there is no provisioning template {0}")]
    NoTemplate(String),
    /// The provisioning template cannot be used.
    #[error("the provisioning template {name} {why}")]
    UnfitTemplate {
        /// Its name.
        name: String,
        /// Why not.
        why: &'static str,
    },
    /// The CA is registered in the other mode, which cannot be changed.
    #[error("the CA is registered in mode {registered}, and a mode cannot be changed")]
    OtherMode {
        /// `DEFAULT` or `SNI_ONLY`.
        registered: &'static str,
        /// Id of the CA certificate.
        certificate_id: String,
    },
    /// AWS takes no further CA with this subject.
    #[error("{} registered CAs have the subject {subject} already, and AWS takes no more: {}", .twins.len(), .twins.join(", "))]
    TooManyTwins {
        /// The subject, in one line.
        subject: String,
        /// Ids of those that have it.
        twins: Vec<String>,
    },
    /// The service's registration code is no such code.
    #[error("GetRegistrationCode answered something else than a registration code")]
    RegistrationCode(#[source] NameError),
}

impl Classified for RegistrationError {
    fn class(&self) -> Class {
        match self {
            Self::Cloud(error) => error.class(),
            Self::Ca(error) => error.class(),
            Self::Template(_) => Class::Configuration,
            Self::Missing(error) => error.class(),
            Self::NoTemplate(_) => Class::NotFound,
            Self::OtherMode { .. } | Self::UnfitTemplate { .. } => Class::Conflict,
            Self::TooManyTwins { .. } => Class::Refused,
            Self::RegistrationCode(_) => Class::Unexpected,
        }
    }

    fn code(&self) -> String {
        match self {
            Self::Cloud(error) => error.code(),
            // What AWS would have answered.
            Self::TooManyTwins { .. } => "LimitExceededException".to_owned(),
            other => other.class().code().to_owned(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Cloud(error) => error.hint(),
            Self::Ca(error) => error.hint(),
            Self::Missing(error) => error.hint(),
            Self::OtherMode { certificate_id, .. } => Some(format!(
                "to change it, delete the registration first: ca delete {certificate_id} (or: aws iot update-ca-certificate --certificate-id {certificate_id} --new-status INACTIVE && aws iot delete-ca-certificate --certificate-id {certificate_id})"
            )),
            Self::TooManyTwins { .. } => Some(
                "delete those in no use (ca show ID, ca delete ID), or make a CA with another subject"
                    .to_owned(),
            ),
            Self::RegistrationCode(_) => {
                Some("check that AWS_ENDPOINT_URL names an AWS API".to_owned())
            }
            Self::NoTemplate(name) => Some(format!(
                "make it: template create {name} --type jitp --body FILE"
            )),
            Self::UnfitTemplate { name, .. } => Some(format!("see: template show {name}")),
            Self::Template(_) => None,
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
    /// Registers a CA as ACTIVE and auto-registering with its template, or brings what is
    /// registered into line. Nothing is sent before template and account are seen to fit.
    ///
    /// # Errors
    /// When the template cannot work, names what does not exist, or AWS refuses the CA.
    pub async fn register(
        &self,
        ca: &CertificateAuthority,
        registration: &Registration<'_>,
    ) -> Result<Registered, RegistrationError> {
        match registration.template {
            RegisteredTemplate::Body { template, .. } => self.check_jitp(template).await?,
            RegisteredTemplate::Name(name) => self.check_jitp_template(name).await?,
        }
        let wanted = self.wanted_config(registration).await?;
        if let Some(answer) = self.bring_into_line(ca, registration, &wanted).await? {
            return Ok(answer);
        }
        // AWS counts as well: not being able or allowed to count is no reason not to ask.
        let twins = self.twins(ca.certificate()).await.unwrap_or_else(|error| {
            tracing::info!("{error}; not looking for CAs with the same subject");
            Vec::new()
        });
        if twins.len() >= MOST_TWINS {
            return Err(RegistrationError::TooManyTwins {
                subject: ca.certificate().subject_line(),
                twins,
            });
        }
        let verification = match registration.mode {
            CertificateMode::Default => {
                let code: RegistrationCode = self
                    .registration_code()
                    .await?
                    .parse()
                    .map_err(RegistrationError::RegistrationCode)?;
                Some(
                    ca.verification_certificate(&code, registration.now)?
                        .to_pem(),
                )
            }
            CertificateMode::SniOnly => None,
        };
        let registered = self
            .register_ca(ca.certificate_pem(), verification.as_deref(), &wanted)
            .await;
        match registered {
            Ok(certificate_arn) => Ok(Registered {
                outcome: Outcome::Registered,
                certificate_id: ca.certificate().id().clone(),
                certificate_arn,
                twins,
            }),
            // Another run was faster, or the answer to an earlier attempt was lost on the way.
            Err(error) if error.is("ResourceAlreadyExistsException") => self
                .bring_into_line(ca, registration, &wanted)
                .await?
                .ok_or(error.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// What the CA is to be registered with.
    pub(crate) async fn wanted_config(
        &self,
        registration: &Registration<'_>,
    ) -> Result<RegistrationConfig, CloudError> {
        Ok(match registration.template {
            RegisteredTemplate::Name(name) => RegistrationConfig::Name(name.to_owned()),
            RegisteredTemplate::Body { template, role_arn } => RegistrationConfig::Body {
                template_body: template.to_body(),
                role_arn: self.role_or_default(role_arn).await?,
            },
        })
    }

    /// Everything that can be known before a device connects.
    async fn check_jitp(&self, template: &Template) -> Result<(), RegistrationError> {
        match template.check_jitp().into_iter().next() {
            Some(fault) => Err(RegistrationError::Template(fault)),
            None => Ok(self.check_names(template).await?),
        }
    }

    /// The same for a provisioning template of the account, which devices must be able to use.
    async fn check_jitp_template(&self, name: &str) -> Result<(), RegistrationError> {
        let unfit = |why| RegistrationError::UnfitTemplate {
            name: name.to_owned(),
            why,
        };
        let found = self.provisioning_template(name).await?;
        let found = found.ok_or_else(|| RegistrationError::NoTemplate(name.to_owned()))?;
        if found.kind != TemplateKind::Jitp {
            return Err(unfit(
                "is for fleet provisioning; a CA needs one of type JITP",
            ));
        }
        if !found.enabled {
            return Err(unfit("is not enabled"));
        }
        let template = Template::parse(&found.body).map_err(RegistrationError::Template)?;
        self.check_jitp(&template).await
    }

    /// Updates a CA that is registered already; `None` if it is not.
    async fn bring_into_line(
        &self,
        ca: &CertificateAuthority,
        registration: &Registration<'_>,
        wanted: &RegistrationConfig,
    ) -> Result<Option<Registered>, RegistrationError> {
        let id = ca.certificate().id();
        let Some(found) = self.registered_ca(id.as_str()).await? else {
            return Ok(None);
        };
        if found.mode != registration.mode {
            return Err(RegistrationError::OtherMode {
                registered: found.mode.as_str(),
                certificate_id: id.to_string(),
            });
        }
        let same = found.active
            && found.auto_registration
            && found
                .registration_config
                .is_some_and(|config| config.means_the_same(wanted));
        if !same {
            self.update_ca(id.as_str(), wanted).await?;
        }
        Ok(Some(Registered {
            outcome: if same {
                Outcome::Unchanged
            } else {
                Outcome::Updated
            },
            certificate_id: id.clone(),
            certificate_arn: found.certificate_arn,
            twins: Vec::new(),
        }))
    }

    /// The role the provisioning stack creates in this account.
    ///
    /// # Errors
    /// When the account is not known and STS cannot be asked.
    pub async fn provisioning_role(&self) -> Result<String, CloudError> {
        let account = self.account().await?;
        let partition = match self.region() {
            region if region.starts_with("cn-") => "aws-cn",
            region if region.starts_with("us-gov-") => "aws-us-gov",
            _ => "aws",
        };
        Ok(format!(
            "arn:{partition}:iam::{account}:role/IoTProvisioning"
        ))
    }

    /// The ARN of the role given, or of the role `IoTProvisioning`.
    ///
    /// # Errors
    /// When the role is of another account than the credentials: AWS passes a role on within its account only (IAM
    /// user guide, "Grant a user permissions to pass a role to an AWS service").
    pub async fn role_or_default(&self, role_arn: Option<&RoleArn>) -> Result<String, CloudError> {
        let Some(role_arn) = role_arn else {
            return self.provisioning_role().await;
        };
        self.check_role(role_arn).await?;
        Ok(role_arn.to_string())
    }

    /// Checks that a role is of the credentials' account.
    ///
    /// # Errors
    /// [`CloudError::RoleOfOtherAccount`], or when AWS does not say whose the credentials are.
    pub async fn check_role(&self, role_arn: &RoleArn) -> Result<(), CloudError> {
        let account = self.account().await?;
        if role_arn.account() == account {
            return Ok(());
        }
        Err(CloudError::RoleOfOtherAccount {
            role: role_arn.to_string(),
            account,
        })
    }
}

impl RegistrationConfig {
    /// Whether both do the same to a device: templates are compared as JSON, not as text.
    fn means_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Body {
                    template_body: one,
                    role_arn: one_role,
                },
                Self::Body {
                    template_body: two,
                    role_arn: two_role,
                },
            ) => one_role == two_role && same_json(one, two),
            (one, two) => one == two,
        }
    }
}

/// CAs with the same subject that an account can hold in a region (AWS General Reference; not adjustable).
const MOST_TWINS: usize = 10;
