//! Each error code has a page, each page a code, and they agree on its title.
use super::Findings;
use crate::repository::Repository;
use tidegate_core::error::Code;

const FOLDER: &str = "docs/errors";

pub(super) fn check(repository: &Repository) -> Findings {
    let pages = repository.files(FOLDER, ".md");
    let mut findings = Findings::new();
    for code in Code::ALL {
        let path = format!("{FOLDER}/{code}.md");
        let Some(page) = pages.iter().find(|page| page.path == path) else {
            findings.push(format!("{path} is missing: say what {code} means, why it happens and what to do"));
            continue;
        };
        let title = format!("# {code}: {}", code.title());
        if page.text.lines().next() != Some(&title) {
            findings.push(format!("{path}: the first line must be `{title}`"));
        }
        let lines = page.text.lines().count();
        if !(8..=25).contains(&lines) {
            findings.push(format!("{path}: {lines} lines, from 8 to 25"));
        }
    }
    for page in &pages {
        if !Code::ALL.iter().any(|code| page.path == format!("{FOLDER}/{code}.md")) {
            findings.push(format!("{}: there is no such code", page.path));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::small;

    #[test]
    fn a_missing_a_foreign_and_a_wrong_page_are_found() {
        let body = "\nx".repeat(10);
        let good = format!("# TG1001: {}{body}", Code::NotFound.title());
        let (_folder, repository) = small(&[
            ("docs/errors/TG1001.md", &good),
            ("docs/errors/TG1002.md", &format!("# TG1002: wrong{body}")),
            ("docs/errors/TG0000.md", &good),
        ]);
        let found = check(&repository);
        assert_eq!(found.len(), Code::ALL.len() - 2 + 1 + 1, "{found:?}");
        assert!(found.iter().any(|text| text.contains("TG1002.md: the first line")), "{found:?}");
        assert!(
            found.iter().any(|text| text.contains("TG0000.md: there is no such code")),
            "{found:?}"
        );
        assert!(!found.iter().any(|text| text.contains("TG1001")), "{found:?}");
    }
}
