//! A token: found by its URI, and logged in to once.

use std::fmt;
use std::path::Path;

use cryptoki::context::Pkcs11;
use cryptoki::error::{Error, RvError};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::AuthPin;
use zeroize::Zeroizing;

use crate::error::{TokenError, TriesLeft};
use crate::{TokenUri, module};

/// A token that is there.
pub struct Token {
    pub(crate) module: Pkcs11,
    pub(crate) slot: Slot,
    pub(crate) label: String,
    info: TokenInfo,
    /// As long as one session is open, the login holds for all (PKCS#11 3.1, 5.6.8).
    pub(crate) session: Session,
}

/// A PIN; wiped when dropped.
pub struct Pin {
    text: Zeroizing<String>,
    typed: bool,
}

impl Pin {
    /// A PIN that a person has just typed.
    pub fn typed(text: Zeroizing<String>) -> Self {
        Self { text, typed: true }
    }

    /// A PIN from the environment or a file: if it is wrong, it is wrong every time, and locks the token.
    pub fn stored(text: Zeroizing<String>) -> Self {
        Self { text, typed: false }
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin([redacted])")
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("label", &self.label)
            .finish_non_exhaustive()
    }
}

impl Token {
    /// Looks for the one token that fits the URI, without logging in. `writable` for what makes objects in it.
    ///
    /// # Errors
    /// When the module cannot be used, or not exactly one token fits.
    pub fn find(uri: &TokenUri, module: &Path, writable: bool) -> Result<Self, TokenError> {
        let wanted = uri.token_part();
        let module = module::load(module)?;
        let failed = |error: Error| TokenError::of(&wanted, "be looked for", &error);
        let slots = module.get_slots_with_token().map_err(failed)?;
        let mut tokens = Vec::new();
        for slot in slots {
            match module.get_token_info(slot) {
                Ok(info) if info.token_initialized() => tokens.push((slot, info)),
                // Pulled out at this very moment, or nothing in it yet.
                _ => {}
            }
        }
        let present = tokens
            .iter()
            .map(|(_, info)| info.label().to_owned())
            .collect();
        tokens.retain(|(slot, info)| uri.fits(*slot, info));
        let count = tokens.len();
        let (slot, info) = match tokens.pop() {
            None => return Err(TokenError::NoToken { wanted, present }),
            Some(_) if count > 1 => return Err(TokenError::SeveralTokens { wanted, count }),
            Some(only) => only,
        };
        let session = match writable {
            true => module.open_rw_session(slot),
            false => module.open_ro_session(slot),
        };
        let session = session.map_err(|error| TokenError::of(info.label(), "be opened", &error))?;
        Ok(Self {
            label: info.label().to_owned(),
            module,
            slot,
            info,
            session,
        })
    }

    /// The token's label, for messages.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Whether [`Token::login`] wants a PIN: not if the token is open to everybody, or has keys or a reader of
    /// fingerprints of its own.
    pub fn wants_pin(&self) -> bool {
        self.info.login_required() && !self.info.protected_authentication_path()
    }

    /// Logs in, with one try. A stored PIN is not tried if it is the last try that the token allows.
    ///
    /// # Errors
    /// When the PIN is missing, wrong or locked.
    pub fn login(&self, pin: Option<Pin>) -> Result<(), TokenError> {
        let token = || self.label.clone();
        if !self.info.login_required() {
            return Ok(());
        }
        if self.info.user_pin_locked() {
            return Err(TokenError::PinLocked { token: token() });
        }
        if !self.info.user_pin_initialized() || self.info.user_pin_to_be_changed() {
            return Err(TokenError::NoPinSet { token: token() });
        }
        let pin = match pin {
            Some(pin) if self.info.user_pin_final_try() && !pin.typed => {
                return Err(TokenError::LastTry { token: token() });
            }
            Some(pin) => Some(AuthPin::new(pin.text.as_str().into())),
            None if self.wants_pin() => return Err(TokenError::PinNeeded { token: token() }),
            None => None,
        };
        match self.session.login(UserType::User, pin.as_ref()) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
            Err(Error::Pkcs11(
                RvError::PinIncorrect | RvError::PinLenRange | RvError::PinInvalid,
                _,
            )) => Err(TokenError::WrongPin {
                token: token(),
                left: self.tries_left(),
            }),
            Err(Error::Pkcs11(RvError::PinLocked, _)) => {
                Err(TokenError::PinLocked { token: token() })
            }
            Err(Error::Pkcs11(RvError::PinExpired | RvError::UserPinNotInitialized, _)) => {
                Err(TokenError::NoPinSet { token: token() })
            }
            Err(error) => Err(TokenError::of(&self.label, "be logged in to", &error)),
        }
    }

    fn tries_left(&self) -> TriesLeft {
        match self.module.get_token_info(self.slot) {
            Ok(info) if info.user_pin_locked() => TriesLeft::None,
            Ok(info) if info.user_pin_final_try() => TriesLeft::One,
            // The flag is set by the wrong PIN itself; it tells something new only if it was set before.
            Ok(_) if self.info.user_pin_count_low() => TriesLeft::Fewer,
            _ => TriesLeft::Unknown,
        }
    }
}

impl TokenUri {
    fn fits(&self, slot: Slot, info: &TokenInfo) -> bool {
        let same =
            |asked: &Option<String>, found: &str| asked.as_deref().is_none_or(|a| a == found);
        same(&self.token, info.label())
            && same(&self.manufacturer, info.manufacturer_id())
            && same(&self.model, info.model())
            && same(&self.serial, info.serial_number())
            && self.slot.is_none_or(|asked| asked == slot.id())
    }
}
