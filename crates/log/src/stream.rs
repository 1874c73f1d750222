//! One stream: its name, its settings, its partitions.
use crate::{hash::murmur3, le, partition::Partition};
use bytes::{BufMut, Bytes};
use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tidegate_core::topic::Topic;
use tokio::sync::Notify;

/// How many homes there can be.
pub(crate) const PARTITIONS_MOST: u32 = 65_536;

/// What a stream is asked to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSpec {
    /// Fixed when the stream is created; 1 to 65,536.
    pub partitions: u32,
    /// What it keeps.
    pub retention: Retention,
    /// How long message ids are remembered; zero: not at all. Microseconds are kept.
    pub dedupe: Duration,
    /// What happens at the limits of `retention`.
    pub when_full: WhenFull,
    /// How long within `retention`.
    pub keep: Keep,
}
impl Default for StreamSpec {
    fn default() -> Self {
        Self {
            partitions: 1,
            retention: Retention::default(),
            dedupe: Duration::ZERO,
            when_full: WhenFull::DropOldest,
            keep: Keep::Limits,
        }
    }
}
/// Limits of the whole stream; `None`: no limit of that kind. Looked at twice a second, and when a sixteenth of them is new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Counted from the append time. Nothing younger is forgotten; by whole segments and runs, so an eighth older may stay.
    pub age: Option<Duration>,
    /// Bytes of records, headers of 48 bytes included. By whole segments and runs, so up to an eighth less may stay.
    pub bytes: Option<u64>,
    /// Records, exactly.
    pub messages: Option<u64>,
}
/// What a stream does at its limits of bytes and messages. Age always drops the oldest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// Forget the oldest.
    #[default]
    DropOldest,
    /// Keep what there is: the item fails with `StreamFull`, is not worth a second try, and is counted as dropped.
    DropNewest,
    /// Fail the item with `StreamFull`; it may be sent again.
    Refuse,
}

/// When a stream forgets what its limits would let it keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// Never.
    #[default]
    Limits,
    /// Once all its groups are done with it, in order. Without a group: never.
    UntilAcked,
}

/// A durable log that captures topics. Alive as long as somebody holds it; deleted ones end their readers.
#[derive(Debug)]
pub struct Stream {
    number: u32,
    name: Topic,
    pub(crate) created: i64,
    pub(crate) homes: Box<[Partition]>,
    spec: Mutex<StreamSpec>,
    deleted: AtomicBool,
    /// Woken by the herald after records became visible, and by the end of the stream.
    pub(crate) grown: Notify,
    pub(crate) counters: Counters,
}
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) duplicates: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) damaged: AtomicU64,
    /// Records since retention looked.
    pub(crate) fresh: AtomicU64,
    /// Readers there were.
    pub(crate) readers: AtomicU64,
}
/// Numbers of one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamStats {
    /// That can be read now.
    pub records: u64,
    /// Of the records that can be read.
    pub bytes: u64,
    /// Not stored again, since the start.
    pub duplicates: u64,
    /// Not stored because the stream was full, since the start.
    pub dropped: u64,
    /// Lost to damage, since the start.
    pub damaged: u64,
}

