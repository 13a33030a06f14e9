//! Tell whether devices are allowed in: the status of every certificate of a thing.

use std::cell::RefCell;
use std::process::ExitCode;

use clap::Args;
use jitp_cli::{Batch, BatchFlags, Common, Done, Failure, Order, Report, Result, Things};
use jitp_cloud::{CertificateDetails, CertificateStatus, Cloud, CloudSettings};
use jitp_core::failure::Class;
use jitp_core::names::ThingName;
use serde::Serialize;
use time::format_description::well_known::Rfc3339;

/// Tell whether devices are allowed in: the status of every certificate of a thing
///
/// Prints the thing, a tab, and the status, a line for each certificate. With --long, also the
/// certificate's id, the end of its validity, the CA that signed it, and the policies attached to it.
#[derive(Args)]
#[command(after_help = "Examples:
  device-status sensor-17                      one line a certificate
  device-status sensor-17 --long               with expiry, CA and policies
  device-status sensor-17 --expect ACTIVE      exit code 9 unless every certificate is ACTIVE
  thing-certificates | device-status - --long  all of them")]
struct Arguments {
    #[command(flatten)]
    things: Things,

    /// Also print id, expiry, issuing CA and policies
    #[arg(long)]
    long: bool,

    /// Exit code 9 unless every certificate has this status
    #[arg(long, value_name = "STATUS")]
    expect: Option<CertificateStatus>,

    #[command(flatten)]
    batch: BatchFlags,

    #[command(flatten)]
    cloud: CloudSettings,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    thing: String,
    status: &'static str,
    certificate_id: String,
    not_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_certificate_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    /// Only with --long.
    #[serde(skip_serializing_if = "Option::is_none")]
    policies: Option<Vec<String>>,
}

impl Report for Line {
    fn columns(&self) -> Vec<String> {
        let mut columns = vec![self.thing.clone(), self.status.to_owned()];
        if let Some(policies) = &self.policies {
            let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
            columns.extend([
                self.certificate_id.clone(),
                or_dash(&self.not_after),
                or_dash(&self.issuer),
                or_dash(&(!policies.is_empty()).then(|| policies.join(","))),
            ]);
        }
        columns
    }
}

async fn device_status(arguments: Arguments, common: &Common) -> Result<()> {
    let things = arguments.things.read()?;
    let cloud = Cloud::connect(&arguments.cloud).await?;
    let unexpected = RefCell::new(Vec::new());
    let total = Some(things.len());
    Batch::new(common, &arguments.batch, "thing", Order::Items, total)
        .run_list(things, async |thing| {
            let lines = status_of(&cloud, thing, &arguments).await;
            if let (Some(expected), Ok(lines)) = (arguments.expect, &lines) {
                let mut unexpected = unexpected.borrow_mut();
                let others = lines.iter().filter(|line| line.status != expected.as_str());
                unexpected.extend(others.map(|line| format!("{thing} is {}", line.status)));
                if lines.is_empty() {
                    unexpected.push(format!("{thing} has no certificate"));
                }
            }
            match lines {
                Ok(lines) if lines.is_empty() && arguments.expect.is_none() => {
                    let message = format!("{thing} has no certificate");
                    Err(Failure::new(Class::NotFound, message)).into()
                }
                lines => Done::from(lines),
            }
        })
        .await?;
    // In whichever order they were found out.
    let mut unexpected = unexpected.into_inner();
    unexpected.sort_unstable();
    match (arguments.expect, unexpected.as_slice()) {
        (Some(expected), [first, more @ ..]) => {
            let more = match more.len() {
                0 => String::new(),
                more => format!(", and {more} more"),
            };
            let message = format!("not all certificates are {expected}: {first}{more}");
            Err(Failure::new(Class::CheckFailed, message))
        }
        _ => Ok(()),
    }
}

async fn status_of(cloud: &Cloud, thing: &ThingName, arguments: &Arguments) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for certificate in cloud.certificates_of_thing(thing.as_str()).await? {
        let policies = match arguments.long {
            true => Some(cloud.attached_policies(&certificate.arn).await?),
            false => None,
        };
        lines.push(line(thing, certificate, policies));
    }
    Ok(lines)
}

fn line(thing: &ThingName, found: CertificateDetails, policies: Option<Vec<String>>) -> Line {
    let not_after = found.not_after.and_then(|time| time.format(&Rfc3339).ok());
    Line {
        thing: thing.to_string(),
        status: found.status.as_str(),
        not_after,
        issuer: found.issuer(),
        certificate_id: found.id,
        ca_certificate_id: found.ca_certificate_id,
        policies,
    }
}

fn main() -> ExitCode {
    jitp_cli::run(device_status)
}
