//! Drafts: the to-be-signed part of a certificate, built by rcgen and complete before any real key has signed.

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod,
    KeyUsagePurpose, PublicKeyData, SerialNumber, SignatureAlgorithm, SigningKey,
};

use super::{
    key::PrivateKey, key_type::KeyType, profile::Window, signer::Signer, subject::Subject,
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
pub(super) struct Request<'a> {
    pub(super) purpose: Purpose,
    pub(super) subject: &'a Subject,
    /// The key it certifies.
    pub(super) key: PublicHalf<'a>,
    pub(super) key_id: &'a [u8],
    pub(super) serial: [u8; 20],
    pub(super) window: Window,
    /// `None` for a root, which is its own issuer.
    pub(super) issuer: Option<IssuerName<'a>>,
    /// The kind of key that is going to sign.
    pub(super) signer: KeyType,
}

/// How a certificate points at its issuer.
#[derive(Clone, Copy)]
pub(super) struct IssuerName<'a> {
    /// The issuer's subject, DER-encoded.
    pub(super) name: &'a [u8],
    pub(super) key_id: &'a [u8],
}

/// The to-be-signed part with its signature algorithm, both DER-encoded.
pub(super) struct Draft {
    pub(super) to_be_signed: Vec<u8>,
    algorithm: Vec<u8>,
}

impl Draft {
    pub(super) fn new(request: &Request<'_>) -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = request.subject.to_rcgen()?;
        params.not_before = request.window.not_before;
        params.not_after = request.window.not_after;
        // rcgen writes any octets; random_serial() made these positive and at most 20 (RFC 5280, 4.1.2.2).
        params.serial_number = Some(SerialNumber::from_slice(&request.serial));
        params.key_identifier_method = KeyIdMethod::PreSpecified(request.key_id.to_vec());
        match request.purpose {
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
        if request.purpose == Purpose::Device {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        }
        let mut issuer = CertificateParams::default();
        match request.issuer {
            Some(above) => {
                params.use_authority_key_identifier_extension = true;
                issuer.key_identifier_method = KeyIdMethod::PreSpecified(above.key_id.to_vec());
            }
            None => issuer.distinguished_name = params.distinguished_name.clone(),
        }
        let issuer = Issuer::from_params(&issuer, NoSignature(request.signer));
        let unsigned = params.signed_by(&request.key, &issuer)?;
        Self::from_unsigned(unsigned.der(), request.issuer)
            .ok_or(rcgen::Error::CouldNotParseCertificate)
    }

    /// The whole certificate around a signature.
    pub(super) fn certificate(&self, signature: &[u8]) -> Vec<u8> {
        let mut body = Vec::with_capacity(
            self.to_be_signed.len() + self.algorithm.len() + signature.len() + 8,
        );
        body.extend_from_slice(&self.to_be_signed);
        body.extend_from_slice(&self.algorithm);
        let bits = signature.len() + 1;
        body.push(BIT_STRING);
        push_length(&mut body, bits);
        body.push(0); // no unused bits in the last octet
        body.extend_from_slice(signature);
        wrap(SEQUENCE, &body)
    }

    /// Takes rcgen's output apart and puts the issuer's name in as it stands in the issuer's own certificate.
    ///
    /// rcgen keeps names in a map: of two attributes of one type it drops one, it refuses multi-valued ones, and the
    /// certificate it writes under such a CA does not chain.
    fn from_unsigned(der: &[u8], issuer: Option<IssuerName<'_>>) -> Option<Self> {
        let (certificate, _) = contents(SEQUENCE, der)?;
        let (to_be_signed, rest) = element(certificate)?;
        let (algorithm, _) = element(rest)?;
        let to_be_signed = match issuer {
            None => to_be_signed.to_vec(),
            Some(issuer) => {
                let (fields, _) = contents(SEQUENCE, to_be_signed)?;
                // version, serialNumber, signature; then issuer (RFC 5280, 4.1).
                let mut rest = fields;
                for _ in 0..3 {
                    (_, rest) = element(rest)?;
                }
                let before = fields.len() - rest.len();
                let (_, after) = element(rest)?;
                wrap(SEQUENCE, &[&fields[..before], issuer.name, after].concat())
            }
        };
        Some(Self {
            to_be_signed,
            algorithm: algorithm.to_vec(),
        })
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
}

impl<'a> From<&'a PrivateKey> for PublicHalf<'a> {
    fn from(key: &'a PrivateKey) -> Self {
        Self {
            key_type: key.key_type(),
            bits: key.public_key(),
        }
    }
}

impl PublicKeyData for PublicHalf<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.bits
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.key_type.algorithm()
    }
}

/// Stands in for the CA's key while the certificate is only a draft.
struct NoSignature(KeyType);

impl PublicKeyData for NoSignature {
    fn der_bytes(&self) -> &[u8] {
        &[]
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.0.algorithm()
    }
}

impl SigningKey for NoSignature {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(placeholder(self.0))
    }
}

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;

/// The first element with its header, and what follows it.
fn element(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (header, length) = header(der)?;
    der.split_at_checked(header.checked_add(length)?)
}

/// The contents of the first element, if it has this tag, and what follows it.
fn contents(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (size, _) = header(der)?;
    let (whole, rest) = element(der)?;
    (*whole.first()? == tag).then_some((whole.get(size..)?, rest))
}

/// The sizes of an element's header and contents.
fn header(der: &[u8]) -> Option<(usize, usize)> {
    let first = *der.get(1)?;
    if first < 0x80 {
        return Some((2, first.into()));
    }
    let octets = usize::from(first & 0x7f);
    let length = der
        .get(2..2 + octets)
        .filter(|_| (1..=4).contains(&octets))?;
    let length = length.iter().fold(0, |sum, &b| sum << 8 | usize::from(b));
    Some((2 + octets, length))
}

fn wrap(tag: u8, contents: &[u8]) -> Vec<u8> {
    let mut der = Vec::with_capacity(contents.len() + 6);
    der.push(tag);
    push_length(&mut der, contents.len());
    der.extend_from_slice(contents);
    der
}

fn push_length(der: &mut Vec<u8>, length: usize) {
    if let Ok(short @ 0..0x80) = u8::try_from(length) {
        der.push(short);
        return;
    }
    let octets = length.to_be_bytes();
    let octets = &octets[octets.iter().take_while(|&&b| b == 0).count()..];
    der.push(0x80 | octets.len() as u8);
    der.extend_from_slice(octets);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_as_short_as_der_wants_and_read_back() {
        for length in [0, 1, 127, 128, 255, 256, 65_535, 65_536] {
            let der = wrap(SEQUENCE, &vec![7; length]);
            let (inside, rest) = contents(SEQUENCE, &der).unwrap();
            assert_eq!((inside.len(), rest.len()), (length, 0));
        }
        assert_eq!(wrap(SEQUENCE, &[0; 128])[..3], [SEQUENCE, 0x81, 128]);
    }

    #[test]
    fn what_is_cut_short_is_no_element() {
        for der in [
            &[][..],
            &[0x30],
            &[0x30, 2, 1],
            &[0x30, 0x80],
            &[0x30, 0x85, 1, 1, 1, 1, 1],
        ] {
            assert!(element(der).is_none(), "{der:?}");
        }
        assert!(contents(SEQUENCE, &[2, 1, 1]).is_none());
    }
}
