//! Reading and judging certificates the way AWS IoT does, independently of what this toolkit issues with.
//!
//! Parsing is x509-parser's; keys and signatures are verified by OpenSSL, so that a mistake in the
//! issuing code cannot be repeated here. Nothing in this file panics on hostile DER.

mod names;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::OnceLock;

use aws_lc_rs::digest;
use openssl::ec::EcKeyRef;
use openssl::ecdsa::EcdsaSig;
use openssl::error::ErrorStack;
use openssl::hash::{MessageDigest, hash};
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Public};
use openssl::sign::Verifier;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::extensions::ParsedExtension;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521,
};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use names::{Field, alternative_names, fields, first};

/// Longest serial number read, in octets. RFC 5280 allows 20; old scripts made longer ones.
const MAX_SERIAL_OCTETS: usize = 64;

/// Longest certificate read, in octets of DER: what fits the 65536 characters of PEM the API accepts.
const MAX_DER_OCTETS: usize = 49_152;

/// What is wrong with a certificate, as a sentence without full stop.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum X509Fault {
    /// Not PEM with a CERTIFICATE block.
    #[error("not a PEM certificate: {0}")]
    Pem(String),
    /// Not the DER of an X.509 certificate.
    #[error("not a readable X.509 certificate: {0}")]
    Malformed(String),
    /// Signature or key outside what AWS IoT supports.
    #[error("{0}")]
    Unsupported(String),
    /// The issuer name is not the subject of the CA.
    #[error("the issuer of the certificate is not the subject of the CA certificate")]
    IssuerMismatch,
    /// The signature does not verify with the key of the CA.
    #[error("the certificate was not signed by the key of the CA certificate")]
    BadSignature,
}

/// One X.509 certificate, read once; everything the local core asks of it is a field.
#[derive(Clone)]
#[non_exhaustive]
pub struct X509 {
    /// The certificate as it was encoded.
    pub der: Vec<u8>,
    /// Certificate id of AWS IoT: lower-case hex SHA-256 of the DER, 64 characters.
    pub id: String,
    /// X.509 version as people say it: 1, 2 or 3.
    pub version: u32,
    /// DER of the subject name.
    pub subject_der: Vec<u8>,
    /// DER of the issuer name.
    pub issuer_der: Vec<u8>,
    /// Serial number of the certificate in decimal.
    pub serial_decimal: String,
    /// Start of validity, in seconds since 1970.
    pub not_before: i64,
    /// End of validity (inclusive), in seconds since 1970.
    pub not_after: i64,
    /// Whether basicConstraints says CA:TRUE.
    pub is_ca: bool,
    /// DER of the SubjectPublicKeyInfo.
    pub spki_der: Vec<u8>,
    /// Dotted object identifier of the signature algorithm.
    pub signature_algorithm: String,
    subject: Vec<(Field, String)>,
    issuer: Vec<(Field, String)>,
    alternative_names: Vec<(&'static str, String)>,
    pss_hash: Option<String>,
    /// Where what was signed and the signature are in the DER; none where the two do not go together.
    signed: Option<Signed>,
    unknown_critical: bool,
    names_supported_key: bool,
    /// The public key, once OpenSSL has read it, which takes longer than verifying a signature with it.
    key: OnceLock<PKey<Public>>,
}

/// Two parts of a certificate's DER.
#[derive(Clone)]
struct Signed {
    content: Range<usize>,
    signature: Range<usize>,
}

impl fmt::Debug for X509 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("X509")
            .field("id", &self.id)
            .field("version", &self.version)
            .field("serial", &self.serial_decimal)
            .field("common_name", &self.common_name())
            .finish_non_exhaustive()
    }
}

