//! Kinds of key, and what each means to aws-lc-rs and to rcgen.

use std::{fmt, str::FromStr};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaSigningAlgorithm,
};
use zeroize::Zeroizing;

use super::{
    KeyError,
    der::{BIT_STRING, INTEGER, OCTET_STRING, SEQUENCE, element_size, push, push_header, wrap},
};

/// The tag of the public key in an ECPrivateKey: context-specific, 1, constructed.
const PUBLIC_KEY: u8 = 0xa1;

/// The kinds of key the toolkit makes and signs with, all of them on AWS IoT's list (developer guide, "X.509 client
/// certificates").
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum KeyType {
    /// EC on NIST P-256, signing with SHA-256. A key takes microseconds to make.
    #[default]
    P256,
    /// EC on NIST P-384, signing with SHA-384.
    P384,
    /// RSA with 2048 bits, signing with SHA-256. A key takes about a tenth of a second to make.
    Rsa2048,
    /// RSA with 3072 bits, signing with SHA-256.
    Rsa3072,
    /// RSA with 4096 bits, signing with SHA-256. A key takes a second or more to make.
    Rsa4096,
}

impl KeyType {
    /// Every type, in the order of the documentation.
    pub const ALL: [Self; 5] = [
        Self::P256,
        Self::P384,
        Self::Rsa2048,
        Self::Rsa3072,
        Self::Rsa4096,
    ];

    /// The name used in flags and output, for example `p256`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::P256 => "p256",
            Self::P384 => "p384",
            Self::Rsa2048 => "rsa2048",
            Self::Rsa3072 => "rsa3072",
            Self::Rsa4096 => "rsa4096",
        }
    }

    pub(super) fn algorithm(self) -> &'static rcgen::SignatureAlgorithm {
        match self {
            Self::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            Self::P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => &rcgen::PKCS_RSA_SHA256,
        }
    }

    /// SubjectPublicKeyInfo in DER around the bits of a public key (RFC 5280, 4.1.2.7).
    pub(super) fn public_key_info(self, public_key: &[u8]) -> Vec<u8> {
        let mut info = Vec::with_capacity(public_key.len() + 32);
        info.extend_from_slice(self.algorithm_identifier());
        // The first octet of a bit string says how many bits of its last are unused.
        push(&mut info, BIT_STRING, &[&[0], public_key].concat());
        wrap(SEQUENCE, &info)
    }

    /// PrivateKeyInfo in DER (RFC 5208, 5) around an ECPrivateKey (RFC 5915, 3): the private value, and the point as it
    /// stands in a certificate.
    ///
    /// aws-lc-rs writes the same octets, but works the point out once more for it, a tenth of what a key costs.
    pub(super) fn private_key_info(self, value: &[u8], point: &[u8]) -> Zeroizing<Vec<u8>> {
        let bit_string = 1 + point.len();
        let public = element_size(bit_string);
        let key = element_size(1) + element_size(value.len()) + element_size(public);
        let sequence = element_size(key);
        let info = element_size(1) + self.algorithm_identifier().len() + element_size(sequence);
        // With room for all of it from the start: a vector that grows leaves copies of the key behind.
        let mut der = Zeroizing::new(Vec::with_capacity(element_size(info)));
        push_header(&mut der, SEQUENCE, info);
        push(&mut der, INTEGER, &[0]);
        der.extend_from_slice(self.algorithm_identifier());
        push_header(&mut der, OCTET_STRING, sequence);
        push_header(&mut der, SEQUENCE, key);
        push(&mut der, INTEGER, &[1]);
        push(&mut der, OCTET_STRING, value);
        push_header(&mut der, PUBLIC_KEY, public);
        push_header(&mut der, BIT_STRING, bit_string);
        // The first octet of a bit string says how many bits of its last are unused.
        der.push(0);
        der.extend_from_slice(point);
        der
    }

    /// AlgorithmIdentifier of a SubjectPublicKeyInfo in DER (RFC 5480, 2.1.1; RFC 3279, 2.3.1).
    fn algorithm_identifier(self) -> &'static [u8] {
        match self {
            Self::P256 => &[
                0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
                0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
            ],
            Self::P384 => &[
                0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b,
                0x81, 0x04, 0x00, 0x22,
            ],
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => &[
                0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05,
                0x00,
            ],
        }
    }

    pub(super) fn shape(self) -> Shape {
        match self {
            Self::P256 => Shape::Ec(&ECDSA_P256_SHA256_ASN1_SIGNING),
            Self::P384 => Shape::Ec(&ECDSA_P384_SHA384_ASN1_SIGNING),
            Self::Rsa2048 => Shape::Rsa { bits: 2048 },
            Self::Rsa3072 => Shape::Rsa { bits: 3072 },
            Self::Rsa4096 => Shape::Rsa { bits: 4096 },
        }
    }
}

/// How the kinds are told apart where keys are made.
pub(super) enum Shape {
    Ec(&'static EcdsaSigningAlgorithm),
    Rsa { bits: usize },
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for KeyType {
    type Err = KeyError;

    fn from_str(name: &str) -> Result<Self, KeyError> {
        Self::ALL
            .into_iter()
            .find(|key_type| key_type.as_str().eq_ignore_ascii_case(name))
            .ok_or_else(|| KeyError::UnknownType {
                name: name.to_owned(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_type_is_written_as_it_is_read() {
        for key_type in KeyType::ALL {
            assert_eq!(key_type.to_string().parse::<KeyType>().unwrap(), key_type);
        }
        assert_eq!("RSA2048".parse::<KeyType>().unwrap(), KeyType::Rsa2048);
        let refusal = "ed25519".parse::<KeyType>().unwrap_err().to_string();
        assert!(refusal.contains("p384"), "{refusal}");
    }
}
