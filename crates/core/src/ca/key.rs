//! Private keys: made, read in every form people have them in, and wiped when they go.

use std::fmt;

use aws_lc_rs::{
    encoding::{AsBigEndian, AsDer, EcPrivateKeyBin, Pkcs8V1Der},
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair, RsaKeyPair,
    },
};
use openssl::pkey::{Id, PKey};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};
use zeroize::Zeroizing;

use super::{
    encryption::SHORTEST_PASSPHRASE,
    key_type::{KeyType, Shape},
    rsa,
};
use crate::{
    certificate::{Certificate, pem},
    failure::{Class, Classified},
};

/// A private key as PKCS#8, with the public half beside it. The memory is wiped when it is dropped.
#[derive(Clone)]
pub struct PrivateKey {
    key_type: KeyType,
    pkcs8: Zeroizing<Vec<u8>>,
    public: Vec<u8>,
}

/// Why there is no private key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not the name of a key type.
    #[error("{name:?} is not a key type; there are p256, p384, rsa2048, rsa3072 and rsa4096")]
    UnknownType {
        /// The name as given.
        name: String,
    },
    /// The text holds no private key.
    #[error("there is no private key in it (no block that ends with PRIVATE KEY-----)")]
    Missing,
    /// The text holds more than one private key.
    #[error("there are {count} private keys in it and one was expected")]
    Several {
        /// How many there are.
        count: usize,
    },
    /// The key is encrypted and no passphrase was given.
    #[error("the private key is encrypted and no passphrase was given")]
    PassphraseNeeded,
    /// The passphrase does not open the key, or the key is damaged.
    #[error("the private key cannot be decrypted: the passphrase is wrong, or the key is damaged")]
    Passphrase,
    /// A passphrase that protects nothing.
    #[error("the passphrase for the new key is shorter than {SHORTEST_PASSPHRASE} bytes")]
    PassphraseShort,
    /// The text is damaged, or no key that any reader knows.
    #[error("the private key cannot be read: {detail}")]
    Unreadable {
        /// What the reader stumbled over; no key material.
        detail: String,
    },
    /// A good key of a kind the toolkit does not sign with.
    #[error(
        "the private key is {found}; supported are EC P-256 and P-384, and RSA with 2048, 3072 or 4096 bits"
    )]
    Unsupported {
        /// What it is.
        found: String,
    },
    /// The cryptographic library failed.
    #[error("a key could not be made: the cryptographic library failed")]
    Generate,
    /// The same, in encrypting a key.
    #[error("the key could not be encrypted: the cryptographic library failed")]
    Encrypt,
}

/// For keys that are made; who reads one says what could not be read.
impl From<openssl::error::ErrorStack> for KeyError {
    fn from(_: openssl::error::ErrorStack) -> Self {
        Self::Generate
    }
}

impl Classified for KeyError {
    fn class(&self) -> Class {
        match self {
            Self::Generate | Self::Encrypt => Class::Unexpected,
            _ => Class::Configuration,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Missing => {
                Some("the key file may have been swapped with the certificate file".to_owned())
            }
            Self::PassphraseNeeded => Some(
                "a CA's is taken from JITP_CA_PASSPHRASE, the file of --passphrase-file, or the terminal"
                    .to_owned(),
            ),
            Self::PassphraseShort => {
                Some("take several words, or the output of: openssl rand -base64 24".to_owned())
            }
            _ => None,
        }
    }
}

impl PrivateKey {
    /// Makes a new key from the operating system's randomness.
    ///
    /// # Errors
    /// [`KeyError::Generate`] if the cryptographic library fails.
    pub fn generate(key_type: KeyType) -> Result<Self, KeyError> {
        // Straight from aws-lc-rs: rcgen's own generation parses and checks its output a second time.
        match key_type.shape() {
            Shape::Ec(algorithm) => Self::generate_on_curve(key_type, algorithm),
            Shape::Rsa { bits } => {
                let der = rsa::generate(bits)?;
                // aws-lc-rs, which will sign with it, looks whether all of its parts fit.
                let pair = RsaKeyPair::from_der(&der).map_err(|_| KeyError::Generate)?;
                Self::from_rsa(key_type, &pair)
            }
        }
    }

    /// As [`PrivateKey::generate`], of [`KeyType::P256`]: for programs that link nothing else, since RSA takes OpenSSL.
    ///
    /// # Errors
    /// As [`PrivateKey::generate`].
    pub fn generate_p256() -> Result<Self, KeyError> {
        Self::generate_on_curve(KeyType::P256, &ECDSA_P256_SHA256_ASN1_SIGNING)
    }

