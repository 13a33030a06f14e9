//! What an hour and five minutes end, and what a stop of the core does not.

use ::time::Duration;

use super::{Lab, TEMPLATE};
use crate::account::{CertificateStatus, certificates, claims};
use crate::fleet::sweep::sweep_once;
use crate::storage::Storage;
use crate::x509::X509;

#[tokio::test]
async fn a_token_is_good_for_an_hour_and_then_the_certificate_goes() {
    let lab = Lab::start();
    let (unused, late) = lab.certificate().await;
    let (activated, _) = lab.certificate().await;
    let active = CertificateStatus::Active;
    lab.account
        .write(|tx| certificates::update(tx, &activated, active))
        .unwrap();
    lab.hand.advance(Duration::seconds(3599));
    sweep_once(&lab.account, &lab.diary).unwrap();
    let (in_time, token) = lab.certificate().await;
    assert!(lab.status(&unused).is_some());

    lab.hand.advance(Duration::seconds(1));
    let told = lab.register(&late, "1").await;
    assert_eq!(told.code(), "InvalidCertificateOwnershipToken");
    assert!(lab.says("FLEET_REJECTED", "has expired"));
    sweep_once(&lab.account, &lab.diary).unwrap();
    assert_eq!(lab.status(&unused), None);
    assert_eq!(lab.status(&activated), Some(active), "somebody wants it");
    assert!(lab.register(&token, "1").await.accepted);
    lab.hand.advance(Duration::hours(2));
    sweep_once(&lab.account, &lab.diary).unwrap();
    assert_eq!(lab.status(&in_time), Some(active));
}

#[tokio::test]
async fn tokens_survive_a_stop() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Lab::with(Storage::open(folder.path()).unwrap(), Vec::new(), false);
    let lab = open();
    let (id, token) = lab.certificate().await;
    let (other, _) = lab.certificate().await;
    drop(lab);
    let lab = open();
    assert!(lab.register(&token, "1").await.accepted);
    drop(lab);
    let lab = open();
    let again = lab.register(&token, "1").await;
    assert_eq!(again.code(), "InvalidCertificateOwnershipToken");
    lab.hand.advance(Duration::hours(1));
    sweep_once(&lab.account, &lab.diary).unwrap();
    assert_eq!(lab.status(&id), Some(CertificateStatus::Active));
    assert_eq!(lab.status(&other), None);
    drop(lab);
    assert_eq!(open().status(&other), None);
}

#[tokio::test]
async fn a_claim_is_served_for_five_minutes_and_is_no_certificate_of_the_registry() {
    let lab = Lab::start();
    let ca = lab.account.issuing_ca().unwrap();
    let keys = crate::account::issuing::DeviceKeys::generate().unwrap();
    let x509: X509 = ca.issue_for_keys(&keys, 1_777_000_000).unwrap().x509;
    let id = x509.id.clone();
    lab.account
        .write(|tx| claims::create(tx, TEMPLATE, x509))
        .unwrap();
    let present = |lab: &Lab| {
        let state = lab.account.snapshot();
        (
            state.may_stay_connected(&id),
            state.provisioning_claims.contains_key(&id),
        )
    };
    assert!(lab.account.snapshot().certificates.is_empty());
    lab.hand.advance(Duration::seconds(299));
    sweep_once(&lab.account, &lab.diary).unwrap();
    assert_eq!(present(&lab), (true, true));
    lab.hand.advance(Duration::seconds(1));
    let mut changes = lab.account.changes();
    sweep_once(&lab.account, &lab.diary).unwrap();
    assert_eq!(present(&lab), (false, true), "remembered, to say why");
    let told = changes.try_recv().unwrap();
    assert_eq!(told, crate::account::Change::Certificate { id: id.clone() });
    lab.hand.advance(Duration::days(1));
    sweep_once(&lab.account, &lab.diary).unwrap();
    assert_eq!(present(&lab), (false, false));
}
