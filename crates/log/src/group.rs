//! A group: consumers that share one position in a stream, message by message. What it promises is in `FORMAT.md`.
mod burial;
mod live;
mod member;
mod row;
mod waiting;

pub(crate) use burial::{Burial, Confirm};
pub(crate) use live::Changes;
pub use member::{Changed, Member};
pub(crate) use row::Row;

use crate::{le, progress::Progress, stream::Stream};
use live::Live;
use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};
use tidegate_core::{clock, error::Error, settle::Done};
use tokio::sync::Notify;

/// What a group is asked to be. The one that makes it decides; who comes later with another wish changes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupSpec {
    /// How often a message is delivered before it becomes a dead letter; `None`: as often as it is given back.
    pub deliveries: Option<u32>,
    /// The stream that takes dead letters, made at need; `None`: `<stream>.dead`.
    pub dead_letters: Option<String>,
}
/// How somebody takes part in a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// It keeps an order, alone: it gets what waits before anything else, in the order of the stream; what has to wait on says so
    /// ([`tidegate_core::delivery::Delivery::waits_until`]).
    pub ordered: bool,
    /// It reads ahead: that a message was handed out is no attempt, neither now nor after a start.
    pub ahead: bool,
}
/// Numbers of one group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupStats {
    /// Not done, whether delivered or not.
    pub pending: u64,
    /// Delivered and not settled.
    pub out: u64,
    /// Given back, and waiting for their time.
    pub waiting: u64,
    /// Append time of the oldest that is not done, in microseconds, not later than it was; `None`: all is done.
    pub oldest: Option<i64>,
    /// Done, since the start.
    pub done: u64,
    /// Became dead letters, since the start.
    pub dead: u64,
    /// Passed their time before they were delivered, since the start.
    pub expired: u64,
    /// Forgotten or lost by the stream before they were done, since the start.
    pub missed: u64,
    /// Rejected, and not yet in the stream of dead letters.
    pub dying: u64,
}
/// Messages that were given up and cannot become dead letters yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// How many there are.
    pub messages: u64,
    /// Why.
    pub error: Box<str>,
}
impl GroupStats {
    /// Of both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            pending: self.pending + other.pending,
            out: self.out + other.out,
            waiting: self.waiting + other.waiting,
            oldest: self.oldest.into_iter().chain(other.oldest).min(),
            done: self.done + other.done,
            dead: self.dead + other.dead,
            expired: self.expired + other.expired,
            missed: self.missed + other.missed,
            dying: self.dying + other.dying,
        }
    }
}

/// `<stream>.dead`; of a name that leaves no room for it the beginning, and what tells it from others that begin so.
fn of_its_own(stream: &str) -> String {
    const DEAD: &str = ".dead";
    const MOST: usize = 255;
    if stream.len() + DEAD.len() <= MOST {
        return format!("{stream}{DEAD}");
    }
    let mark = format!(".{:08x}{DEAD}", crate::hash::murmur3(stream.as_bytes(), 0));
    // Names are ASCII.
    let begin = stream.get(..MOST - mark.len()).unwrap_or_default();
    format!("{begin}{mark}")
}
/// The key of its progress in one partition.
pub(crate) fn key(group: u32, partition: u32) -> [u8; 8] {
    let mut key = [0; 8];
    le::put(&mut key, 0, &group.to_le_bytes());
    le::put(&mut key, 4, &partition.to_le_bytes());
    key
}

