//! A busy webhook whose target answers in every way a target may: what it did not answer in full with success is sent again, and nothing else is.
use crate::dev;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};
use tidegate_testkit::{Receiver, Reply};

const MESSAGES: usize = 600;
const KEYS: usize = 100;
/// From this attempt on everything is taken.
const LAST: u32 = 5;

fn raw(pieces: &[&str]) -> Reply {
    Reply::Raw(pieces.iter().map(|piece| piece.as_bytes().to_vec()).collect())
}
fn empty(status: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n")
}
/// Answers that mean success, however they come.
fn good() -> Vec<Reply> {
    let whole = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
    let bytes: Vec<String> = whole.chars().map(String::from).collect();
    vec![
        Reply::status(200),
        Reply::status(204),
        Reply::Slow(Duration::from_millis(2)),
        Reply::Huge(100 << 10),
        raw(&[whole]),
        raw(&bytes.iter().map(String::as_str).collect::<Vec<_>>()),
        raw(&["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", "0\r\n\r\n"]),
        raw(&["HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n", whole]),
        raw(&["HTTP/1.0 200 OK\r\n\r\nuntil its end"]),
        // An answer nobody asked for is nobody's. It comes with the other: once the next request is out, nobody can tell whose it is.
        raw(&[&format!("{whole}{}", empty("500 No"))]),
    ]
}
/// Answers that mean nothing, or no.
fn bad() -> Vec<Reply> {
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(100 << 10));
    vec![
        Reply::status(500),
        Reply::status(503),
        Reply::Cut,
        raw(&[]),
        raw(&["HTTP/1.1 200 OK\r\ncontent-le"]),
        raw(&["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel"]),
        raw(&["HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxy"]),
        raw(&["good morning\r\n\r\n"]),
        raw(&[&long]),
        raw(&[&format!("{}{}", empty("500 No"), empty("200 OK"))]),
    ]
}

#[test]
fn what_is_answered_in_full_with_success_is_delivered_and_nothing_else() {
    let (good, bad) = (good(), bad());
    let taken = Arc::new(Mutex::new(Vec::<(String, usize)>::new()));
    let own = taken.clone();
    let receiver = Receiver::new(move |got| {
        let number: usize = got.text().parse().unwrap();
        let turn = number * 7 + got.attempt() as usize * 3;
        if got.attempt() < LAST && !turn.is_multiple_of(3) {
            return bad[turn % bad.len()].clone();
        }
        own.lock().unwrap().push((got.headers["tidegate-key"].clone(), number));
        good[turn % good.len()].clone()
    });
    let node = dev().start_with("kind: stream\nname: s\n---\nkind: api\nname: s\npaths: [/s]\nbackend: { stream: s }\n");
    let items: Vec<Value> = (0..MESSAGES)
        .map(|i| json!({"payload": i, "key": format!("k{}", i % KEYS)}))
        .collect();
    let kind = [("content-type", "application/vnd.tidegate.messages+json")];
    let answer = node.post("/s", &kind, json!({"items": items}).to_string().as_bytes());
    assert!(answer.status < 300, "{}", answer.text());
    let made = node.manage(
        "PUT",
        "/webhooks/w",
        &json!({
            "source": {"stream": "s", "from": "earliest"}, "target": {"url": receiver.url()}, "parallel": 64,
            "retry": {"first": "1ms", "max": "5ms", "attempts": 20}, "breaker": {"failures": 100_000},
        }),
    );
    assert_eq!(made.status, 201, "{}", made.text());
    let status = || node.manage("GET", "/webhooks/w", &Value::Null).json()["status"].clone();
    let began = tidegate_core::clock::instant();
    // A message is done a moment before it is counted.
    while status()["delivered"].as_u64() < Some(MESSAGES as u64) || status()["lag"]["messages"] != 0 {
        assert!(began.elapsed() < Duration::from_mins(1), "{}", status());
    }
    let status = status();
    assert_eq!(
        (&status["delivered"], &status["given_up"]),
        (&json!(MESSAGES), &json!(0)),
        "{status}"
    );
    let taken = taken.lock().unwrap().clone();
    assert_eq!(taken.len(), MESSAGES, "each was taken once");
    assert_eq!(taken.iter().map(|(_, number)| number).collect::<BTreeSet<_>>().len(), MESSAGES);
    let mut by_key: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (key, number) in &taken {
        by_key.entry(key).or_default().push(*number);
    }
    for numbers in by_key.values() {
        assert!(numbers.is_sorted(), "{numbers:?}");
    }
    // Some meet a connection that the last answer was the end of.
    let attempts = (receiver.got().len() - MESSAGES) as u64;
    assert!(attempts <= status["retried"].as_u64().unwrap(), "{attempts}: {status}");
}
