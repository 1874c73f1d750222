//! What a feed has read lately, as the frames of every encoding that somebody wants. Numbers rise by one from message to message; a gap
//! has as many as it has messages, so that two numbers tell how many lie between.
use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;
use std::{collections::VecDeque, sync::Arc};
use tidegate_core::{
    delivery::Received,
    framing::Framing,
    position::{Cursor, Gap, Position},
};

/// What a block costs beside its frames, and a message in it.
const BLOCK: usize = 192;
const MESSAGE: usize = 56;
/// What a frame nearly always needs beside its payload.
const FRAME: usize = 64;

pub(super) struct Ring {
    blocks: VecDeque<Arc<Block>>,
    /// The number of the first entry that is still here.
    first: u64,
    /// The number of the next one.
    head: u64,
    /// Behind everything there was.
    cursor: Arc<Cursor>,
    lanes: Vec<Lane>,
    /// Seats of those who take by themselves: where they stand is not known here.
    alone: usize,
    bytes: usize,
    messages: usize,
}
/// One delivery.
struct Block {
    first: u64,
    /// Before its first entry.
    before: Arc<Cursor>,
    entries: Entries,
    framed: SmallVec<[Framed; 1]>,
    bytes: usize,
    messages: usize,
}
/// Of a live topic mostly one message in one encoding.
enum Entries {
    Messages(SmallVec<[Option<Position>; 1]>),
    Gap(Box<Gap>),
}
/// The messages of a block in one encoding.
struct Framed {
    lane: &'static str,
    bytes: Bytes,
    /// Where each frame ends.
    ends: SmallVec<[u32; 2]>,
}
struct Lane {
    framing: &'static dyn Framing,
    users: usize,
}
/// Some frames in a row.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) bytes: Bytes,
    /// Where each frame ends.
    pub(crate) ends: Vec<u32>,
    /// The number behind the last.
    pub(crate) to: u64,
    /// Behind the last.
    pub(crate) cursor: Arc<Cursor>,
    /// What it was taken of: the ring may forget it before all of it is written.
    blocks: SmallVec<[Arc<Block>; 2]>,
}
impl Run {
    /// Behind all before one of its numbers.
    pub(crate) fn cursor_at(&self, number: u64) -> Arc<Cursor> {
        let block = self.blocks.iter().rev().find(|block| block.first <= number);
        block.map_or_else(|| self.cursor.clone(), |block| block.cursor_at(number))
    }
}
/// What there is from a number on.
#[derive(Clone)]
pub(crate) enum Taken {
    Run(Run),
    /// It is missing; reading goes on at that number, behind that place.
    Gap(Gap, u64, Arc<Cursor>),
    /// It was here and is no more.
    Behind,
    /// Nothing yet.
    Nothing,
}
impl Entries {
    fn len(&self) -> u64 {
        match self {
            Self::Messages(places) => places.len() as u64,
            Self::Gap(gap) => gap.count().max(1),
        }
    }
}
impl Block {
    fn end(&self) -> u64 {
        self.first + self.entries.len()
    }
    /// Behind all before that number, which is one of its own or the next.
    fn cursor_at(&self, number: u64) -> Arc<Cursor> {
        let mut cursor = self.before.clone();
        match &self.entries {
            Entries::Messages(places) => {
                let seen = places.iter().take((number - self.first) as usize).flatten();
                for place in seen {
                    Arc::make_mut(&mut cursor).advance(*place);
                }
            }
            Entries::Gap(gap) if number >= self.end() => Arc::make_mut(&mut cursor).pass(gap),
            Entries::Gap(_) => {}
        }
        cursor
    }
}
impl Ring {
    /// Nothing was read yet; `cursor` is where reading begins.
    pub(super) fn new(cursor: Cursor) -> Self {
        Self {
            blocks: VecDeque::new(),
            first: 0,
            head: 0,
            cursor: Arc::new(cursor),
            lanes: Vec::new(),
            alone: 0,
            bytes: 0,
            messages: 0,
        }
    }
    pub(super) fn head(&self) -> u64 {
        self.head
    }
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
    pub(super) fn cursor(&self) -> &Arc<Cursor> {
        &self.cursor
    }
    /// One more reader of that encoding, from the head on.
    pub(super) fn join(&mut self, framing: &'static dyn Framing) {
        match self.lanes.iter_mut().find(|lane| lane.framing.name() == framing.name()) {
            Some(lane) => lane.users += 1,
            None => self.lanes.push(Lane { framing, users: 1 }),
        }
    }
    pub(super) fn leave(&mut self, framing: &'static dyn Framing) {
        self.lanes.retain_mut(|lane| {
            lane.users -= usize::from(lane.framing.name() == framing.name());
            lane.users > 0
        });
    }
    pub(super) fn gap(&mut self, gap: Gap) {
        let before = self.cursor.clone();
        Arc::make_mut(&mut self.cursor).pass(&gap);
        self.push(before, Entries::Gap(Box::new(gap)), SmallVec::new());
    }
    /// Frames for every lane there is. `resumable`: the messages have places that a client may come back with.
    pub(super) fn messages(&mut self, items: &[Received]) {
        if items.is_empty() {
            return;
        }
        let before = self.cursor.clone();
        let places: SmallVec<[_; 1]> = items.iter().map(|item| item.position).collect();
        let mut framed = SmallVec::with_capacity(self.lanes.len());
        for lane in &self.lanes {
            let mut at = Cursor::clone(&before);
            let payloads: usize = items.iter().map(|item| item.message.payload.len() + FRAME).sum();
            let mut out = BytesMut::with_capacity(payloads);
            let frame = |item| {
                write(lane.framing, item, &mut at, &mut out);
                out.len() as u32
            };
            let ends = items.iter().map(frame).collect();
            framed.push(Framed {
                lane: lane.framing.name(),
                bytes: out.freeze(),
                ends,
            });
        }
        let cursor = Arc::make_mut(&mut self.cursor);
        places.iter().flatten().for_each(|place| cursor.advance(*place));
        self.push(before, Entries::Messages(places), framed);
    }
    fn push(&mut self, before: Arc<Cursor>, entries: Entries, framed: SmallVec<[Framed; 1]>) {
        let frames: usize = framed.iter().map(|framed| framed.bytes.len()).sum();
        let messages = match &entries {
            Entries::Messages(places) => places.len(),
            Entries::Gap(_) => 0,
        };
        let bytes = BLOCK + frames + messages * MESSAGE;
        let block = Block {
            first: self.head,
            before,
            entries,
            framed,
            bytes,
            messages,
        };
        self.head = block.end();
        self.bytes += bytes;
        self.messages += messages;
        self.blocks.push_back(Arc::new(block));
    }
    /// The reader stands there now: behind messages that nobody here wanted.
    pub(super) fn passed(&mut self, cursor: Cursor) {
        if *self.cursor != cursor {
            self.cursor = Arc::new(cursor);
        }
    }
    /// One seat more of those who take by themselves.
    pub(super) fn leave_alone(&mut self) {
        self.alone += 1;
    }
    /// One less of them: it went, or somebody says for it where it stands.
    pub(super) fn look_after(&mut self) {
        self.alone -= 1;
    }
    /// Whether somebody says for every seat where it stands.
    pub(super) fn are_looked_after(&self) -> bool {
        self.alone == 0
    }
    /// Forgets what lies before that number, and of the rest the oldest until it holds no more than so much; the newest block stays.
    pub(super) fn shrink(&mut self, taken: u64, bytes: usize, messages: usize) {
        let is_spare = |ring: &Self, oldest: &Block| oldest.end() <= taken || ring.bytes > bytes || ring.messages > messages;
        while self.blocks.len() > 1 && self.blocks.front().is_some_and(|oldest| is_spare(self, oldest)) {
            let Some(oldest) = self.blocks.pop_front() else { break };
            self.bytes -= oldest.bytes;
            self.messages -= oldest.messages;
            self.first = oldest.end();
        }
    }
    /// Forgets everything.
    pub(super) fn forget(&mut self) {
        self.blocks = VecDeque::new();
        (self.first, self.bytes, self.messages) = (self.head, 0, 0);
    }
    /// Whether reading can go on there: with frames, or with what comes next.
    pub(super) fn holds(&self, number: u64) -> bool {
        let is_frame = |block: &Block| matches!(block.entries, Entries::Messages(_));
        number == self.head
            || self
                .block(number)
                .and_then(|found| self.blocks.get(found))
                .is_some_and(|block| is_frame(block))
    }
    /// From that number to another, at most so many bytes; one frame always.
    pub(super) fn take(&self, lane: &str, from: u64, to: u64, most: usize) -> Taken {
        if from >= to.min(self.head) {
            return Taken::Nothing;
        }
        let Some(found) = self.block(from) else { return Taken::Behind };
        let mut run = Run {
            bytes: Bytes::new(),
            ends: Vec::new(),
            to: from,
            cursor: Arc::default(),
            blocks: SmallVec::new(),
        };
        let mut together = BytesMut::new();
        for block in self.blocks.range(found..) {
            let Entries::Messages(places) = &block.entries else {
                match &block.entries {
                    Entries::Gap(gap) if run.ends.is_empty() => {
                        return Taken::Gap((**gap).clone(), block.end(), block.cursor_at(block.end()));
                    }
                    Entries::Gap(_) | Entries::Messages(_) => break,
                }
            };
            let Some(framed) = block.framed.iter().find(|framed| framed.lane == lane) else {
                // Whoever reads a lane has joined it before its frames were made.
                return Taken::Behind;
            };
            let skipped = (run.to - block.first) as usize;
            let begin = skipped.checked_sub(1).and_then(|last| framed.ends.get(last)).copied().unwrap_or(0);
            let before = run.bytes.len() + together.len();
            let wanted = (to - run.to).min((places.len() - skipped) as u64) as usize;
            let ends = framed.ends.get(skipped..skipped + wanted).unwrap_or_default();
            // Ends rise; the first frame of all always fits.
            let fits = |end: &u32| before + (*end - begin) as usize <= most;
            let taken = ends.partition_point(fits).max(usize::from(before == 0)).min(wanted);
            let ends = ends.get(..taken).unwrap_or_default();
            let Some(end) = ends.last().copied() else { break };
            let bytes = framed.bytes.slice(begin as usize..end as usize);
            run.ends.extend(ends.iter().map(|end| end - begin + before as u32));
            run.to += taken as u64;
            run.blocks.push(block.clone());
            // Nearly always one block alone, which is not copied.
            if before == 0 {
                run.bytes = bytes;
            } else {
                if together.is_empty() {
                    together.extend_from_slice(&std::mem::take(&mut run.bytes));
                }
                together.extend_from_slice(&bytes);
            }
            if taken < wanted || run.to >= to {
                break;
            }
        }
        if !together.is_empty() {
            run.bytes = together.freeze();
        }
        // At the head the reader may have passed more than it handed over.
        run.cursor = if run.to == self.head {
            self.cursor.clone()
        } else {
            run.cursor_at(run.to)
        };
        Taken::Run(run)
    }
    /// Which block an entry is in.
    fn block(&self, number: u64) -> Option<usize> {
        if number < self.first {
            return None;
        }
        let found = self.blocks.partition_point(|block| block.end() <= number);
        (found < self.blocks.len()).then_some(found)
    }
}
/// One frame behind the others, and the place behind it.
pub(crate) fn write(framing: &'static dyn Framing, item: &Received, at: &mut Cursor, out: &mut BytesMut) {
    match item.position {
        Some(position) => {
            at.advance(position);
            framing.frame(item, at, out);
        }
        None => framing.frame(item, &Cursor::default(), out),
    }
}
