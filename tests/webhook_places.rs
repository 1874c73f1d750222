//! Where a webhook stands in its source: from the moment it is there, over stops and crashes, and why it stands still.
use crate::{commands::tidegate, dev};
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};
use tidegate_testkit::{Node, Receiver, Reply, receiver::Got};

fn put(node: &Node, name: &str, document: &Value) {
    let made = node.manage("PUT", &format!("/webhooks/{name}"), document);
    assert_eq!(made.status, 201, "{}", made.text());
}
fn publish(node: &Node, text: &str) {
    let answer = node.manage("POST", "/topics/s", &json!(text));
    assert_eq!(answer.status, 202, "{}", answer.text());
}
fn status(node: &Node, name: &str) -> Value {
    node.manage("GET", &format!("/webhooks/{name}"), &Value::Null).json()["status"].clone()
}
fn until(node: &Node, name: &str, good: impl Fn(&Value) -> bool) -> Value {
    let began = tidegate_core::clock::instant();
    loop {
        let now = status(node, name);
        if good(&now) {
            return now;
        }
        assert!(began.elapsed() < Duration::from_mins(1), "{now}");
    }
}
fn texts(got: &[Got]) -> Vec<String> {
    got.iter().map(|got| got.text().trim_matches('"').to_owned()).collect()
}

