//! Provisioning templates and their versions.

use std::collections::BTreeMap;
use std::sync::Arc;

use jitp_core::template::Template;
use serde_json::Value;

use super::records::{ProvisioningTemplate, TemplateType, TemplateVersion};
use super::{ApiError, State, Transaction};

/// Templates of an account and versions of a template (AWS General Reference).
const TEMPLATES_LIMIT: usize = 256;
const VERSIONS_LIMIT: usize = 5;

/// What CreateProvisioningTemplate is asked.
#[derive(Clone, Debug, Default)]
pub struct CreateTemplate {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub kind: TemplateType,
    /// A description.
    pub description: Option<String>,
    /// The template as JSON text.
    pub body: String,
    /// Whether devices may use it.
    pub enabled: bool,
    /// The role it is executed under.
    pub role_arn: String,
    /// preProvisioningHook.
    pub hook: Option<Value>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// What UpdateProvisioningTemplate is asked; absent members stay as they are.
#[derive(Clone, Debug, Default)]
pub struct UpdateTemplate {
    /// A description.
    pub description: Option<String>,
    /// Whether devices may use it.
    pub enabled: Option<bool>,
    /// The version that applies.
    pub default_version: Option<u64>,
    /// The role it is executed under.
    pub role_arn: Option<String>,
    /// preProvisioningHook.
    pub hook: Option<Value>,
    /// Whether to have no hook any more.
    pub remove_hook: bool,
}

/// A provisioning template of the account.
///
/// # Errors
/// `ResourceNotFoundException`.
pub fn find(state: &State, name: &str) -> Result<Arc<ProvisioningTemplate>, ApiError> {
    let template = state.provisioning_templates.get(name).cloned();
    template.ok_or_else(|| ApiError::not_found(format!("Provisioning template {name} not found")))
}

/// Creates a template with version 1.
///
/// # Errors
/// `ResourceAlreadyExistsException`, `LimitExceededException`, `InvalidRequestException`.
pub fn create(
    tx: &mut Transaction,
    ask: CreateTemplate,
) -> Result<Arc<ProvisioningTemplate>, ApiError> {
    if let Some(template) = tx.provisioning_templates.get(&ask.name) {
        return Err(ApiError::already_exists(
            format!("Provisioning template {} already exists", ask.name),
            &ask.name,
            &template.arn,
        ));
    }
    if tx.provisioning_templates.len() >= TEMPLATES_LIMIT {
        return Err(ApiError::limit_exceeded(format!(
            "An account may have {TEMPLATES_LIMIT} provisioning templates"
        )));
    }
    judge_body(&ask.body)?;
    judge_hook(ask.kind, ask.hook.as_ref())?;
    let version = TemplateVersion {
        body: ask.body,
        creation_date: tx.now(),
    };
    let arn = tx.scope.arn("provisioningtemplate", &ask.name);
    let name = ask.name.clone();
    tx.put_template(ProvisioningTemplate {
        name: ask.name,
        arn: arn.clone(),
        kind: ask.kind,
        description: ask.description,
        enabled: ask.enabled,
        role_arn: ask.role_arn,
        hook: ask.hook,
        versions: BTreeMap::from([(1, version)]),
        default_version: 1,
        next_version: 2,
        creation_date: tx.now(),
        last_modified_date: tx.now(),
    })?;
    tx.put_tags(&arn, ask.tags)?;
    find(tx, &name)
}

/// Changes everything but the body and the type.
///
/// # Errors
/// `ResourceNotFoundException`, `InvalidRequestException`.
pub fn update(tx: &mut Transaction, name: &str, ask: UpdateTemplate) -> Result<(), ApiError> {
    let mut template = ProvisioningTemplate::clone(&*find(tx, name)?);
    judge_hook(template.kind, ask.hook.as_ref())?;
    if ask.hook.is_some() && ask.remove_hook {
        return Err(ApiError::invalid_request(
            "preProvisioningHook and removePreProvisioningHook exclude each other",
        ));
    }
    if let Some(number) = ask.default_version {
        template.default_version = version_number(&template, number)?;
    }
    if ask.description.is_some() {
        template.description = ask.description;
    }
    template.enabled = ask.enabled.unwrap_or(template.enabled);
    template.role_arn = ask.role_arn.unwrap_or(template.role_arn);
    if ask.remove_hook {
        template.hook = None;
    } else if ask.hook.is_some() {
        template.hook = ask.hook;
    }
    put_changed(tx, template)
}

/// Deletes a template no CA refers to.
///
/// # Errors
/// `ResourceNotFoundException`, `DeleteConflictException` while a registered CA uses it.
pub fn delete(tx: &mut Transaction, name: &str) -> Result<(), ApiError> {
    find(tx, name)?;
    let user = tx.ca_certificates.values().find(|ca| {
        let config = ca.registration_config.as_ref();
        config.and_then(|config| config.template_name.as_deref()) == Some(name)
    });
    if let Some(ca) = user {
        return Err(ApiError::delete_conflict(format!(
            "Provisioning template {name} is used by CA certificate {}",
            ca.id
        )));
    }
    tx.remove_template(name);
    Ok(())
}

/// Adds a version; answers its number.
///
/// # Errors
/// `ResourceNotFoundException`, `VersionsLimitExceededException`, `InvalidRequestException`.
pub fn create_version(
    tx: &mut Transaction,
    name: &str,
    body: &str,
    set_as_default: bool,
) -> Result<u32, ApiError> {
    let mut template = ProvisioningTemplate::clone(&*find(tx, name)?);
    judge_body(body)?;
    if template.versions.len() >= VERSIONS_LIMIT {
        return Err(ApiError::new(
            "VersionsLimitExceededException",
            format!("The template {name} already has {VERSIONS_LIMIT} versions"),
        ));
    }
    let number = template.next_version;
    template.next_version += 1;
    template.versions.insert(
        number,
        TemplateVersion {
            body: body.to_owned(),
            creation_date: tx.now(),
        },
    );
    if set_as_default {
        template.default_version = number;
    }
    put_changed(tx, template)?;
    Ok(number)
}

/// Deletes a version that does not apply.
///
/// # Errors
/// `ResourceNotFoundException`, `DeleteConflictException` for the default version.
pub fn delete_version(tx: &mut Transaction, name: &str, version: u64) -> Result<(), ApiError> {
    let mut template = ProvisioningTemplate::clone(&*find(tx, name)?);
    let number = find_version(&template, version)?;
    if number == template.default_version {
        return Err(ApiError::delete_conflict(
            "The default version of a provisioning template cannot be deleted",
        ));
    }
    template.versions.remove(&number);
    put_changed(tx, template)
}

/// The number of a version that exists.
///
/// # Errors
/// `ResourceNotFoundException`.
pub fn find_version(template: &ProvisioningTemplate, version: u64) -> Result<u32, ApiError> {
    let number = u32::try_from(version).ok();
    number
        .filter(|number| template.versions.contains_key(number))
        .ok_or_else(|| {
            ApiError::not_found(format!(
                "Version {version} of provisioning template {} not found",
                template.name
            ))
        })
}

fn version_number(template: &ProvisioningTemplate, version: u64) -> Result<u32, ApiError> {
    find_version(template, version)
}

fn judge_body(body: &str) -> Result<(), ApiError> {
    match Template::parse(body) {
        Ok(_) => Ok(()),
        Err(error) => Err(ApiError::invalid_request(format!(
            "The template is not valid: {error}"
        ))),
    }
}

fn judge_hook(kind: TemplateType, hook: Option<&Value>) -> Result<(), ApiError> {
    if kind == TemplateType::Jitp && hook.is_some() {
        return Err(ApiError::invalid_request(
            "A template of type JITP cannot have a preProvisioningHook",
        ));
    }
    Ok(())
}

fn put_changed(tx: &mut Transaction, mut template: ProvisioningTemplate) -> Result<(), ApiError> {
    template.last_modified_date = tx.now();
    tx.put_template(template)
}
