//! What can go wrong with a token, and the way out of it.

use std::fmt;
use std::path::PathBuf;

use cryptoki::error::{Error, RvError};
use jitp_core::failure::{Class, Classified};

/// Why a token does not sign.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// No module is named, and none is where modules are.
    #[error("there is no PKCS#11 module to reach the token with")]
    NoModule,
    /// The module cannot be used.
    #[error("cannot use the PKCS#11 module {}: {reason}", .path.display())]
    Module {
        /// Its file.
        path: PathBuf,
        /// What the loader or the module says.
        reason: String,
    },
    /// No token fits.
    #[error("there is no token {wanted}; {}", there_are("token", present))]
    NoToken {
        /// What was looked for.
        wanted: String,
        /// The labels of those that are there.
        present: Vec<String>,
    },
    /// More than one token fits.
    #[error("{count} tokens fit {wanted}")]
    SeveralTokens {
        /// What was looked for.
        wanted: String,
        /// How many fit.
        count: usize,
    },
    /// The token wants a PIN and there is none.
    #[error("the token {token} wants a PIN and none was given")]
    PinNeeded {
        /// Its label.
        token: String,
    },
    /// The PIN is not the token's.
    #[error("the PIN of the token {token} is wrong{left}")]
    WrongPin {
        /// Its label.
        token: String,
        /// How many tries the token says are left.
        left: TriesLeft,
    },
    /// Another wrong PIN would lock the token, and nobody has typed this one.
    #[error("the token {token} allows one more try of its PIN, and it was not made")]
    LastTry {
        /// Its label.
        token: String,
    },
    /// The token takes no PIN any more.
    #[error("the PIN of the token {token} is locked")]
    PinLocked {
        /// Its label.
        token: String,
    },
    /// The token has no PIN yet, or one that has to be changed.
    #[error("the token {token} has no PIN that can be used yet")]
    NoPinSet {
        /// Its label.
        token: String,
    },
    /// No key fits.
    #[error(
        "there is no private key {wanted} in the token {token}; {}",
        there_are("private key", present)
    )]
    NoKey {
        /// The token's label.
        token: String,
        /// What was looked for.
        wanted: String,
        /// The labels of those that are there.
        present: Vec<String>,
    },
    /// More than one key fits.
    #[error("{} private keys fit {wanted} in the token {token}: {}", .present.len(), .present.join(", "))]
    SeveralKeys {
        /// The token's label.
        token: String,
        /// What was looked for.
        wanted: String,
        /// Their labels and ids.
        present: Vec<String>,
    },
    /// There is such a key already.
    #[error("there is a private key {wanted} in the token {token} already")]
    KeyExists {
        /// The token's label.
        token: String,
        /// What it is named.
        wanted: String,
    },
    /// A new key without a name.
    #[error("the URI does not say what the new key is to be called")]
    NoName,
    /// A key of a kind the toolkit does not sign with.
    #[error("the private key {key} is {found}")]
    Unsupported {
        /// What it is named.
        key: String,
        /// What it is.
        found: String,
    },
    /// The token does not tell the key's public half.
    #[error("the token {token} holds no public key for the private key {key}")]
    NoPublicKey {
        /// The token's label.
        token: String,
        /// What it is named.
        key: String,
    },
    /// The token is not there any more.
    #[error("the token {token} is gone ({reason})")]
    Gone {
        /// Its label.
        token: String,
        /// What the module answers.
        reason: String,
    },
    /// The token cannot do what it was asked to.
    #[error("the token {token} cannot {doing}: {reason}")]
    Failed {
        /// Its label.
        token: String,
        /// What it was asked to do.
        doing: &'static str,
        /// What the module answers.
        reason: String,
    },
}

/// How many wrong PINs more a token takes, as far as it says (PKCS#11 3.1, CK_TOKEN_INFO, flags).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TriesLeft {
    /// It does not say.
    Unknown,
    /// Some are used up.
    Fewer,
    /// One.
    One,
    /// None: it is locked now.
    None,
}

impl fmt::Display for TriesLeft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "",
            Self::Fewer => ", and has been before: the tokens of many makers lock after three",
            Self::One => ", and one more wrong one locks the token",
            Self::None => ", and the token is locked now",
        })
    }
}

