//! Where resources that the API made are kept, with every change there was. One trait; a file for each engine.
mod sqlite;
pub(crate) mod versions;

pub use sqlite::Sqlite;
pub use versions::Version;

use futures::future::BoxFuture;
use serde_json::Value;
use std::collections::BTreeMap;
use tidegate_config::Id;
use tidegate_core::error::Result;
use tokio::sync::watch;

/// Resources and their changes. Every method is cancel-safe: a dropped call has done all of it or nothing.
pub trait Store: Send + Sync {
    /// Everything, as of one revision.
    fn load(&self) -> BoxFuture<'_, Result<Contents>>;
    /// All of the changes or none of them, in their order; durable when it resolves. Answers the last one's revision.
    /// `at` is the revision they were made upon: at another one, because somebody else was quicker, it fails with `Changed`.
    fn commit<'a>(&'a self, at: u64, changes: &'a [Change], author: &'a Author) -> BoxFuture<'a, Result<u64>>;
    /// The changes before that revision, newest first; `None` = from the newest on.
    fn changes(&self, before: Option<u64>, limit: u32) -> BoxFuture<'_, Result<Vec<Entry>>>;
    /// What a schema said, newest first; of one that nobody declares nothing.
    fn versions<'a>(&'a self, schema: &'a str) -> BoxFuture<'a, Result<Vec<Version>>>;
    /// The revision the store is at, whoever brought it there.
    fn watch(&self) -> watch::Receiver<u64>;
}
/// What a store holds.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// Of the newest change.
    pub revision: u64,
    /// By what they are.
    pub resources: BTreeMap<Id, Stored>,
    /// Of resources that files declare: whether they are started.
    pub running: BTreeMap<Id, bool>,
    /// The newest version of each schema, by its name.
    pub schemas: BTreeMap<String, Version>,
}
impl Contents {
    /// Counts the versions that changes make, as the store does.
    pub(crate) fn remember(&mut self, changes: &[Change], now: i64) {
        for (name, content) in changes.iter().filter_map(versions::of) {
            let before = self.schemas.get(name);
            match content {
                None => drop(self.schemas.remove(name)),
                Some(content) if before.is_some_and(|before| before.content == content) => {}
                Some(content) => {
                    let version = before.map_or(0, |before| before.version) + 1;
                    self.schemas.insert(name.to_owned(), Version { version, content, at: now });
                }
            }
        }
    }
}
/// One resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// As it was written, secrets and all.
    pub document: Value,
    /// Of its newest change.
    pub revision: u64,
    /// Microseconds since the epoch.
    pub created: i64,
    /// Microseconds since the epoch.
    pub changed: i64,
    /// Who changed it last.
    pub by: String,
}
/// One step of a commit.
#[derive(Clone, Debug)]
pub struct Change {
    /// What it is about.
    pub of: Subject,
    /// The word for it in the audit log: `create`, `replace`, `delete`, `start`, `stop`, `purge`, `replay`, `drop`, `set`.
    pub action: &'static str,
    /// What it does to what is kept.
    pub effect: Effect,
    /// As it was, for the audit log: without secrets.
    pub before: Option<Value>,
    /// As it is, for the audit log: without secrets.
    pub after: Option<Value>,
}
/// What a change is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A resource.
    Resource(Id),
    /// A setting of the node, which is not kept.
    Setting(&'static str),
    /// One dead letter by its place, or several: `*`.
    DeadLetters(String),
}
impl Subject {
    /// Its kind's word.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Resource(id) => id.kind.word(),
            Self::Setting(_) => "node",
            Self::DeadLetters(_) => "dead_letter",
        }
    }
    /// What it is called.
    pub fn name(&self) -> &str {
        match self {
            Self::Resource(id) => &id.name,
            Self::Setting(name) => name,
            Self::DeadLetters(which) => which,
        }
    }
    pub(crate) fn is(&self, id: &Id) -> bool {
        matches!(self, Self::Resource(own) if own == id)
    }
}
/// What a change does to what is kept.
#[derive(Clone, Debug)]
pub enum Effect {
    /// This document takes the place of what was there.
    Put(Value),
    /// Nothing is kept of it.
    Delete,
    /// A resource of a file is started or stopped, whatever that says; `None`: as the file says.
    Run(Option<bool>),
    /// It is only told.
    Nothing,
}
/// Who changes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// `token admin`, `user alice`.
    pub who: String,
    /// The address of the other end.
    pub from: String,
}
impl Author {
    /// A file of this node.
    pub(crate) fn files() -> Self {
        Self {
            who: "files".to_owned(),
            from: "this machine".to_owned(),
        }
    }
}
/// One line of the audit log.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Rises with every change.
    pub revision: u64,
    /// Microseconds since the epoch.
    pub at: i64,
    /// Who did it, and from where.
    pub author: Author,
    /// What was done.
    pub action: String,
    /// To what: its kind's word.
    pub kind: String,
    /// And its name.
    pub name: String,
    /// As it was; without secrets.
    pub before: Option<Value>,
    /// As it is; without secrets.
    pub after: Option<Value>,
}
