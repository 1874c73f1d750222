//! What webhooks did, and what they can be asked to do at once. Implemented by `server`, which knows their targets and the log.
use futures::future::BoxFuture;
use serde_json::Value;
use std::ops::RangeInclusive;
use tidegate_core::{error::Result, position::Position};

/// Beside what is declared of webhooks. None of it changes a webhook's own place.
pub trait Hooks: Send + Sync {
    /// The last attempts of one, newest first.
    fn deliveries<'a>(&'a self, webhook: &'a str, wanted: &'a Wanted) -> BoxFuture<'a, Result<Attempts>>;
    /// One message to its target, and what came back.
    fn test<'a>(&'a self, webhook: &'a str) -> BoxFuture<'a, Result<Value>>;
    /// What its source still holds, once more.
    fn replay<'a>(&'a self, webhook: &'a str, which: Which) -> BoxFuture<'a, Result<Value>>;
    /// Where a message is, and every attempt to deliver it.
    fn trace<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Value>>;
}
/// Which attempts; all that is said must fit.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Of a message: its id, as the sender said it or as `webhook-id` does, or its position.
    pub id: Option<String>,
    /// One word: how it ended.
    pub outcome: Option<String>,
    /// What the target answered: one status, or a class of them.
    pub status: Option<RangeInclusive<u16>>,
    /// Stands in the URL.
    pub target: Option<String>,
    /// Not before: microseconds since the epoch.
    pub since: Option<i64>,
    /// Before that: microseconds since the epoch.
    pub until: Option<i64>,
    /// Behind what a page before has shown.
    pub before: Option<u64>,
    /// How many at most.
    pub limit: usize,
}
/// A page of them.
#[derive(Debug, Default)]
pub struct Attempts {
    /// As the management API shows them.
    pub items: Vec<Value>,
    /// Where the next page begins; there may be one behind a page that is short.
    pub next: Option<u64>,
}
/// Which messages of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// The newest so many.
    Last(usize),
    /// The one of this id or position.
    Id(String),
    /// From there on, up to and including the other end.
    Range(Place, Option<Place>),
}
/// An end of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In one partition.
    At(Position),
    /// In all of them: microseconds since the epoch.
    Time(i64),
}
