//! The endpoint that Prometheus asks while a run goes on.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::http::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::prometheus;
use crate::snapshot::Snapshot;

/// Serves the latest snapshot at `/metrics` until it is dropped.
#[derive(Debug)]
pub struct Metrics {
    address: SocketAddr,
    latest: watch::Sender<Snapshot>,
    task: JoinHandle<()>,
}

impl Metrics {
    /// Listens on this address; port 0 takes a free one.
    ///
    /// # Errors
    /// When it cannot be listened on.
    pub async fn serve(address: SocketAddr, first: Snapshot) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (latest, seen) = watch::channel(first);
        let task = tokio::spawn(accept(listener, seen));
        Ok(Self {
            address,
            latest,
            task,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on answers with this.
    pub fn show(&self, snapshot: &Snapshot) {
        self.latest.send_replace(snapshot.clone());
    }
}

impl Drop for Metrics {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves whoever connects. By HTTP/1 alone, without a framework: HTTP/2 would be half a megabyte more of a program that
/// counts its memory.
async fn accept(listener: TcpListener, seen: watch::Receiver<Snapshot>) {
    let mut protocol = http1::Builder::new();
    // A head that does not come within 30 s is not waited for.
    protocol.timer(TokioTimer::new());
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            // Such as too many open files.
            tokio::time::sleep(AGAIN).await;
            continue;
        };
        let seen = seen.clone();
        let service = service_fn(move |request| {
            let answer = answer(&request, &seen);
            async { Ok::<_, Infallible>(answer) }
        });
        let connection = protocol.serve_connection(TokioIo::new(socket), service);
        tokio::spawn(async {
            // It ends with the program; a broken connection is the other side's business.
            let _ = connection.await;
        });
    }
}

/// How long to wait where a connection could not be accepted.
const AGAIN: Duration = Duration::from_secs(1);

fn answer(request: &Request<Incoming>, seen: &watch::Receiver<Snapshot>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    match (request.uri().path(), request.method()) {
        ("/metrics", &Method::GET | &Method::HEAD) => {
            let kind = HeaderValue::from_static(prometheus::CONTENT_TYPE);
            response.headers_mut().insert(CONTENT_TYPE, kind);
            *response.body_mut() = prometheus::text(&seen.borrow()).into();
        }
        ("/metrics", _) => {
            let methods = HeaderValue::from_static("GET,HEAD");
            response.headers_mut().insert(ALLOW, methods);
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        }
        _ => *response.status_mut() = StatusCode::NOT_FOUND,
    }
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::scenario::Scenario;

    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!("{request} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn the_latest_snapshot_is_served_and_nothing_else() {
        let toml = Scenario::built_in("seed").unwrap();
        let scenario = Scenario::read("seed", toml).unwrap();
        let mut snapshot = Snapshot::new("trial", &scenario);
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let metrics = Metrics::serve(address, snapshot.clone()).await.unwrap();
        snapshot.connected = 7;
        metrics.show(&snapshot);

        let answer = ask(metrics.address(), "GET /metrics").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        let kind = format!("content-type: {}\r\n", prometheus::CONTENT_TYPE);
        assert!(answer.contains(&kind), "{answer}");
        assert!(answer.contains("\njitp_loadtest_connected 7"), "{answer}");
        let head = ask(metrics.address(), "HEAD /metrics").await;
        assert!(head.contains(&kind) && head.ends_with("\r\n\r\n"), "{head}");
        let posted = ask(metrics.address(), "POST /metrics").await;
        assert!(posted.contains("HTTP/1.1 405 ") && posted.contains("allow: GET,HEAD"));
        let other = ask(metrics.address(), "GET /").await;
        assert!(other.starts_with("HTTP/1.1 404 "), "{other}");
    }
}
