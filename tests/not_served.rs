//! What is stored and does not check any more beside the files is kept, not served, and told of.
use crate::{TIDEGATE, commands::tidegate, reload::said};
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
    // Who has it, and where that is: whoever is to mend it need not search.
    let why = "this path is taken by the api `first` at tidegate.yaml:8:9";
    assert!(told.iter().any(|line| line.contains(why)), "{told:?}");
    let (apis, _) = run(&node, &["api", "ls"]);
    let line = |name: &str| apis.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    assert!(line("mine").contains(&format!("not served: {why}")), "{apis}");
    assert!(line("other").contains("running") && line("first").contains("running"), "{apis}");
    let (webhooks, _) = run(&node, &["webhook", "ls"]);
    assert!(webhooks.contains("not served: there is no stream `b`"), "{webhooks}");
    let (info, _) = run(&node, &["api", "info", "mine"]);
    assert!(
        info.contains("state: not_served") && info.contains("reason: ") && info.contains(why),
        "{info}"
    );
    for command in ["status", "doctor"] {
        let (told, _) = run(&node, &[command]);
        assert!(told.contains(why), "{command}: {told}");
    }
    let (exported, notes) = run(&node, &["export"]);
    assert!(
        exported.contains(&format!("---\n# Kept and not served: {why}.\n"))
            && exported.contains("\n# name: mine\n# backend:\n#   stream: a\n"),
        "{exported}"
    );
    assert!(
        exported.contains("# name: hook\n") && exported.contains("\nname: other\n"),
        "{exported}"
    );
    // The others are files as ever, which `check` takes.
    write(&node.folder().join("exported.yaml"), &exported);
    let checked = tidegate(node.folder(), &["check", "exported.yaml"]);
    let told = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success() && told.contains("ok: 1 stream, 2 apis"), "{told}");
    assert!(!exported.contains("whsec_"), "{exported}");
    assert!(
        notes.contains(&format!("note: api mine is kept and not served, and commented out: {why}")),
        "{notes}"
    );
    // What cannot be started is told why, and not that there is none.
    let (_, started) = run(&node, &["api", "start", "mine"]);
    assert!(started.contains(&format!("the api `mine` is not served: {why}")), "{started}");
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
    // As soon as it fits.
    assert_eq!(node.manage("PUT", "/streams/b", &json!({})).status, 201);
    let hook = node.manage("GET", "/webhooks/hook", &Value::Null).json();
    assert_eq!(hook["status"]["state"], json!("untried"), "{hook}");
    assert_eq!(node.manage("GET", "/status", &Value::Null).json()["problems"], json!([]));
}
/// What was there first is not to blame for what came after it, whatever it is called and wherever it stands.
#[test]
fn who_comes_later_is_told_who_was_there_first() {
    const STREAM: &str = "{}\n---\nkind: stream\nname: a\n";
    let node = How::run(TIDEGATE).start_with(STREAM);
    let api = |path: &str| json!({"paths": [path], "backend": {"stream": "a"}, "plans": ["keyless"]});
    assert_eq!(node.manage("PUT", "/apis/mine", &api("/taken")).status, 201);
    // A request.
    let refused = node.manage("PUT", "/apis/before", &api("/taken"));
    let first = &refused.json()["errors"][0];
    assert_eq!(
        (refused.status, &first["pointer"], &first["detail"]),
        (422, &json!("/paths"), &json!("this path is taken by the api `mine`")),
        "{}",
        refused.text()
    );
    // A file.
    let file = node.folder().join("tidegate.yaml");
    let own =
        |path: &str| format!("{STREAM}---\nkind: api\nname: own\npaths: [/own, {path}]\nbackend: {{ stream: a }}\nplans: [keyless]\n");
    write(&file, &own("/taken"));
    let (_, told) = run(&node, &["reload"]);
    let why = "this path is taken by the api `mine`";
    assert!(
        told.contains(&format!("error[TG5006]: {why}\n  --> tidegate.yaml:8:15\n")),
        "{told}"
    );
    assert!(told.contains("hint: `tidegate api info mine` shows it"), "{told}");
    let (status, _) = run(&node, &["status"]);
    let place = format!("tidegate.yaml:8:15: {why}");
    assert!(status.contains(&place), "{status}");
    said(&node, &place);
    assert_eq!(node.get("/taken").status, 200);
    // What was left out at a start is the later one, and why is told as it is now.
    let node = node.restart();
    let at = |line: usize| format!("not served: this path is taken by the api `own` at tidegate.yaml:{line}:15");
    assert!(run(&node, &["api", "ls"]).0.contains(&at(8)));
    write(&file, &own("/taken").replace("---\nkind: api", "---\n# Moved.\nkind: api"));
    assert_eq!(run(&node, &["reload"]).1, "nothing to change\n");
    assert!(run(&node, &["api", "ls"]).0.contains(&at(9)));
    write(&file, &own("/other"));
    said(&node, "created api mine");
    assert_eq!(node.get("/taken").status, 200);
}
