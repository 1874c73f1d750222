//! What strict framing costs a request: nanoseconds for one POST of 128 bytes, as it comes from a socket.
#![expect(clippy::print_stdout, reason = "the figure is what it is for")]
use std::hint::black_box;
use tidegate_core::clock;
use tidegate_entrypoints::listener::http1::framing::Framing;

const TIMES: u32 = 5_000_000;

fn main() {
    let head = "POST /topics/t HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Type: application/json\r\nTidegate-Ack: accepted\r\nContent-Length: 128\r\n\r\n";
    let request = format!("{head}{}", "a".repeat(128)).into_bytes();
    let began = clock::instant();
    for _ in 0..TIMES {
        // A new one: one that knows the head does not look at it.
        let mut framing = Framing::new(64 << 10);
        let taken = framing.head(black_box(&request)).ok().flatten().map_or(0, |framed| framed.length);
        let body = framing.body(request.get(taken..).unwrap_or_default());
        assert_eq!(black_box(taken + body.map_or(0, |step| step.taken)), request.len());
    }
    println!("{:.1}", began.elapsed().as_nanos() as f64 / f64::from(TIMES));
}
