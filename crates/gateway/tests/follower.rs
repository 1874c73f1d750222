//! A new world under a running stream: nothing lost, nothing twice, the connection kept.
#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

use bytes::BytesMut;
use std::sync::{Arc, Mutex};
use tidegate_core::{
    delivery::Received,
    drain::Drain,
    ended::Ended,
    endpoint::{Endpoint, Publish, Start},
    exchange::Exchange,
    framing::{Framing, Heard},
    message::Message,
    position::{Cursor, Gap},
    tasks,
    topic::Topic,
};
use tidegate_gateway::{
    flow,
    follower::{Follower, Step, Wish},
    handle::RouteHandle,
    metrics::Metrics,
    paths::Paths,
    route::{Route, scope},
    settings::{Api, Compatibility, Place, Slow},
    target::{Target, Wanted},
    world::{Snapshot, World},
};
use tidegate_testkit::memory::Memory;
use tokio::sync::{Notify, oneshot};

fn api(name: &str) -> Api {
    Api {
        name: name.into(),
        enabled: true,
        paths: Vec::new(),
        publish: None,
        subscribe: None,
        listed: true,
        http_post: None,
        http_get: None,
        sse: None,
        websocket: None,
        pull: None,
        cors: Vec::new(),
        include: Vec::new(),
        slow: Slow::CatchUp,
        compatibility: Compatibility::None,
        policies: Vec::new(),
        keyless: true,
        place: Place::built_in(),
    }
}
fn snapshot(endpoint: Option<&Arc<dyn Endpoint>>, metrics: &Metrics, revision: u64) -> Snapshot {
    let mut paths = Paths::default();
    if let Some(endpoint) = endpoint {
        let target = Target::new(endpoint.clone(), Wanted::Whole(Topic::from_static("t")));
        let route = Route {
            name: "t".into(),
            api: api("t"),
            publish: Some(target.clone()),
            subscribe: Some(target),
            policies: Box::default(),
            metrics: metrics.api(&"t".into()),
            scope: scope("t", ""),
        };
        assert!(paths.insert(None, "/t", Arc::new(route)).is_none());
    }
    Snapshot {
        paths,
        revision,
        ..Snapshot::default()
    }
}
/// What feeds may keep.
const FAN_OUT: usize = 16 << 20;

