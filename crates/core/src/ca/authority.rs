//! A CA: loaded with its key, and what it signs for devices and for AWS.

use std::{fmt, sync::Arc};

use time::OffsetDateTime;

use super::{
    CaError, DeviceIssuer, DeviceSubject, ExternalKey, IssuedDevice, KeyType, PrivateKey, Profile,
    Quota, SerialNumber, Subject, Validity, VerificationCertificate, Window,
    certify::{Certified, key_id, sign},
    draft::{IssuerName, Kind, Purpose, Stencil},
    proof::Proofs,
    public_half::PublicHalf,
    signer::Signer,
};
use crate::{certificate::Certificate, names::RegistrationCode};

/// A CA certificate with its key: signs devices, intermediates and verification certificates.
pub struct CertificateAuthority {
    pub(super) certificate: Certificate,
    pub(super) certificate_pem: Arc<str>,
    pub(super) signer: Signer,
    key_id: Vec<u8>,
    pub(super) quota: Option<Quota>,
}

impl CertificateAuthority {
    /// Loads a CA from PEM texts; `passphrase` opens an encrypted key.
    ///
    /// Takes what other tools made as well: keys in PKCS#8, PKCS#1 and SEC1, subjects with repeated attributes, CAs
    /// without keyUsage or key identifiers. Whether it is valid now is asked when it signs, so that an expired CA can
    /// still be looked at.
    ///
    /// # Errors
    /// When there is not exactly one certificate and one key, they do not belong together, or the certificate is not a
    /// CA's.
    pub fn load(
        certificate_pem: impl AsRef<[u8]>,
        key_pem: impl AsRef<[u8]>,
        passphrase: Option<&[u8]>,
    ) -> Result<Self, CaError> {
        let certificate = Certificate::from_pem(certificate_pem).map_err(CaError::Certificate)?;
        let key = PrivateKey::from_pem(key_pem.as_ref(), passphrase)?;
        Self::new(certificate.der(), Signer::new(key)?)
    }

    /// Loads a CA whose key is held elsewhere.
    ///
    /// # Errors
    /// As [`CertificateAuthority::load`].
    pub fn load_external(
        certificate_pem: impl AsRef<[u8]>,
        key: Box<dyn ExternalKey>,
    ) -> Result<Self, CaError> {
        let certificate = Certificate::from_pem(certificate_pem).map_err(CaError::Certificate)?;
        Self::new(certificate.der(), Signer::External(key))
    }

    /// Makes a device's key and signs its certificate. `device` is a thing name, or a [`DeviceSubject`] with more in it.
    ///
    /// `now` is the time the validity counts from; notBefore is a minute earlier, but never before the CA's.
    ///
    /// # Errors
    /// When the name does not fit a common name, the CA is expired or not yet valid at `now`, or the certificate would
    /// outlive it ([`Validity::UntilCaEnds`] never does).
    pub fn issue<D>(
        &self,
        device: D,
        profile: &Profile,
        now: OffsetDateTime,
    ) -> Result<IssuedDevice, CaError>
    where
        D: TryInto<DeviceSubject>,
        CaError: From<D::Error>,
    {
        let window = self.window(profile.validity(), now)?;
        let private_key = PrivateKey::generate(profile.key_type())?;
        self.device_issuer(window, now)?.issue(
            &device.try_into()?,
            private_key,
            SerialNumber::random()?,
        )
    }

    /// First and last second of a certificate made at `now`.
    ///
    /// # Errors
    /// As [`CertificateAuthority::issue`] of the validity.
    pub fn window(&self, validity: Validity, now: OffsetDateTime) -> Result<Window, CaError> {
        self.check_valid_at(now)?;
        validity.window(now, Some(&self.certificate))
    }

    /// The same CA, keeping to a quota: names and time here, the number by whoever counts ([`Quota::check_count`]).
    #[must_use]
    pub fn under(self, quota: Quota) -> Self {
        Self {
            quota: Some(quota),
            ..self
        }
    }

    /// The quota it keeps to.
    pub fn quota(&self) -> Option<&Quota> {
        self.quota.as_ref()
    }

