//! The local core as a program: run, serve, env, and what survives.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::Folder;

#[test]
fn run_gives_the_command_a_core_and_passes_its_exit_code_on() {
    let folder = Folder::new();
    let ended = folder.run(
        "iot-local",
        &[
            "run",
            "--",
            "sh",
            "-c",
            "echo $AWS_REGION $AWS_DEFAULT_REGION $AWS_ACCOUNT; test -s $AWS_IOT_CAFILE; exit $?",
        ],
    );
    assert_eq!(ended.ok(), "eu-central-1 eu-central-1 123456789012\n");
    let ended = folder.run("iot-local", &["run", "--", "sh", "-c", "exit 42"]);
    assert_eq!(ended.code, 42, "{ended:?}");
    let ended = folder.run("iot-local", &["run", "--", "sh", "-c", "kill -9 $$"]);
    assert_eq!(ended.code, 137, "{ended:?}");
    let stderr = folder
        .run("iot-local", &["run", "--", "no-such-command"])
        .fails(3);
    assert!(stderr.contains("no-such-command"), "{stderr}");
    folder.run("iot-local", &["run"]).fails(2);
}

#[test]
fn signals_reach_the_command() {
    let folder = Folder::new();
    let script = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done";
    let mut child = folder
        .command("iot-local", &["run", "--", "sh", "-c", script])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    wait_for_line(&mut child);
    signal(&child, "TERM");
    assert_eq!(child.wait().expect("ends").code(), Some(7));
}

#[test]
fn two_functions_of_one_name_are_one_too_many() {
    let folder = Folder::new();
    let functions = [
        "--function",
        "hook=http://127.0.0.1:1/one",
        "--function",
        "other=http://127.0.0.1:1/other",
        "--function",
        "hook=http://127.0.0.1:1/two",
    ];
    for arguments in [
        [&["run"], &functions[..], &["--", "true"]].concat(),
        [
            &["serve", "--control-port", "0", "--mqtt-port", "0"],
            &functions[..],
        ]
        .concat(),
    ] {
        let stderr = folder.run("iot-local", &arguments).fails(2);
        assert!(
            stderr.contains("--function hook=… is given twice"),
            "{stderr}"
        );
        assert!(stderr.contains("hint: "), "{stderr}");
    }
}

pub(crate) fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &child.id().to_string()])
        .status()
        .expect("kill is there");
    assert!(sent.success());
}

fn wait_for_line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("a pipe"))
        .read_line(&mut line)
        .expect("a line");
    line.trim_end().to_owned()
}

/// A running core. One that a failing test leaves behind is killed.
pub(crate) struct Core(pub(crate) Child);

impl Core {
    /// Ends it in good order.
    fn stop(mut self) {
        signal(&self.0, "TERM");
        assert_eq!(self.0.wait().expect("ends").code(), Some(0));
    }

