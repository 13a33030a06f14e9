//! Look after provisioning templates: create, update, show, list, delete, lint.

#[path = "shared/template_lint.rs"]
mod lint;
#[path = "shared/template_show.rs"]
mod show;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use jitp_cli::{Common, ConfirmFlags, Failure, NameValue, Report, Result, read_text};
use jitp_cloud::{
    AppliedTemplate, Cloud, CloudSettings, NewTemplate, TemplateChange, TemplateKind,
    TemplateSummary, VersionRoom,
};
use jitp_core::lint::{Severity, TemplateLint, TemplateUse, lint_template};
use jitp_core::names::TemplateName;
use jitp_core::placeholders;
use jitp_core::role::RoleArn;
use serde::Serialize;

/// Look after provisioning templates: for fleet provisioning, and for CAs to be bound to
///
/// A template's body changes by versions, of which AWS keeps five; going back to one that is still there takes no new one.
#[derive(Args)]
#[command(after_help = "Examples:
  template lint etc/templates/fleet.json --set PolicyName=Fleet --set ThingTypeName=Sensor --set ThingGroupName=Fleet
  template create fleet --body fleet.json --hook arn:aws:lambda:eu-central-1:123456789012:function:allow
  template create factory --type jitp --body etc/templates/device.json && register --template-name factory
  template update fleet --body fleet.json --drop-oldest-version
  template show fleet --body > fleet.json")]
struct Arguments {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    cloud: CloudSettings,
}

#[derive(Subcommand)]
enum Command {
    /// Create a template; one that is exactly so already is left alone
    Create {
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
    },
    /// Change what is given of a template
    Update {
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
    },
    /// Show everything about one
    Show {
        name: TemplateName,
        /// Print the template itself, and nothing else
        #[arg(long)]
        body: bool,
        /// That of this version
        #[arg(long, value_name = "N", requires = "body")]
        version: Option<i32>,
    },
    /// List them
    List,
    /// Delete one with all its versions; things it made stay (see teardown)
    Delete {
        name: TemplateName,
        /// Print what would be deleted
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        confirm: ConfirmFlags,
    },
    /// Find what is wrong, or hardly meant, in templates and policy documents; exit code 9 if anything is
    Lint(lint::Flags),
}

#[derive(Args)]
struct Values {
    /// Fill in a placeholder of the file: ${NAME}
    #[arg(long = "set", value_name = "NAME=VALUE")]
    set: Vec<NameValue>,
}

impl Values {
    /// A file with its placeholders filled in.
    fn read(&self, path: &Path) -> Result<String> {
        let text = read_text(path, "the template")?;
        let values = self.set.iter();
        let values: Vec<(&str, &str)> = values.map(|one| (&*one.name, &*one.value)).collect();
        placeholders::fill(&text, &values)
            .map_err(|error| Failure::from(error).context(path.display()))
    }
}

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

impl From<TemplateSummary> for Summary {
    fn from(found: TemplateSummary) -> Self {
        Self {
            template_name: found.name,
            r#type: found.kind.as_str(),
            enabled: found.enabled,
            description: found.description,
        }
    }
}

async fn template(arguments: Arguments, common: &Common) -> Result<()> {
    if let Command::Lint(flags) = &arguments.command {
        return lint::run(flags, common);
    }
    if let Command::Delete {
        dry_run: false,
        confirm,
        ..
    } = &arguments.command
    {
        confirm.check()?;
    }
    match arguments.command {
        Command::Create {
            name,
            body,
            values,
            kind,
            role_arn,
            hook,
            description,
            disabled,
        } => {
            let body = values.read(&body)?;
            warn(&body, kind, common);
            let cloud = Cloud::connect(&arguments.cloud).await?;
            let role_arn = cloud.role_or_default(role_arn.as_ref()).await?;
            let new = NewTemplate {
                name: name.as_str(),
                kind,
                description: &description,
                body: &body,
                enabled: !disabled,
                role_arn: &role_arn,
                hook_arn: hook.as_deref(),
                tag: None,
            };
            let applied = cloud.create_template(&new).await?;
            common.reporter().line(&line(&name, applied))
        }
        Command::Update {
            name,
            body,
            values,
            role_arn,
            hook,
            no_hook,
            description,
            enable,
            disable,
            default_version,
            drop_oldest_version,
        } => {
            let body = body.map(|path| values.read(&path)).transpose()?;
            let change = TemplateChange {
                description,
                enabled: (enable || disable).then_some(enable),
                role_arn: role_arn.as_ref().map(RoleArn::to_string),
                hook_arn: match no_hook {
                    true => Some(None),
                    false => hook.map(Some),
                },
                default_version,
            };
            if body.is_none() && change == TemplateChange::default() {
                return Err(Failure::usage("nothing is given that could be changed")
                    .hint("see: template update --help"));
            }
            let room = match drop_oldest_version {
                true => VersionRoom::DropOldest,
                false => VersionRoom::Keep,
            };
            let cloud = Cloud::connect(&arguments.cloud).await?;
            if let Some(role_arn) = &role_arn {
                cloud.check_role(role_arn).await?;
            }
            let applied = cloud.update_template(name.as_str(), change, body.as_deref(), room);
            let applied = applied.await?;
            if let Some(dropped) = applied.dropped_version {
                common.say(format!(
                    "version {dropped} of {name} was deleted to make room"
                ));
            }
            common.reporter().line(&line(&name, applied))
        }
        Command::Show {
            name,
            body,
            version,
        } => {
            let cloud = Cloud::connect(&arguments.cloud).await?;
            show::run(&cloud, &name, body, version, common).await
        }
        Command::List => {
            let cloud = Cloud::connect(&arguments.cloud).await?;
            let mut reporter = common.reporter();
            for found in cloud.provisioning_templates().await? {
                reporter.line(&Summary::from(found))?;
            }
            Ok(())
        }
        Command::Delete {
            name,
            dry_run,
            confirm,
        } => {
            let cloud = Cloud::connect(&arguments.cloud).await?;
            let found = show::find(&cloud, &name).await?;
            if !dry_run {
                let question = format!("delete the provisioning template {name}?");
                confirm.ask(common, &question).await?;
                cloud.delete_template(name.as_str()).await?;
            }
            let outcome = match dry_run {
                true => "planned",
                false => "deleted",
            };
            common.reporter().line(&Applied {
                template_name: name.to_string(),
                outcome,
                version_id: found.default_version,
                template_arn: found.arn,
                deleted_version_id: None,
            })
        }
        Command::Lint(_) => Ok(()), // returned above
    }
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

fn line(name: &TemplateName, applied: AppliedTemplate) -> Applied {
    Applied {
        template_name: name.to_string(),
        outcome: applied.change.as_str(),
        version_id: applied.version,
        template_arn: applied.arn,
        deleted_version_id: applied.dropped_version,
    }
}

fn main() -> ExitCode {
    jitp_cli::run(template)
}
