//! The first connection of a device: closed, provisioned, served. And what stands in its way.

use std::io::{BufRead, BufReader};
use std::process::Command;
use std::time::Duration;

use jitp_local::account::{CertificateStatus, ca, ca::UpdateCa, certificates};
use jitp_local::server::Local;
use serde_json::json;

use crate::support::Station;

/// Waits until something is true of the core.
async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

fn status(core: &Local, thing: &str) -> Option<CertificateStatus> {
    let state = core.account().snapshot();
    state
        .certificates
        .values()
        .find(|certificate| certificate.x509.common_name() == Some(thing))
        .map(|certificate| certificate.status)
}

fn codes(core: &Local) -> Vec<&'static str> {
    core.diary()
        .recent()
        .iter()
        .map(|entry| entry.code)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_connection_makes_the_thing_and_the_second_is_served() {
    let station = Station::registered().await;
    let ended = station
        .run("provision", &["sensor-17", "--connect", "--output", "json"])
        .await;
    assert!(
        ended.stderr.contains("closed by the server before CONNACK"),
        "{ended:?}"
    );
    let answer = ended.json();
    assert_eq!(answer[0]["connectionAttempts"], 2);

    let state = station.core.account().snapshot();
    let id = answer[0]["certificateId"].as_str().expect("an id");
    assert_eq!(state.certificates[id].status, CertificateStatus::Active);
    assert!(state.certificates[id].ca_certificate_id.is_some());
    assert!(state.attachment("sensor-17", id).is_some());
    let arn = state.certificate_arn(id);
    assert_eq!(state.policy_names_of_target(&arn), ["IoTAccess"]);

    let again = station
        .run("provision", &["sensor-17", "--connect", "--output", "json"])
        .await
        .json();
    assert_eq!(again[0]["outcome"], "unchanged");
    assert_eq!(again[0]["connectionAttempts"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_of_mqtt_get_in() {
    let station = Station::registered().await;
    station
        .run(
            "provision",
            &["old", "--connect", "--mqtt-version", "3.1.1"],
        )
        .await
        .ok();
    station
        .run("provision", &["new", "--connect", "--mqtt-version", "5"])
        .await
        .ok();
    assert_eq!(station.core.account().snapshot().things.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bare_handshake_creates_nothing() {
    let station = Station::registered().await;
    station.run("provision", &["quiet"]).await.ok();
    let handshake = Command::new("openssl")
        .args(["s_client", "-brief", "-connect"])
        .arg(station.core.mqtt_endpoint())
        .args(["-CAfile", &cafile(&station), "-cert"])
        .arg(station.folder.path("quiet.crt"))
        .arg("-key")
        .arg(station.folder.path("quiet.key"))
        .stdin(std::process::Stdio::null())
        .output()
        .expect("openssl is installed");
    let said = String::from_utf8_lossy(&handshake.stderr);
    assert!(said.contains("Verification: OK"), "{said}");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(station.core.account().snapshot().certificates.is_empty());
}

fn cafile(station: &Station) -> String {
    let environment = station.core.environment();
    let (_, path) = environment
        .into_iter()
        .find(|(name, _)| *name == "AWS_IOT_CAFILE")
        .expect("the environment names it");
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_the_old_scripts_gets_in() {
    let station = Station::registered().await;
    // As the shell toolkit did it: RSA, X.509 version 1, no extensions.
    let script = "
        openssl genrsa -out old.key 2048 &&
        openssl req -new -key old.key -subj /CN=old -out old.csr &&
        openssl x509 -req -in old.csr -CA root.ca.pem -CAkey root.ca.key -CAcreateserial -days 500 -sha256 -out old.leaf &&
        cat old.leaf root.ca.pem > old.crt";
    let made = Command::new("sh")
        .args(["-c", script])
        .current_dir(station.folder.path(""))
        .output()
        .expect("a shell");
    assert!(made.status.success(), "{made:?}");
    station.run("pub", &["old", "hello"]).await.ok();
    assert_eq!(
        status(&station.core, "old"),
        Some(CertificateStatus::Active)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_without_its_parameter_stays_pending_and_the_diary_names_it() {
    let station = Station::start().await;
    station.run("create-root", &[] as &[&str]).await.ok();
    let template = json!({
        "Parameters": {
            "AWS::IoT::Certificate::CommonName": {"Type": "String"},
            "AWS::IoT::Certificate::Country": {"Type": "String"},
        },
        "Resources": {
            "thing": {"Type": "AWS::IoT::Thing", "Properties": {
                "ThingName": {"Ref": "AWS::IoT::Certificate::CommonName"}}},
            "certificate": {"Type": "AWS::IoT::Certificate", "Properties": {
                "CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "ACTIVE"}},
            "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "IoTAccess"}},
        },
    });
    std::fs::write(station.folder.path("country.json"), template.to_string()).expect("written");
    station
        .run("register", &["--template", "country.json"])
        .await
        .ok();

    let stderr = station
        .run(
            "provision",
            &["nowhere", "--connect", "--connect-timeout", "8"],
        )
        .await
        .fails(8);
    assert!(
        stderr.contains("nowhere.key and nowhere.crt are in place"),
        "{stderr}"
    );
    assert_eq!(
        status(&station.core, "nowhere"),
        Some(CertificateStatus::PendingActivation)
    );
    assert!(
        station.core.account().snapshot().things.is_empty(),
        "nothing half-made"
    );
    let failed = station
        .core
        .diary()
        .recent()
        .into_iter()
        .find(|entry| entry.code == "JITP_FAILED")
        .expect("the diary has it");
    assert!(
        failed.sentence.contains("AWS::IoT::Certificate::Country"),
        "{failed}"
    );

    station
        .run("provision", &["somewhere", "--country", "DE", "--connect"])
        .await
        .ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_active_auto_registering_ca_nothing_is_created() {
    let station = Station::registered().await;
    let id = station
        .core
        .account()
        .snapshot()
        .ca_certificates
        .keys()
        .next()
        .cloned()
        .expect("a CA");
    let update = |active, auto| UpdateCa {
        active,
        auto_registration: auto,
        ..UpdateCa::default()
    };
    for (change, code) in [
        (update(None, Some(false)), "CA_AUTO_REGISTRATION_DISABLED"),
        (update(Some(false), None), "CA_INACTIVE"),
    ] {
        station
            .core
            .account()
            .write(|tx| ca::update(tx, &id, change))
            .expect("updated");
        station
            .run("pub", &["--connect-timeout", "8", "late", "x"])
            .await
            .fails(4);
        station.run("provision", &["late"]).await.ok();
        station
            .run("pub", &["--connect-timeout", "8", "late", "x"])
            .await
            .fails(8);
        assert!(
            codes(&station.core).contains(&code),
            "{code}: {:?}",
            codes(&station.core)
        );
        assert!(station.core.account().snapshot().certificates.is_empty());
        for file in ["late.key", "late.crt"] {
            std::fs::remove_file(station.folder.path(file)).expect("removed");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn same_name_with_another_key_and_a_stranger_are_told_apart() {
    let station = Station::registered().await;
    let folder = station.folder.path("twin");
    std::fs::create_dir(&folder).expect("a folder");
    let dir = folder.to_str().expect("text");
    station.run("create-root", &["--dir", dir]).await.ok();
    station.run("provision", &["twin", "--dir", dir]).await.ok();
    station
        .run(
            "pub",
            &["twin", "x", "--dir", dir, "--connect-timeout", "8"],
        )
        .await
        .fails(8);
    assert!(codes(&station.core).contains(&"CERTIFICATE_SIGNATURE"));

    station.run("create-root", &["stranger"]).await.ok();
    station.run("provision", &["who", "stranger"]).await.ok();
    station
        .run("pub", &["who", "x", "--connect-timeout", "8"])
        .await
        .fails(8);
    assert!(codes(&station.core).contains(&"CERTIFICATE_NOT_REGISTERED"));
    assert!(station.core.account().snapshot().certificates.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deactivated_certificate_is_locked_out_at_once() {
    let station = Station::registered().await;
    station.run("provision", &["a", "--connect"]).await.ok();
    let mut listener = station
        .folder
        .start("sub", &["a", "--connect-timeout", "20"]);
    // Thrown out before its subscription was answered it would take that for the answer, and end.
    let mut said = BufReader::new(listener.stderr.take().expect("piped")).lines();
    let listens = said.any(|line| line.is_ok_and(|line| line.contains("listening on")));
    assert!(listens, "the subscriber is connected and has subscribed");
    std::thread::spawn(move || said.for_each(drop));

    let account = station.core.account();
    let id = account
        .snapshot()
        .certificates
        .keys()
        .next()
        .cloned()
        .expect("a certificate");
    account
        .write(|tx| certificates::update(tx, &id, CertificateStatus::Inactive))
        .expect("updated");
    eventually("its session is closed", || {
        station.core.broker().connections() == 0
    })
    .await;
    eventually("it comes back and is refused", || {
        codes(&station.core).contains(&"CERTIFICATE_INACTIVE")
    })
    .await;
    let ended = tokio::task::block_in_place(|| station.folder.finish(listener));
    assert!([6, 8].contains(&ended.code), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registration_is_announced() {
    let station = Station::registered().await;
    station
        .run("provision", &["watcher", "--connect"])
        .await
        .ok();
    let watcher = station.folder.start(
        "sub",
        &[
            "watcher",
            "$aws/events/certificates/registered/#",
            "--count",
            "1",
            "--timeout",
            "30",
            "--output",
            "json",
        ],
    );
    eventually("the watcher is connected", || {
        station.core.broker().connections() == 1
    })
    .await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let device = station
        .run("provision", &["newcomer", "--connect", "--output", "json"])
        .await
        .json();
    let event = tokio::task::block_in_place(|| station.folder.finish(watcher)).json();
    let payload: serde_json::Value =
        serde_json::from_str(event[0]["payload"].as_str().expect("text")).expect("JSON");
    assert_eq!(payload["certificateId"], device[0]["certificateId"]);
    assert_eq!(payload["certificateStatus"], "PENDING_ACTIVATION");
    assert_eq!(payload["awsAccountId"], "123456789012");
}
