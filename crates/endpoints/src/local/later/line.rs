//! What waits for one stream. On disk whole; in memory when each is due and where it lies.
use super::{AGAIN, For, line_of};
use crate::local::{House, required::Letter};
use smallvec::SmallVec;
use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tidegate_core::{
    clock,
    endpoint::{Limit, Start},
    error::{Code, Error, Fault, Result, Retry},
    message::{Message, Timing},
    position::Position,
    receipt::{Kept, Level, Receipt},
};
use tidegate_log::{Append, Chunk, Entry, Group, Reader, Stream};
use tokio::sync::MutexGuard;

/// What is read, and moved, at a time.
const PAGE: Limit = Limit {
    messages: 1_024,
    bytes: 8 << 20,
};
/// How long it waits without looking: a clock that was set back must not make it wait for ever.
const LONGEST: Duration = Duration::from_mins(1);
/// How long at most until what a stream did not take is tried again.
const PATIENCE: Duration = Duration::from_secs(30);
/// Why one that its stream will never take is a dead letter.
const REASON: &str = "it could not be moved when it was due";
/// Of so many of the last that moved it is known where to.
const KNOWN: usize = 65_536;

pub(super) struct Line {
    stream: Arc<Stream>,
    /// Done with what has moved.
    group: Arc<Group>,
    moving: tokio::sync::Mutex<()>,
    moved: Mutex<Moved>,
}
/// Where the last that moved lie now, by where they waited.
#[derive(Default)]
struct Moved {
    places: HashMap<u64, Position>,
    order: VecDeque<u64>,
}
impl Moved {
    fn note(&mut self, offset: u64, place: Position) {
        if self.order.len() >= KNOWN
            && let Some(first) = self.order.pop_front()
        {
            self.places.remove(&first);
        }
        self.order.push_back(offset);
        self.places.insert(offset, place);
    }
}
/// When each is due, and where it waits.
type Due = BTreeSet<(i64, u64)>;

