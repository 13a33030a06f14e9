//! Taking down what a provisioning template made, so that what it was made with can be destroyed: a plan of steps,
//! each harmless to repeat.

mod planning;

use std::fmt;
use std::time::Duration;

use jitp_core::failure::{Class, Classified};
use jitp_core::template::TemplateError;

use crate::creating::Unfinished;
use crate::deleting::Stopped;
use crate::waiting::{DETACHING, until_detached};
use crate::{CertificateStatus, Certificates, Cloud, CloudError, TemplateChange};

/// One step of a teardown. Steps of one phase may be taken together.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum TeardownStep {
    /// Disable the template, so that it makes nothing more.
    Disable(String),
    /// Deprecate a thing type; it may be deleted five minutes later.
    Deprecate(String),
    /// Delete a thing with its certificates.
    DeleteThing(String),
    /// Delete a certificate, by id, that has no thing.
    DeleteCertificate(String),
    /// Delete a policy that the template made from its document.
    DeletePolicy(String),
    /// Delete a deprecated thing type, once AWS allows it.
    DeleteThingType(String),
}

impl TeardownStep {
    /// What is done, in words without spaces, for tables.
    pub fn action(&self) -> &'static str {
        match self {
            Self::Disable(_) => "disable-template",
            Self::Deprecate(_) => "deprecate-thing-type",
            Self::DeleteThing(_) => "delete-thing",
            Self::DeleteCertificate(_) => "delete-certificate",
            Self::DeletePolicy(_) => "delete-policy",
            Self::DeleteThingType(_) => "delete-thing-type",
        }
    }

    /// What it is done to.
    pub fn object(&self) -> &str {
        match self {
            Self::Disable(name)
            | Self::Deprecate(name)
            | Self::DeleteThing(name)
            | Self::DeleteCertificate(name)
            | Self::DeletePolicy(name)
            | Self::DeleteThingType(name) => name,
        }
    }

    /// Every step of a phase needs those of the phases before it.
    pub fn phase(&self) -> u8 {
        match self {
            Self::Disable(_) | Self::Deprecate(_) => 0,
            Self::DeleteThing(_) => 1,
            Self::DeleteCertificate(_) => 2,
            Self::DeletePolicy(_) => 3,
            Self::DeleteThingType(_) => 4,
        }
    }
}

impl fmt::Display for TeardownStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.action(), self.object())
    }
}

/// Something that the template may have made, and that stays.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Left {
    /// `thing`, `certificate` or `thing-type`.
    pub kind: &'static str,
    /// Its name, or its id.
    pub name: String,
    /// Why it stays.
    pub reason: &'static str,
}

/// What taking down takes, in its order.
#[derive(Clone, Debug, Default)]
pub struct Teardown {
    /// The steps; none if nothing is left.
    pub steps: Vec<TeardownStep>,
    /// What stays, and why.
    pub left: Vec<Left>,
}

/// How far a teardown goes beyond the things.
#[derive(Clone, Copy, Debug, Default)]
pub struct TeardownReach<'a> {
    /// Also delete the claim certificates that have this policy.
    pub claim_policy: Option<&'a str>,
    /// Leave the thing type as it is.
    pub keep_thing_type: bool,
}

/// Why a teardown could not be planned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TeardownError {
    /// AWS refused, or did not answer.
    #[error(transparent)]
    Cloud(#[from] CloudError),
    /// The template in the account cannot be read.
    #[error("the provisioning template {name} cannot be read")]
    Template {
        /// Its name.
        name: String,
        /// Why.
        source: TemplateError,
    },
    /// There is no such template.
    #[error("there is no provisioning template {0}")]
    NoTemplate(String),
    /// Nothing in the template tells its work from that of others.
    #[error(
        "the provisioning template {0} names no thing type, thing group or policy outright: nothing tells what it made"
    )]
    NoMark(String),
}

impl Classified for TeardownError {
    fn class(&self) -> Class {
        match self {
            Self::Cloud(error) => error.class(),
            Self::Template { .. } => Class::Unexpected,
            Self::NoTemplate(_) => Class::NotFound,
            Self::NoMark(_) => Class::Conflict,
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
            Self::Template { .. } => None,
            Self::NoTemplate(_) => Some("template list shows what there is".to_owned()),
            Self::NoMark(_) => Some("remove its things one by one: delete-thing THING…".to_owned()),
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
    /// Takes one step. `waiting` is told how long AWS has been waited for.
    ///
    /// # Errors
    /// When the step fails; what it had done is done, and the next run goes on from there.
    pub async fn take_down(
        &self,
        step: &TeardownStep,
        waiting: impl Fn(Duration),
    ) -> Result<(), CloudError> {
        match step {
            TeardownStep::Disable(name) => {
                let change = TemplateChange {
                    enabled: Some(false),
                    ..TemplateChange::default()
                };
                self.change_template(name, &change).await
            }
            TeardownStep::Deprecate(name) => self.deprecate_thing_type(name).await,
            TeardownStep::DeleteThing(thing) => {
                let unfinished = Unfinished::default();
                let plan = self.plan_deletion(thing, Certificates::Delete, &unfinished);
                let plan = plan.await?;
                let Some(plan) = plan else { return Ok(()) };
                self.delete(&plan)
                    .await
                    .map_err(|stopped: Box<Stopped>| stopped.error)
            }
            TeardownStep::DeleteCertificate(id) => self.delete_idle_certificate(id).await,
            TeardownStep::DeletePolicy(name) => {
                until_detached(DETACHING, async || self.delete_policy(name).await).await
            }
            TeardownStep::DeleteThingType(name) => self.delete_thing_type(name, waiting).await,
        }
    }

    /// Deactivates, detaches and deletes a certificate.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn delete_idle_certificate(&self, id: &str) -> Result<(), CloudError> {
        let Some(found) = self.certificate(id).await? else {
            return Ok(());
        };
        if found.status == CertificateStatus::Active {
            let inactive = CertificateStatus::Inactive;
            self.set_certificate_status(id, inactive).await?;
        }
        self.remove_certificate(id).await
    }
}
