//! A private key in a token: found, looked at, and signing for several threads at once.

use std::fmt;
use std::sync::{Condvar, Mutex, PoisonError};

use aws_lc_rs::digest;
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{
    Attribute, AttributeType, KeyType as TokenKeyType, ObjectClass, ObjectHandle,
};
use cryptoki::session::Session;
use jitp_core::ca::{ExternalKey, ExternalKeyError, KeyType};
use jitp_core::certificate::Certificate;

use crate::encoding;
use crate::error::TokenError;
use crate::{Token, TokenUri};

/// A private key that is in a token and never leaves it.
pub struct TokenKey {
    token: Mutex<Token>,
    label: String,
    key_type: KeyType,
    public_key: Vec<u8>,
    handle: ObjectHandle,
    sessions: Mutex<Sessions>,
    returned: Condvar,
}

/// A session belongs to one thread at a time.
#[derive(Default)]
struct Sessions {
    idle: Vec<Session>,
    busy: usize,
}

/// What a key in a token says about itself.
struct Described {
    handle: ObjectHandle,
    label: String,
    id: Vec<u8>,
    key_type: Option<TokenKeyType>,
    signs: bool,
    asks_every_time: bool,
    curve: Vec<u8>,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
    point: Vec<u8>,
}

impl Token {
    /// The one private key that fits the URI. Its public half is taken from the token, or, if the token does not tell
    /// it, from `certificate`: whoever signs with the key finds out whether it is that one.
    ///
    /// # Errors
    /// When not exactly one key fits, or it is of a kind the toolkit does not sign with.
    pub fn key(
        self,
        uri: &TokenUri,
        certificate: Option<&Certificate>,
    ) -> Result<TokenKey, TokenError> {
        let wanted = uri.to_string();
        let mut found = self.find_keys(ObjectClass::PRIVATE_KEY, uri.key_template())?;
        let key = match found.pop() {
            None => {
                let others = self.find_keys(ObjectClass::PRIVATE_KEY, Vec::new())?;
                return Err(TokenError::NoKey {
                    token: self.label,
                    wanted,
                    present: others.iter().map(Described::name).collect(),
                });
            }
            Some(last) if !found.is_empty() => {
                found.push(last);
                return Err(TokenError::SeveralKeys {
                    token: self.label,
                    wanted,
                    present: found.iter().map(Described::name).collect(),
                });
            }
            Some(only) => only,
        };
        self.use_key(key, wanted, certificate)
    }

    /// Whether a private key fits.
    pub(crate) fn has_key(&self, uri: &TokenUri) -> Result<bool, TokenError> {
        let found = self.find_keys(ObjectClass::PRIVATE_KEY, uri.key_template())?;
        Ok(!found.is_empty())
    }

    fn use_key(
        self,
        key: Described,
        wanted: String,
        certificate: Option<&Certificate>,
    ) -> Result<TokenKey, TokenError> {
        let unsupported = |found: &str| TokenError::Unsupported {
            key: wanted.clone(),
            found: found.to_owned(),
        };
        if !key.signs {
            return Err(unsupported("not allowed to sign (CKA_SIGN is false)"));
        }
        if key.asks_every_time {
            return Err(unsupported(
                "one that wants its PIN for every signature (CKA_ALWAYS_AUTHENTICATE)",
            ));
        }
        let public = self.public_half(&key)?;
        let half = public.as_ref().unwrap_or(&key);
        let (key_type, public_key) = match key.key_type {
            Some(TokenKeyType::EC) => {
                let curve = match half.curve.is_empty() {
                    true => &key.curve,
                    false => &half.curve,
                };
                let key_type = encoding::curve(curve)
                    .ok_or_else(|| unsupported("EC on another curve than P-256 and P-384"))?;
                let point = (!half.point.is_empty()).then(|| encoding::point(&half.point));
                (key_type, point)
            }
            Some(TokenKeyType::RSA) => {
                let key_type = encoding::rsa(half.modulus.len()).ok_or_else(|| {
                    unsupported(&format!("RSA with {} bits", half.modulus.len() * 8))
                })?;
                let whole = !half.modulus.is_empty() && !half.exponent.is_empty();
                let public = whole.then(|| encoding::rsa_public_key(&half.modulus, &half.exponent));
                (key_type, public)
            }
            _ => return Err(unsupported("neither EC nor RSA")),
        };
        let public_key = match (public_key, certificate) {
            (Some(public_key), _) => public_key,
            (None, Some(certificate)) => certificate.public_key().to_vec(),
            (None, None) => {
                return Err(TokenError::NoPublicKey {
                    token: self.label,
                    key: wanted,
                });
            }
        };
        Ok(TokenKey {
            label: self.label.clone(),
            key_type,
            public_key,
            handle: key.handle,
            sessions: Mutex::default(),
            returned: Condvar::new(),
            token: Mutex::new(self),
        })
    }

    /// The public key that goes with a private one: by id, or by label where there is no id.
    fn public_half(&self, key: &Described) -> Result<Option<Described>, TokenError> {
        let template = match key.id.is_empty() {
            false => vec![Attribute::Id(key.id.clone())],
            true => vec![Attribute::Label(key.label.clone().into_bytes())],
        };
        let mut found = self.find_keys(ObjectClass::PUBLIC_KEY, template)?;
        found.retain(|public| public.key_type == key.key_type);
        // Several of one id are not told apart: then it is as if there were none.
        Ok(found.pop().filter(|_| found.is_empty()))
    }

