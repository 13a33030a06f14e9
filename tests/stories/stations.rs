//! Several programs and several stations that sign with one CA: whatever they make is recorded, and nothing twice.

use std::fs;

use crate::support::{Folder, Station};

const NOTHING: [&str; 0] = [];

#[test]
fn two_stations_share_a_ca_and_no_device() {
    let folder = Folder::new();
    folder.run("create-root", &NOTHING).ok();
    let batch = |station: &str, prefix: &str, out: &str| {
        let wanted = ["--count", "3", "--prefix", prefix, "--out", out];
        folder.run(
            "provision",
            &[&wanted[..], &["--station", station]].concat(),
        )
    };
    batch("1", "a-", "one").ok();
    batch("2", "b-", "two").ok();
    for (station, device, begin) in [("1", "a-1", "01000000"), ("2", "b-1", "02000000")] {
        let shown = folder.run("ledger", &["show", device, "--station", station]);
        let serial = shown.ok().split('\t').nth(3).unwrap_or_default().to_owned();
        assert!(serial.starts_with(begin), "{serial}");
        folder.run("ledger", &["verify", "--station", station]).ok();
    }
    // Neither makes what the other one has, not even anew, in a batch or one by one.
    let stderr = batch("2", "a-", "three").fails(5);
    assert!(stderr.contains("root.ledger"), "{stderr}");
    let again = [
        "--count",
        "3",
        "--prefix",
        "b-",
        "--out",
        "three",
        "--reissue",
    ];
    folder.run("provision", &again).fails(5);
    let stderr = folder.run("provision", &["b-1"]).fails(5);
    assert!(stderr.contains("root.station-2.ledger"), "{stderr}");
    assert!(!folder.path("three").exists());
    folder
        .run("ledger", &["compare", "root.station-2.ledger"])
        .ok();

    // A ledger goes with its station.
    fs::copy(
        folder.path("root.station-2.ledger"),
        folder.path("root.station-3.ledger"),
    )
    .expect("copied");
    let stderr = batch("3", "c-", "three").fails(3);
    assert!(stderr.contains("that of station 2"), "{stderr}");
    let stderr = batch("2", "c-", "three").fails(3);
    assert!(stderr.contains("is of station 2 too"), "{stderr}");
    batch("128", "c-", "three").fails(2);
}

#[test]
fn what_two_stations_made_out_of_sight_of_each_other_is_found() {
    let folder = Folder::new();
    folder.run("create-root", &NOTHING).ok();
    for (station, file) in [("1", "root.ledger"), ("2", "root.station-2.ledger")] {
        let out = format!("out-{station}");
        let wanted = ["--count", "2", "--prefix", "a-", "--out", &out];
        folder
            .run(
                "provision",
                &[&wanted[..], &["--station", station]].concat(),
            )
            .ok();
        for ending in ["", ".lock"] {
            let name = format!("{file}{ending}");
            fs::rename(folder.path(&name), folder.path(&format!("far-{name}"))).expect("moved");
        }
    }
    fs::rename(folder.path("far-root.ledger"), folder.path("root.ledger")).expect("moved");
    let compared = folder.run("ledger", &["compare", "far-root.station-2.ledger"]);
    assert_eq!(
        compared.stdout,
        "device\ta-1\tfar-root.station-2.ledger\ndevice\ta-2\tfar-root.station-2.ledger\n"
    );
    assert_eq!(compared.code, 9, "{compared:?}");
    let itself = folder.run("ledger", &["compare", "root.ledger"]);
    assert!(itself.stdout.starts_with("station\t1\t"), "{itself:?}");
    assert_eq!(itself.code, 9, "{itself:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn things_are_recorded_where_the_ca_has_a_ledger() {
    let station = Station::registered().await;
    let wanted = ["--count", "1", "--prefix", "board-", "--out", "boards"];
    station.run("provision", &wanted).await.ok();
    station
        .run("create-thing", &["sensor-1", "sensor-2"])
        .await
        .ok();
    let shown = station.run("ledger", &["show", "sensor-2"]).await;
    assert!(shown.ok().contains("\tissued\t"));
    let again = station.run("create-thing", &["sensor-2"]).await;
    assert!(again.ok().contains("\tunchanged\t"));
    for file in ["sensor-1.key", "sensor-1.pem", "sensor-1.pub"] {
        assert!(
            station.folder.path(&format!("certs/{file}")).is_file(),
            "{file}"
        );
    }
    // Whoever signs next knows of it.
    let stderr = station.run("provision", &["sensor-1"]).await.fails(5);
    assert!(stderr.contains("has certificate"), "{stderr}");
    let stderr = station.run("create-thing", &["board-1"]).await.fails(5);
    assert!(stderr.contains("has certificate"), "{stderr}");
    station
        .run("create-thing", &["board-1", "--reissue"])
        .await
        .ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thing_whose_making_was_interrupted_is_void_in_the_ledger_and_its_key_is_gone() {
    let station = Station::registered().await;
    let wanted = ["--count", "1", "--prefix", "board-", "--out", "boards"];
    station.run("provision", &wanted).await.ok();
    station.run("create-thing", &["sensor-1"]).await.ok();
    // As if it had been killed when the key was written and the certificate was not.
    let database = rusqlite::Connection::open(station.folder.path("root.ledger")).expect("opened");
    database
        .execute_batch(
            "UPDATE certificate SET state = 0, certificate = NULL, hash = NULL WHERE sequence = 2;
             DELETE FROM seal WHERE sequence = 2;",
        )
        .expect("changed");
    drop(database);
    let [key, certificate] =
        ["key", "pem"].map(|ending| station.folder.path(&format!("certs/sensor-1.{ending}")));
    fs::remove_file(certificate).expect("removed");

    station.run("create-thing", &["sensor-2"]).await.ok();
    let shown = station.run("ledger", &["show", "sensor-1"]).await.ok();
    assert!(shown.starts_with("sensor-1\tvoid\t-\t"), "{shown}");
    assert!(!key.exists());
    station.run("ledger", &["verify"]).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn things_and_claims_count_against_a_quota() {
    let station = Station::start().await;
    station.run("create-root", &NOTHING).await.ok();
    let line = ["line-4", "--count", "2", "--prefix", "pump-"];
    station.run("create-intermediate", &line).await.ok();
    station.run("register", &["line-4"]).await.ok();
    let thing = async |name| station.run("create-thing", &[name, "--ca", "line-4"]).await;
    thing("pump-1").await.ok();
    station.run("provision", &["pump-2", "line-4"]).await.ok();
    let stderr = thing("pump-3").await.fails(6);
    assert!(
        stderr.contains("is 2 devices; 2 are made, and 1 more"),
        "{stderr}"
    );
    thing("pump-1").await.ok();
    let other = ["pump-4", "line-4", "--station", "2"];
    let stderr = station.run("provision", &other).await.fails(6);
    assert!(stderr.contains("only one station can count"), "{stderr}");
}
