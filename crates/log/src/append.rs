//! One call's records, encoded one behind the other on the caller's thread: all cores work, and the commit thread only copies.
use crate::{
    error::Error, frame, group::Group, hash, le::padded, options::Limits, record, retention::Room, shared::Shared, stream::Stream,
};
use smallvec::SmallVec;
use std::{num::NonZeroU128, sync::Arc};
use tidegate_core::{
    error::{Error as Told, Result},
    message::Message,
    receipt::{Keep, Kept, Level, Receipt},
};

/// One record to append.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The number of its item in the batch; one item may go to several streams. Entries of an item are added side by side.
    pub item: u32,
    /// Where to.
    pub stream: &'a Arc<Stream>,
    /// See [`Stream::partition_of`].
    pub partition: u32,
    /// What.
    pub message: &'a Message,
    /// Within what the message's id is unique: caller and api.
    pub scope: u64,
}
/// Records that will be handed over together. Dropped before that, nothing was accepted.
pub struct Append<'l> {
    /// Not held on to: a count that all threads keep would cost each of them.
    shared: &'l Shared,
    level: Level,
    records: Records,
    bytes: Vec<u8>,
    /// Of its streams.
    targets: SmallVec<[Target; 1]>,
    failed: Vec<(u32, Told)>,
    unit: Option<Box<Unit>>,
    /// Whatever its id is.
    new: bool,
    /// The item being added: where it begins, and whether it was refused.
    item: Option<Item>,
    /// Of the intake; given back if nothing is sent.
    permits: u32,
}
#[derive(Clone, Copy)]
struct Item {
    number: u32,
    records: usize,
    bytes: usize,
    refused: bool,
}
/// Encoded, not named yet: what lies in the bytes beside them.
#[derive(Default)]
pub(crate) struct Records {
    /// In the order of the bytes; those of one item together.
    pub(crate) list: SmallVec<[Pending; 1]>,
    pub(crate) streams: SmallVec<[Arc<Stream>; 1]>,
}
/// One record on its way.
#[derive(Clone, Copy)]
pub(crate) struct Pending {
    pub(crate) item: u32,
    /// Which of the streams.
    pub(crate) stream: u32,
    pub(crate) partition: u32,
    /// Bytes of the whole record.
    pub(crate) len: u32,
    /// Of the message id, where the stream looks for duplicates.
    pub(crate) hash: Option<NonZeroU128>,
}
/// What holds of a stream while a call fills it.
struct Target {
    dedupes: bool,
    /// What it may hold.
    most: Option<u64>,
    /// At its limits.
    refuses: bool,
}
impl Target {
    fn new(stream: &Arc<Stream>) -> Self {
        let spec = stream.spec();
        Self {
            dedupes: !spec.dedupe.is_zero(),
            most: spec.retention.bytes,
            refuses: Room::of(stream, &spec).is_some(),
        }
    }
    /// What can never be kept is refused at once. Whether there is room the commit thread decides, for only it knows.
    fn check(&self, bytes: u64) -> Result<(), Error> {
        match self.most.filter(|most| bytes > *most) {
            Some(most) => Err(Error::RecordTooLarge(most as usize)),
            None => Ok(()),
        }
    }
}

