//! `/metrics` and its reference page say the same.
use crate::dev;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use tidegate_testkit::balance;

/// Type and help.
type About = (String, String);
/// Label to values; those of an open set are left out.
type Labels = BTreeMap<String, BTreeSet<String>>;
/// Labels whose values a user's own names, or the entrypoints they use, make up.
const OPEN: &[&str] = &["api", "stream", "group", "schema", "entrypoint", "webhook"];

/// Only where there is one; `tests/tls.rs` looks at it.
const CERTIFICATE: &str = "tidegate_certificate_not_after_seconds";

#[test]
fn the_reference_names_what_is_exposed() {
    let node = dev().start();
    let hook = json!({"source": {"stream": "orders"}, "target": {"url": "http://127.0.0.1:9/"}});
    assert_eq!(node.manage("PUT", "/webhooks/w", &hook).status, 201);
    // Its place in the stream is there.
    node.until("tidegate_webhook_lag_messages{webhook=\"w\"}", |_| {
        node.admin("/metrics").text().contains("tidegate_webhook_lag_messages{")
    });
    let schema = json!({"kind": "schema", "name": "nothing", "json": false});
    let asking = ["reject", "dead_letter", "warn"]
        .map(|action| json!({"kind": "stream", "name": action, "schema": {"schema": "nothing", "on_failure": action}}));
    let [reject, keep, warn] = asking;
    assert_eq!(
        node.manage("POST", "/apply", &json!({"resources": [schema, reject, keep, warn]}))
            .status,
        200
    );
    for (stream, status) in [("reject", 422), ("dead_letter", 422), ("warn", 202)] {
        assert_eq!(node.manage("POST", &format!("/topics/{stream}"), &json!(1)).status, status);
    }
    node.post("/orders", &[], b"1");
    node.post("/orders", &[("tidegate-delay", "1h")], b"2");
    node.get("/orders");
    balance(&node);
    let text = node.admin("/metrics").text();
    let (mut exposed, mut samples) = (BTreeMap::new(), BTreeMap::<String, Labels>::new());
    let mut types = BTreeMap::new();
    let mut help = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            types.insert(name, kind);
        } else if let Some((name, words)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            help.insert(name, words.trim_end_matches('.'));
        } else if !line.starts_with('#') {
            let (name, _value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = name.split_once('{').unwrap_or((name, ""));
            // A histogram is one metric; its classes are not its own labels.
            let parts = ["_bucket", "_sum", "_count"].map(|end| name.strip_suffix(end));
            let name = parts
                .into_iter()
                .flatten()
                .find(|of| types.get(of) == Some(&"histogram"))
                .unwrap_or(name);
            let of = samples.entry(name.to_owned()).or_default();
            let labels = labels.trim_end_matches('}').split(',').filter_map(|pair| pair.split_once('='));
            for (label, value) in labels.filter(|(label, _)| *label != "le") {
                let values = of.entry(label.to_owned()).or_default();
                values.extend((!OPEN.contains(&label)).then(|| value.trim_matches('"').to_owned()));
            }
        }
    }
    for (name, kind) in &types {
        let end = if *kind == "counter" { "_total" } else { "" };
        exposed.insert(format!("{name}{end}"), ((*kind).to_owned(), help[name].to_owned()));
    }
    // Without it nobody can tell a quantile.
    assert!(text.contains("tidegate_webhook_duration_seconds_bucket{le=\"+Inf\""), "{text}");
    let (mut named, mut labels) = page();
    assert!(named.remove(CERTIFICATE).is_some() && labels.remove(CERTIFICATE).is_some());
    assert_eq!(named, exposed, "docs/reference/metrics.md against /metrics");
    assert_eq!(labels, samples, "the labels of docs/reference/metrics.md against those of /metrics");
    assert!(named.len() > 20);
}
/// Rows ``| `metric` | type | `label` (`value`, `value`), `label` | help |``.
#[expect(clippy::disallowed_methods, reason = "the page is what is tested")]
fn page() -> (BTreeMap<String, About>, BTreeMap<String, Labels>) {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/metrics.md")).unwrap();
    let (mut named, mut all) = (BTreeMap::new(), BTreeMap::new());
    for line in text.lines().filter(|line| line.starts_with("| `tidegate_")) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, help] = cells.as_slice() else {
            panic!("{line}")
        };
        let name = name.trim_matches('`').to_owned();
        named.insert(name.clone(), ((*kind).to_owned(), (*help).to_owned()));
        let mut of = Labels::new();
        let mut last = "";
        let mut inside = false;
        for (i, word) in labels.split('`').enumerate() {
            match (i % 2 == 1, inside) {
                (false, _) => inside = word.contains('(') || inside && !word.contains(')'),
                (true, false) => {
                    last = word;
                    of.insert(word.to_owned(), BTreeSet::new());
                }
                (true, true) => drop(of.get_mut(last).unwrap().insert(word.to_owned())),
            }
        }
        all.insert(name, of);
    }
    (named, all)
}
