//! What one connection is at, seen from its socket, so that the sweeper can tell a slow client from a busy one.
use super::{client::Client, proxies::Proxies};
use futures::{future::BoxFuture, task::AtomicWaker};
use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

/// Between two requests.
const IDLE: u8 = 0;
/// A head has begun.
const HEAD: u8 = 1;
/// A request is being answered; how long that takes is the handler's matter, and the client's only while it takes nothing of the answer.
const BUSY: u8 = 2;
/// HTTP/2: many requests at once, so the streams that are open are counted instead.
const MANY: u8 = 3;

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
    successor: Mutex<Option<Successor>>,
    handing_over: AtomicBool,
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
            successor: Mutex::default(),
            handing_over: AtomicBool::new(false),
            streams: AtomicU32::new(0),
            partial: AtomicU32::new(0),
            owed: AtomicUsize::new(0),
            due: Mutex::default(),
            is_due: AtomicBool::new(false),
        }
    }
    /// The first bytes have come, of whatever protocol. Said again it changes nothing: a head has its time from its first byte on.
    pub(super) fn begun(&self) {
        if self.phase.load(Ordering::Relaxed) != HEAD {
            self.enter(HEAD);
        }
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
    /// What was [handed over](Self::hand_over) to.
    pub(super) fn successor(&self) -> Option<Successor> {
        if !self.handing_over.load(Ordering::Acquire) {
            return None;
        }
        self.successor.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
    /// A request is being handled.
    pub(super) fn busy(&self) {
        self.enter(BUSY);
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
