//! What waits for a shard: new sockets, sockets that called, feeds with news.
use super::Member;
use futures::task::AtomicWaker;
use std::{
    future::poll_fn,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Poll, Wake, Waker},
};

pub(super) struct Desk {
    mail: Mutex<Mail>,
    waker: AtomicWaker,
    members: AtomicUsize,
}
/// Each number at most once until it is taken.
#[derive(Default)]
pub(super) struct Mail {
    pub(super) new: Vec<Member>,
    /// Sockets that can be read from or written to.
    pub(super) ready: Vec<usize>,
    /// Groups whose feeds have something new.
    pub(super) news: Vec<usize>,
}
impl Mail {
    fn is_empty(&self) -> bool {
        self.new.is_empty() && self.ready.is_empty() && self.news.is_empty()
    }
}
impl Desk {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            mail: Mutex::default(),
            waker: AtomicWaker::new(),
            members: AtomicUsize::new(0),
        })
    }
    /// Takes one more, unless there are `full` already: then it comes back.
    pub(super) fn seat(&self, member: Member, full: usize) -> Result<Member, ()> {
        if self.members.load(Ordering::Acquire) >= full {
            return Ok(member);
        }
        self.members.fetch_add(1, Ordering::AcqRel);
        self.lock().new.push(member);
        self.waker.wake();
        Err(())
    }
    pub(super) fn left(&self) {
        self.members.fetch_sub(1, Ordering::AcqRel);
    }
    /// All there is; waits while there is nothing. Cancel-safe.
    pub(super) async fn mail(&self) -> Mail {
        poll_fn(|cx| {
            self.waker.register(cx.waker());
            let mut mail = self.lock();
            if mail.is_empty() {
                return Poll::Pending;
            }
            Poll::Ready(std::mem::take(&mut *mail))
        })
        .await
    }
    /// Whether there is any now.
    pub(super) fn has_mail(&self) -> bool {
        !self.lock().is_empty()
    }
    /// The waker of a socket.
    pub(super) fn bell(self: &Arc<Self>, number: usize) -> Arc<Bell> {
        Arc::new(Bell {
            desk: self.clone(),
            number,
            rung: AtomicBool::new(false),
        })
    }
    /// The waker of a group.
    pub(super) fn news(self: &Arc<Self>, group: usize) -> Waker {
        Arc::new(News { desk: self.clone(), group }).into()
    }
    fn lock(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
pub(super) struct Bell {
    desk: Arc<Desk>,
    number: usize,
    rung: AtomicBool,
}
impl Bell {
    /// Before looking at the socket: what happens from now on rings again.
    pub(super) fn heard(&self) {
        self.rung.swap(false, Ordering::AcqRel);
    }
}
impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.desk.lock().ready.push(self.number);
            self.desk.waker.wake();
        }
    }
}
struct News {
    desk: Arc<Desk>,
    group: usize,
}
impl Wake for News {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.desk.lock().news.push(self.group);
        self.desk.waker.wake();
    }
}
