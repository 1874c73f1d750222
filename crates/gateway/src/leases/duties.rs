//! Duties in the order of what they are about, before they have leases.
use smallvec::SmallVec;
use tidegate_core::{
    delivery::Received,
    settle::{Ack, Outcome},
};
use tokio::time::Instant;

/// Of one delivery mostly one: what lies side by side stays together. Dropped, they go back and count no attempt.
#[derive(Default)]
pub struct Duties {
    runs: SmallVec<[Ack; 1]>,
    count: usize,
}
impl Duties {
    /// Those of items that are still open; the other items are left out.
    pub fn take(&mut self, items: &mut Vec<Received>, mut ack: Ack) {
        items.retain(|item| ack.is_open(item.slot));
        for run in items.chunk_by(|one, next| one.slot + 1 == next.slot) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else {
                continue;
            };
            self.runs.push(ack.split(first.slot..last.slot + 1));
            self.count += run.len();
        }
    }
    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
    /// So many of them, the first ones; all are open.
    pub(super) fn split_to(&mut self, most: usize) -> SmallVec<[Ack; 1]> {
        let mut first = SmallVec::new();
        let mut room = most as u32;
        let mut runs = std::mem::take(&mut self.runs).into_iter();
        while let Some(mut run) = runs.next() {
            if run.slots() > room {
                if room > 0 {
                    first.push(run.split(0..room));
                }
                let rest = run.split(room..run.slots());
                self.runs = std::iter::once(rest).chain(runs).collect();
                break;
            }
            room -= run.slots();
            first.push(run);
        }
        self.count = self.runs.iter().map(|run| run.slots() as usize).sum();
        first
    }
}
impl Drop for Duties {
    fn drop(&mut self) {
        let until = Instant::now();
        for run in &mut self.runs {
            run.settle_all(Outcome::Hold { until });
        }
    }
}
