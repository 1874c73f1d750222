//! The command line against a running node: what it prints, what it changes, and how it ends.
use crate::{TIDEGATE, dev};
use insta::assert_snapshot;
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Command, Output, Stdio},
    sync::{Arc, mpsc},
    time::Duration,
};
use tempfile::TempDir;
use tidegate_core::clock;
use tidegate_testkit::{Authority, Client, Node, balance, certificates::Whose, node::How};

/// Longer has hung.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn folder() -> TempDir {
    TempDir::new().unwrap()
}
/// A command with nothing on its standard input, in a place where nobody set anything.
pub(crate) fn tidegate(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}
fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(TIDEGATE);
    command
        .args(arguments)
        .current_dir(folder)
        .env_remove("TIDEGATE_NODE")
        .env_remove("TIDEGATE_TOKEN")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}
/// All a user sees of several commands, without what differs each time.
pub(crate) struct Seen {
    folder: Arc<TempDir>,
    node: Option<String>,
    text: String,
}
impl Seen {
    /// In a new folder, without a node.
    pub(crate) fn new() -> Self {
        Self {
            folder: Arc::new(folder()),
            node: None,
            text: String::new(),
        }
    }
    /// In the folder of a node, which every command finds.
    pub(crate) fn at(folder: &Arc<TempDir>, node: &Node) -> Self {
        Self {
            folder: folder.clone(),
            node: Some(format!("http://{}", node.admin)),
            text: String::new(),
        }
    }
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
    pub(crate) fn run(&mut self, arguments: &[&str]) -> Output {
        self.run_with(arguments, b"")
    }
    fn run_with(&mut self, arguments: &[&str], input: &[u8]) -> Output {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        // Whoever does not read it may be gone.
        let _gone = child.stdin.take().unwrap().write_all(input);
        let output = child.wait_with_output().unwrap();
        self.see(arguments, &output);
        output
    }
    /// Standard output of a command that goes well; nobody sees it.
    fn out(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(self.folder(), arguments);
        command.envs(self.node.iter().map(|node| ("TIDEGATE_NODE", node)));
        command
    }
    fn see(&mut self, arguments: &[&str], output: &Output) {
        let part = |name: &str, bytes: &[u8]| match text(bytes).trim_end() {
            "" => String::new(),
            text => format!("{name}{}\n", redacted(text)),
        };
        let (out, err) = (part("", &output.stdout), part("-- stderr\n", &output.stderr));
        let code = match output.status.code() {
            Some(0) => String::new(),
            code => format!("-- exit {}\n", code.unwrap_or(-1)),
        };
        let line = redacted(&arguments.join(" "));
        self.text.extend(["$ tidegate ", &line, "\n", &out, &err, &code, "\n"]);
    }
    pub(crate) fn all(&self) -> &str {
        self.text.trim_end()
    }
}
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
#[expect(clippy::disallowed_methods, reason = "a test's own folder")]
fn write(folder: &TempDir, name: &str, text: &str) {
    let path = folder.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}
/// A node with the demo, and what is seen in its folder.
fn demo() -> (Node, Seen) {
    let folder = Arc::new(folder());
    let node = dev().start_in(folder.clone());
    let seen = Seen::at(&folder, &node);
    (node, seen)
}
const STREAMS: &str = "kind: stream\nname: invoices\nretention: { age: 7d }\n---\nkind: stream\nname: parcels\n";
const API: &str = "kind: api\nname: invoices\npaths: [/invoices]\nbackend: { stream: invoices }\n";

