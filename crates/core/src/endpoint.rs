//! One configured broker, or the embedded log; its two sides.
use crate::{
    batch::Batch,
    delivery::Delivery,
    error::Result,
    filter::Filter,
    message::Message,
    position::{Cursor, Position},
    receipt::{Level, Receipt},
    topic::Topic,
};
use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use std::sync::Arc;

/// A connection to where messages live. It owns every task it started, and they end with it.
pub trait Endpoint: Send + Sync + 'static {
    /// What it can promise. Constant for the life of the endpoint: deployment relies on it.
    fn capabilities(&self) -> Capabilities;
    /// The publishing side, shared by all callers. Fails on `send` when [`Capabilities::produce`] is false.
    fn producer(&self) -> Arc<dyn Producer>;
    /// A consumer of its own for one reader or one feed.
    ///
    /// Fails when the endpoint cannot read these topics as one (`AmbiguousStream`), cannot begin there, or is away (`BrokerDown`).
    /// A start that retention has passed is no failure: the first delivery tells the gap.
    /// Cancel-safe: a dropped call leaves nothing behind.
    fn consumer(&self, spec: ConsumerSpec) -> BoxFuture<'_, Result<Box<dyn Consumer>>>;
    /// Whether it answers now. Its own short-lived connection; never shares state with live producers. Cancel-safe.
    fn probe(&self) -> BoxFuture<'_, Result<()>>;
    /// Topic administration, where [`Capabilities::topic_admin`] is true.
    fn admin(&self) -> Option<&dyn TopicAdmin> {
        None
    }
    /// Ends it: sends what was accepted, then lets go of the connection. Producers fail afterwards, consumers end.
    /// Not to be retried; dropping the future may cut what was not sent yet, and its receipts fail.
    fn close(&self) -> BoxFuture<'_, ()>;
}
/// What an endpoint can promise. Compared with what an API needs when it is deployed, see [`crate::check::negotiate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// One upstream may serve many subscribers. Not a mock: its first message comes one interval after each connecting.
    pub shared: bool,
    /// It can be published to.
    pub produce: bool,
    /// It can be consumed.
    pub consume: bool,
    /// What settling a delivery means there.
    pub ack: AckMode,
    /// A consumer can start behind a cursor, so a client can resume.
    pub by_cursor: bool,
    /// It keeps a shared position for a named group.
    pub by_group: bool,
    /// What it can keep; the first is its default.
    pub levels: &'static [Level],
    /// [`Endpoint::admin`] answers.
    pub topic_admin: bool,
}
/// How a broker is told that messages are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckMode {
    /// It is not told: the client keeps its own cursor, or nothing is kept at all.
    None,
    /// "Everything up to here", see [`crate::watermark::Watermark`].
    Cumulative,
    /// Message by message.
    Individual,
}
/// What an operator asks about the topics of an endpoint.
pub trait TopicAdmin: Send + Sync {
    /// All topics there are, in no order. Fails when the broker is away. Cancel-safe.
    fn list(&self) -> BoxFuture<'_, Result<Vec<Topic>>>;
}

/// The publishing side of an endpoint.
pub trait Producer: Send + Sync {
    /// Waits until the batch is accepted: that wait is the back-pressure. A level it cannot keep is an error, not a lesser level.
    /// Fails with nothing accepted. Cancel-safe: dropped before completion, nothing was accepted. In order per caller and key.
    fn send(&self, publish: Publish) -> BoxFuture<'_, Result<Receipt>>;
    /// The payload it kept at one of the places that a receipt named, waiting ones included; `None`: it is gone, or nothing is kept.
    fn kept(&self, _position: Position) -> BoxFuture<'_, Result<Option<Bytes>>> {
        Box::pin(async { Ok(None) })
    }
}
/// What is handed to a producer.
#[derive(Debug)]
pub struct Publish {
    /// The messages, with their numbers.
    pub batch: Batch,
    /// `None` = the target's default: for `local` it depends on whether a stream captures the topic. `Kept` says which.
    pub level: Option<Level>,
    /// `None` = by key.
    pub partition: Option<u32>,
    /// Within what message ids are unique: caller and API, as a hash that a restart does not change.
    pub scope: u64,
}
impl From<Batch> for Publish {
    fn from(batch: Batch) -> Self {
        Self {
            batch,
            level: None,
            partition: None,
            scope: 0,
        }
    }
}
impl From<Message> for Publish {
    fn from(message: Message) -> Self {
        Batch::from(message).into()
    }
}

