//! Certificates that nobody but their own key signed.

use time::OffsetDateTime;

use super::{
    CaError, PrivateKey, Profile, SerialNumber, Subject,
    certify::{Certified, sign},
    draft::{Kind, Purpose, Stencil},
    public_half::PublicHalf,
    signer::Signer,
};
use crate::{certificate::Certificate, names::ThingName};

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
