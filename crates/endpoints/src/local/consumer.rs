//! The two ways to read: a stream by cursor, a live topic as it comes.
use futures::future::BoxFuture;
use std::sync::Arc;
use tidegate_core::{
    delivery::{Delivery, Received},
    endpoint::{Consumer, Limit, Start},
    error::{Code, Error, Result},
    filter::Filter,
    headers::Headers,
    message::Message,
    position::{Cursor, Gap, Position, Reason},
    settle::Ack,
};
use tidegate_hub::{Subscriber, Told};
use tidegate_log::{Chunk, Reader};

fn received(slot: usize, position: Option<Position>, message: Arc<Message>) -> Received {
    Received {
        message,
        position,
        attempt: 1,
        slot: slot as u32,
        metadata: Headers::EMPTY,
    }
}
fn delivery(items: Vec<Received>, gap: Option<Gap>) -> Delivery {
    let delivery = Delivery::new(items, Ack::none());
    match gap {
        Some(gap) => delivery.with_gap(gap),
        None => delivery,
    }
}

/// Reads a stream. The client keeps its cursor: nothing to settle.
pub(super) struct FromLog {
    reader: Reader,
    filter: Option<Filter>,
    draining: bool,
}
impl FromLog {
    /// A place that names no stream was never given out here: it is of a mock, or made up.
    pub(super) fn check(start: &Start) -> Result<()> {
        let nowhere = match start {
            Start::At(position) => position.source == 0,
            Start::After(cursor) => cursor.iter().any(|position| position.source == 0),
            Start::Earliest | Start::Latest | Start::Last(_) | Start::Since(_) => false,
        };
        if nowhere {
            let hint = "take `next_cursor` or an event's id as it came; `from` also takes `earliest`, `latest`, `last:5`, `10m` or a time like `2026-11-20T00:00:00Z`";
            return Err(Error::client(Code::BadCursor, "a place in a stream has the form `7.100`").with_hint(hint));
        }
        Ok(())
    }
    pub(super) fn new(reader: Reader, filter: Option<Filter>) -> Self {
        Self {
            reader,
            filter,
            draining: false,
        }
    }
}
/// How many chunks `ready` looks through for what a filter wants before it tells how far it came.
const LOOKED_THROUGH: usize = 64;
impl FromLog {
    /// What of a chunk is wanted; `None`: nothing.
    fn wanted(&self, chunk: Chunk) -> Option<Delivery> {
        let wanted = |message: &Message| self.filter.as_ref().is_none_or(|filter| filter.matches(&message.topic));
        let items = chunk.items.into_iter().filter(|(_, message)| wanted(message));
        let items: Vec<_> = items
            .enumerate()
            .map(|(slot, (position, message))| received(slot, Some(position), message))
            .collect();
        (!items.is_empty() || chunk.gap.is_some()).then(|| delivery(items, chunk.gap))
    }
}
impl Consumer for FromLog {
    fn next(&mut self, limit: Limit) -> BoxFuture<'_, Result<Option<Delivery>>> {
        Box::pin(async move {
            while !self.draining {
                // `None`: the stream was deleted, or the log closed.
                let Some(chunk) = self.reader.next(limit).await? else { break };
                if let Some(delivery) = self.wanted(chunk) {
                    return Ok(Some(delivery));
                }
            }
            Ok(None)
        })
    }
    fn ready(&mut self, limit: Limit) -> BoxFuture<'_, Result<Option<Delivery>>> {
        Box::pin(async move {
            for _ in 0..LOOKED_THROUGH {
                let chunk = self.reader.ready(limit).await?.filter(|chunk| !chunk.is_empty());
                let Some(chunk) = chunk.filter(|_| !self.draining) else { break };
                if let Some(delivery) = self.wanted(chunk) {
                    return Ok(Some(delivery));
                }
            }
            Ok(None)
        })
    }
    fn drain(&mut self) {
        self.draining = true;
    }
    fn cursor(&self) -> Option<Cursor> {
        Some(self.reader.cursor())
    }
}

/// Listens to live topics. Nothing can be resumed: who asks for that is told so once.
pub(super) struct FromHub {
    subscriber: Subscriber,
    told: Option<Gap>,
    draining: bool,
}
impl FromHub {
    pub(super) fn new(subscriber: Subscriber, start: Start) -> Self {
        let gap = |from: Cursor| Gap {
            to: from.clone(),
            from,
            reason: Reason::CannotResume,
            missed: None,
        };
        let told = match start {
            Start::After(cursor) if !cursor.is_empty() => Some(gap(cursor)),
            Start::At(position) => Some(gap([position].into_iter().collect())),
            Start::After(_) | Start::Earliest | Start::Latest | Start::Last(_) | Start::Since(_) => None,
        };
        Self {
            subscriber,
            told,
            draining: false,
        }
    }
}
impl Consumer for FromHub {
    fn next(&mut self, limit: Limit) -> BoxFuture<'_, Result<Option<Delivery>>> {
        Box::pin(async move {
            if self.draining && !self.subscriber.is_ready() {
                return Ok(None);
            }
            if let Some(gap) = self.told.take() {
                return Ok(Some(delivery(Vec::new(), Some(gap))));
            }
            Ok(Some(match self.subscriber.next(limit.messages as usize).await {
                Told::Messages(messages) => {
                    let items = messages.into_iter().enumerate();
                    delivery(items.map(|(slot, message)| received(slot, None, message)).collect(), None)
                }
                // Live messages have no place, so the gap cannot name one.
                Told::Missed(missed) => delivery(
                    Vec::new(),
                    Some(Gap {
                        from: Cursor::default(),
                        to: Cursor::default(),
                        reason: Reason::TooSlow,
                        missed: Some(missed),
                    }),
                ),
            }))
        })
    }
    fn drain(&mut self) {
        self.draining = true;
    }
}
