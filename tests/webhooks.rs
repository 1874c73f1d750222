//! Webhooks on the real program: what a target does and what becomes of the messages, through crashes too.
use crate::{TIDEGATE, TOOLS, dev};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    process::{Command, Stdio},
    time::Duration,
};
use tidegate_testkit::{Node, Receiver, Reply, receiver::Got};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A node with the stream `s`, and a webhook `w` from its beginning to that receiver.
fn node(to: &Receiver, more: &Value) -> Node {
    let node = dev().start();
    assert_eq!(node.manage("PUT", "/streams/s", &json!({})).status, 201);
    hook(&node, "w", to, more);
    node
}
fn hook(node: &Node, name: &str, to: &Receiver, more: &Value) {
    let mut document = json!({
        "source": {"stream": "s", "from": "earliest"}, "sign": {"secrets": [SECRET]},
        "target": {"url": to.url(), "timeout": "1s"}, "retry": {"first": "50ms", "max": "200ms", "attempts": 8},
        "breaker": {"failures": 100_000},
    });
    for (key, value) in more.as_object().unwrap() {
        document[key] = value.clone();
    }
    let made = node.manage("PUT", &format!("/webhooks/{name}"), &document);
    assert_eq!(made.status, 201, "{}", made.text());
}
fn publish(node: &Node, key: &str, text: &str) {
    let answer = node.manage_as(&node.token(), "POST", "/topics/s", &[("tidegate-key", key)], &json!(text));
    assert_eq!(answer.status, 202, "{}", answer.text());
}
fn status(node: &Node) -> Value {
    node.manage("GET", "/webhooks/w", &Value::Null).json()["status"].clone()
}
fn until(node: &Node, what: &str, good: impl Fn(&Value) -> bool) -> Value {
    let began = tidegate_core::clock::instant();
    loop {
        let now = status(node);
        if good(&now) {
            return now;
        }
        assert!(began.elapsed() < Duration::from_mins(1), "{what}: {now}");
    }
}
/// Texts in the order they were taken: those of one key, each once.
fn taken(got: &[Got], good: impl Fn(&Got) -> bool) -> BTreeMap<String, Vec<String>> {
    let mut out: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for got in got.iter().filter(|got| good(got)) {
        let key = got.headers.get("tidegate-key").cloned().unwrap_or_default();
        let texts = out.entry(key).or_default();
        if !texts.contains(&got.text()) {
            texts.push(got.text());
        }
    }
    out
}
fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("\"{i}\"")).collect()
}

