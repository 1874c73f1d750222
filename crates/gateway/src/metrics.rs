//! The balance: what came in and what became of it. At rest nothing is missing, and no figure is ever negative.
use crate::feed::Permit;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};
use tidegate_core::{
    error::{Error, Fault},
    receipt::{Kept, Level},
};

/// All APIs there were since the start, by name.
#[derive(Debug, Default)]
pub struct Metrics {
    apis: RwLock<BTreeMap<Arc<str>, Arc<ApiMetrics>>>,
}
/// One API.
#[derive(Debug, Default)]
pub struct ApiMetrics {
    /// Messages published.
    pub published: Published,
    /// Consumers that are open at its endpoint, for feeds, pages and single readers.
    pub upstream: Arc<AtomicU64>,
    classes: RwLock<Vec<(&'static str, Arc<Class>)>>,
}
/// Messages that clients published: received = stored + live + accepted + refused + failed + in flight.
#[derive(Debug, Default)]
pub struct Published {
    received: AtomicU64,
    stored: AtomicU64,
    live: AtomicU64,
    accepted: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}
/// Messages due to one class of subscribers (an API's, by entrypoint): offered = written + skipped + cut + in flight.
#[derive(Debug, Default)]
pub struct Class {
    offered: AtomicU64,
    written: AtomicU64,
    skipped: AtomicU64,
    cut: AtomicU64,
    open: AtomicU64,
}
/// One reading of [`Published`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublishedNow {
    /// Items that were decoded, refused ones included.
    pub received: u64,
    /// Synced on this node, or kept by a broker.
    pub stored: u64,
    /// Handed to live subscribers; nothing keeps them.
    pub live: u64,
    /// In memory, in order; whoever sent them asked for no more.
    pub accepted: u64,
    /// Turned away for what they are.
    pub refused: u64,
    /// Not kept, through no fault of the caller's.
    pub failed: u64,
    /// Neither yet.
    pub in_flight: u64,
}
/// One reading of [`Class`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassNow {
    /// Due to the subscribers.
    pub offered: u64,
    /// Handed to the socket.
    pub written: u64,
    /// Told as a gap.
    pub skipped: u64,
    /// The subscriber went first.
    pub cut: u64,
    /// Neither yet.
    pub in_flight: u64,
    /// Subscribers there are.
    pub open: u64,
}

