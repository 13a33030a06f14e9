//! Drafts: the to-be-signed part of a certificate, complete before any real key has signed.
//!
//! rcgen writes what all certificates of one kind have in common, once ([`Stencil`]); serial number, names, public key
//! and key identifier are put in byte for byte. That keeps what a CA or a request brings exactly as it is (rcgen keeps
//! names in a map, where of two attributes of one type one is lost, and takes the curve of a request from its signature
//! algorithm), and it is what makes issuing many certificates fast.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyIdMethod, KeyUsagePurpose, PublicKeyData, SignatureAlgorithm, SigningKey,
};

use super::{
    der::{BIT_STRING, INTEGER, SEQUENCE, contents, element, push, wrap},
    key_type::KeyType,
    profile::Window,
    serial::SerialNumber,
    subject::Subject,
};

/// What a certificate is for; its extensions follow from that.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Purpose {
    /// Signs certificates; `path_length` CAs may follow below it, or any number.
    Ca { path_length: Option<u8> },
    /// A device's own, for TLS client authentication.
    Device,
    /// Shows AWS that the CA's key is at hand, and is good for nothing else: it gets no clientAuth, so that nobody can
    /// connect with it.
    Verification,
}

/// Everything that a certificate is going to say.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) kind: Kind<'a>,
    pub(super) subject: Name<'a>,
    pub(super) public_key: CertifiedKey<'a>,
    /// The subject key identifier, 20 octets.
    pub(super) key_id: [u8; 20],
    pub(super) serial: SerialNumber,
}

/// What all certificates of one purpose, validity and issuer have in common.
#[derive(Clone, Copy)]
pub(super) struct Kind<'a> {
    pub(super) purpose: Purpose,
    pub(super) window: Window,
    /// `None` for a root, which is its own issuer.
    pub(super) issuer: Option<IssuerName<'a>>,
    /// The kind of key that is going to sign.
    pub(super) signer: KeyType,
}

/// The key that a certificate is for.
#[derive(Clone, Copy)]
pub(super) struct CertifiedKey<'a> {
    /// SubjectPublicKeyInfo in DER.
    pub(super) info: &'a [u8],
    /// What of it stands in the bit string.
    pub(super) bits: &'a [u8],
    /// What it is to be; `None` for a key that somebody else has encoded.
    pub(super) key_type: Option<KeyType>,
}

/// The name in a certificate.
#[derive(Clone, Copy)]
pub(super) struct Name<'a> {
    pub(super) der: &'a [u8],
    pub(super) common_name: &'a str,
    /// What the encoding is to say; `None` for a name that somebody else has encoded.
    pub(super) subject: Option<&'a Subject>,
}

/// How a certificate points at its issuer.
#[derive(Clone, Copy)]
pub(super) struct IssuerName<'a> {
    /// The issuer's subject, DER-encoded.
    pub(super) name: &'a [u8],
    pub(super) key_id: &'a [u8],
}

/// Everything but serial number, names, public key and subject key identifier, DER-encoded.
#[derive(Debug)]
pub(super) struct Stencil {
    version: Vec<u8>,
    algorithm: Vec<u8>,
    validity: Vec<u8>,
    extensions: Vec<u8>,
    /// Where in the extensions the subject key identifier stands.
    key_id_at: usize,
}

/// The to-be-signed part with its signature algorithm, both DER-encoded.
pub(super) struct Draft<'a> {
    pub(super) to_be_signed: Vec<u8>,
    algorithm: &'a [u8],
}

impl Stencil {
    pub(super) fn new(kind: &Kind<'_>) -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::default();
        // Names and the public key are put in later.
        params.distinguished_name = DistinguishedName::new();
        params.not_before = kind.window.not_before();
        params.not_after = kind.window.not_after();
        params.key_identifier_method = KeyIdMethod::PreSpecified(KEY_ID.to_vec());
        match kind.purpose {
            Purpose::Ca { path_length } => {
                params.is_ca = IsCa::Ca(match path_length {
                    Some(length) => BasicConstraints::Constrained(length),
                    None => BasicConstraints::Unconstrained,
                });
                params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            }
            Purpose::Device | Purpose::Verification => {
                // Not NoCa: rcgen writes basicConstraints and the subject key identifier only for an explicit answer.
                params.is_ca = IsCa::ExplicitNoCa;
                params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            }
        }
        if kind.purpose == Purpose::Device {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        }
        let mut issuer = CertificateParams::default();
        if let Some(above) = kind.issuer {
            params.use_authority_key_identifier_extension = true;
            issuer.key_identifier_method = KeyIdMethod::PreSpecified(above.key_id.to_vec());
        }
        let issuer = Issuer::from_params(&issuer, NoKey(kind.signer));
        let unsigned = params.signed_by(&NoKey(KeyType::P256), &issuer)?;
        Self::of(unsigned.der()).ok_or(rcgen::Error::CouldNotParseCertificate)
    }

