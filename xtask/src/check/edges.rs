//! Which crate may depend on which, and which crate may use which library. A new edge is a decision: it is made here.
use super::Findings;
use crate::repository::Repository;
use serde_json::Value;
use std::process::Command;

/// Crate, and what it may depend on. `testkit` is a dev-dependency of anybody.
const EDGES: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("config", &["core"]),
    ("log", &["core"]),
    ("hub", &["core"]),
    ("wire", &["core"]),
    ("rules", &["core"]),
    ("schema", &["core"]),
    ("endpoints", &["core", "log", "hub", "wire"]),
    ("gateway", &["core", "config", "log", "hub", "rules", "schema"]),
    ("entrypoints", &["core", "gateway", "wire"]),
    ("control", &["core", "config", "gateway", "rules", "schema"]),
    (
        "server",
        &[
            "core",
            "config",
            "log",
            "hub",
            "wire",
            "rules",
            "schema",
            "endpoints",
            "gateway",
            "entrypoints",
            "control",
        ],
    ),
    ("testkit", &["core"]),
    ("xtask", &["core", "config", "testkit"]),
];
/// Library, and the only crates that may name it outside their tests.
const WRAPPERS: &[(&str, &[&str])] = &[
    ("axum", &["entrypoints", "control", "server"]),
    ("hyper", &["entrypoints", "endpoints", "server"]),
    ("rustls", &["entrypoints", "endpoints", "server", "testkit"]),
    ("tokio-rustls", &["entrypoints", "endpoints", "testkit"]),
    ("rdkafka", &["endpoints", "testkit"]),
    ("lapin", &["endpoints", "testkit"]),
    ("async-nats", &["endpoints", "testkit"]),
    ("redis", &["endpoints", "testkit"]),
    ("rumqttc", &["endpoints", "testkit"]),
    ("rumqttc-v5-next", &["endpoints", "testkit"]),
    ("sqlx", &["control"]),
];

pub(super) fn check(repository: &Repository) -> Findings {
    match metadata(repository) {
        Ok(metadata) => compare(&metadata),
        Err(error) => vec![error],
    }
}
fn metadata(repository: &Repository) -> Result<Value, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--locked", "--offline"])
        .current_dir(&repository.root)
        .output()
        .map_err(|error| format!("cargo metadata: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))
}
fn compare(metadata: &Value) -> Findings {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut findings = Findings::new();
    for package in list(&metadata["packages"]) {
        let name = short(&text(&package["name"]));
        let Some((_, allowed)) = EDGES.iter().find(|(known, _)| *known == name) else {
            findings.push(format!("{name}: no row in xtask/src/check/edges.rs says what it may depend on"));
            continue;
        };
        for dependency in list(&package["dependencies"]) {
            let other = text(&dependency["name"]);
            // `normal` is written as null.
            let dev = dependency["kind"].as_str() == Some("dev");
            if let Some(other) = other.strip_prefix("tidegate-") {
                let free = dev && other == "testkit";
                if !free && !allowed.contains(&other) {
                    findings.push(format!("{name} depends on {other}; it may depend on {}", join(allowed)));
                }
            }
            let wrapper = WRAPPERS.iter().find(|(library, _)| *library == other);
            if let Some((library, users)) = wrapper.filter(|(_, users)| !dev && !users.contains(&name.as_str())) {
                findings.push(format!("{name} uses {library}; only {} may", join(users)));
            }
        }
    }
    findings
}
fn short(package: &str) -> String {
    package.strip_prefix("tidegate-").unwrap_or(package).to_owned()
}
fn join(names: &[&str]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn package(name: &str, dependencies: &[(&str, Option<&str>)]) -> Value {
        let dependencies: Vec<_> = dependencies
            .iter()
            .map(|(name, kind)| json!({ "name": name, "kind": kind }))
            .collect();
        json!({ "packages": [{ "name": name, "dependencies": dependencies }] })
    }
    #[test]
    fn an_edge_outside_the_table_is_found() {
        let rows = [
            ("tidegate-hub", ("tidegate-core", None), 0),
            ("tidegate-hub", ("tidegate-log", None), 1),
            ("tidegate-hub", ("tidegate-log", Some("dev")), 1),
            ("tidegate-hub", ("tidegate-testkit", Some("dev")), 0),
            ("tidegate-hub", ("tidegate-testkit", None), 1),
            ("tidegate-entrypoints", ("tidegate-endpoints", None), 1),
            ("tidegate-server", ("tidegate-entrypoints", None), 0),
            ("tidegate-gateway", ("tidegate-server", None), 1),
            ("tidegate-gateway", ("hyper", None), 1),
            ("tidegate-gateway", ("hyper", Some("dev")), 0),
            ("tidegate-entrypoints", ("axum", None), 0),
            ("tidegate-hub", ("bytes", None), 0),
            ("tidegate-new", ("bytes", None), 1),
        ];
        for (name, dependency, findings) in rows {
            let found = compare(&package(name, &[dependency]));
            assert_eq!(found.len(), findings, "{name} {dependency:?}: {found:?}");
        }
    }
}
