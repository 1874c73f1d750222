//! The duty to settle: move-only, storable, splittable per item. Dropped = given back.
use crate::error::{Code, Error, Fault, Result};
use smallvec::SmallVec;
use std::{borrow::Cow, fmt, ops::Range, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc::UnboundedSender, oneshot},
    time::Instant,
};

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done, "filtered out on purpose" included.
    Ack,
    /// Deliver it again, one attempt more.
    Requeue {
        /// Not before this long; `None` = at once.
        after: Option<Duration>,
    },
    /// Never again: dead letter.
    Reject {
        /// A word or a sentence, kept with the dead letter.
        reason: Cow<'static, str>,
        /// What the last attempt met, kept with the dead letter.
        error: Option<Box<str>>,
    },
    /// Not tried: deliver it again, no attempt counted. The later messages of a failing key.
    Hold {
        /// The earliest moment.
        until: Instant,
    },
    /// Still at it. The only one that leaves the item open.
    Extend(Duration),
}

impl Outcome {
    /// A rejection without an attempt that failed.
    pub fn reject(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Reject {
            reason: reason.into(),
            error: None,
        }
    }
}

/// Where settlements go home: the consumer's own state, or a channel to its task (an unbounded one, bounded by the window in fact).
/// Called on any thread, from `Drop` too, whether or not anybody calls `next`: must not block, await or panic.
pub trait Returns: Send + Sync {
    /// Takes settlements home.
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
    /// The consecutive sequence numbers this is about.
    pub seqs: Range<u64>,
    /// What became of them.
    pub outcome: Outcome,
    /// Somebody answers for it: resolve once it is durable.
    pub done: Option<Done>,
}
/// Dropped unanswered = the settlement was lost and the messages come again.
#[derive(Debug)]
pub struct Done(oneshot::Sender<Result<()>>);
impl Done {
    /// One, and what waits for it.
    pub fn new() -> (Self, impl Future<Output = Result<()>> + Send + use<>) {
        let (done, wait) = oneshot::channel();
        let lost = |_| Error::new(Code::LeaseLost, Fault::Gateway, "nobody knows whether it was kept");
        (Self(done), async move { wait.await.map_err(lost)? })
    }
    /// Answers whoever waits for it, if anybody still does.
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
    /// A page of a hundred fits in beside its length.
    open: SmallVec<[u64; 2]>,
}
impl Ack {
    /// A duty over `len` items whose sequence numbers begin at `base`; slot `i` is number `base + i`.
    pub fn new(home: Arc<dyn Returns>, base: u64, len: u32) -> Self {
        let mut open: SmallVec<[u64; 2]> = SmallVec::from_elem(u64::MAX, (len as usize).div_ceil(64));
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
    /// Settles one item. Nothing happens when it is settled, taken, or no slot of this delivery.
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
                wait.await.map_err(|_| lost())??;
            }
            Ok(())
        }
    }
    /// [`Ack::confirm`] of many at once: what is done and lies side by side in one home goes there as one. The rest goes by itself: of
    /// dead letters some may find room and some not. Tells of each, in their order.
    pub fn confirm_each(mut acks: Vec<Self>, outcome: &Outcome) -> impl Future<Output = Vec<Result<()>>> + Send + use<> {
        let place = |ack: &Self| ack.home.as_ref().map(|home| Arc::as_ptr(home).cast::<()>() as usize);
        let mut order: Vec<usize> = (0..acks.len()).collect();
        order.sort_unstable_by_key(|at| acks.get(*at).map(|ack| (place(ack), ack.base)));
        let mut runs: Vec<oneshot::Receiver<Result<()>>> = Vec::new();
        // Of each ack, by its place, the runs it is in: nearly always one.
        let mut parts: Vec<(usize, usize)> = Vec::with_capacity(acks.len());
        let mut open: Option<(Arc<dyn Returns>, Range<u64>)> = None;
        let mut send = |open: &mut Option<(Arc<dyn Returns>, Range<u64>)>| {
            let Some((home, seqs)) = open.take() else { return };
            let (done, wait) = oneshot::channel();
            let (outcome, done) = (outcome.clone(), Some(Done(done)));
            home.take_back(Settled { seqs, outcome, done });
            runs.push(wait);
        };
        let (mut sent, together) = (0, matches!(outcome, Outcome::Ack));
        for at in order {
            let Some(ack) = acks.get_mut(at) else { continue };
            let mut from = 0;
            while let Some(slots) = ack.next_run(from) {
                from = slots.end;
                slots.clone().for_each(|slot| ack.close(slot));
                let Some(home) = &ack.home else { break };
                let seqs = ack.base + u64::from(slots.start)..ack.base + u64::from(slots.end);
                match &mut open {
                    Some((same, run)) if together && Arc::ptr_eq(same, home) && run.end == seqs.start => run.end = seqs.end,
                    _ => {
                        send(&mut open);
                        sent += 1;
                        open = Some((home.clone(), seqs));
                    }
                }
                parts.push((at, sent - 1));
            }
        }
        send(&mut open);
        let count = acks.len();
        async move {
            let mut told = Vec::with_capacity(runs.len());
            for wait in runs {
                told.push(wait.await.unwrap_or_else(|_| Err(lost())));
            }
            let mut each: Vec<Result<()>> = Vec::new();
            each.resize_with(count, || Ok(()));
            for (at, run) in parts {
                if let (Some(Err(error)), Some(one @ Ok(()))) = (told.get(run), each.get_mut(at)) {
                    *one = Err(error.again());
                }
            }
            each
        }
    }
    /// Moves one item's duty out, to be stored, sent elsewhere, settled later. `None` when it is settled or taken.
    pub fn take(&mut self, slot: u32) -> Option<Ack> {
        self.is_open(slot).then(|| self.split(slot..slot.saturating_add(1)))
    }
    /// Moves the duty of some out, as far as they are open: its slot `i` is `slots.start + i` here.
    pub fn split(&mut self, slots: Range<u32>) -> Ack {
        let end = slots.end.min(self.len);
        let start = slots.start.min(end);
        let Some(home) = &self.home else { return Self::none() };
        let mut split = Self::new(home.clone(), self.base + u64::from(start), end - start);
        for slot in start..end {
            if self.is_open(slot) {
                self.close(slot);
            } else {
                split.close(slot - start);
            }
        }
        split
    }
    /// How many items it was made for.
    pub fn slots(&self) -> u32 {
        self.len
    }
    /// How many of them still have to be settled here.
    pub fn open(&self) -> u32 {
        self.open.iter().map(|word| word.count_ones()).sum()
    }
    /// Whether the item still has to be settled here.
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
fn lost() -> Error {
    let text = "the consumer went away; the messages will come again";
    Error::new(Code::LeaseLost, Fault::Gateway, text)
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

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use proptest::{collection::vec, prelude::*};
    use std::sync::Mutex;

    #[derive(Default)]
    struct Home(Mutex<Vec<Settled>>);
    impl Returns for Home {
        fn take_back(&self, settled: Settled) {
            self.0.lock().unwrap().push(settled);
        }
    }
    proptest! {
        /// Settled, taken, dropped, in any order: every message comes home exactly once.
        #[test]
        fn every_slot_comes_home_once(len in 0..200_u32, steps in vec((0..4_u8, 0..200_u32), 0..60)) {
            let home = Arc::new(Home::default());
            let mut ack = Ack::new(home.clone(), 1_000, len);
            let mut parked = Vec::new();
            for (what, slot) in steps {
                match what {
                    0 => ack.settle(slot, Outcome::Ack),
                    1 => parked.extend(ack.take(slot)),
                    2 => {
                        let (before, part) = (ack.open(), ack.split(slot..slot + 70));
                        prop_assert_eq!(before, ack.open() + part.open());
                        parked.push(part);
                    }
                    _ => ack.settle(slot, Outcome::reject("bad")),
                }
            }
            drop(ack);
            drop(parked);
            let mut seqs: Vec<u64> = home.0.lock().unwrap().iter().flat_map(|settled| settled.seqs.clone()).collect();
            seqs.sort_unstable();
            prop_assert_eq!(seqs, (1_000..1_000 + u64::from(len)).collect::<Vec<_>>());
        }
    }
    #[test]
    fn dropped_is_given_back_as_one_run() {
        let home = Arc::new(Home::default());
        let mut ack = Ack::new(home.clone(), 0, 70);
        ack.settle(0, Outcome::Ack);
        drop(ack);
        let told = home.0.lock().unwrap();
        assert_eq!(told.len(), 2);
        assert_eq!((told[1].seqs.clone(), &told[1].outcome), (1..70, &Outcome::Requeue { after: None }));
    }
    #[test]
    fn extending_leaves_it_open() {
        let home = Arc::new(Home::default());
        let mut ack = Ack::new(home.clone(), 0, 1);
        ack.settle(0, Outcome::Extend(Duration::from_secs(1)));
        assert!(ack.is_open(0));
        ack.settle(0, Outcome::Ack);
        ack.settle(0, Outcome::Ack);
        assert!(!ack.is_open(0));
        drop(ack);
        assert_eq!(home.0.lock().unwrap().len(), 2);
    }
    #[test]
    fn a_confirmation_that_is_lost_is_an_error() {
        let home = Arc::new(Home::default());
        let mut ack = Ack::new(home.clone(), 0, 2);
        let mut durable = Box::pin(ack.confirm(Outcome::Ack));
        assert!((&mut durable).now_or_never().is_none());
        home.0.lock().unwrap().clear();
        assert_eq!(durable.now_or_never().unwrap().unwrap_err().code(), Code::LeaseLost);
    }
    #[test]
    fn many_go_home_in_runs_and_each_is_told() {
        let (one, other) = (Arc::new(Home::default()), Arc::new(Home::default()));
        let ack = |home: &Arc<Home>, seq| Ack::new(home.clone(), seq, 1);
        let acks = vec![ack(&one, 3), ack(&other, 4), ack(&one, 1), ack(&one, 2), ack(&one, 9), Ack::none()];
        let each = Ack::confirm_each(acks, &Outcome::Ack);
        let seqs = |home: &Home| {
            home.0
                .lock()
                .unwrap()
                .iter()
                .map(|settled| (settled.seqs.start, settled.seqs.end))
                .collect::<Vec<_>>()
        };
        assert_eq!((seqs(&one), seqs(&other)), (vec![(1, 4), (9, 10)], vec![(4, 5)]));
        // The last of them is lost.
        drop(one.0.lock().unwrap().pop());
        for home in [&one, &other] {
            let settled = std::mem::take(&mut *home.0.lock().unwrap());
            settled
                .into_iter()
                .filter_map(|settled| settled.done)
                .for_each(|done| done.resolve(Ok(())));
        }
        let told: Vec<_> = each.now_or_never().unwrap().into_iter().map(|one| one.is_ok()).collect();
        assert_eq!(told, [true, true, true, true, false, true]);
    }
    #[test]
    fn a_confirmation_resolves_without_another_call() {
        let home = Arc::new(Home::default());
        let mut ack = Ack::new(home.clone(), 0, 2);
        let durable = ack.confirm(Outcome::Ack);
        for settled in home.0.lock().unwrap().drain(..) {
            settled.done.unwrap().resolve(Ok(()));
        }
        assert!(durable.now_or_never().unwrap().is_ok());
    }
}
