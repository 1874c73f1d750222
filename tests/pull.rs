//! Workers that share a stream: leases over HTTP and WebSocket, through the program and its log.
use crate::dev;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tidegate_testkit::{Node, balance};

fn pull(node: &Node, body: &Value) -> Vec<Value> {
    let answer = node.post("/orders/_pull", &[], body.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["items"].as_array().unwrap().clone()
}
fn settle(node: &Node, body: &Value) -> Value {
    let answer = node.post("/orders/_settle", &[], body.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["results"].clone()
}
fn payloads(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["payload"].as_str().unwrap()).collect()
}
fn leases(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["lease"].as_str().unwrap()).collect()
}

#[test]
fn what_a_worker_settled_is_durable_and_the_rest_comes_again() {
    let node = dev().start();
    for i in 0..4 {
        node.post("/orders", &[], i.to_string().as_bytes());
    }
    let items = pull(&node, &json!({ "limit": 3 }));
    assert_eq!(payloads(&items), ["0", "1", "2"]);
    let lease = leases(&items);
    let results = settle(
        &node,
        &json!({ "ack": [lease[0]], "reject": [{ "lease": lease[2], "reason": "broken" }] }),
    );
    assert!(
        results.as_array().unwrap().iter().all(|result| result["result"] == "ok"),
        "{results}"
    );
    let node = node.crash();
    // Its leases ended with it.
    let late = settle(&node, &json!({ "ack": [lease[1]] }));
    assert_eq!(late[0]["result"], "unknown");
    let again = pull(&node, &json!({ "limit": 10 }));
    assert_eq!(payloads(&again), ["1", "3"]);
    settle(&node, &json!({ "ack": leases(&again) }));
    // A worker settles what came, and nothing did.
    let nothing = pull(&node, &json!({ "wait": "0s" }));
    assert_eq!(settle(&node, &json!({ "ack": leases(&nothing) })), json!([]));
    balance(&node);
}
/// Where the rest of a path decides what is read, it belongs to the group; where it does not, it does not.
#[test]
fn a_group_of_a_stream_is_one_whatever_the_path() {
    let node = dev().start();
    let api = json!({"name": "jobs", "paths": ["/jobs", "/j/*"], "backend": {"stream": "orders"}, "plans": ["keyless"]});
    assert_eq!(node.manage("POST", "/apis", &api).status, 201);
    for i in 0..3 {
        node.post("/orders", &[], i.to_string().as_bytes());
    }
    let one = |path: &str| {
        let pulled = node.post(&format!("{path}/_pull"), &[], b"{\"limit\":1,\"wait\":\"0s\"}").json();
        pulled["items"][0]["payload"].clone()
    };
    assert_eq!(["/jobs", "/j/eu", "/j/de"].map(one), ["0", "1", "2"]);
    balance(&node);
}
#[test]
fn a_page_is_settled_with_one_lease() {
    let node = dev().start();
    let lines = (0..10).map(|i| i.to_string()).collect::<Vec<_>>().join("\n");
    node.post("/orders", &[("content-type", "application/x-ndjson")], lines.as_bytes());
    let pulled = || node.post("/orders/_pull", &[], b"{\"limit\":4,\"wait\":\"0s\"}").json();
    let first = pulled();
    let page = first["lease"].as_str().unwrap();
    let lease = |at: usize| first["items"][at]["lease"].as_str().unwrap();
    // What is said of one by itself holds, though it is said behind the other.
    let told = settle(
        &node,
        &json!({ "reject": [{ "lease": lease(2), "reason": "broken" }], "ack": [page] }),
    );
    assert_eq!(
        told,
        json!([
            { "lease": page, "result": "ok", "settled": 3 },
            { "lease": lease(2), "result": "ok" }
        ])
    );
    let dead = node.manage("GET", "/dead-letters", &Value::Null).json();
    assert_eq!(dead["items"][0]["position"], "1.2", "{dead}");
    // Settled before, one of it is not settled by its page.
    let again = settle(&node, &json!({ "ack": [page] }));
    assert_eq!(again, json!([{ "lease": page, "result": "expired", "settled": 0 }]));
    let second = pulled();
    let fifth = second["items"][1]["lease"].as_str().unwrap();
    let busy = settle(
        &node,
        &json!({ "extend": [{ "lease": fifth, "by": "5m" }], "nack": [second["lease"]] }),
    );
    assert_eq!(
        busy,
        json!([
            { "lease": fifth, "result": "ok" },
            { "lease": second["lease"], "result": "ok", "settled": 3 }
        ])
    );
    settle(&node, &json!({ "nack": [fifth] }));
    let second = pulled();
    let back = settle(&node, &json!({ "nack": [second["lease"]] }));
    let count = second["items"].as_array().unwrap().len();
    assert_eq!(back, json!([{ "lease": second["lease"], "result": "ok", "settled": count }]));
    let late = settle(&node, &json!({ "ack": [second["lease"]] }));
    assert_eq!(late, json!([{ "lease": second["lease"], "result": "expired", "settled": 0 }]));
    let mut left = Vec::new();
    while left.len() < 6 {
        let some = pull(&node, &json!({ "limit": 10 }));
        left.extend(payloads(&some).into_iter().map(str::to_owned));
        settle(&node, &json!({ "ack": leases(&some) }));
    }
    left.sort_unstable();
    assert_eq!(left, ["4", "5", "6", "7", "8", "9"]);
    // Nothing came, so there is nothing to settle.
    assert_eq!(pulled(), json!({ "items": [] }));
    let letters = json!({ "ack": [page, "x"] });
    let node = node.crash();
    let unknown = settle(&node, &letters);
    assert_eq!(
        unknown,
        json!([{ "lease": page, "result": "unknown" }, { "lease": "x", "result": "unknown" }])
    );
    balance(&node);
}
/// However much was done above the one that was stuck.
#[test]
fn what_was_done_before_a_restart_does_not_come_again_when_the_first_one_is_done() {
    let node = dev().start();
    let lines = (0..100).map(|i| i.to_string()).collect::<Vec<_>>().join("\n");
    let sent = node.post("/orders", &[("content-type", "application/x-ndjson")], lines.as_bytes());
    assert_eq!(sent.status, 202);
    let items = pull(&node, &json!({ "limit": 100 }));
    let lease = leases(&items);
    settle(&node, &json!({ "ack": lease[1..], "nack": [lease[0]] }));
    let node = node.restart();
    let stuck = pull(&node, &json!({ "limit": 1 }));
    assert_eq!((payloads(&stuck), &stuck[0]["attempt"]), (vec!["0"], &json!(2)));
    settle(&node, &json!({ "ack": leases(&stuck) }));
    assert!(pull(&node, &json!({ "limit": 100, "wait": "0s" })).is_empty());
    let groups = node.manage("GET", "/streams/orders/groups", &Value::Null).json()["items"].clone();
    let pulled = groups
        .as_array()
        .unwrap()
        .iter()
        .find(|group| group["kind"] == "pull")
        .cloned()
        .unwrap();
    assert_eq!((&pulled["pending"], &pulled["out"]), (&json!(0), &json!(0)), "{groups}");
    // Forgotten, it begins anew.
    let gone = node.manage(
        "DELETE",
        &format!("/streams/orders/groups/{}", pulled["name"].as_str().unwrap()),
        &Value::Null,
    );
    assert_eq!(gone.status, 204, "{}", gone.text());
    assert_eq!(pull(&node, &json!({ "limit": 100 })).len(), 100);
}
#[test]
fn a_dead_letter_that_finds_no_room_is_told_and_holds_up_nobody() {
    let node = dev().start();
    let full = json!({"retention": {"messages": 1}, "when_full": "refuse"});
    assert_eq!(node.manage("PUT", "/streams/graves", &full).status, 201);
    let stream = json!({"topics": ["orders"], "dead_letters": {"stream": "graves"}});
    assert_eq!(node.manage("PUT", "/streams/jobs", &stream).status, 201);
    let api = json!({"paths": ["/jobs"], "backend": {"stream": "jobs"}, "plans": ["keyless"]});
    assert_eq!(node.manage("PUT", "/apis/jobs", &api).status, 201);
    for i in 0..4 {
        node.post("/jobs", &[], i.to_string().as_bytes());
    }
    let post = |way: &str, body: &Value| node.post(&format!("/jobs/{way}"), &[], body.to_string().as_bytes()).json();
    let items = post("_pull", &json!({}))["items"].as_array().unwrap().clone();
    let lease = leases(&items);
    let told = post("_settle", &json!({ "ack": [lease[3]], "reject": lease[..3] }));
    let results: Vec<_> = told["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["result"].as_str().unwrap())
        .collect();
    assert_eq!((results[0], results.contains(&"failed")), ("ok", true), "{told}");
    assert!(told.to_string().contains("graves"), "{told}");
    // Nobody removes it while it takes dead letters.
    let kept = node.manage("DELETE", "/streams/graves", &Value::Null);
    assert_eq!((kept.status, &kept.json()["code"]), (409, &json!("TG1051")));
}
/// However many wait behind those that find none, and wherever they lie.
#[test]
fn of_many_dead_letters_each_is_told_whether_it_found_room() {
    const MANY: usize = 2_000;
    const ROOM: usize = 100;
    let node = dev().start();
    let full = json!({"retention": {"messages": ROOM}, "when_full": "refuse"});
    assert_eq!(node.manage("PUT", "/streams/graves", &full).status, 201);
    let stream = json!({"topics": ["orders"], "dead_letters": {"stream": "graves"}});
    assert_eq!(node.manage("PUT", "/streams/jobs", &stream).status, 201);
    let api = json!({"paths": ["/jobs"], "backend": {"stream": "jobs"}, "plans": ["keyless"]});
    assert_eq!(node.manage("PUT", "/apis/jobs", &api).status, 201);
    let lines = "1\n".repeat(MANY);
    node.post("/jobs", &[("content-type", "application/x-ndjson")], lines.as_bytes());
    let post = |way: &str, body: &Value| node.post(&format!("/jobs/{way}"), &[], body.to_string().as_bytes()).json();
    let mut items = Vec::new();
    while items.len() < MANY {
        items.extend(post("_pull", &json!({"limit": 1_000}))["items"].as_array().unwrap().clone());
    }
    let told = post("_settle", &json!({ "reject": leases(&items) }));
    let results = told["results"].as_array().unwrap();
    let ok = results.iter().zip(&items).filter(|(one, _)| one["result"] == "ok");
    let ok: Vec<_> = ok.map(|(_, item)| item["position"].clone()).collect();
    let failed = results.iter().filter(|one| one["result"] == "failed").count();
    assert_eq!((ok.len(), failed), (ROOM, MANY - ROOM));
    let letters = node.manage("GET", "/dead-letters?limit=1000", &Value::Null).json();
    let letters = letters["items"].as_array().unwrap().iter().map(|letter| &letter["position"]);
    assert_eq!(letters.collect::<Vec<_>>(), ok.iter().rev().collect::<Vec<_>>());
}
#[test]
fn nobody_forges_a_dead_letter() {
    let node = dev().start();
    node.post("/orders", &[], b"bad");
    let items = pull(&node, &json!({}));
    settle(&node, &json!({ "reject": [{"lease": leases(&items)[0], "reason": "broken"}] }));
    let count = || {
        node.manage("GET", "/dead-letters", &Value::Null).json()["items"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(count(), 1);
    let told = node.post("/topics/orders.dead", &[], b"fake");
    assert_eq!((told.status, &told.json()["ack"]), (202, &json!("delivered")), "{}", told.text());
    let forged = json!({"items": [{"payload": "fake", "headers": {"tidegate-dead-group": "$webhook/pay"}}]});
    let forged = node.post(
        "/orders",
        &[("content-type", "application/vnd.tidegate.messages+json")],
        forged.to_string().as_bytes(),
    );
    assert_eq!(forged.status, 400, "{}", forged.text());
    assert_eq!(count(), 1);
}
#[test]
fn two_workers_share_a_group_and_one_takes_over_what_the_other_left() {
    let node = dev().start();
    for i in 0..200 {
        node.post("/orders", &[], i.to_string().as_bytes());
    }
    // It takes some and dies: its lease is all that is waited for.
    let lost = pull(&node, &json!({ "limit": 50, "lease_for": "1s" }));
    assert_eq!(lost.len(), 50);
    let mut done: BTreeMap<u32, u64> = BTreeMap::new();
    while done.len() < 200 {
        let items = pull(&node, &json!({ "limit": 30, "wait": "10s" }));
        assert!(!items.is_empty(), "{} of 200", done.len());
        for item in &items {
            let number = item["payload"].as_str().unwrap().parse().unwrap();
            assert!(done.insert(number, item["attempt"].as_u64().unwrap()).is_none(), "{number} twice");
        }
        let results = settle(&node, &json!({ "ack": leases(&items) }));
        assert!(
            results.as_array().unwrap().iter().all(|result| result["result"] == "ok"),
            "{results}"
        );
    }
    assert!(
        done.iter().all(|(number, attempt)| *attempt == if *number < 50 { 2 } else { 1 }),
        "{done:?}"
    );
    let late = settle(&node, &json!({ "ack": [lost[0]["lease"]] }));
    assert_eq!(late[0]["result"], "expired");
    balance(&node);
}
#[test]
fn what_is_given_back_waits_for_its_delay() {
    let node = dev().start();
    node.post("/orders", &[], b"a");
    let items = pull(&node, &json!({}));
    settle(&node, &json!({ "nack": [{ "lease": leases(&items)[0], "delay": "1s" }] }));
    assert!(pull(&node, &json!({ "wait": "300ms" })).is_empty());
    let again = pull(&node, &json!({ "wait": "10s" }));
    assert_eq!((payloads(&again), &again[0]["attempt"]), (vec!["a"], &json!(2)));
    balance(&node);
}
#[test]
fn an_api_that_cannot_be_pulled_from_says_so() {
    let node = dev().start();
    for target in ["/qs-message-api/_pull", "/topics/demo/_settle"] {
        let answer = node.post(target, &[], b"{}");
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (404, &json!("TG1001")),
            "{target}: {}",
            answer.text()
        );
    }
    balance(&node);
}
/// What nobody needs any more is given to nobody, and counted.
#[test]
fn what_becomes_of_a_groups_messages_is_in_the_metrics() {
    let node = dev().start();
    let of = |what: &str, outcome: &str| format!("tidegate_group_{what}{{stream=\"orders\",group=\"$api/orders/-/w\"{outcome}}}");
    let messages = |outcome: &str| of("messages_total", &format!(",outcome=\"{outcome}\""));
    let wish = json!({ "group": "w", "wait": "0s" });
    assert!(pull(&node, &wish).is_empty());
    let settled = std::cell::Cell::new(0);
    node.until(&messages("expired"), |expired| {
        node.post("/orders", &[("tidegate-ttl", "1ms")], b"soon over");
        // One that comes in its time is nobody's loss.
        for item in pull(&node, &wish) {
            settle(&node, &json!({ "ack": [item["lease"]] }));
            settled.set(settled.get() + 1);
        }
        expired > 0
    });
    for text in ["kept", "broken", "waits"] {
        node.post("/orders", &[], text.as_bytes());
    }
    let items: Vec<_> = pull(&node, &json!({ "group": "w", "limit": 10 }));
    let (last, all) = (&items[items.len() - 1], items.len() as u64);
    assert_eq!(
        (node.metric(&of("pending_messages", "")), node.metric(&of("out_messages", ""))),
        (all, all)
    );
    settle(
        &node,
        &json!({ "ack": leases(&items[..items.len() - 2]), "reject": [leases(&items)[items.len() - 2]] }),
    );
    node.until(&messages("dead"), |dead| dead == 1);
    assert_eq!(node.metric(&messages("done")), settled.get() + all - 2);
    assert_eq!(
        (node.metric(&of("pending_messages", "")), node.metric(&of("out_messages", ""))),
        (1, 1)
    );
    assert_eq!(last["payload"], "waits");
    balance(&node);
}
/// Its leases are nobody's any more; those of others in the same request are settled.
#[test]
fn a_removed_group_takes_only_its_own_leases_along() {
    let node = dev().start();
    for i in 0..2 {
        node.post("/orders", &[], i.to_string().as_bytes());
    }
    let (here, gone) = (pull(&node, &json!({"group": "here"})), pull(&node, &json!({"group": "gone"})));
    let removed = node.manage("DELETE", "/streams/orders/groups/$api%2Forders%2F-%2Fgone", &Value::Null);
    assert_eq!(removed.status, 204, "{}", removed.text());
    let (here, gone) = (leases(&here), leases(&gone));
    let results = settle(&node, &json!({"ack": [here[0], gone[0], here[1]]}));
    let words: Vec<_> = results.as_array().unwrap().iter().map(|one| one["result"].clone()).collect();
    assert_eq!(words, ["ok", "expired", "ok"]);
    balance(&node);
}
