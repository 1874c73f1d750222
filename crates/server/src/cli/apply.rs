//! `apply`, `diff`, `export`: files and a node made equal, compared, and written out again.
use super::{
    FAILED, OK, Output, count,
    failure::{Failure, text},
    node::{Ask, Node, Remote},
    progress::Progress,
    say, show, tell, yaml,
};
use http::Method;
use serde_json::{Value, json};
use similar::TextDiff;
use std::{io::IsTerminal, io::Read, path::PathBuf};
use tidegate_config::{Diagnostic, Draft, Drafts, Id, Remark, Report, ResourceKind, Sources};
use tidegate_core::error::Code;

/// Lines around a change.
const AROUND: usize = 3;
/// What a node takes in one file; more is no configuration.
const MOST: u64 = 64 << 20;

#[derive(clap::Args)]
pub(super) struct Apply {
    #[command(flatten)]
    files: Files,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Only if each resource is as `export --revisions` read it, and is not there where it has no revision.
    #[arg(long)]
    if_match: bool,
    #[command(flatten)]
    pub(super) remote: Remote,
}
#[derive(clap::Args)]
pub(super) struct Diff {
    #[command(flatten)]
    files: Files,
    /// Exit with 1 where something differs.
    #[arg(long)]
    exit_code: bool,
    #[command(flatten)]
    pub(super) remote: Remote,
}
#[derive(clap::Args)]
pub(super) struct Export {
    /// Users and tokens too; their secrets stay at the node.
    #[arg(long)]
    all: bool,
    /// Each with its revision, for `apply --if-match`.
    #[arg(long)]
    revisions: bool,
    #[command(flatten)]
    pub(super) remote: Remote,
}
#[derive(clap::Args)]
struct Files {
    /// Resources: a file, a folder with *.yaml, *.yml and *.json, or - for standard input. May be given several times.
    #[arg(short = 'f', long = "file", required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}
impl Files {
    fn read(&self) -> Result<Drafts, Failure> {
        let mut sources = Vec::new();
        for path in &self.files {
            if path.as_os_str() != "-" {
                sources.push(Draft::Path(path.clone()));
                continue;
            }
            sources.push(Draft::Text("stdin".to_owned(), input()?));
        }
        let drafts = Drafts::read_with_process(sources)?;
        if drafts.is_empty() {
            return Err(self.nothing());
        }
        Ok(drafts)
    }
    /// There is nothing in them: a slip of whoever named them, and told as such.
    fn nothing(&self) -> Failure {
        let shown = |path: &PathBuf| match path.to_str() {
            Some("-") => "standard input".to_owned(),
            _ if path.is_dir() => format!("the folder `{}`", path.display()),
            _ => format!("`{}`", path.display()),
        };
        let places: Vec<_> = self.files.iter().map(shown).collect();
        let text = format!("there is no resource in {}; nothing was changed", places.join(", "));
        let hint = if self.files.iter().any(|path| path.is_dir()) {
            "of a folder *.yaml, *.yml and *.json are read, but none in folders below it; a resource begins with `kind:`"
        } else {
            "a resource begins with `kind:`"
        };
        Failure::configuration(Code::WrongResources, text).hint(hint)
    }
}
/// Standard input, whole.
pub(super) fn input() -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(MOST).read_to_end(&mut bytes);
    read.map_err(|error| Failure::command(format!("standard input: {error}")))?;
    String::from_utf8(bytes).map_err(|_| Failure::command("standard input is not UTF-8 text"))
}
impl Apply {
    pub(super) async fn run(&self) -> Result<u8, Failure> {
        let path = match (self.dry_run, self.if_match) {
            (false, false) => "",
            (true, false) => "?dry_run=true",
            (false, true) => "?if_match=true",
            (true, true) => "?dry_run=true&if_match=true",
        };
        let changes = changes(&self.remote, self.files.read()?, path).await?;
        if self.remote.output != Output::Table {
            show(&Value::Array(changes), self.remote.output);
            return Ok(OK);
        }
        for change in &changes {
            let [what, kind, name] = ["change", "kind", "name"].map(|member| text(change, member).unwrap_or_default());
            let would = if self.dry_run && what != "unchanged" { "would be " } else { "" };
            say(&format!("{would}{what} {kind} {name}\n"));
        }
        if changes.iter().all(|change| change["change"] == "unchanged") {
            tell("nothing to change\n");
        }
        Ok(OK)
    }
}
impl Diff {
    pub(super) async fn run(&self) -> Result<u8, Failure> {
        let mut changes = changes(&self.remote, self.files.read()?, "?dry_run=true").await?;
        changes.retain(|change| change["change"] != "unchanged");
        if self.remote.output == Output::Table {
            let colors = super::color() && std::io::stdout().is_terminal();
            for change in &changes {
                say(&difference(change, colors));
            }
        } else {
            show(&json!(changes), self.remote.output);
        }
        Ok(if self.exit_code && !changes.is_empty() { FAILED } else { OK })
    }
}
impl Export {
    pub(super) async fn run(&self) -> Result<u8, Failure> {
        let node = Node::new(&self.remote)?;
        let mut all = node
            .get(&format!("/api/v1/export?all={}&revisions={}", self.all, self.revisions))
            .await?;
        let resources = match all["resources"].take() {
            Value::Array(resources) => resources,
            _ => Vec::new(),
        };
        let not_served = all["not_served"].as_array().map_or(&[][..], Vec::as_slice);
        let commented = match self.remote.output {
            Output::Json => {
                show(&Value::Array(resources), Output::Json);
                ""
            }
            Output::Table | Output::Yaml => {
                say(&exported(&resources, not_served));
                ", and commented out"
            }
        };
        for of in not_served {
            let [kind, name, why] = ["kind", "name", "detail"].map(|member| text(of, member).unwrap_or_default());
            // A name in it may hold a line break.
            let line = format!("{kind} {name} is kept and not served{commented}: {why}").replace(['\n', '\t'], " ");
            tell(&format!("note: {line}\n"));
        }
        Ok(OK)
    }
}
/// Files that `check` and `apply` take: what is not served would be refused, and all others with it. So it stands there as a comment that says why.
fn exported(resources: &[Value], not_served: &[Value]) -> String {
    let one = |resource: &Value| {
        let document = yaml::document(resource);
        let same = |of: &&Value| of["kind"] == resource["kind"] && of["name"] == resource["name"];
        match not_served.iter().find(same) {
            None => document,
            Some(of) => yaml::comment(&format!(
                "Kept and not served: {}.\nMend it, take the `#` away, and apply it.\n{document}",
                text(of, "detail").unwrap_or_default()
            )),
        }
    };
    resources.iter().map(one).collect::<Vec<_>>().join("---\n")
}
/// Sends all of them; what the node has against them is shown where it stands.
async fn changes(remote: &Remote, drafts: Drafts, how: &str) -> Result<Vec<Value>, Failure> {
    let node = Node::new(remote)?;
    let what = if how.contains("dry_run") { "comparing" } else { "applying" };
    let waiting = Progress::waiting(format!("{what} {}", count(drafts.len(), "resource")));
    let ask = Ask::json(Method::POST, &json!({"resources": drafts.resources()}));
    let answered = node.checked(&format!("/api/v1/apply{how}"), ask).await;
    drop(waiting);
    match answered? {
        Ok(mut answer) => Ok(match answer["changes"].take() {
            Value::Array(changes) => changes,
            _ => Vec::new(),
        }),
        Err(problem) => {
            let errors: Vec<_> = problem["errors"].as_array().into_iter().flatten().collect();
            if errors.is_empty() {
                return Err(Failure::problem(&problem));
            }
            let (mut remarks, mut elsewhere) = (Vec::new(), Vec::new());
            for error in errors {
                match pointer(error, &drafts) {
                    Some(pointer) => remarks.push(Remark {
                        pointer,
                        code: code(error),
                        message: text(error, "detail").unwrap_or_default(),
                        expected: text(error, "expected"),
                        hint: text(error, "hint"),
                    }),
                    None => elsewhere.push(diagnostic(error)),
                }
            }
            Err(drafts.report(remarks, elsewhere).into())
        }
    }
}
/// Where in what was sent, `None` where it is about something else.
fn pointer(error: &Value, drafts: &Drafts) -> Option<String> {
    let pointer = text(error, "pointer")?;
    if let Some(inside) = pointer.strip_prefix("/resources/") {
        return Some(format!("/{inside}"));
    }
    let kind = ResourceKind::of_word(error["kind"].as_str()?)?;
    let number = drafts.number(&Id::new(kind, error["name"].as_str()?))?;
    Some(format!("/{number}{pointer}"))
}
/// Errors of a node, each at its place there.
pub(crate) fn report(errors: &[&Value]) -> Report {
    Report {
        diagnostics: errors.iter().map(|error| diagnostic(error)).collect(),
        sources: Sources::default(),
    }
}
/// An error in a file of the node's, or in what it holds.
fn diagnostic(error: &Value) -> Diagnostic {
    let number = |name: &str| error[name].as_u64().unwrap_or_default() as u32;
    let held = || match (text(error, "kind"), text(error, "name")) {
        (Some(kind), Some(name)) => format!("the node's {kind} `{name}`"),
        _ => "the node".to_owned(),
    };
    Diagnostic {
        code: code(error),
        file: text(error, "file").unwrap_or_else(held).into(),
        line: number("line"),
        column: number("column"),
        width: 1,
        path: String::new(),
        pointer: text(error, "pointer").unwrap_or_default(),
        message: text(error, "detail").unwrap_or_default(),
        expected: text(error, "expected"),
        hint: text(error, "hint"),
    }
}
/// A newer node may have codes that this program does not know.
fn code(error: &Value) -> Code {
    let wanted = text(error, "code").unwrap_or_default();
    let known = Code::ALL.iter().find(|code| code.to_string() == wanted);
    known.copied().unwrap_or(Code::CommandFailed)
}
/// What would change, as `diff -u` writes it.
fn difference(change: &Value, colors: bool) -> String {
    let document = |member: &str| match &change[member] {
        Value::Null => String::new(),
        resource => yaml::document(resource),
    };
    let (before, after) = (document("before"), document("after"));
    let name = format!(
        "{}/{}",
        text(change, "kind").unwrap_or_default(),
        text(change, "name").unwrap_or_default()
    );
    let old = if before.is_empty() {
        "/dev/null".to_owned()
    } else {
        format!("node/{name}")
    };
    let new = if after.is_empty() {
        "/dev/null".to_owned()
    } else {
        format!("files/{name}")
    };
    if before == after {
        return format!("--- {old}\n+++ {new}\n# a secret differs\n");
    }
    let diff = TextDiff::from_lines(&before, &after);
    let lines = diff.unified_diff().context_radius(AROUND).header(&old, &new).to_string();
    if !colors {
        return lines;
    }
    let painted = lines.lines().map(|line| match line.as_bytes().first() {
        Some(b'+') => format!("\x1b[32m{line}\x1b[0m\n"),
        Some(b'-') => format!("\x1b[31m{line}\x1b[0m\n"),
        Some(b'@') => format!("\x1b[36m{line}\x1b[0m\n"),
        _ => format!("{line}\n"),
    });
    painted.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_served_is_a_comment() {
        let resources = ["a", "b", "c"].map(|name| json!({"kind": "stream", "name": name}));
        let not_served = [json!({"kind": "stream", "name": "b", "detail": "why\u{2028}kind: not"})];
        let text = exported(&resources, &not_served);
        assert_eq!(
            text,
            "kind: stream\nname: a\n---\n# Kept and not served: why kind: not.\n# Mend it, take the `#` away, and apply it.\n\
             # kind: stream\n# name: b\n---\nkind: stream\nname: c\n"
        );
        let read = Drafts::read_with_process(vec![Draft::Text("x".to_owned(), text)]).unwrap();
        let names: Vec<_> = read.resources().iter().map(|one| one["name"].clone()).collect();
        assert_eq!(names, ["a", "c"]);
    }
    #[test]
    fn a_difference_is_unified() {
        let change = json!({"kind": "stream", "name": "a", "change": "changed",
            "before": {"kind": "stream", "name": "a", "retention": {"age": "7d"}},
            "after": {"kind": "stream", "name": "a", "retention": {"age": "1h"}}});
        assert_eq!(
            difference(&change, false),
            "--- node/stream/a\n+++ files/stream/a\n@@ -1,4 +1,4 @@\n kind: stream\n name: a\n retention:\n-  age: 7d\n+  age: 1h\n"
        );
        assert!(difference(&change, true).contains("\x1b[32m+  age: 1h\x1b[0m\n"));
        let new = json!({"kind": "stream", "name": "a", "change": "created", "after": {"kind": "stream", "name": "a"}});
        assert_eq!(
            difference(&new, false),
            "--- /dev/null\n+++ files/stream/a\n@@ -0,0 +1,2 @@\n+kind: stream\n+name: a\n"
        );
    }
}
