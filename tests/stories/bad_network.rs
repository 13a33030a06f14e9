//! Publishing over a network that breaks: nothing is lost that was promised.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::support::{Ended, Station};

/// A way to the broker that breaks every connection after `bytes` from the device, without a
/// goodbye. Answers its port.
async fn breaking_way(to: SocketAddr, bytes: usize) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((device, _)) = listener.accept().await {
            tokio::spawn(carry(device, to, bytes));
        }
    });
    port
}

async fn carry(device: TcpStream, to: SocketAddr, mut left: usize) {
    let Ok(broker) = TcpStream::connect(to).await else {
        return;
    };
    // Broken means a reset: what is under way in both directions is gone.
    let _ = device.set_zero_linger();
    let _ = broker.set_zero_linger();
    let (mut from_device, mut to_device) = device.into_split();
    let (mut from_broker, mut to_broker) = broker.into_split();
    let up = async {
        let mut buffer = [0; 512];
        while left > 0 {
            let limit = left.min(buffer.len());
            let read = from_device.read(&mut buffer[..limit]).await.unwrap_or(0);
            if read == 0 || to_broker.write_all(&buffer[..read]).await.is_err() {
                break;
            }
            left -= read;
        }
    };
    tokio::select! {
        () = up => {}
        _ = tokio::io::copy(&mut from_broker, &mut to_device) => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_arrives_although_the_connection_breaks_again_and_again() {
    let station = Station::registered().await;
    for device in ["a", "s"] {
        station.run("provision", &[device, "--connect"]).await.ok();
    }
    let lines = 120;
    let subscriber = station
        .folder
        .start("sub", &["s", "a", "--timeout", "60", "--count", "120"]);
    sleep(Duration::from_secs(3)).await;

    // A handshake takes some 2 kB; after it, some forty messages get through before the break.
    let port = breaking_way(station.core.mqtt_address(), 6_000).await;
    let endpoint = format!("localhost:{port}");
    let mut publisher = station
        .folder
        .command("pub", &["a", "--stdin", "--endpoint", &endpoint])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut stdin = publisher.stdin.take().expect("a pipe");
    for line in 0..lines {
        writeln!(stdin, "{line} {}", "x".repeat(80)).expect("written");
    }
    drop(stdin);
    let ended = tokio::task::block_in_place(|| station.folder.finish(publisher));
    assert!(
        ended.stderr.contains("connection lost"),
        "it did break: {ended:?}"
    );
    assert_eq!(ended.ok(), "a\t120\n");
    let received = tokio::task::block_in_place(|| station.folder.finish(subscriber)).stdout;
    let numbers: BTreeSet<&str> = received
        .lines()
        .filter_map(|line| line.strip_prefix("a\t")?.split(' ').next())
        .collect();
    // Some lines may come twice, and the subscriber ends after 120: look at what the broker saw too.
    assert!(numbers.len() >= lines * 2 / 3, "{}", numbers.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_keeps_silent_is_given_up() {
    let station = Station::registered().await;
    station.run("provision", &["a"]).await.ok();
    // Accepts, and never says a word.
    let silent = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let endpoint = format!(
        "localhost:{}",
        silent.local_addr().expect("an address").port()
    );
    let hold = tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = silent.accept().await {
            kept.push(stream);
        }
    });
    let arguments = ["a", "x", "--endpoint", &endpoint, "--connect-timeout", "3"];
    let ended = timeout(Duration::from_secs(20), station.run("pub", &arguments))
        .await
        .expect("it does not hang");
    let stderr = ended.fails(7);
    assert!(stderr.contains("after 1 attempt"), "{stderr}");
    hold.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let station = Station::registered().await;
    let endless = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let url = format!("http://{}", endless.local_addr().expect("an address"));
    let serving = tokio::spawn(async move {
        while let Ok((mut caller, _)) = endless.accept().await {
            tokio::spawn(async move {
                let head =
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{\"thingName\":\"";
                let _ = caller.read(&mut [0; 4096]).await;
                let _ = caller.write_all(head.as_bytes()).await;
                while caller.write_all(&[b'x'; 65536]).await.is_ok() {}
            });
        }
    });
    let stderr = status_asked_of(&station, &url).fails(1);
    assert!(stderr.contains("length limit exceeded"), "{stderr}");
    serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_an_endpoint_that_does_not_answer_is_not_silent() {
    let station = Station::registered().await;
    let nobody = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let url = format!("http://{}", nobody.local_addr().expect("an address"));
    drop(nobody);
    let stderr = status_asked_of(&station, &url).fails(7);
    assert!(stderr.contains("calling again (1 of 5 failed)"), "{stderr}");
}

/// `device-status` with its API calls led to another server.
fn status_asked_of(station: &Station, url: &str) -> Ended {
    let asked = station
        .folder
        .command("device-status", &["a"])
        .env("AWS_ENDPOINT_URL", url)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    tokio::task::block_in_place(|| station.folder.finish(asked))
}
