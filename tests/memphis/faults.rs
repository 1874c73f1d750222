//! Faults the original is known for, each shown absent: lost messages, leaked credentials, headers that command the broker.
use super::{DONE, JSON, Memphis, json_of, payloads, told};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};
use tidegate_testkit::{balance, client::Client};

/// There 70,572 were told 200, and 70,468 were kept.
#[test]
fn kill_9_under_load_loses_nothing_that_was_told_200() {
    let mut memphis = Memphis::new();
    let (address, bearer) = (memphis.address(), memphis.bearer.clone());
    let done = AtomicUsize::new(0);
    let told: Vec<Vec<String>> = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..8)
            .map(|sender| {
                let (bearer, done) = (&bearer, &done);
                scope.spawn(move || {
                    let mut told = Vec::new();
                    let mut client = Client::new(address);
                    for number in 0.. {
                        let payload = format!("{{\"s\":{sender},\"n\":{number}}}");
                        let answer = client.request(
                            "POST",
                            "/stations/load/produce/single",
                            &[("Authorization", bearer), JSON],
                            payload.as_bytes(),
                        );
                        if answer.status != 200 {
                            assert_eq!(answer.status, 0, "{}", answer.text());
                            break;
                        }
                        told.push(payload);
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    told
                })
            })
            .collect();
        while done.load(Ordering::Relaxed) < 2_000 {
            std::thread::yield_now();
        }
        let node = &memphis.node;
        let killed = std::process::Command::new("kill").args(["-9", &node.pid().to_string()]).status();
        assert!(killed.unwrap().success());
        senders.into_iter().map(|sender| sender.join().unwrap()).collect()
    });
    memphis.node = memphis.node.crash();
    memphis.log_in();
    let stored = memphis.stored("load", "all");
    let kept: BTreeSet<&str> = payloads(&stored).into_iter().collect();
    let lost: Vec<_> = told.iter().flatten().filter(|payload| !kept.contains(&***payload)).collect();
    assert!(lost.is_empty(), "{} lost, the first is {}", lost.len(), lost[0]);
    balance(&memphis.node);
}
/// There it was told 200, and went nowhere.
#[test]
fn a_station_that_is_removed_comes_back_with_the_next_message() {
    let memphis = Memphis::new();
    assert_eq!(memphis.single("gone", &[JSON], "1").status, 200);
    let removed = memphis.node.manage("DELETE", "/streams/gone", &Value::Null);
    assert!(matches!(removed.status, 200 | 204), "{}", removed.text());
    assert_eq!(told(&memphis.single("gone", &[JSON], "2")), json_of(200, DONE));
    assert_eq!(payloads(&memphis.stored("gone", "all")), ["2"]);
}
/// Whatever is told 200 was in a station, and whatever was not is told in words that blame no message.
#[test]
fn stations_deleted_under_their_clients_cost_no_message_that_was_told_200() {
    const SENDERS: usize = 4;
    const DELETED: usize = 40;
    let memphis = Memphis::new();
    let (address, bearer) = (memphis.address(), memphis.bearer.clone());
    let (done, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    // What each was told 200 for, and how many of those before the last deletion.
    let told: Vec<(Vec<String>, usize)> = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let (bearer, done, over) = (&bearer, &done, &over);
                scope.spawn(move || {
                    let (mut told, mut before, mut after) = (Vec::new(), None, 0);
                    let mut client = Client::new(address);
                    for number in 0.. {
                        if over.load(Ordering::SeqCst) {
                            before.get_or_insert(told.len());
                            after += 1;
                        }
                        if after > 20 {
                            break;
                        }
                        let payload = format!("{{\"s\":{sender},\"n\":{number}}}");
                        let (target, body) = if sender % 2 == 0 {
                            ("/stations/brief/produce/single", payload.clone())
                        } else {
                            ("/stations/brief/produce/batch", format!("[{payload}]"))
                        };
                        let answer = client.request("POST", target, &[("Authorization", bearer), JSON], body.as_bytes());
                        match answer.status {
                            200 => told.push(payload),
                            503 => assert!(answer.header("retry-after").is_some(), "{}", answer.text()),
                            other => panic!("{other} {}", answer.text()),
                        }
                        done.fetch_add(1, Ordering::SeqCst);
                    }
                    (told, before.unwrap_or_default())
                })
            })
            .collect();
        for _ in 0..DELETED {
            let now = done.load(Ordering::SeqCst);
            while done.load(Ordering::SeqCst) < now + 2 * SENDERS && !senders.iter().any(std::thread::ScopedJoinHandle::is_finished) {
                std::thread::yield_now();
            }
            let removed = memphis.node.manage("DELETE", "/streams/brief", &Value::Null);
            assert!(matches!(removed.status, 200 | 204 | 404), "{}", removed.text());
        }
        over.store(true, Ordering::SeqCst);
        senders.into_iter().map(|sender| sender.join().unwrap()).collect()
    });
    let stored = memphis.stored("brief", "all");
    let kept: BTreeSet<&str> = payloads(&stored).into_iter().collect();
    assert_eq!(kept.len(), stored.len(), "something is there twice");
    let all: BTreeSet<&str> = told.iter().flat_map(|(told, _)| told.iter().map(String::as_str)).collect();
    assert!(kept.is_subset(&all), "something is there that was not told 200");
    for (told, before) in &told {
        assert_eq!(told[*before..].len(), 20, "nothing is deleted any more, and it is refused");
        assert!(told[*before..].iter().all(|payload| kept.contains(&**payload)), "something is lost");
    }
    balance(&memphis.node);
}
/// Not even for who may use every station: what waits for its time, and what webhooks did, is nobody's.
#[test]
fn streams_of_tidegate_itself_are_no_stations() {
    let memphis = Memphis::new();
    let later = [JSON, ("Tidegate-Delay", "1h")];
    assert_eq!(told(&memphis.single("st", &later, "\"secret\"")), json_of(200, DONE));
    let wish = "{\"consumer_name\":\"c\",\"batch_max_wait_time_ms\":1}";
    for station in ["$later", "$deliveries", "$again", "$LATER", "%24later"] {
        for (deed, body) in [
            ("produce/single", "1"),
            ("produce/batch", "[{}]"),
            ("consume/batch", wish),
            ("_pull", "{}"),
            ("_settle", "{}"),
        ] {
            let answer = memphis.send(&format!("/stations/{station}/{deed}"), &[JSON], body);
            assert!(
                matches!(answer.status, 400 | 403),
                "{station} {deed}: {} {}",
                answer.status,
                answer.text()
            );
        }
    }
    balance(&memphis.node);
}
#[test]
fn no_credential_and_no_command_enters_a_message() {
    let memphis = Memphis::new();
    let headers = [
        JSON,
        ("Cookie", "jwt-refresh-token=secret; a=b"),
        ("Nats-Expected-Last-Sequence", "999"),
        ("Nats-Rollup", "all"),
        ("Connection", "X-Hop"),
        ("X-Hop", "1"),
        ("X-Forwarded-For", "10.0.0.1"),
        ("Proxy-Authorization", "Basic secret"),
        ("X-Api-Key", "secret"),
        ("apikey", "secret"),
        ("X-Amz-Security-Token", "secret"),
        ("X-CSRFToken", "secret"),
        ("X-Vault-Token", "secret"),
        ("Authentication", "secret"),
        ("Cookie2", "secret"),
        ("Client_Secret", "secret"),
        ("X-Original-URL", "/admin"),
        ("X-Rewrite-URL", "/admin"),
        ("X-Real-IP", "10.0.0.1"),
        ("X-HTTP-Method-Override", "DELETE"),
        // A consumer believes what Tidegate says in these.
        ("Station", "other"),
        ("Type", "unacked"),
        ("Producer", "somebody else"),
        ("X-Kept", "yes"),
    ];
    assert_eq!(told(&memphis.single("clean", &headers, "1")), json_of(200, DONE));
    let stored = memphis.stored("clean", "all");
    assert_eq!(stored[0]["headers"], json!({ "content-type": "application/json", "x-kept": "yes" }));
    // Nor does a token say who it is for, or what was shown for it.
    let token = memphis.bearer.strip_prefix("Bearer ").unwrap();
    for part in token.split('.').take(2) {
        let text = String::from_utf8(base64(part)).unwrap();
        assert!(!text.contains("root") && !text.contains("memphis"), "{text}");
    }
    // And nothing that was shown is in a log.
    let lines = memphis.node.lines().join("\n");
    assert!(!lines.contains(token) && !lines.contains("connection_token"), "{lines}");
}
/// Without padding, for addresses (RFC 4648, section 5).
fn base64(text: &str) -> Vec<u8> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (mut bits, mut count, mut out) = (0_u32, 0, Vec::new());
    for byte in text.bytes() {
        let value = LETTERS.iter().position(|letter| *letter == byte).unwrap();
        (bits, count) = (bits << 6 | value as u32, count + 6);
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    out
}
/// There the header never reached the broker under a name it knew.
#[test]
fn the_same_id_is_stored_once_over_a_crash() {
    let mut memphis = Memphis::new();
    for _ in 0..2 {
        assert_eq!(told(&memphis.single("once", &[JSON, ("msg-id", "a")], "1")), json_of(200, DONE));
        assert_eq!(
            told(&memphis.send("/stations/once/produce/batch", &[JSON, ("Tidegate-Id", "b")], "[{},{}]")),
            json_of(200, DONE)
        );
    }
    memphis.node = memphis.node.crash();
    memphis.log_in();
    assert_eq!(
        told(&memphis.single("once", &[JSON, ("Tidegate-Id", "a")], "1")),
        json_of(200, DONE)
    );
    assert_eq!(payloads(&memphis.stored("once", "all")), ["1", "{}", "{}"]);
}
/// There the answer was cut to what is text.
#[test]
fn bytes_arrive_whole() {
    let memphis = Memphis::new();
    let proto = [("Authorization", &*memphis.bearer), ("Content-Type", "application/x-protobuf")];
    let answer = memphis.ask("POST", "/stations/raw/produce/single", &proto, &[0xff, 0, 0xfe]);
    assert_eq!(told(&answer), json_of(200, DONE));
    let stored = memphis.stored("raw", "all");
    assert_eq!((&stored[0]["message"], &stored[0]["encoding"]), (&json!("/wD+"), &json!("base64")));
}
/// There a login beside a produce ended the process within a second.
#[test]
fn logins_and_produces_together_cost_nobody_anything() {
    let memphis = Memphis::new();
    let round = |times: usize| {
        std::thread::scope(|scope| {
            for sender in 0..8 {
                let memphis = &memphis;
                scope.spawn(move || {
                    let mut client = Client::new(memphis.address());
                    for number in 0..times {
                        let answer = client.request("POST", "/auth/authenticate", &[JSON], super::ROOT.as_bytes());
                        assert_eq!(answer.status, 200, "{}", answer.text());
                        let bearer = format!("Bearer: {}", answer.json()["jwt"].as_str().unwrap());
                        for station in ["one", "two"] {
                            let target = format!("/stations/{station}{sender}/produce/single");
                            let answer =
                                client.request("POST", &target, &[("Authorization", &bearer), JSON], number.to_string().as_bytes());
                            assert_eq!(answer.status, 200, "{}", answer.text());
                        }
                    }
                });
            }
        });
    };
    round(50);
    let before = memphis.node.memory();
    round(100);
    let after = memphis.node.memory();
    assert!(after < before + (32 << 20), "{before} bytes, then {after}");
    balance(&memphis.node);
}
/// There a page could not know; here it asks, logs in and produces.
#[test]
fn a_page_of_another_origin_logs_in_and_produces() {
    let memphis = Memphis::new();
    let page = crate::dev().start();
    let browser = tidegate_testkit::Browser::new();
    browser.open(&format!("http://{}/", page.gateway));
    browser.run(&format!(
        "window.told = {{}}; const api = 'http://{}';\
         const post = (path, headers, body) => fetch(api + path, {{ method: 'POST', headers, body }});\
         const json = {{ 'Content-Type': 'application/json' }};\
         post('/auth/authenticate', json, '{{\"username\":\"root\",\"connection_token\":\"memphis\"}}')\
             .then(answer => answer.json())\
             .then(session => post('/stations/pages/produce/single', {{ ...json, Authorization: 'Bearer ' + session.jwt }}, '{{\"a\":1}}'))\
             .then(async answer => {{ window.told = {{ status: answer.status, text: await answer.text() }}; }})\
             .catch(error => {{ window.told.error = String(error); }})",
        memphis.address()
    ));
    let said = browser.until("return window.told", |told| told["error"].is_string() || told["status"].is_number());
    assert_eq!((&said["status"], &said["text"]), (&json!(200), &json!(DONE)), "{said}");
    drop(browser);
    let stored = memphis.stored("pages", "all");
    assert_eq!(payloads(&stored), ["{\"a\":1}"]);
    // What the browser adds by itself is not part of the message.
    let names: Vec<_> = stored[0]["headers"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["content-type", "user-agent"]);
}
