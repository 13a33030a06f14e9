//! New keys, made inside a token.

use aws_lc_rs::rand;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::Attribute;
use jitp_core::ca::KeyType;

use crate::encoding;
use crate::error::TokenError;
use crate::{Token, TokenKey, TokenUri};

/// 65537, as every certificate's RSA key has it.
const EXPONENT: [u8; 3] = [1, 0, 1];

impl Token {
    /// Makes a key pair in the token, named as the URI says, that cannot be taken out of it. The token must have been
    /// found as writable.
    ///
    /// # Errors
    /// When the URI names no object, there is a key of that name, or the token cannot make one.
    pub fn generate(self, uri: &TokenUri, key_type: KeyType) -> Result<TokenKey, TokenError> {
        let label = uri.object.as_deref().ok_or(TokenError::NoName)?;
        if self.has_key(uri)? {
            return Err(TokenError::KeyExists {
                token: self.label,
                wanted: uri.to_string(),
            });
        }
        let id = match &uri.id {
            Some(id) => id.clone(),
            None => random_id(&self.label)?,
        };
        let mut public = vec![
            Attribute::Token(true),
            Attribute::Private(false),
            Attribute::Verify(true),
            Attribute::Label(label.as_bytes().to_vec()),
            Attribute::Id(id.clone()),
        ];
        let private = [
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
            Attribute::Label(label.as_bytes().to_vec()),
            Attribute::Id(id.clone()),
        ];
        let mechanism = match (encoding::curve_parameters(key_type), key_type) {
            (Some(curve), _) => {
                public.push(Attribute::EcParams(curve.to_vec()));
                Mechanism::EccKeyPairGen
            }
            (None, key_type) => {
                public.push(Attribute::ModulusBits(bits(key_type).into()));
                public.push(Attribute::PublicExponent(EXPONENT.to_vec()));
                Mechanism::RsaPkcsKeyPairGen
            }
        };
        self.session
            .generate_key_pair(&mechanism, &public, &private)
            .map_err(|error| TokenError::of(&self.label, "make a key", &error))?;
        let made = TokenUri {
            id: Some(id),
            ..uri.clone()
        };
        self.key(&made, None)
    }
}

fn bits(key_type: KeyType) -> u64 {
    match key_type {
        KeyType::Rsa4096 => 4096,
        KeyType::Rsa3072 => 3072,
        _ => 2048,
    }
}

/// Ties the two halves together; tools find them by it.
fn random_id(token: &str) -> Result<Vec<u8>, TokenError> {
    let mut id = vec![0; 16];
    rand::fill(&mut id).map_err(|_| TokenError::Failed {
        token: token.to_owned(),
        doing: "make a key",
        reason: "there is no randomness".to_owned(),
    })?;
    Ok(id)
}
