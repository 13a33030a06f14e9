//! The certificate authority: roots and intermediates, device certificates, and the proof for AWS that a CA is ours.
//!
//! Every certificate goes the same way: a draft is built, read back and compared with what was asked ([`LintError`]),
//! and only then does the CA's key sign it.

mod attribute;
mod der;
mod devices;
mod draft;
mod encryption;
mod error;
mod issued;
mod key;
mod key_type;
mod likeness;
mod lint;
mod profile;
mod public;
mod public_half;
mod quota;
mod request;
mod serial;
mod signer;
mod subject;

use std::fmt;

use aws_lc_rs::digest;
use time::OffsetDateTime;

pub use attribute::{Attribute, SubjectError};
pub use devices::DeviceIssuer;
pub use encryption::SHORTEST_PASSPHRASE;
pub use error::CaError;
pub use issued::{IssuedCertificate, IssuedDevice, VerificationCertificate};
pub use key::{KeyError, PrivateKey};
pub use key_type::KeyType;
pub use likeness::Asked;
pub use lint::LintError;
pub use profile::{Profile, Validity, ValidityError, Window};
pub use public::public_key;
pub use quota::{Quota, QuotaError};
pub use request::{DeviceRequest, DeviceRequestError};
pub use serial::{Instance, SerialNumber};
pub use signer::{ExternalKey, ExternalKeyError};
pub use subject::{DeviceSubject, Subject};

use draft::{CertifiedKey, IssuerName, Kind, Name, Purpose, Request, Stencil, placeholder};
use public_half::PublicHalf;
use signer::Signer;

use crate::{
    certificate::Certificate,
    csr::SigningRequest,
    names::{RegistrationCode, ThingName},
};

/// A key for a new CA.
#[derive(Debug)]
pub enum CaKey {
    /// In this process's memory.
    Held(PrivateKey),
    /// Held elsewhere.
    External(Box<dyn ExternalKey>),
}

impl CaKey {
    /// The kind of key.
    pub fn key_type(&self) -> KeyType {
        match self {
            Self::Held(key) => key.key_type(),
            Self::External(key) => key.key_type(),
        }
    }

    /// The public half as it stands in a certificate's bit string.
    pub fn public_key(&self) -> &[u8] {
        match self {
            Self::Held(key) => key.public_key(),
            Self::External(key) => key.public_key(),
        }
    }

    fn into_signer(self) -> Result<Signer, KeyError> {
        match self {
            Self::Held(key) => Signer::new(key),
            Self::External(key) => Ok(Signer::External(key)),
        }
    }
}

/// A CA certificate with its key: signs devices, intermediates and verification certificates.
pub struct CertificateAuthority {
    certificate: Certificate,
    certificate_pem: String,
    signer: Signer,
    key_id: Vec<u8>,
    quota: Option<Quota>,
}

impl CertificateAuthority {
    /// Makes a root: a new key and a certificate that it signs for itself.
    ///
    /// Version 3, basicConstraints CA:TRUE without a path length (critical), keyUsage keyCertSign and cRLSign
    /// (critical), subject key identifier. No authority key identifier: it could only repeat the other one
    /// (RFC 5280, 4.2.1.1).
    ///
    /// # Errors
    /// When the validity is empty, past, beyond 9999 or [`Validity::UntilCaEnds`], or the cryptographic library fails.
    pub fn create_root(
        subject: &Subject,
        key_type: KeyType,
        validity: Validity,
        now: OffsetDateTime,
    ) -> Result<Self, CaError> {
        let window = validity.window(now, None)?;
        let signer = Signer::new(PrivateKey::generate(key_type)?)?;
        Self::root_of(subject, signer, window)
    }

    /// As [`CertificateAuthority::create_root`], for a key that is there already.
    ///
    /// # Errors
    /// As [`CertificateAuthority::create_root`].
    pub fn create_root_of(
        subject: &Subject,
        key: CaKey,
        validity: Validity,
        now: OffsetDateTime,
    ) -> Result<Self, CaError> {
        let window = validity.window(now, None)?;
        Self::root_of(subject, key.into_signer()?, window)
    }

    fn root_of(subject: &Subject, signer: Signer, window: Window) -> Result<Self, CaError> {
        let kind = Kind {
            purpose: Purpose::Ca { path_length: None },
            window,
            issuer: None,
            signer: signer.key_type(),
        };
        let certified = Certified::new(subject, PublicHalf::of(&signer));
        let request = certified.request(kind, SerialNumber::random()?);
        let der = sign(&Stencil::new(&kind)?, &request, None, &signer)?;
        Self::new(&der, signer)
    }

    /// Makes a CA below this one. `path_length` is how many further CAs may follow in a chain below the new one: 0 for a
    /// CA that signs only devices.
    ///
    /// # Errors
    /// When this CA's own path length leaves no room for it, both subjects are the same, the new CA would outlive this
    /// one, or this one is not valid at `now`.
    pub fn create_intermediate(
        &self,
        subject: &Subject,
        key_type: KeyType,
        validity: Validity,
        path_length: u8,
        now: OffsetDateTime,
    ) -> Result<Self, CaError> {
        let key = CaKey::Held(PrivateKey::generate(key_type)?);
        self.create_intermediate_of(subject, key, validity, path_length, now)
    }

