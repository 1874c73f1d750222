//! Many subscribers of one source: one upstream, nobody waits for a slow one, nothing is missing in silence.
use crate::dev;
use serde_json::json;
use std::{
    io::Read as _,
    process::{Command, Stdio},
    thread,
};
use tidegate_testkit::{
    Client, Node, balance,
    websocket::{Frame, WebSocket},
};

const SSE: &str = "tidegate_subscribers{api=\"orders\",entrypoint=\"sse\"}";
const UPSTREAM: &str = "tidegate_upstream_consumers{api=\"orders\"}";

fn events(stream: &mut Client, count: usize) -> Vec<String> {
    let mut rest = String::new();
    (0..count).map(|_| stream.event(&mut rest).unwrap()).collect()
}
#[test]
fn a_thousand_streams_have_one_upstream() {
    let node = dev().start();
    let mut streams: Vec<Client> = (0..1_000).map(|_| node.stream("/orders", &[])).collect();
    node.until(SSE, |open| open == 1_000);
    node.until(UPSTREAM, |open| open == 1);
    for i in 0..3 {
        node.post("/orders", &[], i.to_string().as_bytes());
    }
    for stream in &mut streams {
        assert_eq!(events(stream, 3), ["id: 1.0\ndata: 0", "id: 1.1\ndata: 1", "id: 1.2\ndata: 2"]);
    }
    drop(streams);
    node.until(SSE, |open| open == 0);
    node.until(UPSTREAM, |open| open == 0);
    balance(&node);
}
#[test]
fn all_forms_share_the_upstream_and_each_gets_its_own_spelling() {
    let node = dev().start();
    let mut chunked = node.stream("/orders", &[]);
    let mut plain = WebSocket::open(node.gateway, "/orders", None);
    let mut json = WebSocket::open(node.gateway, "/orders", Some("tidegate.v1.json"));
    assert_eq!(
        json.subscribe(&json!({"op": "subscribe", "ref": [1]})),
        json!({"op": "subscribed", "ref": [1]})
    );
    let mut raw = Client::new(node.gateway);
    raw.write(b"GET /orders HTTP/1.0\r\naccept: text/event-stream\r\n\r\n");
    assert_eq!(raw.head().unwrap().status, 200);
    node.until(SSE, |open| open == 2);
    node.until("tidegate_subscribers{api=\"orders\",entrypoint=\"websocket\"}", |open| open == 2);
    node.until(UPSTREAM, |open| open == 1);
    node.post("/orders", &[], b"x");
    assert_eq!(events(&mut chunked, 1), ["id: 1.0\ndata: x"]);
    assert_eq!(plain.heard(), "x");
    let message = json.json();
    assert_eq!(
        (&message["op"], &message["position"], &message["payload"]),
        (&json!("message"), &json!("1.0"), &json!("x"))
    );
    let mut seen = String::new();
    while !seen.ends_with("id: 1.0\ndata: x\n\n") {
        let mut byte = [0];
        raw.read_exact(&mut byte).unwrap();
        seen.push(char::from(byte[0]));
    }
    drop((chunked, plain, json, raw));
    node.until(UPSTREAM, |open| open == 0);
    balance(&node);
}
/// More than the system's buffers of one connection hold, in messages of [`LARGE`].
const MANY: usize = 3_000;
const LARGE: usize = 8 << 10;

