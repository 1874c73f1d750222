//! Who is calling, where proxies stand in front: the PROXY protocol, `Forwarded` and `X-Forwarded-For`, from those that are trusted only.
use crate::dev;
use serde_json::Value;
use tidegate_testkit::{Authority, Client, Node, Trust, balance, certificates::replace, client::head};

/// One that believes whoever is in that network, and tells of each request.
fn believing(network: &str, tls: &str) -> (Node, Authority) {
    let folder = tempfile::TempDir::new().unwrap();
    let authority = Authority::new("test");
    authority.write(folder.path(), "gateway".into());
    let listener = format!("{{ address: \"127.0.0.1:0\", trusted_proxies: [{network}]{tls} }}");
    let resources = "kind: stream\nname: orders\n---\nkind: api\nname: orders\npaths: [/orders]\nbackend: { stream: orders }\n";
    replace(
        &folder.path().join("tidegate.yaml"),
        &format!("listeners: {{ gateway: {listener} }}\n---\n{resources}"),
    );
    (dev().set("telemetry.level", "debug").start_in(folder.into()), authority)
}
/// Whom the log names as the one who asked for that path.
fn peer(node: &Node, path: &str) -> String {
    let of = |line: &Value, name: &str| line[name].as_str().map(str::to_owned);
    for _ in 0..10_000 {
        let lines = node.lines();
        let said = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut asked = said.filter(|line| of(line, "message").as_deref() == Some("request") && of(line, "path").as_deref() == Some(path));
        if let Some(peer) = asked.find_map(|line| of(&line, "peer")) {
            return peer;
        }
        // Its lines come by a pipe of their own.
        node.admin("/healthz");
    }
    panic!("no request for {path}:\n{}", node.lines().join("\n"))
}
/// Sends a header and a request in one.
fn ask(client: &mut Client, first: &[u8], path: &str, headers: &[(&str, &str)]) {
    client.write(&[first, &head("GET", path, headers, None)].concat());
    assert_eq!(client.answer().status, 404);
}
const VERSION_1: &[u8] = b"PROXY TCP4 192.0.2.7 10.0.0.1 8181 80\r\n";
const VERSION_2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x08\x0a\0\0\x01\x1f\xf5\0\x50";

#[test]
fn a_trusted_proxy_says_who_is_calling() {
    let (node, _) = believing("127.0.0.0/8", "");
    for (path, first, caller) in [("/one", VERSION_1, "192.0.2.7:8181"), ("/two", VERSION_2, "192.0.2.8:8181")] {
        let mut client = Client::new(node.gateway);
        ask(&mut client, first, path, &[]);
        // What the client says itself is nothing.
        ask(&mut client, b"", "/more", &[("x-forwarded-for", "6.6.6.6")]);
        assert_eq!(peer(&node, path), caller);
        assert_ne!(peer(&node, "/more"), "6.6.6.6:0");
    }
    // In pieces, however small.
    let mut client = Client::new(node.gateway);
    for byte in VERSION_2.chunks(1) {
        client.write(byte);
    }
    ask(&mut client, b"", "/pieces", &[]);
    assert_eq!(client.request("GET", "/orders?wait=0", &[], b"").status, 200);
    assert_eq!(peer(&node, "/pieces"), "192.0.2.8:8181");
    // One that says nothing is served as ever, and its headers are believed.
    let mut client = Client::new(node.gateway);
    ask(&mut client, b"", "/none", &[("x-forwarded-for", "6.6.6.6, 192.0.2.9")]);
    ask(
        &mut client,
        b"",
        "/forwarded",
        &[("forwarded", "for=6.6.6.6, for=\"[2001:db8::7]:81\"")],
    );
    assert_eq!(client.request("GET", "/orders?wait=0", &[], b"").status, 200);
    assert_eq!(peer(&node, "/none"), "192.0.2.9:0");
    assert_eq!(peer(&node, "/forwarded"), "[2001:db8::7]:81");
    balance(&node);
}
#[test]
fn the_word_of_nobody_else_is_believed() {
    let (node, _) = believing("192.0.2.0/24", "");
    for first in [VERSION_1, VERSION_2] {
        let mut client = Client::new(node.gateway);
        client.write(&[first, b"GET /orders?wait=0 HTTP/1.1\r\nhost: a\r\n\r\n"].concat());
        assert_eq!(client.answer().status, 400, "it is HTTP, and bad");
        assert!(client.is_closed());
    }
    let mut client = Client::new(node.gateway);
    ask(
        &mut client,
        b"",
        "/none",
        &[("x-forwarded-for", "6.6.6.6"), ("forwarded", "for=6.6.6.6")],
    );
    assert_eq!(client.request("GET", "/orders?wait=0", &[], b"").status, 200);
    assert_eq!(peer(&node, "/none"), client.socket().local_addr().unwrap().to_string());
    balance(&node);
}
#[test]
fn a_header_that_is_broken_or_slow_ends_the_connection() {
    let folder = tempfile::TempDir::new().unwrap();
    replace(
        &folder.path().join("tidegate.yaml"),
        "listeners: { gateway: { address: \"127.0.0.1:0\", trusted_proxies: [127.0.0.1] } }\n",
    );
    let node = dev()
        .set("limits.head_timeout", "250ms")
        .set("limits.idle", "500ms")
        .start_in(folder.into());
    let mut client = Client::new(node.gateway);
    client.write(b"PROXY TCP4 nobody\r\nGET / HTTP/1.1\r\n");
    assert!(client.is_closed());
    node.until("tidegate_unready_connections_total{listener=\"gateway\"}", |count| count == 1);
    for part in [&VERSION_1[..20], &VERSION_2[..14], b"P", b""] {
        let mut client = Client::new(node.gateway);
        client.write(part);
        assert!(client.is_closed());
    }
    assert!(node.metric("tidegate_timed_out_connections_total{listener=\"gateway\"}") >= 4);
}
#[test]
fn a_proxy_speaks_before_tls() {
    let (node, authority) = believing("127.0.0.1", ", tls: { certificate: gateway.pem, key: gateway.key }");
    let trust = Trust::new(&authority, &["http/1.1"]);
    for (path, first, caller) in [("/one", VERSION_1, "192.0.2.7:8181"), ("/two", VERSION_2, "192.0.2.8:8181")] {
        let mut plain = Client::new(node.gateway);
        plain.write(first);
        let mut client = Client::over(trust.over(plain.socket().try_clone().unwrap()).unwrap());
        ask(&mut client, b"", path, &[]);
        assert_eq!(client.request("GET", "/orders?wait=0", &[], b"").status, 200);
        assert_eq!(peer(&node, path), caller);
    }
    // Without one it is TLS all the same.
    let mut client = Client::secure(node.gateway, &trust).unwrap();
    assert_eq!(client.request("GET", "/orders?wait=0", &[], b"").status, 200);
    balance(&node);
}