#[test]
#[expect(clippy::disallowed_methods, reason = "a test's own folder")]
fn an_unknown_kind_is_shown_where_it_stands_with_the_one_that_was_meant() {
    let node = dev().start();
    std::fs::write(
        node.folder().join("some.yaml"),
        "kind: stream\nname: a\n---\nkind: strea\nname: b\n",
    )
    .unwrap();
    for command in ["apply", "diff", "check"] {
        let file = if command == "check" {
            &["some.yaml"][..]
        } else {
            &["-f", "some.yaml"]
        };
        let told = tidegate(node.folder(), &[&[command], file].concat());
        let told = (told.status.code(), String::from_utf8_lossy(&told.stderr).into_owned());
        assert!(
            told.0 == Some(3) && told.1.contains("some.yaml:4:7") && told.1.contains("did you mean `stream`?"),
            "{told:?}"
        );
    }
    balance(&node);
}
/// All at once, and not what only follows from it: the stream that the api names is the one whose kind is mistyped.
#[test]
#[expect(clippy::disallowed_methods, reason = "a test's own folder")]
fn what_else_is_wrong_is_told_beside_an_unknown_kind() {
    let node = dev().start();
    let some = "kind: strem\nname: b\n---\nkind: api\nname: a\npaths: [/a]\nbackend: { stream: b }\nplans: [keyless]\n---\n\
                kind: stream\nname: c\nretention: { age: never }\n---\nkind: api\nname: d\npaths: [/d]\nbackend: { stream: nowhere }\nplans: [keyless]\n";
    std::fs::write(node.folder().join("some.yaml"), some).unwrap();
    for command in ["apply", "diff"] {
        let told = tidegate(node.folder(), &[command, "-f", "some.yaml"]);
        let told = (told.status.code(), String::from_utf8_lossy(&told.stderr).into_owned());
        let places = ["some.yaml:1:7", "some.yaml:12:", "some.yaml:17:", "3 errors in 1 file"];
        assert!(told.0 == Some(3) && places.iter().all(|place| told.1.contains(place)), "{told:?}");
    }
    balance(&node);
}
/// Its ports are whichever were free.
#[test]
fn the_node_of_a_folder_is_found_wherever_it_listens() {
    let node = dev().start();
    let status = tidegate(node.folder(), &["status", "-o", "json"]);
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    let told: Value = serde_json::from_slice(&status.stdout).unwrap();
    let listeners = told["listeners"].as_array().unwrap();
    let admin = listeners.iter().find(|one| one["name"] == "admin").unwrap();
    assert_eq!(admin["address"], node.admin.to_string());
    // Who names another asks that one.
    let other = tidegate(node.folder(), &["status", "--node", "http://localhost:1"]);
    assert_eq!(other.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&other.stderr).contains("cannot reach http://localhost:1"));
    balance(&node);
}
#[test]
fn what_is_applied_twice_changes_nothing_and_is_said_to() {
    let (node, mut seen) = demo();
    write(&seen.folder, "files/1.yaml", STREAMS);
    write(&seen.folder, "files/2.yaml", API);
    seen.run(&["diff", "-f", "files"]);
    seen.run(&["apply", "-f", "files", "--dry-run"]);
    seen.run(&["apply", "-f", "files"]);
    seen.run(&["apply", "-f", "files"]);
    seen.run(&["diff", "-f", "files", "--exit-code"]);
    assert_eq!(node.post("/invoices", &[], b"1").status, 202);
    write(&seen.folder, "files/1.yaml", &STREAMS.replace("7d", "1h"));
    seen.run(&["diff", "-f", "files"]);
    seen.run(&["diff", "-f", "files/1.yaml", "-f", "files/2.yaml", "--exit-code"]);
    seen.run(&["apply", "-f", "files/1.yaml", "-o", "json"]);
    seen.run(&["diff", "-f", "files"]);
    assert_snapshot!(seen.all());
    balance(&node);
}
#[test]
fn what_is_wrong_with_files_is_shown_where_it_stands_and_nothing_is_changed() {
    let (node, mut seen) = demo();
    write(&seen.folder, "a.yaml", &STREAMS.replace("retention", "retension"));
    write(
        &seen.folder,
        "b.yaml",
        "kind: api\nname: x\npaths: [/x]\nbackend: { stream: nobody }\n---\nkind: stream\nname: y\npartitions: many\n",
    );
    seen.run(&["apply", "-f", "a.yaml", "-f", "b.yaml"]);
    seen.run(&["diff", "-f", "a.yaml"]);
    write(&seen.folder, "node.yaml", "limits: { body: 1MiB }\n---\nkind: stream\nname: z\n");
    seen.run(&["apply", "-f", "node.yaml"]);
    write(&seen.folder, "broken.yaml", "kind: stream\nname: [z\n");
    seen.run(&["apply", "-f", "broken.yaml"]);
    write(&seen.folder, "variable.yaml", "kind: stream\nname: \"${env:NOBODY_SETS_THIS}\"\n");
    seen.run(&["apply", "-f", "variable.yaml", "-f", "none.yaml"]);
    seen.run_with(&["apply", "-f", "-"], b"kind: stream\nname: z\ndedupe: soon\n");
    seen.run_with(&["apply", "-f", "-"], b"");
    write(&seen.folder, "empty/below/a.yaml", STREAMS);
    seen.run(&["apply", "-f", "empty"]);
    seen.run(&["diff", "-f", "empty"]);
    seen.run(&["stream", "ls", "-o", "yaml"]);
    assert_snapshot!(seen.all());
    balance(&node);
}
#[test]
fn what_is_exported_is_no_change_when_it_is_applied() {
    let (node, mut seen) = demo();
    write(
        &seen.folder,
        "all.yaml",
        &format!("{STREAMS}---\n{API}labels: {{ team: sales, on: \"true\", n: \"007\" }}\n"),
    );
    seen.out(&["apply", "-f", "all.yaml"]);
    seen.out(&["token", "add", "ci", "--manage", "viewer"]);
    let mut child = seen
        .command(&["user", "add", "alice", "--manage", "viewer", "--password-stdin"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"hunter2\n").unwrap();
    assert!(child.wait().unwrap().success());
    assert!(!seen.out(&["export"]).contains("alice"), "who may belongs to its node");
    let all = seen.out(&["export", "--all"]);
    assert!(
        all.contains("name: invoices") && all.contains("name: alice") && !all.contains("hunter2") && !all.contains("$argon2"),
        "{all}"
    );
    seen.run_with(&["apply", "-f", "-"], all.as_bytes());
    seen.run_with(&["diff", "-f", "-", "--exit-code"], all.as_bytes());
    assert_eq!(all, seen.out(&["export", "--all", "-o", "yaml"]));
    seen.run(&["export"]);
    let json: Value = serde_json::from_str(&seen.out(&["export", "-o", "json"])).unwrap();
    assert!(
        json.as_array()
            .unwrap()
            .iter()
            .all(|one| one["meta"].is_null() && one["status"].is_null()),
        "{json}"
    );
    assert_snapshot!(seen.all());
    balance(&node);
}
#[test]
fn what_dev_exports_is_right_for_run() {
    let (_node, seen) = demo();
    let bare = "kind: api\nname: bare\npaths: [/bare]\nbackend: { stream: orders }\n";
    write(&seen.folder, "bare.yaml", bare);
    assert_eq!(seen.out(&["apply", "-f", "bare.yaml"]), "created api bare\n");
    // Who wrote it sees no difference for it.
    assert_eq!(seen.out(&["apply", "-f", "bare.yaml"]), "unchanged api bare\n");
    assert_eq!(seen.out(&["diff", "-f", "bare.yaml"]), "");
    let exported = seen.out(&["export"]);
    write(&seen.folder, "exported.yaml", &exported);
    let checked = seen.command(&["check", "exported.yaml"]).output().unwrap();
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
    let applied = seen.out(&["apply", "-f", "exported.yaml"]);
    assert!(applied.lines().all(|line| line.starts_with("unchanged ")), "{applied}");
}
#[test]
fn what_is_exported_of_a_node_that_keeps_secrets_can_be_checked() {
    let (_node, seen) = demo();
    let add = ["webhook", "add", "orders", "http://localhost:1/", "--name", "signed", "--sign"];
    assert!(seen.out(&add).contains("signed"));
    let check = |arguments: &[&str]| {
        let checked = seen.command(arguments).output().unwrap();
        (checked.status.code(), text(&checked.stderr))
    };
    write(&seen.folder, "kept.yaml", &seen.out(&["export"]));
    assert_eq!(check(&["check", "kept.yaml"]).0, Some(3));
    let kept = check(&["check", "--kept-secrets", "kept.yaml"]);
    assert_eq!(kept, (Some(0), "ok: with 1 secret that the node keeps\n".to_owned()));
    write(&seen.folder, "worse.yaml", &(seen.out(&["export"]) + "---\nkind: strea\nname: x\n"));
    let worse = check(&["check", "--kept-secrets", "worse.yaml"]);
    assert!(worse.0 == Some(3) && worse.1.contains("1 error in 1 file"), "{}", worse.1);
}
#[test]
fn of_two_who_apply_what_they_read_the_second_is_told() {
    let (node, mut seen) = demo();
    seen.run(&["stream", "add", "s", "--age", "1d"]);
    let mine = seen.out(&["export", "--revisions"]);
    assert!(mine.contains("revision: \""), "{mine}");
    let yours = mine.replace("age: 1d", "age: 2d");
    let mine = mine.replace("age: 1d", "age: 3d");
    let apply = ["apply", "-f", "-", "--if-match"];
    let text = |output: &Output| text(&output.stdout) + &text(&output.stderr);
    let first = seen.run_with(&apply, mine.as_bytes());
    assert!(
        first.status.success() && text(&first).contains("changed stream s"),
        "{}",
        text(&first)
    );
    let second = seen.run_with(&apply, yours.as_bytes());
    assert_eq!(second.status.code(), Some(1));
    let told = text(&second);
    assert!(
        told.contains("error[TG1050]: the stream `s` is at revision") && told.contains("hint: "),
        "{told}"
    );
    assert!(seen.out(&["stream", "info", "s"]).contains("3d"));
    let last = seen.run_with(&["apply", "-f", "-"], yours.as_bytes());
    assert!(last.status.success(), "{}", text(&last));
    balance(&node);
}
#[test]
fn every_kind_has_its_verbs() {
    let (node, mut seen) = demo();
    for line in [
        "stream add parcels --topic parcels/# --age 2d --bytes 1MiB --partitions 2 -l team=logistics --description boxes",
        "station ls",
        "stream ls -l team=logistics",
        "stream ls par -o json",
        "stream ls nobody",
        "stream info parcels",
        "stream add parcels",
        "stream add other --age never --when-full panic",
        "stream info nobody",
        "api add parcels --stream parcels --path /parcels --path /boxes",
        "api ls",
        "api info parcels -o yaml",
        "api stop parcels",
        "api info parcels -o json",
        "api start parcels",
        "api add lost --stream nobody",
        "stream rm parcels",
        "stream rm parcels --yes",
        "api rm parcels nobody",
        "stream purge parcels",
        "stream purge parcels --yes",
        "stream rm parcels --yes",
        "endpoint add tick --type mock --with interval=1s",
        "endpoint ls",
        "endpoint info tick",
        "endpoint add kafka --type kafka --url kafka://localhost:9092",
        "endpoint rm tick",
        "endpoint ls",
        "token ls",
        "token add ci --manage operator --expires 2099-01-01T00:00:00Z --description pipeline",
        "token info ci",
        "token add ci --manage operator",
        "token rm ci",
        "user ls",
    ] {
        seen.run(&line.split(' ').collect::<Vec<_>>());
    }
    assert_snapshot!(seen.all());
    balance(&node);
}
#[test]
fn a_token_is_good_until_it_is_removed() {
    let (node, mut seen) = demo();
    let token = seen.out(&["token", "add", "ci", "--manage", "viewer"]);
    let token = token.trim();
    assert!(
        token.starts_with("tgt_") && token.len() > 40 && !token.contains(char::is_whitespace),
        "{token}"
    );
    seen.run(&["stream", "ls", "--token", token]);
    seen.run(&["stream", "add", "x", "--token", token]);
    seen.run(&["token", "rm", "ci"]);
    seen.run(&["stream", "ls", "--token", token]);
    seen.run(&["stream", "ls", "--data-dir", "elsewhere"]);
    assert_snapshot!(seen.all());
    balance(&node);
}
#[test]
fn a_user_is_added_without_the_password_leaving_the_machine() {
    let (node, mut seen) = demo();
    seen.run_with(
        &["user", "add", "alice", "--manage", "viewer", "--password-stdin"],
        "hünter2\n".as_bytes(),
    );
    seen.run_with(&["user", "add", "bob", "--password-stdin"], b"\n");
    seen.run(&["user", "ls"]);
    seen.run(&["user", "info", "alice"]);
    let basic = format!("Basic {}", base64("alice:hünter2"));
    let who = |basic: &str| Client::once(node.admin, "GET", "/api/v1/whoami", &[("authorization", basic)], b"");
    assert_eq!(who(&basic).json()["manage"], "viewer");
    assert_eq!(who(&format!("Basic {}", base64("alice:hunter2"))).status, 401);
    // Changed without the rest: its password ends, what it may does not.
    seen.run_with(&["user", "set", "alice", "--password", "--password-stdin"], b"another one\n");
    assert_eq!(who(&basic).status, 401);
    let changed = format!("Basic {}", base64("alice:another one"));
    assert_eq!(who(&changed).json()["manage"], "viewer");
    seen.run(&["user", "set", "alice", "--allow", "orders/#", "--manage", "operator"]);
    assert_eq!(who(&changed).json()["manage"], "operator");
    seen.run(&["user", "info", "alice"]);
    seen.run(&["user", "set", "alice"]);
    seen.run(&["user", "set", "nobody", "--manage", "viewer"]);
    // What everybody tries first, and what a file declares.
    seen.run_with(&["user", "add", "bob", "--connection-token", "--password-stdin"], b"memphis\n");
    let print = [
        "user",
        "add",
        "bob",
        "--connection-token",
        "--allow",
        "jobs",
        "--print",
        "--password-stdin",
    ];
    let mut child = seen.command(&print).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"long and secret\n").unwrap();
    let printed = child.wait_with_output().unwrap().stdout;
    write(&seen.folder, "bob.yaml", std::str::from_utf8(&printed).unwrap());
    seen.run(&["check", "bob.yaml"]);
    seen.run(&["user", "rm", "alice"]);
    assert_eq!(who(&changed).status, 401);
    assert_snapshot!(seen.all());
    balance(&node);
}
#[test]
fn what_is_published_is_what_is_read() {
    let (node, mut seen) = demo();
    seen.run(&["pub", "orders", "{\"id\":1}"]);
    seen.run(&["pub", "orders", "second", "--key", "k", "--header", "x-team=a", "--id", "o-2"]);
    seen.run(&["pub", "orders", "again", "--id", "o-2"]);
    seen.run(&["pub", "orders", "again", "--id", "o-2", "--header", "x-team=a"]);
    seen.run_with(&["pub", "orders"], b"two\nlines");
    seen.run_with(&["pub", "orders", "--lines"], b"a\r\nb\nc");
    seen.run_with(&["pub", "orders", "-o", "json"], &[0, 255]);
    seen.run(&["pub", "orders", "soon", "--ack", "accepted"]);
    seen.run(&["pub", "demo", "nobody hears it"]);
    seen.run(&["pub", "demo", "kept", "--ack", "stored"]);
    seen.run(&["pub", "a/+/b", "x"]);
    seen.run_with(&["pub", "demo", "--lines", "--ack", "stored"], b"1\n2\n");
    seen.run(&["sub", "orders", "--from", "earliest", "--limit", "6"]);
    seen.run(&["sub", "orders", "--from", "earliest", "--limit", "2", "-o", "json"]);
    seen.run(&["sub", "orders", "--from", "last:2", "--limit", "1", "-o", "yaml"]);
    seen.run(&["sub", "orders", "--from", "yesterday"]);
    let binary = seen
        .command(&["sub", "orders", "--from", "last:2", "--limit", "1"])
        .output()
        .unwrap();
    assert_eq!(binary.stdout, [0, 255, b'\n']);
    assert_snapshot!(seen.all());
    balance(&node);
}
#[test]
fn a_message_that_is_refused_is_no_item_to_who_wrote_it() {
    let (node, mut seen) = demo();
    let told = "error[TG1032]: `a b` is no header name\n";
    let one = seen.run(&["pub", "orders", "x", "--header", "a b=c"]);
    assert!(text(&one.stderr).starts_with(told), "{}", text(&one.stderr));
    let lines = seen.run_with(&["pub", "orders", "--lines", "--header", "a b=c"], b"1\n2\n");
    let said = text(&lines.stderr);
    assert!(said.contains("line 2: `a b` is no header name") && !said.contains("item"), "{said}");
    balance(&node);
}
#[test]
fn a_live_topic_is_read_from_now_on() {
    let (node, seen) = demo();
    let mut child = seen.command(&["sub", "demo/room", "--limit", "2"]).spawn().unwrap();
    let began = clock::instant();
    // It begins at a moment nobody is told of, so there is always something to hear.
    while child.try_wait().unwrap().is_none() {
        assert!(began.elapsed() < PATIENCE);
        node.post("/topics/demo/room", &[], b"hi");
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!((text(&output.stdout).as_str(), output.status.code()), ("hi\nhi\n", Some(0)));
    assert_eq!(
        text(&output.stderr),
        "no stream captures `demo/room`: it is live only, and begins now\n"
    );
    balance(&node);
}
#[test]
fn a_reader_goes_on_behind_what_it_saw_after_a_crash() {
    let folder = Arc::new(folder());
    let node = dev().start_in(folder.clone());
    let seen = Seen::at(&folder, &node);
    seen.out(&["stream", "add", "many", "--partitions", "3"]);
    seen.out(&["pub", "many", "1"]);
    let mut child = seen
        .command(&["sub", "many", "--from", "earliest", "--limit", "5"])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "1");
    let admin = node.admin;
    balance(&node);
    drop(node);
    assert!(told.next().unwrap().unwrap().starts_with("lost: "));
    let node = dev().set("listeners.admin.address", &admin.to_string()).start_in(folder);
    for message in ["2", "3", "4", "5"] {
        seen.out(&["pub", "many", message]);
    }
    let mut rest: Vec<_> = lines.map_while(Result::ok).collect();
    // Partitions have no order among each other.
    rest.sort();
    assert_eq!(rest, ["2", "3", "4", "5"]);
    assert!(told.next().unwrap().unwrap().starts_with("back; going on behind "));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    balance(&node);
}
#[test]
fn a_reader_of_a_stream_that_goes_is_told() {
    let (node, seen) = demo();
    seen.out(&["stream", "add", "brief"]);
    seen.out(&["pub", "brief", "1"]);
    let mut child = seen.command(&["sub", "brief", "--from", "earliest"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "1");
    seen.out(&["stream", "rm", "brief", "--yes"]);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("`brief`"), "{}", text(&output.stderr));
    balance(&node);
}
#[test]
fn hundreds_are_applied_and_listed_whole() {
    let (node, seen) = demo();
    let tokens = (0..1_001).map(|i| format!("kind: token\nname: t{i:04}\nmanage: viewer\nsha256: {i:064x}\n"));
    write(&seen.folder, "tokens.yaml", &tokens.collect::<Vec<_>>().join("---\n"));
    assert_eq!(seen.out(&["apply", "-f", "tokens.yaml"]).lines().count(), 1_001);
    let listed: Value = serde_json::from_str(&seen.out(&["token", "ls", "t", "-o", "json"])).unwrap();
    let names: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|token| token["name"].as_str().unwrap())
        .collect();
    assert_eq!((names.len(), names.is_sorted()), (1_001, true));
    assert!(
        seen.out(&["apply", "-f", "tokens.yaml"])
            .lines()
            .all(|line| line.starts_with("unchanged "))
    );
    balance(&node);
}
#[test]
fn what_is_missing_is_told_beside_the_messages() {
    let (node, mut seen) = demo();
    seen.out(&["stream", "add", "few", "--messages", "2"]);
    let first = seen.out(&["pub", "few", "0"]);
    let first = first.trim().strip_prefix("stored ").unwrap();
    let mut child = seen.command(&["pub", "few", "--lines"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"1\n2\n3\n4\n").unwrap();
    assert!(child.wait().unwrap().success());
    // The limits are looked at twice a second.
    let began = clock::instant();
    while !seen.out(&["sub", "few", "--from", "earliest", "--limit", "1"]).starts_with('3') {
        assert!(began.elapsed() < PATIENCE);
    }
    seen.run(&["sub", "few", "--from", first, "--limit", "2"]);
    assert_snapshot!(seen.all());
    balance(&node);
}
#[test]
fn each_message_is_posted_where_it_was_asked_to() {
    let (node, mut seen) = demo();
    let (target, asked) = target();
    let typed = ["--header", "content-type=application/vnd.order+json", "--header", "x-team=a"];
    seen.out(&[&["pub", "orders", "{\"id\":1}", "--key", "k", "--id", "first"], &typed[..]].concat());
    seen.out(&["pub", "orders", "{\"id\":2}"]);
    seen.out(&["pub", "orders", "text"]);
    // It waits, and is not there yet; as an item of a batch, too.
    seen.out(&["pub", "orders", "later", "--delay", "1h"]);
    seen.out(&["pub", "orders", "later", "--delay", "1h", "--ttl", "2h", "--header", "x-team=a"]);
    for wish in ["ttl", "delay"] {
        let flag = format!("--{wish}");
        for more in [&[][..], &["--header", "x-team=a"]] {
            let refused = seen
                .command(&[&["pub", "orders", "x", &flag, "soon"], more].concat())
                .output()
                .unwrap();
            let why = text(&refused.stderr).to_lowercase();
            assert!(
                refused.status.code() == Some(1) && why.contains(wish) && why.contains("soon"),
                "{why}"
            );
        }
    }
    let to = format!("http://{target}/hook");
    seen.run(&["sub", "orders", "--from", "earliest", "--limit", "3", "--to", &to]);
    let asked: Vec<_> = asked.iter().take(3).collect();
    for (request, parts) in asked.iter().zip([
        ["POST /hook HTTP/1.1", "content-type: application/vnd.order+json", "{\"id\":1}"],
        ["POST /hook HTTP/1.1", "content-type: application/json", "{\"id\":2}"],
        ["POST /hook HTTP/1.1", "content-type: application/octet-stream", "text"],
    ]) {
        assert!(parts.iter().all(|part| request.contains(part)), "{parts:?} is not in:\n{request}");
    }
    let as_a_webhook = [
        "webhook-id: first",
        "webhook-timestamp: ",
        "tidegate-key: k",
        "tidegate-topic: orders",
        "x-team: a",
    ];
    assert!(as_a_webhook.iter().all(|header| asked[0].contains(header)), "{}", asked[0]);
    assert!(
        asked[1].contains("webhook-id: pos_1_1") && asked[1].contains("tidegate-position: 1.1"),
        "{}",
        asked[1]
    );
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    seen.run(&[
        "sub",
        "orders",
        "--from",
        "last:1",
        "--limit",
        "1",
        "-o",
        "json",
        "--to",
        &format!("http://{nobody}/"),
    ]);
    assert_snapshot!(seen.all());
    balance(&node);
}
#[test]
fn the_audit_log_and_the_log_level_are_commands() {
    let (node, seen) = demo();
    seen.out(&["stream", "add", "s"]);
    let changes = seen.out(&["changes", "--limit", "1"]);
    assert!(
        changes.contains("token admin") && changes.contains("create  stream  s"),
        "{changes}"
    );
    assert_eq!(seen.out(&["log-level", "info,tidegate_log=debug"]), "info,tidegate_log=debug\n");
    assert_eq!(seen.out(&["log-level"]), "info,tidegate_log=debug\n");
    balance(&node);
}
#[test]
fn a_node_says_how_it_is() {
    let (node, mut seen) = demo();
    seen.run(&["status"]);
    let status: Value = serde_json::from_str(&seen.out(&["status", "-o", "json"])).unwrap();
    assert_eq!(status["ready"], true);
    let doctor: Value = serde_json::from_str(&seen.out(&["doctor", "-o", "json"])).unwrap();
    let checks: Vec<_> = doctor
        .as_array()
        .unwrap()
        .iter()
        .map(|check| check["check"].as_str().unwrap())
        .collect();
    assert_eq!(checks, ["node", "token", "clock", "ready", "disk", "descriptors", "memory"]);
    assert!(doctor.as_array().unwrap().iter().all(|check| check["state"] != "fail"), "{doctor}");
    seen.run(&["doctor", "--token", "tgt_wrong", "--data-dir", "elsewhere"]);
    assert_snapshot!(seen.all());
    balance(&node);
}
#[test]
fn files_are_read_again_when_asked() {
    let folder = Arc::new(folder());
    write(&folder, "tidegate.yaml", "resources: [resources]\n");
    write(&folder, "resources/1.yaml", STREAMS);
    let node = dev().start_in(folder.clone());
    let mut seen = Seen::at(&folder, &node);
    seen.run(&["reload"]);
    write(&folder, "resources/1.yaml", &format!("{}---\n{API}", STREAMS.replace("7d", "1h")));
    // The node may have seen it first.
    let reloaded = seen.command(&["reload"]).output().unwrap();
    let told = (text(&reloaded.stdout), text(&reloaded.stderr));
    let first = ("changed stream invoices\ncreated api invoices\n".to_owned(), String::new());
    assert!(
        told == first || told == (String::new(), "nothing to change\n".to_owned()),
        "{told:?}"
    );
    seen.run(&["api", "ls"]);
    write(&folder, "tidegate.yaml", "resources: [resources]\nlimits: { body: 1MiB }\n");
    seen.run(&["reload"]);
    write(&folder, "resources/1.yaml", &STREAMS.replace("retention", "retension"));
    seen.run(&["reload"]);
    seen.run(&["stream", "rm", "parcels", "--yes"]);
    seen.run(&["stream", "ls"]);
    seen.run(&["status"]);
    assert_snapshot!(seen.all());
    balance(&node);
}
#[test]
fn a_terminal_is_asked_without_showing_the_password() {
    let (node, seen) = demo();
    let typed = |arguments: &[&str], answers: &[&str]| {
        let output = Command::new("python3")
            .args(["-c", TERMINAL, TIDEGATE, &arguments.join(" "), &answers.join(" ")])
            .current_dir(seen.folder())
            .envs(seen.node.iter().map(|node| ("TIDEGATE_NODE", node)))
            .env_remove("TIDEGATE_TOKEN")
            .output()
            .unwrap();
        (text(&output.stdout).replace('\r', ""), output.status.code())
    };
    let add = ["user", "add", "alice", "--manage", "viewer"];
    let (shown, code) = typed(&add, &["hunter2", "hunter3"]);
    assert_eq!(code, Some(1), "{shown}");
    assert!(
        shown.contains("the passwords differ; nothing was changed") && !shown.contains("hunter"),
        "{shown}"
    );
    let (shown, code) = typed(&add, &["hunter2", "hunter2"]);
    assert_eq!((shown.as_str(), code), ("password: \nagain: \ncreated user alice\n", Some(0)));
    let basic = format!("Basic {}", base64("alice:hunter2"));
    let who = Client::once(node.admin, "GET", "/api/v1/whoami", &[("authorization", &basic)], b"");
    assert_eq!(who.json()["manage"], "viewer");

    seen.out(&["pub", "orders", "1"]);
    let purge = ["stream", "purge", "orders"];
    let (shown, code) = typed(&purge, &["n"]);
    assert_eq!(code, Some(1), "{shown}");
    assert!(
        shown.starts_with("this removes 1 message of stream orders, for good. Go on? [y/N] "),
        "{shown}"
    );
    let (shown, code) = typed(&purge, &["y"]);
    assert!(shown.ends_with("purged 1 message of stream orders\n") && code == Some(0), "{shown}");
    balance(&node);
}
/// Runs a program on a terminal of its own, types an answer whenever it has asked for one, prints what the terminal shows.
const TERMINAL: &str = r#"
import os, pty, select, sys
program, arguments, answers = sys.argv[1], sys.argv[2].split(), sys.argv[3].split()
pid, terminal = pty.fork()
if pid == 0:
    os.execv(program, [program, *arguments])
shown = b""
while select.select([terminal], [], [], 30)[0]:
    try:
        some = os.read(terminal, 4096)
    except OSError:
        break
    if not some:
        break
    shown += some
    if some.endswith((b": ", b"] ")) and answers:
        os.write(terminal, answers.pop(0).encode() + b"\n")
else:
    os.kill(pid, 9)
sys.stdout.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;
/// As the guide has it: operators show certificates of their own.
#[test]
fn a_node_that_asks_for_a_certificate_is_shown_one() {
    let folder = Arc::new(folder());
    let authority = Authority::new("test");
    authority.write(folder.path(), "admin".into());
    authority.write(folder.path(), "operator".into());
    let tls = "{ certificate: admin.pem, key: admin.key, client_ca: ca.pem }";
    let listeners = format!("gateway: \"127.0.0.1:0\", admin: [\"127.0.0.1:0\", {{ address: \"127.0.0.1:0\", tls: {tls} }}]");
    write(&folder, "tidegate.yaml", &format!("listeners: {{ {listeners} }}\n"));
    let node = How::bare(TIDEGATE, "dev").start_in(folder.clone());
    let status = node.manage("GET", "/status", &Value::Null).json();
    let listeners = status["listeners"].as_array().unwrap();
    let secure = listeners.iter().find(|one| !one["tls"].is_null()).unwrap()["address"]
        .as_str()
        .unwrap();
    let url = format!("https://localhost:{}", secure.rsplit(':').next().unwrap());
    let ask = |more: &[&str]| {
        let mut command = Command::new(TIDEGATE);
        command.args(["stream", "ls", "--node", &url, "--ca", "ca.pem"]).args(more);
        command.current_dir(folder.path()).output().unwrap().status.code()
    };
    assert_eq!(ask(&["--client-cert", "operator.pem", "--client-key", "operator.key"]), Some(0));
    assert_eq!(ask(&[]), Some(4));
    assert_eq!(ask(&["--client-cert", "operator.pem"]), Some(2));
    // One that nobody signed whom the node trusts.
    let other = self::folder();
    Authority::new("other").write(other.path(), "operator".into());
    let of_other = |name: &str| other.path().join(name).display().to_string();
    let (cert, key) = (of_other("operator.pem"), of_other("operator.key"));
    let stranger = ["--client-cert", &cert, "--client-key", &key];
    let output = tidegate(
        folder.path(),
        &[&["stream", "ls", "--node", &url, "--ca", "ca.pem"], &stranger[..]].concat(),
    );
    let told = text(&output.stderr);
    assert!(
        output.status.code() == Some(4) && told.contains("it refused the client certificate"),
        "{told}"
    );
    assert!(told.contains("client_ca") && !told.contains("try it with https"), "{told}");
    balance(&node);
}
#[test]
fn a_node_is_reached_over_tls() {
    let folder = Arc::new(folder());
    let authority = Authority::new("test");
    authority.write(folder.path(), "admin".into());
    let expired = Whose {
        name: "old",
        expired: true,
    };
    authority.write(folder.path(), expired);
    let tls = |name: &str| format!("{{ address: \"127.0.0.1:0\", tls: {{ certificate: {name}.pem, key: {name}.key }} }}");
    let listeners = format!(
        "gateway: \"127.0.0.1:0\", admin: [\"127.0.0.1:0\", {}, {}]",
        tls("admin"),
        tls("old")
    );
    write(&folder, "tidegate.yaml", &format!("listeners: {{ {listeners} }}\n"));
    let node = How::bare(TIDEGATE, "dev").start_in(folder.clone());
    let ready = node.lines().into_iter().find(|line| line.contains("\"ready\"")).unwrap();
    let ready: Value = serde_json::from_str(&ready).unwrap();
    let ports: Vec<_> = ready["admin"]
        .as_str()
        .unwrap()
        .split(',')
        .filter_map(|address| address.rsplit(':').next())
        .collect();
    let mut seen = Seen::at(&folder, &node);
    let good = format!("https://localhost:{}", ports[1]);
    seen.run(&["user", "ls", "--node", &good, "--ca", "ca.pem"]);
    seen.run(&["user", "ls", "--node", &good]);
    seen.run(&["user", "ls", "--node", &format!("http://localhost:{}", ports[1])]);
    seen.run(&["user", "ls", "--node", &format!("https://localhost:{}", ports[0])]);
    seen.run(&["user", "ls", "--node", &format!("https://localhost:{}", ports[2]), "--ca", "ca.pem"]);
    seen.run(&["user", "ls", "--node", &good, "--ca", "admin.key"]);
    seen.run(&["user", "ls", "--node", &good, "--ca", "none.pem"]);
    let address = format!("https://127.0.0.1:{}/healthz", ports[1]);
    seen.run(&["doctor", &address, "--ca", "ca.pem"]);
    seen.run(&["doctor", &address]);
    let doctor = seen.command(&["doctor"]).output().unwrap();
    let certificates: Vec<_> = text(&doctor.stdout)
        .lines()
        .filter(|line| line.contains("  certificate  "))
        .map(redacted)
        .collect();
    assert_eq!(certificates.len(), 2, "{}", text(&doctor.stdout));
    assert!(
        certificates[0].starts_with("ok    certificate   of `admin` is good until "),
        "{certificates:?}"
    );
    assert!(
        certificates[1].starts_with("fail  certificate   of `admin` ended at "),
        "{certificates:?}"
    );
    assert_eq!(doctor.status.code(), Some(1));
    assert_snapshot!(seen.all());
    balance(&node);
}
/// Answers 200 to what has an id of JSON, 500 to text; tells each request.
fn target() -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(socket);
            while let Some(request) = request(&mut reader) {
                let status = if request.contains("octet-stream") { "500 Oh no" } else { "200 OK" };
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                if tell.send(request).is_err() || reader.get_mut().write_all(answer.as_bytes()).is_err() {
                    break;
                }
            }
        }
    });
    (address, told)
}
fn request(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(head + &text(&body))
}
fn base64(text: &str) -> String {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let groups = text.as_bytes().chunks(3).map(|bytes| {
        let number = (0..3).fold(0_usize, |all, i| all << 8 | usize::from(bytes.get(i).copied().unwrap_or(0)));
        let digit = |i: usize| {
            if i > bytes.len() {
                '='
            } else {
                digits[number >> (18 - 6 * i) & 63] as char
            }
        };
        (0..4).map(digit).collect::<String>()
    });
    groups.collect()
}
/// Ports, times, tokens and hashes.
fn redacted(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let mut line = line.to_owned();
        for host in ["127.0.0.1:", "localhost:", "[::1]:"] {
            line = digits_behind(&line, host, "PORT");
        }
        line = digits_behind(&line, " in ", "N");
        out.push_str(&times(&hashes(&tokens(&line))));
        out.push('\n');
    }
    out.trim_end().to_owned()
}
fn digits_behind(line: &str, before: &str, instead: &str) -> String {
    let mut parts = line.split(before);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        out.push_str(before);
        if rest.len() < part.len() && (before != " in " || rest.starts_with(" ms")) {
            out.push_str(instead);
            out.push_str(rest);
        } else {
            out.push_str(part);
        }
    }
    out
}
/// `2026-11-21T10:00:00.000001Z`.
fn times(line: &str) -> String {
    let form = |text: &str| text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect::<String>();
    let mut out = String::new();
    let mut rest = line;
    while let Some(start) = form(rest).find("0000-00-00T00:00:00") {
        let (before, time) = rest.split_at(start);
        out.push_str(before);
        out.push_str("TIME");
        rest = time.split_once('Z').map_or("", |(_, rest)| rest);
    }
    out + rest
}
/// What stands for a text of 256 bits, and for one of a file.
fn hashes(line: &str) -> String {
    let hash = |word: &&str| word.len() == 64 && word.chars().all(|c| c.is_ascii_hexdigit());
    let of_file = |word: &&str| word.len() == 17 && word.starts_with('f') && word.chars().all(|c| c.is_ascii_hexdigit());
    // YAML quotes one that reads as a number: `"0b16…"`.
    let words = line.split(' ').map(|word| match word {
        _ if hash(&word.trim_matches('"')) => "SHA256",
        _ if of_file(&word) => "DIGEST",
        word => word,
    });
    words.collect::<Vec<_>>().join(" ")
}
fn tokens(line: &str) -> String {
    let mut parts = line.split("tgt_");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str("tgt_TOKEN");
        out.push_str(part.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || "_-".contains(c)));
    }
    out
}