fn flood(node: &Node, path: &str) {
    let mut client = Client::new(node.gateway);
    for i in 0..MANY {
        let payload = format!("{i:>LARGE$}");
        assert_eq!(client.request("POST", path, &[], payload.as_bytes()).status, 202);
    }
}
/// The numbers of the messages a stream still gets, and how many it was told are missing, until that makes all there are.
fn numbers(stream: &mut Client) -> (Vec<usize>, u64) {
    let (mut seen, mut missed, mut rest) = (Vec::new(), 0, String::new());
    while seen.len() as u64 + missed < MANY as u64 {
        let Some(event) = stream.event(&mut rest) else {
            panic!("it ended after {} messages, {missed} missing: {rest:?}", seen.len());
        };
        let data = event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
        if event.contains("event: gap") {
            let gap: serde_json::Value = serde_json::from_str(data).unwrap();
            assert_eq!(gap["reason"], "too_slow", "{event}");
            missed += gap["missed"].as_u64().unwrap();
        } else {
            seen.push(data.trim().parse().unwrap());
        }
    }
    (seen, missed)
}
#[test]
fn who_stops_reading_a_stream_reads_on_from_disk_and_harms_nobody() {
    let node = dev().set("limits.write_stall", "60s").start();
    let mut stopped: Vec<Client> = (0..8).map(|_| node.stream("/orders", &[])).collect();
    let mut healthy: Vec<Client> = (0..8).map(|_| node.stream("/orders", &[])).collect();
    node.until(SSE, |open| open == 16);
    let before = node.memory();
    thread::scope(|scope| {
        let readers: Vec<_> = healthy.iter_mut().map(|stream| scope.spawn(|| numbers(stream))).collect();
        flood(&node, "/orders");
        for reader in readers {
            assert_eq!(reader.join().unwrap(), ((0..MANY).collect(), 0));
        }
    });
    // The ring and the log's own memory, which do not grow with the number of those who stopped.
    let grown = node.memory().saturating_sub(before);
    assert!(grown < 48 << 20, "{grown} bytes more");
    for stream in &mut stopped {
        assert_eq!(numbers(stream), ((0..MANY).collect(), 0));
    }
    drop((stopped, healthy));
    node.until(SSE, |open| open == 0);
    balance(&node);
}
#[test]
fn who_stops_reading_what_nobody_stores_is_told_how_much_it_missed() {
    let node = dev().start();
    let mut stopped = node.stream("/topics/x", &[]);
    let mut healthy = node.stream("/topics/x", &[]);
    let mut plain = WebSocket::open(node.gateway, "/topics/x", None);
    node.until("tidegate_subscribers{api=\"topics\",entrypoint=\"sse\"}", |open| open == 2);
    node.until("tidegate_subscribers{api=\"topics\",entrypoint=\"websocket\"}", |open| open == 1);
    thread::scope(|scope| {
        let reader = scope.spawn(|| numbers(&mut healthy));
        flood(&node, "/topics/x");
        let (seen, _) = reader.join().unwrap();
        assert!(seen.windows(2).all(|pair| pair[0] < pair[1]));
    });
    let (seen, missed) = numbers(&mut stopped);
    assert!(missed > 0);
    assert_eq!(seen.len() as u64 + missed, MANY as u64);
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]));
    // A plain frame has no word for it.
    let mut seen = 0;
    let (code, reason) = loop {
        match plain.word() {
            Frame::Text(_) => seen += 1,
            Frame::Close(code, reason) => break (code, reason),
            other => panic!("{other:?}"),
        }
    };
    assert!(
        code == 1013 && reason.contains("too_slow") && seen < MANY,
        "{code} {reason} after {seen}"
    );
    drop((stopped, healthy, plain));
    node.until("tidegate_upstream_consumers{api=\"topics\"}", |open| open == 0);
    balance(&node);
}
/// So many short messages, numbered from `from`, in one request.
fn batch(node: &Node, path: &str, numbers: std::ops::Range<usize>) {
    let lines: Vec<String> = numbers.map(|number| number.to_string()).collect();
    let answer = node.post(path, &[("content-type", "application/x-ndjson")], lines.join("\n").as_bytes());
    assert_eq!(answer.status, 202, "{}", answer.text());
}
#[test]
fn credit_that_comes_late_goes_on_where_it_ended() {
    for (slow, gap) in [("catch_up", false), ("gap", true)] {
        let node = stored(slow);
        let mut socket = WebSocket::open(node.gateway, "/orders", Some("tidegate.v1.json"));
        batch(&node, "/orders", 0..100);
        let begun = socket.subscribe(&json!({"op": "subscribe", "credit": 10}));
        assert_eq!(begun["cursor"], "1.99");
        batch(&node, "/orders", 100..110);
        for i in 100..110 {
            assert_eq!(socket.json()["position"], format!("1.{i}"));
        }
        // It rests in a shard meanwhile, and the ring forgets.
        socket.frame(0x8a, b"");
        for from in (110..10_110).step_by(5_000) {
            batch(&node, "/orders", from..from + 5_000);
        }
        socket.say(&json!({"op": "credit", "n": 20}));
        if gap {
            let told = socket.json();
            assert_eq!(
                (&told["op"], &told["from"], &told["to"]),
                (&json!("gap"), &json!("1.109"), &json!("1.10109"))
            );
        } else {
            for i in 110..130 {
                assert_eq!(socket.json()["position"], format!("1.{i}"));
            }
        }
        drop(socket);
        node.until(UPSTREAM, |open| open == 0);
        balance(&node);
    }
}
#[test]
fn who_is_overtaken_by_the_ring_gets_everything_once() {
    let node = dev().set("limits.fan_out_bytes", "1MiB").start();
    let mut streams: Vec<Client> = (0..50).map(|_| node.stream("/orders", &[])).collect();
    node.until(SSE, |open| open == 50);
    thread::scope(|scope| {
        let readers: Vec<_> = streams
            .iter_mut()
            .map(|stream| {
                scope.spawn(|| {
                    for (i, event) in events(stream, 20_000).iter().enumerate() {
                        assert_eq!(*event, format!("id: 1.{i}\ndata: {i}"));
                    }
                })
            })
            .collect();
        for from in (0..20_000).step_by(2_000) {
            batch(&node, "/orders", from..from + 2_000);
        }
        for reader in readers {
            reader.join().unwrap();
        }
    });
    drop(streams);
    node.until(UPSTREAM, |open| open == 0);
    balance(&node);
}
#[test]
fn a_topic_that_is_rare_in_its_stream_is_read_to_its_end() {
    let node = dev().start_with(
        "kind: stream\nname: all\ntopics: [\"t/#\"]\n---\nkind: api\nname: topics\npaths: [\"/topics/*\"]\nbackend: { topic: \"${rest}\" }\n",
    );
    for part in 0..3 {
        node.post("/topics/t/rare", &[], part.to_string().as_bytes());
        for _ in 0..3 {
            batch(&node, "/topics/t/busy", 0..10_000);
        }
    }
    let whole = ["id: 1.0\ndata: 0", "id: 1.30001\ndata: 1", "id: 1.60002\ndata: 2"];
    let mut stream = node.stream("/topics/t/rare?from=earliest", &[]);
    assert_eq!(events(&mut stream, 3), whole);
    let mut back = node.stream("/topics/t/rare", &[("last-event-id", "1.0")]);
    assert_eq!(events(&mut back, 2), whole[1..]);
    node.post("/topics/t/rare", &[], b"3");
    for stream in [&mut stream, &mut back] {
        assert_eq!(events(stream, 1), ["id: 1.90003\ndata: 3"]);
    }
    drop((stream, back));
    node.until("tidegate_upstream_consumers{api=\"topics\"}", |open| open == 0);
    balance(&node);
}
fn stored(slow: &str) -> Node {
    dev().start_with(&format!(
        "kind: stream\nname: orders\n---\nkind: api\nname: orders\npaths: [/orders]\nbackend: {{ stream: orders }}\nslow: {slow}\n"
    ))
}
#[test]
fn a_slow_one_is_told_the_gap_if_the_api_says_so() {
    let node = stored("gap");
    let mut stopped = node.stream("/orders", &[]);
    node.until(SSE, |open| open == 1);
    flood(&node, "/orders");
    let (seen, missed) = numbers(&mut stopped);
    assert!(missed > 0);
    assert_eq!(seen.len() as u64 + missed, MANY as u64);
    drop(stopped);
    node.until(SSE, |open| open == 0);
    balance(&node);
}
#[test]
fn a_slow_one_is_closed_if_the_api_says_so() {
    let node = stored("close");
    let mut stopped = node.stream("/orders", &[]);
    let mut plain = WebSocket::open(node.gateway, "/orders", None);
    node.until(SSE, |open| open == 1);
    node.until("tidegate_subscribers{api=\"orders\",entrypoint=\"websocket\"}", |open| open == 1);
    flood(&node, "/orders");
    let mut rest = String::new();
    let last = std::iter::from_fn(|| stopped.event(&mut rest)).last().unwrap();
    assert_eq!(last, "event: goaway\ndata: {\"reason\":\"too_slow\"}");
    let last = std::iter::from_fn(|| Some(plain.word())).find(|frame| !matches!(frame, Frame::Text(_)));
    assert_eq!(last, Some(Frame::Close(1013, "too_slow".into())));
    drop((stopped, plain));
    node.until(SSE, |open| open == 0);
    balance(&node);
}
#[test]
fn a_client_that_never_reads_costs_little_memory() {
    // What is given back goes to the system at once: what the allocator keeps for later is not held for the client.
    let node = dev().variable("MIMALLOC_PURGE_DELAY", "0").start();
    let open = "tidegate_subscribers{api=\"topics\",entrypoint=\"sse\"}";
    let payload = vec![b'x'; 1 << 20];
    let mut client = Client::new(node.gateway);
    // What such messages need on their way, and the allocator then keeps, is there before.
    let mut reader = node.stream("/topics/large", &[]);
    node.until(open, |open| open == 1);
    for _ in 0..8 {
        client.request("POST", "/topics/large", &[], &payload);
        events(&mut reader, 1);
    }
    drop(reader);
    node.until(open, |open| open == 0);
    let stopped = node.stream("/topics/large", &[]);
    node.until(open, |open| open == 1);
    let before = node.memory();
    for _ in 0..64 {
        assert_eq!(client.request("POST", "/topics/large", &[], &payload).status, 202);
    }
    // With all of it published, and the client still there: what the last publish took itself is given back by then.
    node.until_memory(|now| now < before + (8 << 20));
    drop(stopped);
    node.until(open, |open| open == 0);
    balance(&node);
}
#[test]
fn what_all_of_many_topics_readers_have_taken_is_kept_no_longer() {
    const TOPICS: usize = 64;
    let node = dev().variable("MIMALLOC_PURGE_DELAY", "0").start();
    let mut client = Client::new(node.gateway);
    let mut readers: Vec<WebSocket> = (0..TOPICS)
        .map(|topic| WebSocket::open(node.gateway, &format!("/topics/many/{topic}"), None))
        .collect();
    node.until("tidegate_subscribers{api=\"topics\",entrypoint=\"websocket\"}", |open| {
        open == TOPICS as u64
    });
    let mut round = |bytes: usize| {
        let payload = vec![b'x'; bytes];
        for (topic, reader) in readers.iter_mut().enumerate() {
            let answer = client.request("POST", &format!("/topics/many/{topic}"), &[], &payload);
            assert_eq!(answer.status, 202);
            assert_eq!(reader.heard().len(), payload.len());
        }
    };
    round(32 << 10);
    round(32 << 10);
    let before = node.memory();
    // Of each topic 384 KiB: 24 MiB in all.
    for _ in 0..12 {
        round(32 << 10);
    }
    node.until_memory(|now| now < before + (8 << 20));
    // Nor does it wait for the next message.
    round(384 << 10);
    node.until_memory(|now| now < before + (8 << 20));
    drop(readers);
    node.until("tidegate_subscribers{api=\"topics\",entrypoint=\"websocket\"}", |open| open == 0);
    balance(&node);
}
/// A client whose machine is gone: its socket's filter throws away all that comes, so nothing is acknowledged and nothing is answered.
const SILENT: &str = r#"
import ctypes, socket, struct, sys
host, port, path, upgrade = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4] == "websocket"
s = socket.create_connection((host, port))
head = f"GET {path} HTTP/1.1\r\nhost: {host}\r\n"
if upgrade:
    head += "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
