//! Connecting on loopback, device and local core in this process: time on the wall, both sides' work included.

use divan::Bencher;
use jitp_local::account::CertificateStatus;
use jitp_wire::Version;

use crate::lab::Lab;
use jitp_bench::Dialler;

/// Handshake, CONNECT, CONNACK of a device that is known.
#[divan::bench(sample_size = 1, sample_count = 200)]
fn known_device_to_connack(bencher: Bencher) {
    let lab = Lab::start();
    let dialler = lab.acquaintance();
    bencher.bench_local(|| {
        lab.runtime
            .block_on(dialler.connect(Version::V3))
            .expect("a connection")
    });
}

/// A certificate never seen before: CONNECT, closed without CONNACK, provisioned, ACTIVE.
#[divan::bench(sample_size = 1, sample_count = 200)]
fn first_connection_to_active(bencher: Bencher) {
    let lab = Lab::start();
    bencher
        .with_inputs(|| lab.stranger())
        .bench_local_values(|(device, dialler)| {
            lab.runtime
                .block_on(until_active(&lab, device.certificate_id(), &dialler));
        });
}

/// The same, and the second connection until its CONNACK, begun as soon as the certificate is ACTIVE.
#[divan::bench(sample_size = 1, sample_count = 200)]
fn first_connection_to_connack(bencher: Bencher) {
    let lab = Lab::start();
    bencher
        .with_inputs(|| lab.stranger())
        .bench_local_values(|(device, dialler)| {
            lab.runtime.block_on(async {
                until_active(&lab, device.certificate_id(), &dialler).await;
                dialler.connect(Version::V3).await.expect("a connection")
            })
        });
}

async fn until_active(lab: &Lab, certificate_id: &str, dialler: &Dialler) {
    let account = lab.local.account();
    let mut changes = account.changes();
    let closed = dialler.dial(Version::V3).await.expect("a handshake");
    assert!(
        closed.is_none(),
        "a first connection is closed without CONNACK"
    );
    let is_active = || {
        let state = account.snapshot();
        let certificate = state.certificates.get(certificate_id);
        certificate.is_some_and(|certificate| certificate.status == CertificateStatus::Active)
    };
    while !is_active() {
        changes.recv().await.expect("changes go on");
    }
}
