//! `docs/promises.md` says what the product promises and which test shows it. A promise without a living test is a wish.
use super::Findings;
use crate::repository::{File, Repository};

const PAGE: &str = "docs/promises.md";

pub(super) fn check(repository: &Repository) -> Findings {
    let page = match repository.read(PAGE) {
        Ok(page) => page,
        Err(error) => return vec![error],
    };
    let rows = rows(&page);
    if rows.is_empty() {
        return vec![format!("{PAGE}: no rows `| promise | test |`")];
    }
    let mut findings = Findings::new();
    for (number, cell) in rows {
        let names: Vec<_> = cell.split(['`', ',', ' ']).filter(|name| name.contains("::")).collect();
        if names.is_empty() {
            findings.push(format!("{PAGE}:{number}: no test `package::path::name`"));
        }
        for name in names {
            if let Err(why) = find(repository, name) {
                findings.push(format!("{PAGE}:{number}: `{name}` {why}"));
            }
        }
    }
    findings
}
/// Line number and the test's cell, of each row below a header row.
fn rows(page: &str) -> Vec<(usize, String)> {
    let mut rows = Vec::new();
    for (number, line) in (1..).zip(page.lines()) {
        let cells: Vec<_> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
        let rule = cells.iter().all(|cell| cell.chars().all(|c| "-: ".contains(c)));
        let Some(test) = cells.last().filter(|_| line.trim().starts_with('|') && cells.len() > 1 && !rule) else {
            continue;
        };
        if *test != "test" {
            rows.push((number, (*test).to_owned()));
        }
    }
    rows
}
/// `tidegate-log::crash::name`, or `e2e::post::name` for a test of the whole program.
fn find(repository: &Repository, test: &str) -> Result<(), &'static str> {
    let parts: Vec<_> = test.split("::").collect();
    let [owner, modules @ .., name] = parts.as_slice() else {
        return Err("is no path to a test");
    };
    let files = match owner.strip_prefix("tidegate-") {
        Some(package) => repository.files(&format!("crates/{package}"), ".rs"),
        None if *owner == "xtask" => repository.files("xtask", ".rs"),
        None => program_tests(repository, owner),
    };
    if files.is_empty() {
        return Err("names no package and no folder of tests");
    }
    let mut why = "does not exist";
    for file in files.iter().filter(|file| modules.iter().all(|module| inside(file, module))) {
        match state(&file.text, name) {
            Some(State::Runs) => return Ok(()),
            Some(State::Ignored) => why = "is ignored",
            Some(State::NoTest) if why == "does not exist" => why = "is a function without `#[test]`",
            _ => {}
        }
    }
    Err(why)
}
/// The files of a test binary: `[[test]]` of a crate with this name and a path to `tests/`, else `tests/NAME.rs` or `tests/NAME/`.
fn program_tests(repository: &Repository, owner: &str) -> Vec<File> {
    let name = format!("name = \"{owner}\"");
    let ours = |section: &&str| section.lines().any(|line| line == name);
    let manifests = repository.files("crates", "Cargo.toml");
    let declared = manifests
        .iter()
        .flat_map(|manifest| manifest.text.split("[[test]]").skip(1))
        .find(ours);
    let path = declared.and_then(|section| {
        section
            .lines()
            .find_map(|line| line.strip_prefix("path = \"../../")?.strip_suffix('"'))
    });
    let folder = path.map_or_else(
        || format!("tests/{owner}"),
        |path| path.rsplit_once('/').map_or("tests", |(folder, _)| folder).to_owned(),
    );
    let mut files = repository.files("tests", ".rs");
    files.retain(|file| file.path == format!("{folder}.rs") || file.path.starts_with(&format!("{folder}/")));
    files
}
/// A module is a file, a folder, or written in the file.
fn inside(file: &File, module: &str) -> bool {
    let part = |part: &str| part == module || part.strip_suffix(".rs") == Some(module);
    file.path.split('/').any(part) || file.text.contains(&format!("mod {module} {{"))
}
enum State {
    Runs,
    Ignored,
    NoTest,
}
/// Of the functions with this name the most alive one.
fn state(text: &str, name: &str) -> Option<State> {
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let mut best = None;
    for (i, line) in lines.iter().enumerate() {
        let head = line.split(&format!("fn {name}")).collect::<Vec<_>>();
        let [before, after] = head.as_slice() else { continue };
        let whole = after.starts_with('(') || after.starts_with('<');
        let words = ["", "async ", "pub ", "pub async ", "pub(crate) ", "pub(crate) async "];
        if !whole || !words.contains(before) {
            continue;
        }
        // Attributes and comments stand between the function and what ends before it.
        let ends = |line: &str| line.is_empty() || (line.ends_with(['}', '{', ';']) && !line.starts_with('#') && !line.starts_with("//"));
        let above: Vec<_> = lines
            .get(..i)
            .unwrap_or_default()
            .iter()
            .rev()
            .take_while(|line| !ends(line))
            .collect();
        let attribute = |found: &dyn Fn(&str) -> bool| above.iter().any(|line| line.starts_with("#[") && found(line));
        let test = attribute(&|line| line.contains("test]") || line.contains("test("));
        let ignored = attribute(&|line| line.starts_with("#[ignore"));
        match (test, ignored) {
            (true, false) => return Some(State::Runs),
            (true, true) => best = Some(State::Ignored),
            (false, _) => best = best.or(Some(State::NoTest)),
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::small;

    const SOURCE: &str = "
fn helper() {}
mod tests {
    /// Lives.
    #[test]
    fn lives() {}
    #[tokio::test(
        start_paused = true
    )]
    async fn waits() {}
    #[ignore = \"slow\"]
    #[test]
    fn sleeps() {}
    proptest! {
        #[test]
        fn holds(x in 0..3) {}
    }
    // #[test]
    // fn gone() {}
    fn no_test() {}
}
";
    #[test]
    fn a_promise_needs_a_test_that_runs() {
        let rows = [
            ("`tidegate-a::x::tests::lives`", None),
            ("`tidegate-a::x::waits`", None),
            ("`tidegate-a::holds`, `tidegate-a::lives`", None),
            ("`e2e::post::lives`", None),
            ("`tidegate-a::x::sleeps`", Some("is ignored")),
            ("`tidegate-a::x::gone`", Some("does not exist")),
            ("`tidegate-a::x::no_test`", Some("without `#[test]`")),
            ("`tidegate-a::y::lives`", Some("does not exist")),
            ("`tidegate-a::x::live`", Some("does not exist")),
            ("`tidegate-b::lives`", Some("names no package")),
            ("`e3e::post::lives`", Some("names no package")),
            ("by hand", Some("no test")),
        ];
        for (cell, why) in rows {
            let page = format!("# Promises\n\n| promise | test |\n|---|---|\n| it works | {cell} |\n");
            let files = [
                ("crates/a/src/x.rs", SOURCE),
                ("tests/e2e/post.rs", "#[test]\nfn lives() {}\n"),
                (PAGE, &page),
            ];
            let (_folder, repository) = small(&files);
            let found = check(&repository);
            match why {
                None => assert!(found.is_empty(), "{cell}: {found:?}"),
                Some(why) => assert!(found.len() == 1 && found[0].contains(why), "{cell}: {found:?}"),
            }
        }
    }
    #[test]
    fn a_binary_of_tests_may_be_declared_by_a_crate() {
        let page = "| promise | test |\n|---|---|\n| it works | `whole::post::lives` |\n| it too | `whole::gone::lives` |\n";
        let manifest = "[package]\nname = \"whole\"\n[[test]]\nname = \"whole\"\npath = \"../../tests/main.rs\"\n";
        let (_folder, repository) = small(&[
            ("crates/server/Cargo.toml", manifest),
            ("tests/post.rs", "#[test]\nfn lives() {}\n"),
            (PAGE, page),
        ]);
        let found = check(&repository);
        assert!(found.len() == 1 && found[0].contains("whole::gone::lives"), "{found:?}");
    }
    #[test]
    fn no_page_and_no_rows_are_findings() {
        let (_folder, repository) = small(&[]);
        assert_eq!(check(&repository).len(), 1);
        let (_folder, repository) = small(&[(PAGE, "# Promises\n\n| promise | test |\n|---|---|\n")]);
        assert_eq!(check(&repository).len(), 1);
    }
}
