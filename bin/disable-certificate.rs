//! Lock devices out: every certificate of a thing becomes INACTIVE, or REVOKED.

use std::process::ExitCode;

use clap::Args;
use jitp_cli::{BatchFlags, Common, ConfirmFlags, Result, Things};
use jitp_cloud::{CertificateStatus, Cloud, CloudSettings};

#[path = "shared/statuses.rs"]
mod statuses;

/// Lock devices out: every certificate of a thing becomes INACTIVE, or REVOKED
///
/// Prints the thing, the status, the certificate's id and whether it was changed, a line for each
/// certificate. A device that is connected is disconnected by AWS within a few minutes, and does not
/// get in again.
#[derive(Args)]
#[command(after_help = "Examples:
  disable-certificate sensor-17              until enable-certificate sensor-17
  disable-certificate sensor-17 --revoke     for good; asks first
  disable-certificate - < names              a list, one thing a line")]
struct Arguments {
    #[command(flatten)]
    things: Things,

    /// Revoke them: a revoked certificate cannot be activated again
    #[arg(long)]
    revoke: bool,

    #[command(flatten)]
    confirm: ConfirmFlags,

    #[command(flatten)]
    batch: BatchFlags,

    #[command(flatten)]
    cloud: CloudSettings,
}

async fn disable_certificate(arguments: Arguments, common: &Common) -> Result<()> {
    if arguments.revoke {
        arguments.confirm.check()?;
    }
    let things = arguments.things.read()?;
    let cloud = Cloud::connect(&arguments.cloud).await?;
    let status = match arguments.revoke {
        false => CertificateStatus::Inactive,
        true => {
            let question = match things.as_slice() {
                [thing] => format!("revoke the certificates of {thing} for good?"),
                things => format!(
                    "revoke the certificates of {} things for good?",
                    things.len()
                ),
            };
            arguments.confirm.ask(common, &question).await?;
            CertificateStatus::Revoked
        }
    };
    statuses::set(&cloud, things, status, &arguments.batch, common).await
}

fn main() -> ExitCode {
    jitp_cli::run(disable_certificate)
}
