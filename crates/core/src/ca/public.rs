//! Public keys as services and tokens hand them out.

use x509_parser::{
    oid_registry::{
        OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION,
    },
    prelude::FromDer,
    public_key::PublicKey,
    x509::SubjectPublicKeyInfo,
};

use super::{KeyError, KeyType};

/// Takes a SubjectPublicKeyInfo in DER apart: the kind of key, and what stands in its bit string.
///
/// # Errors
/// When it is none, or the key is of a kind outside [`KeyType`].
pub fn public_key(info: &[u8]) -> Result<(KeyType, Vec<u8>), KeyError> {
    let unreadable = |detail: String| KeyError::Unreadable { detail };
    let unsupported = |found: String| KeyError::Unsupported { found };
    let (rest, parsed) =
        SubjectPublicKeyInfo::from_der(info).map_err(|error| unreadable(error.to_string()))?;
    if !rest.is_empty() {
        return Err(unreadable(format!("{} bytes follow it", rest.len())));
    }
    let algorithm = &parsed.algorithm;
    let key_type = if algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = algorithm
            .parameters
            .as_ref()
            .and_then(|any| any.as_oid().ok());
        match curve {
            Some(curve) if curve == OID_EC_P256 => KeyType::P256,
            Some(curve) if curve == OID_NIST_EC_P384 => KeyType::P384,
            _ => return Err(unsupported("EC on another curve".to_owned())),
        }
    } else if algorithm.algorithm == OID_PKCS1_RSAENCRYPTION {
        let bits = match parsed.parsed() {
            Ok(PublicKey::RSA(key)) => key.key_size(),
            _ => 0,
        };
        match bits {
            2048 => KeyType::Rsa2048,
            3072 => KeyType::Rsa3072,
            4096 => KeyType::Rsa4096,
            bits => return Err(unsupported(format!("RSA with {bits} bits"))),
        }
    } else {
        return Err(unsupported("neither EC nor RSA".to_owned()));
    };
    Ok((key_type, parsed.subject_public_key.data.to_vec()))
}

#[cfg(test)]
mod tests {
    use openssl::{
        ec::{EcGroup, EcKey},
        nid::Nid,
        pkey::PKey,
        rsa::Rsa,
    };

    use super::*;
    use crate::ca::PrivateKey;

    #[test]
    fn a_public_key_is_told_by_what_openssl_writes() {
        for key_type in KeyType::ALL {
            let key = PrivateKey::generate(key_type).unwrap();
            let info = PKey::private_key_from_der(key.pkcs8_der()).unwrap();
            let info = info.public_key_to_der().unwrap();
            let read = public_key(&info).unwrap();
            assert_eq!(read, (key_type, key.public_key().to_vec()));
            assert!(public_key(&info[1..]).is_err());
            assert!(public_key(&[&info[..], &[0]].concat()).is_err());
        }
        let group = EcGroup::from_curve_name(Nid::SECP521R1).unwrap();
        let p521 = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let small = PKey::from_rsa(Rsa::generate(1024).unwrap()).unwrap();
        let ed25519 = PKey::generate_ed25519().unwrap();
        for (key, why) in [
            (p521, "another curve"),
            (small, "RSA with 1024 bits"),
            (ed25519, "neither EC nor RSA"),
        ] {
            let refusal = public_key(&key.public_key_to_der().unwrap()).unwrap_err();
            assert!(refusal.to_string().contains(why), "{refusal}");
        }
    }
}
