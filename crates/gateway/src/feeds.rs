//! The feeds there are: who wants what somebody reads already takes a seat beside it.
use crate::{
    feed::{Feed, Room, Seat},
    flow,
    metrics::Class,
    route::Route,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};
use tidegate_core::{endpoint::Start, error::Result, framing::Framing};
use tokio::sync::{Mutex as Turn, Semaphore};

/// Readers of what is no longer in a ring, at once: the others wait their turn on disk, not in memory.
const CATCHING_UP: usize = 8;
/// So often the ends of feeds that are gone are looked for, in feeds opened.
const SWEEP: usize = 256;

/// One for all that is shared in a world.
pub struct Feeds {
    open: Mutex<HashMap<Key, Arc<Slot>>>,
    room: Arc<Room>,
    catching_up: Semaphore,
}
/// An endpoint and the policies on the way from it, by where they are in memory, and the topics.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    endpoint: usize,
    policies: Box<[usize]>,
    topics: Box<[Box<str>]>,
}
/// Held while a feed is being opened, so that it is opened once. A feed that lives keeps what its key's addresses belong to.
type Slot = Turn<Weak<Feed>>;
impl Key {
    fn of(route: &Route, rest: &str) -> Result<Self> {
        let target = flow::target(route.subscribe.as_ref())?;
        let filters = target.filters(rest)?;
        Ok(Self {
            endpoint: Arc::as_ptr(&target.endpoint).cast::<()>() as usize,
            policies: route
                .policies
                .iter()
                .map(|policy| Arc::as_ptr(policy).cast::<()>() as usize)
                .collect(),
            topics: filters.iter().map(|filter| filter.as_str().into()).collect(),
        })
    }
}
impl Feeds {
    /// None is open. All rings together hold so many bytes, each of them its newest block beside.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            open: Mutex::default(),
            room: Arc::new(Room::new(most)),
            catching_up: Semaphore::new(CATCHING_UP),
        }
    }
    /// A seat behind everything there is now; opens the feed if nobody has.
    pub(crate) async fn seat(&self, route: &Arc<Route>, rest: &str, framing: &'static dyn Framing, class: &Arc<Class>) -> Result<Seat> {
        let slot = self.slot(Key::of(route, rest)?);
        let feed = {
            let mut open = slot.lock().await;
            if let Some(feed) = open.upgrade().filter(|feed| !feed.has_ended()) {
                feed
            } else {
                let from = flow::consume(route, rest, Start::Latest).await?;
                let resumes = from.cursor().is_some();
                let feed = Feed::open(route.clone(), from, resumes, self.room.clone());
                *open = Arc::downgrade(&feed);
                feed
            }
        };
        feed.seat(framing, class.clone()).await
    }
    fn slot(&self, key: Key) -> Arc<Slot> {
        let mut open = self.open();
        if open.len() % SWEEP == SWEEP - 1 {
            open.retain(|_, slot| Arc::strong_count(slot) > 1 || slot.try_lock().is_ok_and(|feed| feed.strong_count() > 0));
        }
        open.entry(key).or_default().clone()
    }
    fn open(&self) -> MutexGuard<'_, HashMap<Key, Arc<Slot>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// For what one client alone keeps waiting.
    pub(crate) fn room(&self) -> &Room {
        &self.room
    }
    /// For reading again what has left the rings.
    pub(crate) fn catching_up(&self) -> &Semaphore {
        &self.catching_up
    }
}
