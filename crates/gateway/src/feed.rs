//! One upstream read for everybody who wants the same messages: a task reads, the ring keeps what came lately, seats stand in it.
mod ring;
mod room;

pub(crate) use ring::{Taken, write};
pub(crate) use room::{Permit, Room};

use crate::{
    flow::{self, Upstream, WINDOW},
    metrics::Class,
    route::Route,
};
use ring::Ring;
use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Waker,
};
use tidegate_core::{
    delivery::Delivery,
    error::{Code, Error, Fault, Result},
    exchange::Exchange,
    framing::Framing,
    position::Cursor,
    tasks::{self, Task},
};
use tokio::sync::{Notify, mpsc, oneshot};

/// How much of one feed is kept, at most.
const RING_BYTES: usize = 1 << 20;
const RING_MESSAGES: usize = 4_096;
/// What a ring may keep until the next message though nobody needs it: of small messages the memory is used again.
const LITTLE: usize = 4 << 10;
/// Those who come at once and wait for a look.
const LOOKS: usize = 1_024;
/// How often a look reads before it is enough: a publisher may be faster.
const LOOKED_AT_ONCE: usize = 64;

/// What all seats of a feed share. The reading ends when the last of them goes.
pub struct Feed {
    shared: Arc<Shared>,
    looks: mpsc::Sender<Look>,
    _reading: Task,
}
/// Asks for the head and the place there, once all that there is now has been read.
type Look = oneshot::Sender<(u64, Arc<Cursor>)>;
struct Shared {
    ring: Mutex<Ring>,
    /// The number of the next message: stored when every lane has its frames.
    head: AtomicU64,
    /// For those who read on tasks of their own.
    news: Notify,
    bells: Mutex<Vec<Arc<Bell>>>,
    ended: OnceLock<Option<Error>>,
    /// Whether a place that is no longer in the ring can be read again.
    resumes: bool,
    room: Arc<Room>,
}
/// Rung when there is something new, for seats that somebody looks after; rings once until it is heard.
pub(crate) struct Bell {
    rung: AtomicBool,
    wake: Waker,
    /// All of those seats stand there or behind it.
    place: AtomicU64,
}
impl Bell {
    pub(crate) fn new(wake: Waker) -> Arc<Self> {
        Arc::new(Self {
            rung: AtomicBool::new(false),
            wake,
            place: AtomicU64::new(u64::MAX),
        })
    }
    fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.wake.wake_by_ref();
        }
    }
    /// Before looking: what comes from now on rings again. A swap, not a store: it sees all that was there before the ring it takes back.
    pub(crate) fn heard(&self) {
        self.rung.swap(false, Ordering::AcqRel);
    }
    /// All of its seats have taken what lies before that number: it is needed no more.
    pub(crate) fn stand_at(&self, number: u64) {
        self.place.store(number, Ordering::Release);
    }
    fn place(&self) -> u64 {
        self.place.load(Ordering::Acquire)
    }
}
impl Feed {
    /// Reads what arrives from now on.
    pub(crate) fn open(route: Arc<Route>, from: Upstream, resumes: bool, room: Arc<Room>) -> Arc<Self> {
        let (looks, asked) = mpsc::channel(LOOKS);
        let shared = Arc::new(Shared {
            ring: Mutex::new(Ring::new(from.cursor().unwrap_or_default())),
            head: AtomicU64::new(0),
            news: Notify::new(),
            bells: Mutex::default(),
            ended: OnceLock::new(),
            resumes,
            room,
        });
        let reading = tasks::spawn(read(shared.clone(), route, from, asked));
        Arc::new(Self {
            shared,
            looks,
            _reading: reading,
        })
    }
    /// A seat at the head, once everything that was there before the call is behind it.
    pub(crate) async fn seat(self: &Arc<Self>, framing: &'static dyn Framing, class: Arc<Class>) -> Result<Seat> {
        // In the lane first: what comes while we wait has its frames.
        let mut seat = Seat::new(self.clone(), framing, class);
        let (number, cursor) = self.look().await?;
        seat.advance(number, cursor);
        Ok(seat)
    }
    /// The head and the place there, once everything that was there before the call is read. Cancel-safe.
    pub(crate) async fn look(&self) -> Result<(u64, Arc<Cursor>)> {
        let (answer, looked) = oneshot::channel();
        let asked = self.looks.send(answer).await;
        match looked.await {
            Ok(place) if asked.is_ok() => Ok(place),
            _ => Err(self.why()),
        }
    }
    pub(crate) fn has_ended(&self) -> bool {
        self.shared.ended.get().is_some()
    }
    /// The error it ended with.
    fn why(&self) -> Error {
        match self.shared.ended.get() {
            Some(Some(error)) => error.again(),
            _ => Error::new(Code::NotFound, Fault::Client, "the source has ended"),
        }
    }
    /// Everybody up to that number was written to who could be. What all have taken is forgotten, where it is not little; and where memory is
    /// short nothing is kept for the others either: they read it again, or are told the gap.
    pub(crate) fn taken(&self, number: u64) {
        let shared = &self.shared;
        let mut ring = shared.ring();
        let before = ring.bytes();
        let all_have = || ring.are_looked_after() && shared.slowest() >= number;
        let is_short = || shared.room.is_over() && !shared.bells().iter().any(|bell| bell.rung.load(Ordering::Acquire));
        if ring.head() == number && (before > LITTLE && all_have() || is_short()) {
            ring.forget();
            shared.room.resize(before, ring.bytes());
        }
    }
    /// For what one client alone keeps waiting.
    pub(crate) fn room(&self) -> &Room {
        &self.shared.room
    }
    pub(crate) fn head(&self) -> u64 {
        self.shared.head.load(Ordering::Acquire)
    }
    pub(crate) fn resumes(&self) -> bool {
        self.shared.resumes
    }
    pub(crate) fn take(&self, lane: &str, from: u64, to: u64, most: usize) -> Taken {
        self.shared.ring().take(lane, from, to, most)
    }
    pub(crate) fn add(&self, bell: Arc<Bell>) {
        self.shared.bells().push(bell);
    }
    pub(crate) fn remove(&self, bell: &Arc<Bell>) {
        self.shared.bells().retain(|other| !Arc::ptr_eq(other, bell));
    }
}
impl Shared {
    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn bells(&self) -> MutexGuard<'_, Vec<Arc<Bell>>> {
        self.bells.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Ring and lanes first, then the head, then everybody is woken: no frame is seen that is not in every lane.
    fn append(&self, delivery: Delivery, cursor: Option<Cursor>) {
        let mut ring = self.ring();
        let before = ring.bytes();
        if let Some(gap) = delivery.gap() {
            ring.gap(gap.clone());
        }
        ring.messages(delivery.items());
        if let Some(cursor) = cursor {
            ring.passed(cursor);
        }
        let taken = if ring.are_looked_after() { self.slowest() } else { 0 };
        ring.shrink(taken, RING_BYTES.min(self.room.left_beside(before)), RING_MESSAGES);
        let (head, after) = (ring.head(), ring.bytes());
        drop(ring);
        delivery.accept();
        self.room.resize(before, after);
        self.head.store(head, Ordering::Release);
        self.tell();
    }
    /// Of all seats that somebody looks after.
    fn slowest(&self) -> u64 {
        self.bells().iter().map(|bell| bell.place()).min().unwrap_or(0)
    }
    fn tell(&self) {
        self.bells().iter().for_each(|bell| bell.ring());
        self.news.notify_waiters();
    }
}
impl Drop for Shared {
    fn drop(&mut self) {
        let held = self.ring.get_mut().unwrap_or_else(PoisonError::into_inner).bytes();
        self.room.resize(held, 0);
    }
}
async fn read(shared: Arc<Shared>, route: Arc<Route>, from: Upstream, asked: mpsc::Receiver<Look>) {
    let ended = read_on(&shared, &route, from, asked).await.err();
    let _only_here = shared.ended.set(ended);
    shared.tell();
}
async fn read_on(shared: &Shared, route: &Route, mut from: Upstream, mut asked: mpsc::Receiver<Look>) -> Result<()> {
    let nobody = Exchange::new(route.name.clone());
    loop {
        tokio::select! {
            biased;
            Some(look) = asked.recv() => {
                // One look serves all who have come.
                let mut looks = vec![look];
                while let Ok(another) = asked.try_recv() {
                    looks.push(another);
                }
                look_round(shared, route, &nobody, &mut from).await?;
                if let Some(cursor) = from.cursor() {
                    shared.ring().passed(cursor);
                }
                for look in looks {
                    let ring = shared.ring();
                    let _gone = look.send((ring.head(), ring.cursor().clone()));
                }
            }
            next = from.next(WINDOW) => match next? {
                Some(delivery) => pass(shared, route, &nobody, delivery, from.cursor()).await?,
                None => return Ok(()),
            }
        }
    }
}
/// Reads what there is now.
async fn look_round(shared: &Shared, route: &Route, nobody: &Exchange, from: &mut Upstream) -> Result<()> {
    for _ in 0..LOOKED_AT_ONCE {
        let before = from.cursor();
        match from.ready(WINDOW).await? {
            Some(delivery) => pass(shared, route, nobody, delivery, from.cursor()).await?,
            // It may have passed over much that nobody here wants.
            None if from.cursor() != before => {}
            None => break,
        }
    }
    Ok(())
}
async fn pass(shared: &Shared, route: &Route, nobody: &Exchange, mut delivery: Delivery, cursor: Option<Cursor>) -> Result<()> {
    flow::deliver(route, nobody, &mut delivery).await?;
    shared.append(delivery, cursor);
    Ok(())
}