impl Stream {
    pub(crate) fn new(row: &Row) -> Self {
        let homes = (0..row.spec.partitions).map(|p| Partition::new(row.first_home + p, p));
        Self {
            number: row.number,
            name: row.name.clone(),
            created: row.created,
            homes: homes.collect(),
            spec: Mutex::new(row.spec.clone()),
            deleted: AtomicBool::new(false),
            grown: Notify::new(),
            counters: Counters::default(),
        }
    }
    /// Never used twice, so a cursor knows a stream that was created again under the same name.
    pub fn number(&self) -> u32 {
        self.number
    }
    /// As it was created.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// The same as the topic that it always captures.
    pub fn topic(&self) -> &Topic {
        &self.name
    }
    /// The settings now.
    pub fn spec(&self) -> StreamSpec {
        self.spec.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    pub(crate) fn set_spec(&self, spec: StreamSpec) {
        *self.spec.lock().unwrap_or_else(PoisonError::into_inner) = spec;
    }
    /// At least one.
    pub fn partitions(&self) -> u32 {
        self.homes.len() as u32
    }
    /// Where records of this key go: murmur3 with 32 bits and seed 31, modulo the partitions. Part of the contract with clients.
    pub fn partition_of(&self, key: &[u8]) -> u32 {
        murmur3(key, 31) % self.partitions()
    }
    /// Another partition for each reader to begin with.
    pub(crate) fn turn(&self) -> usize {
        self.counters.readers.fetch_add(1, Relaxed) as usize % self.homes.len().max(1)
    }
    /// Deleted ones take no records and give none.
    pub fn is_deleted(&self) -> bool {
        self.deleted.load(Relaxed)
    }
    pub(crate) fn delete(&self) {
        self.deleted.store(true, Relaxed);
        self.grown.notify_waiters();
    }
    /// Counts new records; whether it is time for retention to look.
    pub(crate) fn is_over(&self, records: u64) -> bool {
        let retention = self.spec().retention;
        let fresh = self.counters.fresh.fetch_add(records, Relaxed) + records;
        let often = match (retention.messages, retention.bytes) {
            (Some(messages), _) => (messages / 16).max(1),
            (None, Some(bytes)) => (bytes / 16_384).max(1),
            (None, None) => return false,
        };
        if fresh < often {
            return false;
        }
        self.counters.fresh.store(0, Relaxed);
        true
    }
    pub(crate) fn partition(&self, number: u32) -> Option<&Partition> {
        self.homes.get(number as usize)
    }
    /// Earliest readable offset and the one the next record gets; `None`: no such partition.
    pub fn range(&self, partition: u32) -> Option<(u64, u64)> {
        self.partition(partition).map(Partition::range)
    }
    /// Numbers for metrics.
    pub fn stats(&self) -> StreamStats {
        let mut stats = StreamStats {
            duplicates: self.counters.duplicates.load(Relaxed),
            dropped: self.counters.dropped.load(Relaxed),
            damaged: self.counters.damaged.load(Relaxed),
            ..StreamStats::default()
        };
        for home in &self.homes {
            let (records, bytes) = home.held();
            stats.records += records;
            stats.bytes += bytes;
        }
        stats
    }
    pub(crate) fn row(&self) -> Row {
        Row {
            number: self.number,
            name: self.name.clone(),
            created: self.created,
            first_home: self.homes.first().map_or(0, |p| p.home),
            spec: self.spec(),
        }
    }
}

/// What the catalog keeps of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) number: u32,
    pub(crate) name: Topic,
    pub(crate) created: i64,
    pub(crate) first_home: u32,
    pub(crate) spec: StreamSpec,
}
const NONE: u64 = u64::MAX;
impl Row {
    pub(crate) fn key(&self) -> [u8; 4] {
        self.number.to_le_bytes()
    }
    pub(crate) fn encode(&self) -> Vec<u8> {
        let us = |d: Duration| d.as_micros().min(u128::from(NONE - 1)) as u64;
        let retention = self.spec.retention;
        let mut out = Vec::with_capacity(64 + self.name.len());
        out.put_slice(&[1, self.spec.when_full as u8, self.spec.keep as u8, 0]);
        out.put_u32_le(self.spec.partitions);
        out.put_u32_le(self.first_home);
        out.put_i64_le(self.created);
        out.put_u64_le(us(self.spec.dedupe));
        out.put_u64_le(retention.age.map_or(NONE, us));
        out.put_u64_le(retention.bytes.unwrap_or(NONE));
        out.put_u64_le(retention.messages.unwrap_or(NONE));
        out.put_slice(self.name.as_bytes());
        out
    }
    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Option<Self> {
        let some = |at| le::u64_at(value, at).map(|v| (v != NONE).then_some(v));
        let partitions = le::u32_at(value, 4).filter(|count| (1..=PARTITIONS_MOST).contains(count))?;
        Some(Self {
            number: le::u32_at(key, 0)?,
            first_home: le::u32_at(value, 8).filter(|home| home.checked_add(partitions).is_some())?,
            created: le::i64_at(value, 12)?,
            spec: StreamSpec {
                partitions,
                dedupe: Duration::from_micros(le::u64_at(value, 20)?),
                retention: Retention {
                    age: some(28)?.map(Duration::from_micros),
                    bytes: some(36)?,
                    messages: some(44)?,
                },
                when_full: match value.get(1)? {
                    0 => WhenFull::DropOldest,
                    1 => WhenFull::DropNewest,
                    _ => WhenFull::Refuse,
                },
                keep: match value.get(2)? {
                    0 => Keep::Limits,
                    _ => Keep::UntilAcked,
                },
            },
            name: Topic::new(Bytes::copy_from_slice(value.get(52..)?))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_goes_there_and_back() {
        let row = Row {
            number: 7,
            name: "orders/in".into(),
            created: 5,
            first_home: 16,
            spec: StreamSpec {
                partitions: 3,
                retention: Retention {
                    age: Some(Duration::from_mins(1)),
                    bytes: None,
                    messages: Some(10),
                },
                dedupe: Duration::from_secs(2),
                when_full: WhenFull::Refuse,
                keep: Keep::UntilAcked,
            },
        };
        assert_eq!(Row::decode(&row.key(), &row.encode()), Some(row));
        assert_eq!(Row::decode(&[1], &[0; 10]), None);
    }
}
