//! How many libraries are compiled in two versions, on any system: each is compiled twice and shipped twice.
use super::Findings;
use crate::repository::Repository;
use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

/// Lower it when it can be; raise it only with a reason in the commit.
const CEILING: usize = 11;

pub(super) fn check(repository: &Repository) -> Findings {
    let doubled = match tree(repository) {
        Ok(text) => doubled(&text),
        Err(error) => return vec![error],
    };
    let mut findings = Findings::new();
    if doubled.len() > CEILING {
        let names = doubled.join(", ");
        findings.push(format!(
            "{} crates are compiled in several versions, at most {CEILING}: {names}; `cargo tree -d` says who asks for them",
            doubled.len()
        ));
    }
    findings
}
/// The lock names more than is compiled: what a feature that nobody asks for would bring.
fn tree(repository: &Repository) -> Result<String, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "tree",
            "--workspace",
            "--target",
            "all",
            "--prefix",
            "none",
            "--format",
            "{p}",
            "--locked",
        ])
        .current_dir(&repository.root)
        .output()
        .map_err(|error| format!("cargo tree: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo tree: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
/// Of lines such as `name v1.0.0`, with more behind them or without.
fn doubled(tree: &str) -> Vec<String> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in tree.lines() {
        let mut words = line.split(' ');
        if let (Some(name), Some(version)) = (words.next(), words.next()) {
            versions.entry(name).or_default().insert(version);
        }
    }
    let many = versions.into_iter().filter(|(_, versions)| versions.len() > 1);
    many.map(|(name, _)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_two_versions_is_doubled() {
        let tree = "a v1.0.0 (/x)\nb v1.0.0\n\nc v2.0.0 (proc-macro)\na v2.0.0\nb v1.0.0 (*)\n";
        assert_eq!(doubled(tree), ["a"]);
    }
}
