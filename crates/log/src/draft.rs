//! A frame on its way: records that wait to be named and written, and whom to answer for them.
use crate::{
    append::{Handed, Pending, Records, Unit},
    error::Error,
    frame,
    group::{Confirm, Group},
    intake::{Change, Held, Waiting},
    progress::Progress,
    retention::Room,
    stream::Stream,
};
use std::sync::Arc;
use tidegate_core::receipt::{Keep, Kept, Place, Span};

/// What a group says in this frame.
pub(crate) struct Settles {
    pub(crate) group: Arc<Group>,
    pub(crate) parts: Vec<(u32, Progress)>,
    pub(crate) confirm: Vec<Arc<Confirm>>,
    /// A dead letter's, in one unit with it.
    pub(crate) unit: bool,
}
/// One call's records and answer while they are on their way, possibly in several frames.
pub(crate) struct Owner {
    records: Records,
    held: Held,
    /// How many of them were taken, and where the next one's bytes begin.
    taken: usize,
    at: usize,
    pub(crate) kept: Kept,
    pub(crate) keep: Option<Keep>,
    pub(crate) permits: u32,
    /// The last frame's failure.
    pub(crate) failure: Option<Error>,
    pub(crate) unit: Option<Box<Unit>>,
}
#[derive(Clone)]
pub(crate) struct Lost {
    pub(crate) stream: Arc<Stream>,
    pub(crate) partition: u32,
    pub(crate) from: u64,
    pub(crate) count: u64,
}
/// One record with its name.
#[derive(Clone, Copy)]
pub(crate) struct Placed {
    /// Which of the frame's owners; `None`: nobody waits.
    pub(crate) owner: Option<u32>,
    pub(crate) item: u32,
    /// Which of the frame's streams.
    pub(crate) stream: u32,
    pub(crate) partition: u32,
    pub(crate) home: u32,
    /// Where it begins in the frame, and its bytes.
    pub(crate) at: u32,
    pub(crate) len: u32,
    pub(crate) offset: u64,
    pub(crate) time: i64,
}
/// Nobody stores it again: this is where the first one lies.
pub(crate) struct Repeated {
    pub(crate) owner: Option<u32>,
    pub(crate) item: u32,
    /// Its number.
    pub(crate) stream: u32,
    pub(crate) partition: u32,
    pub(crate) offset: u64,
}
pub(crate) struct Frame {
    /// Room for its header, then messages in the order in which they were named.
    pub(crate) bytes: Vec<u8>,
    /// Rows, skips and what groups say: they go before the messages.
    pub(crate) first: Vec<u8>,
    pub(crate) records: u32,
    pub(crate) flags: u32,
    pub(crate) placed: Vec<Placed>,
    /// Of what is placed.
    streams: Vec<Arc<Stream>>,
    /// Those of one home do not lie side by side.
    pub(crate) mixed: bool,
    pub(crate) owners: Vec<Owner>,
    pub(crate) changes: Vec<(Change, Keep)>,
    pub(crate) lost: Vec<Lost>,
    pub(crate) repeated: Vec<Repeated>,
    /// Noted for this frame.
    pub(crate) hashes: Vec<u128>,
    /// Of streams with a limit, while the frame fills them.
    pub(crate) rooms: Vec<(u32, Option<Room>)>,
    pub(crate) rows: Vec<(crate::tables::Key, Option<bytes::Bytes>)>,
    pub(crate) settles: Vec<Settles>,
    /// Of the calls that nobody waits for.
    pub(crate) permits: u32,
}

