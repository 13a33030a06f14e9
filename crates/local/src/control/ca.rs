//! CA certificates: registration code, registration, the switches, deletion.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::Handler;
use super::fields::{put, tags, text_in};
use super::paging::Page;
use crate::account::ca::{self, RegisterCa, UpdateCa};
use crate::account::{Account, ApiError, CertificateMode, RegistrationConfig};
use crate::model::Input;

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("GetRegistrationCode", get_registration_code),
    ("DeleteRegistrationCode", delete_registration_code),
    ("RegisterCACertificate", register),
    ("DescribeCACertificate", describe),
    ("ListCACertificates", list),
    ("UpdateCACertificate", update),
    ("DeleteCACertificate", delete),
];

fn get_registration_code(account: &Account, _: &Input) -> Result<Value, ApiError> {
    let present = account.snapshot().registration_code.clone();
    let code = match present {
        Some(code) => code.to_string(),
        None => account.write(ca::registration_code)?,
    };
    Ok(json!({ "registrationCode": code }))
}

fn delete_registration_code(account: &Account, _: &Input) -> Result<Value, ApiError> {
    account.write(ca::delete_registration_code)?;
    Ok(Value::Null)
}

fn register(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let ask = RegisterCa {
        certificate_pem: input.required("caCertificate").to_owned(),
        verification_pem: input.text("verificationCertificate").map(str::to_owned),
        mode: match input.text("certificateMode") {
            Some("SNI_ONLY") => CertificateMode::SniOnly,
            _ => CertificateMode::Default,
        },
        set_as_active: input.flag("setAsActive"),
        allow_auto_registration: input.flag("allowAutoRegistration"),
        registration_config: registration_config(input),
        tags: tags(input),
    };
    let ca = account.write(|tx| ca::register(tx, ask))?;
    Ok(json!({ "certificateArn": ca.arn, "certificateId": ca.id }))
}

fn describe(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let state = account.snapshot();
    let ca = ca::find(&state, input.required("certificateId"))?;
    let mut answer = Map::new();
    answer.insert(
        "certificateDescription".to_owned(),
        json!({
            "certificateArn": ca.arn,
            "certificateId": ca.id,
            "status": ca.status(),
            "certificatePem": ca.pem,
            "ownedBy": state.scope.account_id,
            "creationDate": ca.creation_date.seconds(),
            "autoRegistrationStatus": if ca.auto_registration { "ENABLE" } else { "DISABLE" },
            "lastModifiedDate": ca.last_modified_date.seconds(),
            "customerVersion": ca.customer_version,
            "generationId": ca.generation_id,
            "validity": { "notBefore": ca.x509.not_before, "notAfter": ca.x509.not_after },
            "certificateMode": ca.mode.as_str(),
        }),
    );
    let config = ca.registration_config.as_ref().map(|config| json!(config));
    put(&mut answer, "registrationConfig", config);
    Ok(Value::Object(answer))
}

fn list(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let page = Page::marked(input)?;
    let state = account.snapshot();
    let template = input.text("templateName");
    let ages = state
        .ca_certificates
        .values()
        .filter(|ca| {
            let config = ca.registration_config.as_ref();
            template.is_none()
                || config.and_then(|config| config.template_name.as_deref()) == template
        })
        .map(|ca| (ca.creation_date, Arc::from(ca.id.as_str())))
        .collect();
    Ok(page.of_ages("certificates", &ages, false, |id| {
        let ca = state.ca_certificates.get(id)?;
        Some(json!({
            "certificateArn": ca.arn,
            "certificateId": ca.id,
            "status": ca.status(),
            "creationDate": ca.creation_date.seconds(),
        }))
    }))
}

fn update(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let ask = UpdateCa {
        active: input.text("newStatus").map(|word| word == "ACTIVE"),
        auto_registration: input
            .text("newAutoRegistrationStatus")
            .map(|word| word == "ENABLE"),
        registration_config: registration_config(input),
        remove_auto_registration: input.flag("removeAutoRegistration"),
    };
    account.write(|tx| ca::update(tx, input.required("certificateId"), ask))?;
    Ok(Value::Null)
}

fn delete(account: &Account, input: &Input) -> Result<Value, ApiError> {
    account.write(|tx| ca::delete(tx, input.required("certificateId")))?;
    Ok(Value::Null)
}

fn registration_config(input: &Input) -> Option<RegistrationConfig> {
    let config = input.object("registrationConfig")?;
    Some(RegistrationConfig {
        template_body: text_in(config, "templateBody"),
        role_arn: text_in(config, "roleArn"),
        template_name: text_in(config, "templateName"),
    })
}
