//! One partition while its records move: what it will hold, and what waits to be written.
use crate::{
    partition::Partition,
    record::Missing,
    segment::{self, Folder, Segment},
    shared::Shared,
    stream::Stream,
};
use bytes::BufMut;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// Offsets of one segment at most.
const WIDE: u64 = 1 << 24;

/// One partition during a move.
pub(super) struct Home {
    pub(super) stream: Arc<Stream>,
    pub(super) partition: u32,
    pub(super) folder: Folder,
    /// The last one there was, if it grew, and new ones. The last of them grows.
    pub(super) segments: Vec<Segment>,
    /// The next offset to copy.
    pub(super) next: u64,
    pub(super) floor: u64,
    /// Not written yet; ends where the last segment ends.
    pub(super) buffer: Vec<u8>,
    /// Hashes of what waits; empty without a dedupe window.
    pub(super) ids: Vec<(u64, u128)>,
    pub(super) dedupes: bool,
    /// Offsets below are in the lists.
    pub(super) listed: u64,
    pub(super) most: u64,
}

impl Home {
    pub(super) fn new(stream: &Arc<Stream>, number: u32, shared: &Shared) -> Option<Self> {
        let partition: &Partition = stream.partition(number)?;
        let places = partition.places();
        let internal = &shared.limits.internal;
        let most = stream.spec().retention.bytes.map_or(internal.segment_most, |bytes| bytes / 8);
        Some(Self {
            stream: stream.clone(),
            partition: number,
            folder: Folder::of(stream, number),
            segments: places
                .segments
                .back()
                .filter(|segment| !segment.sealed)
                .cloned()
                .into_iter()
                .collect(),
            next: places.moved_to,
            listed: places.moved_to,
            floor: places.floor,
            buffer: Vec::new(),
            ids: Vec::new(),
            dedupes: !stream.spec().dedupe.is_zero(),
            most: most.clamp(internal.segment_least.min(internal.segment_most), internal.segment_most),
        })
    }
    /// `end` is where the next record's offsets end: a hole too wide for an index of four bytes gets a segment of its own.
    pub(super) fn is_full(&self, end: u64, bytes: u64, time: i64) -> bool {
        let age = self
            .stream
            .spec()
            .retention
            .age
            .map_or(i64::MAX, |age| (age.as_micros() / 8) as i64);
        self.segments.last().is_some_and(|segment| {
            let large = segment.len + bytes > self.most || end - segment.base > WIDE;
            let old = time.saturating_sub(segment.first_time) > age;
            !segment.sealed && segment.len > segment::HEADER && (large || old)
        })
    }
    /// Why the offsets of a hole are missing, in order and without holes.
    pub(super) fn explain(&self, from: u64, to: u64, damaged: &AtomicU64) -> Vec<(u64, u64, Missing)> {
        let mut out = Vec::new();
        let Some(partition) = self.stream.partition(self.partition) else {
            return out;
        };
        let mut places = partition.places();
        let mut at = from;
        while at < to {
            let (end, why) = places.skip_at(at).map_or_else(
                || {
                    let next = places.skips.iter().map(|skip| skip.from).find(|from| *from > at);
                    (next.unwrap_or(to).min(to), Missing::Damaged)
                },
                |skip| (skip.to.min(to), skip.why),
            );
            // A record that was there at the start, or was written since, checks no longer.
            if why == Missing::Damaged && places.holds(at) && places.is_new_damage(at) {
                self.stream.counters.damaged.fetch_add(end - at, Relaxed);
                damaged.fetch_add(end - at, Relaxed);
            }
            out.push((at, end, why));
            at = end;
        }
        out
    }
}
/// What the table file keeps of a partition.
pub(crate) fn partition_row(moved_to: u64, floor: u64, last_time: i64) -> Vec<u8> {
    let mut row = Vec::with_capacity(24);
    row.put_u64_le(moved_to);
    row.put_u64_le(floor);
    row.put_i64_le(last_time);
    row
}
