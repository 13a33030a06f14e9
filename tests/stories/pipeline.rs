//! The message pipeline on the local core: deployed from the template that CloudFormation is given, used, paused, drained,
//! taken down.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Cursor, Write as _};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use jitp_local::control::{Fault, FaultKind};
use serde_json::Value;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::support::Station;

/// A function that finishes every batch. The one that is deployed is in `crates/lambda`, and takes minutes to build.
const CONSUMER: &str = r#"#!/bin/sh
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime"
while :; do
  headers=$(mktemp)
  curl -sS --noproxy '*' -D "$headers" -o /dev/null "$api/invocation/next" || exit 3
  id=$(tr -d '\r' <"$headers" | sed -n 's/^lambda-runtime-aws-request-id: //p')
  rm -f "$headers"
  curl -sS --noproxy '*' -o /dev/null -d '{"batchItemFailures":[]}' "$api/invocation/$id/response"
done
"#;

/// A station with the templates, a packed function, and a device that may publish on the topic of the pipeline.
async fn station() -> Station {
    let mut station = Station::registered().await;
    let etc = station.folder.path("etc");
    symlink(Path::new(env!("CARGO_MANIFEST_DIR")).join("etc"), &etc).expect("linked");
    // The template names the package from where it lies, so it lies in a folder of its own.
    let (templates, packages) = ("stack/etc/cloudformation", "stack/target/lambda");
    for folder in [templates, packages] {
        std::fs::create_dir_all(station.folder.path(folder)).expect("a folder");
    }
    std::fs::copy(
        etc.join("cloudformation/sqs.yaml"),
        station.folder.path(templates).join("sqs.yaml"),
    )
    .expect("copied");
    let path = station.folder.path(packages).join("process-queue.zip");
    std::fs::write(path, consumer()).expect("written");
    station.folder.set("AWS_TOPIC", "pump");
    station.run("provision", &["pump", "--connect"]).await.ok();
    station
}

/// The function that finishes every batch, packed.
pub(crate) fn consumer() -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let executable = SimpleFileOptions::default().unix_permissions(0o755);
    zip.start_file("bootstrap", executable).expect("a file");
    zip.write_all(CONSUMER.as_bytes()).expect("written");
    zip.finish().expect("a zip file").into_inner()
}

const DEPLOY: [&str; 3] = ["stack/etc/cloudformation/sqs.yaml", "--stack", "pump-stack"];

