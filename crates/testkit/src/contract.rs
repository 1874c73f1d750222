//! The contract every endpoint keeps. Which cases run follows from what the endpoint says it can do, so that none can be skipped.
mod consume;
mod publish;
mod settle;

use futures::future::BoxFuture;
use std::{pin::pin, sync::Arc, time::Duration};
use tidegate_core::{
    delivery::Received,
    endpoint::{AckMode, Capabilities, Consumer, ConsumerSpec, Endpoint, Group, GroupName, Limit, Publish, Start},
    error::Result,
    filter::Filter,
    message::Message,
    receipt::{Kept, Level},
    topic::Topic,
};

/// An endpoint that holds nothing yet.
pub struct Subject {
    /// What is tested.
    pub endpoint: Arc<dyn Endpoint>,
    /// What is published to.
    pub topic: Topic,
    /// What is consumed; empty: all there is.
    pub filters: Vec<Filter>,
    /// Kept until the case has ended: a folder, a log, its tasks.
    pub house: Box<dyn std::any::Any + Send + Sync>,
    /// What it keeps for this topic, the default first, where that is less than it names.
    pub levels: Option<&'static [Level]>,
}
/// One case: its name and what it does.
pub struct Case {
    /// For the message of a failure.
    pub name: &'static str,
    run: fn(Subject) -> BoxFuture<'static, ()>,
}
/// Nothing here may hang for ever.
const PATIENCE: Duration = Duration::from_secs(20);
const ALL: Limit = Limit {
    messages: 1_000,
    bytes: 1 << 20,
};

macro_rules! case {
    ($module:ident :: $name:ident) => {
        Case {
            name: concat!(stringify!($module), "::", stringify!($name)),
            run: |subject| Box::pin($module::$name(subject)),
        }
    };
}
/// What these capabilities promise.
pub fn cases(can: Capabilities) -> Vec<Case> {
    let mut cases = Vec::new();
    if can.produce {
        cases.push(case!(publish::every_level_it_names_is_kept_and_no_other));
        cases.push(case!(publish::a_dropped_send_accepted_nothing));
    }
    if can.consume {
        cases.push(case!(consume::a_limit_is_kept));
        cases.push(case!(consume::a_dropped_next_lost_nothing));
        cases.push(case!(consume::a_drain_ends));
    }
    if can.consume && can.by_cursor {
        cases.push(case!(consume::a_cursor_goes_on_where_it_was));
    }
    if can.produce && can.consume {
        cases.push(case!(consume::what_was_published_comes_out_in_order));
    }
    if can.produce && can.consume && can.by_cursor {
        cases.push(case!(consume::every_place_to_begin));
    }
    if can.ack == AckMode::Individual && can.by_group && can.produce {
        cases.push(case!(settle::what_is_settled_does_not_come_again));
        cases.push(case!(settle::what_is_given_back_comes_again_with_its_attempt));
        cases.push(case!(settle::what_is_held_counts_no_attempt));
        cases.push(case!(settle::an_ordered_consumer_gets_what_waits_before_anything_else));
        cases.push(case!(settle::what_is_called_back_waits_for_its_moment_no_longer));
        cases.push(case!(settle::the_window_bounds_what_is_unsettled));
    }
    cases
}
/// Every case on a subject of its own. Answers how many there were.
pub async fn hold<F: AsyncFnMut() -> Subject>(mut make: F) -> usize {
    let cases = cases(make().await.endpoint.capabilities());
    for case in &cases {
        let subject = make().await;
        let ended = tokio::time::timeout(PATIENCE, (case.run)(subject)).await;
        assert!(ended.is_ok(), "{} did not end", case.name);
    }
    cases.len()
}

impl Subject {
    fn message(&self, payload: &str) -> Message {
        Message::new(self.topic.clone(), payload.as_bytes().to_vec())
    }
    async fn send(&self, payloads: &[&str], level: Option<Level>) -> Result<Kept> {
        let publish = Publish {
            level,
            ..payloads
                .iter()
                .map(|payload| self.message(payload))
                .collect::<tidegate_core::batch::Batch>()
                .into()
        };
        self.endpoint.producer().send(publish).await?.await
    }
    async fn consumer(&self, start: Start) -> Box<dyn Consumer> {
        self.grouped(start, None, ALL).await
    }
    async fn grouped(&self, start: Start, group: Option<&str>, window: Limit) -> Box<dyn Consumer> {
        self.joined(start, group.and_then(GroupName::new).map(Group::new), window).await
    }
    async fn joined(&self, start: Start, group: Option<Group>, window: Limit) -> Box<dyn Consumer> {
        let spec = ConsumerSpec {
            topics: self.filters.clone(),
            start,
            group,
            window,
        };
        self.endpoint.consumer(spec).await.expect("a consumer")
    }
}
/// Until there are so many; settled.
async fn take(consumer: &mut dyn Consumer, count: usize) -> Vec<Received> {
    let mut items = Vec::new();
    while items.len() < count {
        let limit = Limit {
            messages: (count - items.len()) as u32,
            bytes: 1 << 20,
        };
        let Some(delivery) = consumer.next(limit).await.expect("a delivery") else {
            break;
        };
        assert!(delivery.gap().is_none(), "{:?}", delivery.gap());
        items.extend(delivery.items().iter().cloned());
        delivery.accept();
    }
    items
}
fn payloads(items: &[Received]) -> Vec<String> {
    items
        .iter()
        .map(|item| String::from_utf8_lossy(&item.message.payload).into_owned())
        .collect()
}
/// Whether it would wait: looked at often, with the other tasks running between.
async fn waits<T>(future: impl Future<Output = T>) -> bool {
    let mut future = pin!(future);
    for _ in 0..200 {
        if futures::poll!(&mut future).is_ready() {
            return false;
        }
        tokio::task::yield_now().await;
    }
    true
}
