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
use futures::future::BoxFuture;
use std::sync::Arc;

pub trait Endpoint: Send + Sync + 'static {
    fn capabilities(&self) -> Capabilities;
    fn producer(&self) -> Arc<dyn Producer>;
    fn consumer(&self, spec: ConsumerSpec) -> BoxFuture<'_, Result<Box<dyn Consumer>>>;
    /// Its own short-lived connection; never shares state with live producers.
    fn probe(&self) -> BoxFuture<'_, Result<()>>;
    fn admin(&self) -> Option<&dyn TopicAdmin> {
        None
    }
    fn close(&self) -> BoxFuture<'_, ()>;
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// One upstream may serve many subscribers. Not a mock: its first message comes one interval after each connecting.
    pub shared: bool,
    pub produce: bool,
    pub consume: bool,
    pub ack: AckMode,
    pub by_cursor: bool,
    pub by_group: bool,
    /// What it can keep; the first is its default.
    pub levels: &'static [Level],
    pub topic_admin: bool,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckMode {
    None,
    Cumulative,
    Individual,
}
pub trait TopicAdmin: Send + Sync {
    fn list(&self) -> BoxFuture<'_, Result<Vec<Topic>>>;
}

pub trait Producer: Send + Sync {
    /// Waits until the batch is accepted: that wait is the back-pressure. A level it cannot keep is an error, not a lesser level.
    /// Cancel-safe: dropped before completion, nothing was accepted. In order per caller and key.
    fn send(&self, publish: Publish) -> BoxFuture<'_, Result<Receipt>>;
}
#[derive(Debug)]
pub struct Publish {
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

pub trait Consumer: Send {
    /// `None` after a graceful end. Cancel-safe: a dropped call loses nothing. Pends while the window is full.
    fn next(&mut self, limit: Limit) -> BoxFuture<'_, Result<Option<Delivery>>>;
    /// Stops fetching; `next` hands out what is left, then `None`. What is unsettled goes back when its `Ack` is dropped.
    fn drain(&mut self);
    /// Whether `next` would return without waiting for a publisher: there is more, or a gap to tell. May be wrong for a moment.
    fn more(&self) -> bool {
        false
    }
    /// Behind what `next` has handed out, gaps and what it passed over included: a consumer that starts after it misses nothing.
    /// `None` where the endpoint cannot resume.
    fn cursor(&self) -> Option<Cursor> {
        None
    }
}
#[derive(Clone, Debug)]
pub struct ConsumerSpec {
    pub topics: Vec<Filter>,
    pub start: Start,
    pub group: Option<GroupName>,
    /// How much may be unsettled at once. This is the whole of consumer back-pressure.
    pub window: Limit,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub messages: u32,
    pub bytes: u32,
}
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    Earliest,
    Latest,
    After(Cursor),
    /// At it or after it.
    At(Position),
    /// Per partition.
    Last(u64),
    /// Microseconds since the epoch.
    Since(i64),
}
/// `[A-Za-z0-9][A-Za-z0-9._-]{0,254}`; our own begin with `$`, so nobody can join them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GroupName(Arc<str>);
impl GroupName {
    pub fn new(text: &str) -> Option<Self> {
        let good = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        (first && text.len() <= 255 && text.bytes().all(good)).then(|| Self(text.into()))
    }
    /// `$rule/hot`, `$webhook/crm`.
    pub fn internal(kind: &str, name: &str) -> Self {
        Self(format!("${kind}/{name}").into())
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
