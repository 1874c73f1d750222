//! What of a data folder can be copied, and what a node makes of the copy.
use crate::TIDEGATE;
use serde_json::{Value, json};
use std::{path::Path, process::Command, sync::Arc};
use tempfile::TempDir;
use tidegate_testkit::{Node, balance, node::How};

const SECRET: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz";

/// A node with a stream, an api and a webhook of the management API, and three messages.
fn node() -> Node {
    let node = How::run(TIDEGATE).start_with("{}\n");
    let put = |path: &str, document: Value| {
        let made = node.manage("PUT", path, &document);
        assert_eq!(made.status, 201, "{}", made.text());
    };
    put("/streams/s", json!({}));
    put(
        "/apis/s",
        json!({"paths": ["/s"], "backend": {"stream": "s"}, "plans": ["keyless"]}),
    );
    let hook =
        json!({"source": {"stream": "s"}, "target": {"url": "https://example.com/"}, "sign": {"secrets": [SECRET]}, "enabled": false});
    put("/webhooks/w", hook);
    for id in ["a", "b", "c"] {
        assert_eq!(node.post("/s", &[("tidegate-id", id)], id.as_bytes()).json()["ack"], "stored");
    }
    node
}
fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}
fn ids(node: &Node) -> Vec<String> {
    let items = node.get("/s?wait=0").json()["items"].as_array().unwrap().clone();
    items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}
/// What it says of its resources, without their places and times.
fn exported(node: &Node) -> Value {
    node.manage("GET", "/export?all=true", &Value::Null).json()["resources"].clone()
}
#[test]
fn the_folder_of_a_stopped_node_is_the_node_wherever_it_is_copied() {
    let node = node();
    let (ids_before, before) = (ids(&node), exported(&node));
    assert_eq!(ids_before, ["a", "b", "c"]);
    balance(&node);
    let old = node.stop();
    let new = TempDir::new().unwrap();
    for part in ["tidegate-data", "tidegate.yaml"] {
        copy(&old.path().join(part), &new.path().join(part));
    }
    let node = How::run(TIDEGATE).start_in(Arc::new(new));
    assert_eq!((ids(&node), exported(&node)), (ids_before, before));
    // The same message is still the same, and the next one comes behind.
    let again = node.post("/s", &[("tidegate-id", "b")], b"b");
    assert_eq!(again.header("tidegate-duplicate"), Some("true"), "{}", again.text());
    assert_eq!(node.post("/s", &[("tidegate-id", "d")], b"d").json()["position"], "1.3");
    balance(&node);
}
#[test]
fn the_store_of_a_running_node_brings_back_its_resources_without_messages() {
    let node = node();
    let before = exported(&node);
    let data = node.folder().join("tidegate-data");
    let new = TempDir::new().unwrap();
    let kept = new.path().join("tidegate-data");
    std::fs::create_dir(&kept).unwrap();
    for file in ["control.db", "admin-token"] {
        copy(&data.join(file), &kept.join(file));
    }
    assert_eq!(node.post("/s", &[], b"later").status, 202);
    let other = How::run(TIDEGATE).start_in({
        copy(&node.folder().join("tidegate.yaml"), &new.path().join("tidegate.yaml"));
        Arc::new(new)
    });
    assert_eq!(other.token(), node.token());
    assert_eq!(exported(&other), before);
    assert!(ids(&other).is_empty());
    balance(&node);
}
#[test]
fn a_store_of_before_schemas_is_brought_up_to_date() {
    let node = node();
    let before = exported(&node);
    let older = "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.execute('drop table schemas'); \
                 c.execute('delete from _sqlx_migrations where version > 1'); c.commit()";
    let node = node.restart_with(How::run(TIDEGATE), |folder| {
        let file = folder.join("tidegate-data/control.db");
        assert!(Command::new("python3").args(["-c", older]).arg(file).status().unwrap().success());
    });
    assert_eq!(exported(&node), before);
    let schema = json!({"json": {"type": "object"}});
    assert_eq!(node.manage("PUT", "/schemas/order", &schema).status, 201);
    // And what it is now is there at the next start.
    let node = node.restart();
    assert_eq!(node.manage("GET", "/schemas/order", &Value::Null).json()["status"]["version"], 1);
}
