//! Issuing: key, certificate, the lint before the signature, and PEM.

use std::hint::black_box;

use divan::Bencher;
use jitp_core::ca::{CertificateAuthority, KeyType, Profile, Subject, Validity};
use jitp_core::names::ThingName;
use time::OffsetDateTime;

const LONG: Validity = Validity::Days(3650);

/// A device whose key and certificate are ready to be written to files.
#[divan::bench(args = [KeyType::P256, KeyType::P384])]
fn issue_device(bencher: Bencher, key_type: KeyType) {
    let now = OffsetDateTime::now_utc();
    let ca = root(key_type);
    let name: ThingName = "sensor-17".parse().expect("a thing name");
    let profile = Profile::device().with_key_type(key_type);
    bencher.bench_local(|| {
        let device = ca.issue(&name, &profile, now).expect("a device");
        black_box((
            device.private_key().to_pem(),
            device.certificate().chain_pem(),
        ));
    });
}

/// A CA with a key of its own.
#[divan::bench]
fn create_root(bencher: Bencher) {
    bencher.bench_local(|| root(KeyType::P256));
}

fn root(key_type: KeyType) -> CertificateAuthority {
    let subject = Subject::positional::<&str>(&[]).expect("the defaults are a subject");
    CertificateAuthority::create_root(&subject, key_type, LONG, OffsetDateTime::now_utc())
        .expect("a root")
}
