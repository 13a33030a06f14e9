//! Pages whose commands run as written.

use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;

use crate::custody::has_softhsm;
use crate::environment::{fast_station, package};
use crate::pipeline::consumer;
use crate::support::{PROGRAMS, Station, program};
use crate::templates::with_what_a_fleet_needs;

/// What stands in the blocks `sh` of a page, in its order.
fn commands(page: &str) -> String {
    let mut inside = false;
    let mut commands = String::new();
    for line in page.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            line if inside => {
                commands.push_str(line);
                commands.push('\n');
            }
            _ => {}
        }
    }
    commands
}

/// What a reader of a page has: the repository's files, the programs, and of tools that not everybody has, stand-ins that
/// do nothing: what they would make is there already.
fn prepare(station: &Station, stand_ins: &[&str]) {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["etc", "policies"] {
        let link = station.folder.path(folder);
        symlink(repository.join(folder), link).expect("linked");
    }
    let programs = station.folder.path("bin");
    std::fs::create_dir(&programs).expect("a folder");
    for name in PROGRAMS {
        symlink(program(name), programs.join(name)).expect("linked");
    }
    for name in stand_ins {
        std::fs::write(programs.join(name), "#!/bin/sh\nexit 0\n").expect("written");
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(programs.join(name), executable).expect("executable");
    }
}

/// Runs a page's commands in a shell that stops at the first that fails, on a terminal at which every question is answered
/// with yes: exit code, and everything that was written.
fn run(station: &Station, commands: &str) -> (i32, String) {
    let script = station.folder.path("page.sh");
    std::fs::write(&script, commands).expect("written");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = std::process::Command::new("script");
    shell
        .args([
            "--quiet",
            "--return",
            "--command",
            "sh -e -x page.sh",
            "/dev/null",
        ])
        .current_dir(station.folder.path(""))
        .env_clear()
        .env(
            "PATH",
            format!("{}:{path}", station.folder.path("bin").display()),
        )
        .env("HOME", station.folder.path(""))
        .env("TERM", "dumb")
        .envs(station.core.environment())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut shell = shell.spawn().expect("script, of util-linux, is installed");
    let mut keys = shell.stdin.take().expect("a pipe");
    let output = tokio::task::block_in_place(|| {
        keys.write_all("y\n".repeat(9).as_bytes()).expect("written");
        let output = shell.wait_with_output();
        drop(keys);
        output.expect("an end")
    });
    let shown = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    (output.status.code().unwrap_or(-1), shown)
}

