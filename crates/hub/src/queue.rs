//! What one live subscriber has not taken yet: bounded, and honest about what did not fit.
use crate::Hub;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tidegate_core::{filter::Filter, message::Message};
use tokio::sync::Notify;

/// How much may wait for one subscriber.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// Payload, headers, topic, key and id together. One message always fits.
    pub bytes: usize,
    /// How many.
    pub messages: usize,
}
impl Default for Bound {
    fn default() -> Self {
        Self {
            bytes: 1 << 20,
            messages: 4_096,
        }
    }
}
/// What [`Subscriber::next`] tells.
#[derive(Debug)]
pub enum Told {
    /// At least one, in the order they were published.
    Messages(Vec<Arc<Message>>),
    /// That many came between the last one told and the next, and did not fit.
    Missed(u64),
}

#[derive(Debug)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Notify,
    bound: Bound,
}
#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<Arc<Message>>,
    bytes: usize,
    missed: u64,
}
impl Queue {
    pub(crate) fn new(bound: Bound) -> Self {
        Self {
            waiting: Mutex::default(),
            arrived: Notify::new(),
            bound,
        }
    }
    pub(crate) fn push(&self, message: &Arc<Message>) {
        let size = message.size();
        let mut waiting = self.lock();
        let fits = waiting.messages.is_empty() || waiting.messages.len() < self.bound.messages && waiting.bytes + size <= self.bound.bytes;
        // Once something is missed all is missed until the queue is empty: the gap then lies in one place.
        if waiting.missed > 0 || !fits {
            waiting.missed += 1;
            return;
        }
        waiting.bytes += size;
        waiting.messages.push_back(message.clone());
        drop(waiting);
        self.arrived.notify_one();
    }
    fn take(&self, limit: usize) -> Option<Told> {
        let mut waiting = self.lock();
        if waiting.messages.is_empty() {
            return (waiting.missed > 0).then(|| Told::Missed(std::mem::take(&mut waiting.missed)));
        }
        let count = waiting.messages.len().min(limit.max(1));
        let taken: Vec<_> = waiting.messages.drain(..count).collect();
        waiting.bytes -= taken.iter().map(|message| message.size()).sum::<usize>();
        Some(Told::Messages(taken))
    }
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A live listener; dropping it stops listening.
#[derive(Debug)]
pub struct Subscriber {
    hub: Arc<Hub>,
    filters: Box<[Filter]>,
    queue: Arc<Queue>,
}
impl Subscriber {
    pub(crate) fn new(hub: Arc<Hub>, filters: Box<[Filter]>, queue: Arc<Queue>) -> Self {
        Self { hub, filters, queue }
    }
    /// At most `limit` messages, or how many were missed. Waits while there is neither. Cancel-safe.
    pub async fn next(&mut self, limit: usize) -> Told {
        loop {
            if let Some(told) = self.queue.take(limit) {
                return told;
            }
            self.queue.arrived.notified().await;
        }
    }
    /// Whether `next` would answer at once.
    pub fn is_ready(&self) -> bool {
        let waiting = self.queue.lock();
        !waiting.messages.is_empty() || waiting.missed > 0
    }
}
impl Drop for Subscriber {
    fn drop(&mut self) {
        self.hub.leave(&self.filters, &self.queue);
    }
}
