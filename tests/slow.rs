//! Clients that are slow or silent, over HTTP/1.1 and HTTP/2: each is ended in time, and while they sit there others are served as before.
use crate::dev;
use std::{io::Write, net::TcpStream, time::Duration};
use tidegate_core::clock;
use tidegate_testkit::{
    Client, Http2, Node, balance,
    client::head,
    http2::{END_HEADERS, PREFACE, Raw, frame, kind, request},
    node::How,
};

const OPEN: &str = "tidegate_connections{listener=\"gateway\"}";
const BYTES: &str = "tidegate_in_flight_bytes";
const REQUESTS: &str = "tidegate_in_flight_requests";
/// Slow ones at once.
const SLOW: usize = 100;
/// Below it a difference says more about the machine than about us.
const FLOOR: Duration = Duration::from_millis(20);
/// Requests of a good client, of which the median and the 99th of 100 are looked at.
const ASKED: usize = 200;

fn small() -> How {
    dev()
        .set("limits.head_timeout", "500ms")
        .set("limits.body_stall", "500ms")
        .set("limits.idle", "500ms")
        .set("limits.write_stall", "500ms")
}
/// A good client, over both protocols in turn.
struct Good {
    one: Client,
    two: Http2,
    took: Vec<Duration>,
}
impl Good {
    fn new(node: &Node) -> Self {
        Self {
            one: Client::new(node.gateway),
            two: Http2::new(node.gateway),
            took: Vec::new(),
        }
    }
    fn ask(&mut self) {
        let began = clock::instant();
        let (one, two) = (
            self.one.request("POST", "/orders", &[], b"good").status,
            self.two.request("POST", "/orders", &[], b"good").status,
        );
        self.took.push(began.elapsed());
        assert_eq!((one, two), (202, 202));
    }
    fn asked(&mut self, times: usize) -> (Duration, Duration) {
        self.took.clear();
        (0..times).for_each(|_| self.ask());
        self.figures()
    }
    fn figures(&mut self) -> (Duration, Duration) {
        self.took.sort_unstable();
        let at = |part: usize| self.took.get(self.took.len() * part / 100).copied().unwrap_or_default();
        (at(50), at(99))
    }
}
/// Generous: the exact figure is the benchmarks' matter.
fn as_before(alone: (Duration, Duration), beside: (Duration, Duration)) {
    assert!(beside.0 <= alone.0.max(FLOOR) * 10, "the median was {alone:?} and is {beside:?}");
    assert!(
        beside.1 <= alone.1.max(FLOOR) * 10,
        "the 99th of 100 was {alone:?} and is {beside:?}"
    );
}
/// Each gets one byte more whenever a good client was answered, until the node has ended them all.
fn trickle(node: &Node, name: &str, mut slow: Vec<TcpStream>, bytes: &[u8]) {
    let mut good = Good::new(node);
    let mut rounds = 0;
    let shortest = clock::instant();
    while !slow.is_empty() {
        good.ask();
        let byte = &bytes[rounds % bytes.len()..][..1];
        slow.retain_mut(|client| client.write_all(byte).is_ok());
        rounds += 1;
        assert!(
            shortest.elapsed() < Duration::from_secs(30),
            "{name}: {} go on after {rounds} rounds",
            slow.len()
        );
    }
    drop(good);
    node.until(OPEN, |open| open == 0);
    assert_eq!((node.metric(BYTES), node.metric(REQUESTS)), (0, 0), "{name}");
    balance(node);
}
fn connect(node: &Node) -> TcpStream {
    let socket = TcpStream::connect(node.gateway).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}
