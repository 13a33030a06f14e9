//! The TLS stream as rumqttc sees it, with a witness: how it ended is noted here, exactly and independent of
//! what rumqttc makes of it, and the stream comes back when rumqttc lets go of it.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use rustls::AlertDescription;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::oneshot,
};
use tokio_rustls::client::TlsStream;

use super::{
    dial::of_alert,
    reason::{Closed, Stage},
};

/// The bytes that are kept from the start of the stream: enough for a CONNACK with a reason string.
const HEAD: usize = 1024;

/// How the transport ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    /// End of stream, with or without close_notify.
    Ended,
    /// Reset or broken pipe.
    Reset,
    /// A TLS alert of the peer.
    Alert(AlertDescription),
    /// Anything else.
    Other(String),
}

/// What was seen on the stream.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// The first bytes received, at most [`HEAD`].
    pub(crate) head: Vec<u8>,
    /// How it ended, if it did.
    pub(crate) fault: Option<Fault>,
}

/// A shared view on the notes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Witness(Arc<Mutex<Notes>>);

impl Witness {
    pub(crate) fn head(&self) -> Vec<u8> {
        self.lock().head.clone()
    }

    pub(crate) fn fault(&self) -> Option<Fault> {
        self.lock().fault.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn saw(&self, bytes: &[u8]) {
        let mut notes = self.lock();
        let room = HEAD.saturating_sub(notes.head.len()).min(bytes.len());
        notes.head.extend_from_slice(&bytes[..room]);
    }

    /// An alert says most; otherwise the first thing that went wrong is kept.
    fn ended(&self, fault: Fault) {
        let mut notes = self.lock();
        if notes.fault.is_none() || matches!(fault, Fault::Alert(_)) {
            notes.fault = Some(fault);
        }
    }
}

impl Fault {
    pub(crate) fn of(error: &io::Error) -> Self {
        if let Some(rustls::Error::AlertReceived(alert)) = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        {
            return Self::Alert(*alert);
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Ended,
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected => Self::Reset,
            _ => Self::Other(error.to_string()),
        }
    }

    /// What it means for a connection at this stage.
    pub(crate) fn closed(self, stage: Stage) -> Closed {
        match self {
            Self::Ended => Closed::Ended { stage },
            Self::Reset => Closed::Reset { stage },
            Self::Alert(alert) => of_alert(alert),
            Self::Other(detail) => Closed::Protocol { detail },
        }
    }
}

impl Closed {
    /// The end of a connection that was found by reading or writing at this stage.
    pub fn of(error: &io::Error, stage: Stage) -> Self {
        Fault::of(error).closed(stage)
    }
}

/// The stream handed to rumqttc. Dropped, it gives the TLS stream back for an orderly end.
pub(crate) struct Observed {
    stream: Option<TlsStream<TcpStream>>,
    witness: Witness,
    back: Option<oneshot::Sender<TlsStream<TcpStream>>>,
}

impl Observed {
    pub(crate) fn new(
        stream: TlsStream<TcpStream>,
        witness: Witness,
    ) -> (Self, oneshot::Receiver<TlsStream<TcpStream>>) {
        let (back, returned) = oneshot::channel();
        let observed = Self {
            stream: Some(stream),
            witness,
            back: Some(back),
        };
        (observed, returned)
    }

    fn noted<T>(&self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &result {
            self.witness.ended(Fault::of(error));
        }
        result
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        if let (Some(stream), Some(back)) = (self.stream.take(), self.back.take()) {
            // Nobody waiting means nobody cares how it ends.
            let _ = back.send(stream);
        }
    }
}

/// The stream is there until drop.
fn gone<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
}

impl AsyncRead for Observed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(stream) = self.stream.as_mut() else {
            return gone();
        };
        let before = buf.filled().len();
        let room = buf.remaining();
        let result = Pin::new(stream).poll_read(cx, buf);
        if matches!(result, Poll::Ready(Ok(()))) {
            let bytes = &buf.filled()[before..];
            if bytes.is_empty() && room > 0 {
                self.witness.ended(Fault::Ended);
            } else {
                self.witness.saw(bytes);
            }
        }
        self.noted(result)
    }
}

impl AsyncWrite for Observed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(stream) = self.stream.as_mut() else {
            return gone();
        };
        let result = Pin::new(stream).poll_write(cx, buf);
        self.noted(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(stream) = self.stream.as_mut() else {
            return gone();
        };
        let result = Pin::new(stream).poll_flush(cx);
        self.noted(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(stream) = self.stream.as_mut() else {
            return gone();
        };
        let result = Pin::new(stream).poll_shutdown(cx);
        self.noted(result)
    }
}
