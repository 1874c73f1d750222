//! A durable log that captures topics.
use std::{sync::Arc, time::Duration};
use tidegate_core::filter::Filter;

/// One stream, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Unique among streams.
    pub name: Arc<str>,
    /// What it captures: at least one filter; its own name unless told otherwise.
    pub topics: Vec<Filter>,
    /// At least 1, fixed after creation.
    pub partitions: u32,
    /// Older messages leave; `None` = no limit.
    pub age: Option<Duration>,
    /// The oldest messages leave above it; `None` = no limit.
    pub bytes: Option<u64>,
    /// The oldest messages leave above it; `None` = no limit.
    pub messages: Option<u64>,
    /// The window in which a message id is accepted once; zero = off.
    pub dedupe: Duration,
    /// What happens at a limit.
    pub when_full: WhenFull,
}
/// What a stream does at one of its limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// The oldest messages make room.
    #[default]
    DropOldest,
    /// The new message is taken and forgotten.
    DropNewest,
    /// The publisher is refused.
    Refuse,
}
