//! The way to the client: frames in order, written together where several wait.
use crate::http::body::Chunk;
use bytes::{Bytes, BytesMut};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tidegate_core::error::{Code, Error, Fault, Result};
use tidegate_gateway::metrics::Offered;
use tidegate_wire::websocket::{close::CloseCode, frame};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    sync::mpsc,
};

/// Writes of frames that may wait for a slow client.
const WAITING: usize = 8;
/// What is written at once.
const TOGETHER: usize = 64 << 10;

/// Cloned by all who have something to say.
#[derive(Clone)]
pub(super) struct Line {
    frames: mpsc::Sender<Chunk>,
    /// A close frame is the last one there is.
    closed: Arc<AtomicBool>,
}
impl Line {
    pub(super) fn new() -> (Self, mpsc::Receiver<Chunk>) {
        let (frames, waiting) = mpsc::channel(WAITING);
        let closed = Arc::default();
        (Self { frames, closed }, waiting)
    }
    /// Waits while the client is slow. Fails when it is gone.
    pub(super) async fn send(&self, bytes: Bytes, offered: Option<Offered>) -> Result<()> {
        let left = || Error::new(Code::BadRequest, Fault::Client, "the client left");
        if self.closed.load(Ordering::Acquire) {
            return Err(left());
        }
        self.frames.send(Chunk { bytes, offered }).await.map_err(|_| left())
    }
    pub(super) async fn text(&self, text: &str) -> Result<()> {
        let mut out = BytesMut::new();
        frame::text(text, &mut out);
        self.send(out.freeze(), None).await
    }
    /// Unless the client is too slow to need it.
    pub(super) fn ping(&self) {
        let mut out = BytesMut::new();
        frame::ping(b"", &mut out);
        let _full_or_gone = self.frames.try_send(Chunk {
            bytes: out.freeze(),
            offered: None,
        });
    }
    /// Once: what is said later is not sent.
    pub(super) async fn close(&self, code: Option<CloseCode>, reason: &str) {
        if self.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut out = BytesMut::new();
        frame::close(code, reason, &mut out);
        let bytes = out.freeze();
        let _gone = self.frames.send(Chunk { bytes, offered: None }).await;
    }
}
/// Until nobody has anything to say any more.
pub(super) async fn write(mut socket: impl AsyncWrite + Unpin, mut frames: mpsc::Receiver<Chunk>) -> io::Result<()> {
    let mut together = BytesMut::new();
    let mut offered = Vec::new();
    while let Some(Chunk { bytes, offered: first }) = frames.recv().await {
        offered.extend(first);
        // Nearly always one alone, which is not copied.
        let mut next = frames.try_recv().ok();
        if next.is_some() {
            together.extend_from_slice(&bytes);
        }
        while let Some(chunk) = next.take() {
            together.extend_from_slice(&chunk.bytes);
            offered.extend(chunk.offered);
            if together.len() < TOGETHER {
                next = frames.try_recv().ok();
            }
        }
        if together.is_empty() {
            socket.write_all(&bytes).await?;
        } else {
            socket.write_all(&together).await?;
            together = BytesMut::new();
        }
        offered.drain(..).for_each(Offered::written);
    }
    socket.shutdown().await
}
