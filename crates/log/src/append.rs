//! One call's records, encoded one behind the other on the caller's thread: all cores work, and the commit thread only copies.
use crate::{error::Error, frame, hash, intake::Submission, options::Limits, record, shared::Shared, stream::Stream};
use smallvec::SmallVec;
use std::{num::NonZeroU128, sync::Arc};
use tidegate_core::{
    clock,
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
pub struct Append {
    shared: Arc<Shared>,
    level: Level,
    records: Records,
    failed: Vec<(u32, Told)>,
    /// The item being added: where it begins, and whether it was refused.
    item: Option<Item>,
}
struct Item {
    number: u32,
    records: usize,
    bytes: usize,
    refused: bool,
}
/// Encoded, not named yet.
#[derive(Default)]
pub(crate) struct Records {
    pub(crate) bytes: Vec<u8>,
    /// In the order of the bytes; those of one item together.
    pub(crate) list: Vec<Pending>,
    pub(crate) streams: SmallVec<[Target; 1]>,
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
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) stream: Arc<Stream>,
    dedupes: bool,
}

impl Append {
    pub(crate) fn new(shared: Arc<Shared>, level: Level) -> Self {
        Self {
            shared,
            level,
            records: Records::default(),
            failed: Vec::new(),
            item: None,
        }
    }
    /// Encodes one record. An item fails whole: if one stream refuses it, none has it, and `Kept::failed` names it.
    pub fn add(&mut self, entry: Entry<'_>) {
        let item = match &mut self.item {
            Some(item) if item.number == entry.item => item,
            item => item.insert(Item {
                number: entry.item,
                records: self.records.list.len(),
                bytes: self.records.bytes.len(),
                refused: false,
            }),
        };
        if item.refused {
            return;
        }
        let added = self.records.add(&self.shared, &entry).and_then(|()| {
            // An item is whole in one frame, and a frame in one file.
            let limits = &self.shared.limits;
            let most = limits.journal_file as usize - crate::journal::HEADER - frame::HEADER;
            let bytes = self.records.bytes.len() - item.bytes;
            if bytes > most { Err(too_large(limits)) } else { Ok(()) }
        });
        if let Err(error) = added {
            item.refused = true;
            self.records.list.truncate(item.records);
            self.records.bytes.truncate(item.bytes);
            self.failed.push((entry.item, error.into()));
        }
    }
    /// Waits for room, then hands over without another wait: that first wait is the back-pressure. Cancel-safe: dropped before it
    /// resolves, nothing was accepted. In order per caller and partition.
    ///
    /// `Accepted`: the receipt is resolved and names no places. `Stored`: it resolves after the records were written and synced.
    pub async fn send(self) -> Result<Receipt> {
        let Self {
            shared,
            level,
            records,
            failed,
            ..
        } = self;
        let refused = |failed| {
            Receipt::now(Ok(Kept {
                failed,
                ..Kept::new(level)
            }))
        };
        if records.list.is_empty() {
            return Ok(refused(failed));
        }
        let permits = shared.intake.reserve(records.bytes.len()).await.ok_or(Error::Closing)?;
        let (receipt, keep, failed) = if level == Level::Stored {
            let (receipt, keep) = Receipt::later();
            (receipt, Some(keep), failed)
        } else {
            (refused(failed), None, Vec::new())
        };
        let handed = Handed {
            records,
            failed,
            level,
            keep,
            permits,
        };
        shared.intake.push(Submission::Append(handed), clock::instant())?;
        Ok(receipt)
    }
}
impl Records {
    fn add(&mut self, shared: &Shared, entry: &Entry<'_>) -> Result<(), Error> {
        let stream = entry.stream;
        if stream.is_deleted() {
            return Err(Error::NoSuchStream(stream.name().to_owned()));
        }
        if stream.partition(entry.partition).is_none() {
            return Err(Error::PartitionOutOfRange(entry.partition));
        }
        let number = self.target(stream);
        let dedupes = self.streams.get(number).is_some_and(|target| target.dedupes);
        let id = entry.message.id.as_deref().filter(|_| dedupes);
        let hash = id.and_then(|id| {
            let key = (shared.salt.value ^ u64::from(stream.number()), entry.scope);
            NonZeroU128::new(hash::sip128(key, id))
        });
        let from = self.bytes.len();
        record::encode(entry.message, stream.topic(), hash, shared.limits.record, &mut self.bytes)
            .map_err(|_| too_large(&shared.limits))?;
        self.list.push(Pending {
            item: entry.item,
            stream: number as u32,
            partition: entry.partition,
            len: (self.bytes.len() - from) as u32,
            hash,
        });
        Ok(())
    }
    fn target(&mut self, stream: &Arc<Stream>) -> usize {
        let known = self.streams.iter().position(|target| Arc::ptr_eq(&target.stream, stream));
        known.unwrap_or_else(|| {
            self.streams.push(Target {
                stream: stream.clone(),
                dedupes: !stream.spec().dedupe.is_zero(),
            });
            self.streams.len() - 1
        })
    }
}
fn too_large(limits: &Limits) -> Error {
    Error::RecordTooLarge(limits.record)
}
/// What one call handed over.
pub(crate) struct Handed {
    pub(crate) records: Records,
    /// Refused before they came here.
    pub(crate) failed: Vec<(u32, Told)>,
    pub(crate) level: Level,
    /// `None`: nobody waits.
    pub(crate) keep: Option<Keep>,
    pub(crate) permits: u32,
}
