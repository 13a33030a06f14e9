//! Devices locked out and let in, and asked about.

use std::io::Write;
use std::process::Stdio;

use jitp_local::account::{certificates, principals};
use jitp_local::control::{Fault, FaultKind};

use crate::support::{Ended, Station};

/// A station with the things a and b, of which a has b's certificate too.
async fn station() -> Station {
    let station = Station::registered().await;
    station.run("create-thing", &["a", "b", "bare"]).await.ok();
    let account = station.core.account();
    let (bare, _) = account.snapshot().principals_of_thing("bare").remove(0);
    let (b, _) = account.snapshot().principals_of_thing("b").remove(0);
    account
        .write(|tx| {
            principals::attach(tx, "a", &b, Default::default())?;
            principals::detach(tx, "bare", &bare)
        })
        .expect("attached");
    station
}

fn column(ended: &str, number: usize) -> Vec<&str> {
    let lines = ended.lines();
    lines
        .filter_map(|line| line.split('\t').nth(number))
        .collect()
}

/// Runs a program with a list on stdin.
async fn with_list(station: &Station, program: &str, arguments: &[&str], list: &str) -> Ended {
    let mut command = station.folder.command(program, arguments);
    command.stdin(Stdio::piped());
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(list.as_bytes()).expect("written");
    drop(stdin);
    tokio::task::block_in_place(|| station.folder.finish(child))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_certificate_of_a_thing_is_switched_and_told() {
    let station = station().await;
    let status = station.run("device-status", &["a"]).await.ok();
    assert_eq!(status, "a\tACTIVE\na\tACTIVE\n");
    let off = station.run("disable-certificate", &["a"]).await.ok();
    assert_eq!(column(&off, 1), ["INACTIVE", "INACTIVE"]);
    assert_eq!(column(&off, 3), ["changed", "changed"]);
    let again = station.run("disable-certificate", &["a"]).await.ok();
    assert_eq!(column(&again, 3), ["unchanged", "unchanged"]);
    let stderr = station
        .run("pub", &["a", "hello", "--connect-timeout", "8"])
        .await
        .fails(8);
    assert!(!stderr.is_empty());
    let on = station.run("enable-certificate", &["a"]).await.ok();
    assert_eq!(column(&on, 1), ["ACTIVE", "ACTIVE"]);
    station.run("pub", &["a", "hello"]).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn revoking_is_final_and_asks() {
    let station = station().await;
    let revoke = ["b", "--revoke"];
    station.run("disable-certificate", &revoke).await.fails(2);
    let revoke = ["b", "--revoke", "--yes"];
    let answer = station.run("disable-certificate", &revoke).await.ok();
    assert_eq!(column(&answer, 1), ["REVOKED"]);
    let stderr = station.run("enable-certificate", &["b"]).await.fails(5);
    assert!(stderr.contains("stays REVOKED"), "{stderr}");
    // Disabling leaves it revoked rather than making it less so.
    let off = station.run("disable-certificate", &["b"]).await.ok();
    assert_eq!(column(&off, 1), ["REVOKED"]);
    // a has this one and its own: half of it can be done, and is named.
    station.run("disable-certificate", &["a"]).await.ok();
    let half = station.run("enable-certificate", &["a"]).await;
    assert_eq!(half.code, 10, "{half:?}");
    assert_eq!(column(&half.stdout, 1), ["ACTIVE"]);
    assert!(half.stderr.contains("stays REVOKED"), "{half:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_from_the_command_line_or_from_stdin() {
    let station = station().await;
    let off = station
        .run("disable-certificate", &["b", "a", "b"])
        .await
        .ok();
    assert_eq!(off.lines().count(), 3, "{off}");
    let listed = with_list(&station, "device-status", &["-"], "b\tanything\n\na\n")
        .await
        .ok();
    assert_eq!(
        column(&listed, 0),
        ["b", "a", "a"],
        "in the order of the list"
    );
    let bad = with_list(&station, "device-status", &["-"], "b\nnot a name\n").await;
    assert!(bad.fails(3).contains("line 2"));
    let all = station.run("thing-certificates", &[] as &[&str]).await.ok();
    let piped = with_list(&station, "enable-certificate", &["-"], &all).await;
    assert_eq!(piped.code, 10, "bare has no certificate: {piped:?}");
    assert_eq!(piped.stdout.matches("\tACTIVE\t").count(), 3, "{piped:?}");
    assert!(
        piped
            .stdout
            .contains("bare\tfailed\tbare has no certificate")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_things_and_missing_certificates_are_not_found() {
    let station = station().await;
    for program in ["device-status", "enable-certificate", "disable-certificate"] {
        let stderr = station.run(program, &["nobody"]).await.fails(4);
        assert!(stderr.contains("nobody"), "{program}: {stderr}");
        let stderr = station.run(program, &["bare"]).await.fails(4);
        assert!(stderr.contains("no certificate"), "{program}: {stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn expectations_are_answered_by_exit_code() {
    let station = station().await;
    let expect = ["a", "b", "--expect", "ACTIVE"];
    station.run("device-status", &expect).await.ok();
    station.run("disable-certificate", &["b"]).await.ok();
    let ended = station.run("device-status", &expect).await;
    assert_eq!(ended.code, 9, "{ended:?}");
    assert_eq!(column(&ended.stdout, 0), ["a", "a", "b"]);
    assert!(
        ended.stderr.contains("a is INACTIVE, and 1 more"),
        "{ended:?}"
    );
    let none = station
        .run("device-status", &["bare", "--expect", "ACTIVE"])
        .await;
    assert_eq!(none.code, 9, "{none:?}");
    station
        .run("device-status", &["a", "--expect", "ON"])
        .await
        .fails(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_long_form_tells_expiry_issuer_and_policies() {
    let station = station().await;
    let long = station.run("device-status", &["b", "--long"]).await.ok();
    let columns: Vec<&str> = long.trim_end().split('\t').collect();
    assert_eq!((columns[0], columns[1]), ("b", "ACTIVE"));
    assert_eq!(columns[2].len(), 64);
    assert!(
        columns[3].starts_with("20") && columns[3].ends_with('Z'),
        "{long}"
    );
    assert!(columns[4].starts_with("CN=root"), "{long}");
    assert_eq!(columns[5], "ThingAccess");
    let json = station
        .run("device-status", &["b", "--long", "--output", "json"])
        .await
        .json();
    assert_eq!(json[0]["policies"][0], "ThingAccess");
    let ca = json[0]["caCertificateId"].as_str().expect("a CA");
    assert!(
        station
            .core
            .account()
            .snapshot()
            .ca_certificates
            .contains_key(ca)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_in_the_middle_names_what_was_done() {
    let station = station().await;
    let faults = station.core.faults();
    faults.order(
        Fault::next("UpdateCertificate", FaultKind::Fail)
            .after(1)
            .times(5),
    );
    let ended = station.run("disable-certificate", &["a"]).await;
    assert_eq!(ended.code, 10, "{ended:?}");
    assert_eq!(ended.stdout.lines().count(), 1, "{ended:?}");
    assert!(ended.stderr.contains("stays ACTIVE"), "{ended:?}");
    let again = station.run("disable-certificate", &["a"]).await.ok();
    let mut outcomes = column(&again, 3);
    outcomes.sort_unstable();
    assert_eq!(outcomes, ["changed", "unchanged"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_all_things_has_every_certificate_in_a_stable_order() {
    let station = Station::registered().await;
    let empty = station.run("thing-certificates", &[] as &[&str]).await.ok();
    assert_eq!(empty, "");
    let account = station.core.account();
    // More than one page of the registry.
    account
        .write(|tx| {
            for number in 0..270 {
                let ask = jitp_local::account::things::CreateThing {
                    name: format!("bare-{number:03}"),
                    ..Default::default()
                };
                jitp_local::account::things::create(tx, ask)?;
            }
            Ok(())
        })
        .expect("created");
    station.run("create-thing", &["z", "y"]).await.ok();
    let (z, _) = account.snapshot().principals_of_thing("z").remove(0);
    account
        .write(|tx| principals::attach(tx, "y", &z, Default::default()))
        .expect("attached");
    let all = station.run("thing-certificates", &[] as &[&str]).await.ok();
    assert_eq!(all.lines().count(), 273);
    assert_eq!(all.matches("\t-\n").count(), 270);
    assert_eq!(all.matches("y\tarn:aws:iot:").count(), 2, "both of y's");
    let again = station
        .run("thing-certificates", &["--concurrency", "32"])
        .await
        .ok();
    assert_eq!(all, again, "whatever comes first");
    let json = station
        .run("thing-certificates", &["--output", "json"])
        .await
        .json();
    assert_eq!(json.len(), 273);
    let bare = json
        .iter()
        .find(|line| line["thing"] == "bare-000")
        .expect("bare");
    assert!(bare["certificateArn"].is_null());
    assert!(certificates::find(&account.snapshot(), "none").is_err());
}