impl Frame {
    /// For about so many bytes of so many calls.
    pub(crate) fn new(flags: u32, bytes: usize, calls: usize) -> Self {
        let mut whole = Vec::with_capacity(frame::HEADER + bytes);
        whole.resize(frame::HEADER, 0);
        Self {
            bytes: whole,
            first: Vec::new(),
            records: 0,
            flags,
            placed: Vec::with_capacity(calls),
            streams: Vec::new(),
            mixed: false,
            owners: Vec::new(),
            changes: Vec::new(),
            lost: Vec::new(),
            repeated: Vec::new(),
            hashes: Vec::new(),
            rooms: Vec::new(),
            rows: Vec::new(),
            settles: Vec::new(),
            permits: 0,
        }
    }
    /// Bytes so far.
    pub(crate) fn size(&self) -> usize {
        self.first.len() + self.bytes.len()
    }
    /// A record that goes before the messages.
    pub(crate) fn push_first(&mut self, record: &[u8]) {
        self.first.extend_from_slice(record);
        self.records += 1;
    }
    /// The number of a stream here.
    pub(crate) fn number_of(&mut self, stream: &Arc<Stream>) -> u32 {
        if !self.streams.last().is_some_and(|last| Arc::ptr_eq(last, stream)) {
            self.streams.push(stream.clone());
        }
        self.streams.len() as u32 - 1
    }
    /// All of it in its order: what goes first, then messages of one home side by side. Nothing more is added.
    pub(crate) fn finish(&mut self) {
        if self.mixed {
            self.placed.sort_by_key(|placed| placed.home);
        }
        let mixed = self.mixed || !self.first.is_empty();
        if mixed {
            let mut all = Vec::with_capacity(self.size());
            all.resize(frame::HEADER, 0);
            all.append(&mut self.first);
            for placed in &mut self.placed {
                let from = placed.at as usize;
                placed.at = all.len() as u32;
                all.extend_from_slice(self.bytes.get(from..from + placed.len as usize).unwrap_or_default());
            }
            self.bytes = all;
        } else if self.bytes.capacity() > self.bytes.len() + self.bytes.len() / 8 {
            // What readers are served from is not much larger than it must be.
            self.bytes.shrink_to_fit();
        }
        self.records += self.placed.len() as u32;
    }
    fn room(&mut self, stream: &Arc<Stream>) -> Option<&mut Room> {
        let number = stream.number();
        let i = self.rooms.iter().position(|(of, _)| *of == number).unwrap_or_else(|| {
            self.rooms.push((number, Room::of(stream, &stream.spec())));
            self.rooms.len() - 1
        });
        self.rooms.get_mut(i).and_then(|(_, room)| room.as_mut())
    }
    /// Why an item with these records is refused, if one of their streams has no room: then none is stored.
    pub(crate) fn refusal<'a>(&mut self, records: impl Iterator<Item = (&'a Arc<Stream>, u32)>) -> Option<(&'a Arc<Stream>, Error)> {
        let mut rooms: Vec<(u32, Room)> = Vec::new();
        for (stream, bytes) in records {
            let number = stream.number();
            let taken = rooms.iter().position(|(of, _)| *of == number);
            let Some(mut room) = taken.map(|i| rooms.swap_remove(i).1).or_else(|| self.room(stream).copied()) else {
                continue;
            };
            if !room.fits(u64::from(bytes)) {
                return Some((stream, Error::full(stream)));
            }
            room.take(u64::from(bytes));
            rooms.push((number, room));
        }
        None
    }
    /// Counts what is stored.
    pub(crate) fn admit(&mut self, stream: &Arc<Stream>, bytes: u32) {
        if let Some(room) = self.room(stream) {
            room.take(u64::from(bytes));
        }
    }
    pub(crate) fn stream(&self, placed: &Placed) -> Option<&Arc<Stream>> {
        self.streams.get(placed.stream as usize)
    }
}
/// Who waits for a record, if anybody does.
pub(crate) fn owner(owners: &mut [Owner], number: Option<u32>) -> Option<&mut Owner> {
    owners.get_mut(number? as usize)
}
impl Owner {
    pub(crate) fn new(handed: Handed, held: Held) -> Self {
        let Handed {
            records,
            failed,
            level,
            keep,
            permits,
            unit,
        } = handed;
        Self {
            records,
            held,
            taken: 0,
            at: 0,
            kept: Kept {
                failed,
                ..Kept::new(level)
            },
            keep,
            permits,
            failure: None,
            unit,
        }
    }
    /// Whether it is to hear what became of its records.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.keep.is_some() || self.unit.is_some()
    }
    /// What was not taken yet, in memory of its own.
    pub(crate) fn detach(&mut self, among: &Waiting) {
        if let Held::Among(from) = self.held {
            let bytes = among.bytes.get(from..from + self.size()).unwrap_or_default();
            self.held = Held::Alone(bytes.to_vec());
        }
    }
    fn size(&self) -> usize {
        self.records.list.iter().map(|pending| pending.len as usize).sum()
    }
    pub(crate) fn is_done(&self) -> bool {
        self.taken >= self.records.list.len()
    }
    /// The records of the next item.
    pub(crate) fn item(&self) -> &[Pending] {
        let rest = self.records.list.get(self.taken..).unwrap_or_default();
        let count = rest
            .iter()
            .take_while(|p| rest.first().is_some_and(|first| p.item == first.item))
            .count();
        rest.get(..count).unwrap_or_default()
    }
    /// The next record, and where its bytes begin.
    pub(crate) fn take(&mut self) -> Option<(Pending, usize)> {
        let pending = *self.records.list.get(self.taken)?;
        let at = self.at;
        self.taken += 1;
        self.at += pending.len as usize;
        Some((pending, at))
    }
    pub(crate) fn stream(&self, pending: &Pending) -> Option<&Arc<Stream>> {
        self.records.streams.get(pending.stream as usize)
    }
    /// The bytes of the record that begins there among its own.
    pub(crate) fn bytes<'a>(&'a self, at: usize, len: u32, among: &'a Waiting) -> &'a [u8] {
        let (bytes, from) = match &self.held {
            Held::Among(from) => (&among.bytes, from + at),
            Held::Alone(bytes) => (bytes, at),
        };
        bytes.get(from..from + len as usize).unwrap_or_default()
    }
    /// The next item is not stored.
    pub(crate) fn refuse(&mut self, item: u32, entries: usize, error: Error) {
        self.kept.failed.push((item, error.into()));
        for _ in 0..entries {
            let _passed_over = self.take();
        }
    }
    pub(crate) fn stored(&mut self, source: u32, item: u32, partition: u32, offset: u64) {
        let i = self.kept.places.iter().position(|place| place.source == source).unwrap_or_else(|| {
            self.kept.places.push(Place {
                source,
                spans: smallvec::SmallVec::new(),
            });
            self.kept.places.len() - 1
        });
        let Some(place) = self.kept.places.get_mut(i) else {
            return;
        };
        let first = u128::from(offset);
        match place.spans.last_mut() {
            Some(span) if span.partition == partition && span.item + span.len == item && span.first + u128::from(span.len) == first => {
                span.len += 1;
            }
            _ => place.spans.push(Span {
                item,
                partition,
                first,
                len: 1,
            }),
        }
    }
}
