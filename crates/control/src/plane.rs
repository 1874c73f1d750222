//! The data plane as control drives it. Implemented by `server`, which knows the log and the endpoints.
use crate::dead_letters::DeadLetters;
use futures::future::BoxFuture;
use serde_json::Value;
use std::sync::Arc;
use tidegate_config::{Checked, Id};
use tidegate_core::{
    check::Problem,
    error::{Error, Result},
};

/// What serves. Calls of `prepare` and `swap` come one after the other, never two at once.
pub trait Plane: Send + Sync {
    /// What can be told without doing anything: whether what is there can become what is asked.
    fn check(&self, checked: &Checked) -> Result<(), Refusal>;
    /// Makes streams, opens what is new, builds every route: nothing a client is served by, and nothing that was stored, has changed yet. What
    /// is open and stays as it was is not opened again. Dropped instead of swapped it leaves at most empty streams that nobody declares.
    fn prepare<'a>(&'a self, checked: &'a Checked) -> BoxFuture<'a, Result<Box<dyn Prepared + 'a>, Refusal>>;
    /// How a resource does now: `{"state": …}`.
    fn status(&self, id: &Id) -> Value;
    /// Streams that are there and that nobody declares.
    fn orphans(&self) -> Vec<Arc<str>>;
    /// Deletes a stream that nobody declares, with its messages.
    fn delete_stream<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<()>>;
    /// Users or tokens have changed: whoever reads or publishes messages as one of them is looked at again.
    fn readmit(&self) -> BoxFuture<'_, ()>;
    /// Forgets all messages of a stream, and says how many.
    fn purge_stream<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<u64>>;
    /// What was given up.
    fn dead_letters(&self) -> &dyn DeadLetters;
}
/// The next world.
pub trait Prepared: Send {
    /// Puts it in the place of the old one, and changes streams. What cannot be done then is told: it is done at the next start.
    fn swap<'a>(self: Box<Self>) -> BoxFuture<'a, Result<()>>
    where
        Self: 'a;
}
/// Why a world cannot be built.
#[derive(Debug)]
pub enum Refusal {
    /// Resources ask what cannot be kept.
    Unkeepable(Vec<(Id, Problem)>),
    /// Something failed on the way.
    Failed(Error),
}
impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}
