//! What came back and when it goes out again, with its attempts.
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    mem,
    time::Duration,
};
use tidegate_core::settle::Outcome;
use tokio::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Due {
    back: BTreeSet<(Instant, u64)>,
    /// Goes first, in the order it was published: a consumer keeps one.
    mustered: BTreeMap<u64, Instant>,
    /// Failed attempts; holding counts none.
    failed: HashMap<u64, u32>,
}
impl Due {
    /// Whether it came back at all.
    pub(super) fn give_back(&mut self, seq: u64, outcome: &Outcome) -> bool {
        let at = match outcome {
            Outcome::Requeue { after } => {
                *self.failed.entry(seq).or_default() += 1;
                Instant::now() + after.unwrap_or_default()
            }
            Outcome::Hold { until } => *until,
            _ => {
                self.failed.remove(&seq);
                return false;
            }
        };
        self.back.insert((at, seq))
    }
    /// A consumer has come.
    pub(super) fn join(&mut self, ordered: bool) {
        let mustered = mem::take(&mut self.mustered);
        self.back.extend(mustered.into_iter().map(|(seq, at)| (at, seq)));
        if ordered {
            let back = mem::take(&mut self.back);
            self.mustered = back.into_iter().map(|(at, seq)| (seq, at)).collect();
        }
    }
    /// The next, and until when it waits.
    pub(super) fn pop(&mut self) -> Option<(u64, Option<Instant>)> {
        let now = Instant::now();
        if let Some((seq, at)) = self.mustered.pop_first() {
            return Some((seq, Some(at).filter(|at| *at > now)));
        }
        let first = *self.back.first().filter(|(at, _)| *at <= now)?;
        self.back.remove(&first);
        Some((first.1, None))
    }
    /// Nobody waits for its moment any longer.
    pub(super) fn recall(&mut self, seqs: impl DoubleEndedIterator<Item = u64>) {
        let now = Instant::now();
        let (mut at, mut next) = (now, u64::MAX);
        for seq in seqs.rev() {
            if next < seq {
                // Of one moment the lower goes first.
                at = at.checked_sub(Duration::from_nanos(1)).unwrap_or(at);
            }
            next = seq;
            let Some(held) = self.back.iter().find(|(at, held)| *held == seq && *at > now).copied() else {
                continue;
            };
            self.back.remove(&held);
            self.back.insert((at, seq));
        }
    }
    pub(super) fn attempt(&self, seq: u64) -> u32 {
        self.failed.get(&seq).copied().unwrap_or(0) + 1
    }
    pub(super) fn next(&self) -> Option<Instant> {
        let mustered = (!self.mustered.is_empty()).then(Instant::now);
        mustered.or_else(|| self.back.first().map(|(at, _)| *at))
    }
    pub(super) async fn sleep(next: Option<Instant>) {
        match next {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }
}
