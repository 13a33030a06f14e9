//! Who we are: a device certificate (leaf first, then its CA) and the private key that belongs to it.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use aws_lc_rs::digest;
use rustls::{
    SignatureScheme,
    client::ResolvesClientCert,
    crypto::aws_lc_rs::{default_provider, sign::any_ecdsa_type},
    sign::{CertifiedKey, SigningKey},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use time::OffsetDateTime;
use x509_parser::{
    oid_registry::OID_KEY_TYPE_EC_PUBLIC_KEY,
    prelude::{FromDer, X509Certificate},
};

use super::trust::day;
use crate::certificate::pem;

/// A client certificate chain with its key, ready to be presented in TLS.
///
/// X.509 v1 certificates, as the old shell scripts made them, are presented too: rustls' own
/// `with_client_auth_cert` refuses them, AWS IoT does not.
#[derive(Clone)]
pub struct Identity {
    certified: Arc<CertifiedKey>,
    certificate_id: String,
    subject: String,
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
}

/// Why a certificate and a key are no identity.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// No `-----BEGIN CERTIFICATE-----`.
    #[error("the certificate file contains no certificate in PEM form")]
    NoCertificate,
    /// Broken PEM or DER.
    #[error("certificate {number} of the certificate file cannot be read: {detail}")]
    Certificate {
        /// Which certificate, counted from 1.
        number: usize,
        /// What the reader said.
        detail: String,
    },
    /// No private key, or broken PEM.
    #[error("the key file contains no private key in PEM form (PKCS#8, PKCS#1 or SEC1)")]
    NoKey,
    /// A key with a passphrase.
    #[error("the private key is encrypted; decrypt it first: openssl pkey -in KEY -out KEY.plain")]
    EncryptedKey,
    /// A key of a kind TLS cannot use.
    #[error("the private key cannot be used: {detail}")]
    Key {
        /// What the reader said.
        detail: String,
    },
    /// Two files of different devices.
    #[error("the private key does not belong to the certificate of {subject}")]
    Mismatch {
        /// Subject of the first certificate.
        subject: String,
    },
    /// The device's certificate is in the file, but not first.
    #[error(
        "the certificate file starts with {first}; the device's certificate ({leaf}) must come first, then its CA"
    )]
    Order {
        /// Subject of the first certificate.
        first: String,
        /// Subject of the certificate the key belongs to.
        leaf: String,
    },
    /// A certificate that did not issue the one before it.
    #[error(
        "certificate {number} of the certificate file ({subject}) did not issue the one before it ({issuer} did)"
    )]
    Chain {
        /// Which certificate, counted from 1.
        number: usize,
        /// Its subject.
        subject: String,
        /// The issuer the certificate before it names.
        issuer: String,
    },
}

impl Identity {
    /// Reads a chain (leaf, then the CA if present) and the key of the leaf. Sizes and algorithms are left to
    /// the server to judge; the certificate may be expired (see [`Identity::out_of_date`]).
    ///
    /// # Errors
    /// [`IdentityError`]; a key of another certificate is [`IdentityError::Mismatch`].
    pub fn from_pem(chain_pem: &[u8], key_pem: &[u8]) -> Result<Self, IdentityError> {
        Self::new(read_chain(chain_pem)?, read_key(key_pem)?)
    }