    fn generate_on_curve(
        key_type: KeyType,
        algorithm: &'static EcdsaSigningAlgorithm,
    ) -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::generate(algorithm).map_err(|_| KeyError::Generate)?;
        Self::from_ec(key_type, &pair)
    }

    /// Reads the only private key of a PEM text: PKCS#8, PKCS#1 or SEC1, with or without a block `EC PARAMETERS` before
    /// it, and encrypted in PKCS#8 or in OpenSSL's old way if there is a passphrase.
    ///
    /// A passphrase for a key that is not encrypted is ignored.
    ///
    /// # Errors
    /// When there is no key or more than one, it is damaged, the passphrase is missing or wrong, or the key is of a kind
    /// outside [`KeyType`].
    pub fn from_pem(pem: &[u8], passphrase: Option<&[u8]>) -> Result<Self, KeyError> {
        let blocks = private_blocks(pem);
        if blocks > 1 {
            return Err(KeyError::Several { count: blocks });
        }
        if blocks == 0 {
            return Err(KeyError::Missing);
        }
        if is_encrypted(pem) {
            let passphrase = passphrase.ok_or(KeyError::PassphraseNeeded)?;
            let key = PKey::private_key_from_pem_passphrase(pem, passphrase)
                .map_err(|_| KeyError::Passphrase)?;
            return Self::from_openssl(&key);
        }
        let der = PrivateKeyDer::from_pem_slice(pem).map_err(|error| KeyError::Unreadable {
            detail: pem::fault(&error),
        })?;
        let der = Zeroizing::new(der);
        if let Some(key) = Self::from_der(&der)? {
            return Ok(key);
        }
        // What aws-lc-rs does not take as it is (explicit parameters, a missing public half, another curve), OpenSSL may
        // read, and says what it is.
        // Without a passphrase to offer it would ask the terminal for one.
        let key = PKey::private_key_from_pem_callback(pem, |_| Ok(0)).map_err(|_| {
            KeyError::Unreadable {
                detail: "the block holds no private key".to_owned(),
            }
        })?;
        Self::from_openssl(&key)
    }

    /// The kind of key.
    pub fn key_type(&self) -> KeyType {
        self.key_type
    }

    /// PKCS#8 (version 1) in DER. Secret.
    pub fn pkcs8_der(&self) -> &[u8] {
        &self.pkcs8
    }

    /// PKCS#8 as PEM text, `BEGIN PRIVATE KEY`. Secret; wiped when dropped.
    pub fn to_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(pem::encode("PRIVATE KEY", &self.pkcs8))
    }

    /// The key as rustls takes it. Secret.
    pub fn to_rustls(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.pkcs8.to_vec()).into()
    }

    /// The public half as it stands in a certificate's bit string: an uncompressed point, or an RSAPublicKey in DER.
    pub fn public_key(&self) -> &[u8] {
        &self.public
    }

    /// The public half as SubjectPublicKeyInfo in DER (RFC 5280, 4.1.2.7).
    pub fn public_key_info(&self) -> Vec<u8> {
        self.key_type.public_key_info(&self.public)
    }

    /// The public half as PEM text, one block `PUBLIC KEY`.
    pub fn public_key_pem(&self) -> String {
        pem::encode("PUBLIC KEY", &self.public_key_info())
    }

    /// Whether `certificate` certifies this key.
    pub fn belongs_to(&self, certificate: &Certificate) -> bool {
        self.public == certificate.public_key()
    }

    fn from_ec(key_type: KeyType, pair: &EcdsaKeyPair) -> Result<Self, KeyError> {
        let scalar: EcPrivateKeyBin<'_> = pair
            .private_key()
            .as_be_bytes()
            .map_err(|_| KeyError::Generate)?;
        let public = pair.public_key().as_ref();
        Ok(Self {
            key_type,
            pkcs8: key_type.private_key_info(scalar.as_ref(), public),
            public: public.to_vec(),
        })
    }

    fn from_rsa(key_type: KeyType, pair: &RsaKeyPair) -> Result<Self, KeyError> {
        let pkcs8: Pkcs8V1Der<'static> = pair.as_der().map_err(|_| KeyError::Generate)?;
        Ok(Self {
            key_type,
            pkcs8: Zeroizing::new(pkcs8.as_ref().to_vec()),
            public: pair.public_key().as_ref().to_vec(),
        })
    }

    /// `None` if aws-lc-rs does not take the key.
    fn from_der(der: &PrivateKeyDer<'_>) -> Result<Option<Self>, KeyError> {
        for key_type in [KeyType::P256, KeyType::P384] {
            let Shape::Ec(algorithm) = key_type.shape() else {
                continue;
            };
            let pair = match der {
                PrivateKeyDer::Pkcs8(der) => {
                    EcdsaKeyPair::from_pkcs8(algorithm, der.secret_pkcs8_der())
                }
                PrivateKeyDer::Sec1(der) => {
                    EcdsaKeyPair::from_private_key_der(algorithm, der.secret_sec1_der())
                }
                _ => break,
            };
            if let Ok(pair) = pair {
                return Self::from_ec(key_type, &pair).map(Some);
            }
        }
        let pair = match der {
            PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
            _ => return Ok(None),
        };
        let Ok(pair) = pair else {
            return Ok(None);
        };
        let key_type = match pair.public_modulus_len() {
            256 => KeyType::Rsa2048,
            384 => KeyType::Rsa3072,
            512 => KeyType::Rsa4096,
            octets => {
                return Err(KeyError::Unsupported {
                    found: format!("RSA with {} bits", octets * 8),
                });
            }
        };
        Self::from_rsa(key_type, &pair).map(Some)
    }

    fn from_openssl<T: openssl::pkey::HasPrivate>(key: &PKey<T>) -> Result<Self, KeyError> {
        let unreadable = |error: openssl::error::ErrorStack| KeyError::Unreadable {
            detail: error.to_string(),
        };
        let pkcs8 = Zeroizing::new(key.private_key_to_pkcs8().map_err(unreadable)?);
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8.as_slice()));
        Self::from_der(&der)?.ok_or_else(|| KeyError::Unsupported {
            found: match key.id() {
                Id::EC => format!("EC on another curve ({} bits)", key.bits()),
                Id::RSA => format!("RSA with {} bits", key.bits()),
                Id::RSA_PSS => "RSA-PSS".to_owned(),
                Id::ED25519 => "Ed25519".to_owned(),
                Id::ED448 => "Ed448".to_owned(),
                Id::DSA => "DSA".to_owned(),
                other => format!("of another kind (OpenSSL's number {})", other.as_raw()),
            },
        })
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey")
            .field("key_type", &self.key_type)
            .field("pkcs8", &"[redacted]")
            .finish_non_exhaustive()
    }
}

