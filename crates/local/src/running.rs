//! Asking a local core that another process runs.

use std::collections::BTreeMap;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use jitp_core::failure::{Class, Classified};
use tokio::net::TcpStream;
use tokio::time::{Duration, timeout};

/// Port of the AWS APIs when none is given.
pub const CONTROL_PORT: u16 = 4566;
/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(5);
/// The environment is a few hundred bytes; another service's page may be anything.
const LONGEST_ANSWER: usize = 64 * 1024;

/// No local core answered.
#[derive(Debug, thiserror::Error)]
#[error("no local core answers on port {port}: {reason}")]
pub struct NotRunning {
    port: u16,
    reason: String,
}

impl Classified for NotRunning {
    fn class(&self) -> Class {
        Class::Temporary
    }

    fn hint(&self) -> Option<String> {
        Some("start one: iot-local serve".to_owned())
    }
}

/// The environment that points tools at the local core on this machine with that control port.
///
/// # Errors
/// When nothing answers in five seconds, or what answers is no local core.
pub async fn environment(control_port: u16) -> Result<BTreeMap<String, String>, NotRunning> {
    let failed = |reason: String| NotRunning {
        port: control_port,
        reason,
    };
    let body = timeout(PATIENCE, get(control_port))
        .await
        .map_err(|_| failed("no answer in time".to_owned()))?
        .map_err(|error| failed(error.to_string()))?;
    serde_json::from_slice(&body).map_err(|_| failed("what answers is no local core".to_owned()))
}

async fn get(port: u16) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(("localhost", port)).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let request = Request::get("/_local/environment")
        .header("host", format!("localhost:{port}"))
        .body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    let body = Limited::new(answer.into_body(), LONGEST_ANSWER)
        .collect()
        .await?;
    driver.abort();
    Ok(body.to_bytes())
}
