//! Changes while it runs: whoever is not concerned sees nothing of it, whoever is loses nothing.
use crate::{TIDEGATE, dev};
use serde_json::{Value, json};
use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};
use tidegate_core::clock;
use tidegate_testkit::{Client, Node, balance, node::How, websocket::WebSocket};

fn api(name: &str, description: usize) -> Value {
    json!({"kind": "api", "name": name, "description": format!("turn {description}"), "labels": {"turn": description.to_string()},
        "paths": [format!("/{name}")], "backend": {"stream": "s"}, "plans": ["keyless"], "include": if description.is_multiple_of(2) { json!([]) } else { json!(["headers"]) }})
}
/// A node with the stream `s` and the apis `a` and `b` on it.
fn node() -> Node {
    let node = dev().start();
    let all = json!({"resources": [{"kind": "stream", "name": "s"}, api("a", 0), api("b", 0)]});
    assert_eq!(node.manage("POST", "/apply", &all).status, 200);
    node
}
/// Publishes to `path` while the other thing is done; how many it was.
fn while_publishing(node: &Node, path: &str, act: impl FnOnce()) -> usize {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let publishing = scope.spawn(|| {
            let mut client = Client::new(node.gateway);
            let mut sent = 0;
            while !over.load(Ordering::Relaxed) {
                let answer = client.request("POST", path, &[], sent.to_string().as_bytes());
                assert_eq!(answer.status, 202, "{}", answer.text());
                sent += 1;
            }
            sent
        });
        act();
        over.store(true, Ordering::Relaxed);
        publishing.join().unwrap()
    })
}
#[test]
fn fifty_changes_of_another_api_are_not_noticed() {
    const CLIENTS: usize = 1_000;
    let node = node();
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| WebSocket::open(node.gateway, "/a", None)).collect();
    node.until("tidegate_subscribers{api=\"a\",entrypoint=\"websocket\"}", |open| {
        open == CLIENTS as u64
    });
    node.until("tidegate_upstream_consumers{api=\"a\"}", |open| open == 1);
    let accepted = node.metric("tidegate_accepted_connections_total{listener=\"gateway\"}");
    let sent = while_publishing(&node, "/a", || {
        for turn in 1..=50 {
            assert_eq!(
                node.manage("PUT", "/apis/b", &api("b", turn)).header("tidegate-change"),
                Some("changed")
            );
        }
    });
    for client in &mut clients {
        for i in 0..sent {
            assert_eq!(client.heard(), i.to_string());
        }
    }
    assert_eq!(node.metric("tidegate_upstream_consumers{api=\"a\"}"), 1);
    // Those who published and asked for this, and nobody came back.
    assert!(node.metric("tidegate_accepted_connections_total{listener=\"gateway\"}") <= accepted + 1);
    assert_eq!(node.metric("tidegate_connections{listener=\"gateway\"}"), CLIENTS as u64);
    drop(clients);
    balance(&node);
}
#[test]
fn fifty_changes_of_the_api_itself_lose_nothing_and_repeat_nothing() {
    let node = node();
    let mut stream = node.stream("/a", &[]);
    let mut socket = WebSocket::open(node.gateway, "/a", Some("tidegate.v1.json"));
    assert_eq!(socket.subscribe(&json!({"op": "subscribe"}))["op"], "subscribed");
    let sent = while_publishing(&node, "/a", || {
        for turn in 1..=50 {
            assert_eq!(
                node.manage("PUT", "/apis/a", &api("a", turn)).header("tidegate-change"),
                Some("changed")
            );
        }
    });
    let mut rest = String::new();
    for i in 0..sent {
        assert_eq!(stream.event(&mut rest).unwrap(), format!("id: 3.{i}\ndata: {i}"));
        assert_eq!(socket.json()["payload"], i.to_string());
    }
    balance(&node);
}
/// The second head on a connection is not read again; what it means is.
#[test]
fn a_request_that_is_repeated_goes_by_what_holds_now() {
    let node = node();
    let all = json!({"resources": [{"kind": "stream", "name": "other"}]});
    assert_eq!(node.manage("POST", "/apply", &all).status, 200);
    let mut client = Client::new(node.gateway);
    let mut post = |body: &str| {
        let answer = client.request("POST", "/a", &[("x-own", "1")], body.as_bytes());
        let position = answer.header("tidegate-position").unwrap_or_default();
        (answer.status, position.split('.').next().unwrap_or_default().to_owned())
    };
    let first = post("one");
    assert_eq!((first.0, &post("two, and longer"), &post("")), (202, &first, &first));
    let mut moved = api("a", 0);
    moved["backend"] = json!({"stream": "other"});
    assert_eq!(node.manage("PUT", "/apis/a", &moved).status, 200);
    let second = post("three");
    assert!(second.0 == 202 && second.1 != first.1, "{second:?} after {first:?}");
    assert_eq!(node.manage("PUT", "/apis/a", &api("a", 1)).status, 200);
    assert_eq!(post("four"), first);
    let one = "tidegate_accepted_connections_total{listener=\"gateway\"}";
    let accepted = node.metric(one);
    assert_eq!((post("five"), node.metric(one)), (first, accepted), "on the same connection");
    // What nobody takes may close it.
    assert_eq!(node.manage("DELETE", "/apis/a", &Value::Null).status, 204);
    assert_eq!(post("six"), (404, String::new()));
    balance(&node);
}
#[test]
fn an_api_that_goes_says_goodbye_and_one_that_moves_to_another_stream_goes_on_there() {
    let node = node();
    node.manage("PUT", "/streams/other", &json!({}));
    let mut moved = node.stream("/a", &[]);
    let mut ended = node.stream("/b", &[]);
    let mut to = api("a", 0);
    to["backend"] = json!({"stream": "other"});
    assert_eq!(node.manage("PUT", "/apis/a", &to).status, 200);
    assert_eq!(node.manage("DELETE", "/apis/b", &Value::Null).status, 204);
    assert_eq!(node.get("/b").status, 404);
    let mut rest = String::new();
    assert!(ended.event(&mut rest).unwrap().contains("event: goaway"));
    node.until("tidegate_upstream_consumers{api=\"a\"}", |open| open == 1);
    let mut rest = String::new();
    let mut heard = String::new();
    while !heard.contains("data: new") {
        node.post("/topics/other", &[], b"new");
        heard = moved.event(&mut rest).unwrap();
    }
    assert_eq!(node.manage("DELETE", "/streams/s", &Value::Null).status, 204);
    balance(&node);
}
const FILES: &str = "resources: [r]\n";
const STREAM: &str = "kind: stream\nname: s\n---\n";

