//! What a client may do wrong, a row each: input, status, code. Nothing is stored, and the node goes on.
use crate::dev;
use tidegate_testkit::{Answer, Client, Node, balance, client::head};

/// Small limits, so that the rows that go over them stay small.
fn node() -> Node {
    dev()
        .set("limits.body", "64KiB")
        .set("limits.batch_body", "128KiB")
        .set("limits.batch_items", "100")
        .set("limits.head", "16KiB")
        .set("limits.target", "1KiB")
        .set("limits.body_stall", "250ms")
        .set("limits.head_timeout", "250ms")
        .start()
}
/// The answer must be a problem with that status and code, nothing may be stored, and the next client must be served.
fn refused(node: &Node, answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
    let problem = answer.json();
    assert_eq!(problem["code"], code, "{problem}");
    assert_eq!(problem["status"], status);
    assert_eq!(problem["type"], format!("urn:tidegate:error:{code}"));
    assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
    if problem.get("sent").is_none() {
        assert!(problem["request_id"].as_str().is_some_and(|id| id.len() == 32), "{problem}");
    }
    goes_on(node);
}
fn goes_on(node: &Node) {
    let page = node.get("/orders?wait=0");
    assert_eq!((page.status, page.json()["items"].as_array().unwrap().len()), (200, 0));
    assert_eq!(node.post("/orders", &[], b"good").status, 202);
    balance(node);
}

#[test]
fn a_method_that_is_not_taken_is_named_beside_those_that_are() {
    let node = node();
    for (method, path, told, hint) in [
        ("DELETE", "/orders", "`/orders` does not take `DELETE`", "allowed: GET, POST"),
        ("POST", "/", "`/` is a page and does not take `POST`", "allowed: GET"),
        ("GET", "/orders/_pull", "`_pull` is asked by POST, not by `GET`", "allowed: POST"),
    ] {
        let problem = node.request(method, path, &[], b"").json();
        assert_eq!(
            (problem["detail"].as_str(), problem["hint"].as_str()),
            (Some(told), Some(hint)),
            "{problem}"
        );
    }
    let problem = node.manage("PATCH", "/streams/orders", &serde_json::Value::Null).json();
    assert_eq!(problem["detail"], "`/api/v1/streams/orders` does not take `PATCH`", "{problem}");
    assert_eq!(problem["hint"], "allowed: GET, PUT, DELETE", "{problem}");
    balance(&node);
}

macro_rules! rows {
    ($($name:ident: $method:literal $target:expr, $headers:expr, $body:expr => $status:literal $code:literal;)*) => {
        $(#[test]
        fn $name() {
            let node = node();
            let headers: &[(&str, &str)] = &$headers;
            let answer = node.request($method, &$target, headers, $body.as_ref());
            refused(&node, &answer, $status, $code);
        })*
    };
}
const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");
const ITEMS: (&str, &str) = ("content-type", "application/vnd.tidegate.messages+json");
const ARRAY: (&str, &str) = ("tidegate-batch", "true");
const STREAM: (&str, &str) = ("accept", "text/event-stream");