/// Somebody's place in a feed: all before it was written, or told as a gap.
pub struct Seat {
    feed: Arc<Feed>,
    framing: &'static dyn Framing,
    class: Arc<Class>,
    /// The next message.
    number: u64,
    /// Behind all before it.
    cursor: Arc<Cursor>,
    /// What is not taken of it is lost to its subscriber when it goes.
    occupied: bool,
    /// A bell says where it stands.
    looked_after: bool,
}
impl Seat {
    fn new(feed: Arc<Feed>, framing: &'static dyn Framing, class: Arc<Class>) -> Self {
        let mut ring = feed.shared.ring();
        ring.join(framing);
        ring.leave_alone();
        let (number, cursor) = (ring.head(), ring.cursor().clone());
        drop(ring);
        Self {
            feed,
            framing,
            class,
            number,
            cursor,
            occupied: false,
            looked_after: false,
        }
    }
    /// It has a place in what is told of that bell from now on.
    pub(crate) fn look_after(&mut self, bell: &Bell) {
        bell.place.fetch_min(self.number, Ordering::AcqRel);
        if !std::mem::replace(&mut self.looked_after, true) {
            self.feed.shared.ring().look_after();
        }
    }
    /// From now on it takes by itself: what it has not taken stays, whatever a bell says.
    pub(crate) fn leave_alone(&mut self) {
        if std::mem::replace(&mut self.looked_after, false) {
            self.feed.shared.ring().leave_alone();
        }
    }
    /// From now on its subscriber reads here.
    pub(crate) fn occupy(&mut self) {
        self.occupied = true;
    }
    /// From now on it reads elsewhere; without a way back, what it has not taken is lost to it.
    pub(crate) fn vacate(&mut self) {
        self.occupied &= !self.feed.resumes();
    }
    pub(crate) fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }
    pub(crate) fn framing(&self) -> &'static dyn Framing {
        self.framing
    }
    pub(crate) fn class(&self) -> &Arc<Class> {
        &self.class
    }
    pub(crate) fn number(&self) -> u64 {
        self.number
    }
    /// Everything up to there is written, or on its way.
    pub(crate) fn advance(&mut self, number: u64, cursor: Arc<Cursor>) {
        self.number = number;
        self.cursor = cursor;
    }
    pub(crate) fn cursor(&self) -> &Arc<Cursor> {
        &self.cursor
    }
    /// All that it has not taken is in the ring, as frames.
    pub(crate) fn is_near_head(&self) -> bool {
        !self.feed.has_ended() && self.feed.shared.ring().holds(self.number)
    }
    /// At most so many messages and bytes.
    pub(crate) fn take(&mut self, most: u64, bytes: usize) -> Taken {
        let (to, ring) = (self.number.saturating_add(most), self.feed.shared.ring());
        let taken = ring.take(self.framing.name(), self.number, to, bytes);
        drop(ring);
        match &taken {
            Taken::Run(run) => self.advance(run.to, run.cursor.clone()),
            Taken::Gap(_, to, cursor) => self.advance(*to, cursor.clone()),
            Taken::Behind | Taken::Nothing => {}
        }
        taken
    }
    /// Gives up what is missing and goes on with what comes now: how many messages that were, and the place before and behind them.
    pub(crate) fn skip(&mut self) -> (u64, Cursor, Cursor) {
        let ring = self.feed.shared.ring();
        let (head, to) = (ring.head(), ring.cursor().clone());
        drop(ring);
        let from = Cursor::clone(&self.cursor);
        let missed = head - self.number;
        self.advance(head, to.clone());
        (missed, from, Cursor::clone(&to))
    }
    /// Resolves when there may be something to take. The end of the source is an error, or `false`. Cancel-safe.
    pub(crate) async fn more(&self) -> Result<bool> {
        loop {
            let mut news = std::pin::pin!(self.feed.shared.news.notified());
            // Before looking: what comes in between must wake us.
            news.as_mut().enable();
            if self.feed.head() > self.number {
                return Ok(true);
            }
            match self.feed.shared.ended.get() {
                Some(Some(error)) => return Err(error.again()),
                Some(None) => return Ok(false),
                None => news.await,
            }
        }
    }
}
impl Drop for Seat {
    fn drop(&mut self) {
        let mut ring = self.feed.shared.ring();
        ring.leave(self.framing);
        if !self.looked_after {
            ring.look_after();
        }
        drop(ring);
        if self.occupied {
            self.class.cut(self.feed.head() - self.number);
        }
    }
}