    fn find_keys(
        &self,
        class: ObjectClass,
        mut template: Vec<Attribute>,
    ) -> Result<Vec<Described>, TokenError> {
        let failed = |error: Error| TokenError::of(&self.label, "tell its keys", &error);
        template.push(Attribute::Class(class));
        template.push(Attribute::Token(true));
        let handles = self.session.find_objects(&template).map_err(failed)?;
        handles
            .into_iter()
            .map(|handle| {
                let attributes = self.session.get_attributes(handle, TOLD).map_err(failed)?;
                Ok(Described::of(handle, attributes))
            })
            .collect()
    }
}

/// What is asked of a key; what the token does not tell is left out of its answer.
const TOLD: &[AttributeType] = &[
    AttributeType::Label,
    AttributeType::Id,
    AttributeType::KeyType,
    AttributeType::Sign,
    AttributeType::AlwaysAuthenticate,
    AttributeType::EcParams,
    AttributeType::EcPoint,
    AttributeType::Modulus,
    AttributeType::PublicExponent,
];

impl Described {
    fn of(handle: ObjectHandle, attributes: Vec<Attribute>) -> Self {
        let mut key = Self {
            handle,
            label: String::new(),
            id: Vec::new(),
            key_type: None,
            signs: true,
            asks_every_time: false,
            curve: Vec::new(),
            modulus: Vec::new(),
            exponent: Vec::new(),
            point: Vec::new(),
        };
        for attribute in attributes {
            match attribute {
                Attribute::Label(label) => {
                    key.label = String::from_utf8_lossy(&label).into_owned();
                }
                Attribute::Id(id) => key.id = id,
                Attribute::KeyType(key_type) => key.key_type = Some(key_type),
                Attribute::Sign(signs) => key.signs = signs,
                Attribute::AlwaysAuthenticate(always) => key.asks_every_time = always,
                Attribute::EcParams(curve) => key.curve = curve,
                Attribute::EcPoint(point) => key.point = point,
                Attribute::Modulus(modulus) => {
                    // Some tokens write a big integer with the zero that keeps it positive in DER.
                    let zeros = modulus.iter().take_while(|&&octet| octet == 0).count();
                    key.modulus = modulus[zeros..].to_vec();
                }
                Attribute::PublicExponent(exponent) => key.exponent = exponent,
                _ => {}
            }
        }
        key
    }

    /// The key as a person finds it again.
    fn name(&self) -> String {
        let name = TokenUri {
            object: (!self.label.is_empty()).then(|| self.label.clone()),
            id: (!self.id.is_empty()).then(|| self.id.clone()),
            ..TokenUri::default()
        };
        name.to_string().trim_start_matches("pkcs11:").to_owned()
    }
}

impl TokenUri {
    /// What the token is asked for.
    fn key_template(&self) -> Vec<Attribute> {
        let label = self
            .object
            .clone()
            .map(|o| Attribute::Label(o.into_bytes()));
        let id = self.id.clone().map(Attribute::Id);
        label.into_iter().chain(id).collect()
    }
}

impl TokenKey {
    /// The label of the key's token, for messages.
    pub fn token(&self) -> &str {
        &self.label
    }

    /// A session nobody else uses. Opens one more, unless the token has no more: then it waits for one.
    fn session(&self) -> Result<Session, TokenError> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let opened = match sessions.idle.pop() {
                Some(session) => Ok(session),
                None => {
                    let token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
                    token.module.open_ro_session(token.slot)
                }
            };
            match opened {
                Ok(session) => {
                    sessions.busy += 1;
                    return Ok(session);
                }
                Err(Error::Pkcs11(RvError::SessionCount, _)) if sessions.busy > 0 => {
                    sessions = self
                        .returned
                        .wait(sessions)
                        .unwrap_or_else(PoisonError::into_inner);
                }
                Err(error) => return Err(self.failed(&error)),
            }
        }
    }

    /// Gives a session back; one that failed is closed.
    fn give_back(&self, session: Option<Session>) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.busy = sessions.busy.saturating_sub(1);
        sessions.idle.extend(session);
        drop(sessions);
        self.returned.notify_one();
    }

    fn sign_in(&self, session: &Session, message: &[u8]) -> Result<Vec<u8>, Error> {
        let algorithm = match self.key_type {
            KeyType::P256 => &digest::SHA256,
            KeyType::P384 => &digest::SHA384,
            KeyType::Rsa2048 | KeyType::Rsa3072 | KeyType::Rsa4096 => {
                return session.sign(&Mechanism::Sha256RsaPkcs, self.handle, message);
            }
        };
        let digest = digest::digest(algorithm, message);
        session.sign(&Mechanism::Ecdsa, self.handle, digest.as_ref())
    }

    fn failed(&self, error: &Error) -> TokenError {
        TokenError::of(&self.label, "sign", error)
    }
}

impl ExternalKey for TokenKey {
    fn key_type(&self) -> KeyType {
        self.key_type
    }

    fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, ExternalKeyError> {
        let session = self.session().map_err(ExternalKeyError::new)?;
        let signed = self.sign_in(&session, message);
        self.give_back(signed.is_ok().then_some(session));
        let raw = signed.map_err(|error| ExternalKeyError::new(self.failed(&error)))?;
        if !matches!(self.key_type, KeyType::P256 | KeyType::P384) {
            return Ok(raw);
        }
        encoding::ecdsa_signature(&raw).ok_or_else(|| {
            ExternalKeyError::new(TokenError::Failed {
                token: self.label.clone(),
                doing: "sign",
                reason: format!("{} bytes are no ECDSA signature", raw.len()),
            })
        })
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKey")
            .field("token", &self.label)
            .field("key_type", &self.key_type)
            .finish_non_exhaustive()
    }
}
