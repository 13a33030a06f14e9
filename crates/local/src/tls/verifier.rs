//! The client certificate verifier: possession of the key, and a certificate that can be read.
//!
//! WebPKI cannot be asked here. It refuses X.509 v1 certificates, which `openssl x509 -req` makes
//! without an extension file, certificates meant for servers only, and CA:TRUE leaves; AWS IoT takes
//! them once they are registered. Only their public key is used, so WebPKI's signature algorithms
//! (with their minimum key sizes) still do the verifying.

use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerMisbehaved};
use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer, UnixTime};

use super::reading;
use crate::x509::X509;

/// Lets in whoever holds the key of a readable certificate.
#[derive(Debug)]
pub(super) struct PossessionVerifier {
    algorithms: WebPkiSupportedAlgorithms,
}

impl PossessionVerifier {
    pub(super) fn new(algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { algorithms }
    }
}

impl ClientCertVerifier for PossessionVerifier {
    /// No hints: a device sends its certificate whichever CA signed it.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if intermediates.len() > super::CHAIN_LENGTH {
            return Err(Error::General(
                "more certificates than a device may send".to_owned(),
            ));
        }
        for certificate in intermediates {
            let certificate = read(certificate)?;
            refuse_unknown_critical(&certificate)?;
        }
        let certificate = read(end_entity)?;
        refuse_unknown_critical(&certificate)?;
        // The signature algorithms would refuse another key too, but could not say why.
        certificate
            .check_key_of_proven()
            .map_err(|fault| Error::General(fault.to_string()))?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let certificate = read(certificate)?;
        let key = SubjectPublicKeyInfoDer::from(certificate.spki_der.as_slice());
        let key = webpki::RawPublicKeyEntity::try_from(&key).map_err(|_| BAD_ENCODING)?;
        let candidates = self
            .algorithms
            .mapping
            .iter()
            .find(|(scheme, _)| *scheme == signed.scheme && offered(*scheme))
            .map(|(_, algorithms)| *algorithms)
            .ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
        // In TLS 1.2 a scheme does not name its curve: the algorithm that fits the key decides, and
        // those that do not fit it refuse without looking at the signature.
        candidates
            .iter()
            .find_map(|algorithm| {
                key.verify_signature(*algorithm, message, signed.signature())
                    .ok()
            })
            .map(|()| HandshakeSignatureValid::assertion())
            .ok_or(BAD_SIGNATURE)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if !offered(signed.scheme) {
            return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
        }
        let certificate = read(certificate)?;
        let key = SubjectPublicKeyInfoDer::from(certificate.spki_der.as_slice());
        verify_tls13_signature_with_raw_key(message, &key, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = self.algorithms.supported_schemes();
        schemes.retain(|scheme| offered(*scheme));
        schemes
    }
}

/// Ed25519 and post-quantum keys are none that AWS IoT takes in device certificates (developer guide,
/// "X.509 client certificates", supported algorithms).
fn offered(scheme: SignatureScheme) -> bool {
    matches!(
        scheme,
        SignatureScheme::ECDSA_NISTP256_SHA256
            | SignatureScheme::ECDSA_NISTP384_SHA384
            | SignatureScheme::ECDSA_NISTP521_SHA512
            | SignatureScheme::RSA_PSS_SHA256
            | SignatureScheme::RSA_PSS_SHA384
            | SignatureScheme::RSA_PSS_SHA512
            | SignatureScheme::RSA_PKCS1_SHA256
            | SignatureScheme::RSA_PKCS1_SHA384
            | SignatureScheme::RSA_PKCS1_SHA512
    )
}

/// RFC 5280, 4.2: a certificate with a critical extension one does not know must be rejected.
fn refuse_unknown_critical(certificate: &X509) -> Result<(), Error> {
    match certificate.has_unknown_critical() {
        true => Err(Error::InvalidCertificate(
            CertificateError::UnhandledCriticalExtension,
        )),
        false => Ok(()),
    }
}

fn read(certificate: &CertificateDer<'_>) -> Result<Arc<X509>, Error> {
    reading::read(certificate).map_err(|_| BAD_ENCODING)
}

const BAD_ENCODING: Error = Error::InvalidCertificate(CertificateError::BadEncoding);
const BAD_SIGNATURE: Error = Error::InvalidCertificate(CertificateError::BadSignature);
