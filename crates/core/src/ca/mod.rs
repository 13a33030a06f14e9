//! The certificate authority: roots and intermediates, device certificates, and the proof for AWS that a CA is ours.
//!
//! Every certificate goes the same way: a draft is built, read back and compared with what was asked ([`LintError`]),
//! and only then does the CA's key sign it. Of devices in number, what all have in common is read back once.

mod attribute;
mod authority;
mod ca_key;
mod certify;
mod der;
mod devices;
mod draft;
mod encryption;
mod error;
mod issued;
mod key;
mod key_type;
mod likeness;
mod lint;
mod make_ca;
mod profile;
mod proof;
mod public;
mod public_half;
mod quota;
mod request;
mod rsa;
mod self_signed;
mod serial;
mod signer;
mod subject;

pub use attribute::{Attribute, SubjectError};
pub use authority::CertificateAuthority;
pub(crate) use authority::RECORD;
pub use ca_key::CaKey;
pub use devices::DeviceIssuer;
pub use encryption::SHORTEST_PASSPHRASE;
pub use error::CaError;
pub use issued::{IssuedCertificate, IssuedDevice, VerificationCertificate};
pub use key::{KeyError, PrivateKey};
pub use key_type::KeyType;
pub use likeness::Asked;
pub use lint::LintError;
pub use profile::{Profile, Validity, ValidityError, Window};
pub use public::public_key;
pub use quota::{Quota, QuotaError};
pub use request::{DeviceRequest, DeviceRequestError};
pub use self_signed::SelfSigned;
pub use serial::{SerialNumber, Station};
pub use signer::{ExternalKey, ExternalKeyError};
pub use subject::{DeviceSubject, Subject};
