//! An answer that nobody can read: stdout is a full disk, or a pipe whose reader has gone. Every program says so by message
//! and exit code, and what it did does not go unsaid; a reader that has seen enough of a listing is no failure.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use jitp_local::server::Options;

use crate::support::{Ended, Folder, PROGRAMS, Station};
use crate::templates::{create_fleet, with_what_a_fleet_needs};

/// Where the answer goes.
#[derive(Clone, Copy, Debug)]
enum Stdout {
    /// A disk without room.
    Full,
    /// A pipe whose reader has gone.
    Closed,
}

use Stdout::{Closed, Full};

impl Stdout {
    fn stdio(self) -> Stdio {
        match self {
            Full => {
                let device = OpenOptions::new().write(true).open("/dev/full");
                device.expect("Linux has it").into()
            }
            Closed => {
                let (reader, writer) = std::io::pipe().expect("a pipe");
                drop(reader);
                writer.into()
            }
        }
    }

    /// What the operating system says of it.
    fn fault(self) -> &'static str {
        match self {
            Full => "No space left on device",
            Closed => "Broken pipe",
        }
    }
}

fn run(folder: &Folder, name: &str, arguments: &[&str], stdout: Stdout) -> Ended {
    let mut command = folder.command(name, arguments);
    finish(folder, command.stdout(stdout.stdio()))
}

fn finish(folder: &Folder, command: &mut Command) -> Ended {
    let child = command.stderr(Stdio::piped()).spawn();
    let child = child.expect("the program starts");
    tokio::task::block_in_place(|| folder.finish(child))
}

/// A program that did something ends with this code and says each of these, in text and in JSON.
#[track_caller]
fn says(ended: &Ended, code: i32, stdout: Stdout, told: &[&str]) {
    assert_eq!(ended.code, code, "{ended:#?}");
    let stderr = &ended.stderr;
    for expected in ["cannot write the answer to stdout", stdout.fault()] {
        assert!(stderr.contains(expected), "{stderr}");
    }
    for expected in told {
        assert!(stderr.contains(expected), "{expected}: {stderr}");
    }
    assert!(!stderr.contains("panicked"), "{stderr}");
}

