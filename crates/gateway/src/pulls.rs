//! Workers that pull: one consumer for each group of an api's clients, shared by all who ask, first come first served, and closed when nobody
//! asks and nothing is out.
use crate::{
    flow::{self, Upstream},
    handle::RouteHandle,
    leases::{Duties, Leases, Owner, Tokens},
    metrics::{Class, Offered},
    route::Route,
    world::World,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    time::Duration,
};
use tidegate_core::{
    delivery::{Delivery, Received},
    drain::Watch,
    endpoint::{GroupName, Limit, Start},
    error::{Code, Error, Fault, Result, Retry},
    exchange::Exchange,
    position::Gap,
    settle::Outcome,
    tasks::{self, Task},
};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout_at};

/// What the members of one group may have unsettled at once, together.
const WINDOW: Limit = Limit {
    messages: 20_000,
    bytes: 256 << 20,
};
/// An answer is not larger than this.
const MOST_BYTES: u32 = 8 << 20;
/// Leases at once, of all groups: some 200 bytes each.
const MOST_LEASES: usize = 200_000;
/// Groups with an open consumer.
const MOST_GROUPS: usize = 1_000;
/// A consumer nobody asked for this long is closed, once nothing of it is out.
const IDLE: Duration = Duration::from_secs(30);

/// All groups that are pulled from.
pub struct Pulls {
    world: Arc<World>,
    groups: Mutex<HashMap<Name, Arc<Shared>>>,
    /// Made for the first one.
    leases: OnceLock<(Arc<Leases>, Task)>,
}
#[derive(Clone, PartialEq, Eq, Hash)]
struct Name {
    api: Arc<str>,
    rest: Box<str>,
    group: GroupName,
}
/// One group's consumer. Whoever has a lease of it holds it too.
struct Shared {
    route: Arc<Route>,
    /// Whoever waits is served in turn.
    reader: tokio::sync::Mutex<Option<Upstream>>,
    used: Mutex<Instant>,
}
/// What a worker asks for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Which of the api's groups.
    pub group: GroupName,
    /// Messages, at most.
    pub limit: u32,
    /// How long it waits for the first.
    pub wait: Duration,
    /// How long it has for each.
    pub lease_for: Duration,
    /// Where the group begins, if nobody has been there before.
    pub start: Start,
}
/// What a worker gets.
pub struct Pulled {
    /// The messages.
    pub items: Vec<Received>,
    /// What names the lease of each.
    pub tokens: Tokens,
    /// What is missing before them.
    pub gap: Option<Gap>,
    /// They count as cut until they are written.
    pub offered: Offered,
    /// They go back, unless somebody gets them.
    pub parcel: Parcel,
}
/// Leases on their way to their worker: dropped before they were handed over, they go back and count no attempt.
pub struct Parcel {
    leases: Arc<Leases>,
    tokens: Tokens,
}
impl Parcel {
    /// The worker has them, and says no more: they are settled as done. What is lost of that with this moment comes again.
    pub fn done(mut self) {
        self.leases.end(&std::mem::take(&mut self.tokens), &Outcome::Ack);
    }
    /// They are the worker's now.
    pub fn handed_over(mut self) {
        self.tokens = Tokens::default();
    }
}
impl Drop for Parcel {
    fn drop(&mut self) {
        if !self.tokens.is_empty() {
            let until = Instant::now();
            self.leases.end(&self.tokens, &Outcome::Hold { until });
        }
    }
}

