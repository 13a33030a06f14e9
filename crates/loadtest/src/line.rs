//! One device's connection: bytes in and out, without a copy where none is needed.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// Bytes that are read at once, into memory that all devices of a thread share.
const READ: usize = 16 * 1024;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into());
}

/// A TLS connection, what is to be written to it, and the part of a packet that has arrived.
pub(crate) struct Line {
    stream: Box<TlsStream<TcpStream>>,
    out: Vec<u8>,
    written: usize,
    unflushed: bool,
    partial: Vec<u8>,
}

impl Line {
    pub(crate) fn new(stream: Box<TlsStream<TcpStream>>) -> Self {
        Self {
            stream,
            out: Vec::new(),
            written: 0,
            unflushed: false,
            partial: Vec::new(),
        }
    }

    /// What is to be written; packets are appended.
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Whether everything was handed to the socket.
    pub(crate) fn is_drained(&self) -> bool {
        self.out.is_empty() && !self.unflushed
    }

    /// Reads what is there, once, and hands `take` all that has arrived and was not taken yet; `take` says how much of it
    /// it took. The number of bytes read; 0 at the end of the stream.
    pub(crate) fn poll_read<E>(
        &mut self,
        cx: &mut Context<'_>,
        mut take: impl FnMut(&mut Vec<u8>, &[u8]) -> Result<usize, E>,
    ) -> Poll<io::Result<(usize, Result<(), E>)>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) => {}
            }
            let read = buffer.filled();
            let taken = match self.partial.is_empty() {
                true => take(&mut self.out, read).map(|taken| {
                    self.partial.extend_from_slice(&read[taken..]);
                }),
                false => {
                    self.partial.extend_from_slice(read);
                    take(&mut self.out, &self.partial).map(|taken| {
                        match taken == self.partial.len() {
                            // Packets are rarely torn: the memory is given back.
                            true => self.partial = Vec::new(),
                            false => drop(self.partial.drain(..taken)),
                        }
                    })
                }
            };
            Poll::Ready(Ok((read.len(), taken)))
        })
    }

    /// Writes what is to be written, as far as the socket takes it. Ready when nothing is left.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.out.len() {
            let bytes = &self.out[self.written..];
            match Pin::new(&mut self.stream).poll_write(cx, bytes) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => self.written += count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
            self.unflushed = true;
        }
        if !self.out.is_empty() {
            self.written = 0;
            match self.out.capacity() > KEPT {
                true => self.out = Vec::new(),
                false => self.out.clear(),
            }
        }
        if self.unflushed {
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                other => return other,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Lets go of the memory for writing, which a device that seldom writes does not need.
    pub(crate) fn rest(&mut self) {
        if self.out.is_empty() {
            self.out = Vec::new();
        }
    }
}

/// Memory for writing that a device keeps, in bytes.
const KEPT: usize = 1024;
