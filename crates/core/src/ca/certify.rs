//! From a subject and a key to a signed certificate: draft, lint, signature.

use aws_lc_rs::digest;

use super::{
    CaError, KeyType, SerialNumber, Subject,
    draft::{CertifiedKey, Kind, Name, Request, Stencil, placeholder},
    lint,
    public_half::PublicHalf,
    signer::Signer,
};
use crate::certificate::Certificate;

/// A subject and a key, encoded.
pub(super) struct Certified<'a> {
    subject: &'a Subject,
    name: Vec<u8>,
    key_type: KeyType,
    key_info: Vec<u8>,
    key_bits: &'a [u8],
    key_id: [u8; 20],
}

impl<'a> Certified<'a> {
    pub(super) fn new(subject: &'a Subject, key: PublicHalf<'a>) -> Self {
        Self {
            subject,
            name: subject.to_der(),
            key_type: key.key_type,
            key_info: key.info(),
            key_bits: key.bits,
            key_id: key_id(key.bits),
        }
    }

    pub(super) fn request<'b>(&'b self, kind: Kind<'b>, serial: SerialNumber) -> Request<'b> {
        Request {
            kind,
            subject: Name {
                der: &self.name,
                common_name: self.subject.common_name(),
                subject: Some(self.subject),
            },
            public_key: CertifiedKey {
                info: &self.key_info,
                bits: self.key_bits,
                key_type: Some(self.key_type),
            },
            key_id: self.key_id,
            serial,
        }
    }
}

/// One certificate. (Devices in number: [`super::DeviceIssuer`].)
pub(super) fn sign(
    stencil: &Stencil,
    request: &Request<'_>,
    ca: Option<&Certificate>,
    signer: &Signer,
) -> Result<Vec<u8>, CaError> {
    let draft = stencil.fill(request);
    let unsigned = draft.certificate(&placeholder(request.kind.signer));
    lint::check(&unsigned, request, ca)?;
    let signature = signer.sign(&draft.to_be_signed)?;
    Ok(draft.certificate(&signature))
}

/// RFC 7093, section 2, method 1: the leftmost 160 bits of the SHA-256 of the public key's bits.
///
/// rcgen hashes the whole SubjectPublicKeyInfo under that name, so the identifier is made here.
pub(super) fn key_id(public_key: &[u8]) -> [u8; 20] {
    let mut id = [0; 20];
    id.copy_from_slice(&digest::digest(&digest::SHA256, public_key).as_ref()[..20]);
    id
}
