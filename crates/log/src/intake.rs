//! What waits for the commit thread: bounded in bytes, and that bound is what slows publishers down.
use crate::{
    append::Handed,
    error::Error,
    group::{self, Group},
    stream::{Row, Stream},
};
use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::{Duration, Instant},
};
use tidegate_core::{clock, receipt::Keep};
use tokio::sync::Semaphore;

/// Records of no more bytes are copied to those that came before: their own memory goes back on the thread that took it, and what the commit
/// thread walks through lies side by side.
const COPIED: usize = 4 << 10;
/// Of the memory for what waits so much is kept for what comes.
const ROOM: usize = 1 << 20;

/// What one call handed over.
pub(crate) enum Submission {
    Append(Handed, Held),
    /// Changes of the catalog, written as rows before they hold.
    Change(Change, Keep),
    /// A group has something to say.
    Settle(Arc<Group>),
}
pub(crate) enum Change {
    Create(Row),
    Alter(Arc<Stream>, Row),
    Delete(Arc<Stream>),
    /// A group is made, or its settings change; where it begins in each partition, if it is new.
    Group(group::Row, Vec<u64>),
    DeleteGroup(Arc<Group>),
    /// Some partitions forget all they have; how many records that was is added up.
    Purge(Arc<Stream>, std::ops::Range<u32>, Arc<AtomicU64>),
}