impl X509 {
    /// Reads the first certificate of a PEM text; what follows it (a chain) is ignored.
    ///
    /// # Errors
    /// [`X509Fault::Pem`] without a readable CERTIFICATE block, else as [`X509::from_der`].
    pub fn from_pem(pem: &str) -> Result<Self, X509Fault> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| X509Fault::Pem(error.to_string()))?;
        Self::from_der(&der)
    }

    /// Reads a certificate.
    ///
    /// # Errors
    /// [`X509Fault::Malformed`] when it is no X.509 certificate, or something follows it.
    pub fn from_der(der: &[u8]) -> Result<Self, X509Fault> {
        let certificate = parse(der)?;
        let tbs = &certificate.tbs_certificate;
        let constraints = tbs.basic_constraints().ok().flatten();
        Ok(Self {
            id: hex::encode(digest::digest(&digest::SHA256, der)),
            version: tbs.version.0 + 1,
            subject_der: tbs.subject.as_raw().to_vec(),
            issuer_der: tbs.issuer.as_raw().to_vec(),
            serial_decimal: tbs.serial.to_string(),
            not_before: tbs.validity.not_before.timestamp(),
            not_after: tbs.validity.not_after.timestamp(),
            is_ca: constraints.is_some_and(|extension| extension.value.ca),
            spki_der: tbs.subject_pki.raw.to_vec(),
            signature_algorithm: certificate.signature_algorithm.algorithm.to_id_string(),
            subject: fields(&tbs.subject),
            issuer: fields(&tbs.issuer),
            alternative_names: alternative_names(&certificate),
            pss_hash: pss_hash(&certificate),
            signed: signed(der, &certificate),
            unknown_critical: has_unknown_critical(&certificate),
            names_supported_key: names_supported_key(&tbs.subject_pki),
            key: OnceLock::new(),
            der: der.to_vec(),
        })
    }

    /// The certificate as PEM, lines of 64 characters.
    pub fn to_pem(&self) -> String {
        pem_block("CERTIFICATE", &self.der)
    }

    /// The first common name of the subject.
    pub fn common_name(&self) -> Option<&str> {
        first(&self.subject, Field::CommonName)
    }

    /// Whether `now` (seconds since 1970) lies within the validity.
    pub fn is_valid_at(&self, now: i64) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }

    /// Whether the certificate names itself as its issuer and its own key verifies it.
    pub fn is_self_signed(&self) -> bool {
        self.verify_signed_by(self).is_ok()
    }

    /// Verifies that `ca` issued this certificate: names match and the CA's key verifies the signature.
    ///
    /// # Errors
    /// [`X509Fault::IssuerMismatch`], [`X509Fault::BadSignature`], or [`X509Fault::Malformed`] when a key is unreadable.
    pub fn verify_signed_by(&self, ca: &X509) -> Result<(), X509Fault> {
        if self.issuer_der != ca.subject_der {
            return Err(X509Fault::IssuerMismatch);
        }
        match self.is_signed_with(ca.public_key()?)? {
            true => Ok(()),
            false => Err(X509Fault::BadSignature),
        }
    }

    fn is_signed_with(&self, key: &PKey<Public>) -> Result<bool, X509Fault> {
        if let Some((id, digest)) = plain_signature(&self.signature_algorithm)
            && id == key.id()
            && let Some(Signed { content, signature }) = &self.signed
        {
            // Read whole by OpenSSL, the certificate's own key would take longer than all the rest.
            let (content, signature) = (&self.der[content.clone()], &self.der[signature.clone()]);
            let verdict = match key.ec_key() {
                Ok(key) => is_ecdsa(&key, digest, content, signature),
                Err(_) => Verifier::new(digest, key)
                    .and_then(|mut verifier| verifier.verify_oneshot(signature, content)),
            };
            return Ok(verdict.unwrap_or(false));
        }
        let certificate = openssl::x509::X509::from_der(&self.der)
            .map_err(|error| X509Fault::Malformed(error.to_string()))?;
        Ok(certificate.verify(key).unwrap_or(false))
    }

    /// Checks key and signature against what AWS IoT supports (developer guide, "X.509 client certificates"):
    /// RSA of at least 2048 bits or NIST P-256, P-384, P-521; SHA-256, SHA-384 or SHA-512.
    ///
    /// # Errors
    /// [`X509Fault::Unsupported`] naming what is not supported.
    pub fn check_algorithms(&self) -> Result<(), X509Fault> {
        self.check_signature_algorithm()?;
        self.check_key()
    }

    /// As [`X509::check_algorithms`], where a handshake has just been signed with the key: that it is any good is
    /// known, and only its kind is looked at.
    ///
    /// # Errors
    /// [`X509Fault::Unsupported`] naming what is not supported.
    pub fn check_algorithms_of_proven(&self) -> Result<(), X509Fault> {
        self.check_signature_algorithm()?;
        self.check_key_of_proven()
    }

    /// The key alone, as [`X509::check_algorithms_of_proven`] looks at it.
    ///
    /// # Errors
    /// [`X509Fault::Unsupported`] naming what is not supported.
    pub(crate) fn check_key_of_proven(&self) -> Result<(), X509Fault> {
        match self.names_supported_key {
            true => Ok(()),
            false => self.check_key(),
        }
    }

    /// Whether it has a critical extension that is not known here: RFC 5280, 4.2, says to reject it.
    pub(crate) fn has_unknown_critical(&self) -> bool {
        self.unknown_critical
    }

    /// Checks the key alone, which is all that a handshake depends on.
    ///
    /// # Errors
    /// [`X509Fault::Unsupported`] naming what is not supported.
    pub fn check_key(&self) -> Result<(), X509Fault> {
        check_key(self.public_key()?)
    }

    fn check_signature_algorithm(&self) -> Result<(), X509Fault> {
        let name = match self.signature_algorithm.as_str() {
            // sha256/384/512WithRSAEncryption, ecdsa-with-SHA256/384/512, dsa-with-sha256
            "1.2.840.113549.1.1.11"
            | "1.2.840.113549.1.1.12"
            | "1.2.840.113549.1.1.13"
            | "1.2.840.10045.4.3.2"
            | "1.2.840.10045.4.3.3"
            | "1.2.840.10045.4.3.4"
            | "2.16.840.1.101.3.4.3.2" => return Ok(()),
            "1.2.840.113549.1.1.10" => match self.pss_hash.as_deref() {
                Some(
                    "2.16.840.1.101.3.4.2.1" | "2.16.840.1.101.3.4.2.2" | "2.16.840.1.101.3.4.2.3",
                ) => {
                    return Ok(());
                }
                _ => "RSASSA-PSS with a hash other than SHA-256, SHA-384 or SHA-512",
            },
            "1.2.840.113549.1.1.5" | "1.2.840.10045.4.1" | "1.2.840.10040.4.3" => "SHA-1",
            "1.2.840.113549.1.1.4" => "MD5",
            "1.3.101.112" | "1.3.101.113" => "EdDSA",
            other => other,
        };
        Err(X509Fault::Unsupported(format!(
            "the signature algorithm {name} is not supported"
        )))
    }

    /// The public key, read by OpenSSL, once.
    fn public_key(&self) -> Result<&PKey<Public>, X509Fault> {
        if let Some(key) = self.key.get() {
            return Ok(key);
        }
        let key = PKey::public_key_from_der(&self.spki_der)
            .map_err(|_| X509Fault::Malformed("unreadable public key".to_owned()))?;
        Ok(self.key.get_or_init(|| key))
    }

    /// What policies may refer to as `${iot:Certificate.KEY}` (developer guide, "X.509 Certificate AWS IoT
    /// Core policy variables"): `Subject.CommonName`, `Issuer.Country`,
    /// `Subject.AlternativeName.DNSName`, `SerialNumber` …, values in the order of the certificate, unescaped.
    pub fn variables(&self) -> BTreeMap<String, Vec<String>> {
        let mut variables: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (side, fields) in [("Subject", &self.subject), ("Issuer", &self.issuer)] {
            for (field, value) in fields {
                variables
                    .entry(format!("{side}.{}", field.variable()))
                    .or_default()
                    .push(value.clone());
            }
        }
        for (kind, value) in &self.alternative_names {
            variables
                .entry((*kind).to_owned())
                .or_default()
                .push(value.clone());
        }
        variables.insert("SerialNumber".to_owned(), vec![self.serial_decimal.clone()]);
        variables
    }

    /// The `AWS::IoT::Certificate::*` parameters of just-in-time provisioning (developer guide,
    /// "Just-in-time provisioning"). SerialNumber is the serial number of the certificate in decimal;
    /// of a repeated subject attribute the first one counts.
    pub fn template_parameters(&self) -> BTreeMap<String, String> {
        let mut parameters = BTreeMap::new();
        for (field, value) in &self.subject {
            if let Some(name) = field.template_parameter() {
                parameters
                    .entry(format!("AWS::IoT::Certificate::{name}"))
                    .or_insert_with(|| value.clone());
            }
        }
        parameters.insert(
            "AWS::IoT::Certificate::SerialNumber".to_owned(),
            self.serial_decimal.clone(),
        );
        parameters.insert("AWS::IoT::Certificate::Id".to_owned(), self.id.clone());
        parameters
    }
}