    /// Takes rcgen's output apart (RFC 5280, 4.1).
    fn of(der: &[u8]) -> Option<Self> {
        let (certificate, _) = contents(SEQUENCE, der)?;
        let (mut fields, rest) = contents(SEQUENCE, certificate)?;
        let (algorithm, _) = element(rest)?;
        let mut next = || {
            let (field, rest) = element(fields)?;
            fields = rest;
            Some(field)
        };
        let version = next()?;
        let [_serial, _algorithm, _issuer] = [next()?, next()?, next()?];
        let validity = next()?;
        let [_subject, _public_key_info] = [next()?, next()?];
        let extensions = next()?;
        let mut places = extensions.windows(KEY_ID.len()).enumerate();
        let (key_id_at, _) = places.find(|(_, octets)| octets == KEY_ID)?;
        Some(Self {
            version: version.to_vec(),
            algorithm: algorithm.to_vec(),
            validity: validity.to_vec(),
            extensions: extensions.to_vec(),
            key_id_at,
        })
    }

    /// The draft of one certificate.
    pub(super) fn fill(&self, request: &Request<'_>) -> Draft<'_> {
        let issuer = match request.kind.issuer {
            Some(above) => above.name,
            None => request.subject.der,
        };
        let mut fields = Vec::with_capacity(1024);
        fields.extend_from_slice(&self.version);
        push(&mut fields, INTEGER, request.serial.octets());
        fields.extend_from_slice(&self.algorithm);
        fields.extend_from_slice(issuer);
        fields.extend_from_slice(&self.validity);
        fields.extend_from_slice(request.subject.der);
        fields.extend_from_slice(request.public_key.info);
        let key_id_at = fields.len() + self.key_id_at;
        fields.extend_from_slice(&self.extensions);
        fields[key_id_at..key_id_at + KEY_ID.len()].copy_from_slice(&request.key_id);
        Draft {
            to_be_signed: wrap(SEQUENCE, &fields),
            algorithm: &self.algorithm,
        }
    }
}

impl Draft<'_> {
    /// The whole certificate around a signature.
    pub(super) fn certificate(&self, signature: &[u8]) -> Vec<u8> {
        let mut body = Vec::with_capacity(
            self.to_be_signed.len() + self.algorithm.len() + signature.len() + 8,
        );
        body.extend_from_slice(&self.to_be_signed);
        body.extend_from_slice(self.algorithm);
        // The first octet of a bit string says how many bits of its last are unused.
        push(&mut body, BIT_STRING, &[&[0], signature].concat());
        wrap(SEQUENCE, &body)
    }
}

/// What the draft carries in place of a signature: well-formed and worthless.
pub(super) fn placeholder(signer: KeyType) -> Vec<u8> {
    match signer {
        // ECDSA-Sig-Value { r 1, s 1 } (RFC 3279, 2.2.3)
        KeyType::P256 | KeyType::P384 => vec![SEQUENCE, 6, 2, 1, 1, 2, 1, 1],
        KeyType::Rsa2048 => vec![0; 256],
        KeyType::Rsa3072 => vec![0; 384],
        KeyType::Rsa4096 => vec![0; 512],
    }
}

/// Stands in for every key while there is only a stencil.
struct NoKey(KeyType);

impl PublicKeyData for NoKey {
    fn der_bytes(&self) -> &[u8] {
        &[]
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.0.algorithm()
    }
}

impl SigningKey for NoKey {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(placeholder(self.0))
    }
}

/// Holds the place of the subject key identifier.
const KEY_ID: &[u8; 20] = b"subject-key-id-here!";
