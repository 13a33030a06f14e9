//! Between what tokens answer and what certificates hold.

use jitp_core::ca::KeyType;

/// The DER of a curve's object identifier, which is what CKA_EC_PARAMS holds (PKCS#11 3.1, 6.3.3).
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];

/// CKA_EC_PARAMS for a new key; `None` for a key that is not on a curve.
pub(crate) fn curve_parameters(key_type: KeyType) -> Option<&'static [u8]> {
    match key_type {
        KeyType::P256 => Some(P256),
        KeyType::P384 => Some(P384),
        _ => None,
    }
}

/// The kind of key on the curve of CKA_EC_PARAMS.
pub(crate) fn curve(parameters: &[u8]) -> Option<KeyType> {
    [KeyType::P256, KeyType::P384]
        .into_iter()
        .find(|key_type| curve_parameters(*key_type) == Some(parameters))
}

/// The kind of RSA key with a modulus of this many octets.
pub(crate) fn rsa(octets: usize) -> Option<KeyType> {
    match octets {
        256 => Some(KeyType::Rsa2048),
        384 => Some(KeyType::Rsa3072),
        512 => Some(KeyType::Rsa4096),
        _ => None,
    }
}

/// CKA_EC_POINT as an uncompressed point. It is an octet string in DER; some tokens leave the wrapping out.
pub(crate) fn point(attribute: &[u8]) -> Vec<u8> {
    const UNCOMPRESSED: u8 = 4;
    match yasna::parse_der(attribute, |reader| reader.read_bytes()) {
        Ok(point) if point.first() == Some(&UNCOMPRESSED) => point,
        _ => attribute.to_vec(),
    }
}

/// RSAPublicKey in DER (RFC 8017, A.1.1).
pub(crate) fn rsa_public_key(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    two_integers(modulus, exponent)
}

/// A signature as tokens answer it, r and s of one length behind each other, as Ecdsa-Sig-Value in DER (RFC 3279,
/// 2.2.3). `None` if it is none.
pub(crate) fn ecdsa_signature(raw: &[u8]) -> Option<Vec<u8>> {
    if raw.is_empty() || !raw.len().is_multiple_of(2) {
        return None;
    }
    let (r, s) = raw.split_at(raw.len() / 2);
    Some(two_integers(r, s))
}

fn two_integers(one: &[u8], two: &[u8]) -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_bigint_bytes(one, true);
            writer.next().write_bigint_bytes(two, true);
        });
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_written_as_short_and_as_positive_as_der_wants() {
        let der = ecdsa_signature(&[0, 0, 5, 0x80, 0, 1]).unwrap();
        assert_eq!(der, [0x30, 9, 2, 1, 5, 2, 4, 0, 0x80, 0, 1]);
        assert_eq!(ecdsa_signature(&[1, 2, 3]), None);
        assert_eq!(ecdsa_signature(&[]), None);
    }

    #[test]
    fn a_point_is_taken_with_and_without_its_wrapping() {
        let bare = [&[4][..], &[7; 64]].concat();
        let wrapped = [&[4, 65][..], &bare].concat();
        assert_eq!(point(&wrapped), bare);
        assert_eq!(point(&bare), bare);
    }
}