/// Where the bytes of a call's records are.
pub(crate) enum Held {
    /// In [`Waiting::bytes`], from there on.
    Among(usize),
    Alone(Vec<u8>),
}
/// What waits, in the order in which it came.
#[derive(Default)]
pub(crate) struct Waiting {
    pub(crate) submissions: VecDeque<Submission>,
    /// Of small records.
    pub(crate) bytes: Vec<u8>,
    /// Of all records.
    pub(crate) size: usize,
}
impl Waiting {
    fn hold(&mut self, bytes: &mut Vec<u8>) -> Held {
        self.size += bytes.len();
        if bytes.len() > COPIED {
            return Held::Alone(std::mem::take(bytes));
        }
        let at = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        Held::Among(at)
    }
    /// Forgets all, and keeps its memory, if that is not much.
    pub(crate) fn clear(&mut self) {
        self.submissions.clear();
        self.submissions.shrink_to(ROOM / size_of::<Submission>());
        self.bytes.clear();
        self.bytes.shrink_to(ROOM);
        self.size = 0;
    }
}
/// One mutex round what waits, taken whole.
pub(crate) struct Intake {
    budget: Semaphore,
    size: usize,
    queue: Mutex<Queue>,
    wake: Condvar,
}
#[derive(Default)]
struct Queue {
    waiting: Waiting,
    /// Somebody waits for a receipt, or half of the room is taken: who publishes must not wait for what nobody waits for.
    urgent: bool,
    /// When the first one came that nobody waits for.
    since: Option<Instant>,
    closed: bool,
    /// The commit thread sleeps until so many wait; 0: it is awake.
    wanted: usize,
}
/// Why the commit thread woke up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woke {
    Work,
    Silence,
    Closed,
}
impl Intake {
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            budget: Semaphore::new(bytes),
            size: bytes,
            queue: Mutex::default(),
            wake: Condvar::new(),
        }
    }
    /// Waits for room. The permits are given back by [`Intake::release`]. Cancel-safe. `None`: closing.
    pub(crate) async fn reserve(&self, bytes: usize) -> Option<u32> {
        let permits = bytes.min(self.size) as u32;
        let permit = self.budget.acquire_many(permits).await.ok()?;
        permit.forget();
        Some(permits)
    }
    pub(crate) fn release(&self, permits: u32) {
        self.budget.add_permits(permits as usize);
    }
    /// Bytes taken.
    pub(crate) fn used(&self) -> usize {
        self.size.saturating_sub(self.budget.available_permits())
    }
    /// Hands over records, unless closed.
    pub(crate) fn append(&self, handed: Handed, mut bytes: Vec<u8>) -> Result<(), Error> {
        self.hand_over(handed.keep.is_some(), |waiting| {
            Submission::Append(handed, waiting.hold(&mut bytes))
        })
    }
    /// Hands over a change of the catalog, unless closed.
    pub(crate) fn change(&self, change: Change, keep: Keep) -> Result<(), Error> {
        self.hand_over(true, |_| Submission::Change(change, keep))
    }
    /// Asks what a group has to say, unless closed.
    pub(crate) fn settle(&self, group: Arc<Group>, waited_for: bool) -> Result<(), Error> {
        self.hand_over(waited_for, |_| Submission::Settle(group))
    }
    fn hand_over(&self, urgent: bool, submission: impl FnOnce(&mut Waiting) -> Submission) -> Result<(), Error> {
        let urgent = urgent || self.used() > self.size / 2;
        let mut queue = self.queue();
        if queue.closed {
            return Err(Error::Closing);
        }
        queue.urgent |= urgent;
        queue.since.get_or_insert_with(clock::instant);
        let submission = submission(&mut queue.waiting);
        queue.waiting.submissions.push_back(submission);
        let count = queue.waiting.submissions.len();
        // Without anybody waiting the thread's own clock is enough, once it knows that there is something.
        let enough = queue.wanted > 0 && count >= queue.wanted;
        if enough && (urgent || count == 1) {
            queue.wanted = 0;
            drop(queue);
            self.wake.notify_one();
        }
        Ok(())
    }
    /// Everything there is, for something empty.
    pub(crate) fn take(&self, empty: &mut Waiting) {
        empty.clear();
        let mut queue = self.queue();
        queue.urgent = false;
        queue.since = None;
        std::mem::swap(&mut queue.waiting, empty);
    }
    /// Gives the memory back that nothing waits in.
    pub(crate) fn forget(&self) {
        let mut queue = self.queue();
        if queue.waiting.submissions.is_empty() {
            queue.waiting = Waiting::default();
        }
    }
    /// Sleeps until somebody waits for a receipt, what nobody waits for is `lazy` old, or nothing came for `silence`.
    pub(crate) fn wait(&self, lazy: Duration, silence: Option<Duration>) -> Woke {
        let started = clock::instant();
        let mut queue = self.queue();
        loop {
            if queue.urgent {
                return Woke::Work;
            }
            if queue.closed {
                return Woke::Closed;
            }
            let now = clock::instant();
            let patience = match (queue.since, silence) {
                (Some(since), _) => (since + lazy).checked_duration_since(now).filter(|d| !d.is_zero()),
                (None, Some(silence)) => (started + silence).checked_duration_since(now).filter(|d| !d.is_zero()),
                (None, None) => Some(Duration::from_hours(1)),
            };
            let Some(patience) = patience else {
                return if queue.since.is_some() { Woke::Work } else { Woke::Silence };
            };
            queue.wanted = 1;
            (queue, _) = self.wake.wait_timeout(queue, patience).unwrap_or_else(PoisonError::into_inner);
            queue.wanted = 0;
        }
    }
    /// Sleeps until so many more wait than now, nobody came for `quiet`, or `most` is over.
    pub(crate) fn gather(&self, more: usize, most: Duration, quiet: Duration) {
        let started = clock::instant();
        let mut queue = self.queue();
        let goal = queue.waiting.submissions.len() + more;
        queue.wanted = goal;
        loop {
            let before = queue.waiting.submissions.len();
            if before >= goal || queue.closed || started.elapsed() >= most {
                break;
            }
            (queue, _) = self.wake.wait_timeout(queue, quiet).unwrap_or_else(PoisonError::into_inner);
            if queue.waiting.submissions.len() == before {
                break;
            }
        }
        queue.wanted = 0;
    }
    /// Somebody, or the end, waits for what is here.
    pub(crate) fn is_pressed(&self) -> bool {
        let queue = self.queue();
        queue.urgent || queue.closed
    }
    pub(crate) fn is_closed(&self) -> bool {
        self.queue().closed
    }
    /// Takes no more; what is there is still written.
    pub(crate) fn close(&self) {
        self.queue().closed = true;
        self.budget.close();
        self.wake.notify_one();
    }
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
