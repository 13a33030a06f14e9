//! SIGINT and SIGTERM end every program, whatever it is waiting for.

use std::io::Write;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Folder, Station};

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &child.id().to_string()])
        .status()
        .expect("kill is there");
    assert!(sent.success());
}

/// Waits for the end of a program that was told to, and answers its exit code.
fn ends_with(mut child: Child) -> Option<i32> {
    let told = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("the child can be asked") {
            return status.code();
        }
        if told.elapsed() > Duration::from_secs(60) {
            let _ = child.kill();
            panic!("it does not end");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn in_the_middle_of_a_read_that_nobody_answers() {
    let mut folder = Folder::new();
    folder.set("AWS_REGION", "eu-central-1");
    let made = Command::new("mkfifo").arg(folder.path("pipe")).status();
    assert!(made.expect("mkfifo is there").success());
    let child = folder.start("register", &["--template", "pipe"]);
    std::thread::sleep(Duration::from_secs(2));
    signal(&child, "TERM");
    assert_eq!(ends_with(child), Some(143));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_pub_waits_for_its_next_line() {
    let station = Station::registered().await;
    station.run("provision", &["a", "--connect"]).await.ok();
    let mut child = station
        .folder
        .command("pub", &["a", "--stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let stdin = child.stdin.take();
    tokio::time::sleep(Duration::from_secs(3)).await;
    signal(&child, "INT");
    let code = tokio::task::block_in_place(|| ends_with(child));
    assert_eq!(code, Some(130));
    drop(stdin);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_line_is_heard_of_before_the_next_one_comes() {
    let station = Station::registered().await;
    station.run("provision", &["a", "--connect"]).await.ok();
    let mut child = station
        .folder
        .command("pub", &["a", "--stdin", "--topic", "elsewhere"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    writeln!(stdin, "one line, and no end of input").expect("written");
    let code = tokio::task::block_in_place(|| ends_with(child));
    assert_eq!(code, Some(6));
    drop(stdin);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_longer_than_a_message_may_be_is_named() {
    let station = Station::registered().await;
    station.run("provision", &["a", "--connect"]).await.ok();
    std::fs::write(station.folder.path("long"), vec![b'x'; 300_000]).expect("written");
    let input = std::fs::File::open(station.folder.path("long")).expect("opened");
    let ended = station
        .folder
        .command("pub", &["a", "--stdin"])
        .stdin(input)
        .output()
        .expect("ends");
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("line 1"), "{stderr}");
}

#[test]
fn a_core_whose_client_holds_half_a_request() {
    let folder = Folder::new();
    let arguments = ["serve", "--control-port", "0", "--mqtt-port", "0"];
    let mut child = folder
        .command("iot-local", &arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let mut line = String::new();
    let stdout = child.stdout.as_mut().expect("a pipe");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).expect("a line");
    let address = line
        .split('\t')
        .next()
        .and_then(|url| url.strip_prefix("http://"))
        .expect("an address");
    let mut client = TcpStream::connect(address).expect("connected");
    client.write_all(b"GET /things HTT").expect("written");
    signal(&child, "TERM");
    assert_eq!(ends_with(child), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_keep_nobody_out() {
    let station = Station::registered().await;
    let silent: Vec<TcpStream> = (0..600)
        .map(|_| TcpStream::connect(station.core.mqtt_address()).expect("connected"))
        .collect();
    let began = Instant::now();
    station.run("provision", &["a", "--connect"]).await.ok();
    assert!(
        began.elapsed() < Duration::from_secs(25),
        "{:?}",
        began.elapsed()
    );
    drop(silent);
}
