//! Dead letters in one place, on the real program: what a worker rejects is listed with its reason, goes back to its own group only, or elsewhere,
//! or is dropped; counts are exact, and `kill -9` loses nothing.
use crate::{commands::Seen, dev};
use insta::assert_snapshot;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tempfile::TempDir;
use tidegate_testkit::{Answer, Client, Node, balance};

/// At once, where many letters are sent again one by one.
const SENDERS: usize = 4;

const RESOURCES: &str = "kind: stream\nname: s\ntopics: [\"s/#\"]\n---\nkind: stream\nname: t\n---\nkind: api\nname: s\npaths: [/s]\n\
                         backend: { stream: s }\nentrypoints: { http_post: {}, http_get: {}, pull: {} }\n---\nkind: api\nname: t\npaths: [/t]\n\
                         backend: { stream: t }\n---\nkind: api\nname: topics\npaths: [\"/topics/*\"]\nbackend: { topic: \"${rest}\" }\n";

fn post(node: &Node, path: &str, body: &Value) -> Value {
    let answer = node.post(path, &[("content-type", "application/json")], body.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}
/// What a group has, each with its lease; all there is now.
fn pull(node: &Node, group: &str, limit: usize) -> Vec<Value> {
    let mut page = post(
        node,
        "/s/_pull",
        &json!({"group": group, "limit": limit, "wait": "0s", "lease_for": "5m"}),
    );
    serde_json::from_value(page["items"].take()).unwrap()
}
fn payloads(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["payload"].as_str().unwrap()).collect()
}
fn settle(node: &Node, items: &[Value], how: impl Fn(&Value) -> (&'static str, Value)) {
    let mut asked = json!({});
    for item in items {
        let (verb, one) = how(item);
        if asked[verb].is_null() {
            asked[verb] = json!([]);
        }
        asked[verb].as_array_mut().unwrap().push(one);
    }
    let told = post(node, "/s/_settle", &asked);
    let results = told["results"].as_array().unwrap();
    assert_eq!(results.len(), items.len());
    assert!(results.iter().all(|result| result["result"] == "ok"), "{told}");
}
fn ack(node: &Node, items: &[Value]) {
    settle(node, items, |item| ("ack", item["lease"].clone()));
}
fn reject(node: &Node, items: &[Value], reason: impl Fn(&Value) -> String) {
    settle(node, items, |item| {
        ("reject", json!({"lease": item["lease"], "reason": reason(item)}))
    });
}
fn publish(node: &Node, texts: &[&str]) {
    for text in texts {
        assert_eq!(node.post("/s", &[], text.as_bytes()).status, 202);
    }
}
/// All that are listed, page by page, but oldest first.
fn list(node: &Node, filter: &str) -> Vec<Value> {
    let mut all = listed(node, filter);
    all.reverse();
    all
}
/// All that are listed, page by page.
fn listed(node: &Node, filter: &str) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = good(&node.manage("GET", &format!("/dead-letters?limit=999&{filter}{cursor}"), &Value::Null));
        all.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}
