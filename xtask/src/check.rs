//! Rules of the house that no compiler keeps. Every rule runs, everything found is told.
mod codes;
mod doubled;
mod edges;
mod habits;
mod lengths;
mod promises;

use crate::{docs, repository::Repository};

/// What one rule found: sentences that say where and what to do.
type Findings = Vec<String>;

/// What it is called, and what it does.
type Rule = (&'static str, fn(&Repository) -> Findings);

/// The rules, in the order they are told.
const RULES: &[Rule] = &[
    ("crate edges", edges::check),
    ("file lengths", lengths::check),
    ("promises", promises::check),
    ("error pages", codes::check),
    ("test habits", habits::check),
    ("doubled crates", doubled::check),
    ("generated pages", |repository| docs::check(repository).err().into_iter().collect()),
];

/// One line per rule, then what it found.
pub(crate) fn run(repository: &Repository) -> Result<(), String> {
    let mut count = 0;
    for (name, rule) in RULES {
        let findings = rule(repository);
        println!("{:<16} {}", name, if findings.is_empty() { "ok" } else { "failed" });
        for finding in &findings {
            println!("  {finding}");
        }
        count += findings.len();
    }
    match count {
        0 => Ok(()),
        1 => Err("1 finding".to_owned()),
        many => Err(format!("{many} findings")),
    }
}