async fn publish(station: &Station, from: usize, to: usize) {
    let lines: String = (from..to).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    let mut child = station
        .folder
        .command("pub", &["pump", "--stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(lines.as_bytes()).expect("written");
    drop(stdin);
    tokio::task::block_in_place(|| station.folder.finish(child)).ok();
}

async fn status(station: &Station) -> Value {
    let told = station.run("queue", &["status", "--output", "json"]).await;
    told.json().remove(0)
}

/// Waits until the queue is as it should be.
async fn until(station: &Station, is: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..300 {
        let told = status(station).await;
        if is(&told) {
            return told;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the queue stays {}", status(station).await);
}

fn is_empty(status: &Value) -> bool {
    status["waiting"] == 0 && status["inFlight"] == 0
}

/// Numbers of the messages in what was drained.
fn numbers(drained: &str) -> Vec<u64> {
    let messages = drained
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let bodies = messages.map(|message| message["body"].as_str().expect("a body").to_owned());
    bodies
        .map(|body| {
            serde_json::from_str::<Value>(&body).expect("JSON")["n"]
                .as_u64()
                .expect("a number")
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_deployed_paused_drained_resumed_and_taken_down() {
    let station = station().await;
    let planned = station
        .run("deploy", &[&DEPLOY[..], &["--plan"]].concat())
        .await;
    assert_eq!(planned.code, 9, "{planned:?}");
    assert_eq!(planned.stdout.lines().count(), 8, "{planned:?}");
    assert!(station.core.account().snapshot().functions.is_empty());
    let made = station.run("deploy", &DEPLOY).await.ok();
    assert!(made.starts_with("stack\tpump-stack\tcreated\n"), "{made}");
    assert!(made.contains("output\tQueueName\tpumpQueue\n"), "{made}");
    let again = station.run("deploy", &DEPLOY).await.ok();
    assert!(
        again.starts_with("stack\tpump-stack\tunchanged\n"),
        "{again}"
    );

    assert!(status(&station).await.get("ageOfOldestMessage").is_none());
    station.run("queue", &["pause"]).await.ok();
    publish(&station, 0, 10).await;
    let waiting = until(&station, |told| {
        told["ageOfOldestMessage"].as_u64() >= Some(1)
    })
    .await;
    assert_eq!(waiting["waiting"], 10);
    until(&station, |told| told["waiting"] == 10).await;
    station.run("queue", &["resume"]).await.ok();
    let empty = until(&station, is_empty).await;
    assert_eq!(empty["mappings"][0]["state"], "Enabled", "{empty}");
    assert_eq!(empty["deadLetters"], 0, "{empty}");

    let paused = station.run("queue", &["pause"]).await.ok();
    assert_eq!(paused, "pumpQueue\tpumpSQSProcessLambda\tpaused\n");
    let paused = station.run("queue", &["pause"]).await.ok();
    assert_eq!(paused, "pumpQueue\tpumpSQSProcessLambda\tunchanged\n");
    publish(&station, 10, 40).await;
    let backlog = until(&station, |told| told["waiting"] == 30).await;
    assert_eq!(backlog["mappings"][0]["state"], "Disabled", "{backlog}");

    let look = ["drain", "--keep", "--count", "12", "--wait", "1"];
    let looked = station.run("queue", &look).await.ok();
    assert_eq!(numbers(&looked).len(), 12, "{looked}");
    until(&station, |told| told["waiting"] == 30).await;
    // Two at once take what there is, and each message is taken by one.
    let drain = ["drain", "--count", "10", "--wait", "1"];
    let (one, other) = tokio::join!(station.run("queue", &drain), station.run("queue", &drain));
    let taken = [numbers(&one.ok()), numbers(&other.ok())].concat();
    assert_eq!(taken.len(), 20);
    let distinct: BTreeSet<u64> = taken.iter().copied().collect();
    assert_eq!(distinct.len(), 20, "{taken:?}");
    until(&station, |told| told["waiting"] == 10).await;

    let resumed = station.run("queue", &["resume"]).await.ok();
    assert_eq!(resumed, "pumpQueue\tpumpSQSProcessLambda\tresumed\n");
    until(&station, is_empty).await;

    let delete = [&DEPLOY[..], &["--delete", "--yes"]].concat();
    let gone = station.run("deploy", &delete).await.ok();
    assert_eq!(gone, "stack\tpump-stack\tdeleted\n");
    let state = station.core.account().snapshot();
    assert!(state.functions.is_empty() && state.roles.is_empty());
    station.run("queue", &["status"]).await.fails(4);
    let again = station.run("deploy", &delete).await.ok();
    assert_eq!(again, "stack\tpump-stack\tunchanged\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_line_nobody_took_is_not_deleted() {
    let station = station().await;
    station.run("deploy", &DEPLOY).await.ok();
    station.run("queue", &["pause"]).await.ok();
    // More than a pipe holds.
    let large: String = (0..6)
        .map(|n| format!("{{\"n\":{n},\"x\":\"{}\"}}\n", "x".repeat(60_000)))
        .collect();
    let mut publisher = station
        .folder
        .command("pub", &["pump", "--stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    publisher
        .stdin
        .take()
        .expect("piped")
        .write_all(large.as_bytes())
        .expect("written");
    tokio::task::block_in_place(|| station.folder.finish(publisher)).ok();
    until(&station, |told| told["waiting"] == 6).await;

    let mut drain = station
        .folder
        .command("queue", &["drain"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut reader = BufReader::new(drain.stdout.take().expect("piped"));
    let mut first = String::new();
    tokio::task::block_in_place(|| reader.read_line(&mut first)).expect("a line");
    assert!(first.contains("messageId"), "{first}");
    drop(reader);
    let ended = tokio::task::block_in_place(|| drain.wait()).expect("it ends");
    assert!(!ended.success(), "{ended}");
    let left = until(&station, |told| told["inFlight"] == 0).await;
    let left = left["waiting"].as_u64().expect("a number");
    assert!(
        (3..=5).contains(&left),
        "{left}: a pipe holds one of them more, and no three"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_made_is_neither_changed_nor_deleted() {
    let station = station().await;
    station.run("deploy", &DEPLOY).await.ok();
    let other = [DEPLOY[0], "--stack", "other", "--parameter", "BatchSize=5"];
    let refused = station.run("deploy", &other).await.fails(5);
    assert!(refused.contains("was not made by this stack"), "{refused}");
    let delete = [DEPLOY[0], "--stack", "other", "--delete", "--yes"];
    let kept = station.run("deploy", &delete).await;
    assert!(kept.stderr.contains("pumpQueue"), "{kept:?}");
    assert_eq!(kept.ok(), "stack\tother\tunchanged\n");
    let still = station.run("deploy", &DEPLOY).await.ok();
    assert!(
        still.starts_with("stack\tpump-stack\tunchanged\n"),
        "{still}"
    );

    let wrong = [&DEPLOY[..], &["--parameter", "BatchSize=11"]].concat();
    let refused = station.run("deploy", &wrong).await.fails(3);
    assert!(
        refused.contains("BatchSize") && refused.contains("from 1 to 10"),
        "{refused}"
    );
    let wrong = [&DEPLOY[..], &["--parameter", "Bach=1"]].concat();
    let refused = station.run("deploy", &wrong).await.fails(3);
    assert!(refused.contains("no parameter Bach"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_answer_is_lost_a_second_run_finishes_it() {
    let station = station().await;
    let faults = station.core.faults();
    faults.order(Fault::next("*", FaultKind::Delay).times(1_000));
    station.run("deploy", &DEPLOY).await.ok();
    let calls = 1_000 - faults.waiting()[0].count;
    faults.clear();
    assert!(calls >= 30, "{calls} calls");
    for step in (0..calls).step_by(13) {
        // SQS takes the name of a deleted queue only after a minute.
        let (topic, stack) = (format!("pump{step}"), format!("pump{step}-stack"));
        let deploy = [DEPLOY[0], "--topic", &topic, "--stack", &stack];
        faults.order(Fault::next("*", FaultKind::CutAfter).after(step).times(100));
        let failed = station.run("deploy", &deploy).await;
        faults.clear();
        assert_ne!(failed.code, 0, "step {step}: {failed:?}");
        station.run("deploy", &deploy).await.ok();
        let again = station.run("deploy", &deploy).await.ok();
        let unchanged = again.starts_with(&format!("stack\t{stack}\tunchanged\n"));
        assert!(unchanged, "step {step}: {again}");
    }
}

/// A CloudWatch that allows nothing, until it is dropped; its URL.
fn forbidden() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let text = |text: &str| [&[0x78, text.len() as u8], text.as_bytes()].concat();
    let body = [
        vec![0xa2],
        text("__type"),
        text("com.amazonaws.cloudwatch#AccessDenied"),
        text("message"),
        text("you are not authorized to perform: cloudwatch:GetMetricData"),
    ]
    .concat();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.expect("a connection");
            let mut asked = [0; 4096];
            let _ = std::io::Read::read(&mut socket, &mut asked);
            let head = format!(
                "HTTP/1.1 403 Forbidden\r\ncontent-type: application/cbor\r\nsmithy-protocol: rpc-v2-cbor\r\n\
                 connection: close\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            let _ = socket.write_all(&[head.as_bytes(), &body].concat());
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn without_permission_to_ask_cloudwatch_the_rest_of_the_status_is_told() {
    let mut station = station().await;
    station.run("deploy", &DEPLOY).await.ok();
    station
        .folder
        .set("AWS_ENDPOINT_URL_CLOUDWATCH", forbidden());
    let told = station.run("queue", &["status"]).await;
    assert_eq!(told.code, 0, "{told:?}");
    assert_eq!(told.stdout, "pumpQueue\t0\t0\t0\t0\tEnabled\t-\n");
    for expected in ["age of the oldest message", "cloudwatch:GetMetricData"] {
        assert!(told.stderr.contains(expected), "{told:?}");
    }
    let quiet = station
        .run("queue", &["status", "--quiet", "--output", "json"])
        .await;
    assert_eq!(quiet.json()[0].get("ageOfOldestMessage"), None);
    station.folder.set("AWS_ENDPOINT_URL_CLOUDWATCH", "nowhere");
    let refused = station.run("queue", &["status"]).await;
    assert_eq!(refused.code, 3, "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_is_made_of_the_same_template_as_the_stack() {
    let station = station().await;
    let template = ["--stack-template", DEPLOY[0]];
    let environment = async |verb: &str, more: &[&str]| {
        let arguments = [&[verb, "pump-stack"], &template[..], more].concat();
        station.run("environment", &arguments).await
    };
    let planned = environment("plan", &[]).await;
    assert_eq!(planned.code, 9, "{planned:?}");
    assert!(
        planned
            .stdout
            .contains("AWS::SQS::Queue\tpumpQueue\tto-create\n"),
        "{planned:?}"
    );
    assert!(station.core.account().snapshot().functions.is_empty());
    let made = environment("apply", &[]).await.ok();
    assert!(
        made.contains("AWS::SQS::Queue\tpumpQueue\tcreated\n"),
        "{made}"
    );
    assert!(made.contains("output\tQueueName\tpumpQueue\n"), "{made}");
    // `deploy` finds all of it there, and made by itself.
    let deployed = station.run("deploy", &DEPLOY).await.ok();
    assert!(
        deployed.starts_with("stack\tpump-stack\tunchanged\n"),
        "{deployed}"
    );
    let again = environment("plan", &[]).await.ok();
    assert!(!again.contains("to-"), "{again}");
    let changed = environment("plan", &["--parameter", "BatchSize=3"]).await;
    assert_eq!(changed.code, 9, "{changed:?}");
    assert_eq!(
        changed.stdout.matches("to-update").count(),
        1,
        "{changed:?}"
    );

    let other = station
        .run(
            "environment",
            &["destroy", "other", template[0], template[1], "--yes"],
        )
        .await
        .ok();
    assert!(
        other.contains("AWS::SQS::Queue\tpumpQueue\tstays\t"),
        "{other}"
    );
    let steps = environment("destroy", &["--dry-run"]).await.ok();
    assert_eq!(steps.matches("\tplanned\n").count(), 8, "{steps}");
    let gone = environment("destroy", &["--yes"]).await.ok();
    assert!(
        gone.ends_with("environment\tpump-stack\tdestroyed\n"),
        "{gone}"
    );
    assert!(station.core.account().snapshot().functions.is_empty());
    for (arguments, code) in [
        (
            &["apply", "fleet", "--no-hook", "--parameter", "A=1"][..],
            2,
        ),
        (
            &["apply", "pump-stack", template[0], template[1], "--no-hook"],
            2,
        ),
        (&["apply", "pump_stack", template[0], template[1]], 2),
        (
            &[
                "apply",
                "pump-stack",
                template[0],
                template[1],
                "--parameter",
                "A=1",
            ],
            3,
        ),
        (&["apply", "pump-stack", template[0], "none.yaml"], 3),
    ] {
        let refused = station.run("environment", arguments).await;
        assert_eq!(
            (refused.code, refused.stdout.as_str()),
            (code, ""),
            "{refused:?}"
        );
    }
}
