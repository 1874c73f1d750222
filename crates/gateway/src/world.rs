//! The whole compiled data plane, swapped as one.
use crate::{feeds::Feeds, paths::Paths, route::Route};
use arc_swap::ArcSwap;
use std::{collections::HashMap, sync::Arc};
use tokio::sync::watch;

/// Everything a request needs to find its way, of one revision.
#[derive(Default)]
pub struct Snapshot {
    /// Where each path leads.
    pub paths: Paths,
    /// The same routes, by the names of their APIs.
    pub routes: HashMap<Arc<str>, Arc<Route>>,
    /// Rises with every swap.
    pub revision: u64,
}
/// Readers load once per request; a writer swaps it whole.
pub struct World {
    now: ArcSwap<Snapshot>,
    changed: watch::Sender<u64>,
    feeds: Arc<Feeds>,
}
impl World {
    /// A world with its first snapshot; its feeds keep so many bytes of recent messages.
    pub fn new(snapshot: Snapshot, fan_out_bytes: usize) -> Arc<Self> {
        let changed = watch::Sender::new(snapshot.revision);
        Arc::new(Self {
            now: ArcSwap::from_pointee(snapshot),
            changed,
            feeds: Arc::new(Feeds::new(fan_out_bytes)),
        })
    }
    /// Another world whose readers share the feeds of this one: who reads the same reads it once.
    pub fn beside(&self, snapshot: Snapshot) -> Arc<Self> {
        let changed = watch::Sender::new(snapshot.revision);
        Arc::new(Self {
            now: ArcSwap::from_pointee(snapshot),
            changed,
            feeds: self.feeds.clone(),
        })
    }
    /// What holds now. A request keeps the routes it started with.
    pub fn now(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.now.load()
    }
    /// Puts another one in its place, then tells everybody who watches.
    pub fn swap(&self, snapshot: Snapshot) {
        let revision = snapshot.revision;
        self.now.store(Arc::new(snapshot));
        self.changed.send_replace(revision);
    }
    pub(crate) fn feeds(&self) -> &Arc<Feeds> {
        &self.feeds
    }
    /// One per long task, not one per request: watching writes to shared memory.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}
