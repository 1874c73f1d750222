//! What waits for the commit thread: bounded in bytes, and that bound is what slows publishers down.
use crate::{
    append::Handed,
    error::Error,
    stream::{Row, Stream},
};
use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::{Duration, Instant},
};
use tidegate_core::receipt::Keep;
use tokio::sync::Semaphore;

/// What one call handed over.
pub(crate) enum Submission {
    Append(Handed),
    /// Changes of the catalog, written as rows before they hold.
    Change(Change, Keep),
}
pub(crate) enum Change {
    Create(Row),
    Alter(Arc<Stream>, Row),
    Delete(Arc<Stream>),
    /// Some partitions forget all they have; how many records that was is added up.
    Purge(Arc<Stream>, std::ops::Range<u32>, Arc<AtomicU64>),
}

/// One mutex round a vector, taken whole.
pub(crate) struct Intake {
    budget: Semaphore,
    size: usize,
    queue: Mutex<Queue>,
    wake: Condvar,
}
#[derive(Default)]
struct Queue {
    waiting: Vec<Submission>,
    /// Somebody waits for a receipt.
    urgent: bool,
    /// When the first one came that nobody waits for.
    since: Option<Instant>,
    closed: bool,
    asleep: bool,
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
    /// Hands over, unless closed.
    pub(crate) fn push(&self, submission: Submission, now: Instant) -> Result<(), Error> {
        let mut queue = self.queue();
        if queue.closed {
            return Err(Error::Closing);
        }
        let urgent = !matches!(&submission, Submission::Append(a) if a.keep.is_none());
        queue.urgent |= urgent;
        queue.since.get_or_insert(now);
        queue.waiting.push(submission);
        // Without anybody waiting the thread's own clock is enough, once it knows that there is something.
        if queue.asleep && (urgent || queue.waiting.len() == 1) {
            self.wake.notify_one();
        }
        Ok(())
    }
    /// Everything there is.
    pub(crate) fn take(&self) -> Vec<Submission> {
        let mut queue = self.queue();
        queue.urgent = false;
        queue.since = None;
        std::mem::take(&mut queue.waiting)
    }
    /// Sleeps until somebody waits for a receipt, what nobody waits for is `lazy` old, or nothing came for `silence`.
    pub(crate) fn wait(&self, lazy: Duration, silence: Option<Duration>) -> Woke {
        let started = tidegate_core::clock::instant();
        let mut queue = self.queue();
        loop {
            if queue.urgent {
                return Woke::Work;
            }
            if queue.closed {
                return Woke::Closed;
            }
            let now = tidegate_core::clock::instant();
            let patience = match (queue.since, silence) {
                (Some(since), _) => (since + lazy).checked_duration_since(now).filter(|d| !d.is_zero()),
                (None, Some(silence)) => (started + silence).checked_duration_since(now).filter(|d| !d.is_zero()),
                (None, None) => Some(Duration::from_hours(1)),
            };
            let Some(patience) = patience else {
                return if queue.since.is_some() { Woke::Work } else { Woke::Silence };
            };
            queue.asleep = true;
            (queue, _) = self.wake.wait_timeout(queue, patience).unwrap_or_else(PoisonError::into_inner);
            queue.asleep = false;
        }
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