else:
    head += "accept: text/event-stream\r\n"
s.sendall((head + "\r\n").encode())
assert s.recv(4096).startswith(b"HTTP/1.1 " + (b"101" if upgrade else b"200"))
drop_all = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))
SO_ATTACH_FILTER = 26
s.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HxxxxxxP", 1, ctypes.addressof(drop_all)))
print("silent", flush=True)
sys.stdin.read()
"#;
#[test]
fn who_falls_silent_is_released_within_two_heartbeats() {
    let node = dev().start_with(
        "kind: stream\nname: orders\n---\nkind: api\nname: orders\npaths: [/orders]\nbackend: { stream: orders }\n\
         entrypoints: { sse: { heartbeat: 500ms }, websocket: { heartbeat: 500ms } }\n",
    );
    for (form, class) in [
        ("sse", SSE),
        ("websocket", "tidegate_subscribers{api=\"orders\",entrypoint=\"websocket\"}"),
    ] {
        let address = node.gateway;
        let mut client = Command::new("python3")
            .args([
                "-c",
                SILENT,
                &address.ip().to_string(),
                &address.port().to_string(),
                "/orders",
                form,
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = [0; 7];
        client.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
        assert_eq!(node.metric(class), 1, "{form}");
        // No message flows; its end is seen all the same.
        node.until(class, |open| open == 0);
        node.until(UPSTREAM, |open| open == 0);
        assert!(matches!(client.try_wait(), Ok(None)), "the client is still there");
        drop(client.stdin.take());
        client.wait().unwrap();
    }
    balance(&node);
}
#[test]
fn who_goes_is_released_with_no_message_flowing() {
    let node = dev().start();
    for how in ["fin", "rst", "half"] {
        let stream = node.stream("/orders", &[]);
        let socket = WebSocket::open(node.gateway, "/orders", None);
        let mut json = WebSocket::open(node.gateway, "/orders", Some("tidegate.v1.json"));
        json.subscribe(&json!({"op": "subscribe", "credit": 1}));
        node.until(SSE, |open| open == 1);
        node.until("tidegate_subscribers{api=\"orders\",entrypoint=\"websocket\"}", |open| open == 2);
        node.until(UPSTREAM, |open| open == 1);
        match how {
            "rst" => {
                reset(stream.socket());
                socket.with(reset);
                json.with(reset);
            }
            "half" => {
                stream.socket().shutdown(std::net::Shutdown::Write).unwrap();
                socket.shutdown(std::net::Shutdown::Write);
                json.shutdown(std::net::Shutdown::Write);
                node.until(UPSTREAM, |open| open == 0);
            }
            _ => {}
        }
        drop((stream, socket, json));
        node.until(UPSTREAM, |open| open == 0);
    }
    balance(&node);
}
/// Closing it now sends RST.
fn reset(socket: &std::net::TcpStream) {
    socket2::SockRef::from(socket).set_linger(Some(std::time::Duration::ZERO)).unwrap();
}
#[test]
fn a_drain_says_goodbye_to_two_thousand_streams() {
    let node = dev().start();
    let mut streams: Vec<Client> = (0..1_000).map(|_| node.stream("/orders", &[])).collect();
    let mut sockets: Vec<_> = (0..1_000).map(|_| WebSocket::open(node.gateway, "/orders", None)).collect();
    node.until(UPSTREAM, |open| open == 1);
    let mut stored = 0;
    for _ in 0..20 {
        stored += usize::from(node.post("/orders", &[], b"x").status == 202);
    }
    node.terminate();
    for stream in &mut streams {
        let mut rest = String::new();
        let all: Vec<_> = std::iter::from_fn(|| stream.event(&mut rest)).collect();
        // What it was not given, it comes back for.
        assert!(all.len() <= stored + 1);
        assert_eq!(all.last().unwrap(), "event: goaway\ndata: {\"reason\":\"draining\"}");
    }
    for socket in &mut sockets {
        let mut seen = 0;
        let last = loop {
            match socket.word() {
                Frame::Text(_) => seen += 1,
                other => break other,
            }
        };
        assert!(seen <= stored);
        assert_eq!(last, Frame::Close(1013, "draining".into()));
    }
    drop((streams, sockets));
    let node = node.restart_after_end();
    assert_eq!(node.get("/orders").json()["items"].as_array().unwrap().len(), stored);
    balance(&node);
}
#[test]
fn a_drain_hands_out_what_is_only_live() {
    let node = dev().start();
    let mut stream = node.stream("/topics/x", &[]);
    let mut socket = WebSocket::open(node.gateway, "/topics/x", None);
    let mut client = Client::new(node.gateway);
    for i in 0..200 {
        assert_eq!(client.request("POST", "/topics/x", &[], i.to_string().as_bytes()).status, 202);
    }
    node.terminate();
    let mut rest = String::new();
    let all: Vec<_> = std::iter::from_fn(|| stream.event(&mut rest)).collect();
    assert_eq!(all.len(), 201, "{:?}", all.last());
    let all: Vec<_> = (0..200).map(|_| socket.heard()).collect();
    assert_eq!(all.last().unwrap(), "199");
    assert_eq!(socket.word(), Frame::Close(1013, "draining".into()));
    drop((stream, socket, client));
    assert_eq!(node.ended(), Some(0));
}
#[test]
fn clients_that_do_not_read_do_not_hold_up_the_end() {
    let node = dev().set("shutdown.deadline", "60s").start();
    let stopped: Vec<Client> = (0..5).map(|_| node.stream("/orders", &[])).collect();
    let mut healthy = node.stream("/orders", &[]);
    node.until(SSE, |open| open == 6);
    let lasted = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut rest = String::new();
            std::iter::from_fn(|| healthy.event(&mut rest)).last().unwrap()
        });
        flood(&node, "/orders");
        node.terminate();
        reader.join().unwrap()
    });
    assert_eq!(lasted, "event: goaway\ndata: {\"reason\":\"draining\"}");
    let (code, said) = node.last_words();
    assert_eq!(code, Some(0), "{said:?}");
    drop(stopped);
}
#[test]
fn many_who_come_back_at_once_miss_nothing() {
    let node = dev().start();
    let mut streams: Vec<Client> = (0..500).map(|_| node.stream("/orders?from=earliest", &[])).collect();
    for i in 0..10 {
        node.post("/orders", &[], i.to_string().as_bytes());
    }
    for stream in &mut streams {
        events(stream, 10);
    }
    drop(streams);
    let node = node.crash();
    for i in 10..300 {
        node.post("/orders", &[], i.to_string().as_bytes());
    }
    let stop = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        let (node, stop) = (&node, &stop);
        let publisher = scope.spawn(move || {
            let mut client = Client::new(node.gateway);
            let mut next = 300;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                client.request("POST", "/orders", &[], next.to_string().as_bytes());
                next += 1;
            }
            next
        });
        let back: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(move || {
                    let mut streams: Vec<_> = (0..125).map(|_| node.stream("/orders", &[("last-event-id", "1.9")])).collect();
                    // Past what was there when they came, into what is shared.
                    for stream in &mut streams {
                        let wanted: Vec<_> = (10..600).map(|i| format!("id: 1.{i}\ndata: {i}")).collect();
                        assert_eq!(events(stream, 590), wanted);
                    }
                })
            })
            .collect();
        for thread in back {
            thread.join().unwrap();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(publisher.join().unwrap() >= 600);
    });
    node.until(SSE, |open| open == 0);
    balance(&node);
}
