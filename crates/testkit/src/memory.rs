//! An endpoint in memory: one partition, groups, individual acknowledgement. It shows that the contract asks nothing only a log could do.
mod due;

use bytes::Bytes;
use due::Due;
use futures::future::BoxFuture;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};
use tidegate_core::{
    delivery::{Delivery, Received},
    endpoint::{AckMode, Capabilities, Consumer, ConsumerSpec, Endpoint, GroupName, Limit, Producer, Publish, Start},
    error::{Code, Error, Result},
    message::{Message, Timing},
    position::{Cursor, Position},
    receipt::{Kept, Level, Place, Receipt, Span},
    settle::{Ack, Outcome, Returns, Settled},
};
use tokio::sync::Notify;

const SOURCE: u32 = 7;
const LARGEST: usize = 1 << 10;

/// Everything is forgotten when it is dropped.
#[derive(Clone, Default)]
pub struct Memory {
    shared: Arc<Shared>,
}
#[derive(Default)]
struct Shared {
    log: Mutex<Log>,
    groups: Mutex<HashMap<GroupName, Arc<Group>>>,
    woke: Notify,
    consumers: AtomicUsize,
    waiting: AtomicUsize,
}
/// Counts a call that waits, until it is answered or dropped.
struct Waiting<'a>(&'a AtomicUsize);
impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}
impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
#[derive(Default)]
struct Log {
    messages: Vec<Arc<Message>>,
    ids: HashMap<Bytes, usize>,
}
/// Sequence numbers are offsets.
struct Group {
    shared: Arc<Shared>,
    state: Mutex<State>,
}
#[derive(Default)]
struct State {
    next: u64,
    out: u32,
    due: Due,
    ended: Vec<(u64, Outcome)>,
}
impl State {
    fn has_all_back(&self) -> bool {
        self.due.next().is_none_or(|at| at > tokio::time::Instant::now())
    }
}
struct MemoryConsumer {
    group: Arc<Group>,
    window: Limit,
    draining: bool,
}

impl Memory {
    /// What was acknowledged or rejected in that group, by offset, in the order it came.
    pub fn ended(&self, group: &str) -> Vec<(u64, Outcome)> {
        self.group(group).map_or(Vec::new(), |group| lock(&group.state).ended.clone())
    }
    /// How many messages of that group are out: handed over, and neither settled nor given back.
    pub fn out(&self, group: &str) -> u32 {
        self.group(group).map_or(0, |group| lock(&group.state).out)
    }
    /// The timing of each message, by offset.
    pub fn timing(&self) -> Vec<Option<Timing>> {
        lock(&self.shared.log)
            .messages
            .iter()
            .map(|message| message.timing.as_deref().copied())
            .collect()
    }
    /// Calls of `next` that wait for a message.
    pub fn waiting(&self) -> usize {
        self.shared.waiting.load(Ordering::Relaxed)
    }
    /// Consumers that are open.
    pub fn consumers(&self) -> usize {
        self.shared.consumers.load(Ordering::Relaxed)
    }
    fn group(&self, name: &str) -> Option<Arc<Group>> {
        let groups = lock(&self.shared.groups);
        groups.iter().find(|(one, _)| one.as_str() == name).map(|(_, group)| group.clone())
    }
}
impl Endpoint for Memory {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            shared: true,
            produce: true,
            consume: true,
            ack: AckMode::Individual,
            by_cursor: true,
            by_group: true,
            levels: &[Level::Stored, Level::Accepted],
            topic_admin: false,
        }
    }
    fn producer(&self) -> Arc<dyn Producer> {
        Arc::new(self.clone())
    }
    fn consumer(&self, spec: ConsumerSpec) -> BoxFuture<'_, Result<Box<dyn Consumer>>> {
        Box::pin(async move {
            let end = lock(&self.shared.log).messages.len() as u64;
            let next = match spec.start {
                Start::Earliest | Start::Since(_) => 0,
                Start::Latest => end,
                Start::After(cursor) => cursor.iter().next().map_or(0, |p| p.offset as u64 + 1),
                Start::At(p) => p.offset as u64,
                Start::Last(n) => end.saturating_sub(n),
            };
            let fresh = || {
                Arc::new(Group {
                    shared: self.shared.clone(),
                    state: Mutex::new(State { next, ..State::default() }),
                })
            };
            let group = match spec.group {
                Some(group) => {
                    let named = lock(&self.shared.groups).entry(group.name).or_insert_with(fresh).clone();
                    lock(&named.state).due.join(group.ordered);
                    named
                }
                None => fresh(),
            };
            self.shared.consumers.fetch_add(1, Ordering::Relaxed);
            Ok(Box::new(MemoryConsumer {
                group,
                window: spec.window,
                draining: false,
            }) as Box<dyn Consumer>)
        })
    }
    fn probe(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}
