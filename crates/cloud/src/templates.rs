//! Provisioning templates and their versions: read, listed, made, changed, deleted.

use std::fmt;

use aws_sdk_iot::types;
use time::OffsetDateTime;

use crate::call::{PAGE, Repeat, every_page};
use crate::certificates::moment;
use crate::{Cloud, CloudError};

/// What a provisioning template is for; fixed when it is made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub enum TemplateKind {
    /// Devices ask for it themselves, with a claim certificate
    #[default]
    Fleet,
    /// A registered CA executes it at the first connection of a device
    Jitp,
}

impl TemplateKind {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fleet => "FLEET_PROVISIONING",
            Self::Jitp => "JITP",
        }
    }

    fn read(kind: Option<types::TemplateType>) -> Self {
        match kind {
            Some(types::TemplateType::Jitp) => Self::Jitp,
            _ => Self::Fleet,
        }
    }
}

impl fmt::Display for TemplateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A template as lists have it.
#[derive(Clone, Debug)]
pub struct TemplateSummary {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub kind: TemplateKind,
    /// Whether devices may use it.
    pub enabled: bool,
    /// Its description; empty for none.
    pub description: String,
}

/// A provisioning template with its default version.
#[derive(Clone, Debug)]
pub struct ProvisioningTemplate {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// What it is for.
    pub kind: TemplateKind,
    /// Whether devices may use it.
    pub enabled: bool,
    /// Its description; empty for none.
    pub description: String,
    /// Role that provisioning assumes.
    pub role_arn: String,
    /// ARN of the function that is asked before a device is provisioned.
    pub hook_arn: Option<String>,
    /// Number of the version that applies.
    pub default_version: i32,
    /// Body of the version that applies.
    pub body: String,
    /// When it last changed.
    pub changed: Option<OffsetDateTime>,
}

/// A version of a template.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TemplateVersion {
    /// Its number, counted from 1.
    pub number: i32,
    /// Whether it applies.
    pub is_default: bool,
    /// When it was made.
    pub created: Option<OffsetDateTime>,
}

/// What a template is made with.
#[derive(Clone, Copy, Debug)]
pub struct NewTemplate<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it is for.
    pub kind: TemplateKind,
    /// A description; empty for none.
    pub description: &'a str,
    /// The template as JSON text.
    pub body: &'a str,
    /// Whether devices may use it.
    pub enabled: bool,
    /// Role that provisioning assumes.
    pub role_arn: &'a str,
    /// ARN of the function that is asked before a device is provisioned.
    pub hook_arn: Option<&'a str>,
    /// Key and value of a tag that it is made with.
    pub tag: Option<(&'a str, &'a str)>,
}

/// What is changed of a template; `None` stays as it is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TemplateChange {
    /// A description.
    pub description: Option<String>,
    /// Whether devices may use it.
    pub enabled: Option<bool>,
    /// Role that provisioning assumes.
    pub role_arn: Option<String>,
    /// ARN of the hook; `Some(None)` for no hook any more.
    pub hook_arn: Option<Option<String>>,
    /// Number of the version that is to apply.
    pub default_version: Option<i32>,
}