#[tokio::test(flavor = "multi_thread")]
async fn provisioning_by_claim() {
    let station = with_what_a_fleet_needs().await;
    prepare(&station, &["aws"]);
    let script = commands(include_str!("../../docs/fleet-provisioning.md"));
    assert!(script.lines().count() >= 15, "{script}");
    let (code, shown) = run(&station, &script);
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("iot-123\tprovisioned\t"), "{shown}");
    assert!(shown.contains("iot-123\trenewed\t"), "{shown}");
    assert!(shown.contains("template\tfleet\ttorn-down"), "{shown}");
    assert!(station.core.account().snapshot().things.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_load_test() {
    let station = Station::start().await;
    prepare(&station, &["make"]);
    let script = commands(include_str!("../../docs/load-test.md"));
    assert!(script.lines().count() >= 8, "{script}");
    let (code, shown) = run(&station, &script);
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("forwarded\t150"), "{shown}");
    assert!(shown.contains("provisioningCloses\t50"), "{shown}");
    assert!(
        shown.contains("hint: --publishers 100 --subscribers 20"),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn keeping_the_ca_key() {
    if !has_softhsm() {
        return;
    }
    let station = Station::start().await;
    prepare(&station, &[]);
    let script = commands(include_str!("../../docs/ca-key.md"));
    assert!(script.lines().count() >= 20, "{script}");
    let (code, shown) = run(&station, &script);
    assert_eq!(code, 0, "{shown}");
    for expected in [
        "pump-1\tissued\t",
        "pump-3\tissued\t",
        "pump-5\tissued\t",
        "begin with pump-, and valve-1 does not",
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn issuing_many_devices() {
    let station = Station::start().await;
    prepare(&station, &[]);
    let script = commands(include_str!("../../docs/issuing.md"));
    assert!(script.lines().count() >= 12, "{script}");
    let (code, shown) = run(&station, &script);
    assert_eq!(code, 0, "{shown}");
    for expected in [
        "batch 2: 1000 issued",
        "valve-2\tissued\t",
        "pump-1\tissued\t",
        "sensor-0017\tissued\t",
        "issued\t2003",
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_after_things() {
    let station = Station::registered().await;
    prepare(&station, &[]);
    station.folder.write_request("pump-5.csr");
    let script = commands(include_str!("../../docs/fleet.md"));
    assert!(script.lines().count() >= 15, "{script}");
    let (code, shown) = run(&station, &script);
    // The last one tells of the CA that was disabled before.
    assert_eq!(code, 9, "{shown}");
    assert!(shown.ends_with("register: 1 difference\n"), "{shown}");
    for expected in [
        "pump-4\tcreated\t",
        "pump-5\tcreated\t",
        "pump-1\tACTIVE\t",
        "pump-2\tREVOKED\t",
        "pump-3\tdeleted\t",
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    let things: Vec<String> = {
        let state = station.core.account().snapshot();
        state.things.keys().map(ToString::to_string).collect()
    };
    assert_eq!(things.len(), 4, "{things:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_of_a_fleet() {
    let station = fast_station().await;
    // Building the hook that is deployed takes minutes; `make fleet-demo` does.
    prepare(&station, &["make"]);
    std::fs::create_dir_all(station.folder.path("target/lambda")).expect("a folder");
    let path = station.folder.path("target/lambda/pre-provision.zip");
    std::fs::write(path, package(&["123"])).expect("written");
    let page = include_str!("../../docs/environment.md");
    let (page, _) = page.split_once("## Terraform").expect("a chapter");
    // Whether there is something to do is told by the exit code 9.
    let script = commands(page).replace("./bin/environment plan", "! ./bin/environment plan");
    assert!(script.lines().count() >= 6, "{script}");
    let (code, shown) = run(&station, &script);
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("iot-123\tprovisioned\t"), "{shown}");
    assert!(shown.contains("environment\tfleet\tdestroyed"), "{shown}");
    let state = station.core.account().snapshot();
    assert!(state.things.is_empty() && state.roles.is_empty() && state.functions.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_message_pipeline() {
    let station = Station::start().await;
    // Building the function that is deployed takes minutes; `make pipeline-demo` does.
    prepare(&station, &["make"]);
    // The template names the package from where it lies.
    let etc = station.folder.path("etc");
    std::fs::remove_file(&etc).expect("a link");
    std::fs::create_dir_all(etc.join("cloudformation")).expect("a folder");
    let template = "etc/cloudformation/sqs.yaml";
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(template);
    std::fs::copy(from, station.folder.path(template)).expect("copied");
    std::fs::create_dir_all(station.folder.path("target/lambda")).expect("a folder");
    let path = station.folder.path("target/lambda/process-queue.zip");
    std::fs::write(path, consumer()).expect("written");
    let script = commands(include_str!("../../docs/pipeline.md"));
    assert!(script.lines().count() >= 12, "{script}");
    let (code, shown) = run(&station, &script);
    assert_eq!(code, 0, "{shown}");
    for expected in [
        "change\tAdd\tSQSQueue\t",
        "stack\tloadtest-stack\tcreated",
        "stack\tloadtest-stack\tunchanged",
        "AWS::SQS::Queue\tloadtestQueue\tunchanged",
        "loadtestQueue\t0\t0\t0\t0\tDisabled\t-",
        "stack\tloadtest-stack\tdeleted",
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    assert!(station.core.account().snapshot().functions.is_empty());
}

#[test]
fn every_command_of_a_page_is_called_where_make_puts_it() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![repository.join("README.md")];
    for entry in std::fs::read_dir(repository.join("docs")).expect("the pages") {
        pages.push(entry.expect("a page").path());
    }
    let mut called = 0;
    for page in pages {
        let text = std::fs::read_to_string(&page).expect("a text");
        for line in commands(&text).lines() {
            // What a shell takes for the name of a command: the first word, and those after an operator.
            for command in line.split(['|', ';', '&', '(', '\'', '"']) {
                let name = command.split_whitespace().next().unwrap_or_default();
                called += usize::from(name.starts_with("./bin/"));
                assert!(!PROGRAMS.contains(&name), "{}: {line}", page.display());
            }
        }
    }
    assert!(called > 30, "{called} commands");
}
