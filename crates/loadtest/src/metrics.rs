//! The endpoint that Prometheus asks while a run goes on.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
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
        let answer = move || async move {
            let text = prometheus::text(&seen.borrow());
            ([(CONTENT_TYPE, prometheus::CONTENT_TYPE)], text).into_response()
        };
        let router = Router::new().route("/metrics", get(answer));
        let task = tokio::spawn(async move {
            // It ends with the program; a broken connection is the other side's business.
            let _ = axum::serve(listener, router).await;
        });
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
