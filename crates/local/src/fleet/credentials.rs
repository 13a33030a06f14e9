//! CreateKeysAndCertificate and CreateCertificateFromCsr: a certificate that waits for its activation,
//! and the token that proves whose it is.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::payload::CreateFromCsr;
use super::rejection::Rejection;
use super::{Asking, Inner};
use crate::account::issuing::{DeviceKeys, Issued};
use crate::account::{ApiError, CertificateStatus, certificates, ownership};

/// Longest certificate signing request, as in the API over HTTP.
const LONGEST_REQUEST: usize = 4096;

impl Inner {
    pub(super) async fn create_keys(
        self: &Arc<Self>,
        asking: &Asking,
    ) -> Result<Map<String, Value>, Rejection> {
        let asking = asking.clone();
        self.work(move |inner| {
            let keys = DeviceKeys::generate()?;
            let now = inner.account.clock().timestamp().whole_seconds();
            let issued = inner.account.issuing_ca()?.issue_for_keys(&keys, now)?;
            let private_key = keys.private_pem()?;
            let mut body = inner.hand_out(&asking, issued)?;
            body.insert("privateKey".to_owned(), private_key.into());
            Ok(body)
        })
        .await
    }

    pub(super) async fn create_from_csr(
        self: &Arc<Self>,
        asking: &Asking,
        ask: CreateFromCsr,
    ) -> Result<Map<String, Value>, Rejection> {
        let request = ask.certificate_signing_request;
        if request.is_empty() || request.len() > LONGEST_REQUEST {
            return Err(Rejection::invalid_signing_request(format!(
                "The certificate signing request has {} characters; 1 to {LONGEST_REQUEST} are allowed",
                request.len()
            )));
        }
        let asking = asking.clone();
        self.work(move |inner| {
            let now = inner.account.clock().timestamp().whole_seconds();
            let issued = inner.account.issuing_ca()?.issue_for_csr(&request, now);
            let issued = issued.map_err(|error| match error.code {
                "InvalidRequestException" => Rejection::invalid_signing_request(error.message),
                _ => error.into(),
            })?;
            Ok(inner.hand_out(&asking, issued)?)
        })
        .await
    }

    /// Registers a certificate as PENDING_ACTIVATION; what its owner is answered.
    fn hand_out(&self, asking: &Asking, issued: Issued) -> Result<Map<String, Value>, ApiError> {
        let Issued { pem, x509 } = issued;
        let (id, token) = self.account.write(|tx| {
            let pending = CertificateStatus::PendingActivation;
            let certificate = certificates::take_issued(tx, x509, &pem, pending)?;
            let token = ownership::issue(tx, &certificate.id)?;
            Ok((certificate.id.clone(), token))
        })?;
        let sentence = format!(
            "fleet provisioning: certificate {id} issued, PENDING_ACTIVATION; RegisterThing must follow within an hour"
        );
        self.tell(asking, "FLEET_STEP", sentence);
        Ok(Map::from_iter([
            ("certificateId".to_owned(), id.into()),
            ("certificatePem".to_owned(), pem.into()),
            ("certificateOwnershipToken".to_owned(), token.into()),
        ]))
    }
}
