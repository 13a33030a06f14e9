//! What was left behind: found, protected, removed.

use std::collections::BTreeSet;

use jitp_local::account::{CertificateStatus, certificates, policies, principals, tags, things};
use jitp_local::control::{Fault, FaultKind};

use crate::support::Station;

/// Leaves one of everything behind, and one of everything in use.
async fn littered() -> Station {
    let station = Station::registered().await;
    station
        .run("create-thing", &["used", "gone", "idle"])
        .await
        .ok();
    station
        .run("create-thing", &["keys", "--aws-keys"])
        .await
        .ok();
    let account = station.core.account();
    let state = account.snapshot();
    let arn = |thing: &str| state.principals_of_thing(thing).remove(0).0;
    let (gone, keys) = (arn("gone"), arn("keys"));
    let id = |arn: &str| arn.rsplit('/').next().expect("an id").to_owned();
    let everything = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:Connect","Resource":"*"}]}"#;
    account
        .write(|tx| {
            for (thing, arn) in [("gone", &gone), ("keys", &keys)] {
                certificates::update(tx, &id(arn), CertificateStatus::Inactive)?;
                principals::detach(tx, thing, arn)?;
            }
            for policy in ["unused", "kept"] {
                policies::create(tx, policy, everything, Default::default())?;
            }
            let policy = tx.scope.arn("policy", "kept");
            tags::add(tx, &policy, [("keep".to_owned(), String::new())].into())?;
            let thing = things::CreateThing {
                name: "asset".to_owned(),
                attributes: [("keep".to_owned(), "yes".to_owned())].into(),
                ..Default::default()
            };
            things::create(tx, thing).map(drop)
        })
        .expect("littered");
    station
}

/// Kind, name and outcome; certificates by what they were.
fn lines(answer: &str) -> BTreeSet<(String, String)> {
    let lines = answer.lines().map(|line| {
        let columns: Vec<&str> = line.split('\t').collect();
        let name = match columns[0] {
            "certificate" => columns[3].to_owned(),
            _ => columns[1].to_owned(),
        };
        (name, columns[2].to_owned())
    });
    lines.collect()
}

fn expected(pairs: &[(&str, &str)]) -> BTreeSet<(String, String)> {
    let pairs = pairs.iter();
    pairs
        .map(|(name, outcome)| ((*name).to_owned(), (*outcome).to_owned()))
        .collect()
}

const READMITTED: &str = "inactive and without a thing, but its CA would let the device in again";

