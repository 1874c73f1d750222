//! Tests wait for what happens, not for time to pass, and take free ports: else they fail on a busy machine, or two at once.
use super::Findings;
use crate::repository::Repository;

const PORTS: &[&str] = &[":8080", ":8084", ":4444", ":1883"];
/// Opens no socket: there a port is only text.
const PURE: &str = "crates/config/tests/";

pub(super) fn check(repository: &Repository) -> Findings {
    let mut files = repository.files("tests", ".rs");
    let crates = repository.files("crates", ".rs");
    files.extend(crates.into_iter().filter(|file| file.path.split('/').nth(2) == Some("tests")));
    let mut findings = Findings::new();
    for file in &files {
        for (number, line) in (1..).zip(file.text.lines()) {
            let code = line.split("//").next().unwrap_or_default();
            if code.contains("sleep(") {
                findings.push(format!("{}:{number}: wait for what should happen, not by `sleep`", file.path));
            }
            // What follows a scheme is cut off with the comment, so the whole line is looked at.
            let port = PORTS.iter().find(|port| holds(line, port) && !line.trim_start().starts_with("//"));
            if let Some(port) = port.filter(|_| !file.path.starts_with(PURE)) {
                findings.push(format!("{}:{number}: take a free port (`:0`), not `{port}`", file.path));
            }
        }
    }
    findings
}
/// `:80801` is another port.
fn holds(line: &str, port: &str) -> bool {
    line.match_indices(port).any(|(start, _)| {
        line.get(start + port.len()..)
            .is_none_or(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::small;

    #[test]
    fn sleeping_and_fixed_ports_are_found_in_tests_only() {
        let bad = "fn a() {\n    sleep(x);\n    bind(\"127.0.0.1:8080\");\n    get(\"http://localhost:8084/x\");\n    // sleep(y) :1883\n    bind(\":18830\");\n}\n";
        let (_folder, repository) = small(&[
            ("crates/a/tests/x.rs", bad),
            ("crates/a/src/x.rs", bad),
            ("tests/e2e/x.rs", bad),
            ("crates/config/tests/all/x.rs", bad),
        ]);
        let found = check(&repository);
        assert_eq!(found.len(), 3 + 3 + 1, "{found:?}");
        assert!(
            found.contains(&"tests/e2e/x.rs:4: take a free port (`:0`), not `:8084`".to_owned()),
            "{found:?}"
        );
    }
}
