//! The socket of a connection of HTTP/2: its progress is watched and its frames are counted.
use super::frames::Frames;
use crate::listener::{connection::Connection, opening::PREFACE, transport::Transport};
use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(super) struct Line {
    stream: Transport,
    /// Of the preface, which was read already, what the parser has not seen.
    preface: &'static [u8],
    frames: Frames,
    turn: Turn,
    connection: Arc<Connection>,
}
/// The parser would read all there is before it hands on the first request, and a head of a kilobyte may unfold to a hundred in memory.
/// So once heads have come nothing more is read in this turn of the connection's task: they are begun, and the bad ones refused, first.
#[derive(Clone, Default)]
pub(super) struct Turn(Arc<AtomicBool>);
impl Turn {
    pub(super) fn begins(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
    fn is_over(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
    fn may_read(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
impl Line {
    /// Its preface has been read.
    pub(super) fn new(stream: Transport, turn: Turn, connection: Arc<Connection>) -> Self {
        Self {
            turn,
            stream,
            preface: PREFACE,
            frames: Frames::new(),
            connection,
        }
    }
    fn wrote(&mut self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.connection.wrote(&result);
        if let Poll::Ready(Ok(bytes)) = result {
            self.frames.paid(bytes);
        }
        result
    }
}
impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.preface.is_empty() {
            let (now, later) = this
                .preface
                .split_at_checked(this.preface.len().min(buf.remaining()))
                .unwrap_or_default();
            buf.put_slice(now);
            this.preface = later;
            return Poll::Ready(Ok(()));
        }
        if !this.turn.may_read() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        let good = this.frames.read(buf.filled().get(before..).unwrap_or_default());
        this.connection.partial(this.frames.is_partial());
        if this.frames.take_heads() {
            this.turn.is_over();
        }
        if !good {
            return Poll::Ready(Err(io::Error::other("a flood of frames")));
        }
        Poll::Ready(Ok(()))
    }
}
impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(result)
    }
    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.wrote(result)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.connection.flushed(&flushed);
        flushed
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
