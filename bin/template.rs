//! Look after provisioning templates: create, update, show, list, delete, lint.

#[path = "shared/template_change.rs"]
mod change;
#[path = "shared/template_file.rs"]
mod file;
#[path = "shared/template_lint.rs"]
mod lint;
#[path = "shared/template_show.rs"]
mod show;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use jitp_cli::{Common, Result};
use jitp_cloud::{Cloud, CloudSettings};
use jitp_core::names::TemplateName;

/// Look after provisioning templates: for fleet provisioning, and for CAs to be bound to
///
/// A template's body changes by versions, of which AWS keeps five; going back to one that is still there takes no new one.
#[derive(Args)]
#[command(after_help = "Examples:
  template lint etc/templates/fleet.json --set PolicyName=Fleet --set ThingTypeName=Sensor --set ThingGroupName=Fleet
  template create fleet --body fleet.json --hook arn:aws:lambda:eu-central-1:123456789012:function:allow
  template create factory --type jitp --body etc/templates/device.json && register --template-name factory
  template update fleet --body fleet.json --drop-oldest-version
  template show fleet --body > fleet.json")]
struct Arguments {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    cloud: CloudSettings,
}

#[derive(Subcommand)]
enum Command {
    /// Create a template; one that is exactly so already is left alone
    Create(change::CreateFlags),
    /// Change what is given of a template
    Update(change::UpdateFlags),
    /// Show everything about one
    Show {
        name: TemplateName,
        /// Print the template itself, and nothing else
        #[arg(long)]
        body: bool,
        /// That of this version
        #[arg(long, value_name = "N", requires = "body")]
        version: Option<i32>,
    },
    /// List them
    List,
    /// Delete one with all its versions; things it made stay (see teardown)
    Delete(change::DeleteFlags),
    /// Find what is wrong, or hardly meant, in templates and policy documents; exit code 9 if anything is
    Lint(lint::Flags),
}

async fn template(arguments: Arguments, common: &Common) -> Result<()> {
    let settings = &arguments.cloud;
    match &arguments.command {
        Command::Create(flags) => change::create(settings, flags, common).await,
        Command::Update(flags) => change::update(settings, flags, common).await,
        Command::Show {
            name,
            body,
            version,
        } => {
            let cloud = Cloud::connect(settings).await?;
            show::show(&cloud, name, *body, *version, common).await
        }
        Command::List => show::list(&Cloud::connect(settings).await?, common).await,
        Command::Delete(flags) => {
            flags.check()?;
            change::delete(&Cloud::connect(settings).await?, flags, common).await
        }
        Command::Lint(flags) => lint::run(flags, common),
    }
}

fn main() -> ExitCode {
    jitp_cli::run(template)
}
