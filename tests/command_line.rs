//! The command line as a user sees it: data on standard output, prose on standard error, exit codes.
use crate::{TIDEGATE, dev};
use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
    sync::Arc,
};
use tempfile::TempDir;
use tidegate_testkit::{Client, Node, balance, node::How};

fn tidegate(folder: &TempDir, arguments: &[&str]) -> Output {
    Command::new(TIDEGATE).args(arguments).current_dir(folder.path()).output().unwrap()
}
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
#[expect(clippy::disallowed_methods, reason = "a test's own folder")]
fn write(folder: &TempDir, name: &str, text: &str) {
    std::fs::write(folder.path().join(name), text).unwrap();
}

#[expect(clippy::disallowed_methods, reason = "a test's own folder")]
fn replace(path: &std::path::Path, text: &str) {
    std::fs::write(path, text).unwrap();
}
#[test]
fn version_and_explain() {
    let folder = TempDir::new().unwrap();
    let version = tidegate(&folder, &["version"]);
    assert_eq!(text(&version.stdout), format!("tidegate {}\n", env!("CARGO_PKG_VERSION")));
    let page = tidegate(&folder, &["explain", "TG1001"]);
    assert!(text(&page.stdout).starts_with("# TG1001"), "{}", text(&page.stdout));
    let unknown = tidegate(&folder, &["explain", "TG0"]);
    assert_eq!((unknown.status.code(), unknown.stdout.len()), (Some(2), 0));
    // As a problem's `type` says it.
    let by_type = tidegate(&folder, &["explain", "urn:tidegate:error:TG1001"]);
    assert_eq!(by_type.stdout, page.stdout);
    let near = tidegate(&folder, &["explain", "TG1017"]);
    assert!(
        text(&near.stderr).ends_with("`TG1017`\nhint: the nearest are TG1016, TG1015, TG1014\n"),
        "{}",
        text(&near.stderr)
    );
}
#[test]
fn init_writes_the_demo_and_run_serves_it() {
    let folder = TempDir::new().unwrap();
    assert_eq!(tidegate(&folder, &["init"]).status.code(), Some(0));
    let again = tidegate(&folder, &["init"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("is there already; nothing was written"));
    let checked = tidegate(&folder, &["check", "tidegate.yaml"]);
    assert_eq!(
        (checked.status.code(), text(&checked.stderr).as_str()),
        (Some(0), "ok: 1 stream, 3 apis\n")
    );
    let node = How::run(TIDEGATE)
        .set("listeners.memphis.address", "127.0.0.1:0")
        .start_in(Arc::new(folder));
    assert_eq!(node.post("/orders", &[], b"1").json()["ack"], "stored");
    assert_eq!(node.get("/").status, 404, "nothing is implied");
    balance(&node);
    // Beside these files, too, the user of Memphis' documents is there for a try.
    let log_in = |node: &Node| {
        let root = b"{\"username\":\"root\",\"connection_token\":\"memphis\"}";
        let json = [("content-type", "application/json")];
        Client::once(node.memphis.unwrap(), "POST", "/auth/authenticate", &json, root).status
    };
    assert_eq!(log_in(&node), 401);
    assert_eq!(log_in(&node.restart_with(dev(), |_| {})), 200);
}
#[test]
fn nothing_is_counted_as_none() {
    let folder = TempDir::new().unwrap();
    write(&folder, "empty.yaml", "data_dir: x\n");
    assert_eq!(text(&tidegate(&folder, &["check", "empty.yaml"]).stderr), "ok: 0 streams, 0 apis\n");
}
#[test]
fn five_faults_in_five_places_are_five_errors() {
    let folder = TempDir::new().unwrap();
    write(
        &folder,
        "tidegate.yaml",
        "resources: [a.yaml]\nlimits: { body: 4MB }\nlistener: {}\n",
    );
    write(
        &folder,
        "a.yaml",
        "kind: stream\nname: orders\nretension: { age: 1h }\n---\nkind: api\nname: o\npaths: [/o]\nplans: [keyless]\nbackend: { stream: order }\n---\nkind: strem\nname: x\n",
    );
    let checked = tidegate(&folder, &["check", "tidegate.yaml"]);
    let said = text(&checked.stderr);
    assert_eq!(checked.status.code(), Some(3));
    assert_eq!(said.matches("error[TG").count(), 5, "{said}");
    for part in [
        "did you mean `retention`?",
        "--> a.yaml:3:1",
        "5 errors in 2 files; nothing was changed",
    ] {
        assert!(said.contains(part), "{part} is not in:\n{said}");
    }
    let json = tidegate(&folder, &["check", "-o", "json", "tidegate.yaml"]);
    let errors: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(errors.as_array().unwrap().len(), 5);
    assert_eq!(errors[0]["file"], "a.yaml");
}
#[test]
fn a_second_process_on_a_folder_is_told_who_holds_it() {
    let node = dev().start();
    let data = node.folder().join("tidegate-data").display().to_string();
    let folder = TempDir::new().unwrap();
    let second = Command::new(TIDEGATE)
        .args([
            "dev",
            "--data-dir",
            &data,
            "--set",
            "listeners.gateway.address=127.0.0.1:0",
            "--set",
            "listeners.admin.address=127.0.0.1:0",
        ])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = text(&second.stderr);
    assert!(said.contains("error[TG4003]") && said.contains(&node.pid().to_string()), "{said}");
    balance(&node);
}
#[test]
fn every_busy_port_is_named_in_run() {
    let node = dev().start();
    let free = "127.0.0.1:0".to_owned();
    let (gateway, admin) = (node.gateway.to_string(), node.admin.to_string());
    for (gateway, admin, busy) in [
        (&gateway, &free, &["gateway"][..]),
        (&free, &admin, &["admin"]),
        (&gateway, &admin, &["gateway", "admin"]),
    ] {
        let folder = TempDir::new().unwrap();
        let listeners = format!("listeners: {{ gateway: \"{gateway}\", admin: \"{admin}\" }}\n");
        write(&folder, "tidegate.yaml", &listeners);
        let second = tidegate(&folder, &["run", "--config", "tidegate.yaml"]);
        assert_eq!(second.status.code(), Some(3));
        let said = text(&second.stderr);
        assert_eq!(said.matches("error[TG5012]").count(), busy.len(), "{said}");
        for (name, address) in [("gateway", gateway), ("admin", admin)]
            .iter()
            .filter(|(name, _)| busy.contains(name))
        {
            let hint = format!("hint: set `listeners.{name}.address`, or end process {} (", node.pid());
            assert!(
                said.contains(&format!("cannot listen on {address}")) && said.contains(&hint),
                "{said}"
            );
        }
    }
    balance(&node);
}
#[test]
fn a_start_says_what_the_disk_cannot_become() {
    let of = |partitions: u8| format!("{{}}\n---\nkind: stream\nname: s\npartitions: {partitions}\n");
    let node = How::run(TIDEGATE).start_with(&of(2));
    // As a running node says it.
    let path = node.folder().join("tidegate.yaml");
    replace(&path, &of(3));
    let at = format!("http://{}", node.admin);
    let reload = Command::new(TIDEGATE)
        .args(["reload", "--node", &at])
        .current_dir(node.folder())
        .output()
        .unwrap();
    let folder = node.stop();
    let start = tidegate(&folder, &["run", "--set", "listeners.gateway=:0", "--set", "listeners.admin=:0"]);
    let said = text(&start.stderr);
    let expected = "expected 2: the stream was created with 2 partitions, and that is fixed on disk";
    assert!(said.contains(expected) && said.contains("tidegate.yaml:5:13"), "{said}");
    assert_eq!(
        (
            start.status.code(),
            said.lines().filter(|line| !line.contains(" WARN ")).collect::<Vec<_>>()
        ),
        (Some(3), text(&reload.stderr).lines().collect())
    );
}
#[test]
fn one_variable_names_the_data_folder() {
    let folder = Arc::new(TempDir::new().unwrap());
    write(&folder, "tidegate.yaml", "data_dir: of-the-file\n");
    for verb in [How::dev(TIDEGATE), How::run(TIDEGATE)] {
        let node = verb.clone().variable("TIDEGATE_DATA_DIR", "elsewhere").start_in(folder.clone());
        let at = format!("http://{}", node.admin);
        let status = Command::new(TIDEGATE)
            .args(["status", "--node", &at])
            .env("TIDEGATE_DATA_DIR", "elsewhere")
            .current_dir(node.folder())
            .output()
            .unwrap();
        assert_eq!(status.status.code(), Some(0), "{}", text(&status.stderr));
        assert!(!node.folder().join("of-the-file").exists() && !node.folder().join("tidegate-data").exists());
        node.stop();
        // A flag is stronger.
        let node = verb
            .variable("TIDEGATE_DATA_DIR", "elsewhere")
            .argument("--set")
            .argument("data_dir=flagged")
            .start_in(folder.clone());
        assert!(node.folder().join("flagged/control.db").exists());
        node.stop();
    }
}
#[test]
fn run_takes_files_as_check_does() {
    let folder = Arc::new(TempDir::new().unwrap());
    write(&folder, "node.yaml", "limits: { body: 1MiB }\n");
    write(&folder, "streams.yaml", "kind: stream\nname: s\n");
    let both = ["node.yaml", "streams.yaml"];
    let checked = tidegate(&folder, &[&["check"], &both[..]].concat());
    assert_eq!(text(&checked.stderr), "ok: 1 stream, 0 apis\n");
    let run = both.iter().fold(How::run(TIDEGATE), |how, file| how.argument(file));
    let node = run.start_in(folder.clone());
    assert_eq!(node.manage("GET", "/streams/s", &serde_json::Value::Null).status, 200);
    node.stop();
    let node = How::run(TIDEGATE)
        .argument("--config")
        .argument("streams.yaml")
        .start_in(folder.clone());
    assert_eq!(node.manage("GET", "/streams/s", &serde_json::Value::Null).status, 200);
    node.stop();
    let checked = tidegate(&folder, &["check", "--config", "streams.yaml"]);
    assert_eq!(text(&checked.stderr), "ok: 1 stream, 0 apis\n");
    for verb in ["check", "run"] {
        let twice = tidegate(&folder, &[verb, "node.yaml", "--config", "streams.yaml"]);
        assert_eq!(twice.status.code(), Some(2), "{}", text(&twice.stderr));
    }
}
#[test]
fn expose_opens_only_what_nobody_named() {
    // The gateway's address is said by a variable, the admin's by a flag, and that one has no protection.
    let node = dev()
        .argument("--expose")
        .argument("--set")
        .argument("listeners.admin=0.0.0.0:0")
        .start();
    assert!(node.gateway.ip().is_loopback() && node.admin.ip().is_unspecified());
    node.terminate();
    let (_, said) = node.last_words();
    assert!(said.iter().any(|line| line.contains("open to others: admin, demo on")), "{said:?}");
    // What is not declared is not there.
    let node = How::bare(TIDEGATE, "dev")
        .argument("--expose")
        .start_with("listeners: { gateway: \"127.0.0.1:0\", admin: \"127.0.0.1:0\" }\ntelemetry: { logs: json }\n");
    assert!(node.gateway.ip().is_loopback() && node.memphis.is_none());
    balance(&node);
}
#[test]
fn expose_says_where_it_has_no_effect() {
    let said = |how: How, settings: &str| {
        let node = how.start_with(settings);
        node.terminate();
        let (_, said) = node.last_words();
        said.into_iter()
            .filter(|line| line.contains("--expose had no effect"))
            .collect::<Vec<_>>()
    };
    let exposed = || How::bare(TIDEGATE, "dev").argument("--expose").set("telemetry.logs", "json");
    let all = "listeners:\n  gateway: \"127.0.0.1:0\"\n  admin: \"127.0.0.1:0\"\n";
    let told = said(exposed(), all);
    let places = "gateway at tidegate.yaml:2:12, admin at tidegate.yaml:3:10";
    let note = format!("note: --expose had no effect, for it is said where each listener listens: {places}");
    assert_eq!(told, [note]);
    // It lets one be public without a word on TLS.
    let public = "listeners: { gateway: \"0.0.0.0:0\", admin: \"127.0.0.1:0\" }\n";
    assert!(said(exposed(), public).is_empty());
    assert!(said(dev(), all).is_empty());
}
#[test]
fn what_is_wrong_with_a_variable_is_said_of_it() {
    let folder = TempDir::new().unwrap();
    let said = |variable: &str, value: &str, arguments: &[&str]| {
        let mut command = Command::new(TIDEGATE);
        let output = command
            .args(arguments)
            .env(variable, value)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        text(&output.stderr).lines().next().unwrap_or_default().to_owned()
    };
    let empty = "error: a value is required for 'the variable TIDEGATE_DATA_DIR' but none was supplied";
    for verb in ["dev", "run", "status"] {
        assert_eq!(said("TIDEGATE_DATA_DIR", "", &[verb]), empty, "{verb}");
    }
    let node = said("TIDEGATE_NODE", "ftp://x", &["api", "ls"]);
    assert!(
        node.starts_with("error: invalid value 'ftp://x' for 'the variable TIDEGATE_NODE': expected an address"),
        "{node}"
    );
    // Who wrote the flag is told of that.
    let flag = said("TIDEGATE_DATA_DIR", "x", &["dev", "--data-dir", ""]);
    assert_eq!(flag, "error: a value is required for '--data-dir <DIR>' but none was supplied");
}
#[test]
fn a_folder_without_a_configuration_is_named() {
    let folder = TempDir::new().unwrap();
    let place = folder.path().canonicalize().unwrap();
    for verb in ["check", "run"] {
        let output = tidegate(&folder, &[verb]);
        let said = text(&output.stderr);
        let hint = format!(
            "= hint: it was looked for in `{}`: `tidegate init` writes one, `tidegate {verb} FILE` takes another\n",
            place.display()
        );
        assert_eq!((output.status.code(), said.contains(&hint)), (Some(3), true), "{said}");
        // Who names another one knows where it is not.
        let named = text(&tidegate(&folder, &[verb, "other.yaml"]).stderr);
        assert!(named.contains("`other.yaml` cannot be read") && !named.contains("hint"), "{named}");
    }
}
#[test]
fn standard_input_is_checked() {
    let folder = TempDir::new().unwrap();
    let checked = |input: &str, arguments: &[&str]| {
        let mut child = Command::new(TIDEGATE)
            .args(arguments)
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It may have ended without reading.
        let _closed = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        (output.status.code(), text(&output.stderr))
    };
    assert_eq!(
        checked("kind: stream\nname: a\n", &["check", "-"]),
        (Some(0), "ok: 1 stream, 0 apis\n".to_owned())
    );
    let (code, said) = checked("kind: stream\nname: a\nretension: {}\n", &["check", "-"]);
    assert!(
        code == Some(3) && said.contains("--> stdin:3:1") && said.contains("did you mean `retention`?"),
        "{said}"
    );
    let (code, said) = checked("", &["check", "-", "a.yaml"]);
    assert!(code == Some(1) && said.contains("standard input is checked alone"), "{said}");
}
#[test]
fn a_usage_line_asks_for_nothing_that_a_variable_says() {
    let folder = TempDir::new().unwrap();
    for line in ["stream rm", "pub", "token add x", "pub a b --lines", "webhook replay"] {
        let said = |variables: &[(&str, &str)]| {
            let output = Command::new(TIDEGATE)
                .args(line.split(' '))
                .env_remove("TIDEGATE_NODE")
                .env_remove("TIDEGATE_DATA_DIR")
                .envs(variables.iter().copied())
                .current_dir(folder.path())
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(2));
            text(&output.stderr)
        };
        let plain = said(&[]);
        assert!(plain.contains("Usage: tidegate ") && !plain.contains("--node"), "{plain}");
        assert_eq!(said(&[("TIDEGATE_NODE", "localhost:1"), ("TIDEGATE_DATA_DIR", "x")]), plain);
    }
}
#[test]
fn a_name_that_is_misspelt_is_guessed() {
    let node = dev().start();
    let at = format!("http://{}", node.admin);
    for (words, name, near) in [
        ("api info", "ordres", "orders"),
        ("api rm", "ordres", "orders"),
        ("api stop", "ordres", "orders"),
        ("stream groups", "ordres", "orders"),
        ("webhook log", "order-inbox", ""),
    ] {
        let arguments: Vec<_> = words.split(' ').chain([name, "--node", &at]).collect();
        let output = Command::new(TIDEGATE).args(&arguments).current_dir(node.folder()).output().unwrap();
        let said = text(&output.stderr);
        assert!(said.contains(&format!("`{name}`")), "{words}: {said}");
        let hint = format!("hint: did you mean `{near}`?\n");
        assert!(near.is_empty() || said.contains(&hint), "{words}: {said}");
    }
    let far = Command::new(TIDEGATE)
        .args(["api", "info", "nothing-like-it", "--node", &at])
        .current_dir(node.folder())
        .output()
        .unwrap();
    assert!(!text(&far.stderr).contains("did you mean"), "{}", text(&far.stderr));
}
#[test]
fn a_token_that_has_expired_is_listed_as_that() {
    let node = dev().start();
    let token = serde_json::json!({"manage": "viewer", "sha256": "0".repeat(64), "expires": "2020-01-01T00:00:00Z"});
    assert_eq!(node.manage("PUT", "/tokens/old", &token).status, 201);
    let at = format!("http://{}", node.admin);
    let listed = Command::new(TIDEGATE)
        .args(["token", "ls", "--node", &at])
        .current_dir(node.folder())
        .output()
        .unwrap();
    let listed = text(&listed.stdout);
    assert!(listed.contains("expired 2020-01-01T00:00:00Z"), "{listed}");
}
#[test]
fn the_first_screen_is_as_documented() {
    let node = dev().set("telemetry.logs", "text").start();
    node.post("/orders", &[], b"1");
    balance(&node);
    let pid = node.pid().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let (code, said) = node.last_words();
    assert_eq!(code, Some(0));
    let first = "tidegate 0.1.0 dev: durable in ./tidegate-data, this machine only, demo on";
    let at = |what: &str| said.iter().position(|line| line.contains(what));
    let order = [
        " INFO ready gateway=",
        first,
        "Ctrl-C drains.",
        " INFO draining",
        " INFO stopped, nothing was cut took=\"",
    ]
    .map(at);
    assert!(order.is_sorted() && order.iter().all(Option::is_some), "{order:?}: {said:?}");
    assert_eq!(order[4], Some(said.len() - 1), "{said:?}");
}