/// Checks a public key against what AWS IoT supports.
///
/// # Errors
/// [`X509Fault::Unsupported`] naming what is not supported.
pub(crate) fn check_key(key: &PKey<Public>) -> Result<(), X509Fault> {
    let unsupported = |what: String| Err(X509Fault::Unsupported(what));
    match key.id() {
        Id::RSA | Id::RSA_PSS if key.bits() >= 2048 => Ok(()),
        Id::RSA | Id::RSA_PSS => unsupported(format!(
            "an RSA key of {} bits is too short, 2048 is the least",
            key.bits()
        )),
        Id::EC => {
            let curve = key.ec_key().ok().and_then(|key| key.group().curve_name());
            match curve {
                Some(Nid::X9_62_PRIME256V1 | Nid::SECP384R1 | Nid::SECP521R1) => Ok(()),
                other => unsupported(format!(
                    "the elliptic curve {} is not supported",
                    other
                        .and_then(|nid| nid.short_name().ok())
                        .unwrap_or("without a name")
                )),
            }
        }
        _ => unsupported("the key is neither RSA nor on a supported elliptic curve".to_owned()),
    }
}

/// Whether an ECDSA signature is one of this key. Asked by the key, OpenSSL takes a tenth less than through its
/// [`Verifier`], which looks up who implements the algorithm for every signature.
fn is_ecdsa(
    key: &EcKeyRef<Public>,
    digest: MessageDigest,
    content: &[u8],
    signature: &[u8],
) -> Result<bool, ErrorStack> {
    let read = EcdsaSig::from_der(signature)?;
    // A signature has one encoding, and OpenSSL takes no other where it verifies a whole certificate.
    Ok(read.to_der()? == signature && read.verify(&hash(digest, content)?, key)?)
}

