//! Look after the CAs that are registered with AWS IoT: list, show, enable, disable, delete.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use jitp_cli::{
    Batch, BatchFlags, Common, ConfirmFlags, Failure, Order, OutputFormat, Report, Result,
};
use jitp_cloud::{Cloud, CloudSettings, RegisteredCa, RegistrationConfig};
use jitp_core::certificate::CertificateId;
use jitp_core::failure::Class;
use jitp_core::names::CaName;
use jitp_core::store::Store;
use serde::Serialize;
use time::format_description::well_known::Rfc3339;

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

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    certificate_id: String,
    status: &'static str,
    auto_registration_status: &'static str,
    not_after: String,
    subject: String,
    #[serde(flatten)]
    more: Option<More>,
}

/// What only `ca show` tells.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct More {
    certificate_arn: String,
    certificate_mode: &'static str,
    creation_date: Option<String>,
    template_name: Option<String>,
    template_body: Option<String>,
    role_arn: Option<String>,
    registered_certificates: usize,
}

impl Report for Line {
    fn columns(&self) -> Vec<String> {
        vec![
            self.certificate_id.clone(),
            self.status.to_owned(),
            self.auto_registration_status.to_owned(),
            self.not_after.clone(),
            self.subject.clone(),
        ]
    }
}

/// One member of what `ca show` tells, or the outcome of one CA.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Pair {
    ca: String,
    outcome: String,
}

impl Report for Pair {
    fn columns(&self) -> Vec<String> {
        vec![self.ca.clone(), self.outcome.clone()]
    }
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
        Command::List => {
            let mut reporter = common.reporter();
            for ca in cloud.registered_cas().await? {
                reporter.line(&line(&ca, None)?)?;
            }
            Ok(())
        }
        Command::Show { ca } => show(&cloud, &ca, common).await,
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

async fn show(cloud: &Cloud, name: &str, common: &Common) -> Result<()> {
    let ca = find(cloud, name, common).await?;
    let (template_name, template_body, role_arn) = match &ca.registration_config {
        Some(RegistrationConfig::Body {
            template_body,
            role_arn,
        }) => (None, Some(template_body.clone()), Some(role_arn.clone())),
        Some(RegistrationConfig::Name(name)) => (Some(name.clone()), None, None),
        None => (None, None, None),
    };
    let more = More {
        certificate_arn: ca.certificate_arn.clone(),
        certificate_mode: ca.mode.as_str(),
        creation_date: ca.created.and_then(|time| time.format(&Rfc3339).ok()),
        template_name,
        template_body,
        role_arn,
        registered_certificates: cloud.certificates_of_ca(&ca.certificate_id).await?.len(),
    };
    let line = line(&ca, Some(more))?;
    let mut reporter = common.reporter();
    if common.output == OutputFormat::Json {
        return reporter.line(&line);
    }
    // For people and scripts alike: a line a member, named as in the JSON form.
    let members = serde_json::to_value(&line).unwrap_or_default();
    for (ca, value) in members.as_object().into_iter().flatten() {
        let outcome = match value.as_str() {
            Some(text) => text.to_owned(),
            None if value.is_null() => continue,
            None => value.to_string(),
        };
        reporter.line(&Pair {
            ca: ca.clone(),
            outcome,
        })?;
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Change {
    Status(bool, Option<bool>),
    PlanDeletion,
    Delete,
}

async fn change_all(
    cloud: &Cloud,
    cas: Vec<String>,
    change: Change,
    flags: &BatchFlags,
    common: &Common,
) -> Result<()> {
    let total = Some(cas.len());
    Batch::new(common, flags, "ca", Order::Completion, total)
        .run_list(cas, async |name: &String| {
            let outcome = change_one(cloud, name, change, common).await;
            let pair = outcome.map(|outcome| Pair {
                ca: name.clone(),
                outcome: outcome.to_owned(),
            });
            pair.map(|pair| vec![pair]).into()
        })
        .await
}

async fn change_one(
    cloud: &Cloud,
    name: &str,
    change: Change,
    common: &Common,
) -> Result<&'static str> {
    let ca = find(cloud, name, common).await?;
    let id = &ca.certificate_id;
    match change {
        Change::Status(active, auto) => {
            if ca.active == active && auto.is_none_or(|auto| auto == ca.auto_registration) {
                return Ok("unchanged");
            }
            cloud.set_ca_status(id, active, auto).await?;
            Ok(if active { "enabled" } else { "disabled" })
        }
        Change::PlanDeletion | Change::Delete => {
            let devices = cloud.certificates_of_ca(id).await?.len();
            if devices > 0 {
                common.warn(format!("{name}: {devices} registered certificates are signed by it, and go on connecting"));
            }
            if matches!(change, Change::PlanDeletion) {
                return Ok("planned");
            }
            if ca.active {
                cloud.set_ca_status(id, false, None).await?;
            }
            let deleted = cloud.delete_ca(id).await;
            deleted.map_err(|error| {
                Failure::from(error).context(format!("{name} is INACTIVE, but"))
            })?;
            Ok("deleted")
        }
    }
}

/// A registered CA by its id, or by the name of its file.
async fn find(cloud: &Cloud, name: &str, common: &Common) -> Result<RegisteredCa> {
    let id = match name.parse::<CertificateId>() {
        Ok(id) => id,
        Err(_) => {
            let ca: CaName = name.parse()?;
            let certificate = Store::open(&common.dir)?.load_ca_certificate(&ca)?;
            certificate.id().clone()
        }
    };
    cloud.registered_ca(id.as_str()).await?.ok_or_else(|| {
        let failure = Failure::new(Class::NotFound, format!("the CA {name} is not registered"));
        failure.hint("ca list prints those that are; register registers one")
    })
}

fn line(ca: &RegisteredCa, more: Option<More>) -> Result<Line> {
    let certificate = ca.certificate()?;
    Ok(Line {
        certificate_id: ca.certificate_id.clone(),
        status: if ca.active { "ACTIVE" } else { "INACTIVE" },
        auto_registration_status: if ca.auto_registration {
            "ENABLE"
        } else {
            "DISABLE"
        },
        not_after: certificate.not_after().format(&Rfc3339).unwrap_or_default(),
        subject: certificate.subject_line(),
        more,
    })
}

fn main() -> ExitCode {
    jitp_cli::run(ca)
}
