//! A frame on its way: records that wait to be named and written, and whom to answer for them.
use crate::{
    append::{Handed, Pending, Records, Unit},
    error::Error,
    group::{Confirm, Group},
    intake::{Change, Submission},
    progress::Progress,
    retention::Room,
    stream::Stream,
};
use std::sync::Arc;
use tidegate_core::receipt::{Keep, Kept, Place, Span};

#[expect(clippy::large_enum_variant, reason = "changes are rare")]
pub(crate) enum Work {
    Append(Owner),
    Change(Change, Keep),
    Settle(Arc<Group>),
}
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
    /// How many of them were taken, and where the next one's bytes begin.
    taken: usize,
    at: usize,
    pub(crate) kept: Kept,
    pub(crate) keep: Option<Keep>,
    pub(crate) permits: u32,
    /// The last frame's failure.
    pub(crate) failure: Option<Error>,
    pub(crate) unit: Option<Unit>,
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
    pub(crate) owner: usize,
    pub(crate) pending: Pending,
    /// Where its bytes begin among those of its owner.
    pub(crate) at: usize,
    pub(crate) home: u32,
    pub(crate) offset: u64,
    pub(crate) time: i64,
}
impl Placed {
    pub(crate) fn len(&self) -> usize {
        self.pending.len as usize
    }
}
/// Nobody stores it again: this is where the first one lies.
pub(crate) struct Repeated {
    pub(crate) owner: usize,
    pub(crate) item: u32,
    /// Its number.
    pub(crate) stream: u32,
    pub(crate) partition: u32,
    pub(crate) offset: u64,
}
#[derive(Default)]
pub(crate) struct Frame {
    pub(crate) bytes: Vec<u8>,
    pub(crate) records: u32,
    pub(crate) flags: u32,
    pub(crate) placed: Vec<Placed>,
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
}

impl From<Submission> for Work {
    fn from(submission: Submission) -> Self {
        match submission {
            Submission::Change(change, keep) => Self::Change(change, keep),
            Submission::Settle(group, _) => Self::Settle(group),
            Submission::Append(Handed {
                records,
                failed,
                level,
                keep,
                permits,
                unit,
            }) => Self::Append(Owner {
                records,
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
            }),
        }
    }
}
impl Frame {
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
        self.owners.get(placed.owner)?.stream(&placed.pending)
    }
    /// Bytes of the named records.
    pub(crate) fn placed_bytes(&self) -> usize {
        self.placed.iter().map(Placed::len).sum()
    }
}
impl Owner {
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
    pub(crate) fn bytes(&self, placed: &Placed) -> &[u8] {
        self.records.bytes.get(placed.at..placed.at + placed.len()).unwrap_or_default()
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