    /// Ends it without giving it a chance to do anything.
    pub(crate) fn kill(mut self) {
        signal(&self.0, "KILL");
        self.0.wait().expect("ends");
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // It is gone already in every test that passes.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts `iot-local serve` on free ports and answers its control port too.
pub(crate) fn serve(folder: &Folder, extra: &[&str]) -> (Core, String) {
    let mut arguments = vec!["serve", "--control-port", "0", "--mqtt-port", "0"];
    arguments.extend(extra);
    let mut child = folder
        .command("iot-local", &arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let line = wait_for_line(&mut child);
    let port = line
        .split('\t')
        .next()
        .and_then(|url| url.rsplit(':').next())
        .expect("a port")
        .to_owned();
    (Core(child), port)
}

/// Points a folder's programs at a running core, as `eval "$(iot-local env)"` does.
pub(crate) fn point_at(folder: &mut Folder, port: &str) {
    let lines = folder
        .run("iot-local", &["env", "--control-port", port])
        .ok();
    for line in lines.lines() {
        let (name, value) = line
            .strip_prefix("export ")
            .and_then(|rest| rest.split_once('='))
            .expect("a line for eval");
        folder.set(name, value.trim_matches('\''));
    }
}

#[test]
fn serve_and_env_work_together_and_stop_in_good_order() {
    let mut folder = Folder::new();
    let (mut core, port) = serve(&folder, &[]);
    point_at(&mut folder, &port);
    folder.run("create-root", &[] as &[&str]).ok();
    folder.run("register", &[] as &[&str]).ok();
    folder.run("pub", &["a", "x"]).fails(4);
    folder.run("provision", &["a", "--connect"]).ok();
    signal(&core.0, "INT");
    assert_eq!(core.0.wait().expect("ends").code(), Some(0));
    let stderr = folder
        .run("iot-local", &["env", "--control-port", &port])
        .fails(7);
    assert!(stderr.contains("iot-local serve"), "{stderr}");
}

#[test]
fn an_empty_core_has_not_even_the_policy() {
    let mut folder = Folder::new();
    let (core, port) = serve(&folder, &["--empty"]);
    point_at(&mut folder, &port);
    folder.run("create-root", &[] as &[&str]).ok();
    let stderr = folder.run("register", &[] as &[&str]).fails(4);
    assert!(stderr.contains("IoTAccess"), "{stderr}");
    core.stop();
}

#[test]
fn what_was_answered_survives_kill_9() {
    let mut folder = Folder::new();
    let data = folder.path("data");
    let data = data.to_str().expect("text").to_owned();
    let (core, port) = serve(&folder, &["--data", &data]);
    point_at(&mut folder, &port);
    folder.run("create-root", &[] as &[&str]).ok();
    folder.run("register", &[] as &[&str]).ok();
    folder.run("provision", &["a", "--connect"]).ok();
    core.kill();

    let (core, port) = serve(&folder, &["--data", &data]);
    point_at(&mut folder, &port);
    let again = folder.run("register", &[] as &[&str]).ok();
    assert!(again.starts_with("root\tunchanged\t"), "{again}");
    // Known and ACTIVE: no second first connection; and the server's root is still the same.
    let answer = folder
        .run("provision", &["a", "--connect", "--output", "json"])
        .json();
    assert_eq!(answer[0]["connectionAttempts"], 1);

    let stderr = folder
        .run(
            "iot-local",
            &[
                "serve",
                "--control-port",
                "0",
                "--mqtt-port",
                "0",
                "--data",
                &data,
            ],
        )
        .fails(5);
    assert!(stderr.contains("data"), "{stderr}");
    core.stop();
}

#[test]
fn killed_at_any_moment_it_has_what_it_answered_and_no_more() {
    let mut folder = Folder::new();
    let data = folder.path("data");
    let data = data.to_str().expect("text").to_owned();
    folder.run("create-root", &[] as &[&str]).ok();
    let mut provisioned = Vec::new();
    for round in 0..6 {
        let (core, port) = serve(&folder, &["--data", &data]);
        point_at(&mut folder, &port);
        folder.run("register", &[] as &[&str]).ok();
        for old in &provisioned {
            let arguments = [old as &str, "--connect", "--output", "json"];
            let answer = folder.run("provision", &arguments).json();
            assert_eq!(
                answer[0]["connectionAttempts"], 1,
                "{old} was answered ACTIVE"
            );
        }
        // One device is done, another is under way when the core is killed.
        let done = format!("done-{round}");
        folder.run("provision", &[&done, "--connect"]).ok();
        provisioned.push(done);
        let interrupted = format!("interrupted-{round}");
        let arguments = [&interrupted as &str, "--connect", "--connect-timeout", "2"];
        let device = folder.start("provision", &arguments);
        std::thread::sleep(std::time::Duration::from_millis(7 * round));
        core.kill();
        folder.finish(device);

        // Whatever it had got to, running again finishes it.
        let (core, port) = serve(&folder, &["--data", &data]);
        point_at(&mut folder, &port);
        folder
            .run("provision", &[&interrupted as &str, "--connect"])
            .ok();
        provisioned.push(interrupted);
        core.kill();
    }
    assert!(Path::new(&data).is_dir());
}
