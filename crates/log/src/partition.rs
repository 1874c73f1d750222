//! Where the offsets of one partition lie: in memory, in the journal, or missing for a known reason.
use crate::{
    draft::Placed,
    journal::JournalFile,
    record::Missing,
    segment::{Mark, Segment},
    tail::Recent,
};
use std::{
    collections::{HashSet, VecDeque},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64},
    },
};
use tidegate_core::position::Reason;

/// Bytes after which a run ends, so that a reader in its middle reads little for nothing.
pub(crate) const RUN: usize = 32 << 10;

/// One partition of one stream.
pub(crate) struct Partition {
    /// Names it on the disk; never used twice.
    pub(crate) home: u32,
    pub(crate) number: u32,
    /// The next offset to give; only the commit thread touches it.
    pub(crate) next: AtomicU64,
    /// The last time given, microseconds; only the commit thread touches it.
    pub(crate) last_time: AtomicI64,
    places: Mutex<Places>,
}
impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Partition").field("home", &self.home).finish_non_exhaustive()
    }
}
impl Partition {
    pub(crate) fn new(home: u32, number: u32) -> Self {
        Self {
            home,
            number,
            next: AtomicU64::new(0),
            last_time: AtomicI64::new(0),
            places: Mutex::default(),
        }
    }
    /// Nothing is done under it but looking and moving a few words.
    pub(crate) fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
    pub(crate) fn range(&self) -> (u64, u64) {
        let places = self.places();
        (places.floor, places.end)
    }
    pub(crate) fn held(&self) -> (u64, u64) {
        let places = self.places();
        (places.records, places.bytes)
    }
}

/// Adjacent records of one home in one journal file: consecutive offsets, consecutive bytes but for headers of frames.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) first: u64,
    pub(crate) count: u32,
    pub(crate) bytes: u32,
    /// Of these, records.
    pub(crate) data: u32,
    pub(crate) at: u64,
    /// Of the first record.
    pub(crate) time: i64,
    pub(crate) file: Arc<JournalFile>,
}
impl Run {
    pub(crate) fn end(&self) -> u64 {
        self.first + u64::from(self.count)
    }
    /// Joins what directly follows in the same file, up to [`RUN`] bytes.
    pub(crate) fn join(&mut self, next: &Self) -> bool {
        let end = self.at + u64::from(self.bytes);
        let between = next.at.checked_sub(end);
        let follows = Arc::ptr_eq(&self.file, &next.file) && self.end() == next.first;
        let header = crate::frame::HEADER as u64;
        let Some(between) = between.filter(|b| follows && (*b == 0 || *b == header)) else {
            return false;
        };
        let bytes = u64::from(self.bytes) + between + u64::from(next.bytes);
        if bytes > RUN as u64 {
            return false;
        }
        self.bytes = bytes as u32;
        self.data += next.data;
        self.count += next.count;
        true
    }
}
/// Records that lie side by side, cut into runs.
pub(crate) fn runs(mut rest: &[Placed]) -> impl Iterator<Item = &[Placed]> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = rest.iter().take_while(|placed| {
            let before = bytes;
            bytes += placed.len as usize;
            before == 0 || bytes <= RUN
        });
        let (run, tail) = rest.split_at(fits.count());
        rest = tail;
        (!run.is_empty()).then_some(run)
    })
}
/// Offsets that are not there, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Skip {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) why: Missing,
}

/// What one lock guards.
#[derive(Default)]
pub(crate) struct Places {
    /// The lowest offset readers may have.
    pub(crate) floor: u64,
    /// All below it are synced; what readers see.
    pub(crate) end: u64,
    /// All below it lie in segments.
    pub(crate) moved_to: u64,
    /// By offset.
    pub(crate) segments: VecDeque<Segment>,
    /// Messages that can be read.
    records: u64,
    /// Of the records that can be read.
    pub(crate) bytes: u64,
    pub(crate) runs: VecDeque<Run>,
    pub(crate) skips: Vec<Skip>,
    tail: VecDeque<Arc<Recent>>,
    /// The start found that the end of the journal had lost something.
    pub(crate) torn: bool,
    /// Where damage began that was counted.
    counted: HashSet<u64>,
}
/// Where to go on reading from an offset.
pub(crate) enum Where {
    /// Nothing there yet.
    End,
    /// Recent ones, in order; the offset asked for lies in the first.
    Tail(Vec<Arc<Recent>>),
    /// Nothing up to here, as is known.
    Skip(u64),
    /// Nothing up to here, and the reader must be told.
    Gap(u64, Reason),
    /// Bytes that begin at or before the offset; records up to `until` lie in them.
    Journal {
        file: Arc<JournalFile>,
        at: u64,
        bytes: usize,
        until: u64,
    },
    /// In this segment (its marks left out), from `from` on, if that is known without looking.
    Segment { segment: Segment, from: Option<u64> },
}

