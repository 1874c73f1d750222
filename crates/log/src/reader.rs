//! From a cursor to messages and gaps.
mod bookmarks;
mod draft;

use crate::{
    disk::{DiskFile, Open, read_at_hand, read_range},
    error::Error,
    frame::{self, Met},
    partition::{Partition, Where},
    record::{self, Missing},
    segment::{self, Folder, Mark, Segment},
    shared::Shared,
    stream::Stream,
    tail::Recent,
};
use bookmarks::Bookmarks;
use bytes::Bytes;
use draft::Draft;
use std::{
    mem,
    ops::Range,
    sync::{Arc, atomic::Ordering::Relaxed},
};
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
    /// Of the last look, microseconds: what expired before is passed over. Groups count it instead.
    now: Option<i64>,
    shows_expired: bool,
    /// To be told first.
    gap: Option<Gap>,
    /// Where the last chunk ended: the next one begins behind it.
    turn: usize,
    window: usize,
    bookmarks: Bookmarks,
}
/// How bytes of a file are read: file, place, length.
type ReadRange = fn(&dyn DiskFile, u64, usize) -> std::io::Result<Option<Vec<u8>>>;
/// Some of a segment.
struct Stretch {
    at: u64,
    bytes: Vec<u8>,
    /// Nothing follows.
    last: bool,
    /// The index, if it was read on the way.
    marks: Option<Vec<Mark>>,
}
/// Some messages in order, and what is missing before them.
#[derive(Debug, Default)]
pub struct Chunk {
    /// Lies before the items.
    pub gap: Option<Gap>,
    /// May be empty beside a gap.
    pub items: Vec<(Position, Arc<Message>)>,
}
/// Some of one partition's messages, what is missing before them, and behind what.
pub(crate) struct Part {
    pub(crate) gap: Option<Gap>,
    pub(crate) items: Vec<(Position, Arc<Message>)>,
    /// All below was looked at.
    pub(crate) to: u64,
}
impl Stretch {
    /// Nothing lies behind that.
    fn none(at: u64) -> Self {
        Self {
            at,
            bytes: Vec::new(),
            last: true,
            marks: None,
        }
    }
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
            now: None,
            shows_expired: false,
            gap: None,
            // A reader of single pages begins elsewhere each time, so that no partition waits behind a busy one for ever.
            turn: stream.turn(),
            window: *WINDOWS.start(),
            bookmarks: Bookmarks::default(),
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
                } else {
                    reader.beyond(cursor.iter());
                }
            }
            Start::At(position) => {
                // The one that was asked for comes first.
                reader.turn = (position.partition as usize).min(stream.homes.len().saturating_sub(1));
                reader.next = floors().collect();
                let from = reader.place(std::iter::once((position, 0)));
                if position.source == number {
                    reader.beyond(std::iter::once(position));
                } else {
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
            missed: None,
        });
    }
    /// Places that the stream does not reach: told at once. Reading goes on behind what was lost there, or begins anew.
    fn beyond(&mut self, places: impl Iterator<Item = Position>) {
        let (mut from, mut to) = (Cursor::default(), Cursor::default());
        let mut found = None;
        for position in places.filter(|position| position.source == self.stream.number()) {
            let partition = position.partition as usize;
            let (Some(home), Some(next)) = (self.stream.homes.get(partition), self.next.get(partition).copied()) else {
                continue;
            };
            let Some((behind, reason)) = home.places().beyond(next) else {
                continue;
            };
            from.advance(position);
            if let Some(offset) = behind.and_then(|end| end.checked_sub(1)) {
                to.advance(self.position(partition, offset));
            }
            if let Some(slot) = self.next.get_mut(partition) {
                *slot = behind.unwrap_or_else(|| home.range().0);
            }
            found = if found == Some(Reason::Damaged) { found } else { Some(reason) };
        }
        self.gap = found.map(|reason| Gap {
            from,
            to,
            reason,
            missed: None,
        });
    }
    /// The next offset of each partition.
    pub(crate) fn places(&self) -> Vec<u64> {
        self.next.clone()
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
    /// Reads what has expired, too, as long as it is there.
    pub fn with_expired(mut self) -> Self {
        self.shows_expired = true;
        self
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
            window: self.window,
            bookmarks: mem::take(&mut self.bookmarks),
        };
        self.now = (!self.shows_expired).then(|| self.shared.limits.now());
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
        self.bookmarks = draft.bookmarks;
        self.gap = None;
        self.turn = (turn + 1) % partitions;
        self.window = if draft.cold { draft.window } else { *WINDOWS.start() };
        Ok(Some(draft.chunk))
    }
    /// What there is of one partition from an offset on, and how far that goes. Waits for the disk only. Cancel-safe.
    pub(crate) async fn part(&mut self, partition: usize, range: Range<u64>, limit: Limit) -> Result<Part> {
        let most = range.end.saturating_sub(range.start).min(u64::from(limit.messages));
        let mut draft = Draft {
            next: self.next.clone(),
            chunk: Chunk::default(),
            bytes: 0,
            limit: Limit {
                messages: most as u32,
                ..limit
            },
            cold: false,
            window: self.window,
            bookmarks: mem::take(&mut self.bookmarks),
        };
        draft.set(partition, range.start);
        self.fill(partition, &mut draft).await?;
        self.bookmarks = draft.bookmarks;
        self.window = if draft.cold { draft.window } else { *WINDOWS.start() };
        let mut to = draft.next.get(partition).copied().unwrap_or(range.end).max(range.start);
        let Chunk { gap, mut items } = draft.chunk;
        if let Some(i) = items.iter().position(|(position, _)| position.offset >= u128::from(range.end)) {
            to = items.get(i).map_or(to, |(position, _)| position.offset as u64);
            items.truncate(i);
        }
        Ok(Part { gap, items, to })
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
            let place = partition.places().locate(next, most, draft.window);
            let parsed = match place {
                Where::End => return Ok(false),
                Where::Skip(to) => {
                    next = to;
                    draft.set(number, next);
                    continue;
                }
                Where::Gap(to, reason) => {
                    // The start has counted it for the whole log.
                    if reason == Reason::Damaged && partition.places().is_new_damage(next) {
                        self.stream.counters.damaged.fetch_add(to - next, Relaxed);
                    }
                    if !draft.gap(self, number, next, to, reason) {
                        return Ok(true);
                    }
                    next = to;
                    continue;
                }
                Where::Tail(recents) => Parsed::recent(&recents, next, most),
                Where::Journal { file, at, bytes, until } => {
                    draft.cold();
                    let read = if let Ok(Some(read)) = read_at_hand(&*file.file, at, bytes) {
                        Ok(read)
                    } else {
                        let file = file.clone();
                        self.cold(move || read_range(&*file.file, at, bytes)).await
                    };
                    // Only now: it may have been recycled while we read.
                    if file.is_recycled() {
                        continue;
                    }
                    let wanted = Wanted {
                        next,
                        until,
                        most,
                        bytes: draft.room(),
                        last: true,
                    };
                    self.parse(partition, &Bytes::from(read?), &wanted)
                }
                Where::Segment { segment, from } => {
                    let ended = draft.bookmarks.ended(number, segment.base, next);
                    // Where the record lies, or where it lies not far behind.
                    let known = ended.is_some();
                    let from = ended.or(from).or_else(|| draft.bookmarks.before(number, segment.base, next));
                    let likely = segment.likely(most as u64, known) as usize;
                    let window = if known { draft.window.min(likely) } else { likely };
                    let window = window.clamp(*WINDOWS.start(), *WINDOWS.end());
                    let stretch = match self.read_segment(number, &segment, next, from, window).await? {
                        Some(stretch) => stretch,
                        // It was removed meanwhile, and the floor is behind it.
                        None if partition.range().0 > next => continue,
                        None => Stretch::none(segment.len),
                    };
                    draft.cold();
                    if let Some(marks) = stretch.marks {
                        partition.places().remark(segment.base, &marks);
                        draft.bookmarks.learn(number, segment.base, marks);
                    }
                    let wanted = Wanted {
                        next,
                        until: segment.end,
                        most,
                        bytes: draft.room(),
                        last: stretch.last,
                    };
                    let parsed = self.parse(partition, &Bytes::from(stretch.bytes), &wanted);
                    let end = stretch.at + parsed.consumed as u64;
                    draft.bookmarks.end(number, segment.base, parsed.next, end);
                    parsed
                }
            };
            if let Some(to) = parsed.gap {
                if !parsed.known && partition.places().is_new_damage(next) {
                    self.stream.counters.damaged.fetch_add(to - next, Relaxed);
                    self.shared.counters.damaged.fetch_add(to - next, Relaxed);
                }
                if !draft.gap(self, number, next, to, Reason::Damaged) {
                    return Ok(true);
                }
            }
            draft.chunk.items.reserve(parsed.items.len());
            for (offset, message) in parsed.items {
                if message.at >= self.since && !self.has_expired(&message) && !draft.push(self.position(number, offset), message) {
                    return Ok(true);
                }
                draft.set(number, offset + 1);
            }
            next = parsed.next;
            draft.set(number, next);
        }
    }
    fn has_expired(&self, message: &Message) -> bool {
        let expires = message.timing.as_ref().and_then(|timing| timing.expires);
        expires.zip(self.now).is_some_and(|(expires, now)| expires <= now)
    }
    /// Runs where blocking does not hurt, four at a time; an error counts only if it comes three times.
    async fn cold<T: Send + 'static>(&self, work: impl Fn() -> std::io::Result<T> + Send + 'static) -> Result<T> {
        let _one_of_four = self.shared.cold.acquire().await.map_err(|_| Error::Closing)?;
        let (done, wait) = oneshot::channel();
        (self.shared.hooks.run_blocking)(Box::new(move || {
            let _nobody_waits = done.send(work().or_else(|_| work()).or_else(|_| work()));
        }));
        let read = wait.await.map_err(|_| Error::Closing)?;
        Ok(read.map_err(Error::disk("read"))?)
    }
    /// One window of a segment, from there or from where its index says; `None`: there is no such file.
    async fn read_segment(
        &self,
        partition: usize,
        segment: &Segment,
        next: u64,
        from: Option<u64>,
        window: usize,
    ) -> Result<Option<Stretch>> {
        let (disk, salt) = (self.shared.disk.clone(), self.shared.salt);
        let path = Folder::of(&self.stream, partition as u32).segment(segment.base);
        let segment = segment.clone();
        // `None` where `range` gives none.
        let read = move |range: ReadRange| -> std::io::Result<Option<Stretch>> {
            let file = disk.open(&path, Open::Existing)?;
            let marks = from.is_none().then(|| segment.index(&*file, salt)).transpose()?;
            let at = from.unwrap_or_else(|| segment::before(marks.as_deref().unwrap_or_default(), next));
            let rest = segment.len.saturating_sub(at);
            let mut want = rest.min(window as u64);
            let Some(mut bytes) = range(&*file, at, want as usize)? else {
                return Ok(None);
            };
            // One record at least; its length counts only if it checks.
            if let Some(header) = record::Header::read(&bytes, salt).filter(|header| header.stored() > bytes.len()) {
                want = rest.min(header.stored() as u64);
                let Some(whole) = range(&*file, at, want as usize)? else {
                    return Ok(None);
                };
                bytes = whole;
            }
            // A file that was cut ends early.
            let last = want == rest || (bytes.len() as u64) < want;
            Ok(Some(Stretch { at, bytes, last, marks }))
        };
        // Whoever reads on where the last read ended finds it at hand, as a rule.
        if from.is_some()
            && let Ok(Some(read)) = read(read_at_hand)
        {
            return Ok(Some(read));
        }
        self.cold(move || match read(|file, at, len| read_range(file, at, len).map(Some)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            read => read,
        })
        .await
    }
    /// The records of one home from an offset on, up to the first hole behind one that is there.
    fn parse(&self, partition: &Partition, bytes: &Bytes, wanted: &Wanted) -> Parsed {
        let mut found = Parsed {
            next: wanted.next,
            ..Parsed::default()
        };
        let mut size = 0;
        let mut stopped = None;
        let mut enough = false;
        found.consumed = frame::walk_part(bytes, self.shared.salt, wanted.last, |met| {
            let Met::Record(at, header, body) = met else {
                return true;
            };
            let skip = (header.kind == record::kind::SKIP).then(|| record::Header::skip(body)).flatten();
            let end = header.offset.saturating_add(skip.map_or(1, |(count, _)| count));
            if header.home != partition.home || end <= found.next || header.offset >= wanted.until {
                return true;
            }
            let damaged = skip.is_some_and(|(_, why)| why == Missing::Damaged);
            if header.offset > found.next || damaged {
                if !found.items.is_empty() || found.gap.is_some() {
                    // The next read begins at the hole.
                    stopped = Some(at);
                    return false;
                }
                let to = if damaged { end } else { header.offset };
                found.known = damaged && header.offset <= found.next;
                found.gap = Some(to.min(wanted.until));
                found.next = to.min(wanted.until);
            }
            if skip.is_some() {
                found.next = end.min(wanted.until);
                return true;
            }
            let stored = header.stored().min(bytes.len() - at);
            let mut record = bytes.slice(at..at + stored);
            if stored.saturating_mul(wanted.most) < bytes.len() / 2 {
                // Few keep much in memory if they are slices of what was read.
                record = Bytes::copy_from_slice(&record);
            }
            if let Some(message) = header.message(&record, self.stream.topic()) {
                size += message.size();
                if size > wanted.bytes && !found.items.is_empty() {
                    stopped = Some(at);
                    return false;
                }
                found.items.push((header.offset, Arc::new(message)));
                found.next = header.offset + 1;
            }
            enough = found.items.len() >= wanted.most || size >= wanted.bytes;
            !enough
        });
        let all = wanted.last && !enough && stopped.is_none();
        found.consumed = stopped.unwrap_or(found.consumed);
        if found.items.is_empty() && found.gap.is_none() && all && found.next < wanted.until {
            found.gap = Some(wanted.until);
            found.next = wanted.until;
        }
        found
    }
}
struct Wanted {
    next: u64,
    /// Nothing of the place reaches further.
    until: u64,
    most: usize,
    bytes: usize,
    /// Nothing follows the bytes.
    last: bool,
}
#[derive(Default)]
struct Parsed {
    /// Nothing before this offset, and the reader is told.
    gap: Option<u64>,
    /// That gap is written down: who wrote that has counted it.
    known: bool,
    items: Vec<(u64, Arc<Message>)>,
    /// Where to go on.
    next: u64,
    /// Bytes looked at.
    consumed: usize,
}

impl Parsed {
    fn recent(recents: &[Arc<Recent>], next: u64, most: usize) -> Self {
        let all = recents.iter().flat_map(|recent| (recent.first..).zip(recent.messages()));
        let from = all.skip_while(|(offset, _)| *offset < next);
        let end = recents.last().map_or(next, |recent| recent.end());
        let mut items = Vec::with_capacity(most.min(end.saturating_sub(next) as usize));
        items.extend(from.take(most).map(|(offset, message)| (offset, message.clone())));
        Self {
            next: items.last().map_or(end, |(offset, _)| offset + 1),
            // Memory that does not check is told like a disk that does not.
            gap: items.is_empty().then_some(end),
            items,
            ..Self::default()
        }
    }
}
