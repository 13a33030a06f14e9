//! Offering a certificate to another account. The other side does not exist here, so an offer stays
//! open until it is cancelled, or answered by this account itself.

use super::records::{Certificate, CertificateStatus, Transfer};
use super::{ApiError, Transaction, certificates};

/// Offers a certificate (TransferCertificate).
///
/// # Errors
/// `CertificateStateException` while ACTIVE or with policies, `TransferConflictException` when already offered.
pub fn offer(
    tx: &mut Transaction,
    id: &str,
    account: &str,
    message: Option<&str>,
) -> Result<String, ApiError> {
    let certificate = certificates::find(tx, id)?;
    match certificate.status {
        CertificateStatus::PendingTransfer => {
            return Err(ApiError::new(
                "TransferConflictException",
                format!("Certificate {id} is already being transferred"),
            ));
        }
        CertificateStatus::Active => {
            return Err(ApiError::certificate_state(format!(
                "Certificate must be deactivated (not ACTIVE) before transfer. Id: {id}"
            )));
        }
        _ => {}
    }
    if !tx.policy_names_of_target(&certificate.arn).is_empty() {
        return Err(ApiError::certificate_state(format!(
            "Certificate policies must be detached before transfer. Id: {id}"
        )));
    }
    let mut changed = Certificate::clone(&certificate);
    changed.status = CertificateStatus::PendingTransfer;
    changed.transfer = Some(Transfer {
        target_account: account.to_owned(),
        message: message.map(str::to_owned),
        transfer_date: tx.now(),
        ..Transfer::default()
    });
    certificates::put_changed(tx, changed)?;
    let region = &tx.scope.region;
    Ok(format!("arn:aws:iot:{region}:{account}:cert/{id}"))
}

/// How an offer ends.
#[derive(Clone, Debug)]
pub enum Ending {
    /// The target takes it, ACTIVE or INACTIVE.
    Accept {
        /// Whether it becomes ACTIVE.
        set_as_active: bool,
    },
    /// The target refuses it.
    Reject {
        /// Why.
        reason: Option<String>,
    },
    /// The source takes it back.
    Cancel,
}

/// Ends an offer (AcceptCertificateTransfer, RejectCertificateTransfer, CancelCertificateTransfer).
///
/// # Errors
/// `ResourceNotFoundException`, `TransferAlreadyCompletedException` when no offer is open.
pub fn end(tx: &mut Transaction, id: &str, ending: Ending) -> Result<(), ApiError> {
    let mut changed = Certificate::clone(&*certificates::find(tx, id)?);
    let now = tx.now();
    let offered = changed.status == CertificateStatus::PendingTransfer;
    let (true, Some(transfer)) = (offered, changed.transfer.as_mut()) else {
        return Err(ApiError::new(
            "TransferAlreadyCompletedException",
            format!("Certificate {id} is not being transferred"),
        ));
    };
    changed.status = CertificateStatus::Inactive;
    match ending {
        Ending::Accept { set_as_active } => {
            transfer.accept_date = Some(now);
            if set_as_active {
                changed.status = CertificateStatus::Active;
            }
        }
        Ending::Reject { reason } => {
            transfer.reject_date = Some(now);
            transfer.reject_reason = reason;
        }
        Ending::Cancel => changed.transfer = None,
    }
    certificates::put_changed(tx, changed)
}
