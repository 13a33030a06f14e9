//! Let devices in: every certificate of a thing becomes ACTIVE.

use std::process::ExitCode;

use clap::Args;
use jitp_cli::{BatchFlags, Common, Result, Things};
use jitp_cloud::{CertificateStatus, Cloud, CloudSettings};

#[path = "shared/statuses.rs"]
mod statuses;

/// Let devices in: every certificate of a thing becomes ACTIVE
///
/// Prints the thing, the status, the certificate's id and whether it was changed, a line for each
/// certificate. A revoked certificate cannot be activated again.
#[derive(Args)]
#[command(after_help = "Examples:
  enable-certificate sensor-17
  enable-certificate sensor-17 sensor-18
  enable-certificate - < names            a list, one thing a line")]
struct Arguments {
    #[command(flatten)]
    things: Things,

    #[command(flatten)]
    batch: BatchFlags,

    #[command(flatten)]
    cloud: CloudSettings,
}

async fn enable_certificate(arguments: Arguments, common: &Common) -> Result<()> {
    let things = arguments.things.read()?;
    let cloud = Cloud::connect(&arguments.cloud).await?;
    statuses::set(
        &cloud,
        things,
        CertificateStatus::Active,
        &arguments.batch,
        common,
    )
    .await
}

fn main() -> ExitCode {
    jitp_cli::run(enable_certificate)
}
