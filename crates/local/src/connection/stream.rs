//! Reading and writing: no buffer while nothing is to be read, and no write without an end.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::session::Link;

/// Most bytes taken from a connection before it waits for its turn again.
const READ: usize = 64 * 1024;

thread_local! {
    /// Every read of a thread goes through the same memory, so that ten thousand idle connections need
    /// none of their own. The copy costs far less than the decryption before it.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into_boxed_slice());
}

/// Waits for bytes and appends them to `input`; 0 at the end of the stream. Nothing is lost when the
/// future is dropped.
pub(super) async fn fill<S>(stream: &mut S, input: &mut BytesMut) -> io::Result<usize>
where
    S: AsyncRead + Unpin,
{
    poll_fn(|context| {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer))?;
            input.extend_from_slice(buffer.filled());
            Poll::Ready(Ok(buffer.filled().len()))
        })
    })
    .await
}

/// How a write ended.
#[derive(Debug)]
pub(super) enum Written {
    /// Everything is on its way.
    Whole,
    /// The connection is broken, or the other side takes nothing for too long.
    Broken,
    /// Given up because the connection was ordered to close: the other side takes nothing.
    Interrupted,
}

/// Writes and flushes, for at most `patience`; an order to close ends it sooner when it is stuck.
pub(super) async fn write<S>(
    stream: &mut S,
    bytes: &[u8],
    link: &Link,
    patience: Duration,
) -> Written
where
    S: AsyncWrite + Unpin,
{
    let whole = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    };
    tokio::select! {
        biased;
        result = tokio::time::timeout(patience, whole) => match result {
            Ok(Ok(())) => Written::Whole,
            _ => Written::Broken,
        },
        () = link.closing.notified() => Written::Interrupted,
    }
}

/// Says the last words and closes, within two seconds.
pub(super) async fn close<S>(stream: &mut S, last_words: &[u8])
where
    S: AsyncWrite + Unpin,
{
    let closing = async {
        if !last_words.is_empty() {
            stream.write_all(last_words).await?;
            stream.flush().await?;
        }
        stream.shutdown().await
    };
    // Whether the other side hears it or not, the connection is over.
    let _ = tokio::time::timeout(Duration::from_secs(2), closing).await;
}
