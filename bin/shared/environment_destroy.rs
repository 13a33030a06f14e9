//! `environment destroy`: plan, ask, take the steps, look again.

use std::collections::BTreeMap;
use std::time::Duration;

use jitp_cli::{Batch, Common, Done, Failure, Order, Result};
use jitp_cloud::{Cloud, Environment, EnvironmentPlan, EnvironmentStep, Left, Place};
use jitp_core::failure::Class;

use crate::{Destroy, Line, apply};

/// Steps that are shown before a person is asked.
const SHOWN: usize = 20;

pub(crate) async fn run(cloud: &Cloud, flags: &Destroy, common: &Common) -> Result<()> {
    let environment = apply::named(&flags.names);
    let place = cloud.place().await?;
    let found = plan(cloud, &environment, &place, flags).await?;
    let mut reporter = match flags.dry_run {
        true => common.listing(),
        false => common.reporter(),
    };
    for left in &found.left {
        reporter.line(&stays(left))?;
    }
    if flags.dry_run {
        for step in &found.steps {
            reporter.line(&line(step, "planned"))?;
        }
        return Ok(());
    }
    if !found.steps.is_empty() {
        if !flags.confirm.yes {
            for step in found.steps.iter().take(SHOWN) {
                common.say(step.to_string());
            }
            if found.steps.len() > SHOWN {
                common.say(format!("and {} more", found.steps.len() - SHOWN));
            }
        }
        let question = format!("take {} steps?", found.steps.len());
        flags.confirm.ask(common, &question).await?;
    }
    take(cloud, found.steps, flags, common).await?;
    // What was provisioned between the plan and the disabling of the template is found now.
    let rest = plan(cloud, &environment, &place, flags).await?;
    if !rest.steps.is_empty() {
        let message = format!("{} steps more have come up meanwhile", rest.steps.len());
        return Err(Failure::new(Class::Partial, message).hint("run again"));
    }
    common.say(match rest.left.len() {
        0 => format!("nothing is left of {}", environment.template),
        count => format!(
            "nothing is left of {}, but for {count} that stay",
            environment.template
        ),
    });
    common.reporter().line(&Line {
        kind: "environment".into(),
        name: environment.template,
        outcome: "destroyed",
        reason: None,
    })
}

async fn plan(
    cloud: &Cloud,
    environment: &Environment,
    place: &Place,
    flags: &Destroy,
) -> Result<EnvironmentPlan> {
    let concurrency = flags.batch.concurrency.into();
    Ok(cloud
        .plan_environment_removal(environment, place, concurrency)
        .await?)
}

/// Phase after phase; the steps of one together.
async fn take(
    cloud: &Cloud,
    steps: Vec<EnvironmentStep>,
    flags: &Destroy,
    common: &Common,
) -> Result<()> {
    let mut phases: BTreeMap<u8, Vec<EnvironmentStep>> = BTreeMap::new();
    for step in steps {
        phases.entry(step.phase()).or_default().push(step);
    }
    for steps in phases.into_values() {
        let batch = Batch::new(common, &flags.batch, "step", Order::Completion, None);
        let taken = batch.run_list(steps, async |step| {
            let waiting = |waited: Duration| {
                if waited < Duration::from_secs(1) {
                    common.say(format!(
                        "{step}: AWS allows that five minutes after it was deprecated; waiting"
                    ));
                }
            };
            let taken = cloud.take_environment_down(step, waiting).await;
            let taken = taken.map(|()| vec![line(step, "done")]);
            Done::from(taken.map_err(Failure::from))
        });
        taken.await?;
    }
    Ok(())
}

fn line(step: &EnvironmentStep, outcome: &'static str) -> Line {
    Line {
        kind: step.action().into(),
        name: step.object().to_owned(),
        outcome,
        reason: None,
    }
}

fn stays(left: &Left) -> Line {
    Line {
        kind: left.kind.into(),
        name: left.name.clone(),
        outcome: "stays",
        reason: Some(left.reason.to_owned()),
    }
}
