//! Deploy a stack: package, change set, progress, outputs; as `make deploy` does, without another tool.

#[path = "shared/deploy_direct.rs"]
mod direct;
#[path = "shared/deploy_stack.rs"]
mod stack;
#[path = "shared/deploy_wanted.rs"]
mod wanted;

use std::process::ExitCode;

use clap::Args;
use jitp_cli::{Common, ConfirmFlags, Failure, NameValue, Result, environment};
use jitp_cloud::{Cloud, CloudSettings};
use wanted::{Asked, Wanted};

/// Deploy a stack: package, change set, progress, outputs; as make deploy does, without another tool
///
/// TEMPLATE is provisioning (the role and policy of just-in-time provisioning), sqs (the pipeline of AWS_TOPIC), loadtest
/// (the policy of load-test devices), each from etc/cloudformation, or any file. The function that a template names by a
/// path is packed and brought to the bucket. Where there is no CloudFormation, as on the local core, the resources of the
/// template are made one by one, without alarms and log groups. Prints `stack NAME created|updated|unchanged` and the outputs.
/// Interrupted, CloudFormation goes on; run again to wait for it.
#[derive(Args)]
#[command(after_help = "Examples:
  deploy                             the stack of make deploy
  deploy sqs --plan                  what would change; exit code 9 if anything
  deploy sqs --parameter BatchSize=5
  deploy stack.yaml --stack other
  deploy sqs --delete --yes")]
struct Arguments {
    /// provisioning, sqs, loadtest, or a file [default: provisioning]
    #[arg(default_value = "provisioning", hide_default_value = true)]
    template: String,

    /// Name of the stack [default: AWS_STACK, then iot-policy; of sqs AWS_SQS_STACK, then TOPIC-stack; of loadtest
    /// AWS_LOADTEST_STACK, then TOPIC-policy]
    #[arg(long, value_name = "STACK")]
    stack: Option<String>,

    /// Parameter of the template [default: TopicName is TOPIC, FunctionArchitecture this machine's, others stay as they are]
    #[arg(long = "parameter", value_name = "NAME=VALUE")]
    parameters: Vec<NameValue>,

    /// Tag of the stack and of what it makes
    #[arg(long = "tag", value_name = "NAME=VALUE")]
    tags: Vec<NameValue>,

    /// What the template may do
    #[arg(
        long = "capability",
        value_name = "CAPABILITY",
        default_value = "CAPABILITY_NAMED_IAM"
    )]
    capabilities: Vec<String>,

    /// Topic of the pipeline [default: AWS_TOPIC, then loadtest]
    #[arg(
        long,
        value_name = "TOPIC",
        env = environment::AWS_TOPIC,
        hide_env = true,
        default_value = "loadtest",
        hide_default_value = true
    )]
    topic: String,

    /// Bucket for packages and large templates [default: AWS_BUCKET]
    #[arg(long, value_name = "BUCKET", env = environment::AWS_BUCKET, hide_env = true)]
    bucket: Option<String>,

    /// Print what would change, and change nothing
    #[arg(long, conflicts_with = "delete")]
    plan: bool,

    /// Delete the stack with what it made
    #[arg(long)]
    delete: bool,

    #[command(flatten)]
    confirm: ConfirmFlags,

    /// How long to wait for it, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 1_800, value_parser = clap::value_parser!(u64).range(..=86_400))]
    timeout: u64,

    #[command(flatten)]
    cloud: CloudSettings,
}

impl Arguments {
    fn asked(&self) -> Asked<'_> {
        Asked {
            template: &self.template,
            stack: self.stack.as_deref(),
            parameters: &self.parameters,
            topic: &self.topic,
        }
    }
}

async fn deploy(arguments: Arguments, common: &Common) -> Result<()> {
    if arguments.delete {
        return delete(arguments, common).await;
    }
    if arguments.confirm.yes {
        return Err(Failure::usage("--yes answers what only --delete asks"));
    }
    let wanted = Wanted::read(&arguments.asked(), true)?;
    let cloud = Cloud::connect(&arguments.cloud).await?;
    match cloud.has_cloudformation().await? {
        true => stack::deploy(&cloud, &wanted, &arguments, common).await,
        false => direct::deploy(&cloud, &wanted, arguments.plan, common).await,
    }
}

async fn delete(arguments: Arguments, common: &Common) -> Result<()> {
    arguments.confirm.check()?;
    let name = wanted::stack_name(&arguments.asked())?;
    let cloud = Cloud::connect(&arguments.cloud).await?;
    let question = format!("delete the stack {name} with everything in it?");
    match cloud.has_cloudformation().await? {
        true => {
            arguments.confirm.ask(common, &question).await?;
            stack::delete(&cloud, &name, &arguments, common).await
        }
        false => {
            // Nobody else knows what is in it.
            let wanted = Wanted::read(&arguments.asked(), false)?;
            arguments.confirm.ask(common, &question).await?;
            direct::delete(&cloud, &wanted, common).await
        }
    }
}

fn main() -> ExitCode {
    jitp_cli::run(deploy)
}
