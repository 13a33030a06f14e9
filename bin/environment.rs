//! The environment of a fleet that is provisioned by claim: stand it up, compare it, take it down.

#[path = "shared/environment_apply.rs"]
mod apply;
#[path = "shared/claim_files.rs"]
mod claim_files;
#[path = "shared/environment_destroy.rs"]
mod destroy;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use jitp_cli::{BatchFlags, Common, ConfirmFlags, NameValue, Report, Result};
use jitp_cloud::{Cloud, CloudSettings, EVENTS};
use jitp_core::ca::Validity;
use jitp_core::names::{PolicyName, TemplateName, ThingName};
use serde::Serialize;

/// The environment of a fleet that is provisioned by claim: stand it up, compare it, take it down
///
/// Provisioning role, device policy, thing group and type, pre-provisioning hook with its role and permission, template,
/// claim policy, events, and a claim certificate in the folder. What it makes is tagged with the environment's name, and
/// nothing else is changed or removed.
#[derive(Args)]
#[command(after_help = "Examples:
  environment plan fleet --hook target/lambda/pre-provision.zip    what apply would do; exit code 9 if anything
  environment apply fleet --hook target/lambda/pre-provision.zip   do it; again: unchanged
  environment apply fleet --no-hook                                whoever has the claim gets in
  environment destroy fleet --dry-run                              the steps, and what stays, and why
  environment destroy fleet --yes                                  with everything that devices made")]
struct Arguments {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    cloud: CloudSettings,
}

#[derive(Subcommand)]
enum Command {
    /// Stand the environment up, or bring it into line
    Apply(Box<Wanted>),
    /// Print what apply would do
    Plan(Box<Wanted>),
    /// Take the environment down, with everything that devices made
    Destroy(Box<Destroy>),
}

// Names that are used instead of the usual ones. (No docstring: clap would show it as what the command does.)
#[derive(Args)]
struct Names {
    /// Name of the environment, which is that of its provisioning template
    name: TemplateName,

    /// Role that provisioning assumes [default: NAME-provisioning]
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,

    /// Policy of the devices [default: NAME-device]
    #[arg(long, value_name = "POLICY")]
    device_policy: Option<PolicyName>,

    /// Policy of the claims [default: NAME-claim]
    #[arg(long, value_name = "POLICY")]
    claim_policy: Option<PolicyName>,

    /// Thing group of the devices [default: NAME]
    #[arg(long, value_name = "GROUP")]
    thing_group: Option<String>,

    /// Thing type of the devices [default: NAME-device]
    #[arg(long, value_name = "TYPE")]
    thing_type: Option<String>,

    /// Hook function, and its role [default: NAME-hook]
    #[arg(long, value_name = "FUNCTION")]
    hook_name: Option<String>,
}

#[derive(Args)]
struct Wanted {
    #[command(flatten)]
    names: Names,

    /// Zip file of the hook, as `make lambda` packs it
    #[arg(long, value_name = "FILE", required_unless_present = "no_hook")]
    hook: Option<PathBuf>,

    /// No hook: whoever has the claim is provisioned
    #[arg(long, conflicts_with_all = ["hook", "hook_variables"])]
    no_hook: bool,

    /// Variable of the hook; with ALLOW_TABLE its role may use that table
    #[arg(
        long = "hook-variable",
        value_name = "NAME=VALUE",
        id = "hook_variables"
    )]
    hook_variables: Vec<NameValue>,

    /// What the hook is built for: x86_64 or arm64 [default: this machine's]
    #[arg(long, value_name = "ARCHITECTURE", value_parser = ["x86_64", "arm64"], hide_possible_values = true)]
    hook_architecture: Option<String>,

    /// Body of the template, with ${PolicyName}, ${ThingTypeName} and ${ThingGroupName} [default: etc/templates/fleet.json]
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,

    /// Attributes of the thing type that things are found by, three at most
    #[arg(
        long,
        value_name = "NAME,…",
        value_delimiter = ',',
        default_value = "license"
    )]
    searchable_attributes: Vec<String>,

    /// Events that the account publishes; all others are off
    #[arg(long, value_name = "EVENT,…", value_delimiter = ',', default_value = "THING", value_parser = EVENTS, hide_possible_values = true)]
    events: Vec<String>,

    /// Name of the claim and its files [default: NAME]
    #[arg(long, value_name = "CLAIM")]
    claim: Option<ThingName>,

    /// How long a new claim is valid: days or a date
    #[arg(long, value_name = "DAYS|DATE", default_value = "365")]
    validity: Validity,
}

#[derive(Args)]
struct Destroy {
    #[command(flatten)]
    names: Names,

    /// Print the steps, and take none
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    confirm: ConfirmFlags,

    #[command(flatten)]
    batch: BatchFlags,
}

/// A line of the answer: something of the environment, or a step.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    kind: &'static str,
    name: String,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Report for Line {
    fn columns(&self) -> Vec<String> {
        let mut columns = vec![
            self.kind.to_owned(),
            self.name.clone(),
            self.outcome.to_owned(),
        ];
        columns.extend(self.reason.clone());
        columns
    }
}

async fn environment(arguments: Arguments, common: &Common) -> Result<()> {
    match &arguments.command {
        Command::Apply(wanted) => {
            let environment = apply::read(wanted)?;
            let cloud = Cloud::connect(&arguments.cloud).await?;
            apply::apply(&cloud, &environment, wanted, common).await
        }
        Command::Plan(wanted) => {
            let environment = apply::read(wanted)?;
            let cloud = Cloud::connect(&arguments.cloud).await?;
            apply::plan(&cloud, &environment, wanted, common).await
        }
        Command::Destroy(flags) => {
            if !flags.dry_run {
                flags.confirm.check()?;
            }
            let cloud = Cloud::connect(&arguments.cloud).await?;
            destroy::run(&cloud, flags, common).await
        }
    }
}

fn main() -> ExitCode {
    jitp_cli::run(environment)
}
