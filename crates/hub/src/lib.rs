//! Live routing inside a realm: publish matches once and hands the same `Arc<Message>` to the few that listen.
//!
//! The hub stores nothing. Each subscriber has a queue bounded in bytes and messages; one that is too slow is told how many
//! messages it missed, and nobody else notices.

mod queue;
mod trie;

pub use queue::{Bound, Subscriber, Told};
pub use trie::Trie;

use queue::Queue;
use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicUsize, Ordering},
};
use tidegate_core::{filter::Filter, message::Message};

/// One realm's live subscribers.
#[derive(Debug, Default)]
pub struct Hub {
    routes: RwLock<Trie<Arc<Queue>>>,
    subscribers: AtomicUsize,
}
impl Hub {
    /// No subscriber yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }
    /// Listens from now on, until the subscriber is dropped. A message that several of the filters match comes once.
    pub fn subscribe(self: &Arc<Self>, filters: &[Filter], bound: Bound) -> Subscriber {
        let queue = Arc::new(Queue::new(bound));
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        for filter in filters {
            routes.insert(filter, queue.clone());
        }
        drop(routes);
        self.subscribers.fetch_add(1, Ordering::Release);
        Subscriber::new(self.clone(), filters.into(), queue)
    }
    /// Hands it to everybody who listens now; answers how many that were. Never waits.
    pub fn publish(&self, message: &Arc<Message>) -> usize {
        if self.is_idle() {
            return 0;
        }
        let mut queues = self.routes.read().unwrap_or_else(PoisonError::into_inner).find(&message.topic);
        queues.sort_unstable_by_key(Arc::as_ptr);
        queues.dedup_by_key(|queue| Arc::as_ptr(queue));
        for queue in &queues {
            queue.push(message);
        }
        queues.len()
    }
    /// Whether anybody would get a message of this topic now.
    pub fn listens(&self, topic: &str) -> bool {
        !self.is_idle() && !self.routes.read().unwrap_or_else(PoisonError::into_inner).find(topic).is_empty()
    }
    /// Nobody listens.
    pub fn is_idle(&self) -> bool {
        self.subscribers() == 0
    }
    /// How many listen.
    pub fn subscribers(&self) -> usize {
        self.subscribers.load(Ordering::Acquire)
    }
    fn leave(&self, filters: &[Filter], queue: &Arc<Queue>) {
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        for filter in filters {
            routes.remove(filter, |found| Arc::ptr_eq(found, queue));
        }
        drop(routes);
        self.subscribers.fetch_sub(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_core::topic::Topic;

    fn message(topic: &str, payload: &'static [u8]) -> Arc<Message> {
        Arc::new(Message::new(Topic::from(topic), payload))
    }
    fn filter(text: &str) -> Filter {
        Filter::new(text).unwrap()
    }

    #[tokio::test]
    async fn hands_the_same_message_to_those_who_listen() {
        let hub = Hub::new();
        let mut one = hub.subscribe(&[filter("a/#"), filter("a/b")], Bound::default());
        let mut other = hub.subscribe(&[filter("+/b")], Bound::default());
        let sent = message("a/b", b"x");
        assert_eq!(hub.publish(&sent), 2);
        assert_eq!(hub.publish(&message("c", b"x")), 0);
        for subscriber in [&mut one, &mut other] {
            let Told::Messages(got) = subscriber.next(10).await else {
                panic!("a message")
            };
            assert_eq!(got.len(), 1);
            assert!(Arc::ptr_eq(&got[0], &sent));
        }
        drop(one);
        drop(other);
        assert!(hub.is_idle());
        assert_eq!(hub.publish(&sent), 0);
    }
    #[tokio::test]
    async fn tells_a_slow_one_what_it_missed_and_nobody_else() {
        let hub = Hub::new();
        let bound = Bound { bytes: 100, messages: 2 };
        let mut slow = hub.subscribe(&[filter("a")], bound);
        for _ in 0..5 {
            hub.publish(&message("a", b"x"));
        }
        let Told::Messages(got) = slow.next(10).await else {
            panic!("messages first")
        };
        assert_eq!(got.len(), 2);
        let Told::Missed(missed) = slow.next(10).await else {
            panic!("then the gap")
        };
        assert_eq!(missed, 3);
        hub.publish(&message("a", b"y"));
        let Told::Messages(got) = slow.next(10).await else {
            panic!("then it goes on")
        };
        assert_eq!(&got[0].payload[..], b"y");
    }
    #[tokio::test]
    async fn one_message_over_the_bound_still_passes() {
        let hub = Hub::new();
        let mut subscriber = hub.subscribe(&[filter("a")], Bound { bytes: 1, messages: 10 });
        hub.publish(&message("a", b"longer than one byte"));
        assert!(matches!(subscriber.next(1).await, Told::Messages(got) if got.len() == 1));
    }
}