/// The reading side of an endpoint, for one reader.
pub trait Consumer: Send {
    /// At least one message, or a gap. `None` after a graceful end. An `Err` handed nothing out: the same place may be asked for again,
    /// here or by another consumer that starts at [`Consumer::cursor`]. Cancel-safe: a dropped call loses nothing. Pends while the window is full.
    fn next(&mut self, limit: Limit) -> BoxFuture<'_, Result<Option<Delivery>>>;
    /// Stops fetching; `next` hands out what is left, then `None`. What is unsettled goes back when its `Ack` is dropped.
    fn drain(&mut self);
    /// What there is now: like `next`, but `None` rather than waiting for a publisher. It may wait for the disk, and may end early after
    /// passing over much that is not wanted: the cursor says how far it came. Cancel-safe.
    fn ready(&mut self, limit: Limit) -> BoxFuture<'_, Result<Option<Delivery>>> {
        Box::pin(async move { self.next(limit).now_or_never().unwrap_or(Ok(None)) })
    }
    /// Behind what `next` has handed out, gaps and what it passed over included: a consumer that starts after it misses nothing.
    /// `None` where the endpoint cannot resume.
    fn cursor(&self) -> Option<Cursor> {
        None
    }
    /// Whether all that was given back and is due by now was handed out. `false` says nothing.
    fn has_all_back(&self) -> bool {
        false
    }
    /// What was given back until a later moment comes as soon as it can, in this order. Passes over what it does not hold. Whoever can be given
    /// something back can do this.
    fn recall(&mut self, _positions: &[Position]) {}
}
/// What a consumer is to read.
#[derive(Clone, Debug)]
pub struct ConsumerSpec {
    /// What is read; at least one.
    pub topics: Vec<Filter>,
    /// Where it begins.
    pub start: Start,
    /// The group whose position is shared; `None` reads alone.
    pub group: Option<Group>,
    /// How much may be unsettled at once. This is the whole of consumer back-pressure.
    pub window: Limit,
}
/// How much, in messages and in bytes: the first to be reached counts. One message always fits, however long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Messages.
    pub messages: u32,
    /// Bytes, as [`Message::size`] counts.
    pub bytes: u32,
}
/// Where a consumer begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the oldest message there is.
    Earliest,
    /// With what arrives from now on.
    Latest,
    /// Behind everything the cursor covers. What it no longer finds is told as a gap, never skipped.
    After(Cursor),
    /// With the message at that position, or the first behind it.
    At(Position),
    /// With the newest so many of each partition.
    Last(u64),
    /// With what arrived at this time or later, in microseconds since the epoch.
    Since(i64),
}
/// A position shared by all consumers that name it. The one that makes it decides the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name within the endpoint.
    pub name: GroupName,
    /// How often a message may be delivered before it becomes a dead letter; `None`: as often as it is given back.
    pub deliveries: Option<u32>,
    /// Where dead letters go; `None`: where the endpoint puts them.
    pub dead_letters: Option<Topic>,
    /// Its consumers keep an order, one at a time. What one of them held back for it is forgotten with it, so a new one gets all that waits
    /// before anything else, in the order of the endpoint, whether or not its time has come ([`crate::delivery::Delivery::waits_until`]).
    pub ordered: bool,
    /// Its consumers read ahead of what they do: what was handed out was not tried before it is given back as tried. A crash then forgets the
    /// attempt that was under way, and counts none that never was.
    pub ahead: bool,
}
impl Group {
    /// The endpoint's own limit and place.
    pub fn new(name: GroupName) -> Self {
        Self {
            name,
            deliveries: None,
            dead_letters: None,
            ordered: false,
            ahead: false,
        }
    }
}
/// `[A-Za-z0-9][A-Za-z0-9._-]{0,254}`; our own begin with `$`, so nobody can join them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GroupName(Arc<str>);
impl GroupName {
    /// `None` when it is not of that pattern.
    pub fn new(text: &str) -> Option<Self> {
        let good = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        (first && text.len() <= 255 && text.bytes().all(good)).then(|| Self(text.into()))
    }
    /// `$rule/hot`, `$webhook/crm`.
    pub fn internal(kind: &str, name: &str) -> Self {
        Self(format!("${kind}/{name}").into())
    }
    /// The name as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
