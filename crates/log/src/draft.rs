//! A frame on its way: records that wait to be named and written, and whom to answer for them.
use crate::{
    error::Error,
    intake::{Append, Change, Pending, Submission},
    retention::Room,
    stream::{Stream, WhenFull},
};
use std::sync::Arc;
use tidegate_core::{
    message::Message,
    receipt::{Keep, Kept, Place, Span},
};

pub(crate) enum Work {
    Append(Owner),
    Change(Change, Keep),
}
/// One call's answer while its records are on their way, possibly in several frames.
pub(crate) struct Owner {
    pub(crate) rest: std::vec::IntoIter<Pending>,
    pub(crate) kept: Kept,
    pub(crate) keep: Option<Keep>,
    pub(crate) permits: u32,
    /// The last frame's failure.
    pub(crate) failure: Option<Error>,
}
#[derive(Clone)]
pub(crate) struct Lost {
    pub(crate) stream: Arc<Stream>,
    pub(crate) partition: u32,
    pub(crate) from: u64,
    pub(crate) count: u64,
}
/// One record with its name.
pub(crate) struct Placed {
    pub(crate) owner: usize,
    pub(crate) item: u32,
    pub(crate) stream: Arc<Stream>,
    pub(crate) partition: u32,
    pub(crate) home: u32,
    pub(crate) offset: u64,
    pub(crate) time: i64,
    pub(crate) record: bytes::Bytes,
    pub(crate) message: Arc<Message>,
}
/// Nobody stores it again: this is where the first one lies.
pub(crate) struct Repeated {
    pub(crate) owner: usize,
    pub(crate) item: u32,
    pub(crate) stream: Arc<Stream>,
    pub(crate) partition: u32,
    pub(crate) offset: u64,
}
#[derive(Default)]
pub(crate) struct Frame {
    pub(crate) bytes: Vec<u8>,
    pub(crate) records: u32,
    pub(crate) flags: u32,
    pub(crate) placed: Vec<Placed>,
    pub(crate) owners: Vec<Owner>,
    pub(crate) changes: Vec<(Change, Keep)>,
    pub(crate) lost: Vec<Lost>,
    pub(crate) repeated: Vec<Repeated>,
    /// Noted for this frame.
    pub(crate) hashes: Vec<u128>,
    /// Of streams with a limit, while the frame fills them.
    pub(crate) rooms: Vec<(u32, Option<Room>)>,
    pub(crate) rows: Vec<(crate::tables::Key, Option<bytes::Bytes>)>,
}

impl From<Submission> for Work {
    fn from(submission: Submission) -> Self {
        match submission {
            Submission::Change(change, keep) => Self::Change(change, keep),
            Submission::Append(Append {
                entries,
                failed,
                level,
                keep,
                permits,
            }) => Self::Append(Owner {
                rest: entries.into_iter(),
                kept: Kept {
                    failed,
                    ..Kept::new(level)
                },
                keep,
                permits,
                failure: None,
            }),
        }
    }
}
impl Frame {
    fn room(&mut self, stream: &Arc<Stream>) -> Option<&mut Room> {
        let number = stream.number();
        let i = self.rooms.iter().position(|(of, _)| *of == number).unwrap_or_else(|| {
            self.rooms.push((number, Room::of(stream)));
            self.rooms.len() - 1
        });
        self.rooms.get_mut(i).and_then(|(_, room)| room.as_mut())
    }
    /// Why the item that these records belong to is refused, if one of their streams has no room: then none is stored.
    pub(crate) fn refusal<'a>(&mut self, entries: impl Iterator<Item = &'a Pending>) -> Option<(&'a Pending, Error)> {
        let mut rooms: Vec<(u32, Room)> = Vec::new();
        for pending in entries {
            let number = pending.stream.number();
            let bytes = pending.record.len() as u64;
            let taken = rooms.iter().position(|(of, _)| *of == number);
            let Some(mut room) = taken
                .map(|i| rooms.swap_remove(i).1)
                .or_else(|| self.room(&pending.stream).copied())
            else {
                continue;
            };
            if !room.fits(bytes) {
                let name = pending.stream.name().to_owned();
                let error = match pending.stream.spec().when_full {
                    WhenFull::DropNewest => Error::StreamDrops(name),
                    _ => Error::StreamFull(name),
                };
                return Some((pending, error));
            }
            room.take(bytes);
            rooms.push((number, room));
        }
        None
    }
    /// Counts what is stored.
    pub(crate) fn admit(&mut self, pending: &Pending) {
        if let Some(room) = self.room(&pending.stream) {
            room.take(pending.record.len() as u64);
        }
    }
}
impl Owner {
    pub(crate) fn stored(&mut self, stream: &Stream, item: u32, partition: u32, offset: u64) {
        let source = stream.number();
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
