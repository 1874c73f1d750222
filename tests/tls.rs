//! TLS on the listeners: who is let in, what is spoken over it, and certificates that change.
use crate::dev;
use std::process::{Command, Output};
use tidegate_testkit::{Authority, Node, balance, certificates::replace};

/// Its certificate is `gateway.pem` in its folder, signed by `ca.pem`.
fn secured() -> Node {
    with(&Authority::new("test"), "")
}
/// With these settings more of the listener's TLS.
fn with(authority: &Authority, more: &str) -> Node {
    let folder = tempfile::TempDir::new().unwrap();
    authority.write(folder.path(), "gateway".into());
    let text = format!(
        "listeners:\n  gateway:\n    address: 127.0.0.1:0\n    tls: {{ certificate: gateway.pem, key: gateway.key{more} }}\n\
         ---\nkind: stream\nname: orders\n\
         ---\nkind: api\nname: orders\npaths: [/orders]\nbackend: {{ stream: orders }}\nentrypoints: {{ http_post: {{}}, http_get: {{}}, sse: {{}}, websocket: {{}} }}\n"
    );
    replace(&folder.path().join("tidegate.yaml"), &text);
    dev().start_in(folder.into())
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

#[test]
fn curl_publishes_and_reads_over_https() {
    let node = secured();
    let posted = said(&curl(&node, &["--http1.1", "-d", "{\"id\":1}", &url(&node, "/orders")]));
    assert_eq!(posted, "{\"id\":\"1.0\",\"position\":\"1.0\",\"ack\":\"stored\"}\n1.1");
    let page = said(&curl(&node, &["--http2", &url(&node, "/orders")]));
    assert!(page.contains("\"payload\":\"{\\\"id\\\":1}\"") && page.ends_with('2'), "{page}");
    balance(&node);
}
