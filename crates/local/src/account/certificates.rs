//! Device certificates: how they enter the account, change status, and leave.

use std::sync::Arc;

use super::records::{CaCertificate, Certificate, CertificateMode, CertificateStatus};
use super::{ApiError, State, Transaction};
use crate::x509::X509;

/// A device certificate of the account.
///
/// # Errors
/// `ResourceNotFoundException`.
pub fn find(state: &State, id: &str) -> Result<Arc<Certificate>, ApiError> {
    let certificate = state.certificates.get(id).cloned();
    certificate.ok_or_else(|| ApiError::not_found(format!("Certificate {id} does not exist")))
}

/// Registers a certificate signed by a registered, ACTIVE CA (RegisterCertificate).
///
/// # Errors
/// The faults of RegisterCertificate, each with the sentence that names it.
pub fn register(
    tx: &mut Transaction,
    pem: &str,
    ca_pem: Option<&str>,
    status: CertificateStatus,
) -> Result<Arc<Certificate>, ApiError> {
    judge_status(status)?;
    let x509 = judged(pem)?;
    refuse_duplicate(tx, &x509)?;
    let ca = signer(tx, &x509, ca_pem)?;
    if !ca.active {
        return Err(ApiError::certificate_state(format!(
            "CA certificate {} is not ACTIVE",
            ca.id
        )));
    }
    let source = Source {
        mode: ca.mode,
        ca: Some(ca.id.clone()),
    };
    insert(tx, Arc::new(x509), pem, status, source)
}

/// Registers a certificate without a CA (RegisterCertificateWithoutCA); self-signed ones are welcome.
///
/// # Errors
/// The faults of RegisterCertificateWithoutCA, each with the sentence that names it.
pub fn register_without_ca(
    tx: &mut Transaction,
    pem: &str,
    status: CertificateStatus,
) -> Result<Arc<Certificate>, ApiError> {
    judge_status(status)?;
    let x509 = judged(pem)?;
    refuse_duplicate(tx, &x509)?;
    let source = Source {
        mode: CertificateMode::SniOnly,
        ca: None,
    };
    insert(tx, Arc::new(x509), pem, status, source)
}

/// Takes in a certificate the local core issued itself.
///
/// # Errors
/// `ResourceAlreadyExistsException`, which a random serial number rules out.
pub fn take_issued(
    tx: &mut Transaction,
    x509: X509,
    pem: &str,
    status: CertificateStatus,
) -> Result<Arc<Certificate>, ApiError> {
    refuse_duplicate(tx, &x509)?;
    let source = Source {
        mode: CertificateMode::Default,
        ca: None,
    };
    insert(tx, Arc::new(x509), pem, status, source)
}

/// Registers the certificate of a first connection as PENDING_ACTIVATION under the CA that signed it
/// (developer guide, "Just-in-time registration"). The caller has judged CA and signature.
///
/// # Errors
/// `ResourceAlreadyExistsException` when another connection was first.
pub fn auto_register(
    tx: &mut Transaction,
    x509: Arc<X509>,
    ca: &CaCertificate,
) -> Result<Arc<Certificate>, ApiError> {
    refuse_duplicate(tx, &x509)?;
    let source = Source {
        mode: ca.mode,
        ca: Some(ca.id.clone()),
    };
    let pem = x509.to_pem();
    insert(tx, x509, &pem, CertificateStatus::PendingActivation, source)
}

/// Changes the status (UpdateCertificate). Setting the present status again changes nothing.
///
/// # Errors
/// `ResourceNotFoundException`; `CertificateStateException` for the pending statuses, which are not to be
/// set, and for leaving PENDING_TRANSFER or REVOKED.
pub fn update(tx: &mut Transaction, id: &str, status: CertificateStatus) -> Result<(), ApiError> {
    let certificate = find(tx, id)?;
    if matches!(
        status,
        CertificateStatus::PendingTransfer | CertificateStatus::PendingActivation
    ) {
        return Err(ApiError::certificate_state(format!(
            "The status of a certificate cannot be set to {status}. Id: {id}"
        )));
    }
    if certificate.status == status {
        return Ok(());
    }
    match certificate.status {
        CertificateStatus::PendingTransfer => Err(ApiError::certificate_state(format!(
            "The certificate is being transferred; cancel the transfer first. Id: {id}"
        ))),
        // Developer guide, "Deactivate or revoke a client certificate": a revoked one cannot be activated again.
        CertificateStatus::Revoked => Err(ApiError::certificate_state(format!(
            "A revoked certificate cannot become {status}. Id: {id}"
        ))),
        _ => {
            let mut changed = Certificate::clone(&certificate);
            changed.status = status;
            put_changed(tx, changed)
        }
    }
}

