//! Where a reader has been in segments, and what it knows of others: it finds a place again without searching.
use crate::segment::{self, Mark};
use std::collections::HashMap;

/// Of so many segments, those that were needed last, the index is kept: some 24 bytes for each 32 KiB.
const INDEXES: usize = 4;

#[derive(Default)]
pub(super) struct Bookmarks {
    /// Where the last read of each partition ended.
    ends: HashMap<usize, End>,
    /// The one that was needed last is the last.
    indexes: Vec<Index>,
}
struct End {
    base: u64,
    /// The next offset, and its place.
    next: u64,
    at: u64,
}
struct Index {
    partition: usize,
    base: u64,
    marks: Vec<Mark>,
}
impl Bookmarks {
    /// Where an offset lies in a segment, if the last read ended there.
    pub(super) fn ended(&self, partition: usize, base: u64, next: u64) -> Option<u64> {
        let end = self.ends.get(&partition)?;
        ((end.base, end.next) == (base, next)).then_some(end.at)
    }
    /// Where reading for an offset may begin in a segment whose index is known.
    pub(super) fn before(&mut self, partition: usize, base: u64, next: u64) -> Option<u64> {
        let i = self
            .indexes
            .iter()
            .position(|index| (index.partition, index.base) == (partition, base))?;
        let index = self.indexes.remove(i);
        let at = segment::before(&index.marks, next);
        self.indexes.push(index);
        Some(at)
    }
    /// A read ended there.
    pub(super) fn end(&mut self, partition: usize, base: u64, next: u64, at: u64) {
        self.ends.insert(partition, End { base, next, at });
    }
    /// The index of a segment. Of one that grows it reaches as far as the segment did.
    pub(super) fn learn(&mut self, partition: usize, base: u64, marks: Vec<Mark>) {
        self.indexes.retain(|index| (index.partition, index.base) != (partition, base));
        if self.indexes.len() >= INDEXES {
            self.indexes.remove(0);
        }
        self.indexes.push(Index { partition, base, marks });
    }
}
