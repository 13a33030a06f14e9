//! What enable-certificate and disable-certificate have in common: a status for every certificate of many things.

use jitp_cli::{Batch, BatchFlags, Common, Done, Failure, Order, Report, Result};
use jitp_cloud::{CertificateStatus, Cloud};
use jitp_core::failure::Class;
use jitp_core::names::ThingName;
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    thing: String,
    status: &'static str,
    certificate_id: String,
    outcome: &'static str,
}

impl Report for Line {
    fn columns(&self) -> Vec<String> {
        let (status, outcome) = (self.status.to_owned(), self.outcome.to_owned());
        vec![
            self.thing.clone(),
            status,
            self.certificate_id.clone(),
            outcome,
        ]
    }
}

/// Sets the status, a line for each certificate that has it afterwards.
pub(crate) async fn set(
    cloud: &Cloud,
    things: Vec<ThingName>,
    status: CertificateStatus,
    flags: &BatchFlags,
    common: &Common,
) -> Result<()> {
    let total = Some(things.len());
    Batch::new(common, flags, "thing", Order::Completion, total)
        .run_list(things, async |thing| set_one(cloud, thing, status).await)
        .await
}

async fn set_one(cloud: &Cloud, thing: &ThingName, status: CertificateStatus) -> Done<Line> {
    let changes = match cloud.set_thing_status(thing.as_str(), status).await {
        Ok(changes) => changes,
        Err(error) => return Err(error.into()).into(),
    };
    if changes.is_empty() {
        let message = format!("{thing} has no certificate");
        return Err(Failure::new(Class::NotFound, message)).into();
    }
    let mut done = Done {
        lines: Vec::new(),
        failure: None,
    };
    for change in changes {
        let id = change.certificate_id;
        match change.after {
            Ok(after) => done.lines.push(Line {
                thing: thing.to_string(),
                status: after.as_str(),
                certificate_id: id,
                outcome: match after == change.before {
                    true => "unchanged",
                    false => "changed",
                },
            }),
            Err(error) => {
                let context = format!("{thing}: certificate {id} stays {}", change.before);
                done.failure = Some(Failure::from(error).context(context));
            }
        }
    }
    done
}
