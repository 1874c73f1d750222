//! The data plane as control drives it. Implemented by `server`, which knows the log and the endpoints.
use crate::dead_letters::DeadLetters;
use crate::hooks::Hooks;
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
    /// Whether a node with these settings would start, as far as that can be told beside one that runs: they hold from the next start on.
    fn would_start<'a>(&'a self, checked: &'a Checked) -> BoxFuture<'a, Result<()>>;
    /// Makes streams, opens what is new, builds every route: nothing a client is served by, and nothing that was stored, has changed yet. What
    /// is open and stays as it was is not opened again. Dropped instead of swapped it leaves at most empty streams that nobody declares.
    fn prepare<'a>(&'a self, checked: &'a Checked) -> BoxFuture<'a, Result<Box<dyn Prepared + 'a>, Refusal>>;
    /// How a resource does now: `{"state": …}`.
    fn status(&self, id: &Id) -> Value;
    /// Streams that are there and that nobody declares, but for our own.
    fn undeclared(&self) -> Vec<Arc<str>>;
    /// Whether a stream of that name is for dead letters, there or not.
    fn takes_dead_letters(&self, name: &str) -> bool;
    /// Of those, the ones that nobody needs: dead letters of a declared stream are kept for somebody.
    fn orphans(&self) -> Vec<Arc<str>>;
    /// Makes the way to a stream that came by itself, so that its messages can be read. `false`: there is none.
    fn reach<'a>(&'a self, name: &'a str) -> BoxFuture<'a, bool>;
    /// Deletes a stream that nobody declares, with its messages.
    fn delete_stream<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<()>>;
    /// Users or tokens have changed: whoever reads or publishes messages as one of them is looked at again.
    fn readmit(&self) -> BoxFuture<'_, ()>;
    /// Forgets all messages of a stream, and says how many.
    fn purge_stream<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<u64>>;
    /// The groups of a stream, by name; `None`: there is no such stream.
    fn groups(&self, stream: &str) -> Option<Vec<Value>>;
    /// Forgets the place of a group that clients made; whoever asks for it again begins anew. `false`: there is none of that name.
    fn delete_group<'a>(&'a self, stream: &'a str, group: &'a str) -> BoxFuture<'a, Result<bool>>;
    /// What webhooks did, and what they can be asked to do at once.
    fn hooks(&self) -> &dyn Hooks;
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