    /// Prepares the signing of many device certificates that are valid in the same window.
    ///
    /// # Errors
    /// When the CA is expired or not yet valid at `now`, or the time of its quota is over.
    pub fn device_issuer(
        &self,
        window: Window,
        now: OffsetDateTime,
    ) -> Result<DeviceIssuer<'_>, CaError> {
        self.check_valid_at(now)?;
        if let Some(quota) = &self.quota {
            quota.check_time(now)?;
        }
        let kind = self.kind(Purpose::Device, window);
        let stencil = Stencil::new(&kind)?;
        Ok(DeviceIssuer {
            ca: self,
            kind,
            stencil,
            proofs: Proofs::default(),
        })
    }

    /// Signs a text that is no certificate, for whoever keeps records in the name of this CA. A certificate begins with
    /// another octet than any text, so that none can be had this way.
    ///
    /// # Errors
    /// [`CaError::Sign`] if the cryptographic library fails.
    pub fn sign_record(&self, record: &str) -> Result<Vec<u8>, CaError> {
        let text = [RECORD, record].concat();
        self.signer.sign(text.as_bytes())
    }

    /// Signs the certificate that RegisterCACertificate asks for in DEFAULT mode, with a fresh P-256 key that is dropped
    /// at once. It is valid for a week, or for what is left of the CA's life.
    ///
    /// # Errors
    /// When the CA is expired or not yet valid at `now`.
    pub fn verification_certificate(
        &self,
        code: &RegistrationCode,
        now: OffsetDateTime,
    ) -> Result<VerificationCertificate, CaError> {
        let end = now.saturating_add(VERIFICATION_LIFE);
        let validity = if end < self.certificate.not_after() {
            Validity::Until(end)
        } else {
            Validity::UntilCaEnds
        };
        let key = PrivateKey::generate(KeyType::P256)?;
        let subject = Subject::from(code);
        let (der, _) = self.certify(
            Purpose::Verification,
            &subject,
            PublicHalf::from(&key),
            validity,
            now,
        )?;
        Ok(VerificationCertificate { der })
    }

    /// The CA's certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The CA's certificate as PEM text.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The CA's key, unless it is held elsewhere. Secret.
    pub fn private_key(&self) -> Option<&PrivateKey> {
        self.signer.private_key()
    }

    /// The kind of the CA's key.
    pub fn key_type(&self) -> KeyType {
        self.signer.key_type()
    }

    /// Whether the CA can sign at `now`.
    ///
    /// # Errors
    /// [`CaError::Expired`] or [`CaError::NotYetValid`], with the dates.
    pub fn check_valid_at(&self, now: OffsetDateTime) -> Result<(), CaError> {
        let certificate = &self.certificate;
        if certificate.is_valid_at(now) {
            return Ok(());
        }
        let subject = certificate.subject_line();
        Err(if now < certificate.not_before() {
            CaError::NotYetValid {
                subject,
                not_before: certificate.not_before(),
                now,
            }
        } else {
            CaError::Expired {
                subject,
                not_after: certificate.not_after(),
                now,
            }
        })
    }

    pub(super) fn new(der: &[u8], signer: Signer) -> Result<Self, CaError> {
        let certificate = Certificate::from_der(der).map_err(CaError::Certificate)?;
        let not_a_ca = |why| CaError::NotACa {
            subject: certificate.subject_line(),
            why,
        };
        if certificate.version() != 3 {
            return Err(not_a_ca(
                "it is an X.509 version 1 certificate, which cannot say so",
            ));
        }
        if !certificate.is_ca() {
            return Err(not_a_ca("it has no basicConstraints with CA:TRUE"));
        }
        if !certificate.may_sign_certificates() {
            return Err(not_a_ca("its keyUsage lacks keyCertSign"));
        }
        if signer.public_key() != certificate.public_key() {
            return Err(CaError::KeyMismatch {
                subject: certificate.subject_line(),
            });
        }
        // Its own identifier, or, for a CA that carries none, the one it would have got here.
        let key_id = certificate
            .subject_key_id()
            .map_or_else(|| key_id(signer.public_key()).to_vec(), <[u8]>::to_vec);
        Ok(Self {
            certificate_pem: certificate.to_pem().into(),
            certificate,
            signer,
            key_id,
            quota: None,
        })
    }

    /// Draft, lint, signature; answers the DER and the last second of its validity.
    pub(super) fn certify(
        &self,
        purpose: Purpose,
        subject: &Subject,
        key: PublicHalf<'_>,
        validity: Validity,
        now: OffsetDateTime,
    ) -> Result<(Vec<u8>, OffsetDateTime), CaError> {
        self.check_valid_at(now)?;
        if subject.is_that_of(&self.certificate) {
            return Err(CaError::SameSubject {
                subject: self.certificate.subject_line(),
            });
        }
        let window = validity.window(now, Some(&self.certificate))?;
        let kind = self.kind(purpose, window);
        let certified = Certified::new(subject, key);
        let request = certified.request(kind, SerialNumber::random()?);
        let stencil = Stencil::new(&kind)?;
        let der = sign(&stencil, &request, Some(&self.certificate), &self.signer)?;
        Ok((der, window.not_after()))
    }

    fn kind(&self, purpose: Purpose, window: Window) -> Kind<'_> {
        Kind {
            purpose,
            window,
            issuer: Some(IssuerName {
                name: self.certificate.subject_der(),
                key_id: &self.key_id,
            }),
            signer: self.signer.key_type(),
        }
    }
}

impl fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateAuthority")
            .field("certificate", &self.certificate)
            .field("signer", &self.signer)
            .finish_non_exhaustive()
    }
}

/// What every record begins with that is signed by a CA and is no certificate.
pub(crate) const RECORD: &str = "record signed by a certificate authority\n";

/// Long enough to carry the certificate to another machine and register there; worthless afterwards.
const VERIFICATION_LIFE: time::Duration = time::Duration::WEEK;