fn private_blocks(pem: &[u8]) -> usize {
    pem.split(|&byte| byte == b'\n')
        .map(|line| line.trim_ascii())
        .filter(|line| line.starts_with(b"-----BEGIN ") && line.ends_with(b"PRIVATE KEY-----"))
        .count()
}

/// Encrypted PKCS#8 says so in its label, OpenSSL's old way in a header (RFC 1421, 4.6.1.1).
fn is_encrypted(pem: &[u8]) -> bool {
    pem.split(|&byte| byte == b'\n').any(|line| {
        let line = line.trim_ascii();
        line == b"-----BEGIN ENCRYPTED PRIVATE KEY-----"
            || line.starts_with(b"Proc-Type:") && line.ends_with(b"ENCRYPTED")
    })
}

#[cfg(test)]
mod tests {
    use openssl::{
        ec::{EcGroup, EcKey},
        nid::Nid,
        rsa::Rsa,
        symm::Cipher,
    };

    use super::*;

    #[test]
    fn a_made_key_reads_back_and_openssl_knows_the_same_public_half() {
        for key_type in [KeyType::P256, KeyType::P384, KeyType::Rsa2048] {
            let key = PrivateKey::generate(key_type).unwrap();
            let again = PrivateKey::from_pem(key.to_pem().as_bytes(), None).unwrap();
            assert_eq!(again.key_type(), key_type);
            assert_eq!(again.public_key(), key.public_key());
            let judge = PKey::private_key_from_pem(key.to_pem().as_bytes()).unwrap();
            assert!(
                judge
                    .public_key_to_der()
                    .unwrap()
                    .ends_with(key.public_key())
            );
        }
    }

