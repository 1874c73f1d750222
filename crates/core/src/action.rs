//! Where a rule or a webhook sends messages.
use crate::{
    delivery::Received,
    endpoint::Limit,
    error::{Error, Result},
};
use futures::future::BoxFuture;

pub trait Action: Send + Sync {
    fn limits(&self) -> Limits;
    /// Resolves when the target confirmed. Borrowed: the caller settles by the answer, or tries the same ones again.
    /// Cancelled at a shutdown deadline: the target may have got it, so it may get it twice.
    fn perform<'a>(&'a self, items: &'a [Received]) -> BoxFuture<'a, Result<(), BatchError>>;
}
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub batch: Limit,
    pub in_flight: u32,
}
/// What failed. Two cases, so that "nothing listed" can never be read as "all failed" or "all went well".
#[derive(Debug)]
pub enum BatchError {
    All(Error),
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