impl Classified for TokenError {
    fn class(&self) -> Class {
        match self {
            Self::NoName => Class::Usage,
            Self::NoKey { .. } => Class::NotFound,
            Self::KeyExists { .. } => Class::Conflict,
            Self::Failed { .. } => Class::Unexpected,
            _ => Class::Configuration,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoModule => {
                "name it: JITP_PKCS11_MODULE, or module-path= in the URI; SoftHSM's comes with: apt-get install softhsm2"
            }
            Self::Module { .. } => {
                "JITP_PKCS11_MODULE or module-path= must name the shared library of the token's maker, built for this \
                 machine"
            }
            Self::NoToken { .. } => {
                "plug it in, or correct the URI; the module named must be that of this token (JITP_PKCS11_MODULE)"
            }
            Self::SeveralTokens { .. } => "add serial= or slot-id= to the URI",
            Self::PinNeeded { .. } => {
                "set JITP_PKCS11_PIN, write pin-source=file:/path in the URI, or run it on a terminal"
            }
            Self::WrongPin { .. } => {
                "nothing is tried again by itself; check JITP_PKCS11_PIN or the file of pin-source"
            }
            Self::LastTry { .. } => {
                "run it on a terminal without JITP_PKCS11_PIN and type the PIN, or log in once with the tool of the \
                 token's maker"
            }
            Self::PinLocked { .. } => {
                "the security officer can set a new one with the tool of the token's maker"
            }
            Self::NoPinSet { .. } => "set the user's PIN first, with the tool of the token's maker",
            Self::NoKey { .. } => {
                "correct object= or id=, or make the key with: create-root --ca-key URI --generate-key"
            }
            Self::SeveralKeys { .. } => "add id= to the URI",
            Self::KeyExists { .. } => {
                "leave --generate-key out to use it, if it is in use for no other CA; or name another one by object="
            }
            Self::NoName => "add object=NAME to the URI",
            Self::Unsupported { .. } => {
                "supported are EC P-256 and P-384, and RSA with 2048, 3072 or 4096 bits, that sign without a PIN each time"
            }
            Self::NoPublicKey { .. } => {
                "store the public key beside the private one, with the same id"
            }
            Self::Gone { .. } => "plug it in and run again; what was done before is kept",
            Self::Failed { .. } => return None,
        };
        Some(hint.to_owned())
    }
}

impl TokenError {
    /// Reads a module's error.
    pub(crate) fn of(token: &str, doing: &'static str, error: &Error) -> Self {
        let token = token.to_owned();
        match error {
            Error::Pkcs11(code, _) if is_gone(code) => Self::Gone {
                token,
                reason: return_code(code),
            },
            Error::Pkcs11(code, _) => Self::Failed {
                token,
                doing,
                reason: return_code(code),
            },
            other => Self::Failed {
                token,
                doing,
                reason: other.to_string(),
            },
        }
    }
}

/// What modules answer when the token was pulled out: that itself, or that what was opened is not there any more, since
/// removal closes sessions and logs out (PKCS#11 3.1, 5.1.2 and 5.6).
fn is_gone(code: &RvError) -> bool {
    matches!(
        code,
        RvError::DeviceRemoved
            | RvError::TokenNotPresent
            | RvError::TokenNotRecognized
            | RvError::SlotIdInvalid
            | RvError::SessionHandleInvalid
            | RvError::SessionClosed
            | RvError::UserNotLoggedIn
            | RvError::KeyHandleInvalid
            | RvError::ObjectHandleInvalid
    )
}

/// A return code by its name in PKCS#11: `CKR_DEVICE_REMOVED`. The library's own text is paragraphs of the standard.
pub(crate) fn return_code(code: &RvError) -> String {
    let mut name = "CKR".to_owned();
    for letter in format!("{code:?}").chars() {
        if letter.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

fn there_are(kind: &str, labels: &[String]) -> String {
    match labels {
        [] => format!("there is no {kind} at all"),
        [only] => format!("there is {only}"),
        several => format!("there are {}", several.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn return_codes_have_the_names_of_the_standard() {
        assert_eq!(return_code(&RvError::DeviceRemoved), "CKR_DEVICE_REMOVED");
        let vendor = return_code(&RvError::VendorDefined(0x8000_0001));
        assert_eq!(vendor, "CKR_VENDOR_DEFINED(2147483649)");
    }
}
