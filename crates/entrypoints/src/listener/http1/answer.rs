//! An answer as bytes (RFC 9112, sections 4 to 7).
use crate::{http::body::Body, listener::transport::Transport};
use bytes::{Buf as _, Bytes};
use http::{Method, Version, header, response::Parts};
use http_body::Body as _;
use std::{
    cell::Cell,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, UNIX_EPOCH},
};
use tidegate_core::clock;
use tokio::io::AsyncWrite as _;

/// A head with a small body is one write: up to so many bytes a copy costs less than a list of parts.
const COPIED: usize = 4 << 10;
/// Gathered of a stream before it is written.
const GATHERED: usize = 16 << 10;
/// Room for an ordinary head.
const HEAD: usize = 320;

/// How the end of an answer's body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// There is no body.
    None,
    /// Its length stands in the head.
    Length,
    Chunked,
    /// The connection is closed (HTTP/1.0).
    Closed,
}
/// What must be known of the request.
#[derive(Clone, Copy, Debug)]
pub(super) struct To {
    pub(super) version: Version,
    /// To HEAD there is only a head.
    pub(super) head: bool,
    /// The connection may be used again.
    pub(super) again: bool,
}
impl To {
    pub(super) fn new(method: &Method, version: Version) -> Self {
        Self {
            version,
            head: method == Method::HEAD,
            again: true,
        }
    }
}
/// What an answer says of itself, so that it is not said again.
#[derive(Clone, Copy, Default)]
struct Says {
    length: bool,
    connection: bool,
    date: bool,
}
impl Says {
    /// One look at all of its fields costs less than to look for each of them.
    fn of(parts: &Parts) -> Self {
        let mut says = Self::default();
        for name in parts.headers.keys() {
            says.length |= name == header::CONTENT_LENGTH;
            says.connection |= name == header::CONNECTION;
            says.date |= name == header::DATE;
        }
        says
    }
}
/// An answer on its way.
pub(super) struct Outgoing {
    /// What is copied.
    bytes: Vec<u8>,
    /// So much of it is sent.
    sent: usize,
    /// What is not, and what follows it.
    large: Bytes,
    tail: &'static [u8],
    end: End,
}
/// How far the making of an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    All,
    /// There is more once this is sent.
    Some,
    /// There is no more yet.
    Waiting,
}
impl Outgoing {
    /// The head of an answer; its body follows by [`Outgoing::fill`]. Says in `to` whether the connection can be used again after it.
    pub(super) fn new(parts: &Parts, body: &Body, to: &mut To) -> Self {
        let length = body.size_hint().exact();
        let says = Says::of(parts);
        let bodiless = parts.status.is_informational() || matches!(parts.status.as_u16(), 204 | 304);
        let end = match length {
            _ if bodiless || to.head => End::None,
            Some(_) => End::Length,
            None if says.length => End::Length,
            None if to.version == Version::HTTP_10 => End::Closed,
            None => End::Chunked,
        };
        to.again &= end != End::Closed;
        let small = length.filter(|length| *length <= COPIED as u64).unwrap_or_default() as usize;
        let mut out = Self {
            bytes: Vec::with_capacity(HEAD + small),
            sent: 0,
            large: Bytes::new(),
            tail: b"",
            end,
        };
        out.line(parts, *to, says);
        let framed = match end {
            End::Chunked => Some(("transfer-encoding: chunked\r\n", None)),
            End::Length | End::None if !bodiless && !says.length => length.map(|length| ("content-length: ", Some(length))),
            _ => None,
        };
        if let Some((name, length)) = framed {
            out.bytes.extend_from_slice(name.as_bytes());
            if let Some(length) = length {
                out.bytes.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
                out.bytes.extend_from_slice(b"\r\n");
            }
        }
        out.date(says);
        out
    }
    /// The head of an answer whose body somebody else writes, in chunks of their own; or nobody, if another protocol follows.
    pub(super) fn left(parts: &Parts, to: To) -> Self {
        let mut out = Self {
            bytes: Vec::with_capacity(HEAD),
            sent: 0,
            large: Bytes::new(),
            tail: b"",
            end: End::None,
        };
        let says = Says::of(parts);
        out.line(parts, to, says);
        if !parts.status.is_informational() {
            out.bytes.extend_from_slice(b"transfer-encoding: chunked\r\n");
        }
        out.date(says);
        out
    }
    fn line(&mut self, parts: &Parts, to: To, says: Says) {
        let bytes = &mut self.bytes;
        let version: &[u8] = if to.version == Version::HTTP_10 {
            b"HTTP/1.0 "
        } else {
            b"HTTP/1.1 "
        };
        bytes.extend_from_slice(version);
        bytes.extend_from_slice(parts.status.as_str().as_bytes());
        bytes.push(b' ');
        bytes.extend_from_slice(parts.status.canonical_reason().unwrap_or("Unknown").as_bytes());
        bytes.extend_from_slice(b"\r\n");
        for (name, value) in &parts.headers {
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        if !says.connection {
            match (to.again, to.version) {
                (false, _) => bytes.extend_from_slice(b"connection: close\r\n"),
                (true, Version::HTTP_10) => bytes.extend_from_slice(b"connection: keep-alive\r\n"),
                _ => {}
            }
        }
    }
    fn date(&mut self, says: Says) {
        if !says.date {
            self.bytes.extend_from_slice(b"date: ");
            self.bytes.extend_from_slice(&date());
            self.bytes.extend_from_slice(b"\r\n");
        }
        self.bytes.extend_from_slice(b"\r\n");
    }
    /// Takes of the body what there is and what is sent at once. An error: its end will never come.
    pub(super) fn fill(&mut self, cx: &mut Context<'_>, body: &mut Body) -> Result<Made, ()> {
        if self.end == End::None {
            return Ok(Made::All);
        }
        loop {
            // The end of a chunk goes before the next one.
            if self.large.is_empty() && !self.tail.is_empty() {
                return Ok(Made::Some);
            }
            if body.is_end_stream() {
                self.ended();
                return Ok(Made::All);
            }
            if self.bytes.len() >= GATHERED || !self.large.is_empty() {
                return Ok(Made::Some);
            }
            match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers are for nobody here.
                    if let Ok(content) = frame.into_data() {
                        self.content(content);
                    }
                }
                Poll::Ready(Some(Err(_))) => return Err(()),
                Poll::Ready(None) => {
                    self.ended();
                    return Ok(Made::All);
                }
                Poll::Pending => return Ok(Made::Waiting),
            }
        }
    }
    fn content(&mut self, content: Bytes) {
        if content.is_empty() {
            return;
        }
        let chunked = self.end == End::Chunked;
        if chunked {
            self.bytes.extend_from_slice(format!("{:x}\r\n", content.len()).as_bytes());
        }
        let tail: &'static [u8] = if chunked { b"\r\n" } else { b"" };
        if content.len() <= COPIED {
            self.bytes.extend_from_slice(&content);
            self.bytes.extend_from_slice(tail);
        } else {
            (self.large, self.tail) = (content, tail);
        }
    }
    fn ended(&mut self) {
        if self.end == End::Chunked {
            if self.large.is_empty() {
                self.bytes.extend_from_slice(b"0\r\n\r\n");
            } else {
                self.tail = b"\r\n0\r\n\r\n";
            }
            self.end = End::None;
        }
    }
    /// All that is made so far.
    pub(super) fn is_sent(&self) -> bool {
        self.bytes.is_empty() && self.large.is_empty() && self.tail.is_empty()
    }
    fn unsent(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }
    pub(super) fn poll_write(&self, socket: Pin<&mut Transport>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let written = if self.large.is_empty() && self.tail.is_empty() {
            socket.poll_write(cx, self.unsent())
        } else {
            let parts = [IoSlice::new(self.unsent()), IoSlice::new(&self.large), IoSlice::new(self.tail)];
            socket.poll_write_vectored(cx, &parts)
        };
        match written {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            written => written,
        }
    }
    pub(super) fn advance(&mut self, mut written: usize) {
        let copied = written.min(self.bytes.len() - self.sent);
        self.sent += copied;
        if self.sent == self.bytes.len() {
            self.bytes.clear();
            self.sent = 0;
        }
        written -= copied;
        let large = written.min(self.large.len());
        self.large.advance(large);
        written -= large;
        self.tail = self.tail.get(written..).unwrap_or_default();
        if self.large.is_empty() {
            // What it was a part of may be held by nothing else.
            self.large = Bytes::new();
        }
    }
}
/// Of `Date` (RFC 9110, section 6.6.1): made once a second on each thread.
fn date() -> [u8; 29] {
    thread_local! {
        static LAST: Cell<(u64, [u8; 29])> = const { Cell::new((0, [0; 29])) };
    }
    let now = u64::try_from(clock::now_us() / 1_000_000).unwrap_or_default();
    let (second, text) = LAST.get();
    if second == now {
        return text;
    }
    let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(now));
    let mut date = [b' '; 29];
    date.iter_mut().zip(text.bytes()).for_each(|(to, byte)| *to = byte);
    LAST.set((now, date));
    date
}
