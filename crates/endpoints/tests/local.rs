//! What the embedded default does beyond the contract: delays, times to live, dead letters, streams kept until acked.
#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

use std::{path::Path, sync::Arc, time::Duration};
use tempfile::TempDir;
use tidegate_core::{
    clock,
    endpoint::{Consumer, ConsumerSpec, Endpoint, Group, GroupName, Limit, Publish, Start},
    error::Code,
    message::{Message, Timing},
    receipt::{Kept, Level},
    settle::Outcome,
    tasks::{self, Task},
};
use tidegate_endpoints::local::{Captures, House};
use tidegate_hub::Hub;
use tidegate_log::{Hooks, Keep, Log, Opened, Options, StreamSpec, dead_letter, disk::Real};

const ALL: Limit = Limit {
    messages: 100,
    bytes: 1 << 20,
};
struct Home {
    log: Arc<Log>,
    house: Arc<House>,
    _tasks: [Task; 3],
}
impl Home {
    async fn open(folder: &Path, spec: StreamSpec) -> Self {
        let hooks = Hooks {
            on_committed: Box::new(|_| {}),
            run_blocking: Box::new(|work| drop(tokio::task::spawn_blocking(work))),
        };
        let Opened { log, herald, clock, .. } = Log::open(Arc::new(Real::new(folder)), Options::default(), hooks).expect("opened");
        let running = [tasks::spawn(herald), tasks::spawn(clock)];
        let stream = match log.stream("s") {
            Some(stream) => stream,
            None => log.create_stream("s", spec).await.expect("created"),
        };
        let captures = Arc::<Captures>::default();
        captures.set([(stream, Vec::new())]);
        let house = House::new(log.clone(), Hub::new(), captures);
        let [herald, clock] = running;
        Self {
            log,
            _tasks: [herald, clock, tasks::spawn(house.clone().run())],
            house,
        }
    }
    async fn close(self) {
        self.log.close().await;
    }
    fn endpoint(&self) -> Arc<dyn Endpoint> {
        self.house.stream("s").expect("there")
    }
    async fn send(&self, message: Message) -> tidegate_core::error::Result<Kept> {
        self.endpoint().producer().send(Publish::from(message)).await?.await
    }
    async fn group(&self, deliveries: Option<u32>) -> Box<dyn Consumer> {
        let spec = ConsumerSpec {
            topics: Vec::new(),
            start: Start::Earliest,
            group: Some(Group {
                deliveries,
                ..Group::new(GroupName::new("g").expect("a name"))
            }),
            window: ALL,
        };
        self.endpoint().consumer(spec).await.expect("a consumer")
    }
}
fn message(text: &str, due: Option<Duration>, ttl: Option<Duration>) -> Message {
    let at = |after: Duration| clock::now_us() + after.as_micros() as i64;
    Message {
        timing: Some(Box::new(Timing {
            expires: ttl.map(at),
            due: due.map(at),
        })),
        ..Message::new("s".into(), text.as_bytes().to_vec())
    }
}
async fn next(consumer: &mut dyn Consumer) -> String {
    let delivery = consumer.next(ALL).await.expect("a delivery").expect("not the end");
    let text = delivery
        .items()
        .iter()
        .map(|item| String::from_utf8_lossy(&item.message.payload).into_owned());
    let text = text.collect::<Vec<_>>().join(",");
    delivery.accept();
    text
}
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delayed_message_waits_on_disk_and_comes_when_it_is_due() {
    let folder = TempDir::new().expect("a folder");
    let home = Home::open(folder.path(), StreamSpec::default()).await;
    let soon = Duration::from_millis(300);
    let begun = clock::instant();
    let kept = home.send(message("late", Some(soon * 2), None)).await.expect("kept");
    assert!(
        kept.places.is_empty() && kept.level == Level::Stored,
        "it has no place yet: {kept:?}"
    );
    home.send(message("sooner", Some(soon), None)).await.expect("kept");
    home.send(message("at once", None, None)).await.expect("kept");
    home.close().await;
    // Nothing of it is in memory any more.
    let home = Home::open(folder.path(), StreamSpec::default()).await;
    let mut consumer = home.group(None).await;
    assert_eq!(next(&mut *consumer).await, "at once");
    assert_eq!(next(&mut *consumer).await, "sooner");
    assert!(begun.elapsed() >= soon);
    assert_eq!(next(&mut *consumer).await, "late");
    assert!(begun.elapsed() >= soon * 2);
    let later = home.log.stream(tidegate_endpoints::local::LATER).expect("there");
    let group = home.log.groups(&later).pop().expect("a group");
    while group.stats().pending > 0 {
        tokio::task::yield_now().await;
    }
    let producer = home.house.topics().producer();
    let refused = producer.send(Publish::from(Message {
        topic: "live".into(),
        ..message("x", Some(soon), None)
    }));
    assert_eq!(refused.await.expect_err("nobody stores it").code(), Code::LevelNotOffered);
}
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_expired_is_delivered_to_nobody_and_counted() {
    let folder = TempDir::new().expect("a folder");
    let home = Home::open(folder.path(), StreamSpec::default()).await;
    let brief = Duration::from_millis(1);
    home.send(message("gone", None, Some(brief))).await.expect("kept");
    home.send(message("stays", None, Some(Duration::from_hours(1))))
        .await
        .expect("kept");
    let over = clock::now_us() + 2_000;
    while clock::now_us() < over {
        tokio::task::yield_now().await;
    }
    let mut consumer = home.group(None).await;
    assert_eq!(next(&mut *consumer).await, "stays");
    let group = home.log.groups(&home.log.stream("s").expect("there")).pop().expect("a group");
    assert_eq!((group.stats().expired, group.stats().pending), (1, 0));
    let spec = ConsumerSpec {
        topics: Vec::new(),
        start: Start::Earliest,
        group: None,
        window: ALL,
    };
    assert_eq!(next(&mut *home.endpoint().consumer(spec).await.expect("a reader")).await, "stays");
}
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_given_up_is_a_dead_letter_with_its_story() {
    let folder = TempDir::new().expect("a folder");
    let home = Home::open(folder.path(), StreamSpec::default()).await;
    for text in ["poison", "tired", "good"] {
        home.send(message(text, None, None)).await.expect("kept");
    }
    let mut consumer = home.group(Some(2)).await;
    let (_, mut ack) = consumer.next(ALL).await.expect("a delivery").expect("not the end").into_parts();
    let poison = ack.take(0).expect("open").confirm(Outcome::Reject {
        reason: "refused".into(),
        error: Some("400 Bad Request".into()),
    });
    poison.await.expect("durable");
    ack.settle(2, Outcome::Ack);
    drop(ack);
    let again = consumer.next(ALL).await.expect("a delivery").expect("not the end");
    assert_eq!(again.items()[0].attempt, 2);
    // The second delivery was the last one.
    drop(again);
    let group = home.log.groups(&home.log.stream("s").expect("there")).pop().expect("a group");
    while group.stats().pending > 0 {
        tokio::task::yield_now().await;
    }
    let dead = home.log.stream("s.dead").expect("made at need");
    let mut reader = home.log.reader(&dead, Start::Earliest).expect("a reader");
    let chunk = reader.ready(ALL).await.expect("read").expect("there");
    let told = |at: usize, name: &str| {
        let value = chunk.items[at].1.headers.get(name).unwrap_or_default();
        String::from_utf8_lossy(value).into_owned()
    };
    assert_eq!(chunk.items.len(), 2);
    assert_eq!(
        (told(0, dead_letter::REASON), told(0, dead_letter::ERROR)),
        ("refused".into(), "400 Bad Request".into())
    );
    assert_eq!(
        (told(1, dead_letter::REASON), told(1, dead_letter::ATTEMPTS)),
        ("attempts".into(), "2".into())
    );
    assert_eq!(
        (told(0, dead_letter::GROUP), told(0, dead_letter::STREAM)),
        ("g".into(), "s".into())
    );
    assert_eq!(chunk.items[1].1.id.as_deref(), Some(told(1, dead_letter::POSITION).as_bytes()));
    assert_eq!((group.stats().dead, group.stats().done), (2, 1));
}
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_kept_until_acked_forgets_what_all_groups_are_done_with() {
    let folder = TempDir::new().expect("a folder");
    let spec = StreamSpec {
        keep: Keep::UntilAcked,
        ..StreamSpec::default()
    };
    let home = Home::open(folder.path(), spec).await;
    for text in ["a", "b", "c"] {
        home.send(message(text, None, None)).await.expect("kept");
    }
    let stream = home.log.stream("s").expect("there");
    assert_eq!(stream.stats().records, 3, "without a group nothing goes");
    let mut consumer = home.group(None).await;
    let (_, mut ack) = consumer.next(ALL).await.expect("a delivery").expect("not the end").into_parts();
    ack.settle(2, Outcome::Ack);
    ack.take(0).expect("open").confirm(Outcome::Ack).await.expect("durable");
    // Looked at twice a second.
    while stream.stats().records > 2 {
        tokio::task::yield_now().await;
    }
    ack.confirm(Outcome::Ack).await.expect("durable");
    while stream.stats().records > 0 {
        tokio::task::yield_now().await;
    }
}
