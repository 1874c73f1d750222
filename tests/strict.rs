//! What two parsers could read differently is refused, by the real binary over real sockets: alone, behind good requests, and byte by byte.
use crate::dev;
use tidegate_testkit::{Client, Node, balance};

const GOOD: &[u8] = b"POST /orders HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\ngood";

/// What is sent, the status and code of its answer.
const REFUSED: &[(&str, &str, u16, &str)] = &[
    ("line ends with LF", "GET /orders HTTP/1.1\nhost: a\r\n\r\n", 400, "TG1002"),
    (
        "header ends with LF",
        "GET /orders HTTP/1.1\r\nhost: a\nx: y\r\n\r\n",
        400,
        "TG1002",
    ),
    ("head ends with LF", "GET /orders HTTP/1.1\r\nhost: a\r\n\n", 400, "TG1002"),
    (
        "folded header",
        "GET /orders HTTP/1.1\r\nhost: a\r\nx: y\r\n z\r\n\r\n",
        400,
        "TG1002",
    ),
    ("space before colon", "GET /orders HTTP/1.1\r\nhost : a\r\n\r\n", 400, "TG1002"),
    ("no colon", "GET /orders HTTP/1.1\r\nhost: a\r\nxy\r\n\r\n", 400, "TG1002"),
    ("CR alone", "GET /orders HTTP/1.1\r\nhost: a\rx: y\r\n\r\n", 400, "TG1002"),
    ("NUL", "GET /orders HTTP/1.1\r\nhost: a\r\nx: \0\r\n\r\n", 400, "TG1002"),
    ("two spaces", "GET  /orders HTTP/1.1\r\nhost: a\r\n\r\n", 400, "TG1002"),
    ("HTTP/1.2", "GET /orders HTTP/1.2\r\nhost: a\r\n\r\n", 400, "TG1002"),
    (
        "many empty lines",
        "\r\n\r\n\r\nGET /orders HTTP/1.1\r\nhost: a\r\n\r\n",
        400,
        "TG1002",
    ),
    (
        "length and coding",
        "POST /orders HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\nx",
        400,
        "TG1002",
    ),
    (
        "coding and length",
        "POST /orders HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 1\r\n\r\nx",
        400,
        "TG1002",
    ),
    (
        "two equal lengths",
        "POST /orders HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx",
        400,
        "TG1002",
    ),
    (
        "two lengths",
        "POST /orders HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxy",
        400,
        "TG1002",
    ),
    (
        "list of lengths",
        "POST /orders HTTP/1.1\r\nhost: a\r\ncontent-length: 1, 1\r\n\r\nx",
        400,
        "TG1002",
    ),
    (
        "signed length",
        "POST /orders HTTP/1.1\r\nhost: a\r\ncontent-length: +5\r\n\r\nabcde",
        400,
        "TG1002",
    ),
    (
        "negative length",
        "POST /orders HTTP/1.1\r\nhost: a\r\ncontent-length: -5\r\n\r\nabcde",
        400,
        "TG1002",
    ),
    (
        "no length",
        "POST /orders HTTP/1.1\r\nhost: a\r\ncontent-length:\r\n\r\n",
        400,
        "TG1002",
    ),
    (
        "endless length",
        "POST /orders HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999999999999\r\n\r\n",
        400,
        "TG1002",
    ),
    (
        "coding twice",
        "POST /orders HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
        400,
        "TG1002",
    ),
    (
        "chunked, chunked",
        "POST /orders HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, chunked\r\n\r\n",
        400,
        "TG1002",
    ),
    (
        "xchunked",
        "POST /orders HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n",
        400,
        "TG1002",
    ),
    (
        "coding of HTTP/1.0",
        "POST /orders HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n",
        400,
        "TG1002",
    ),
    (
        "gzip, chunked",
        "POST /orders HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        501,
        "TG1014",
    ),
];
/// Behind a head with `Transfer-Encoding: chunked`.
const BAD_CHUNKS: &[(&str, &str)] = &[
    ("size with 0x", "0x1\r\na\r\n0\r\n\r\n"),
    ("negative size", "-1\r\na\r\n0\r\n\r\n"),
    ("endless size", "fffffffffffffffff\r\n"),
    ("LF behind the size", "1\na\r\n0\r\n\r\n"),
    ("more data than said", "1\r\nab\r\n0\r\n\r\n"),
    ("LF in the trailers", "1\r\na\r\n0\r\nx: y\n\r\n"),
];

