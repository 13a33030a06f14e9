//! Publishing and subscribing as devices.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};

use crate::support::Station;

/// A station with provisioned devices.
async fn with_devices(names: &[&str]) -> Station {
    let station = Station::registered().await;
    for name in names {
        station.run("provision", &[name, "--connect"]).await.ok();
    }
    station
}

/// Starts `sub` and waits until it says that it is subscribed.
fn listening(station: &Station, arguments: &[&str]) -> Child {
    let mut child = station.folder.start("sub", arguments);
    let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut line = String::new();
    while !line.contains("listening on") {
        line.clear();
        let read = stderr.read_line(&mut line).expect("text");
        assert!(read > 0, "the subscriber never got in");
    }
    std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
    child
}

fn finish(station: &Station, child: Child) -> crate::support::Ended {
    tokio::task::block_in_place(|| station.folder.finish(child))
}

#[tokio::test(flavor = "multi_thread")]
async fn hello_world_arrives() {
    let station = with_devices(&["producer", "subscriber"]).await;
    let subscriber = listening(&station, &["subscriber", "--count", "1", "--timeout", "30"]);
    let answer = station
        .run("pub", &["producer", "hello", "world"])
        .await
        .ok();
    assert_eq!(answer, "producer\t1\n");
    assert_eq!(finish(&station, subscriber).ok(), "producer\thello world\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_topic_filter_is_honoured() {
    let station = with_devices(&["a", "b", "subscriber"]).await;
    let subscriber = listening(
        &station,
        &["subscriber", "b", "--count", "1", "--timeout", "30"],
    );
    station.run("pub", &["a", "not for you"]).await.ok();
    station.run("pub", &["b", "for you"]).await.ok();
    assert_eq!(finish(&station, subscriber).ok(), "b\tfor you\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_is_a_message_and_json_is_exact() {
    let station = with_devices(&["a", "s"]).await;
    let payload = "two\nlines\tand a tab";
    let subscriber = listening(&station, &["s", "--count", "1", "--timeout", "30"]);
    station.run("pub", &["a", payload]).await.ok();
    assert_eq!(
        finish(&station, subscriber).ok(),
        "a\ttwo\\nlines\\tand a tab\n"
    );

    let subscriber = listening(
        &station,
        &["s", "--count", "1", "--timeout", "30", "--output", "json"],
    );
    station.run("pub", &["a", payload, "--qos", "0"]).await.ok();
    let message = finish(&station, subscriber).json();
    assert_eq!(message[0]["payload"], payload);
    assert_eq!(message[0]["topic"], "a");
    assert_eq!(message[0]["qos"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_stdin_is_a_message() {
    let station = with_devices(&["a", "s"]).await;
    let count = 2000;
    let subscriber = listening(&station, &["s", "a", "--count", "2000", "--timeout", "60"]);
    let mut publisher = station
        .folder
        .command("pub", &["a", "--stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = publisher.stdin.take().expect("a pipe");
    for line in 0..count {
        writeln!(stdin, "line {line}").expect("written");
    }
    drop(stdin);
    assert_eq!(finish(&station, publisher).ok(), "a\t2000\n");
    let received = finish(&station, subscriber).ok();
    let expected: String = (0..count).map(|line| format!("a\tline {line}\n")).collect();
    assert_eq!(received, expected, "all of them, in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retained_message_waits_for_its_subscriber() {
    let station = with_devices(&["a", "s"]).await;
    station
        .run("pub", &["a", "last word", "--retain"])
        .await
        .fails(6);

    // The seed's policy has no iot:RetainPublish; one that has it lets the message stay.
    let document = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:*","Resource":"*"}]}"#;
    station
        .core
        .account()
        .write(|tx| {
            jitp_local::account::policies::create_version(tx, "IoTAccess", document, true).map(drop)
        })
        .expect("a new version");
    station
        .run("pub", &["a", "last word", "--retain"])
        .await
        .ok();
    let answer = station
        .run(
            "sub",
            &[
                "s",
                "a",
                "--count",
                "1",
                "--timeout",
                "10",
                "--output",
                "json",
            ],
        )
        .await
        .json();
    assert_eq!(answer[0]["payload"], "last word");
    assert_eq!(answer[0]["retain"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_the_policy_denies_is_refused_in_both_versions() {
    let station = with_devices(&["a"]).await;
    for version in ["5", "3.1.1"] {
        for qos in ["0", "1"] {
            let stderr = station
                .run(
                    "pub",
                    &[
                        "a",
                        "x",
                        "--topic",
                        "elsewhere",
                        "--mqtt-version",
                        version,
                        "--qos",
                        qos,
                    ],
                )
                .await
                .fails(6);
            assert!(stderr.contains("elsewhere"), "{version} {qos}: {stderr}");
        }
    }
    let denied = station
        .core
        .diary()
        .recent()
        .into_iter()
        .find(|entry| entry.code == "POLICY_IMPLICIT_DENY")
        .expect("the diary has it");
    assert!(denied.sentence.contains("elsewhere"), "{denied}");
    assert!(denied.sentence.contains("IoTAccess"), "{denied}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sent_is_wrong_usage_before_anything_is_connected() {
    let station = Station::registered().await;
    station.run("provision", &["a"]).await.ok();
    let long = "x".repeat(257);
    for arguments in [
        vec!["a", "x", "--topic", "a/+"],
        vec!["a", "x", "--topic", &long],
        vec!["a", "x", "--qos", "2"],
        vec!["a", "x", "--stdin"],
    ] {
        station.run("pub", &arguments).await.fails(2);
    }
    assert!(station.core.account().snapshot().certificates.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_does_not_wait_for_ever() {
    let station = with_devices(&["s"]).await;
    station.run("sub", &["s", "--timeout", "1"]).await.ok();
    let stderr = station
        .run("sub", &["s", "--timeout", "1", "--count", "1"])
        .await
        .fails(7);
    assert!(stderr.contains("0 of 1 messages"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_not_there_or_not_trusted_is_told_apart() {
    let mut station = Station::registered().await;
    station.run("provision", &["a"]).await.ok();
    let stderr = station
        .run("pub", &["a", "x", "--endpoint", "localhost:1"])
        .await
        .fails(7);
    assert!(
        stderr.contains("localhost:1") && stderr.contains("attempts"),
        "{stderr}"
    );
    let stderr = station
        .run("pub", &["a", "x", "--endpoint", "local host"])
        .await
        .fails(3);
    assert!(stderr.contains("local host"), "{stderr}");
    // Judged by the Amazon roots, the local core is a stranger.
    station.folder.set("AWS_IOT_CAFILE", "");
    let stderr = station.run("pub", &["a", "x"]).await.fails(3);
    assert!(stderr.contains("not trusted"), "{stderr}");
    let stderr = station
        .run("pub", &["a", "x", "--cafile", "nowhere.pem"])
        .await
        .fails(3);
    assert!(stderr.contains("nowhere.pem"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_endpoint_the_account_is_asked() {
    let mut station = Station::registered().await;
    station.folder.set("AWS_IOT_ENDPOINT", "");
    station.run("provision", &["a", "--connect"]).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_connection_of_a_device_takes_over_and_the_first_says_so() {
    let station = with_devices(&["a"]).await;
    let first = listening(&station, &["a", "--timeout", "30"]);
    station.run("pub", &["a", "x"]).await.ok();
    let ended = finish(&station, first);
    assert_eq!(ended.code, 5, "{ended:?}");
}
