//! Public halves of keys, as certificates carry them.

use super::{
    PrivateKey,
    der::{BIT_STRING, SEQUENCE, push, wrap},
    key_type::KeyType,
    signer::Signer,
};

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

    /// SubjectPublicKeyInfo in DER (RFC 5280, 4.1.2.7).
    pub(super) fn info(&self) -> Vec<u8> {
        let mut info = Vec::with_capacity(self.bits.len() + 32);
        info.extend_from_slice(self.key_type.algorithm_identifier());
        // The first octet of a bit string says how many bits of its last are unused.
        push(&mut info, BIT_STRING, &[&[0], self.bits].concat());
        wrap(SEQUENCE, &info)
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
