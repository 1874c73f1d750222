//! TLS on the listeners: who is let in, what is spoken over it, and certificates that change.
use crate::{TIDEGATE, TOOLS, dev};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tempfile::TempDir;
use tidegate_testkit::{
    Authority, Browser, Client, Node, Trust, WebSocket, balance,
    certificates::{Whose, replace},
    client::head,
    node::How,
    websocket::Frame,
};

const UNREADY: &str = "tidegate_unready_connections_total{listener=\"gateway\"}";
const OPEN: &str = "tidegate_connections{listener=\"gateway\"}";
const SSE: &str = "tidegate_subscribers{api=\"orders\",entrypoint=\"sse\"}";
const RESOURCES: &str = "kind: stream\nname: orders\n---\nkind: api\nname: orders\npaths: [/orders]\nbackend: { stream: orders }\nplans: [keyless]\n\
                         entrypoints: { http_post: {}, http_get: {}, sse: { heartbeat: 1s }, websocket: {} }\n";

/// A folder with `gateway.pem`, signed by `ca.pem`, and a listener that names it, with these settings more of its TLS.
fn folder(authority: &Authority, more: &str) -> Arc<TempDir> {
    let folder = TempDir::new().unwrap();
    authority.write(folder.path(), "gateway".into());
    let tls = format!("{{ certificate: gateway.pem, key: gateway.key{more} }}");
    let settings = format!("listeners:\n  gateway:\n    address: 127.0.0.1:0\n    tls: {tls}\n---\n{RESOURCES}");
    replace(&folder.path().join("tidegate.yaml"), &settings);
    folder.into()
}
fn secured() -> (Node, Authority) {
    with(dev(), "")
}
fn with(how: How, more: &str) -> (Node, Authority) {
    let authority = Authority::new("test");
    (how.start_in(folder(&authority, more)), authority)
}
fn http_1(authority: &Authority) -> Trust {
    Trust::new(authority, &["http/1.1"])
}
/// Over HTTP/1.1.
fn client(node: &Node, authority: &Authority) -> Client {
    Client::secure(node.gateway, &http_1(authority)).unwrap()
}
fn url(node: &Node, path: &str) -> String {
    format!("https://localhost:{}{path}", node.gateway.port())
}
fn curl(node: &Node, arguments: &[&str]) -> Output {
    let ca = node.folder().join("ca.pem").display().to_string();
    let mut command = Command::new("curl");
    command.args(["-sS", "--cacert", &ca, "-w", "%{http_version}"]).args(arguments);
    command.output().unwrap()
}
fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
/// Waits for a line of the log.
fn heard(node: &Node, words: &str) -> usize {
    for _ in 0..100_000 {
        let count = node.lines().iter().filter(|line| line.contains(words)).count();
        if count > 0 {
            return count;
        }
        // A request is an event of its own.
        assert_eq!(node.admin("/healthz").status, 200);
    }
    panic!("never said: {words}\n{}", node.lines().join("\n"))
}

