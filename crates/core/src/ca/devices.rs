//! Device certificates in number: what they have in common is prepared once.

use super::{
    CaError, CertificateAuthority, DeviceRequest, DeviceSubject, IssuedCertificate, IssuedDevice,
    PrivateKey, Quota, SerialNumber,
    certify::{Certified, key_id},
    draft::{CertifiedKey, Kind, Name, Request, Stencil, placeholder},
    proof::Proofs,
    public_half::PublicHalf,
};
use crate::{certificate::CertificateId, names::ThingName};

/// Signs device certificates that are valid in one window; several threads may use it at once.
pub struct DeviceIssuer<'a> {
    pub(super) ca: &'a CertificateAuthority,
    pub(super) kind: Kind<'a>,
    pub(super) stencil: Stencil,
    pub(super) proofs: Proofs,
}

impl DeviceIssuer<'_> {
    /// The quota that the CA keeps to.
    pub fn quota(&self) -> Option<&Quota> {
        self.ca.quota()
    }

    /// Signs the certificate of a device whose key is at hand, under a serial number that nobody else may use.
    ///
    /// # Errors
    /// When the subject is the CA's own, the window lies outside the CA's life, or the draft is not what was asked for;
    /// then nothing was signed.
    pub fn issue(
        &self,
        device: &DeviceSubject,
        private_key: PrivateKey,
        serial: SerialNumber,
    ) -> Result<IssuedDevice, CaError> {
        let ca = self.ca.certificate();
        if device.subject().is_that_of(ca) {
            return Err(CaError::SameSubject {
                subject: ca.subject_line(),
            });
        }
        let certified = Certified::new(device.subject(), PublicHalf::from(&private_key));
        let request = certified.request(self.kind, serial);
        Ok(IssuedDevice {
            certificate: self.sign(&request, device.thing_name())?,
            private_key,
        })
    }

    /// Signs the certificate that a device asks for with a key of its own.
    ///
    /// # Errors
    /// As [`DeviceIssuer::issue`].
    pub fn certify(
        &self,
        asked: &DeviceRequest,
        serial: SerialNumber,
    ) -> Result<IssuedCertificate, CaError> {
        let ca = self.ca.certificate();
        if asked.subject_der == ca.subject_der() {
            return Err(CaError::SameSubject {
                subject: ca.subject_line(),
            });
        }
        let request = Request {
            kind: self.kind,
            subject: Name {
                der: &asked.subject_der,
                common_name: asked.thing_name().as_str(),
                subject: None,
            },
            public_key: CertifiedKey {
                info: &asked.public_key_info,
                bits: &asked.public_key,
                key_type: None,
            },
            key_id: key_id(&asked.public_key),
            serial,
        };
        self.sign(&request, asked.thing_name())
    }

    fn sign(
        &self,
        request: &Request<'_>,
        thing_name: &ThingName,
    ) -> Result<IssuedCertificate, CaError> {
        let ca = self.ca;
        if let Some(quota) = &ca.quota {
            quota.check_name(thing_name)?;
        }
        let draft = self.stencil.fill(request);
        let unsigned = draft.certificate(&placeholder(request.kind.signer));
        self.proofs
            .check(&unsigned, request, Some(&ca.certificate))?;
        let der = draft.certificate(&ca.signer.sign(&draft.to_be_signed)?);
        Ok(IssuedCertificate {
            thing_name: thing_name.clone(),
            ca_pem: ca.certificate_pem.clone(),
            id: CertificateId::of(&der),
            serial: request.serial,
            not_after: self.kind.window.not_after(),
            der,
        })
    }
}
