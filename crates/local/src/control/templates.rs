//! Provisioning templates and their versions.

use serde_json::{Map, Value, json};

use super::Handler;
use super::fields::{put, tags};
use super::paging::Page;
use crate::account::issuing::DeviceKeys;
use crate::account::templates::{self, CreateTemplate, UpdateTemplate};
use crate::account::{Account, ApiError, ProvisioningTemplate, TemplateType, claims};
use crate::model::Input;

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("CreateProvisioningTemplate", create),
    ("DescribeProvisioningTemplate", describe),
    ("ListProvisioningTemplates", list),
    ("UpdateProvisioningTemplate", update),
    ("DeleteProvisioningTemplate", delete),
    ("CreateProvisioningTemplateVersion", create_version),
    ("DescribeProvisioningTemplateVersion", describe_version),
    ("ListProvisioningTemplateVersions", list_versions),
    ("DeleteProvisioningTemplateVersion", delete_version),
    ("CreateProvisioningClaim", create_claim),
];

fn create(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let ask = CreateTemplate {
        name: input.required("templateName").to_owned(),
        kind: match input.text("type") {
            Some("JITP") => TemplateType::Jitp,
            _ => TemplateType::FleetProvisioning,
        },
        description: input.text("description").map(str::to_owned),
        body: input.required("templateBody").to_owned(),
        enabled: input.flag("enabled"),
        role_arn: input.required("provisioningRoleArn").to_owned(),
        hook: hook(input),
        tags: tags(input),
    };
    let template = account.write(|tx| templates::create(tx, ask))?;
    Ok(json!({
        "templateArn": template.arn,
        "templateName": template.name,
        "defaultVersionId": template.default_version,
    }))
}

fn hook(input: &Input) -> Option<Value> {
    let given = input.object("preProvisioningHook")?;
    let mut hook = given.clone();
    hook.retain(|name, _| name == "payloadVersion" || name == "targetArn");
    Some(Value::Object(hook))
}

fn describe(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let template = templates::find(&account.snapshot(), input.required("templateName"))?;
    let version = template.versions.get(&template.default_version);
    let mut answer = summary(&template);
    put(
        &mut answer,
        "defaultVersionId",
        Some(template.default_version),
    );
    put(
        &mut answer,
        "templateBody",
        version.map(|version| version.body.as_str()),
    );
    put(
        &mut answer,
        "provisioningRoleArn",
        Some(template.role_arn.as_str()),
    );
    put(&mut answer, "preProvisioningHook", template.hook.clone());
    Ok(Value::Object(answer))
}

fn summary(template: &ProvisioningTemplate) -> Map<String, Value> {
    let mut summary = Map::new();
    put(&mut summary, "templateArn", Some(template.arn.as_str()));
    put(&mut summary, "templateName", Some(template.name.as_str()));
    put(&mut summary, "description", template.description.as_deref());
    put(
        &mut summary,
        "creationDate",
        Some(template.creation_date.seconds()),
    );
    put(
        &mut summary,
        "lastModifiedDate",
        Some(template.last_modified_date.seconds()),
    );
    put(&mut summary, "enabled", Some(template.enabled));
    put(&mut summary, "type", Some(template.kind.as_str()));
    summary
}

fn list(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let page = Page::tokened(input)?;
    let state = account.snapshot();
    Ok(
        page.of_map("templates", &state.provisioning_templates, |_, template| {
            Some(Value::Object(summary(template)))
        }),
    )
}

fn update(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let ask = UpdateTemplate {
        description: input.text("description").map(str::to_owned),
        enabled: input.optional_flag("enabled"),
        default_version: input.number("defaultVersionId"),
        role_arn: input.text("provisioningRoleArn").map(str::to_owned),
        hook: hook(input),
        remove_hook: input.flag("removePreProvisioningHook"),
    };
    account.write(|tx| templates::update(tx, input.required("templateName"), ask))?;
    Ok(Value::Null)
}

fn delete(account: &Account, input: &Input) -> Result<Value, ApiError> {
    account.write(|tx| templates::delete(tx, input.required("templateName")))?;
    Ok(Value::Null)
}

fn create_version(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let (name, body) = (
        input.required("templateName"),
        input.required("templateBody"),
    );
    let default = input.flag("setAsDefault");
    let number = account.write(|tx| templates::create_version(tx, name, body, default))?;
    Ok(json!({
        "templateArn": account.snapshot().scope.arn("provisioningtemplate", name),
        "templateName": name,
        "versionId": number,
        "isDefaultVersion": default,
    }))
}

fn describe_version(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let template = templates::find(&account.snapshot(), input.required("templateName"))?;
    let wanted = input.number("versionId").unwrap_or_default();
    let number = templates::find_version(&template, wanted)?;
    let version = &template.versions[&number];
    Ok(json!({
        "versionId": number,
        "creationDate": version.creation_date.seconds(),
        "templateBody": version.body,
        "isDefaultVersion": number == template.default_version,
    }))
}

fn list_versions(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let template = templates::find(&account.snapshot(), input.required("templateName"))?;
    let items = template.versions.iter().map(|(number, version)| {
        let item = json!({
            "versionId": number,
            "creationDate": version.creation_date.seconds(),
            "isDefaultVersion": *number == template.default_version,
        });
        (format!("{number:010}"), item)
    });
    Ok(Page::tokened(input)?.of_keyed("versions", items.collect()))
}

fn delete_version(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let version = input.number("versionId").unwrap_or_default();
    account.write(|tx| templates::delete_version(tx, input.required("templateName"), version))?;
    Ok(Value::Null)
}

fn create_claim(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let template = input.required("templateName");
    // Before the key, which takes long to make.
    claims::judge_template(&account.snapshot(), template)?;
    let keys = DeviceKeys::generate()?;
    let now = account.clock().timestamp().whole_seconds();
    let issued = account.issuing_ca()?.issue_for_keys(&keys, now)?;
    let claim = account.write(|tx| claims::create(tx, template, issued.x509))?;
    Ok(json!({
        "certificateId": claim.id,
        "certificatePem": issued.pem,
        "keyPair": { "PublicKey": keys.public_pem()?, "PrivateKey": keys.private_pem()? },
        "expiration": claim.expires_at.seconds(),
    }))
}
