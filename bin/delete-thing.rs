//! Delete things with everything that is theirs: certificates, attachments, policies of their own.

use std::process::ExitCode;

use clap::Args;
use jitp_cli::{Batch, BatchFlags, Common, ConfirmFlags, Failure, Order, Report, Result, Things};
use jitp_cloud::{Certificates, Cloud, CloudSettings, Deletion, Step, Unfinished};
use jitp_core::failure::Class;
use jitp_core::names::ThingName;
use jitp_core::store::Store;
use serde::Serialize;

/// Delete things with everything that is theirs: certificates, attachments, policies of their own
///
/// Every certificate is deactivated, detached and deleted, then the thing. A policy goes only if it is
/// named THING-policy and nothing else uses it. A certificate that other things have too stays as it
/// is. Waits for AWS, which detaches within seconds to minutes. Run again, it finishes what an
/// interrupted run began, and removes what a create-thing in the same folder that was not finished left
/// behind. Files are not touched.
#[derive(Args)]
#[command(after_help = "Examples:
  delete-thing sensor-17                      asks first
  delete-thing sensor-17 sensor-18 --yes      does not
  delete-thing - --yes --if-exists < names    many; those that are gone already are no failure
  delete-thing sensor-17 --dry-run            prints the steps

A device whose CA registers unknown certificates gets in again with its next connection. To keep it
out, leave its certificate where it is: disable-certificate sensor-17 --revoke")]
struct Arguments {
    #[command(flatten)]
    things: Things,

    /// Print the steps, and take none
    #[arg(long)]
    dry_run: bool,

    /// Deactivate and detach the certificates, but leave them and their policies
    #[arg(long)]
    keep_certificate: bool,

    /// A thing that does not exist is no failure
    #[arg(long)]
    if_exists: bool,

    #[command(flatten)]
    confirm: ConfirmFlags,

    #[command(flatten)]
    batch: BatchFlags,

    #[command(flatten)]
    cloud: CloudSettings,
}

/// Things whose steps are shown before a person is asked.
const SHOWN: usize = 10;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    thing: String,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<Planned>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deleted_certificates: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Planned {
    action: &'static str,
    object: String,
}

impl Report for Line {
    fn columns(&self) -> Vec<String> {
        let mut columns = vec![self.thing.clone(), self.outcome.to_owned()];
        match &self.step {
            Some(step) => columns.extend([step.action.to_owned(), step.object.clone()]),
            None => columns.push(self.deleted_certificates.join(",")),
        }
        columns
    }
}

impl Line {
    fn outcome(thing: &ThingName, outcome: &'static str) -> Self {
        Self {
            thing: thing.to_string(),
            outcome,
            step: None,
            deleted_certificates: Vec::new(),
        }
    }
}

async fn delete_thing(arguments: Arguments, common: &Common) -> Result<()> {
    if !arguments.dry_run {
        arguments.confirm.check()?;
    }
    let things = arguments.things.read()?;
    let cloud = Cloud::connect(&arguments.cloud).await?;
    if !arguments.dry_run && !arguments.confirm.yes {
        show_plans(&cloud, &things, &arguments, common).await?;
        let question = match things.as_slice() {
            [thing] => format!("delete {thing} and its certificates?"),
            things => format!("delete {} things and their certificates?", things.len()),
        };
        arguments.confirm.ask(common, &question).await?;
    }
    let order = match arguments.dry_run {
        true => Order::Items,
        false => Order::Completion,
    };
    let total = Some(things.len());
    Batch::new(common, &arguments.batch, "thing", order, total)
        .run_list(things, async |thing| {
            delete_one(&cloud, thing, &arguments, common).await.into()
        })
        .await
}

/// What a person is asked about: the steps, as far as anybody reads them, and what they bring about.
async fn show_plans(
    cloud: &Cloud,
    things: &[ThingName],
    arguments: &Arguments,
    common: &Common,
) -> Result<()> {
    for thing in things.iter().take(SHOWN) {
        let Some(plan) = plan(cloud, thing, arguments, common).await? else {
            continue;
        };
        for step in &plan.steps {
            common.say(format!("{thing}: {step}"));
        }
        warn(thing, &plan, common);
    }
    Ok(())
}

async fn plan(
    cloud: &Cloud,
    thing: &ThingName,
    arguments: &Arguments,
    common: &Common,
) -> Result<Option<Deletion>> {
    let unfinished = Unfinished::of(thing, &Store::open(&common.dir)?)?;
    let certificates = match arguments.keep_certificate {
        true => Certificates::Keep,
        false => Certificates::Delete,
    };
    let plan = cloud.plan_deletion(thing.as_str(), certificates, &unfinished);
    Ok(plan.await?)
}

fn warn(thing: &ThingName, plan: &Deletion, common: &Common) {
    for id in &plan.readmitted {
        common.warn(format!(
            "{thing}: the CA of certificate {id} registers unknown certificates: the device gets in again when it connects"
        ));
    }
    for id in &plan.shared {
        common.warn(format!(
            "{thing}: certificate {id} stays, since other things have it too"
        ));
    }
}

async fn delete_one(
    cloud: &Cloud,
    thing: &ThingName,
    arguments: &Arguments,
    common: &Common,
) -> Result<Vec<Line>> {
    let Some(plan) = plan(cloud, thing, arguments, common).await? else {
        return match arguments.if_exists {
            true => Ok(vec![Line::outcome(thing, "absent")]),
            false => Err(
                Failure::new(Class::NotFound, format!("there is no thing {thing}"))
                    .hint("pass --if-exists if that is as it should be"),
            ),
        };
    };
    if arguments.dry_run || arguments.confirm.yes {
        warn(thing, &plan, common);
    }
    if arguments.dry_run {
        return Ok(plan.steps.iter().map(|step| planned(thing, step)).collect());
    }
    match cloud.delete(&plan).await {
        Ok(()) => Ok(vec![deleted(thing, &plan)]),
        Err(stopped) => {
            let done: Vec<String> = stopped.done.iter().map(ToString::to_string).collect();
            let done = match done.is_empty() {
                true => "nothing was done".to_owned(),
                false => format!("done: {}", done.join("; ")),
            };
            let context = format!("{thing}: {done}; failed at {}", stopped.at);
            Err(Failure::from(stopped.error).context(context))
        }
    }
}

fn planned(thing: &ThingName, step: &Step) -> Line {
    let step = Planned {
        action: step.action(),
        object: step.object(),
    };
    Line {
        step: Some(step),
        ..Line::outcome(thing, "planned")
    }
}

fn deleted(thing: &ThingName, plan: &Deletion) -> Line {
    let certificates = plan.steps.iter().filter_map(|step| match step {
        Step::DeleteCertificate(id) | Step::DeleteUnheard(id) => Some(id.clone()),
        _ => None,
    });
    Line {
        deleted_certificates: certificates.collect(),
        ..Line::outcome(thing, "deleted")
    }
}

fn main() -> ExitCode {
    jitp_cli::run(delete_thing)
}