    #[test]
    fn a_made_key_has_the_octets_that_the_libraries_give_it() {
        // Enough of them that some private values begin with a zero octet.
        for key_type in std::iter::repeat_n([KeyType::P256, KeyType::P384], 600).flatten() {
            let Shape::Ec(algorithm) = key_type.shape() else {
                unreachable!("both are EC");
            };
            let pair = EcdsaKeyPair::generate(algorithm).unwrap();
            let key = PrivateKey::from_ec(key_type, &pair).unwrap();
            assert_eq!(key.pkcs8_der(), pair.to_pkcs8v1().unwrap().as_ref());
            let judge = PKey::private_key_from_der(key.pkcs8_der()).unwrap();
            assert_eq!(key.pkcs8_der(), judge.private_key_to_pkcs8().unwrap());
        }
    }

    #[test]
    fn every_form_that_openssl_writes_is_read() {
        let group = EcGroup::from_curve_name(Nid::SECP384R1).unwrap();
        let ec = EcKey::generate(&group).unwrap();
        let ec_pkey = PKey::from_ec_key(ec.clone()).unwrap();
        let rsa = Rsa::generate(2048).unwrap();
        let sec1 = ec.private_key_to_pem().unwrap();
        let with_parameters = [
            b"-----BEGIN EC PARAMETERS-----\nBgUrgQQAIg==\n-----END EC PARAMETERS-----\n"
                .as_slice(),
            &sec1,
        ]
        .concat();
        let aes = Cipher::aes_256_cbc();
        let forms = [
            (KeyType::P384, sec1),
            (KeyType::P384, with_parameters),
            (KeyType::P384, ec_pkey.private_key_to_pem_pkcs8().unwrap()),
            (
                KeyType::P384,
                ec_pkey
                    .private_key_to_pem_pkcs8_passphrase(aes, b"open sesame")
                    .unwrap(),
            ),
            (KeyType::Rsa2048, rsa.private_key_to_pem().unwrap()),
            (
                KeyType::Rsa2048,
                rsa.private_key_to_pem_passphrase(aes, b"open sesame")
                    .unwrap(),
            ),
        ];
        for (key_type, pem) in forms {
            let key = PrivateKey::from_pem(&pem, Some(b"open sesame"))
                .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&pem)));
            assert_eq!(key.key_type(), key_type);
        }
    }

    #[test]
    fn an_encrypted_key_wants_its_passphrase() {
        let rsa = Rsa::generate(2048).unwrap();
        let pem = rsa
            .private_key_to_pem_passphrase(Cipher::aes_128_cbc(), b"right")
            .unwrap();
        let read = |passphrase| PrivateKey::from_pem(&pem, passphrase).unwrap_err();
        assert!(matches!(read(None), KeyError::PassphraseNeeded));
        assert!(matches!(
            read(Some(b"wrong".as_slice())),
            KeyError::Passphrase
        ));
    }

    #[test]
    fn what_is_no_usable_key_is_refused_by_what_it_is() {
        let group = EcGroup::from_curve_name(Nid::SECP521R1).unwrap();
        let p521 = EcKey::generate(&group).unwrap();
        let p521 = p521.private_key_to_pem().unwrap();
        let ed25519 = PKey::generate_ed25519().unwrap();
        let ed25519 = ed25519.private_key_to_pem_pkcs8().unwrap();
        let rsa1024 = Rsa::generate(1024).unwrap().private_key_to_pem().unwrap();
        let good = PrivateKey::generate(KeyType::P256).unwrap().to_pem();
        let cut = &good.as_bytes()[..good.len() / 2];
        let two = [good.as_bytes(), good.as_bytes()].concat();
        let cases: [(&[u8], &str); 7] = [
            (b"", "no private key"),
            (b"\xff\xfe garbage", "no private key"),
            (&p521, "EC on another curve (521 bits)"),
            (&ed25519, "Ed25519"),
            (&rsa1024, "RSA with 1024 bits"),
            (cut, "cannot be read"),
            (&two, "2 private keys"),
        ];
        for (pem, why) in cases {
            let refusal = PrivateKey::from_pem(pem, None).unwrap_err().to_string();
            assert!(refusal.contains(why), "{refusal}");
        }
    }

    #[test]
    fn a_key_shows_nothing_of_itself() {
        let key = PrivateKey::generate(KeyType::P256).unwrap();
        let shown = format!("{key:?}");
        assert!(shown.contains("[redacted]"));
        assert!(!shown.contains(&format!("{:?}", &key.pkcs8_der()[40..44])));
    }
}
