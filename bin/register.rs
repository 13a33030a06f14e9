//! Register a CA with AWS IoT, together with the template that provisions its devices.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use jitp_cli::{CaKeyFlags, Common, Failure, Report, Result, read_text};
use jitp_cloud::{
    CertificateMode, Cloud, CloudSettings, Drift, Outcome, RegisteredTemplate, Registration,
};
use jitp_core::failure::Class;
use jitp_core::names::{CaName, TemplateName};
use jitp_core::role::RoleArn;
use jitp_core::store::Store;
use jitp_core::template::Template;
use serde::Serialize;
use time::OffsetDateTime;

/// What a CA is registered with unless `--template` says otherwise.
const DEFAULT_TEMPLATE: &str = include_str!("../etc/templates/device.json");

/// Registered CAs with one subject from which on a person should know: AWS takes 10.
const MANY_TWINS: usize = 8;

/// Register a CA with AWS IoT, together with the template that provisions its devices
///
/// Afterwards the first connection of a device whose certificate this CA signed creates its thing.
/// Run again, it reports no change, or brings the registered template into line.
#[derive(Args)]
#[command(after_help = "Examples:
  register                                     root.ca.pem with the template etc/templates/device.json
  register factory7 --template types.json      another CA, another template
  register --template-name factory             bound to a provisioning template: template create factory --type jitp
  register --drift                             what running it without --drift would change
  register --mode sni-only                     without proof of possession; devices must send SNI

The template must be readable JSON; the string that AWS wants is made from it.")]
struct Arguments {
    /// CA to register
    #[arg(default_value = "root")]
    ca: CaName,

    /// Registration template, a JSON file [default: thing named by the common name, policy IoTAccess]
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,

    /// Bind the CA to this provisioning template of type JITP, instead of keeping one with the CA
    #[arg(long, value_name = "NAME", conflicts_with_all = ["template", "role_arn"])]
    template_name: Option<TemplateName>,

    /// Role that provisioning assumes [default: the role IoTProvisioning of the account]
    #[arg(long, value_name = "ARN")]
    role_arn: Option<RoleArn>,

    /// Change nothing; print how the registered CA differs from what would be registered (exit code 9 if it does)
    #[arg(long)]
    drift: bool,

    /// How the CA proves to be yours
    #[arg(long, value_enum, default_value_t = Mode::Default)]
    mode: Mode,

    #[command(flatten)]
    ca_key: CaKeyFlags,

    #[command(flatten)]
    cloud: CloudSettings,
}

#[derive(Clone, Copy, ValueEnum)]
enum Mode {
    /// With a verification certificate; one account per region can hold the CA
    Default,
    /// Without; any number of accounts can hold the CA
    SniOnly,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Registered {
    ca: String,
    outcome: &'static str,
    certificate_id: String,
    certificate_arn: String,
}

impl Report for Registered {
    fn columns(&self) -> Vec<String> {
        vec![
            self.ca.clone(),
            self.outcome.to_owned(),
            self.certificate_arn.clone(),
        ]
    }
}

async fn register(arguments: Arguments, common: &Common) -> Result<()> {
    let template = read_template(arguments.template)?;
    for warning in template.warnings() {
        common.warn(warning.to_string());
    }
    let store = Store::open(&common.dir)?;
    let kms = async |name: &str| Ok(arguments.cloud.kms_key(name).await?);
    let ca = arguments
        .ca_key
        .load(common, &store, &arguments.ca, kms)
        .await?;
    let now = OffsetDateTime::now_utc();
    ca.check_valid_at(now)?;
    let cloud = Cloud::connect(&arguments.cloud).await?;
    let registration = Registration {
        template: match &arguments.template_name {
            Some(name) => RegisteredTemplate::Name(name.as_str()),
            None => RegisteredTemplate::Body {
                template: &template,
                role_arn: arguments.role_arn.as_ref(),
            },
        },
        mode: match arguments.mode {
            Mode::Default => CertificateMode::Default,
            Mode::SniOnly => CertificateMode::SniOnly,
        },
        now,
    };
    if arguments.drift {
        return print_drift(cloud.drift(&ca, &registration).await?, common);
    }
    let registered = cloud.register(&ca, &registration).await?;
    let alike = registered.twins.len() + 1;
    if alike >= MANY_TWINS {
        common.warn(format!(
            "{alike} registered CAs have this subject, and AWS takes 10: {}",
            registered.twins.join(", ")
        ));
    }
    common.reporter().line(&Registered {
        ca: arguments.ca.to_string(),
        outcome: match registered.outcome {
            Outcome::Registered => "registered",
            Outcome::Updated => "updated",
            Outcome::Unchanged => "unchanged",
        },
        certificate_id: registered.certificate_id.to_string(),
        certificate_arn: registered.certificate_arn,
    })
}

/// One difference between what is registered and what would be.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Difference {
    what: String,
    registered: String,
    wanted: String,
}

impl Report for Difference {
    fn columns(&self) -> Vec<String> {
        let or_dash = |text: &String| match text.is_empty() {
            true => "-".to_owned(),
            false => text.clone(),
        };
        vec![
            self.what.clone(),
            or_dash(&self.registered),
            or_dash(&self.wanted),
        ]
    }
}

fn print_drift(drift: Vec<Drift>, common: &Common) -> Result<()> {
    let mut reporter = common.listing();
    let count = drift.len();
    for one in drift {
        reporter.line(&Difference {
            what: one.what,
            registered: one.registered,
            wanted: one.wanted,
        })?;
    }
    match count {
        0 => Ok(()),
        1 => Err(Failure::new(Class::CheckFailed, "1 difference")),
        count => Err(Failure::new(
            Class::CheckFailed,
            format!("{count} differences"),
        )),
    }
}

fn read_template(file: Option<PathBuf>) -> Result<Template> {
    let Some(path) = file else {
        return Ok(Template::parse(DEFAULT_TEMPLATE)?);
    };
    let text = read_text(&path, "the template")?;
    Template::parse(&text).map_err(|error| Failure::from(error).context(path.display()))
}

fn main() -> ExitCode {
    jitp_cli::run(register)
}
