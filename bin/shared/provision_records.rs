//! Where the lines of a batch go: stdout, the manifest, and the report for continuous integration.

use jitp_cli::{Failure, Report, Reporter, Result};
use jitp_issuing::{Junit, Manifest, Order, Outcome};
use serde::Serialize;

use crate::wanted::Bad;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    device: String,
    outcome: &'static str,
    certificate_id: String,
    files: Vec<String>,
}

impl Report for Line {
    fn columns(&self) -> Vec<String> {
        let mut columns = vec![
            self.device.clone(),
            self.outcome.to_owned(),
            self.certificate_id.clone(),
        ];
        columns.extend(self.files.iter().cloned());
        columns
    }
}

/// Where the lines of a batch go.
pub(super) struct Records {
    pub(super) reporter: Reporter,
    pub(super) manifest: Option<Manifest>,
    pub(super) junit: Option<Junit>,
}

impl Records {
    pub(super) fn add(&mut self, order: &Order<'_>) -> Result<()> {
        if let Some(manifest) = &mut self.manifest {
            manifest.add(order)?;
        }
        if let Some(junit) = &mut self.junit {
            junit.add(order)?;
        }
        self.reporter.line(&Line {
            device: order.device.to_owned(),
            outcome: match order.outcome {
                Outcome::Issued => "issued",
                Outcome::Unchanged => "unchanged",
            },
            certificate_id: order.certificate.to_string(),
            files: order
                .files
                .iter()
                .map(|file| file.display().to_string())
                .collect(),
        })
    }

    pub(super) fn add_bad(&mut self, bad: &Bad) -> Result<()> {
        if let Some(junit) = &mut self.junit {
            junit.add_failure(&bad.place, &bad.why)?;
        }
        self.reporter.line(bad)
    }

    pub(super) fn publish(self, failure: Option<&Failure>) -> Result<()> {
        if let Some(manifest) = self.manifest {
            manifest.publish()?;
        }
        if let Some(mut junit) = self.junit {
            if let Some(failure) = failure {
                junit.add_failure("batch", failure.message())?;
            }
            junit.publish()?;
        }
        Ok(())
    }
}
