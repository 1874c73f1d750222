//! Every endpoint here keeps the contract, each case on a fresh one.
#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;
use tempfile::TempDir;
use tidegate_core::{check::Kind, filter::Filter, receipt::Level, tasks, topic::Topic};
use tidegate_endpoints::{
    kinds,
    local::{Captures, House, go_live},
};
use tidegate_hub::Hub;
use tidegate_log::{Hooks, Log, Opened, Options, StreamSpec, disk::Real};
use tidegate_testkit::{
    contract::{Subject, hold},
    memory::Memory,
};

#[tokio::test]
async fn memory_keeps_the_contract() {
    let make = async || Subject {
        endpoint: Arc::new(Memory::default()),
        topic: Topic::from("t"),
        filters: Vec::new(),
        house: Box::new(()),
        levels: None,
    };
    assert_eq!(hold(make).await, 14);
}
#[tokio::test(start_paused = true)]
async fn mock_keeps_the_contract() {
    let make = async || {
        let kinds = kinds();
        let kind: &Kind = kinds.iter().find(|kind| kind.name == "mock").expect("a mock");
        let Ok(checked) = (kind.check)(&serde_json::json!({ "interval": "1s" })) else {
            panic!("a mock that does not check")
        };
        Subject {
            endpoint: checked.open().await.expect("opened"),
            topic: Topic::from("mock"),
            filters: Vec::new(),
            house: Box::new(()),
            levels: None,
        }
    };
    assert_eq!(hold(make).await, 4);
}
/// A log on a real disk.
async fn local(bound: bool) -> Subject {
    let folder = TempDir::new().expect("a folder");
    let (hub, captures) = (Hub::new(), Arc::<Captures>::default());
    let hooks = Hooks {
        on_committed: Box::new(go_live(hub.clone(), captures.clone())),
        run_blocking: Box::new(|work| drop(tokio::task::spawn_blocking(work))),
    };
    let Opened { log, herald, clock, .. } = Log::open(Arc::new(Real::new(folder.path())), Options::default(), hooks).expect("opened");
    let tasks = (tasks::spawn(herald), tasks::spawn(clock));
    let stream = log.create_stream("t", StreamSpec::default()).await.expect("created");
    captures.set([(stream, Some(vec![Filter::new("t/#").expect("a filter")]))]);
    let house = House::new(log, hub, captures);
    Subject {
        endpoint: if bound { house.stream("t").expect("there") } else { house.topics() },
        topic: Topic::from(if bound { "t" } else { "live" }),
        filters: if bound {
            Vec::new()
        } else {
            vec![Filter::new("live").expect("a filter")]
        },
        house: Box::new((tasks, folder)),
        levels: (!bound).then_some(&[Level::Delivered, Level::Accepted]),
    }
}
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn local_stream_keeps_the_contract() {
    assert_eq!(hold(async || local(true).await).await, 14);
}
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn local_live_topic_keeps_the_contract() {
    assert_eq!(hold(async || local(false).await).await, 6);
}
