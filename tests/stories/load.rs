//! The load test: a fleet in one process against a core, what it counts, and what it says when something goes wrong.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::fleet::fleet;
use crate::local_core::{point_at, serve, signal};
use crate::pipeline::consumer;
use crate::support::{Ended, Folder, Station, program};

/// A station with the policy of load-test devices, and a registered CA `root` whose template names it.
async fn station() -> Station {
    let station = Station::start().await;
    prepare(&station.folder, "root");
    station
}

/// Policy, CA and its registration, from the files that are deployed.
fn prepare(folder: &Folder, ca: &str) {
    let etc = Path::new(env!("CARGO_MANIFEST_DIR")).join("etc");
    let policy = etc.join("cloudformation/loadtest.yaml");
    let policy = policy.to_str().expect("a path");
    let deployed = folder.run("deploy", &[policy, "--stack", "loadtest-policy"]);
    deployed.ok();
    folder.run("create-root", &[ca]).ok();
    let template = etc.join("templates/loadtest.json");
    let template = template.to_str().expect("a path");
    folder.run("register", &[ca, "--template", template]).ok();
}

async fn loadtest(station: &Station, arguments: &[&str]) -> Ended {
    station.run("loadtest", arguments).await
}

/// A load test that has begun to publish.
fn publishing(folder: &Folder, arguments: &[&str]) -> Child {
    let mut child = folder
        .command("loadtest", arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the load test starts");
    let mut said = BufReader::new(child.stderr.take().expect("piped")).lines();
    let publishes = said.any(|line| line.is_ok_and(|line| line.contains("publishing")));
    assert!(publishes, "it begins to publish");
    std::thread::spawn(move || said.for_each(drop));
    child
}

/// The answer in JSON, and the result that was written with it.
#[track_caller]
fn outcome(ended: Ended) -> Value {
    let mut lines = ended.json();
    assert_eq!(lines.len(), 1);
    lines.remove(0)
}

#[track_caller]
fn counts(outcome: &Value, expected: &[(&str, u64)]) {
    for (name, value) in expected {
        assert_eq!(outcome["counts"][name], *value, "{name}: {outcome:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_load_test_of_the_seed_runs_counts_and_reports() {
    let station = station().await;
    // The spelling of the shell toolkit issues the certificates and runs.
    let arguments = [
        "-setup",
        "-loadtest",
        "-subscribers",
        "3",
        "-producers",
        "10",
    ];
    let more = ["--duration", "4s", "--out", "first", "--output", "json"];
    let first = outcome(loadtest(&station, &[&arguments[..], &more].concat()).await);
    let expected = [
        ("published", 40),
        ("delivered", 120),
        ("forwarded", 120),
        ("duplicated", 0),
        ("misrouted", 0),
        ("reordered", 0),
        ("failedDevices", 0),
        ("disconnects", 0),
        // Each device is new: closed once, then served. That is no failure.
        ("provisioningCloses", 13),
        ("failedAttempts", 0),
        ("connects", 13),
    ];
    counts(&first, &expected);
    assert_eq!(first["lost"], 0);
    assert_eq!(first["expected"]["rates"]["forwarded"], 30.0);
    assert_eq!(first["endings"], serde_json::json!({}));
    for name in ["result.json", "latencies.hlog", "report.html"] {
        assert!(station.folder.path("first").join(name).is_file(), "{name}");
    }

    // At QoS 1, known by now, as a gate.
    let arguments = [
        "run",
        "--publishers",
        "10",
        "--subscribers",
        "3",
        "--qos",
        "1",
        "--duration",
        "2s",
        "--out",
        "second",
        "--assert",
        "lost==0",
        "--assert",
        "published>=99%",
    ];
    let text = loadtest(&station, &arguments).await.ok();
    let rows: HashMap<_, _> = text
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .collect();
    assert_eq!(rows["acknowledged"], "20");
    assert_eq!(rows["forwardedAcknowledged"], "60");
    assert_eq!(rows["provisioningCloses"], "0");
    assert!(rows.contains_key("acknowledge.p99") && rows.contains_key("delivery.p99"));

    let arguments = [
        "run",
        "--publishers",
        "2",
        "--subscribers",
        "1",
        "--duration",
        "1s",
        "--out",
        "third",
        "--assert",
        "delivery.p99<1us",
    ];
    let broken = loadtest(&station, &arguments).await;
    assert_eq!(broken.code, 9, "{broken:?}");
    assert!(
        broken
            .stderr
            .contains("1 of 1 assertions did not hold: delivery.p99<1us, found")
    );
    // What was found is there all the same.
    assert!(broken.stdout.contains("delivered\t2"));
    // Results are never overwritten.
    let again = loadtest(&station, &arguments).await.fails(5);
    assert!(again.contains("third has something in it already"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_new_devices_is_closed_provisioned_and_served() {
    let station = station().await;
    let arguments = [
        "run",
        "jitp-storm",
        "--publishers",
        "40",
        "--connect-rate",
        "100",
        "--out",
        "storm",
        "--output",
        "json",
    ];
    let storm = outcome(loadtest(&station, &arguments).await);
    let expected = [
        ("provisioningCloses", 40),
        ("connects", 40),
        ("attempts", 80),
        ("failedAttempts", 0),
        ("failedDevices", 0),
    ];
    counts(&storm, &expected);
    assert_eq!(storm["latencies"]["connect"]["count"], 40);
    assert_eq!(storm["latencies"]["provisioningClose"]["count"], 40);
    // Their keys are nowhere.
    assert!(
        !station
            .folder
            .files()
            .iter()
            .any(|name| name.starts_with("pub"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_the_fleet_loses_its_connections_and_nothing_is_lost_at_qos_1() {
    let station = station().await;
    let flags = [
        "reconnect-storm",
        "--publishers",
        "20",
        "--subscribers",
        "1",
    ];
    loadtest(&station, &[&["setup"], &flags[..]].concat())
        .await
        .ok();
    std::fs::write(
        station.folder.path("storm.toml"),
        "publishers = 20\nduration = \"5s\"\n[publish]\nrate = 2.0\nqos = 1\n[storm]\nat = \"2s\"\nshare = 0.5\nspread = \"500ms\"\n",
    )
    .expect("written");
    let arguments = ["run", "storm.toml", "--out", "storm", "--output", "json"];
    let storm = outcome(loadtest(&station, &arguments).await);
    counts(
        &storm,
        &[("published", 200), ("disconnects", 10), ("connects", 30)],
    );
    assert_eq!(storm["endings"]["dropped by the scenario"], 10);
    assert_eq!(storm["latencies"]["reconnect"]["count"], 10);
    assert_eq!(storm["counts"]["acknowledged"], 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_fleet_keeps_itself_alive() {
    let station = station().await;
    let flags = [
        "idle",
        "--publishers",
        "5",
        // A broker of MQTT 5 asks for 30 s where AWS takes no less.
        "--mqtt-version",
        "3.1.1",
        "--keep-alive",
        "2s",
        "--duration",
        "5s",
    ];
    let arguments = ["--setup", "--out", "idle", "--output", "json"];
    let idle = outcome(loadtest(&station, &[&["run"], &flags[..], &arguments].concat()).await);
    counts(&idle, &[("published", 0), ("disconnects", 0)]);
    assert!(
        idle["latencies"]["ping"]["count"].as_u64() >= Some(10),
        "{idle:#}"
    );
}

/// A broker that stops for two seconds in twenty: a twentieth of the messages waits up to two seconds, so that the 99th
/// percentile is 1.8 s. A tool that waits for the broker before it sends the next one sees milliseconds.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_stops_for_two_seconds_is_seen_in_the_percentiles() {
    let mut folder = Folder::new();
    let (core, port) = serve(&folder, &[]);
    point_at(&mut folder, &port);
    prepare(&folder, "root");
    let flags = ["--publishers", "100", "--subscribers", "0", "--qos", "1"];
    folder
        .run("loadtest", &[&["setup"], &flags[..]].concat())
        .ok();
    // Everybody is known before the run that is measured.
    let first = ["--duration", "1s", "--out", "first"];
    folder
        .run("loadtest", &[&["run"], &flags[..], &first].concat())
        .ok();
    let run = [
        "--rate",
        "10",
        "--duration",
        "20s",
        "--out",
        "frozen",
        "--output",
        "json",
    ];
    let child = publishing(&folder, &[&["run"], &flags[..], &run].concat());
    std::thread::sleep(Duration::from_secs(8));
    signal(&core.0, "STOP");
    std::thread::sleep(Duration::from_secs(2));
    signal(&core.0, "CONT");
    let frozen = outcome(folder.finish(child));
    counts(
        &frozen,
        &[
            ("published", 20_000),
            ("acknowledged", 20_000),
            ("disconnects", 0),
        ],
    );
    let p99 = frozen["latencies"]["acknowledge"]["p99"]
        .as_f64()
        .expect("a number");
    assert!(
        (1_620.0..=1_980.0).contains(&p99),
        "p99 {p99} ms: {frozen:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_dies_in_the_middle_and_comes_back_is_a_gap_and_no_end() {
    let mut folder = Folder::new();
    let (core, port) = serve(&folder, &["--data", "core"]);
    point_at(&mut folder, &port);
    prepare(&folder, "root");
    let flags = ["--publishers", "5", "--subscribers", "1", "--qos", "1"];
    folder
        .run("loadtest", &[&["setup"], &flags[..]].concat())
        .ok();
    let toml = "duration = \"8s\"\n[publish]\nrate = 2.0\n[connect]\nbackOff = \"200ms\"\nmaxBackOff = \"1s\"\n";
    std::fs::write(folder.path("gap.toml"), toml).expect("written");
    let run = ["run", "gap.toml", "--out", "gap", "--output", "json"];
    let child = publishing(&folder, &[&run[..], &flags].concat());
    let endpoint = folder.variable("AWS_IOT_ENDPOINT");
    let (_, mqtt) = endpoint.rsplit_once(':').expect("a port");
    core.kill();
    let again = ["serve", "--control-port", &port, "--mqtt-port", mqtt];
    let mut again = folder
        .command("iot-local", &[&again[..], &["--data", "core"]].concat())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the core starts again");
    let gap = outcome(folder.finish(child));
    signal(&again, "TERM");
    let _ = again.wait();
    // Everybody was lost and came back; at QoS 1 every message arrived at the broker, some twice.
    counts(
        &gap,
        &[
            ("published", 80),
            ("acknowledged", 80),
            ("disconnects", 6),
            ("failedDevices", 0),
        ],
    );
    assert_eq!(gap["latencies"]["reconnect"]["count"], 6, "{gap:#}");
    assert!(gap["counts"]["connects"].as_u64() >= Some(12), "{gap:#}");
}

/// Under MQTT 3.1.1 a broker has no other way to refuse a subscription than to close the connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_thrown_out_again_and_again_gives_up_and_the_run_goes_on() {
    let station = station().await;
    let toml = "publishers = 2\nsubscribers = 1\nduration = \"2s\"\n[connect]\nversion = \"3.1.1\"\ntimeout = \"3s\"\nbackOff = \"200ms\"\nmaxBackOff = \"1s\"\n[subscribe]\nfilter = \"forbidden/+\"\n";
    std::fs::write(station.folder.path("out.toml"), toml).expect("written");
    let arguments = [
        "run", "out.toml", "--setup", "--out", "out", "--output", "json",
    ];
    let out = outcome(loadtest(&station, &arguments).await);
    counts(&out, &[("published", 4), ("failedDevices", 1)]);
    let disconnects = out["counts"]["disconnects"].as_u64().expect("a number");
    // With a pause in between, which grows.
    assert!((2..=15).contains(&disconnects), "{out:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_a_fleet_are_merged_to_what_one_would_have_found() {
    let station = station().await;
    let flags = ["--publishers", "8", "--subscribers", "4"];
    loadtest(&station, &[&["setup"], &flags[..]].concat())
        .await
        .ok();
    let start = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970")
        .as_secs()
        + 8;
    let start = start.to_string();
    let children: Vec<_> = (0..4)
        .map(|part| {
            let (shard, out) = (format!("{part}/4"), format!("part-{part}"));
            let run = [
                "--duration",
                "3s",
                "--shard",
                &shard,
                "--run",
                "one",
                "--start-at",
                &start,
                "--out",
                &out,
            ];
            let child = [&["run"], &flags[..], &run].concat();
            station.folder.start("loadtest", &child)
        })
        .collect();
    for child in children {
        tokio::task::block_in_place(|| station.folder.finish(child)).ok();
    }
    let arguments = [
        "merge", "part-0", "part-1", "part-2", "part-3", "--out", "whole", "--output", "json",
        "--assert", "lost==0",
    ];
    let whole = outcome(loadtest(&station, &arguments).await);
    counts(
        &whole,
        &[("published", 24), ("delivered", 96), ("forwarded", 96)],
    );
    assert_eq!(whole["latencies"]["delivery"]["count"], 96);
    assert_eq!(whole["devices"], 12);
    let missing = loadtest(&station, &["merge", "part-0", "part-2", "--out", "half"]).await;
    assert!(missing.fails(3).contains('1'), "it names what is missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_disabled_in_the_middle_and_an_interruption_are_reported() {
    let station = station().await;
    let flags = ["--publishers", "3", "--subscribers", "1"];
    loadtest(&station, &[&["setup"], &flags[..]].concat())
        .await
        .ok();
    let run = ["--duration", "60s", "--out", "long", "--output", "json"];
    let child = publishing(&station.folder, &[&["run"], &flags[..], &run].concat());
    station.run("disable-certificate", &["pub1"]).await.ok();
    std::thread::sleep(Duration::from_secs(2));
    signal(&child, "INT");
    let ended = tokio::task::block_in_place(|| station.folder.finish(child));
    assert_eq!(ended.code, 130, "{ended:?}");
    let long: Value = serde_json::from_str(&ended.stdout).expect("the report all the same");
    assert_eq!(long["counts"]["disconnects"], 1, "{long:#}");
    assert!(
        long["counts"]["failedAttempts"].as_u64() >= Some(1),
        "{long:#}"
    );
    assert_eq!(long["endedEarly"], "it was interrupted");
    assert!(long["counts"]["published"].as_u64() > Some(3));
    assert!(station.folder.path("long").join("report.html").is_file());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interruption_before_measuring_waits_for_what_is_on_its_way() {
    let station = station().await;
    let flags = ["--publishers", "4", "--subscribers", "2", "--rate", "50"];
    loadtest(&station, &[&["setup"], &flags[..4]].concat())
        .await
        .ok();
    let run = [
        "--qos",
        "1",
        "--warm-up",
        "60s",
        "--out",
        "warm",
        "--output",
        "json",
    ];
    let child = publishing(&station.folder, &[&["run"], &flags[..], &run].concat());
    std::thread::sleep(Duration::from_secs(1));
    signal(&child, "INT");
    let ended = tokio::task::block_in_place(|| station.folder.finish(child));
    assert_eq!(ended.code, 130, "{ended:?}");
    let warm: Value = serde_json::from_str(&ended.stdout).expect("the report all the same");
    assert_eq!(warm["measuredSeconds"], 0.0);
    assert_eq!(warm["lost"], 0, "{warm:#}");
    let published = warm["counts"]["published"].as_u64().expect("a count");
    assert!(published > 0);
    counts(
        &warm,
        &[
            ("due", published),
            ("acknowledged", published),
            ("delivered", 2 * published),
            ("forwardedAcknowledged", 2 * published),
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_goes_to_one_subscriber_of_a_group() {
    let station = station().await;
    let flags = ["--publishers", "3", "--subscribers", "4"];
    loadtest(&station, &[&["setup"], &flags[..]].concat())
        .await
        .ok();
    let run = [
        "run",
        "--filter",
        "$share/consumers/loadtest/+",
        "--duration",
        "2s",
        "--rate",
        "10",
        "--qos",
        "1",
        "--output",
        "json",
        "--out",
        "shared",
    ];
    let shared = outcome(loadtest(&station, &[&run[..], &flags[..]].concat()).await);
    assert_eq!(shared["lost"], 0, "{shared:#}");
    counts(
        &shared,
        &[
            ("published", 60),
            ("delivered", 60),
            ("duplicated", 0),
            ("misrouted", 0),
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_run_is_refused_before_anything_starts() {
    let station = station().await;
    let refused = [
        (
            &["run", "--publishers", "3"][..],
            3,
            "4 of the devices have no certificate in .; the first is pub0",
        ),
        (
            &["run", "--filter", "loadtest/#"],
            3,
            "every message would come back and be forwarded for ever",
        ),
        (
            &["run", "--publishers", "0", "--subscribers", "0"],
            3,
            "there is no device",
        ),
        (
            &["run", "--publishers", "4000000000"],
            3,
            "more than 10000000 devices",
        ),
        (
            &["run", "--publishers", "9000000"],
            3,
            "9000001 devices need",
        ),
        (&["run", "--publishers=-1"], 2, "--publishers <N>"),
        (&["run", "--rate", "nan"], 3, "publish.rate"),
        (&["run", "--duration", "soon"], 2, "write 90s or 5m"),
        (&["run", "nothing"], 3, "there is no scenario nothing"),
        (&["run", "missing.toml"], 3, "missing.toml"),
        (&["run", "--assert", "p99<"], 2, "--assert"),
        (&["run", "--shard", "4/4"], 2, "counted from 0 to 3"),
        (&["run", "--shard", "0/4"], 2, "the same --run"),
        (&["run", "--shard", "auto"], 2, "does not say which part"),
        (&["run", "--source", "localhost"], 2, "is no IP address"),
        (
            // Of documentation (RFC 5737): no machine has it.
            &["run", "--source", "127.0.0.1,192.0.2.7"],
            3,
            "cannot connect from 192.0.2.7: ",
        ),
        (
            &["run", "--duration", "0", "--assert", "lost==0"],
            3,
            "duration: 0s: nothing would be published",
        ),
        (
            &["run", "reconnect-storm", "--duration", "20s"],
            3,
            "storm.at: it would never come",
        ),
        (&["run", "--size", "131073"], 3, "publish.size"),
        (&["run", "--rate", "1e9"], 3, "publish.rate"),
        (&["run", "--connect-rate=-1"], 3, "connect.rate"),
        (&["run", "claim-storm"], 2, "--template says by which"),
        (&["run", "--endpoint", "localhost:x"], 3, "localhost:x"),
        (
            &["setup", "jitp-storm"],
            3,
            "takes no certificates from files",
        ),
        (&["merge", "nowhere"], 3, "nowhere"),
    ];
    for (arguments, code, words) in refused {
        let said = loadtest(&station, arguments).await.fails(code);
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    // Nothing was made on the way.
    assert_eq!(station.folder.files(), ["root.ca.key", "root.ca.pem"]);

    let nobody = [
        "run",
        "--setup",
        "--endpoint",
        "127.0.0.1:1",
        "--out",
        "nobody",
    ];
    let toml =
        "publishers = 2\nduration = \"1s\"\n[connect]\ntimeout = \"2s\"\nbackOff = \"500ms\"\n";
    std::fs::write(station.folder.path("short.toml"), toml).expect("written");
    let ended = loadtest(&station, &[&nobody[..], &["short.toml"]].concat()).await;
    assert_eq!(ended.code, 8, "{ended:?}");
    assert!(
        ended
            .stderr
            .contains("none of 2 devices got in: gave up: cannot reach the endpoint")
    );
}

/// The program in a folder of its own, as somebody copies it who does not know that there are two.
fn alone(station: &Station) -> (tempfile::TempDir, impl Fn(&[&str], bool) -> Ended) {
    // Below target/, where a link to the program can be: a copy might still be open for writing where it is started.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let path = folder.path().join("loadtest");
    std::fs::hard_link(program("loadtest"), &path).expect("linked");
    let (dir, core) = (station.folder.path(""), station.core.environment());
    let run = move |arguments: &[&str], endpoint: bool| {
        let mut command = Command::new(&path);
        command
            .args(arguments)
            .current_dir(&dir)
            .env_clear()
            .envs(core.clone());
        if !endpoint {
            command.env_remove("AWS_IOT_ENDPOINT");
        }
        Ended::of(command.output().expect("it starts"))
    };
    (folder, run)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_more_than_certificates_in_files_is_handed_over_before_anything_is_made() {
    let station = station().await;
    let (_folder, alone) = alone(&station);
    let before = station.folder.files();
    let few = ["--publishers", "2", "--duration", "1s"];
    for (arguments, endpoint, what) in [
        (&["setup"][..], true, "issuing certificates takes"),
        (&["run", "--setup"], true, "issuing certificates takes"),
        (&["run", "jitp-storm"], true, "issuing certificates takes"),
        (&["run", "claim-storm"], true, "identities by claim takes"),
        (&["run", "pipeline"], true, "the scenario's queue takes"),
        (&["run"], false, "asking AWS for the endpoint takes"),
        // What it would ask is not asked either.
        (
            &["run", "--setup", "--endpoint", "broker.example.com"],
            false,
            "issuing certificates takes",
        ),
    ] {
        let said = alone(arguments, endpoint).fails(3);
        assert!(said.contains(what), "{arguments:?}: {said}");
        let remedies = ["loadtest-full", "\nhint: put it there, beside this program"];
        assert!(remedies.iter().all(|words| said.contains(words)), "{said}");
        // The way out that only one of them has.
        let asked = what.starts_with("asking");
        assert_eq!(said.contains("AWS_IOT_ENDPOINT"), asked, "{said}");
    }
    assert_eq!(station.folder.files(), before);

    // Where it is beside the program, it is one program: also by the name it gives itself.
    let said = loadtest(&station, &["run", "claim-storm"]).await.fails(2);
    assert!(
        said.starts_with("loadtest: devices get an identity"),
        "{said}"
    );
    loadtest(&station, &[&["setup"][..], &few[..2]].concat())
        .await
        .ok();
    // And without it, a fleet with certificates has all it takes.
    let flags = ["--out", "alone", "--assert", "lost==0", "--output", "json"];
    let found = outcome(alone(&[&["run"], &few[..], &flags].concat(), true));
    counts(
        &found,
        &[("connects", 3), ("published", 2), ("delivered", 2)],
    );
}

#[test]
fn the_program_that_runs_a_fleet_is_linked_with_nothing_that_it_does_not_take() {
    let contains = |program: &Path, words: &str| {
        let bytes = std::fs::read(program).expect("readable");
        let words = words.as_bytes();
        bytes.windows(words.len()).any(|window| window == words)
    };
    // OpenSSL, and what a call of AWS KMS says it is.
    for words in ["libcrypto.so", "TrentService.Sign"] {
        assert!(contains(program("loadtest-full"), words), "{words}");
        assert!(!contains(program("loadtest"), words), "{words}");
    }
}

#[test]
fn both_programs_explain_themselves_alike() {
    let folder = Folder::new();
    for command in [&[][..], &["setup"], &["run"], &["plan"], &["merge"]] {
        let arguments = [command, &["--help"]].concat();
        let full = folder.run("loadtest-full", &arguments).ok();
        let full = full.replace("loadtest-full", "loadtest");
        assert_eq!(folder.run("loadtest", &arguments).ok(), full);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_claims_gives_every_device_an_identity() {
    let station = fleet().await;
    let flags = ["claim-storm", "--publishers", "8", "--template", "fleet"];
    let arguments = [
        "--parameter",
        "License={index}",
        "--out",
        "claims",
        "--output",
        "json",
    ];
    let claims = outcome(loadtest(&station, &[&["run"], &flags[..], &arguments].concat()).await);
    let expected = [("claimed", 8), ("connects", 8), ("failedDevices", 0)];
    counts(&claims, &expected);
    assert_eq!(claims["latencies"]["claim"]["count"], 8);
    let things = station.core.account().snapshot().things.len();
    assert_eq!(things, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_through_the_rule_into_the_queue_is_counted_there() {
    let station = station().await;
    let etc = Path::new(env!("CARGO_MANIFEST_DIR")).join("etc/cloudformation");
    std::fs::create_dir_all(station.folder.path("stack/etc/cloudformation")).expect("a folder");
    std::fs::create_dir_all(station.folder.path("stack/target/lambda")).expect("a folder");
    let template = station.folder.path("stack/etc/cloudformation/sqs.yaml");
    std::fs::copy(etc.join("sqs.yaml"), template).expect("copied");
    let package = station.folder.path("stack/target/lambda/process-queue.zip");
    std::fs::write(package, consumer()).expect("written");
    let deploy = ["stack/etc/cloudformation/sqs.yaml", "--stack", "pipeline"];
    station.run("deploy", &deploy).await.ok();
    // The load test is the consumer.
    station.run("queue", &["pause"]).await.ok();
    let flags = ["pipeline", "--publishers", "5", "--subscribers", "2"];
    let arguments = [
        "--setup",
        "--duration",
        "3s",
        "--out",
        "pipeline",
        "--output",
        "json",
    ];
    let found = outcome(loadtest(&station, &[&["run"], &flags[..], &arguments].concat()).await);
    let expected = [("published", 15), ("forwarded", 30), ("queued", 30)];
    counts(&found, &expected);
    assert_eq!(found["queueLost"], 0);
    assert_eq!(found["latencies"]["queue"]["count"], 30);
    let missing = ["run", "pipeline", "--setup", "--out", "none"];
    station
        .run(
            "deploy",
            &[
                "stack/etc/cloudformation/sqs.yaml",
                "--stack",
                "pipeline",
                "--delete",
                "--yes",
            ],
        )
        .await
        .ok();
    let said = loadtest(&station, &missing).await.fails(4);
    assert!(said.contains("loadtestQueue"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_names_the_quota_that_is_exceeded_and_a_shape_that_fits() {
    let folder = Folder::new();
    let headline = folder.run(
        "loadtest",
        &["plan", "--publishers", "487", "--subscribers", "20"],
    );
    assert_eq!(headline.code, 9);
    assert!(
        headline
            .stdout
            .contains("messages a second to a subscriber\t487\t100\texceeds")
    );
    assert!(
        headline
            .stderr
            .contains("--publishers 100 --subscribers 20")
    );
    let fits = folder.run(
        "loadtest",
        &["plan", "--publishers", "10", "--subscribers", "3"],
    );
    assert!(fits.ok().contains("AWS charges for\t"));
    // A broker elsewhere is not loaded without being asked for.
    let elsewhere = [
        "run",
        "--endpoint",
        "broker.example.com",
        "--publishers",
        "1",
    ];
    let said = folder.run("loadtest", &elsewhere).fails(2);
    assert!(said.contains("--yes"), "{said}");
    let aws = [
        "run",
        "--endpoint",
        "a1b2c3-ats.iot.eu-central-1.amazonaws.com",
        "--publishers",
        "487",
        "--subscribers",
        "20",
        "--yes",
    ];
    let said = folder.run("loadtest", &aws).fails(3);
    assert!(said.contains("exceeds a quota of AWS"), "{said}");
    let names = folder.run("loadtest", &["scenarios"]).ok();
    assert_eq!(names.lines().count(), 7);
    let toml = folder.run("loadtest", &["scenarios", "seed"]).ok();
    assert!(toml.contains("forward = \"loadtest\""));
}
