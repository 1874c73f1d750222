//! The blocks of the README and the guides do what they say. A document has one folder and one node; its blocks go from top to bottom.
//!
//! - `console`: what stands behind `$ ` is run, what stands below it is what it prints, and no more. `curl -N` and `websocat` go on for ever: they are ended
//!   once they printed as many lines as are shown. `…` stands for what differs each time, and a time stands for any.
//! - `yaml`: is checked; one that begins with `# tidegate.yaml` is served from there on, beside the files that were made before.
//! - `text`: the node said so when it started; one with `INFO ready` shows a start after a crash.
//! - Every other block is in the list below, with its reason.
use crate::{TIDEGATE, dev};
use std::{
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    time::Duration,
};
use tempfile::TempDir;
use tidegate_core::clock;
use tidegate_testkit::{Authority, Node, balance, certificates::Whose, node::How};

/// What cannot be run: document, first line of the block, why.
const NOT_RUN: &[(&str, &str, &str)] = &[
    (
        "README.md",
        "make run      #",
        "builds a release and stays; `tidegate dev` of this build stands for it",
    ),
    (
        "docs/guide/getting-started.md",
        "new EventSource(",
        "a browser's; e2e::clients drives one on the page at `/`",
    ),
    (
        "docs/guide/webhooks.md",
        "from standardwebhooks",
        "a receiver's; e2e::webhooks::public_libraries_verify_what_is_signed does the same",
    ),
];
/// The ports the documents name, which nothing here takes.
const GATEWAY: u16 = 8080;
const SECURE: u16 = 8443;
const ADMIN: u16 = 8084;
const STATIONS: u16 = 4444;
/// A command that takes longer has hung: the longest is a mock's window of five seconds.
const PATIENCE: Duration = Duration::from_secs(30);
/// No progress, errors all the same, on one way out.
const PREAMBLE: &str = "exec 2>&1\ncurl() { command curl -sS \"$@\"; }\n";
/// What a part of a configuration may refer to.
const BESIDE: &str = "kind: stream\nname: orders\n";

#[test]
fn every_block_does_what_it_says() {
    let documents = documents();
    assert!(documents.len() >= 7, "{} documents", documents.len());
    let findings: Vec<String> = std::thread::scope(|scope| {
        let mut running = Vec::new();
        for (name, text) in &documents {
            running.push(scope.spawn(move || Document::run(name, text)));
        }
        running.into_iter().flat_map(|one| one.join().unwrap()).collect()
    });
    let listed = |(document, first, _): &&(&str, &str, &str)| {
        let text = documents.iter().find(|(name, _)| name == document).map(|(_, text)| text);
        text.is_some_and(|text| blocks(text).iter().any(|block| block.first().starts_with(first)))
    };
    let stale: Vec<_> = NOT_RUN.iter().filter(|one| !listed(one)).collect();
    assert!(stale.is_empty(), "listed as not run, and not there: {stale:?}");
    assert!(findings.is_empty(), "{}", findings.join("\n\n"));
}
#[test]
fn blocks_are_found_and_none_is_passed_over() {
    let text = "a\n```console\n$ one\n1\n\n2\n$ two\n```\n\n  ```js\n  x\n  ```\n";
    let found = blocks(text);
    assert_eq!(found.len(), text.matches("```").count() / 2);
    assert_eq!((found[0].line, found[0].language, found[1].language), (2, "console", "js"));
    assert_eq!(
        found[0].steps(),
        [("one", vec!["1", "", "2"], 3), ("two", vec![], 7)].map(|(command, prints, line)| Step { line, command, prints })
    );
    let told = Document::run("x.md", text);
    assert!(
        told.iter().any(|told| told.starts_with("x.md:10: ") && told.contains("`js`")),
        "{told:?}"
    );
}
#[test]
fn dots_and_times_stand_for_what_differs() {
    for (shown, printed, same) in [
        ("a", "a", true),
        ("a", "ab", false),
        ("a…c", "abbc", true),
        ("a…", "a", true),
        ("…c", "ab", false),
        ("a…b…a", "aba", true),
        ("a…a", "a", false),
        (
            "{\"time\":\"2026-11-21T12:22:47.629564Z\"}",
            "{\"time\":\"2027-01-01T00:00:00.000001Z\"}",
            true,
        ),
        ("{\"time\":\"2026-11-21T12:22:47.629564Z\"}", "{\"time\":\"now\"}", false),
    ] {
        assert_eq!(alike(shown, printed), same, "{shown} against {printed}");
    }
}

