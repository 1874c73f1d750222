//! Requests that a program makes up from `/openapi.json`: no answer is our bug, and each is as documented.
use crate::{TIDEGATE, TOOLS};
use std::process::Command;
use tidegate_testkit::node::How;

/// What the token below hashes to.
const TOKEN: &str = "tgt_of-a-test";
const SHA256: &str = "01a24c46b7b92a096acc64bfdf489dc39c106bc9f262523a54162d16f0698ce5";
/// All but two: that what its schema allows is accepted (a path that is taken is 409, a stream that is not there 422, and no schema says
/// so), and that wrong passwords are always 401 (too many are 429).
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance,negative_data_rejection,missing_required_header,unsupported_method";

#[test]
fn schemathesis_finds_no_answer_that_is_not_documented() {
    let file = format!("{{}}\n---\nkind: token\nname: fixed\nmanage: admin\nsha256: \"{SHA256}\"\n---\nkind: stream\nname: orders\n");
    let node = How::run(TIDEGATE).start_with(&file);
    let output = Command::new(format!("{TOOLS}/schemathesis"))
        .args([
            "run",
            &format!("http://{}/openapi.json", node.admin),
            "--no-color",
            "--seed",
            "7",
            "--max-examples",
            "4",
        ])
        .args(["--header", &format!("Authorization: Bearer {TOKEN}"), "--checks", CHECKS])
        // They wait for messages, and have tests of their own.
        .args(["--exclude-path-regex", "^/api/v1/topics|messages$|alarms$"])
        .current_dir(node.folder())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let cases = text
        .lines()
        .find_map(|line| line.trim().split_once(" generated")?.0.parse::<u32>().ok());
    assert!(cases.is_some_and(|cases| cases > 300), "{text}");
    let good = node.manage_as(TOKEN, "GET", "/whoami", &[], &serde_json::Value::Null);
    assert_eq!(good.status, 200, "it was let in to the end");
    assert!(
        !node.lines().iter().any(|line| line.contains("\"ERROR\"")),
        "{}",
        node.lines().join("\n")
    );
}
