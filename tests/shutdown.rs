//! SIGTERM: nothing acknowledged is lost, streams get their goodbye, the exit comes in time.
use crate::dev;
use serde_json::{Value, json};
use tidegate_testkit::{Client, balance};

#[test]
fn streams_are_told_and_what_was_acknowledged_is_there() {
    let node = dev().start();
    node.post("/orders", &[], b"0");
    let mut stream = node.stream("/orders?from=earliest", &[]);
    let mut rest = String::new();
    assert_eq!(stream.event(&mut rest).unwrap(), "id: 1.0\ndata: 0");
    let gateway = node.gateway;
    let publisher = std::thread::spawn(move || {
        let mut stored = Vec::new();
        let mut client = Client::new(gateway);
        loop {
            let answer = client.request("POST", "/orders", &[], b"x");
            if answer.status != 202 {
                return (stored, answer.status);
            }
            stored.push(answer.header("tidegate-position").unwrap().to_owned());
        }
    });
    stream.event(&mut rest).unwrap();
    node.terminate();
    let last = std::iter::from_fn(|| stream.event(&mut rest)).last().unwrap();
    assert_eq!(last, "event: goaway\ndata: {\"reason\":\"draining\"}");
    let (stored, status) = publisher.join().unwrap();
    assert!(status == 503 || status == 0, "{status}");
    let node = node.restart_after_end();
    let page = node.get("/orders?from=last:1").json();
    let end: u64 = page["next_cursor"].as_str().unwrap().trim_start_matches("1.").parse().unwrap();
    let newest: u64 = stored.last().unwrap().trim_start_matches("1.").parse().unwrap();
    assert!(newest <= end, "{newest} was answered, {end} is there");
    balance(&node);
}
#[test]
fn ready_only_between_recovery_and_drain() {
    let node = dev().set("shutdown.delay", "60s").start();
    assert_eq!(node.admin("/healthz").status, 200);
    assert_eq!(node.admin("/readyz").text(), "ready\n");
    node.terminate();
    let mut answer = node.admin("/readyz");
    while answer.status == 200 {
        answer = node.admin("/readyz");
    }
    assert_eq!((answer.status, answer.text()), (503, "not ready: draining\n".to_owned()));
    // It still serves: the load balancer has not looked away yet.
    assert_eq!(node.post("/orders", &[], b"x").status, 202);
    balance(&node);
}
#[test]
fn a_client_with_half_a_request_does_not_hold_up_the_end() {
    let node = dev()
        .set("limits.head_timeout", "250ms")
        .set("limits.body_stall", "250ms")
        .set("limits.write_stall", "1s")
        .start();
    let mut half_head = Client::new(node.gateway);
    half_head.write(b"POST /orders HTTP/1.1\r\nhost:");
    let mut half_body = Client::new(node.gateway);
    half_body.write(&tidegate_testkit::client::head("POST", "/orders", &[], Some(10)));
    node.until("tidegate_connections{listener=\"gateway\"}", |open| open == 2);
    node.terminate();
    let (code, said) = node.last_words();
    assert_eq!(code, Some(0), "well before the deadline, and nobody was cut");
    let last: Value = serde_json::from_str(said.last().unwrap()).unwrap();
    assert_eq!(
        (&last["level"], &last["message"]),
        (&json!("INFO"), &json!("stopped, nothing was cut"))
    );
    assert!(millis(&last) < 30_000, "{last}");
}
#[test]
fn what_the_deadline_cuts_is_told_with_the_time_it_took() {
    let node = dev().set("shutdown.deadline", "1s").start();
    let mut half = Client::new(node.gateway);
    half.write(b"POST /orders HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf");
    node.until("tidegate_in_flight_bytes", |bytes| bytes == 4);
    node.terminate();
    let (code, said) = node.last_words();
    assert_eq!(code, Some(1));
    let last: Value = serde_json::from_str(said.last().unwrap()).unwrap();
    assert_eq!(
        (&last["level"], &last["message"], &last["cut"]),
        (&json!("WARN"), &json!("stopped at the deadline"), &json!("1 connection"))
    );
    assert!(millis(&last) >= 1_000, "{last}");
}
fn millis(line: &Value) -> u64 {
    line["took"].as_str().unwrap().strip_suffix(" ms").unwrap().parse().unwrap()
}