#[test]
fn a_webhook_is_untried_until_its_target_took_something() {
    let node = dev().start();
    assert_eq!(node.manage("PUT", "/streams/s", &json!({})).status, 201);
    let receiver = Receiver::new(|_| Reply::status(200));
    let hook = |url: &str| json!({"source": {"stream": "s"}, "target": {"url": url}});
    put(&node, "w", &hook(&receiver.url()));
    put(&node, "far", &hook("http://10.0.0.1/hook"));
    put(&node, "named", &hook("http://example.invalid/hook"));
    // By the address alone, before anything is sent; `tidegate webhook add` notes it.
    let refused = "`10.0.0.1` is no public address (private), where no outgoing call may go unless `outgoing.allow` has it";
    for (name, reason) in [("w", Value::Null), ("far", json!(refused)), ("named", Value::Null)] {
        let status = status(&node, name);
        assert_eq!((&status["state"], &status["reason"]), (&json!("untried"), &reason), "{name}");
    }
    let at = format!("http://{}", node.admin);
    let arguments = ["webhook", "add", "s", "http://192.168.7.7/", "--name", "noted", "--node", &at];
    let added = tidegate(node.folder(), &arguments);
    let said = [&added.stdout, &added.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert_eq!(said[0], "created webhook noted\n");
    assert!(
        said[1].starts_with("note: `192.168.7.7` is no public address (private)"),
        "{said:?}"
    );
    publish(&node, "one");
    until(&node, "w", |status| status["state"] == "connected");
    let failed = until(&node, "far", |status| status["state"] != "untried");
    assert!(failed["error"].as_str().unwrap().contains("`outgoing.allow`"), "{failed}");
    // Another target is not what the one before it was.
    let moved = node.manage("PUT", "/webhooks/w", &hook(&format!("{}?elsewhere", receiver.url())));
    assert_eq!(moved.status, 200, "{}", moved.text());
    until(&node, "w", |status| status["state"] == "untried");
}
/// The streams and webhooks are new, and nobody waits.
#[test]
fn what_comes_after_a_webhook_was_made_is_sent() {
    const HOOKS: usize = 20;
    let node = dev().start();
    let receiver = Receiver::new(|_| Reply::status(200));
    for round in 0..4 {
        let stream = format!("s{round}");
        let mut resources = vec![json!({"kind": "stream", "name": stream})];
        resources.extend((0..HOOKS).map(|i| {
            json!({"kind": "webhook", "name": format!("w{round}-{i}"), "source": {"stream": stream}, "target": {"url": receiver.url()}})
        }));
        let made = node.manage("POST", "/apply", &json!({ "resources": resources }));
        assert_eq!(made.status, 200, "{}", made.text());
        let sent = node.manage("POST", &format!("/topics/{stream}"), &json!("first"));
        assert_eq!(sent.status, 202, "{}", sent.text());
        receiver.until("all", |got| got.len() >= HOOKS * (round + 1));
    }
}
#[test]
fn one_that_was_never_started_keeps_what_comes_for_it() {
    let node = dev().start();
    let receiver = Receiver::new(|_| Reply::status(200));
    assert_eq!(node.manage("PUT", "/streams/s", &json!({})).status, 201);
    publish(&node, "before");
    put(
        &node,
        "w",
        &json!({"source": {"stream": "s"}, "target": {"url": receiver.url()}, "enabled": false}),
    );
    publish(&node, "meanwhile");
    assert_eq!(status(&node, "w")["lag"]["messages"], 1);
    let node = node.crash();
    assert_eq!(node.manage("POST", "/webhooks/w/start", &Value::Null).status, 200);
    publish(&node, "after");
    receiver.until("both", |got| got.len() >= 2);
    until(&node, "w", |status| status["lag"]["messages"] == 0);
    // It has asked for no order: the two are on their way at once.
    let mut got = texts(&receiver.got());
    got.sort();
    assert_eq!(got, ["after", "meanwhile"]);
}
#[test]
fn what_its_target_said_is_known_after_a_restart() {
    let node = dev().start();
    let receiver = Receiver::new(|_| Reply::status(410));
    assert_eq!(node.manage("PUT", "/streams/s", &json!({})).status, 201);
    put(&node, "w", &json!({"source": {"stream": "s"}, "target": {"url": receiver.url()}}));
    put(
        &node,
        "still",
        &json!({"source": {"stream": "s"}, "target": {"url": receiver.url()}, "enabled": false}),
    );
    publish(&node, "x");
    let before = until(&node, "w", |status| status["state"] == "stopped");
    assert_eq!(before["reason"], "the target answered 410 Gone");
    let disabled = || node.manage("GET", "/webhooks/w", &Value::Null).json()["enabled"] == false;
    while !disabled() {}
    let node = node.restart();
    let after = status(&node, "w");
    assert_eq!(
        (&after["reason"], &after["state"]),
        (&before["reason"], &before["state"]),
        "{after}"
    );
    assert!(after["since"].as_str() <= before["since"].as_str(), "{after} {before}");
    assert_eq!(status(&node, "still")["reason"], "stopped");
    receiver.script(|_| Reply::status(200));
    assert_eq!(node.manage("POST", "/webhooks/w/start", &Value::Null).status, 200);
    until(&node, "w", |status| status["lag"]["messages"] == 0);
}
/// One attempt is all there is: nothing of what was read ahead may lose it.
#[test]
fn what_was_read_ahead_and_never_sent_has_its_attempt_after_a_crash() {
    const MESSAGES: usize = 200;
    for order in ["none", "key", "all"] {
        let node = dev().start();
        assert_eq!(node.manage("PUT", "/streams/s", &json!({})).status, 201);
        let receiver = Receiver::new(|_| Reply::Hang);
        put(
            &node,
            "w",
            &json!({
                "source": {"stream": "s"}, "target": {"url": receiver.url(), "timeout": "1m"}, "order": order, "parallel": 4,
                "retry": {"attempts": 1},
            }),
        );
        for i in 0..MESSAGES {
            let sent = node.manage_as(
                &node.token(),
                "POST",
                "/topics/s",
                &[("tidegate-key", &format!("k{}", i % 20))],
                &json!(i.to_string()),
            );
            assert_eq!(sent.status, 202);
        }
        let calls = if order == "all" { 1 } else { 4 };
        receiver.until("calls", |got| got.len() >= calls);
        // Stored behind whatever was handed out by now.
        publish(&node, "last");
        // All calls there may be hang.
        receiver.script(|_| Reply::status(200));
        let node = node.crash();
        until(&node, "w", |status| status["lag"]["messages"] == 0);
        assert_eq!(status(&node, "w")["given_up"], 0, "{order}");
        let seen: BTreeSet<_> = texts(&receiver.got()).into_iter().collect();
        assert_eq!(seen.len(), MESSAGES + 1, "{order}");
        assert!(receiver.got().iter().all(|got| got.attempt() == 1), "{order}");
    }
}
/// Its requests say where a message comes from, in headers that are not the other's.
#[test]
fn a_webhook_may_send_to_another_tidegate() {
    let (node, other) = (dev().start(), dev().start());
    assert_eq!(node.manage("PUT", "/streams/s", &json!({})).status, 201);
    let url = format!("http://{}/orders", other.gateway);
    put(&node, "one", &json!({"source": {"stream": "s"}, "target": {"url": url}}));
    put(
        &node,
        "many",
        &json!({"source": {"stream": "s"}, "target": {"url": url}, "batch": {"messages": 2, "wait": "10ms"}}),
    );
    let sent = node.manage_as(&node.token(), "POST", "/topics/s", &[("tidegate-key", "anna")], &json!("hello"));
    assert_eq!(sent.status, 202);
    for name in ["one", "many"] {
        let now = until(&node, name, |status| status["lag"]["messages"] == 0);
        assert_eq!((&now["delivered"], &now["given_up"]), (&json!(1), &json!(0)), "{now}");
    }
    let page = other.get("/orders").json();
    let single = page["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|item| item["payload"] == "hello" || item["payload"] == "\"hello\"");
    assert_eq!(single.map(|item| &item["key"]), Some(&json!("anna")), "{page}");
}
/// Nobody waits for what is over, and nobody is told that it is tried again.
#[test]
fn what_expires_before_its_next_attempt_holds_nothing_up() {
    for order in ["none", "key", "all"] {
        let node = dev().start();
        assert_eq!(node.manage("PUT", "/streams/s", &json!({})).status, 201);
        let receiver = Receiver::new(|got| match got.text().trim_matches('"') {
            "short" => Reply::status(500),
            _ => Reply::status(200),
        });
        put(
            &node,
            "w",
            &json!({
                "source": {"stream": "s"}, "target": {"url": receiver.url()}, "order": order,
                "retry": {"first": "10m", "max": "1h"},
            }),
        );
        let send = |text: &str, headers: &[(&str, &str)]| {
            let headers = [&[("tidegate-key", "k")], headers].concat();
            let sent = node.manage_as(&node.token(), "POST", "/topics/s", &headers, &json!(text));
            assert_eq!(sent.status, 202);
        };
        send("short", &[("tidegate-ttl", "2s")]);
        until(&node, "w", |status| status["state"] == "retrying");
        let now = until(&node, "w", |status| status["state"] == "failing" && status["lag"]["messages"] == 0);
        assert_eq!((&now["given_up"], &now["expired"]), (&json!(0), &json!(1)), "{order}: {now}");
        send("short", &[("tidegate-ttl", "2s")]);
        until(&node, "w", |status| status["state"] == "retrying");
        send("long", &[]);
        receiver.until("behind it", |got| got.iter().any(|got| got.text().contains("long")));
        until(&node, "w", |status| status["state"] == "connected");
    }
}
/// Each message that was lost while it waited is counted once, however many waited.
#[test]
fn what_the_stream_forgot_while_it_waited_is_counted_once() {
    const KEPT: u64 = 10;
    const ALL: u64 = 40;
    let node = dev().start();
    let made = node.manage("PUT", "/streams/s", &json!({"retention": {"messages": KEPT}}));
    assert_eq!(made.status, 201, "{}", made.text());
    let receiver = Receiver::new(|_| Reply::status(500));
    let webhook = |first: &str| {
        json!({
            "source": {"stream": "s"}, "target": {"url": receiver.url()}, "retry": {"first": first, "max": "3s", "attempts": 100},
        })
    };
    put(&node, "w", &webhook("3s"));
    for i in 0..ALL {
        let key = [("tidegate-key", "k")];
        let sent = node.manage_as(&node.token(), "POST", "/topics/s", &key, &json!(i.to_string()));
        assert_eq!(sent.status, 202);
        if i == 0 {
            until(&node, "w", |status| status["state"] == "retrying");
        }
    }
    receiver.script(|_| Reply::status(200));
    let changed = node.manage("PUT", "/webhooks/w", &webhook("100ms"));
    assert_eq!(changed.status, 200, "{}", changed.text());
    let now = until(&node, "w", |status| status["lag"]["messages"] == 0);
    let delivered = now["delivered"].as_u64().unwrap();
    assert!((KEPT..ALL).contains(&delivered), "{now}");
    let group = "tidegate_group_messages_total{stream=\"s\",group=\"$webhook/w\",outcome=\"missed\"}";
    assert_eq!(node.metric(group), ALL - delivered);
    assert_eq!(
        node.metric("tidegate_webhook_missed_messages_total{webhook=\"w\"}"),
        ALL - delivered
    );
}
/// Nobody waits for its next attempt to learn that it is gone.
#[test]
fn what_is_purged_while_it_waits_is_counted_at_once() {
    const ALL: u64 = 20;
    let node = dev().start();
    assert_eq!(node.manage("PUT", "/streams/s", &json!({})).status, 201);
    let receiver = Receiver::new(|_| Reply::status(500));
    put(
        &node,
        "w",
        &json!({"source": {"stream": "s"}, "target": {"url": receiver.url()}, "retry": {"first": "10m", "max": "10m"}, "order": "key"}),
    );
    for i in 0..ALL {
        let key = [("tidegate-key", "k")];
        let sent = node.manage_as(&node.token(), "POST", "/topics/s", &key, &json!(i.to_string()));
        assert_eq!(sent.status, 202);
    }
    until(&node, "w", |status| status["lag"]["waiting"] == ALL);
    assert_eq!(node.manage("POST", "/streams/s/purge", &json!({})).status, 200);
    until(&node, "w", |status| status["lag"]["waiting"] == 0 && status["state"] == "failing");
    let group = "tidegate_group_messages_total{stream=\"s\",group=\"$webhook/w\",outcome=\"missed\"}";
    assert_eq!(node.metric(group), ALL);
    assert_eq!(node.metric("tidegate_webhook_missed_messages_total{webhook=\"w\"}"), ALL);
    // Its key is free.
    receiver.script(|_| Reply::status(200));
    let key = [("tidegate-key", "k")];
    node.manage_as(&node.token(), "POST", "/topics/s", &key, &json!("new"));
    until(&node, "w", |status| status["delivered"] == 1 && status["state"] == "connected");
}
/// Who looks after a crash sees since when a target is ill, and of what.
#[test]
fn what_was_met_before_is_known_after_a_crash() {
    for (status, state) in [(503, "retrying"), (400, "failing")] {
        let node = dev().start();
        assert_eq!(node.manage("PUT", "/streams/s", &json!({})).status, 201);
        let receiver = Receiver::new(move |_| Reply::status(status));
        put(
            &node,
            "w",
            &json!({"source": {"stream": "s"}, "target": {"url": receiver.url()}, "retry": {"first": "10m", "max": "1h"}}),
        );
        publish(&node, "x");
        let before = until(&node, "w", |status| status["state"] == state);
        // The delivery log is written a moment later.
        let noted = || node.manage("GET", "/webhooks/w/deliveries", &Value::Null).json()["items"][0].clone();
        let began = tidegate_core::clock::instant();
        while noted().is_null() {
            assert!(began.elapsed() < Duration::from_mins(1));
        }
        let node = node.crash();
        let after = until(&node, "w", |status| status["state"] == state);
        assert_eq!(after["error"], before["error"]);
        assert!(after["since"].as_str() <= before["since"].as_str(), "{after} {before}");
        receiver.script(|_| Reply::status(200));
        publish(&node, "y");
        until(&node, "w", |status| !status["last_success"].is_null());
    }
}
