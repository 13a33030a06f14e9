//! Signing: the one thing a CA key is for, wherever it is held.

use std::fmt;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, EcdsaKeyPair, RSA_PKCS1_2048_8192_SHA256,
        RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey,
    },
};

use super::{CaError, KeyError, KeyType, PrivateKey, key_type::Shape};
use crate::failure::AnyError;

/// A key that somebody else holds, a token or a service: it signs, and is never seen here.
///
/// Several threads may sign at the same time.
pub trait ExternalKey: fmt::Debug + Send + Sync {
    /// The kind of key, which says how it signs ([`KeyType`]).
    fn key_type(&self) -> KeyType;

    /// The public half as it stands in a certificate's bit string: an uncompressed point, or an RSAPublicKey in DER.
    fn public_key(&self) -> &[u8];

    /// Signs a message, which the holder or this call hashes, not the caller. Answers the signature as it stands in a
    /// certificate: Ecdsa-Sig-Value in DER (RFC 3279, 2.2.3), or as many octets as the modulus.
    ///
    /// # Errors
    /// When the holder is gone, refuses or fails.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, ExternalKeyError>;
}

/// What the holder of a key could not do, with the class and the way out that the holder's own error has.
pub type ExternalKeyError = AnyError;

/// A key made ready to sign.
#[derive(Debug)]
pub(super) enum Signer {
    /// In this process's memory.
    Held { key: PrivateKey, pair: Pair },
    /// Elsewhere.
    External(Box<dyn ExternalKey>),
}

/// A private key as aws-lc-rs signs with it.
#[derive(Debug)]
pub(super) enum Pair {
    Ec(EcdsaKeyPair),
    Rsa(Box<RsaKeyPair>),
}

impl Signer {
    pub(super) fn new(key: PrivateKey) -> Result<Self, KeyError> {
        let rejected = |error: aws_lc_rs::error::KeyRejected| KeyError::Unreadable {
            detail: error.to_string(),
        };
        let pair = match key.key_type().shape() {
            Shape::Ec(algorithm) => {
                Pair::Ec(EcdsaKeyPair::from_pkcs8(algorithm, key.pkcs8_der()).map_err(rejected)?)
            }
            Shape::Rsa { .. } => Pair::Rsa(Box::new(
                RsaKeyPair::from_pkcs8(key.pkcs8_der()).map_err(rejected)?,
            )),
        };
        Ok(Self::Held { key, pair })
    }

    pub(super) fn key_type(&self) -> KeyType {
        match self {
            Self::Held { key, .. } => key.key_type(),
            Self::External(key) => key.key_type(),
        }
    }

    pub(super) fn public_key(&self) -> &[u8] {
        match self {
            Self::Held { key, .. } => key.public_key(),
            Self::External(key) => key.public_key(),
        }
    }

    pub(super) fn private_key(&self) -> Option<&PrivateKey> {
        match self {
            Self::Held { key, .. } => Some(key),
            Self::External(_) => None,
        }
    }

    /// A signature as it stands in a certificate: DER for ECDSA, as many octets as the modulus for RSA.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CaError> {
        match self {
            Self::Held { pair, .. } => pair.sign(message).map_err(|_| CaError::Sign),
            Self::External(key) => {
                let signature = key.sign(message)?;
                // What comes from outside is looked at before anybody relies on it: services exist that hash a second
                // time, and tokens whose objects were exchanged.
                verify(key.key_type(), key.public_key(), message, &signature)
                    .then_some(signature)
                    .ok_or(CaError::SignatureOfOtherKey)
            }
        }
    }
}

impl Pair {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, aws_lc_rs::error::Unspecified> {
        let random = SystemRandom::new();
        match self {
            Self::Ec(pair) => Ok(pair.sign(&random, message)?.as_ref().to_vec()),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)?;
                Ok(signature)
            }
        }
    }
}

/// Whether the key with this public half made the signature.
pub(super) fn verify(
    key_type: KeyType,
    public_key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> bool {
    match key_type {
        KeyType::P256 => {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, public_key).verify(message, signature)
        }
        KeyType::P384 => {
            UnparsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, public_key).verify(message, signature)
        }
        KeyType::Rsa2048 | KeyType::Rsa3072 | KeyType::Rsa4096 => {
            UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public_key)
                .verify(message, signature)
        }
    }
    .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stands for a token: a key that says it is of one kind and signs what it is told to, or something else.
    #[derive(Debug)]
    struct Token {
        signer: Signer,
        honest: bool,
    }

    impl ExternalKey for Token {
        fn key_type(&self) -> KeyType {
            self.signer.key_type()
        }

        fn public_key(&self) -> &[u8] {
            self.signer.public_key()
        }

        fn sign(&self, message: &[u8]) -> Result<Vec<u8>, ExternalKeyError> {
            let message = if self.honest { message } else { b"else" };
            self.signer.sign(message).map_err(ExternalKeyError::new)
        }
    }

    fn token(key_type: KeyType, honest: bool) -> Signer {
        let signer = Signer::new(PrivateKey::generate(key_type).unwrap()).unwrap();
        Signer::External(Box::new(Token { signer, honest }))
    }

    #[test]
    fn a_signature_from_outside_is_believed_only_when_it_verifies() {
        for key_type in [KeyType::P256, KeyType::P384, KeyType::Rsa2048] {
            assert!(token(key_type, true).sign(b"message").is_ok());
            let refusal = token(key_type, false).sign(b"message").unwrap_err();
            assert!(matches!(refusal, CaError::SignatureOfOtherKey), "{refusal}");
        }
    }
}
