//! `deploy` by CloudFormation: change set, progress, outputs.

use std::time::Duration;

use jitp_cli::{Common, Failure, Report, Reporter, Result};
use jitp_cloud::{Bucket, Cloud, NewStack, Proposal, ResourceChange, StackEvent, StackState};
use jitp_core::failure::Class;
use serde::Serialize;

use crate::Arguments;
use crate::wanted::{Wanted, pairs};

/// A line of the answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub(crate) enum Line<'a> {
    /// What became of the stack.
    Stack {
        name: &'a str,
        outcome: &'static str,
    },
    /// One of its outputs.
    Output { name: &'a str, value: &'a str },
    /// What would become of a resource.
    Change {
        action: &'a str,
        resource: &'a str,
        #[serde(rename = "type")]
        of: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        replacement: Option<&'a str>,
    },
}

impl Report for Line<'_> {
    fn columns(&self) -> Vec<String> {
        let columns: Vec<&str> = match self {
            Self::Stack { name, outcome } => vec!["stack", name, outcome],
            Self::Output { name, value } => vec!["output", name, value],
            Self::Change {
                action,
                resource,
                of,
                replacement,
            } => vec!["change", action, resource, of, replacement.unwrap_or("-")],
        };
        let columns = columns.into_iter();
        columns
            .map(|column| column.replace(['\t', '\n', '\r'], " "))
            .collect()
    }
}

pub(crate) async fn deploy(
    cloud: &Cloud,
    wanted: &Wanted,
    arguments: &Arguments,
    common: &Common,
) -> Result<()> {
    let name = wanted.name.as_str();
    let patience = Duration::from_secs(arguments.timeout);
    let present = settled(cloud, name, patience, common).await?;
    let bucket = Bucket(arguments.bucket.as_deref());
    let (body, url) = cloud.bring_artefacts(&wanted.artefacts, bucket).await?;
    let new = NewStack {
        name,
        body: &body,
        url: url.as_deref(),
        parameters: &wanted.parameters,
        declared: wanted.artefacts.declared(),
        tags: &pairs(&arguments.tags).collect(),
        capabilities: &arguments.capabilities,
    };
    let proposal = cloud.propose(&new, present.as_ref()).await?;
    let mut reporter = common.reporter();
    if arguments.plan {
        return plan(cloud, name, proposal, &mut reporter).await;
    }
    let Some(proposal) = proposal else {
        let outputs = present.map(|present| present.outputs).unwrap_or_default();
        return answer(&mut reporter, name, "unchanged", &outputs);
    };
    for change in &proposal.changes {
        let again = match change.replacement.as_deref() {
            Some("True") => ", made anew",
            Some("Conditional") => ", perhaps made anew",
            _ => "",
        };
        common.say(format!(
            "{} {} ({}){again}",
            change.action, change.resource, change.kind
        ));
    }
    let done = cloud
        .execute(name, &proposal, patience, |event| tell(event, common))
        .await?;
    let outcome = if proposal.creates {
        "created"
    } else {
        "updated"
    };
    answer(&mut reporter, name, outcome, &done.outputs)
}

/// The stack once nothing is under way in it: an interrupted run, or somebody else, may have begun something.
async fn settled(
    cloud: &Cloud,
    name: &str,
    patience: Duration,
    common: &Common,
) -> Result<Option<StackState>> {
    if let Some(present) = cloud.stack(name).await?.filter(StackState::is_changing) {
        common.say(format!(
            "{name} is {}; waiting until that is done",
            present.status
        ));
    }
    Ok(cloud
        .settled_stack(name, patience, |event| tell(event, common))
        .await?)
}

fn tell(event: &StackEvent, common: &Common) {
    let reason = event.reason.as_deref().map(|reason| format!(": {reason}"));
    let reason = reason.unwrap_or_default();
    common.say(format!("{} {}{reason}", event.resource, event.status));
}

async fn plan(
    cloud: &Cloud,
    name: &str,
    proposal: Option<Proposal>,
    reporter: &mut Reporter,
) -> Result<()> {
    let Some(proposal) = proposal else {
        return answer(reporter, name, "unchanged", &[]);
    };
    cloud.withdraw(&proposal).await?;
    for ResourceChange {
        action,
        resource,
        kind,
        replacement,
    } in &proposal.changes
    {
        reporter.line(&Line::Change {
            action,
            resource,
            of: kind,
            replacement: replacement.as_deref(),
        })?;
    }
    Err(to_be_made(proposal.changes.len()))
}

/// How a plan ends that would change something.
pub(crate) fn to_be_made(changes: usize) -> Failure {
    let message = match changes {
        1 => "1 change to be made".to_owned(),
        changes => format!("{changes} changes to be made"),
    };
    Failure::new(Class::CheckFailed, message)
}

pub(crate) fn answer(
    reporter: &mut Reporter,
    name: &str,
    outcome: &'static str,
    outputs: &[(String, String)],
) -> Result<()> {
    reporter.line(&Line::Stack { name, outcome })?;
    for (name, value) in outputs {
        reporter.line(&Line::Output { name, value })?;
    }
    Ok(())
}

pub(crate) async fn delete(
    cloud: &Cloud,
    name: &str,
    arguments: &Arguments,
    common: &Common,
) -> Result<()> {
    let patience = Duration::from_secs(arguments.timeout);
    let deleted = cloud
        .delete_stack(name, patience, |event| tell(event, common))
        .await?;
    let outcome = if deleted { "deleted" } else { "unchanged" };
    answer(&mut common.reporter(), name, outcome, &[])
}