#[test]
fn curl_publishes_and_reads_over_https() {
    let (node, _) = secured();
    let posted = said(&curl(&node, &["--http1.1", "-d", "{\"id\":1}", &url(&node, "/orders")]));
    assert_eq!(posted, "{\"id\":\"1.0\",\"position\":\"1.0\",\"ack\":\"stored\"}\n1.1");
    let page = said(&curl(&node, &["--http2", &url(&node, "/orders")]));
    assert!(page.contains("\"payload\":\"{\\\"id\\\":1}\"") && page.ends_with('2'), "{page}");
    // Larger than any buffer, there and back.
    let large = tempfile::NamedTempFile::new().unwrap();
    large.as_file().set_len(4 << 20).unwrap();
    for version in ["--http1.1", "--http2"] {
        let body = format!("@{}", large.path().display());
        let posted = said(&curl(&node, &[version, "--data-binary", &body, &url(&node, "/orders")]));
        assert!(posted.contains("\"ack\":\"stored\""), "{posted}");
        let page = said(&curl(&node, &[version, &url(&node, "/orders?from=last:1")]));
        assert!(page.len() > 4 << 20, "{}", page.len());
    }
    balance(&node);
}
#[test]
fn both_versions_of_http_are_agreed_on() {
    let (node, authority) = secured();
    for (offered, agreed) in [(&["h2", "http/1.1"][..], "h2"), (&["http/1.1"], "http/1.1"), (&[], "")] {
        let client = Client::secure(node.gateway, &Trust::new(&authority, offered)).unwrap();
        assert_eq!(client.into_wire().protocol(), agreed);
    }
    let nobody = Client::secure(node.gateway, &Trust::new(&authority, &["smtp"]));
    assert!(nobody.is_err(), "nothing in common");
}
#[test]
fn h2load_speaks_http_2_over_tls() {
    let (node, _) = secured();
    let body = tempfile::NamedTempFile::new().unwrap();
    replace(body.path(), "hello");
    let output = Command::new("h2load")
        .args([
            "-n",
            "2000",
            "-c",
            "8",
            "-m",
            "16",
            "-d",
            &body.path().display().to_string(),
            &url(&node, "/orders"),
        ])
        .output()
        .expect("h2load (cargo xtask tools installs it)");
    let figures = said(&output);
    assert!(
        figures.contains("Application protocol: h2") && figures.contains("2000 2xx"),
        "{figures}"
    );
    balance(&node);
}
#[test]
fn whom_no_authority_signed_is_refused_in_the_handshake() {
    let (node, authority) = with(dev(), ", client_ca: ca.pem");
    let own = authority.sign("caller".into());
    let trust = |own| Trust::with(&authority, &["http/1.1"], own);
    let mut known = Client::secure(node.gateway, &trust(Some(own.clone()))).unwrap();
    assert_eq!(known.request("POST", "/orders", &[], b"1").status, 202);
    // In TLS 1.3 the client's side of the handshake ends before the server has looked at it.
    let refused =
        |trust: Trust| Client::secure(node.gateway, &trust).map_or(0, |mut client| client.request("POST", "/orders", &[], b"1").status);
    assert_eq!(refused(trust(None)), 0);
    let stranger = Authority::new("another");
    assert_eq!(refused(trust(Some(stranger.sign("caller".into())))), 0);
    let expired = Whose {
        name: "caller",
        expired: true,
    };
    assert_eq!(refused(trust(Some(authority.sign(expired)))), 0);
    node.until(UNREADY, |count| count == 3);
    // And by a client that nobody here wrote.
    replace(&node.folder().join("caller.pem"), &own.0);
    replace(&node.folder().join("caller.key"), &own.1);
    let (certificate, key) = (node.folder().join("caller.pem"), node.folder().join("caller.key"));
    let shown = ["--cert", &certificate.display().to_string(), "--key", &key.display().to_string()].map(str::to_owned);
    let asked: Vec<_> = shown.iter().map(String::as_str).chain(["-d", "2"]).collect();
    let url = url(&node, "/orders");
    let posted = said(&curl(&node, &[&asked[..], &[&url]].concat()));
    assert!(posted.contains("\"ack\":\"stored\""), "{posted}");
    let output = curl(&node, &["-d", "3", &url]);
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && why.contains("certificate required"), "{why}");
    balance(&node);
}
#[test]
fn the_oldest_version_can_be_chosen() {
    let (node, _) = with(dev(), ", min_version: \"1.3\"");
    let old = curl(&node, &["--tls-max", "1.2", &url(&node, "/orders?wait=0")]);
    let why = String::from_utf8_lossy(&old.stderr).into_owned();
    assert!(!old.status.success() && why.contains("protocol version"), "{why}");
    said(&curl(&node, &["--tlsv1.3", &url(&node, "/orders?wait=0")]));
    let (node, _) = secured();
    said(&curl(&node, &["--tls-max", "1.2", &url(&node, "/orders?wait=0")]));
    let older = curl(&node, &["--tls-max", "1.1", "--tlsv1.0", &url(&node, "/orders?wait=0")]);
    assert!(!older.status.success());
    balance(&node);
}
#[test]
fn who_speaks_http_is_told_that_tls_is_spoken() {
    let (node, authority) = secured();
    let mut plain = Client::new(node.gateway);
    let answer = plain.request("GET", "/orders", &[], b"");
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (400, Some("text/plain; charset=utf-8"))
    );
    assert!(answer.text().starts_with("TG1040 this port speaks TLS"), "{}", answer.text());
    assert!(plain.is_closed());
    // HTTP/2 that knows, and what is neither.
    for first in [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
        b"\x00\x01\x02",
        b"\x16\x03\x01\x00\x02\x01\x00",
        b"\x80\x2e\x01",
    ] {
        let mut client = Client::new(node.gateway);
        client.write(first);
        client.finish();
        let mut rest = Vec::new();
        let _cut = client.read_to_end(&mut rest);
        assert!(
            rest.is_empty() || rest.starts_with(b"\x15") || rest.starts_with(b"HTTP/1.1 400"),
            "{rest:?}"
        );
    }
    // Who says nothing is no failure: so a load balancer looks whether we live.
    let silent = Client::new(node.gateway);
    node.until(OPEN, |open| open == 1);
    drop(silent);
    node.until(OPEN, |open| open == 0);
    assert_eq!(node.metric(UNREADY), 5);
    assert!(!node.lines().iter().any(|line| line.contains("\"WARN\"")), "{:?}", node.lines());
    assert_eq!(client(&node, &authority).request("POST", "/orders", &[], b"1").status, 202);
    balance(&node);
}
#[test]
fn a_handshake_has_the_time_of_a_head() {
    let (node, authority) = with(dev().set("limits.head_timeout", "250ms"), "");
    // The beginning of a hello, a record that never ends, and nothing.
    for part in [&b"\x16"[..], b"\x16\x03\x01\x02\x00\x01\x00", b""] {
        let mut client = Client::new(node.gateway);
        client.write(part);
        assert!(client.is_closed());
    }
    node.until("tidegate_timed_out_connections_total{listener=\"gateway\"}", |count| count == 3);
    // After it the times are those of HTTP.
    let mut client = client(&node, &authority);
    client.write(b"GET /orders HT");
    assert!(client.is_closed());
    balance(&node);
}
#[test]
fn over_the_cap_of_connections_is_an_alert() {
    let (node, authority) = with(dev().set("limits.connections", "4"), "");
    let mut served: Vec<_> = (0..4).map(|_| client(&node, &authority)).collect();
    let mut one_more = Client::new(node.gateway);
    one_more.write(b"\x16\x03\x01");
    one_more.finish();
    let mut said = Vec::new();
    let _cut = one_more.read_to_end(&mut said);
    assert_eq!(said, [21, 3, 3, 0, 2, 2, 80]);
    assert_eq!(node.metric("tidegate_shed_connections_total{listener=\"gateway\"}"), 1);
    for client in &mut served {
        assert_eq!(client.request("POST", "/orders", &[], b"1").status, 202);
    }
    balance(&node);
}
#[test]
fn events_and_web_sockets_go_over_tls() {
    let (node, authority) = secured();
    let mut stream = client(&node, &authority);
    stream.write(&head("GET", "/orders", &[("accept", "text/event-stream")], None));
    assert_eq!(stream.head().unwrap().status, 200);
    let mut socket = WebSocket::over(client(&node, &authority), "/orders", None);
    node.until(SSE, |open| open == 1);
    let mut publisher = client(&node, &authority);
    let mut rest = String::new();
    for i in 0..100 {
        let payload = format!("{i}:{}", "x".repeat(i * 300));
        assert_eq!(publisher.request("POST", "/orders", &[], payload.as_bytes()).status, 202);
        assert_eq!(stream.event(&mut rest).unwrap(), format!("id: 1.{i}\ndata: {payload}"));
        assert_eq!(socket.heard(), payload);
    }
    socket.text("mine");
    assert_eq!(stream.event(&mut rest).unwrap(), "id: 1.100\ndata: mine");
    assert_eq!(socket.heard(), "mine");
    socket.close(1000);
    assert_eq!(socket.word(), Frame::Close(1000, String::new()));
    assert_eq!(socket.any(), Frame::Ended);
    drop(stream);
    node.until(SSE, |open| open == 0);
    balance(&node);
}
#[test]
fn websockets_of_python_speaks_wss() {
    let (node, _) = secured();
    let script = r#"
import asyncio, ssl, sys, websockets
async def main():
    trust = ssl.create_default_context(cafile=sys.argv[2])
    async with websockets.connect(sys.argv[1], ssl=trust) as ws:
        for i in range(100):
            await ws.send(str(i) * (i + 1))
        for i in range(100):
            assert await ws.recv() == str(i) * (i + 1)
    print("ok")
asyncio.run(main())
"#;
    let ca = node.folder().join("ca.pem").display().to_string();
    let url = url(&node, "/orders").replace("https", "wss");
    let output = Command::new(format!("{TOOLS}/python3")).args(["-c", script, &url, &ca]).output();
    assert_eq!(said(&output.expect("websockets (cargo xtask tools installs it)")), "ok\n");
    balance(&node);
}
#[test]
fn websocat_speaks_wss() {
    let (node, _) = secured();
    let url = format!("{}?from=earliest", url(&node, "/orders").replace("https", "wss"));
    let ca = node.folder().join("ca.pem");
    let mut child = Command::new(format!("{TOOLS}/websocat"))
        .args(["--text", &url])
        // OpenSSL's own variable for whom to trust.
        .env("SSL_CERT_FILE", ca)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("websocat (cargo xtask tools installs it)");
    let mut typed = child.stdin.take().unwrap();
    writeln!(typed, "hello").unwrap();
    let heard = BufReader::new(child.stdout.take().unwrap()).lines().next();
    assert_eq!(heard.and_then(Result::ok).as_deref(), Some("hello"));
    child.kill().unwrap();
    child.wait().unwrap();
    node.until("tidegate_subscribers{api=\"orders\",entrypoint=\"websocket\"}", |open| open == 0);
    balance(&node);
}
/// All on one connection of HTTP/2, the WebSocket within it: so a browser does it by TLS.
#[test]
fn a_browser_reads_publishes_and_opens_a_web_socket_by_tls() {
    let folder = TempDir::new().unwrap();
    Authority::new("test").write(folder.path(), "gateway".into());
    let listener = "{ address: \"127.0.0.1:0\", tls: { certificate: gateway.pem, key: gateway.key } }";
    let node = How::bare(TIDEGATE, "dev")
        .variable("TIDEGATE__LISTENERS__GATEWAY", listener)
        .variable("TIDEGATE__LISTENERS__ADMIN", "127.0.0.1:0")
        .start_in(folder.into());
    let browser = Browser::credulous();
    browser.open(&url(&node, "/"));
    browser.run(
        "window.told = { events: [], words: [] };\
         const events = new EventSource('/orders?from=earliest');\
         events.onmessage = event => window.told.events.push(event.data);\
         const socket = new WebSocket(`wss://${location.host}/orders?from=earliest`);\
         socket.onmessage = event => window.told.words.push(event.data);\
         socket.onopen = () => socket.send('by frame');\
         fetch('/orders', { method: 'POST', body: 'by request' }).then(answer => { window.told.status = answer.status; });",
    );
    let told = browser.until("return window.told", |told| {
        told["words"][1].is_string() && told["events"][1].is_string() && told["status"].is_number()
    });
    assert_eq!(told["status"], 202, "{told}");
    let protocol = browser.run("return performance.getEntriesByType('navigation')[0].nextHopProtocol");
    assert_eq!(protocol, "h2");
    drop(browser);
    for entrypoint in ["sse", "websocket"] {
        let open = format!("tidegate_subscribers{{api=\"orders\",entrypoint=\"{entrypoint}\"}}");
        node.until(&open, |open| open == 0);
    }
    balance(&node);
}
#[test]
fn a_reader_that_stops_is_cut_in_time() {
    let (node, authority) = with(dev().set("limits.write_stall", "1s"), "");
    let mut stopped = client(&node, &authority);
    stopped.write(&head("GET", "/orders", &[("accept", "text/event-stream")], None));
    node.until(SSE, |open| open == 1);
    let mut publisher = client(&node, &authority);
    let payload = vec![b'x'; 256 << 10];
    while node.metric(SSE) == 1 {
        assert_eq!(publisher.request("POST", "/orders", &[], &payload).status, 202);
    }
    drop(stopped);
    balance(&node);
}
/// What is encrypted and not taken yet is sent on when there is room again, though nobody writes any more.
#[test]
fn a_reader_that_stops_for_a_while_gets_all_of_it_to_the_end() {
    let authority = Authority::new("test");
    let folder = folder(&authority, "");
    let settings = folder.path().join("tidegate.yaml");
    #[expect(clippy::disallowed_methods, reason = "a test's own folder")]
    let text = std::fs::read_to_string(&settings).unwrap();
    replace(
        &settings,
        &text
            .replace("websocket: {}", "websocket: { heartbeat: 60s }")
            .replace("heartbeat: 1s", "heartbeat: 60s"),
    );
    let node = dev().start_in(folder);
    let mut stream = client(&node, &authority);
    stream.write(&head("GET", "/orders", &[("accept", "text/event-stream")], None));
    assert_eq!(stream.head().unwrap().status, 200);
    let mut socket = WebSocket::over(client(&node, &authority), "/orders", None);
    node.until(SSE, |open| open == 1);
    let mut publisher = client(&node, &authority);
    let payload = "x".repeat(10_007);
    for i in 0..1_500 {
        assert_eq!(
            publisher
                .request("POST", "/orders", &[], format!("{i}:{payload}").as_bytes())
                .status,
            202
        );
    }
    let mut rest = String::new();
    for i in 0..1_500 {
        assert_eq!(stream.event(&mut rest).unwrap(), format!("id: 1.{i}\ndata: {i}:{payload}"));
        assert_eq!(socket.heard(), format!("{i}:{payload}"));
    }
    // A page too.
    let mut slow = client(&node, &authority);
    slow.write(&head("GET", "/orders?from=earliest&limit=500", &[], None));
    publisher.request("POST", "/orders", &[], b"last");
    assert_eq!(slow.answer().json()["items"].as_array().unwrap().len(), 500);
    balance(&node);
}
#[test]
fn a_drain_says_goodbye_over_tls() {
    let (node, authority) = secured();
    let mut stream = client(&node, &authority);
    stream.write(&head("GET", "/orders", &[("accept", "text/event-stream")], None));
    assert_eq!(stream.head().unwrap().status, 200);
    let mut socket = WebSocket::over(client(&node, &authority), "/orders", None);
    let mut idle = client(&node, &authority);
    assert_eq!(idle.request("POST", "/orders", &[], b"1").status, 202);
    let shaking = Client::new(node.gateway);
    node.until(OPEN, |open| open == 4);
    node.terminate();
    let mut rest = String::new();
    let last = std::iter::from_fn(|| stream.event(&mut rest)).last().unwrap();
    assert_eq!(last, "event: goaway\ndata: {\"reason\":\"draining\"}");
    let last = std::iter::from_fn(|| Some(socket.word())).find(|frame| !matches!(frame, Frame::Text(_)));
    assert_eq!(last, Some(Frame::Close(1013, "draining".into())));
    // A goodbye of TLS too: nothing was cut off.
    assert_eq!(idle.read(&mut [0]).unwrap(), 0);
    drop((stream, socket, shaking));
    assert_eq!(node.ended(), Some(0));
}
#[test]
fn a_certificate_that_changes_costs_no_request() {
    let (node, authority) = secured();
    let ended = AtomicBool::new(false);
    let trust = http_1(&authority);
    std::thread::scope(|scope| {
        let ask = |fresh: bool| {
            let mut kept = Client::secure(node.gateway, &trust).unwrap();
            let mut asked = 0;
            while !ended.load(Ordering::Relaxed) {
                if fresh {
                    kept = Client::secure(node.gateway, &trust).unwrap();
                }
                assert_eq!(kept.request("POST", "/orders", &[], b"x").status, 202);
                asked += 1;
            }
            asked
        };
        let asking = [true, false, true, false].map(|fresh| scope.spawn(move || ask(fresh)));
        for (i, name) in ["second", "third"].iter().enumerate() {
            let (certificate, key) = authority.sign((*name).into());
            replace(&node.folder().join("gateway.key"), &key);
            replace(&node.folder().join("gateway.pem"), &certificate);
            assert_eq!(heard(&node, &format!("CN={name}")), 1, "change {i}");
        }
        ended.store(true, Ordering::Relaxed);
        for asked in asking {
            assert!(asked.join().unwrap() > 10);
        }
    });
    assert!(!node.lines().iter().any(|line| line.contains("\"WARN\"")), "{:?}", node.lines());
    balance(&node);
}
#[test]
fn a_certificate_is_changed_by_a_link_as_kubernetes_does_it() {
    use std::os::unix::fs::symlink;
    let authority = Authority::new("test");
    let folder = folder(&authority, "");
    let path = |name: &str| folder.path().join(name);
    for name in ["one", "two"] {
        std::fs::create_dir(path(name)).unwrap();
        let (certificate, key) = authority.sign(name.into());
        replace(&path(name).join("gateway.pem"), &certificate);
        replace(&path(name).join("gateway.key"), &key);
    }
    symlink("one", path("..data")).unwrap();
    for name in ["gateway.pem", "gateway.key"] {
        std::fs::remove_file(path(name)).unwrap();
        symlink(format!("..data/{name}"), path(name)).unwrap();
    }
    let node = dev().start_in(folder.clone());
    symlink("two", path("..new")).unwrap();
    std::fs::rename(path("..new"), path("..data")).unwrap();
    assert_eq!(heard(&node, "CN=two"), 1);
    assert_eq!(client(&node, &authority).request("POST", "/orders", &[], b"1").status, 202);
}
#[test]
fn a_broken_certificate_leaves_the_old_one_and_is_told_once() {
    let (node, authority) = secured();
    let until = node.metric("tidegate_certificate_not_after_seconds{listener=\"gateway\"}");
    assert!(until * 1_000_000 > tidegate_core::clock::now_us() as u64);
    let good = authority.sign("second".into());
    replace(&node.folder().join("gateway.pem"), "nothing of use\n");
    heard(&node, "the new certificate cannot be used, the old one stays");
    let warned = node.lines().into_iter().find(|line| line.contains("\"WARN\"")).unwrap();
    assert!(
        warned.contains("gateway.pem` holds no certificate in PEM") && warned.contains("listeners.gateway.tls.certificate"),
        "{warned}"
    );
    assert_eq!(client(&node, &authority).request("POST", "/orders", &[], b"1").status, 202);
    // Whole again: taken up, and what was wrong was said once.
    replace(&node.folder().join("gateway.key"), &good.1);
    replace(&node.folder().join("gateway.pem"), &good.0);
    assert_eq!(heard(&node, "CN=second"), 1);
    let warnings = node.lines().iter().filter(|line| line.contains("\"WARN\"")).count();
    assert_eq!(warnings, 1, "{:?}", node.lines());
    assert_eq!(client(&node, &authority).request("POST", "/orders", &[], b"1").status, 202);
    balance(&node);
}
/// It would be found at the next start only.
#[test]
#[expect(clippy::disallowed_methods, reason = "a test's own folder")]
fn a_reload_refuses_what_no_start_could_use() {
    let (node, _authority) = secured();
    let tidegate = node.folder().join("tidegate.yaml");
    let good = std::fs::read_to_string(&tidegate).unwrap();
    let status = |what: &str| node.manage("GET", "/status", &Value::Null).json()[what].clone();
    let broken = good.replace("key: gateway.key", "key: gone.key, client_ca: gone.pem");
    replace(&tidegate, &broken);
    heard(
        &node,
        "gone.key` cannot be read: there is no such file; it is named by `listeners.gateway.tls.key` (tidegate.yaml:4:",
    );
    assert_eq!(status("restart_needed"), serde_json::json!([]));
    assert!(status("last_reload")["error"].as_str().unwrap().contains("gone.key"));
    let refused = node.manage("POST", "/reload", &Value::Null);
    assert_eq!(
        (refused.status, refused.json()["code"].clone()),
        (422, "TG5010".into()),
        "{}",
        refused.text()
    );
    // Everything at once.
    let check = Command::new(TIDEGATE)
        .args(["check", "tidegate.yaml"])
        .current_dir(node.folder())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&check.stderr);
    assert!(told.contains("gone.key` cannot") && told.contains("gone.pem` cannot"), "{told}");
    replace(&tidegate, &good.replace("key: gateway.key", "key: gateway.key, client_ca: ca.pem"));
    heard(&node, "\"restart_needed\":\"listeners.gateway\"");
    replace(&tidegate, &good);
    balance(&node);
}
/// `doctor` reads it there.
#[test]
fn status_says_until_when_a_certificate_holds_and_sighup_looks_at_once() {
    let (node, authority) = secured();
    let shown = || {
        let status = node.manage("GET", "/status", &Value::Null).json();
        let listeners = status["listeners"].as_array().unwrap().clone();
        listeners.into_iter().find(|one| one["name"] == "gateway").unwrap()["tls"].clone()
    };
    let until = shown()["not_after"].as_str().and_then(tidegate_core::clock::parse_rfc3339).unwrap();
    assert!(until > tidegate_core::clock::now_us());
    assert_eq!(shown()["certificate"], "CN=gateway");
    let (certificate, key) = authority.sign("second".into());
    replace(&node.folder().join("gateway.key"), &key);
    replace(&node.folder().join("gateway.pem"), &certificate);
    let hup = Command::new("kill").args(["-HUP", &node.pid().to_string()]).status().unwrap();
    assert!(hup.success());
    heard(&node, "\"reloaded\"");
    assert_eq!(shown()["certificate"], "CN=second");
}
/// What `run` says of a folder it does not start in.
fn failed(folder: &TempDir) -> String {
    let output = Command::new(TIDEGATE)
        .args(["run", "--config", "tidegate.yaml"])
        .current_dir(folder.path())
        .env("TIDEGATE__LISTENERS__ADMIN__ADDRESS", "127.0.0.1:0")
        .output()
        .unwrap();
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}
#[test]
fn what_cannot_be_used_is_told_with_its_place_at_the_start() {
    let authority = Authority::new("test");
    let other = authority.sign("other".into());
    for (file, text, code, why, place) in [
        (
            "gateway.key",
            Some(&*other.1),
            "TG5040",
            "the key is not the certificate's",
            "tidegate.yaml:4:43",
        ),
        (
            "gateway.key",
            Some("nothing"),
            "TG5040",
            "holds no private key in PEM",
            "tidegate.yaml:4:43",
        ),
        (
            "gateway.pem",
            Some("nothing"),
            "TG5040",
            "holds no certificate in PEM",
            "tidegate.yaml:4:25",
        ),
        (
            "clients.pem",
            Some(""),
            "TG5040",
            "holds no certificate in PEM",
            "tidegate.yaml:4:67",
        ),
        ("clients.pem", None, "TG5010", "there is no such file", "tidegate.yaml:4:67"),
    ] {
        let folder = folder(&authority, ", client_ca: clients.pem");
        replace(&folder.path().join("clients.pem"), authority.pem());
        match text {
            Some(text) => replace(&folder.path().join(file), text),
            None => std::fs::remove_file(folder.path().join(file)).unwrap(),
        }
        let told = failed(&folder);
        for part in [code, why, place] {
            assert!(told.contains(part), "{file}, {part}: {told}");
        }
    }
}
/// `first.pem` for this machine, `second.pem` for one name and one wildcard, and a listener with both.
fn two(authority: &Authority) -> Arc<TempDir> {
    let folder = TempDir::new().unwrap();
    authority.write(folder.path(), "first".into());
    write_second(authority, folder.path(), "second");
    let pairs = "[{ certificate: first.pem, key: first.key },\n      { certificate: second.pem, key: second.key }]";
    let settings = format!("listeners:\n  gateway:\n    address: 127.0.0.1:0\n    tls:\n     certificates: {pairs}\n---\n{RESOURCES}");
    replace(&folder.path().join("tidegate.yaml"), &settings);
    folder.into()
}
fn write_second(authority: &Authority, folder: &std::path::Path, name: &str) {
    let (certificate, key) = authority.sign_for(&["a.test", "*.b.test"], name.into());
    replace(&folder.join("second.key"), &key);
    replace(&folder.join("second.pem"), &certificate);
}
#[test]
fn each_name_is_shown_its_certificate_and_any_of_them_may_change() {
    let authority = Authority::new("test");
    let node = dev().start_in(two(&authority));
    let port = node.gateway.port();
    let asked = |name: &str| {
        let resolve = format!("{name}:{port}:127.0.0.1");
        let url = format!("https://{name}:{port}/orders?wait=0");
        curl(&node, &["--resolve", &resolve, "-o", "/dev/null", &url])
    };
    // curl looks itself whether the certificate is for the name.
    for name in ["localhost", "127.0.0.1", "a.test", "A.Test", "x.b.test"] {
        assert_eq!(said(&asked(name)), "2", "{name}");
    }
    for name in ["b.test", "x.y.b.test", "c.test"] {
        let output = asked(name);
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && why.contains("subject name"), "{name}: {why}");
    }
    let shown = || {
        let status = node.manage("GET", "/status", &Value::Null).json();
        let listeners = status["listeners"].as_array().unwrap().clone();
        let tls = listeners.into_iter().find(|one| one["name"] == "gateway").unwrap()["tls"].clone();
        let all = tls["certificates"].as_array().unwrap().clone();
        all.into_iter()
            .map(|one| format!("{} {}", one["certificate"], one["names"]))
            .collect::<Vec<_>>()
    };
    assert_eq!(shown(), ["\"CN=first\" [\"localhost\"]", "\"CN=second\" [\"a.test\",\"*.b.test\"]"]);
    write_second(&authority, node.folder(), "renewed");
    assert_eq!(heard(&node, "CN=renewed"), 1);
    assert!(!node.lines().iter().any(|line| line.contains("CN=first")), "{:?}", node.lines());
    assert!(shown()[1].starts_with("\"CN=renewed\""));
    for name in ["localhost", "a.test"] {
        assert_eq!(said(&asked(name)), "2", "{name}");
    }
    balance(&node);
}
#[test]
fn a_key_of_several_that_does_not_fit_is_named_by_check_and_at_the_start() {
    let authority = Authority::new("test");
    let folder = two(&authority);
    let check = || {
        let output = Command::new(TIDEGATE)
            .args(["check", "tidegate.yaml"])
            .current_dir(folder.path())
            .output();
        let output = output.unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(check().0, Some(0), "{}", check().1);
    replace(&folder.path().join("second.key"), &authority.sign("other".into()).1);
    for told in [check().1, failed(&folder)] {
        for part in ["TG5040", "the key is not the certificate's", "tidegate.yaml:6:39"] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
    assert_eq!(check().0, Some(3));
    // One that nobody could ask for.
    let (certificate, key) = authority.sign_for(&["127.0.0.1"], "second".into());
    replace(&folder.path().join("second.key"), &key);
    replace(&folder.path().join("second.pem"), &certificate);
    let told = check().1;
    assert!(
        told.contains("is made out for no DNS name") && told.contains("tidegate.yaml:6:22"),
        "{told}"
    );
}
#[test]
fn an_expired_certificate_is_warned_of_and_served() {
    let authority = Authority::new("test");
    let folder = folder(&authority, "");
    let whose = Whose {
        name: "gateway",
        expired: true,
    };
    authority.write(folder.path(), whose);
    let node = dev().start_in(folder);
    let warned = node
        .lines()
        .into_iter()
        .find(|line| line.contains("the certificate has expired"))
        .unwrap();
    let warned: Value = serde_json::from_str(&warned).unwrap();
    assert_eq!((&warned["level"], &warned["subject"]), (&"WARN".into(), &"CN=gateway".into()));
    let output = Command::new("curl")
        .args(["-sSk", "-d", "1", &url(&node, "/orders")])
        .output()
        .unwrap();
    assert!(said(&output).contains("\"ack\":\"stored\""));
}
#[test]
fn the_admin_listener_speaks_tls_beside_others_without() {
    let authority = Authority::new("test");
    let folder = folder(&authority, "");
    let tls = "tls: { certificate: gateway.pem, key: gateway.key }";
    let listeners = format!(
        "gateway: [\"127.0.0.1:0\", {{ address: \"127.0.0.1:0\", {tls} }}]\n  admin: [\"127.0.0.1:0\", {{ address: \"127.0.0.1:0\", {tls} }}]"
    );
    replace(
        &folder.path().join("tidegate.yaml"),
        &format!("listeners:\n  {listeners}\n---\n{RESOURCES}"),
    );
    // The addresses are the file's here.
    let node = How::bare(TIDEGATE, "dev").start_in(folder);
    let trust = http_1(&authority);
    assert_eq!(node.post("/orders", &[], b"1").status, 202);
    assert_eq!(node.admin("/healthz").status, 200);
    let ready = node.lines().into_iter().find(|line| line.contains("\"ready\"")).unwrap();
    let ready: Value = serde_json::from_str(&ready).unwrap();
    for (name, target) in [("gateway", "/orders?wait=0"), ("admin", "/healthz")] {
        let second = ready[name].as_str().unwrap().split(',').nth(1).unwrap().parse().unwrap();
        let mut client = Client::secure(second, &trust).unwrap();
        assert_eq!(client.request("GET", target, &[], b"").status, 200, "{name}");
    }
    balance(&node);
}
