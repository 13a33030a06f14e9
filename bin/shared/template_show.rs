//! `template list` and `template show`: what templates there are.

use jitp_cli::{Common, Failure, Report, Result};
use jitp_cloud::{Cloud, ProvisioningTemplate};
use jitp_core::failure::Class;
use jitp_core::names::TemplateName;
use serde::Serialize;
use time::format_description::well_known::Rfc3339;

/// What `show` tells.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Details {
    template_name: String,
    template_arn: String,
    r#type: &'static str,
    enabled: bool,
    description: String,
    provisioning_role_arn: String,
    hook_target_arn: Option<String>,
    default_version_id: i32,
    version_ids: Vec<i32>,
    last_modified_date: Option<String>,
    template_body: String,
}

/// A line of `list`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    template_name: String,
    r#type: &'static str,
    enabled: bool,
    description: String,
}

impl Report for Summary {
    fn columns(&self) -> Vec<String> {
        let enabled = match self.enabled {
            true => "enabled",
            false => "disabled",
        };
        vec![
            self.template_name.clone(),
            self.r#type.to_owned(),
            enabled.to_owned(),
            self.description.replace(['\t', '\n', '\r'], " "),
        ]
    }
}

/// Every template, a line for each.
pub(crate) async fn list(cloud: &Cloud, common: &Common) -> Result<()> {
    let mut reporter = common.listing();
    for found in cloud.provisioning_templates().await? {
        reporter.line(&Summary {
            template_name: found.name,
            r#type: found.kind.as_str(),
            enabled: found.enabled,
            description: found.description,
        })?;
    }
    Ok(())
}

/// Everything about one, or its body alone.
pub(crate) async fn show(
    cloud: &Cloud,
    name: &TemplateName,
    body: bool,
    version: Option<i32>,
    common: &Common,
) -> Result<()> {
    let found = find(cloud, name).await?;
    if body {
        let body = match version {
            Some(number) => cloud.template_body(name.as_str(), number).await?,
            None => found.body,
        };
        return common.listing().line(&Body(body));
    }
    let versions = cloud.template_versions(name.as_str()).await?;
    let details = Details {
        template_name: found.name,
        template_arn: found.arn,
        r#type: found.kind.as_str(),
        enabled: found.enabled,
        description: found.description,
        provisioning_role_arn: found.role_arn,
        hook_target_arn: found.hook_arn,
        default_version_id: found.default_version,
        version_ids: versions.iter().map(|version| version.number).collect(),
        last_modified_date: found.changed.and_then(|time| time.format(&Rfc3339).ok()),
        template_body: found.body,
    };
    common.listing().members(&details)
}

/// A template as it is; in JSON it is its own form.
struct Body(String);

impl Serialize for Body {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serde_json::from_str::<serde_json::Value>(&self.0) {
            Ok(value) => value.serialize(serializer),
            Err(_) => self.0.serialize(serializer),
        }
    }
}

impl Report for Body {
    fn columns(&self) -> Vec<String> {
        vec![self.0.clone()]
    }
}

/// A template by its name.
pub(crate) async fn find(cloud: &Cloud, name: &TemplateName) -> Result<ProvisioningTemplate> {
    let found = cloud.provisioning_template(name.as_str()).await?;
    found.ok_or_else(|| {
        let message = format!("there is no provisioning template {name}");
        Failure::new(Class::NotFound, message).hint("template list shows what there is")
    })
}
