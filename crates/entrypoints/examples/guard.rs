//! What the guard costs a request: nanoseconds for one POST of 128 bytes, as it comes from a socket.
#![expect(clippy::print_stdout, reason = "the figure is what it is for")]
use std::hint::black_box;
use tidegate_core::clock;
use tidegate_entrypoints::listener::guard::Guard;

const TIMES: u32 = 5_000_000;

fn main() {
    let head = "POST /topics/t HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Type: application/json\r\nTidegate-Ack: accepted\r\nContent-Length: 128\r\n\r\n";
    let request = format!("{head}{}", "a".repeat(128)).into_bytes();
    let mut guard = Guard::new(64 << 10);
    let began = clock::instant();
    for _ in 0..TIMES {
        let verdict = guard.feed(black_box(&request));
        assert_eq!(black_box(verdict.pass), request.len());
    }
    println!("{:.1}", began.elapsed().as_nanos() as f64 / f64::from(TIMES));
}
