mod any;
mod state;
mod stop;

use super::*;
use futures::{FutureExt, future::BoxFuture};
use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use tidegate_core::{
    action::BatchError,
    batch::Batch,
    clock,
    delivery::{Delivery, Received},
    drain::Drain,
    endpoint::{ConsumerSpec, Endpoint, Group, GroupName, Limit, Publish, Start},
    error::{Code, Fault, Retry},
    message::Message,
    settle::Outcome,
    topic::Topic,
};
use tidegate_testkit::memory::Memory;
use tokio::{
    runtime::Handle,
    time::{sleep, timeout},
};

const GROUP: &str = "$webhook/crm";
const HOW: Pumping = Pumping {
    order: Order::Key,
    parallel: 8,
    linger: Duration::ZERO,
    retry: Backoff {
        first: Duration::from_secs(1),
        max: Duration::from_mins(1),
        obey: Duration::from_hours(1),
        attempts: 5,
        give_up_after: None,
    },
    breaker: Breaker {
        failures: 0,
        open_for: Duration::from_secs(5),
        longest: Duration::from_mins(1),
    },
    rest_until: None,
};
/// Virtual: nothing here takes longer.
const PATIENCE: Duration = Duration::from_hours(2);

/// One call, as the target saw it.
#[derive(Clone, Debug)]
struct Seen {
    at: Instant,
    payloads: Vec<String>,
    attempts: Vec<u32>,
    answer: Answer,
}
#[derive(Clone, Debug)]
enum Answer {
    Taken,
    Failed(Retry),
    /// One by one: these indexes fail.
    Some(Vec<u32>),
    Down,
    Gone,
    Hangs(Duration),
}
/// Answers as it is told: first for a payload, then in general.
struct Target {
    batch: Limit,
    in_flight: u32,
    of: Mutex<HashMap<String, VecDeque<Answer>>>,
    all: Mutex<VecDeque<Answer>>,
    seen: Mutex<Vec<Seen>>,
    down: AtomicBool,
    stopped: AtomicBool,
}
impl Target {
    fn new(messages: u32, in_flight: u32) -> Arc<Self> {
        Arc::new(Self {
            batch: Limit { messages, bytes: 1 << 20 },
            in_flight,
            of: Mutex::default(),
            all: Mutex::default(),
            seen: Mutex::default(),
            down: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        })
    }
    fn of(&self, payload: &str, answers: impl IntoIterator<Item = Answer>) {
        self.of.lock().unwrap().insert(payload.into(), answers.into_iter().collect());
    }
    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
    /// Every payload in the order it was tried.
    fn order(&self) -> Vec<String> {
        self.seen().into_iter().flat_map(|seen| seen.payloads).collect()
    }
    fn answer(&self, payloads: &[String]) -> Answer {
        if self.down.load(Ordering::Relaxed) {
            return Answer::Down;
        }
        let mut of = self.of.lock().unwrap();
        let own = payloads.iter().find_map(|payload| of.get_mut(payload)?.pop_front());
        own.or_else(|| self.all.lock().unwrap().pop_front()).unwrap_or(Answer::Taken)
    }
}
impl Action for Target {
    fn limits(&self) -> tidegate_core::action::Limits {
        tidegate_core::action::Limits {
            batch: self.batch,
            in_flight: self.in_flight,
        }
    }
    fn stopped(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
    fn perform<'a>(&'a self, items: &'a [Received]) -> BoxFuture<'a, Result<(), BatchError>> {
        let payloads: Vec<_> = items
            .iter()
            .map(|item| String::from_utf8_lossy(&item.message.payload).into_owned())
            .collect();
        let answer = self.answer(&payloads);
        self.seen.lock().unwrap().push(Seen {
            at: Instant::now(),
            payloads,
            attempts: items.iter().map(|item| item.attempt).collect(),
            answer: answer.clone(),
        });
        let error = |code, retry, text: &'static str| Error::new(code, Fault::Broker, text).with_retry(retry);
        async move {
            sleep(Duration::from_millis(1)).await;
            match answer {
                Answer::Taken => Ok(()),
                Answer::Failed(Retry::No) => Err(BatchError::All(error(Code::TargetRefused, Retry::No, "400 no"))),
                Answer::Failed(retry) => Err(BatchError::All(error(Code::TargetRefused, retry, "500 oops"))),
                Answer::Some(failed) => BatchError::some(
                    failed
                        .into_iter()
                        .map(|at| (at, error(Code::TargetRefused, Retry::Now, "one failed")))
                        .collect(),
                ),
                Answer::Down => Err(BatchError::All(error(Code::TargetDown, Retry::Now, "connection refused"))),
                Answer::Gone => Err(BatchError::All(error(Code::TargetGone, Retry::No, "410 gone"))),
                Answer::Hangs(time) => {
                    sleep(time).await;
                    Err(BatchError::All(error(Code::TargetTimeout, Retry::Now, "no answer")))
                }
            }
        }
        .boxed()
    }
}
/// `k1:a`: the key before the colon; without one there is none.
async fn publish(memory: &Memory, messages: &[&str]) {
    let mut batch = Batch::default();
    for text in messages {
        batch.push(Message {
            key: text.split_once(':').map(|(key, _)| key.as_bytes().to_vec().into()),
            ..Message::new(Topic::from("t"), text.as_bytes().to_vec())
        });
    }
    memory.producer().send(Publish::from(batch)).await.unwrap().await.unwrap();
}
async fn consumer(memory: &Memory, window: u32, ordered: bool) -> Box<dyn Consumer> {
    let spec = ConsumerSpec {
        topics: Vec::new(),
        start: Start::Earliest,
        group: Some(Group {
            ordered,
            ..Group::new(GroupName::internal("webhook", "crm"))
        }),
        window: Limit {
            messages: window,
            bytes: 1 << 20,
        },
    };
    memory.consumer(spec).await.unwrap()
}
struct House {
    memory: Memory,
    target: Arc<Target>,
    progress: Arc<Progress>,
    crew: Crew,
    drain: Drain,
    stop: Drain,
}
impl House {
    fn new(batch: u32, in_flight: u32) -> Self {
        Self {
            memory: Memory::default(),
            target: Target::new(batch, in_flight),
            progress: Arc::new(Progress::new()),
            crew: Crew::none(),
            drain: Drain::new(),
            stop: Drain::new(),
        }
    }
    /// With so many threads, or what counts as one: this has but one, so that its clock may stand still.
    fn with_hands(mut self, threads: usize) -> Self {
        self.crew = Crew::new(vec![Handle::current(); threads], 1);
        self
    }
    async fn pump(&self, how: &Pumping, window: u32) -> Result<Ended> {
        let from = consumer(&self.memory, window, how.order != Order::None).await;
        let to: Arc<dyn Action> = self.target.clone();
        pump(from, &to, how, &self.progress, &self.crew, (self.drain.watch(), self.stop.watch())).await
    }
    /// Pumps until that holds, then drains.
    async fn until(&self, how: &Pumping, window: u32, done: impl Fn(&Self) -> bool) {
        let watching = async {
            while !done(self) {
                sleep(Duration::from_millis(100)).await;
            }
            self.drain.start();
        };
        let both = async { tokio::join!(self.pump(how, window), watching) };
        let (ended, ()) = timeout(PATIENCE, both).await.expect("it ends");
        assert!(matches!(ended, Ok(Ended::Draining)), "{ended:?}");
    }
    /// Pumps until all of so many messages are acknowledged or rejected.
    async fn all(&self, how: &Pumping, messages: usize) {
        self.until(how, 64, |house| house.memory.ended(GROUP).len() >= messages).await;
    }
    fn outcomes(&self) -> HashMap<u64, Outcome> {
        let ended = self.memory.ended(GROUP);
        let by_offset: HashMap<_, _> = ended.iter().cloned().collect();
        assert_eq!(by_offset.len(), ended.len(), "each once");
        by_offset
    }
    /// What the group hands out now, with its attempts.
    async fn given_back(&self) -> Vec<(String, u32)> {
        let mut consumer = consumer(&self.memory, 1_000, false).await;
        let all = Limit {
            messages: 1_000,
            bytes: 1 << 20,
        };
        let mut found = Vec::new();
        while let Ok(next) = timeout(Duration::from_secs(1), consumer.next(all)).await {
            let (items, mut ack) = next.unwrap().unwrap().into_parts();
            found.extend(
                items
                    .iter()
                    .map(|item| (String::from_utf8_lossy(&item.message.payload).into_owned(), item.attempt)),
            );
            ack.settle_all(Outcome::Ack);
        }
        found
    }
}

#[tokio::test(start_paused = true)]
async fn each_message_is_delivered_once_and_counted() {
    let house = House::new(1, 4);
    publish(&house.memory, &["a", "b", "c", "d", "e"]).await;
    house.all(&HOW, 5).await;
    assert!(house.outcomes().values().all(|outcome| *outcome == Outcome::Ack));
    assert_eq!(house.target.seen().len(), 5);
    assert_eq!(house.progress.count(Count::Delivered), 5);
    assert_eq!((house.progress.in_flight(), house.memory.out(GROUP)), (0, 0));
    assert!(house.progress.last_success().is_some());
    assert_eq!(house.progress.took().0.iter().sum::<u64>(), 5);
}
#[tokio::test(start_paused = true)]
async fn a_failing_key_holds_only_itself_and_counts_no_attempt_for_what_it_holds() {
    let house = House::new(1, 4);
    publish(&house.memory, &["bad:1", "bad:2", "good:1", "bad:3", "good:2", "good:3", "free"]).await;
    let later = Retry::After(Duration::from_secs(30));
    house.target.of("bad:1", [Answer::Failed(later), Answer::Failed(later)]);
    house.all(&HOW, 7).await;
    let order = house.target.order();
    let (bad, others): (Vec<_>, Vec<_>) = order.iter().partition(|payload| payload.starts_with("bad"));
    assert_eq!(bad, ["bad:1", "bad:1", "bad:1", "bad:2", "bad:3"]);
    let good: Vec<_> = others.iter().filter(|payload| payload.starts_with("good")).collect();
    assert_eq!(good, [&"good:1", &"good:2", &"good:3"]);
    let begun = house.target.seen()[0].at;
    for seen in house.target.seen() {
        if !seen.payloads[0].starts_with("bad") {
            assert!(seen.at < begun + Duration::from_secs(1), "{seen:?} did not wait");
        }
        if seen.payloads[0] != "bad:1" {
            assert_eq!(seen.attempts, [1], "{seen:?}");
        }
    }
}
#[tokio::test(start_paused = true)]
async fn what_the_target_asks_for_is_obeyed() {
    let house = House::new(1, 4);
    publish(&house.memory, &["a"]).await;
    house.target.of("a", [Answer::Failed(Retry::After(Duration::from_mins(10)))]);
    house.all(&HOW, 1).await;
    let seen = house.target.seen();
    assert!(seen[1].at - seen[0].at >= Duration::from_mins(10));
}
#[tokio::test(start_paused = true)]
async fn in_one_line_nothing_passes_a_failure() {
    let house = House::new(1, 4);
    publish(&house.memory, &["a:1", "b:1", "c:1", "d"]).await;
    house
        .target
        .of("a:1", [Answer::Failed(Retry::Now), Answer::Down, Answer::Failed(Retry::Now)]);
    let how = Pumping { order: Order::All, ..HOW };
    house.all(&how, 4).await;
    assert_eq!(house.target.order(), ["a:1", "a:1", "a:1", "a:1", "b:1", "c:1", "d"]);
}
#[tokio::test(start_paused = true)]
async fn the_last_attempt_and_a_refusal_are_dead_letters_with_their_reason() {
    let house = House::new(1, 4);
    publish(&house.memory, &["k:1", "k:2", "k:3"]).await;
    house.target.of("k:1", vec![Answer::Failed(Retry::Now); 9]);
    house.target.of("k:2", [Answer::Failed(Retry::No)]);
    house.all(&HOW, 3).await;
    let rejected = |reason: &'static str, error: &str| Outcome::Reject {
        reason: reason.into(),
        error: Some(error.into()),
    };
    let outcomes = house.outcomes();
    assert_eq!(outcomes[&0], rejected("attempts", "500 oops"));
    assert_eq!(outcomes[&1], rejected("refused", "400 no"));
    assert_eq!(outcomes[&2], Outcome::Ack);
    assert_eq!(house.target.seen().len(), 5 + 1 + 1);
    let count = |what| house.progress.count(what);
    assert_eq!((count(Count::Attempts), count(Count::Refused), count(Count::Retried)), (1, 1, 4));
}
#[tokio::test(start_paused = true)]
async fn what_failed_for_too_long_is_given_up_however_long_it_waited_before() {
    let house = House::new(1, 4);
    let mut batch = Batch::default();
    // For longer than it may be tried.
    batch.push(Message {
        at: 1,
        ..Message::new(Topic::from("t"), "old")
    });
    house.memory.producer().send(Publish::from(batch)).await.unwrap().await.unwrap();
    house.target.of("old", vec![Answer::Failed(Retry::Now); 100]);
    let mut how = HOW;
    how.retry = Backoff {
        give_up_after: Some(Duration::from_mins(30)),
        attempts: 100,
        ..how.retry
    };
    let began = Instant::now();
    house.all(&how, 1).await;
    let took = began.elapsed();
    // The last moment is tried, and what began in it may end after it.
    assert!(
        (30 * 60..32 * 60).contains(&took.as_secs()),
        "{took:?} {}",
        house.target.seen().len()
    );
    assert!(matches!(&house.outcomes()[&0], Outcome::Reject { reason, .. } if reason == "time"));
    assert_eq!(house.progress.count(Count::Time), 1);
}
#[tokio::test(start_paused = true)]
async fn an_ill_target_is_asked_at_most_once_a_second_and_nothing_that_waits_is_counted() {
    let house = House::new(1, 4);
    let names: Vec<_> = (0..40).map(|i| format!("k{}:{i}", i % 10)).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    publish(&house.memory, &names).await;
    house.target.down.store(true, Ordering::Relaxed);
    let mut how = HOW;
    how.retry.attempts = 1_000;
    how.breaker = Breaker {
        failures: 3,
        open_for: Duration::ZERO,
        longest: Duration::ZERO,
    };
    let began = Instant::now();
    let ill = Duration::from_mins(2);
    let recovery = async {
        sleep(ill).await;
        assert!(matches!(*house.progress.state(), State::Open { .. }));
        house.target.down.store(false, Ordering::Relaxed);
    };
    tokio::join!(house.all(&how, 40), recovery);
    let seen = house.target.seen();
    // Three open it, and three more were under way.
    let (open, _): (Vec<_>, Vec<_>) = seen.iter().skip(6).partition(|seen| seen.at < began + ill);
    assert!(open.len() > 50, "it was probed {} times", open.len());
    for pair in open.windows(2) {
        assert!(pair[1].at - pair[0].at >= Duration::from_secs(1), "{pair:?}");
    }
    let mut tried: HashMap<String, u32> = HashMap::new();
    for seen in &seen {
        let count = tried.entry(seen.payloads[0].clone()).or_default();
        *count += 1;
        assert_eq!(seen.attempts, [*count], "{seen:?}");
    }
    assert!(house.outcomes().values().all(|outcome| *outcome == Outcome::Ack));
    assert_eq!(house.progress.count(Count::Opened), 1);
}
#[tokio::test(start_paused = true)]
async fn an_open_circuit_is_not_tried_before_the_target_said() {
    let house = House::new(1, 1);
    publish(&house.memory, &["a", "b", "c"]).await;
    house.target.of("a", [Answer::Failed(Retry::After(Duration::from_mins(5)))]);
    let mut how = HOW;
    how.breaker.failures = 1;
    house.all(&how, 3).await;
    let seen = house.target.seen();
    assert!(
        seen[1].at - seen[0].at >= Duration::from_mins(5),
        "nobody else was sent there: {seen:?}"
    );
}
#[tokio::test(start_paused = true)]
async fn a_target_that_asked_for_a_pause_before_is_left_alone_until_then() {
    let house = House::new(1, 4);
    publish(&house.memory, &["a", "b", "c"]).await;
    let until = Instant::now() + Duration::from_mins(10);
    let how = Pumping {
        rest_until: Some(until),
        ..HOW
    };
    let watching = async {
        sleep(Duration::from_mins(9)).await;
        assert!(matches!(&*house.progress.state(), State::Open { .. }));
    };
    tokio::join!(house.all(&how, 3), watching);
    let seen = house.target.seen();
    assert!(
        seen[0].at >= until && seen[1].at > seen[0].at,
        "one probe, then the others: {seen:?}"
    );
    assert_eq!(seen.iter().map(|seen| seen.attempts[0]).max(), Some(1));
}
#[tokio::test(start_paused = true)]
async fn a_target_that_wants_no_more_ends_it_and_everything_goes_back_untried() {
    let house = House::new(1, 1);
    publish(&house.memory, &["a", "b", "c"]).await;
    house.target.of("b", [Answer::Gone]);
    let ended = timeout(PATIENCE, house.pump(&HOW, 64)).await.unwrap();
    assert!(matches!(ended, Ok(Ended::TargetGone(error)) if error.to_string() == "410 gone"));
    assert!(matches!(&*house.progress.state(), State::Stopped { reason, .. } if &**reason == "410 gone"));
    assert_eq!(house.memory.out(GROUP), 0);
    assert_eq!(house.given_back().await, [("b".to_owned(), 1), ("c".to_owned(), 1)]);
}
#[tokio::test(start_paused = true)]
async fn many_calls_are_shared_with_hands_and_few_are_not() {
    for (calls, hands) in [(1, 0), (2, 1), (4, 1), (9, 2)] {
        let house = House::new(1, calls).with_hands(3);
        let names: Vec<_> = (0..9).map(|i| i.to_string()).collect();
        publish(&house.memory, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let tasks = Handle::current().metrics();
        let (had, most) = (tasks.num_alive_tasks(), AtomicUsize::new(0));
        house
            .until(&HOW, 64, |house| {
                most.fetch_max(tasks.num_alive_tasks() - had, Ordering::Relaxed);
                house.memory.ended(GROUP).len() == 9
            })
            .await;
        assert_eq!(most.load(Ordering::Relaxed), hands, "for {calls} calls");
        assert!(house.outcomes().values().all(|outcome| *outcome == Outcome::Ack));
        assert_eq!((house.progress.count(Count::Delivered), house.progress.in_flight()), (9, 0));
    }
}
#[tokio::test(start_paused = true)]
async fn a_hanging_key_takes_nobodys_place() {
    let house = House::new(1, 4);
    let mut names: Vec<_> = (0..30).map(|i| format!("slow:{i}")).collect();
    names.extend((0..30).map(|i| format!("k{i}:x")));
    publish(&house.memory, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    house.target.of("slow:0", [Answer::Hangs(Duration::from_mins(5))]);
    let began = Instant::now();
    // A window smaller than what the hanging key has.
    house
        .until(&HOW, 8, |house| {
            house.outcomes().keys().filter(|offset| **offset >= 30).count() == 30
        })
        .await;
    assert!(
        house
            .target
            .seen()
            .iter()
            .filter(|seen| !seen.payloads[0].starts_with("slow"))
            .all(|seen| {
                // Eight of them stood in the way for a second, and the next eight went at once.
                seen.at < began + Duration::from_secs(10)
            })
    );
}
#[tokio::test(start_paused = true)]
async fn a_call_waits_for_more_until_it_is_full_or_late() {
    let house = House::new(3, 1);
    publish(&house.memory, &["a", "b", "c", "d"]).await;
    let how = Pumping {
        linger: Duration::from_secs(2),
        ..HOW
    };
    let began = Instant::now();
    house.all(&how, 4).await;
    let seen = house.target.seen();
    assert_eq!(seen.iter().map(|seen| seen.payloads.len()).collect::<Vec<_>>(), [3, 1]);
    assert!(seen[0].at - began < Duration::from_millis(100));
    assert!(seen[1].at - seen[0].at >= Duration::from_secs(2));
}
/// What its bytes fill goes at once, too, however few messages that are.
#[tokio::test(start_paused = true)]
async fn a_call_that_its_bytes_fill_waits_for_no_more() {
    let mut house = House::new(100, 1);
    let each = Message::new(Topic::from("t"), "a").size() as u32;
    Arc::get_mut(&mut house.target).unwrap().batch.bytes = each * 3;
    publish(&house.memory, &["a", "b", "c", "d", "e", "f", "g"]).await;
    let how = Pumping {
        linger: Duration::from_secs(2),
        ..HOW
    };
    house.all(&how, 7).await;
    let seen = house.target.seen();
    assert_eq!(seen.iter().map(|seen| seen.payloads.len()).collect::<Vec<_>>(), [3, 3, 1]);
    assert!(seen[1].at - seen[0].at < Duration::from_millis(100));
}
#[tokio::test(start_paused = true)]
async fn of_a_call_that_failed_in_part_only_that_part_comes_again() {
    let house = House::new(4, 1);
    publish(&house.memory, &["a", "b", "c", "d"]).await;
    house.target.all.lock().unwrap().push_back(Answer::Some(vec![1, 3]));
    house.all(&HOW, 4).await;
    let mut order = house.target.order();
    assert_eq!(order[..4], ["a", "b", "c", "d"]);
    order[4..].sort();
    assert_eq!(order[4..], ["b", "d"]);
}
/// Hands out one message, then fails.
struct Broken(bool);
impl Consumer for Broken {
    fn next(&mut self, _limit: Limit) -> BoxFuture<'_, Result<Option<Delivery>>> {
        let first = std::mem::take(&mut self.0);
        async move {
            if !first {
                return Err(Error::new(Code::BrokerDown, Fault::Broker, "the source is away"));
            }
            let item = Received {
                message: Arc::new(Message::new(Topic::from("t"), "x")),
                position: None,
                attempt: 1,
                slot: 0,
                metadata: tidegate_core::headers::Headers::EMPTY,
            };
            Ok(Some(Delivery::new(vec![item], tidegate_core::settle::Ack::none())))
        }
        .boxed()
    }
    fn drain(&mut self) {}
}
#[tokio::test(start_paused = true)]
async fn a_source_that_fails_ends_it_and_says_so() {
    let house = House::new(1, 1);
    let watches = (house.drain.watch(), house.stop.watch());
    let to: Arc<dyn Action> = house.target.clone();
    let ended = pump(Box::new(Broken(false)), &to, &HOW, &house.progress, &house.crew, watches).await;
    assert_eq!(ended.unwrap_err().code(), Code::BrokerDown);
    assert!(matches!(&*house.progress.state(), State::Stopped { reason, .. } if &**reason == "the source is away"));
}
