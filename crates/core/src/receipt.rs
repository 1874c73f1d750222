//! The promise that a batch is as safe as was asked, and what came of it.
use crate::{
    batch::Refused,
    error::{Code, Error, Fault, Result},
    home::Home,
    position::Position,
};
use bytes::Bytes;
use futures::FutureExt;
use smallvec::SmallVec;
use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::sync::oneshot;

/// How safe a message is when it is acknowledged. `docs/guide/publishing.md` says what each survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// In memory, in order, will be written.
    Accepted,
    /// Handed to the live subscribers there were.
    Delivered,
    /// On this node's disk, synced.
    Stored,
    /// The broker's strongest acknowledgement.
    Replicated,
}

impl Level {
    /// The word users see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Delivered => "delivered",
            Self::Stored => "stored",
            Self::Replicated => "replicated",
        }
    }
    /// The level of that word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Accepted, Self::Delivered, Self::Stored, Self::Replicated]
            .into_iter()
            .find(|level| level.as_str() == word)
    }
}
/// Kept, as far as `failed` does not say otherwise. An item fails whole: if one capturing stream refuses it, none has it.
#[derive(Debug)]
pub struct Kept {
    /// The level that was reached: the one asked for, or the target's default.
    pub level: Level,
    /// One per capturing stream; none for `accepted` and for what nobody stores.
    pub places: SmallVec<[Place; 1]>,
    /// Where items wait until they are due. Told to nobody: they lie elsewhere then.
    pub waiting: Vec<Place>,
    /// Items nobody stored again; their places are those of the first one.
    pub duplicates: Vec<u32>,
    /// In the order of the batch.
    pub failed: Vec<(u32, Error)>,
    /// Items that are kept with another payload than was sent, and that payload.
    pub converted: Vec<(u32, Bytes)>,
}
/// Where one stream put the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The stream, see [`Position::source`].
    pub source: u32,
    /// Runs of items that lie together.
    pub spans: SmallVec<[Span; 1]>,
}
/// Items `item..item + len` lie at `first..first + len` of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The number of the first item.
    pub item: u32,
    /// The partition they lie in.
    pub partition: u32,
    /// The offset of the first item.
    pub first: u128,
    /// How many items.
    pub len: u32,
}
/// What to answer for one item.
#[derive(Debug)]
pub struct Verdict<'a> {
    /// The number of the item.
    pub item: u32,
    /// One position per capturing stream.
    pub result: Result<SmallVec<[Position; 1]>, &'a Error>,
    /// It was there already; the positions are those of the first one.
    pub duplicate: bool,
}

impl Kept {
    /// Nothing yet, at this level.
    pub fn new(level: Level) -> Self {
        Self {
            level,
            places: SmallVec::new(),
            waiting: Vec::new(),
            duplicates: Vec::new(),
            failed: Vec::new(),
            converted: Vec::new(),
        }
    }
    /// One per item of the batch, in order.
    pub fn verdicts(&self, items: u32) -> Vec<Verdict<'_>> {
        let mut all: Vec<_> = (0..items)
            .map(|item| Verdict {
                item,
                result: Ok(SmallVec::new()),
                duplicate: false,
            })
            .collect();
        for (item, position) in self.places.iter().flat_map(Place::positions) {
            if let Some(Ok(positions)) = all.get_mut(item as usize).map(|v| &mut v.result) {
                positions.push(position);
            }
        }
        self.duplicates.iter().for_each(|i| all[*i as usize].duplicate = true);
        self.failed.iter().for_each(|(i, error)| all[*i as usize].result = Err(error));
        all
    }
    /// Where an item waits until it is due.
    pub fn waits_at(&self, item: u32) -> impl Iterator<Item = Position> {
        let all = self.waiting.iter().flat_map(Place::positions);
        all.filter(move |(of, _)| *of == item).map(|(_, position)| position)
    }
    /// Numbers of the sent part become numbers of the whole batch.
    fn renumber(&mut self, refused: Refused) {
        let Refused { stayed, failed, converted } = refused;
        let back = |i: u32| stayed.get(i as usize).copied().unwrap_or(i);
        self.duplicates.iter_mut().for_each(|i| *i = back(*i));
        self.failed.iter_mut().for_each(|(i, _)| *i = back(*i));
        self.converted.iter_mut().for_each(|(i, _)| *i = back(*i));
        self.converted.extend(converted);
        self.failed.extend(failed);
        self.failed.sort_by_key(|(i, _)| *i);
        for place in self.places.iter_mut().chain(&mut self.waiting) {
            let one = |span: Span| {
                (0..span.len).map(move |i| Span {
                    item: span.item + i,
                    first: span.first + u128::from(i),
                    len: 1,
                    partition: span.partition,
                })
            };
            place.spans = place
                .spans
                .drain(..)
                .flat_map(one)
                .map(|span| Span {
                    item: back(span.item),
                    ..span
                })
                .collect();
        }
    }
}
impl Place {
    /// Each item's number, and where it lies.
    fn positions(&self) -> impl Iterator<Item = (u32, Position)> {
        let source = self.source;
        let one = move |span: &Span| {
            let Span {
                item,
                partition,
                first,
                len,
            } = *span;
            (0..len).map(move |i| {
                let position = Position {
                    source,
                    partition,
                    offset: first + u128::from(i),
                };
                (item + i, position)
            })
        };
        self.spans.iter().flat_map(one)
    }
}
/// The whole batch as positions: `7.100+5`, a run as `first+count`.
impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spans = self
            .places
            .iter()
            .flat_map(|place| place.spans.iter().map(move |span| (place.source, span)));
        for (i, (source, span)) in spans.enumerate() {
            let first = Position {
                source,
                partition: span.partition,
                offset: span.first,
            };
            write!(f, "{}{first}", if i > 0 { "," } else { "" })?;
            if span.len > 1 {
                write!(f, "+{}", span.len)?;
            }
        }
        Ok(())
    }
}