rows! {
    path_unknown: "GET" "/nowhere", [], "" => 404 "TG1001";
    path_of_half_a_segment: "GET" "/ordersx", [], "" => 404 "TG1001";
    path_with_nothing_behind_the_star: "POST" "/topics/", [], "x" => 404 "TG1001";
    path_with_dots: "GET" "/orders/../orders", [], "" => 400 "TG1013";
    path_with_encoded_dots: "GET" "/topics/%2e%2E/x", [], "" => 400 "TG1013";
    path_with_encoded_slash: "POST" "/topics/a%2Fb", [], "x" => 400 "TG1013";
    path_with_encoded_nul: "POST" "/topics/a%00b", [], "x" => 400 "TG1013";
    path_with_half_an_escape: "POST" "/topics/a%2", [], "x" => 400 "TG1013";
    path_that_is_no_utf8: "POST" "/topics/%ff", [], "x" => 400 "TG1013";
    path_too_long: "GET" format!("/topics/{}", "x".repeat(2_000)), [], "" => 414 "TG1012";
    topic_with_wildcard: "POST" "/topics/a/%23", [], "x" => 400 "TG1025";
    topic_with_control_character: "POST" "/topics/a%0ab", [], "x" => 400 "TG1025";
    topic_of_the_gateway: "POST" "/topics/$tidegate/alarms", [], "x" => 400 "TG1025";
    method_delete: "DELETE" "/orders", [], "" => 405 "TG1004";
    method_put: "PUT" "/orders", [], "x" => 405 "TG1004";
    method_options: "OPTIONS" "/orders", [], "" => 405 "TG1004";
    method_trace: "TRACE" "/orders", [], "" => 405 "TG1004";
    method_of_nobody: "BREW" "/orders", [], "" => 405 "TG1004";
    method_post_on_a_mock: "POST" "/qs-message-api", [], "x" => 405 "TG1004";
    method_post_on_the_page: "POST" "/", [], "x" => 405 "TG1004";
    host_twice: "GET" "/orders", [("host", "a"), ("host", "b")], "" => 400 "TG1002";
    host_empty: "GET" "/orders", [("host", "")], "" => 400 "TG1002";
    host_with_space: "GET" "/orders", [("host", "a b")], "" => 400 "TG1002";
    host_with_slash: "GET" "/orders", [("host", "a/b")], "" => 400 "TG1002";
    host_other_than_target: "GET" "http://a.example/orders", [("host", "b.example")], "" => 400 "TG1002";
    cursor_of_letters: "GET" "/orders?cursor=abc", [], "" => 400 "TG1008";
    cursor_negative: "GET" "/orders?cursor=-1", [], "" => 400 "TG1008";
    cursor_too_large: "GET" "/orders?cursor=1.999999999999999999999999999999999999999999", [], "" => 400 "TG1008";
    cursor_of_a_mock: "GET" "/orders?cursor=7", [], "" => 400 "TG1008";
    from_a_place_without_a_stream: "GET" "/orders?from=0", [], "" => 400 "TG1008";
    query_on_a_post: "POST" "/orders?ack=accepted", [], "x" => 400 "TG1009";
    preflight_of_a_foreign_page: "OPTIONS" "/orders", [("origin", "http://a.example"), ("access-control-request-method", "POST")], "" => 403 "TG2002";
    cursor_and_from: "GET" "/orders?cursor=1.0&from=latest", [], "" => 400 "TG1009";
    last_event_id_of_letters: "GET" "/orders", [STREAM, ("last-event-id", "x")], "" => 400 "TG1008";
    last_event_id_twice: "GET" "/orders", [STREAM, ("last-event-id", "1"), ("last-event-id", "2")], "" => 400 "TG1007";
    from_unknown_word: "GET" "/orders?from=oldest", [], "" => 400 "TG1009";
    from_last_of_nothing: "GET" "/orders?from=last:", [], "" => 400 "TG1009";
    from_time_without_zone: "GET" "/orders?from=2026-11-21T10:00:00", [], "" => 400 "TG1009";
    limit_zero: "GET" "/orders?limit=0", [], "" => 400 "TG1009";
    limit_negative: "GET" "/orders?limit=-5", [], "" => 400 "TG1009";
    limit_of_letters: "GET" "/orders?limit=many", [], "" => 400 "TG1009";
    limit_twice: "GET" "/orders?limit=1&limit=2", [], "" => 400 "TG1009";
    wait_without_unit: "GET" "/orders?wait=5", [], "" => 400 "TG1009";
    wait_negative: "GET" "/orders?wait=-5s", [], "" => 400 "TG1009";
    include_unknown: "GET" "/orders?include=secrets", [], "" => 400 "TG1009";
    include_not_let_out: "GET" "/orders?include=headers", [], "" => 400 "TG1009";
    query_unknown_key: "GET" "/orders?form=earliest", [], "" => 400 "TG1009";
    query_no_utf8: "GET" "/orders?from=%ff", [], "" => 400 "TG1009";
    query_limit_on_a_stream: "GET" "/orders?limit=5", [STREAM], "" => 400 "TG1009";
    accept_of_an_image: "GET" "/orders", [("accept", "image/png")], "" => 406 "TG1005";
    accept_of_nothing: "GET" "/orders", [("accept", "application/json;q=0")], "" => 406 "TG1005";
    level_unknown: "POST" "/orders", [("tidegate-ack", "maybe")], "x" => 400 "TG1007";
    level_in_capitals: "POST" "/orders", [("tidegate-ack", "Stored")], "x" => 400 "TG1007";
    level_twice: "POST" "/orders", [("tidegate-ack", "stored"), ("tidegate-ack", "accepted")], "x" => 400 "TG1007";
    level_replicated_on_a_stream: "POST" "/orders", [("tidegate-ack", "replicated")], "x" => 422 "TG1022";
    level_delivered_on_a_stream: "POST" "/orders", [("tidegate-ack", "delivered")], "x" => 422 "TG1022";
    level_stored_on_a_live_topic: "POST" "/topics/x", [("tidegate-ack", "stored")], "x" => 422 "TG1022";
    header_of_ours_misspelled: "POST" "/orders", [("tidegate-akc", "stored")], "x" => 400 "TG1007";
    partition_of_letters: "POST" "/orders", [("tidegate-partition", "one")], "x" => 400 "TG1007";
    partition_negative: "POST" "/orders", [("tidegate-partition", "-1")], "x" => 400 "TG1007";
    partition_out_of_range: "POST" "/orders", [("tidegate-partition", "1")], "x" => 422 "TG1021";
    partition_of_a_live_topic: "POST" "/topics/x", [("tidegate-partition", "1")], "x" => 422 "TG1021";
    partition_and_key: "POST" "/orders", [("tidegate-partition", "0"), ("tidegate-key", "k")], "x" => 400 "TG1007";
    key_twice: "POST" "/orders", [("tidegate-key", "a"), ("tidegate-key", "b")], "x" => 400 "TG1007";
    id_empty: "POST" "/orders", [("tidegate-id", "")], "x" => 400 "TG1007";
    id_too_long: "POST" "/orders", [("tidegate-id", &*"x".repeat(256))], "x" => 400 "TG1007";
    id_of_both_kinds: "POST" "/orders", [("tidegate-id", "a"), ("idempotency-key", "b")], "x" => 400 "TG1007";
    ttl_without_a_unit: "POST" "/orders", [("tidegate-ttl", "5")], "x" => 400 "TG1007";
    ttl_of_two_years: "POST" "/orders", [("tidegate-ttl", "730d")], "x" => 400 "TG1007";
    delay_of_two_days: "POST" "/orders", [("tidegate-delay", "48h")], "x" => 400 "TG1007";
    delay_that_is_not_stored: "POST" "/orders", [("tidegate-delay", "5s"), ("tidegate-ack", "accepted")], "x" => 422 "TG1022";
    delay_on_a_live_topic: "POST" "/topics/x", [("tidegate-delay", "5s")], "x" => 422 "TG1022";
    delay_beyond_the_ttl: "POST" "/orders", [("tidegate-delay", "5s"), ("tidegate-ttl", "5s")], "x" => 400 "TG1007";
    pull_of_a_list: "POST" "/orders/_pull", [], "[]" => 400 "TG1031";
    pull_by_get: "GET" "/orders/_pull", [], "" => 405 "TG1004";
    pull_for_nothing: "POST" "/orders/_pull", [], "{\"limit\":0}" => 400 "TG1002";
    pull_for_a_group_of_ours: "POST" "/orders/_pull", [], "{\"group\":\"$api/orders/-/x\"}" => 400 "TG1002";
    pull_for_a_day: "POST" "/orders/_pull", [], "{\"lease_for\":\"24h\"}" => 400 "TG1002";
    pull_misspelled: "POST" "/orders/_pull", [], "{\"gruop\":\"a\"}" => 400 "TG1002";
    settle_of_nothing: "POST" "/orders/_settle", [], "{}" => 400 "TG1002";
    settle_of_no_list: "POST" "/orders/_settle", [], "{\"ack\":\"x\"}" => 400 "TG1002";
    settle_cut: "POST" "/orders/_settle", [], "{\"ack\":[" => 400 "TG1031";
    access_token_that_is_none: "GET" "/orders?access_token=x", [], "" => 401 "TG2001";
    ticket_by_get: "GET" "/orders/_ticket", [], "" => 405 "TG1004";
    body_too_large: "POST" "/orders", [], vec![b'x'; (64 << 10) + 1] => 413 "TG1003";
    body_of_a_batch_too_large: "POST" "/orders", [NDJSON], vec![b'1'; (128 << 10) + 1] => 413 "TG1003";
    body_compressed: "POST" "/orders", [("content-encoding", "gzip")], "x" => 415 "TG1006";
    batch_word_unknown: "POST" "/orders", [("tidegate-batch", "yes")], "[1]" => 400 "TG1007";
    batch_of_too_many: "POST" "/orders", [ARRAY], format!("[{}1]", "1,".repeat(100)) => 413 "TG1030";
    array_cut: "POST" "/orders", [ARRAY], "[1,2" => 400 "TG1031";
    array_that_is_none: "POST" "/orders", [ARRAY], "{\"a\":1}" => 400 "TG1031";
    array_of_nothing: "POST" "/orders", [ARRAY], "[]" => 400 "TG1033";
    array_no_utf8: "POST" "/orders", [ARRAY], b"[\"\xff\"]" => 400 "TG1031";
    lines_all_bad: "POST" "/orders", [NDJSON], "{\n[\n" => 400 "TG1031";
    lines_of_nothing: "POST" "/orders", [NDJSON], "\n\n" => 400 "TG1033";
    items_unknown_member: "POST" "/orders", [ITEMS], "{\"items\":[],\"x\":1}" => 400 "TG1031";
    items_of_nothing: "POST" "/orders", [ITEMS], "{\"items\":[]}" => 400 "TG1033";
    item_without_payload: "POST" "/orders", [ITEMS], "{\"items\":[{\"key\":\"k\"}]}" => 400 "TG1032";
    item_bad_base64: "POST" "/orders", [ITEMS], "{\"items\":[{\"payload\":\"?\",\"encoding\":\"base64\"}]}" => 400 "TG1032";
    item_with_credentials: "POST" "/orders", [ITEMS], "{\"items\":[{\"payload\":1,\"headers\":{\"Authorization\":\"x\"}}]}" => 400 "TG1032";
    item_with_a_header_of_two_lines: "POST" "/orders", [ITEMS], "{\"items\":[{\"payload\":1,\"headers\":{\"a\":\"x\\r\\ny\"}}]}" => 400 "TG1032";
    item_with_a_nameless_header: "POST" "/orders", [ITEMS], "{\"items\":[{\"payload\":1,\"headers\":{\"\":\"x\"}}]}" => 400 "TG1032";
    item_with_too_many_headers: "POST" "/orders", [ITEMS], format!("{{\"items\":[{{\"payload\":1,\"headers\":{{{}}}}}]}}", (0..70).map(|i| format!("\"h{i}\":\"\"")).collect::<Vec<_>>().join(",")) => 400 "TG1032";
    item_with_ttl: "POST" "/orders", [ITEMS], "{\"items\":[{\"payload\":1,\"ttl\":\"soon\"}]}" => 400 "TG1032";
}
#[test]
fn a_connection_that_asks_nothing_more_is_closed() {
    let node = dev().set("limits.idle", "250ms").start();
    for (method, body) in [("GET", ""), ("POST", "x")] {
        let mut client = Client::new(node.gateway);
        let target = if method == "GET" { "/orders?wait=0" } else { "/orders" };
        assert!(client.request(method, target, &[], body.as_bytes()).status < 300);
        assert!(client.is_closed(), "{method}");
    }
    balance(&node);
}
#[test]
fn a_reader_has_no_wishes_in_headers() {
    let node = node();
    for (name, code) in [
        ("tidegate-nonsense", "TG1007"),
        ("tidegate-key", "TG1007"),
        ("tidegate-group", "TG1007"),
        ("tidegate-ttl", "TG1007"),
    ] {
        let answer = node.request("GET", "/orders", &[(name, "x")], b"");
        assert_eq!((answer.status, answer.json()["code"].as_str()), (400, Some(code)), "{name}");
    }
    goes_on(&node);
}
#[test]
fn who_asks_as_a_group_in_the_url_is_told_where_groups_ask() {
    let node = node();
    let answer = node.get("/orders?group=workers");
    assert_eq!((answer.status, &answer.json()["code"]), (400, &serde_json::json!("TG1009")));
    assert!(answer.text().contains("_pull"), "{}", answer.text());
    goes_on(&node);
}
#[test]
fn head_with_too_many_fields() {
    let node = node();
    let names: Vec<_> = (0..70).map(|i| format!("x-{i}")).collect();
    let headers: Vec<_> = names.iter().map(|name| (name.as_str(), "1")).collect();
    let answer = node.request("GET", "/orders", &headers, b"");
    refused(&node, &answer, 431, "TG1011");
}
#[test]
fn a_limit_of_headers_above_the_default_is_kept() {
    let node = dev().set("limits.headers", "300").start();
    for (fields, status) in [(250, 200), (310, 431)] {
        let names: Vec<_> = (0..fields).map(|i| format!("x-{i}")).collect();
        let headers: Vec<_> = names.iter().map(|name| (name.as_str(), "1")).collect();
        assert_eq!(node.request("GET", "/orders?wait=0", &headers, b"").status, status);
    }
}
#[test]
fn a_target_that_is_no_path() {
    let node = node();
    let mut client = Client::new(node.gateway);
    client.write(b"GET orders HTTP/1.1\r\nhost: a\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.status, &answer.json()["code"]), (400, &serde_json::json!("TG1013")));
    goes_on(&node);
}
#[test]
fn header_that_is_no_utf8() {
    let node = node();
    let mut client = Client::new(node.gateway);
    client.write(b"POST /orders HTTP/1.1\r\nhost: a\r\ntidegate-key: \xff\r\ncontent-length: 1\r\n\r\nx");
    refused(&node, &client.answer(), 400, "TG1007");
}
#[test]
fn no_host_at_all() {
    let node = node();
    let mut client = Client::new(node.gateway);
    client.write(b"GET /orders HTTP/1.1\r\n\r\n");
    refused(&node, &client.answer(), 400, "TG1002");
}
#[test]
fn body_that_stops_coming() {
    let node = node();
    let mut client = Client::new(node.gateway);
    client.write(&head("POST", "/orders", &[], Some(10)));
    client.write(b"half");
    refused(&node, &client.answer(), 408, "TG1010");
    assert!(client.is_closed());
}
#[test]
fn body_cut_by_the_client() {
    let node = node();
    let mut client = Client::new(node.gateway);
    client.write(&head("POST", "/orders", &[], Some(10)));
    client.write(b"half");
    client.finish();
    assert_ne!(client.answer().status, 202);
    goes_on(&node);
}
#[test]
fn body_badly_chunked() {
    let node = node();
    let mut client = Client::new(node.gateway);
    client.write(&head("POST", "/orders", &[("transfer-encoding", "chunked")], None));
    client.write(b"zz\r\nx\r\n0\r\n\r\n");
    refused(&node, &client.answer(), 400, "TG1002");
}
#[test]
fn body_chunked_and_too_large() {
    let node = node();
    let mut client = Client::new(node.gateway);
    client.write(&head("POST", "/orders", &[("transfer-encoding", "chunked")], None));
    for _ in 0..17 {
        client.write(b"1000\r\n");
        client.write(&[b'x'; 4 << 10]);
        client.write(b"\r\n");
    }
    refused(&node, &client.answer(), 413, "TG1003");
}
#[test]
fn head_that_stops_coming_is_closed() {
    let node = node();
    let mut client = Client::new(node.gateway);
    client.write(b"POST /orders HTTP/1.1\r\nhost:");
    assert_eq!(client.answer().status, 0, "closed");
    goes_on(&node);
}
#[test]
fn head_of_garbage_is_refused_and_closed() {
    let node = node();
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"[..],
        b"hello\r\n\r\n",
        b"GET /orders HTTP/9.9\r\n\r\n",
        b"GET  /orders HTTP/1.1\r\nhost: a\r\n\r\n",
    ] {
        let mut client = Client::new(node.gateway);
        client.write(garbage);
        client.finish();
        let status = client.answer().status;
        assert!(status == 400 || status == 0 || status == 505, "{status}");
        assert!(client.is_closed());
    }
    goes_on(&node);
}
#[test]
fn head_too_large_is_431() {
    let node = node();
    let mut client = Client::new(node.gateway);
    client.write(format!("GET /orders HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(40 << 10)).as_bytes());
    assert_eq!(client.answer().status, 431);
    goes_on(&node);
}
#[test]
fn problems_are_text_for_who_asks_so() {
    let node = node();
    let answer = node.request("GET", "/order", &[("accept", "text/plain")], b"");
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (404, Some("text/plain; charset=utf-8"))
    );
    assert!(
        answer
            .text()
            .starts_with("TG1001 no api has this path\nhint: did you mean /orders?\nrequest: ")
    );
    goes_on(&node);
}
#[test]
fn a_refused_method_names_the_allowed_ones() {
    let node = node();
    assert_eq!(node.request("DELETE", "/orders", &[], b"").header("allow"), Some("GET, POST"));
    assert_eq!(node.post("/qs-message-api", &[], b"").header("allow"), Some("GET"));
    goes_on(&node);
}
#[test]
fn over_the_cap_of_bytes_in_flight_is_shed_with_retry_after() {
    let node = dev().set("limits.in_flight_bytes", "8MiB").start();
    let most = 4 << 20;
    let mut slow: Vec<_> = (0..2).map(|_| Client::new(node.gateway)).collect();
    for client in &mut slow {
        client.write(&head("POST", "/orders", &[], Some(most)));
        client.write(&vec![b'x'; most - 1]);
    }
    node.until("tidegate_in_flight_bytes", |bytes| bytes == 2 * most as u64 - 2);
    let answer = node.post("/orders", &[], b"four");
    drop(slow);
    node.until("tidegate_in_flight_bytes", |bytes| bytes == 0);
    assert_eq!(answer.header("retry-after"), Some("1"));
    refused(&node, &answer, 503, "TG2003");
}
#[test]
fn over_the_cap_of_requests_is_shed_with_retry_after() {
    let node = dev().set("limits.in_flight", "1").start();
    let waiting = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| node.get("/orders?wait=2s").status);
        node.until("tidegate_in_flight_requests", |requests| requests == 1);
        let answer = node.post("/orders", &[], b"x");
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
        waiting.join().unwrap()
    });
    assert_eq!(waiting, 200);
    goes_on(&node);
}
#[test]
fn over_the_cap_of_connections_is_told() {
    let node = dev().set("limits.connections", "2").start();
    let mut open: Vec<_> = (0..2).map(|_| Client::new(node.gateway)).collect();
    for client in &mut open {
        assert_eq!(client.request("GET", "/orders?wait=0", &[], b"").status, 200);
    }
    let mut third = Client::new(node.gateway);
    let answer = third.answer();
    assert_eq!((answer.status, &answer.json()["code"]), (503, &serde_json::json!("TG2003")));
    assert!(answer.body.ends_with(b"}\n") && third.is_closed());
    drop(open);
    node.until("tidegate_connections{listener=\"gateway\"}", |connections| connections == 0);
    goes_on(&node);
}
#[test]
fn clients_that_announce_much_and_send_little_shut_nobody_out() {
    let node = dev().set("limits.in_flight_bytes", "8MiB").start();
    let mut slow: Vec<_> = (0..64).map(|_| Client::new(node.gateway)).collect();
    for client in &mut slow {
        client.write(&head("POST", "/orders", &[], Some(4 << 20)));
        client.write(b"x");
    }
    node.until("tidegate_in_flight_bytes", |bytes| bytes == 64);
    assert_eq!(node.post("/orders", &[], &vec![b'x'; 1 << 20]).status, 202);
    drop(slow);
    node.until("tidegate_in_flight_requests", |requests| requests == 0);
    balance(&node);
}
