//! `GET` on an API's path: pages, formats, where to go on.
use crate::dev;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tidegate_testkit::balance;

fn payloads(page: &Value) -> Vec<&str> {
    page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["payload"].as_str().unwrap())
        .collect()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how long the window takes is what is tested")]
fn the_quick_start_gets_exactly_four_after_its_window() {
    let node = dev().start();
    let began = Instant::now();
    let answer = node.get("/qs-message-api");
    assert!(began.elapsed() >= Duration::from_secs(5));
    assert_eq!(answer.status, 200);
    let items: Vec<_> = (0..4)
        .map(|id| json!({ "id": id.to_string(), "content": "mock message" }))
        .collect();
    assert_eq!(
        answer.json(),
        json!({ "items": items, "pagination": { "nextCursor": "3", "limit": "500" } })
    );
    let resumed = node.get("/qs-message-api?cursor=41&limit=1");
    assert_eq!(resumed.json()["items"][0]["id"], "42");
    balance(&node);
}
#[test]
fn pages_follow_each_other_by_cursor() {
    let node = dev().start();
    for i in 0..5 {
        node.post("/orders", &[], i.to_string().as_bytes());
    }
    let first = node.get("/orders?limit=2").json();
    assert_eq!(payloads(&first), ["0", "1"]);
    let second = node
        .get(&format!("/orders?limit=10&cursor={}", first["next_cursor"].as_str().unwrap()))
        .json();
    assert_eq!(payloads(&second), ["2", "3", "4"]);
    let end = node
        .get(&format!("/orders?wait=0&cursor={}", second["next_cursor"].as_str().unwrap()))
        .json();
    assert_eq!(end, json!({ "items": [], "next_cursor": second["next_cursor"] }));
    balance(&node);
}
#[test]
fn every_place_to_begin() {
    let node = dev().start();
    for i in 0..5 {
        node.post("/orders", &[], i.to_string().as_bytes());
    }
    let all = node.get("/orders").json();
    let third = all["items"][2]["time"].as_str().unwrap();
    let rows: &[(String, &[&str])] = &[
        ("from=earliest".into(), &["0", "1", "2", "3", "4"]),
        ("from=last:2".into(), &["3", "4"]),
        ("from=last:100".into(), &["0", "1", "2", "3", "4"]),
        ("from=1.3".into(), &["3", "4"]),
        (format!("from={third}"), &["2", "3", "4"]),
        ("from=10m".into(), &["0", "1", "2", "3", "4"]),
        ("cursor=1.3".into(), &["4"]),
        ("cursor=".into(), &["0", "1", "2", "3", "4"]),
    ];
    for (query, wanted) in rows {
        assert_eq!(payloads(&node.get(&format!("/orders?{query}")).json()), *wanted, "{query}");
    }
    let latest = node.get("/orders?from=latest&wait=0").json();
    assert_eq!(latest, json!({ "items": [], "next_cursor": "1.4" }));
    balance(&node);
}
#[test]
fn an_empty_stream_waits_for_the_first_message() {
    let node = dev().start();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| node.get("/orders?wait=30s"));
        node.until("tidegate_subscribers{api=\"orders\",entrypoint=\"http_get\"}", |open| open == 1);
        node.post("/orders", &[], b"now");
        assert_eq!(payloads(&reader.join().unwrap().json()), ["now"]);
    });
    balance(&node);
}
#[test]
fn three_formats() {
    let node = dev().start();
    node.post("/orders", &[], b"a\"b");
    node.post("/orders", &[], b"c");
    let ndjson = node.request("GET", "/orders", &[("accept", "application/x-ndjson")], b"");
    assert_eq!(ndjson.header("content-type"), Some("application/x-ndjson"));
    let lines: Vec<Value> = ndjson.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["payload"], "a\"b");
    assert_eq!(ndjson.header("tidegate-next-cursor"), Some("1.1"));
    let text = node.request("GET", "/orders", &[("accept", "text/plain")], b"");
    assert_eq!(text.text(), "a\"b\nc\n");
    assert_eq!(node.request("GET", "/orders", &[("accept", "image/png")], b"").status, 406);
    balance(&node);
}
#[test]
fn every_answer_ends_its_line_and_gravitees_form_is_kept() {
    let node = dev().start_with(
        "kind: stream\nname: o\n---\nkind: api\nname: o\npaths: [/o]\nbackend: { stream: o }\n---\nkind: api\nname: g\npaths: [/g]\nbackend: { stream: o }\ncompatibility: gravitee\n",
    );
    let batch = [("content-type", "application/x-ndjson")];
    for (status, headers, body) in [
        (202, &[][..], &b"1"[..]),
        (202, &batch, b"2\n"),
        (207, &batch, b"3\nx\n"),
        (400, &batch, b"x\n"),
        (400, &batch, b""),
        (400, &[("tidegate-akc", "stored")], b""),
        (400, &[("tidegate-akc", "stored"), ("accept", "text/plain")], b""),
    ] {
        let answer = node.post("/o", headers, body);
        assert_eq!(answer.status, status, "{}", answer.text());
        // The client reads as much as `Content-Length` says.
        assert!(
            answer.body.ends_with(b"\n") && !answer.body.ends_with(b"\n\n"),
            "{:?}",
            answer.text()
        );
    }
    for accept in ["application/json", "application/x-ndjson", "text/plain"] {
        let page = node.request("GET", "/o", &[("accept", accept)], b"");
        assert!(
            page.body.ends_with(b"\n") && !page.body.ends_with(b"\n\n"),
            "{accept}: {:?}",
            page.text()
        );
    }
    assert_eq!(node.get("/o?wait=0&from=latest").text(), "{\"items\":[],\"next_cursor\":\"1.2\"}\n");
    assert_eq!(
        node.get("/g?limit=1").text(),
        "{\"items\":[{\"id\":\"1.0\",\"content\":\"1\"}],\"pagination\":{\"nextCursor\":\"1.0\",\"limit\":\"1\"}}"
    );
    balance(&node);
}
#[test]
fn a_host_decides_between_equal_paths() {
    let node = dev().start_with(
        "kind: stream\nname: a\n---\nkind: stream\nname: b\n---\nkind: api\nname: a\npaths: [/x, /y]\nbackend: { stream: a }\n---\nkind: api\nname: b\npaths: [{ path: /x, host: b.example.com }]\nbackend: { stream: b }\n",
    );
    node.post("/x", &[("host", "b.example.com:80")], b"b");
    node.post("/x", &[], b"a");
    node.post("/y/", &[("host", "b.example.com")], b"y");
    assert_eq!(payloads(&node.get("/y").json()), ["a", "y"]);
    let other = node.request("GET", "/x", &[("host", "B.example.com")], b"");
    assert_eq!(payloads(&other.json()), ["b"]);
    balance(&node);
}
#[test]
fn a_cursor_of_another_stream_is_a_gap_not_silence() {
    let node = dev().start();
    node.post("/orders", &[], b"1");
    let page = node.get("/orders?cursor=99.5").json();
    assert_eq!(page["gap"]["reason"], "recreated");
    assert_eq!(payloads(&page), ["1"]);
    balance(&node);
}
#[test]
fn a_cursor_ahead_of_the_stream_is_a_gap_and_reading_goes_on() {
    let node = dev().start();
    node.post("/orders", &[], b"1");
    let page = node.get("/orders?cursor=1.99&wait=0").json();
    assert_eq!(page["gap"]["from"], "1.99", "{page}");
    let next = page["next_cursor"].as_str().unwrap().to_owned();
    node.post("/orders", &[], b"2");
    let page = node.get(&format!("/orders?cursor={next}&wait=5s")).json();
    assert_eq!(payloads(&page), ["2"]);
    balance(&node);
}
#[test]
fn what_retention_took_is_a_gap() {
    let node = dev()
        .start_with("kind: stream\nname: s\nretention: { messages: 3 }\n---\nkind: api\nname: s\npaths: [/s]\nbackend: { stream: s }\n");
    for i in 0..10 {
        node.post("/s", &[], i.to_string().as_bytes());
    }
    node.until("tidegate_stream_records{stream=\"s\"}", |records| records == 3);
    let page = node.get("/s?cursor=1.1").json();
    assert_eq!(page["gap"], json!({ "from": "1.1", "to": "1.6", "reason": "retention" }));
    assert_eq!(payloads(&page), ["7", "8", "9"]);
    // Every format has a place for it.
    let text = node.request("GET", "/s?cursor=1.1", &[("accept", "text/plain")], b"");
    assert_eq!(
        (text.header("tidegate-gap"), text.text().as_str()),
        (Some("1.1;1.6;retention"), "7\n8\n9\n")
    );
    let lines = node
        .request("GET", "/s?cursor=1.1", &[("accept", "application/x-ndjson")], b"")
        .text();
    assert!(
        lines.starts_with("{\"gap\":{\"from\":\"1.1\",\"to\":\"1.6\",\"reason\":\"retention\"}}\n{"),
        "{lines}"
    );
    balance(&node);
}
#[test]
fn wait_is_kept_when_nothing_of_what_is_there_is_wanted() {
    let node = dev().start();
    for _ in 0..3 {
        node.post("/orders", &[], b"x");
    }
    for target in [
        "/topics/orders/us?wait=0",
        "/orders?from=2100-01-01T00:00:00Z&wait=0",
        "/orders?from=2100-01-01T00:00:00Z&wait=200ms",
        "/topics/orders/us?wait=200ms",
    ] {
        let page = node.get(target).json();
        assert_eq!(page["items"], json!([]), "{target}");
    }
    // What was passed over need not be looked at again.
    assert_eq!(node.get("/topics/orders/us?wait=0").json()["next_cursor"], "1.2");
    balance(&node);
}
#[test]
fn pages_of_several_partitions_starve_none() {
    let node = dev().start_with(
        "kind: stream\nname: orders\npartitions: 4\n---\nkind: api\nname: orders\npaths: [/orders]\nbackend: { stream: orders }\n",
    );
    node.post("/orders", &[("tidegate-partition", "3")], b"rare");
    let mut cursor = String::new();
    let mut found = false;
    for _ in 0..20 {
        for _ in 0..3 {
            node.post("/orders", &[("tidegate-partition", "0")], b"busy");
        }
        let page = node.get(&format!("/orders?limit=3&wait=0&cursor={cursor}")).json();
        found |= page["items"].as_array().unwrap().iter().any(|item| item["payload"] == "rare");
        cursor = page["next_cursor"].as_str().unwrap().to_owned();
    }
    assert!(found, "busy partitions hide the others");
    balance(&node);
}
#[test]
fn a_page_without_messages_says_where_to_go_on_all_the_same() {
    let node = dev().start();
    let page = node.get("/orders?from=latest&wait=0").json();
    assert_eq!(
        (page["items"].as_array().map(Vec::len), &page["next_cursor"]),
        (Some(0), &serde_json::json!(""))
    );
    node.post("/orders", &[], b"x");
    let page = node.get("/orders?wait=0&cursor=").json();
    assert_eq!(page["items"][0]["payload"], "x");
    balance(&node);
}