#[test]
fn a_head_that_trickles_is_ended_in_time() {
    let node = small().start();
    let slow = |hello: &[u8]| {
        let begin = |_| {
            let mut client = connect(&node);
            client.write_all(hello).unwrap();
            client
        };
        (0..SLOW).map(begin).collect::<Vec<_>>()
    };
    trickle(&node, "HTTP/1.1", slow(b"POST /orders HTTP/1.1\r\nhost: a\r\nx: "), b"y");
    let hello = [PREFACE, &frame(kind::SETTINGS, 0, 0, b"")].concat();
    // A frame of 60 KiB is refused at its header, so 10 KiB of which each byte takes its time.
    let large = frame(
        kind::HEADERS,
        END_HEADERS,
        1,
        &request("POST", "/orders", &[("x", &"y".repeat(10 << 10))]),
    );
    trickle(&node, "HTTP/2", slow(&[&hello, &large[..200]].concat()), b"y");
}
#[test]
fn a_body_that_trickles_is_ended_in_time() {
    let node = small().start();
    let began = || {
        let mut client = connect(&node);
        client.write_all(&head("POST", "/orders", &[], Some(1 << 20))).unwrap();
        client.write_all(b"x").unwrap();
        client
    };
    trickle(&node, "HTTP/1.1", (0..SLOW).map(|_| began()).collect(), b"x");
    // It never stands still for as long as `body_stall`, and is told why it is too slow.
    let mut good = Good::new(&node);
    let mut slow = Client::new(node.gateway);
    slow.write(&head("POST", "/orders", &[], Some(1 << 20)));
    let mut two = Http2::new(node.gateway);
    let mut sent = two.send("POST", "/orders", &[], None).unwrap();
    slow.write(b"x");
    two.more(&mut sent, b"x", false);
    node.until(BYTES, |bytes| bytes > 0);
    while node.metric(REQUESTS) > 0 {
        good.ask();
        slow.write(b"x");
        two.more(&mut sent, b"x", false);
    }
    for answer in [slow.answer(), two.answer(Some(sent))] {
        assert_eq!(answer.status, 408);
        assert!(answer.text().contains("slower than 1024 bytes a second"), "{}", answer.text());
    }
    drop((good, slow, two));
    node.until(OPEN, |open| open == 0);
    assert_eq!(node.metric(BYTES), 0);
    balance(&node);
}
#[test]
fn a_body_as_slow_as_it_may_be_is_taken() {
    let node = dev().set("limits.body_stall", "30s").set("limits.body_rate", "1MiB").start();
    // At 1 MiB a second nothing but the stall lets this one pass.
    let mut slow = Client::new(node.gateway);
    slow.write(&head("POST", "/orders", &[], Some(100)));
    let mut good = Good::new(&node);
    for _ in 0..100 {
        good.ask();
        slow.write(b"x");
    }
    assert_eq!(slow.answer().status, 202);
    balance(&node);
}
#[test]
fn a_page_that_is_not_read_is_ended_in_time() {
    let node = dev().set("limits.write_stall", "500ms").start();
    let large = vec![b'x'; 4 << 20];
    for _ in 0..2 {
        assert_eq!(node.post("/orders", &[], &large).status, 202);
    }
    let alone = Good::new(&node).asked(ASKED);
    // 8 MiB each, of which the kernel takes a part; all of it counts until it is taken.
    let readers: Vec<_> = (0..8)
        .map(|_| {
            let mut client = Client::new(node.gateway);
            client.write(&head("GET", "/orders", &[], None));
            client
        })
        .collect();
    let mut others: Vec<_> = (0..8).map(|_| Raw::new(node.gateway, &[])).collect();
    for client in &mut others {
        client.write(&frame(kind::HEADERS, 5, 1, &request("GET", "/orders", &[])));
    }
    node.until(BYTES, |bytes| bytes > 32 << 20);
    as_before(alone, Good::new(&node).asked(ASKED));
    // Nobody reads, and nobody leaves.
    node.until(BYTES, |bytes| bytes == 0);
    // A reader of HTTP/1.1 loses its connection, one of HTTP/2 that stream of it.
    node.until(OPEN, |open| open == others.len() as u64);
    drop((readers, others));
    node.until(OPEN, |open| open == 0);
    balance(&node);
}
#[test]
fn thousands_of_idle_connections_hold_up_nobody_and_are_closed_in_time() {
    let node = dev().set("limits.idle", "10s").set("limits.head_timeout", "10s").start();
    let alone = Good::new(&node).asked(ASKED);
    let hello = [PREFACE, &frame(kind::SETTINGS, 0, 0, b"")].concat();
    // Silent from the start, within a head, and idle by HTTP/2.
    let words: [&[u8]; 3] = [b"", b"GET /orders", &hello];
    let mut idle = Vec::new();
    let most = room().min(2_000);
    for words in words.iter().cycle().take(most) {
        let mut client = connect(&node);
        client.write_all(words).unwrap();
        idle.push(client);
        // The system keeps so many that are not accepted yet; more would have to try again.
        if idle.len() % 100 == 0 || idle.len() == most {
            node.until(OPEN, |open| open >= idle.len() as u64);
        }
    }
    as_before(alone, Good::new(&node).asked(ASKED));
    // Each within its time, though it never leaves.
    node.until(OPEN, |open| open == 0);
    Good::new(&node).ask();
    drop(idle);
    balance(&node);
}
/// How many sockets this process may open, and leave as many to the other tests.
fn room() -> usize {
    #[expect(clippy::disallowed_methods, reason = "what the system tells of this process")]
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    line.split_whitespace().next().unwrap().parse::<usize>().unwrap_or(usize::MAX) / 2
}