fn of_files() -> Node {
    let folder = tempfile::TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("r")).unwrap();
    write(&folder.path().join("tidegate.yaml"), FILES);
    write(&folder.path().join("r/a.yaml"), &declared("/a"));
    How::run(TIDEGATE).start_in(std::sync::Arc::new(folder))
}
fn declared(path: &str) -> String {
    format!("{STREAM}kind: api\nname: a\npaths: [{path}]\nplans: [keyless]\nbackend: {{ stream: s }}\n")
}
/// Until the log says so.
pub(crate) fn said(node: &Node, text: &str) {
    let began = clock::instant();
    while !node.lines().iter().any(|line| line.contains(text)) {
        assert!(began.elapsed().as_secs() < 30, "{text:?} is not in\n{}", node.lines().join("\n"));
        node.admin("/healthz");
    }
}
#[test]
fn a_file_that_changes_is_live_and_a_broken_one_changes_nothing() {
    let node = of_files();
    let mut stream = node.stream("/a", &[]);
    let r = node.folder().join("r");
    write(&r.join("a.yaml"), &declared("/a, /b"));
    said(&node, "changed api a");
    assert_eq!(node.post("/b", &[], b"1").status, 202);
    write(&r.join("broken.yaml"), "kind: stream\nname: t\nretention: { aeg: 1d }\n");
    said(&node, "r/broken.yaml:3:14");
    assert_eq!(node.post("/b", &[], b"2").status, 202);
    assert_eq!(node.manage("GET", "/streams/t", &Value::Null).status, 404);
    let failed = node.manage("GET", "/status", &Value::Null).json()["last_reload"]["error"].clone();
    assert!(failed.as_str().unwrap().contains("unknown key `aeg`"), "{failed}");
    assert_eq!(node.manage("POST", "/reload", &Value::Null).json()["errors"][0]["line"], 3);
    // Replaced as an editor does it.
    write(&r.join("broken.tmp"), "kind: stream\nname: t\nretention: { age: 1d }\n");
    std::fs::rename(r.join("broken.tmp"), r.join("broken.yaml")).unwrap();
    said(&node, "created stream t");
    // What cannot be kept is told where it stands, too.
    write(
        &r.join("broken.tmp"),
        "kind: stream\nname: t\nretention: { age: 1d }\npartitions: 3\n",
    );
    std::fs::rename(r.join("broken.tmp"), r.join("broken.yaml")).unwrap();
    said(&node, "r/broken.yaml:4:13");
    write(&r.join("broken.tmp"), "kind: stream\nname: t\nretention: { age: 1d }\n");
    std::fs::rename(r.join("broken.tmp"), r.join("broken.yaml")).unwrap();
    write(
        &node.folder().join("tidegate.yaml"),
        &format!("{FILES}limits: {{ body: 1MiB }}\ntelemetry: {{ level: debug }}\n"),
    );
    said(&node, "limits.body");
    assert_eq!(node.manage("GET", "/log-level", &Value::Null).json()["level"], "debug");
    assert_eq!(
        node.manage("GET", "/status", &Value::Null).json()["restart_needed"],
        json!(["limits.body"])
    );
    let mut rest = String::new();
    assert_eq!(stream.event(&mut rest).unwrap(), "id: 1.0\ndata: 1");
    assert_eq!(stream.event(&mut rest).unwrap(), "id: 1.1\ndata: 2");
    balance(&node);
}
#[test]
fn a_folder_as_kubernetes_mounts_it_is_followed_and_so_is_sighup() {
    let folder = tempfile::TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    let version = |name: &str, path: &str| {
        std::fs::create_dir(at(name)).unwrap();
        write(&at(name).join("tidegate.yaml"), &format!("{{}}\n---\n{}", declared(path)));
    };
    version("..1", "/a");
    std::os::unix::fs::symlink("..1", at("..data")).unwrap();
    std::os::unix::fs::symlink("..data/tidegate.yaml", at("tidegate.yaml")).unwrap();
    let node = How::run(TIDEGATE).start_in(std::sync::Arc::new(folder));
    let at = |name: &str| node.folder().join(name);
    std::fs::create_dir(at("..2")).unwrap();
    write(&at("..2").join("tidegate.yaml"), &format!("{{}}\n---\n{}", declared("/c")));
    std::os::unix::fs::symlink("..2", at("..new")).unwrap();
    std::fs::rename(at("..new"), at("..data")).unwrap();
    said(&node, "changed api a");
    assert_eq!((node.post("/c", &[], b"1").status, node.get("/a").status), (202, 404));
    let hup = std::process::Command::new("kill")
        .args(["-HUP", &node.pid().to_string()])
        .status()
        .unwrap();
    assert!(hup.success());
    let began = clock::instant();
    while node.lines().iter().filter(|line| line.contains("\"reloaded\"")).count() < 2 {
        assert!(began.elapsed().as_secs() < 30);
        node.admin("/healthz");
    }
}
#[expect(clippy::disallowed_methods, reason = "a test's own folder")]
fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}
