//! Registered CAs: listed, shown, switched, deleted; too many of one name; drift.

use serde_json::Value;

use crate::support::Station;

const NOTHING: [&str; 0] = [];

#[tokio::test(flavor = "multi_thread")]
async fn registered_cas_are_listed_and_shown() {
    let station = Station::registered().await;
    station.run("create-root", &["second"]).await.ok();
    station
        .run("register", &["second", "--mode", "sni-only"])
        .await
        .ok();
    let list = station.run("ca", &["list"]).await.ok();
    let lines: Vec<Vec<&str>> = list
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0][1..3], ["ACTIVE", "ENABLE"]);
    assert!(lines[0][4].starts_with("CN=root"), "{list}");
    station.run("create-thing", &["sensor"]).await.ok();
    let shown = station
        .run("ca", &["show", "root", "--output", "json"])
        .await
        .json();
    assert_eq!(shown[0]["certificateId"], lines[0][0]);
    assert_eq!(shown[0]["certificateMode"], "DEFAULT");
    assert_eq!(shown[0]["registeredCertificates"], 1);
    let body = shown[0]["templateBody"].as_str().expect("a template");
    assert!(serde_json::from_str::<Value>(body).is_ok());
    let text = station.run("ca", &["show", lines[1][0]]).await.ok();
    assert!(text.contains("certificateMode\tSNI_ONLY\n"), "{text}");
    let nobody = "0".repeat(64);
    station.run("ca", &["show", &nobody]).await.fails(4);
    station.run("ca", &["show", "nobody"]).await.fails(4);
    station.run("ca", &NOTHING).await.fails(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_is_switched_off_and_on_and_deleted_while_its_devices_go_on() {
    let station = Station::registered().await;
    station.run("create-thing", &["sensor"]).await.ok();
    let off = station.run("ca", &["disable", "root"]).await.ok();
    assert_eq!(off, "root\tdisabled\n");
    let off = station.run("ca", &["disable", "root"]).await.ok();
    assert_eq!(off, "root\tunchanged\n");
    station.run("pub", &["sensor", "hello"]).await.ok();
    let on = ["enable", "root", "--auto-registration=false"];
    assert_eq!(station.run("ca", &on).await.ok(), "root\tenabled\n");
    let ca = station
        .core
        .account()
        .snapshot()
        .ca_certificates
        .values()
        .next()
        .cloned();
    let ca = ca.expect("one");
    assert!(ca.active && !ca.auto_registration);
    station.run("ca", &["delete", "root"]).await.fails(2);
    let plan = station.run("ca", &["delete", "root", "--dry-run"]).await;
    assert!(
        plan.stderr.contains("1 registered certificates"),
        "{plan:?}"
    );
    assert_eq!(plan.ok(), "root\tplanned\n");
    let gone = station.run("ca", &["delete", "root", "--yes"]).await.ok();
    assert_eq!(gone, "root\tdeleted\n");
    station.run("pub", &["sensor", "hello"]).await.ok();
    station
        .run("ca", &["delete", "root", "--yes"])
        .await
        .fails(4);
    assert_eq!(station.run("ca", &["list"]).await.ok(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_eleventh_ca_of_one_subject_is_refused_with_its_twins() {
    let station = Station::start().await;
    let mut warned = Vec::new();
    for number in 1..=11 {
        let dir = format!("ca{number}");
        std::fs::create_dir(station.folder.path(&dir)).expect("a folder");
        station.run("create-root", &["--dir", &dir]).await.ok();
        let ended = station.run("register", &["--dir", &dir]).await;
        if number == 11 {
            let stderr = ended.fails(6);
            assert!(
                stderr.contains("10 registered CAs have the subject"),
                "{stderr}"
            );
            let state = station.core.account().snapshot();
            assert!(
                state
                    .ca_certificates
                    .keys()
                    .all(|id| stderr.contains(id.as_str())),
                "{stderr}"
            );
            // What is registered stays what it was, and is no twin of itself.
            station.run("register", &["--dir", "ca10"]).await.ok();
            return;
        }
        if ended.stderr.contains("registered CAs have this subject") {
            warned.push(number);
        }
        ended.ok();
        assert_eq!(warned, (8..=number.max(7)).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_is_printed_and_answered_by_exit_code() {
    let station = Station::start().await;
    station.run("create-root", &NOTHING).await.ok();
    let missing = station.run("register", &["--drift"]).await;
    assert_eq!(missing.code, 9, "{missing:?}");
    assert!(
        missing.stdout.starts_with("registration\t-\t"),
        "{missing:?}"
    );
    assert!(station.core.account().snapshot().ca_certificates.is_empty());
    station.run("register", &NOTHING).await.ok();
    assert_eq!(station.run("register", &["--drift"]).await.ok(), "");
    station.run("ca", &["disable", "root"]).await.ok();
    let role = [
        "--drift",
        "--role-arn",
        "arn:aws:iam::123456789012:role/Other",
    ];
    let drift = station.run("register", &role).await;
    assert_eq!(drift.code, 9, "{drift:?}");
    let lines: Vec<&str> = drift.stdout.lines().collect();
    assert_eq!(
        lines,
        [
            "status\tINACTIVE\tACTIVE",
            "roleArn\tarn:aws:iam::123456789012:role/IoTProvisioning\tarn:aws:iam::123456789012:role/Other"
        ]
    );
    let template = std::fs::read_to_string("etc/templates/device.json").expect("the template");
    let changed = template.replace("ACTIVE", "INACTIVE");
    std::fs::write(station.folder.path("changed.json"), changed).expect("written");
    let drift = ["--drift", "--template", "changed.json", "--output", "json"];
    let drift = station.run("register", &drift).await;
    let line: Value =
        serde_json::from_str(drift.stdout.lines().nth(1).expect("a second line")).expect("JSON");
    assert!(
        line["what"]
            .as_str()
            .expect("a path")
            .starts_with("$.Resources."),
        "{line}"
    );
    assert_eq!(line["registered"], "\"ACTIVE\"");
}