    /// As [`CertificateAuthority::create_intermediate`], for a key that is there already.
    ///
    /// # Errors
    /// As [`CertificateAuthority::create_intermediate`].
    pub fn create_intermediate_of(
        &self,
        subject: &Subject,
        key: CaKey,
        validity: Validity,
        path_length: u8,
        now: OffsetDateTime,
    ) -> Result<Self, CaError> {
        let signer = key.into_signer()?;
        let half = PublicHalf::of(&signer);
        let der = self.intermediate(subject, half, validity, path_length, now)?;
        Self::new(&der, signer)
    }

    /// As [`CertificateAuthority::create_intermediate`], for a key that stays where the request for it was made. What the
    /// request says besides its key is not granted.
    ///
    /// # Errors
    /// As [`CertificateAuthority::create_intermediate`], and when the key is of a kind outside [`KeyType`].
    pub fn certify_intermediate(
        &self,
        subject: &Subject,
        request: &SigningRequest,
        validity: Validity,
        path_length: u8,
        now: OffsetDateTime,
    ) -> Result<Certificate, CaError> {
        let (key_type, bits) = public_key(request.public_key_info())?;
        let half = PublicHalf {
            key_type,
            bits: &bits,
        };
        let der = self.intermediate(subject, half, validity, path_length, now)?;
        Certificate::from_der(&der).map_err(CaError::Certificate)
    }

    fn intermediate(
        &self,
        subject: &Subject,
        key: PublicHalf<'_>,
        validity: Validity,
        path_length: u8,
        now: OffsetDateTime,
    ) -> Result<Vec<u8>, CaError> {
        if self.quota.is_some() {
            return Err(QuotaError::NoCas.into());
        }
        if let Some(allowed) = self.certificate.path_length()
            && u32::from(path_length) >= allowed
        {
            return Err(CaError::PathLength {
                ca: self.certificate.subject_line(),
                allowed,
                asked: path_length,
            });
        }
        let purpose = Purpose::Ca {
            path_length: Some(path_length),
        };
        let (der, _) = self.certify(purpose, subject, key, validity, now)?;
        Ok(der)
    }

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

    fn new(der: &[u8], signer: Signer) -> Result<Self, CaError> {
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
            certificate_pem: certificate.to_pem(),
            certificate,
            signer,
            key_id,
            quota: None,
        })
    }

    /// Draft, lint, signature; answers the DER and the last second of its validity.
    fn certify(
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

/// A certificate that nobody but its own key signed, for a claim: the account that registers it is told so outright
/// (API reference, "RegisterCertificateWithoutCA"). Like a device's, it is for TLS client authentication alone.
#[derive(Clone, Debug)]
pub struct SelfSigned {
    certificate: Certificate,
    private_key: PrivateKey,
}

impl SelfSigned {
    /// Makes a key and a certificate that it signs for itself.
    ///
    /// # Errors
    /// When the name does not fit a common name, or the validity is empty, past or that of a CA.
    pub fn create(
        name: &ThingName,
        profile: &Profile,
        now: OffsetDateTime,
    ) -> Result<Self, CaError> {
        let subject = Subject::new(name.as_str())?;
        let window = profile.validity().window(now, None)?;
        let private_key = PrivateKey::generate(profile.key_type())?;
        let kind = Kind {
            purpose: Purpose::Device,
            window,
            issuer: None,
            signer: profile.key_type(),
        };
        let certified = Certified::new(&subject, PublicHalf::from(&private_key));
        let request = certified.request(kind, SerialNumber::random()?);
        let signer = Signer::new(private_key.clone())?;
        let der = sign(&Stencil::new(&kind)?, &request, None, &signer)?;
        Ok(Self {
            certificate: Certificate::from_der(&der).map_err(CaError::Certificate)?,
            private_key,
        })
    }

    /// The certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Its key. Secret.
    pub fn private_key(&self) -> &PrivateKey {
        &self.private_key
    }
}

/// A subject and a key, encoded.
struct Certified<'a> {
    subject: &'a Subject,
    name: Vec<u8>,
    key_type: KeyType,
    key_info: Vec<u8>,
    key_id: [u8; 20],
}

impl<'a> Certified<'a> {
    fn new(subject: &'a Subject, key: PublicHalf<'_>) -> Self {
        Self {
            subject,
            name: subject.to_der(),
            key_type: key.key_type,
            key_info: key.info(),
            key_id: key_id(key.bits),
        }
    }

    fn request<'b>(&'b self, kind: Kind<'b>, serial: SerialNumber) -> Request<'b> {
        Request {
            kind,
            subject: Name {
                der: &self.name,
                common_name: self.subject.common_name(),
                subject: Some(self.subject),
            },
            public_key: CertifiedKey {
                info: &self.key_info,
                key_type: Some(self.key_type),
            },
            key_id: self.key_id,
            serial,
        }
    }
}

/// The one place where a key signs a certificate.
fn sign(
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
fn key_id(public_key: &[u8]) -> [u8; 20] {
    let mut id = [0; 20];
    id.copy_from_slice(&digest::digest(&digest::SHA256, public_key).as_ref()[..20]);
    id
}

/// What every record begins with that is signed by a CA and is no certificate.
pub(crate) const RECORD: &str = "record signed by a certificate authority\n";

/// Long enough to carry the certificate to another machine and register there; worthless afterwards.
const VERIFICATION_LIFE: time::Duration = time::Duration::WEEK;
