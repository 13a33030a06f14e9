//! Bringing a provisioning template into line: what is so already stays, a body changes by a new version, and of
//! versions there is room for five.

use jitp_core::failure::{Class, Classified};
use jitp_core::template::{Template, TemplateError};

use crate::registry::Missing;
use crate::{Cloud, CloudError, NewTemplate, ProvisioningTemplate, TemplateChange, TemplateKind};

/// What became of something that was to be made or brought into line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    /// It is new.
    Created,
    /// It was there, and otherwise.
    Updated,
    /// It was so already.
    Unchanged,
}

impl Change {
    /// In a word, for tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
        }
    }
}

/// What to do when a template has as many versions as it may.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum VersionRoom {
    /// Stop, and say so.
    Keep,
    /// Delete the oldest that does not apply.
    DropOldest,
}

/// A template that is as it was to be.
#[derive(Clone, Debug)]
pub struct AppliedTemplate {
    /// What this run did.
    pub change: Change,
    /// ARN of the template.
    pub arn: String,
    /// Number of the version that applies.
    pub version: i32,
    /// Number of the version that was deleted to make room.
    pub dropped_version: Option<i32>,
}

/// Why a template could not be made or brought into line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TemplatingError {
    /// AWS refused, or did not answer.
    #[error(transparent)]
    Cloud(#[from] CloudError),
    /// The body is no template, or none of this kind.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// Something the template names does not exist in the account.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// There is no such template.
    #[error("there is no provisioning template {0}")]
    NoTemplate(String),
    /// There is one, and it is another.
    #[error("the provisioning template {name} exists already, with another {}", .differences.join(", "))]
    Exists {
        /// Its name.
        name: String,
        /// What differs.
        differences: Vec<&'static str>,
    },
    /// There is one of the other kind, which cannot be changed.
    #[error("the provisioning template {name} is of type {found}, which cannot be changed")]
    OtherKind {
        /// Its name.
        name: String,
        /// Its kind.
        found: TemplateKind,
    },
    /// A hook on a template of type JITP.
    #[error("a template of type JITP cannot have a pre-provisioning hook")]
    HookOfJitp,
    /// It has as many versions as AWS allows.
    #[error(
        "the provisioning template {name} has {MOST_VERSIONS} versions, and AWS takes no more; the oldest that does not apply is {oldest}"
    )]
    TooManyVersions {
        /// Its name.
        name: String,
        /// Number of the oldest that does not apply.
        oldest: i32,
    },
}

impl Classified for TemplatingError {
    fn class(&self) -> Class {
        match self {
            Self::Cloud(error) => error.class(),
            Self::Template(error) => error.class(),
            Self::Missing(error) => error.class(),
            Self::NoTemplate(_) => Class::NotFound,
            Self::Exists { .. } | Self::OtherKind { .. } | Self::TooManyVersions { .. } => {
                Class::Conflict
            }
            Self::HookOfJitp => Class::Usage,
        }
    }

