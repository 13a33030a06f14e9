//! Certificates: read, name by id, and say what a registration template may ask of them.
//!
//! Reading is lenient where AWS IoT is (X.509 version 1 without any extension, as `openssl x509 -req` writes it), and
//! judges nothing: what a CA may sign is in [`crate::ca`].

mod name;
pub(crate) mod pem;

use std::{collections::BTreeMap, fmt, str::FromStr};

use aws_lc_rs::digest;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use x509_parser::{
    extensions::ParsedExtension,
    prelude::{FromDer, X509Certificate},
    x509::X509Name,
};

pub use name::NameAttribute;
pub(crate) use name::{
    COMMON_NAME, COUNTRY, DN_QUALIFIER, LOCALITY, ORGANIZATION, ORGANIZATIONAL_UNIT, SERIAL_NUMBER,
    STATE, attributes,
};

use crate::{
    ca::RECORD,
    failure::{Class, Classified},
};

/// What AWS IoT calls a certificate: the SHA-256 of its DER as 64 lower-case hexadecimal digits.
///
/// CA certificates are named the same way (AWS IoT API reference, "CertificateDescription", certificateId).
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CertificateId([u8; 64]);

impl CertificateId {
    /// The id of the certificate with this DER encoding (not of its PEM text).
    pub fn of(der: &[u8]) -> Self {
        let mut digits = [0; 64];
        // A digest of SHA-256 has half as many octets.
        let _ = hex::encode_to_slice(digest::digest(&digest::SHA256, der), &mut digits);
        Self(digits)
    }

    /// The SHA-256 itself.
    pub fn octets(&self) -> [u8; 32] {
        let mut octets = [0; 32];
        // Whoever made it has seen that these are 64 digits.
        let _ = hex::decode_to_slice(self.0, &mut octets);
        octets
    }

    /// The id as text, 64 characters.
    pub fn as_str(&self) -> &str {
        // Digits are ASCII.
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for CertificateId {
    type Err = CertificateError;

    fn from_str(id: &str) -> Result<Self, CertificateError> {
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        match id.as_bytes().try_into() {
            Ok(digits) if id.bytes().all(digit) => Ok(Self(digits)),
            _ => Err(CertificateError::Id {
                id: id.chars().take(80).collect(),
            }),
        }
    }
}

impl TryFrom<String> for CertificateId {
    type Error = CertificateError;

    fn try_from(id: String) -> Result<Self, CertificateError> {
        id.parse()
    }
}

impl From<CertificateId> for String {
    fn from(id: CertificateId) -> Self {
        id.as_str().to_owned()
    }
}

impl AsRef<str> for CertificateId {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for CertificateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// As text, which people look for.
impl fmt::Debug for CertificateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CertificateId")
            .field(&self.as_str())
            .finish()
    }
}

/// A certificate that has been read; everything in it is owned.
#[derive(Clone, Eq, PartialEq)]
pub struct Certificate {
    der: Vec<u8>,
    id: CertificateId,
    version: u32,
    serial: Vec<u8>,
    serial_decimal: String,
    subject: Vec<NameAttribute>,
    subject_der: Vec<u8>,
    issuer_der: Vec<u8>,
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
    basic_constraints: Option<(bool, Option<u32>)>,
    key_usage: Option<u16>,
    subject_key_id: Option<Vec<u8>>,
    authority_key_id: Option<Vec<u8>>,
    public_key_info: Vec<u8>,
    public_key: Vec<u8>,
}

/// Why a text or some bytes are not a certificate.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The PEM text holds no block `CERTIFICATE`.
    #[error(
        "there is no certificate in it (no block that begins with -----BEGIN CERTIFICATE-----)"
    )]
    Missing,
    /// The PEM text holds more than the one certificate expected.
    #[error("there are {count} certificates in it and one was expected")]
    Several {
        /// How many there are.
        count: usize,
    },
    /// A PEM block is damaged.
    #[error("it is not valid PEM: {detail}")]
    Pem {
        /// What the reader stumbled over.
        detail: String,
    },
    /// The bytes are not an X.509 certificate.
    #[error("it is not a valid X.509 certificate: {detail}")]
    Der {
        /// What the reader stumbled over.
        detail: String,
    },
    /// Not a certificate id.
    #[error("{id:?} is not a certificate id: that is 64 lower-case hexadecimal digits")]
    Id {
        /// The text as given, at most 80 characters of it.
        id: String,
    },
}

impl Classified for CertificateError {
    fn class(&self) -> Class {
        Class::Configuration
    }
}