#[tokio::test(flavor = "multi_thread")]
async fn the_plan_changes_nothing_and_young_things_are_left_alone() {
    let station = littered().await;
    let before = station.core.account().snapshot();
    let young = station.run("sweep", &[] as &[&str]).await.ok();
    assert_eq!(
        lines(&young),
        expected(&[("asset", "protected"), ("gone", "found"), ("keys", "found")]),
        "things have no date: {young}"
    );
    let plan = station.run("sweep", &["--older-than", "0s"]).await.ok();
    assert_eq!(
        lines(&plan),
        expected(&[
            ("inactive and without a thing", "found"),
            (READMITTED, "protected"),
            ("asset", "protected"),
            ("gone", "found"),
            ("keys", "found"),
            ("unused", "found"),
            ("kept", "protected"),
            ("IoTAccess", "protected"),
        ])
    );
    let after = station.core.account().snapshot();
    assert_eq!(before.certificates.len(), after.certificates.len());
    assert_eq!(before.things.len(), after.things.len());
    assert_eq!(before.policies.len(), after.policies.len());
    let only = ["--older-than", "0s", "--only", "policies"];
    let only = station.run("sweep", &only).await.ok();
    assert!(
        only.lines().all(|line| line.starts_with("policy\t")),
        "{only}"
    );
    station
        .run("sweep", &["--older-than", "soon"])
        .await
        .fails(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_removes_what_was_found_and_a_second_run_goes_on() {
    let station = littered().await;
    station.run("sweep", &["--delete"]).await.fails(2);
    let faults = station.core.faults();
    faults.order(Fault::next("DeleteThing", FaultKind::Fail).times(5));
    let delete = [
        "--delete",
        "--yes",
        "--older-than",
        "0s",
        "--concurrency",
        "1",
    ];
    let first = station.run("sweep", &delete).await;
    assert_eq!(first.code, 10, "{first:?}");
    assert_eq!(first.stdout.matches("\tfailed\t").count(), 1, "{first:?}");
    let second = station.run("sweep", &delete).await.ok();
    assert_eq!(second.matches("\tdeleted\t").count(), 1, "{second}");
    let state = station.core.account().snapshot();
    let things: Vec<&str> = state.things.keys().map(|name| &**name).collect();
    assert_eq!(things, ["asset", "idle", "used"]);
    let policies: Vec<&str> = state.policies.keys().map(String::as_str).collect();
    assert_eq!(policies, ["IoTAccess", "ThingAccess", "kept"]);
    assert_eq!(
        state.certificates.len(),
        3,
        "used, idle, and the one kept out"
    );
    let readmit = [&delete[..], &["--readmit"]].concat();
    station.run("sweep", &readmit).await.ok();
    assert_eq!(station.core.account().snapshot().certificates.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_never_activated_and_expired_cas_go() {
    let station = Station::start().await;
    let end = registered_for_moments(&station).await;
    // A first connection whose template fails leaves its certificate pending.
    station.run("create-root", &[] as &[&str]).await.ok();
    station.run("register", &[] as &[&str]).await.ok();
    station.run("provision", &["sensor"]).await.ok();
    let account = station.core.account();
    let pem = std::fs::read_to_string(station.folder.path("sensor.crt")).expect("a certificate");
    let x509 = jitp_local::x509::X509::from_pem(&pem).expect("readable");
    let cas = account.snapshot();
    let root = cas
        .ca_certificates
        .values()
        .find(|ca| x509.issuer_der == ca.x509.subject_der);
    let root = root.expect("registered").clone();
    account
        .write(|tx| {
            certificates::auto_register(tx, std::sync::Arc::new(x509.clone()), &root).map(drop)
        })
        .expect("pending");
    // More than a second after the end of the CA, and after the certificate.
    let over = end.max(time::OffsetDateTime::now_utc()) + time::Duration::seconds(2);
    while time::OffsetDateTime::now_utc() < over {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let plan = station.run("sweep", &["--older-than", "1s"]).await.ok();
    assert_eq!(
        lines(&plan),
        expected(&[
            ("never activated", "found"),
            (cas_id(&station, "short").as_str(), "found"),
            ("IoTAccess", "protected")
        ])
    );
    let delete = ["--delete", "--yes", "--older-than", "1s"];
    station.run("sweep", &delete).await.ok();
    let state = account.snapshot();
    assert!(state.certificates.is_empty());
    assert_eq!(state.ca_certificates.len(), 1);
}

/// Registers a CA `short` that ends soon, as soon as the machine lets it be registered before; when it ends.
async fn registered_for_moments(station: &Station) -> time::OffsetDateTime {
    for seconds in [4, 16, 60] {
        let end = time::OffsetDateTime::now_utc() + time::Duration::seconds(seconds);
        let end = end.replace_nanosecond(0).expect("a whole second");
        let text = end.format(&time::format_description::well_known::Rfc3339);
        let text = text.expect("a time");
        let made = station
            .run("create-root", &["short", "--validity", &text])
            .await;
        if made.code == 0 && station.run("register", &["short"]).await.code == 0 {
            return end;
        }
        for file in ["short.ca.key", "short.ca.pem"] {
            let _ = std::fs::remove_file(station.folder.path(file));
        }
    }
    panic!("a minute was not enough to register a CA");
}

fn cas_id(station: &Station, name: &str) -> String {
    let pem = std::fs::read(station.folder.path(&format!("{name}.ca.pem"))).expect("a CA");
    let ca = openssl::x509::X509::from_pem(&pem).expect("readable");
    let digest = ca
        .digest(openssl::hash::MessageDigest::sha256())
        .expect("a digest");
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
