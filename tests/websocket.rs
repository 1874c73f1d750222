//! WebSocket: plain and with the subprotocol, broken frames, slow and silent clients, the end.
use crate::dev;
use serde_json::{Value, json};
use std::net::Shutdown;
use tidegate_testkit::{
    Node, balance,
    websocket::{Frame, WebSocket},
};

const JSON: Option<&str> = Some("tidegate.v1.json");
const SUBSCRIBERS: &str = "tidegate_subscribers{api=\"orders\",entrypoint=\"websocket\"}";

fn nobody_is_left(node: &Node) {
    node.until(SUBSCRIBERS, |open| open == 0);
    balance(node);
}
/// Target, headers, status and code.
type Refused = (&'static str, &'static [(&'static str, &'static str)], u16, &'static str);
/// The one resource with a short heartbeat.
const ORDERS: &str = "kind: stream\nname: orders\n---\nkind: api\nname: orders\npaths: [/orders]\nbackend: { stream: orders }\n\
    entrypoints: { http_post: {}, http_get: {}, websocket: { heartbeat: 100ms } }\n";

#[test]
fn a_plain_client_publishes_and_reads() {
    let node = dev().start();
    let mut socket = WebSocket::open(node.gateway, "/orders", None);
    socket.text("text");
    assert_eq!(socket.heard(), "text");
    socket.frame(0x82, &[0xff, 0, 1]);
    assert_eq!(socket.word(), Frame::Binary(vec![0xff, 0, 1]));
    // Of a message in pieces, cut anywhere, the server makes one.
    socket.frame(0x01, b"in ");
    socket.frame(0x80, b"pieces");
    assert_eq!(socket.heard(), "in pieces");
    socket.frame(0x89, b"there?");
    assert_eq!(socket.word(), Frame::Pong(b"there?".to_vec()));
    socket.close(1000);
    assert_eq!(socket.word(), Frame::Close(1000, String::new()));
    assert_eq!(socket.word(), Frame::Ended);
    let page = node.get("/orders").json();
    let payloads: Vec<_> = page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["payload"].clone())
        .collect();
    assert_eq!(payloads, ["text", "/wAB", "in pieces"]);
    nobody_is_left(&node);
}
#[test]
fn a_plain_client_begins_where_it_says() {
    let node = dev().start();
    for text in ["a", "b", "c"] {
        node.post("/orders", &[], text.as_bytes());
    }
    let mut socket = WebSocket::open(node.gateway, "/orders?cursor=1.0", None);
    assert_eq!((socket.heard(), socket.heard()), ("b".to_owned(), "c".to_owned()));
    drop(socket);
    let mut socket = WebSocket::open(node.gateway, "/orders?from=last:1", None);
    assert_eq!(socket.heard(), "c");
    drop(socket);
    nobody_is_left(&node);
}
#[test]
fn each_publish_has_a_receipt_at_its_level() {
    let node = dev().start();
    let mut socket = WebSocket::open(node.gateway, "/orders", JSON);
    socket.say(&json!({ "op": "publish", "ref": 1, "payload": { "a": [1] } }));
    assert_eq!(
        socket.json(),
        json!({ "op": "receipt", "ref": 1, "id": "1.0", "position": "1.0", "ack": "stored" })
    );
    socket.say(&json!({ "op": "publish", "ref": "two", "payload": "x", "id": "own", "ack": "stored" }));
    assert_eq!(
        socket.json(),
        json!({ "op": "receipt", "ref": "two", "id": "own", "position": "1.1", "ack": "stored" })
    );
    socket.say(&json!({ "op": "publish", "ref": "again", "payload": "x", "id": "own" }));
    assert_eq!(
        socket.json(),
        json!({ "op": "receipt", "ref": "again", "id": "own", "position": "1.1", "ack": "stored", "duplicate": true })
    );
    socket.say(&json!({ "op": "publish", "ref": 3, "payload": "x", "ack": "accepted" }));
    assert_eq!(socket.json(), json!({ "op": "receipt", "ref": 3, "ack": "accepted" }));
    socket.say(&json!({ "op": "publish", "ref": 4, "payload": "x", "ack": "replicated" }));
    let problem = socket.json();
    assert_eq!(
        (&problem["op"], &problem["ref"], &problem["code"]),
        (&json!("problem"), &json!(4), &json!("TG1022"))
    );
    // Many at once come back in their order.
    for i in 0..500 {
        socket.say(&json!({ "op": "publish", "ref": i, "payload": i }));
    }
    for i in 0..500 {
        assert_eq!(socket.json()["ref"], i);
    }
    let mut live = WebSocket::open(node.gateway, "/topics/live", JSON);
    live.say(&json!({ "op": "publish", "payload": "x" }));
    assert_eq!(live.json(), json!({ "op": "receipt", "ack": "delivered" }));
    drop((socket, live));
    balance(&node);
}
#[test]
fn what_a_receipt_says_survives_a_crash() {
    let node = dev().start();
    let mut socket = WebSocket::open(node.gateway, "/orders", JSON);
    let message = json!({ "op": "publish", "payload": "/wAB", "encoding": "base64", "key": "k", "headers": { "x-a": ["1", "2"] } });
    socket.say(&message);
    assert_eq!(socket.json()["ack"], "stored");
    let node = node.crash();
    let item = &node.get("/orders").json()["items"][0];
    assert_eq!(
        (&item["payload"], &item["encoding"], &item["key"]),
        (&json!("/wAB"), &json!("base64"), &json!("k"))
    );
    balance(&node);
}
/// More than a member may have unsettled is refused, however it is asked for.
#[test]
fn a_members_credit_is_refused_beyond_the_most() {
    let node = dev().start();
    let mut socket = WebSocket::open(node.gateway, "/orders", JSON);
    socket.say(&json!({ "op": "subscribe", "ref": 1, "group": "g", "credit": 20_001 }));
    let problem = socket.json();
    assert_eq!(
        (&problem["op"], &problem["ref"], &problem["detail"]),
        (&json!("problem"), &json!(1), &json!("more than 20000 of credit in a group"))
    );
    socket.subscribe(&json!({ "op": "subscribe", "group": "g", "credit": 20_000 }));
    socket.say(&json!({ "op": "credit", "n": 1 }));
    assert_eq!(socket.json()["detail"], problem["detail"]);
    balance(&node);
}
/// However many fragments a message has, its size alone counts.
#[test]
fn a_message_may_have_thousands_of_fragments() {
    let node = dev().start();
    let mut socket = WebSocket::open(node.gateway, "/orders", JSON);
    let text = json!({ "op": "publish", "ref": 1, "payload": "x".repeat(3_000) }).to_string();
    for (number, byte) in text.bytes().enumerate() {
        socket.frame(u8::from(number == 0), &[byte]);
    }
    socket.frame(0x80, b"");
    assert_eq!(socket.json()["op"], "receipt");
    balance(&node);
}
#[test]
fn messages_come_as_far_as_credit_goes() {
    let node = dev().start();
    for i in 0..5 {
        node.post("/orders", &[("tidegate-key", "k")], i.to_string().as_bytes());
    }
    let mut socket = WebSocket::open(node.gateway, "/orders", JSON);
    socket.subscribe(&json!({ "op": "subscribe", "from": "earliest", "credit": 2 }));
    let first = socket.json();
    assert_eq!(
        (&first["op"], &first["position"], &first["payload"], &first["key"]),
        (&json!("message"), &json!("1.0"), &json!("0"), &json!("k"))
    );
    assert!(first["time"].is_string());
    assert_eq!(socket.json()["position"], "1.1");
    // What answers something else comes first: no message without credit.
    socket.frame(0x89, b"");
    assert_eq!(socket.word(), Frame::Pong(Vec::new()));
    socket.say(&json!({ "op": "credit", "n": 1 }));
    assert_eq!(socket.json()["position"], "1.2");
    socket.say(&json!({ "op": "credit", "n": 10 }));
    assert_eq!(
        (socket.json()["position"].clone(), socket.json()["position"].clone()),
        (json!("1.3"), json!("1.4"))
    );
    socket.say(&json!({ "op": "subscribe", "ref": "twice" }));
    let problem = socket.json();
    assert_eq!((&problem["ref"], &problem["code"]), (&json!("twice"), &json!("TG1016")));
    drop(socket);
    nobody_is_left(&node);
}
#[test]
fn a_client_resumes_behind_what_it_saw_after_a_crash() {
    let node = dev().start();
    for i in 0..3 {
        node.post("/orders", &[], i.to_string().as_bytes());
    }
    let node = node.crash();
    let mut socket = WebSocket::open(node.gateway, "/orders", JSON);
    socket.subscribe(&json!({ "op": "subscribe", "cursor": "1.0" }));
    assert_eq!(
        (socket.json()["position"].clone(), socket.json()["position"].clone()),
        (json!("1.1"), json!("1.2"))
    );
    drop(socket);
    nobody_is_left(&node);
}
#[test]
fn with_several_partitions_each_message_says_where_to_resume() {
    let node = dev().start_with(
        "kind: stream\nname: orders\npartitions: 3\n---\nkind: api\nname: orders\npaths: [/orders]\nbackend: { stream: orders }\n",
    );
    for i in 0..9 {
        node.post("/orders", &[("tidegate-partition", &(i % 3).to_string())], i.to_string().as_bytes());
    }
    let mut socket = WebSocket::open(node.gateway, "/orders", JSON);
    socket.subscribe(&json!({ "op": "subscribe", "from": "earliest" }));
    let mut seen: Vec<Value> = (0..4).map(|_| socket.json()).collect();
    let cursor = seen[3]["cursor"].clone();
    drop(socket);
    let mut socket = WebSocket::open(node.gateway, "/orders", JSON);
    socket.subscribe(&json!({ "op": "subscribe", "cursor": cursor }));
    seen.extend((0..5).map(|_| socket.json()));
    let mut payloads: Vec<_> = seen.iter().map(|message| message["payload"].as_str().unwrap().to_owned()).collect();
    payloads.sort();
    assert_eq!(payloads, ["0", "1", "2", "3", "4", "5", "6", "7", "8"]);
    drop(socket);
    nobody_is_left(&node);
}
#[test]
fn a_gap_is_told_and_ends_a_plain_client() {
    let node = dev().start();
    node.post("/orders", &[], b"x");
    // Of a stream that is no more.
    let mut socket = WebSocket::open(node.gateway, "/orders", JSON);
    socket.subscribe(&json!({ "op": "subscribe", "cursor": "999.7" }));
    let gap = socket.json();
    assert_eq!(
        (&gap["op"], &gap["from"], &gap["reason"]),
        (&json!("gap"), &json!("999.7"), &json!("recreated"))
    );
    assert_eq!(socket.json()["payload"], "x");
    drop(socket);
    let mut plain = WebSocket::open(node.gateway, "/orders?cursor=999.7", None);
    let Frame::Close(1013, reason) = plain.word() else { panic!() };
    assert!(reason.contains("recreated"), "{reason}");
    nobody_is_left(&node);
}
#[test]
fn broken_frames_end_the_connection_with_their_code() {
    let node = dev().set("limits.ws_message", "64KiB").start();
    let large = vec![b'x'; 65_537];
    let rows: &[(&str, u8, &[u8], u16)] = &[
        ("reserved bit", 0xc1, b"x", 1002),
        ("unknown opcode", 0x83, b"x", 1002),
        ("continuation of nothing", 0x80, b"x", 1002),
        ("control in pieces", 0x09, b"x", 1002),
        ("half a close code", 0x88, b"x", 1002),
        ("close code nobody may send", 0x88, &[3, 237], 1002),
        ("text that is no UTF-8", 0x81, &[0xff], 1007),
        ("too large", 0x81, &large, 1009),
    ];
    for (name, first, payload, code) in rows {
        for protocol in [None, JSON] {
            let mut socket = WebSocket::open(node.gateway, "/orders", protocol);
            socket.frame(*first, payload);
            let frame = socket.word();
            assert!(matches!(frame, Frame::Close(found, _) if found == *code), "{name}: {frame:?}");
            assert_eq!(socket.word(), Frame::Ended, "{name}");
        }
    }
    let mut socket = WebSocket::open(node.gateway, "/orders", None);
    socket.raw(b"\x81\x01x");
    assert!(matches!(socket.word(), Frame::Close(1002, _)), "a frame without a mask");
    nobody_is_left(&node);
    assert_eq!(node.get("/orders?wait=0").json()["items"], json!([]));
}
#[test]
fn what_is_not_understood_is_told_and_the_session_goes_on() {
    let node = dev().start();
    let mut socket = WebSocket::open(node.gateway, "/orders", JSON);
    for text in [
        "",
        "[]",
        "{\"op\":\"publsh\"}",
        "{\"op\":\"credit\",\"n\":1}",
        "{\"op\":\"publish\",\"payload\":1,\"colour\":2}",
    ] {
        socket.text(text);
        let problem = socket.json();
        assert_eq!((&problem["op"], &problem["code"]), (&json!("problem"), &json!("TG1016")), "{text}");
    }
    socket.say(&json!({ "op": "publish", "payload": "good" }));
    assert_eq!(socket.json()["op"], "receipt");
    let mut mock = WebSocket::open(node.gateway, "/qs-message-api", None);
    mock.text("nobody takes this");
    let Frame::Close(1008, reason) = mock.word() else { panic!() };
    assert!(reason.contains("takes no messages"), "{reason}");
    drop(socket);
    balance(&node);
}
#[test]
fn a_handshake_that_is_not_good_is_answered_over_http() {
    let node = dev().start();
    let rows: &[Refused] = &[
        ("/orders", &[("sec-websocket-version", "8")], 426, "TG1015"),
        ("/orders", &[("sec-websocket-key", "short")], 400, "TG1002"),
        ("/orders", &[("connection", "close")], 400, "TG1002"),
        // Where a body ends and frames begin would be a matter of opinion.
        ("/orders", &[("content-length", "5")], 400, "TG1002"),
        ("/orders", &[("transfer-encoding", "chunked")], 400, "TG1002"),
        ("/orders", &[("origin", "https://evil.example")], 403, "TG2002"),
        ("/orders", &[("origin", "null")], 403, "TG2002"),
        ("/orders?cursor=abc", &[], 400, "TG1008"),
        ("/orders?limit=1", &[], 400, "TG1009"),
        ("/nowhere", &[], 404, "TG1001"),
    ];
    for (target, headers, status, code) in rows {
        let (answer, _) = WebSocket::ask(node.gateway, target, headers);
        assert_eq!(
            (answer.status, answer.json()["code"].as_str()),
            (*status, Some(*code)),
            "{target} {headers:?}"
        );
    }
    let (answer, _) = WebSocket::ask(node.gateway, "/orders", &[("sec-websocket-version", "8")]);
    assert_eq!(answer.header("sec-websocket-version"), Some("13"));
    let (answer, _) = WebSocket::ask(
        node.gateway,
        "/orders",
        &[("host", "localhost:1"), ("origin", "http://localhost:3000")],
    );
    assert_eq!(answer.status, 101, "a page of another local origin may, in dev");
    balance(&node);
}
#[test]
fn who_reads_slowly_has_the_time_to_see_a_ping() {
    let node = dev().start_with(ORDERS);
    for _ in 0..4 {
        node.post("/orders", &[], &[b'x'; 10_000]);
    }
    let mut slow = WebSocket::open(node.gateway, "/orders?from=last:4", None);
    assert_eq!(slow.heard().len(), 10_000);
    // Ten heartbeats in which it reads nothing of what its system took for it.
    let mut other = WebSocket::open(node.gateway, "/orders", None);
    for _ in 0..10 {
        assert_eq!(other.any(), Frame::Ping(Vec::new()));
        other.frame(0x8a, b"");
    }
    for _ in 1..4 {
        assert_eq!(slow.heard().len(), 10_000);
    }
    node.post("/orders", &[], b"last");
    assert_eq!((slow.heard(), other.word()), ("last".to_owned(), Frame::Text("last".to_owned())));
    drop((slow, other));
    nobody_is_left(&node);
}
#[test]
fn who_leaves_is_released_with_nothing_flowing() {
    let node = dev().start_with(ORDERS);
    let reset = WebSocket::open(node.gateway, "/orders", None);
    let mut closed = WebSocket::open(node.gateway, "/orders", None);
    let finished = WebSocket::open(node.gateway, "/orders", None);
    node.until(SUBSCRIBERS, |open| open == 3);
    closed.close(1000);
    finished.shutdown(Shutdown::Write);
    drop(reset);
    node.until(SUBSCRIBERS, |open| open == 0);
    // Silent: it answers no ping.
    let mut silent = WebSocket::open(node.gateway, "/orders", None);
    node.until(SUBSCRIBERS, |open| open == 1);
    assert_eq!(silent.any(), Frame::Ping(Vec::new()));
    node.until(SUBSCRIBERS, |open| open == 0);
    // Who answers stays.
    let mut there = WebSocket::open(node.gateway, "/orders", None);
    for _ in 0..10 {
        assert_eq!(there.any(), Frame::Ping(Vec::new()));
        there.frame(0x8a, b"");
    }
    assert_eq!(node.metric(SUBSCRIBERS), 1);
    drop(there);
    nobody_is_left(&node);
}
#[test]
fn a_drain_answers_what_it_took_and_says_goodbye() {
    let node = dev().start();
    let mut reader = WebSocket::open(node.gateway, "/orders", JSON);
    reader.subscribe(&json!({ "op": "subscribe" }));
    let mut plain = WebSocket::open(node.gateway, "/orders", None);
    let mut writer = WebSocket::open(node.gateway, "/orders", JSON);
    node.until(SUBSCRIBERS, |open| open == 2);
    for i in 0..200 {
        writer.say(&json!({ "op": "publish", "ref": i, "payload": i }));
    }
    assert_eq!(writer.json()["ref"], 0);
    node.terminate();
    let mut stored = 1;
    let end = loop {
        match writer.word() {
            Frame::Text(text) => {
                let word: Value = serde_json::from_str(&text).unwrap();
                match word["op"].as_str().unwrap() {
                    "receipt" => stored += 1,
                    "goaway" => assert_eq!(word["reason"], "draining"),
                    other => panic!("{other}"),
                }
            }
            other => break other,
        }
    };
    assert_eq!(end, Frame::Close(1013, "draining".into()));
    let last = |socket: &mut WebSocket| loop {
        if let frame @ (Frame::Close(..) | Frame::Ended) = socket.word() {
            return frame;
        }
    };
    assert_eq!(last(&mut reader), Frame::Close(1013, "draining".into()));
    assert_eq!(last(&mut plain), Frame::Close(1013, "draining".into()));
    drop((reader, plain, writer));
    let node = node.restart_after_end();
    let there = node.get("/orders?limit=500").json()["items"].as_array().unwrap().len();
    assert!(there >= stored, "{stored} were acknowledged, {there} are there");
    balance(&node);
}
#[test]
fn a_client_that_does_not_read_costs_a_bounded_amount() {
    let node = dev().start();
    let mut slow = WebSocket::open(node.gateway, "/orders", JSON);
    slow.subscribe(&json!({ "op": "subscribe" }));
    node.until(SUBSCRIBERS, |open| open == 1);
    let before = node.memory();
    let body = vec![b'x'; 1 << 20];
    for _ in 0..64 {
        assert_eq!(node.post("/orders", &[], &body).status, 202);
    }
    node.until_memory(|now| now < before + (48 << 20));
    drop(slow);
    nobody_is_left(&node);
}
#[test]
fn what_comes_right_behind_the_handshake_is_taken() {
    let node = dev().start();
    let head = "GET /orders HTTP/1.1\r\nhost: h\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    // A masked text frame is published and comes back; what is no frame ends the connection, and no head is looked for in it.
    for (early, back) in [(&b"\x81\x81\0\0\0\0x"[..], &b"\x81\x01x"[..]), (b"G", b"\x88")] {
        let mut client = tidegate_testkit::Client::new(node.gateway);
        client.write(&[head.as_bytes(), early].concat());
        assert_eq!(client.head().unwrap().status, 101);
        let mut said = vec![0; back.len()];
        std::io::Read::read_exact(&mut client, &mut said).unwrap();
        assert_eq!(said, back);
    }
    nobody_is_left(&node);
}
