//! Clients that vanish at a random byte of request or answer leave nothing behind.
use crate::dev;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};
use tidegate_testkit::{balance, client::head};

const CLIENTS: usize = 64;
/// Another number with `TIDEGATE_VANISH`.
const TIMES: usize = 10_000;

/// Waves until memory is what it is from then on.
const WARM: u64 = 4;
/// Those behind the one that is looked at have a tenth of its clients.
const MOST_WAVES: u64 = 20;

#[expect(clippy::disallowed_methods, reason = "a longer run is asked for by hand")]
fn times() -> usize {
    std::env::var("TIDEGATE_VANISH")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(TIMES)
}
/// Numbers that look random and are the same every time (xorshift).
struct Dice(u64);
impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % most as u64) as usize
    }
}
#[test]
fn nothing_is_left_of_clients_that_vanish() {
    // Small caches, so that they are full before the first reading.
    let node = dev()
        .set("log.tail_cache", "1MiB")
        .set("log.journal_file", "1MiB")
        .set("log.record", "256KiB")
        .start();
    // What the first waves leave in caches, and in those of the allocator, is not a leak.
    for seed in 1..=WARM {
        wave(node.gateway, times(), seed);
    }
    node.until("tidegate_connections{listener=\"gateway\"}", |open| open == 0);
    let quiet = || node.until("tidegate_webhook_lag_messages{webhook=\"orders-inbox\"}", |lag| lag == 0);
    // The demo's webhook sends what was stored: that too comes to an end.
    quiet();
    let before = node.memory();
    wave(node.gateway, times(), WARM + 1);
    node.until("tidegate_connections{listener=\"gateway\"}", |open| open == 0);
    node.until("tidegate_log_intake_bytes", |bytes| bytes == 0);
    node.until("tidegate_in_flight_bytes", |bytes| bytes == 0);
    quiet();
    // The allocator gives back what a burst took only as it goes on working, and keeps now more, now less. Further waves are work; what leaks
    // would only grow with them.
    let most = before + (before / 10).max(4 << 20);
    let further = (WARM + 2..=MOST_WAVES).find(|seed| {
        let over = node.memory() > most;
        if over {
            wave(node.gateway, times() / 10, *seed);
            node.until("tidegate_connections{listener=\"gateway\"}", |open| open == 0);
            quiet();
        }
        !over
    });
    assert!(further.is_some(), "memory stays at {} bytes, it was {before}", node.memory());
    // No half record: each payload is one of those that were sent, whole.
    let mut cursor = String::new();
    loop {
        let page = node.get(&format!("/orders?wait=0&cursor={cursor}")).json();
        let items = page["items"].as_array().unwrap();
        for item in items {
            let payload = item["payload"].as_str().unwrap();
            let length: usize = payload.split(':').next().unwrap().parse().unwrap();
            assert_eq!(payload.len(), length, "{payload}");
        }
        let Some(next) = page["next_cursor"].as_str().filter(|_| !items.is_empty()) else {
            break;
        };
        cursor = next.to_owned();
    }
    // No stuck commit.
    assert_eq!(node.post("/orders", &[], b"4:ok").status, 202);
    balance(&node);
}
fn wave(gateway: SocketAddr, times: usize, seed: u64) {
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            scope.spawn(move || {
                let mut dice = Dice(seed << 32 | (client as u64 + 1));
                for _ in 0..times / CLIENTS {
                    vanish(gateway, &mut dice);
                }
            });
        }
    });
}
fn vanish(gateway: SocketAddr, dice: &mut Dice) {
    let (request, answer) = if dice.below(4) == 0 {
        (
            head(
                "GET",
                "/orders?limit=5",
                &[("accept", if dice.below(2) == 0 { "text/event-stream" } else { "*/*" })],
                None,
            ),
            400,
        )
    } else {
        let length = 10 + dice.below(2_000);
        let payload = format!("{length}:{}", "x".repeat(length));
        let mut request = head("POST", "/orders", &[], Some(length));
        request.extend_from_slice(&payload.as_bytes()[..length]);
        (request, 200)
    };
    let cut = dice.below(request.len() + answer);
    let Ok(mut socket) = TcpStream::connect(gateway) else { return };
    let sent = socket.write_all(&request[..cut.min(request.len())]);
    let wanted = cut.saturating_sub(request.len());
    if sent.is_ok() && wanted > 0 {
        let _cut = socket.read(&mut vec![0; wanted]);
    }
    if dice.below(2) == 0 {
        // RST instead of FIN: what was received and not read is thrown away.
        let _kept = socket.set_nonblocking(true);
    }
}
