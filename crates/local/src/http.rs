//! The HTTP port: from a listening socket to served requests, none of which may dawdle or come from a web page.

use std::net::IpAddr;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Router, serve::Listener};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::diary::{Diary, Entry};

/// How long the head of a request may take, and how long a connection may wait for the next one.
pub(crate) const HEAD_DEADLINE: Duration = Duration::from_secs(60);

/// Serves until shutdown, and then until the requests under way are answered.
pub(crate) async fn serve(
    mut listener: TcpListener,
    router: Router,
    diary: Diary,
    head_deadline: Duration,
    shutdown: CancellationToken,
) {
    let on_loopback = TcpListener::local_addr(&listener)
        .is_ok_and(|address| address.ip().to_canonical().is_loopback());
    let door = Door { on_loopback, diary };
    let router = router.layer(middleware::from_fn_with_state(door, at_the_door));
    let mut protocol = http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        .header_read_timeout(head_deadline);
    let connections = TaskTracker::new();
    loop {
        // What goes wrong in accepting, such as too many open files, is waited out.
        let accepted = shutdown.run_until_cancelled(Listener::accept(&mut listener));
        let Some((socket, _)) = accepted.await else {
            break;
        };
        // An answer is one write; waiting to fill a segment would only delay it.
        let _ = socket.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        let connection = protocol.serve_connection(TokioIo::new(socket), service);
        let shutdown = shutdown.clone();
        connections.spawn(async move {
            tokio::pin!(connection);
            let ended = shutdown.run_until_cancelled(connection.as_mut()).await;
            let ended = match ended {
                Some(ended) => ended,
                None => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!("an HTTP connection ended: {error}");
            }
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Who may come in.
#[derive(Clone, Debug)]
struct Door {
    /// Only this machine can connect, so that a name that is not this machine's was led here.
    on_loopback: bool,
    diary: Diary,
}

/// Any page in a browser on this machine may send requests here, and credentials are never checked. Browsers
/// name the page in `Origin`, which no AWS tool does; and a page that had its own name point to this machine
/// (DNS rebinding) is told by `Host`.
async fn at_the_door(State(door): State<Door>, request: Request, next: Next) -> Response {
    let Err(sentence) = door.check(request.headers(), request.uri()) else {
        return next.run(request).await;
    };
    door.diary
        .record(Entry::refusal("REQUEST_OF_A_WEB_PAGE", &*sentence));
    let body = serde_json::json!({ "message": sentence }).to_string();
    let headers = [
        (CONTENT_TYPE.as_str(), "application/json"),
        ("x-amzn-errortype", "ForbiddenException"),
    ];
    (StatusCode::FORBIDDEN, headers, body).into_response()
}

impl Door {
    fn check(&self, headers: &HeaderMap, uri: &Uri) -> Result<(), String> {
        if let Some(origin) = headers.get(ORIGIN) {
            return Err(format!(
                "A page of {origin:?} asks for this; the local core answers no web pages"
            ));
        }
        let named = headers.get(HOST).and_then(|host| host.to_str().ok());
        match named.or_else(|| uri.authority().map(|authority| authority.as_str())) {
            Some(host) if self.on_loopback && !is_here(host) => Err(format!(
                "The request is for {host:?}, and the local core listens on this machine alone; \
                 use localhost, or --listen with another address"
            )),
            _ => Ok(()),
        }
    }
}

/// Whether a `Host` is this machine, or AWS, whose names somebody may have pointed here.
fn is_here(host: &str) -> bool {
    let name = host
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()))
        .map_or(host, |(name, _)| name)
        .trim_end_matches('.')
        .to_ascii_lowercase();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = |address: IpAddr| address.to_canonical().is_loopback();
    address.parse().is_ok_and(is_loopback)
        || name == "localhost"
        || name.ends_with(".localhost")
        || name.ends_with(".amazonaws.com")
        || name.ends_with(".amazonaws.com.cn")
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::time::timeout;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    async fn port(head_deadline: Duration, shutdown: &CancellationToken) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = TcpListener::local_addr(&listener).unwrap().port();
        let router = Router::new().fallback(async || "served");
        let diary = Diary::new(8);
        let serving = serve(listener, router, diary, head_deadline, shutdown.clone());
        tokio::spawn(serving);
        port
    }

    /// Sends these bytes; what comes back until the connection is closed.
    async fn send(port: u16, bytes: &str) -> String {
        let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .await
            .unwrap();
        socket.write_all(bytes.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let closed = timeout(LONG, socket.read_to_string(&mut answer)).await;
        closed.expect("the connection is closed").unwrap();
        answer
    }

    fn request(headers: &str) -> String {
        format!("POST /things/x HTTP/1.1\r\nconnection: close\r\n{headers}\r\n\r\n")
    }

    #[tokio::test]
    async fn web_pages_are_not_answered() {
        let port = port(HEAD_DEADLINE, &CancellationToken::new()).await;
        for own in ["localhost:4566", "127.0.0.1", "[::1]:80", "x.localhost"] {
            let answer = send(port, &request(&format!("host: {own}"))).await;
            assert!(answer.ends_with("served"), "{own}: {answer}");
        }
        let foreign = [
            "host: localhost\r\norigin: https://evil.example",
            "host: localhost\r\norigin: null",
            "host: evil.example:4566",
            "host: 192.168.1.1",
        ];
        for headers in foreign {
            let answer = send(port, &request(headers)).await;
            assert!(answer.starts_with("HTTP/1.1 403"), "{headers}: {answer}");
            assert!(answer.contains("ForbiddenException"), "{answer}");
        }
    }

    #[tokio::test]
    async fn half_a_request_and_silence_are_ended() {
        let port = port(Duration::from_millis(200), &CancellationToken::new()).await;
        for begun in ["", "POST /things/x HT", "POST / HTTP/1.1\r\nhost: "] {
            assert!(!send(port, begun).await.contains("served"));
        }
    }

    #[tokio::test]
    async fn stopping_does_not_wait_for_the_silent() {
        let shutdown = CancellationToken::new();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = TcpListener::local_addr(&listener).unwrap();
        let router = Router::new();
        let serving = serve(
            listener,
            router,
            Diary::new(8),
            HEAD_DEADLINE,
            shutdown.clone(),
        );
        let serving = tokio::spawn(serving);
        let _silent = TcpStream::connect(address).await.unwrap();
        tokio::task::yield_now().await;
        shutdown.cancel();
        timeout(LONG, serving).await.expect("it stops").unwrap();
    }
}
