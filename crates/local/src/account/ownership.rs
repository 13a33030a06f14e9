//! Ownership tokens: the proof that who registers a thing is who asked for its certificate.
//!
//! A token comes with a certificate that fleet provisioning made, is good for one hour, and is taken
//! once (developer guide, "Device provisioning MQTT API"). What is kept of it is a hash.

use std::sync::Arc;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngCore as _;

use super::records::{Certificate, CertificateStatus, OwnershipToken};
use super::{ApiError, State, Timestamp, Transaction, certificates};

/// How long a token is good for, in microseconds.
const LIFETIME: i64 = 3600 * 1_000_000;

/// Octets of chance in a token.
const OCTETS: usize = 48;

/// Makes the token of a certificate.
///
/// # Errors
/// When it cannot be stored.
pub fn issue(tx: &mut Transaction, certificate_id: &str) -> Result<String, ApiError> {
    let mut octets = [0; OCTETS];
    rand::rng().fill_bytes(&mut octets);
    let text = URL_SAFE_NO_PAD.encode(octets);
    let token = OwnershipToken {
        certificate_id: certificate_id.to_owned(),
        expires_at: Timestamp(tx.now().0.saturating_add(LIFETIME)),
    };
    tx.put_ownership_token(hash(&text), token)?;
    Ok(text)
}

/// The certificate a token was issued with.
///
/// # Errors
/// A sentence: the token is empty, unknown, used or expired, or its certificate is gone.
pub fn certificate(state: &State, text: &str, now: Timestamp) -> Result<Arc<Certificate>, String> {
    if text.is_empty() {
        return Err("Certificate ownership token cannot be empty.".to_owned());
    }
    let token = state.ownership_tokens.get(&hash(text)).ok_or(
        "The certificate ownership token is not known; it was used already, has expired, or was never issued.",
    )?;
    if token.expires_at <= now {
        return Err(
            "The certificate ownership token has expired; it is valid for one hour.".into(),
        );
    }
    certificates::find(state, &token.certificate_id).map_err(|_| {
        "The certificate of this ownership token has been deleted meanwhile.".to_owned()
    })
}

/// Takes a token, so that it is taken no more.
pub fn redeem(tx: &mut Transaction, text: &str) {
    tx.remove_ownership_token(&hash(text));
}

/// Whether tokens have expired that [`sweep`] would remove.
pub fn has_expired(state: &State, now: Timestamp) -> bool {
    let oldest = state.ownership_tokens_by_expiry.get_min();
    oldest.is_some_and(|(expires_at, _)| *expires_at <= now)
}

/// Removes expired tokens, and with them the certificates nobody has done anything with: still
/// PENDING_ACTIVATION, without thing and without policy. The ids of those.
pub fn sweep(tx: &mut Transaction) -> Vec<String> {
    let now = tx.now();
    let expired: Vec<String> = tx
        .ownership_tokens_by_expiry
        .iter()
        .take_while(|(expires_at, _)| *expires_at <= now)
        .map(|(_, hash)| hash.clone())
        .collect();
    let mut deleted = Vec::new();
    for hash in expired {
        if let Some(token) = tx.ownership_tokens.get(&hash).cloned()
            && is_unused(tx, &token.certificate_id)
        {
            tx.remove_certificate(&token.certificate_id);
            deleted.push(token.certificate_id.clone());
        }
        tx.remove_ownership_token(&hash);
    }
    deleted
}

fn is_unused(state: &State, certificate_id: &str) -> bool {
    let pending = state
        .certificates
        .get(certificate_id)
        .is_some_and(|certificate| certificate.status == CertificateStatus::PendingActivation);
    let arn = state.certificate_arn(certificate_id);
    pending
        && state.things_of_principal(&arn).is_empty()
        && state.policy_names_of_target(&arn).is_empty()
}

fn hash(text: &str) -> String {
    hex::encode(digest::digest(&digest::SHA256, text.as_bytes()))
}
