//! WebSockets within connections of HTTP/2 (RFC 8441).
use crate::dev;
use serde_json::json;
use tidegate_testkit::{
    Authority, Http2, Node, Trust, WebSocket, balance,
    certificates::replace,
    client::Answer,
    http2::{END_HEADERS, Raw, block, frame, kind},
    websocket::Frame,
};

const OPEN: &str = "tidegate_connections{listener=\"gateway\"}";
const READING: &str = "tidegate_subscribers{api=\"orders\",entrypoint=\"websocket\"}";
const V1: (&str, &str) = ("sec-websocket-protocol", "tidegate.v1.json");

fn open(client: &mut Http2, target: &str) -> WebSocket {
    WebSocket::within(client.web_socket(target, &[]).unwrap())
}
/// Of a refusal: the status and the code.
fn refused(client: &mut Http2, target: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let answer: Answer = client.web_socket(target, headers).map(|tunnel| tunnel.head).unwrap_err();
    let code = answer.json()["code"].as_str().unwrap_or_default().to_owned();
    (answer.status, code)
}
#[test]
fn it_publishes_and_reads_beside_requests_of_the_same_connection() {
    let node = dev().start();
    let mut client = Http2::new(node.gateway);
    let mut sockets: Vec<_> = (0..20).map(|_| open(&mut client, "/orders")).collect();
    node.until(READING, |open| open == 20);
    assert_eq!(client.request("POST", "/orders", &[], b"by request").status, 202);
    sockets[7].text("by frame");
    for socket in &mut sockets {
        assert_eq!([socket.heard(), socket.heard()], ["by request", "by frame"]);
    }
    // The subprotocol.
    let tunnel = client.web_socket("/orders", &[V1]).unwrap();
    assert_eq!(tunnel.head.header("sec-websocket-protocol"), Some("tidegate.v1.json"));
    assert_eq!(tunnel.head.header("sec-websocket-accept"), None);
    let mut worker = WebSocket::within(tunnel);
    worker.say(&json!({ "op": "publish", "ref": 1, "payload": "mine" }));
    let receipt = worker.json();
    assert_eq!(
        (&receipt["op"], &receipt["ref"], &receipt["ack"]),
        (&json!("receipt"), &json!(1), &json!("stored"))
    );
    for mut socket in sockets {
        assert_eq!(socket.heard(), "mine");
        socket.close(1000);
        assert_eq!(socket.word(), Frame::Close(1000, String::new()));
        assert_eq!(socket.any(), Frame::Ended);
    }
    node.until(READING, |open| open == 0);
    // More than a window, in both directions; read by one, for who does not read one stream holds up the others.
    let mut socket = open(&mut client, "/orders");
    let large = "x".repeat(900 << 10);
    socket.text(&large);
    assert_eq!(socket.heard(), large);
    assert_eq!(node.metric(OPEN), 1, "all of it on one");
    balance(&node);
}
#[test]
fn it_goes_over_tls() {
    let folder = tempfile::TempDir::new().unwrap();
    let authority = Authority::new("test");
    authority.write(folder.path(), "gateway".into());
    let listener = "{ address: \"127.0.0.1:0\", tls: { certificate: gateway.pem, key: gateway.key } }";
    let resources = "kind: stream\nname: orders\n---\nkind: api\nname: orders\npaths: [/orders]\nbackend: { stream: orders }\nentrypoints: { websocket: {}, http_post: {} }\n";
    replace(
        &folder.path().join("tidegate.yaml"),
        &format!("listeners: {{ gateway: {listener} }}\n---\n{resources}"),
    );
    let node = dev().start_in(folder.into());
    let mut client = Http2::secure(node.gateway, &Trust::new(&authority, &["h2"]));
    let mut socket = open(&mut client, "/orders");
    node.until(READING, |open| open == 1);
    for i in 0..100 {
        assert_eq!(client.request("POST", "/orders", &[], i.to_string().as_bytes()).status, 202);
        assert_eq!(socket.heard(), i.to_string());
        socket.text("back");
        assert_eq!(socket.heard(), "back");
    }
    drop(socket);
    node.until(READING, |open| open == 0);
    balance(&node);
}
/// Its HTTP/2 is nghttp2's.
#[test]
fn node_opens_one() {
    let node = dev().start();
    let script = r#"
const client = require("node:http2").connect(process.argv[1]);
client.on("remoteSettings", (settings) => {
  if (!settings.enableConnectProtocol) throw new Error("not offered");
  const stream = client.request({ ":method": "CONNECT", ":protocol": "websocket", ":path": "/orders", "sec-websocket-version": "13" });
  let heard = Buffer.alloc(0);
  stream.on("response", (headers) => {
    if (headers[":status"] !== 200) throw new Error(JSON.stringify(headers));
    // A text frame, masked by nothing.
    stream.write(Buffer.concat([Buffer.from([0x81, 0x82, 0, 0, 0, 0]), Buffer.from("hi")]));
  });
  stream.on("data", (data) => {
    heard = Buffer.concat([heard, data]);
    if (heard.length < 4) return;
    if (!heard.subarray(0, 4).equals(Buffer.from([0x81, 2, 0x68, 0x69]))) throw new Error(heard.toString("hex"));
    console.log("ok");
    stream.end();
    client.close();
  });
});
"#;
    let output = std::process::Command::new("node")
        .args(["-e", script, &format!("http://{}", node.gateway)])
        .output();
    let output = output.expect("node (cargo xtask tools installs it)");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "ok\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    node.until(READING, |open| open == 0);
    balance(&node);
}
#[test]
fn the_handshake_is_checked() {
    let node = dev().start();
    let mut client = Http2::new(node.gateway);
    assert_eq!(refused(&mut client, "/nowhere", &[]), (404, "TG1001".into()));
    assert_eq!(
        refused(&mut client, "/topics/a", &[("sec-websocket-version", "8")]),
        (426, "TG1015".into())
    );
    assert_eq!(refused(&mut client, "/orders?limit=1", &[]), (400, "TG1009".into()));
    assert_eq!(refused(&mut client, "/orders", &[("origin", "http://evil.example")]).0, 403);
    assert_eq!(
        client.request("GET", "/orders?wait=0", &[], b"").status,
        200,
        "the connection goes on"
    );
    balance(&node);
}
#[test]
fn what_is_no_frame_ends_the_stream_alone() {
    let node = dev().start();
    let mut client = Http2::new(node.gateway);
    let mut good = open(&mut client, "/orders");
    let mut bad = open(&mut client, "/orders");
    node.until(READING, |open| open == 2);
    bad.raw(b"\xff\xff\xff\xff");
    let last = std::iter::from_fn(|| Some(bad.word())).find(|frame| !matches!(frame, Frame::Text(_)));
    assert!(matches!(last, Some(Frame::Close(1002, _))), "{last:?}");
    good.text("still there");
    assert_eq!(good.heard(), "still there");
    balance(&node);
}
#[test]
fn too_many_are_told_503() {
    // An eighth of the connections, and 64 at least.
    let node = dev().set("limits.connections", "64").start();
    let mut client = Http2::new(node.gateway);
    let mut open: Vec<_> = (0..64).map(|_| open(&mut client, "/orders")).collect();
    assert_eq!(refused(&mut client, "/orders", &[]), (503, "TG2003".into()));
    open.pop();
    node.until(READING, |open| open == 63);
    assert!(client.web_socket("/orders", &[]).is_ok());
    drop(open);
    node.until(READING, |open| open == 0);
    balance(&node);
}
#[test]
fn who_leaves_leaves_nothing_behind() {
    let node = dev().set("limits.idle", "1s").start();
    let mut client = Http2::new(node.gateway);
    let mut reset = client.web_socket("/orders", &[]).unwrap();
    let kept = open(&mut client, "/orders");
    node.until(READING, |open| open == 2);
    reset.reset();
    node.until(READING, |open| open == 1);
    drop(client);
    drop(kept);
    node.until(READING, |open| open == 0);
    // Asked for and reset at once, many times.
    let mut raw = Raw::new(node.gateway, &[]);
    let asked = block(&[
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":authority", "localhost"),
        (":path", "/orders"),
        ("sec-websocket-version", "13"),
    ]);
    for stream in (1..200).step_by(2) {
        raw.write(&frame(kind::HEADERS, END_HEADERS, stream, &asked));
        raw.write(&frame(kind::RST_STREAM, 0, stream, &[0, 0, 0, 8]));
    }
    assert!(raw.is_closed(), "nothing is open for longer than it may");
    node.until(READING, |open| open == 0);
    node.until(OPEN, |open| open == 0);
    balance(&node);
}
#[test]
fn a_silent_one_keeps_its_connection_by_its_pongs_alone() {
    let node = dev().set("limits.idle", "250ms").start();
    let mut client = Http2::new(node.gateway);
    let mut silent = open(&mut client, "/qs-message-api");
    for _ in 0..2 {
        assert_eq!(silent.heard(), "mock message", "for longer than a connection may be idle");
    }
    drop(silent);
    assert!(client.is_closed());
}
#[test]
fn a_drain_says_goodbye() {
    let node = dev().start();
    let mut client = Http2::new(node.gateway);
    let mut reader = open(&mut client, "/orders");
    let mut writer = WebSocket::within(client.web_socket("/orders", &[V1]).unwrap());
    node.until(READING, |open| open == 1);
    writer.say(&json!({ "op": "publish", "ref": 1, "payload": "last" }));
    assert_eq!(writer.json()["ack"], "stored");
    assert_eq!(reader.heard(), "last");
    node.terminate();
    assert_eq!(reader.word(), Frame::Close(1013, "draining".into()));
    let last = std::iter::from_fn(|| Some(writer.word())).find(|frame| !matches!(frame, Frame::Text(_)));
    assert_eq!(last, Some(Frame::Close(1013, "draining".into())));
    drop((reader, writer));
    assert!(client.is_closed());
    assert_eq!(node.ended(), Some(0));
}
/// A connection of one WebSocket whose window never opens.
fn stopped(node: &Node) -> Raw {
    let mut raw = Raw::new(node.gateway, &[(4, 0)]);
    let asked = block(&[
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":authority", "localhost"),
        (":path", "/topics/large"),
        ("sec-websocket-version", "13"),
    ]);
    raw.write(&frame(kind::HEADERS, END_HEADERS, 1, &asked));
    let answer = raw.until(kind::HEADERS).unwrap();
    assert_eq!(answer.payload.first(), Some(&0x88));
    raw
}
#[test]
fn a_client_that_takes_nothing_costs_little_and_is_reset_in_time() {
    let node = dev().set("limits.write_stall", "1s").variable("MIMALLOC_PURGE_DELAY", "0").start();
    let reading = "tidegate_subscribers{api=\"topics\",entrypoint=\"websocket\"}";
    let payload = vec![b'x'; 64 << 10];
    for _ in 0..16 {
        node.post("/topics/large", &[], &payload);
    }
    let mut all: Vec<_> = (0..100).map(|_| stopped(&node)).collect();
    node.until(reading, |open| open == 100);
    let before = node.memory();
    for _ in 0..16 {
        assert_eq!(node.post("/topics/large", &[], &payload).status, 202);
    }
    let grown = node.memory().saturating_sub(before);
    // Beside what such messages need on their way, however few read them.
    assert!(grown < (16 << 20) + 100 * (160 << 10), "{grown} bytes more");
    node.until(reading, |open| open == 0);
    for raw in &mut all {
        let reset = raw.until(kind::RST_STREAM).unwrap();
        assert_eq!(reset.stream, 1);
    }
    balance(&node);
}
