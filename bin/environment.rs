//! The environment of a fleet that is provisioned by claim, or what a CloudFormation template says: stand it up, compare
//! it, take it down.

#[path = "shared/environment_apply.rs"]
mod apply;
#[path = "shared/claim_files.rs"]
mod claim_files;
#[path = "shared/environment_destroy.rs"]
mod destroy;
#[path = "shared/environment_stack.rs"]
mod stack;
#[path = "shared/deploy_wanted.rs"]
mod wanted;

use std::borrow::Cow;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use jitp_cli::{
    BatchFlags, Common, ConfirmFlags, NameValue, Report, Result, environment as variables,
};
use jitp_cloud::{Cloud, CloudSettings, EVENTS};
use jitp_core::ca::Validity;
use jitp_core::names::{PolicyName, TemplateName, ThingName};
use serde::Serialize;

/// The environment of a fleet that is provisioned by claim: stand it up, compare it, take it down
///
/// Provisioning role, device policy, thing group and type, pre-provisioning hook with its role and permission, template,
/// claim policy, events, and a claim certificate in the folder. With --stack-template the resources of that template
/// instead, as `deploy` makes them where there is no CloudFormation. What it makes is tagged with the environment's name,
/// and nothing else is changed or removed.
#[derive(Args)]
#[command(after_help = "Examples:
  environment plan fleet --hook target/lambda/pre-provision.zip    what apply would do; exit code 9 if anything
  environment apply fleet --hook target/lambda/pre-provision.zip   do it; again: unchanged
  environment apply fleet --no-hook                                whoever has the claim gets in
  environment destroy fleet --dry-run                              the steps, and what stays, and why
  environment destroy fleet --yes                                  with everything that devices made
  environment apply loadtest-stack --stack-template sqs            the pipeline, without CloudFormation")]
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

// A CloudFormation template in place of the environment of a fleet. (No docstring, as above.)
#[derive(Args)]
struct StackFlags {
    /// Resources of this CloudFormation template instead, each by its own service: provisioning, sqs, loadtest, or a file;
    /// NAME is that of the stack
    #[arg(
        long,
        value_name = "TEMPLATE",
        conflicts_with_all = [
            "role", "device_policy", "claim_policy", "thing_group", "thing_type", "hook_name",
        ]
    )]
    stack_template: Option<String>,

    /// Parameter of that template [default: TopicName is TOPIC, FunctionArchitecture this machine's]
    #[arg(
        long = "parameter",
        value_name = "NAME=VALUE",
        requires = "stack_template"
    )]
    parameters: Vec<NameValue>,

    /// Topic of the pipeline of that template [default: AWS_TOPIC, then loadtest]
    #[arg(
        long,
        value_name = "TOPIC",
        env = variables::AWS_TOPIC,
        hide_env = true,
        default_value = "loadtest",
        hide_default_value = true
    )]
    topic: String,
}

#[derive(Args)]
struct Wanted {
    #[command(flatten)]
    names: Names,

    #[command(flatten)]
    stack: StackFlags,

    /// Zip file of the hook, as `make lambda` packs it
    #[arg(long, value_name = "FILE", required_unless_present_any = ["no_hook", "stack_template"], conflicts_with = "stack_template")]
    hook: Option<PathBuf>,

    /// No hook: whoever has the claim is provisioned
    #[arg(long, conflicts_with_all = ["hook", "hook_variables", "stack_template"])]
    no_hook: bool,

    /// Variable of the hook; with ALLOW_TABLE its role may use that table
    #[arg(
        long = "hook-variable",
        value_name = "NAME=VALUE",
        id = "hook_variables",
        conflicts_with = "stack_template"
    )]
    hook_variables: Vec<NameValue>,

    /// What the hook is built for: x86_64 or arm64 [default: this machine's]
    #[arg(long, value_name = "ARCHITECTURE", value_parser = ["x86_64", "arm64"], hide_possible_values = true, conflicts_with = "stack_template")]
    hook_architecture: Option<String>,

    /// Body of the template, with ${PolicyName}, ${ThingTypeName} and ${ThingGroupName} [default: etc/templates/fleet.json]
    #[arg(long, value_name = "FILE", conflicts_with = "stack_template")]
    body: Option<PathBuf>,

    /// Attributes of the thing type that things are found by, three at most
    #[arg(
        long,
        value_name = "NAME,…",
        value_delimiter = ',',
        default_value = "license",
        conflicts_with = "stack_template"
    )]
    searchable_attributes: Vec<String>,

    /// Events that the account publishes; all others are off
    #[arg(long, value_name = "EVENT,…", value_delimiter = ',', default_value = "THING", value_parser = EVENTS, hide_possible_values = true, conflicts_with = "stack_template")]
    events: Vec<String>,

    /// Name of the claim and its files [default: NAME]
    #[arg(long, value_name = "CLAIM", conflicts_with = "stack_template")]
    claim: Option<ThingName>,

    /// How long a new claim is valid: days or a date
    #[arg(
        long,
        value_name = "DAYS|DATE",
        default_value = "365",
        conflicts_with = "stack_template"
    )]
    validity: Validity,
}

#[derive(Args)]
struct Destroy {
    #[command(flatten)]
    names: Names,

    #[command(flatten)]
    stack: StackFlags,

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
    kind: Cow<'static, str>,
    name: String,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Report for Line {
    fn columns(&self) -> Vec<String> {
        let mut columns = vec![
            self.kind.to_string(),
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
            if let Some(stack) = stack::read(&wanted.names, &wanted.stack, true)? {
                let cloud = Cloud::connect(&arguments.cloud).await?;
                return stack::apply(&cloud, &stack, common).await;
            }
            let environment = apply::read(wanted)?;
            let cloud = Cloud::connect(&arguments.cloud).await?;
            apply::apply(&cloud, &environment, wanted, common).await
        }
        Command::Plan(wanted) => {
            if let Some(stack) = stack::read(&wanted.names, &wanted.stack, true)? {
                let cloud = Cloud::connect(&arguments.cloud).await?;
                return stack::plan(&cloud, &stack, common).await;
            }
            let environment = apply::read(wanted)?;
            let cloud = Cloud::connect(&arguments.cloud).await?;
            apply::plan(&cloud, &environment, wanted, common).await
        }
        Command::Destroy(flags) => {
            if !flags.dry_run {
                flags.confirm.check()?;
            }
            // Only its own template knows what is in it; what functions are made of does not matter.
            let stack = stack::read(&flags.names, &flags.stack, false)?;
            let cloud = Cloud::connect(&arguments.cloud).await?;
            if let Some(stack) = stack {
                return stack::destroy(&cloud, &stack, flags, common).await;
            }
            destroy::run(&cloud, flags, common).await
        }
    }
}

fn main() -> ExitCode {
    jitp_cli::run(environment)
}
