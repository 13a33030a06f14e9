//! `ca list` and `ca show`: what is registered.

use jitp_cli::{Common, Failure, Report, Result};
use jitp_cloud::{Cloud, RegisteredCa, RegistrationConfig};
use jitp_core::certificate::CertificateId;
use jitp_core::failure::Class;
use jitp_core::names::CaName;
use jitp_core::store::Store;
use serde::Serialize;
use time::format_description::well_known::Rfc3339;

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

/// Every registered CA, a line for each.
pub(crate) async fn list(cloud: &Cloud, common: &Common) -> Result<()> {
    let mut reporter = common.listing();
    for ca in cloud.registered_cas().await? {
        reporter.line(&line(&ca, None)?)?;
    }
    Ok(())
}

/// Everything about one.
pub(crate) async fn show(cloud: &Cloud, name: &str, common: &Common) -> Result<()> {
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
    common.listing().members(&line)
}

/// A registered CA by its id, or by the name of its file.
pub(crate) async fn find(cloud: &Cloud, name: &str, common: &Common) -> Result<RegisteredCa> {
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
