//! A chunk being filled; dropped with the call, so that nothing is lost.
use super::{Bookmarks, Chunk, Reader, WINDOWS};
use std::sync::Arc;
use tidegate_core::{
    endpoint::Limit,
    message::Message,
    position::{Gap, Position, Reason},
};

pub(super) struct Draft {
    pub(super) next: Vec<u64>,
    pub(super) chunk: Chunk,
    pub(super) bytes: usize,
    pub(super) limit: Limit,
    pub(super) cold: bool,
    pub(super) window: usize,
    /// If they are lost with it, something is looked up again.
    pub(super) bookmarks: Bookmarks,
}
impl Draft {
    /// A read that waits for the disk: the next one is larger.
    pub(super) fn cold(&mut self) {
        self.cold = true;
        self.window = (self.window * 2).min(*WINDOWS.end());
    }
    pub(super) fn room(&self) -> usize {
        (self.limit.bytes as usize).saturating_sub(self.bytes).max(1)
    }
    pub(super) fn set(&mut self, partition: usize, next: u64) {
        if let Some(slot) = self.next.get_mut(partition) {
            *slot = next;
        }
    }
    /// Whether it still fits.
    pub(super) fn push(&mut self, position: Position, message: Arc<Message>) -> bool {
        let size = message.size();
        let full = self.chunk.items.len() >= (self.limit.messages as usize).max(1) || self.bytes + size > self.limit.bytes as usize;
        if full && !self.chunk.items.is_empty() {
            return false;
        }
        self.bytes += size;
        self.chunk.items.push((position, message));
        true
    }
    /// Whether the gap could still be put before the items.
    pub(super) fn gap(&mut self, reader: &Reader, partition: usize, from: u64, to: u64, reason: Reason) -> bool {
        if !self.chunk.items.is_empty() || self.chunk.gap.is_some() {
            return false;
        }
        let place = |next: u64| next.checked_sub(1).map(|offset| reader.position(partition, offset));
        self.chunk.gap = Some(Gap {
            from: place(from).into_iter().collect(),
            to: place(to).into_iter().collect(),
            reason,
            missed: None,
        });
        self.set(partition, to);
        true
    }
}