/// A shared position in one stream. Alive as long as somebody holds it.
pub struct Group {
    pub(crate) number: u32,
    name: String,
    stream: Arc<Stream>,
    created: i64,
    spec: Mutex<GroupSpec>,
    live: Mutex<Live>,
    /// Something may be ready, or there may be room again.
    woke: Notify,
    /// Of each partition, as the journal has it: all below is done.
    floors: Box<[AtomicU64]>,
    deleted: AtomicBool,
    counters: Counters,
    /// Why what it gave up could not become dead letters when that was tried last.
    stuck: Mutex<Option<Box<str>>>,
}
#[derive(Debug, Default)]
struct Counters {
    done: AtomicU64,
    dead: AtomicU64,
    expired: AtomicU64,
    missed: AtomicU64,
}
impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Group {
    /// As its row and its progress say; one progress per partition.
    pub(crate) fn new(row: &Row, stream: Arc<Stream>, progress: Vec<Progress>) -> Self {
        Self {
            number: row.number,
            name: row.name.clone(),
            created: row.created,
            spec: Mutex::new(row.spec.clone()),
            floors: progress.iter().map(|progress| AtomicU64::new(progress.floor)).collect(),
            live: Mutex::new(Live::new(progress)),
            woke: Notify::new(),
            deleted: AtomicBool::new(false),
            counters: Counters::default(),
            stuck: Mutex::default(),
            stream,
        }
    }
    /// Never used twice.
    pub fn number(&self) -> u32 {
        self.number
    }
    /// As it was made.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// What it reads.
    pub fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }
    /// The settings now.
    pub fn spec(&self) -> GroupSpec {
        self.spec.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    pub(crate) fn set_spec(&self, spec: GroupSpec) {
        *self.spec.lock().unwrap_or_else(PoisonError::into_inner) = spec;
    }
    pub(crate) fn row(&self) -> Row {
        Row {
            number: self.number,
            stream: self.stream.number(),
            created: self.created,
            spec: self.spec(),
            name: self.name.clone(),
        }
    }
    /// Its members have ended.
    pub fn is_deleted(&self) -> bool {
        self.deleted.load(Relaxed) || self.stream.is_deleted()
    }
    pub(crate) fn delete(&self) {
        self.deleted.store(true, Relaxed);
        self.woke.notify_waiters();
    }
    /// What it gave up and cannot let go: tried again twice a second.
    pub fn stuck(&self) -> Option<Stuck> {
        let error = self.stuck.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let messages = self.live().dying() as u64;
        (messages > 0).then_some(Stuck { messages, error })
    }
    pub(crate) fn set_stuck(&self, why: Option<Box<str>>) {
        *self.stuck.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }
    /// The stream that takes its dead letters.
    pub fn dead_letters(&self) -> String {
        self.spec().dead_letters.unwrap_or_else(|| of_its_own(self.stream.name()))
    }
    /// Whether nobody needs to see that message any more.
    pub fn is_done(&self, partition: u32, offset: u64) -> bool {
        self.undone(partition, offset) != offset
    }
    /// The first offset from there on that it is not done with; there may be nothing at it yet.
    pub(crate) fn undone(&self, partition: u32, from: u64) -> u64 {
        let live = self.live();
        let Some(progress) = live.progress().nth(partition as usize) else {
            return from;
        };
        let from = from.max(progress.floor);
        progress.done.at(from).map_or(from, |(_, to)| to)
    }
    /// Done with a message wherever it is, and with all that its stream has forgotten; `done` hears when the journal has it.
    pub(crate) fn finish(&self, partition: u32, offset: u64, done: Done) {
        let forgotten = self.stream.partition(partition).map_or(0, |home| home.range().0);
        let mut live = self.live();
        live.pass(partition, 0..forgotten);
        live.pass(partition, offset..offset + 1);
        live.confirm(done, 0, true);
        // Whoever calls tells the commit thread at once.
        let _told = live.wants_writing();
        drop(live);
        self.counters.done.fetch_add(1, Relaxed);
    }
    /// Below which all is done and will stay so.
    pub(crate) fn floor(&self, partition: u32) -> u64 {
        self.floors.get(partition as usize).map_or(0, |floor| floor.load(Relaxed))
    }
    /// Numbers for metrics. Locks the group and the partitions shortly.
    pub fn stats(&self) -> GroupStats {
        let live = self.live();
        let mut stats = GroupStats {
            out: live.out() as u64,
            waiting: live.waiting(clock::now_us()) as u64,
            dying: live.dying() as u64,
            done: self.counters.done.load(Relaxed),
            dead: self.counters.dead.load(Relaxed),
            expired: self.counters.expired.load(Relaxed),
            missed: self.counters.missed.load(Relaxed),
            ..GroupStats::default()
        };
        for (home, progress) in self.stream.homes.iter().zip(live.progress()) {
            let places = home.places();
            let floor = progress.floor.max(places.floor);
            // What the stream has forgotten may have been done.
            let pending = places.end.saturating_sub(floor).saturating_sub(progress.done.count_from(floor));
            stats.pending += pending;
            if pending > 0 {
                let time = places.time_of(floor);
                stats.oldest = Some(stats.oldest.map_or(time, |oldest| oldest.min(time)));
            }
        }
        stats
    }
    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the next frame has to say; the commit thread asks.
    pub(crate) fn take_changes(&self) -> Changes {
        self.live().take_changes()
    }
    /// The frame could not be written: it is said again with the next one. Whether the group must be asked again.
    pub(crate) fn put_back(&self, changes: Vec<(u32, Progress)>) -> bool {
        self.live().put_back(changes)
    }
    /// The journal has it.
    pub(crate) fn kept(&self, partition: u32, floor: u64) {
        if let Some(kept) = self.floors.get(partition as usize) {
            kept.fetch_max(floor, Relaxed);
        }
    }
    /// Rejected messages that are to become dead letters.
    pub(crate) fn take_dying(&self, most: usize) -> Vec<Burial> {
        self.live().take_dying(most)
    }
    /// It could not be done now.
    pub(crate) fn still_dying(&self, burial: Burial) {
        self.live().still_dying(burial);
    }
    /// Nor, for now, can any other.
    pub(crate) fn not_yet(&self, error: &Error) {
        self.live().not_yet(error);
    }
    /// It is a dead letter now, or there is nothing left of it.
    pub(crate) fn buried(&self) {
        self.counters.dead.fetch_add(1, Relaxed);
        self.live().buried();
    }
    /// The journal says that it is done with that message.
    pub(crate) fn finished(&self, partition: u32, offset: u64) {
        self.live().finished(partition, offset);
        self.woke.notify_waiters();
    }
    /// Done with a message that is not out; whether the commit thread has to be told.
    pub(crate) fn drop_message(&self, partition: u32, offset: u64) -> bool {
        let mut live = self.live();
        live.pass(partition, offset..offset + 1);
        live.wants_writing()
    }
}
