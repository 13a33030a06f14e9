//! Just-in-time provisioning: a CA's template, executed for a certificate of its first connection.
//!
//! Developer guide, "Just-in-time provisioning": the values come from the certificate's subject, and
//! a declared parameter without one fails the whole of it.

use std::sync::Arc;

use jitp_core::template::Template;
use parking_lot::Mutex;

use crate::account::{Account, CaCertificate, RegistrationConfig, State, TemplateType};
use crate::diary::{Diary, Entry};
use crate::provisioning::provision;
use crate::x509::X509;

/// Executes the templates of CAs.
#[derive(Debug)]
pub(crate) struct JustInTime {
    account: Account,
    diary: Diary,
    /// The template that was executed last: devices that come in number come under the same CA.
    last: Mutex<Option<Arc<Read>>>,
}

/// A template and the text it was read from.
#[derive(Debug)]
struct Read {
    body: String,
    template: Template,
}

impl JustInTime {
    pub(crate) fn new(account: Account, diary: Diary) -> Self {
        Self {
            account,
            diary,
            last: Mutex::new(None),
        }
    }

    /// Executes a CA's template for a certificate that waits for it, and tells the diary each step. `client_id` is
    /// empty where nobody is connected.
    pub(crate) fn provision(&self, ca: &CaCertificate, x509: &X509, client_id: &str) {
        let entry = |entry: Entry| {
            let entry = entry.certificate(x509.id.clone());
            self.diary.record(match client_id {
                "" => entry,
                _ => entry.client(client_id),
            });
        };
        let Some(config) = &ca.registration_config else {
            return;
        };
        match self.execute(config, x509) {
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

    fn execute(&self, config: &RegistrationConfig, x509: &X509) -> Result<Vec<String>, String> {
        let read = self.read(template_body(&self.account.snapshot(), config)?)?;
        let template = &read.template;
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
        let done = provision(&self.account, &filled)
            .map_err(|error| format!("{}: {}", error.code, error.message))?;
        Ok(done.steps)
    }

    fn read(&self, body: &str) -> Result<Arc<Read>, String> {
        let mut last = self.last.lock();
        if let Some(read) = &*last
            && read.body == body
        {
            return Ok(Arc::clone(read));
        }
        let read = Arc::new(Read {
            template: Template::parse(body).map_err(|error| error.to_string())?,
            body: body.to_owned(),
        });
        *last = Some(Arc::clone(&read));
        Ok(read)
    }
}

fn template_body<'a>(state: &'a State, config: &'a RegistrationConfig) -> Result<&'a str, String> {
    if let Some(body) = &config.template_body {
        return Ok(body);
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
        .map(|version| version.body.as_str())
        .ok_or_else(|| format!("the provisioning template {name} has no default version"))
}
