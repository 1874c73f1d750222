//! What was given back, and when it may go again.
use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

/// Moments are microseconds since the epoch.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Moment, partition, offset.
    due: BTreeSet<(i64, u32, u64)>,
    /// The moment of each of them, by partition and offset.
    moments: BTreeMap<(u32, u64), i64>,
    /// For a member that keeps an order: by partition and offset, with its moment.
    mustered: BTreeMap<(u32, u64), i64>,
}
impl Waiting {
    pub(super) fn len(&self) -> usize {
        self.due.len() + self.mustered.len()
    }
    /// How many may not go yet, or go before all else.
    pub(super) fn later(&self, now: i64) -> usize {
        self.len() - self.due.range(..=(now, u32::MAX, u64::MAX)).count()
    }
    pub(super) fn insert(&mut self, at: i64, partition: u32, offset: u64) {
        self.due.insert((at, partition, offset));
        if let Some(before) = self.moments.insert((partition, offset), at).filter(|before| *before != at) {
            self.due.remove(&(before, partition, offset));
        }
    }
    /// Moved to another moment, if it waits for a later one.
    pub(super) fn recall(&mut self, at: i64, partition: u32, offset: u64) -> bool {
        let held = self.moments.get(&(partition, offset)).copied();
        if held.is_some_and(|held| held > at) {
            self.insert(at, partition, offset);
        }
        held.is_some() || self.mustered.contains_key(&(partition, offset))
    }
    /// All of it goes next, in the order of the stream.
    pub(super) fn muster(&mut self) {
        self.moments = BTreeMap::new();
        let due = mem::take(&mut self.due);
        self.mustered
            .extend(due.into_iter().map(|(at, partition, offset)| ((partition, offset), at)));
    }
    /// Each goes at its moment.
    pub(super) fn dismiss(&mut self) {
        for ((partition, offset), at) in mem::take(&mut self.mustered) {
            self.insert(at, partition, offset);
        }
    }
    /// Whether some of it goes before all else, whatever its moment.
    pub(super) fn is_mustered(&self) -> bool {
        !self.mustered.is_empty()
    }
    /// When the next may go.
    pub(super) fn next_due(&self) -> Option<i64> {
        if self.is_mustered() {
            return Some(0);
        }
        self.due.first().map(|(at, _, _)| *at)
    }
    /// The lowest of a partition below an offset, and its moment.
    pub(super) fn below(&self, partition: u32, offset: u64) -> Option<(i64, u64)> {
        let range = || (partition, 0)..(partition, offset);
        let first = self.mustered.range(range()).next().or_else(|| self.moments.range(range()).next());
        first.map(|((_, offset), at)| (*at, *offset))
    }
    /// The next that may go now.
    pub(super) fn first(&self, now: i64) -> Option<(i64, u32, u64)> {
        let mustered = self.mustered.first_key_value();
        let mustered = mustered.map(|((partition, offset), at)| (*at, *partition, *offset));
        mustered.or_else(|| self.due.first().copied().filter(|(at, _, _)| *at <= now))
    }
    pub(super) fn remove(&mut self, at: i64, partition: u32, offset: u64) {
        if self.mustered.remove(&(partition, offset)).is_none() {
            self.due.remove(&(at, partition, offset));
            self.moments.remove(&(partition, offset));
        }
    }
    /// It was next before its moment, and nobody has seen it.
    pub(super) fn put_back(&mut self, at: i64, partition: u32, offset: u64) {
        self.mustered.insert((partition, offset), at);
    }
}