/// Resolves when the level is reached. `Err` = nothing of the batch was kept. Dropping it cancels nothing.
#[must_use = "an answer before the receipt resolved is a lie"]
#[derive(Debug)]
pub struct Receipt {
    state: State,
    /// The last refused first.
    refused: SmallVec<[Box<Refused>; 1]>,
    /// Sources where nothing stays.
    hidden: SmallVec<[u32; 1]>,
}
#[derive(Debug)]
enum State {
    /// Boxed, for a receipt is handed on many times before it is asked.
    Now(Option<Box<Result<Kept>>>),
    Later(oneshot::Receiver<Result<Kept>>),
}
/// The endpoint's end; dropped unanswered = failed.
#[derive(Debug)]
pub struct Keep {
    waits: oneshot::Sender<Result<Kept>>,
    /// Of the thread that waits.
    home: Option<Arc<Home>>,
}
impl Keep {
    /// Answers the waiting caller, if it still waits. `Err` means that nothing of the batch was kept.
    pub fn resolve(self, kept: Result<Kept>) {
        let _nobody_waits = self.waits.send(kept);
    }
    /// For who brings it there.
    pub(crate) fn at_home(self) -> Result<(oneshot::Sender<Result<Kept>>, Arc<Home>), Self> {
        match self.home {
            Some(home) => Ok((self.waits, home)),
            None => Err(self),
        }
    }
}
impl Receipt {
    /// A receipt that is answered already.
    pub fn now(kept: Result<Kept>) -> Self {
        Self {
            state: State::Now(Some(Box::new(kept))),
            refused: SmallVec::new(),
            hidden: SmallVec::new(),
        }
    }
    /// A receipt, and the end that answers it.
    pub fn later() -> (Self, Keep) {
        let (waits, later) = oneshot::channel();
        (
            Self {
                state: State::Later(later),
                refused: SmallVec::new(),
                hidden: SmallVec::new(),
            },
            Keep { waits, home: Home::here() },
        )
    }
    /// Places in these sources are told to nobody: what lies there is still on its way.
    pub fn without(mut self, sources: impl IntoIterator<Item = u32>) -> Self {
        self.hidden.extend(sources);
        self
    }
    /// Joins what never reached the producer. Whoever was nearer to it joins first.
    pub fn with(mut self, refused: Option<Box<Refused>>) -> Self {
        self.refused.extend(refused);
        self
    }
}
impl Future for Receipt {
    type Output = Result<Kept>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let gone = || Error::new(Code::Internal, Fault::Gateway, "the endpoint went away");
        let kept = match &mut self.state {
            State::Now(kept) => kept.take().map_or_else(|| Err(gone()), |kept| *kept),
            State::Later(later) => ready!(later.poll_unpin(cx)).unwrap_or_else(|_| Err(gone())),
        };
        Poll::Ready(kept.map(|mut kept| {
            if !self.hidden.is_empty() {
                let (waiting, places): (Vec<_>, Vec<_>) = kept.places.drain(..).partition(|place| self.hidden.contains(&place.source));
                (kept.waiting, kept.places) = (waiting, places.into());
            }
            for refused in self.refused.drain(..) {
                kept.renumber(*refused);
            }
            kept
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{batch::Batch, message::Message, topic::Topic};
    use futures::FutureExt;

    fn place(source: u32, spans: &[(u32, u32, u128, u32)]) -> Place {
        let span = |(item, partition, first, len): &(u32, u32, u128, u32)| Span {
            item: *item,
            partition: *partition,
            first: *first,
            len: *len,
        };
        Place {
            source,
            spans: spans.iter().map(span).collect(),
        }
    }
    fn texts(kept: &Kept, items: u32) -> Vec<String> {
        let text = |verdict: Verdict<'_>| match verdict.result {
            Ok(positions) => positions.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
            Err(error) => error.code().to_string(),
        };
        kept.verdicts(items).into_iter().map(text).collect()
    }
    #[test]
    fn each_item_has_a_position_in_each_stream() {
        let mut kept = Kept::new(Level::Stored);
        kept.places.push(place(7, &[(0, 0, 100, 2), (2, 1, 40, 1)]));
        kept.places.push(place(9, &[(0, 0, 5, 3)]));
        assert_eq!(texts(&kept, 3), ["7.100,9.5", "7.101,9.6", "7.1-40,9.7"]);
        assert_eq!(kept.to_string(), "7.100+2,7.1-40,9.5+3");
    }
    #[test]
    fn what_was_refused_before_keeps_its_number() {
        let mut batch = Batch::default();
        batch.push(Message::new(Topic::from_static("t"), "a"));
        batch.push_refused(Error::client(Code::BadItem, "no"));
        batch.push(Message::new(Topic::from_static("t"), "b"));
        let mut kept = Kept::new(Level::Stored);
        kept.places.push(place(7, &[(0, 0, 100, 2)]));
        kept.duplicates.push(1);
        let refused = batch.take_refused();
        let kept = Receipt::now(Ok(kept)).with(refused).now_or_never().unwrap().unwrap();
        assert_eq!(texts(&kept, 3), ["7.100", "TG1032", "7.101"]);
        assert_eq!(
            kept.verdicts(3).iter().map(|v| v.duplicate).collect::<Vec<_>>(),
            [false, false, true]
        );
    }
    /// A policy refuses, then a stream does, and what is left is kept with another payload.
    #[test]
    fn refused_twice_and_converted_it_keeps_its_number() {
        let mut batch: Batch = ["a", "b", "c", "d"]
            .map(|payload| Message::new(Topic::from_static("t"), payload))
            .into_iter()
            .collect();
        batch.check(|message| {
            if message.payload == "a" {
                Err(Error::client(Code::BadItem, "no"))
            } else {
                Ok(())
            }
        });
        let first = batch.take_refused();
        batch.check(|message| {
            if message.payload == "c" {
                Err(Error::client(Code::SchemaViolation, "no"))
            } else {
                Ok(())
            }
        });
        batch.convert(1, Bytes::from_static(b"D"), crate::headers::Headers::EMPTY);
        assert_eq!((&batch[1].payload[..], batch.len()), (&b"D"[..], 2));
        let second = batch.take_refused();
        let mut kept = Kept::new(Level::Stored);
        kept.places.push(place(7, &[(0, 0, 100, 2)]));
        let receipt = Receipt::now(Ok(kept)).with(second).with(None).with(first);
        let kept = receipt.now_or_never().unwrap().unwrap();
        assert_eq!(texts(&kept, 4), ["TG1032", "7.100", "TG7001", "7.101"]);
        assert_eq!(kept.converted, [(3, Bytes::from_static(b"D"))]);
    }
    #[test]
    fn a_receipt_nobody_answers_fails() {
        let (mut receipt, keep) = Receipt::later();
        assert!((&mut receipt).now_or_never().is_none());
        drop(keep);
        assert_eq!(receipt.now_or_never().unwrap().unwrap_err().code(), Code::Internal);
    }
    #[test]
    fn a_receipt_tells_what_it_was_told() {
        let (receipt, keep) = Receipt::later();
        keep.resolve(Ok(Kept::new(Level::Accepted)));
        assert_eq!(receipt.now_or_never().unwrap().unwrap().level, Level::Accepted);
        for level in [Level::Accepted, Level::Delivered, Level::Stored, Level::Replicated] {
            assert_eq!(Level::parse(level.as_str()), Some(level));
        }
    }
}