/// What a client saw.
#[derive(Default)]
struct Seen {
    payloads: Mutex<Vec<String>>,
    more: Notify,
}
/// A payload is a line.
struct Lines;
impl Framing for Lines {
    fn name(&self) -> &'static str {
        "lines"
    }
    fn frame(&self, r: &Received, _at: &Cursor, out: &mut BytesMut) {
        out.extend_from_slice(&r.message.payload);
        out.extend_from_slice(b"\n");
    }
    fn gap(&self, _gap: &Gap, _out: &mut BytesMut) -> bool {
        false
    }
    fn beat(&self, _out: &mut BytesMut) {}
    fn heard(&self, _bytes: &[u8]) -> Heard {
        Heard::Life
    }
}
async fn follower(world: &Arc<World>, drain: &Drain, start: Start) -> Follower {
    let wish = Wish {
        route: RouteHandle::new(world, "", "/t").expect("a route"),
        x: Exchange::new("t".into()),
        start,
        framing: &Lines,
        entrypoint: "test",
        drain: drain.watch(),
    };
    Follower::open(wish, None).await.expect("a follower")
}
/// A subscriber at `/t`, on a task of its own.
async fn subscriber(world: &Arc<World>, drain: &Drain) -> (Arc<Seen>, oneshot::Receiver<Ended>, tasks::Task) {
    let seen = Arc::<Seen>::default();
    let (ended, end) = oneshot::channel();
    let mut follower = follower(world, drain, Start::Earliest).await;
    let told = seen.clone();
    let task = tasks::spawn(async move {
        loop {
            match follower.next().await.expect("a graceful end") {
                Step::Frames(bytes, offered) => {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    told.payloads.lock().expect("a lock").extend(text.lines().map(str::to_owned));
                    offered.written();
                    told.more.notify_one();
                }
                Step::Seated => {}
                Step::Gap(gap) => panic!("a gap: {gap:?}"),
                Step::Ended(why) => return ended.send(why).expect("the test waits"),
            }
        }
    });
    (seen, end, task)
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_over_fifty_reloads() {
    let (metrics, drain) = (Metrics::default(), Drain::new());
    let endpoint: Arc<dyn Endpoint> = Arc::new(Memory::default());
    let world = World::new(snapshot(Some(&endpoint), &metrics, 0), FAN_OUT);
    let (seen, end, _task) = subscriber(&world, &drain).await;
    for i in 0..500_u32 {
        if i % 10 == 0 {
            world.swap(snapshot(Some(&endpoint), &metrics, u64::from(i) + 1));
        }
        let publish = Publish::from(Message::new(Topic::from("t"), i.to_string().into_bytes()));
        let route = world.now().paths.find("", "/t").expect("a route").0.clone();
        flow::publish(&route, &Exchange::new("t".into()), publish)
            .await
            .expect("accepted")
            .await
            .expect("kept");
        tokio::task::yield_now().await;
    }
    while seen.payloads.lock().expect("a lock").len() < 500 {
        seen.more.notified().await;
    }
    let wanted: Vec<_> = (0..500).map(|i| i.to_string()).collect();
    assert_eq!(*seen.payloads.lock().expect("a lock"), wanted);
    let now = metrics.api(&"t".into()).published.now();
    assert_eq!((now.received, now.stored, now.in_flight), (500, 500, 0));
    drain.start();
    assert_eq!(end.await, Ok(Ended::Draining));
}
#[tokio::test]
async fn an_api_that_goes_says_goodbye_to_its_streams() {
    let (metrics, drain) = (Metrics::default(), Drain::new());
    let endpoint: Arc<dyn Endpoint> = Arc::new(Memory::default());
    let world = World::new(snapshot(Some(&endpoint), &metrics, 0), FAN_OUT);
    let (_seen, end, _task) = subscriber(&world, &drain).await;
    world.swap(snapshot(None, &metrics, 1));
    assert_eq!(end.await, Ok(Ended::ApiGone));
}
#[tokio::test]
async fn another_endpoint_is_opened_at_the_cursor() {
    let (metrics, drain) = (Metrics::default(), Drain::new());
    let [one, other]: [Arc<dyn Endpoint>; 2] = [Arc::new(Memory::default()), Arc::new(Memory::default())];
    for (endpoint, word) in [(&one, "old"), (&other, "new")] {
        for i in 0..3 {
            let publish = Publish::from(Message::new(Topic::from("t"), format!("{word}{i}").into_bytes()));
            endpoint.producer().send(publish).await.expect("accepted").await.expect("kept");
        }
    }
    let world = World::new(snapshot(Some(&one), &metrics, 0), FAN_OUT);
    let (seen, _end, _task) = subscriber(&world, &drain).await;
    while seen.payloads.lock().expect("a lock").len() < 3 {
        seen.more.notified().await;
    }
    world.swap(snapshot(Some(&other), &metrics, 1));
    let publish = Publish::from(Message::new(Topic::from("t"), "new3".as_bytes()));
    other.producer().send(publish).await.expect("accepted").await.expect("kept");
    while seen.payloads.lock().expect("a lock").len() < 4 {
        seen.more.notified().await;
    }
    assert_eq!(*seen.payloads.lock().expect("a lock"), ["old0", "old1", "old2", "new3"]);
}
async fn publish(endpoint: &Arc<dyn Endpoint>, payload: &str) {
    let publish = Publish::from(Message::new(Topic::from("t"), payload.as_bytes().to_vec()));
    endpoint.producer().send(publish).await.expect("accepted").await.expect("kept");
}
/// Takes what comes until that many lines are there.
async fn lines(follower: &mut Follower, wanted: usize) -> Vec<String> {
    let mut lines = Vec::new();
    while lines.len() < wanted {
        match follower.next().await.expect("it goes on") {
            Step::Frames(bytes, offered) => {
                lines.extend(String::from_utf8_lossy(&bytes).lines().map(str::to_owned));
                offered.written();
            }
            Step::Seated => {}
            Step::Gap(gap) => panic!("a gap: {gap:?}"),
            Step::Ended(why) => panic!("it ended: {why:?}"),
        }
    }
    lines
}
/// Until it reads what all read.
async fn seated(follower: &mut Follower) {
    assert!(matches!(follower.next().await, Ok(Step::Seated)));
    assert!(follower.is_seated());
}
#[tokio::test]
async fn one_upstream_serves_all_who_read_the_same() {
    let (metrics, drain) = (Metrics::default(), Drain::new());
    let endpoint: Arc<dyn Endpoint> = Arc::new(Memory::default());
    let world = World::new(snapshot(Some(&endpoint), &metrics, 0), FAN_OUT);
    publish(&endpoint, "before").await;
    let mut latest = follower(&world, &drain, Start::Latest).await;
    let mut all = Vec::new();
    for _ in 0..20 {
        all.push(follower(&world, &drain, Start::Latest).await);
    }
    let mut early = follower(&world, &drain, Start::Earliest).await;
    assert_eq!(lines(&mut early, 1).await, ["before"]);
    seated(&mut early).await;
    publish(&endpoint, "one").await;
    publish(&endpoint, "two").await;
    for follower in all.iter_mut().chain([&mut latest, &mut early]) {
        assert_eq!(lines(follower, 2).await, ["one", "two"]);
    }
    let upstream = metrics.api(&"t".into()).upstream.clone();
    assert_eq!(upstream.load(std::sync::atomic::Ordering::Relaxed), 1);
    drop((latest, all, early));
    // The task that reads ends at its next await.
    while upstream.load(std::sync::atomic::Ordering::Relaxed) > 0 {
        tokio::task::yield_now().await;
    }
}
/// More than a ring holds, between two looks.
const MANY: usize = 10_000;

#[tokio::test]
async fn who_falls_behind_reads_on_from_where_it_was() {
    let (metrics, drain) = (Metrics::default(), Drain::new());
    let endpoint: Arc<dyn Endpoint> = Arc::new(Memory::default());
    let world = World::new(snapshot(Some(&endpoint), &metrics, 0), FAN_OUT);
    let mut slow = follower(&world, &drain, Start::Latest).await;
    let mut quick = follower(&world, &drain, Start::Latest).await;
    let wanted: Vec<String> = (0..MANY).map(|i| i.to_string()).collect();
    let mut seen = Vec::new();
    for payload in &wanted {
        publish(&endpoint, payload).await;
        seen.extend(lines(&mut quick, 1).await);
    }
    assert_eq!(seen, wanted);
    assert_eq!(lines(&mut slow, MANY).await, wanted);
    seated(&mut slow).await;
    publish(&endpoint, "last").await;
    assert_eq!(lines(&mut slow, 1).await, ["last"]);
    let class = metrics.api(&"t".into()).class("test").now();
    assert_eq!(
        (class.written, class.cut, class.skipped, class.in_flight),
        (2 * MANY as u64 + 1, 0, 0, 0)
    );
    drop((slow, quick));
    let class = metrics.api(&"t".into()).class("test").now();
    assert_eq!(
        (class.offered, class.cut),
        (2 * MANY as u64 + 2, 1),
        "what the quick one did not take is cut"
    );
}