/// The README and every guide.
#[expect(clippy::disallowed_methods, reason = "the documents are what is tested")]
fn documents() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let guides = std::fs::read_dir(root.join("docs/guide")).unwrap().flatten();
    let mut names: Vec<_> = guides
        .map(|entry| format!("docs/guide/{}", entry.file_name().to_string_lossy()))
        .collect();
    names.push("README.md".to_owned());
    let read = |name: String| {
        let text = std::fs::read_to_string(root.join(&name)).unwrap();
        (name, text)
    };
    names.into_iter().map(read).collect()
}

/// What stands between two fences.
struct Block<'a> {
    /// Of the fence, from 1.
    line: usize,
    language: &'a str,
    lines: Vec<&'a str>,
}
/// A command and what it prints.
#[derive(Debug, PartialEq)]
struct Step<'a> {
    line: usize,
    command: &'a str,
    prints: Vec<&'a str>,
}
fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut found = Vec::new();
    let mut open: Option<Block<'_>> = None;
    for (number, line) in (1..).zip(text.lines()) {
        match (line.trim_start().strip_prefix("```"), open.as_mut()) {
            (Some(_), Some(_)) => found.extend(open.take()),
            (None, Some(block)) => block.lines.push(line),
            (Some(language), None) => {
                open = Some(Block {
                    line: number,
                    language,
                    lines: Vec::new(),
                });
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block without an end");
    found
}
impl<'a> Block<'a> {
    fn first(&self) -> &'a str {
        self.lines.first().copied().unwrap_or_default().trim_start()
    }
    fn text(&self) -> String {
        self.lines.join("\n") + "\n"
    }
    fn steps(&self) -> Vec<Step<'a>> {
        let mut steps: Vec<Step<'a>> = Vec::new();
        for (line, text) in (self.line + 1..).zip(&self.lines) {
            match (text.strip_prefix("$ "), steps.last_mut()) {
                (Some(command), _) => steps.push(Step {
                    line,
                    command,
                    prints: Vec::new(),
                }),
                (None, Some(step)) => step.prints.push(text),
                (None, None) => panic!("line {line}: a block of `console` begins with `$ `"),
            }
        }
        steps
    }
}
/// One document on its way from top to bottom.
struct Document<'a> {
    name: &'a str,
    node: Option<Node>,
    findings: Vec<String>,
}
impl<'a> Document<'a> {
    fn run(name: &'a str, text: &str) -> Vec<String> {
        let mut document = Self {
            name,
            node: None,
            findings: Vec::new(),
        };
        for block in blocks(text) {
            document.block(&block);
        }
        document.node.iter().for_each(balance);
        document.findings
    }
    fn block(&mut self, block: &Block<'_>) {
        let not_run = |(document, first, _): &&(&str, &str, &str)| *document == self.name && block.first().starts_with(first);
        match block.language {
            _ if NOT_RUN.iter().any(|one| not_run(&one)) => {}
            "console" => {
                for step in block.steps() {
                    self.step(&step);
                }
            }
            "yaml" if block.first().starts_with("# tidegate.yaml") => {
                let folder = TempDir::new().unwrap();
                write(folder.path(), "tidegate.yaml", &block.text());
                if let Some(before) = self.node.take() {
                    balance(&before);
                    bring(before.folder(), folder.path());
                }
                self.node = Some(text_logs().start_in(folder.into()));
                self.check(block, "tidegate.yaml");
            }
            "yaml" => {
                let folder = TempDir::new().unwrap();
                write(folder.path(), "part.yaml", &block.text());
                write(folder.path(), "beside.yaml", BESIDE);
                // Certificates that are named must be there.
                let authority = Authority::new("example");
                write(folder.path(), "operators.pem", authority.pem());
                for name in ["gateway", "admin"] {
                    authority.write(folder.path(), Whose { name, expired: false });
                }
                let part = folder.path().join("part.yaml").display().to_string();
                let beside = folder.path().join("beside.yaml").display().to_string();
                self.check(block, &format!("{part} {beside}"));
            }
            "text" if block.first().contains(" INFO ready ") => {
                self.node = self.node.take().map(|node| {
                    balance(&node);
                    node.crash()
                });
                self.said(block);
            }
            "text" => self.said(block),
            other => self.find(
                block.line,
                &format!("nobody runs a block of `{other}`: make it `console` with `$ `, or list it here with a reason"),
            ),
        }
    }
    fn find(&mut self, line: usize, what: &str) {
        self.findings.push(format!("{}:{line}: {what}", self.name));
    }
    fn node(&mut self) -> &Node {
        self.node.get_or_insert_with(|| text_logs().start())
    }
    /// A configuration that is shown is right.
    fn check(&mut self, block: &Block<'_>, files: &str) {
        let printed = self.bash(&format!("tidegate check {files} && echo right"), None);
        if printed.last().is_none_or(|last| last != "right") {
            self.find(block.line, &format!("`tidegate check` says:\n{}", printed.join("\n")));
        }
    }
    fn step(&mut self, step: &Step<'_>) {
        let node = self.node();
        let there = |port: u16, real: std::net::SocketAddr| (format!("localhost:{port}"), real.to_string());
        let command = [there(GATEWAY, node.gateway), there(SECURE, node.gateway), there(ADMIN, node.admin)]
            .into_iter()
            .chain(node.memphis.map(|real| there(STATIONS, real)))
            .fold(step.command.to_owned(), |command, (shown, real)| command.replace(&shown, &real));
        let mut shown = step.prints.clone();
        while shown.last().is_some_and(|line| line.is_empty()) {
            shown.pop();
        }
        let printed = self.bash(
            &command,
            ["curl -N", "websocat"]
                .iter()
                .any(|endless| command.contains(endless))
                .then_some(shown.len()),
        );
        if !same(&shown, &printed) {
            let (shown, printed) = (shown.join("\n"), printed.join("\n"));
            self.find(step.line, &format!("$ {}\n-- shown\n{shown}\n-- printed\n{printed}", step.command));
        }
    }
    /// What the node told when it started.
    fn said(&mut self, block: &Block<'_>) {
        let node = self.node();
        let ports = [(GATEWAY, node.gateway.port()), (ADMIN, node.admin.port())];
        let stations = node.memphis.map(|real| (STATIONS, real.port()));
        let shown = ports.iter().chain(&stations).fold(block.text(), |text, (shown, real)| {
            ["localhost", "127.0.0.1"].iter().fold(text, |text, host| {
                text.replace(&format!("{host}:{shown}"), &format!("{host}:{real}"))
            })
        });
        let shown: Vec<_> = shown.lines().collect();
        let began = clock::instant();
        loop {
            let lines = node.lines();
            if lines.windows(shown.len()).any(|window| same(&shown, window)) {
                return;
            }
            if began.elapsed() > PATIENCE {
                let text = format!("the node did not say so, but:\n{}", lines.join("\n"));
                return self.find(block.line, &text);
            }
            node.admin("/healthz");
        }
    }
    /// What a line prints in the document's folder; no more than `most` lines, where the command does not end by itself.
    fn bash(&mut self, line: &str, most: Option<usize>) -> Vec<String> {
        let programs = Path::new(TIDEGATE).parent().unwrap().display();
        let mut child = Command::new("bash")
            .args(["-c", &format!("PATH={programs}:{}:$PATH\n{PREAMBLE}{line}", crate::TOOLS)])
            .current_dir(self.node().folder())
            .env("TIDEGATE_NODE", format!("http://{}", self.node().admin))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| tell.send(line)));
        let (began, mut printed) = (clock::instant(), Vec::new());
        while most.is_none_or(|most| printed.len() < most) {
            match told.recv_timeout(PATIENCE.saturating_sub(began.elapsed())) {
                Ok(line) => printed.push(line.trim_end_matches('\r').to_owned()),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    printed.push(format!("(nothing more in {PATIENCE:?})"));
                    break;
                }
            }
        }
        // The whole group of what was started here; where it has ended there is nobody left in it.
        let group = format!("-{}", child.id());
        let _gone = Command::new("kill").args(["-9", "--", &group]).stderr(Stdio::null()).status();
        let _gone = child.wait();
        printed
    }
}
/// What is said to a user.
fn text_logs() -> How {
    dev().set("telemetry.logs", "text")
}
#[expect(clippy::disallowed_methods, reason = "a test's own folder")]
fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}
/// The files of one folder, but no settings and no data.
fn bring(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_file() && !target.exists() {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
fn same(shown: &[&str], printed: &[String]) -> bool {
    shown.len() == printed.len() && shown.iter().zip(printed).all(|(shown, printed)| alike(shown, printed))
}
fn alike(shown: &str, printed: &str) -> bool {
    let (shown, printed) = (timeless(shown), timeless(printed));
    let mut parts = shown.split('…');
    let Some(mut rest) = parts.next().and_then(|first| printed.strip_prefix(first)) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some((_, after)) = rest.split_once(part) else {
            return false;
        };
        rest = after;
    }
    true
}
/// Every time in quotes or between spaces is the same one.
fn timeless(line: &str) -> String {
    let form = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "0");
    let time = |text: &&str| form(text).starts_with("0000-00-00T00:00:00") && text.ends_with('Z');
    let parts = |line: &str, at: char| {
        let parts: Vec<_> = line.split(at).map(|text| if time(&text) { "TIME" } else { text }).collect();
        parts.join(&at.to_string())
    };
    parts(&parts(line, '"'), ' ')
}
