//! Where a rule or a webhook sends messages.
use crate::{
    delivery::Received,
    endpoint::Limit,
    error::{Code, Error, Result, Retry},
};
use futures::future::BoxFuture;

/// A target of messages: an HTTP address, a broker, another topic.
///
/// One value serves many calls at once, up to [`Limits::in_flight`].
pub trait Action: Send + Sync {
    /// What one call may carry, and how many calls may run at once. Constant for the life of the action.
    fn limits(&self) -> Limits;
    /// What a message adds to a call, in bytes, as the bound of [`Limits::batch`] counts them.
    fn weight(&self, item: &Received) -> usize {
        item.message.size()
    }
    /// Resolves when the target confirmed. Borrowed: the caller settles by the answer, or tries the same ones again.
    /// Cancelled at a shutdown deadline: the target may have got it, so it may get it twice.
    fn perform<'a>(&'a self, items: &'a [Received]) -> BoxFuture<'a, Result<(), BatchError>>;
    /// Whoever owns it wants no more of it: calls that are dropped from now on are for that, and whoever keeps a log may say so.
    fn stopped(&self) {}
}
/// Headers of a request that nobody may declare for a target: they frame it, belong to one connection, or are ours to set.
pub fn is_reserved_header(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "connection",
        "content-encoding",
        "content-length",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "webhook-id",
        "webhook-signature",
        "webhook-timestamp",
    ];
    let name = name.to_ascii_lowercase();
    NAMES.contains(&name.as_str()) || name.starts_with("proxy-") || name.starts_with("tidegate-")
}
/// How much an action takes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most one call of [`Action::perform`] is given.
    pub batch: Limit,
    /// How many calls may run at once, at least one.
    pub in_flight: u32,
}
/// What failed. Two cases, so that "nothing listed" can never be read as "all failed" or "all went well".
#[derive(Debug)]
pub enum BatchError {
    /// Nothing is known to have arrived; the same items may be tried again.
    All(Error),
    /// These failed, the others are confirmed.
    Some(Failures),
}
/// Indexes into the slice, never empty; what is not listed succeeded.
#[derive(Debug)]
pub struct Failures(Vec<(u32, Error)>);
impl BatchError {
    /// `Ok` when nothing failed.
    pub fn some(failed: Vec<(u32, Error)>) -> Result<(), Self> {
        if failed.is_empty() {
            Ok(())
        } else {
            Err(Self::Some(Failures(failed)))
        }
    }
    /// What became of one item.
    pub fn of(&self, at: usize) -> Option<&Error> {
        match self {
            Self::All(error) => Some(error),
            Self::Some(Failures(failed)) => failed.iter().find(|(i, _)| *i as usize == at).map(|(_, error)| error),
        }
    }
}
/// Whether it is the target that is ill, not the message: the next message would most likely meet the same.
pub fn is_targets(error: &Error) -> bool {
    match error.code() {
        Code::TargetDown | Code::TargetTimeout => true,
        Code::TargetRefused => error.retry() != Retry::No,
        _ => false,
    }
}
