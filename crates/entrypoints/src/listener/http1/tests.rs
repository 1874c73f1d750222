use super::*;
use crate::http::body::Body;
use futures::future::join;
use http::StatusCode;
use http_body_util::BodyExt;
use std::{convert::Infallible, time::Duration};
use tidegate_core::drain::Drain;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Says what was asked; a path names how.
struct Echo;
impl Handler for Echo {
    type Memo = ();

    async fn handle(&self, head: Arc<Head<()>>, body: Incoming, connection: Arc<Connection>) -> Response<Body> {
        let path = head.uri.path().to_owned();
        if path == "/wait" {
            std::future::pending::<()>().await;
        }
        if path == "/close" {
            let mut response = Response::new(Body::full("closed"));
            response.headers_mut().insert("connection", http::HeaderValue::from_static("close"));
            return response;
        }
        if path == "/unread" {
            return Response::new(Body::full("unread"));
        }
        let body = body.collect().await.map(http_body_util::Collected::to_bytes);
        // An answer takes its time.
        tokio::task::yield_now().await;
        let status = if body.is_ok() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
        let text = [path.as_bytes(), b" ", &body.unwrap_or_default(), b"\n"].concat();
        let mut response = match path.as_str() {
            "/stream" => Response::new(Body::other(stream(5, 3_000))),
            "/broken" => Response::new(Body::other(stream(2, 0))),
            "/none" => Response::new(Body::empty()),
            "/left" => {
                connection.hand_over(Box::new(|mut client| {
                    Box::pin(async move {
                        let said = [b"left ", &client.read[..]].concat();
                        client.io.write_all(&said).await.unwrap();
                    })
                }));
                Response::new(Body::empty())
            }
            _ => Response::new(Body::full(text)),
        };
        *response.status_mut() = if path == "/none" { StatusCode::NO_CONTENT } else { status };
        response
    }
}
/// Pieces of so many bytes; of none, it breaks in their place.
fn stream(pieces: usize, bytes: usize) -> impl http_body::Body<Data = Bytes, Error = std::io::Error> + Send + 'static {
    let pieces = (0..pieces).map(move |number| match (bytes, number) {
        (0, 1) => Err(std::io::Error::other("broken")),
        _ => Ok(http_body::Frame::data(Bytes::from(vec![b'a' + number as u8; bytes.max(1)]))),
    });
    let pieces = futures::stream::iter(pieces);
    http_body_util::StreamBody::new(futures::StreamExt::then(pieces, |piece| async {
        tokio::task::yield_now().await;
        piece
    }))
}
async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connecting = TcpStream::connect(listener.local_addr().unwrap());
    let (client, accepted) = join(connecting, listener.accept()).await;
    (client.unwrap(), accepted.unwrap().0)
}
async fn served(socket: TcpStream, drain: &Watch) -> Result<(), Infallible> {
    let state = Arc::new(Connection::new(socket.peer_addr().unwrap(), Arc::default()));
    match serve(Transport::plain(socket), b"", &Arc::new(Echo), LIMITS, &state, drain).await {
        Ended::Closed(socket, word) => super::super::farewell::farewell(socket, word, super::super::LINGER).await,
        Ended::Late => {}
        Ended::Left(successor, socket, read) => {
            let client = super::super::Client {
                io: Box::new(super::super::Direct(socket)),
                read,
                open: Box::new(()),
            };
            successor(client).await;
        }
    }
    Ok(())
}
/// What the client of a connection reads until its end, if it sends `input` in such steps.
async fn said(input: &str, step: usize) -> String {
    let (mut client, socket) = pair().await;
    client.set_nodelay(true).unwrap();
    let drain = Drain::new();
    let watch = drain.watch();
    let talk = async move {
        let (mut read, mut write) = client.split();
        let writing = async {
            for piece in input.as_bytes().chunks(step) {
                // The other side may have closed: it refused.
                if write.write_all(piece).await.is_err() {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        let mut answers = Vec::new();
        // A reset behind the last word takes nothing from what was read.
        let _both = join(writing, read.read_to_end(&mut answers)).await;
        String::from_utf8(answers).unwrap()
    };
    join(served(socket, &watch), talk).await.1
}
/// Statuses and bodies, in their order.
fn answers(said: &str) -> Vec<&str> {
    said.lines()
        .filter_map(|line| line.strip_prefix("HTTP/1.1 ").or_else(|| line.starts_with('/').then_some(line)))
        .collect()
}
/// Without the line that changes.
fn undated(said: &str) -> String {
    let lines = said.split_inclusive("\r\n").filter(|line| !line.starts_with("date: "));
    lines.collect()
}
const LIMITS: Limits = Limits {
    connections: 1,
    head: 64 << 10,
    fields: 64,
    head_timeout: Duration::from_secs(10),
    idle: Duration::from_secs(10),
    write_stall: Duration::from_secs(10),
};
const CLOSE: &str = "host: h\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn requests_are_read_however_they_come_and_answered_in_their_order() {
    let large = "x".repeat(200_000);
    let input = format!(
        "\r\nPOST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\nabcPOST /b HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n30d40;x=y\r\n{large}\r\n3\r\nend\r\n0\r\nt: u\r\n\r\n\
         POST /c HTTP/1.1\r\nhost: h\r\ncontent-length: 200000\r\n\r\n{large}GET /d HTTP/1.1\r\n{CLOSE}"
    );
    for step in [3, 1_000, 1 << 20] {
        let said = said(&input, step).await;
        let (b, c) = (format!("/b {large}end"), format!("/c {large}"));
        let expected = ["200 OK", "/a abc", "200 OK", &b, "200 OK", &c, "200 OK", "/d "];
        assert!(answers(&said) == expected, "by {step}");
    }
}
#[tokio::test]
async fn a_refused_head_is_answered_after_what_came_before_it() {
    let before = "POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\nabc";
    let after = "GET /c HTTP/1.1\r\nhost: h\r\n\r\n";
    let rows = [
        ("GET /b HTTP/1.1\r\nhost: h\n\r\n", "400 Bad Request"),
        (
            "GET /b HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
            "400 Bad Request",
        ),
        (
            "GET /b HTTP/1.1\r\nhost: h\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
            "501 Not Implemented",
        ),
        ("GET b HTTP/1.1\r\nhost: h\r\n\r\n", "400 Bad Request"),
    ];
    for (bad, status) in rows {
        for step in (1..200).step_by(7) {
            let alone = said(&format!("{bad}{after}"), step).await;
            assert_eq!(answers(&alone), [status], "by {step}");
            let behind = said(&format!("{before}{before}{bad}{after}"), step).await;
            assert_eq!(answers(&behind), ["200 OK", "/a abc", "200 OK", "/a abc", status], "by {step}");
        }
    }
}
#[tokio::test]
async fn a_refused_body_fails_its_request_and_that_is_answered() {
    let chunked = "POST /a HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n";
    for bad in ["3\r\nabcd\r\n", "3\nabc", "0x3\r\nabc\r\n", "3\r\nabc\r\n0\r\nt: u\n\r\n"] {
        for step in (1..100).step_by(3) {
            let said = said(&format!("{chunked}{bad}GET /c HTTP/1.1\r\nhost: h\r\n\r\n"), step).await;
            assert_eq!(answers(&said), ["400 Bad Request", "/a "], "{bad:?} by {step}");
        }
    }
}
#[tokio::test]
async fn an_answer_says_how_it_ends() {
    let text = said(&format!("GET /a HTTP/1.1\r\n{CLOSE}"), 1_000).await;
    assert_eq!(
        undated(&text),
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 4\r\n\r\n/a \n"
    );
    assert!(text.contains("\r\ndate: ") && text.contains(" GMT\r\n"), "{text}");
    let text = said(&format!("HEAD /a HTTP/1.1\r\nhost: h\r\n\r\nGET /none HTTP/1.1\r\n{CLOSE}"), 1_000).await;
    let expected = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nHTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
    assert_eq!(undated(&text), expected);
    let stream = ["a", "b", "c", "d", "e"].map(|letter| letter.repeat(3_000));
    let chunks = stream.clone().map(|piece| format!("bb8\r\n{piece}\r\n")).concat();
    let text = said(&format!("GET /stream HTTP/1.1\r\n{CLOSE}"), 1_000).await;
    let expected = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n");
    assert_eq!(undated(&text), expected);
    // A client of HTTP/1.0 knows no chunks.
    let text = said("GET /stream HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", 1_000).await;
    assert_eq!(
        undated(&text),
        format!("HTTP/1.0 200 OK\r\nconnection: close\r\n\r\n{}", stream.concat())
    );
    let text = said("GET /a HTTP/1.0\r\nconnection: keep-alive\r\n\r\nGET /b HTTP/1.0\r\n\r\n", 1_000).await;
    let expected = "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 4\r\n\r\n/a \nHTTP/1.0 200 OK\r\nconnection: close\r\ncontent-length: 4\r\n\r\n/b \n";
    assert_eq!(undated(&text), expected);
    // What breaks off has no end.
    let text = said("GET /broken HTTP/1.1\r\nhost: h\r\n\r\nGET /a HTTP/1.1\r\n\r\n", 1_000).await;
    assert!(text.ends_with("\r\n\r\n1\r\na\r\n"), "{text}");
}
#[tokio::test]
async fn a_body_nobody_wanted_is_passed_over_or_ends_the_connection_and_says_so() {
    let small = "POST /unread HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\nabc";
    let text = said(&format!("{small}GET /a HTTP/1.1\r\n{CLOSE}"), 1_000).await;
    assert_eq!(answers(&text), ["200 OK", "/a "], "{text}");
    assert!(text.contains("\r\n\r\nunreadHTTP/1.1 200 OK\r\n"), "{text}");
    let text = said("POST /unread HTTP/1.1\r\nhost: h\r\ncontent-length: 1000000\r\n\r\nabc", 1_000).await;
    assert_eq!(
        undated(&text),
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 6\r\n\r\nunread"
    );
}
/// Whoever reads the answer takes it for the last one (RFC 9112, section 9.6).
#[tokio::test]
async fn behind_an_answer_that_closes_nothing_is_looked_at() {
    let text = said(
        "GET /close HTTP/1.1\r\nhost: h\r\n\r\nPOST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\n\r\nx",
        1_000,
    )
    .await;
    assert_eq!(
        undated(&text),
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 6\r\n\r\nclosed"
    );
}
#[tokio::test]
async fn a_client_that_goes_is_missed_whatever_it_has_said() {
    for said in [
        "",
        "content-length: 10\r\n",
        "transfer-encoding: chunked\r\n",
        "content-length: 10\r\n\r\nabc",
    ] {
        let (mut client, socket) = pair().await;
        let drain = Drain::new();
        let watch = drain.watch();
        let talk = async move {
            let head = format!("GET /wait HTTP/1.1\r\nhost: h\r\n{said}\r\n");
            client.write_all(head.as_bytes()).await.unwrap();
        };
        let both = join(served(socket, &watch), talk);
        tokio::time::timeout(Duration::from_secs(30), both)
            .await
            .expect("it is missed")
            .0
            .unwrap();
    }
}
#[tokio::test]
async fn a_client_that_waits_to_be_asked_for_the_body_is() {
    let (mut client, socket) = pair().await;
    let drain = Drain::new();
    let watch = drain.watch();
    let talk = async {
        let head = format!("POST /a HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 3\r\n{CLOSE}");
        client.write_all(head.as_bytes()).await.unwrap();
        let mut word = vec![0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
        client.read_exact(&mut word).await.unwrap();
        assert_eq!(word, b"HTTP/1.1 100 Continue\r\n\r\n");
        client.write_all(b"abc").await.unwrap();
        let mut rest = String::new();
        client.read_to_string(&mut rest).await.unwrap();
        assert_eq!(answers(&rest), ["200 OK", "/a abc"]);
    };
    join(served(socket, &watch), talk).await.0.unwrap();
    // Not if it sends it anyway, nor if nobody wants it.
    let text = said(
        &format!("POST /a HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 3\r\n{CLOSE}abc"),
        1_000,
    )
    .await;
    assert_eq!(answers(&text), ["200 OK", "/a abc"]);
    let text = said(
        "POST /unread HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n",
        1_000,
    )
    .await;
    assert_eq!(answers(&text), ["200 OK"]);
}
#[tokio::test]
async fn who_takes_over_gets_what_came_behind_the_request() {
    let text = said("GET /left HTTP/1.1\r\nhost: h\r\n\r\n\x01\x02", 1_000).await;
    assert_eq!(undated(&text), "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nleft \x01\x02");
}
#[tokio::test]
async fn a_drain_ends_who_rests_and_who_has_said_half_a_head() {
    for half in ["", "GET /a HTTP/1.1\r\nho"] {
        let (mut client, socket) = pair().await;
        let drain = Drain::new();
        let state = Arc::new(Connection::new(socket.peer_addr().unwrap(), Arc::default()));
        let watch = drain.watch();
        let talk = async {
            let input = format!("GET /a HTTP/1.1\r\nhost: h\r\n\r\n{half}");
            client.write_all(input.as_bytes()).await.unwrap();
            let mut answer = vec![0; 1_000];
            let read = client.read(&mut answer).await.unwrap();
            assert!(answer[..read].starts_with(b"HTTP/1.1 200 OK\r\ncontent-length"));
            drain.start();
            state.wake();
        };
        let (ended, ()) = join(serve(Transport::plain(socket), b"", &Arc::new(Echo), LIMITS, &state, &watch), talk).await;
        assert!(matches!(ended, Ended::Closed(_, None)));
    }
}
