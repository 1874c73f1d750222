//! A file that grows past 600 lines is a missing noun. Tests at its end do not count.
use super::Findings;
use crate::repository::Repository;

const MOST: usize = 600;

pub(super) fn check(repository: &Repository) -> Findings {
    let mut files = repository.files("crates", ".rs");
    files.extend(repository.files("xtask", ".rs"));
    let exempt = |path: &str| path.split('/').any(|part| ["tests", "benches", "fuzz"].contains(&part));
    files
        .iter()
        .filter(|file| !exempt(&file.path))
        .filter_map(|file| {
            let lines = file.text.lines().take_while(|line| line.trim() != "#[cfg(test)]").count();
            (lines > MOST).then(|| format!("{}: {lines} lines, at most {MOST}: name what is in it and split it", file.path))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::small;

    #[test]
    fn only_lines_before_the_tests_count() {
        let long = "//\n".repeat(601);
        let tested = format!("{}#[cfg(test)]\n{long}", "//\n".repeat(600));
        let (_folder, repository) = small(&[
            ("crates/a/src/long.rs", &long),
            ("crates/a/src/tested.rs", &tested),
            ("crates/a/tests/long.rs", &long),
            ("xtask/src/long.rs", &long),
        ]);
        let found = check(&repository);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("crates/a/src/long.rs: 601"), "{found:?}");
    }
}
