//! A function that is a web server: the payload goes there by POST, and the body of the answer is its answer.

use axum::http::Uri;
use axum::http::header::{CONTENT_TYPE, HOST};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::CallError;
use super::runtime_api::LONGEST_ANSWER;

/// Posts the payload; the caller sees to the time it takes.
pub(super) async fn post(endpoint: &Uri, payload: Bytes) -> Result<Bytes, CallError> {
    let unreachable =
        |error: &dyn std::fmt::Display| CallError::Unreachable(format!("{endpoint}: {error}"));
    let host = endpoint.host().unwrap_or_default();
    let port = endpoint.port_u16().unwrap_or(80);
    // An IPv6 address is written in brackets there.
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((name, port))
        .await
        .map_err(|error| unreachable(&error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| unreachable(&error))?;
    let driver = tokio::spawn(connection);
    let path = endpoint.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::post(path)
        .header(HOST, format!("{host}:{port}"))
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(payload))
        .map_err(|error| unreachable(&error))?;
    let answered = async {
        let answer = sender
            .send_request(request)
            .await
            .map_err(|error| unreachable(&error))?;
        let status = answer.status();
        if !status.is_success() {
            return Err(CallError::Failed(format!("{endpoint} answered {status}")));
        }
        let body = Limited::new(answer.into_body(), LONGEST_ANSWER);
        let body = body.collect().await.map_err(|error| unreachable(&error))?;
        Ok(body.to_bytes())
    };
    let answered = answered.await;
    driver.abort();
    answered
}
