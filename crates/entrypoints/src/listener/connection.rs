//! What one connection is at, seen from its socket, so that the sweeper can tell a slow client from a busy one.
use super::{
    client::Client,
    guard::{Guard, Refusal, Then},
    proxies::Proxies,
    transport::Transport,
};
use bytes::{BufMut, Bytes};
use futures::{future::BoxFuture, task::AtomicWaker};
use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Between two requests.
const IDLE: u8 = 0;
/// A head has begun.
const HEAD: u8 = 1;
/// A request is being answered; how long that takes is the handler's matter.
const BUSY: u8 = 2;
/// The answer is made; what is left is writing it.
const ANSWERED: u8 = 3;
/// HTTP/2: many requests at once, so the streams that are open are counted instead.
const MANY: u8 = 4;

/// Up to so many bytes one plain write costs less than a list of parts: a copy is cheap, and the kernel's way is shorter.
const SMALL: usize = 512;

/// What a connection becomes once its last answer is out.
pub type Successor = Box<dyn FnOnce(Client) -> BoxFuture<'static, ()> + Send>;
/// Shared by the connection's task, its requests and the sweeper.
pub struct Connection {
    /// Who is calling.
    pub peer: SocketAddr,
    /// That is a proxy whose word on who is calling is believed, as these are.
    pub(crate) proxies: Option<Arc<Proxies>>,
    /// Nobody between can read what is said.
    pub(crate) secure: bool,
    phase: AtomicU8,
    /// The sweeper's tick of the last progress.
    since: AtomicU32,
    /// The tick at which the client stopped taking bytes; 0: it takes them.
    blocked: AtomicU32,
    tick: Arc<AtomicU32>,
    late: AtomicBool,
    /// The connection's own task.
    task: AtomicWaker,
    /// Answers that are made, and those of them that are written.
    made: AtomicU32,
    written: AtomicU32,
    /// The reader waits for an answer to be written before it ends.
    waiting: AtomicWaker,
    successor: Mutex<Option<Successor>>,
    handing_over: AtomicBool,
    /// The last body asked to be written by the successor; then its head is out.
    asked: AtomicBool,
    left: AtomicBool,
    /// HTTP/2: requests that are not answered to their end.
    streams: AtomicU32,
    /// HTTP/2: the tick at which a frame began that is not whole yet; 0: none.
    partial: AtomicU32,
    /// Bytes of pages that the client has not taken yet.
    owed: AtomicUsize,
    /// To be done once all that was written so far is out.
    due: Mutex<Vec<Due>>,
    is_due: AtomicBool,
}
/// What is done when an answer is out; dropped undone when the connection ends first.
pub(crate) type Due = Box<dyn FnOnce() + Send>;
/// In ticks of the sweeper.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowed {
    pub(super) head: u32,
    pub(super) idle: u32,
    pub(super) write: u32,
}
impl Connection {
    pub(crate) fn new(peer: SocketAddr, tick: Arc<AtomicU32>) -> Self {
        let since = AtomicU32::new(tick.load(Ordering::Relaxed));
        Self {
            peer,
            proxies: None,
            secure: false,
            phase: AtomicU8::new(IDLE),
            since,
            blocked: AtomicU32::new(0),
            tick,
            late: AtomicBool::new(false),
            task: AtomicWaker::new(),
            made: AtomicU32::new(0),
            written: AtomicU32::new(0),
            waiting: AtomicWaker::new(),
            successor: Mutex::default(),
            handing_over: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            left: AtomicBool::new(false),
            streams: AtomicU32::new(0),
            partial: AtomicU32::new(0),
            owed: AtomicUsize::new(0),
            due: Mutex::default(),
            is_due: AtomicBool::new(false),
        }
    }
    /// The first bytes have come, of whatever protocol.
    pub(super) fn begun(&self) {
        self.enter(HEAD);
    }
    /// It has said nothing of HTTP yet.
    pub(super) fn rests(&self) {
        self.enter(IDLE);
    }
    /// It speaks HTTP/2 from here on.
    pub(super) fn many(&self) {
        self.enter(MANY);
    }
    /// A stream of HTTP/2 begins.
    pub(super) fn begin(&self) {
        self.streams.fetch_add(1, Ordering::Relaxed);
        self.progress();
    }
    /// One of them has ended.
    pub(super) fn finish(&self) {
        self.progress();
        self.streams.fetch_sub(1, Ordering::Relaxed);
    }
    /// Streams of HTTP/2 that are open.
    pub(super) fn streams(&self) -> u32 {
        self.streams.load(Ordering::Relaxed)
    }
    /// HTTP/2: whether a frame has begun and is not whole.
    pub(super) fn partial(&self, is: bool) {
        if !is {
            self.partial.store(0, Ordering::Relaxed);
        } else if self.partial.load(Ordering::Relaxed) == 0 {
            self.partial.store(self.tick.load(Ordering::Relaxed).max(1), Ordering::Relaxed);
        }
    }
    /// So many bytes more are made for a client that takes them in its own time; `None`: with its other streams it is owed too much already.
    pub(crate) fn owe(self: &Arc<Self>, bytes: usize, most: usize) -> Option<Owed> {
        let before = self.owed.fetch_add(bytes, Ordering::Relaxed);
        let owed = Owed(self.clone(), bytes);
        (self.streams() <= 1 || before == 0 || before.saturating_add(bytes) <= most).then_some(owed)
    }
    /// Done once what is being written is out: handed to the system, not only to the parser.
    pub(crate) fn when_out(&self, due: Due) {
        self.due.lock().unwrap_or_else(PoisonError::into_inner).push(due);
        self.is_due.store(true, Ordering::Release);
    }
    /// All that was written is out.
    fn is_out(&self) {
        if self.is_due.swap(false, Ordering::AcqRel) {
            let due = std::mem::take(&mut *self.due.lock().unwrap_or_else(PoisonError::into_inner));
            for due in due {
                due();
            }
        }
    }
    /// After the head of this answer the connection is no longer HTTP.
    pub(crate) fn hand_over(&self, successor: Successor) {
        *self.successor.lock().unwrap_or_else(PoisonError::into_inner) = Some(successor);
        self.handing_over.store(true, Ordering::Release);
    }
    /// The body of the last answer is due: from the next flush on, its head is out.
    pub(crate) fn leave(&self) {
        self.asked.store(true, Ordering::Release);
    }
    /// All of HTTP is written.
    pub(super) fn has_left(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }
    pub(super) fn successor(&self) -> Option<Successor> {
        self.successor.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
    /// A request is being handled.
    pub(super) fn busy(&self) {
        self.enter(BUSY);
    }
    /// Its answer is made, to the end of its body.
    pub(super) fn answered(&self) {
        self.made.fetch_add(1, Ordering::Release);
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
            // An answer that is still being written makes progress, or is blocked.
            IDLE | ANSWERED => waited > allowed.idle,
            MANY => {
                let partial = self.partial.load(Ordering::Relaxed);
                self.streams() == 0 && waited > allowed.idle || partial != 0 && now.wrapping_sub(partial) > allowed.head
            }
            _ => false,
        };
        if late || blocked != 0 && now.wrapping_sub(blocked) > allowed.write {
            self.late.store(true, Ordering::Release);
            self.wake();
        }
    }
    /// What became of a write.
    pub(super) fn wrote<T>(&self, result: &Poll<io::Result<T>>) {
        if result.is_ready() {
            self.blocked.store(0, Ordering::Relaxed);
            // Of HTTP/2 an answer to a ping would count, too.
            if !matches!(self.phase.load(Ordering::Relaxed), HEAD | MANY) {
                self.progress();
            }
        } else if self.blocked.load(Ordering::Relaxed) == 0 {
            self.blocked.store(self.tick.load(Ordering::Relaxed).max(1), Ordering::Relaxed);
        }
    }
    /// What became of a flush: only TLS holds anything back, so mostly there is nothing to tell.
    pub(super) fn flushed(&self, result: &Poll<io::Result<()>>) {
        if matches!(result, Poll::Ready(Ok(()))) && self.is_due.load(Ordering::Acquire) {
            self.is_out();
        }
        if result.is_pending() || self.blocked.load(Ordering::Relaxed) != 0 {
            self.wrote(result);
        }
    }
    /// Has its task look round: it is late, or a drain has begun.
    pub(super) fn wake(&self) {
        self.task.wake();
    }
    /// Of the task that [`Connection::wake`] is to wake; before it looks round.
    pub(super) fn is_watched_by(&self, cx: &Context<'_>) {
        self.task.register(cx.waker());
    }
    /// The client made no progress for longer than it may.
    pub(super) fn is_late(&self) -> bool {
        self.late.load(Ordering::Acquire)
    }
    /// Resolves then. Cancel-safe.
    pub(super) async fn overdue(&self) {
        poll_fn(|cx| {
            self.is_watched_by(cx);
            if self.is_late() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// Bytes that are made and not taken; dropped with the last of them.
pub(crate) struct Owed(Arc<Connection>, usize);
impl Drop for Owed {
    fn drop(&mut self) {
        self.0.owed.fetch_sub(self.1, Ordering::Relaxed);
    }
}

/// The request it belongs to is answered when this is dropped: with a body that goes on, or before it.
pub struct Answered(pub(super) Arc<Connection>);
impl Drop for Answered {
    fn drop(&mut self) {
        self.0.answered();
    }
}

/// The client's socket: its progress is watched, and its framing guarded as long as it speaks HTTP.
pub struct Socket {
    stream: Transport,
    guard: Guard,
    refused: Option<Refusal>,
    connection: Arc<Connection>,
    /// What was read to learn which protocol the client speaks.
    early: Bytes,
}
impl Socket {
    pub(super) fn new(socket: Transport, early: Bytes, head: usize, connection: Arc<Connection>) -> Self {
        Self {
            early,
            stream: socket,
            guard: Guard::new(head),
            refused: None,
            connection,
        }
    }
    /// A head that was refused is still to be answered.
    pub(super) fn unanswered(&self) -> Option<Refusal> {
        self.refused.filter(|refusal| !refusal.is_of_body())
    }
    /// The socket, and what has come and was not taken, for whoever speaks something else from here on. `None`: a head was refused behind the
    /// request that asked for it, so bytes are lost and nobody can go on.
    pub(super) fn into_other(self) -> Option<(Transport, Bytes)> {
        let held = [self.guard.ready(), &self.early].concat();
        self.refused.is_none().then(|| (self.stream, held.into()))
    }
    pub(super) fn into_socket(self) -> Transport {
        self.stream
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
    /// Nothing more of the client is listened to: at once if a body is refused, else after all that came before is answered.
    fn end(&self, refusal: Refusal, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let connection = &self.connection;
        let answered = || connection.written.load(Ordering::Acquire) == self.guard.heads();
        if refusal.is_of_body() || answered() {
            return Poll::Ready(Ok(()));
        }
        connection.waiting.register(cx.waker());
        if answered() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
    /// Before the client learns that it may speak something else.
    fn step_aside(&mut self) {
        if self.connection.handing_over.load(Ordering::Acquire) {
            self.guard.release();
        }
    }
}
impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            let ready = this.guard.ready();
            let length = ready.len().min(buf.remaining());
            if length > 0 {
                buf.put_slice(ready.get(..length).unwrap_or_default());
                this.guard.consume(length);
                return Poll::Ready(Ok(()));
            }
            if let Some(refusal) = this.refused {
                return this.end(refusal, cx);
            }
            let before = buf.filled().len();
            let result = if this.early.is_empty() {
                Pin::new(&mut this.stream).poll_read(cx, buf)
            } else {
                let early = this.early.split_to(this.early.len().min(buf.remaining()));
                buf.put_slice(&early);
                Poll::Ready(Ok(()))
            };
            let bytes = buf.filled().len() - before;
            this.read(bytes);
            ready!(result)?;
            if bytes == 0 {
                return Poll::Ready(Ok(()));
            }
            let verdict = this.guard.feed(buf.filled().get(before..).unwrap_or_default());
            buf.set_filled(before + verdict.pass);
            if let Then::Refused(refusal) = verdict.then {
                this.refused = Some(refusal);
            }
            if verdict.pass > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}
impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.step_aside();
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.connection.wrote(&result);
        result
    }
    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.step_aside();
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let stream = Pin::new(&mut self.stream);
        let result = if length <= SMALL {
            let mut gathered = [0; SMALL];
            let mut rest = &mut gathered[..];
            for part in parts {
                rest.put_slice(part);
            }
            stream.poll_write(cx, gathered.get(..length).unwrap_or_default())
        } else {
            stream.poll_write_vectored(cx, parts)
        };
        self.connection.wrote(&result);
        result
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
    /// Reached only when all that was to be written is: the answers made so far are out.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        let connection = &self.connection;
        connection.flushed(&flushed);
        ready!(flushed)?;
        if connection.asked.load(Ordering::Acquire) {
            connection.left.store(true, Ordering::Release);
        }
        let made = connection.made.load(Ordering::Acquire);
        if connection.written.swap(made, Ordering::Release) != made {
            connection.waiting.wake();
        }
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
