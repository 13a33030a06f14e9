//! The files of a claim: looked at, and made.

use jitp_cli::{Failure, Result};
use jitp_core::ca::{CertificateAuthority, SelfSigned};
use jitp_core::certificate::Certificate;
use jitp_core::failure::Class;
use jitp_core::names::ThingName;
use jitp_core::store::{DeviceIdentity, Store};
use time::OffsetDateTime;

/// Whether the claim that is there is the one that is asked for.
pub(crate) fn check(
    present: &DeviceIdentity,
    store: &Store,
    claim: &ThingName,
    ca: Option<&CertificateAuthority>,
    now: OffsetDateTime,
) -> Result<()> {
    let certificate = present.certificate();
    let why = match ca {
        _ if !certificate.is_valid_at(now) => "is not valid today",
        Some(ca) if !certificate.is_signed_by(ca.certificate()) => "is signed by another CA",
        None if certificate.issuer_der() != certificate.subject_der() => "is not self-signed",
        _ => return Ok(()),
    };
    let file = store.claim_files(claim).certificate;
    let message = format!("{} already exists, and {why}", file.display());
    let hint = "keys and certificates are never overwritten: give the new claim another name";
    Err(Failure::new(Class::Conflict, message).hint(hint))
}

/// Writes a claim that signed itself.
pub(crate) fn save(store: &Store, claim: &ThingName, made: &SelfSigned) -> Result<Certificate> {
    store.save_claim(claim, made.private_key(), &made.certificate().to_pem())?;
    Ok(made.certificate().clone())
}
