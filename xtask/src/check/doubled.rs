//! How many libraries are there in two versions: each is compiled twice and shipped twice.
use super::Findings;
use crate::repository::Repository;
use std::collections::BTreeMap;

/// Lower it when it can be; raise it only with a reason in the commit.
const CEILING: usize = 9;

pub(super) fn check(repository: &Repository) -> Findings {
    let doubled = match repository.read("Cargo.lock") {
        Ok(text) => doubled(&text),
        Err(error) => return vec![error],
    };
    let mut findings = Findings::new();
    if doubled.len() > CEILING {
        let names = doubled.join(", ");
        findings.push(format!(
            "{} crates are there in several versions, at most {CEILING}: {names}; `cargo tree -d` says who asks for them",
            doubled.len()
        ));
    }
    findings
}
fn doubled(lock: &str) -> Vec<String> {
    let mut versions: BTreeMap<&str, usize> = BTreeMap::new();
    let names = lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    names.for_each(|name| *versions.entry(name).or_default() += 1);
    let many = versions.into_iter().filter(|(_, count)| *count > 1);
    many.map(|(name, _)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_two_versions_is_doubled() {
        let lock = "[[package]]\nname = \"a\"\nversion = \"1\"\n[[package]]\nname = \"b\"\n[[package]]\nname = \"a\"\nversion = \"2\"\n";
        assert_eq!(doubled(lock), ["a"]);
    }
}
