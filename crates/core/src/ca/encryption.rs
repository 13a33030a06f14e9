//! Keys at rest under a passphrase: PKCS#8 encrypted with PBES2 (RFC 8018), scrypt (RFC 7914) and AES-256-CBC.

use aws_lc_rs::rand;
use pkcs8::{
    LineEnding, PrivateKeyInfoRef,
    pkcs5::{pbes2, scrypt},
};
use zeroize::Zeroizing;

use super::{KeyError, PrivateKey};

/// Cost and block size of scrypt as powers and factors: 2^14 and 8 take 16 MiB, and OpenSSL opens nothing that takes
/// more than 32. Five rounds of it make up for that; OWASP's password storage cheat sheet counts them as equal to one of
/// 128 MiB.
const COST: (u8, u32, u32) = (14, 8, 5);

/// Octets of salt: twice the eight that RFC 8018, 4.1, asks for at least.
const SALT: usize = 16;

/// What the passphrase of a new key must have at least, in octets. Anything shorter is tried out in hours, whatever
/// scrypt costs.
pub const SHORTEST_PASSPHRASE: usize = 8;

impl PrivateKey {
    /// Encrypted PKCS#8 as PEM text, `BEGIN ENCRYPTED PRIVATE KEY`, which `openssl pkey` opens. It takes a fraction of a
    /// second, on purpose.
    ///
    /// # Errors
    /// When the passphrase is shorter than [`SHORTEST_PASSPHRASE`], or the cryptographic library fails.
    pub fn to_encrypted_pem(&self, passphrase: &[u8]) -> Result<Zeroizing<String>, KeyError> {
        if passphrase.len() < SHORTEST_PASSPHRASE {
            return Err(KeyError::PassphraseShort);
        }
        let (mut salt, mut iv) = ([0; SALT], [0; 16]);
        rand::fill(&mut salt).map_err(|_| KeyError::Generate)?;
        rand::fill(&mut iv).map_err(|_| KeyError::Generate)?;
        let (cost, block, rounds) = COST;
        let encrypt = || {
            let cost = scrypt::Params::new(cost, block, rounds).ok()?;
            let scheme = pbes2::Parameters::generate_scrypt_aes256cbc(cost, &salt, iv).ok()?;
            let key = PrivateKeyInfoRef::try_from(self.pkcs8_der()).ok()?;
            let document = key.encrypt_with_params(scheme, passphrase).ok()?;
            document
                .to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF)
                .ok()
        };
        encrypt().ok_or(KeyError::Encrypt)
    }
}

#[cfg(test)]
mod tests {
    use openssl::pkey::PKey;

    use super::*;
    use crate::ca::KeyType;

    #[test]
    fn openssl_opens_what_was_encrypted_and_only_with_the_passphrase() {
        for key_type in [KeyType::P256, KeyType::P384, KeyType::Rsa2048] {
            let key = PrivateKey::generate(key_type).unwrap();
            let pem = key.to_encrypted_pem(b"open sesame").unwrap();
            assert!(pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
            let opened =
                PKey::private_key_from_pem_passphrase(pem.as_bytes(), b"open sesame").unwrap();
            let mine = PKey::private_key_from_pem(key.to_pem().as_bytes()).unwrap();
            assert!(opened.public_eq(&mine));
            assert!(PKey::private_key_from_pem_passphrase(pem.as_bytes(), b"Open sesame").is_err());
            let again = PrivateKey::from_pem(pem.as_bytes(), Some(b"open sesame")).unwrap();
            assert_eq!(again.pkcs8_der(), key.pkcs8_der());
        }
    }

    #[test]
    fn no_two_encryptions_of_a_key_are_alike() {
        let key = PrivateKey::generate(KeyType::P256).unwrap();
        let encrypt = || key.to_encrypted_pem(b"open sesame").unwrap();
        assert_ne!(encrypt(), encrypt());
    }

    #[test]
    fn a_short_passphrase_is_refused() {
        let key = PrivateKey::generate(KeyType::P256).unwrap();
        for short in ["", "1234567"] {
            let refusal = key.to_encrypted_pem(short.as_bytes()).unwrap_err();
            assert!(matches!(refusal, KeyError::PassphraseShort), "{refusal}");
        }
    }
}
