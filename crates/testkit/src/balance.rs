//! The end of every whole-program test: nothing is in flight, and every message is accounted for.
use crate::node::Node;
use std::collections::BTreeMap;

/// Waits until nothing is in flight, then adds up. Panics with the figures when something is missing.
pub fn balance(node: &Node) {
    let at_rest = |text: &str, name: &str| sum(text, name).values().all(|value| *value == 0);
    let began = tidegate_core::clock::instant();
    let text = loop {
        let text = node.admin("/metrics").text();
        if at_rest(&text, "tidegate_publishing_messages") && at_rest(&text, "tidegate_delivering_messages") {
            break text;
        }
        assert!(began.elapsed().as_secs() < 30, "still in flight:\n{text}");
        std::thread::yield_now();
    };
    for (whole, parts) in [
        ("tidegate_received_messages_total", "tidegate_published_messages_total"),
        ("tidegate_offered_messages_total", "tidegate_delivered_messages_total"),
    ] {
        assert_eq!(sum(&text, whole), sum(&text, parts), "{whole} against {parts}:\n{text}");
    }
}
/// By label set, without `outcome`.
fn sum(text: &str, name: &str) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for line in text.lines() {
        let Some((labels, value)) = line.strip_prefix(name).and_then(|rest| rest.strip_prefix('{')?.split_once("} ")) else {
            continue;
        };
        let labels: Vec<_> = labels.split(',').filter(|label| !label.starts_with("outcome=")).collect();
        *sums.entry(labels.join(",")).or_default() += value.parse::<u64>().expect("a number, never negative");
    }
    sums
}
