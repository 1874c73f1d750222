//! What is stored and does not check any more beside the files is kept, not served, and told of.
use crate::{TIDEGATE, commands::tidegate};
use serde_json::{Value, json};
use tidegate_testkit::{Node, node::How};

/// Three resources of the API, then a file that takes the path of one and no longer declares the stream of another.
fn node() -> Node {
    let both = "{}\n---\nkind: stream\nname: a\n---\nkind: stream\nname: b\n";
    let node = How::run(TIDEGATE).start_with(both);
    let api = json!({"paths": ["/taken"], "backend": {"stream": "a"}, "plans": ["keyless"]});
    assert_eq!(node.manage("PUT", "/apis/mine", &api).status, 201);
    let hook = json!({"source": {"stream": "b"}, "target": {"url": "https://example.com/hook"}, "sign": {"secrets": ["whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"]}});
    assert_eq!(node.manage("PUT", "/webhooks/hook", &hook).status, 201);
    let other = json!({"paths": ["/other"], "backend": {"stream": "a"}, "plans": ["keyless"]});
    assert_eq!(node.manage("PUT", "/apis/other", &other).status, 201);
    node.restart_with(How::run(TIDEGATE), |folder| {
        let file =
            "{}\n---\nkind: stream\nname: a\n---\nkind: api\nname: first\npaths: [/taken]\nbackend: { stream: a }\nplans: [keyless]\n";
        write(&folder.join("tidegate.yaml"), file);
    })
}
#[expect(clippy::disallowed_methods, reason = "a test's own folder")]
fn write(path: &std::path::Path, text: &str) {
    std::fs::write(path, text).unwrap();
}
fn run(node: &Node, arguments: &[&str]) -> (String, String) {
    let at = format!("http://{}", node.admin);
    let all: Vec<_> = arguments.iter().copied().chain(["--node", &at]).collect();
    let output = tidegate(node.folder(), &all);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}
#[test]
fn it_is_listed_shown_and_exported_with_why() {
    let node = node();
    // Who runs it can mend it: that is a warning.
    let told: Vec<_> = node.lines().into_iter().filter(|line| line.contains("not served")).collect();
    assert!(told.len() == 2 && told.iter().all(|line| line.contains("\"WARN\"")), "{told:?}");
    let (apis, _) = run(&node, &["api", "ls"]);
    let line = |name: &str| apis.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    assert!(line("mine").contains("not served: this path is taken"), "{apis}");
    assert!(line("other").contains("running") && line("first").contains("running"), "{apis}");
    let (webhooks, _) = run(&node, &["webhook", "ls"]);
    assert!(webhooks.contains("not served: there is no stream `b`"), "{webhooks}");
    let (info, _) = run(&node, &["api", "info", "mine"]);
    assert!(
        info.contains("state: not_served") && info.contains("reason: this path is taken"),
        "{info}"
    );
    let (exported, notes) = run(&node, &["export"]);
    assert!(exported.contains("name: mine") && exported.contains("name: hook"), "{exported}");
    assert!(!exported.contains("whsec_"), "{exported}");
    assert!(
        notes.contains("note: api mine is kept and not served: this path is taken"),
        "{notes}"
    );
    // What cannot be started is told why, and not that there is none.
    let (_, started) = run(&node, &["api", "start", "mine"]);
    assert!(started.contains("the api `mine` is not served: this path is taken"), "{started}");
    // One whose reason is gone is served again; so is one that is mended, at the revision that was shown.
    let shown = node.manage("GET", "/apis/mine", &Value::Null);
    let mut document = shown.json();
    document["paths"] = json!(["/free"]);
    let tag = shown.header("etag").unwrap();
    let mended = node.manage_as(&node.token(), "PUT", "/apis/mine", &[("if-match", tag)], &document);
    assert_eq!(
        (mended.status, &mended.json()["status"]["state"]),
        (200, &json!("running")),
        "{}",
        mended.text()
    );
    assert_eq!(node.manage("PUT", "/streams/b", &json!({})).status, 201);
    assert_eq!(node.manage("DELETE", "/webhooks/hook", &Value::Null).status, 204);
    assert_eq!(node.manage("GET", "/status", &Value::Null).json()["problems"], json!([]));
}
