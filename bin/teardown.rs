//! Take down what a provisioning template made, so that its environment can be destroyed.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use jitp_cli::{Batch, BatchFlags, Common, ConfirmFlags, Done, Failure, Order, Report, Result};
use jitp_cloud::{
    Cloud, CloudSettings, Left, Teardown, TeardownReach, TeardownStep, claim_policy_name,
};
use jitp_core::failure::Class;
use jitp_core::names::{PolicyName, TemplateName};
use serde::Serialize;

/// Take down what a provisioning template made, so that its environment can be destroyed
///
/// Disables the template; deletes its things with their certificates, and the policies it made from documents; deprecates
/// its thing type and deletes that as soon as AWS allows it, five minutes later. What the environment was made of
/// (template, device policy, group, hook) stays for terraform destroy. Prints the steps, or with --yes takes them. Run
/// again, it goes on; when nothing is left it says so.
#[derive(Args)]
#[command(after_help = "Examples:
  teardown fleet                  asks first; without a terminal, --yes or --dry-run
  teardown fleet --dry-run        the steps, and what stays, and why
  teardown fleet --yes && terraform destroy
  teardown fleet --claims --yes   and the claims that create-claim made

A thing is the template's if it is of the thing type and in the thing groups that the template names, and its certificate
has the policy. What has the attribute keep (certificates: the tag keep) stays.")]
struct Arguments {
    /// Template whose work is taken down
    template: TemplateName,

    /// Print the steps, and take none
    #[arg(long)]
    dry_run: bool,

    /// Also delete the claim certificates that have the claim policy
    #[arg(long)]
    claims: bool,

    /// Name of the claim policy [default: TEMPLATE-claim]
    #[arg(long, value_name = "NAME", requires = "claims")]
    claim_policy: Option<PolicyName>,

    /// Leave the thing type as it is
    #[arg(long)]
    keep_thing_type: bool,

    #[command(flatten)]
    confirm: ConfirmFlags,

    #[command(flatten)]
    batch: BatchFlags,

    #[command(flatten)]
    cloud: CloudSettings,
}

/// Steps that are shown before a person is asked.
const SHOWN: usize = 20;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    action: &'static str,
    name: String,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

impl Report for Line {
    fn columns(&self) -> Vec<String> {
        let mut columns = vec![
            self.action.to_owned(),
            self.name.clone(),
            self.outcome.to_owned(),
        ];
        columns.extend(self.reason.map(str::to_owned));
        columns
    }
}

impl Line {
    fn of(step: &TeardownStep, outcome: &'static str) -> Self {
        Self {
            action: step.action(),
            name: step.object().to_owned(),
            outcome,
            reason: None,
        }
    }

    fn left(left: &Left) -> Self {
        Self {
            action: left.kind,
            name: left.name.clone(),
            outcome: "stays",
            reason: Some(left.reason),
        }
    }
}

async fn teardown(arguments: Arguments, common: &Common) -> Result<()> {
    if !arguments.dry_run {
        arguments.confirm.check()?;
    }
    let cloud = Cloud::connect(&arguments.cloud).await?;
    let plan = plan(&cloud, &arguments).await?;
    let mut reporter = match arguments.dry_run {
        true => common.listing(),
        false => common.reporter(),
    };
    for left in &plan.left {
        reporter.line(&Line::left(left))?;
    }
    if arguments.dry_run {
        for step in &plan.steps {
            reporter.line(&Line::of(step, "planned"))?;
        }
        return Ok(());
    }
    if !plan.steps.is_empty() {
        if !arguments.confirm.yes {
            show(&plan, common);
        }
        let question = format!("take {} steps?", plan.steps.len());
        arguments.confirm.ask(common, &question).await?;
    }
    take(&cloud, plan.steps, &arguments, common).await?;
    // What was provisioned between the plan and the disabling of the template is found now.
    let rest = self::plan(&cloud, &arguments).await?;
    if !rest.steps.is_empty() {
        let message = format!("{} steps more have come up meanwhile", rest.steps.len());
        return Err(Failure::new(Class::Partial, message).hint("run again"));
    }
    let template = &arguments.template;
    common.say(match rest.left.is_empty() {
        true => format!("nothing is left of what {template} made: it is safe to run terraform destroy"),
        false => format!(
            "nothing is left of what {template} made, but for {} that stay; terraform destroy may stumble over them",
            rest.left.len()
        ),
    });
    common.reporter().line(&Line {
        action: "template",
        name: template.to_string(),
        outcome: "torn-down",
        reason: None,
    })
}

async fn plan(cloud: &Cloud, arguments: &Arguments) -> Result<Teardown> {
    let template = arguments.template.as_str();
    let claim_policy = match &arguments.claim_policy {
        Some(policy) => policy.to_string(),
        None => claim_policy_name(template),
    };
    let reach = TeardownReach {
        claim_policy: arguments.claims.then_some(claim_policy.as_str()),
        keep_thing_type: arguments.keep_thing_type,
    };
    let concurrency = arguments.batch.concurrency.into();
    Ok(cloud.plan_teardown(template, reach, concurrency).await?)
}

/// What a person is asked about, as far as anybody reads it.
fn show(plan: &Teardown, common: &Common) {
    for step in plan.steps.iter().take(SHOWN) {
        common.say(step.to_string());
    }
    if plan.steps.len() > SHOWN {
        common.say(format!("and {} more", plan.steps.len() - SHOWN));
    }
}

/// Phase after phase; the steps of one together.
async fn take(
    cloud: &Cloud,
    steps: Vec<TeardownStep>,
    arguments: &Arguments,
    common: &Common,
) -> Result<()> {
    let mut phases: BTreeMap<u8, Vec<TeardownStep>> = BTreeMap::new();
    for step in steps {
        phases.entry(step.phase()).or_default().push(step);
    }
    for steps in phases.into_values() {
        let batch = Batch::new(common, &arguments.batch, "step", Order::Completion, None);
        let taken = batch.run_list(steps, async |step| {
            let waiting = |waited: Duration| {
                if waited < Duration::from_secs(1) {
                    common.say(format!(
                        "{step}: AWS allows that five minutes after it was deprecated; waiting"
                    ));
                }
            };
            let taken = cloud.take_down(step, waiting).await;
            Done::from(
                taken
                    .map(|()| vec![Line::of(step, "done")])
                    .map_err(Failure::from),
            )
        });
        taken.await?;
    }
    Ok(())
}

fn main() -> ExitCode {
    jitp_cli::run(teardown)
}
