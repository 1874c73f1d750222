//! The way to one client: frames in order, written together where several wait.
use bytes::{Bytes, BytesMut};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tidegate_core::{
    drain::Watch,
    error::{Code, Error, Fault, Result},
};
use tidegate_gateway::metrics::Offered;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    sync::{Notify, mpsc},
    time::{sleep, timeout},
};

/// Writes of frames that may wait for a slow client.
const WAITING: usize = 8;
/// What is written at once.
const TOGETHER: usize = 64 << 10;

/// How long a drain waits for a client that takes its last messages slowly.
const GOODBYE: Duration = Duration::from_secs(2);

/// Some frames, and what is owed for them.
struct Chunk {
    bytes: Bytes,
    offered: Option<Offered>,
}
/// Where frames are put. When it is dropped, the writing ends after what was put there.
pub(super) struct Line {
    chunks: mpsc::Sender<Chunk>,
    under_way: Arc<UnderWay>,
    /// Bytes that were put there.
    put: AtomicUsize,
    closed: bool,
}
/// What [`Line`] has sent and [`Waiting::write`] has not written.
#[derive(Default)]
struct UnderWay {
    chunks: AtomicUsize,
    none: Notify,
}
/// The other end of a [`Line`].
pub(super) struct Waiting {
    chunks: mpsc::Receiver<Chunk>,
    under_way: Arc<UnderWay>,
}
fn left() -> Error {
    Error::new(Code::BadRequest, Fault::Client, "the client left")
}
impl Line {
    pub(super) fn new() -> (Self, Waiting) {
        let (sender, chunks) = mpsc::channel(WAITING);
        let under_way = Arc::<UnderWay>::default();
        let line = Self {
            chunks: sender,
            under_way: under_way.clone(),
            put: AtomicUsize::new(0),
            closed: false,
        };
        (line, Waiting { chunks, under_way })
    }
    /// Waits while the client is slow. Fails when it is gone, or was told that this is the end. Not cancel-safe.
    pub(super) async fn send(&self, bytes: Bytes, offered: Option<Offered>) -> Result<()> {
        if self.closed {
            return Err(left());
        }
        self.under_way.chunks.fetch_add(1, Ordering::AcqRel);
        self.put.fetch_add(bytes.len(), Ordering::Relaxed);
        self.chunks.send(Chunk { bytes, offered }).await.map_err(|_| left())
    }
    /// Unless the client is too slow to need it.
    pub(super) fn try_send(&self, bytes: Bytes) {
        if self.closed {
            return;
        }
        self.under_way.chunks.fetch_add(1, Ordering::AcqRel);
        let chunk = Chunk { bytes, offered: None };
        if self.chunks.try_send(chunk).is_err() {
            self.under_way.done(1);
        }
    }
    /// The last frame there is: what is said later is not sent.
    pub(super) async fn last(&mut self, bytes: Bytes) {
        let _gone = self.send(bytes, None).await;
        self.closed = true;
    }
    /// Bytes that were put there since this was asked last.
    pub(super) fn taken(&self) -> usize {
        self.put.swap(0, Ordering::Relaxed)
    }
    /// Nothing waits, nothing is being written.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way.chunks.load(Ordering::Acquire) == 0
    }
    /// Resolves when that is so. Cancel-safe.
    pub(super) async fn idle(&self) {
        loop {
            let none = self.under_way.none.notified();
            if self.is_idle() {
                return;
            }
            none.await;
        }
    }
}
impl UnderWay {
    fn done(&self, chunks: usize) {
        if self.chunks.fetch_sub(chunks, Ordering::AcqRel) == chunks {
            self.none.notify_waiters();
        }
    }
}
impl Waiting {
    /// Until the line is dropped; then the socket is free. Fails also when the client takes nothing for so long.
    pub(super) async fn write<W: AsyncWrite + Unpin>(mut self, mut socket: W, stall: Duration) -> io::Result<W> {
        let mut together = BytesMut::new();
        let mut offered = Vec::new();
        while let Some(Chunk { mut bytes, offered: first }) = self.chunks.recv().await {
            offered.extend(first);
            let mut chunks = 1;
            // Nearly always one alone, which is not copied.
            while let Some(chunk) = (bytes.len() + together.len() < TOGETHER)
                .then(|| self.chunks.try_recv().ok())
                .flatten()
            {
                together.extend_from_slice(&std::mem::take(&mut bytes));
                together.extend_from_slice(&chunk.bytes);
                offered.extend(chunk.offered);
                chunks += 1;
            }
            let bytes = if together.is_empty() {
                bytes
            } else {
                std::mem::take(&mut together).freeze()
            };
            write_all(&mut socket, &bytes, stall).await?;
            offered.drain(..).for_each(Offered::written);
            self.under_way.done(chunks);
        }
        Ok(socket)
    }
}
/// Resolves when a drain has gone on for so long that a client that still takes something is too slow to be waited for. Cancel-safe.
pub(super) async fn held_up(mut drain: Watch) {
    drain.started().await;
    sleep(GOODBYE).await;
}
async fn write_all(socket: &mut (impl AsyncWrite + Unpin), mut bytes: &[u8], stall: Duration) -> io::Result<()> {
    while !bytes.is_empty() {
        match timeout(stall, socket.write(bytes)).await?? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => bytes = bytes.get(written..).unwrap_or_default(),
        }
    }
    Ok(())
}
