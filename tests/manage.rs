//! The management API on the real program: resources, who may, and what stays after a crash.
use crate::{TIDEGATE, dev};
use serde_json::{Value, json};
use std::{os::unix::fs::PermissionsExt, process::Command};
use tidegate_core::clock;
use tidegate_testkit::{Answer, Client, Node, node::How};

fn stream(name: &str) -> Value {
    json!({"kind": "stream", "name": name})
}
fn api(name: &str, stream: &str) -> Value {
    json!({"kind": "api", "name": name, "paths": [format!("/{name}")], "backend": {"stream": stream}, "plans": ["keyless"]})
}
fn told(answer: &Answer) -> (u16, String) {
    let json = answer.json();
    (answer.status, json["code"].as_str().unwrap_or_default().to_owned())
}
fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}
#[test]
fn a_resource_is_made_read_replaced_and_deleted() {
    let node = dev().start();
    let made = node.manage("POST", "/streams", &json!({"name": "s", "retention": {"age": "1d"}}));
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(
        (made.header("location"), made.header("etag")),
        (Some("/api/v1/streams/s"), Some("\"2\""))
    );
    let read = node.manage("GET", "/streams/s", &Value::Null);
    assert_eq!(read.json(), made.json());
    assert_eq!(
        read.json()["status"],
        json!({"state": "ready", "partitions": 1, "messages": 0, "bytes": 0, "delayed": 0})
    );
    assert_eq!(told(&node.manage("POST", "/streams", &stream("s"))), refused(409, "TG1053"));
    // What is read back can be written again, and that is no change.
    let same = node.manage("PUT", "/streams/s", &read.json());
    assert_eq!(
        (same.status, same.header("tidegate-change"), same.header("etag")),
        (200, Some("unchanged"), Some("\"2\""))
    );
    let other = node.manage("PUT", "/streams/s", &json!({"retention": {"age": "2d"}}));
    assert_eq!(
        (other.status, other.header("tidegate-change"), other.header("etag")),
        (200, Some("changed"), Some("\"3\""))
    );
    assert_eq!(node.manage("PUT", "/apis/s", &api("s", "s")).status, 201);
    assert_eq!(node.post("/s", &[], b"x").status, 202, "it is live when the answer is there");
    assert_eq!(node.manage("DELETE", "/apis/s", &Value::Null).status, 204);
    assert_eq!(node.get("/s").status, 404);
    assert_eq!(node.manage("DELETE", "/streams/s", &Value::Null).status, 204);
    assert_eq!(told(&node.manage("GET", "/streams/s", &Value::Null)), refused(404, "TG1054"));
    assert_eq!(told(&node.manage("DELETE", "/streams/s", &Value::Null)), refused(404, "TG1054"));
}
#[test]
fn of_two_who_change_one_resource_the_second_is_told() {
    let node = dev().start();
    node.manage("PUT", "/streams/s", &stream("s"));
    let token = node.token();
    let put = |age: &str, condition: (&str, &str)| {
        let body = json!({"retention": {"age": age}});
        node.manage_as(&token, "PUT", "/streams/s", &[condition], &body)
    };
    let etag = node.manage("GET", "/streams/s", &Value::Null).header("etag").unwrap().to_owned();
    assert_eq!(put("1d", ("if-match", &etag)).status, 200);
    assert_eq!(told(&put("2d", ("if-match", &etag))), refused(412, "TG1050"));
    assert_eq!(told(&put("2d", ("if-none-match", "*"))), refused(412, "TG1050"));
    assert_eq!(put("2d", ("if-match", "*")).status, 200);
    assert_eq!(told(&put("2d", ("if-match", "nonsense"))), refused(400, "TG1007"));
    assert_eq!(node.manage("GET", "/streams/s", &Value::Null).json()["retention"]["age"], "2d");
}
/// Both read what is there, and both send what they made of it: of all or none.
#[test]
fn of_two_who_apply_over_each_other_the_second_is_told() {
    let node = dev().start();
    node.manage("PUT", "/streams/s", &stream("s"));
    node.manage("PUT", "/streams/t", &stream("t"));
    let read = || {
        let all = node.manage("GET", "/export?revisions=true", &Value::Null).json()["resources"].clone();
        let mut all = all.as_array().unwrap().clone();
        all.retain(|one| one["name"] == "s" || one["name"] == "t");
        all
    };
    let apply =
        |resources: &[Value], how: &str| node.manage("POST", &format!("/apply?if_match=true{how}"), &json!({"resources": resources}));
    let (mut mine, mut yours) = (read(), read());
    assert_eq!(mine.len(), 2);
    mine[0]["retention"]["age"] = json!("2d");
    yours[0]["retention"]["age"] = json!("3d");
    yours[1]["retention"]["age"] = json!("3d");
    assert_eq!(apply(&mine, "").status, 200);
    for how in ["", "&dry_run=true"] {
        let told = apply(&yours, how);
        assert_eq!(
            (told.status, told.json()["code"].as_str()),
            (412, Some("TG1050")),
            "{}",
            told.text()
        );
        assert!(
            told.text().contains("the stream `s` is at revision") && told.text().contains("hint"),
            "{}",
            told.text()
        );
    }
    let ages = || read().iter().map(|one| one["retention"]["age"].clone()).collect::<Vec<_>>();
    assert_eq!(ages()[0], "2d");
    assert_ne!(ages()[1], "3d", "none of it was done");
    // Read again, and changed again.
    let mut yours = read();
    yours[0]["retention"]["age"] = json!("3d");
    assert_eq!(apply(&yours, "").status, 200);
    assert_eq!(ages()[0], "3d");
    // A new one is not there yet, for either of them.
    let new = [json!({"kind": "stream", "name": "new"})];
    assert_eq!((apply(&new, "").status, apply(&new, "").status), (200, 412));
    assert_eq!(node.manage("POST", "/apply", &json!({"resources": new})).status, 200);
    assert!(node.manage("GET", "/export", &Value::Null).json()["resources"][0]["meta"].is_null());
}
#[test]
fn what_is_in_use_is_not_deleted_and_its_users_are_named() {
    let node = dev().start();
    node.manage("PUT", "/streams/s", &stream("s"));
    node.manage("PUT", "/apis/a", &api("a", "s"));
    let answer = node.manage("DELETE", "/streams/s", &Value::Null);
    assert_eq!(told(&answer), refused(409, "TG1051"));
    assert_eq!(answer.json()["errors"][0]["name"], "a");
    assert_eq!(node.post("/a", &[], b"x").status, 202);
}
#[test]
fn a_dry_run_says_what_would_change_and_changes_nothing() {
    let node = dev().start();
    let revision = || node.manage("GET", "/status", &Value::Null).json()["revision"].clone();
    // The last one could not even be wished away.
    let other = json!({"name": "other", "manage": "admin"});
    assert_eq!(node.manage("POST", "/tokens", &other).status, 201);
    let before = revision();
    let answer = node.manage("PUT", "/streams/s?dry_run=true", &stream("s"));
    assert_eq!(
        answer.json(),
        json!({"changes": [{"kind": "stream", "name": "s", "change": "created", "after": stream("s")}]})
    );
    let both = json!({"resources": [api("a", "s"), stream("s")]});
    let changes = node.manage("POST", "/apply?dry_run=true", &both).json()["changes"].clone();
    assert_eq!([&changes[0]["change"], &changes[1]["change"]], ["created", "created"]);
    assert_eq!(
        node.manage("DELETE", "/tokens/admin?dry_run=true", &Value::Null).json()["changes"][0]["change"],
        "deleted"
    );
    assert_eq!(revision(), before);
    assert_eq!(
        (node.manage("GET", "/streams/s", &Value::Null).status, node.get("/a").status),
        (404, 404)
    );
}
#[test]
fn apply_does_all_or_nothing_and_tells_every_fault() {
    let node = dev().start();
    let wrong = json!({"resources": [stream("s"), {"kind": "stream", "name": "t", "retention": {"age": "x"}, "prtitions": 1},
        {"kind": "api", "name": "a", "paths": ["/orders"], "backend": {"stream": "nobody"}}]});
    let answer = node.manage("POST", "/apply", &wrong);
    assert_eq!(told(&answer), refused(422, "TG5013"), "{}", answer.text());
    let json = answer.json();
    let pointers: Vec<_> = json["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    for wanted in [
        "/resources/1/retention/age",
        "/resources/1/prtitions",
        "/resources/2/backend/stream",
        "/resources/2/paths",
    ] {
        assert!(pointers.contains(&wanted), "{wanted} {}", answer.text());
    }
    assert_eq!(node.manage("GET", "/streams/s", &Value::Null).status, 404, "nothing was made");
    let right = json!({"resources": [api("a", "s"), stream("s")]});
    let words = |answer: &Answer| {
        let json = answer.json();
        json["changes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|change| change["change"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(words(&node.manage("POST", "/apply", &right)), ["created", "created"]);
    assert_eq!(words(&node.manage("POST", "/apply", &right)), ["unchanged", "unchanged"]);
    let all = node.manage("GET", "/export", &Value::Null).json();
    let again = node.manage("POST", "/apply", &all);
    assert!(words(&again).iter().all(|word| word == "unchanged"), "{}", again.text());
    for (body, code) in [
        (json!({}), "TG5002"),
        (json!({"resources": [], "x": 1}), "TG5003"),
        (json!({"resources": [{"name": "x"}]}), "TG5013"),
    ] {
        assert_eq!(told(&node.manage("POST", "/apply", &body)), refused(422, code), "{body}");
    }
    assert_eq!(
        told(&node.manage("POST", "/apply", &json!({"resources": [stream("x"), stream("x")]}))),
        refused(409, "TG5006")
    );
}
#[test]
fn a_refused_change_takes_no_message_and_leaves_no_stream() {
    let node = dev().start();
    node.manage("PUT", "/streams/aa", &json!({}));
    node.manage("PUT", "/streams/pp", &json!({}));
    for i in 0..50 {
        assert_eq!(node.post("/topics/aa", &[], i.to_string().as_bytes()).status, 202);
    }
    let wrong = json!({"resources": [{"kind": "stream", "name": "aa", "retention": {"messages": 1}},
        {"kind": "stream", "name": "new"}, {"kind": "stream", "name": "pp", "partitions": 4}]});
    for target in ["/apply", "/apply?dry_run=true"] {
        let answer = node.manage("POST", target, &wrong);
        assert_eq!(told(&answer), refused(422, "TG5013"), "{}", answer.text());
        assert_eq!(answer.json()["errors"][0]["pointer"], "/resources/2/partitions");
    }
    assert_eq!(
        told(&node.manage("PUT", "/streams/pp?dry_run=true", &json!({"partitions": 4}))),
        refused(422, "TG5013")
    );
    assert_eq!(node.manage("GET", "/streams/new", &Value::Null).status, 404);
    let stream = node.crash().manage("GET", "/streams/aa", &Value::Null).json();
    assert_eq!(stream["status"]["messages"], 50, "{stream}");
}
#[test]
fn a_store_of_another_time_does_not_keep_a_node_from_starting() {
    let node = dev().start();
    node.manage("PUT", "/streams/four", &json!({"partitions": 4}));
    let old = node.folder().join("old.db");
    let node = node.restart_with(dev(), |folder| copy(&folder.join("tidegate-data/control.db"), &old));
    assert_eq!(node.manage("DELETE", "/streams/four", &Value::Null).status, 204);
    assert_eq!(node.manage("PUT", "/streams/four", &json!({"partitions": 2})).status, 201);
    let node = node.restart_with(dev(), |folder| {
        copy(&folder.join("old.db"), &folder.join("tidegate-data/control.db"));
    });
    let status = node.manage("GET", "/status", &Value::Null).json();
    assert_eq!(status["problems"][0]["name"], "four", "{status}");
    assert_eq!(node.post("/orders", &[], b"x").status, 202);
}
/// Method, path and whether anybody may, as the router itself tells them.
fn routes(node: &Node) -> Vec<(String, String, Option<String>)> {
    let document = node.admin("/openapi.json").json();
    let mut out = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let needs = operation["x-tidegate-needs"].as_str().map(str::to_owned);
            out.push((method.to_uppercase(), path.replace("{name}", "orders"), needs));
        }
    }
    assert!(out.len() > 40, "{out:?}");
    out
}
#[test]
fn every_route_refuses_who_may_not() {
    let node = dev().start();
    let token = |name: &str, manage: &str, more: Value| {
        let mut body = json!({"name": name, "manage": manage});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = node.manage("POST", "/tokens", &body);
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()["token"].as_str().unwrap().to_owned()
    };
    let viewer = token("eve", "viewer", json!({}));
    let soon = clock::now_us() + 500_000;
    let expired = token("old", "admin", json!({"expires": clock::rfc3339(soon)}));
    while node.manage("GET", "/tokens/old", &Value::Null).json()["status"]["state"] != "expired" {
        assert!(clock::now_us() < soon + 30_000_000, "it never ends");
    }
    let revoked = token("gone", "admin", json!({}));
    assert_eq!(
        node.manage_as(&revoked, "GET", "/whoami", &[], &Value::Null).json()["manage"],
        "admin"
    );
    assert_eq!(node.manage("DELETE", "/tokens/gone", &Value::Null).status, 204);
    let ask = |method: &str, path: &str, headers: &[(&str, &str)]| told(&Client::once(node.admin, method, path, headers, b"{}"));
    let open = ["/_demo/inbox", "/healthz", "/metrics", "/openapi.json", "/readyz"];
    let admin = format!("Bearer {}", node.token());
    for (method, path, needs) in routes(&node) {
        let at = format!("{method} {path}");
        if !["/healthz", "/readyz"].contains(&path.as_str()) {
            for origin in ["http://evil.example", "null", "http://localhost:1"] {
                assert_eq!(
                    ask(&method, &path, &[("origin", origin), ("authorization", &admin)]),
                    refused(403, "TG2005"),
                    "{at} {origin}"
                );
            }
            assert_eq!(
                ask(&method, &path, &[("host", "evil.example"), ("authorization", &admin)]),
                refused(403, "TG2005"),
                "{at}"
            );
        }
        let Some(needs) = needs else {
            assert!(open.contains(&path.as_str()), "{at} is open");
            continue;
        };
        assert_eq!(ask(&method, &path, &[]), refused(401, "TG2001"), "{at}");
        for wrong in [
            "Bearer tgt_wrong",
            "Bearer ",
            "Basic YTpi",
            "Basic !",
            "Digest x",
            &format!("Bearer {expired}"),
            &format!("Bearer {revoked}"),
        ] {
            let (status, code) = ask(&method, &path, &[("authorization", wrong)]);
            // Guessing passwords is stopped in the middle of this.
            assert!(
                status == 401 && code == "TG2001" || wrong == "Basic YTpi" && status == 429,
                "{at} {wrong}: {status} {code}"
            );
        }
        if needs != "viewer" {
            assert_eq!(
                ask(&method, &path, &[("authorization", &format!("Bearer {viewer}"))]),
                refused(403, "TG2002"),
                "{at}"
            );
        }
    }
    let operator = token("op", "operator", json!({}));
    assert_eq!(node.manage_as(&operator, "PUT", "/streams/x", &[], &stream("x")).status, 201);
    for (method, path, body) in [
        ("POST", "/tokens", json!({"name": "mine", "manage": "admin"})),
        (
            "POST",
            "/apply",
            json!({"resources": [{"kind": "token", "name": "mine", "manage": "admin", "sha256": "0".repeat(64)}]}),
        ),
        ("DELETE", "/tokens/admin", Value::Null),
    ] {
        assert_eq!(
            told(&node.manage_as(&operator, method, path, &[], &body)),
            refused(403, "TG2002"),
            "{method} {path}"
        );
    }
}
#[test]
fn a_user_logs_in_by_password_and_guessing_is_stopped() {
    let node = dev().set("limits.failed_logins", "3").start();
    // Of `secret`, as argon2 makes it.
    let hash = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$";
    let bad = node.manage(
        "POST",
        "/users",
        &json!({"name": "alice", "password": {"argon2": "secret"}, "manage": "viewer"}),
    );
    assert_eq!(told(&bad), refused(422, "TG5013"));
    assert!(!bad.text().contains("`secret`"), "{}", bad.text());
    assert_eq!(
        node.manage("POST", "/users", &json!({"name": "bob", "password": {"argon2": hash}}))
            .status,
        201
    );
    let shown = node.manage("GET", "/users/bob", &Value::Null);
    assert_eq!(shown.json()["password"]["argon2"], "***", "no hash is shown");
    assert_eq!(
        node.manage("PUT", "/users/bob", &shown.json()).header("tidegate-change"),
        Some("unchanged"),
        "what is hidden stays"
    );
    let audit = node.manage("GET", "/changes", &Value::Null).text();
    assert!(!audit.contains("$argon2id"), "{audit}");
    let basic = "Basic Ym9iOmd1ZXNz";
    let ask = || told(&Client::once(node.admin, "GET", "/api/v1/whoami", &[("authorization", basic)], b""));
    for _ in 0..3 {
        assert_eq!(ask(), refused(401, "TG2001"));
    }
    assert_eq!(ask(), refused(429, "TG2004"));
}
#[test]
fn every_change_is_told_with_who_did_it() {
    let node = dev().start();
    node.manage("PUT", "/streams/s", &stream("s"));
    node.manage("PUT", "/streams/s", &json!({"dedupe": "1m"}));
    node.post("/topics/s", &[], b"x");
    assert_eq!(node.manage("POST", "/streams/s/purge", &Value::Null).json(), json!({"purged": 1}));
    node.manage("DELETE", "/streams/s", &Value::Null);
    let items = node.manage("GET", "/changes?limit=4", &Value::Null).json();
    let actions: Vec<_> = items["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["action"].as_str().unwrap())
        .collect();
    assert_eq!(actions, ["delete", "purge", "replace", "create"]);
    let replaced = &items["items"][2];
    assert_eq!((&replaced["who"], &replaced["before"]), (&json!("token admin"), &stream("s")));
    assert_eq!(replaced["after"], json!({"kind": "stream", "name": "s", "dedupe": "1m"}));
    assert!(replaced["from"].as_str().unwrap().starts_with("127.0.0.1:"));
    let next = items["next_cursor"].as_str().unwrap();
    let rest = node.manage("GET", &format!("/changes?cursor={next}"), &Value::Null).json();
    assert_eq!(rest["items"][0]["who"], "first start");
}
#[test]
fn what_was_answered_is_there_after_kill_9_and_tokens_are_for_this_user_only() {
    let node = dev().start();
    let token = node.token();
    let mode = std::fs::metadata(node.folder().join("tidegate-data/admin-token"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    for i in 0..20 {
        assert_eq!(node.manage("PUT", &format!("/streams/s{i}"), &stream(&format!("s{i}"))).status, 201);
    }
    assert_eq!(node.manage("PUT", "/apis/a", &api("a", "s7")).status, 201);
    assert_eq!(
        node.manage("POST", "/apis/orders/stop", &Value::Null).json()["status"]["state"],
        "stopped"
    );
    assert_eq!(node.post("/a", &[], b"x").status, 202);
    let node = node.crash();
    assert_eq!(node.token(), token, "the first token is made once");
    let page = node.manage("GET", "/streams?name=s&limit=15", &Value::Null).json();
    assert_eq!(page["items"].as_array().unwrap().len(), 15);
    let rest = node
        .manage(
            "GET",
            &format!("/streams?name=s&cursor={}", page["next_cursor"].as_str().unwrap()),
            &Value::Null,
        )
        .json();
    assert_eq!(rest["items"].as_array().unwrap().len(), 5);
    assert_eq!(node.get("/a").json()["items"][0]["payload"], "x");
    assert_eq!(node.get("/orders").status, 404, "what was stopped stays so");
    assert_eq!(
        node.manage("POST", "/apis/orders/start", &Value::Null).json()["status"]["state"],
        "running"
    );
    assert_eq!(node.post("/orders", &[], b"x").status, 202);
}
#[test]
fn what_a_file_declares_is_changed_in_the_file() {
    let how = How::run(TIDEGATE);
    let node = how.start_with("{}\n---\nkind: stream\nname: f\ndescription: x\n");
    let answer = node.manage("PUT", "/streams/f", &json!({"description": "y"}));
    assert_eq!(told(&answer), refused(409, "TG1052"));
    assert!(
        answer.json()["detail"].as_str().unwrap().contains("tidegate.yaml:3:1"),
        "{}",
        answer.text()
    );
    assert_eq!(told(&node.manage("DELETE", "/streams/f", &Value::Null)), refused(409, "TG1052"));
    let read = node.manage("GET", "/streams/f", &Value::Null);
    assert_eq!(read.json()["meta"]["source"], "tidegate.yaml:3:1");
    assert_eq!(
        node.manage("PUT", "/streams/f", &read.json()).header("tidegate-change"),
        Some("unchanged")
    );
}
#[test]
fn a_stream_nobody_declares_is_listed_and_goes_only_when_told() {
    let node = dev().start();
    node.manage("PUT", "/streams/s", &stream("s"));
    node.post("/topics/s", &[], b"x");
    let folder = node.folder().join("tidegate-data/control.db");
    let node = node.restart_with(dev(), |_| {
        for end in ["", "-wal", "-shm"] {
            let _none = std::fs::remove_file(format!("{}{end}", folder.display()));
        }
    });
    let read = node.manage("GET", "/streams/s", &Value::Null).json();
    assert_eq!(
        (&read["status"]["state"], &read["meta"]["source"]),
        (&json!("orphan"), &json!("none"))
    );
    assert_eq!(node.manage("GET", "/status", &Value::Null).json()["orphans"], json!(["s"]));
    let messages = node.manage("GET", "/streams/s/messages", &Value::Null).json();
    assert_eq!(messages["items"][0]["payload"], "x");
    assert_eq!(node.manage("DELETE", "/streams/s", &Value::Null).status, 204);
    assert_eq!(node.manage("GET", "/streams/s", &Value::Null).status, 404);
    assert_eq!(node.manage("GET", "/streams/s/messages", &Value::Null).status, 404);
}
#[test]
fn messages_are_read_and_published_by_who_may() {
    let node = dev().start();
    let answer = node.manage("POST", "/topics/orders/eu", &json!({"n": 1}));
    assert_eq!((answer.status, &answer.json()["ack"]), (202, &json!("stored")));
    assert_eq!(node.manage("POST", "/streams/orders/messages", &json!({"n": 2})).status, 202);
    let page = node.manage("GET", "/streams/orders/messages?from=earliest&include=headers", &Value::Null);
    let items = page.json()["items"].clone();
    assert_eq!(items.as_array().unwrap().len(), 2);
    assert!(!page.text().contains("tgt_"), "the token is no header of the message");
    let mut stream = Client::new(node.admin);
    let authorization = format!("Bearer {}", node.token());
    let headers = [("accept", "text/event-stream"), ("authorization", authorization.as_str())];
    stream.write(&tidegate_testkit::client::head(
        "GET",
        "/api/v1/streams/orders/messages?from=earliest",
        &headers,
        None,
    ));
    assert_eq!(stream.head().unwrap().status, 200);
    let mut rest = String::new();
    assert!(stream.event(&mut rest).unwrap().ends_with("{\"n\":1}"));
    assert_eq!(
        told(&node.manage("GET", "/streams/nobody/messages", &Value::Null)),
        refused(404, "TG1054")
    );
}
#[test]
fn a_start_refuses_a_newer_store_and_leaves_out_what_no_longer_checks() {
    let node = How::run(TIDEGATE).start_with("{}\n---\nkind: stream\nname: f\n");
    assert_eq!(node.manage("PUT", "/apis/a", &api("a", "f")).status, 201);
    assert_eq!(node.manage("PUT", "/streams/s", &stream("s")).status, 201);
    let node = node.restart_with(How::run(TIDEGATE), |folder| write(&folder.join("tidegate.yaml"), "{}\n"));
    let status = node.manage("GET", "/status", &Value::Null).json();
    assert_eq!(status["problems"][0]["name"], "a", "{status}");
    assert_eq!(node.manage("GET", "/streams/s", &Value::Null).status, 200, "the rest is served");
    write(&node.folder().join("tidegate.yaml"), "{}\n---\nkind: stream\nname: g\n");
    let reloaded = node.manage("POST", "/reload", &Value::Null);
    assert_eq!(reloaded.status, 200, "{}", reloaded.text());
    assert_eq!(
        node.manage("GET", "/streams/g", &Value::Null).status,
        200,
        "and files go on to count"
    );
    // It can still be mended, or deleted.
    assert_eq!(node.manage("PUT", "/apis/a", &api("a", "s")).status, 200);
    assert_eq!(node.post("/a", &[], b"x").status, 202);

    let folder = node.folder().join("tidegate-data");
    let newer = "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.execute(\"insert into _sqlx_migrations(version,description,success,checksum,execution_time) values(99,'x',1,x'00',0)\"); c.commit()";
    let kept = node.stop();
    let status = Command::new("python3")
        .args(["-c", newer])
        .arg(folder.join("control.db"))
        .status()
        .unwrap();
    assert!(status.success());
    let output = Command::new(TIDEGATE)
        .args([
            "run",
            "--set",
            "listeners.gateway.address=127.0.0.1:0",
            "--set",
            "listeners.admin.address=127.0.0.1:0",
        ])
        .current_dir(kept.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("error[TG4004]") && text.contains("newer version"), "{text}");
}
#[test]
fn an_endpoint_is_used_by_name_and_a_change_of_it_is_one_of_its_apis() {
    let node = dev().start();
    let mock = |payload: &str| json!({"type": "mock", "interval": "10ms", "payload": payload});
    let api = json!({"paths": ["/m"], "backend": {"endpoint": "m"}, "plans": ["keyless"]});
    assert_eq!(told(&node.manage("PUT", "/apis/m", &api)), refused(422, "TG5013"));
    assert_eq!(node.manage("PUT", "/endpoints/m", &mock("one")).status, 201);
    assert_eq!(node.manage("PUT", "/apis/m", &api).status, 201);
    let first = || node.get("/m?limit=1").json()["items"][0]["payload"].clone();
    assert_eq!(first(), "one");
    assert_eq!(node.manage("PUT", "/endpoints/m", &mock("two")).status, 200);
    assert_eq!(first(), "two");
    assert_eq!(told(&node.manage("DELETE", "/endpoints/m", &Value::Null)), refused(409, "TG1051"));
}
#[test]
fn the_log_level_is_changed_while_it_runs() {
    let node = dev().start();
    let debug = |node: &Node| node.lines().iter().filter(|line| line.contains("\"level\":\"DEBUG\"")).count();
    node.get("/orders");
    assert_eq!(debug(&node), 0);
    assert_eq!(
        node.manage("PUT", "/log-level", &json!({"level": "info,tidegate_entrypoints=debug"}))
            .status,
        200
    );
    node.get("/nothing-there");
    let began = tidegate_core::clock::instant();
    while debug(&node) == 0 {
        assert!(began.elapsed().as_secs() < 30);
        node.admin("/healthz");
    }
    assert_eq!(
        told(&node.manage("PUT", "/log-level", &json!({"level": "loud=="}))),
        refused(422, "TG5004")
    );
    assert_eq!(
        node.manage("GET", "/log-level", &Value::Null).json()["level"],
        "info,tidegate_entrypoints=debug"
    );
}
#[test]
fn what_cannot_be_is_told() {
    let node = dev().start();
    let rows = [
        ("GET", "/nothing", Value::Null, 404, "TG1055"),
        ("PATCH", "/streams/orders", json!({}), 405, "TG1004"),
        ("GET", "/streams?limit=0", Value::Null, 400, "TG1009"),
        ("GET", "/streams?limt=1", Value::Null, 400, "TG1009"),
        ("GET", "/streams?label=x", Value::Null, 400, "TG1009"),
        ("PUT", "/streams/a?dry_run=yes", json!({}), 400, "TG1009"),
        ("PUT", "/streams/a", json!([1]), 400, "TG1031"),
        ("PUT", "/streams/a", json!({"name": "b"}), 422, "TG5004"),
        ("PUT", "/streams/a", json!({"kind": "api"}), 422, "TG5005"),
        ("POST", "/streams", json!({}), 422, "TG5002"),
        ("PUT", "/streams/-", json!({}), 422, "TG5013"),
        ("PUT", "/streams/a", json!({"description": "${file:/etc/passwd}"}), 422, "TG5013"),
        ("PUT", "/apis/a", api("a", "nobody"), 422, "TG5013"),
        ("POST", "/streams/nobody/purge", Value::Null, 404, "TG1054"),
        ("POST", "/apis/nobody/start", Value::Null, 404, "TG1054"),
        ("PUT", "/streams/orders2", json!({"partitions": 200}), 422, "TG5013"),
        ("PUT", "/log-level", json!({}), 422, "TG5004"),
        ("POST", "/tokens", json!({"name": "t"}), 422, "TG5013"),
    ];
    for (method, target, body, status, code) in rows {
        let answer = node.manage(method, target, &body);
        assert_eq!(told(&answer), refused(status, code), "{method} {target} {}", answer.text());
    }
    node.manage("PUT", "/streams/p", &json!({"partitions": 2}));
    let fixed = node.manage("PUT", "/streams/p", &json!({"partitions": 3}));
    assert_eq!(fixed.status, 422, "{}", fixed.text());
    let typed = node.manage_as(&node.token(), "PUT", "/streams/t", &[("content-type", "text/xml")], &json!({}));
    assert_ne!(typed.status, 500);
    assert_eq!(node.manage("GET", "/status", &Value::Null).json()["ready"], true);
}
#[expect(clippy::disallowed_methods, reason = "a test's own folder")]
fn write(path: &std::path::Path, text: &str) {
    std::fs::write(path, text).unwrap();
}
fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::copy(from, to).unwrap();
}