impl<'l> Append<'l> {
    /// Waits for room of so many bytes.
    pub(crate) async fn reserve(shared: &'l Shared, level: Level, bytes: usize) -> Result<Self> {
        let permits = shared.intake.reserve(bytes).await.ok_or(Error::Closing)?;
        Ok(Self {
            shared,
            level,
            records: Records::default(),
            bytes: Vec::with_capacity(bytes),
            targets: SmallVec::new(),
            failed: Vec::new(),
            unit: None,
            new: false,
            item: None,
            permits,
        })
    }
    /// What a message takes of the intake in each stream, at most.
    pub fn size(message: &Message) -> usize {
        record::HEADER + padded(message.size() + record::MOST_EXTRA)
    }
    /// Encodes one record. An item fails whole: if one stream refuses it, none has it, and `Kept::failed` names it.
    pub fn add(&mut self, entry: Entry<'_>) {
        let begun = Item {
            number: entry.item,
            records: self.records.list.len(),
            bytes: self.bytes.len(),
            refused: false,
        };
        let item = *self.item.get_or_insert(begun);
        let item = if item.number == entry.item { item } else { begun };
        self.item = Some(item);
        if item.refused {
            return;
        }
        let added = self.encode(&entry).and_then(|()| {
            // An item is whole in one frame, and a frame in one file.
            let limits = &self.shared.limits;
            let most = limits.journal_file as usize - crate::journal::HEADER - frame::HEADER;
            let bytes = self.bytes.len() - item.bytes;
            if bytes > most { Err(too_large(limits)) } else { Ok(()) }
        });
        if let Err(error) = added {
            self.item = Some(Item { refused: true, ..item });
            self.records.list.truncate(item.records);
            self.bytes.truncate(item.bytes);
            self.failed.push((entry.item, error.into()));
        }
    }
    /// Looks for no duplicates, whatever the stream does: a message that dies twice is two dead letters.
    pub fn as_new(&mut self) {
        self.new = true;
    }
    /// All or an error: what is too large is told here, not in the receipt.
    pub(crate) fn send_whole(mut self) -> Result<Receipt> {
        match self.failed.pop() {
            Some((_, error)) => Err(error),
            None => self.send(),
        }
    }
    /// Together with the call's only item: the group is done with the message at that place. Both hold, or the record alone.
    pub fn and_done(&mut self, group: &Arc<Group>, partition: u32, offset: u64) {
        self.unit = Some(Box::new(Unit {
            group: group.clone(),
            partition,
            offset,
        }));
    }
    /// Hands over, at once. In order per caller and partition.
    ///
    /// `Accepted`: the receipt is resolved and names no places. `Stored`: it resolves after the records were written and synced. Where a stream
    /// may refuse them for want of room, that is known only then, and both are `Stored`.
    pub fn send(mut self) -> Result<Receipt> {
        let level = if self.targets.iter().any(|target| target.refuses) {
            Level::Stored
        } else {
            self.level
        };
        let failed = std::mem::take(&mut self.failed);
        let refused = |failed| {
            Receipt::now(Ok(Kept {
                failed,
                ..Kept::new(level)
            }))
        };
        if self.records.list.is_empty() {
            return Ok(refused(failed));
        }
        let (receipt, keep, failed) = if level == Level::Stored {
            let (receipt, keep) = Receipt::later();
            (receipt, Some(keep), failed)
        } else {
            (refused(failed), None, Vec::new())
        };
        let handed = Handed {
            records: std::mem::take(&mut self.records),
            failed,
            level,
            keep,
            permits: self.permits,
            unit: self.unit.take(),
        };
        self.shared.intake.append(handed, std::mem::take(&mut self.bytes))?;
        self.permits = 0;
        Ok(receipt)
    }
}
/// Nothing was accepted.
impl Drop for Append<'_> {
    fn drop(&mut self) {
        if self.permits > 0 {
            self.shared.intake.release(self.permits);
        }
    }
}
impl Append<'_> {
    fn encode(&mut self, entry: &Entry<'_>) -> Result<(), Error> {
        let stream = entry.stream;
        if stream.is_deleted() {
            return Err(Error::NoSuchStream(stream.name().to_owned()));
        }
        if stream.partition(entry.partition).is_none() {
            return Err(Error::PartitionOutOfRange(entry.partition));
        }
        let number = self.target(stream);
        let limits = &self.shared.limits;
        let (records, bytes, target) = (&mut self.records, &mut self.bytes, self.targets.get(number));
        let id = entry
            .message
            .id
            .as_deref()
            .filter(|_| !self.new && target.as_ref().is_some_and(|target| target.dedupes));
        let hash = id.and_then(|id| {
            let key = (self.shared.salt.value ^ u64::from(stream.number()), entry.scope);
            NonZeroU128::new(hash::sip128(key, id))
        });
        let from = bytes.len();
        record::encode(entry.message, stream.topic(), hash, limits.record, bytes).map_err(|_| too_large(limits))?;
        let len = bytes.len() - from;
        if let Some(target) = target {
            target.check(len as u64)?;
        }
        records.list.push(Pending {
            item: entry.item,
            stream: number as u32,
            partition: entry.partition,
            len: len as u32,
            hash,
        });
        Ok(())
    }
    fn target(&mut self, stream: &Arc<Stream>) -> usize {
        let known = self.records.streams.iter().position(|known| Arc::ptr_eq(known, stream));
        known.unwrap_or_else(|| {
            self.records.streams.push(stream.clone());
            self.targets.push(Target::new(stream));
            self.targets.len() - 1
        })
    }
}
fn too_large(limits: &Limits) -> Error {
    Error::RecordTooLarge(limits.record)
}
/// What holds once the call's only item is stored, in the same frame: a group is done with this message.
pub(crate) struct Unit {
    pub(crate) group: Arc<Group>,
    pub(crate) partition: u32,
    pub(crate) offset: u64,
}
/// What one call handed over, beside the bytes of its records.
pub(crate) struct Handed {
    pub(crate) records: Records,
    /// Refused before they came here.
    pub(crate) failed: Vec<(u32, Told)>,
    pub(crate) level: Level,
    /// `None`: nobody waits.
    pub(crate) keep: Option<Keep>,
    pub(crate) permits: u32,
    pub(crate) unit: Option<Box<Unit>>,
}