/// Deletes a certificate (DeleteCertificate).
///
/// # Errors
/// `CertificateStateException` while ACTIVE or being transferred, `DeleteConflictException` while attached
/// to a thing, or to policies without `force`.
pub fn delete(tx: &mut Transaction, id: &str, force: bool) -> Result<(), ApiError> {
    let certificate = find(tx, id)?;
    match certificate.status {
        CertificateStatus::Active => {
            return Err(ApiError::certificate_state(format!(
                "Certificate must be deactivated (not ACTIVE) before deletion. Id: {id}"
            )));
        }
        CertificateStatus::PendingTransfer => {
            return Err(ApiError::certificate_state(format!(
                "Certificate must not be in transfer (PENDING_TRANSFER) before deletion. Id: {id}"
            )));
        }
        _ => {}
    }
    let arn = &certificate.arn;
    if !tx.things_of_principal(arn).is_empty() {
        return Err(ApiError::delete_conflict(format!(
            "Things must be detached before deletion (arn: {arn})"
        )));
    }
    let policies = tx.policy_names_of_target(arn);
    if !policies.is_empty() && !force {
        return Err(ApiError::delete_conflict(format!(
            "Certificate policies must be detached before deletion (arn: {arn})"
        )));
    }
    for policy in policies {
        tx.remove_attachment(&policy, arn);
    }
    tx.remove_certificate(id);
    Ok(())
}

pub(super) fn put_changed(
    tx: &mut Transaction,
    mut certificate: Certificate,
) -> Result<(), ApiError> {
    certificate.last_modified_date = tx.now();
    certificate.customer_version += 1;
    certificate.generation_id = tx.new_id();
    tx.put_certificate(certificate)
}

struct Source {
    mode: CertificateMode,
    ca: Option<String>,
}

fn insert(
    tx: &mut Transaction,
    x509: Arc<X509>,
    pem: &str,
    status: CertificateStatus,
    source: Source,
) -> Result<Arc<Certificate>, ApiError> {
    let id = x509.id.clone();
    tx.put_certificate(Certificate {
        arn: tx.certificate_arn(&id),
        id: id.clone(),
        pem: pem.to_owned(),
        status,
        mode: source.mode,
        ca_certificate_id: source.ca,
        creation_date: tx.now(),
        last_modified_date: tx.now(),
        customer_version: 1,
        generation_id: tx.new_id(),
        transfer: None,
        x509,
    })?;
    find(tx, &id)
}

fn judge_status(status: CertificateStatus) -> Result<(), ApiError> {
    match status {
        CertificateStatus::PendingActivation | CertificateStatus::PendingTransfer => {
            Err(ApiError::certificate_state(format!(
                "Not allowed to register certificate with {status} status"
            )))
        }
        _ => Ok(()),
    }
}

fn judged(pem: &str) -> Result<X509, ApiError> {
    let invalid =
        |fault| ApiError::certificate_validation(format!("The certificate is not valid: {fault}"));
    let x509 = X509::from_pem(pem).map_err(invalid)?;
    x509.check_algorithms().map_err(invalid)?;
    Ok(x509)
}

fn refuse_duplicate(tx: &Transaction, x509: &X509) -> Result<(), ApiError> {
    match tx.certificates.get(x509.id.as_str()) {
        Some(certificate) => Err(ApiError::already_exists(
            "The certificate is already provisioned or registered",
            &certificate.id,
            &certificate.arn,
        )),
        None => Ok(()),
    }
}

/// The registered CA that signed a certificate. Which error AWS answers for an unknown signer is open.
fn signer(
    tx: &Transaction,
    x509: &X509,
    ca_pem: Option<&str>,
) -> Result<Arc<CaCertificate>, ApiError> {
    if let Some(ca_pem) = ca_pem.filter(|pem| !pem.is_empty()) {
        let given = X509::from_pem(ca_pem).map_err(|fault| {
            ApiError::certificate_validation(format!("The CA certificate is not valid: {fault}"))
        })?;
        x509.verify_signed_by(&given).map_err(|fault| {
            ApiError::certificate_validation(format!("The certificate is not valid: {fault}"))
        })?;
        let registered = tx.ca_certificates.get(&given.id).cloned();
        return registered.ok_or_else(|| {
            ApiError::invalid_request(format!("CA certificate {} is not registered", given.id))
        });
    }
    let candidates = tx.cas_by_subject(&x509.issuer_der);
    if candidates.is_empty() {
        return Err(ApiError::invalid_request(
            "The certificate was not signed by a registered CA certificate",
        ));
    }
    let mut signers = tx.cas_that_signed(x509);
    match signers.len() {
        0 => Err(ApiError::certificate_validation(
            "The certificate is not valid: no registered CA certificate with the name of its issuer has signed it",
        )),
        1 => Ok(signers.remove(0)),
        _ => Err(ApiError::new(
            "CertificateConflictException",
            "More than one registered CA certificate has the subject and the key that signed the certificate; \
             give caCertificatePem",
        )),
    }
}
