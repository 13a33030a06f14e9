//! Just-in-time provisioning: a CA's template, executed for a certificate of its first connection.
//!
//! Developer guide, "Just-in-time provisioning": the values come from the certificate's subject, and
//! a declared parameter without one fails the whole of it.

use jitp_core::template::Template;

use crate::account::{Account, CaCertificate, RegistrationConfig, State, TemplateType};
use crate::diary::{Diary, Entry};
use crate::provisioning::provision;
use crate::x509::X509;

/// Executes a CA's template for a certificate that waits for it, and tells the diary each step.
pub(crate) fn just_in_time(
    account: &Account,
    diary: &Diary,
    ca: &CaCertificate,
    x509: &X509,
    client_id: &str,
) {
    let entry = |entry: Entry| {
        let entry = entry.certificate(x509.id.clone());
        diary.record(match client_id {
            "" => entry,
            _ => entry.client(client_id),
        });
    };
    let Some(config) = &ca.registration_config else {
        return;
    };
    match execute(account, config, x509) {
        Ok(steps) => {
            for step in steps {
                entry(Entry::step("JITP_STEP", format!("JITP: {step}")));
            }
        }
        Err(why) => entry(Entry::refusal(
            "JITP_FAILED",
            format!("JITP: {why}; the certificate stays PENDING_ACTIVATION"),
        )),
    }
}

fn execute(
    account: &Account,
    config: &RegistrationConfig,
    x509: &X509,
) -> Result<Vec<String>, String> {
    let body = template_body(&account.snapshot(), config)?;
    let template = Template::parse(&body).map_err(|error| error.to_string())?;
    let parameters = x509.template_parameters();
    let missing = template.missing_parameters(&parameters);
    if let Some(parameter) = missing.first() {
        return Err(format!(
            "the template declares {parameter} without a Default, and the certificate has no value for it"
        ));
    }
    let filled = template
        .fill(&parameters)
        .map_err(|error| error.to_string())?;
    let done = provision(account, &filled)
        .map_err(|error| format!("{}: {}", error.code, error.message))?;
    Ok(done.steps)
}

fn template_body(state: &State, config: &RegistrationConfig) -> Result<String, String> {
    if let Some(body) = &config.template_body {
        return Ok(body.clone());
    }
    let name = config.template_name.as_deref().unwrap_or_default();
    let template = state
        .provisioning_templates
        .get(name)
        .ok_or_else(|| format!("the provisioning template {name} does not exist any more"))?;
    if template.kind != TemplateType::Jitp {
        return Err(format!(
            "the provisioning template {name} is not of type JITP"
        ));
    }
    if !template.enabled {
        return Err(format!("the provisioning template {name} is disabled"));
    }
    template
        .versions
        .get(&template.default_version)
        .map(|version| version.body.clone())
        .ok_or_else(|| format!("the provisioning template {name} has no default version"))
}
