//! From a cursor to messages and gaps.
use crate::{
    disk::read_range,
    error::Error,
    frame::{self, Met},
    partition::{Partition, Where},
    record,
    shared::Shared,
    stream::Stream,
};
use bytes::Bytes;
use std::sync::Arc;
use tidegate_core::{
    endpoint::{Limit, Start},
    error::Result,
    message::Message,
    position::{Cursor, Gap, Position, Reason},
};
use tokio::sync::oneshot;

/// The first read of a reader that fell behind, and the largest.
const WINDOWS: std::ops::RangeInclusive<usize> = 4 << 10..=256 << 10;

/// Reads one stream from a place on, all its partitions. Within a partition offsets rise; between partitions there is no order.
pub struct Reader {
    shared: Arc<Shared>,
    stream: Arc<Stream>,
    /// The next offset of each partition.
    next: Vec<u64>,
    /// Records appended earlier are passed over.
    since: i64,
    /// To be told first.
    gap: Option<Gap>,
    /// Where the last chunk ended: the next one begins behind it.
    turn: usize,
    window: usize,
}
/// Some messages in order, and what is missing before them.
#[derive(Debug, Default)]
pub struct Chunk {
    /// Lies before the items.
    pub gap: Option<Gap>,
    /// May be empty beside a gap.
    pub items: Vec<(Position, Arc<Message>)>,
}
impl Chunk {
    /// Neither a gap nor messages.
    pub fn is_empty(&self) -> bool {
        self.gap.is_none() && self.items.is_empty()
    }
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>, stream: Arc<Stream>, start: Start) -> Self {
        let number = stream.number();
        let floors = || stream.homes.iter().map(|home| home.range().0);
        let mut reader = Self {
            next: vec![0; stream.homes.len()],
            since: i64::MIN,
            gap: None,
            turn: 0,
            window: *WINDOWS.start(),
            shared,
            stream: stream.clone(),
        };
        match start {
            Start::Earliest => reader.next = floors().collect(),
            Start::Latest => reader.next = stream.homes.iter().map(|home| home.range().1).collect(),
            Start::After(cursor) => {
                let from = reader.place(cursor.iter().map(|p| (p, 1)));
                // Old numbers mean a stream that was deleted since, unless the cursor is one over several streams.
                if !cursor.is_empty() && from.iter().count() == cursor.iter().count() {
                    reader.recreated(from);
                }
            }
            Start::At(position) => {
                reader.next = floors().collect();
                let from = reader.place(std::iter::once((position, 0)));
                if position.source != number {
                    reader.recreated(from);
                }
            }
            Start::Last(count) => {
                let last = |home: &Partition| {
                    let (floor, end) = home.range();
                    end.saturating_sub(count).max(floor)
                };
                reader.next = stream.homes.iter().map(last).collect();
            }
            Start::Since(time) => {
                reader.next = stream.homes.iter().map(|home| home.places().since(time)).collect();
                reader.since = time;
            }
        }
        reader
    }
    /// Sets the places that are ours; the others come back.
    fn place(&mut self, places: impl Iterator<Item = (Position, u64)>) -> Cursor {
        let mut others = Cursor::default();
        for (position, add) in places {
            if position.source != self.stream.number() {
                others.advance(position);
            } else if let Some(next) = self.next.get_mut(position.partition as usize) {
                *next = u64::try_from(position.offset).unwrap_or(u64::MAX).saturating_add(add);
            }
        }
        others
    }
    fn recreated(&mut self, from: Cursor) {
        self.next = self.stream.homes.iter().map(|home| home.range().0).collect();
        self.gap = Some(Gap {
            from,
            to: Cursor::default(),
            reason: Reason::Recreated,
        });
    }
    /// The stream it reads.
    pub fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }
    /// All that was handed out, and what was passed over. Reading after it goes on here.
    pub fn cursor(&self) -> Cursor {
        let seen = self.next.iter().enumerate().filter(|(_, next)| **next > 0);
        seen.map(|(partition, next)| self.position(partition, next - 1)).collect()
    }
    fn position(&self, partition: usize, offset: u64) -> Position {
        Position {
            source: self.stream.number(),
            partition: partition as u32,
            offset: u128::from(offset),
        }
    }
    /// Waits at the end of all partitions until there is something. At least one message, however small the limit.
    /// `None`: the stream was deleted or the log closed. A gap lies before the items and ends the chunk before it. Cancel-safe: a
    /// dropped call loses nothing.
    pub async fn next(&mut self, limit: Limit) -> Result<Option<Chunk>> {
        let stream = self.stream.clone();
        loop {
            let mut grown = std::pin::pin!(stream.grown.notified());
            // Before looking: what grows in between must wake us.
            grown.as_mut().enable();
            match self.ready(limit).await? {
                Some(chunk) if chunk.is_empty() && self.shared.herald.is_closed() => return Ok(None),
                Some(chunk) if chunk.is_empty() => grown.await,
                found => return Ok(found),
            }
        }
    }
    /// What there is now; empty at the end. Waits for the disk, never for new records. `None`: the stream was deleted. Cancel-safe.
    pub async fn ready(&mut self, limit: Limit) -> Result<Option<Chunk>> {
        if self.stream.is_deleted() {
            return Ok(None);
        }
        let mut draft = Draft {
            next: self.next.clone(),
            chunk: Chunk {
                gap: self.gap.clone(),
                items: Vec::new(),
            },
            bytes: 0,
            limit,
            cold: false,
        };
        let partitions = self.next.len();
        let mut turn = self.turn;
        for i in 0..partitions {
            turn = (self.turn + i) % partitions;
            if self.fill(turn, &mut draft).await? {
                break;
            }
        }
        // From here on nothing waits: what was read is handed out.
        self.next = draft.next;
        self.gap = None;
        self.turn = (turn + 1) % partitions;
        self.window = if draft.cold {
            (self.window * 2).min(*WINDOWS.end())
        } else {
            *WINDOWS.start()
        };
        Ok(Some(draft.chunk))
    }
    /// Takes from one partition; whether the chunk is complete.
    async fn fill(&self, number: usize, draft: &mut Draft) -> Result<bool> {
        let (Some(partition), Some(mut next)) = (self.stream.homes.get(number), draft.next.get(number).copied()) else {
            return Ok(false);
        };
        loop {
            let most = (draft.limit.messages as usize).max(1).saturating_sub(draft.chunk.items.len());
            if most == 0 {
                return Ok(true);
            }
            let place = partition.places().locate(next, most, self.window);
            let messages = match place {
                Where::End => return Ok(false),
                Where::Skip(to) => {
                    next = to;
                    draft.set(number, next);
                    continue;
                }
                Where::Gap(to, reason) => {
                    if !draft.gap(self, number, next, to, reason) {
                        return Ok(true);
                    }
                    next = to;
                    continue;
                }
                Where::Tail(messages) => messages,
                Where::Journal { file, at, bytes, until } => {
                    draft.cold = true;
                    let read = {
                        let file = file.clone();
                        self.cold(move || read_range(&*file.file, at, bytes)).await
                    };
                    // Only now: it may have been recycled while we read.
                    if file.is_recycled() {
                        continue;
                    }
                    let found = self.parse(partition, &Bytes::from(read?), next..until);
                    if let Some(to) = found.missing {
                        self.stream
                            .counters
                            .damaged
                            .fetch_add(to - next, std::sync::atomic::Ordering::Relaxed);
                        if !draft.gap(self, number, next, to, Reason::Damaged) {
                            return Ok(true);
                        }
                        next = to;
                    }
                    found.messages
                }
            };
            for message in messages {
                if message.at >= self.since && !draft.push(self.position(number, next), message) {
                    return Ok(true);
                }
                next += 1;
                draft.set(number, next);
            }
        }
    }
    /// Runs where blocking does not hurt, four at a time.
    async fn cold<T: Send + 'static>(&self, work: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> Result<T> {
        let _one_of_four = self.shared.cold.acquire().await.map_err(|_| Error::Closing)?;
        let (done, wait) = oneshot::channel();
        (self.shared.hooks.run_blocking)(Box::new(move || {
            let _nobody_waits = done.send(work());
        }));
        let read = wait.await.map_err(|_| Error::Closing)?;
        Ok(read.map_err(Error::disk("read"))?)
    }
    /// The records of one home in a range, up to the first that is missing behind one that is there.
    fn parse(&self, partition: &Partition, bytes: &Bytes, range: std::ops::Range<u64>) -> Parsed {
        let mut found = Parsed::default();
        let mut next = range.start;
        let mut ended = false;
        frame::walk(bytes, self.shared.salt, |met| {
            let Met::Record(at, header, _) = met else {
                return;
            };
            let ours = header.home == partition.home && header.kind == record::kind::MESSAGE;
            if ended || !ours || !(next..range.end).contains(&header.offset) {
                return;
            }
            if header.offset > next {
                if !found.messages.is_empty() {
                    ended = true;
                    return;
                }
                found.missing = Some(header.offset);
            }
            let record = bytes.slice(at..at + header.stored().min(bytes.len() - at));
            if let Some(message) = header.message(&record, self.stream.topic()) {
                found.messages.push(Arc::new(message));
                next = header.offset + 1;
            }
        });
        if found.messages.is_empty() {
            found.missing = Some(range.end);
        }
        found
    }
}
#[derive(Default)]
struct Parsed {
    /// Nothing before this offset.
    missing: Option<u64>,
    messages: Vec<Arc<Message>>,
}

/// A chunk being filled; dropped with the call, so that nothing is lost.
struct Draft {
    next: Vec<u64>,
    chunk: Chunk,
    bytes: usize,
    limit: Limit,
    cold: bool,
}
impl Draft {
    fn set(&mut self, partition: usize, next: u64) {
        if let Some(slot) = self.next.get_mut(partition) {
            *slot = next;
        }
    }
    /// Whether it still fits.
    fn push(&mut self, position: Position, message: Arc<Message>) -> bool {
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
    fn gap(&mut self, reader: &Reader, partition: usize, from: u64, to: u64, reason: Reason) -> bool {
        if !self.chunk.items.is_empty() || self.chunk.gap.is_some() {
            return false;
        }
        let place = |next: u64| next.checked_sub(1).map(|offset| reader.position(partition, offset));
        self.chunk.gap = Some(Gap {
            from: place(from).into_iter().collect(),
            to: place(to).into_iter().collect(),
            reason,
        });
        self.set(partition, to);
        true
    }
}
