//! `environment … --stack-template`: the resources of a CloudFormation template, each made by its own service.

use jitp_cli::{Common, Failure, Reporter, Result};
use jitp_cloud::{Change, Cloud, Compared, DeployError, Direct, StackResource};
use serde::Serialize;

use crate::wanted::{Asked, Wanted};
use crate::{Line, Names, StackFlags, apply};

/// An output of the template.
#[derive(Serialize)]
struct Output<'a> {
    kind: &'static str,
    name: &'a str,
    value: &'a str,
}

impl jitp_cli::Report for Output<'_> {
    fn columns(&self) -> Vec<String> {
        [self.kind, self.name, self.value]
            .map(|column| column.replace(['\t', '\n', '\r'], " "))
            .into()
    }
}

/// The template that is asked for, and its files if `packed`; `None` if the environment is that of a fleet.
pub(crate) fn read(names: &Names, flags: &StackFlags, packed: bool) -> Result<Option<Wanted>> {
    let Some(template) = &flags.stack_template else {
        // Whatever clap requires is not, where something else conflicts with it.
        return match flags.parameters.is_empty() {
            true => Ok(None),
            false => Err(Failure::usage("--parameter is for --stack-template")),
        };
    };
    let asked = Asked {
        template,
        stack: Some(names.name.as_str()),
        parameters: &flags.parameters,
        topic: &flags.topic,
    };
    Wanted::read(&asked, packed).map(Some)
}

pub(crate) async fn apply(cloud: &Cloud, wanted: &Wanted, common: &Common) -> Result<()> {
    let mut direct = direct(cloud, wanted).await?;
    let resources = direct.resources()?;
    // What is somebody else's, or cannot be, is found before the first change.
    for resource in &resources {
        direct.compare(resource).await?;
    }
    let mut reporter = common.reporter();
    for (done, resource) in resources.iter().enumerate() {
        let left = |failure: Failure| {
            let (id, count) = (&resource.id, resources.len() - done);
            failure.context(format!(
                "{id}: {count} resources are still to be made; run again to go on"
            ))
        };
        let brought = direct.bring(resource).await;
        let brought = brought.map_err(|error| left(error.into()))?;
        let outcome = brought.change.map_or("left-out", Change::as_str);
        line(&mut reporter, resource, brought, outcome).map_err(left)?;
    }
    let mut outputs = direct.outputs()?;
    outputs.sort_by(|one, other| one.name.cmp(&other.name));
    for output in &outputs {
        reporter.line(&Output {
            kind: "output",
            name: &output.name,
            value: &output.value,
        })?;
    }
    Ok(())
}

/// Prints how everything stands; nothing is changed.
pub(crate) async fn plan(cloud: &Cloud, wanted: &Wanted, common: &Common) -> Result<()> {
    let mut direct = direct(cloud, wanted).await?;
    let mut reporter = common.listing();
    let mut changes = 0;
    for resource in direct.resources()? {
        let compared = direct.compare(&resource).await?;
        let outcome = compared.change.map_or("left-out", apply::to);
        changes += usize::from(!matches!(compared.change, None | Some(Change::Unchanged)));
        line(&mut reporter, &resource, compared, outcome)?;
    }
    apply::planned(changes)
}

/// Deletes what this environment has made, last things first.
pub(crate) async fn destroy(
    cloud: &Cloud,
    wanted: &Wanted,
    flags: &crate::Destroy,
    common: &Common,
) -> Result<()> {
    let mut direct = direct(cloud, wanted).await?;
    let mut reporter = match flags.dry_run {
        true => common.listing(),
        false => common.reporter(),
    };
    let mut ours = Vec::new();
    let mut stay = 0;
    for resource in direct.resources()? {
        let Some(found) = direct.seek(&resource).await? else {
            continue;
        };
        match found.ours {
            true => ours.push((resource, found.name)),
            false => {
                stay += 1;
                let reason = "it is not this environment's";
                told(
                    &mut reporter,
                    resource.kind,
                    found.name,
                    "stays",
                    Some(reason),
                )?;
            }
        }
    }
    ours.reverse();
    if flags.dry_run {
        for (resource, name) in ours {
            told(&mut reporter, resource.kind, name, "planned", None)?;
        }
        return Ok(());
    }
    if !ours.is_empty() {
        let question = format!("delete {} resources of {}?", ours.len(), wanted.name);
        flags.confirm.ask(common, &question).await?;
    }
    for (resource, name) in ours {
        match direct.delete(&resource).await {
            Ok(_) => told(&mut reporter, resource.kind, name, "deleted", None)?,
            // It has become somebody else's meanwhile.
            Err(error @ DeployError::NotOurs { .. }) => common.warn(format!("{error}; it stays")),
            Err(error) => {
                let context = format!("{}: run again to go on", resource.id);
                return Err(Failure::from(error).context(context));
            }
        }
    }
    common.say(match stay {
        0 => format!("nothing is left of {}", wanted.name),
        stay => format!(
            "nothing is left of {}, but for {stay} that stay",
            wanted.name
        ),
    });
    told(
        &mut reporter,
        "environment".to_owned(),
        wanted.name.clone(),
        "destroyed",
        None,
    )
}

async fn direct<'a>(cloud: &'a Cloud, wanted: &'a Wanted) -> Result<Direct<'a>> {
    Ok(Direct::new(cloud, &wanted.name, &wanted.artefacts, &wanted.parameters).await?)
}

fn line(
    reporter: &mut Reporter,
    resource: &StackResource,
    compared: Compared,
    outcome: &'static str,
) -> Result<()> {
    let differences = Some(compared.differences.join(", ")).filter(|text| !text.is_empty());
    told(
        reporter,
        resource.kind.clone(),
        compared.name,
        outcome,
        differences.as_deref(),
    )
}

fn told(
    reporter: &mut Reporter,
    kind: String,
    name: String,
    outcome: &'static str,
    reason: Option<&str>,
) -> Result<()> {
    reporter.line(&Line {
        kind: kind.into(),
        name,
        outcome,
        reason: reason.map(str::to_owned),
    })
}