impl Certificate {
    /// Reads one DER-encoded certificate.
    ///
    /// # Errors
    /// [`CertificateError::Der`] if it is none, or is followed by other bytes.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let broken = |detail: String| CertificateError::Der { detail };
        let (rest, parsed) = X509Certificate::from_der(der).map_err(|e| broken(e.to_string()))?;
        if !rest.is_empty() {
            return Err(broken(format!("{} bytes follow it", rest.len())));
        }
        let tbs = &parsed.tbs_certificate;
        let extension = |e: x509_parser::error::X509Error| broken(e.to_string());
        let constraints = tbs.basic_constraints().map_err(extension)?;
        let key_usage = tbs.key_usage().map_err(extension)?;
        let mut subject_key_id = None;
        let mut authority_key_id = None;
        for extension in tbs.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => subject_key_id = Some(id.0.to_vec()),
                ParsedExtension::AuthorityKeyIdentifier(id) => {
                    authority_key_id = id.key_identifier.as_ref().map(|id| id.0.to_vec());
                }
                _ => {}
            }
        }
        Ok(Self {
            id: CertificateId::of(der),
            version: tbs.version().0.saturating_add(1),
            serial: tbs.raw_serial().to_vec(),
            serial_decimal: tbs.serial.to_string(),
            subject: name::attributes(tbs.subject()),
            subject_der: tbs.subject().as_raw().to_vec(),
            issuer_der: tbs.issuer().as_raw().to_vec(),
            not_before: tbs.validity().not_before.to_datetime(),
            not_after: tbs.validity().not_after.to_datetime(),
            basic_constraints: constraints.map(|c| (c.value.ca, c.value.path_len_constraint)),
            key_usage: key_usage.map(|usage| usage.value.flags),
            subject_key_id,
            authority_key_id,
            public_key_info: tbs.public_key().raw.to_vec(),
            public_key: tbs.public_key().subject_public_key.data.to_vec(),
            der: der.to_vec(),
        })
    }

    /// Reads the only certificate of a PEM text; text around the block is ignored.
    ///
    /// # Errors
    /// When there is none, more than one, or it is damaged.
    pub fn from_pem(pem: impl AsRef<[u8]>) -> Result<Self, CertificateError> {
        let mut all = Self::all_from_pem(pem)?;
        match (all.pop(), all.len()) {
            (Some(only), 0) => Ok(only),
            (Some(_), others) => Err(CertificateError::Several { count: others + 1 }),
            (None, _) => Err(CertificateError::Missing),
        }
    }

    /// Reads every certificate of a PEM text in its order: for a device file the leaf, then its CA.
    ///
    /// # Errors
    /// When there is none, or one of them is damaged.
    pub fn all_from_pem(pem: impl AsRef<[u8]>) -> Result<Vec<Self>, CertificateError> {
        let certificates = CertificateDer::pem_slice_iter(pem.as_ref())
            .map(|block| {
                let der = block.map_err(|e| CertificateError::Pem {
                    detail: pem::fault(&e),
                })?;
                Self::from_der(&der)
            })
            .collect::<Result<Vec<_>, _>>()?;
        if certificates.is_empty() {
            return Err(CertificateError::Missing);
        }
        Ok(certificates)
    }

    /// The DER encoding, byte for byte as read.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// PEM text, one block `CERTIFICATE`.
    pub fn to_pem(&self) -> String {
        pem::encode("CERTIFICATE", &self.der)
    }

    /// What AWS IoT calls it.
    pub fn id(&self) -> &CertificateId {
        &self.id
    }

    /// The X.509 version as people count: 1 or 3.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The serial number, big-endian as encoded (a leading zero octet keeps it positive).
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// The serial number in decimal.
    pub fn serial_decimal(&self) -> &str {
        &self.serial_decimal
    }

    /// The subject's attributes in their order, repeated ones included.
    pub fn subject(&self) -> &[NameAttribute] {
        &self.subject
    }

    /// The subject as one line, `CN=sensor-17, O=AWS`, for messages.
    pub fn subject_line(&self) -> String {
        let parts: Vec<String> = self.subject.iter().map(ToString::to_string).collect();
        parts.join(", ")
    }

    /// The subject's Name, DER-encoded.
    pub fn subject_der(&self) -> &[u8] {
        &self.subject_der
    }

    /// The issuer's Name, DER-encoded.
    pub fn issuer_der(&self) -> &[u8] {
        &self.issuer_der
    }

    /// The issuer as one line, `CN=root, O=AWS`, for messages.
    pub fn issuer_line(&self) -> String {
        // from_der() has read it before.
        let issuer = X509Name::from_der(&self.issuer_der);
        let attributes = issuer.map_or_else(|_| Vec::new(), |(_, name)| name::attributes(&name));
        let parts: Vec<String> = attributes.iter().map(ToString::to_string).collect();
        parts.join(", ")
    }

    /// The public key as PEM text, one block `PUBLIC KEY`.
    pub fn public_key_pem(&self) -> String {
        pem::encode("PUBLIC KEY", &self.public_key_info)
    }

    /// The first common name of the subject.
    pub fn common_name(&self) -> Option<&str> {
        self.subject_field(COMMON_NAME)
    }

    /// The first instant at which it is valid.
    pub fn not_before(&self) -> OffsetDateTime {
        self.not_before
    }

    /// The last second in which it is valid.
    pub fn not_after(&self) -> OffsetDateTime {
        self.not_after
    }

    /// Whether `now` lies inside its validity, both ends included (RFC 5280, 4.1.2.5).
    pub fn is_valid_at(&self, now: OffsetDateTime) -> bool {
        self.not_before <= now && now < self.not_after.saturating_add(time::Duration::SECOND)
    }

    /// Whether it names that CA as its issuer and the CA's key signed it. OpenSSL verifies, since it knows every
    /// algorithm that other tools may have signed with.
    pub fn is_signed_by(&self, ca: &Self) -> bool {
        let verify = || {
            let key = openssl::x509::X509::from_der(ca.der())?.public_key()?;
            openssl::x509::X509::from_der(self.der())?.verify(&key)
        };
        self.issuer_der() == ca.subject_der() && verify().unwrap_or(false)
    }

    /// Whether `signature` over `record` was made by [`CertificateAuthority::sign_record`] of this CA.
    ///
    /// [`CertificateAuthority::sign_record`]: crate::ca::CertificateAuthority::sign_record
    pub fn has_signed_record(&self, record: &str, signature: &[u8]) -> bool {
        let verify = || {
            let key = openssl::x509::X509::from_der(self.der())?.public_key()?;
            let digest = match key.bits() {
                384 => openssl::hash::MessageDigest::sha384(),
                _ => openssl::hash::MessageDigest::sha256(),
            };
            let mut verifier = openssl::sign::Verifier::new(digest, &key)?;
            verifier.verify_oneshot(signature, [RECORD, record].concat().as_bytes())
        };
        verify().unwrap_or(false)
    }

    /// Whether basicConstraints says CA:TRUE.
    pub fn is_ca(&self) -> bool {
        matches!(self.basic_constraints, Some((true, _)))
    }

    /// How many CA certificates may follow below this CA; `None` if it is unlimited, or not a CA.
    pub fn path_length(&self) -> Option<u32> {
        self.basic_constraints
            .and_then(|(ca, length)| if ca { length } else { None })
    }

    /// Whether its key may sign certificates: keyUsage absent (no restriction) or with keyCertSign.
    pub fn may_sign_certificates(&self) -> bool {
        const KEY_CERT_SIGN: u16 = 1 << 5; // RFC 5280, 4.2.1.3: bit 5
        self.key_usage
            .is_none_or(|flags| flags & KEY_CERT_SIGN != 0)
    }

    /// The subject key identifier, if it carries one.
    pub fn subject_key_id(&self) -> Option<&[u8]> {
        self.subject_key_id.as_deref()
    }

    /// The key identifier inside the authority key identifier, if it carries one.
    pub fn authority_key_id(&self) -> Option<&[u8]> {
        self.authority_key_id.as_deref()
    }

    /// The SubjectPublicKeyInfo, DER-encoded.
    pub fn public_key_info(&self) -> &[u8] {
        &self.public_key_info
    }

    /// The contents of the public key's bit string: an uncompressed point, or an RSAPublicKey.
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// The built-in parameters that a registration template can refer to, `AWS::IoT::Certificate::…`; one that the
    /// certificate has no value for is absent.
    ///
    /// `SerialNumber` is the certificate's own serial number in decimal and not the subject attribute of that name:
    /// AWS's sample template declares it for certificates whose subject is a common name only, and the samples that
    /// use its value connect with the decimal serial. Of a repeated attribute the first is taken; AWS documents neither.
    pub fn template_parameters(&self) -> BTreeMap<String, String> {
        let subject = [
            ("CommonName", COMMON_NAME),
            ("Country", COUNTRY),
            ("DistinguishedNameQualifier", DN_QUALIFIER),
            ("Organization", ORGANIZATION),
            ("OrganizationalUnit", ORGANIZATIONAL_UNIT),
            ("StateName", STATE),
        ];
        let mut parameters: BTreeMap<String, String> = subject
            .into_iter()
            .filter_map(|(parameter, oid)| Some((parameter, self.subject_field(oid)?)))
            .chain([
                ("Id", self.id.as_str()),
                ("SerialNumber", self.serial_decimal.as_str()),
            ])
            .map(|(parameter, value)| {
                (
                    format!("AWS::IoT::Certificate::{parameter}"),
                    value.to_owned(),
                )
            })
            .collect();
        parameters.retain(|_, value| !value.is_empty());
        parameters
    }

    fn subject_field(&self, oid: &str) -> Option<&str> {
        self.subject
            .iter()
            .find(|attribute| attribute.oid == oid)
            .map(|attribute| attribute.value.as_str())
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("subject", &self.subject_line())
            .field("id", &self.id.0)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}