    /// As [`Identity::from_pem`], of a chain and a key (PKCS#8, PKCS#1 or SEC1) in DER.
    ///
    /// # Errors
    /// As [`Identity::from_pem`].
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, IdentityError> {
        let parsed = parse(&chain)?;
        let leaf = parsed.first().ok_or(IdentityError::NoCertificate)?;
        let key = load(key, leaf)?;
        let public = key.public_key().ok_or_else(|| IdentityError::Key {
            detail: "its public half is not known".to_owned(),
        })?;
        if leaf.public_key().raw != public.as_ref() {
            return Err(
                match parsed
                    .iter()
                    .find(|c| c.public_key().raw == public.as_ref())
                {
                    Some(other) => IdentityError::Order {
                        first: leaf.subject().to_string(),
                        leaf: other.subject().to_string(),
                    },
                    None => IdentityError::Mismatch {
                        subject: leaf.subject().to_string(),
                    },
                },
            );
        }
        for (index, pair) in parsed.windows(2).enumerate() {
            if pair[0].issuer().as_raw() != pair[1].subject().as_raw() {
                return Err(IdentityError::Chain {
                    number: index + 2,
                    subject: pair[1].subject().to_string(),
                    issuer: pair[0].issuer().to_string(),
                });
            }
        }
        let certificate_id = hex::encode(digest::digest(&digest::SHA256, &chain[0]));
        let subject = leaf.subject().to_string();
        let not_before = leaf.validity().not_before.to_datetime();
        let not_after = leaf.validity().not_after.to_datetime();
        drop(parsed);
        Ok(Self {
            certified: Arc::new(CertifiedKey::new(chain, key)),
            certificate_id,
            subject,
            not_before,
            not_after,
        })
    }

    /// SHA-256 of the leaf's DER in lower-case hex: the id AWS IoT gives the certificate.
    pub fn certificate_id(&self) -> &str {
        &self.certificate_id
    }

    /// Subject of the leaf, for messages.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// A sentence when the leaf is outside its validity: AWS IoT closes the connection without saying so.
    pub fn out_of_date(&self, now: OffsetDateTime) -> Option<String> {
        if now > self.not_after {
            Some(format!(
                "the device certificate expired on {}",
                day(self.not_after)
            ))
        } else if now < self.not_before {
            Some(format!(
                "the device certificate is not valid before {}",
                day(self.not_before)
            ))
        } else {
            None
        }
    }

    pub(crate) fn resolver(&self) -> Arc<dyn ResolvesClientCert> {
        Arc::new(Always(Arc::clone(&self.certified)))
    }

    /// For one handshake: what was presented is let go of.
    pub(crate) fn resolver_once(&self) -> Arc<dyn ResolvesClientCert> {
        Arc::new(Once(Mutex::new(Some(Arc::clone(&self.certified)))))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("subject", &self.subject)
            .field("certificate_id", &self.certificate_id)
            .field("key", &"[redacted]")
            .finish()
    }
}

/// Presents the certificate whatever issuers the server names: AWS IoT names none of the customer's.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesClientCert for Always {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _sigschemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Presents the certificate in one handshake. A connection keeps its configuration for as long as it lives, and with it
/// some 3 kB of key and certificates that nobody asks for again: TLS 1.2 is not negotiated anew, and authentication after
/// the handshake of TLS 1.3 was not offered.
#[derive(Debug)]
struct Once(Mutex<Option<Arc<CertifiedKey>>>);

impl ResolvesClientCert for Once {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _sigschemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn read_chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let mut chain = Vec::new();
    for (index, der) in CertificateDer::pem_slice_iter(pem).enumerate() {
        chain.push(der.map_err(|error| IdentityError::Certificate {
            number: index + 1,
            detail: pem::fault(&error),
        })?);
    }
    if chain.is_empty() {
        return Err(IdentityError::NoCertificate);
    }
    Ok(chain)
}

fn read_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, IdentityError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        let encrypted: [&[u8]; 2] = [b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED"];
        if encrypted
            .iter()
            .any(|mark| pem.windows(mark.len()).any(|window| window == *mark))
        {
            IdentityError::EncryptedKey
        } else {
            IdentityError::NoKey
        }
    })
}

/// The key, read first as the certificate says it is: to try one kind after the other takes as long as a signature.
fn load(
    key: PrivateKeyDer<'static>,
    leaf: &X509Certificate<'_>,
) -> Result<Arc<dyn SigningKey>, IdentityError> {
    if leaf.public_key().algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY
        && let Ok(key) = any_ecdsa_type(&key)
    {
        return Ok(key);
    }
    let provider = default_provider().key_provider;
    provider
        .load_private_key(key)
        .map_err(|error| IdentityError::Key {
            detail: error.to_string(),
        })
}

