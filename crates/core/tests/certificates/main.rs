//! Certificates and the folder they lie in, judged by what did not make them: OpenSSL and WebPKI.

mod authority;
mod chains;
mod dates;
mod foreign;
mod judges;
mod requests;
mod store;

use jitp_core::{
    ca::{CertificateAuthority, KeyType, Subject, Validity},
    names::{RegistrationCode, ThingName},
};
use time::{OffsetDateTime, macros::datetime};

/// The moment at which everything happens, unless a test says otherwise.
const NOW: OffsetDateTime = datetime!(2026-11-21 12:00:00 UTC);

fn root(key_type: KeyType) -> CertificateAuthority {
    CertificateAuthority::create_root(&Subject::default(), key_type, Validity::ROOT, NOW)
        .expect("a root")
}

fn thing(name: &str) -> ThingName {
    name.parse().expect("a thing name")
}

fn code() -> RegistrationCode {
    "66d0b1c58be77bb8c7cbd9d0ccd4d8f04ab8e0e3d0a0a0a9f1c2ab6a9d1f0e2b"
        .parse()
        .expect("a registration code")
}