impl Pulls {
    /// Nobody has asked yet.
    pub fn new(world: Arc<World>) -> Arc<Self> {
        Arc::new(Self {
            world,
            groups: Mutex::default(),
            leases: OnceLock::new(),
        })
    }
    /// The leases, for who settles. Fails when the machine has no chance to give.
    pub fn leases(self: &Arc<Self>) -> Result<&Arc<Leases>> {
        if self.leases.get().is_none() {
            let leases = Arc::new(Leases::new(MOST_LEASES)?);
            let _another_was_first = self
                .leases
                .set((leases.clone(), tasks::spawn(tend(Arc::downgrade(self), self.world.clone(), leases))));
        }
        let made = || Error::new(Code::Internal, Fault::Gateway, "the leases are not there");
        self.leases.get().map(|(leases, _)| leases).ok_or_else(made)
    }
    /// What there is, or else what comes first within the wait; with nothing it answers no items. Ends early when the drain begins or the
    /// api changes. Cancel-safe: what was taken goes back, and counts no attempt.
    pub async fn pull(self: &Arc<Self>, handle: &mut RouteHandle, x: &Exchange, wish: &Wish, drain: &mut Watch) -> Result<Pulled> {
        let deadline = Instant::now() + wish.wait;
        let gone = || Error::client(Code::NotFound, "the api is gone");
        let route = handle.route().cloned().ok_or_else(gone)?;
        let leases = self.leases()?.clone();
        let class = route.metrics.class("pull");
        let _present = class.enter();
        let mut taken = Taken::new(&class);
        let shared = self.shared(&route, &handle.rest(), &wish.group)?;
        // A place in the line is no place for ever.
        if let Ok(mut reader) = timeout_at(deadline, shared.reader.lock()).await {
            let was_open = reader.is_some();
            let mut told = read(&mut reader, &shared, handle, x, wish, &leases, drain, deadline, &mut taken).await;
            if matches!(&told, Err(error) if was_open && error.code() == Code::BrokerDown) && taken.is_empty() {
                // The group was forgotten meanwhile: it begins anew.
                *reader = None;
                told = read(&mut reader, &shared, handle, x, wish, &leases, drain, deadline, &mut taken).await;
            }
            if told.is_err() {
                // The next one opens another.
                *reader = None;
            }
            told?;
        }
        *lock(&shared.used) = Instant::now();
        Ok(taken.park(&leases, wish.lease_for, &shared))
    }
    fn shared(&self, route: &Arc<Route>, rest: &str, wish: &GroupName) -> Result<Arc<Shared>> {
        let name = Name {
            api: route.name.clone(),
            rest: route.subscribe.as_ref().map_or(rest, |target| target.chosen_by(rest)).into(),
            group: wish.clone(),
        };
        let mut groups = lock(&self.groups);
        let found = groups.get(&name).filter(|shared| shared.route.reads_like(route));
        if let Some(shared) = found {
            return Ok(shared.clone());
        }
        if groups.len() >= MOST_GROUPS && !groups.contains_key(&name) {
            let text = format!("{MOST_GROUPS} groups are pulled from");
            return Err(Error::new(Code::Overloaded, Fault::Operator, text).with_retry(Retry::After(IDLE)));
        }
        let shared = Arc::new(Shared {
            route: route.clone(),
            reader: tokio::sync::Mutex::new(None),
            used: Mutex::new(Instant::now()),
        });
        let replaced = groups.insert(name, shared.clone());
        drop(groups);
        drop(replaced);
        Ok(shared)
    }
    /// Closes what nobody needs, and what is no longer there.
    fn tidy(&self, leases: &Leases) {
        let now = Instant::now();
        let snapshot = self.world.now();
        let closed: Vec<_> = {
            let mut groups = lock(&self.groups);
            let over = |name: &Name, shared: &Arc<Shared>| {
                let live = snapshot.routes.get(&name.api).filter(|live| live.api.pull.is_some());
                let idle = Arc::strong_count(shared) == 1 && *lock(&shared.used) + IDLE <= now;
                idle || live.is_none_or(|live| !live.reads_like(&shared.route))
            };
            groups.extract_if(|name, shared| over(name, shared)).collect()
        };
        // Of an api that is gone nobody can settle them any more.
        leases.keep(|api| snapshot.routes.contains_key(api));
        drop(closed);
    }
}
/// Until its owner goes.
async fn tend(pulls: Weak<Pulls>, world: Arc<World>, leases: Arc<Leases>) {
    let mut changed = world.changes();
    let mut tick = interval(IDLE / 3);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = leases.expired() => continue,
            Ok(()) = changed.changed() => {}
            _ = tick.tick() => {}
        }
        let Some(pulls) = pulls.upgrade() else { return };
        pulls.tidy(&leases);
    }
}
#[expect(clippy::too_many_arguments, reason = "all that a wait may end by")]
async fn read(
    reader: &mut Option<Upstream>,
    shared: &Shared,
    handle: &mut RouteHandle,
    x: &Exchange,
    wish: &Wish,
    leases: &Leases,
    drain: &mut Watch,
    deadline: Instant,
    taken: &mut Taken,
) -> Result<()> {
    let rest = handle.rest();
    if reader.is_none() {
        let group = flow::group(&shared.route, &rest, &wish.group);
        *reader = Some(flow::join(&shared.route, &rest, wish.start.clone(), group, WINDOW).await?);
    }
    let Some(consumer) = reader else { return Ok(()) };
    let mut late = std::pin::pin!(sleep_until(deadline));
    loop {
        let room = taken.room(wish.limit);
        let messages = room.messages.min(u32::try_from(leases.room()).unwrap_or(u32::MAX));
        if messages == 0 && taken.is_empty() {
            let text = format!("{MOST_LEASES} messages are out on leases");
            return Err(Error::new(Code::Overloaded, Fault::Operator, text).with_retry(Retry::After(Duration::from_secs(1))));
        }
        if messages == 0 || room.bytes == 0 {
            return Ok(());
        }
        let limit = Limit { messages, ..room };
        let next = match consumer.ready(limit).await? {
            Some(delivery) => Some(delivery),
            None if taken.is_empty() => tokio::select! {
                biased;
                () = &mut late => None,
                () = drain.started() => None,
                // It is asked again by the path's new route.
                () = handle.changed() => None,
                next = consumer.next(limit) => {
                    if next.as_ref().is_ok_and(Option::is_none) {
                        let text = "the source has ended";
                        return Err(Error::new(Code::BrokerDown, Fault::Broker, text).with_retry(Retry::After(Duration::from_secs(1))));
                    }
                    next?
                }
            },
            None => None,
        };
        let Some(mut delivery) = next else { return Ok(()) };
        flow::deliver(&shared.route, x, &mut delivery).await?;
        taken.take(delivery);
    }
}
/// What was read, before it has leases: dropped, it goes back and counts no attempt.
struct Taken {
    items: Vec<Received>,
    duties: Duties,
    bytes: usize,
    gap: Option<Gap>,
    offered: Offered,
}
impl Taken {
    fn new(class: &Arc<Class>) -> Self {
        Self {
            items: Vec::new(),
            duties: Duties::default(),
            bytes: 0,
            gap: None,
            offered: class.offer(0),
        }
    }
    fn is_empty(&self) -> bool {
        self.items.is_empty() && self.gap.is_none()
    }
    fn room(&self, limit: u32) -> Limit {
        Limit {
            messages: limit.saturating_sub(self.items.len() as u32),
            bytes: MOST_BYTES.saturating_sub(u32::try_from(self.bytes).unwrap_or(u32::MAX)),
        }
    }
    fn take(&mut self, delivery: Delivery) {
        self.gap = delivery.gap().cloned().or(self.gap.take());
        let (mut items, ack) = delivery.into_parts();
        self.duties.take(&mut items, ack);
        self.bytes += items.iter().map(|item| item.message.size()).sum::<usize>();
        if self.items.is_empty() {
            self.items = items;
        } else {
            self.items.append(&mut items);
        }
    }
    fn park(mut self, leases: &Arc<Leases>, lease_for: Duration, shared: &Arc<Shared>) -> Pulled {
        let of = Owner {
            name: shared.route.name.clone(),
            keeps: shared.clone(),
        };
        // Others may have been faster: then some are not to be had.
        let tokens = leases.park(self.duties, lease_for, &of);
        self.items.truncate(tokens.len());
        self.offered.more(self.items.len() as u64);
        Pulled {
            items: self.items,
            tokens: tokens.clone(),
            gap: self.gap,
            offered: self.offered,
            parcel: Parcel {
                leases: leases.clone(),
                tokens,
            },
        }
    }
}
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
#[cfg(test)]
mod tests;
