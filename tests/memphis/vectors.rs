//! Vectors of the last release (1.2.8), where the log and the sessions matter. The numbers are those of `docs/guide/coming-from-memphis.md`.
use super::{DONE, JSON, Memphis, ROOT, json_of, payloads, text_of, told};
use crate::dev;
use serde_json::{Value, json};
use tidegate_testkit::{balance, client::Client};

#[test]
fn v01_paths_without_a_token() {
    let memphis = Memphis::new();
    assert_eq!(
        told(&memphis.ask("GET", "/monitoring/status", &[], b"")),
        json_of(200, "{\"status\":\"ok\"}")
    );
    assert_eq!(told(&memphis.ask("GET", "/", &[], b"")), text_of(404, "Cannot GET /"));
    assert_eq!(
        told(&memphis.ask("GET", "/nope", &[], b"")),
        json_of(401, "{\"message\":\"Unauthorized\"}")
    );
    let answer = memphis.ask("GET", "/auth/authenticate", &[], b"");
    assert_eq!(
        (told(&answer), answer.header("allow")),
        (text_of(405, "Method Not Allowed"), Some("POST"))
    );
}
#[test]
fn v02_v03_logins() {
    let memphis = Memphis::new();
    let unauthorized = json_of(401, "{\"message\":\"Unauthorized\"}");
    for wrong in [
        "{\"username\":\"root\"}",
        "{\"username\":\"root\",\"password\":\"no\"}",
        "{\"username\":\"nobody\",\"password\":\"memphis\"}",
        "{\"username\":\"root\",\"password\":\"memphis\",\"connection_token\":\"memphis\"}",
    ] {
        assert_eq!(told(&memphis.post("/auth/authenticate", &[JSON], wrong)), unauthorized, "{wrong}");
    }
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    for (target, headers, body) in [
        ("/auth/authenticate", &[JSON][..], ROOT),
        ("/auth/authenticate", &form, "username=root&password=memphis"),
        (
            "/auth/authenticate?accountId=7",
            &[JSON],
            "{\"username\":\"root\",\"password\":\"memphis\"}",
        ),
        (
            "/AUTH/authenticate",
            &[JSON],
            "{\"username\":\"root$7\",\"password\":\"memphis\",\"account_id\":7}",
        ),
    ] {
        let answer = memphis.post(target, headers, body);
        assert_eq!(answer.status, 200, "{target} {body}: {}", answer.text());
        let text = answer.text();
        assert!(text.starts_with("{\"expires_in\":900000,\"jwt\":\""), "{text}");
        assert!(text.ends_with("\",\"refresh_token_expires_in\":18000000}"), "{text}");
        let cookie = answer.header("set-cookie").unwrap();
        assert!(
            cookie.starts_with("jwt-refresh-token=") && cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict; Max-Age=18000"),
            "{cookie}"
        );
    }
}
#[test]
fn v04_tokens_are_read_laxly() {
    let memphis = Memphis::new();
    let token = memphis.bearer.strip_prefix("Bearer ").unwrap();
    let path = "/stations/st1/produce/single";
    for word in ["Bearer", "Bearer:", "Foo"] {
        let header = format!("{word} {token}");
        assert_eq!(
            told(&memphis.post(path, &[("Authorization", &header), JSON], "1")),
            json_of(200, DONE),
            "{word}"
        );
    }
    assert_eq!(memphis.post(&format!("{path}?authorization={token}"), &[JSON], "1").status, 200);
    let answer = memphis.post("/auth/authenticate", &[JSON], ROOT).json();
    let refresh = format!("Bearer {}", answer["jwt_refresh_token"].as_str().unwrap());
    let cut = memphis.bearer.get(..memphis.bearer.len() - 3).unwrap().to_owned();
    for (target, header) in [
        (path.to_owned(), None),
        (path.to_owned(), Some("Bearer")),
        (path.to_owned(), Some(token)),
        (path.to_owned(), Some(&*refresh)),
        (path.to_owned(), Some(&*cut)),
        (format!("{path}?Authorization={token}"), None),
    ] {
        let mut headers = vec![JSON];
        headers.extend(header.map(|header| ("Authorization", header)));
        assert_eq!(
            told(&memphis.post(&target, &headers, "1")),
            json_of(401, "{\"message\":\"Unauthorized\"}"),
            "{header:?}"
        );
    }
}
#[test]
fn v05_v06_v07_bytes_headers_and_names() {
    let memphis = Memphis::new();
    let charset = ("Content-Type", "application/json; charset=utf-8");
    let body = "{\"a\":  1, }bad json";
    assert_eq!(
        told(&memphis.single("ST1", &[charset, ("x-dup", "1"), ("x-dup", "2")], body)),
        json_of(200, DONE)
    );
    assert_eq!(
        memphis
            .send("/Stations/ST1/Produce/Single/", &[("Content-Type", "text")], "")
            .status,
        200
    );
    let stored = memphis.stored("st1", "all");
    assert_eq!(payloads(&stored), [body, ""]);
    assert_eq!(
        stored[0]["headers"],
        json!({ "content-type": "application/json; charset=utf-8", "x-dup": "1" })
    );
    assert_eq!(memphis.single("a.b.c", &[JSON], "1").status, 200);
    let refused = "{\"error\":\"Only alphanumeric and the '_', '-', '.' characters are allowed in Station\",\"success\":false}";
    assert_eq!(told(&memphis.single("my%20st", &[JSON], "1")), json_of(400, refused));
    let streams = memphis.node.manage("GET", "/streams", &Value::Null).text();
    assert!(
        streams.contains("\"st1\"") && streams.contains("\"a.b.c\"") && !streams.contains("\"ST1\""),
        "{streams}"
    );
}
#[test]
fn v08_a_batch_keeps_its_numbers() {
    let memphis = Memphis::new();
    assert_eq!(
        told(&memphis.batch("st1", "[{\"n\":12345678901234567890,\"f\":1.10}]")),
        json_of(200, DONE)
    );
    assert_eq!(told(&memphis.batch("st1", "[null]")), json_of(200, DONE));
    assert_eq!(
        told(&memphis.batch("st1", "[{\"a\":1},\"x\"]")),
        text_of(400, "unsupported request")
    );
    let stored = memphis.stored("st1", "all");
    assert_eq!(payloads(&stored), ["{\"n\":12345678901234567890,\"f\":1.10}", "null"]);
}
#[test]
fn v10_a_group_goes_on_after_a_crash() {
    let mut memphis = Memphis::new();
    let batch: Vec<_> = (0..20).map(|number| format!("{{\"n\":{number}}}")).collect();
    assert_eq!(memphis.batch("st1", &format!("[{}]", batch.join(","))).status, 200);
    let wish = json!({ "consumer_name": "c", "consumer_group": "G", "batch_size": 5 }).to_string();
    let headers = [("Authorization", &*memphis.bearer), JSON];
    let mut client = Client::new(memphis.address());
    let first = client
        .request("POST", "/stations/st1/consume/batch", &headers, wish.as_bytes())
        .json();
    assert_eq!(payloads(first.as_array().unwrap()), batch[..5]);
    // On the same connection it comes behind the settling, and what is stored is stored with what was settled before it.
    let last = client.request("POST", "/stations/st1/produce/single", &headers, b"last");
    assert_eq!(told(&last), json_of(200, DONE));
    memphis.node = memphis.node.crash();
    memphis.log_in();
    let mut rest = memphis.stored("st1", "g");
    assert_eq!(rest.pop().unwrap()["message"], "last");
    assert_eq!(payloads(&rest), batch[5..]);
    balance(&memphis.node);
}
#[test]
fn v11_a_body_of_four_mebibytes() {
    let memphis = Memphis::new();
    let text = [("Content-Type", "text/plain")];
    let (most, over) = ("x".repeat(4 << 20), "x".repeat((4 << 20) + 1));
    assert_eq!(told(&memphis.single("st1", &text, &most)), json_of(200, DONE));
    let refused = memphis.single("st1", &text, &over);
    assert_eq!(
        (told(&refused), refused.header("connection")),
        (text_of(413, "Request Entity Too Large"), Some("close"))
    );
    assert_eq!(memphis.ask("OPTIONS", "/any", &[], b"").status, 204);
    // What is more than the listener takes, in the words of the original.
    let huge = "x".repeat(100_000);
    let refused = memphis.ask("GET", "/monitoring/status", &[("x-huge", &huge)], b"");
    assert_eq!(told(&refused), text_of(431, "Request Header Fields Too Large"));
    let old = Memphis::of(dev().set("listeners.memphis.compatibility", "1.2.8").start());
    let five = "x".repeat(5_000);
    let refused = old.ask("GET", "/monitoring/status", &[("x-five", &five)], b"");
    assert_eq!(told(&refused), text_of(431, "Request Header Fields Too Large"));
}
/// The original read one partition per call; here each reads all.
#[test]
fn v13_partitions_are_shared_out_and_read_together() {
    let memphis = Memphis::new();
    let stream = json!({ "kind": "stream", "name": "three", "partitions": 3 });
    let made = memphis.node.manage("PUT", "/streams/three", &stream);
    assert!(matches!(made.status, 200 | 201), "{}", made.text());
    for number in 0..6 {
        let partition = (number % 3).to_string();
        let answer = memphis.single("three", &[JSON, ("Tidegate-Partition", &partition)], &number.to_string());
        assert_eq!(told(&answer), json_of(200, DONE));
    }
    let stored = memphis.stored("three", "all");
    let mut found: Vec<_> = payloads(&stored);
    found.sort_unstable();
    assert_eq!(found, ["0", "1", "2", "3", "4", "5"]);
    let partition = |item: &Value| item["position"].as_str().unwrap().to_owned();
    assert_eq!(stored.iter().filter(|item| partition(item).contains(".1-")).count(), 2);
    // One key, one partition.
    for _ in 0..4 {
        assert_eq!(memphis.single("three", &[JSON, ("Tidegate-Key", "k")], "k").status, 200);
    }
    let keyed = memphis.stored("three", "all");
    let place = |item: &Value| {
        item["position"]
            .as_str()
            .unwrap()
            .split_once('-')
            .map(|(place, _)| place.to_owned())
    };
    assert!(
        keyed.len() == 4 && keyed.iter().all(|item| place(item) == place(&keyed[0]) && item["key"] == "k"),
        "{keyed:?}"
    );
    let nowhere = memphis.single("three", &[JSON, ("Tidegate-Partition", "3")], "x");
    assert_eq!(nowhere.status, 400, "{}", nowhere.text());
    balance(&memphis.node);
}
/// A dead-letter station is a stream beside its own: its messages say where they came from and why.
#[test]
fn a_dead_letter_is_consumed_with_its_station_and_its_type() {
    let memphis = Memphis::new();
    assert_eq!(memphis.single("jobs", &[JSON], "{\"n\":1}").status, 200);
    let pulled = memphis.send("/stations/jobs/_pull", &[JSON], "{}").json();
    let reject = json!({ "reject": [{ "lease": pulled["items"][0]["lease"], "reason": "broken" }] });
    let settled = memphis.send("/stations/jobs/_settle", &[JSON], &reject.to_string());
    assert_eq!(settled.json()["results"][0]["result"], "ok", "{}", settled.text());
    let dead = memphis.stored("jobs.dead", "all");
    assert_eq!(payloads(&dead), ["{\"n\":1}"]);
    let headers = &dead[0]["headers"];
    assert_eq!(
        (&headers["station"], &headers["type"]),
        (&json!("jobs"), &json!("unacked")),
        "{headers}"
    );
}
