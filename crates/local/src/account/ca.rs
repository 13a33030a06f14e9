//! Certificate authorities of the account: proof of possession, registration, and their two switches.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::rand;
use jitp_core::template::Template;

use super::records::{CaCertificate, CertificateMode, RegistrationConfig, TemplateType};
use super::{ApiError, Transaction};
use crate::x509::X509;

/// CA certificates with one subject an account may hold (AWS General Reference, "AWS IoT Core endpoints and quotas").
const SAME_SUBJECT_LIMIT: usize = 10;

/// What RegisterCACertificate is asked.
#[derive(Clone, Debug, Default)]
pub struct RegisterCa {
    /// The CA certificate as PEM.
    pub certificate_pem: String,
    /// The verification certificate as PEM; DEFAULT mode only.
    pub verification_pem: Option<String>,
    /// How possession is proved.
    pub mode: CertificateMode,
    /// Whether the CA starts ACTIVE.
    pub set_as_active: bool,
    /// Whether first connections register device certificates.
    pub allow_auto_registration: bool,
    /// Just-in-time provisioning.
    pub registration_config: Option<RegistrationConfig>,
    /// Tags of the CA certificate.
    pub tags: BTreeMap<String, String>,
}

/// What UpdateCACertificate is asked; absent members stay as they are.
#[derive(Clone, Debug, Default)]
pub struct UpdateCa {
    /// ACTIVE or INACTIVE.
    pub active: Option<bool>,
    /// ENABLE or DISABLE.
    pub auto_registration: Option<bool>,
    /// A new template.
    pub registration_config: Option<RegistrationConfig>,
    /// Whether to forget the template.
    pub remove_auto_registration: bool,
}

/// The registration code: the same until it is deleted.
///
/// # Errors
/// When no random numbers are to be had.
pub fn registration_code(tx: &mut Transaction) -> Result<String, ApiError> {
    if let Some(code) = &tx.registration_code {
        return Ok(code.to_string());
    }
    let mut octets = [0_u8; 32];
    rand::fill(&mut octets).map_err(|_| ApiError::internal("no random numbers"))?;
    let code = hex::encode(octets);
    tx.put_registration_code(Some(&code))?;
    Ok(code)
}

/// Deletes the registration code; the next one asked for is new.
///
/// # Errors
/// `ResourceNotFoundException` when there is none.
pub fn delete_registration_code(tx: &mut Transaction) -> Result<(), ApiError> {
    if tx.registration_code.is_none() {
        return Err(ApiError::not_found("The registration code does not exist"));
    }
    tx.put_registration_code(None)
}

/// Registers a CA certificate.
///
/// # Errors
/// Every fault of RegisterCACertificate (API reference), each with the sentence that names it.
pub fn register(tx: &mut Transaction, ask: RegisterCa) -> Result<Arc<CaCertificate>, ApiError> {
    let verification = match (ask.mode, ask.verification_pem.as_deref()) {
        (CertificateMode::Default, None | Some("")) => {
            return Err(ApiError::invalid_request(
                "A verification certificate is required to register a CA certificate in DEFAULT mode",
            ));
        }
        (CertificateMode::SniOnly, Some(pem)) if !pem.is_empty() => {
            return Err(ApiError::invalid_request(
                "A verification certificate must not be given in SNI_ONLY mode",
            ));
        }
        (CertificateMode::SniOnly, _) => None,
        (CertificateMode::Default, Some(pem)) => Some(pem.to_owned()),
    };
    let x509 = judged_ca(tx, &ask.certificate_pem)?;
    if let Some(pem) = verification {
        judge_verification(tx, &pem, &x509)?;
    }
    let config = judged_config(tx, ask.registration_config)?;
    let arn = tx.scope.arn("cacert", &x509.id);
    if tx.ca_certificates.contains_key(&x509.id) {
        return Err(ApiError::already_exists(
            "CA certificate already exists",
            &x509.id,
            &arn,
        ));
    }
    if tx.cas_by_subject(&x509.subject_der).len() >= SAME_SUBJECT_LIMIT {
        return Err(ApiError::limit_exceeded(format!(
            "The account already holds {SAME_SUBJECT_LIMIT} CA certificates with this subject"
        )));
    }
    let ca = CaCertificate {
        id: x509.id.clone(),
        arn: arn.clone(),
        pem: ask.certificate_pem,
        active: ask.set_as_active,
        auto_registration: ask.allow_auto_registration,
        registration_config: config,
        mode: ask.mode,
        creation_date: tx.now(),
        last_modified_date: tx.now(),
        customer_version: 1,
        generation_id: tx.new_id(),
        x509: Arc::new(x509),
    };
    let id = ca.id.clone();
    tx.put_ca(ca)?;
    tx.put_tags(&arn, ask.tags)?;
    find(tx, &id)
}

/// A CA certificate of the account.
///
/// # Errors
/// `ResourceNotFoundException`.
pub fn find(state: &super::State, id: &str) -> Result<Arc<CaCertificate>, ApiError> {
    let ca = state.ca_certificates.get(id).cloned();
    ca.ok_or_else(|| ApiError::not_found(format!("CA certificate {id} does not exist")))
}

