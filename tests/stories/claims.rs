//! Claim certificates: made once, with a policy that allows a template's topics and nothing else.

use std::os::unix::fs::PermissionsExt;

use jitp_local::account::{CertificateStatus, certificates, policies};
use jitp_local::control::{Fault, FaultKind};

use crate::templates::{create_fleet, with_what_a_fleet_needs};

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_is_made_once_and_may_do_what_its_template_needs() {
    let station = with_what_a_fleet_needs().await;
    let refusal = station.run("create-claim", &["fleet"]).await.fails(4);
    assert!(refusal.contains("template create fleet"), "{refusal}");
    assert_eq!(station.folder.files(), [""; 0]);
    create_fleet(&station, &[]).await;
    let made = station.run("create-claim", &["fleet"]).await.ok();
    assert!(made.starts_with("fleet\tcreated\t"), "{made}");
    assert_eq!(
        station.folder.files(),
        ["fleet.claim.key", "fleet.claim.pem"]
    );
    let key = std::fs::metadata(station.folder.path("fleet.claim.key")).expect("a key");
    assert_eq!(key.permissions().mode() & 0o777, 0o600);

    let state = station.core.account().snapshot();
    let (_, certificate) = state.certificates.iter().next().expect("registered");
    assert_eq!(certificate.status, CertificateStatus::Active);
    assert_eq!(
        state.policy_names_of_target(&certificate.arn),
        ["fleet-claim"]
    );
    let policy = &state.policies["fleet-claim"];
    let version = policy.default_document().expect("a version");
    assert!(
        version
            .text
            .contains("provisioning-templates/fleet/provision/*")
    );

    // openssl judges what it is for.
    let pem = std::fs::read(station.folder.path("fleet.claim.pem")).expect("a certificate");
    let leaf = openssl::x509::X509::from_pem(&pem).expect("readable");
    let text = String::from_utf8(leaf.to_text().expect("text")).expect("UTF-8");
    assert!(text.contains("TLS Web Client Authentication"), "{text}");
    assert!(!text.contains("TLS Web Server Authentication"), "{text}");
    let key = leaf.public_key().expect("a key");
    assert!(leaf.verify(&key).expect("judged"), "self-signed");

    let again = station.run("create-claim", &["fleet"]).await.ok();
    assert!(again.starts_with("fleet\tunchanged\t"), "{again}");
    assert_eq!(station.core.account().snapshot().certificates.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_locked_out_stays_so() {
    let station = with_what_a_fleet_needs().await;
    create_fleet(&station, &[]).await;
    station.run("create-claim", &["fleet"]).await.ok();
    let account = station.core.account();
    let id = account.snapshot().certificates.keys().next().cloned();
    let id = id.expect("a certificate");
    account
        .write(|tx| certificates::update(tx, &id, CertificateStatus::Inactive))
        .expect("locked out");
    let again = station.run("create-claim", &["fleet"]).await;
    assert!(again.stderr.contains("locked it out"), "{again:?}");
    again.ok();
    let status = account.snapshot().certificates[&id].status;
    assert_eq!(status, CertificateStatus::Inactive);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_of_that_name_that_says_something_else_is_not_attached() {
    let station = with_what_a_fleet_needs().await;
    create_fleet(&station, &[]).await;
    let everything = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:*","Resource":"*"}]}"#;
    let account = station.core.account();
    account
        .write(|tx| policies::create(tx, "fleet-claim", everything, Default::default()).map(drop))
        .expect("made");
    let refusal = station.run("create-claim", &["fleet"]).await.fails(5);
    assert!(
        refusal.contains("key and certificate are written"),
        "{refusal}"
    );
    assert!(account.snapshot().certificates.is_empty());
    let unusable = ["fleet", "other", "--policy", "fleet claim"];
    station.run("create-claim", &unusable).await.fails(2);
    assert_eq!(
        station.folder.files(),
        ["fleet.claim.key", "fleet.claim.pem"]
    );
    let other = ["fleet", "--policy", "fleet-claim-2"];
    let made = station.run("create-claim", &other).await.ok();
    assert!(made.starts_with("fleet\tcompleted\t"), "{made}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_from_our_ca_and_one_that_is_there_otherwise() {
    let station = with_what_a_fleet_needs().await;
    create_fleet(&station, &[]).await;
    station.run("create-root", &[] as &[&str]).await.ok();
    station.run("register", &[] as &[&str]).await.ok();
    let own = ["fleet", "batch-7", "--ca", "root", "--validity", "90"];
    let made = station.run("create-claim", &own).await;
    assert!(
        made.stderr.contains("registers unknown certificates"),
        "{made:?}"
    );
    made.ok();
    station.run("create-claim", &own).await.ok();
    let state = station.core.account().snapshot();
    let (_, certificate) = state.certificates.iter().next().expect("registered");
    assert!(certificate.ca_certificate_id.is_some());
    let other = station.run("create-claim", &["fleet", "batch-7"]).await;
    assert!(other.fails(5).contains("is not self-signed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_step_is_lost_a_second_run_finishes_it() {
    let station = with_what_a_fleet_needs().await;
    create_fleet(&station, &[]).await;
    let faults = station.core.faults();
    faults.order(Fault::next("*", FaultKind::Delay).times(1_000));
    station.run("create-claim", &["fleet", "first"]).await.ok();
    let calls = 1_000 - faults.waiting()[0].count;
    faults.clear();
    assert!(calls >= 5, "{calls} calls");
    for step in 0..calls {
        let name = format!("claim-{step}");
        let arguments = ["fleet", &name, "--policy", &name];
        let fault = Fault::next("*", FaultKind::CutAfter).after(step).times(100);
        faults.order(fault);
        let failed = station.run("create-claim", &arguments).await;
        faults.clear();
        assert_eq!(failed.code, 7, "step {step}: {failed:?}");
        station.run("create-claim", &arguments).await.ok();
        let state = station.core.account().snapshot();
        let with_policy = state.certificates.values().filter(|certificate| {
            state.policy_names_of_target(&certificate.arn) == [name.as_str()]
        });
        assert_eq!(with_policy.count(), 1, "step {step}");
    }
}
