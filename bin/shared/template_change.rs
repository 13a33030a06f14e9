//! `template create`, `template update` and `template delete`: what becomes of templates.

use std::path::PathBuf;

use clap::Args;
use jitp_cli::{Common, ConfirmFlags, Failure, Report, Result};
use jitp_cloud::{
    AppliedTemplate, Cloud, CloudSettings, NewTemplate, TemplateChange, TemplateKind, VersionRoom,
};
use jitp_core::lint::{Severity, TemplateLint, TemplateUse, lint_template};
use jitp_core::names::TemplateName;
use jitp_core::role::RoleArn;
use serde::Serialize;

use super::file::Values;
use super::show::find;

// What a new template is. (No docstring: clap would show it as what the command does.)
#[derive(Args)]
pub(crate) struct CreateFlags {
    name: TemplateName,
    /// The template, a JSON file
    #[arg(long, value_name = "FILE")]
    body: PathBuf,
    #[command(flatten)]
    values: Values,
    /// What it is for: fleet, or jitp for a CA to be bound to; cannot be changed later
    #[arg(
        long = "type",
        value_name = "TYPE",
        value_enum,
        default_value_t,
        hide_possible_values = true
    )]
    kind: TemplateKind,
    /// Role that provisioning assumes [default: the role IoTProvisioning of the account]
    #[arg(long, value_name = "ARN")]
    role_arn: Option<RoleArn>,
    /// Function that is asked before a device is provisioned
    #[arg(long, value_name = "ARN")]
    hook: Option<String>,
    /// A description
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    description: String,
    /// No device may use it yet
    #[arg(long)]
    disabled: bool,
}

// What is to be otherwise. (No docstring, as above.)
#[derive(Args)]
pub(crate) struct UpdateFlags {
    name: TemplateName,
    /// The new template, a JSON file; it becomes a version that applies at once
    #[arg(long, value_name = "FILE", conflicts_with = "default_version")]
    body: Option<PathBuf>,
    #[command(flatten)]
    values: Values,
    /// Role that provisioning assumes
    #[arg(long, value_name = "ARN")]
    role_arn: Option<RoleArn>,
    /// Function that is asked before a device is provisioned
    #[arg(long, value_name = "ARN", conflicts_with = "no_hook")]
    hook: Option<String>,
    /// Ask no function any more
    #[arg(long)]
    no_hook: bool,
    /// A description
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Let devices use it
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// Let no device use it
    #[arg(long)]
    disable: bool,
    /// Number of the version that is to apply
    #[arg(long, value_name = "N")]
    default_version: Option<i32>,
    /// Where there are five versions, delete the oldest that does not apply
    #[arg(long)]
    drop_oldest_version: bool,
}

// What is to go. (No docstring, as above.)
#[derive(Args)]
pub(crate) struct DeleteFlags {
    name: TemplateName,
    /// Print what would be deleted
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    confirm: ConfirmFlags,
}

/// The outcome for a template.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Applied {
    template_name: String,
    outcome: &'static str,
    version_id: i32,
    template_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_version_id: Option<i32>,
}

impl Report for Applied {
    fn columns(&self) -> Vec<String> {
        vec![
            self.template_name.clone(),
            self.outcome.to_owned(),
            self.version_id.to_string(),
            self.template_arn.clone(),
        ]
    }
}

impl Applied {
    fn of(name: &TemplateName, applied: AppliedTemplate) -> Self {
        Self {
            template_name: name.to_string(),
            outcome: applied.change.as_str(),
            version_id: applied.version,
            template_arn: applied.arn,
            deleted_version_id: applied.dropped_version,
        }
    }
}

impl UpdateFlags {
    /// What is given.
    fn change(&self) -> TemplateChange {
        TemplateChange {
            description: self.description.clone(),
            enabled: (self.enable || self.disable).then_some(self.enable),
            role_arn: self.role_arn.as_ref().map(RoleArn::to_string),
            hook_arn: match self.no_hook {
                true => Some(None),
                false => self.hook.clone().map(Some),
            },
            default_version: self.default_version,
        }
    }
}

impl DeleteFlags {
    /// Sees early, before anything is called, that a person has agreed or can be asked.
    pub(crate) fn check(&self) -> Result<()> {
        match self.dry_run {
            true => Ok(()),
            false => self.confirm.check(),
        }
    }
}

/// Makes a template, once its file is read and what is hardly meant in it is told.
pub(crate) async fn create(
    settings: &CloudSettings,
    flags: &CreateFlags,
    common: &Common,
) -> Result<()> {
    let body = flags.values.read(&flags.body)?;
    warn(&body, flags.kind, common);
    let cloud = Cloud::connect(settings).await?;
    let role_arn = cloud.role_or_default(flags.role_arn.as_ref()).await?;
    let new = NewTemplate {
        name: flags.name.as_str(),
        kind: flags.kind,
        description: &flags.description,
        body: &body,
        enabled: !flags.disabled,
        role_arn: &role_arn,
        hook_arn: flags.hook.as_deref(),
        tag: None,
    };
    let applied = cloud.create_template(&new).await?;
    common.reporter().line(&Applied::of(&flags.name, applied))
}

/// Changes what is given of a template.
pub(crate) async fn update(
    settings: &CloudSettings,
    flags: &UpdateFlags,
    common: &Common,
) -> Result<()> {
    let name = &flags.name;
    let body = flags.body.as_deref();
    let body = body.map(|path| flags.values.read(path)).transpose()?;
    let change = flags.change();
    if body.is_none() && change == TemplateChange::default() {
        return Err(Failure::usage("nothing is given that could be changed")
            .hint("see: template update --help"));
    }
    let room = match flags.drop_oldest_version {
        true => VersionRoom::DropOldest,
        false => VersionRoom::Keep,
    };
    let cloud = Cloud::connect(settings).await?;
    if let Some(role_arn) = &flags.role_arn {
        cloud.check_role(role_arn).await?;
    }
    let applied = cloud.update_template(name.as_str(), change, body.as_deref(), room);
    let applied = applied.await?;
    if let Some(dropped) = applied.dropped_version {
        common.say(format!(
            "version {dropped} of {name} was deleted to make room"
        ));
    }
    common.reporter().line(&Applied::of(name, applied))
}

/// Deletes a template with all its versions, or says that it would.
pub(crate) async fn delete(cloud: &Cloud, flags: &DeleteFlags, common: &Common) -> Result<()> {
    let name = &flags.name;
    let found = find(cloud, name).await?;
    let outcome = match flags.dry_run {
        true => "planned",
        false => {
            let question = format!("delete the provisioning template {name}?");
            flags.confirm.ask(common, &question).await?;
            cloud.delete_template(name.as_str()).await?;
            "deleted"
        }
    };
    common.reporter().line(&Applied {
        template_name: name.to_string(),
        outcome,
        version_id: found.default_version,
        template_arn: found.arn,
        deleted_version_id: None,
    })
}

/// What is hardly meant in a template that is about to be sent.
fn warn(body: &str, kind: TemplateKind, common: &Common) {
    let lint = TemplateLint {
        used_for: match kind {
            TemplateKind::Fleet => TemplateUse::Fleet,
            TemplateKind::Jitp => TemplateUse::Jitp,
        },
        sent: None,
    };
    let findings = lint_template(body, &lint).into_iter();
    for finding in findings.filter(|finding| finding.severity == Severity::Warning) {
        common.warn(format!("{}: {}", finding.path, finding.message));
    }
}
