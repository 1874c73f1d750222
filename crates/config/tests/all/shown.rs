//! What the documents show must be true: every configuration in them is taken as it stands.
use crate::common::{kinds, texts};
use std::{fs, path::PathBuf};
use tidegate_config::{Mode, load};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}
#[expect(clippy::disallowed_methods, reason = "the test reads the documents of the repository")]
fn pages(folder: &str, end: &str) -> Vec<(String, String)> {
    let files = fs::read_dir(root().join(folder)).into_iter().flatten();
    let mut pages: Vec<_> = files
        .map(|file| file.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(end))
        .map(|path| (path.display().to_string(), fs::read_to_string(path).unwrap()))
        .collect();
    pages.sort();
    pages
}
/// A snippet may name what is declared elsewhere, nothing else may be wrong with it.
fn wrong(name: &str, text: &str) -> Option<String> {
    let report = load(texts(&[(name, text)]), [], &[], Mode::Run, &kinds()).err()?;
    let elsewhere = |code: String| ["TG5007", "TG5010", "TG5011"].contains(&code.as_str());
    (!report.diagnostics.iter().all(|one| elsewhere(one.code.to_string()))).then(|| report.to_string())
}

#[test]
fn every_configuration_in_the_documents_is_taken() {
    let mut seen = 0;
    let mut found = Vec::new();
    for (name, page) in [pages("docs/errors", ".md"), pages("docs/guide", ".md"), pages("", "README.md")].concat() {
        for block in page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()) {
            seen += 1;
            found.extend(wrong(&name, block));
        }
    }
    for (name, text) in [pages("examples/demo", ".yaml"), pages("examples/demo/resources", ".yaml")].concat() {
        seen += 1;
        found.extend(wrong(&name, &text));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert!(seen > 10, "{seen}");
}
