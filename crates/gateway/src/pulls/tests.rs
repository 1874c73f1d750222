use super::*;
use crate::{
    leases::{Settlement, Verdict},
    paths::Paths,
    settings::Pull,
    target::{Target, Wanted},
    world::Snapshot,
};
use tidegate_core::{
    batch::Batch,
    drain::Drain,
    endpoint::{Endpoint, Publish},
    message::Message,
    topic::Topic,
};
use tidegate_testkit::memory::Memory;
use tokio::time::{sleep, timeout};

const LEASE: Duration = Duration::from_secs(30);
const GROUP: &str = "$api/t/-/workers";

struct House {
    memory: Memory,
    world: Arc<World>,
    pulls: Arc<Pulls>,
    drain: Drain,
}
impl House {
    fn new() -> Self {
        let memory = Memory::default();
        let world = World::new(snapshot(Some(&memory), 1), 1 << 20);
        Self {
            memory,
            pulls: Pulls::new(world.clone()),
            world,
            drain: Drain::new(),
        }
    }
    async fn publish(&self, payloads: &[&str]) {
        let mut batch = Batch::default();
        for payload in payloads {
            batch.push(Message::new(Topic::from("t"), payload.as_bytes().to_vec()));
        }
        self.memory.producer().send(Publish::from(batch)).await.unwrap().await.unwrap();
    }
    fn wish(limit: u32, wait: u64) -> Wish {
        Wish {
            group: GroupName::new("workers").unwrap(),
            limit,
            wait: Duration::from_secs(wait),
            lease_for: LEASE,
            start: Start::Earliest,
        }
    }
    async fn ask(&self, wish: &Wish) -> Result<Pulled> {
        let mut handle = RouteHandle::new(&self.world, "", "/t").unwrap();
        let x = Exchange::new("t".into());
        self.pulls.pull(&mut handle, &x, wish, &mut self.drain.watch()).await
    }
    /// What a worker gets, with attempts and tokens.
    async fn pull(&self, limit: u32, wait: u64) -> Vec<(String, u32, String)> {
        let pulled = self.ask(&Self::wish(limit, wait)).await.unwrap();
        pulled.parcel.handed_over();
        pulled.offered.written();
        let told = |item: &Received| (String::from_utf8_lossy(&item.message.payload).into_owned(), item.attempt);
        let items = pulled.items.iter().map(told).zip(pulled.tokens.iter());
        items
            .map(|((payload, attempt), token)| (payload, attempt, token.as_str().to_owned()))
            .collect()
    }
    async fn settle(&self, token: &str, outcome: Outcome) -> Verdict {
        let wish = Settlement {
            lease: token.into(),
            outcome,
        };
        self.pulls.leases().unwrap().settle("t", &[wish]).await.unwrap().remove(0)
    }
}
fn snapshot(memory: Option<&Memory>, revision: u64) -> Snapshot {
    let mut paths = Paths::default();
    let mut routes = HashMap::new();
    if let Some(memory) = memory {
        let mut route = Arc::try_unwrap(Route::named("t")).unwrap_or_else(|_| panic!("it is new"));
        route.api.pull = Some(Pull { lease_for: LEASE });
        let endpoint: Arc<dyn Endpoint> = Arc::new(memory.clone());
        route.subscribe = Some(Target::new(endpoint, Wanted::Whole(Topic::from_static("t"))));
        let route = Arc::new(route);
        paths.insert(None, "/t", route.clone());
        routes.insert(route.name.clone(), route);
    }
    Snapshot { paths, routes, revision }
}
fn payloads(items: &[(String, u32, String)]) -> Vec<&str> {
    items.iter().map(|(payload, ..)| payload.as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn workers_share_a_group_and_settle_each_message_by_itself() {
    let house = House::new();
    house.publish(&["a", "b", "c", "d"]).await;
    let one = house.pull(2, 0).await;
    let other = house.pull(10, 0).await;
    assert_eq!((payloads(&one), payloads(&other)), (vec!["a", "b"], vec!["c", "d"]));
    assert!(house.pull(10, 1).await.is_empty());
    assert_eq!(house.settle(&one[0].2, Outcome::Ack).await, Verdict::Ok);
    assert_eq!(house.settle(&one[0].2, Outcome::Ack).await, Verdict::Expired);
    assert_eq!(house.settle(&other[1].2, Outcome::reject("broken")).await, Verdict::Ok);
    let back = Outcome::Requeue {
        after: Some(Duration::from_secs(5)),
    };
    assert_eq!(house.settle(&one[1].2, back).await, Verdict::Ok);
    assert!(house.pull(10, 4).await.is_empty(), "not before its delay");
    let again = house.pull(10, 4).await;
    assert_eq!((payloads(&again), again[0].1), (vec!["b"], 2));
    assert_eq!(house.memory.ended(GROUP), [(0, Outcome::Ack), (3, Outcome::reject("broken"))]);
    assert_eq!(house.memory.consumers(), 1, "one for all of them");
}
#[tokio::test(start_paused = true)]
async fn who_waits_longest_is_served_first() {
    let house = House::new();
    let (first, second, ()) = tokio::join!(house.pull(1, 60), house.pull(1, 60), async {
        sleep(Duration::from_secs(1)).await;
        house.publish(&["a", "b"]).await;
    });
    assert_eq!((payloads(&first), payloads(&second)), (vec!["a"], vec!["b"]));
}
#[tokio::test(start_paused = true)]
async fn a_lease_that_ends_gives_the_message_to_another_with_its_attempt() {
    let house = House::new();
    house.publish(&["a"]).await;
    let lost = house.pull(1, 0).await;
    let taken_over = house.pull(1, 60).await;
    assert_eq!((payloads(&taken_over), taken_over[0].1), (vec!["a"], 2));
    assert_eq!(house.settle(&lost[0].2, Outcome::Ack).await, Verdict::Expired);
    assert_eq!(house.settle(&taken_over[0].2, Outcome::Ack).await, Verdict::Ok);
}
#[tokio::test(start_paused = true)]
async fn a_worker_that_leaves_costs_nothing() {
    let house = House::new();
    // While it waits.
    assert!(timeout(Duration::from_secs(1), house.pull(1, 60)).await.is_err());
    house.publish(&["a", "b"]).await;
    // With an answer nobody takes.
    let answer = house.ask(&House::wish(10, 0)).await.unwrap();
    assert_eq!(answer.items.len(), 2);
    drop(answer);
    let again = house.pull(10, 0).await;
    assert_eq!(
        again.iter().map(|(_, attempt, _)| *attempt).collect::<Vec<_>>(),
        [1, 1],
        "nobody had them"
    );
}
#[tokio::test(start_paused = true)]
async fn a_consumer_nobody_asks_is_closed_when_nothing_of_it_is_out() {
    let house = House::new();
    house.publish(&["a", "b"]).await;
    let mine = house.pull(2, 0).await;
    let long = Outcome::Extend(Duration::from_mins(10));
    assert_eq!(house.settle(&mine[0].2, long).await, Verdict::Ok);
    sleep(Duration::from_mins(5)).await;
    assert_eq!(house.memory.consumers(), 1, "somebody has a message of it");
    assert_eq!(house.settle(&mine[0].2, Outcome::Ack).await, Verdict::Ok);
    sleep(Duration::from_mins(1)).await;
    assert_eq!(house.memory.consumers(), 0);
    assert_eq!(payloads(&house.pull(2, 0).await), ["b"]);
}
#[tokio::test(start_paused = true)]
async fn an_api_that_goes_ends_its_pulls_and_gives_back_its_leases() {
    let house = House::new();
    house.publish(&["a"]).await;
    let _mine = house.pull(1, 0).await;
    assert_eq!(house.memory.out(GROUP), 1);
    let began = Instant::now();
    let (waited, ()) = tokio::join!(house.pull(1, 60), async {
        sleep(Duration::from_secs(1)).await;
        house.world.swap(snapshot(None, 2));
    });
    assert!(waited.is_empty() && began.elapsed() < Duration::from_secs(2));
    sleep(Duration::from_secs(1)).await;
    assert_eq!((house.memory.out(GROUP), house.memory.consumers()), (0, 0));
}
/// Also of one that was not pulled from any more when it went.
#[tokio::test(start_paused = true)]
async fn leases_do_not_outlive_their_api() {
    let house = House::new();
    house.publish(&["a"]).await;
    let mine = house.pull(1, 0).await;
    let unpulled = snapshot(Some(&house.memory), 2);
    let route = unpulled.routes.values().next().unwrap();
    let mut without = Arc::try_unwrap(Route::named("t")).unwrap_or_else(|_| panic!("it is new"));
    without.subscribe = route.subscribe.clone();
    let without = Arc::new(without);
    let mut paths = Paths::default();
    paths.insert(None, "/t", without.clone());
    let routes = HashMap::from([(without.name.clone(), without)]);
    house.world.swap(Snapshot {
        paths,
        routes,
        revision: 2,
    });
    sleep(Duration::from_secs(1)).await;
    assert_eq!(house.memory.out(GROUP), 1, "it may come back");
    house.world.swap(snapshot(None, 3));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(house.memory.out(GROUP), 0);
    assert_eq!(house.settle(&mine[0].2, Outcome::Ack).await, Verdict::Expired);
}
#[tokio::test(start_paused = true)]
async fn a_drain_ends_the_wait() {
    let house = House::new();
    let began = Instant::now();
    let (waited, ()) = tokio::join!(house.pull(1, 60), async { house.drain.start() });
    assert!(waited.is_empty() && began.elapsed() < Duration::from_secs(1));
}
#[tokio::test(start_paused = true)]
async fn nothing_stays_when_its_owner_goes() {
    let house = House::new();
    house.publish(&["a"]).await;
    let _mine = house.pull(1, 0).await;
    let House { memory, pulls, .. } = house;
    drop(pulls);
    tokio::task::yield_now().await;
    assert_eq!((memory.out(GROUP), memory.consumers()), (0, 0));
}
