//! What one connection is at, seen from its socket, so that the sweeper can tell a slow client from a busy one.
use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU32, Ordering},
    },
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::Notify,
};

/// Between two requests.
const IDLE: u8 = 0;
/// A head has begun.
const HEAD: u8 = 1;
/// A request is being answered; how long that takes is the handler's matter.
const BUSY: u8 = 2;
/// The answer is made; what is left is writing it.
const ANSWERED: u8 = 3;

/// Shared by the connection's task, its requests and the sweeper.
#[derive(Debug)]
pub struct Connection {
    /// Who is calling.
    pub peer: SocketAddr,
    phase: AtomicU8,
    /// The sweeper's tick of the last progress.
    since: AtomicU32,
    /// The tick at which the client stopped taking bytes; 0: it takes them.
    blocked: AtomicU32,
    tick: Arc<AtomicU32>,
    close: Notify,
}
/// In ticks of the sweeper.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowed {
    pub(super) head: u32,
    pub(super) idle: u32,
    pub(super) write: u32,
}
impl Connection {
    pub(super) fn new(peer: SocketAddr, tick: Arc<AtomicU32>) -> Self {
        let since = AtomicU32::new(tick.load(Ordering::Relaxed));
        Self {
            peer,
            phase: AtomicU8::new(IDLE),
            since,
            blocked: AtomicU32::new(0),
            tick,
            close: Notify::new(),
        }
    }
    /// A request is being handled.
    pub(super) fn busy(&self) {
        self.enter(BUSY);
    }
    /// Its answer is made; also called by a streamed body when it ends.
    pub fn answered(&self) {
        self.enter(ANSWERED);
    }
    fn enter(&self, phase: u8) {
        self.phase.store(phase, Ordering::Relaxed);
        self.progress();
    }
    fn progress(&self) {
        self.since.store(self.tick.load(Ordering::Relaxed), Ordering::Relaxed);
    }
    pub(super) fn sweep(&self, now: u32, allowed: Allowed) {
        let waited = now.wrapping_sub(self.since.load(Ordering::Relaxed));
        let blocked = self.blocked.load(Ordering::Relaxed);
        let late = match self.phase.load(Ordering::Relaxed) {
            HEAD => waited > allowed.head,
            IDLE => waited > allowed.idle,
            _ => false,
        };
        if late || blocked != 0 && now.wrapping_sub(blocked) > allowed.write {
            self.close.notify_one();
        }
    }
    /// Resolves when the client made no progress for longer than it may. Cancel-safe.
    pub(super) async fn overdue(&self) {
        self.close.notified().await;
    }
}

/// The socket, told apart by what it does.
pub(super) struct Watched {
    socket: TcpStream,
    connection: Arc<Connection>,
}
impl Watched {
    pub(super) fn new(socket: TcpStream, connection: Arc<Connection>) -> Self {
        Self { socket, connection }
    }
    fn read(&self, bytes: usize) {
        let connection = &self.connection;
        match (connection.phase.load(Ordering::Relaxed), bytes) {
            // The first bytes of the next request.
            (IDLE | ANSWERED, 1..) => connection.enter(HEAD),
            // Asked for more and there is none: the answer is out, the client has the word.
            (ANSWERED, 0) => connection.enter(IDLE),
            _ => {}
        }
    }
    fn wrote<T>(&self, result: &Poll<io::Result<T>>) {
        let connection = &self.connection;
        if result.is_ready() {
            connection.blocked.store(0, Ordering::Relaxed);
            if connection.phase.load(Ordering::Relaxed) != HEAD {
                connection.progress();
            }
        } else if connection.blocked.load(Ordering::Relaxed) == 0 {
            connection
                .blocked
                .store(connection.tick.load(Ordering::Relaxed).max(1), Ordering::Relaxed);
        }
    }
}
impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.socket).poll_read(cx, buf);
        self.read(buf.filled().len() - before);
        result
    }
}
impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.wrote(&result);
        result
    }
    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write_vectored(cx, parts);
        self.wrote(&result);
        result
    }
    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