#[test]
fn whatever_a_target_does_nothing_is_lost_and_keys_keep_their_order() {
    for (name, fails) in [
        ("500", Reply::status(500)),
        ("429", Reply::Status(429, vec![("retry-after", "1".to_owned())])),
        ("cut", Reply::Cut),
        ("hang", Reply::Hang),
        ("redirect", Reply::Status(302, vec![("location", "http://127.0.0.1:1/".to_owned())])),
    ] {
        // Every third first attempt of key `a` fails, `b` never does.
        let receiver = Receiver::new(move |got| {
            let third = got.text().trim_matches('"').parse::<u32>().is_ok_and(|number| number % 3 == 0);
            if got.headers["tidegate-key"] == "a" && third && got.attempt() == 1 {
                fails.clone()
            } else {
                Reply::status(204)
            }
        });
        let node = node(&receiver, &json!({"target": {"url": receiver.url(), "timeout": "300ms"}}));
        for i in 0..9 {
            publish(&node, "a", &i.to_string());
            publish(&node, "b", &i.to_string());
        }
        until(&node, name, |status| status["delivered"] == 18);
        let got = receiver.got();
        let wanted = BTreeMap::from([("a".to_owned(), numbers(9)), ("b".to_owned(), numbers(9))]);
        assert_eq!(taken(&got, |_| true), wanted, "{name}");
        assert_eq!(status(&node)["retried"], 3, "{name}: {}", status(&node));
        let ids: BTreeSet<_> = got.iter().map(|got| got.id().to_owned()).collect();
        assert_eq!((ids.len(), got.len()), (18, 21), "{name}: a retry has the id of the first attempt");
        if name == "429" {
            let times: Vec<i64> = got
                .iter()
                .filter(|got| got.text() == "\"0\"" && got.headers["tidegate-key"] == "a")
                .map(|got| got.at)
                .collect();
            assert!(times[1] - times[0] >= 1_000_000, "Retry-After is obeyed: {times:?}");
        }
    }
}
#[test]
fn a_huge_answer_is_an_answer() {
    let receiver = Receiver::new(|_| Reply::Huge(20 << 20));
    let node = node(&receiver, &json!({}));
    publish(&node, "a", "x");
    until(&node, "delivered", |status| status["delivered"] == 1);
    assert!(node.memory() < 100 << 20, "{} bytes", node.memory());
}
#[test]
fn what_a_target_will_never_take_is_a_dead_letter_at_once_and_410_stops_for_good() {
    let receiver = Receiver::new(|got| match got.text().as_str() {
        "\"bad\"" => Reply::status(422),
        "\"tired\"" => Reply::status(503),
        "\"gone\"" => Reply::status(410),
        _ => Reply::status(200),
    });
    let node = node(
        &receiver,
        &json!({"order": "none", "retry": {"first": "10ms", "max": "20ms", "attempts": 3}}),
    );
    for text in ["bad", "tired", "good"] {
        publish(&node, "k", text);
    }
    until(&node, "given up", |status| status["given_up"] == 2 && status["delivered"] == 1);
    let attempts = |text: &str| receiver.got().iter().filter(|got| got.text() == text).count();
    assert_eq!((attempts("\"bad\""), attempts("\"tired\"")), (1, 3));
    let began = tidegate_core::clock::instant();
    let dead = loop {
        let dead = node.manage("GET", "/streams/s.dead/messages?include=headers", &Value::Null).json();
        if dead["items"].as_array().is_some_and(|items| items.len() == 2) {
            break dead;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{dead}");
    };
    let told = |at: usize, name: &str| dead["items"][at]["headers"][name].clone();
    let reasons: BTreeSet<_> = (0..2).map(|at| told(at, "tidegate-dead-reason").to_string()).collect();
    assert_eq!(
        reasons,
        BTreeSet::from(["\"attempts\"".to_owned(), "\"refused\"".to_owned()]),
        "{dead}"
    );
    publish(&node, "k", "gone");
    until(&node, "stopped", |status| status["state"] == "stopped");
    publish(&node, "k", "after");
    let document = || node.manage("GET", "/webhooks/w", &Value::Null).json();
    let began = tidegate_core::clock::instant();
    while document()["enabled"] != json!(false) {
        assert!(began.elapsed() < Duration::from_secs(30), "{}", document());
    }
    let before = receiver.got().len();
    let node = node.restart();
    assert_eq!(status(&node)["state"], "stopped", "it stays stopped");
    receiver.script(|_| Reply::status(200));
    assert_eq!(node.manage("POST", "/webhooks/w/start", &Value::Null).status, 200);
    // Nothing keeps an order here.
    let again = |got: &[Got], text: &str| got.iter().skip(before).any(|got| got.text() == text);
    receiver.until("the rest", |got| again(got, "\"after\"") && again(got, "\"gone\""));
}
/// The target is up, down and slow in turns while the node is killed again and again.
#[test]
fn kill_9_loses_nothing_that_was_stored() {
    let receiver = Receiver::good();
    let mut node = node(&receiver, &json!({"retry": {"first": "10ms", "max": "50ms", "attempts": 1_000}}));
    let mut sent = 0;
    for turn in 0..20 {
        match turn % 3 {
            0 => receiver.script(|_| Reply::status(200)),
            1 => receiver.script(|_| Reply::status(500)),
            _ => receiver.script(|_| Reply::Slow(Duration::from_millis(20))),
        }
        for i in 0..15 {
            publish(&node, ["a", "b", "c"][i % 3], &sent.to_string());
            sent += 1;
        }
        node = node.crash();
    }
    receiver.script(|_| Reply::status(200));
    receiver.until("all of them", |got| {
        got.iter().map(Got::text).collect::<BTreeSet<_>>().len() == sent
    });
    until(&node, "an end", |status| status["lag"]["messages"] == 0);
    let got = receiver.got();
    let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for got in &got {
        ids.entry(got.text()).or_default().insert(got.id().to_owned());
    }
    assert_eq!(ids.len(), sent);
    assert!(ids.values().all(|ids| ids.len() == 1), "a duplicate has the id of the first one");
    assert_eq!(node.metric("tidegate_log_damaged_records_total"), 0);
}
#[test]
fn after_a_crash_attempts_go_on_and_all_arrive_in_order() {
    const MESSAGES: usize = 1_000;
    let receiver = Receiver::new(|_| Reply::status(500));
    let node = node(
        &receiver,
        &json!({"parallel": 64, "retry": {"first": "10ms", "max": "20ms", "attempts": 10_000}}),
    );
    for i in 0..MESSAGES {
        publish(&node, &format!("k{}", i % 200), &i.to_string());
    }
    // Every key has been tried some times.
    let tries = |got: &[Got]| {
        let mut most: BTreeMap<String, u32> = BTreeMap::new();
        for got in got {
            let slot = most.entry(got.id().to_owned()).or_default();
            *slot = (*slot).max(got.attempt());
        }
        most
    };
    receiver.until("tries", |got| tries(got).values().filter(|attempts| **attempts >= 3).count() >= 200);
    let node = node.crash();
    let before = tries(&receiver.got());
    receiver.script(|_| Reply::status(200));
    let split = receiver.got().len();
    until(&node, "delivered", |status| status["lag"]["messages"] == 0);
    let got = receiver.got();
    let ids: BTreeSet<_> = got.iter().map(|got| got.id().to_owned()).collect();
    assert_eq!(ids.len(), MESSAGES);
    let late: Vec<_> = got.iter().skip(split).collect();
    for (id, attempts) in before.iter().filter(|(_, attempts)| **attempts >= 3) {
        let next = late.iter().find(|got| got.id() == id).map_or(0, |got| got.attempt());
        assert!(next >= *attempts, "{id} had {attempts} attempts, and now it is {next}");
    }
    for texts in taken(&got, |_| true).values() {
        let numbers: Vec<usize> = texts.iter().map(|text| text.trim_matches('"').parse().unwrap()).collect();
        assert!(numbers.is_sorted(), "{numbers:?}");
    }
}
/// More is always due again than one call at a time can try.
#[test]
fn what_fails_and_fails_again_keeps_nothing_new_waiting() {
    let receiver = Receiver::new(|got| Reply::status(if got.text().contains("bad") { 500 } else { 200 }));
    let retry = json!({"first": "1ms", "max": "1ms", "attempts": 10_000});
    let node = node(&receiver, &json!({"parallel": 1, "retry": retry}));
    for i in 0..100 {
        publish(&node, &format!("bad{i}"), "bad");
    }
    receiver.until("attempts", |got| got.len() >= 300);
    for i in 0..100 {
        publish(&node, &format!("good{}", i % 10), &i.to_string());
    }
    until(&node, "delivered", |status| status["delivered"] == 100);
    for texts in taken(&receiver.got(), |got| !got.text().contains("bad")).values() {
        let numbers: Vec<usize> = texts.iter().map(|text| text.trim_matches('"').parse().unwrap()).collect();
        assert!(numbers.is_sorted() && numbers.len() == 10, "{numbers:?}");
    }
}
#[test]
fn targets_that_hang_slow_no_other() {
    let good = Receiver::good();
    let bad = Receiver::new(|_| Reply::Hang);
    let node = node(&good, &json!({"order": "none"}));
    for i in 0..10 {
        hook(
            &node,
            &format!("bad{i}"),
            &bad,
            &json!({"order": "none", "target": {"url": bad.url(), "timeout": "30s"}}),
        );
    }
    for i in 0..500 {
        publish(&node, "k", &i.to_string());
    }
    until(&node, "delivered", |status| status["delivered"] == 500);
    let of = |name: &str| node.manage("GET", &format!("/webhooks/{name}"), &Value::Null).json()["status"].clone();
    for i in 0..10 {
        let status = of(&format!("bad{i}"));
        assert!(status["in_flight"].as_u64().unwrap() <= 16 && status["delivered"] == 0, "{status}");
        assert_eq!(status["lag"]["messages"], 500, "the rest waits on disk");
    }
}
/// At most one probe a second, and what waits counts no attempt.
#[test]
fn an_ill_target_is_left_alone() {
    let receiver = Receiver::new(|_| Reply::status(503));
    let node = node(
        &receiver,
        &json!({"order": "none", "breaker": {"failures": 5, "open_for": "1s"}, "retry": {"first": "10ms", "max": "20ms", "attempts": 50}}),
    );
    for i in 0..50 {
        publish(&node, "k", &i.to_string());
    }
    until(&node, "open", |status| status["state"] == "open");
    let opened = receiver.got().len();
    let got = receiver.until("three probes", |got| got.len() >= opened + 3);
    for pair in got[opened..].windows(2) {
        assert!(
            pair[1].at - pair[0].at >= 900_000,
            "{} us between two probes",
            pair[1].at - pair[0].at
        );
    }
    receiver.script(|_| Reply::status(200));
    until(&node, "delivered", |status| status["delivered"] == 50);
    assert_eq!(status(&node)["given_up"], 0);
}
/// A change in the middle keeps the order: the old one ends before the new one begins.
#[test]
fn a_webhook_is_changed_stopped_and_removed_under_load() {
    let receiver = Receiver::new(|_| Reply::Slow(Duration::from_millis(5)));
    let node = node(&receiver, &json!({}));
    for i in 0..60 {
        publish(&node, "a", &i.to_string());
        if i % 10 == 5 {
            let document = json!({
                "source": {"stream": "s", "from": "earliest"}, "description": format!("turn {i}"),
                "target": {"url": receiver.url(), "headers": {"x-turn": i.to_string()}},
            });
            assert_eq!(node.manage("PUT", "/webhooks/w", &document).status, 200);
        }
    }
    until(&node, "delivered", |status| status["lag"]["messages"] == 0);
    assert_eq!(taken(&receiver.got(), |_| true), BTreeMap::from([("a".to_owned(), numbers(60))]));
    assert_eq!(receiver.got().len(), 60, "nothing was sent twice");
    assert_eq!(node.manage("POST", "/webhooks/w/stop", &Value::Null).status, 200);
    until(&node, "stopped", |status| status["state"] == "stopped");
    publish(&node, "a", "60");
    assert_eq!(node.manage("POST", "/webhooks/w/start", &Value::Null).status, 200);
    receiver.until("the rest", |got| got.len() == 61);
    assert_eq!(node.manage("DELETE", "/webhooks/w", &Value::Null).status, 204);
    // A new one of that name is another one: it begins where it says.
    hook(&node, "w", &receiver, &json!({"order": "all"}));
    receiver.until("all again", |got| got.len() == 122);
}
/// A pause that a target asked for is kept over a restart, as far as the delivery log goes.
#[test]
fn a_target_that_asked_for_a_pause_has_it_over_a_restart() {
    const PAUSE: i64 = 6;
    let receiver = Receiver::new(|_| Reply::Status(503, vec![("retry-after", PAUSE.to_string())]));
    let node = node(&receiver, &json!({"breaker": {"failures": 3}, "parallel": 1}));
    for i in 0..20 {
        publish(&node, &i.to_string(), "x");
    }
    until(&node, "open", |status| status["state"] == "open");
    let asked = receiver.got();
    assert_eq!(asked.len(), 3);
    let node = node.restart();
    let now = status(&node);
    // Not before the probe, which may have come by now.
    if receiver.got().len() == 3 {
        assert_eq!(now["state"], "open", "{now}");
    }
    receiver.script(|_| Reply::status(200));
    let got = receiver.until("the rest", |got| got.len() >= 23);
    assert!(
        got[3].at - asked[2].at >= (PAUSE - 1) * 1_000_000,
        "{} us after it asked for a pause",
        got[3].at - asked[2].at
    );
    until(&node, "delivered", |status| {
        status["state"] == "connected" && status["lag"]["messages"] == 0
    });
}
/// Its timeout is longer than any test.
#[test]
fn stopping_or_changing_one_whose_target_hangs_ends_it_at_once_and_counts_no_attempt() {
    let receiver = Receiver::new(|_| Reply::Hang);
    let target = |to: &Receiver| json!({"url": to.url(), "timeout": "5m"});
    let node = node(&receiver, &json!({"target": target(&receiver), "parallel": 2}));
    for key in ["a", "b"] {
        publish(&node, key, key);
    }
    let first = receiver.until("both", |got| got.len() == 2);
    let ordered = |what: &str| {
        let answer = node.manage("POST", &format!("/webhooks/w/{what}"), &Value::Null);
        assert_eq!(answer.status, 200);
        answer.json()["status"]["state"].clone()
    };
    assert_eq!(ordered("stop"), "stopped");
    until(&node, "stopped", |status| {
        status["state"] == "stopped" && status["in_flight"] == 0 && status["lag"]["messages"] == 2
    });
    assert_ne!(ordered("start"), "stopped");
    receiver.until("both again", |got| got.len() == 4);
    let better = Receiver::good();
    let document = json!({"source": {"stream": "s", "from": "earliest"}, "target": target(&better)});
    assert_eq!(node.manage("PUT", "/webhooks/w", &document).status, 200);
    let last = better.until("both at the new one", |got| got.len() == 2);
    let sorted = |got: &[Got]| {
        let mut all: Vec<_> = got.iter().map(|got| (got.text(), got.id().to_owned(), got.attempt())).collect();
        all.sort();
        all
    };
    assert_eq!(sorted(&last), sorted(&first), "the same ids, and still the first attempt");
    until(&node, "delivered", |status| status["delivered"] == 2);
    let deliveries = |query: &str| node.manage("GET", &format!("/webhooks/w/deliveries?{query}"), &Value::Null).json();
    let began = tidegate_core::clock::instant();
    while deliveries("outcome=stopped")["items"].as_array().unwrap().len() < 4 {
        assert!(began.elapsed() < Duration::from_mins(1), "{}", deliveries(""));
    }
    let stopped = &deliveries("outcome=stopped")["items"][0];
    assert_eq!(
        (&stopped["step"], &stopped["error"]),
        (&json!("wait"), &json!("the webhook was stopped or changed"))
    );
}
/// What it refuses does not wait, and yet it is not well.
#[test]
fn one_that_gives_up_whatever_it_tries_is_failing() {
    let receiver = Receiver::new(|_| Reply::status(422));
    let node = node(&receiver, &json!({}));
    publish(&node, "a", "1");
    let failing = until(&node, "failing", |status| status["state"] == "failing");
    assert!(
        failing["error"].as_str().unwrap().contains("422") && failing["since"].is_string(),
        "{failing}"
    );
    assert_eq!(failing["given_up"], 1);
    assert_eq!(node.metric("tidegate_webhook_state{webhook=\"w\",state=\"failing\"}"), 1);
    let output = Command::new(TIDEGATE)
        .args(["status", "--node", &format!("http://{}", node.admin)])
        .env("TIDEGATE_TOKEN", node.token())
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = shown.lines().find(|line| line.starts_with("webhook w")).unwrap();
    assert!(line.contains("failing") && line.contains("422"), "{shown}");
    receiver.script(|_| Reply::status(200));
    publish(&node, "a", "2");
    until(&node, "connected", |status| status["state"] == "connected");
}
/// Who reads it sees which there are; who writes that back changes nothing.
#[test]
fn values_in_the_query_of_a_url_are_shown_to_nobody_and_stay_when_written_back() {
    let receiver = Receiver::good();
    let secret = format!("{}?token=s3cret&team=a", receiver.url());
    let node = node(&receiver, &json!({"target": {"url": secret, "timeout": "1s"}}));
    publish(&node, "a", "1");
    receiver.until("one", |got| got.len() == 1);
    let shown = node.manage("GET", "/webhooks/w", &Value::Null);
    let mut document = shown.json();
    let masked = format!("{}?token=***&team=***", receiver.url());
    assert_eq!(document["target"]["url"], *masked);
    document["description"] = json!("new");
    let put = node.manage("PUT", "/webhooks/w", &document);
    assert_eq!(put.status, 200, "{}", put.text());
    document["target"]["url"] = json!(format!("{}?team=b&token=***", receiver.url()));
    assert_eq!(node.manage("PUT", "/webhooks/w", &document).status, 200);
    publish(&node, "a", "2");
    let got = receiver.until("two", |got| got.len() == 2);
    assert!(got[0].line.contains("/hook?token=s3cret&team=a "), "{}", got[0].line);
    assert!(got[1].line.contains("/hook?team=b&token=s3cret "), "{}", got[1].line);
    // Nobody who may not see it may send it elsewhere.
    document["target"]["url"] = json!("https://crm.example.com/?token=***");
    let refused = node.manage("PUT", "/webhooks/w", &document);
    assert_eq!(refused.status, 422, "{}", refused.text());
    document["target"]["url"] = json!("ftp://crm.example.com/?token=s3cret");
    let wrong = node.manage("PUT", "/webhooks/w", &document);
    assert_eq!(wrong.status, 422);
    until(&node, "delivered", |status| status["delivered"] == 2);
    let deliveries = || node.manage("GET", "/webhooks/w/deliveries", &Value::Null).text();
    let began = tidegate_core::clock::instant();
    while !deliveries().contains("team=***&token=***") {
        assert!(began.elapsed() < Duration::from_mins(1), "{}", deliveries());
    }
    let output = Command::new(TIDEGATE)
        .args(["export", "--node", &format!("http://{}", node.admin)])
        .env("TIDEGATE_TOKEN", node.token())
        .output()
        .unwrap();
    let exported = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(exported.contains("team=***&token=***"), "{exported}");
    let read = |path: &str| node.manage("GET", path, &Value::Null).text();
    for text in [
        shown.text(),
        put.text(),
        refused.text(),
        wrong.text(),
        deliveries(),
        exported,
        read("/webhooks"),
        read("/changes"),
        read("/status"),
        node.lines().join("\n"),
    ] {
        assert!(!text.contains("s3cret"), "{text}");
    }
}
/// What a target got, as the public libraries of Standard Webhooks see it: good with either secret, bad with another or another body.
#[test]
fn public_libraries_verify_what_is_signed() {
    const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDC2FVsBQIhrs=";
    const THIRD: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let python = "import json,sys\nfrom standardwebhooks.webhooks import Webhook\n\
        call=json.load(sys.stdin)\nWebhook(sys.argv[1]).verify(call['body'].encode(), call['headers'])\n";
    let node_js = "const {Webhook}=require('standardwebhooks');\n\
        const call=JSON.parse(require('fs').readFileSync(0,'utf8'));\nnew Webhook(process.argv[1]).verify(call.body, call.headers);\n";
    let receiver = Receiver::good();
    let node = node(&receiver, &json!({"sign": {"secrets": [SECRET, OTHER]}}));
    publish(&node, "k", "grüße");
    let got = receiver.until("one", |got| got.len() == 1).remove(0);
    let verifies = |secret: &str, body: String| {
        let call = json!({"headers": got.headers, "body": body}).to_string();
        let environment = format!("{TOOLS}/../node_modules");
        let programs = [
            (format!("{TOOLS}/python"), vec!["-c", python, secret]),
            ("node".to_owned(), vec!["-e", node_js, secret]),
        ];
        programs.map(|(program, arguments)| {
            let mut child = Command::new(program)
                .args(arguments)
                .env("NODE_PATH", &environment)
                .stdin(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            child.stdin.take().unwrap().write_all(call.as_bytes()).unwrap();
            child.wait().unwrap().success()
        })
    };
    for secret in [SECRET, OTHER] {
        assert_eq!(verifies(secret, got.text()), [true, true], "{got:?}");
    }
    assert_eq!(verifies(THIRD, got.text()), [false, false]);
    assert_eq!(verifies(SECRET, format!("{} ", got.text())), [false, false]);
}
/// What the old one had taken and not sent goes before what nobody had.
#[test]
fn a_change_of_a_busy_webhook_keeps_the_order_of_every_key() {
    const KEYS: usize = 50;
    let node = dev().start();
    assert_eq!(node.manage("PUT", "/streams/s", &json!({})).status, 201);
    let receiver = Receiver::new(|_| Reply::Slow(Duration::from_millis(1)));
    for i in 0..1_500 {
        publish(&node, &format!("k{}", i % KEYS), &i.to_string());
    }
    hook(&node, "w", &receiver, &json!({"parallel": 64}));
    for turn in 1..=5 {
        receiver.until("some", |got| got.len() >= turn * 200);
        let document = json!({
            "source": {"stream": "s", "from": "earliest"}, "description": format!("turn {turn}"), "parallel": 64,
            "target": {"url": receiver.url()},
        });
        assert_eq!(node.manage("PUT", "/webhooks/w", &document).status, 200);
    }
    until(&node, "delivered", |status| status["lag"]["messages"] == 0);
    for (key, texts) in taken(&receiver.got(), |_| true) {
        let numbers: Vec<usize> = texts.iter().map(|text| text.trim_matches('"').parse().unwrap()).collect();
        assert!(numbers.is_sorted() && numbers.len() == 30, "{key}: {numbers:?}");
    }
}
/// Neither the wait nor the order is lost with who kept them.
#[test]
fn what_a_key_waits_for_outlives_a_crash_and_a_stop() {
    let receiver = Receiver::new(|got| match (got.text().trim_matches('"'), got.attempt()) {
        ("a1", 1) => Reply::Status(500, vec![("retry-after", "4".into())]),
        _ => Reply::status(200),
    });
    let node = node(&receiver, &json!({}));
    publish(&node, "a", "a1");
    until(&node, "the first attempt", |status| status["state"] == "retrying");
    // Stored behind that attempt, and held.
    publish(&node, "a", "a2");
    let node = node.crash();
    publish(&node, "a", "a3");
    publish(&node, "b", "b1");
    let seen = |count: usize| receiver.until("calls", |got| got.len() >= count);
    seen(2);
    assert_eq!(status(&node)["state"], "retrying");
    assert_eq!(node.manage("POST", "/webhooks/w/stop", &Value::Null).status, 200);
    publish(&node, "a", "a4");
    assert_eq!(node.manage("POST", "/webhooks/w/start", &Value::Null).status, 200);
    publish(&node, "b", "b2");
    seen(7);
    until(&node, "delivered", |status| {
        status["lag"]["messages"] == 0 && status["state"] == "connected"
    });
    let got = receiver.got();
    let texts: Vec<_> = got.iter().map(|got| got.text().trim_matches('"').to_owned()).collect();
    assert_eq!(texts, ["a1", "b1", "b2", "a1", "a2", "a3", "a4"]);
    assert!(got[3].at - got[0].at >= 4_000_000 && got[3].attempt() == 2, "{:?}", got[3]);
}
