//! RegisterThing: the token, the template, the hook, the parameters, and then the template executed,
//! all of it or nothing. A request that is rejected leaves its token good for another one.

use std::collections::BTreeMap;
use std::sync::Arc;

use jitp_core::template::{CertificateSource, Filled, Template};
use serde_json::{Map, Value, json};

use super::hook::HookCall;
use super::payload::RegisterThing;
use super::rejection::Rejection;
use super::{Asking, Inner};
use crate::account::{Certificate, ProvisioningTemplate, State, TemplateType, ownership};
use crate::provisioning::{self, Provisioned};

/// The parameter that AWS IoT itself gives a value.
pub(super) const CERTIFICATE_ID: &str = "AWS::IoT::Certificate::Id";

impl Inner {
    pub(super) async fn register(
        self: &Arc<Self>,
        asking: &Asking,
        template_name: &str,
        ask: RegisterThing,
    ) -> Result<Map<String, Value>, Rejection> {
        let token = ask.certificate_ownership_token.unwrap_or_default();
        let state = self.account.snapshot();
        let certificate = self.owned_certificate(&state, &token)?;
        let template = enabled_template(&state, template_name)?;
        let body = parsed(&template)?;
        let mut parameters = ask.parameters.unwrap_or_default();
        refuse_reserved(&parameters)?;

        if let Some(hook) = &template.hook {
            let call = HookCall {
                claim_certificate_id: &asking.certificate_id,
                certificate: &certificate,
                template_arn: &template.arn,
                client_id: &asking.client_id,
                parameters: &parameters,
            };
            let overrides = self.ask_hook(&state, hook, &call).await?;
            parameters.extend(overrides);
        }

        parameters.insert(CERTIFICATE_ID.to_owned(), certificate.id.clone());
        let filled = fill(&body, &parameters)?;
        check_certificate(&filled, &certificate)?;
        let configuration = filled.device_configuration.clone().unwrap_or_default();
        let done = self.execute(token, certificate, filled).await?;
        for step in &done.steps {
            self.tell(asking, "FLEET_STEP", format!("fleet provisioning: {step}"));
        }
        let mut answer = Map::new();
        answer.insert("deviceConfiguration".to_owned(), json!(configuration));
        if let Some(name) = done.thing_name {
            answer.insert("thingName".to_owned(), name.into());
        }
        Ok(answer)
    }

    fn owned_certificate(&self, state: &State, token: &str) -> Result<Arc<Certificate>, Rejection> {
        let now = self.account.clock().timestamp();
        ownership::certificate(state, token, now).map_err(Rejection::invalid_token)
    }

    /// Takes the token and executes the template, in one change: of two requests with the same token
    /// one is too late, and of two devices with the same serial number each finds what the other made.
    async fn execute(
        self: &Arc<Self>,
        token: String,
        certificate: Arc<Certificate>,
        filled: Filled,
    ) -> Result<Provisioned, Rejection> {
        self.work(move |inner| {
            let mut late = None;
            let done = inner.account.write(|tx| {
                let owned = ownership::certificate(tx, &token, tx.now());
                if let Err(sentence) = owned {
                    late = Some(sentence.clone());
                    return Err(crate::account::ApiError::invalid_request(sentence));
                }
                ownership::redeem(tx, &token);
                provisioning::execute(tx, &filled, None)
            });
            match (done, late) {
                (Err(_), Some(sentence)) => Err(Rejection::invalid_token(sentence)),
                (Err(error), None) => {
                    tracing::debug!(certificate = %certificate.id, "RegisterThing: {error}");
                    Err(Rejection::failed(&error))
                }
                (Ok(done), _) => Ok(done),
            }
        })
        .await
    }
}

fn enabled_template(state: &State, name: &str) -> Result<Arc<ProvisioningTemplate>, Rejection> {
    let template = state.provisioning_templates.get(name).ok_or_else(|| {
        Rejection::no_template(format!("Provisioning template {name} does not exist"))
    })?;
    if template.kind != TemplateType::FleetProvisioning {
        return Err(Rejection::no_template(format!(
            "Provisioning template {name} is of type JITP; devices register by templates of type FLEET_PROVISIONING"
        )));
    }
    if !template.enabled {
        return Err(Rejection::template_disabled(format!(
            "Provisioning template {name} is not enabled"
        )));
    }
    Ok(Arc::clone(template))
}

/// The template's default version.
fn parsed(template: &ProvisioningTemplate) -> Result<Template, Rejection> {
    let version = template.versions.get(&template.default_version);
    let body = version.map_or("", |version| version.body.as_str());
    let refuse = |fault: &dyn std::fmt::Display| {
        Rejection::invalid_template(format!(
            "Provisioning template {} cannot be executed: {fault}",
            template.name
        ))
    };
    let parsed = Template::parse(body).map_err(|fault| refuse(&fault))?;
    match parsed.check_fleet().first() {
        Some(fault) => Err(refuse(fault)),
        None => Ok(parsed),
    }
}

/// A device gives values to the template's own parameters, not to those of AWS IoT.
pub(super) fn refuse_reserved(parameters: &BTreeMap<String, String>) -> Result<(), Rejection> {
    match parameters.keys().find(|name| name.starts_with("AWS::")) {
        Some(name) => Err(Rejection::invalid_parameters(format!(
            "The parameter {name} is AWS IoT's own and takes no value from outside"
        ))),
        None => Ok(()),
    }
}

fn fill(template: &Template, parameters: &BTreeMap<String, String>) -> Result<Filled, Rejection> {
    let missing = template.missing_parameters(parameters);
    if !missing.is_empty() {
        return Err(Rejection::invalid_parameters(format!(
            "The template declares {} without a Default, and the request has no value for it",
            missing.join(", ")
        )));
    }
    template
        .fill(parameters)
        .map_err(|fault| Rejection::invalid_parameters(fault.to_string()))
}

/// A token is the proof for one certificate; a template cannot lead to another one.
fn check_certificate(filled: &Filled, owned: &Certificate) -> Result<(), Rejection> {
    let Some(resource) = &filled.certificate else {
        return Ok(());
    };
    match &resource.source {
        CertificateSource::Id(id) if *id == owned.id => Ok(()),
        _ => Err(Rejection::invalid_template(
            "The template's certificate is not the one of the ownership token; its CertificateId must be {\"Ref\": \"AWS::IoT::Certificate::Id\"}".to_owned(),
        )),
    }
}
