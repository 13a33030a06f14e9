//! `deploy` where there is no CloudFormation: resource by resource.

use jitp_cli::{Common, Failure, Result};
use jitp_cloud::{Change, Cloud, DeployError, Direct};

use crate::stack::{Line, answer, to_be_made};
use crate::wanted::Wanted;

pub(crate) async fn deploy(
    cloud: &Cloud,
    wanted: &Wanted,
    plan: bool,
    common: &Common,
) -> Result<()> {
    let name = wanted.name.as_str();
    let mut direct = Direct::new(cloud, name, &wanted.artefacts, &wanted.parameters).await?;
    let resources = direct.resources()?;
    // What is somebody else's is found before the first change.
    let mut changes = Vec::new();
    for resource in &resources {
        changes.push(direct.compare(resource).await?.change);
    }
    let mut reporter = common.reporter();
    let to_change = |change: &Option<Change>| !matches!(change, None | Some(Change::Unchanged));
    let count = changes.iter().filter(|change| to_change(change)).count();
    if plan {
        for (resource, change) in resources
            .iter()
            .zip(&changes)
            .filter(|(_, change)| to_change(change))
        {
            reporter.line(&Line::Change {
                action: match change {
                    Some(Change::Created) => "Add",
                    _ => "Modify",
                },
                resource: &resource.id,
                of: &resource.kind,
                replacement: None,
            })?;
        }
        return match count {
            0 => answer(&mut reporter, name, "unchanged", &[]),
            changes => Err(to_be_made(changes)),
        };
    }
    common.say("there is no CloudFormation here: each resource is made by its own service");
    let mut changed = 0;
    for (done, resource) in resources.iter().enumerate() {
        let left = resources.len() - done;
        let brought = direct.bring(resource).await.map_err(|error| {
            Failure::from(error).context(format!(
                "{}: {left} resources are still to be made; run again to go on",
                resource.id
            ))
        })?;
        let what = match brought.change {
            None => "left out",
            Some(change) => change.as_str(),
        };
        changed += usize::from(to_change(&brought.change));
        common.say(format!("{} ({}): {what}", resource.id, resource.kind));
    }
    let made = changes
        .iter()
        .flatten()
        .all(|change| *change == Change::Created);
    let outcome = match (made, changed) {
        (_, 0) => "unchanged",
        (true, _) => "created",
        (false, _) => "updated",
    };
    let outputs = direct.outputs()?.into_iter();
    let mut outputs: Vec<_> = outputs.map(|output| (output.name, output.value)).collect();
    outputs.sort();
    answer(&mut reporter, name, outcome, &outputs)
}

pub(crate) async fn delete(cloud: &Cloud, wanted: &Wanted, common: &Common) -> Result<()> {
    let name = wanted.name.as_str();
    let mut direct = Direct::new(cloud, name, &wanted.artefacts, &wanted.parameters).await?;
    let resources = direct.resources()?;
    for resource in &resources {
        direct.seek(resource).await?;
    }
    let mut deleted = 0;
    for resource in resources.iter().rev() {
        match direct.delete(resource).await {
            Ok(gone) => deleted += usize::from(gone == Some(true)),
            Err(error @ DeployError::NotOurs { .. }) => common.warn(format!("{error}; it stays")),
            Err(error) => {
                let context = format!("{}: run again to go on", resource.id);
                return Err(Failure::from(error).context(context));
            }
        }
    }
    let outcome = if deleted > 0 { "deleted" } else { "unchanged" };
    answer(&mut common.reporter(), name, outcome, &[])
}
