//! Which messages are still in memory, over all homes: the oldest leave first. Only the commit thread holds it.
use crate::stream::Stream;
use std::{collections::VecDeque, sync::Arc};

/// What a message costs in memory beside its record.
const OVERHEAD: usize = 256;

#[derive(Default)]
pub(crate) struct Tail {
    kept: VecDeque<Kept>,
    bytes: usize,
}
struct Kept {
    stream: Arc<Stream>,
    partition: u32,
    first: u64,
    bytes: usize,
}
impl Tail {
    pub(crate) fn add(&mut self, stream: &Arc<Stream>, partition: u32, first: u64, messages: usize, bytes: usize) {
        let bytes = bytes + messages * OVERHEAD;
        self.bytes += bytes;
        self.kept.push_back(Kept {
            stream: stream.clone(),
            partition,
            first,
            bytes,
        });
    }
    /// Forgets the oldest until no more than `most` bytes are left.
    pub(crate) fn shrink(&mut self, most: usize) {
        while self.bytes > most
            && let Some(oldest) = self.kept.pop_front()
        {
            self.bytes -= oldest.bytes;
            if let Some(partition) = oldest.stream.partition(oldest.partition) {
                partition.places().forget(oldest.first);
            }
        }
    }
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}
