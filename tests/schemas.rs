//! What messages must look like, on the real program: each kind of schema, each sort of message, each thing that may happen to it; every way in;
//! versions; the command line.
use crate::{
    commands::{Seen, folder, tidegate},
    dev,
};
use serde_json::{Value, json};
use std::{fmt::Write as _, path::Path, sync::Arc};
use tidegate_testkit::{Answer, Client, Node, websocket};

const JSON: &str = r#"{"type": "object", "properties": {"id": {"type": "integer"}, "name": {"type": "string"},
  "inner": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}}, "required": ["id", "name"]}"#;
const AVRO: &str = r#"{"type": "record", "name": "order", "fields": [{"name": "id", "type": "long"}, {"name": "name", "type": "string"},
  {"name": "inner", "type": ["null", {"type": "record", "name": "inner", "fields": [{"name": "n", "type": "int"}]}], "default": null}]}"#;
const PROTO: &str = "syntax = \"proto2\"; package shop; message Order { required int64 id = 1; optional string name = 2; optional Inner inner = 3; } \
                     message Inner { required int32 n = 1; }";
const ACTIONS: [&str; 3] = ["reject", "dead_letter", "warn"];

/// The three schemas.
fn schemas() -> String {
    format!(
        "kind: schema\nname: json\njson: {JSON}\n---\nkind: schema\nname: avro\navro: {AVRO}\n---\nkind: schema\nname: protobuf\n\
         protobuf: {{ text: {}, message: Order }}\n",
        json!(PROTO)
    )
}
/// A stream and an api of this name that ask for a schema.
fn asking(name: &str, schema: &str, on_failure: &str) -> String {
    format!(
        "---\nkind: stream\nname: {name}\nschema: {{ schema: {schema}, on_failure: {on_failure} }}\n---\nkind: api\nname: {name}\npaths: [/{name}]\n\
         backend: {{ stream: {name} }}\ninclude: [headers]\n"
    )
}
fn of_type(kind: &str) -> [(&'static str, &str); 1] {
    [("content-type", kind)]
}
fn code(answer: &Answer) -> (u16, String) {
    (answer.status, answer.json()["code"].as_str().unwrap_or_default().to_owned())
}
fn good(answer: &Answer) -> Value {
    assert!((200..300).contains(&answer.status), "{}", answer.text());
    answer.json()
}
fn stored(node: &Node, name: &str) -> Vec<Value> {
    let page = good(&node.get(&format!("/{name}?wait=0s&limit=500")));
    page["items"].as_array().unwrap().clone()
}
/// Oldest first.
fn letters(node: &Node, stream: &str) -> Vec<Value> {
    let page = good(&node.manage("GET", &format!("/dead-letters?stream={stream}"), &Value::Null));
    page["items"].as_array().unwrap().iter().rev().cloned().collect()
}
/// What a metric says of a stream; nothing is 0.
fn failures(node: &Node, stream: &str, schema: &str, action: &str) -> u64 {
    let text = node.admin("/metrics").text();
    let name = format!("tidegate_schema_failures_total{{stream=\"{stream}\",schema=\"{schema}\",action=\"{action}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&name));
    line.map_or(0, |count| count.parse().unwrap())
}
/// One sort of message: what is sent, its type, and what is said of it; `None`: it matches.
struct Case {
    sort: &'static str,
    body: &'static [u8],
    kind: &'static str,
    said: Option<&'static str>,
}
const fn case(sort: &'static str, body: &'static [u8], kind: &'static str, said: Option<&'static str>) -> Case {
    Case { sort, body, kind, said }
}
const IS_JSON: &str = "application/json";
const IS_WIRE: &str = "application/x-protobuf";
const CASES: [(&str, [Case; 6]); 3] = [
    (
        "json",
        [
            case("valid", br#"{"id": 1, "name": "a", "inner": {"n": 2}}"#, IS_JSON, None),
            case(
                "wrong type",
                br#"{"id": "1", "name": "a"}"#,
                IS_JSON,
                Some(
                    "jsonschema: '/id' does not validate with file:///tidegate/json#/properties/id/type: expected integer, but got string",
                ),
            ),
            case(
                "missing",
                b"{}",
                IS_JSON,
                Some("jsonschema: '' does not validate with file:///tidegate/json#/required: missing properties: 'id', 'name'"),
            ),
            case(
                "nested",
                br#"{"id": 1, "name": "a", "inner": {"n": "x"}}"#,
                IS_JSON,
                Some(
                    "jsonschema: '/inner/n' does not validate with file:///tidegate/json#/properties/inner/properties/n/type: expected integer, but got string",
                ),
            ),
            case("int64", br#"{"id": 9007199254740993, "name": "a"}"#, IS_JSON, None),
            case(
                "bad bytes",
                b"\xff\xfe{",
                "application/octet-stream",
                Some("Bad JSON format - invalid character '\u{ff}' looking for beginning of value"),
            ),
        ],
    ),
    (
        "avro",
        [
            case("valid", br#"{"id": 1, "name": "a", "inner": {"n": 2}}"#, IS_JSON, None),
            case(
                "wrong type",
                br#"{"id": "1", "name": "a"}"#,
                IS_JSON,
                Some("id: avro: string is unsupported for Avro long"),
            ),
            case("missing", br#"{"id": 1}"#, IS_JSON, Some("avro: missing required field name")),
            case(
                "nested",
                br#"{"id": 1, "name": "a", "inner": {"n": "x"}}"#,
                IS_JSON,
                Some("inner: n: avro: string is unsupported for Avro int"),
            ),
            case("int64", br#"{"id": 9007199254740993, "name": "a"}"#, IS_JSON, None),
            case(
                "bad bytes",
                b"\xff\xfe{",
                "application/octet-stream",
                Some("Bad Avro format - invalid character '\u{ff}' looking for beginning of value"),
            ),
        ],
    ),
    (
        "protobuf",
        [
            case("valid", b"\x08\x01\x12\x01a\x1a\x02\x08\x02", IS_WIRE, None),
            case(
                "wrong type",
                br#"{"id": "x"}"#,
                IS_JSON,
                Some("proto: (line 1:11): field shop.Order.id: expected int64, but got string"),
            ),
            case(
                "missing",
                b"\x12\x01a",
                IS_WIRE,
                Some("proto: required field shop.Order.id not set"),
            ),
            case(
                "nested",
                b"\x08\x01\x1a\x00",
                IS_WIRE,
                Some("proto: required field shop.Inner.n not set"),
            ),
            case("int64", br#"{"id": 9007199254740993}"#, IS_JSON, None),
            case(
                "bad bytes",
                b"\x08\xff",
                IS_WIRE,
                Some("invalid message format, expecting protobuf"),
            ),
        ],
    ),
];

/// Kind of schema × sort of message × what happens: 54 cells, each with its answer, what the stream holds then, what lies among dead letters,
/// and what is counted.
#[test]
fn every_kind_meets_every_message_in_every_way() {
    let streams = CASES
        .iter()
        .flat_map(|(schema, _)| ACTIONS.map(|action| asking(&format!("{schema}.{action}"), schema, action)));
    let node = dev().start_with(&(schemas() + &streams.collect::<String>()));
    let mut wrong = String::new();
    let mut cells = 0;
    for (schema, cases) in &CASES {
        for action in ACTIONS {
            let name = format!("{schema}.{action}");
            let (mut kept, mut dead, mut failed) = (0, 0, 0);
            for case in cases {
                let answer = node.post(&format!("/{name}"), &of_type(case.kind), case.body);
                let whole = case.said.map(|said| format!("Schema validation has failed: {said}"));
                let refused = case.said.is_some() && action != "warn";
                kept += usize::from(!refused);
                dead += usize::from(refused && action == "dead_letter");
                failed += u64::from(case.said.is_some());
                let expected = if refused {
                    (422, "TG7001".to_owned())
                } else {
                    (202, String::new())
                };
                let told = if refused {
                    answer.json()["detail"].as_str().map(str::to_owned)
                } else {
                    None
                };
                let items = stored(&node, &name);
                let letters = letters(&node, &name);
                let as_told = letters.last().is_none_or(|letter| {
                    dead == 0 || !refused || letter["error"].as_str() == whole.as_deref() && letter["reason"] == "schema"
                });
                let seen = (items.len(), letters.len(), failures(&node, &name, schema, action));
                cells += 1;
                if code(&answer) != expected || (refused && told != whole) || seen != (kept, dead, failed) || !as_told {
                    let _never = writeln!(
                        wrong,
                        "{name}, {}: {} {:?}, expected {:?}; {seen:?}, expected {:?}",
                        case.sort,
                        answer.text(),
                        told,
                        whole,
                        (kept, dead, failed)
                    );
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert_eq!(cells, 54);

    // Nothing is bent on the way: JSON stays as it was sent, and as Protobuf it is the same number.
    let exact = &CASES[0].1[4];
    for schema in ["json", "avro"] {
        let items = stored(&node, &format!("{schema}.reject"));
        assert_eq!(items[1]["payload"].as_str().unwrap().as_bytes(), exact.body);
    }
    let items = good(&node.get("/protobuf.reject?wait=0s&include=headers"))["items"].clone();
    assert_eq!(items[1]["payload"], "CIGAgICAgIAQ", "{items}");
    assert_eq!(items[1]["headers"]["content-type"], IS_WIRE);
    // A dead letter is what was sent.
    let letter = &letters(&node, "protobuf.dead_letter")[0];
    let whole = good(&node.manage("GET", &format!("/dead-letters/{}", letter["id"].as_str().unwrap()), &Value::Null));
    assert_eq!(
        (&whole["payload"], &whole["headers"]["content-type"]),
        (&json!(r#"{"id": "x"}"#), &json!(IS_JSON))
    );
    // What is taken all the same is told in the log, not once for each.
    let told = node.lines().iter().filter(|line| line.contains("is taken all the same")).count();
    assert!((3..=12).contains(&told), "{told}");
}

/// Whichever way a message comes, its stream asks.
#[test]
fn every_way_in_is_asked() {
    let resources = schemas()
        + &asking("orders", "json", "dead_letter")
        + "---\nkind: api\nname: topics\npaths: [\"/topics/*\"]\nbackend: { topic: \"${rest}\" }\n---\nkind: stream\nname: audit\ntopics: [orders]\n---\nkind: stream\nname: orders.dead\n";
    let node = dev().start_with(&resources);
    let (fine, bad) = (r#"{"id": 1, "name": "a"}"#, r#"{"id": 1}"#);
    let mut kept = 0;
    for path in ["/orders", "/topics/orders"] {
        assert_eq!(node.post(path, &of_type(IS_JSON), fine.as_bytes()).status, 202, "{path}");
        assert_eq!(
            code(&node.post(path, &of_type(IS_JSON), bad.as_bytes())),
            (422, "TG7001".to_owned()),
            "{path}"
        );
        // Until it is due a message waits elsewhere, and is asked all the same when it comes.
        let delayed = [("content-type", IS_JSON), ("tidegate-delay", "1h")];
        assert_eq!(node.post(path, &delayed, fine.as_bytes()).status, 202, "{path}");
        assert_eq!(
            code(&node.post(path, &delayed, bad.as_bytes())),
            (422, "TG7001".to_owned()),
            "{path}"
        );
        kept += 1;
    }
    for path in ["/streams/orders/messages", "/topics/orders"] {
        assert_eq!(node.manage("POST", path, &json!({"id": 1, "name": "a"})).status, 202, "{path}");
        assert_eq!(
            code(&node.manage("POST", path, &json!({"id": 1}))),
            (422, "TG7001".to_owned()),
            "{path}"
        );
        kept += 1;
    }
    let mut socket = websocket::WebSocket::open(node.gateway, "/orders", Some("tidegate.v1.json"));
    socket.say(&json!({"op": "publish", "ref": 1, "payload": {"id": 1, "name": "a"}}));
    let told = socket.json();
    assert!(told["position"].is_string(), "{told}");
    socket.say(&json!({"op": "publish", "ref": 2, "payload": {"id": 1}}));
    let told = socket.json();
    assert!(told.to_string().contains("TG7001"), "{told}");
    drop(socket);
    kept += 1;

    // Of a batch the others go on, and each keeps its number.
    let lines = [bad, fine, "[]", fine, "{}"].join("\n");
    let answer = node.post("/orders", &of_type("application/x-ndjson"), lines.as_bytes());
    assert_eq!(answer.status, 207, "{}", answer.text());
    let answer = answer.json();
    let codes: Vec<_> = answer["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| (result["index"].as_u64().unwrap(), result["problem"]["code"].as_str()))
        .collect();
    assert_eq!(
        codes,
        [(0, Some("TG7001")), (1, None), (2, Some("TG7001")), (3, None), (4, Some("TG7001"))]
    );
    let items = json!({"items": [{"payload": {"id": 2}, "id": "x"}, {"payload": {"id": 2, "name": "b"}, "id": "y"}]}).to_string();
    let answer = node
        .post("/orders", &of_type("application/vnd.tidegate.messages+json"), items.as_bytes())
        .json();
    assert_eq!(
        (&answer["sent"], &answer["failed"], &answer["results"][0]["problem"]["code"]),
        (&json!(1), &json!(1), &json!("TG7001"))
    );
    assert_eq!(answer["results"][1]["id"], "y");
    kept += 3;
    assert_eq!(stored(&node, "orders").len(), kept);
    // An item that one of its streams refuses fails whole.
    let audit = good(&node.manage("GET", "/streams/audit", &Value::Null));
    assert_eq!(audit["status"]["messages"], kept);
    // One for each that was refused, delayed ones too; the one with an id is not kept twice, for its stream looks for duplicates.
    let before = letters(&node, "orders").len();
    assert_eq!(before, 2 * 2 + 2 + 1 + 3 + 1);
    node.post("/orders", &of_type("application/vnd.tidegate.messages+json"), items.as_bytes());
    assert_eq!(letters(&node, "orders").len(), before);
    tidegate_testkit::balance(&node);
}
/// What was refused and kept goes back when it is sent again, through the schema as it is then.
#[test]
fn a_dead_letter_that_is_sent_again_is_asked_again() {
    let node = dev().start();
    let stream = |extra: Value| {
        let mut stream = json!({"kind": "stream", "name": "s", "schema": {"schema": "s", "on_failure": "dead_letter"}});
        stream.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        stream
    };
    let schema = |required: &[&str]| json!({"kind": "schema", "name": "s", "json": {"required": required}});
    let apply = |resources: Value| good(&node.manage("POST", "/apply", &json!({ "resources": resources })));
    apply(
        json!([schema(&["id"]), stream(json!({"dead_letters": {"stream": "graves"}})), {"kind": "api", "name": "s", "paths": ["/s"], "backend": {"stream": "s"}}]),
    );
    let headers = [("content-type", IS_JSON), ("tidegate-key", "k"), ("tidegate-id", "m-1")];
    assert_eq!(code(&node.post("/s", &headers, b"{}")), (422, "TG7001".to_owned()));
    let [letter] = &letters(&node, "s")[..] else { panic!() };
    assert_eq!(
        (&letter["lies_in"], &letter["topic"], &letter["key"], &letter["message_id"]),
        (&json!("graves"), &json!("s"), &json!("k"), &json!("m-1"))
    );
    assert!(letter["group"].is_null() && letter["position"].is_null(), "{letter}");
    let path = format!("/dead-letters/{}/replay", letter["id"].as_str().unwrap());
    let answer = node.manage("POST", &path, &json!({}));
    assert!(answer.text().contains("TG7001"), "{}", answer.text());
    assert_eq!(
        (letters(&node, "s").len(), stored(&node, "s").len()),
        (1, 0),
        "it is still there, once"
    );
    // A new version of the schema holds at once.
    apply(json!([schema(&[])]));
    assert_eq!(good(&node.manage("POST", &path, &json!({})))["replayed"], 1);
    let items = stored(&node, "s");
    assert_eq!(
        (letters(&node, "s").len(), items.len(), &items[0]["payload"], &items[0]["id"]),
        (0, 1, &json!("{}"), &json!("m-1"))
    );
}
/// The same as a step of an api, whatever is behind it.
#[test]
fn an_api_asks_as_well() {
    let api = |name: &str, backend: &str, on_failure: &str| {
        format!(
            "---\nkind: api\nname: {name}\npaths: [/{name}]\nbackend: {{ {backend} }}\npolicies: [{{ policy: schema, with: {{ schema: json, on_failure: {on_failure} }} }}]\n"
        )
    };
    let resources = schemas()
        + "---\nkind: stream\nname: plain\n"
        + &api("live", "topic: news", "reject")
        + &api("warned", "topic: news", "warn")
        + &api("kept", "stream: plain", "dead_letter")
        + "---\nkind: api\nname: wire\npaths: [/wire]\nbackend: { stream: plain }\npolicies: [{ policy: schema, with: { schema: protobuf } }]\n";
    let node = dev().start_with(&resources);
    let (fine, bad) = (br#"{"id": 1, "name": "a"}"#, br#"{"id": 1}"#);
    for (path, status) in [("/live", 422), ("/kept", 422), ("/warned", 202)] {
        assert_eq!(node.post(path, &of_type(IS_JSON), fine).status, 202, "{path}");
        assert_eq!(node.post(path, &of_type(IS_JSON), bad).status, status, "{path}");
    }
    assert_eq!(node.post("/wire", &of_type(IS_JSON), br#"{"id": 3}"#).status, 202);
    let items = stored(&node, "wire");
    assert_eq!(
        items.iter().map(|item| item["payload"].clone()).collect::<Vec<_>>(),
        [json!(r#"{"id": 1, "name": "a"}"#), json!("\u{8}\u{3}")]
    );
    let [letter] = &letters(&node, "plain")[..] else { panic!() };
    assert_eq!((&letter["reason"], &letter["lies_in"]), (&json!("schema"), &json!("plain.dead")));
    for (api, action) in [("live", "reject"), ("kept", "dead_letter"), ("warned", "warn")] {
        assert_eq!(failures(&node, &format!("api/{api}"), "json", action), 1, "{api}");
    }
}
/// Whoever sends JSON and its key again sends the same message, though it is kept as something else.
#[test]
fn what_is_converted_is_still_the_same_message() {
    let node = dev().start_with(&(schemas() + &asking("orders", "protobuf", "reject")));
    let headers = [("content-type", IS_JSON), ("idempotency-key", "k")];
    let first = node.post("/orders", &headers, br#"{"id": 1}"#);
    let again = node.post("/orders", &headers, br#"{"id": 1}"#);
    assert_eq!(
        (first.status, again.status, again.header("tidegate-duplicate")),
        (202, 202, Some("true")),
        "{}",
        again.text()
    );
    assert_eq!(code(&node.post("/orders", &headers, br#"{"id": 2}"#)), (422, "TG1023".to_owned()));
    assert_eq!(stored(&node, "orders").len(), 1);
}
/// Each change of what a schema says is a version, wherever it is written; one that promises to read what was let in keeps that.
#[test]
fn versions_are_counted_and_one_that_breaks_is_refused() {
    let node = dev().start_with("kind: schema\nname: filed\njson: { required: [a] }\n");
    let version =
        |node: &Node, name: &str| good(&node.manage("GET", &format!("/schemas/{name}"), &Value::Null))["status"]["version"].clone();
    let put = |node: &Node, document: &Value| node.manage("PUT", &format!("/schemas/{}", document["name"].as_str().unwrap()), document);
    assert_eq!(version(&node, "filed"), 1);
    let json = |required: Value, more: Value| {
        let mut document =
            json!({"kind": "schema", "name": "j", "json": {"type": "object", "required": required}, "compatibility": "backward"});
        document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        document
    };
    assert_eq!(good(&put(&node, &json(json!(["a"]), json!({}))))["status"]["version"], 1);
    assert_eq!(
        good(&put(&node, &json(json!(["a"]), json!({"description": "the same"}))))["status"]["version"],
        1
    );
    let refused = put(&node, &json(json!(["a", "b"]), json!({})));
    assert_eq!(code(&refused), (409, "TG7002".to_owned()), "{}", refused.text());
    assert_eq!(
        refused.json()["errors"][0],
        json!({"kind": "schema", "name": "j", "pointer": "/json/required", "code": "TG7002", "detail": "`b` must be there now"})
    );
    assert_eq!(good(&put(&node, &json(json!([]), json!({}))))["status"]["version"], 2);
    let avro = |fields: Value| json!({"name": "a", "avro": {"type": "record", "name": "r", "fields": fields}, "compatibility": "backward"});
    let one = json!({"name": "a", "type": "int"});
    good(&put(&node, &avro(json!([one]))));
    assert_eq!(
        code(&put(&node, &avro(json!([one, {"name": "b", "type": "int"}])))),
        (409, "TG7002".to_owned())
    );
    good(&put(&node, &avro(json!([one, {"name": "b", "type": "int", "default": 0}]))));
    assert_eq!(version(&node, "a"), 2);
    // A file counts, too: changed while the node looks, and while it does not.
    let filed = |required: &str| format!("kind: schema\nname: filed\ncompatibility: backward\njson: {{ required: [{required}] }}\n");
    write(node.folder(), "tidegate.yaml", &filed(""));
    good(&node.manage("POST", "/reload", &Value::Null));
    assert_eq!(version(&node, "filed"), 2);
    write(node.folder(), "tidegate.yaml", &filed("c"));
    let refused = node.manage("POST", "/reload", &Value::Null);
    assert_eq!(code(&refused), (409, "TG7002".to_owned()), "{}", refused.text());
    assert_eq!(version(&node, "filed"), 2);
    let node = node.restart_with(dev(), |folder| {
        write(folder, "tidegate.yaml", "kind: schema\nname: filed\njson: true\n");
    });
    assert_eq!((version(&node, "j"), version(&node, "filed")), (json!(2), json!(3)));
    let versions = good(&node.manage("GET", "/schemas/j/versions", &Value::Null));
    assert_eq!(
        (&versions["items"][1]["version"], &versions["items"][1]["content"]),
        (&json!(1), &json!({"json": {"type": "object", "required": ["a"]}}))
    );
    // It goes with its versions, and not while a stream asks for it.
    good(&node.manage("PUT", "/streams/s", &json!({"schema": "j"})));
    assert_eq!(code(&node.manage("DELETE", "/schemas/j", &Value::Null)), (409, "TG1051".to_owned()));
    good(&node.manage("PUT", "/streams/s", &json!({})));
    assert_eq!(node.manage("DELETE", "/schemas/j", &Value::Null).status, 204);
    good(&put(&node, &json(json!(["z"]), json!({}))));
    assert_eq!(version(&node, "j"), 1);
}
#[expect(clippy::disallowed_methods, reason = "a test's own folder")]
fn write(folder: &Path, name: &str, text: &str) {
    // Whole or not at all: the node looks at any moment.
    let new = folder.join(format!("{name}.new"));
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, folder.join(name)).unwrap();
}
/// A schema that is none is a fault of the configuration, at its place; a `.proto` file is read beside the file that names it.
#[test]
fn a_schema_that_is_none_is_told_where_it_stands() {
    let folder = folder();
    let check = |text: &str| {
        write(folder.path(), "tidegate.yaml", text);
        let output = tidegate(folder.path(), &["check"]);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for (wrong, place) in [
        ("a: { type: strin }", "tidegate.yaml:5:16"),
        ("b: { $ref: \"http://127.0.0.1:9/x\" }", "tidegate.yaml:5:16"),
    ] {
        let (code, told) = check(&format!("kind: schema\nname: s\njson:\n  properties:\n    {wrong}\n"));
        assert!(code == Some(3) && told.contains(place) && told.contains("TG5004"), "{told}");
    }
    let (code, told) = check("kind: schema\nname: s\njson: { $ref: \"http://127.0.0.1:9/x\" }\n");
    assert!(code == Some(3) && told.contains("nothing is fetched"), "{told}");
    let (code, told) = check("kind: schema\nname: s\navro: { type: record, name: a, fields: [{ name: x, type: lng }] }\n");
    assert!(
        code == Some(3) && told.contains("tidegate.yaml:3:58") && told.contains("there is no type `lng`"),
        "{told}"
    );
    let proto = "kind: schema\nname: s\nprotobuf: { file: order.proto, message: Order }\n";
    let (code, told) = check(proto);
    assert!(
        code == Some(3) && told.contains("there is no such file") && told.contains("TG5010"),
        "{told}"
    );
    write(
        folder.path(),
        "order.proto",
        "syntax = \"proto3\";\nmessage Order { strin id = 1 }\n",
    );
    let (code, told) = check(proto);
    assert!(code == Some(3) && told.contains("line 2, column 30"), "{told}");
    write(folder.path(), "order.proto", PROTO);
    let (code, told) = check(proto);
    assert_eq!(code, Some(0), "{told}");
    let (code, told) = check("kind: stream\nname: s\nschema: orders\n---\nkind: schema\nname: order\njson: true\n");
    assert!(code == Some(3) && told.contains("did you mean `order`?"), "{told}");
}
/// What came from a variable or a file is not shown in any error about a schema, and what can be said without it is said.
#[test]
fn no_error_about_a_schema_shows_what_a_variable_or_a_file_held() {
    let folder = Arc::new(folder());
    write(folder.path(), "secret", "hunter2 pw(");
    let node = dev().start_in(folder.clone());
    let address = format!("http://{}", node.admin);
    for (wrong, said) in [
        ("avro: \"${file:secret}\"", "there is no type `***`"),
        ("avro: { type: array, items: \"${file:secret}\" }", "there is no type `***`"),
        ("json: { type: \"${file:secret}\" }", "\"***\" is no type"),
        ("json: { pattern: \"${file:secret}\" }", "the pattern \"***\" cannot be used"),
        ("json: { properties: { a: { enum: \"${file:secret}\" } } }", "***"),
        ("json: { $ref: \"${file:secret}\" }", "***"),
        ("protobuf: { text: \"${file:secret}\" }", "this is no schema"),
    ] {
        write(folder.path(), "s.yaml", &format!("kind: schema\nname: s\n{wrong}\n"));
        for (command, said) in [
            (&["check", "s.yaml"][..], said),
            (&["apply", "-f", "s.yaml", "--node", &address], "***"),
        ] {
            let output = tidegate(folder.path(), command);
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.code() == Some(3) && told.contains("s.yaml:3:"), "{wrong}: {told}");
            assert!(
                !told.contains("hunter2") && !told.contains("pw(") && told.contains(said),
                "{wrong}: {told}"
            );
        }
    }
}
/// A JSON Schema or an Avro schema in a file of its own is what that file says: checked there, served, and a new version when the file changes.
#[test]
fn a_schema_may_be_in_a_file_of_its_own() {
    let folder = Arc::new(folder());
    let check = |text: &str| {
        write(folder.path(), "s.yaml", text);
        let output = tidegate(folder.path(), &["check", "s.yaml"]);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let json = "kind: schema\nname: s\njson: { file: own/order.json }\n";
    let avro = "kind: schema\nname: s\navro: { file: own/order.json }\n";
    std::fs::create_dir(folder.path().join("own")).unwrap();
    for (schema, at, text, place) in [
        (json, "TG5010", None, "s.yaml:3:15"),
        (json, "not JSON", Some("{\"type\":\n  objct}"), "own/order.json:2:"),
        (json, "is no type", Some("{\n  \"type\": \"objct\"\n}"), "own/order.json:2:11"),
        // What YAML reads otherwise has no place in the file.
        (
            json,
            "is no type",
            Some("{\"title\": \"\\ud83d\\ude00\", \"type\": \"objct\"}"),
            "own/order.json",
        ),
        (
            avro,
            "there is no type `lng`",
            Some("{\"type\": \"array\",\n \"items\": \"lng\"}"),
            "own/order.json:2:11",
        ),
    ] {
        if let Some(text) = text {
            write(folder.path(), "own/order.json", text);
        }
        let (code, told) = check(schema);
        assert!(code == Some(3) && told.contains(at) && told.contains(place), "{told}");
    }
    write(
        folder.path(),
        "own/order.json",
        "{\"type\": \"object\", \"properties\": {\"password\": {\"type\": \"string\"}}, \"required\": [\"total\"]}",
    );
    let (code, told) = check(json);
    assert_eq!(code, Some(0), "{told}");
    let node = dev().start_in(folder.clone());
    let address = format!("http://{}", node.admin);
    let applied = tidegate(folder.path(), &["apply", "-f", "s.yaml", "--node", &address]);
    assert_eq!(applied.status.code(), Some(0), "{}", String::from_utf8_lossy(&applied.stderr));
    let kept = good(&node.manage("GET", "/schemas/s", &Value::Null));
    assert_eq!(
        kept["json"],
        json!({"type": "object", "properties": {"password": {"type": "string"}}, "required": ["total"]})
    );
    // What is of no kind there is points nowhere else.
    write(folder.path(), "q.graphql", "type Order { id: ID }");
    let output = tidegate(folder.path(), &["schema", "add", "q", "q.graphql", "--node", &address]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        told.contains("GraphQL is none of them") && !told.contains("--type protobuf"),
        "{told}"
    );
    // Where the file is not, its name says nothing.
    let far = node.manage("PUT", "/schemas/t", &json!({"json": {"file": "own/order.json"}}));
    assert!(
        far.status == 422 && far.text().contains("a file is read on the machine where it is"),
        "{}",
        far.text()
    );
}
/// A JSON Schema takes any word, so words that are nearly keywords are told, and all that is wrong with one schema at once.
#[test]
fn slips_in_a_json_schema_are_told_together() {
    let folder = folder();
    let check = |text: &str| {
        write(folder.path(), "s.yaml", text);
        let output = tidegate(folder.path(), &["check", "s.yaml"]);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, told) = check(
        "kind: schema\nname: s\njson:\n  type: object\n  requred: [id]\n  propertys: {}\n  properties:\n    requred: { minLenght: 1 }\n    list: { items: [{ Type: x }] }\n",
    );
    assert_eq!(code, Some(3), "{told}");
    for (place, meant) in [
        ("s.yaml:5:3", "did you mean `required`?"),
        ("s.yaml:6:3", "did you mean `properties`?"),
        ("s.yaml:8:16", "did you mean `minLength`?"),
        ("s.yaml:9:23", "did you mean `type`?"),
    ] {
        assert!(told.contains(place) && told.contains(meant), "{place}: {told}");
    }
    assert_eq!(told.matches("error[TG5003]").count(), 4, "{told}");
    let (code, told) = check(
        "kind: schema\nname: s\njson:\n  type: objct\n  properties: { a: { type: integr }, b: { minimum: \"a\" } }\n  required: id\n",
    );
    assert!(code == Some(3) && told.matches("error[TG5004]").count() == 4, "{told}");
    assert!(told.contains("there are `array`, `boolean`"), "{told}");
    let (code, told) = check(
        "kind: schema\nname: s\njson: { x-requred: 1, $comment: c, note: n, unit: kg, enumNames: [a], default: { requred: 1 }, const: { tpye: 1 } }\n",
    );
    assert_eq!(code, Some(0), "{told}");
}
/// From a file to a stream that asks, and back, by hand.
#[test]
fn the_command_line_makes_attaches_tests_and_removes() {
    let folder = Arc::new(folder());
    let node = dev().start_in(folder.clone());
    let mut seen = Seen::at(&folder, &node);
    write(folder.path(), "order.json", JSON);
    write(
        folder.path(),
        "looser.json",
        r#"{"type": "object", "properties": {"password": {"type": "string"}}}"#,
    );
    write(folder.path(), "order.avsc", AVRO);
    write(folder.path(), "order.proto", PROTO);
    write(folder.path(), "good.json", r#"{"id": 1, "name": "a"}"#);
    write(folder.path(), "bad.json", r#"{"id": 1}"#);
    for line in [
        "schema add order order.json --compatibility backward",
        "schema add wire order.proto --message Order",
        "schema add record order.avsc",
        "schema add broken order.proto",
        "schema ls",
        "schema test order good.json",
        "schema test order bad.json",
        "schema test wire good.json",
        "stream add shop",
        "schema attach order shop --on-failure dead_letter",
        "schema attach order shop --on-failure maybe",
        "schema attach missing shop",
        "pub shop {\"id\":1}",
        "dead-letters ls",
        "schema rm order",
        "schema add order looser.json",
        "schema add order order.json",
        "schema info order",
        "schema info order --version 9",
        "schema detach shop",
        "pub shop {\"id\":1}",
        "schema rm order wire",
        "schema ls",
    ] {
        let arguments: Vec<_> = line.split(' ').collect();
        seen.run(&arguments);
    }
    insta::assert_snapshot!(seen.all());
}
/// The two errors that the documents of Memphis show, by its own API; the folder in the address is ours.
#[test]
fn a_station_answers_as_documented() {
    let node = dev().start();
    let text = json!({"type": "string"});
    let schema = json!({"kind": "schema", "name": "123", "json": {"type": "object", "properties": {"field1": text, "field2": text, "field3": text}, "required": ["field1", "field2", "field3"]}});
    let station = json!({"kind": "station", "name": "todo", "schema": {"schema": "123", "on_failure": "dead_letter"}});
    good(&node.manage("POST", "/apply", &json!({"resources": [schema, station]})));
    let memphis = node.memphis.unwrap();
    let post = |target: &str, headers: &[(&str, &str)], body: &str| {
        let all = [&[("content-type", IS_JSON)], headers].concat();
        Client::once(memphis, "POST", target, &all, body.as_bytes())
    };
    let login = good(&post(
        "/auth/authenticate",
        &[],
        r#"{"username":"root","connection_token":"memphis"}"#,
    ));
    let bearer = format!("Bearer {}", login["jwt"].as_str().unwrap());
    let produce = |kind: &str, body: &str| post(&format!("/stations/todo/produce/{kind}"), &[("authorization", &bearer)], body);
    let missing = |names: &str| {
        format!(
            "Schema validation has failed: jsonschema: '' does not validate with file:///tidegate/123#/required: missing properties: {names}"
        )
    };
    let answer = produce("single", r#"{"message": "New Message"}"#);
    let all = missing("'field1', 'field2', 'field3'");
    assert_eq!(
        (answer.status, answer.text()),
        (400, format!(r#"{{"error":"{all}","success":false}}"#))
    );
    let whole = r#"{"field1":"a","field2":"b","field3":"c"}"#;
    assert_eq!((produce("single", whole).status, produce("single", "no json").status), (200, 400));
    let some = r#"{"field2":"b","field3":"c"}"#;
    let answer = produce("batch", &format!("[{some},{whole},{some}]"));
    let one = missing("'field1'");
    let said = format!(r#"{{"errors":["{one}","{one}"],"fail":2,"sent":1,"success":false}}"#);
    assert_eq!((answer.status, answer.text()), (400, said));
    assert_eq!(letters(&node, "todo").len(), 4);
    let stream = good(&node.manage("GET", "/streams/todo", &Value::Null));
    assert_eq!(stream["status"]["messages"], 2);
}
/// Whoever was told that a message is refused finds it among the dead letters, also after `kill -9`.
#[test]
fn a_dead_letter_is_on_disk_before_the_refusal_is_answered() {
    let node = dev().start_with(&(schemas() + &asking("orders", "json", "dead_letter")));
    for _ in 0..5 {
        assert_eq!(code(&node.post("/orders", &of_type(IS_JSON), b"{}")), (422, "TG7001".to_owned()));
    }
    let node = node.crash();
    assert_eq!(letters(&node, "orders").len(), 5);
    assert!(stored(&node, "orders").is_empty());
}