/// Whether a public key is one AWS IoT takes by what it says of itself; whether it is any good, a signature made with it
/// tells. OpenSSL, which would know both, takes 0.15 ms to read a key, as long as all the rest of a handshake.
fn names_supported_key(key: &SubjectPublicKeyInfo<'_>) -> bool {
    let algorithm = &key.algorithm;
    if algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = algorithm.parameters.as_ref().map(|curve| curve.as_oid());
        return matches!(
            curve,
            Some(Ok(curve)) if [OID_EC_P256, OID_NIST_EC_P384, OID_NIST_EC_P521].contains(&curve)
        );
    }
    match key.parsed() {
        Ok(PublicKey::RSA(key)) => bits(key.modulus) >= 2048,
        _ => false,
    }
}

/// The length of a number in bits.
fn bits(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|octet| **octet == 0).count();
    let first = number.get(zeros).map_or(0, |octet| octet.leading_zeros());
    (number.len() - zeros) * 8 - first as usize
}

/// Kind of key and hash of a signature that says nothing else in its parameters: RSA PKCS #1 and ECDSA, by the dotted
/// identifier of the algorithm.
fn plain_signature(algorithm: &str) -> Option<(Id, MessageDigest)> {
    Some(match algorithm {
        "1.2.840.113549.1.1.11" => (Id::RSA, MessageDigest::sha256()),
        "1.2.840.113549.1.1.12" => (Id::RSA, MessageDigest::sha384()),
        "1.2.840.113549.1.1.13" => (Id::RSA, MessageDigest::sha512()),
        "1.2.840.10045.4.3.2" => (Id::EC, MessageDigest::sha256()),
        "1.2.840.10045.4.3.3" => (Id::EC, MessageDigest::sha384()),
        "1.2.840.10045.4.3.4" => (Id::EC, MessageDigest::sha512()),
        _ => return None,
    })
}

