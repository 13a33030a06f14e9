//! What a CA hands out: device certificates with their keys, and verification certificates.

use std::sync::Arc;

use time::OffsetDateTime;

use super::{PrivateKey, SerialNumber};
use crate::{
    certificate::{CertificateId, pem},
    names::ThingName,
};

/// A device certificate that was just signed, with the certificate of its CA.
#[derive(Clone, Debug)]
pub struct IssuedCertificate {
    pub(super) thing_name: ThingName,
    pub(super) der: Vec<u8>,
    pub(super) ca_pem: Arc<str>,
    pub(super) id: CertificateId,
    pub(super) serial: SerialNumber,
    pub(super) not_after: OffsetDateTime,
}

/// A device certificate that was just signed, with its key and the certificate of its CA.
#[derive(Clone, Debug)]
pub struct IssuedDevice {
    pub(super) certificate: IssuedCertificate,
    pub(super) private_key: PrivateKey,
}

/// A certificate whose common name is a registration code: it shows AWS that the CA's key is at hand (AWS IoT developer
/// guide, "Register a CA certificate in DEFAULT mode"). Its own key is not kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VerificationCertificate {
    pub(super) der: Vec<u8>,
}

impl IssuedCertificate {
    /// The thing name, which is the common name of the certificate.
    pub fn thing_name(&self) -> &ThingName {
        &self.thing_name
    }

    /// What AWS IoT will call the certificate.
    pub fn id(&self) -> &CertificateId {
        &self.id
    }

    /// The certificate's serial number.
    pub fn serial(&self) -> SerialNumber {
        self.serial
    }

    /// The certificate in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The certificate as PEM text, without its CA.
    pub fn to_pem(&self) -> String {
        pem::encode("CERTIFICATE", &self.der)
    }

    /// The CA's certificate as PEM text.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// What the file `DEVICE.crt` holds: the certificate, then its CA's. AWS needs the CA in the handshake to find the
    /// account of a certificate it does not know yet (developer guide, "Just-in-time provisioning").
    pub fn chain_pem(&self) -> String {
        pem::encode_before("CERTIFICATE", &self.der, &self.ca_pem)
    }

    /// The last second in which the certificate is valid.
    pub fn not_after(&self) -> OffsetDateTime {
        self.not_after
    }
}

impl IssuedDevice {
    /// The certificate.
    pub fn certificate(&self) -> &IssuedCertificate {
        &self.certificate
    }

    /// The thing name, which is the common name of the certificate.
    pub fn thing_name(&self) -> &ThingName {
        &self.certificate.thing_name
    }

    /// What AWS IoT will call the certificate.
    pub fn id(&self) -> &CertificateId {
        &self.certificate.id
    }

    /// Certificate and key apart.
    pub fn into_parts(self) -> (IssuedCertificate, PrivateKey) {
        (self.certificate, self.private_key)
    }

    /// The device's key. Secret.
    pub fn private_key(&self) -> &PrivateKey {
        &self.private_key
    }
}

impl VerificationCertificate {
    /// The certificate in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The certificate as PEM text, as RegisterCACertificate takes it.
    pub fn to_pem(&self) -> String {
        pem::encode("CERTIFICATE", &self.der)
    }
}
