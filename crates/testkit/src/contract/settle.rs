//! What individual acknowledgement promises.
use super::{ALL, Subject, payloads, take, waits};
use std::time::Duration;
use tidegate_core::{
    endpoint::{Group, GroupName, Limit, Start},
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
pub(super) async fn an_ordered_consumer_gets_what_waits_before_anything_else(subject: Subject) {
    subject.send(&["a", "b", "c", "d"], None).await.expect("kept");
    let name = GROUP.and_then(GroupName::new).expect("a name");
    let ordered = || Group {
        ordered: true,
        ..Group::new(name.clone())
    };
    let begun = Instant::now();
    let hour = Duration::from_hours(1);
    let mut one = subject.joined(Start::Earliest, Some(ordered()), ALL).await;
    let (_, mut ack) = one.next(ALL).await.expect("a delivery").expect("not the end").into_parts();
    ack.settle(3, Outcome::Requeue { after: None });
    ack.settle(2, Outcome::Requeue { after: Some(hour) });
    ack.settle(1, Outcome::Ack);
    ack.settle(0, Outcome::Hold { until: begun + hour * 2 });
    drop((ack, one));
    subject.send(&["e"], None).await.expect("kept");

    let mut other = subject.joined(Start::Earliest, Some(ordered()), ALL).await;
    let mut seen = Vec::new();
    assert!(!other.has_all_back(), "one of them is due");
    while seen.len() < 4 {
        let delivery = other.next(ALL).await.expect("a delivery").expect("not the end");
        let until = delivery.waits_until();
        let hours = until.map(|until| until.saturating_duration_since(begun).as_secs_f64() / 3_600.0);
        let (items, mut ack) = delivery.into_parts();
        seen.extend(
            items
                .iter()
                .map(|item| (payloads(std::slice::from_ref(item)).remove(0), hours.map(f64::round), item.attempt)),
        );
        match until {
            Some(until) => ack.settle_all(Outcome::Hold { until }),
            None => ack.settle_all(Outcome::Ack),
        }
    }
    let wanted = [("a", Some(2.0), 1), ("c", Some(1.0), 2), ("d", None, 2), ("e", None, 1)];
    assert_eq!(seen, wanted.map(|(text, hours, attempt)| (text.to_owned(), hours, attempt)));
    assert!(waits(other.next(ALL)).await, "the rest waits for its time");
    assert!(other.has_all_back());
}
pub(super) async fn what_is_called_back_waits_for_its_moment_no_longer(subject: Subject) {
    subject.send(&["a", "b", "c", "d"], None).await.expect("kept");
    let mut consumer = subject.grouped(Start::Earliest, GROUP, ALL).await;
    let (items, mut ack) = consumer.next(ALL).await.expect("a delivery").expect("not the end").into_parts();
    let places: Vec<_> = items.iter().filter_map(|item| item.position).collect();
    let [a, b, c, _] = places.as_slice() else {
        panic!("a position each: {places:?}")
    };
    let hour = Instant::now() + Duration::from_hours(1);
    ack.settle(0, Outcome::Ack);
    for slot in 1..4 {
        ack.settle(slot, Outcome::Hold { until: hour });
    }
    assert!(waits(consumer.next(ALL)).await, "all of them wait");
    // Nobody knows the first any more, and nothing comes twice.
    consumer.recall(&[*a, *c, *b, *b]);
    assert!(!consumer.has_all_back());
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let items = take(&mut *consumer, 1).await;
        seen.extend(items.iter().map(|item| item.attempt));
        assert_eq!(payloads(&items), [["c", "b"][seen.len() - 1]]);
    }
    assert_eq!(seen, [1, 1]);
    assert!(waits(consumer.next(ALL)).await, "the last waits on");
    assert!(consumer.has_all_back());
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
