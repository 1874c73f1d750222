//! `GET` with `Accept: text/event-stream`: ids, resume, heartbeats, gaps, the end.
use crate::dev;
use tidegate_testkit::{Node, balance};

#[test]
fn events_carry_ids_and_every_line() {
    let node = dev().start();
    let mut stream = node.stream("/orders?from=earliest", &[]);
    let mut rest = String::new();
    node.post("/orders", &[], b"one\ntwo\r\nthree");
    assert_eq!(stream.event(&mut rest).unwrap(), "id: 1.0\ndata: one\ndata: two\ndata: three");
    node.post("/orders", &[], &[0xff, 0, 1]);
    assert_eq!(stream.event(&mut rest).unwrap(), "id: 1.1\nevent: base64\ndata: /wAB");
    drop(stream);
    node.until("tidegate_subscribers{api=\"orders\",entrypoint=\"sse\"}", |open| open == 0);
    balance(&node);
}
#[test]
fn resumes_behind_the_last_event_after_a_crash() {
    let node = dev().start();
    for i in 0..4 {
        node.post("/orders", &[], i.to_string().as_bytes());
    }
    let node = node.crash();
    // It beats both.
    let mut stream = node.stream("/orders?from=latest", &[("last-event-id", "1.1")]);
    let mut rest = String::new();
    assert_eq!(stream.event(&mut rest).unwrap(), "id: 1.2\ndata: 2");
    assert_eq!(stream.event(&mut rest).unwrap(), "id: 1.3\ndata: 3");
    drop(stream);
    balance(&node);
}
#[test]
fn begins_with_what_comes_unless_told() {
    let node = dev().start();
    node.post("/orders", &[], b"before");
    let mut stream = node.stream("/orders", &[]);
    let mut rest = String::new();
    node.post("/orders", &[], b"after");
    assert_eq!(stream.event(&mut rest).unwrap(), "id: 1.1\ndata: after");
    drop(stream);
    balance(&node);
}
#[test]
fn who_is_cut_before_the_first_event_knows_where_it_stood() {
    let node = dev().start();
    node.post("/orders", &[], b"before");
    let mut stream = node.stream("/orders", &[]);
    let greeting = String::from_utf8(stream.chunk().unwrap()).unwrap();
    let id = greeting.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();
    drop(stream);
    node.post("/orders", &[], b"meanwhile");
    let mut stream = node.stream("/orders", &[("last-event-id", &id)]);
    assert_eq!(stream.event(&mut String::new()).unwrap(), "id: 1.1\ndata: meanwhile");
    drop(stream);
    balance(&node);
}
#[test]
fn a_live_topic_has_no_ids() {
    let node = dev().start();
    let mut stream = node.stream("/topics/a%20b", &[]);
    let mut rest = String::new();
    assert_eq!(node.post("/topics/a%20b", &[], b"x").json()["ack"], "delivered");
    assert_eq!(stream.event(&mut rest).unwrap(), "data: x");
    drop(stream);
    balance(&node);
}
#[test]
fn a_captured_topic_is_read_from_its_stream_and_only_its_own() {
    let node = dev().start();
    node.post("/topics/orders/eu", &[], b"eu");
    node.post("/topics/orders/us", &[], b"us");
    node.post("/orders", &[], b"own");
    let mut stream = node.stream("/topics/orders/us?from=earliest", &[]);
    assert_eq!(stream.event(&mut String::new()).unwrap(), "id: 1.1\ndata: us");
    drop(stream);
    let mut whole = node.stream("/orders?from=earliest", &[]);
    let mut rest = String::new();
    let all: Vec<_> = (0..3).map(|_| whole.event(&mut rest).unwrap()).collect();
    assert_eq!(all, ["id: 1.0\ndata: eu", "id: 1.1\ndata: us", "id: 1.2\ndata: own"]);
    drop(whole);
    balance(&node);
}
#[test]
fn a_quiet_stream_has_a_heartbeat() {
    let node = dev().start_with(
        "kind: stream\nname: s\n---\nkind: api\nname: s\npaths: [/s]\nbackend: { stream: s }\nentrypoints:\n  sse: { heartbeat: 2s }\n",
    );
    let mut stream = node.stream("/s", &[]);
    assert!(String::from_utf8(stream.chunk().unwrap()).unwrap().starts_with("retry: "));
    assert_eq!(stream.chunk().unwrap(), b":\n\n");
    drop(stream);
    balance(&node);
}
#[test]
fn the_mock_says_one_a_second_to_each_client_of_its_own() {
    let node = dev().start();
    let mut one = node.stream("/qs-message-api", &[]);
    let mut rest = String::new();
    assert_eq!(one.event(&mut rest).unwrap(), "id: 0\ndata: mock message");
    let mut other = node.stream("/qs-message-api", &[]);
    assert_eq!(one.event(&mut rest).unwrap(), "id: 1\ndata: mock message");
    assert_eq!(other.event(&mut String::new()).unwrap(), "id: 0\ndata: mock message");
    drop((one, other));
    balance(&node);
}
#[test]
fn a_gap_is_told_where_it_lies() {
    let node = dev()
        .start_with("kind: stream\nname: s\nretention: { messages: 2 }\n---\nkind: api\nname: s\npaths: [/s]\nbackend: { stream: s }\n");
    for i in 0..5 {
        node.post("/s", &[], i.to_string().as_bytes());
    }
    node.until("tidegate_stream_records{stream=\"s\"}", |records| records == 2);
    let mut stream = node.stream("/s", &[("last-event-id", "1.0")]);
    let mut rest = String::new();
    assert_eq!(
        stream.event(&mut rest).unwrap(),
        "id: 1.2\nevent: gap\ndata: {\"from\":\"1.0\",\"to\":\"1.2\",\"reason\":\"retention\"}"
    );
    assert_eq!(stream.event(&mut rest).unwrap(), "id: 1.3\ndata: 3");
    drop(stream);
    balance(&node);
}
#[test]
fn a_reader_that_does_not_read_costs_a_bounded_amount() {
    let node = dev().start();
    let payload = vec![b'x'; 64 << 10];
    let idle: Vec<_> = (0..20).map(|_| node.stream("/orders", &[])).collect();
    let before = node.memory();
    let mut publisher = tidegate_testkit::Client::new(node.gateway);
    for _ in 0..200 {
        assert_eq!(publisher.request("POST", "/orders", &[], &payload).status, 202);
    }
    // 20 readers were due 12.5 MiB each; what is held is the log's own caches and a chunk or two each.
    let grown = node.memory().saturating_sub(before);
    assert!(grown < 100 << 20, "{grown} bytes");
    drop(idle);
    gone(&node);
    balance(&node);
}
fn gone(node: &Node) {
    node.until("tidegate_subscribers{api=\"orders\",entrypoint=\"sse\"}", |open| open == 0);
}
#[test]
fn readers_that_catch_up_quickly_hold_up_nobody() {
    let node = dev().start();
    let lines = vec!["x".repeat(200); 5_000].join("\n");
    for _ in 0..6 {
        let answer = node.post(
            "/orders",
            &[("content-type", "application/x-ndjson")],
            lines.replace('x', "1").as_bytes(),
        );
        assert_eq!(answer.status, 202);
    }
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut stream = node.stream("/orders?from=earliest", &[]);
                let mut bytes = 0;
                // Every payload, and something round each.
                while bytes < 30_000 * 200 {
                    bytes += stream.chunk().unwrap().len();
                }
            });
        }
    });
    assert_eq!(node.admin("/healthz").status, 200);
    node.until("tidegate_subscribers{api=\"orders\",entrypoint=\"sse\"}", |open| open == 0);
    balance(&node);
}
#[test]
fn a_reader_that_does_not_read_keeps_no_frame_in_memory() {
    let node = dev().start();
    let before = node.memory();
    let stuck: Vec<_> = (0..40).map(|_| node.stream("/orders", &[])).collect();
    let lines = vec!["1".repeat(380); 10_000].join("\n");
    for _ in 0..3 {
        assert_eq!(
            node.post("/orders", &[("content-type", "application/x-ndjson")], lines.as_bytes())
                .status,
            202
        );
    }
    // A frame has 4 MiB, and each of them waits somewhere in one.
    node.until_memory(|now| now < before + (96 << 20));
    drop(stuck);
    node.until("tidegate_subscribers{api=\"orders\",entrypoint=\"sse\"}", |open| open == 0);
    balance(&node);
}
