//! From a listening socket to served connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::shared::Core;
use super::watch;
use crate::connection;
use crate::diary::{Entry, PerSecond};
use crate::session::Close;
use crate::tls::Peer;

/// How long connections may take to close when the broker stops.
const FAREWELL: Duration = Duration::from_secs(3);
/// Failed handshakes told a second: whoever knocks without end must not push all else out of the diary.
const TOLD_PER_SECOND: u32 = 10;

pub(super) async fn serve(
    core: Arc<Core>,
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    shutdown: CancellationToken,
) {
    let acceptor = TlsAcceptor::from(tls);
    let told = Arc::new(PerSecond::default());
    let connections = TaskTracker::new();
    let watching = tokio::spawn(watch::watch(Arc::clone(&core), shutdown.clone()));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        match accepted {
            Ok((socket, address)) => {
                let core = Arc::clone(&core);
                let acceptor = acceptor.clone();
                let told = Arc::clone(&told);
                let shutdown = shutdown.clone();
                connections.spawn(async move {
                    let greeting = Box::pin(handshake(&core, socket, address, acceptor, &told));
                    let greeted = tokio::select! {
                        greeted = greeting => greeted,
                        () = shutdown.cancelled() => return,
                    };
                    drop((told, shutdown));
                    if let Some((stream, peer)) = greeted {
                        connection::serve(core, stream, peer).await;
                    }
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: those that close make room.
                tracing::warn!("a connection cannot be accepted: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    core.stopping.store(true, Ordering::SeqCst);
    core.directory
        .for_each_link(|_, link| link.close(Close::ShuttingDown));
    connections.close();
    if tokio::time::timeout(FAREWELL, connections.wait())
        .await
        .is_err()
    {
        tracing::warn!("{} connections did not close in time", connections.len());
    }
    // It only watches; it has stopped or is about to.
    watching.abort();
}

/// Who is there, after a handshake; none when there was no handshake, or not in time.
async fn handshake(
    core: &Core,
    socket: TcpStream,
    address: SocketAddr,
    acceptor: TlsAcceptor,
    told: &PerSecond,
) -> Option<(TlsStream<TcpStream>, Peer)> {
    let deadline = Duration::from_secs(core.limits.handshake_seconds.into());
    let greeting = async {
        // Each batch goes out in one write; waiting to fill a segment would only delay it.
        socket.set_nodelay(true)?;
        // Silent connections do not count among the handshakes under way, or a few hundred of them
        // would keep everybody else out.
        socket.readable().await?;
        let _turn = core
            .handshakes
            .acquire()
            .await
            .map_err(|_| io::Error::other("the broker is closed"))?;
        acceptor.accept(socket).await
    };
    let failure = match tokio::time::timeout(deadline, greeting).await {
        Ok(Ok(stream)) => match Peer::of(stream.get_ref().1, address) {
            Ok(peer) => return Some((stream, peer)),
            Err(error) => error.to_string(),
        },
        // Gone without a word, as port scans and health checks are.
        Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return None,
        Ok(Err(error)) => in_words(&error),
        Err(_) => format!("no handshake within {} s", deadline.as_secs()),
    };
    if told.once_more(core.now(), TOLD_PER_SECOND) {
        let sentence = format!("the TLS handshake with {address} failed: {failure}");
        core.diary
            .record(Entry::refusal("TLS_HANDSHAKE_FAILED", sentence));
    }
    None
}

/// Why a handshake failed, as somebody looks for it who set up the device.
fn in_words(error: &io::Error) -> String {
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::NoApplicationProtocol) => {
            "the device asks for an application protocol (ALPN) that is not x-amzn-mqtt-ca"
                .to_owned()
        }
        Some(rustls::Error::NoCertificatesPresented) => {
            "the device sent no certificate; it must connect with its certificate and key"
                .to_owned()
        }
        Some(rustls::Error::PeerIncompatible(detail)) => format!(
            "the device offers neither TLS 1.2 nor 1.3 with ECDHE and an AEAD cipher ({detail:?})"
        ),
        Some(rustls::Error::InvalidMessage(_)) => "what arrives is no TLS".to_owned(),
        Some(rustls::Error::General(sentence)) => {
            format!("the device's certificate is refused: {sentence}")
        }
        Some(rustls::Error::AlertReceived(alert)) => format!(
            "the device broke it off with the alert {alert:?}; does it trust the server's root certificate?"
        ),
        _ => error.to_string(),
    }
}
