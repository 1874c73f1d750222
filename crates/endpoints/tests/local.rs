//! What the embedded default does beyond the contract: delays, times to live, dead letters, streams kept until acked.
#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

use std::{path::Path, sync::Arc, time::Duration};
use tempfile::TempDir;
use tidegate_core::{
    batch::Batch,
    clock,
    delivery::Received,
    endpoint::{Consumer, ConsumerSpec, Endpoint, Group, GroupName, Limit, Publish, Start},
    error::Code,
    filter::Filter,
    message::{Message, Timing},
    position::Position,
    receipt::{Kept, Level},
    settle::Outcome,
    tasks::{self, Task},
    validator::{INLINE, OnFailure, Required, Validator},
};
use tidegate_endpoints::local::{Captures, House, Need};
use tidegate_hub::Hub;
use tidegate_log::{DEAD, Hooks, Keep, Log, Opened, Options, Retention, StreamSpec, WhenFull, dead_letter, disk::Real};

const ALL: Limit = Limit {
    messages: 100,
    bytes: 1 << 20,
};
struct Home {
    log: Arc<Log>,
    house: Arc<House>,
    captures: Arc<Captures>,
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
        captures.set([(stream, Some(Vec::new()))]);
        let house = House::new(log.clone(), Hub::new(), captures.clone());
        let [herald, clock] = running;
        Self {
            log,
            captures,
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
        self.named("g", deliveries).await
    }
    async fn named(&self, name: &str, deliveries: Option<u32>) -> Box<dyn Consumer> {
        let spec = ConsumerSpec {
            topics: Vec::new(),
            start: Start::Earliest,
            group: Some(Group {
                deliveries,
                ..Group::new(GroupName::new(name).expect("a name"))
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
    let stream = home.log.stream("s").expect("there");
    while home.house.delayed(&stream) > 0 {
        tokio::task::yield_now().await;
    }
    let producer = home.house.topics().producer();
    let refused = producer.send(Publish::from(Message {
        topic: "live".into(),
        ..message("x", Some(soon), None)
    }));
    assert_eq!(refused.await.expect_err("nobody stores it").code(), Code::LevelNotOffered);
}
/// However near to each other they are due, and whether or not the log was closed and opened meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delayed_messages_come_in_the_order_they_are_due() {
    const EACH: i64 = 500;
    let folder = TempDir::new().expect("a folder");
    let mut home = Home::open(folder.path(), StreamSpec::default()).await;
    // All of it is taken before, however slow the disk is today.
    let first = clock::now_us() + 4_000_000;
    for round in 0..4 {
        let one = |number: i64| {
            let mut message = message(&number.to_string(), None, None);
            message.timing = Some(Box::new(Timing {
                due: Some(first + number / 2),
                expires: None,
            }));
            Arc::new(message)
        };
        let batch: Batch = (round * EACH..(round + 1) * EACH).map(one).collect();
        let receipt = home.endpoint().producer().send(batch.into()).await.expect("taken");
        assert_eq!(receipt.await.expect("kept").places.len(), 0, "they wait");
        home.close().await;
        home = Home::open(folder.path(), StreamSpec::default()).await;
    }
    let mut consumer = home.group(None).await;
    let mut seen = Vec::new();
    while seen.len() < 4 * EACH as usize {
        let delivery = consumer.next(ALL).await.expect("a delivery").expect("not the end");
        let number = |item: &Received| String::from_utf8_lossy(&item.message.payload).parse::<i64>().expect("a number");
        seen.extend(delivery.items().iter().map(number));
        delivery.accept();
    }
    assert_eq!(seen, (0..4 * EACH).collect::<Vec<_>>());
}
/// And so they do not turn up in a stream that is made anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_goes_with_its_stream_and_with_its_messages() {
    let folder = TempDir::new().expect("a folder");
    let home = Home::open(folder.path(), StreamSpec::default()).await;
    let soon = Duration::from_millis(100);
    home.send(message("purged", Some(soon), None)).await.expect("kept");
    assert_eq!(home.house.purge("s").await.expect("purged"), 1);
    home.send(message("deleted", Some(soon), None)).await.expect("kept");
    home.log.delete_stream("s").await.expect("deleted");
    home.house.forget_gone().await;
    let lines = home.log.streams().iter().filter(|stream| stream.name().starts_with('$')).count();
    assert_eq!(lines, 0);
    let stream = home.log.create_stream("s", StreamSpec::default()).await.expect("created");
    home.captures.set([(stream, Some(Vec::new()))]);
    home.send(message("comes", Some(2 * soon), None)).await.expect("kept");
    let mut consumer = home.group(None).await;
    assert_eq!(next(&mut *consumer).await, "comes");
}
/// A delay is no way round what a stream says of ids; and what waits can be looked up, for who has to compare.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_of_delayed_messages_are_compared_as_their_stream_says() {
    let folder = TempDir::new().expect("a folder");
    let spec = StreamSpec {
        dedupe: Duration::from_mins(2),
        ..StreamSpec::default()
    };
    let home = Home::open(folder.path(), spec).await;
    let named = |text: &str, due: Duration| Message {
        id: Some("one".into()),
        ..message(text, Some(due), None)
    };
    let payload = async |kept: &Kept| {
        let place = kept.waits_at(0).next().expect("it waits");
        home.endpoint().producer().kept(place).await.expect("read")
    };
    let soon = Duration::from_millis(200);
    home.send(named("first", soon)).await.expect("kept");
    let again = home.send(named("second", soon)).await.expect("kept");
    assert_eq!((&again.duplicates[..], again.places.len()), (&[0][..], 0));
    assert_eq!(payload(&again).await.as_deref(), Some(&b"first"[..]));
    let mut consumer = home.group(None).await;
    assert_eq!(next(&mut *consumer).await, "first");
    // It lies where it belongs, and is found there.
    let again = home.send(named("third", soon)).await.expect("kept");
    assert_eq!(payload(&again).await.as_deref(), Some(&b"first"[..]));
    home.log.change_stream("s", StreamSpec::default()).await.expect("changed");
    for text in ["fourth", "fifth"] {
        home.send(named(text, Duration::from_millis(1))).await.expect("kept");
        assert_eq!(next(&mut *consumer).await, text);
    }
}
/// It holds up neither another stream's messages nor the order of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_full_stream_does_not_take_waits_in_order() {
    let folder = TempDir::new().expect("a folder");
    let home = Home::open(folder.path(), StreamSpec::default()).await;
    let small = StreamSpec {
        retention: Retention {
            messages: Some(2),
            ..Retention::default()
        },
        when_full: WhenFull::Refuse,
        ..StreamSpec::default()
    };
    let full = home.log.create_stream("full", small).await.expect("created");
    let open = home.log.stream("s").expect("there");
    home.captures.set([(full.clone(), Some(Vec::new())), (open, Some(Vec::new()))]);
    let soon = Duration::from_millis(50);
    for text in ["1", "2", "3", "4"] {
        let to_full = Message {
            topic: "full".into(),
            ..message(text, Some(soon), None)
        };
        let producer = home.house.topics().producer();
        producer.send(Publish::from(to_full)).await.expect("taken").await.expect("kept");
    }
    home.send(message("elsewhere", Some(2 * soon), None)).await.expect("kept");
    let mut consumer = home.group(None).await;
    assert_eq!(next(&mut *consumer).await, "elsewhere");
    while home.house.delayed(&full) > 2 {
        tokio::task::yield_now().await;
    }
    let mut reader = home.log.reader(&full, Start::Earliest).expect("a reader");
    let mut seen = Vec::new();
    let made = home.log.purge_stream("full").await.expect("purged");
    assert_eq!(made, 2);
    while seen.len() < 2 {
        let chunk = reader.next(ALL).await.expect("read").expect("not the end");
        seen.extend(chunk.items.iter().map(|(_, message)| message.payload.clone()));
    }
    assert_eq!(seen, ["3", "4"]);
}
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_delays_much_leaves_room_to_others() {
    let folder = TempDir::new().expect("a folder");
    let home = Home::open(folder.path(), StreamSpec::default()).await;
    home.house.limit_delayed(8);
    let other = home.log.create_stream("other", StreamSpec::default()).await.expect("created");
    let own = home.log.stream("s").expect("there");
    home.captures.set([(own, Some(Vec::new())), (other, Some(Vec::new()))]);
    let long = Duration::from_hours(1);
    let producer = home.house.topics().producer();
    let take = async |topic: &str| {
        let mut taken = 0;
        let one = || Message {
            topic: topic.into(),
            ..message("x", Some(long), None)
        };
        let refused = loop {
            match producer.send(Publish::from(one())).await {
                Ok(receipt) => drop(receipt.await.expect("kept")),
                Err(error) => break error,
            }
            taken += 1;
        };
        assert_eq!(refused.code(), Code::Overloaded);
        taken
    };
    assert_eq!((take("s").await, take("other").await), (4, 2));
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
    // Counted a moment after it is durable.
    while group.stats().pending > 0 || group.stats().dead < 2 {
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
    assert_eq!(chunk.items[1].1.id, None, "the sender gave it none");
    assert!(told(1, dead_letter::POSITION).ends_with(".1"));
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
/// All dead letters that nobody has handled.
async fn letters(log: &Log) -> Vec<(Position, Arc<Message>)> {
    let Some(stream) = log.stream("s.dead") else { return Vec::new() };
    let group = log.find_group(&stream, DEAD).expect("made with the stream");
    let mut scan = log.scan(&group, 0, 0);
    let mut found = Vec::new();
    while let Some(letter) = scan.next().await.expect("read") {
        found.push(letter);
    }
    assert_eq!(group.stats().pending, found.len() as u64, "counted as they are found");
    found
}
async fn reject(consumer: &mut dyn Consumer) -> Received {
    let one = Limit { messages: 1, ..ALL };
    let (items, mut ack) = consumer.next(one).await.expect("a delivery").expect("not the end").into_parts();
    let refused = Outcome::Reject {
        reason: "refused".into(),
        error: None,
    };
    ack.confirm(refused).await.expect("durable");
    items.into_iter().next().expect("a message")
}
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_goes_back_to_its_own_group_only_and_may_die_again() {
    let folder = TempDir::new().expect("a folder");
    let home = Home::open(folder.path(), StreamSpec::default()).await;
    let mut poison = message("poison", None, None);
    let mut headers = poison.headers.edit();
    headers.push("color", b"red").expect("short");
    poison.headers = headers.build();
    home.send(poison).await.expect("kept");
    let mut other = home.named("other", None).await;
    assert_eq!(next(&mut *other).await, "poison");
    let mut consumer = home.group(None).await;
    let first = reject(&mut *consumer).await;
    let dead = letters(&home.log).await;
    assert_eq!(dead.len(), 1);
    // It waits while the letter is sent again.
    let of = home
        .log
        .find_group(&home.log.stream("s.dead").expect("there"), DEAD)
        .expect("there");
    let (again, ()) = tokio::join!(reject(&mut *consumer), async {
        let receipt = home.house.again(&of, dead[0].0, &dead[0].1).await.expect("taken");
        assert!(receipt.await.expect("kept").failed.is_empty());
    });
    assert_eq!(
        (again.position, again.attempt, &again.message.payload[..]),
        (first.position, 1, &b"poison"[..])
    );
    assert_eq!(again.message.headers, first.message.headers, "nothing is said of its death");
    assert_eq!(
        (again.message.id.clone(), again.message.topic.clone()),
        (None, first.message.topic.clone())
    );
    // Dead again, in the same place, with the same story.
    let twice = letters(&home.log).await;
    assert_eq!(twice.len(), 1, "the first one is done with");
    let told = |name: &str| twice[0].1.headers.get(name).map(<[u8]>::to_vec);
    assert_eq!(told(dead_letter::STREAM), Some(b"s".to_vec()));
    assert_eq!(told(dead_letter::GROUP), Some(b"g".to_vec()));
    assert_eq!(told(dead_letter::POSITION), first.position.map(|at| at.to_string().into_bytes()));
    assert_ne!(twice[0].0, dead[0].0);
    assert!(other.ready(ALL).await.expect("read").is_none(), "nobody else got it again");
    assert_eq!(
        home.log.stream("s").expect("there").stats().records,
        1,
        "nor does the stream hold it twice"
    );
    // Elsewhere it is the message it was, and dropped it is gone for good.
    let receipt = home.house.elsewhere(twice[0].0, &twice[0].1, &"s".into()).await.expect("taken");
    receipt.await.expect("kept");
    assert_eq!(next(&mut *other).await, "poison");
    home.log
        .finish(&of, twice[0].0.partition, twice[0].0.offset as u64)
        .await
        .expect("durable");
    assert!(letters(&home.log).await.is_empty());
    home.close().await;
    let home = Home::open(folder.path(), StreamSpec::default()).await;
    assert!(letters(&home.log).await.is_empty(), "it was on disk");
}
/// It lies elsewhere than its position says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_again_is_called_back_like_the_rest() {
    let folder = TempDir::new().expect("a folder");
    let home = Home::open(folder.path(), StreamSpec::default()).await;
    home.send(message("a", None, None)).await.expect("kept");
    let mut consumer = home.group(None).await;
    reject(&mut *consumer).await;
    let dead = letters(&home.log).await;
    let of = home
        .log
        .find_group(&home.log.stream("s.dead").expect("there"), DEAD)
        .expect("there");
    let receipt = home.house.again(&of, dead[0].0, &dead[0].1).await.expect("taken");
    receipt.await.expect("kept");
    let (items, mut ack) = consumer.next(ALL).await.expect("a delivery").expect("not the end").into_parts();
    ack.settle_all(Outcome::Hold {
        until: tokio::time::Instant::now() + Duration::from_hours(1),
    });
    assert!(consumer.ready(ALL).await.expect("read").is_none());
    consumer.recall(&[items[0].position.expect("a place")]);
    assert_eq!(next(&mut *consumer).await, "a");
    home.close().await;
}
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_to_come_again_goes_with_its_group() {
    let folder = TempDir::new().expect("a folder");
    let home = Home::open(folder.path(), StreamSpec::default()).await;
    for text in ["a", "b"] {
        home.send(message(text, None, None)).await.expect("kept");
    }
    let mut consumer = home.group(None).await;
    reject(&mut *consumer).await;
    reject(&mut *consumer).await;
    drop(consumer);
    let dead = letters(&home.log).await;
    let of = home
        .log
        .find_group(&home.log.stream("s.dead").expect("there"), DEAD)
        .expect("there");
    home.house
        .again(&of, dead[0].0, &dead[0].1)
        .await
        .expect("taken")
        .await
        .expect("kept");
    let ways = || {
        home.log
            .streams()
            .iter()
            .filter(|stream| stream.name().starts_with(tidegate_log::AGAIN))
            .count()
    };
    home.house.forget_gone().await;
    assert_eq!(ways(), 1, "its group is there");
    home.log
        .delete_group(&home.log.stream("s").expect("there"), "g")
        .await
        .expect("deleted");
    home.house.forget_gone().await;
    assert_eq!(ways(), 0);
    let refused = home.house.again(&of, dead[1].0, &dead[1].1).await.expect_err("nobody is there");
    assert_eq!(refused.code(), Code::NoSuchReference);
    assert_eq!(letters(&home.log).await.len(), 1, "and it stays");
}
/// Who publishes to a stream means that stream: without it neither those who listen nor another stream that captures its topic get the message.
#[tokio::test]
async fn who_still_publishes_to_a_stream_that_is_gone_is_told_so() {
    let folder = TempDir::new().expect("a folder");
    let home = Home::open(folder.path(), StreamSpec::default()).await;
    let producer = home.endpoint().producer();
    let send = async |level| {
        let publish = Publish {
            level,
            ..Publish::from(message("x", None, None))
        };
        producer.send(publish).await?.await
    };
    assert!(send(Some(Level::Stored)).await.is_ok());
    let all = home.log.create_stream("all", StreamSpec::default()).await.expect("created");
    let everything = || (all.clone(), Some(vec![Filter::new("#").expect("a filter")]));
    for captured in [vec![], vec![everything()]] {
        home.captures.set(captured);
        for level in [None, Some(Level::Accepted), Some(Level::Delivered), Some(Level::Stored)] {
            let error = send(level).await.expect_err("it is gone");
            assert_eq!(
                (error.code(), error.to_string().as_str()),
                (Code::NoSuchStream, "there is no stream `s` any more")
            );
        }
    }
    assert_eq!(all.stats().records, 0);
    // It is there, and takes what was given up only.
    let stream = home.log.stream("s").expect("there");
    home.captures.set([(stream.clone(), None), everything()]);
    assert_eq!(send(None).await.expect_err("closed").code(), Code::Forbidden);
    // Gone from the log, though whoever publishes found it.
    home.captures.set([(stream, Some(Vec::new()))]);
    home.log.delete_stream("s").await.expect("deleted");
    let told = send(Some(Level::Stored)).await;
    let code = told.map_or_else(|error| error.code(), |kept| kept.failed.first().expect("refused").1.code());
    assert_eq!(code, Code::NoSuchStream);
    // The next one of its name will do.
    let next = home.log.create_stream("s", StreamSpec::default()).await.expect("created");
    home.captures.set([(next.clone(), Some(Vec::new()))]);
    assert!(send(Some(Level::Stored)).await.is_ok_and(|kept| kept.failed.is_empty()));
    assert_eq!(next.stats().records, 1);
    home.close().await;
}
/// Says nothing of a large message until it is told to.
struct Waits(std::sync::Mutex<std::sync::mpsc::Receiver<()>>);
impl Validator for Waits {
    fn check(&self, message: &Message) -> tidegate_core::error::Result<Option<bytes::Bytes>> {
        let told = self.0.lock().expect("alone");
        if message.payload.len() > INLINE && told.recv_timeout(Duration::from_secs(20)).is_err() {
            return Err(tidegate_core::error::Error::client(Code::SchemaViolation, "nobody told it"));
        }
        Ok(None)
    }
}
/// One thread: while a large message is looked at, small ones go on, and one that nobody waits for any more is not stored.
#[tokio::test]
async fn a_large_message_keeps_nobody_else_waiting_while_it_is_checked() {
    let folder = TempDir::new().expect("a folder");
    let home = Home::open(folder.path(), StreamSpec::default()).await;
    let (tell, told) = std::sync::mpsc::channel();
    let need = |validator: Arc<dyn Validator>| Need {
        schema: "slow".into(),
        required: Required {
            validator,
            on_failure: OnFailure::Reject,
        },
    };
    let other = home.log.create_stream("other", StreamSpec::default()).await.expect("created");
    let first = home.log.stream("s").expect("there");
    home.captures.set([(first.clone(), Some(Vec::new())), (other, Some(Vec::new()))]);
    home.house.require([(first.number(), need(Arc::new(Waits(told.into()))))]);
    let large = || Message::new("s".into(), vec![b'x'; INLINE + 1]);
    let mut sent = Box::pin(home.send(large()));
    assert!(futures::poll!(&mut sent).is_pending());
    let small = Message::new("other".into(), b"small".to_vec());
    let kept = home.house.topics().producer().send(Publish::from(small)).await.expect("sent");
    assert_eq!(kept.await.expect("kept").level, Level::Stored);
    assert!(futures::poll!(&mut sent).is_pending());
    tell.send(()).expect("it listens");
    assert_eq!(sent.await.expect("kept").level, Level::Stored);
    let mut dropped = Box::pin(home.send(large()));
    assert!(futures::poll!(&mut dropped).is_pending());
    drop(dropped);
    tell.send(()).expect("it listens");
    tell.send(()).expect("it listens");
    home.send(large()).await.expect("kept");
    assert_eq!(first.range(0), Some((0, 2)), "what was dropped was not kept");
    home.close().await;
}