impl Metrics {
    /// The counters of that API; the same ones for ever, so that a reload loses nothing.
    pub fn api(&self, name: &Arc<str>) -> Arc<ApiMetrics> {
        let mut apis = self.apis.write().unwrap_or_else(PoisonError::into_inner);
        apis.entry(name.clone()).or_default().clone()
    }
    /// Every API with its counters.
    pub fn all(&self) -> Vec<(Arc<str>, Arc<ApiMetrics>)> {
        let apis = self.apis.read().unwrap_or_else(PoisonError::into_inner);
        apis.iter().map(|(name, metrics)| (name.clone(), metrics.clone())).collect()
    }
}
impl ApiMetrics {
    /// The counters of subscribers through that entrypoint.
    pub fn class(&self, entrypoint: &'static str) -> Arc<Class> {
        let found = |classes: &Vec<(&'static str, Arc<Class>)>| {
            classes.iter().find(|(name, _)| *name == entrypoint).map(|(_, class)| class.clone())
        };
        if let Some(class) = found(&self.classes.read().unwrap_or_else(PoisonError::into_inner)) {
            return class;
        }
        let mut classes = self.classes.write().unwrap_or_else(PoisonError::into_inner);
        found(&classes).unwrap_or_else(|| {
            let class = Arc::<Class>::default();
            classes.push((entrypoint, class.clone()));
            class
        })
    }
    /// Every class with its name.
    pub fn classes(&self) -> Vec<(&'static str, Arc<Class>)> {
        self.classes.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
/// Terminal counters rise with `Release` after `received` did; readers take them first with `Acquire`.
fn add(counter: &AtomicU64, n: u64) {
    if n > 0 {
        counter.fetch_add(n, Ordering::Release);
    }
}
impl Published {
    /// That many items came.
    pub fn received(&self, items: u32) {
        add(&self.received, u64::from(items));
    }
    /// What became of all of them.
    pub fn resolved(&self, items: u32, result: Result<&Kept, &Error>) {
        let items = u64::from(items);
        match result {
            Ok(kept) => {
                let refused = kept.failed.iter().filter(|(_, error)| error.fault() == Fault::Client).count() as u64;
                let failed = kept.failed.len() as u64;
                add(&self.refused, refused);
                add(&self.failed, failed - refused);
                let counter = match kept.level {
                    Level::Stored | Level::Replicated => &self.stored,
                    Level::Delivered => &self.live,
                    Level::Accepted => &self.accepted,
                };
                add(counter, items.saturating_sub(failed));
            }
            Err(error) if error.fault() == Fault::Client => add(&self.refused, items),
            Err(_) => add(&self.failed, items),
        }
    }
    /// The client went before anything was accepted.
    pub fn abandoned(&self, items: u32) {
        add(&self.failed, u64::from(items));
    }
    /// Terminal counters first: what rises meanwhile is in flight, never less than nothing.
    pub fn now(&self) -> PublishedNow {
        let read = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        let (stored, live, accepted) = (read(&self.stored), read(&self.live), read(&self.accepted));
        let (refused, failed) = (read(&self.refused), read(&self.failed));
        let received = read(&self.received);
        PublishedNow {
            received,
            stored,
            live,
            accepted,
            refused,
            failed,
            in_flight: received.saturating_sub(stored + live + accepted + refused + failed),
        }
    }
}
impl Class {
    /// A subscriber came; it leaves when the guard is dropped.
    pub fn enter(self: &Arc<Self>) -> Present {
        add(&self.open, 1);
        Present(self.clone())
    }
    /// That many messages are due; the guard says what became of them.
    pub fn offer(self: &Arc<Self>, messages: u64) -> Offered {
        add(&self.offered, messages);
        Offered {
            class: self.clone(),
            messages,
            room: None,
        }
    }
    /// That many were due and are written.
    pub(crate) fn pass(&self, messages: u64) {
        add(&self.offered, messages);
        add(&self.written, messages);
    }
    /// That many were due to somebody who went.
    pub(crate) fn cut(&self, messages: u64) {
        add(&self.offered, messages);
        add(&self.cut, messages);
    }
    /// That many were told as a gap.
    pub fn skip(&self, messages: u64) {
        add(&self.offered, messages);
        add(&self.skipped, messages);
    }
    /// Terminal counters first.
    pub fn now(&self) -> ClassNow {
        let read = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        let (written, skipped, cut) = (read(&self.written), read(&self.skipped), read(&self.cut));
        let offered = read(&self.offered);
        ClassNow {
            offered,
            written,
            skipped,
            cut,
            in_flight: offered.saturating_sub(written + skipped + cut),
            open: read(&self.open),
        }
    }
}
/// One subscriber, while it is there.
#[derive(Debug)]
pub struct Present(Arc<Class>);
impl Drop for Present {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Release);
    }
}
/// Messages on their way to a subscriber; dropped = cut.
#[derive(Debug)]
pub struct Offered {
    class: Arc<Class>,
    messages: u64,
    /// The memory they lie in, where that is much.
    room: Option<Permit>,
}
impl Offered {
    /// They lie in that until they are written or cut.
    pub(crate) fn within(mut self, room: Option<Permit>) -> Self {
        self.room = room;
        self
    }
    /// That many more go the same way.
    pub fn more(&mut self, messages: u64) {
        add(&self.class.offered, messages);
        self.messages += messages;
    }
    /// They were handed to the socket.
    pub fn written(mut self) {
        add(&self.class.written, std::mem::take(&mut self.messages));
    }
}
impl Drop for Offered {
    fn drop(&mut self) {
        add(&self.class.cut, self.messages);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_core::error::Code;

    #[test]
    fn the_balance_closes() {
        let published = Published::default();
        published.received(7);
        let mut kept = Kept::new(Level::Stored);
        kept.failed.push((1, Error::client(Code::NotJson, "x")));
        kept.failed.push((2, Error::new(Code::StorageFull, Fault::Operator, "x")));
        published.resolved(4, Ok(&kept));
        published.abandoned(1);
        let now = published.now();
        assert_eq!((now.stored, now.refused, now.failed, now.in_flight), (2, 1, 2, 2));
        published.resolved(2, Ok(&Kept::new(Level::Delivered)));
        assert_eq!(published.now().in_flight, 0);
    }
    #[test]
    fn what_is_dropped_is_cut() {
        let class = Arc::<Class>::default();
        class.offer(3).written();
        drop(class.offer(2));
        class.skip(5);
        let waiting = class.offer(1);
        let now = class.now();
        assert_eq!((now.offered, now.written, now.cut, now.skipped, now.in_flight), (11, 3, 2, 5, 1));
        drop(waiting);
        assert_eq!(class.now().in_flight, 0);
    }
}
