//! Public halves of keys, as certificates carry them.

use super::{PrivateKey, key_type::KeyType, signer::Signer};

/// The public half of a key, wherever the private one is.
#[derive(Clone, Copy)]
pub(super) struct PublicHalf<'a> {
    pub(super) key_type: KeyType,
    /// As it stands in a certificate's bit string.
    pub(super) bits: &'a [u8],
}

impl<'a> PublicHalf<'a> {
    pub(super) fn of(signer: &'a Signer) -> Self {
        Self {
            key_type: signer.key_type(),
            bits: signer.public_key(),
        }
    }

    /// SubjectPublicKeyInfo in DER.
    pub(super) fn info(&self) -> Vec<u8> {
        self.key_type.public_key_info(self.bits)
    }
}

impl<'a> From<&'a PrivateKey> for PublicHalf<'a> {
    fn from(key: &'a PrivateKey) -> Self {
        Self {
            key_type: key.key_type(),
            bits: key.public_key(),
        }
    }
}
