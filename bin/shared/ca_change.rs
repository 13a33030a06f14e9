//! `ca enable`, `ca disable` and `ca delete`: what becomes of registrations.

use jitp_cli::{Batch, BatchFlags, Common, Failure, Order, Report, Result};
use jitp_cloud::Cloud;
use serde::Serialize;

use super::show::find;

/// The outcome of one CA.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Changed {
    ca: String,
    outcome: String,
}

impl Report for Changed {
    fn columns(&self) -> Vec<String> {
        vec![self.ca.clone(), self.outcome.clone()]
    }
}

/// What is to become of a registration.
#[derive(Clone, Copy)]
pub(crate) enum Change {
    /// Active or not, and where given whether unknown certificates register themselves.
    Status(bool, Option<bool>),
    /// Only say what deleting would do.
    PlanDeletion,
    /// End it.
    Delete,
}

/// Changes registrations, a line for each.
pub(crate) async fn change_all(
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
            let pair = outcome.map(|outcome| Changed {
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
