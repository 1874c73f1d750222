//! The commands that the users' documents show, run by curl with station, token and port put in and nothing else.
use super::{Memphis, payloads};
use serde_json::json;
use std::{net::SocketAddr, process::Command};
use tidegate_testkit::balance;

const AUTHENTICATE: &str = r#"curl --location --request POST 'http_proxy:<port>/auth/authenticate' \
--header 'Content-Type: application/json' \
--data-raw '{
    "username": "root",
	"connection_token": "memphis"
}'"#;
const REFRESH: &str = r"curl --location --request POST 'http_proxy:<port>/auth/refreshToken' \
--header 'Authorization: Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.RY_LcQ8Halm3Kdk_JxigCN8LDeggKlWwWHiItBK8tVw' \
--data-raw ''";
const SINGLE: &str = r#"curl --location --request POST 'http_proxy:<port>/stations/<station_name>/produce/single' \
--header 'Authorization: Bearer eyJhbGciOiJIU**********.e30.4KOGRhUaqvm-qSHnmMwX5VrLKsvHo33u3UdJ0qYP0kI' \
--header 'Content-Type: application/json' \
--data-raw '{"message": "New Message"}'"#;
/// The second document has the same commands without what stands before the lines.
const BATCH: [&str; 2] = [
    r#"curl --location --request POST 'http_proxy:<port>/stations/<station_name>/produce/batch' \
--header 'Authorization: Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.4KOGRhUaqvm-qSHnmMwX5VrLKsvHo33u3UdJ0qYP0kI' \
--header 'Content-Type: application/json' \
--data-raw '[
    {"message": "x"},
    {"message": "y"},
    {"message": "z"}
]'"#,
    r#"curl --location --request POST 'http_proxy:<port>/stations/<station_name>/produce/batch' \
--header 'Authorization: Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.4KOGRhUaqvm-qSHnmMwX5VrLKsvHo33u3UdJ0qYP0kI' \
--header 'Content-Type: application/json' \
--data-raw '[
{"message": "x"},
{"message": "y"},
{"message": "z"}
]'"#,
];

/// As they show it; nobody listens there.
const PORT: &str = "4444";

/// What it prints. The name `http_proxy` leads to the node, and stays in `Host`.
fn run(command: &str, station: &str, token: &str, node: SocketAddr) -> String {
    let mut line = command.replace("<station_name>", station).replace("<port>", PORT);
    if let Some((before, rest)) = line.split_once("Bearer ") {
        let (_, after) = rest.split_once('\'').unwrap();
        line = format!("{before}Bearer {token}'{after}");
    }
    let options = format!("curl -sS --connect-to http_proxy:{PORT}:{node}");
    let line = line.replacen("curl", &options, 1);
    let output = Command::new("bash").args(["-c", &line]).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
fn jwt(printed: &str) -> String {
    let begins = "{\"expires_in\":900000,\"jwt\":\"";
    let rest = printed.strip_prefix(begins).unwrap_or_else(|| panic!("{printed}"));
    rest.split_once('"').unwrap().0.to_owned()
}
#[test]
fn the_commands_of_the_documents_answer_as_documented() {
    let memphis = Memphis::new();
    let node = memphis.address();
    let first = jwt(&run(AUTHENTICATE, "", "", node));
    let token = jwt(&run(REFRESH, "", &first, node));
    assert_eq!(run(SINGLE, "new-station", &token, node), super::DONE);
    for batch in BATCH {
        assert_eq!(run(batch, "new-station", &token, node), super::DONE);
    }
    let wanted = ["{\"message\": \"New Message\"}"].into_iter();
    let batches = [r#"{"message":"x"}"#, r#"{"message":"y"}"#, r#"{"message":"z"}"#];
    let wanted: Vec<_> = wanted.chain(batches).chain(batches).collect();
    assert_eq!(payloads(&memphis.stored("new-station", "all")), wanted);
    balance(&memphis.node);
}
/// A schema that wants three members, called as in the documents; the folder in the text is ours. The first element has all of them but one.
#[test]
fn the_errors_of_the_documents_are_told_as_documented() {
    let memphis = Memphis::new();
    let node = memphis.address();
    let (_, token) = memphis.bearer.split_once(' ').unwrap();
    let wanted = ["field1", "field2", "field3"];
    for (kind, document) in [
        (
            "schemas",
            json!({ "kind": "schema", "name": "123", "json": { "type": "object", "required": wanted } }),
        ),
        ("streams", json!({ "kind": "stream", "name": "checked", "schema": "123" })),
    ] {
        let target = format!("/{kind}/{}", document["name"].as_str().unwrap());
        let made = memphis.node.manage("PUT", &target, &document);
        assert!(matches!(made.status, 200 | 201), "{}", made.text());
    }
    let violated =
        "Schema validation has failed: jsonschema: '' does not validate with file:///tidegate/123#/required: missing properties: ";
    let one = format!("{{\"error\":\"{violated}'field1', 'field2', 'field3'\",\"success\":false}}");
    assert_eq!(run(SINGLE, "checked", token, node), one);
    let elements = [
        ("x", "\"field2\":1,\"field3\":2"),
        ("y", "\"field1\":0,\"field2\":1,\"field3\":2"),
        ("z", "\"field2\":3,\"field3\":4"),
    ];
    let batch = elements.iter().fold(BATCH[0].to_owned(), |command, (letter, members)| {
        command.replace(&format!("\"message\": \"{letter}\""), members)
    });
    let two = format!("{{\"errors\":[\"{violated}'field1'\",\"{violated}'field1'\"],\"fail\":2,\"sent\":1,\"success\":false}}");
    assert_eq!(run(&batch, "checked", token, node), two);
    assert_eq!(
        payloads(&memphis.stored("checked", "all")),
        ["{\"field1\":0,\"field2\":1,\"field3\":2}"]
    );
    balance(&memphis.node);
}
