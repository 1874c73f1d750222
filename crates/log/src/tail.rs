//! Records that are still in memory, over all homes: the oldest leave first.
use crate::{
    frame::{self, Met},
    le::Salt,
    stream::Stream,
};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, OnceLock},
};
use tidegate_core::message::Message;

/// What a message costs in memory beside its record.
const OVERHEAD: usize = 256;

/// Adjacent records of one home that became durable together: as they lie on the disk, and as messages once somebody reads them.
pub(crate) struct Recent {
    pub(crate) stream: Arc<Stream>,
    pub(crate) partition: u32,
    pub(crate) first: u64,
    pub(crate) count: u32,
    records: Bytes,
    salt: Salt,
    messages: OnceLock<Box<[Arc<Message>]>>,
}
impl fmt::Debug for Recent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recent")
            .field("first", &self.first)
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}
impl Recent {
    pub(crate) fn new(stream: Arc<Stream>, partition: u32, first: u64, count: u32, records: Bytes, salt: Salt) -> Self {
        Self {
            stream,
            partition,
            first,
            count,
            records,
            salt,
            messages: OnceLock::new(),
        }
    }
    pub(crate) fn end(&self) -> u64 {
        self.first + u64::from(self.count)
    }
    /// In order. Slices of the records, which they keep in memory.
    pub(crate) fn messages(&self) -> &[Arc<Message>] {
        self.messages.get_or_init(|| {
            let mut messages = Vec::with_capacity(self.count as usize);
            frame::walk(&self.records, self.salt, |met| {
                if let Met::Record(at, header, _) = met {
                    let record = self.records.slice(at..at + header.stored().min(self.records.len() - at));
                    messages.extend(header.message(&record, self.stream.topic()).map(Arc::new));
                }
            });
            messages.into()
        })
    }
    fn cost(&self) -> usize {
        self.records.len() + self.count as usize * OVERHEAD
    }
}

/// Only the commit thread holds it.
#[derive(Default)]
pub(crate) struct Tail {
    kept: VecDeque<Arc<Recent>>,
    bytes: usize,
}
impl Tail {
    pub(crate) fn add(&mut self, recent: Arc<Recent>) {
        self.bytes += recent.cost();
        self.kept.push_back(recent);
    }
    /// Forgets the oldest until no more than `most` bytes are left.
    pub(crate) fn shrink(&mut self, most: usize) {
        while self.bytes > most
            && let Some(oldest) = self.kept.pop_front()
        {
            self.bytes -= oldest.cost();
            if let Some(partition) = oldest.stream.partition(oldest.partition) {
                partition.places().forget(oldest.first);
            }
        }
    }
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}
