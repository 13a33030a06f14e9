//! Tell by exit code whether a device's certificate is to be renewed.

use std::process::ExitCode;

use clap::Args;
use jitp_cli::{Age, Common, Failure, Report, Result};
use jitp_core::claim;
use jitp_core::failure::Class;
use jitp_core::names::ThingName;
use jitp_core::store::Store;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Tell by exit code whether a device's certificate is to be renewed
///
/// Exit code 0 says yes: it ends within the time given, or has ended. Exit code 9 says no. Reads THING.crt, and needs no
/// network. Prints the thing, the end of its certificate, and the whole days that are left.
#[derive(Args)]
#[command(after_help = "Examples:
  needs-renewal iot-123                     does it end within 30 days?
  needs-renewal iot-123 --within 7d && fleet-provision iot-123 --template fleet --parameter License=123 --renew")]
struct Arguments {
    /// Device to ask about
    thing: ThingName,

    /// How long before its end a certificate is to be renewed: 12h, 30d
    #[arg(long, value_name = "TIME", default_value = "30d")]
    within: Age,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    thing: String,
    not_after: String,
    days_left: i64,
    needs_renewal: bool,
    certificate_id: String,
}

impl Report for Line {
    fn columns(&self) -> Vec<String> {
        vec![
            self.thing.clone(),
            self.not_after.clone(),
            self.days_left.to_string(),
        ]
    }
}

async fn needs_renewal(arguments: Arguments, common: &Common) -> Result<()> {
    let store = Store::open(&common.dir)?;
    let thing = claim::thing_name(&store, &arguments.thing)?;
    let device = store.load_device(&thing)?;
    let end = device.certificate().not_after();
    let left = end - OffsetDateTime::now_utc();
    let needs_renewal = left <= arguments.within.duration();
    common.listing().line(&Line {
        thing: thing.to_string(),
        not_after: end.format(&Rfc3339).unwrap_or_else(|_| end.to_string()),
        days_left: left.whole_days(),
        needs_renewal,
        certificate_id: device.certificate().id().to_string(),
    })?;
    match needs_renewal {
        true => Ok(()),
        false => {
            let days = left.whole_days();
            let message = format!("the certificate of {thing} is good for another {days} days");
            Err(Failure::new(Class::CheckFailed, message))
        }
    }
}

fn main() -> ExitCode {
    jitp_cli::run(needs_renewal)
}
