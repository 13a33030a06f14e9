//! Find what was left behind in an account and, if asked, remove it.

use std::collections::HashSet;
use std::process::ExitCode;

use clap::Args;
use futures::TryStreamExt;
use jitp_cli::{
    Age, Batch, BatchFlags, Common, ConfirmFlags, Done, Failure, Order, Report, Result,
};
use jitp_cloud::{Cloud, CloudSettings, Finding, Kind, Removal, Sweep};
use serde::Serialize;
use time::OffsetDateTime;

/// Find what was left behind in an account and, if asked, remove it
///
/// Certificates that were never activated, or are inactive and attached to no thing; things without a
/// certificate; policies attached to nothing; CAs that have expired. Prints the kind, the name, the
/// outcome and the reason, a line for each; nothing is removed without --delete.
#[derive(Args)]
#[command(after_help = "Examples:
  sweep                                   the plan
  sweep --only certificates --older-than 30d
  sweep --delete                          asks, then removes; run again, it goes on
  sweep --delete --yes                    does not ask

What has the tag keep (things: the attribute keep) stays, and so do policies that a registration or
provisioning template names, and inactive certificates whose CA would let the device in again.")]
struct Arguments {
    /// Remove what is found
    #[arg(long, conflicts_with = "dry_run")]
    delete: bool,

    /// Only print what is found; this is the default
    #[arg(long)]
    dry_run: bool,

    /// Leave certificates and policies alone that changed within this time: 90m, 12h, 7d
    #[arg(long, value_name = "TIME", default_value = "1d")]
    older_than: Age,

    /// Look for these kinds only: certificates, things, policies, cas
    #[arg(
        long,
        value_name = "KIND,…",
        value_enum,
        value_delimiter = ',',
        hide_possible_values = true
    )]
    only: Vec<Kind>,

    /// Also remove inactive certificates whose CA registers them again when the device connects
    #[arg(long)]
    readmit: bool,

    #[command(flatten)]
    confirm: ConfirmFlags,

    #[command(flatten)]
    batch: BatchFlags,

    #[command(flatten)]
    cloud: CloudSettings,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    kind: &'static str,
    name: String,
    outcome: &'static str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    protected: Option<&'static str>,
}

impl Report for Line {
    fn columns(&self) -> Vec<String> {
        let reason = match self.protected {
            Some(protected) => format!("{}, but {protected}", self.reason),
            None => self.reason.to_owned(),
        };
        let kind = self.kind.to_owned();
        vec![kind, self.name.clone(), self.outcome.to_owned(), reason]
    }
}

impl Line {
    fn new(finding: &Finding, outcome: &'static str) -> Self {
        Self {
            kind: finding.kind.as_str(),
            name: finding.name.clone(),
            outcome,
            reason: finding.reason,
            protected: finding.protected,
        }
    }
}

async fn sweep(arguments: Arguments, common: &Common) -> Result<()> {
    if arguments.delete {
        arguments.confirm.check()?;
    }
    let kinds: HashSet<Kind> = match arguments.only.is_empty() {
        true => Kind::ALL.into(),
        false => arguments.only.iter().copied().collect(),
    };
    let cloud = Cloud::connect(&arguments.cloud).await?;
    let sweep = Sweep {
        older_than: arguments.older_than.duration(),
        readmit: arguments.readmit,
        now: OffsetDateTime::now_utc(),
        named_policies: match kinds.contains(&Kind::Policies) {
            true => cloud.policies_of_templates().await?,
            false => HashSet::new(),
        },
    };
    let mut reporter = match arguments.delete {
        true => common.reporter(),
        false => common.listing(),
    };
    let mut found = Vec::new();
    for kind in Kind::ALL.into_iter().filter(|kind| kinds.contains(kind)) {
        let findings = cloud.findings(kind, &sweep, arguments.batch.concurrency.into());
        let mut findings = std::pin::pin!(findings.map_err(Failure::from));
        while let Some(finding) = findings.try_next().await? {
            match finding.protected {
                Some(_) => reporter.line(&Line::new(&finding, "protected"))?,
                None if arguments.delete => found.push(finding),
                None => reporter.line(&Line::new(&finding, "found"))?,
            }
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    let question = format!("remove {}?", count(&found));
    arguments.confirm.ask(common, &question).await?;
    let batch = Batch::new(common, &arguments.batch, "finding", Order::Completion, None);
    batch
        .run_list(found, async |finding| {
            let removal = cloud.remove(finding, &sweep).await.map_err(Failure::from);
            let outcome = removal.map(|removal| match removal {
                Removal::Removed => "deleted",
                Removal::InUse => "in-use",
                Removal::Protected => "protected",
            });
            Done::from(outcome.map(|outcome| vec![Line::new(finding, outcome)]))
        })
        .await
}

/// How many of each kind, in words.
fn count(found: &[Finding]) -> String {
    let counts = Kind::ALL.into_iter().filter_map(|kind| {
        let number = found.iter().filter(|finding| finding.kind == kind).count();
        (number > 0).then(|| format!("{number} of kind {kind}"))
    });
    counts.collect::<Vec<_>>().join(", ")
}

fn main() -> ExitCode {
    jitp_cli::run(sweep)
}
