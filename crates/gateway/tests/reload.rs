//! A new world under a running stream: nothing lost, nothing twice, the connection kept.
#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

use std::sync::{Arc, Mutex};
use tidegate_core::{
    delivery::Delivery,
    drain::Drain,
    endpoint::{Endpoint, Publish, Start},
    error::Result,
    exchange::Exchange,
    message::Message,
    outbound::{Ended, Outbound},
    position::Cursor,
    tasks,
    topic::Topic,
};
use tidegate_gateway::{
    flow,
    handle::RouteHandle,
    metrics::Metrics,
    paths::Paths,
    route::{Route, scope},
    settings::{Api, Compatibility, Place},
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
        http_post: None,
        http_get: None,
        sse: None,
        websocket: None,
        cors: Vec::new(),
        include: Vec::new(),
        compatibility: Compatibility::None,
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
    Snapshot { paths, revision }
}
/// What a client saw.
#[derive(Default)]
struct Seen {
    payloads: Mutex<Vec<String>>,
    more: Notify,
}
struct Client {
    seen: Arc<Seen>,
    cursor: Cursor,
    ended: Option<oneshot::Sender<Ended>>,
}
impl Outbound for Client {
    async fn send(&mut self, delivery: Delivery) -> Result<()> {
        for item in delivery.items() {
            item.position.iter().for_each(|position| self.cursor.advance(*position));
            let text = String::from_utf8_lossy(&item.message.payload).into_owned();
            self.seen.payloads.lock().expect("a lock").push(text);
        }
        delivery.accept();
        self.seen.more.notify_one();
        Ok(())
    }
    async fn close(&mut self, why: Ended) {
        if let Some(ended) = self.ended.take() {
            ended.send(why).expect("the test waits");
        }
    }
    fn cursor(&self) -> Cursor {
        self.cursor.clone()
    }
}
/// A subscriber at `/t`, on a task of its own.
async fn subscriber(world: &Arc<World>, drain: &Drain) -> (Arc<Seen>, oneshot::Receiver<Ended>, tasks::Task) {
    let seen = Arc::<Seen>::default();
    let (ended, end) = oneshot::channel();
    let mut client = Client {
        seen: seen.clone(),
        cursor: Cursor::default(),
        ended: Some(ended),
    };
    let mut route = RouteHandle::new(world, "", "/t").expect("a route");
    let consumer = flow::consume(route.route().expect("a route"), "", Start::Earliest)
        .await
        .expect("a consumer");
    let mut watch = drain.watch();
    let task = tasks::spawn(async move {
        let mut x = Exchange::new("t".into());
        flow::subscribe(&mut route, &mut x, consumer, Start::Earliest, &mut client, &mut watch)
            .await
            .expect("a graceful end");
    });
    (seen, end, task)
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_over_fifty_reloads() {
    let (metrics, drain) = (Metrics::default(), Drain::new());
    let endpoint: Arc<dyn Endpoint> = Arc::new(Memory::default());
    let world = World::new(snapshot(Some(&endpoint), &metrics, 0));
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
    let world = World::new(snapshot(Some(&endpoint), &metrics, 0));
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
    let world = World::new(snapshot(Some(&one), &metrics, 0));
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
