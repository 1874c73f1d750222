//! Which message ids were stored within their stream's window, and where. Only the commit thread holds it.
use crate::stream::Stream;
use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

/// What an id costs in memory: its entry in the map and its place in the queue.
const COST: u64 = 96;

#[derive(Default)]
pub(crate) struct Dedupe {
    seen: HashMap<u128, Seen>,
    /// Per stream, oldest first.
    queues: HashMap<u32, VecDeque<(i64, u128)>>,
}
/// Where the first one lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) partition: u32,
    pub(crate) offset: u64,
    time: i64,
}
/// One id as recovery finds it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Id {
    pub(crate) stream: u32,
    pub(crate) partition: u32,
    pub(crate) offset: u64,
    pub(crate) time: i64,
    pub(crate) hash: u128,
}
impl Dedupe {
    /// Ids in any order.
    pub(crate) fn load(mut ids: Vec<Id>, budget: u64) -> Self {
        ids.sort_by_key(|id| id.time);
        let mut dedupe = Self::default();
        for id in ids {
            dedupe.note(id, budget);
        }
        dedupe
    }
    /// The first one with this hash, if the window still reaches it.
    pub(crate) fn find(&self, stream: &Stream, hash: u128, now: i64) -> Option<Seen> {
        let seen = self.seen.get(&hash).copied()?;
        (seen.time >= start(stream.spec().dedupe, now)).then_some(seen)
    }
    pub(crate) fn note(&mut self, id: Id, budget: u64) {
        let seen = Seen {
            partition: id.partition,
            offset: id.offset,
            time: id.time,
        };
        self.seen.insert(id.hash, seen);
        self.queues.entry(id.stream).or_default().push_back((id.time, id.hash));
        while self.seen.len() as u64 * COST > budget && self.forget_oldest() {}
    }
    /// The frame was not written.
    pub(crate) fn forget(&mut self, hash: u128) {
        self.seen.remove(&hash);
    }
    /// What the windows have left behind.
    pub(crate) fn expire(&mut self, stream: &Stream, now: i64) {
        let start = start(stream.spec().dedupe, now);
        let Some(queue) = self.queues.get_mut(&stream.number()) else {
            return;
        };
        while let Some((time, hash)) = queue.pop_front_if(|(time, _)| *time < start) {
            // It may have been stored again since.
            if self.seen.get(&hash).is_some_and(|seen| seen.time == time) {
                self.seen.remove(&hash);
            }
        }
    }
    fn forget_oldest(&mut self) -> bool {
        let front = |queue: &VecDeque<(i64, u128)>| queue.front().map(|(time, _)| *time);
        let oldest = self
            .queues
            .iter()
            .filter_map(|(stream, queue)| Some((front(queue)?, *stream)))
            .min();
        let hash = oldest.and_then(|(_, stream)| self.queues.get_mut(&stream)?.pop_front());
        hash.map(|(_, hash)| self.seen.remove(&hash)).is_some()
    }
    pub(crate) fn len(&self) -> usize {
        self.seen.len()
    }
}
/// What was stored before this moment may be stored again.
pub(crate) fn start(window: Duration, now: i64) -> i64 {
    now.saturating_sub(i64::try_from(window.as_micros()).unwrap_or(i64::MAX))
}
