//! Making CAs: roots, and intermediates below them.

use time::OffsetDateTime;

use super::{
    CaError, CaKey, CertificateAuthority, KeyType, PrivateKey, QuotaError, SerialNumber, Subject,
    Validity, Window,
    certify::{Certified, sign},
    draft::{Kind, Purpose, Stencil},
    public::public_key,
    public_half::PublicHalf,
    signer::Signer,
};
use crate::{certificate::Certificate, csr::SigningRequest};

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
}
