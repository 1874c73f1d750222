//! The duty to settle: move-only, storable, splittable per item. Dropped = given back.
use crate::error::{Code, Error, Fault, Result};
use smallvec::SmallVec;
use std::{borrow::Cow, fmt, ops::Range, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc::UnboundedSender, oneshot},
    time::Instant,
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done, "filtered out on purpose" included.
    Ack,
    /// Deliver it again, one attempt more.
    Requeue { after: Option<Duration> },
    /// Never again: dead letter.
    Reject { reason: Cow<'static, str> },
    /// Not tried: deliver it again, no attempt counted. The later messages of a failing key.
    Hold { until: Instant },
    /// Still at it. The only one that leaves the item open.
    Extend(Duration),
}

/// Where settlements go home: the consumer's own state, or a channel to its task (an unbounded one, bounded by the window in fact).
/// Called on any thread, from `Drop` too, whether or not anybody calls `next`: must not block, await or panic.
pub trait Returns: Send + Sync {
    fn take_back(&self, settled: Settled);
}
impl Returns for UnboundedSender<Settled> {
    fn take_back(&self, settled: Settled) {
        let _consumer_gone = self.send(settled);
    }
}
/// Sequence numbers are the consumer's own.
#[derive(Debug)]
pub struct Settled {
    pub seqs: Range<u64>,
    pub outcome: Outcome,
    /// Somebody answers for it: resolve once it is durable.
    pub done: Option<Done>,
}
/// Dropped unanswered = the settlement was lost and the messages come again.
#[derive(Debug)]
pub struct Done(oneshot::Sender<Result<()>>);
impl Done {
    pub fn resolve(self, result: Result<()>) {
        let _nobody_waits = self.0.send(result);
    }
}

/// Settling is synchronous, cannot fail and cannot block, so it is safe in `Drop`. Settling an item twice is a no-op.
#[must_use = "dropping it gives the messages back"]
pub struct Ack {
    home: Option<Arc<dyn Returns>>,
    base: u64,
    len: u32,
    open: SmallVec<[u64; 1]>,
}
impl Ack {
    pub fn new(home: Arc<dyn Returns>, base: u64, len: u32) -> Self {
        let mut open: SmallVec<[u64; 1]> = SmallVec::from_elem(u64::MAX, (len as usize).div_ceil(64));
        if !len.is_multiple_of(64)
            && let Some(last) = open.last_mut()
        {
            *last = (1 << (len % 64)) - 1;
        }
        Self {
            home: Some(home),
            base,
            len,
            open,
        }
    }
    /// Nothing to settle: NATS core, Redis pub/sub, a mock.
    pub fn none() -> Self {
        Self {
            home: None,
            base: 0,
            len: 0,
            open: SmallVec::new(),
        }
    }
    pub fn settle(&mut self, slot: u32, outcome: Outcome) {
        if self.is_open(slot) {
            self.send(slot..slot + 1, outcome, None);
        }
    }
    /// All that are still open.
    pub fn settle_all(&mut self, outcome: Outcome) {
        let mut from = 0;
        while let Some(run) = self.next_run(from) {
            from = run.end;
            self.send(run, outcome.clone(), None);
        }
    }
    /// `settle_all` for callers that answer for it. Acts at once; the future only tells when it is durable.
    pub fn confirm(&mut self, outcome: Outcome) -> impl Future<Output = Result<()>> + Send + use<> {
        let mut waits: SmallVec<[oneshot::Receiver<Result<()>>; 1]> = SmallVec::new();
        let mut from = 0;
        while let Some(run) = self.next_run(from) {
            from = run.end;
            let (done, wait) = oneshot::channel();
            self.send(run, outcome.clone(), Some(Done(done)));
            waits.push(wait);
        }
        async move {
            for wait in waits {
                let lost = |_| {
                    Error::new(
                        Code::LeaseLost,
                        Fault::Gateway,
                        "the consumer went away; the messages will come again",
                    )
                };
                wait.await.map_err(lost)??;
            }
            Ok(())
        }
    }
    /// Moves one item's duty out, to be stored, sent elsewhere, settled later. `None` when it is settled or taken.
    pub fn take(&mut self, slot: u32) -> Option<Ack> {
        let home = self.home.clone().filter(|_| self.is_open(slot))?;
        self.close(slot);
        Some(Self::new(home, self.base + u64::from(slot), 1))
    }
    pub fn is_open(&self, slot: u32) -> bool {
        self.open.get(slot as usize / 64).is_some_and(|word| word & (1 << (slot % 64)) != 0)
    }

    fn close(&mut self, slot: u32) {
        self.open[slot as usize / 64] &= !(1 << (slot % 64));
    }
    fn next_run(&self, from: u32) -> Option<Range<u32>> {
        let start = (from..self.len).find(|slot| self.is_open(*slot))?;
        Some(start..(start..self.len).find(|slot| !self.is_open(*slot)).unwrap_or(self.len))
    }
    fn send(&mut self, slots: Range<u32>, outcome: Outcome, done: Option<Done>) {
        if !matches!(outcome, Outcome::Extend(_)) {
            slots.clone().for_each(|slot| self.close(slot));
        }
        let seqs = self.base + u64::from(slots.start)..self.base + u64::from(slots.end);
        if let Some(home) = &self.home {
            home.take_back(Settled { seqs, outcome, done });
        }
    }
}
impl Drop for Ack {
    fn drop(&mut self) {
        self.settle_all(Outcome::Requeue { after: None });
    }
}
impl fmt::Debug for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ack({}..{})", self.base, self.base + u64::from(self.len))
    }
}
