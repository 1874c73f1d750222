//! What a consumer promises.
use super::{ALL, Subject, payloads, take, waits};
use tidegate_core::{
    endpoint::{Limit, Start},
    position::Cursor,
};

const ONE: Limit = Limit { messages: 1, bytes: 1 };

/// For endpoints that make their own messages there is nothing to send.
async fn fill(subject: &Subject, count: usize) {
    if subject.endpoint.capabilities().produce {
        for i in 0..count {
            subject.send(&[&i.to_string()], None).await.expect("kept");
        }
    }
}
pub(super) async fn what_was_published_comes_out_in_order(subject: Subject) {
    let mut live = subject.consumer(Start::Latest).await;
    subject.send(&["a", "b"], None).await.expect("kept");
    subject.send(&["c"], None).await.expect("kept");
    assert_eq!(payloads(&take(&mut *live, 3).await), ["a", "b", "c"]);
}
pub(super) async fn a_limit_is_kept(subject: Subject) {
    let mut consumer = subject.consumer(start(&subject)).await;
    fill(&subject, 3).await;
    for _ in 0..3 {
        let delivery = consumer.next(ONE).await.expect("a delivery").expect("not the end");
        assert_eq!(delivery.items().len(), 1, "at least one however small, at most the limit");
        delivery.accept();
    }
}
pub(super) async fn a_dropped_next_lost_nothing(subject: Subject) {
    let mut consumer = subject.consumer(start(&subject)).await;
    assert!(waits(consumer.next(ALL)).await, "nothing is there yet");
    fill(&subject, 4).await;
    let mut seen = Vec::new();
    while seen.len() < 4 {
        // Polled once and dropped if it is not ready; ready, it counts.
        let next = {
            let mut next = std::pin::pin!(consumer.next(ONE));
            match futures::poll!(&mut next) {
                std::task::Poll::Ready(next) => Some(next),
                std::task::Poll::Pending => None,
            }
        };
        match next {
            Some(delivery) => {
                let delivery = delivery.expect("a delivery").expect("not the end");
                seen.extend(delivery.items().iter().map(|item| item.position));
                delivery.accept();
            }
            None => {
                seen.extend(take(&mut *consumer, 1).await.iter().map(|item| item.position));
            }
        }
    }
    let offsets: Vec<_> = seen.iter().flatten().map(|position| position.offset).collect();
    assert!(offsets.windows(2).all(|pair| pair[1] == pair[0] + 1), "{offsets:?}");
}
pub(super) async fn a_drain_ends(subject: Subject) {
    let mut consumer = subject.consumer(start(&subject)).await;
    fill(&subject, 1).await;
    assert_eq!(take(&mut *consumer, 1).await.len(), 1);
    consumer.drain();
    assert!(consumer.next(ALL).await.expect("a graceful end").is_none());
}
pub(super) async fn a_cursor_goes_on_where_it_was(subject: Subject) {
    let mut first = subject.consumer(start(&subject)).await;
    fill(&subject, 4).await;
    let seen = take(&mut *first, 2).await;
    let positions: Cursor = seen.iter().filter_map(|item| item.position).collect();
    if let Some(cursor) = first.cursor() {
        assert_eq!(cursor, positions, "the consumer's own cursor");
    }
    drop(first);
    let mut second = subject.consumer(Start::After(positions.clone())).await;
    let next = take(&mut *second, 2).await;
    let wanted: Vec<_> = positions.iter().map(|p| p.offset + 1).chain(positions.iter().map(|p| p.offset + 2)).collect();
    let got: Vec<_> = next.iter().filter_map(|item| item.position).map(|p| p.offset).collect();
    assert_eq!(got, wanted);
    assert!(next.iter().filter_map(|item| item.position).all(|p| !positions.covers(p)));
}
pub(super) async fn every_place_to_begin(subject: Subject) {
    fill(&subject, 4).await;
    let mut all = subject.consumer(Start::Earliest).await;
    let items = take(&mut *all, 4).await;
    let third = items[2].position.expect("a position");
    for (start, wanted) in [(Start::Earliest, "0"), (Start::Last(1), "3"), (Start::Last(9), "0"), (Start::At(third), "2")] {
        let mut consumer = subject.consumer(start.clone()).await;
        assert_eq!(payloads(&take(&mut *consumer, 1).await), [wanted], "{start:?}");
    }
    let mut latest = subject.consumer(Start::Latest).await;
    assert!(waits(latest.next(ALL)).await);
    subject.send(&["new"], None).await.expect("kept");
    assert_eq!(payloads(&take(&mut *latest, 1).await), ["new"]);
}
/// Where a fresh consumer sees everything that is sent after it came.
fn start(subject: &Subject) -> Start {
    if subject.endpoint.capabilities().produce { Start::Latest } else { Start::Earliest }
}