/// Reads a certificate without keeping anything of it. Refuses whatever [`X509::from_der`] refuses.
fn parse(der: &[u8]) -> Result<X509Certificate<'_>, X509Fault> {
    let malformed = |what: &str| X509Fault::Malformed(what.to_owned());
    if der.len() > MAX_DER_OCTETS {
        return Err(malformed("longer than AWS IoT accepts"));
    }
    let (rest, certificate) =
        X509Certificate::from_der(der).map_err(|error| X509Fault::Malformed(error.to_string()))?;
    if !rest.is_empty() {
        return Err(malformed("data after the certificate"));
    }
    let tbs = &certificate.tbs_certificate;
    if tbs.raw_serial().len() > MAX_SERIAL_OCTETS {
        return Err(malformed("serial number longer than 64 octets"));
    }
    if tbs.version.0 > 2 {
        return Err(malformed("unknown version"));
    }
    if tbs.basic_constraints().is_err() {
        return Err(malformed("basicConstraints is unreadable or repeated"));
    }
    Ok(certificate)
}

/// Where a certificate's signature and what it signs are; none where it cannot be a signature of this algorithm.
fn signed(der: &[u8], certificate: &X509Certificate<'_>) -> Option<Signed> {
    let (tbs, signature) = (&certificate.tbs_certificate, &certificate.signature_value);
    let place = |part: &[u8]| {
        let start = part.as_ptr().addr().checked_sub(der.as_ptr().addr())?;
        let place = start..start.checked_add(part.len())?;
        (der.get(place.clone())? == part).then_some(place)
    };
    (signature.unused_bits == 0 && tbs.signature == certificate.signature_algorithm)
        .then(|| {
            Some(Signed {
                content: place(tbs.as_ref())?,
                signature: place(&signature.data)?,
            })
        })
        .flatten()
}

/// Whether a certificate has a critical extension that the parser does not know, or cannot read.
fn has_unknown_critical(certificate: &X509Certificate<'_>) -> bool {
    certificate.extensions().iter().any(|extension| {
        extension.critical
            && matches!(
                extension.parsed_extension(),
                ParsedExtension::UnsupportedExtension { .. }
                    | ParsedExtension::ParseError { .. }
                    | ParsedExtension::Unparsed
            )
    })
}

/// Encodes a PEM block with lines of 64 characters.
pub(crate) fn pem_block(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = tail;
    }
    pem.push_str("-----END ");
    pem.push_str(label);
    pem.push_str("-----\n");
    pem
}

/// The hash a RSASSA-PSS signature names; `None` for other algorithms and for the default, SHA-1.
fn pss_hash(certificate: &X509Certificate<'_>) -> Option<String> {
    use x509_parser::signature_algorithm::SignatureAlgorithm;
    match SignatureAlgorithm::try_from(&certificate.signature_algorithm) {
        Ok(SignatureAlgorithm::RSASSA_PSS(parameters)) => {
            Some(parameters.hash_algorithm_oid().to_id_string())
        }
        _ => None,
    }
}
