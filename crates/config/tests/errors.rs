//! What a user sees when something is wrong.
mod common;
use common::{check, kinds, pairs, texts};
use tidegate_config::{Mode, load};

#[test]
fn five_faults_in_two_files_are_five_errors() {
    let node = "listeners: { gateway: \"127.0.0.1:8080\" }\nlimits: { body: 4MB, batch_items: 10 }\nlogs: {}\n";
    let resources = "kind: stream
name: orders
retension: { age: 1h }
---
kind: api
name: orders
paths: [orders]
backend: { stream: ordres }
";
    let source = texts(&[("tidegate.yaml", node), ("resources/orders.yaml", resources)]);
    let report = load(source, [], &[], Mode::Dev, &kinds()).unwrap_err();
    assert_eq!(report.diagnostics.len(), 5);
    insta::assert_snapshot!(report.render(false));
    insta::assert_json_snapshot!(report.diagnostics);
}
