//! Signing: the one thing a CA key is for.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};

use super::{KeyError, PrivateKey, key_type::Shape};

/// A private key made ready to sign.
pub(super) enum Signer {
    Ec(EcdsaKeyPair),
    Rsa(Box<RsaKeyPair>),
}

impl Signer {
    pub(super) fn new(key: &PrivateKey) -> Result<Self, KeyError> {
        let rejected = |error: aws_lc_rs::error::KeyRejected| KeyError::Unreadable {
            detail: error.to_string(),
        };
        Ok(match key.key_type().shape() {
            Shape::Ec(algorithm) => {
                Self::Ec(EcdsaKeyPair::from_pkcs8(algorithm, key.pkcs8_der()).map_err(rejected)?)
            }
            Shape::Rsa(_) => Self::Rsa(Box::new(
                RsaKeyPair::from_pkcs8(key.pkcs8_der()).map_err(rejected)?,
            )),
        })
    }

    /// A signature as it stands in a certificate: DER for ECDSA, as many octets as the modulus for RSA.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, aws_lc_rs::error::Unspecified> {
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