impl Places {
    /// After the sync: records become visible. Whether the index has grown.
    pub(crate) fn append(&mut self, run: Run, recent: Option<Arc<Recent>>) -> bool {
        self.end = self.end.max(run.end());
        self.bytes += u64::from(run.data);
        self.records += u64::from(run.count);
        self.tail.extend(recent);
        let joined = self.runs.back_mut().is_some_and(|last| last.join(&run));
        if !joined {
            self.runs.push_back(run);
        }
        !joined
    }
    /// Explains offsets that will not come; the end moves behind them.
    pub(crate) fn skip(&mut self, skip: Skip) {
        self.end = self.end.max(skip.to);
        match self.skips.last_mut() {
            Some(last) if last.to == skip.from && last.why == skip.why => last.to = skip.to,
            _ => self.skips.push(skip),
        }
    }
    /// All below was purged, whether or not it was found again: what of it was not is nobody's loss.
    pub(crate) fn begin(&mut self, floor: u64) {
        self.end = self.end.max(floor);
        self.raise(floor);
    }
    /// Readers no longer get what lies below; how many offsets that takes away.
    pub(crate) fn raise(&mut self, floor: u64) -> u64 {
        let old = self.floor;
        self.floor = floor.clamp(old, self.end.max(old));
        while self.runs.pop_front_if(|run| run.end() <= self.floor).is_some() {}
        self.skips.retain(|skip| skip.to > self.floor);
        if self.floor > old {
            self.count();
        }
        self.floor - old
    }
    /// The floor below which all is older than `cutoff`, as far as whole segments and runs tell; `last` is the newest record's time.
    pub(crate) fn older(&self, cutoff: i64, last: i64) -> u64 {
        if last < cutoff {
            return self.end;
        }
        let mut floor = self.floor;
        for segment in self.segments.iter().take_while(|segment| segment.last_time < cutoff) {
            floor = segment.end;
        }
        if self.segments.back().is_none_or(|segment| segment.last_time < cutoff) {
            // A run is older if the next one begins before the cutoff.
            let next = self.runs.iter().skip(1).take_while(|run| run.time < cutoff).last();
            floor = next.map_or(floor, |run| floor.max(run.first));
        }
        floor
    }
    /// The floor that takes at least `bytes` away, by whole segments, marks and runs.
    pub(crate) fn lighter(&self, bytes: u64) -> u64 {
        let mut gone = 0;
        for segment in self.segments.iter().filter(|segment| segment.end > self.floor) {
            let start = segment.start(self.floor);
            let mark = segment.marks.iter().find(|mark| gone + mark.at.saturating_sub(start) >= bytes);
            if let Some(mark) = mark.filter(|mark| mark.offset > self.floor) {
                return mark.offset;
            }
            gone += segment.len.saturating_sub(start);
            if gone >= bytes {
                return segment.end;
            }
        }
        for run in &self.runs {
            gone += u64::from(run.data);
            if gone >= bytes {
                return run.end();
            }
        }
        self.end
    }
    /// The floor that takes so many messages away. Wide holes are passed over: by offsets alone it would never come to their ends.
    pub(crate) fn fewer(&self, messages: u64) -> u64 {
        let hole = self.segments.iter().find(|segment| segment.end > self.floor);
        let from = match hole.filter(|segment| segment.records == 0) {
            Some(segment) => segment.end,
            None => self.skip_at(self.floor).map_or(self.floor, |skip| skip.to),
        };
        let next = self.skips.iter().find(|skip| skip.from >= from && skip.from < from + messages);
        // Up to the next hole: what is too much still is taken at the next look.
        next.map_or(from + messages, |skip| skip.to)
    }
    /// Segments that hold nothing readers may have, the one that grows too.
    pub(crate) fn below_floor(&self) -> Vec<Segment> {
        let gone = self.segments.iter().take_while(|segment| segment.end <= self.floor);
        gone.map(Segment::clone_head).collect()
    }
    /// They leave the list. Not while a move goes on: it may be writing the last one.
    pub(crate) fn removed(&mut self, end: u64) {
        while self.segments.pop_front_if(|segment| segment.end <= end).is_some() {}
    }
    /// The oldest messages leave memory, if they begin at this offset.
    pub(crate) fn forget(&mut self, first: u64) {
        self.tail.pop_front_if(|recent| recent.first == first);
    }
    /// At most `most` messages or about `window` bytes at once.
    pub(crate) fn locate(&self, offset: u64, most: usize, window: usize) -> Where {
        if offset < self.floor {
            return Where::Gap(self.floor, Reason::Retention);
        }
        if offset >= self.end {
            return Where::End;
        }
        if let Some(found) = self.in_tail(offset, most) {
            return Where::Tail(found);
        }
        if offset < self.moved_to {
            return self.in_segments(offset);
        }
        if let Some(skip) = self.skip_at(offset) {
            return if skip.why == Missing::Damaged {
                Where::Gap(skip.to, Reason::Damaged)
            } else {
                Where::Skip(skip.to)
            };
        }
        let i = self.runs.partition_point(|run| run.end() <= offset);
        match self.runs.get(i) {
            Some(run) if run.first <= offset => self.stretch(i, offset.saturating_add(most as u64), window),
            next => {
                let known = self.skips.iter().map(|skip| skip.from).find(|from| *from > offset);
                let to = next.map_or(self.end, |run| run.first).min(known.unwrap_or(self.end));
                Where::Gap(to, Reason::Damaged)
            }
        }
    }
    /// Whether the damage from here on is met for the first time, as far as that is remembered.
    pub(crate) fn is_new_damage(&mut self, from: u64) -> bool {
        if self.counted.len() >= 4_096 {
            return !self.counted.contains(&from);
        }
        self.counted.insert(from)
    }
    /// Where reading goes on from a place that this log no longer knows, though a reader has been there; and what happened. No place:
    /// what there is may be all new to that reader, as in another stream of the same number.
    pub(crate) fn beyond(&self, next: u64) -> Option<(Option<u64>, Reason)> {
        if next > self.end {
            let reason = if self.torn { Reason::Damaged } else { Reason::Recreated };
            return Some((None, reason));
        }
        // What was handed out was synced: its end was not torn, but damaged.
        let lost = self.skip_at(next).filter(|skip| skip.why == Missing::TailLost && next > skip.from);
        lost.map(|skip| (Some(skip.to), Reason::Damaged))
    }
    /// Whether a record of this offset is known to lie in the journal.
    pub(crate) fn holds(&self, offset: u64) -> bool {
        let i = self.runs.partition_point(|run| run.end() <= offset);
        self.runs.get(i).is_some_and(|run| run.first <= offset)
    }
    pub(crate) fn skip_at(&self, offset: u64) -> Option<Skip> {
        let i = self.skips.partition_point(|skip| skip.to <= offset);
        self.skips.get(i).copied().filter(|skip| skip.from <= offset)
    }
    fn in_segments(&self, offset: u64) -> Where {
        let i = self.segments.partition_point(|segment| segment.end <= offset);
        match self.segments.get(i) {
            Some(segment) if segment.base <= offset => Where::Segment {
                from: segment.known(offset),
                segment: segment.clone_head(),
            },
            next => Where::Gap(next.map_or(self.moved_to, |segment| segment.base), Reason::Damaged),
        }
    }
    /// The marks of a segment that grows: after a start it has none.
    pub(crate) fn remark(&mut self, base: u64, marks: &[Mark]) {
        let grows = |segment: &&mut Segment| segment.base == base && !segment.sealed && segment.marks.is_empty();
        if let Some(segment) = self.segments.iter_mut().find(grows) {
            segment.marks = marks.to_vec();
        }
    }
    /// A move is durable: what it copied is read from segments from now on.
    pub(crate) fn moved(&mut self, changed: Vec<Segment>, to: u64) {
        for segment in changed {
            match self.segments.iter_mut().find(|old| old.base == segment.base) {
                Some(old) => *old = segment,
                None => self.segments.push_back(segment),
            }
        }
        self.moved_to = self.moved_to.max(to);
        while self.runs.pop_front_if(|run| run.end() <= self.moved_to).is_some() {}
        if self.runs.capacity() > 4 * self.runs.len() + 64 {
            self.runs.shrink_to(2 * self.runs.len());
        }
        self.skips.retain(|skip| skip.to > self.moved_to);
        self.count();
    }
    /// A unit with the floor inside counts what lies above it.
    fn count(&mut self) {
        let floor = self.floor;
        let above = |base: u64, end: u64, records: u64| records.min(end.saturating_sub(base.max(floor)));
        let segments = self
            .segments
            .iter()
            .map(|segment| above(segment.base, segment.end, segment.records));
        let runs = self.runs.iter().map(|run| above(run.first, run.end(), u64::from(run.count)));
        self.records = segments.chain(runs).sum();
        let segments = self.segments.iter().filter(|segment| segment.end > floor);
        let segments = segments.map(|segment| segment.len.saturating_sub(segment.start(floor)));
        self.bytes = segments.chain(self.runs.iter().map(|run| u64::from(run.data))).sum();
    }
    fn in_tail(&self, offset: u64, most: usize) -> Option<Vec<Arc<Recent>>> {
        let i = self.tail.partition_point(|recent| recent.end() <= offset);
        let mut found: Vec<Arc<Recent>> = Vec::new();
        let (mut at, mut count) = (offset, 0);
        for recent in self.tail.iter().skip(i) {
            if recent.first > at || count >= most {
                break;
            }
            count += (recent.end() - at) as usize;
            at = recent.end();
            found.push(recent.clone());
        }
        (!found.is_empty()).then_some(found)
    }
    /// As many adjacent runs as fit into the window and reach up to an offset, the first one whole.
    fn stretch(&self, mut i: usize, to: u64, window: usize) -> Where {
        let Some(first) = self.runs.get(i) else {
            return Where::End;
        };
        let mut last = first;
        while last.end() < to
            && let Some(next) = self.runs.get(i + 1)
        {
            let gap = next.at.saturating_sub(last.at + u64::from(last.bytes));
            let adjacent = Arc::ptr_eq(&next.file, &last.file) && next.first == last.end() && gap <= crate::frame::HEADER as u64;
            if !adjacent || next.at + u64::from(next.bytes) - first.at > window as u64 {
                break;
            }
            (last, i) = (next, i + 1);
        }
        Where::Journal {
            file: first.file.clone(),
            at: first.at,
            bytes: (last.at + u64::from(last.bytes) - first.at) as usize,
            until: last.end(),
        }
    }
    /// When the record at or behind this offset was appended, or a little earlier; 0 if nothing is there.
    pub(crate) fn time_of(&self, offset: u64) -> i64 {
        if let Some(segment) = self.segments.iter().find(|segment| segment.end > offset) {
            let marked = segment.marks.partition_point(|mark| mark.offset <= offset);
            let mark = marked.checked_sub(1).and_then(|i| segment.marks.get(i));
            return mark.map_or(segment.first_time, |mark| mark.time);
        }
        let i = self.runs.partition_point(|run| run.end() <= offset);
        self.runs.get(i).map_or(0, |run| run.time)
    }
    /// The first offset whose record may have been appended at `time` or later.
    pub(crate) fn since(&self, time: i64) -> u64 {
        if let Some(segment) = self.segments.iter().find(|segment| segment.last_time >= time) {
            let i = segment.marks.partition_point(|mark| mark.time < time);
            let mark = i.checked_sub(1).and_then(|i| segment.marks.get(i));
            return mark.map_or(segment.base, |mark| mark.offset).max(self.floor);
        }
        let i = self.runs.partition_point(|run| run.time < time);
        let before = i.checked_sub(1).and_then(|i| self.runs.get(i));
        before.map_or(self.moved_to, |run| run.first).max(self.floor)
    }
}
