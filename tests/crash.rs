//! `kill -9` under load: what was answered `stored` is there, in order, once.
use crate::dev;
use std::{
    collections::{HashMap, HashSet},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use tidegate_core::clock;
use tidegate_testkit::{Client, Node, balance};

/// More with `TIDEGATE_CRASH_ROUNDS=50`.
const ROUNDS: usize = 5;
const PUBLISHERS: usize = 8;

#[expect(clippy::disallowed_methods, reason = "a longer run is asked for by hand")]
fn rounds() -> usize {
    std::env::var("TIDEGATE_CRASH_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(ROUNDS)
}
#[test]
fn what_was_answered_stored_survives_kill_9_under_load() {
    let mut node = dev().start_with("kind: stream\nname: s\npartitions: 3\n---\nkind: api\nname: s\npaths: [/s]\nbackend: { stream: s }\n");
    let mut stored = HashMap::new();
    for round in 0..rounds() {
        let told = AtomicUsize::new(0);
        let enough = 200 + round * 37;
        std::thread::scope(|scope| {
            let publishers: Vec<_> = (0..PUBLISHERS)
                .map(|p| {
                    let (gateway, told) = (node.gateway, &told);
                    scope.spawn(move || publish(gateway, &format!("{round}-{p}"), told))
                })
                .collect();
            // Killed in the middle of the load, after that many answers.
            while told.load(Ordering::Relaxed) < enough {
                std::thread::yield_now();
            }
            let status = Command::new("kill").args(["-9", &node.pid().to_string()]).status().unwrap();
            assert!(status.success());
            stored.extend(publishers.into_iter().flat_map(|publisher| publisher.join().unwrap()));
        });
        node = node.crash();
    }
    check(&node, &stored);
    balance(&node);
}
/// Until the node dies: id to position of all that was answered.
fn publish(gateway: std::net::SocketAddr, who: &str, told: &AtomicUsize) -> Vec<(String, String)> {
    let mut client = Client::new(gateway);
    let mut stored = Vec::new();
    for i in 0.. {
        let id = format!("{who}-{i}");
        let answer = client.request("POST", "/s", &[("tidegate-id", &id), ("tidegate-key", who)], id.as_bytes());
        if answer.status != 202 {
            break;
        }
        told.fetch_add(1, Ordering::Relaxed);
        stored.push((id, answer.header("tidegate-position").unwrap().to_owned()));
    }
    stored
}
fn check(node: &Node, stored: &HashMap<String, String>) {
    let mut found: HashMap<String, String> = HashMap::new();
    let mut order: HashMap<String, Vec<usize>> = HashMap::new();
    let mut ids = HashSet::new();
    let mut cursor = String::new();
    loop {
        let page = node.get(&format!("/s?wait=0&cursor={cursor}")).json();
        assert!(page.get("gap").is_none(), "{}", page["gap"]);
        let items = page["items"].as_array().unwrap();
        for item in items {
            let id = item["id"].as_str().unwrap().to_owned();
            assert_eq!(item["payload"], id.as_str());
            assert!(ids.insert(id.clone()), "{id} is there twice");
            let (publisher, number) = id.rsplit_once('-').unwrap();
            order.entry(publisher.to_owned()).or_default().push(number.parse().unwrap());
            found.insert(id, item["position"].as_str().unwrap().to_owned());
        }
        if items.is_empty() {
            break;
        }
        page["next_cursor"].as_str().unwrap().clone_into(&mut cursor);
    }
    for (id, position) in stored {
        if found.get(id) != Some(position) {
            let there = node.get(&format!("/s?wait=0&limit=1&from={position}")).text();
            panic!(
                "{id}, answered at {position}, is found at {:?}; reading there gives {there}",
                found.get(id)
            );
        }
    }
    // A publisher's key keeps its messages in one partition, so they come in the order it sent them.
    for (publisher, numbers) in order {
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{publisher}: {numbers:?}");
    }
}
#[test]
fn the_answer_is_written_after_the_sync_returned() {
    let trace = tempfile::NamedTempFile::new().unwrap();
    let path = trace.path().display().to_string();
    let arguments = [
        "-f",
        "-y",
        "-qq",
        "-tt",
        "-e",
        "trace=fdatasync,fsync,write,writev,sendto,sendmsg",
        "-s",
        "200",
        "-o",
        &path,
    ];
    let node = dev().under("strace", &arguments).start();
    let answer = node.post("/orders", &[], b"watched-message");
    assert_eq!(answer.status, 202);
    drop(node);
    #[expect(clippy::disallowed_methods, reason = "what strace wrote")]
    let lines = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<_> = lines.lines().collect();
    let at = |what: &dyn Fn(&str) -> bool| lines.iter().position(|line| what(line));
    let answered = at(&|line| line.contains("202 Accepted")).expect("the answer");
    let synced = lines
        .iter()
        .take(answered)
        .rposition(|line| line.contains("fdatasync") && line.trim_end().ends_with("= 0"));
    let written = lines
        .iter()
        .take(answered)
        .rposition(|line| line.contains("/journal/") && line.contains("write"));
    assert!(
        synced.is_some() && written < synced,
        "written at {written:?}, synced at {synced:?}, answered at {answered}:\n{}",
        lines.join("\n")
    );
}

/// The library that stands between the program and its disk.
fn shim() -> (tempfile::TempDir, String) {
    let folder = tempfile::TempDir::new().unwrap();
    let library = folder.path().join("slow_sync.so").display().to_string();
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../../benches/slow_sync.c");
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-o", &library, source, "-ldl"])
        .status()
        .unwrap();
    assert!(status.success());
    (folder, library)
}
#[test]
#[expect(clippy::disallowed_methods, reason = "how long the answer takes is what is tested")]
fn a_sync_that_takes_half_a_second_makes_the_answer_take_it() {
    let (_folder, library) = shim();
    let node = dev().variable("LD_PRELOAD", &library).variable("SYNC_MS", "500").start();
    let began = std::time::Instant::now();
    assert_eq!(node.post("/orders", &[], b"x").status, 202);
    assert!(began.elapsed().as_millis() >= 500);
    balance(&node);
}
#[test]
#[expect(clippy::disallowed_methods, reason = "a test's own folder")]
fn a_sync_that_fails_makes_the_answer_fail_and_the_node_not_ready() {
    let (folder, library) = shim();
    let fail = folder.path().join("fail");
    let node = dev()
        .variable("LD_PRELOAD", &library)
        .variable("SYNC_FAIL_IF", &fail.display().to_string())
        .start();
    assert_eq!(node.post("/orders", &[], b"kept").status, 202);
    std::fs::write(&fail, "").unwrap();
    let refused = node.post("/orders", &[], b"lost");
    assert_eq!((refused.status, &refused.json()["code"]), (503, &serde_json::json!("TG4002")));
    std::fs::remove_file(&fail).unwrap();
    // A second sync would succeed and lie: nothing more is taken until a restart, reads go on.
    assert_eq!(node.post("/orders", &[], b"after").status, 503);
    assert_eq!(node.admin("/readyz").status, 503);
    assert_eq!(node.get("/orders?wait=0").json()["items"][0]["payload"], "kept");
    balance(&node);
    let node = node.crash();
    let page = node.get("/orders").json();
    assert_eq!(page["items"][0]["payload"], "kept");
    assert_eq!(node.post("/orders", &[], b"again").status, 202);
    balance(&node);
}
/// Its stream is known before it is looked for.
#[test]
fn what_became_due_while_nobody_ran_comes_with_the_start() {
    const DELAY: Duration = Duration::from_millis(300);
    let node = dev().start();
    let published = clock::instant();
    for (path, body) in [("/orders", b"1"), ("/topics/orders", b"2")] {
        let answer = node.post(path, &[("tidegate-delay", "300ms")], body);
        assert_eq!(
            (answer.status, answer.header("tidegate-ack")),
            (202, Some("stored")),
            "{}",
            answer.text()
        );
    }
    let node = node.restart_with(dev(), |_| {
        while published.elapsed() < DELAY {
            std::thread::yield_now();
        }
    });
    let mut stream = node.stream("/orders?from=earliest", &[]);
    let mut rest = String::new();
    let mut bodies: Vec<_> = (0..2)
        .map(|_| stream.event(&mut rest).unwrap().rsplit_once("data: ").unwrap().1.to_owned())
        .collect();
    bodies.sort_unstable();
    assert_eq!(bodies, ["1", "2"]);
    assert_eq!(
        node.manage("GET", "/dead-letters", &serde_json::Value::Null).json()["items"],
        serde_json::json!([])
    );
    balance(&node);
}
