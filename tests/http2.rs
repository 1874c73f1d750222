//! HTTP/2 without TLS, over real sockets against the real binary: what HTTP/1.1 does, its limits, and what only HTTP/2 has.
use crate::dev;
use serde_json::json;
use tidegate_testkit::{
    Client, Http2, Node, balance,
    http2::{END_HEADERS, END_STREAM, PREFACE, Raw, block, frame, get, kind, request},
};

const STREAM: (&str, &str) = ("accept", "text/event-stream");
const SSE: &str = "tidegate_subscribers{api=\"orders\",entrypoint=\"sse\"}";
const OPEN: &str = "tidegate_connections{listener=\"gateway\"}";
const HEADERS_END: u8 = END_HEADERS | END_STREAM;

/// A client of its own is served, and the balance holds.
fn goes_on(node: &Node) {
    assert_eq!(node.post("/orders", &[], b"good").status, 202);
    assert_eq!(Http2::new(node.gateway).request("POST", "/orders", &[], b"good").status, 202);
    balance(node);
}
#[test]
fn one_connection_publishes_reads_and_streams_at_once() {
    let node = dev().start();
    let mut client = Http2::new(node.gateway);
    let sent = client.send("GET", "/orders", &[STREAM], Some(b""));
    let mut stream = client.begun(sent).unwrap();
    assert_eq!(stream.head.status, 200);
    let posted = client.request("POST", "/orders", &[], b"{\"id\":1}");
    assert_eq!((posted.status, &posted.json()["ack"]), (202, &json!("stored")));
    let batch = client.request("POST", "/orders", &[("content-type", "application/x-ndjson")], b"2\n3\n");
    assert_eq!(batch.status, 202, "{}", batch.text());
    let mut rest = String::new();
    for (id, data) in [("1.0", "{\"id\":1}"), ("1.1", "2"), ("1.2", "3")] {
        assert_eq!(client.event(&mut stream, &mut rest).unwrap(), format!("id: {id}\ndata: {data}"));
    }
    let page = client.request("GET", "/orders", &[], b"");
    assert_eq!((page.status, page.json()["items"].as_array().unwrap().len()), (200, 3));
    assert_eq!(client.request("GET", "/nowhere", &[], b"").json()["code"], "TG1001");
    drop(stream);
    node.until(SSE, |open| open == 0);
    assert_eq!(node.metric(OPEN), 1, "all of it on one");
    balance(&node);
}
#[test]
fn many_requests_at_once_are_all_answered() {
    let node = dev().start();
    let mut client = Http2::new(node.gateway);
    let sent: Vec<_> = (0..200)
        .map(|i| client.send("POST", "/orders", &[], Some(i.to_string().as_bytes())))
        .collect();
    for sent in sent {
        assert_eq!(client.answer(sent).status, 202);
    }
    let page = client.request("GET", "/orders?limit=200", &[], b"");
    assert_eq!(page.json()["items"].as_array().unwrap().len(), 200);
    balance(&node);
}
#[test]
fn the_admin_listener_speaks_it_too() {
    let node = dev().start();
    let mut client = Http2::new(node.admin);
    assert_eq!(client.request("GET", "/healthz", &[], b"").text(), "ok\n");
    assert!(client.request("GET", "/metrics", &[], b"").text().contains("tidegate_connections"));
}
#[test]
fn a_preface_that_comes_byte_by_byte_is_one() {
    let node = dev().start();
    let mut client = Raw::silent(node.gateway);
    let hello = [
        PREFACE,
        &frame(kind::SETTINGS, 0, 0, b""),
        &frame(kind::HEADERS, HEADERS_END, 1, &get("/orders?wait=0")),
    ];
    for byte in hello.concat().chunks(1) {
        assert!(client.write(byte));
    }
    let head = client.until(kind::HEADERS).unwrap();
    // `:status: 200` of the static table.
    assert_eq!((head.stream, head.payload.first()), (1, Some(&0x88)));
    // The same of HTTP/1.1, and of what begins alike.
    let mut client = Client::new(node.gateway);
    for byte in b"POST /orders HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi".chunks(1) {
        client.write(byte);
    }
    assert_eq!(client.answer().status, 202);
    let mut client = Client::new(node.gateway);
    client.write(b"PRI * HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(client.answer().status, 404);
    goes_on(&node);
}
#[test]
fn half_a_preface_has_the_time_of_a_head() {
    let node = dev().set("limits.head_timeout", "250ms").start();
    for part in [&PREFACE[..1], &PREFACE[..14], &PREFACE[..23]] {
        let mut client = Raw::silent(node.gateway);
        client.write(part);
        assert!(client.is_closed());
    }
    goes_on(&node);
}
#[test]
fn half_a_head_has_the_time_of_one() {
    let node = dev().set("limits.head_timeout", "250ms").start();
    let whole = frame(kind::HEADERS, HEADERS_END, 1, &get("/orders"));
    let unfinished = frame(kind::HEADERS, END_STREAM, 1, &get("/orders"));
    for part in [&whole[..4], &whole[..20], &unfinished] {
        let mut client = Raw::new(node.gateway, &[]);
        client.write(part);
        assert!(client.is_closed());
    }
    goes_on(&node);
}
#[test]
fn the_authority_is_the_host() {
    let node = dev().start();
    let mut client = Http2::new(node.gateway);
    let same = client.request("GET", "http://a.example/orders?wait=0", &[("host", "A.example")], b"");
    assert_eq!(same.status, 200);
    let other = client.request("GET", "http://a.example/orders?wait=0", &[("host", "b.example")], b"");
    assert_eq!((other.status, &other.json()["code"]), (400, &json!("TG1002")));
    let twice = client.request("GET", "http://a/orders?wait=0", &[("host", "a"), ("host", "a")], b"");
    assert_eq!(twice.status, 400);
    // A page of the same origin is at home, although there is no Host header.
    let origin = format!("http://{}", node.gateway);
    assert_eq!(client.request("POST", "/orders", &[("origin", &origin)], b"x").status, 202);
    // What a library would not send.
    let pseudo = |authority: &[(&'static str, &'static str)]| {
        let fields = [&[(":method", "GET"), (":scheme", "http"), (":path", "/orders?wait=0")], authority].concat();
        let mut raw = Raw::new(node.gateway, &[]);
        raw.write(&frame(kind::HEADERS, HEADERS_END, 1, &block(&fields)));
        loop {
            let frame = raw.frame().unwrap();
            match frame.kind {
                kind::HEADERS => return frame.payload[0] == 0x88,
                kind::RST_STREAM | kind::GOAWAY => return false,
                _ => {}
            }
        }
    };
    assert!(pseudo(&[(":authority", "a")]));
    assert!(pseudo(&[("host", "a")]));
    for wrong in [
        &[][..],
        &[(":authority", "")],
        &[(":authority", "u@a")],
        &[(":authority", "a b")],
        &[(":authority", "a/b")],
        &[("host", "u@a")],
        &[(":authority", "a"), (":authority", "a")],
    ] {
        assert!(!pseudo(wrong), "{wrong:?}");
    }
    goes_on(&node);
}
#[test]
fn heads_and_bodies_have_the_limits_of_http_1() {
    let node = dev()
        .set("limits.body", "64KiB")
        .set("limits.head", "16KiB")
        .set("limits.target", "1KiB")
        .start();
    let mut client = Http2::new(node.gateway);
    let names: Vec<_> = (0..70).map(|i| format!("x-{i}")).collect();
    let fields: Vec<_> = names.iter().map(|name| (name.as_str(), "1")).collect();
    assert_eq!(client.request("GET", "/orders", &fields, b"").status, 431);
    assert_eq!(
        client.request("GET", &format!("/topics/{}", "x".repeat(2_000)), &[], b"").status,
        414
    );
    assert_eq!(client.request("GET", "/orders/%2e%2e/x", &[], b"").status, 400);
    assert_eq!(client.request("TRACE", "/orders", &[], b"").status, 405);
    assert_eq!(client.request("POST", "/orders", &[], &vec![b'x'; (64 << 10) + 1]).status, 413);
    assert_eq!(client.request("POST", "/orders", &[], &vec![b'x'; 64 << 10]).status, 202);
    let large = client.request("GET", "/orders", &[("x", &"y".repeat(15 << 10))], b"");
    assert_eq!(large.status, 200, "just below");
    let mut raw = Raw::new(node.gateway, &[]);
    let head = request("GET", "/orders", &[("x", &"y".repeat(16 << 10))]);
    raw.write(&frame(kind::HEADERS, END_STREAM, 1, &head[..16_000]));
    raw.write(&frame(kind::CONTINUATION, END_HEADERS, 1, &head[16_000..]));
    let refused = raw.until(kind::HEADERS).unwrap();
    assert_ne!(refused.payload[0], 0x88);
    goes_on(&node);
}
#[test]
fn a_web_socket_within_is_offered_and_other_tunnels_are_not() {
    let node = dev().start();
    let mut raw = Raw::new(node.gateway, &[]);
    let hello = raw.until(kind::SETTINGS).unwrap();
    let offered = hello.payload.chunks(6).any(|setting| setting.starts_with(&[0, 8]));
    assert!(offered, "SETTINGS_ENABLE_CONNECT_PROTOCOL");
    let other = [
        (":method", "CONNECT"),
        (":protocol", "connect-udp"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", "/orders"),
    ];
    let plain = [(":method", "CONNECT"), (":authority", "a")];
    for (stream, asked) in [(1, &other[..]), (3, &plain)] {
        raw.write(&frame(kind::HEADERS, END_HEADERS, stream, &block(asked)));
        raw.until(kind::HEADERS).unwrap();
        let problem: serde_json::Value = serde_json::from_slice(&raw.until(kind::DATA).unwrap().payload).unwrap();
        assert_eq!((&problem["status"], &problem["code"]), (&json!(405), &json!("TG1004")));
    }
    goes_on(&node);
}
#[test]
fn a_connection_is_idle_when_no_stream_is_open() {
    let node = dev().set("limits.idle", "250ms").start();
    let mut client = Http2::new(node.gateway);
    let sent = client.send("GET", "/orders", &[STREAM], Some(b""));
    let mut stream = client.begun(sent).unwrap();
    let mut other = Http2::new(node.gateway);
    assert_eq!(other.request("POST", "/orders", &[], b"1").status, 202);
    assert!(other.is_closed(), "nothing open for longer than it may");
    let mut silent = Raw::new(node.gateway, &[]);
    assert!(silent.is_closed(), "never asked anything");
    // The one with a stream was there all the time.
    let mut rest = String::new();
    assert_eq!(client.event(&mut stream, &mut rest).unwrap(), "id: 1.0\ndata: 1");
    assert_eq!(client.request("POST", "/orders", &[], b"2").status, 202);
    assert_eq!(client.event(&mut stream, &mut rest).unwrap(), "id: 1.1\ndata: 2");
    drop(stream);
    assert!(client.is_closed(), "its last stream ended");
    node.until(SSE, |open| open == 0);
    balance(&node);
}
#[test]
fn pings_do_not_keep_a_connection_that_asks_nothing() {
    let node = dev().set("limits.idle", "250ms").start();
    let mut raw = Raw::new(node.gateway, &[]);
    // Each answer is the event that allows the next.
    while raw.write(&frame(kind::PING, 0, 0, &[1; 8])) && raw.until(kind::PING).is_some() {}
    goes_on(&node);
}
#[test]
fn a_client_that_leaves_leaves_no_stream_behind() {
    let node = dev().start();
    let mut client = Http2::new(node.gateway);
    let waiting: Vec<_> = (0..50).map(|_| client.send("GET", "/orders?wait=30s", &[], Some(b""))).collect();
    let streams: Vec<_> = (0..50)
        .map(|_| {
            let sent = client.send("GET", "/orders", &[STREAM], Some(b""));
            client.begun(sent)
        })
        .collect();
    let half: Vec<_> = (0..50)
        .map(|_| {
            let mut sent = client.send("POST", "/orders", &[], None).unwrap();
            client.more(&mut sent, b"half", false);
            sent
        })
        .collect();
    node.until("tidegate_in_flight_requests", |requests| requests == 100);
    node.until("tidegate_in_flight_bytes", |bytes| bytes == 200);
    node.until(SSE, |open| open == 50);
    // Some by a reset each, the others with their connection.
    drop(streams);
    node.until(SSE, |open| open == 0);
    drop((waiting, half, client));
    node.until("tidegate_in_flight_requests", |requests| requests == 0);
    node.until(OPEN, |open| open == 0);
    assert_eq!(node.metric("tidegate_in_flight_bytes"), 0);
    assert_eq!(node.get("/orders?wait=0").json()["items"].as_array().unwrap().len(), 0);
    goes_on(&node);
}
#[test]
fn a_drain_answers_what_it_took_and_says_goodbye() {
    let node = dev().start();
    let mut client = Http2::new(node.gateway);
    let sent = client.send("GET", "/orders", &[STREAM], Some(b""));
    let mut stream = client.begun(sent).unwrap();
    let mut half = client.send("POST", "/orders", &[], None).unwrap();
    client.more(&mut half, b"ha", false);
    node.until("tidegate_in_flight_bytes", |bytes| bytes == 2);
    // It asks nothing, and answers no ping.
    let mut idle = Raw::new(node.gateway, &[]);
    node.terminate();
    let mut rest = String::new();
    let goodbye = client.event(&mut stream, &mut rest).unwrap();
    assert!(goodbye.starts_with("event: goaway"), "{goodbye}");
    assert!(client.event(&mut stream, &mut rest).is_none());
    client.more(&mut half, b"lf", true);
    assert_eq!(client.answer(Some(half)).status, 202, "what was begun is finished");
    assert!(client.is_closed());
    assert!(idle.until(kind::GOAWAY).is_some());
    assert!(idle.is_closed());
    let (code, said) = node.last_words();
    assert_eq!(code, Some(0), "{said:?}");
}
#[test]
fn a_body_that_stops_coming_is_told_and_the_others_go_on() {
    let node = dev().set("limits.body_stall", "250ms").start();
    let mut client = Http2::new(node.gateway);
    let mut half = client.send("POST", "/orders", &[], None).unwrap();
    client.more(&mut half, b"half", false);
    let sent = client.send("GET", "/orders?wait=2s", &[], Some(b""));
    let late = client.answer(Some(half));
    assert_eq!((late.status, &late.json()["code"]), (408, &json!("TG1010")));
    assert_eq!(client.request("POST", "/orders", &[], b"x").status, 202);
    assert_eq!(client.answer(sent).status, 200);
    balance(&node);
}
#[test]
fn an_answer_that_is_not_taken_is_reset_and_the_others_go_on() {
    let node = dev().set("limits.write_stall", "250ms").start();
    // No window for anybody, until it says so.
    let mut raw = Raw::new(node.gateway, &[(4, 0)]);
    raw.write(&frame(
        kind::HEADERS,
        HEADERS_END,
        1,
        &request("GET", "/orders?from=earliest", &[STREAM]),
    ));
    node.until(SSE, |open| open == 1);
    let reset = raw.until(kind::RST_STREAM).unwrap();
    assert_eq!(reset.stream, 1);
    node.until(SSE, |open| open == 0);
    raw.write(&frame(kind::HEADERS, HEADERS_END, 3, &get("/orders?wait=0")));
    raw.write(&frame(kind::WINDOW_UPDATE, 0, 3, &[0, 0, 4, 0]));
    let page = raw.until(kind::DATA).unwrap();
    assert_eq!(page.stream, 3);
    goes_on(&node);
}
#[test]
fn an_answer_to_head_has_no_body() {
    let node = dev().start();
    let mut client = Http2::new(node.gateway);
    let page = client.request("GET", "/", &[], b"");
    let head = client.request("HEAD", "/", &[], b"");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), Some(&*page.body.len().to_string()));
    assert_eq!(client.request("HEAD", "/nowhere", &[], b"").status, 404);
    goes_on(&node);
}
#[test]
fn over_a_cap_is_503_with_retry_after() {
    let node = dev()
        .set("limits.in_flight", "2")
        .set("limits.in_flight_bytes", "8MiB")
        .set("limits.connections", "2")
        .start();
    let mut client = Http2::new(node.gateway);
    let mut slow = client.send("POST", "/orders", &[], None).unwrap();
    client.more(&mut slow, &vec![b'x'; (4 << 20) - 1], false);
    node.until("tidegate_in_flight_bytes", |bytes| bytes == (4 << 20) - 1);
    let mut second = client
        .send("POST", "/orders", &[("content-type", "application/x-ndjson")], None)
        .unwrap();
    client.more(&mut second, &vec![b'1'; 6 << 20], false);
    let over = client.answer(Some(second));
    assert_eq!((over.status, over.header("retry-after")), (503, Some("1")), "bytes");
    let waiting = client.send("GET", "/orders?wait=30s", &[], Some(b""));
    node.until("tidegate_in_flight_requests", |requests| requests == 2);
    let over = client.request("POST", "/orders", &[], b"x");
    assert_eq!((over.status, over.header("retry-after")), (503, Some("1")), "requests");
    drop((waiting, slow));
    let mut other = Http2::new(node.gateway);
    node.until("tidegate_in_flight_requests", |requests| requests == 0);
    assert_eq!(other.request("GET", "/orders?wait=0", &[], b"").status, 200);
    let mut third = Http2::new(node.gateway);
    let over = third.request("GET", "/orders?wait=0", &[], b"");
    assert_eq!(
        (over.status, over.header("retry-after"), &over.json()["code"]),
        (503, Some("1"), &json!("TG2003")),
        "connections"
    );
    assert!(third.is_closed());
    drop((client, other));
    node.until(OPEN, |open| open == 0);
    goes_on(&node);
}
