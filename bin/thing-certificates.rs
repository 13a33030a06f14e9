//! List every thing with all its certificates.

use std::process::ExitCode;

use clap::Args;
use futures::TryStreamExt;
use jitp_cli::{Batch, BatchFlags, Common, Done, Failure, Order, Report, Result};
use jitp_cloud::{Cloud, CloudSettings};
use serde::Serialize;

/// List every thing with all its certificates
///
/// Prints the thing, a tab, and the ARN of a certificate, a line for each; a thing without any has
/// one line with a dash. Things come in the order of the registry, page by page, so the first are
/// printed while the rest is still being asked for.
#[derive(Args)]
#[command(after_help = "Examples:
  thing-certificates
  thing-certificates | awk '$2 == \"-\"'      things without a certificate
  thing-certificates | device-status - --long")]
struct Arguments {
    #[command(flatten)]
    batch: BatchFlags,

    #[command(flatten)]
    cloud: CloudSettings,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    thing: String,
    certificate_arn: Option<String>,
}

impl Report for Line {
    fn columns(&self) -> Vec<String> {
        let arn = self.certificate_arn.as_deref().unwrap_or("-");
        vec![self.thing.clone(), arn.to_owned()]
    }
}

async fn thing_certificates(arguments: Arguments, common: &Common) -> Result<()> {
    let cloud = Cloud::connect(&arguments.cloud).await?;
    let things = cloud
        .things()
        .map_ok(|thing| thing.name)
        .map_err(Failure::from);
    Batch::new(common, &arguments.batch, "thing", Order::Items, None)
        .run(things, async |thing: &String| {
            Done::from(certificates_of(&cloud, thing).await)
        })
        .await
}

async fn certificates_of(cloud: &Cloud, thing: &str) -> Result<Vec<Line>> {
    let principals = match cloud.principals(thing).await {
        // Deleted since it was listed.
        Err(error) if error.is_not_found() => return Ok(Vec::new()),
        other => other?,
    };
    let line = |arn: Option<String>| Line {
        thing: thing.to_owned(),
        certificate_arn: arn,
    };
    let certificates = principals.into_iter().filter(|arn| arn.contains(":cert/"));
    let mut lines: Vec<Line> = certificates.map(|arn| line(Some(arn))).collect();
    if lines.is_empty() {
        lines.push(line(None));
    }
    Ok(lines)
}

fn main() -> ExitCode {
    jitp_cli::run(thing_certificates)
}
