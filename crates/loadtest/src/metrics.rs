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