    fn code(&self) -> String {
        match self {
            Self::Cloud(error) => error.code(),
            // What AWS would have answered.
            Self::TooManyVersions { .. } => "VersionsLimitExceededException".to_owned(),
            other => other.class().code().to_owned(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Cloud(error) => error.hint(),
            Self::Template(error) => error.hint(),
            Self::Missing(error) => error.hint(),
            Self::NoTemplate(name) => Some(format!(
                "make it: template create {name} --body FILE; template list shows what there is"
            )),
            Self::Exists { name, .. } => Some(format!("change it: template update {name}")),
            Self::OtherKind { name, .. } => Some(format!(
                "choose another name, or delete it first: template delete {name}"
            )),
            Self::HookOfJitp => Some(
                "hooks are for fleet provisioning: leave --hook out, or --type jitp".to_owned(),
            ),
            Self::TooManyVersions { .. } => {
                Some("pass --drop-oldest-version to have that one deleted".to_owned())
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
    /// Makes a provisioning template; one that is exactly so already is left alone. Everything it names must exist.
    ///
    /// # Errors
    /// When there is another of this name, or it could not work.
    pub async fn create_template(
        &self,
        new: &NewTemplate<'_>,
    ) -> Result<AppliedTemplate, TemplatingError> {
        let has_hook = new.hook_arn.is_some();
        let body = self.check_template(new.kind, new.body, has_hook).await?;
        let new = NewTemplate {
            body: &body,
            ..*new
        };
        match self.provisioning_template(new.name).await? {
            None => self.make(&new).await,
            Some(found) => self.unchanged(found, &new),
        }
    }

    /// Makes a provisioning template, or brings the one of this name into line.
    ///
    /// # Errors
    /// When it could not work, is of the other kind, or there is no room for another version.
    pub async fn apply_template(
        &self,
        new: &NewTemplate<'_>,
        room: VersionRoom,
    ) -> Result<AppliedTemplate, TemplatingError> {
        let has_hook = new.hook_arn.is_some();
        let body = self.check_template(new.kind, new.body, has_hook).await?;
        let new = NewTemplate {
            body: &body,
            ..*new
        };
        let Some(found) = self.provisioning_template(new.name).await? else {
            return self.make(&new).await;
        };
        if found.kind != new.kind {
            return Err(TemplatingError::OtherKind {
                name: found.name,
                found: found.kind,
            });
        }
        let wanted = TemplateChange {
            description: Some(new.description.to_owned()),
            enabled: Some(new.enabled),
            role_arn: Some(new.role_arn.to_owned()),
            hook_arn: Some(new.hook_arn.map(ToOwned::to_owned)),
            default_version: None,
        };
        self.bring_template_into_line(found, wanted, Some(new.body), room)
            .await
    }

    /// Changes what is given of a template that exists.
    ///
    /// # Errors
    /// When there is none, it could not work, or there is no room for another version.
    pub async fn update_template(
        &self,
        name: &str,
        wanted: TemplateChange,
        body: Option<&str>,
        room: VersionRoom,
    ) -> Result<AppliedTemplate, TemplatingError> {
        let found = self.provisioning_template(name).await?;
        let found = found.ok_or_else(|| TemplatingError::NoTemplate(name.to_owned()))?;
        let gets_hook = matches!(wanted.hook_arn, Some(Some(_)));
        let judged = body.unwrap_or(&found.body);
        let judged = self.check_template(found.kind, judged, gets_hook).await?;
        let body = body.map(|_| judged.as_str());
        self.bring_template_into_line(found, wanted, body, room)
            .await
    }

    async fn make(&self, new: &NewTemplate<'_>) -> Result<AppliedTemplate, TemplatingError> {
        match self.make_template(new).await {
            Ok(arn) => Ok(AppliedTemplate {
                change: Change::Created,
                arn,
                version: 1,
                dropped_version: None,
            }),
            // Another run was faster, or the answer to an earlier attempt was lost on the way.
            Err(error) if error.is("ResourceAlreadyExistsException") => {
                match self.provisioning_template(new.name).await? {
                    Some(found) => self.unchanged(found, new),
                    None => Err(error.into()),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    fn unchanged(
        &self,
        found: ProvisioningTemplate,
        new: &NewTemplate<'_>,
    ) -> Result<AppliedTemplate, TemplatingError> {
        let differs = [
            ("type", found.kind != new.kind),
            ("body", !same_json(&found.body, new.body)),
            ("description", found.description != new.description),
            ("enabled flag", found.enabled != new.enabled),
            ("role", found.role_arn != new.role_arn),
            ("hook", found.hook_arn.as_deref() != new.hook_arn),
        ];
        let differences: Vec<&str> = differs
            .iter()
            .filter(|(_, differs)| *differs)
            .map(|(what, _)| *what)
            .collect();
        match differences.is_empty() {
            true => Ok(AppliedTemplate {
                change: Change::Unchanged,
                arn: found.arn,
                version: found.default_version,
                dropped_version: None,
            }),
            false => Err(TemplatingError::Exists {
                name: found.name,
                differences,
            }),
        }
    }

    async fn bring_template_into_line(
        &self,
        found: ProvisioningTemplate,
        wanted: TemplateChange,
        body: Option<&str>,
        room: VersionRoom,
    ) -> Result<AppliedTemplate, TemplatingError> {
        let mut change = only_new(&found, wanted);
        let mut version = found.default_version;
        let mut dropped_version = None;
        let mut updated = false;
        if let Some(body) = body.filter(|body| !same_json(&found.body, body)) {
            // Going back to a version that is still there takes no new one.
            match self.version_with(&found, body).await? {
                Some(number) => {
                    change.default_version = Some(number);
                    version = number;
                }
                None => {
                    dropped_version = self.make_room(&found.name, room).await?;
                    version = self.make_template_version(&found.name, body).await?;
                    updated = true;
                }
            }
        }
        if change != TemplateChange::default() {
            version = change.default_version.unwrap_or(version);
            self.change_template(&found.name, &change).await?;
            updated = true;
        }
        Ok(AppliedTemplate {
            change: match updated {
                true => Change::Updated,
                false => Change::Unchanged,
            },
            arn: found.arn,
            version,
            dropped_version,
        })
    }

    /// The newest version that does not apply and says the same.
    async fn version_with(
        &self,
        found: &ProvisioningTemplate,
        body: &str,
    ) -> Result<Option<i32>, CloudError> {
        let versions = self.template_versions(&found.name).await?;
        for version in versions.iter().rev().filter(|version| !version.is_default) {
            let existing = self.template_body(&found.name, version.number).await?;
            if same_json(&existing, body) {
                return Ok(Some(version.number));
            }
        }
        Ok(None)
    }

    async fn make_room(
        &self,
        name: &str,
        room: VersionRoom,
    ) -> Result<Option<i32>, TemplatingError> {
        let versions = self.template_versions(name).await?;
        let oldest = versions.iter().find(|version| !version.is_default);
        let Some(oldest) = oldest.filter(|_| versions.len() >= MOST_VERSIONS) else {
            return Ok(None);
        };
        if room == VersionRoom::Keep {
            return Err(TemplatingError::TooManyVersions {
                name: name.to_owned(),
                oldest: oldest.number,
            });
        }
        self.delete_template_version(name, oldest.number).await?;
        Ok(Some(oldest.number))
    }

    /// Nothing is sent before the template is seen to be one, and what it names to exist. Answers its compact form: AWS
    /// counts white space.
    async fn check_template(
        &self,
        kind: TemplateKind,
        body: &str,
        has_hook: bool,
    ) -> Result<String, TemplatingError> {
        let template = Template::parse(body)?;
        let fault = match kind {
            TemplateKind::Jitp if has_hook => return Err(TemplatingError::HookOfJitp),
            TemplateKind::Jitp => template.check_jitp().into_iter().next(),
            TemplateKind::Fleet => template.check_fleet().into_iter().next(),
        };
        if let Some(fault) = fault {
            return Err(fault.into());
        }
        self.check_names(&template).await?;
        Ok(template.to_body())
    }
}

/// What differs from what is there.
fn only_new(found: &ProvisioningTemplate, wanted: TemplateChange) -> TemplateChange {
    let keep = |text: Option<String>, present: &str| text.filter(|text| text != present);
    TemplateChange {
        description: keep(wanted.description, &found.description),
        enabled: wanted.enabled.filter(|enabled| *enabled != found.enabled),
        role_arn: keep(wanted.role_arn, &found.role_arn),
        hook_arn: wanted.hook_arn.filter(|hook| *hook != found.hook_arn),
        default_version: wanted
            .default_version
            .filter(|version| *version != found.default_version),
    }
}

/// Whether two texts are the same JSON, in whichever order.
pub(crate) fn same_json(one: &str, other: &str) -> bool {
    let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    one == other || read(one).is_some_and(|one| Some(one) == read(other))
}

/// Versions a template may have (AWS General Reference; not adjustable).
const MOST_VERSIONS: usize = 5;
