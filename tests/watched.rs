//! Files that change in every way there is: replaced, moved, linked, written slowly, taken back.
use crate::{TIDEGATE, reload::said};
use serde_json::{Value, json};
use std::{io::Write, os::unix::fs::symlink, path::Path, sync::Arc, time::Duration};
use tempfile::TempDir;
use tidegate_core::clock;
use tidegate_testkit::{Node, node::How};

fn stream(name: &str) -> String {
    format!("kind: stream\nname: {name}\n")
}
#[expect(clippy::disallowed_methods, reason = "a test's own folder")]
fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}
/// Asks until it is so.
fn until(so: impl Fn() -> bool) {
    let began = clock::instant();
    while !so() {
        assert!(began.elapsed() < Duration::from_secs(30), "it never is so");
    }
}
fn folder(path: &Path) {
    std::fs::create_dir_all(path).unwrap();
}
#[test]
fn a_folder_that_is_replaced_is_watched_again_and_again() {
    let root = TempDir::new().unwrap();
    let r = root.path().join("r");
    folder(&r);
    write(&root.path().join("tidegate.yaml"), "resources: [r]\n");
    write(&r.join("a.yaml"), &stream("a0"));
    let node = How::run(TIDEGATE).start_in(Arc::new(root));
    let at = |name: &str| node.folder().join(name);
    for turn in 1..=3 {
        let new = at("new");
        folder(&new);
        write(&new.join("a.yaml"), &stream(&format!("a{turn}")));
        std::fs::rename(at("r"), at(&format!("old{turn}"))).unwrap();
        std::fs::rename(new, at("r")).unwrap();
        said(&node, &format!("created stream a{turn}"));
        // And what happens in it from then on.
        write(&at("r").join("b.yaml"), &stream(&format!("b{turn}")));
        said(&node, &format!("created stream b{turn}"));
    }
}
#[test]
fn links_are_followed_however_often_they_are_swapped() {
    let root = TempDir::new().unwrap();
    let at = |name: &str| root.path().join(name);
    let version = |root: &Path, name: &str, text: &str| {
        folder(&root.join(name).join("sub"));
        write(&root.join(name).join("sub/orders.yaml"), text);
    };
    version(root.path(), "..v0", &stream("v0"));
    symlink("..v0", at("..data")).unwrap();
    symlink("..data/sub", at("sub")).unwrap();
    folder(&at("real"));
    write(&at("real/r.yaml"), &stream("far0"));
    symlink("real/r.yaml", at("near.yaml")).unwrap();
    write(&at("tidegate.yaml"), "resources: [sub/orders.yaml, near.yaml]\n");
    let node = How::run(TIDEGATE).start_in(Arc::new(root));
    let at = |name: &str| node.folder().join(name);
    for turn in 1..=3 {
        version(node.folder(), &format!("..v{turn}"), &stream(&format!("v{turn}")));
        symlink(format!("..v{turn}"), at("..new")).unwrap();
        std::fs::rename(at("..new"), at("..data")).unwrap();
        said(&node, &format!("created stream v{turn}"));
        write(&at("real/r.yaml"), &stream(&format!("far{turn}")));
        said(&node, &format!("created stream far{turn}"));
    }
}
#[test]
fn a_file_taken_back_right_after_a_reload_is_taken_back() {
    let node = How::run(TIDEGATE).start_with(&format!("{{}}\n---\n{}", stream("aye")));
    let file = node.folder().join("tidegate.yaml");
    let replace = |text: &str| {
        write(&node.folder().join("next"), text);
        std::fs::rename(node.folder().join("next"), &file).unwrap();
    };
    for turn in 0..5 {
        replace(&format!("{{}}\n---\n{}", stream(&format!("bee{turn}"))));
        assert_eq!(node.manage("POST", "/reload", &Value::Null).status, 200);
        replace(&format!("{{}}\n---\n{}", stream("aye")));
        said(&node, &format!("deleted stream bee{turn}"));
    }
    assert_eq!(
        node.manage("GET", "/streams/aye", &Value::Null).json()["meta"]["source"],
        "tidegate.yaml:3:1"
    );
}
#[test]
fn a_file_taken_back_after_a_fault_leaves_no_fault() {
    let good = format!("{{}}\n---\n{}", stream("aye"));
    let node = How::run(TIDEGATE).start_with(&good);
    let file = node.folder().join("tidegate.yaml");
    let failed = || node.manage("GET", "/status", &Value::Null).json()["last_reload"]["error"].clone();
    for _ in 0..3 {
        write(&file, "kind: strem\nname: x\n");
        until(|| failed().is_string());
        // The same as before, to the byte: nothing is there to be changed.
        write(&file, &good);
        until(|| failed().is_null());
    }
    // Whoever asks for it is told of a fault too.
    write(&file, "kind: strem\nname: x\n");
    assert_eq!(node.manage("POST", "/reload", &Value::Null).status, 422);
    write(&file, &good);
    until(|| failed().is_null());
}
#[test]
fn a_file_that_is_being_written_is_not_read_yet() {
    let text = format!("{{}}\n---\n{}", stream("s"));
    let node = How::run(TIDEGATE).start_with("{}\n");
    let file = node.folder().join("tidegate.yaml");
    // From here on it is watched.
    write(&file, &text);
    said(&node, "created stream s");
    let open = std::fs::OpenOptions::new();
    let mut writing = { open }.write(true).truncate(true).open(&file).unwrap();
    // Something else changes meanwhile, and is looked at once the writer is through.
    write(&node.folder().join("other"), "x");
    for _ in 0..200 {
        assert_eq!(node.manage("GET", "/streams/s", &Value::Null).status, 200);
    }
    writing.write_all(format!("{text}---\n{}", stream("t")).as_bytes()).unwrap();
    drop(writing);
    said(&node, "created stream t");
    assert!(
        !node.lines().iter().any(|line| line.contains("deleted stream s")),
        "{:#?}",
        node.lines()
    );
}
/// A signal of the first moments is no end, and not lost either.
#[test]
fn sighup_does_not_end_a_node_that_starts() {
    let mut node = How::run(TIDEGATE).start_with(&format!("{{}}\n---\n{}", stream("s")));
    for _ in 0..10 {
        node = node.restart_hung_up();
        assert_eq!(node.manage("GET", "/streams/s", &Value::Null).status, 200);
    }
}
/// Start and stop are the operator's; what the file says otherwise is obeyed when it changes.
#[test]
fn a_file_is_obeyed_after_a_stop_and_a_start() {
    let text = |on: &str| {
        format!(
            "{{}}\n---\n{}---\nkind: api\nname: a\npaths: [/a]\nplans: [keyless]\nbackend: {{ stream: s }}\n{on}",
            stream("s")
        )
    };
    let node = How::run(TIDEGATE).start_with(&text(""));
    let file = node.folder().join("tidegate.yaml");
    let state = || node.manage("GET", "/apis/a", &Value::Null).json()["status"]["state"].clone();
    let before = node.manage("GET", "/apis/a", &Value::Null).json();
    assert_eq!(node.manage("POST", "/apis/a/stop", &Value::Null).status, 200);
    assert_eq!(state(), json!("stopped"));
    let stopped = node.manage("GET", "/apis/a", &Value::Null).json();
    let same = node.manage("PUT", "/apis/a", &stopped);
    assert_eq!(
        (same.status, same.header("tidegate-change")),
        (200, Some("unchanged")),
        "{}",
        same.text()
    );
    assert_eq!(node.manage("POST", "/apis/a/start", &Value::Null).status, 200);
    assert_eq!(node.manage("GET", "/apis/a", &Value::Null).json(), before);
    write(&file, &text("enabled: false\n"));
    said(&node, "changed api a");
    assert_eq!(state(), json!("stopped"));
    // Told like every other change.
    let changes = node.manage("GET", "/changes", &Value::Null).json();
    assert_eq!(
        (
            &changes["items"][0]["who"],
            &changes["items"][0]["action"],
            &changes["items"][0]["name"]
        ),
        (&json!("files"), &json!("replace"), &json!("a")),
        "{changes}"
    );
    // One that was stopped, taken out and declared again is as its file says.
    write(&file, &text(""));
    said(&node, "\"changed api a\"");
    node.manage("POST", "/apis/a/stop", &Value::Null);
    write(&file, &format!("{{}}\n---\n{}", stream("s")));
    said(&node, "deleted api a");
    write(&file, &text(""));
    said(&node, "created api a");
    assert_eq!(state(), json!("running"));
}
/// A stored resource that does not fit any more holds up nothing else.
#[test]
fn what_was_left_out_at_the_start_holds_up_no_file() {
    let node = How::run(TIDEGATE).start_with("{}\n");
    assert_eq!(node.manage("PUT", "/streams/t", &json!({"partitions": 2})).status, 201);
    let file = node.folder().join("tidegate-data/control.db");
    let copy = node.folder().join("copy.db");
    std::fs::copy(&file, &copy).unwrap();
    assert_eq!(node.manage("DELETE", "/streams/t", &Value::Null).status, 204);
    assert_eq!(node.manage("PUT", "/streams/t", &json!({"partitions": 1})).status, 201);
    let node: Node = node.restart_with(How::run(TIDEGATE), |_| {
        std::fs::rename(&copy, &file).unwrap();
    });
    assert_eq!(node.manage("PUT", "/streams/t", &json!({"partitions": 2})).json()["code"], "TG5013");
    write(&node.folder().join("tidegate.yaml"), &format!("{{}}\n---\n{}", stream("other")));
    said(&node, "created stream other");
}