impl Producer for Memory {
    fn send(&self, publish: Publish) -> BoxFuture<'_, Result<Receipt>> {
        Box::pin(async move {
            let level = publish.level.unwrap_or(self.capabilities().levels[0]);
            if !self.capabilities().levels.contains(&level) {
                return Err(Error::client(Code::LevelNotOffered, format!("cannot promise {level:?} here")));
            }
            let mut kept = Kept::new(level);
            let mut place = Place {
                source: SOURCE,
                spans: smallvec::SmallVec::default(),
            };
            let mut log = lock(&self.shared.log);
            for (item, message) in publish.batch.into_messages().enumerate() {
                let item = item as u32;
                if message.payload.len() > LARGEST {
                    kept.failed.push((item, Error::client(Code::TooLarge, "over 1 KiB")));
                    continue;
                }
                let end = log.messages.len();
                let at = message.id.clone().map_or(end, |id| *log.ids.entry(id).or_insert(end));
                let span = Span {
                    item,
                    partition: 0,
                    first: at as u128,
                    len: 1,
                };
                if at < end {
                    kept.duplicates.push(item);
                    place.spans.push(span);
                    continue;
                }
                log.messages.push(message);
                match place.spans.last_mut() {
                    Some(run) if run.item + run.len == item && run.first + u128::from(run.len) == at as u128 => run.len += 1,
                    _ => place.spans.push(span),
                }
            }
            drop(log);
            self.shared.woke.notify_waiters();
            kept.places.extend((level != Level::Accepted).then_some(place));
            Ok(Receipt::now(Ok(kept)))
        })
    }
}
impl Drop for MemoryConsumer {
    fn drop(&mut self) {
        self.group.shared.consumers.fetch_sub(1, Ordering::Relaxed);
    }
}
impl Consumer for MemoryConsumer {
    fn next(&mut self, limit: Limit) -> BoxFuture<'_, Result<Option<Delivery>>> {
        Box::pin(async move {
            loop {
                let mut woke = std::pin::pin!(self.group.shared.woke.notified());
                woke.as_mut().enable();
                if self.draining {
                    return Ok(None);
                }
                if let Some(delivery) = self.group.deliver(self.window.messages, limit.messages) {
                    return Ok(Some(delivery));
                }
                // With a full window nothing goes out, whatever is due: a settlement wakes it.
                let next = {
                    let state = lock(&self.group.state);
                    state.due.next().filter(|_| state.out < self.window.messages)
                };
                let _waiting = Waiting::new(&self.group.shared.waiting);
                tokio::select! { () = woke => {}, () = Due::sleep(next) => {} }
            }
        })
    }
    fn drain(&mut self) {
        self.draining = true;
    }
    fn has_all_back(&self) -> bool {
        lock(&self.group.state).has_all_back()
    }
    fn recall(&mut self, positions: &[Position]) {
        lock(&self.group.state)
            .due
            .recall(positions.iter().map(|position| position.offset as u64));
        self.group.shared.woke.notify_waiters();
    }
    fn cursor(&self) -> Option<Cursor> {
        let seen = lock(&self.group.state).next.checked_sub(1);
        Some(seen.map(position).into_iter().collect())
    }
}
fn position(seq: u64) -> Position {
    Position {
        source: SOURCE,
        partition: 0,
        offset: u128::from(seq),
    }
}
impl Group {
    /// What is due first, one at a time; then fresh ones.
    fn deliver(self: &Arc<Self>, window: u32, limit: u32) -> Option<Delivery> {
        let mut state = lock(&self.state);
        let room = window.saturating_sub(state.out).min(limit);
        if room == 0 {
            return None;
        }
        let log = lock(&self.shared.log);
        let (first, count, until) = if let Some((seq, until)) = state.due.pop() {
            (seq, 1, until)
        } else {
            let first = state.next;
            let count = u64::from(room).min(log.messages.len() as u64 - first);
            state.next += count;
            (first, count, None)
        };
        let item = |slot: u32| {
            let seq = first + u64::from(slot);
            Received {
                message: log.messages[seq as usize].clone(),
                position: Some(position(seq)),
                attempt: state.due.attempt(seq),
                slot,
                metadata: tidegate_core::headers::Headers::EMPTY,
            }
        };
        let items: Vec<_> = (0..count as u32).map(item).collect();
        state.out += count as u32;
        let all_back = state.has_all_back();
        (count > 0).then(|| {
            let delivery = Delivery::new(items, Ack::new(self.clone(), first, count as u32)).with_all_back(all_back);
            match until {
                Some(until) => delivery.waiting_until(until),
                None => delivery,
            }
        })
    }
}
impl Returns for Group {
    fn take_back(&self, settled: Settled) {
        let mut state = lock(&self.state);
        for seq in settled.seqs {
            if matches!(settled.outcome, Outcome::Extend(_)) {
                continue;
            }
            state.out -= 1;
            if !state.due.give_back(seq, &settled.outcome) {
                state.ended.push((seq, settled.outcome.clone()));
            }
        }
        drop(state);
        settled.done.into_iter().for_each(|done| done.resolve(Ok(())));
        self.shared.woke.notify_waiters();
    }
}
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
