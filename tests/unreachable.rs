//! What the command line says where no node answers, or not as a node does. The servers here answer one thing, whatever they are asked.
use crate::commands::{Seen, folder, tidegate};
use insta::assert_snapshot;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
};

/// Answers every connection with these bytes, once something was asked.
fn answers(bytes: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            let _some = socket.read(&mut [0; 4096]);
            let _gone = socket.write_all(bytes);
        }
    });
    address
}
/// A port that nobody listens on: it was free a moment ago.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn nobody_there_is_exit_code_4() {
    let mut seen = Seen::new();
    let address = nobody().to_string();
    seen.run(&["status", "--node", &address]);
    seen.run(&["doctor", "--node", &address]);
    for verb in [
        &["stream", "ls"][..],
        &["api", "stop", "x"],
        &["user", "rm", "x"],
        &["token", "add", "x", "--manage", "viewer"],
        &["export"],
        &["reload"],
        &["pub", "x", "y"],
        &["sub", "x"],
    ] {
        let arguments = [verb, &["--node", &address]].concat();
        assert_eq!(tidegate(seen.folder(), &arguments).status.code(), Some(4), "{verb:?}");
    }
    assert_snapshot!(seen.all());
}
#[test]
fn what_is_no_node_is_said_to_be_none() {
    let mut seen = Seen::new();
    let page = answers(b"HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: 4\r\nconnection: close\r\n\r\nhi!\n");
    seen.run(&["status", "--node", &page.to_string()]);
    let proxy = answers(b"HTTP/1.1 502 Bad Gateway\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}");
    seen.run(&["export", "--node", &proxy.to_string()]);
    let other = answers(b"220 mail.example.com ESMTP\r\n");
    seen.run(&["reload", "--node", &other.to_string()]);
    seen.run(&["stream", "ls", "--node", &format!("https://{other}")]);
    let gateway = answers(
        b"HTTP/1.1 404 Not Found\r\ncontent-type: application/problem+json\r\ncontent-length: 72\r\nconnection: close\r\n\r\n{\"code\":\"TG1001\",\"status\":404,\"detail\":\"no api has this path\",\"hint\":\"\"} ",
    );
    seen.run(&["api", "info", "x", "--node", &gateway.to_string()]);
    assert_snapshot!(seen.all());
}
#[test]
fn an_answer_that_breaks_off_is_said_to() {
    let mut seen = Seen::new();
    let cut = answers(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\nconnection: close\r\n\r\n{\"items\":");
    seen.run(&["stream", "ls", "--node", &cut.to_string()]);
    assert_snapshot!(seen.all());
}
#[test]
fn who_is_not_logged_in_is_told_where_the_token_was_looked_for() {
    let mut seen = Seen::new();
    let problem = b"HTTP/1.1 401 Unauthorized\r\ncontent-type: application/problem+json\r\ncontent-length: 80\r\nconnection: close\r\n\r\n{\"code\":\"TG2001\",\"status\":401,\"detail\":\"this token is not known\",\"title\":\"x\"}   ";
    let node = answers(problem).to_string();
    seen.run(&["status", "--node", &node]);
    seen.run(&["status", "--node", &node, "--data-dir", "/nowhere"]);
    seen.run(&["status", "--node", &node, "--token", "tgt_x"]);
    seen.run(&["status", "--node", &node, "--token", ""]);
    assert_snapshot!(seen.all());
}
#[test]
fn usage_is_exit_code_2() {
    let mut seen = Seen::new();
    seen.run(&["status", "--node", "ftp://x"]);
    seen.run(&["stream", "rm"]);
    seen.run(&["api", "add", "x"]);
    seen.run(&["api", "add", "x", "--stream", "a", "--topic", "b"]);
    seen.run(&["token", "add", "x"]);
    seen.run(&["token", "add", "x", "--manage", "root"]);
    seen.run(&["pub", "x", "y", "--lines"]);
    seen.run(&["stream", "add", "x", "--label", "novalue"]);
    seen.run(&["pub", "", "y"]);
    seen.run(&["strem", "ls"]);
    assert_snapshot!(seen.all());
}
#[test]
fn what_a_command_cannot_do_here_is_said_with_a_hint() {
    let mut seen = Seen::new();
    seen.run(&["user", "add", "alice"]);
    seen.run(&["status", "--ca", "none.pem"]);
    seen.run(&["doctor", "kafka://localhost:9092"]);
    seen.run(&["doctor", "crm.example.com"]);
    // The rest of the sentence is the system's.
    let nameless = tidegate(seen.folder(), &["doctor", "http://nobody.invalid/"]);
    assert!(String::from_utf8_lossy(&nameless.stdout).starts_with("fail  name          nobody.invalid is not found: "));
    assert_eq!(nameless.status.code(), Some(4));
    let address = nobody();
    seen.run(&["doctor", &format!("http://{address}/")]);
    let good = answers(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
    seen.run(&["doctor", &format!("http://{good}/hook")]);
    assert_snapshot!(seen.all());
}
#[test]
fn every_command_says_what_it_does() {
    let mut seen = Seen::new();
    for words in [
        "",
        "dev",
        "run",
        "check",
        "init",
        "pub",
        "sub",
        "stream",
        "stream ls",
        "stream info",
        "stream add",
        "stream rm",
        "stream purge",
        "api",
        "api ls",
        "api info",
        "api add",
        "api rm",
        "api start",
        "api stop",
        "endpoint",
        "endpoint add",
        "user",
        "user add",
        "token",
        "token add",
        "token rm",
        "apply",
        "diff",
        "export",
        "reload",
        "status",
        "doctor",
        "explain",
        "completion",
        "version",
    ] {
        let mut arguments: Vec<_> = words.split_whitespace().collect();
        arguments.push("--help");
        seen.run(&arguments);
    }
    assert_snapshot!(seen.all());
}
#[test]
fn shells_can_complete_every_command() {
    let folder = folder();
    for shell in ["bash", "zsh", "fish"] {
        let script = tidegate(folder.path(), &["completion", shell]);
        let text = String::from_utf8_lossy(&script.stdout);
        assert_eq!(script.status.code(), Some(0), "{shell}");
        for word in ["purge", "export", "--data-dir", "tidegate"] {
            assert!(text.contains(word.trim_start_matches('-')), "{shell} lacks {word}");
        }
    }
}
