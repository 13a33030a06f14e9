//! Keys that nobody can copy: in PKCS#11 tokens (smart cards, hardware security modules, SoftHSM), and how the place of a
//! CA key is written, wherever it is ([`KeyPlace`]).
//!
//! A [`Token`] is found by its URI (RFC 7512), logged in to once, and hands out [`TokenKey`]s, which sign for
//! `jitp_core::ca`.

mod encoding;
mod error;
mod generating;
mod key;
mod module;
mod place;
mod token;
mod uri;

pub use error::{TokenError, TriesLeft};
pub use key::TokenKey;
pub use module::module_path;
pub use place::{KeyPlace, PlaceError};
pub use token::{Pin, Token};
pub use uri::{TokenUri, UriError};
