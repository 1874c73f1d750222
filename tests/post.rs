//! `POST` on an API's path: what is answered, and that it is true.
use crate::dev;
use serde_json::{Value, json};
use tidegate_testkit::{Node, balance};

#[test]
fn a_message_is_stored_before_the_answer_and_comes_out_again() {
    let node = dev().start();
    let answer = node.post(
        "/orders",
        &[("content-type", "application/json"), ("tidegate-key", "k1")],
        b"{\"n\": 1.10}",
    );
    assert_eq!(answer.status, 202);
    assert_eq!(answer.json(), json!({ "id": "1.0", "position": "1.0", "ack": "stored" }));
    for (name, value) in [("tidegate-ack", "stored"), ("tidegate-id", "1.0"), ("tidegate-position", "1.0")] {
        assert_eq!(answer.header(name), Some(value));
    }
    let node = node.crash();
    let page = node.get("/orders").json();
    assert_eq!(page["items"][0]["payload"], "{\"n\": 1.10}");
    assert_eq!(page["items"][0]["key"], "k1");
    assert_eq!(page["next_cursor"], "1.0");
    balance(&node);
}
#[test]
fn connections_may_stay_on_the_thread_they_were_given() {
    let node = dev().set("runtime", "pinned").start();
    for n in 0..8 {
        assert_eq!(node.post("/orders", &[], format!("{n}").as_bytes()).status, 202);
    }
    assert_eq!(payloads(&node), ["0", "1", "2", "3", "4", "5", "6", "7"]);
    balance(&node);
    node.terminate();
    assert_eq!(node.ended(), Some(0));
}
#[test]
fn ndjson_has_a_verdict_per_line() {
    let node = dev().start();
    let answer = node.post(
        "/orders",
        &[("content-type", "application/x-ndjson")],
        b"{\"a\":1}\n{\"a\":\n{\"a\":12345678901234567890}\n",
    );
    assert_eq!(answer.status, 207);
    let body = answer.json();
    assert_eq!((&body["sent"], &body["failed"]), (&json!(2), &json!(1)));
    assert_eq!(body["results"][1]["problem"]["code"], "TG1031");
    assert!(
        body["results"][1]["problem"]["detail"]
            .as_str()
            .unwrap()
            .starts_with("line 2: not JSON at byte 5")
    );
    assert_eq!(body["results"][2]["position"], "1.1");
    assert_eq!(payloads(&node), ["{\"a\":1}", "{\"a\":12345678901234567890}"]);
    balance(&node);
}
#[test]
fn an_array_keeps_the_bytes_of_each_element() {
    let node = dev().start();
    let answer = node.post(
        "/orders",
        &[("content-type", "application/json"), ("tidegate-batch", "true")],
        b"[{\"n\":12345678901234567890,\"f\":1.10}, \"x\" ,7]",
    );
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert_eq!(answer.header("tidegate-position"), Some("1.0+3"));
    assert_eq!(payloads(&node), ["{\"n\":12345678901234567890,\"f\":1.10}", "\"x\"", "7"]);
    balance(&node);
}
#[test]
fn items_have_keys_ids_and_headers_of_their_own_and_what_get_returns_can_be_sent() {
    let node = dev().start_with(
        "kind: stream\nname: s\n---\nkind: stream\nname: copy\n---\nkind: api\nname: s\npaths: [/s]\nbackend: { stream: s }\ninclude: [headers]\n---\nkind: api\nname: copy\npaths: [/copy]\nbackend: { stream: copy }\ninclude: [headers]\n",
    );
    let kind = [("content-type", "application/vnd.tidegate.messages+json")];
    let items = json!({ "items": [
        { "payload": "a", "key": "k", "id": "i1", "headers": { "x-a": "1", "x-b": ["2", "3"] } },
        { "payload": "/wAB", "encoding": "base64" },
        { "payload": { "f": 1 } },
        { "payload": "b", "encoding": "hex" },
    ] });
    let answer = node.post("/s", &kind, items.to_string().as_bytes());
    assert_eq!(answer.status, 207);
    assert_eq!(answer.json()["results"][0]["id"], "i1");
    assert_eq!(answer.json()["results"][3]["problem"]["code"], "TG1032");
    let page = node.get("/s?include=headers").json();
    assert_eq!(page["items"][0]["headers"], json!({ "x-a": "1", "x-b": ["2", "3"] }));
    assert_eq!(page["items"][1]["encoding"], "base64");
    let again = node.post("/copy", &kind, page.to_string().as_bytes());
    assert_eq!(again.status, 202, "{}", again.text());
    let copy = node.get("/copy?include=headers").json();
    for part in ["payload", "key", "headers", "encoding"] {
        let of = |page: &serde_json::Value| {
            page["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|item| item[part].clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(of(&copy), of(&page), "{part}");
    }
    balance(&node);
}
#[test]
fn a_second_message_with_the_same_id_is_answered_as_the_first() {
    let node = dev().start();
    let first = node.post("/orders", &[("tidegate-id", "a")], b"1");
    let second = node.post("/orders", &[("tidegate-id", "a")], b"1");
    assert_eq!((first.status, second.status), (202, 202));
    assert_eq!(first.header("tidegate-duplicate"), None);
    assert_eq!(second.header("tidegate-duplicate"), Some("true"));
    assert_eq!(second.json(), first.json());
    let node = node.crash();
    let third = node.post("/orders", &[("tidegate-id", "a")], b"1");
    assert_eq!(third.header("tidegate-duplicate"), Some("true"), "an id outlives a crash");
    assert_eq!(payloads(&node), ["1"]);
    balance(&node);
}
/// Whether the first one still waits or has come.
#[test]
fn an_idempotency_key_is_kept_with_a_delay_too() {
    let node = dev().start();
    let post = |key: &str, delay: &str, body: &[u8]| node.post("/orders", &[("idempotency-key", key), ("tidegate-delay", delay)], body);
    assert_eq!(post("a", "1h", b"1").status, 202);
    let again = post("a", "1h", b"1");
    assert_eq!((again.status, again.header("tidegate-duplicate")), (202, Some("true")));
    let other = post("a", "2h", b"2");
    assert_eq!((other.status, other.json()["code"].as_str()), (422, Some("TG1023")));
    assert_eq!(post("b", "1ms", b"1").status, 202);
    assert_eq!(
        node.get("/orders?from=earliest&limit=1&wait=30s").json()["items"][0]["payload"],
        "1"
    );
    assert_eq!(post("b", "1ms", b"1").status, 202);
    let other = post("b", "1ms", b"2");
    assert_eq!((other.status, other.json()["code"].as_str()), (422, Some("TG1023")));
    let status = node.manage("GET", "/streams/orders", &Value::Null).json()["status"].clone();
    assert_eq!((&status["delayed"], &status["messages"]), (&json!(1), &json!(1)));
    let purged = node.manage("POST", "/streams/orders/purge", &Value::Null).json();
    assert_eq!(purged["purged"], 2);
    balance(&node);
}
#[test]
fn an_idempotency_key_refuses_another_payload() {
    let node = dev().start();
    assert_eq!(node.post("/orders", &[("idempotency-key", "a")], b"1").status, 202);
    assert_eq!(node.post("/orders", &[("idempotency-key", "a")], b"1").status, 202);
    let other = node.post("/orders", &[("idempotency-key", "a")], b"2");
    assert_eq!((other.status, &other.json()["code"]), (422, &json!("TG1023")));
    assert_eq!(payloads(&node), ["1"]);
    balance(&node);
}
#[test]
fn an_idempotency_key_holds_for_every_item_and_wherever_readers_are_sent() {
    let node = dev().start_with(
        "kind: stream\nname: a\ntopics: [\"t/#\"]\nretention: { messages: 2 }\n---\nkind: stream\nname: b\ntopics: [\"t/#\"]\n---\nkind: api\nname: t\npaths: [\"/t/*\"]\npublish: { topic: \"t/${rest}\" }\n---\nkind: api\nname: s\npaths: [/s]\nbackend: { stream: a }\n",
    );
    let key = ("idempotency-key", "k");
    assert_eq!(node.post("/t/x", &[key], b"1").status, 202);
    assert_eq!(node.post("/t/x", &[key], b"1").header("tidegate-duplicate"), Some("true"));
    assert_eq!(node.post("/t/x", &[key], b"2").status, 422);
    let lines = ("content-type", "application/x-ndjson");
    let batch = ("idempotency-key", "batch");
    assert_eq!(node.post("/s", &[batch, lines], b"1\n2").status, 202);
    let other = node.post("/s", &[batch, lines], b"1\n9");
    assert_eq!(other.status, 207, "{}", other.text());
    assert_eq!(other.json()["results"][1]["problem"]["code"], "TG1023");
    // What retention took can no longer be compared, and nothing is claimed of it.
    assert_eq!(node.post("/s", &[("idempotency-key", "gone")], b"1").status, 202);
    for i in 0..3 {
        node.post("/s", &[], i.to_string().as_bytes());
    }
    node.until("tidegate_stream_records{stream=\"a\"}", |records| records == 2);
    assert_eq!(node.post("/s", &[("idempotency-key", "gone")], b"1").status, 422);
    balance(&node);
}
#[test]
fn each_level_means_what_it_says() {
    let node = dev().start();
    let accepted = node.post("/orders", &[("tidegate-ack", "accepted")], b"1");
    assert_eq!((accepted.status, accepted.json()), (202, json!({ "ack": "accepted" })));
    let live = node.post("/topics/demo", &[], b"hi");
    assert_eq!(
        live.json(),
        json!({ "ack": "delivered", "note": "live only: no stream captures `demo`" })
    );
    let promised = node.post("/topics/demo", &[("tidegate-ack", "stored")], b"hi");
    assert_eq!(
        (promised.status, &promised.json()["detail"]),
        (422, &json!("cannot promise stored: no stream captures topic demo"))
    );
    let captured = node.post("/topics/orders/eu", &[], b"2");
    assert_eq!(captured.json()["ack"], "stored");
    let minimal = node.post("/orders", &[("prefer", "return=minimal")], b"3");
    assert_eq!((minimal.status, minimal.body.len()), (202, 0));
    assert_eq!(minimal.header("tidegate-ack"), Some("stored"));
    node.until("tidegate_stream_records{stream=\"orders\"}", |records| records == 3);
    assert_eq!(payloads(&node), ["1", "2", "3"]);
    balance(&node);
}
#[test]
fn a_full_stream_says_so_and_answers_known_ids_all_the_same() {
    let node = dev().start_with(
        "kind: stream\nname: keep\nretention: { messages: 2 }\nwhen_full: drop_newest\n---\nkind: stream\nname: wait\nretention: { messages: 2 }\nwhen_full: refuse\n---\nkind: api\nname: keep\npaths: [/keep]\nbackend: { stream: keep }\n---\nkind: api\nname: wait\npaths: [/wait]\nbackend: { stream: wait }\n",
    );
    for (path, retry) in [("/keep", false), ("/wait", true)] {
        for i in 0..2 {
            assert_eq!(node.post(path, &[("tidegate-id", &format!("i{i}"))], b"x").status, 202);
        }
        let refused = node.post(path, &[], b"x");
        assert_eq!((refused.status, &refused.json()["code"]), (507, &json!("TG4007")), "{path}");
        assert_eq!(refused.header("retry-after").is_some(), retry, "{path}");
        let again = node.post(path, &[("tidegate-id", "i0")], b"x");
        assert_eq!((again.status, again.header("tidegate-duplicate")), (202, Some("true")), "{path}");
        assert_eq!(node.get(path).json()["items"].as_array().unwrap().len(), 2);
    }
    balance(&node);
}
#[test]
fn a_key_decides_the_partition_and_an_order_holds_within() {
    let node = dev().start_with("kind: stream\nname: s\npartitions: 4\n---\nkind: api\nname: s\npaths: [/s]\nbackend: { stream: s }\n");
    for i in 0..20 {
        let answer = node.post("/s", &[("tidegate-key", &format!("k{}", i % 5))], i.to_string().as_bytes());
        assert_eq!(answer.status, 202);
    }
    let page = node.get("/s").json();
    for key in 0..5 {
        let own = page["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|item| item["key"] == format!("k{key}"));
        let numbers: Vec<u32> = own.map(|item| item["payload"].as_str().unwrap().parse().unwrap()).collect();
        assert_eq!(numbers, (0..4).map(|i| i * 5 + key).collect::<Vec<_>>());
    }
    let chosen = node.post("/s", &[("tidegate-partition", "3")], b"x");
    assert!(chosen.header("tidegate-position").unwrap().starts_with("1.3-"));
    let beyond = node.post("/s", &[("tidegate-partition", "4")], b"x");
    assert_eq!((beyond.status, &beyond.json()["code"]), (422, &json!("TG1021")));
    balance(&node);
}
#[test]
fn message_headers_pass_only_as_the_api_lets_them() {
    let node = dev().start_with(
        "kind: stream\nname: s\n---\nkind: api\nname: s\npaths: [/s]\nbackend: { stream: s }\nentrypoints:\n  http_post: { headers: [content-type, \"x-*\"] }\n  http_get: {}\ninclude: [headers, metadata]\n",
    );
    node.post(
        "/s",
        &[
            ("content-type", "text/plain"),
            ("X-One", "1"),
            ("authorization", "Bearer secret"),
            ("other", "2"),
        ],
        b"1",
    );
    node.post("/s", &[("content-type", "application/x-www-form-urlencoded")], b"2");
    let page = node.get("/s?include=headers,metadata").json();
    assert_eq!(page["items"][0]["headers"], json!({ "content-type": "text/plain", "x-one": "1" }));
    assert_eq!(page["items"][1]["headers"], json!({}));
    assert_eq!(page["items"][1]["metadata"], json!({ "topic": "s" }));
    balance(&node);
}
/// What proxies and libraries add is not asked for by `x-*`, only by its name; what the sender writes into an item is its own word.
#[test]
fn secrets_and_routes_enter_a_message_only_by_their_whole_name() {
    let node = dev().start_with(
        "kind: stream\nname: s\n---\nkind: api\nname: wild\npaths: [/wild]\nbackend: { stream: s }\nentrypoints:\n  http_post: { headers: [\"*\", \"x-*\", \"co*\"] }\n---\nkind: api\nname: named\npaths: [/named]\nbackend: { stream: s }\nentrypoints:\n  http_post: { headers: [\"x-*\", x-api-key, x-original-url, x-real-ip, authorization, cookie, proxy-authorization] }\n---\nkind: api\nname: s\npaths: [/s]\nbackend: { stream: s }\nentrypoints: { http_post: {}, http_get: {}, websocket: {} }\ninclude: [headers]\n",
    );
    let sent = [
        ("x-api-key", "secret"),
        ("x-auth-token", "secret"),
        ("x-csrftoken", "secret"),
        ("x-user-password", "secret"),
        ("x-client-secret", "secret"),
        ("x-original-url", "/admin"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-real-ip", "10.0.0.1"),
        ("x-http-method-override", "DELETE"),
        ("authorization", "Bearer secret"),
        ("proxy-authorization", "Basic secret"),
        ("cookie", "a=secret"),
        ("x-one", "1"),
    ];
    for path in ["/wild", "/named", "/s"] {
        assert_eq!(node.post(path, &sent, b"1").status, 202, "{path}");
    }
    let item = br#"{"items":[{"payload":1,"headers":{"x-api-key":"its own"}},{"payload":2,"headers":{"Cookie":"secret"}}]}"#;
    let items = node.post("/s", &[("content-type", "application/vnd.tidegate.messages+json")], item);
    assert_eq!(items.status, 207, "{}", items.text());
    let page = node.get("/s?include=headers").json();
    let headers: Vec<_> = page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["headers"].clone())
        .collect();
    let wild = &headers[0];
    // How long it is says the message itself.
    assert!(wild["x-one"] == "1" && wild["content-length"].is_null(), "{wild}");
    assert!(
        !wild.to_string().contains("secret") && !wild.to_string().contains("10.0.0.1") && !wild.to_string().contains("DELETE"),
        "{wild}"
    );
    let named = json!({ "x-api-key": "secret", "x-original-url": "/admin", "x-real-ip": "10.0.0.1", "x-one": "1" });
    assert_eq!(headers[1..], [named, json!({ "x-one": "1" }), json!({ "x-api-key": "its own" })]);
    balance(&node);
}
/// Two bytes of a body are not to become a page of headers each, in memory and on disk.
#[test]
fn a_batch_has_no_more_items_than_there_is_room_for_with_its_headers() {
    let node = dev().set("limits.batch_body", "1MiB").start();
    let long = "x".repeat(32 << 10);
    let of = |count: usize| "1\n".repeat(count);
    for (key, value) in [("x-long", &*long), ("tidegate-key", &*long)] {
        let headers = [("content-type", "application/x-ndjson"), (key, value)];
        let refused = node.post("/orders", &headers, of(1_000).as_bytes());
        assert_eq!(
            (refused.status, &refused.json()["code"]),
            (413, &json!("TG1030")),
            "{}",
            refused.text()
        );
        assert!(refused.json()["hint"].as_str().unwrap().contains("headers"));
        let taken = node.post("/orders", &headers, of(31).as_bytes());
        assert!(matches!(taken.status, 202 | 207), "{}", taken.text());
    }
    let plain = [("content-type", "application/json"), ("tidegate-batch", "true")];
    let many = format!("[{}1]", "1,".repeat(10_000));
    assert_eq!(node.post("/orders", &plain, many.as_bytes()).status, 413);
    assert_eq!(node.post("/orders", &plain, &many.as_bytes()[2..]).status, 400);
    balance(&node);
}

fn payloads(node: &Node) -> Vec<String> {
    let page = node.get("/orders").json();
    page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["payload"].as_str().unwrap().to_owned())
        .collect()
}
#[test]
fn an_idempotency_key_is_known_again_in_every_partition() {
    let node = dev().start_with(
        "kind: stream\nname: orders\npartitions: 4\n---\nkind: api\nname: orders\npaths: [/orders]\nbackend: { stream: orders }\n",
    );
    for partition in ["0", "1", "2", "3"] {
        for i in 0..3 {
            node.post("/orders", &[("tidegate-partition", partition)], format!("{i}").as_bytes());
        }
        let key = format!("k{partition}");
        let headers = [("idempotency-key", &*key), ("tidegate-partition", partition)];
        let first = node.post("/orders", &headers, b"same");
        let again = node.post("/orders", &headers, b"same");
        assert_eq!(
            (again.status, again.header("tidegate-duplicate")),
            (202, Some("true")),
            "{}",
            again.text()
        );
        assert_eq!(first.header("tidegate-position"), again.header("tidegate-position"));
        let other = node.post("/orders", &headers, b"other");
        assert_eq!((other.status, &other.json()["code"]), (422, &serde_json::json!("TG1023")));
        assert!(other.text().contains("has another payload"), "{}", other.text());
    }
    balance(&node);
}
#[test]
fn what_can_not_be_kept_is_refused_whoever_waits() {
    let stream = |name: &str, rest: &str| {
        format!("kind: stream\nname: {name}\n{rest}\n---\nkind: api\nname: {name}\npaths: [/{name}]\nbackend: {{ stream: {name} }}\n")
    };
    let node = dev().start_with(
        &[
            stream("full", "retention: { messages: 3 }\nwhen_full: refuse"),
            stream("newest", "retention: { messages: 3 }\nwhen_full: drop_newest"),
            stream("small", "retention: { bytes: 64KiB }"),
        ]
        .join("---\n"),
    );
    for path in ["/full", "/newest"] {
        for i in 0..3 {
            assert_eq!(node.post(path, &[], format!("{i}").as_bytes()).status, 202);
        }
        for level in ["stored", "accepted"] {
            let answer = node.post(path, &[("tidegate-ack", level)], b"more");
            assert_eq!(
                (answer.status, &answer.json()["code"]),
                (507, &serde_json::json!("TG4007")),
                "{path} {level}"
            );
        }
    }
    node.post("/small", &[], b"there");
    let answer = node.post("/small", &[], &vec![b'x'; 70_000]);
    assert_eq!((answer.status, &answer.json()["code"]), (413, &serde_json::json!("TG4008")));
    assert_eq!(node.get("/small?wait=0").json()["items"][0]["payload"], "there");
    balance(&node);
}