/// How the bytes are cut into writes.
#[derive(Clone, Copy)]
enum Cut {
    Whole,
    Bytes,
}
fn told(node: &Node, bytes: &[u8], cut: Cut, good_ones: usize, status: u16, code: &str, name: &str) {
    let mut client = Client::new(node.gateway);
    match cut {
        Cut::Whole => client.write(bytes),
        Cut::Bytes => bytes.chunks(1).for_each(|byte| client.write(byte)),
    }
    for _ in 0..good_ones {
        assert_eq!(client.answer().status, 202, "{name}");
    }
    let answer = client.answer();
    assert_eq!(
        (answer.status, &*answer.json()["code"].to_string()),
        (status, &*format!("\"{code}\"")),
        "{name}"
    );
    assert_eq!(answer.header("connection"), Some("close"), "{name}");
    assert!(client.is_closed(), "{name}");
}

/// A proxy that reads the host otherwise may read otherwise, too, where the next request begins.
#[test]
fn what_follows_a_refused_host_is_not_executed() {
    let node = dev().start();
    let behind = "POST /orders HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx";
    for head in ["host: a\r\nhost: b\r\n", "", "host: a b\r\n", "host:\r\n"] {
        let bytes = format!("GET /orders?wait=0 HTTP/1.1\r\n{head}\r\n{behind}");
        told(&node, bytes.as_bytes(), Cut::Whole, 0, 400, "TG1002", head);
    }
    assert_eq!(node.get("/orders?wait=0").json()["items"].as_array().map(Vec::len), Some(0));
    balance(&node);
}

#[test]
fn what_two_parsers_could_read_differently_is_refused() {
    let node = dev().start();
    for (name, bytes, status, code) in REFUSED {
        told(&node, bytes.as_bytes(), Cut::Whole, 0, *status, code, name);
    }
    // Nothing of it was taken for a message.
    assert_eq!(node.get("/orders?wait=0").json()["items"].as_array().unwrap().len(), 0);
    balance(&node);
}
#[test]
fn a_refusal_comes_after_the_answers_to_what_came_before() {
    let node = dev().start();
    for (name, bytes, status, code) in REFUSED.iter().filter(|(name, ..)| *name != "many empty lines") {
        let bytes = [GOOD, GOOD, bytes.as_bytes()].concat();
        told(&node, &bytes, Cut::Whole, 2, *status, code, name);
        told(&node, &bytes, Cut::Bytes, 2, *status, code, name);
    }
    balance(&node);
}
#[test]
fn a_body_that_is_framed_badly_is_no_message() {
    let node = dev().start();
    for (name, chunks) in BAD_CHUNKS {
        let head = "POST /orders HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
        told(&node, format!("{head}{chunks}").as_bytes(), Cut::Whole, 0, 400, "TG1002", name);
        told(&node, format!("{head}{chunks}").as_bytes(), Cut::Bytes, 0, 400, "TG1002", name);
    }
    assert_eq!(node.get("/orders?wait=0").json()["items"].as_array().unwrap().len(), 0);
    balance(&node);
}
#[test]
fn a_head_that_is_too_large_is_told_so() {
    let node = dev().set("limits.head", "16KiB").start();
    let head = format!("GET /orders HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(20_000));
    told(&node, head.as_bytes(), Cut::Whole, 0, 431, "TG1011", "large head");
    balance(&node);
}
