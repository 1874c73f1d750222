//! What came back and when it goes out again, with its attempts.
use tidegate_core::settle::Outcome;
use std::collections::{BTreeSet, HashMap};
use tokio::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Due {
    back: BTreeSet<(Instant, u64)>,
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
    pub(super) fn pop(&mut self) -> Option<u64> {
        let first = *self.back.first().filter(|(at, _)| *at <= Instant::now())?;
        self.back.remove(&first);
        Some(first.1)
    }
    pub(super) fn attempt(&self, seq: u64) -> u32 {
        self.failed.get(&seq).copied().unwrap_or(0) + 1
    }
    pub(super) fn next(&self) -> Option<Instant> {
        self.back.first().map(|(at, _)| *at)
    }
    pub(super) async fn sleep(next: Option<Instant>) {
        match next {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }
}