/// Changes status, auto-registration or template of a CA certificate.
///
/// # Errors
/// `ResourceNotFoundException`, or what is wrong with the template.
pub fn update(tx: &mut Transaction, id: &str, ask: UpdateCa) -> Result<(), ApiError> {
    let mut ca = CaCertificate::clone(&*find(tx, id)?);
    let config = judged_config(tx, ask.registration_config)?;
    if ask.remove_auto_registration && config.is_some() {
        return Err(ApiError::invalid_request(
            "registrationConfig and removeAutoRegistration exclude each other",
        ));
    }
    let before = (
        ca.active,
        ca.auto_registration,
        ca.registration_config.clone(),
    );
    ca.active = ask.active.unwrap_or(ca.active);
    ca.auto_registration = ask.auto_registration.unwrap_or(ca.auto_registration);
    if ask.remove_auto_registration {
        ca.registration_config = None;
    } else if config.is_some() {
        ca.registration_config = config;
    }
    let after = (
        ca.active,
        ca.auto_registration,
        ca.registration_config.clone(),
    );
    if before == after {
        return Ok(());
    }
    ca.last_modified_date = tx.now();
    ca.customer_version += 1;
    ca.generation_id = tx.new_id();
    tx.put_ca(ca)
}

/// Deletes an INACTIVE CA certificate. Device certificates registered under it stay.
///
/// # Errors
/// `ResourceNotFoundException`, `CertificateStateException` while it is ACTIVE.
pub fn delete(tx: &mut Transaction, id: &str) -> Result<(), ApiError> {
    if find(tx, id)?.active {
        return Err(ApiError::certificate_state(format!(
            "CA certificate must be deactivated (not ACTIVE) before deletion. Id: {id}"
        )));
    }
    tx.remove_ca(id);
    Ok(())
}

fn judged_ca(tx: &Transaction, pem: &str) -> Result<X509, ApiError> {
    let invalid = |fault: &dyn std::fmt::Display| {
        ApiError::certificate_validation(format!("The CA certificate is not valid: {fault}"))
    };
    let x509 = X509::from_pem(pem).map_err(|fault| invalid(&fault))?;
    if x509.version != 3 || !x509.is_ca {
        return Err(invalid(
            &"it must be an X.509 version 3 certificate with basicConstraints CA:TRUE",
        ));
    }
    x509.check_algorithms().map_err(|fault| invalid(&fault))?;
    judge_validity(tx, &x509, "CA certificate")?;
    Ok(x509)
}

fn judge_verification(tx: &Transaction, pem: &str, ca: &X509) -> Result<(), ApiError> {
    let invalid = |fault: &dyn std::fmt::Display| {
        ApiError::certificate_validation(format!(
            "The verification certificate is not valid: {fault}"
        ))
    };
    let x509 = X509::from_pem(pem).map_err(|fault| invalid(&fault))?;
    x509.verify_signed_by(ca).map_err(|fault| invalid(&fault))?;
    x509.check_algorithms().map_err(|fault| invalid(&fault))?;
    judge_validity(tx, &x509, "verification certificate")?;
    let expected = tx.registration_code.as_deref();
    if expected.is_none() || x509.common_name() != expected {
        return Err(ApiError::new(
            "RegistrationCodeValidationException",
            "The common name of the verification certificate is not the registration code of this account and region",
        ));
    }
    Ok(())
}

fn judge_validity(tx: &Transaction, x509: &X509, what: &str) -> Result<(), ApiError> {
    let now = tx.now().whole_seconds();
    if x509.is_valid_at(now) {
        return Ok(());
    }
    let when = if now < x509.not_before {
        "is not valid yet"
    } else {
        "has expired"
    };
    Err(ApiError::certificate_validation(format!(
        "The {what} {when}"
    )))
}

/// The rules AWS leaves open are listed in docs/divergences.md, "Control plane".
fn judged_config(
    tx: &Transaction,
    config: Option<RegistrationConfig>,
) -> Result<Option<RegistrationConfig>, ApiError> {
    let Some(config) = config else {
        return Ok(None);
    };
    let refuse = |message: String| Err(ApiError::invalid_request(message));
    match (&config.template_body, &config.template_name) {
        (Some(_), Some(_)) => refuse("templateBody and templateName exclude each other".to_owned()),
        (Some(body), None) => {
            if config.role_arn.is_none() {
                return refuse("templateBody requires roleArn".to_owned());
            }
            match Template::parse(body) {
                Ok(_) => Ok(Some(config)),
                Err(error) => refuse(format!("The template is not valid: {error}")),
            }
        }
        (None, Some(name)) => match tx.provisioning_templates.get(name) {
            None => Err(ApiError::no_such("Provisioning template", name)),
            Some(template) if template.kind != TemplateType::Jitp => {
                refuse(format!("Provisioning template {name} is not of type JITP"))
            }
            Some(_) => Ok(Some(config)),
        },
        (None, None) if config.role_arn.is_some() => {
            refuse("roleArn requires templateBody".to_owned())
        }
        (None, None) => Ok(None),
    }
}