fn good(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}
fn count(node: &Node, filter: &Value) -> u64 {
    let asked = json!({"filter": filter, "count_only": true});
    good(&node.manage("POST", "/dead-letters/replay", &asked))["count"]
        .as_u64()
        .unwrap()
}
fn replay(node: &Node, body: &Value) -> Value {
    good(&node.manage("POST", "/dead-letters/replay", body))
}
fn id(letter: &Value) -> &str {
    letter["id"].as_str().unwrap()
}
fn told(answer: &Answer) -> (u16, String) {
    (answer.status, answer.json()["code"].as_str().unwrap_or_default().to_owned())
}
fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[test]
fn what_is_rejected_is_listed_with_its_reason_and_goes_back_to_its_own_group_only() {
    let node = dev().start_with(RESOURCES);
    assert!(list(&node, "").is_empty());
    let headers = [("tidegate-key", "k"), ("tidegate-id", "m-1"), ("content-type", "text/plain")];
    assert_eq!(node.post("/s", &headers, b"poison").status, 202);
    publish(&node, &["good"]);
    let other = pull(&node, "other", 10);
    ack(&node, &other);
    let mine = pull(&node, "mine", 10);
    assert_eq!(payloads(&mine), ["poison", "good"]);
    reject(&node, &mine[..1], |_| "not for us".to_owned());
    ack(&node, &mine[1..]);

    let letters = list(&node, "");
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!(
        (
            &letter["reason"],
            &letter["stream"],
            &letter["topic"],
            &letter["attempts"],
            &letter["lies_in"]
        ),
        (&json!("not for us"), &json!("s"), &json!("s"), &json!(1), &json!("s.dead"))
    );
    assert_eq!(
        (&letter["message_id"], &letter["key"], &letter["position"], &letter["bytes"]),
        (&json!("m-1"), &json!("k"), &mine[0]["position"], &json!(6))
    );
    let group = letter["group"].as_str().unwrap();
    assert_eq!(group, "$api/s/-/mine");
    assert!(letter.get("payload").is_none(), "a list carries no payloads");
    let path = format!("/dead-letters/{}", id(letter));
    let whole = good(&node.manage("GET", &path, &Value::Null));
    assert_eq!(
        (&whole["payload"], &whole["headers"]),
        (&json!("poison"), &json!({"content-type": "text/plain"}))
    );

    let answer = good(&node.manage("POST", &format!("{path}/replay"), &json!({})));
    assert_eq!(answer, json!({"replayed": 1, "id": id(letter)}));
    assert!(list(&node, "").is_empty(), "it is listed no more");
    assert_eq!(told(&node.manage("GET", &path, &Value::Null)), refused(404, "TG1054"));
    assert_eq!(
        told(&node.manage("POST", &format!("{path}/replay"), &json!({}))),
        refused(404, "TG1054")
    );

    // It is on its way, and whoever asks learns that.
    let traced = node.manage("GET", "/trace?id=m-1", &Value::Null).json();
    let again = traced["places"].as_array().unwrap().iter().find(|place| place["again"].is_object());
    let again = again.unwrap_or_else(|| panic!("{traced}"));
    assert_eq!(
        (&again["again"]["of"], &again["groups"][group]),
        (&mine[0]["position"], &json!("not done"))
    );
    let groups = node.manage("GET", "/streams/s/groups", &Value::Null).json();
    let shown = groups["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|shown| shown["name"] == group)
        .unwrap();
    assert_eq!(shown["pending"], 1, "{groups}");
    assert_eq!(
        node.metric(&format!("tidegate_group_pending_messages{{stream=\"s\",group=\"{group}\"}}")),
        1
    );

    assert!(pull(&node, "other", 10).is_empty(), "another group does not see it again");
    let page = node.get("/s?wait=0").json();
    assert_eq!(page["items"].as_array().unwrap().len(), 2, "nor does a plain reader");
    let again = pull(&node, "mine", 10);
    assert_eq!(payloads(&again), ["poison"]);
    assert_eq!(
        (&again[0]["position"], &again[0]["attempt"], &again[0]["id"], &again[0]["key"]),
        (&mine[0]["position"], &json!(1), &json!("m-1"), &json!("k")),
        "it is the message it was, and its attempts begin anew"
    );

    // Given up once more it is a dead letter once more, of the same place.
    reject(&node, &again, |_| "still not".to_owned());
    let letters = list(&node, "");
    assert_eq!(
        (letters.len(), &letters[0]["reason"], &letters[0]["position"]),
        (1, &json!("still not"), &mine[0]["position"])
    );
    assert_eq!(
        (&letters[0]["stream"], &letters[0]["group"], &letters[0]["lies_in"]),
        (&json!("s"), &json!(group), &json!("s.dead"))
    );

    // Who did what to which.
    let changes = node.manage("GET", "/changes?limit=1", &Value::Null).json();
    let entry = &changes["items"][0];
    assert_eq!(
        (&entry["action"], &entry["kind"], &entry["name"]),
        (&json!("replay"), &json!("dead_letter"), &json!(id(letter)))
    );
    assert_eq!(entry["who"], "token admin");
    balance(&node);
}
#[test]
fn a_worker_that_waits_gets_what_is_sent_again() {
    let node = dev().start_with(RESOURCES);
    publish(&node, &["one"]);
    let items = pull(&node, "g", 1);
    reject(&node, &items, |_| "no".to_owned());
    let letters = list(&node, "");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| post(&node, "/s/_pull", &json!({"group": "g", "wait": "30s"})));
        assert_eq!(
            replay(&node, &json!({"filter": {}})),
            json!({"replayed": letters.len(), "failed": 0, "problems": []})
        );
        assert_eq!(waiting.join().unwrap()["items"][0]["payload"], "one");
    });
}
#[test]
fn a_hundred_of_ten_thousand_are_sent_again_by_filter_and_every_count_is_exact() {
    const ALL: usize = 10_000;
    const SOME: usize = 100;
    let node = dev().start_with(RESOURCES);
    let lines: Vec<_> = (0..ALL).map(|i| i.to_string()).collect();
    for part in lines.chunks(1_000) {
        let answer = node.post("/s", &[("content-type", "application/x-ndjson")], part.join("\n").as_bytes());
        assert_eq!((answer.status, &answer.json()["sent"]), (202, &json!(1_000)));
    }
    let number = |item: &Value| item["payload"].as_str().unwrap().parse::<usize>().unwrap();
    let is_chosen = |number: usize| number.is_multiple_of(ALL / SOME);
    let mut rejected = 0;
    while rejected < ALL {
        let items = pull(&node, "g", 1_000);
        rejected += items.len();
        reject(&node, &items, |item| {
            if is_chosen(number(item)) { "chosen" } else { "other" }.to_owned()
        });
    }
    let (all, chosen, other) = (json!({}), json!({"reason": "chosen"}), json!({"reason": "other"}));
    assert_eq!(
        (count(&node, &all), count(&node, &chosen), count(&node, &other)),
        (10_000, 100, 9_900)
    );
    let listed: Vec<_> = list(&node, "").iter().map(|letter| id(letter).to_owned()).collect();
    assert_eq!(
        (listed.len(), listed.iter().collect::<BTreeSet<_>>().len()),
        (ALL, ALL),
        "each once, page by page"
    );

    assert_eq!(
        replay(&node, &json!({"filter": chosen})),
        json!({"replayed": 100, "failed": 0, "problems": []})
    );
    assert_eq!((count(&node, &all), count(&node, &chosen), count(&node, &other)), (9_900, 0, 9_900));
    assert_eq!(
        replay(&node, &json!({"filter": chosen})),
        json!({"replayed": 0, "failed": 0, "problems": []})
    );
    let mut again = Vec::new();
    loop {
        let items = pull(&node, "g", 1_000);
        if items.is_empty() {
            break;
        }
        again.extend(items.iter().map(number));
        ack(&node, &items);
    }
    again.sort_unstable();
    assert_eq!(
        again,
        (0..ALL).filter(|number| is_chosen(*number)).collect::<Vec<_>>(),
        "those, and each once"
    );

    let dropped = good(&node.manage("DELETE", "/dead-letters?reason=other", &Value::Null));
    assert_eq!(dropped, json!({"dropped": 9_900, "failed": 0, "problems": []}));
    assert_eq!(count(&node, &all), 0);
    let changes = node.manage("GET", "/changes?limit=3", &Value::Null).json();
    let entries: Vec<_> = changes["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (&entry["action"], &entry["after"]))
        .collect();
    assert_eq!(
        entries[0],
        (&json!("drop"), &json!({"filter": {"reason": "other"}, "messages": 9_900}))
    );
    assert_eq!(
        entries[2],
        (&json!("replay"), &json!({"filter": {"reason": "chosen"}, "messages": 100}))
    );
    balance(&node);
}
#[test]
fn filters_say_which() {
    let node = dev().start_with(RESOURCES);
    for (topic, id) in [("s/a", "1"), ("s/b", "2"), ("s", "3")] {
        let target = format!("/topics/{topic}");
        assert_eq!(node.post(&target, &[("tidegate-id", id)], topic.as_bytes()).status, 202);
    }
    for group in ["g", "h"] {
        let items = pull(&node, group, 10);
        reject(&node, &items, |item| format!("{group}{}", item["id"].as_str().unwrap()));
    }
    let reasons = |filter: &str| {
        list(&node, filter)
            .iter()
            .map(|letter| letter["reason"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(reasons(""), ["g1", "g2", "g3", "h1", "h2", "h3"]);
    assert_eq!(reasons("group=$api/s/-/h"), ["h1", "h2", "h3"]);
    assert_eq!(reasons("reason=g2"), ["g2"]);
    assert_eq!(reasons("topic=s/b"), ["g2", "h2"]);
    assert_eq!(reasons("topic=s/%2B&group=$api/s/-/g"), ["g1", "g2"]);
    assert_eq!(reasons("id=3"), ["g3", "h3"]);
    assert_eq!(reasons("stream=s").len(), 6);
    assert!(reasons("stream=t").is_empty());
    assert!(reasons("until=1h").is_empty() && reasons("since=1h").len() == 6);
    let times: Vec<_> = list(&node, "")
        .iter()
        .map(|letter| letter["time"].as_str().unwrap().to_owned())
        .collect();
    assert!(times.is_sorted());
    let newest_first = listed(&node, "");
    assert_eq!(newest_first, list(&node, "").into_iter().rev().collect::<Vec<_>>());
    let page = |query: &str| good(&node.manage("GET", &format!("/dead-letters?{query}"), &Value::Null));
    for (at, letter) in newest_first.iter().enumerate() {
        let older = page(&format!("before={}&limit=2", id(letter)));
        let behind = &newest_first[at + 1..];
        assert_eq!(older["items"].as_array().unwrap(), &behind[..behind.len().min(2)]);
        assert_eq!(older["next_cursor"].is_string(), behind.len() > 2, "{older}");
    }
    let since = list(&node, &format!("since={}", times[3])).len();
    let until = list(&node, &format!("until={}", times[3])).len();
    assert_eq!(since + until, 6, "one begins where the other ends");

    for (method, target, body, status, code) in [
        ("GET", "/dead-letters?topic=a/%23/b", Value::Null, 400, "TG1009"),
        ("GET", "/dead-letters?since=soon", Value::Null, 400, "TG1009"),
        ("GET", "/dead-letters?cursor=x", Value::Null, 400, "TG1008"),
        ("GET", "/dead-letters?before=x", Value::Null, 400, "TG1008"),
        ("GET", "/dead-letters?before=999999.0", Value::Null, 404, "TG1054"),
        ("GET", "/dead-letters?before=7.0&cursor=1_7.0", Value::Null, 400, "TG1009"),
        ("GET", "/dead-letters?group=g&group=h", Value::Null, 400, "TG1009"),
        ("GET", "/dead-letters/7", Value::Null, 400, "TG1008"),
        ("GET", "/dead-letters/999999.0", Value::Null, 404, "TG1054"),
        ("DELETE", "/dead-letters", Value::Null, 400, "TG1009"),
        ("DELETE", "/dead-letters?all=true&group=g", Value::Null, 400, "TG1009"),
        // A stream nobody has heard of is a slip, not one without dead letters.
        ("GET", "/dead-letters?stream=ordres", Value::Null, 404, "TG1054"),
        ("DELETE", "/dead-letters?stream=ordres", Value::Null, 404, "TG1054"),
        (
            "POST",
            "/dead-letters/replay",
            json!({"filter": {"stream": "ordres"}, "count_only": true}),
            404,
            "TG1054",
        ),
        (
            "POST",
            "/dead-letters/replay",
            json!({"filter": {"stream": "ordres"}}),
            404,
            "TG1054",
        ),
        ("POST", "/dead-letters/replay", json!({"filter": {"limit": -1}}), 422, "TG5003"),
        ("POST", "/dead-letters/replay", json!({"filter": {"stream": 1}}), 422, "TG5004"),
        ("POST", "/dead-letters/replay", json!({}), 422, "TG5002"),
        ("POST", "/dead-letters/replay", json!({"filter": {"reson": "x"}}), 422, "TG5003"),
        ("POST", "/dead-letters/replay", json!({"filter": {}, "to": "a/#"}), 400, "TG1025"),
        ("POST", "/dead-letters/replay", json!({"filter": {}, "to": "$later"}), 400, "TG1025"),
    ] {
        let answer = node.manage(method, target, &body);
        assert_eq!(told(&answer), refused(status, code), "{method} {target} {}", answer.text());
    }
    assert_eq!(count(&node, &json!({})), 6, "and nothing has changed");
    assert_eq!(count(&node, &json!({"stream": "t"})), 0, "that one is there");
    let which = node.manage("DELETE", "/dead-letters", &Value::Null).json();
    assert!(which["detail"].as_str().unwrap().starts_with("this says not which ones"), "{which}");
}
#[test]
fn elsewhere_is_another_topic_and_what_cannot_go_stays() {
    let node = dev().start_with(RESOURCES);
    publish(&node, &["one", "two", "three"]);
    let items = pull(&node, "g", 10);
    reject(&node, &items, |item| item["payload"].as_str().unwrap().to_owned());
    let letters = list(&node, "");
    // Nobody stores that topic: refused, and the letter is still there.
    let path = format!("/dead-letters/{}", id(&letters[0]));
    let answer = node.manage("POST", &format!("{path}/replay"), &json!({"to": "nowhere"}));
    assert_eq!(told(&answer), refused(422, "TG1022"));
    assert_eq!(count(&node, &json!({})), 3);
    good(&node.manage("POST", &format!("{path}/replay"), &json!({"to": "t"})));
    assert_eq!(
        replay(&node, &json!({"filter": {"reason": "two"}, "to": "t"})),
        json!({"replayed": 1, "failed": 0, "problems": []})
    );
    let page = node.get("/t?wait=0").json();
    assert_eq!(payloads(page["items"].as_array().unwrap()), ["one", "two"]);
    // To its own stream it is published anew: every group gets it.
    good(&node.manage("POST", &format!("/dead-letters/{}/replay", id(&letters[2])), &json!({"to": "s"})));
    assert!(list(&node, "").is_empty());
    let fresh = pull(&node, "g", 10);
    assert_eq!(payloads(&fresh), ["three"]);
    assert_ne!(fresh[0]["position"], items[2]["position"]);
    balance(&node);
}
/// Whichever groups gave it up: where it goes it is one message.
#[test]
fn a_message_with_an_id_that_two_groups_gave_up_is_stored_once() {
    let node = dev().start_with(RESOURCES);
    assert_eq!(node.post("/s", &[("tidegate-id", "one")], b"one").status, 202);
    for group in ["g", "h"] {
        let items = pull(&node, group, 1);
        reject(&node, &items, |_| "no".to_owned());
    }
    assert_eq!(count(&node, &json!({})), 2);
    replay(&node, &json!({"filter": {}, "to": "t"}));
    assert_eq!(count(&node, &json!({})), 0);
    let page = node.get("/t?wait=0").json();
    assert_eq!(payloads(page["items"].as_array().unwrap()), ["one"]);
    balance(&node);
}
#[test]
fn dropped_ones_are_gone_and_who_may_is_asked() {
    let node = dev().start_with(RESOURCES);
    publish(&node, &["one", "two"]);
    let items = pull(&node, "g", 10);
    reject(&node, &items, |_| "no".to_owned());
    let letters = list(&node, "");
    let token = |manage: &str| {
        let made = node.manage("POST", "/tokens", &json!({"name": manage, "manage": manage}));
        made.json()["token"].as_str().unwrap().to_owned()
    };
    let (viewer, operator) = (token("viewer"), token("operator"));
    let path = format!("/dead-letters/{}", id(&letters[0]));
    let ask = |who: &str, method: &str, target: &str, body: &Value| node.manage_as(who, method, target, &[], body).status;
    let (counting, all) = (json!({"filter": {}, "count_only": true}), json!({"filter": {}}));
    assert_eq!(ask(&viewer, "POST", "/dead-letters/replay", &counting), 200, "a viewer may count");
    for (method, target, body) in [
        ("GET", "/dead-letters", &Value::Null),
        ("GET", &path, &Value::Null),
        ("DELETE", &path, &Value::Null),
        ("DELETE", "/dead-letters?all=true", &Value::Null),
        ("POST", "/dead-letters/replay", &all),
        ("POST", &format!("{path}/replay"), &json!({})),
    ] {
        assert_eq!(ask(&viewer, method, target, body), 403, "{method} {target}");
    }
    assert_eq!(ask(&operator, "DELETE", &path, &Value::Null), 200);
    assert_eq!(ask(&operator, "DELETE", &path, &Value::Null), 404);
    assert_eq!(list(&node, ""), letters[1..]);
    let node = node.crash();
    assert_eq!(list(&node, ""), letters[1..], "it was on disk when it was answered");
    assert_eq!(node.manage("DELETE", "/dead-letters?all=true", &Value::Null).json()["dropped"], 1);
    assert!(pull(&node, "g", 10).is_empty());
}
#[test]
fn kill_9_loses_nothing_and_leaves_nothing_both_sent_again_and_listed() {
    const ALL: usize = 1_000;
    let mut node = dev().start_with(RESOURCES);
    let texts: Vec<_> = (0..ALL).map(|i| i.to_string()).collect();
    assert_eq!(
        node.post("/s", &[("content-type", "application/x-ndjson")], texts.join("\n").as_bytes())
            .status,
        202
    );
    let items = pull(&node, "g", ALL);
    assert_eq!(items.len(), ALL);
    reject(&node, &items, |_| "no".to_owned());
    node = node.crash();
    let letters = list(&node, "");
    assert_eq!(letters.len(), ALL, "what was answered is on disk");
    let payload = |letter: &Value| letter["position"].as_str().unwrap().to_owned();
    let mut came: Vec<String> = Vec::new();
    for round in 0..3 {
        // Killed while they are sent again, after some answers.
        let (now, token, answered) = (list(&node, ""), node.token(), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            let admin = node.admin;
            let sending: Vec<_> = now
                .chunks(now.len().div_ceil(SENDERS))
                .map(|part| {
                    let (token, answered) = (&token, &answered);
                    scope.spawn(move || send_again(admin, token, part, answered))
                })
                .collect();
            while answered.load(Ordering::Relaxed) < 10 + round * 7 {
                std::thread::yield_now();
            }
            let killed = Command::new("kill").args(["-9", &node.pid().to_string()]).status().unwrap();
            assert!(killed.success());
            for sender in sending {
                sender.join().unwrap();
            }
        });
        node = node.crash();
        let listed: Vec<_> = list(&node, "").iter().map(payload).collect();
        loop {
            let items = pull(&node, "g", 100);
            if items.is_empty() {
                break;
            }
            came.extend(items.iter().map(payload));
            ack(&node, &items);
        }
        let (mut each, mut wanted): (Vec<_>, Vec<_>) = (
            listed.into_iter().chain(came.iter().cloned()).collect(),
            letters.iter().map(payload).collect(),
        );
        each.sort();
        wanted.sort();
        assert_eq!(each, wanted, "each is listed or came again, none both, none twice, none lost");
    }
    assert!(came.len() >= 10 + 17 + 24, "{}", came.len());
    assert!(came.len() < ALL, "it was killed before all were sent");
    balance(&node);
}
#[test]
fn what_a_target_refused_comes_again_with_the_same_webhook_id() {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", target.local_addr().unwrap());
    let node = dev().start_with(&format!(
        "{RESOURCES}---\nkind: webhook\nname: crm\nsource: {{ stream: s }}\ntarget: {{ url: \"{url}\" }}\n"
    ));
    publish(&node, &["poison"]);
    let refused = called(&target, "400 Bad Request");
    // The answer is on its way to the log.
    let began = tidegate_core::clock::instant();
    let letters = loop {
        let letters = list(&node, "group=$webhook/crm");
        if !letters.is_empty() {
            break letters;
        }
        assert!(began.elapsed().as_secs() < 30, "it is no dead letter");
    };
    assert_eq!(
        (&letters[0]["reason"], &letters[0]["attempts"], &letters[0]["stream"]),
        (&json!("refused"), &json!(1), &json!("s"))
    );
    assert!(letters[0]["error"].as_str().unwrap().contains("400"), "{}", letters[0]);
    assert_eq!(replay(&node, &json!({"filter": {"group": "$webhook/crm"}}))["replayed"], 1);
    let again = called(&target, "200 OK");
    assert_eq!(again, refused, "a receiver that knows it by its id knows it still");
    let began = tidegate_core::clock::instant();
    while node.manage("GET", "/webhooks/crm", &Value::Null).json()["status"]["lag"]["messages"] != 0 {
        assert!(began.elapsed().as_secs() < 30, "it is not done with it");
    }
    assert!(list(&node, "").is_empty());
}
/// Answers one call; its id and its body.
fn called(target: &TcpListener, status: &str) -> (String, String) {
    let (mut socket, _) = target.accept().unwrap();
    let mut text = String::new();
    let mut bytes = [0; 4_096];
    let header = |text: &str, name: &str| {
        let line = text
            .lines()
            .find_map(|line| line.split_once(": ").filter(|(found, _)| found.eq_ignore_ascii_case(name)));
        line.map(|(_, value)| value.to_owned())
    };
    loop {
        let read = socket.read(&mut bytes).unwrap();
        assert!(read > 0, "it broke off: {text}");
        text.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && header(head, "content-length").unwrap().parse() == Ok(body.len())
        {
            break;
        }
    }
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    socket.write_all(answer.as_bytes()).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (header(head, "webhook-id").unwrap(), body.to_owned())
}
/// Until the node dies.
fn send_again(admin: SocketAddr, token: &str, letters: &[Value], answered: &AtomicUsize) {
    let mut client = Client::new(admin);
    let authorization = format!("Bearer {token}");
    for letter in letters {
        let target = format!("/api/v1/dead-letters/{}/replay", id(letter));
        if client.request("POST", &target, &[("authorization", &authorization)], b"").status != 200 {
            return;
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn the_command_line_lists_counts_sends_again_and_drops() {
    let folder = Arc::new(TempDir::new().unwrap());
    write(&folder.path().join("resources/all.yaml"), RESOURCES);
    let node = dev().start_in(folder.clone());
    let mut seen = Seen::at(&folder, &node);
    seen.run(&["dead-letters", "ls"]);
    publish(&node, &["one", "two", "three", "four"]);
    let items = pull(&node, "g", 10);
    reject(&node, &items, |item| format!("no {}", item["payload"].as_str().unwrap().len()));
    seen.run(&["dead-letters", "ls"]);
    seen.run(&["dlq", "ls", "--reason", "no 3", "--limit", "1"]);
    seen.run(&["dlq", "ls", "--limit", "3"]);
    let second = list(&node, "").swap_remove(1);
    seen.run(&["dlq", "ls", "--limit", "3", "--before", id(&second)]);
    seen.run(&["dlq", "ls", "--stream", "s", "--count"]);
    seen.run(&[
        "dlq",
        "ls",
        "--group",
        "$api/s/-/g",
        "--topic",
        "s",
        "--since",
        "1h",
        "--reason",
        "no 5",
        "-o",
        "json",
    ]);
    let letters: Vec<_> = list(&node, "").iter().map(|letter| id(letter).to_owned()).collect();
    seen.run(&["dlq", "info", &letters[0]]);
    seen.run(&["dlq", "replay"]);
    seen.run(&["dlq", "replay", &letters[0], "--all"]);
    seen.run(&["dlq", "replay", "--reason", "no 3", "--count"]);
    seen.run(&["dlq", "drop", "--reason", "no 3"]);
    assert_eq!(count(&node, &json!({})), 4, "nothing of that did anything");
    seen.run(&["dlq", "replay", &letters[0]]);
    seen.run(&["dlq", "replay", &letters[0]]);
    seen.run(&["dlq", "replay", "--reason", "no 3", "--to", "t"]);
    seen.run(&["dlq", "replay", "--all", "--to", "nowhere"]);
    seen.run(&["dlq", "drop", &letters[2], "--yes"]);
    seen.run(&["dlq", "drop", "--all", "--yes"]);
    seen.run(&["dlq", "ls"]);
    assert_eq!(payloads(&pull(&node, "g", 10)), ["one"]);
    assert_eq!(payloads(node.get("/t?wait=0").json()["items"].as_array().unwrap()), ["two"]);
    assert_snapshot!(seen.all());
    balance(&node);
}
#[expect(clippy::disallowed_methods, reason = "a test's own folder")]
fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}
