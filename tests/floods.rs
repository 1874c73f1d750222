//! Floods of HTTP/2: each ends its connection or is refused, costs little memory, and others are served meanwhile and afterwards.
use crate::dev;
use tidegate_testkit::{
    Http2, Node, balance,
    http2::{END_HEADERS, END_STREAM, Raw, block, frame, get, kind, request},
};

const MOST: u64 = 10 << 20;
const OPEN: &str = "tidegate_connections{listener=\"gateway\"}";
const HEADERS_END: u8 = END_HEADERS | END_STREAM;
/// Far more than is let pass, however slow the machine is.
const ENOUGH: u32 = 2_000;

/// Warm, and with its peak at rest.
fn warm() -> Node {
    watched(dev().start())
}
fn watched(node: Node) -> Node {
    watched_with(node, "/orders")
}
fn watched_with(node: Node, page: &str) -> Node {
    let mut client = Http2::new(node.gateway);
    for _ in 0..50 {
        assert_eq!(client.request("POST", "/orders", &[], b"good").status, 202);
        assert_eq!(client.request("GET", page, &[], b"").status, 200);
    }
    drop(client);
    node.until(OPEN, |open| open == 0);
    node.forget_peak();
    node
}
/// Writes until the connection is ended, reading what comes beside it.
fn ends(node: &Node, name: &str, mut client: Raw, mut next: impl FnMut(u32) -> Vec<u8>) {
    let before = node.memory();
    let mut twin = client.twin();
    let reading = std::thread::spawn(move || twin.is_closed());
    let _all_written = (0..ENOUGH).any(|round| !client.write(&next(round)));
    assert!(reading.join().unwrap(), "{name}: it goes on");
    node.until(OPEN, |open| open == 0);
    costs_little(node, name, before);
}
fn costs_little(node: &Node, name: &str, before: u64) {
    let grown = node.peak().saturating_sub(before);
    assert!(grown <= MOST, "{name}: {grown} bytes more");
    // Streams end with their connection, a moment later.
    node.until("tidegate_in_flight_requests", |requests| requests == 0);
    assert_eq!(node.post("/orders", &[], b"good").status, 202, "{name}");
    balance(node);
}
/// The numbers of streams a client opens.
fn stream(number: u32) -> u32 {
    2 * number + 1
}
#[test]
fn streams_that_are_opened_and_reset_end_the_connection() {
    let node = warm();
    let pair = |number: u32, target: &str| {
        [
            frame(kind::HEADERS, HEADERS_END, stream(number), &get(target)),
            frame(kind::RST_STREAM, 0, stream(number), &[0, 0, 0, 8]),
        ]
        .concat()
    };
    // Many at once, before anybody has looked at them.
    ends(&node, "at once", Raw::new(node.gateway, &[]), |round| {
        (0..100).flat_map(|i| pair(round * 100 + i, "/orders?wait=0")).collect()
    });
    // A few at a time: each is begun, and asks for what takes long.
    ends(&node, "a few at a time", Raw::new(node.gateway, &[]), |round| {
        (0..10).flat_map(|i| pair(round * 10 + i, "/orders?wait=30s")).collect()
    });
    // The server is made to reset them (CVE-2025-8671).
    ends(&node, "by the server", Raw::new(node.gateway, &[]), |round| {
        let bad = |number: u32| {
            [
                frame(kind::HEADERS, HEADERS_END, stream(number), &get("/orders?wait=30s")),
                frame(kind::WINDOW_UPDATE, 0, stream(number), &[0; 4]),
            ]
            .concat()
        };
        (0..10).flat_map(|i| bad(round * 10 + i)).collect()
    });
}
#[test]
fn a_head_without_end_ends_the_connection() {
    let node = warm();
    for (name, part) in [("empty", &b""[..]), ("small", b"\0\x01x\x01y"), ("large", &[0x82; 16 << 10])] {
        let mut client = Raw::new(node.gateway, &[]);
        client.write(&frame(kind::HEADERS, 0, 1, &get("/orders")));
        ends(&node, name, client, |_| {
            frame(kind::CONTINUATION, 0, 1, part).repeat(if part.len() > 100 { 1 } else { 100 })
        });
    }
}
#[test]
fn frames_that_only_cost_end_the_connection() {
    let node = warm();
    let settings = |value: u32| [&[0, 4][..], &value.to_be_bytes()].concat();
    let rows: &[(&str, u8, u32, Vec<u8>)] = &[
        ("ping", kind::PING, 0, vec![1; 8]),
        ("settings", kind::SETTINGS, 0, settings(1_000)),
        ("empty settings", kind::SETTINGS, 0, vec![]),
        ("window of the connection", kind::WINDOW_UPDATE, 0, vec![0, 0, 0, 1]),
        ("priority", kind::PRIORITY, 1, vec![0, 0, 0, 0, 0]),
        ("unknown", 0xfa, 0, vec![]),
    ];
    for (name, kind, stream, payload) in rows {
        ends(&node, name, Raw::new(node.gateway, &[]), |_| {
            frame(*kind, 0, *stream, payload).repeat(100)
        });
    }
    // With streams that are open.
    let mut client = Raw::new(node.gateway, &[]);
    client.write(&frame(kind::HEADERS, END_HEADERS, 1, &request("POST", "/orders", &[])));
    ends(&node, "empty content", client, |_| frame(kind::DATA, 0, 1, b"").repeat(100));
    let mut client = Raw::new(node.gateway, &[]);
    for number in 0..100 {
        client.write(&frame(kind::HEADERS, HEADERS_END, stream(number), &get("/orders?wait=30s")));
    }
    ends(&node, "windows of all streams", client, |round| {
        (0..100)
            .flat_map(|i| frame(kind::SETTINGS, 0, 0, &settings(round * 100 + i)))
            .collect()
    });
}
#[test]
fn answers_to_pings_that_are_not_read_are_bounded() {
    let node = watched(dev().set("limits.write_stall", "250ms").start());
    let before = node.memory();
    let mut client = Raw::new(node.gateway, &[]);
    let pings = frame(kind::PING, 0, 0, &[1; 8]).repeat(1_000);
    assert!((0..ENOUGH).any(|_| !client.write(&pings)), "it goes on");
    node.until(OPEN, |open| open == 0);
    costs_little(&node, "pings", before);
}
#[test]
fn windows_that_cannot_be_end_the_connection() {
    let node = warm();
    for (name, bytes) in [
        ("overflow", frame(kind::WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]).repeat(2)),
        ("nothing", frame(kind::WINDOW_UPDATE, 0, 0, &[0; 4])),
        ("too large a frame", frame(kind::DATA, 0, 1, &vec![0; 20_000])),
        ("content of no stream", frame(kind::DATA, 0, 1, b"x")),
    ] {
        let before = node.memory();
        let mut client = Raw::new(node.gateway, &[]);
        client.write(&bytes);
        assert!(client.is_closed(), "{name}");
        costs_little(&node, name, before);
    }
}
#[test]
fn a_small_head_that_unfolds_to_a_large_one_is_refused() {
    let node = warm();
    // An entry of the table of 4 KiB, and then one byte for each use of it: 60 KiB and more than allowed.
    let bomb = |uses: usize| {
        let mut block = block(&[(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/orders")]);
        let mut entry = block_of("x", &"y".repeat(3_900));
        entry[0] = 0x40;
        block.extend(entry);
        block.extend(vec![0xbe; uses]);
        block
    };
    for uses in [15, 1_000, 8_000] {
        let before = node.memory();
        let mut client = Raw::new(node.gateway, &[]);
        for number in 0..256 {
            client.write(&frame(kind::HEADERS, HEADERS_END, stream(number), &bomb(uses)));
        }
        // The first is told, or the connection is ended.
        let told = client.until(kind::HEADERS);
        let answered = told.is_some_and(|head| head.payload.first() == Some(&0x88));
        assert_eq!(answered, uses == 15, "{uses} uses");
        drop(client);
        costs_little(&node, &format!("{uses} uses"), before);
    }
}
#[test]
fn large_heads_whose_bodies_never_come_are_shed() {
    let node = warm();
    // Each of 60 KiB, and of them 15 MiB.
    let head = request("POST", "/orders", &[("x", &"y".repeat(60 << 10))]);
    let write = |client: &mut Raw, number: u32| {
        let mut rest = &head[..];
        let mut frames = Vec::new();
        while !rest.is_empty() {
            let (part, after) = rest.split_at(rest.len().min(16 << 10));
            let kind = if frames.is_empty() { kind::HEADERS } else { kind::CONTINUATION };
            let end = if after.is_empty() { END_HEADERS } else { 0 };
            frames.extend(frame(kind, end, stream(number), part));
            rest = after;
        }
        assert!(client.write(&frames));
    };
    // What a few of them need anyway, program text included, is there before.
    let mut first = Raw::new(node.gateway, &[]);
    (0..8).for_each(|number| write(&mut first, number));
    node.until("tidegate_in_flight_requests", |requests| requests == 8);
    drop(first);
    node.until(OPEN, |open| open == 0);
    node.forget_peak();
    let before = node.memory();
    let mut client = Raw::new(node.gateway, &[]);
    let mut twin = client.twin();
    (0..256).for_each(|number| write(&mut client, number));
    // 2 MiB of them wait for their bodies.
    for _ in 0..(256 - (2 << 20) / (60 << 10)) {
        assert_ne!(twin.until(kind::HEADERS).unwrap().payload[0], 0x88);
    }
    assert!(node.metric("tidegate_in_flight_requests") > 0);
    drop((client, twin));
    costs_little(&node, "heads", before);
}
#[test]
fn pages_that_nobody_takes_are_bounded_in_memory_and_time() {
    let node = dev()
        .set("limits.write_stall", "500ms")
        .set("limits.in_flight_bytes", "32MiB")
        .start();
    let large = vec![b'x'; 1 << 20];
    for _ in 0..2 {
        assert_eq!(node.post("/orders", &[], &large).status, 202);
    }
    let node = watched_with(node, "/orders?limit=1");
    let before = node.memory();
    for (name, settings, window) in [
        ("no window", &[(4, 0)][..], 0_u32),
        ("a window of the connection only", &[(4, 0)], 1 << 30),
        ("windows, and nothing is read", &[(4, 0x7fff_ffff)], 1 << 30),
    ] {
        let mut client = Raw::new(node.gateway, settings);
        if window > 0 {
            client.write(&frame(kind::WINDOW_UPDATE, 0, 0, &window.to_be_bytes()));
        }
        for number in 0..200 {
            client.write(&frame(kind::HEADERS, HEADERS_END, stream(number), &get("/orders?limit=1")));
        }
        // Some wait for their client, the others are refused, and after the stall all of it is given back: though the client still is there.
        node.until("tidegate_in_flight_bytes", |bytes| bytes > 0);
        node.until("tidegate_in_flight_bytes", |bytes| bytes == 0);
        drop(client);
        node.until(OPEN, |open| open == 0);
        // What it may hold at once is 8 MiB; what is being made, and what the allocator keeps of it for a moment, comes to it. All would be 200.
        let grown = node.peak().saturating_sub(before);
        assert!(grown <= 64 << 20, "{name}: {grown} bytes more");
        balance(&node);
    }
}
fn block_of(name: &str, value: &str) -> Vec<u8> {
    block(&[(name, value)])
}
#[test]
fn many_small_fields_are_refused_cheaply() {
    let node = warm();
    let before = node.memory();
    let mut client = Raw::new(node.gateway, &[]);
    let mut block = get("/orders");
    // `accept-encoding: gzip, deflate` of the static table: a byte each.
    block.extend(vec![0x90; 1_000]);
    let all: Vec<u8> = (0..256)
        .flat_map(|number| frame(kind::HEADERS, HEADERS_END, stream(number), &block))
        .collect();
    client.write(&all);
    let mut refused = 0;
    while refused < 256 {
        let frame = client.frame().unwrap();
        assert_ne!(frame.payload.first(), Some(&0x88));
        refused += u32::from(frame.kind == kind::HEADERS);
    }
    costs_little(&node, "fields", before);
}
