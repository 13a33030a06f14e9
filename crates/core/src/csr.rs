//! Certificate signing requests (PKCS #10, RFC 2986): made, read, and found to be signed by the key they ask for.

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls_pki_types::PrivatePkcs8KeyDer;
use x509_parser::{certification_request::X509CertificationRequest, prelude::FromDer};

use crate::{
    ca::PrivateKey,
    failure::{Class, Classified},
    names::ThingName,
};

/// A certificate signing request whose signature is good.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SigningRequest {
    pem: String,
    public_key_info: Vec<u8>,
}

/// Why a text is no certificate signing request.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SigningRequestError {
    /// No block `CERTIFICATE REQUEST` in it, or it is damaged.
    #[error("it is no certificate signing request in PEM: {detail}")]
    Unreadable {
        /// What the reader stumbled over.
        detail: String,
    },
    /// Whoever made the request does not hold the key.
    #[error("the request is not signed by the key it asks a certificate for")]
    Signature,
    /// The cryptographic library failed.
    #[error("the signing request could not be made: {detail}")]
    Unmade {
        /// What it said.
        detail: String,
    },
    /// AWS takes at most this much (API reference, "CreateCertificateFromCsr").
    #[error("the request has {length} characters, and AWS takes at most {MAX_CHARACTERS}")]
    TooLong {
        /// Its length in characters.
        length: usize,
    },
}

impl Classified for SigningRequestError {
    fn class(&self) -> Class {
        match self {
            Self::Unmade { .. } => Class::Unexpected,
            _ => Class::Configuration,
        }
    }
}

impl SigningRequest {
    /// Reads the first block of a PEM text.
    ///
    /// # Errors
    /// When it is no request, longer than AWS takes it, or not signed by its own key.
    pub fn from_pem(pem: &str) -> Result<Self, SigningRequestError> {
        let unreadable = |detail: String| SigningRequestError::Unreadable { detail };
        let length = pem.chars().count();
        if length > MAX_CHARACTERS {
            return Err(SigningRequestError::TooLong { length });
        }
        let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes())
            .map_err(|error| unreadable(error.to_string()))?;
        if !block.label.ends_with("CERTIFICATE REQUEST") {
            return Err(unreadable(format!("it is a {}", block.label)));
        }
        let (_, request) = X509CertificationRequest::from_der(&block.contents)
            .map_err(|error| unreadable(error.to_string()))?;
        request
            .verify_signature()
            .map_err(|_| SigningRequestError::Signature)?;
        let public_key = &request.certification_request_info.subject_pki;
        Ok(Self {
            pem: pem.to_owned(),
            public_key_info: public_key.raw.to_vec(),
        })
    }

    /// Makes a request for a key, with a common name of at most 64 characters of `name`.
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub fn create(key: &PrivateKey, name: &ThingName) -> Result<Self, SigningRequestError> {
        let failed = |error: rcgen::Error| SigningRequestError::Unmade {
            detail: error.to_string(),
        };
        let pair = PrivatePkcs8KeyDer::from(key.pkcs8_der());
        let pair = KeyPair::try_from(&pair).map_err(failed)?;
        let mut parameters = CertificateParams::default();
        // X.520 has room for 64 characters where AWS allows a thing 128.
        let common_name: String = name.as_str().chars().take(64).collect();
        parameters.distinguished_name = DistinguishedName::new();
        parameters
            .distinguished_name
            .push(DnType::CommonName, common_name);
        let request = parameters.serialize_request(&pair).map_err(failed)?;
        Self::from_pem(&request.pem().map_err(failed)?)
    }

    /// The text as it was read.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The SubjectPublicKeyInfo that a certificate made from it has.
    pub fn public_key_info(&self) -> &[u8] {
        &self.public_key_info
    }
}

/// API reference, "CreateCertificateFromCsr", certificateSigningRequest.
const MAX_CHARACTERS: usize = 4096;

#[cfg(test)]
mod tests {
    use openssl::{
        ec::{EcGroup, EcKey},
        hash::MessageDigest,
        nid::Nid,
        pkey::{PKey, Private},
        x509::X509ReqBuilder,
    };

    use super::*;

    fn key() -> PKey<Private> {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
    }

    fn request(asked: &PKey<Private>, signer: &PKey<Private>) -> String {
        let mut request = X509ReqBuilder::new().unwrap();
        request.set_pubkey(asked).unwrap();
        request.sign(signer, MessageDigest::sha256()).unwrap();
        String::from_utf8(request.build().to_pem().unwrap()).unwrap()
    }

    #[test]
    fn a_request_of_openssl_is_read_and_its_key_known() {
        let key = key();
        let request = SigningRequest::from_pem(&request(&key, &key)).unwrap();
        assert_eq!(request.public_key_info(), key.public_key_to_der().unwrap());
    }

    #[test]
    fn a_request_made_here_is_one_to_openssl_whatever_the_kind_of_key() {
        use crate::ca::KeyType;
        for key_type in [KeyType::P256, KeyType::P384, KeyType::Rsa2048] {
            let key = PrivateKey::generate(key_type).unwrap();
            let name = "x".repeat(100).parse().unwrap();
            let made = SigningRequest::create(&key, &name).unwrap();
            let judge = openssl::x509::X509Req::from_pem(made.pem().as_bytes()).unwrap();
            let public = judge.public_key().unwrap();
            assert!(judge.verify(&public).unwrap());
            assert_eq!(public.public_key_to_der().unwrap(), made.public_key_info());
            let names: Vec<_> = judge.subject_name().entries().collect();
            assert_eq!(names.len(), 1);
            assert_eq!(names[0].data().as_slice(), "x".repeat(64).as_bytes());
        }
    }

    #[test]
    fn a_request_for_a_key_of_somebody_else_is_refused() {
        let foreign = request(&key(), &key());
        let refusal = SigningRequest::from_pem(&foreign).unwrap_err();
        assert_eq!(refusal, SigningRequestError::Signature);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for text in [
            "",
            "hello",
            "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        ] {
            let refusal = SigningRequest::from_pem(text).unwrap_err();
            assert!(matches!(refusal, SigningRequestError::Unreadable { .. }));
        }
        let long = "x".repeat(4097);
        let refusal = SigningRequest::from_pem(&long).unwrap_err();
        assert_eq!(refusal, SigningRequestError::TooLong { length: 4097 });
    }
}
