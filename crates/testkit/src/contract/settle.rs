//! What individual acknowledgement promises.
use super::{ALL, Subject, payloads, take, waits};
use std::time::Duration;
use tidegate_core::{
    endpoint::{Limit, Start},
    settle::Outcome,
};
use tokio::time::Instant;

const GROUP: Option<&str> = Some("workers");

pub(super) async fn what_is_settled_does_not_come_again(subject: Subject) {
    subject.send(&["a", "b", "c"], None).await.expect("kept");
    let mut one = subject.grouped(Start::Earliest, GROUP, ALL).await;
    let (items, mut ack) = one.next(ALL).await.expect("a delivery").expect("not the end").into_parts();
    assert_eq!(payloads(&items), ["a", "b", "c"]);
    ack.settle(0, Outcome::Ack);
    ack.settle(1, Outcome::reject("poison"));
    ack.confirm(Outcome::Ack).await.expect("durable");
    // Twice is a no-op.
    ack.settle_all(Outcome::Requeue { after: None });
    drop((ack, one));
    let mut other = subject.grouped(Start::Earliest, GROUP, ALL).await;
    assert!(waits(other.next(ALL)).await);
}
pub(super) async fn what_is_given_back_comes_again_with_its_attempt(subject: Subject) {
    subject.send(&["a"], None).await.expect("kept");
    let mut consumer = subject.grouped(Start::Earliest, GROUP, ALL).await;
    for attempt in 1..4 {
        let delivery = consumer.next(ALL).await.expect("a delivery").expect("not the end");
        assert_eq!(delivery.items()[0].attempt, attempt);
        // Dropped = given back.
        drop(delivery);
    }
    assert_eq!(take(&mut *consumer, 1).await[0].attempt, 4);
}
pub(super) async fn what_is_held_counts_no_attempt(subject: Subject) {
    subject.send(&["a"], None).await.expect("kept");
    let mut consumer = subject.grouped(Start::Earliest, GROUP, ALL).await;
    let (_, mut ack) = consumer.next(ALL).await.expect("a delivery").expect("not the end").into_parts();
    ack.settle_all(Outcome::Hold {
        until: Instant::now() + Duration::from_millis(20),
    });
    assert!(waits(consumer.next(ALL)).await, "not before its time");
    assert_eq!(take(&mut *consumer, 1).await[0].attempt, 1);
}
pub(super) async fn the_window_bounds_what_is_unsettled(subject: Subject) {
    subject.send(&["a", "b", "c"], None).await.expect("kept");
    let window = Limit {
        messages: 2,
        bytes: 1 << 20,
    };
    let mut consumer = subject.grouped(Start::Earliest, GROUP, window).await;
    let held = consumer.next(ALL).await.expect("a delivery").expect("not the end");
    assert_eq!(held.items().len(), 2);
    assert!(waits(consumer.next(ALL)).await, "the window is full");
    held.accept();
    assert_eq!(payloads(&take(&mut *consumer, 1).await), ["c"]);
}