impl Line {
    pub(super) fn new(stream: Arc<Stream>, group: Arc<Group>) -> Self {
        Self {
            stream,
            group,
            moving: tokio::sync::Mutex::default(),
            moved: Mutex::default(),
        }
    }
    pub(super) fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }
    pub(super) fn count(&self) -> u64 {
        self.group.stats().pending
    }
    /// Whether it looks for duplicates as that stream does.
    pub(super) fn dedupes_for(&self, to: &Stream) -> bool {
        self.stream.spec().dedupe == to.spec().dedupe
    }
    /// Nothing moves as long as this is held.
    pub(super) async fn still(&self) -> MutexGuard<'_, ()> {
        self.moving.lock().await
    }
    /// Where what waited there lies now, if that was not long ago.
    pub(super) fn moved(&self, offset: u64) -> Option<Position> {
        let moved = self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        moved.places.get(&offset).copied()
    }
    /// Moves what is due. Ends well when its stream is gone, or the log closed.
    pub(super) async fn carry(&self, house: &House) -> Result<()> {
        let mut tail = house.log.reader(&self.stream, Start::Earliest)?.with_expired();
        let mut due = Due::new();
        let (mut at_once, mut patience) = (PAGE.messages, AGAIN);
        loop {
            // All there is, before the first goes: what is due first goes first.
            loop {
                match tail.ready(PAGE).await? {
                    None => return Ok(()),
                    Some(chunk) if chunk.is_empty() => break,
                    Some(chunk) => self.note(&chunk, &mut due),
                }
            }
            let now = clock::now_us();
            let wait = due
                .first()
                .map_or(LONGEST, |(at, _)| Duration::from_micros(at.saturating_sub(now).max(0) as u64));
            if !wait.is_zero() {
                tokio::select! {
                    chunk = tail.next(PAGE) => match chunk? {
                        None => return Ok(()),
                        Some(chunk) => self.note(&chunk, &mut due),
                    },
                    () = tokio::time::sleep(wait.min(LONGEST)) => {}
                }
                continue;
            }
            match self.move_due(house, &mut due, (now, at_once)).await {
                Ok(()) => (at_once, patience) = (PAGE.messages, AGAIN),
                Err(_) if self.is_over(house) => return Ok(()),
                Err(error) => {
                    if at_once > 1 {
                        tracing::warn!(stream = self.name(house), error = %error, "delayed messages wait longer");
                    }
                    // The first alone says when there is room again, and nothing overtakes it.
                    at_once = 1;
                    tokio::time::sleep(patience).await;
                    patience = (2 * patience).min(PATIENCE);
                }
            }
        }
    }
    fn note(&self, chunk: &Chunk, due: &mut Due) {
        for (position, message) in &chunk.items {
            let offset = position.offset as u64;
            if !self.group.is_done(position.partition, offset) {
                let at = message.timing.as_ref().and_then(|timing| timing.due).unwrap_or(0);
                due.insert((at, offset));
            }
        }
    }
    /// For who reads the log of the node.
    fn name(&self, house: &House) -> String {
        line_of(&house.log, &self.stream).unwrap_or_else(|| self.stream.name().to_owned())
    }
    fn is_over(&self, house: &House) -> bool {
        self.stream.is_deleted() || line_of(&house.log, &self.stream).is_none()
    }
    /// In their order, so many at a time. What fails stays, and so does what comes behind it.
    async fn move_due(&self, house: &House, due: &mut Due, (now, at_once): (i64, u32)) -> Result<()> {
        let _moving = self.still().await;
        let first: Vec<_> = due
            .iter()
            .take_while(|(at, _)| *at <= now)
            .take(at_once as usize)
            .copied()
            .collect();
        for side_by_side in first.chunk_by(|(_, a), (_, b)| a + 1 == *b) {
            let mut left = side_by_side;
            let mut pages = self.pages(house, left.first().map_or(0, |(_, offset)| *offset))?;
            while !left.is_empty() {
                let limit = Limit {
                    messages: left.len() as u32,
                    ..PAGE
                };
                let chunk = pages.ready(limit).await?.unwrap_or_default();
                let end = match chunk.items.last() {
                    Some((position, _)) => position.offset as u64,
                    None if chunk.gap.is_some() => continue,
                    None => u64::MAX,
                };
                let mut items = chunk.items;
                items.retain(|(position, _)| left.iter().any(|(_, offset)| position.offset as u64 == *offset));
                self.move_page(house, due, items).await?;
                // What lies there no more was purged, or is damaged: whoever did that has told it.
                let (seen, rest) = left.split_at(left.partition_point(|(_, offset)| *offset <= end));
                for gone in seen {
                    due.remove(gone);
                }
                left = rest;
            }
        }
        Ok(())
    }
    fn pages(&self, house: &House, offset: u64) -> Result<Reader> {
        let position = Position {
            source: self.stream.number(),
            partition: 0,
            offset: offset.into(),
        };
        Ok(house.log.reader(&self.stream, Start::At(position))?.with_expired())
    }
    async fn move_page(&self, house: &House, due: &mut Due, items: Vec<(Position, Arc<Message>)>) -> Result<()> {
        let mut moving = Vec::with_capacity(items.len());
        let mut failed = None;
        for (position, message) in items {
            let offset = position.offset as u64;
            if self.group.is_done(position.partition, offset) {
                continue;
            }
            match self.send(house, offset, &message).await {
                Ok(receipt) => moving.push((offset, message, Ok(receipt))),
                Err(error) if error.retry() == Retry::No => moving.push((offset, message, Err(error))),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        for (offset, message, receipt) in moving {
            let kept = match receipt {
                Ok(receipt) => receipt.await.and_then(whole),
                Err(error) => Err(error),
            };
            match kept {
                Ok(kept) => self.has_moved(offset, &kept),
                Err(error) if error.retry() == Retry::No && !self.is_over(house) => self.bury(house, offset, &message, error).await?,
                Err(error) => {
                    failed.get_or_insert(error);
                    continue;
                }
            }
            let at = message.timing.as_ref().and_then(|timing| timing.due).unwrap_or(0);
            due.remove(&(at, offset));
        }
        failed.map_or(Ok(()), Err)
    }
    fn has_moved(&self, offset: u64, kept: &Kept) {
        let place = kept
            .verdicts(1)
            .first()
            .and_then(|verdict| verdict.result.as_ref().ok()?.first().copied());
        if let Some(place) = place {
            self.moved.lock().unwrap_or_else(PoisonError::into_inner).note(offset, place);
        }
    }
    /// What will never be taken.
    async fn bury(&self, house: &House, offset: u64, message: &Message, error: Error) -> Result<()> {
        let to = house.log.stream(&self.name(house));
        let letter = Letter {
            stream: to.unwrap_or_else(|| self.stream.clone()),
            message: message.clone(),
            error,
            reason: REASON,
        };
        house.bury(vec![letter], 0).await?;
        house.log.finish(&self.group, 0, offset).await
    }
    /// To its stream; or, where it says none, to every stream that captures its topic now.
    async fn send(&self, house: &House, offset: u64, item: &Message) -> Result<Receipt> {
        let streams: SmallVec<[Arc<Stream>; 1]> = match For::read(self.stream.name()) {
            Some(For::Stream(number)) => house.log.stream_by_number(number).into_iter().collect(),
            Some(For::Everybody) | None => house.captures.find(&item.topic),
        };
        if streams.is_empty() {
            let text = format!("no stream captures topic {} any more", &*item.topic);
            return Err(Error::new(Code::NoSuchStream, Fault::Operator, text));
        }
        let expires = item.timing.as_ref().and_then(|timing| timing.expires);
        let message = Arc::new(Message {
            timing: expires.map(|at| {
                Box::new(Timing {
                    expires: Some(at),
                    due: None,
                })
            }),
            ..item.clone()
        });
        // It was asked when it came; where it becomes something else it does so now.
        let shaped = house.shaped(&streams, &message).await?;
        let of = |at: usize| shaped.get(at).and_then(Option::as_ref).unwrap_or(&message);
        let bytes = (0..streams.len()).map(|at| Append::size(of(at))).sum();
        let mut append = house.log.append(Level::Stored, bytes).await?;
        // It was looked at for duplicates when it came.
        append.as_new();
        for (at, stream) in streams.iter().enumerate() {
            append.add(Entry {
                item: 0,
                stream,
                partition: match &message.key {
                    Some(key) => stream.partition_of(key),
                    None => (offset % u64::from(stream.partitions().max(1))) as u32,
                },
                message: of(at),
                scope: 0,
            });
        }
        append.and_done(&self.group, 0, offset);
        append.send()
    }
}
fn whole(mut kept: Kept) -> Result<Kept> {
    match kept.failed.pop() {
        Some((_, error)) => Err(error),
        None => Ok(kept),
    }
}
