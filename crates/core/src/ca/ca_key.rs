//! The key of a CA that is about to be made.

use super::{ExternalKey, KeyError, KeyType, PrivateKey, signer::Signer};

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

    pub(super) fn into_signer(self) -> Result<Signer, KeyError> {
        match self {
            Self::Held(key) => Signer::new(key),
            Self::External(key) => Ok(Signer::External(key)),
        }
    }
}
