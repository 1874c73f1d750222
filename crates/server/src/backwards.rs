//! One partition of a stream from its end: the newest first, a few at a time.
use std::{ops::Range, sync::Arc};
use tidegate_core::{
    endpoint::{Limit, Start},
    error::Result,
    message::Message,
    position::{Cursor, Position},
};
use tidegate_log::{Log, Stream};

/// How many records a step reads: it begins with the least, and grows as long as they are small.
const STEPS: std::ops::RangeInclusive<u64> = 16..=512;
/// A step that read more is followed by a smaller one.
const LARGE: usize = 2 << 20;

/// What was found, and where.
pub(crate) type Record = (Position, Arc<Message>);

pub(crate) struct Backwards<'a> {
    log: &'a Log,
    stream: &'a Arc<Stream>,
    partition: u32,
    /// All from here on was read.
    end: u64,
    step: u64,
    expired: bool,
}
impl<'a> Backwards<'a> {
    /// `before`: only records with a lower offset.
    pub(crate) fn new(log: &'a Log, stream: &'a Arc<Stream>, partition: u32, before: Option<u64>) -> Self {
        let end = stream.range(partition).map_or(0, |(_, end)| end);
        Self {
            log,
            stream,
            partition,
            end: before.map_or(end, |before| before.min(end)),
            step: *STEPS.start(),
            expired: false,
        }
    }
    /// And what has expired.
    pub(crate) fn with_expired(mut self) -> Self {
        self.expired = true;
        self
    }
    /// Where the next step ends; all from there on was read.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }
    /// Whether nothing is left.
    pub(crate) fn is_over(&self) -> bool {
        self.end <= self.floor()
    }
    fn floor(&self) -> u64 {
        self.stream.range(self.partition).map_or(u64::MAX, |(floor, _)| floor)
    }
    /// The newest that are left, newest first; there may be none of them, where records are missing.
    pub(crate) async fn step(&mut self) -> Result<Vec<Record>> {
        let (floor, end) = (self.floor(), self.end);
        if end <= floor {
            return Ok(Vec::new());
        }
        let from = end.saturating_sub(self.step).max(floor);
        let mut records = read(self.log, self.stream, (self.partition, from..end), self.expired).await?;
        let bytes: usize = records.iter().map(|(_, message)| message.size()).sum();
        self.step = if bytes > LARGE {
            (self.step / 2).max(1)
        } else {
            (self.step * 2).min(*STEPS.end())
        };
        self.end = from;
        records.reverse();
        Ok(records)
    }
}
/// What there is of one partition between two offsets, oldest first.
pub(crate) async fn between(log: &Log, stream: &Arc<Stream>, partition: u32, range: Range<u64>) -> Result<Vec<Record>> {
    read(log, stream, (partition, range), false).await
}
async fn read(log: &Log, stream: &Arc<Stream>, (partition, range): (u32, Range<u64>), expired: bool) -> Result<Vec<Record>> {
    let position = |partition, offset: u64| Position {
        source: stream.number(),
        partition,
        offset: u128::from(offset),
    };
    // Of the others nothing is read: it begins at their ends.
    let places = (0..stream.partitions()).filter_map(|one| {
        let next = if one == partition { range.start } else { stream.range(one)?.1 };
        Some(position(one, next.checked_sub(1)?))
    });
    let mut reader = log.reader(stream, Start::After(places.collect::<Cursor>()))?;
    if expired {
        reader = reader.with_expired();
    }
    let mut records = Vec::new();
    let (last, limit) = (
        u128::from(range.end),
        Limit {
            messages: 512,
            bytes: 4 << 20,
        },
    );
    while let Some(chunk) = reader.ready(limit).await? {
        if chunk.is_empty() {
            break;
        }
        for (position, message) in chunk.items {
            // Only what was published meanwhile lies in another one.
            if position.partition != partition {
                continue;
            }
            if position.offset >= last {
                return Ok(records);
            }
            records.push((position, message));
        }
    }
    Ok(records)
}
/// What lies there, if it still does, expired or not.
pub(crate) async fn at(log: &Log, stream: &Arc<Stream>, position: Position) -> Result<Option<Arc<Message>>> {
    let Ok(offset) = u64::try_from(position.offset) else {
        return Ok(None);
    };
    if position.source != stream.number()
        || stream
            .range(position.partition)
            .is_none_or(|(floor, end)| !(floor..end).contains(&offset))
    {
        return Ok(None);
    }
    let found = read(log, stream, (position.partition, offset..offset + 1), true).await?;
    Ok(found.into_iter().next().map(|(_, message)| message))
}