impl Cloud {
    /// A provisioning template by its name; `None` if there is none.
    ///
    /// # Errors
    /// When the call fails for another reason than that there is none.
    pub async fn provisioning_template(
        &self,
        name: &str,
    ) -> Result<Option<ProvisioningTemplate>, CloudError> {
        let send = || {
            let call = self.iot.describe_provisioning_template();
            call.template_name(name).send()
        };
        let found = match self.call("DescribeProvisioningTemplate", send).await {
            Err(error) if error.is_not_found() => return Ok(None),
            other => other?,
        };
        Ok(Some(ProvisioningTemplate {
            name: name.to_owned(),
            arn: found.template_arn.unwrap_or_default(),
            kind: TemplateKind::read(found.r#type),
            enabled: found.enabled.unwrap_or_default(),
            description: found.description.unwrap_or_default(),
            role_arn: found.provisioning_role_arn.unwrap_or_default(),
            hook_arn: found.pre_provisioning_hook.map(|hook| hook.target_arn),
            default_version: found.default_version_id.unwrap_or_default(),
            body: found.template_body.unwrap_or_default(),
            changed: moment(found.last_modified_date).or(moment(found.creation_date)),
        }))
    }

    /// All provisioning templates, in the order of the account.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn provisioning_templates(&self) -> Result<Vec<TemplateSummary>, CloudError> {
        let templates = every_page(async |token| {
            let send = || {
                let call = self.iot.list_provisioning_templates().max_results(PAGE);
                call.set_next_token(token.clone()).send()
            };
            let answer = self.call("ListProvisioningTemplates", send).await?;
            let page = answer.templates.unwrap_or_default().into_iter();
            let page = page.filter_map(|item| {
                Some(TemplateSummary {
                    name: item.template_name?,
                    kind: TemplateKind::read(item.r#type),
                    enabled: item.enabled.unwrap_or_default(),
                    description: item.description.unwrap_or_default(),
                })
            });
            Ok((page.collect(), answer.next_token))
        });
        templates.await
    }

    /// Makes a template with version 1, and answers its ARN.
    ///
    /// # Errors
    /// `ResourceAlreadyExistsException` if there is one of this name, whatever it says.
    pub async fn make_template(&self, new: &NewTemplate<'_>) -> Result<String, CloudError> {
        let send = || {
            let call = self.iot.create_provisioning_template();
            call.template_name(new.name)
                .r#type(new.kind.as_str().into())
                .set_description(some(new.description))
                .template_body(new.body)
                .enabled(new.enabled)
                .provisioning_role_arn(new.role_arn)
                .set_pre_provisioning_hook(new.hook_arn.and_then(hook))
                .set_tags(new.tag.and_then(tag).map(|tag| vec![tag]))
                .send()
        };
        let made = self.call("CreateProvisioningTemplate", send).await?;
        Ok(made.template_arn.unwrap_or_default())
    }

    /// Changes a template; its body changes by versions ([`Cloud::make_template_version`]).
    ///
    /// # Errors
    /// When there is no such template or version, or AWS refuses the change.
    pub async fn change_template(
        &self,
        name: &str,
        change: &TemplateChange,
    ) -> Result<(), CloudError> {
        let new_hook = change.hook_arn.as_ref().and_then(Option::as_deref);
        let send = || {
            let call = self.iot.update_provisioning_template();
            call.template_name(name)
                .set_description(change.description.clone())
                .set_enabled(change.enabled)
                .set_provisioning_role_arn(change.role_arn.clone())
                .set_pre_provisioning_hook(new_hook.and_then(hook))
                .set_remove_pre_provisioning_hook((change.hook_arn == Some(None)).then_some(true))
                .set_default_version_id(change.default_version)
                .send()
        };
        let answer = self.call("UpdateProvisioningTemplate", send).await;
        answer.map(drop)
    }

    /// Deletes a template with all its versions; one that does not exist is deleted already.
    ///
    /// # Errors
    /// When a registered CA is bound to it.
    pub async fn delete_template(&self, name: &str) -> Result<(), CloudError> {
        let send = || {
            let call = self.iot.delete_provisioning_template();
            call.template_name(name).send()
        };
        match self.call("DeleteProvisioningTemplate", send).await {
            Err(error) if error.is_not_found() => Ok(()),
            other => other.map(drop),
        }
    }

    /// Every version of a template, the oldest first.
    ///
    /// # Errors
    /// `ResourceNotFoundException` if there is no such template.
    pub async fn template_versions(&self, name: &str) -> Result<Vec<TemplateVersion>, CloudError> {
        let versions = every_page(async |token| {
            let send = || {
                let call = self.iot.list_provisioning_template_versions();
                let call = call.template_name(name).max_results(PAGE);
                call.set_next_token(token.clone()).send()
            };
            let answer = self.call("ListProvisioningTemplateVersions", send).await?;
            let page = answer.versions.unwrap_or_default().into_iter();
            let page = page.filter_map(|item| {
                Some(TemplateVersion {
                    number: item.version_id?,
                    is_default: item.is_default_version,
                    created: moment(item.creation_date),
                })
            });
            Ok((page.collect(), answer.next_token))
        });
        let mut versions: Vec<TemplateVersion> = versions.await?;
        versions.sort_unstable_by_key(|version| version.number);
        Ok(versions)
    }

    /// The body of a version.
    ///
    /// # Errors
    /// `ResourceNotFoundException` if there is no such version.
    pub async fn template_body(&self, name: &str, version: i32) -> Result<String, CloudError> {
        const OPERATION: &str = "DescribeProvisioningTemplateVersion";
        let send = || {
            let call = self.iot.describe_provisioning_template_version();
            call.template_name(name).version_id(version).send()
        };
        let found = self.call(OPERATION, send).await?;
        found
            .template_body
            .ok_or_else(|| CloudError::incomplete(OPERATION, "templateBody"))
    }

    /// Makes a version that applies from now on, and answers its number. Not repeated when the answer is lost.
    ///
    /// # Errors
    /// `VersionsLimitExceededException` if the template has five.
    pub async fn make_template_version(&self, name: &str, body: &str) -> Result<i32, CloudError> {
        const OPERATION: &str = "CreateProvisioningTemplateVersion";
        let send = || {
            let call = self.iot.create_provisioning_template_version();
            let call = call.template_name(name).template_body(body);
            call.set_as_default(true).send()
        };
        let made = self
            .call_with(Repeat::MakesAnother, OPERATION, send)
            .await?;
        made.version_id
            .ok_or_else(|| CloudError::incomplete(OPERATION, "versionId"))
    }

    /// Deletes a version; one that does not exist is deleted already.
    ///
    /// # Errors
    /// `DeleteConflictException` for the one that applies.
    pub async fn delete_template_version(
        &self,
        name: &str,
        version: i32,
    ) -> Result<(), CloudError> {
        let send = || {
            let call = self.iot.delete_provisioning_template_version();
            call.template_name(name).version_id(version).send()
        };
        match self.call("DeleteProvisioningTemplateVersion", send).await {
            Err(error) if error.is_not_found() => Ok(()),
            other => other.map(drop),
        }
    }
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// The builder fails only without a target.
fn hook(target_arn: &str) -> Option<types::ProvisioningHook> {
    types::ProvisioningHook::builder()
        .payload_version(HOOK_PAYLOAD)
        .target_arn(target_arn)
        .build()
        .ok()
}

/// A tag; `None` without a key.
pub(crate) fn tag((key, value): (&str, &str)) -> Option<types::Tag> {
    types::Tag::builder().key(key).value(value).build().ok()
}

/// The only version of what a hook is sent (developer guide, "Pre-provisioning hooks").
const HOOK_PAYLOAD: &str = "2020-04-01";
