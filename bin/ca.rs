//! Look after the CAs that are registered with AWS IoT: list, show, enable, disable, delete.

#[path = "shared/ca_change.rs"]
mod change;
#[path = "shared/ca_show.rs"]
mod show;

use std::process::ExitCode;

use change::{Change, change_all};
use clap::{Args, Subcommand};
use jitp_cli::{BatchFlags, Common, ConfirmFlags, Result};
use jitp_cloud::{Cloud, CloudSettings};

/// Look after the CAs that are registered with AWS IoT
///
/// A CA is named by the name of its file (root for root.ca.pem) or by its id, as `ca list` prints it.
#[derive(Args)]
#[command(after_help = "Examples:
  ca list                    id, status, auto-registration, expiry and subject
  ca show root               everything about root.ca.pem as it is registered
  ca disable factory7        registers no further devices; those it signed go on connecting
  ca delete 5d0f… --yes      its registration ends; the devices it signed go on connecting")]
struct Arguments {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    cloud: CloudSettings,
}

#[derive(Subcommand)]
enum Command {
    /// List the registered CAs, the oldest first
    List,
    /// Show everything about one
    Show { ca: String },
    /// Let CAs register devices
    Enable {
        #[arg(required = true)]
        ca: Vec<String>,
        /// Also let unknown certificates register themselves, or stop that
        #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
        auto_registration: Option<bool>,
        #[command(flatten)]
        batch: BatchFlags,
    },
    /// Let CAs register no further devices; those that are registered go on connecting
    Disable {
        #[arg(required = true)]
        ca: Vec<String>,
        #[command(flatten)]
        batch: BatchFlags,
    },
    /// End the registration of CAs; device certificates they signed stay registered
    Delete {
        #[arg(required = true)]
        ca: Vec<String>,
        /// Print what would be deleted
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        confirm: ConfirmFlags,
        #[command(flatten)]
        batch: BatchFlags,
    },
}

async fn ca(arguments: Arguments, common: &Common) -> Result<()> {
    if let Command::Delete {
        dry_run: false,
        confirm,
        ..
    } = &arguments.command
    {
        confirm.check()?;
    }
    let cloud = Cloud::connect(&arguments.cloud).await?;
    match arguments.command {
        Command::List => show::list(&cloud, common).await,
        Command::Show { ca } => show::show(&cloud, &ca, common).await,
        Command::Enable {
            ca,
            auto_registration,
            batch,
        } => {
            let change = Change::Status(true, auto_registration);
            change_all(&cloud, ca, change, &batch, common).await
        }
        Command::Disable { ca, batch } => {
            change_all(&cloud, ca, Change::Status(false, None), &batch, common).await
        }
        Command::Delete {
            ca,
            dry_run,
            confirm,
            batch,
        } => {
            let change = match dry_run {
                true => Change::PlanDeletion,
                false => {
                    let question = format!("delete the registration of {}?", ca.join(", "));
                    confirm.ask(common, &question).await?;
                    Change::Delete
                }
            };
            change_all(&cloud, ca, change, &batch, common).await
        }
    }
}

fn main() -> ExitCode {
    jitp_cli::run(ca)
}
