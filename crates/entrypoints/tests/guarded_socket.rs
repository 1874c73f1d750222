//! The guard round a socket, as a connection may use it: what is good reaches hyper unchanged, a refusal is answered in its turn.
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};
use tidegate_entrypoints::listener::guard::{Guard, Refusal, Then};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};

/// What the socket, the service and the connection know of each other.
#[derive(Default)]
struct Shared {
    /// Answers the service made, and those that hyper has written.
    made: u32,
    written: u32,
    refused: Option<Refusal>,
    /// The reader waits for the answer in flight.
    waiting: Option<Waker>,
}
fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
struct Guarded {
    socket: DuplexStream,
    guard: Guard,
    shared: Arc<Mutex<Shared>>,
}
impl AsyncRead for Guarded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            let length = this.guard.ready().len().min(buf.remaining());
            if length > 0 {
                buf.put_slice(&this.guard.ready()[..length]);
                this.guard.consume(length);
                return Poll::Ready(Ok(()));
            }
            let mut shared = lock(&this.shared);
            if let Some(refusal) = shared.refused {
                if refusal.is_of_body() || shared.written == this.guard.heads() {
                    return Poll::Ready(Ok(()));
                }
                shared.waiting = Some(cx.waker().clone());
                return Poll::Pending;
            }
            let before = buf.filled().len();
            ready!(Pin::new(&mut this.socket).poll_read(cx, buf))?;
            let read = buf.filled().len() - before;
            let verdict = this.guard.feed(&buf.filled()[before..]);
            buf.set_filled(before + verdict.pass);
            if let Then::Refused(refusal) = verdict.then {
                shared.refused = Some(refusal);
            }
            if read == 0 || verdict.pass > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}
impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }
    /// Reached only when hyper's own buffer is empty: the answer is out.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
        let mut shared = lock(&self.shared);
        if shared.written != shared.made {
            shared.written = shared.made;
            if let Some(waiting) = shared.waiting.take() {
                waiting.wake();
            }
        }
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
async fn echo(request: Request<Incoming>, shared: Arc<Mutex<Shared>>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes);
    // An answer takes its time.
    tokio::task::yield_now().await;
    lock(&shared).made += 1;
    let status = if body.is_ok() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    let text = [head.uri.path().as_bytes(), b" ", &body.unwrap_or_default(), b"\n"].concat();
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    Ok(response)
}
async fn serve(socket: DuplexStream, shared: Arc<Mutex<Shared>>) {
    let guarded = Guarded {
        socket,
        guard: Guard::new(64 << 10),
        shared: shared.clone(),
    };
    let service = service_fn(|request| echo(request, shared.clone()));
    let serving = http1::Builder::new()
        .pipeline_flush(false)
        .half_close(false)
        .serve_connection(TokioIo::new(guarded), service);
    let Ok(parts) = serving.without_shutdown().await else { return };
    let refused = lock(&shared).refused;
    if let Some(refusal) = refused.filter(|refusal| !refusal.is_of_body()) {
        let answer = format!(
            "HTTP/1.1 {}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
            tidegate_entrypoints::outcome::status(refusal.code())
        );
        // The client may be gone.
        let _gone = parts.io.into_inner().write_all(answer.as_bytes()).await;
    }
}
/// What the client of such a connection reads until its end.
async fn said(input: &[u8], step: usize, room: usize) -> String {
    let (mut client, socket) = duplex(room);
    let talk = async move {
        let (mut read, mut write) = tokio::io::split(&mut client);
        let mut answers = String::new();
        let writing = async {
            for piece in input.chunks(step) {
                // The other side may have closed: it refused.
                if write.write_all(piece).await.is_err() {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        // The last request says `connection: close`, or is refused: both end what is read.
        let _both = tokio::join!(writing, read.read_to_string(&mut answers));
        answers
    };
    tokio::join!(serve(socket, Arc::default()), talk).1
}
/// Statuses and bodies, in their order.
fn answers(said: &str) -> Vec<&str> {
    said.lines()
        .filter_map(|line| line.strip_prefix("HTTP/1.1 ").or_else(|| line.starts_with('/').then_some(line)))
        .collect()
}

#[tokio::test]
async fn what_is_good_reaches_hyper_unchanged_however_it_comes() {
    let large = "x".repeat(20_000);
    let input = format!(
        "\r\nPOST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\nabcPOST /b HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n4e20;x=y\r\n{large}\r\n3\r\nend\r\n0\r\nt: u\r\n\r\n\
         GET /c HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n"
    );
    for (step, room) in [(1, 7), (13, 64), (1_000, 1_000), (1 << 20, 1 << 20)] {
        let said = said(input.as_bytes(), step, room).await;
        let expected = ["200 OK", "/a abc", "200 OK", &format!("/b {large}end"), "200 OK", "/c "];
        assert_eq!(answers(&said), expected, "by {step}");
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
    ];
    for (bad, status) in rows {
        for step in 1..200 {
            let alone = said(format!("{bad}{after}").as_bytes(), step, 1_000).await;
            assert_eq!(answers(&alone), [status], "by {step}");
            let behind = said(format!("{before}{before}{bad}{after}").as_bytes(), step, 1_000).await;
            assert_eq!(answers(&behind), ["200 OK", "/a abc", "200 OK", "/a abc", status], "by {step}");
        }
    }
}
#[tokio::test]
async fn a_refused_body_fails_its_request_and_that_is_answered() {
    let chunked = "POST /a HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n";
    for bad in ["3\r\nabcd\r\n", "3\nabc", "0x3\r\nabc\r\n", "3\r\nabc\r\n0\r\nt: u\n\r\n"] {
        for step in 1..100 {
            let said = said(format!("{chunked}{bad}GET /c HTTP/1.1\r\nhost: h\r\n\r\n").as_bytes(), step, 1_000).await;
            assert_eq!(answers(&said), ["400 Bad Request", "/a "], "{bad:?} by {step}");
        }
    }
}
