//! A stream that breaks after so many bytes.

use super::faults::{After, Break, Manner};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are read at once while a break is ahead.
const PIECE_BYTES: usize = 1024;

/// Carries what it is given until it breaks.
pub(super) struct Brittle<S> {
    inner: S,
    /// Bytes that still pass, and what happens then.
    reads: Option<(usize, Manner)>,
    writes: Option<(usize, Manner)>,
}

impl<S> Brittle<S> {
    pub(super) fn new(inner: S, broken: Option<Break>) -> Self {
        let at = |wanted: fn(After) -> Option<usize>| {
            broken.and_then(|b| wanted(b.after).map(|bytes| (bytes, b.manner)))
        };
        let reads = at(|after| match after {
            After::Received(bytes) => Some(bytes),
            After::Sent(_) => None,
        });
        let writes = at(|after| match after {
            After::Sent(bytes) => Some(bytes),
            After::Received(_) => None,
        });
        Self { inner, reads, writes }
    }

    fn is_closed(&self) -> bool {
        [self.reads, self.writes].contains(&Some((0, Manner::Close)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Brittle<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.is_closed() {
            return Poll::Ready(Ok(()));
        }
        match &mut this.reads {
            Some((0, _)) => Poll::Pending,
            None => Pin::new(&mut this.inner).poll_read(context, buffer),
            Some((left, _)) => {
                let mut bytes = [0; PIECE_BYTES];
                let room = buffer.remaining().min(*left).min(PIECE_BYTES);
                let mut part = ReadBuf::new(&mut bytes[..room]);
                ready!(Pin::new(&mut this.inner).poll_read(context, &mut part))?;
                *left -= part.filled().len();
                buffer.put_slice(part.filled());
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Brittle<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.is_closed() {
            // What passed must arrive before the end does.
            ready!(Pin::new(&mut this.inner).poll_flush(context))?;
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        match &mut this.writes {
            None => Pin::new(&mut this.inner).poll_write(context, bytes),
            Some((0, _)) => {
                ready!(Pin::new(&mut this.inner).poll_flush(context))?;
                Poll::Pending
            }
            Some((left, _)) => {
                let part = &bytes[..bytes.len().min(*left)];
                let written = ready!(Pin::new(&mut this.inner).poll_write(context, part))?;
                *left -= written;
                Poll::Ready(Ok(written))
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
