//! Certificates as the local core reads them in every handshake.

use divan::Bencher;
use jitp_core::ca::{CertificateAuthority, KeyType, Profile, Subject, Validity};
use jitp_core::names::ThingName;
use jitp_local::x509::X509;
use time::OffsetDateTime;

/// Every field of a device certificate.
#[divan::bench]
fn read(bencher: Bencher) {
    let (device, _) = device_and_ca();
    bencher.bench_local(|| X509::from_der(&device.der).expect("a certificate"));
}

/// Kind and size of its key.
#[divan::bench]
fn check_key(bencher: Bencher) {
    let (device, _) = device_and_ca();
    bencher.bench_local(|| device.check_key().expect("a P-256 key"));
}

/// The signature of its CA, asked at a first connection.
#[divan::bench]
fn verify_signature(bencher: Bencher) {
    let (device, ca) = device_and_ca();
    bencher.bench_local(|| device.verify_signed_by(&ca).expect("signed by the CA"));
}

/// What policies may refer to.
#[divan::bench]
fn policy_variables(bencher: Bencher) {
    let (device, _) = device_and_ca();
    bencher.bench_local(|| device.variables());
}

fn device_and_ca() -> (X509, X509) {
    let now = OffsetDateTime::now_utc();
    let subject = Subject::positional::<&str>(&[]).expect("the defaults are a subject");
    let ca = CertificateAuthority::create_root(&subject, KeyType::P256, Validity::Days(3650), now)
        .expect("a root");
    let name: ThingName = "sensor-17".parse().expect("a thing name");
    let device = ca.issue(&name, &Profile::device(), now).expect("a device");
    let read = |der: &[u8]| X509::from_der(der).expect("a certificate");
    (
        read(device.certificate().der()),
        read(ca.certificate().der()),
    )
}