fn parse<'a>(chain: &'a [CertificateDer<'_>]) -> Result<Vec<X509Certificate<'a>>, IdentityError> {
    chain
        .iter()
        .enumerate()
        .map(|(index, der)| match X509Certificate::from_der(der) {
            Ok(([], certificate)) => Ok(certificate),
            Ok(_) => Err(IdentityError::Certificate {
                number: index + 1,
                detail: "bytes follow the certificate".to_owned(),
            }),
            Err(error) => Err(IdentityError::Certificate {
                number: index + 1,
                detail: error.to_string(),
            }),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    struct Made {
        ca: String,
        leaf: String,
        key: String,
    }

    fn made(name: &str) -> Made {
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name
            .push(DnType::CommonName, format!("CA of {name}"));
        let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
        let key = KeyPair::generate().unwrap();
        let mut leaf = CertificateParams::default();
        leaf.distinguished_name.push(DnType::CommonName, name);
        let leaf = leaf
            .signed_by(&key, &Issuer::new(ca, ca_key))
            .unwrap()
            .pem();
        Made {
            ca: ca_pem,
            leaf,
            key: key.serialize_pem(),
        }
    }

    fn read(chain: &str, key: &str) -> Result<Identity, IdentityError> {
        Identity::from_pem(chain.as_bytes(), key.as_bytes())
    }

    #[test]
    fn leaf_then_ca_is_an_identity_and_its_debug_form_hides_the_key() {
        let made = made("sensor-17");
        let identity = read(&format!("{}{}", made.leaf, made.ca), &made.key).unwrap();
        assert_eq!(identity.subject(), "CN=sensor-17");
        assert_eq!(identity.certificate_id().len(), 64);
        let debug = format!("{identity:?}");
        assert!(debug.contains("[redacted]") && !debug.contains("PRIVATE"));
        read(&made.leaf, &made.key).unwrap();
    }

    #[test]
    fn for_one_handshake_it_is_presented_once() {
        let made = made("sensor-17");
        let identity = read(&made.leaf, &made.key).unwrap();
        let once = identity.resolver_once();
        assert!(once.has_certs());
        let presented = once.resolve(&[], &[]).unwrap();
        assert_eq!(presented.cert, identity.certified.cert);
        assert!(once.resolve(&[], &[]).is_none());
        // Another handshake has another.
        assert!(identity.resolver_once().resolve(&[], &[]).is_some());
    }

    #[test]
    fn what_does_not_belong_together_is_named() {
        let (a, b) = (made("a"), made("b"));
        assert_eq!(
            read(&a.leaf, &b.key).unwrap_err(),
            IdentityError::Mismatch {
                subject: "CN=a".into()
            }
        );
        assert!(matches!(
            read(&format!("{}{}", a.ca, a.leaf), &a.key),
            Err(IdentityError::Order { .. })
        ));
        assert!(matches!(
            read(&format!("{}{}", a.leaf, b.ca), &a.key),
            Err(IdentityError::Chain { number: 2, .. })
        ));
    }

    #[test]
    fn files_without_certificate_or_key_are_errors() {
        let a = made("a");
        assert_eq!(read("", &a.key).unwrap_err(), IdentityError::NoCertificate);
        assert_eq!(read(&a.leaf, "").unwrap_err(), IdentityError::NoKey);
        assert_eq!(
            read(
                &a.leaf,
                "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"
            )
            .unwrap_err(),
            IdentityError::EncryptedKey
        );
        let cut = &a.leaf[..a.leaf.len() / 2];
        assert!(read(cut, &a.key).is_err());
    }

    #[test]
    fn an_expired_leaf_says_when() {
        let a = made("a");
        let identity = read(&a.leaf, &a.key).unwrap();
        let sentence = identity
            .out_of_date(OffsetDateTime::from_unix_timestamp(99_000_000_000).unwrap())
            .unwrap();
        assert!(sentence.contains("expired on"), "{sentence}");
    }
}