/// A program that only reads: a full disk is a failure, a reader that has gone is none.
#[track_caller]
fn reads(folder: &Folder, name: &str, arguments: &[&str], code: i32) {
    says(&run(folder, name, arguments, Full), 1, Full, &[]);
    let ended = run(folder, name, arguments, Closed);
    assert_eq!(ended.code, code, "{name} {arguments:?}: {ended:#?}");
    let silent = !ended.stderr.contains("stdout") && !ended.stderr.contains("panicked");
    assert!(silent, "{name} {arguments:?}: {ended:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn help_and_versions() {
    let folder = Folder::new();
    for program in PROGRAMS {
        reads(&folder, program, &["--help"], 0);
        reads(&folder, program, &["--version"], 0);
    }
    // Nobody can be told at all: the exit code says it.
    for program in PROGRAMS {
        for arguments in [&["--no-such-flag"][..], &["--no-such-flag", "-vv"]] {
            let mut command = folder.command(program, arguments);
            let child = command.stdout(Full.stdio()).stderr(Full.stdio()).spawn();
            let ended = folder.finish(child.expect("the program starts"));
            assert_eq!(ended.code, 2, "{program}: {ended:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_device_takes() {
    for stdout in [Full, Closed] {
        let station = Station::start().await;
        let folder = &station.folder;
        let made = run(folder, "create-root", &[], stdout);
        says(&made, 1, stdout, &["root.ca.key", "root.ca.pem"]);
        assert_eq!(folder.files(), ["root.ca.key", "root.ca.pem"]);
        let registered = run(folder, "register", &[], stdout);
        says(&registered, 1, stdout, &["registered", ":cacert/"]);
        let again = station.run("register", &["--drift"]).await.ok();
        assert_eq!(again, "", "it is registered");
        let issued = run(folder, "provision", &["sensor", "--connect"], stdout);
        says(&issued, 1, stdout, &["issued", "sensor.key", "sensor.crt"]);
        let again = station.run("provision", &["sensor"]).await.ok();
        assert!(again.contains("unchanged"), "{again}");
        let published = run(folder, "pub", &["sensor", "hello"], stdout);
        says(&published, 1, stdout, &["not written: sensor\t1"]);

        let mut listener = folder.command("sub", &["sensor", "--count", "2", "--timeout", "60"]);
        let listener = listener.stdout(stdout.stdio()).stderr(Stdio::piped());
        let mut listener = listener.spawn().expect("the program starts");
        let mut stderr = BufReader::new(listener.stderr.take().expect("a pipe"));
        let mut said = String::new();
        while !said.contains("listening on") {
            assert!(stderr.read_line(&mut said).expect("text") > 0, "{said}");
        }
        let publisher = ["viewer", "--connect"];
        station.run("provision", &publisher).await.ok();
        station.run("pub", &["viewer", "hello"]).await.ok();
        let ended = tokio::task::block_in_place(|| listener.wait()).expect("an end");
        while stderr.read_line(&mut said).expect("text") > 0 {}
        match stdout {
            Full => says(
                &Ended {
                    code: ended.code().unwrap_or(-1),
                    stdout: String::new(),
                    stderr: said,
                },
                1,
                Full,
                &["not written: viewer\thello"],
            ),
            Closed => assert_eq!(ended.code(), Some(0), "{said}"),
        }

        reads(folder, "needs-renewal", &["sensor"], 9);
        reads(folder, "needs-renewal", &["sensor", "--within", "999d"], 0);
        reads(folder, "ca", &["list"], 0);
        reads(folder, "ca", &["show", "root"], 0);
        reads(folder, "device-status", &["sensor"], 0);
        let expect = ["sensor", "viewer", "--expect", "INACTIVE"];
        reads(folder, "device-status", &expect, 9);
        reads(folder, "thing-certificates", &[], 0);
        let disabled = run(folder, "ca", &["disable", "root"], stdout);
        says(&disabled, 1, stdout, &["not written: root\t"]);
        reads(folder, "register", &["--drift"], 9);
        let deleted = run(folder, "ca", &["delete", "root", "--yes"], stdout);
        says(&deleted, 1, stdout, &["deleted"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_many_things_take() {
    for stdout in [Full, Closed] {
        let station = Station::registered().await;
        let folder = &station.folder;
        let names: Vec<String> = (0..12).map(|index| format!("thing-{index:02}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let more = |more: &[&'static str]| [&names[..], more].concat();
        let two_at_once = more(&["--concurrency", "2"]);

        // What was under way is finished and told, and nothing else is begun.
        let created = run(folder, "create-thing", &two_at_once, stdout);
        let whole: Vec<String> = things(&station);
        assert!((1..=4).contains(&whole.len()), "{whole:?}");
        let told: Vec<&str> = whole.iter().map(String::as_str).collect();
        says(&created, 10, stdout, &told);
        let untried = format!("{} things were not tried", names.len() - whole.len());
        says(&created, 10, stdout, &[&untried]);
        assert!(!created.stderr.contains("perhaps done in part"));
        let state = station.core.account().snapshot();
        assert_eq!(state.certificates.len(), whole.len(), "no half thing");
        station.run("create-thing", &names).await.ok();
        assert_eq!(things(&station).len(), names.len());

        let json = more(&["--output", "json", "--quiet"]);
        let disabled = run(folder, "disable-certificate", &json, stdout);
        says(&disabled, 10, stdout, &["INACTIVE"]);
        let error: serde_json::Value =
            serde_json::from_str(&disabled.stderr).expect("one JSON object");
        assert_eq!(error["error"]["code"], "Unexpected");
        let enabled = run(folder, "enable-certificate", &names[..1], stdout);
        says(&enabled, 1, stdout, &["ACTIVE"]);
        reads(folder, "delete-thing", &more(&["--dry-run"]), 0);
        assert_eq!(things(&station).len(), names.len());
        let deleted = run(folder, "delete-thing", &more(&["--yes"]), stdout);
        let left = things(&station);
        let gone = names
            .iter()
            .filter(|name| !left.iter().any(|one| one == *name));
        says(&deleted, 10, stdout, &gone.copied().collect::<Vec<_>>());
        let again = more(&["--yes", "--if-exists"]);
        station.run("delete-thing", &again).await.ok();
        assert_eq!(things(&station).len(), 0);
        reads(folder, "sweep", &["--older-than", "0s"], 0);
        // Told before anything is removed.
        let sweep = ["--delete", "--yes", "--older-than", "0s"];
        let swept = run(folder, "sweep", &sweep, stdout);
        says(&swept, 1, stdout, &["IoTAccess", "protected"]);
        let state = station.core.account().snapshot();
        assert!(state.policies.contains_key("ThingAccess"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_fleet_takes() {
    for stdout in [Full, Closed] {
        let station = with_what_a_fleet_needs().await;
        let folder = &station.folder;
        create_fleet(&station, &[]).await;
        reads(folder, "template", &["list"], 0);
        reads(folder, "template", &["show", "fleet"], 0);
        let changed = ["update", "fleet", "--description", "another"];
        let changed = run(folder, "template", &changed, stdout);
        says(&changed, 1, stdout, &["updated"]);
        let claimed = run(folder, "create-claim", &["fleet"], stdout);
        says(&claimed, 1, stdout, &["fleet.claim.key", "created"]);
        let asks = ["iot-1", "--template", "fleet", "--parameter", "License=1"];
        let provisioned = run(folder, "fleet-provision", &asks, stdout);
        says(&provisioned, 1, stdout, &["provisioned", "iot-1.key"]);
        let again = station.run("fleet-provision", &asks).await.ok();
        assert!(again.contains("unchanged"), "{again}");
        reads(folder, "teardown", &["fleet", "--dry-run"], 0);
        let torn_down = run(
            folder,
            "teardown",
            &["fleet", "--yes", "--keep-thing-type"],
            stdout,
        );
        assert!(matches!(torn_down.code, 1 | 10), "{torn_down:?}");
        says(&torn_down, torn_down.code, stdout, &["done"]);
        let teardown = ["fleet", "--yes", "--keep-thing-type"];
        station.run("teardown", &teardown).await.ok();
        assert_eq!(things(&station), [""; 0]);

        reads(folder, "environment", &["plan", "other", "--no-hook"], 9);
        let apply = ["apply", "other", "--no-hook"];
        let applied = run(folder, "environment", &apply, stdout);
        says(
            &applied,
            1,
            stdout,
            &["other-provisioning", "still to be made"],
        );
        station.run("environment", &apply).await.ok();
        let destroyed = ["destroy", "other", "--dry-run"];
        reads(folder, "environment", &destroyed, 0);

        std::fs::write(folder.path("wrong.json"), "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"iot:*\",\"Resource\":\"*\"}]}").expect("written");
        reads(folder, "template", &["lint", "wrong.json"], 9);
        reads(folder, "lint", &["wrong.json"], 9);
        reads(folder, "lint", &["--sarif", "wrong.json"], 9);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_local_core() {
    let folder = Folder::new();
    reads(&folder, "iot-local", &["operations"], 0);
    let serve = ["serve", "--control-port", "0", "--mqtt-port", "0"];
    for stdout in [Full, Closed] {
        let served = run(&folder, "iot-local", &serve, stdout);
        says(&served, 1, stdout, &["http://127.0.0.1:"]);
    }
    let core = jitp_local::server::Local::start(Options::default()).await;
    let core = core.expect("the core starts");
    let port = core.control_port().to_string();
    reads(&folder, "iot-local", &["env", "--control-port", &port], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_written_ends_nothing() {
    let station = Station::registered().await;
    let folder = &station.folder;
    for stderr in [Full, Closed] {
        for program in ["thing-certificates", "register"] {
            let mut command = folder.command(program, &["-vv"]);
            let child = command.stdout(Stdio::piped()).stderr(stderr.stdio());
            let child = child.spawn().expect("the program starts");
            let ended = tokio::task::block_in_place(|| folder.finish(child));
            assert_eq!(ended.code, 0, "{program}: {ended:?}");
        }
    }
}

/// The things there are.
fn things(station: &Station) -> Vec<String> {
    let state = station.core.account().snapshot();
    let mut names: Vec<String> = state.things.keys().map(ToString::to_string).collect();
    names.sort();
    names
}
