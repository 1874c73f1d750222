//! Clients of HTTP/2: one that keeps to the protocol, and one over a bare socket that need not.
use crate::{client::Answer, wire::Trust};
use bytes::Bytes;
use h2::{RecvStream, SendStream, client::SendRequest};
use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};
use tidegate_core::tasks::{self, Task};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    runtime::{Handle, Runtime},
    sync::watch,
};

/// Nothing here may hang for ever.
const PATIENCE: Duration = Duration::from_mins(1);

/// Keeps to the protocol: one connection, many requests at once.
pub struct Http2 {
    runtime: Runtime,
    send: SendRequest<Bytes>,
    _connection: Task,
    ended: watch::Receiver<()>,
    host: String,
}
/// One request whose answer has begun.
pub struct Stream {
    /// Status and headers.
    pub head: Answer,
    body: RecvStream,
    broken: bool,
}
/// A request that is sent, or half of it.
pub struct Sent {
    answer: h2::client::ResponseFuture,
    send: Option<SendStream<Bytes>>,
}
impl Http2 {
    /// Connects, and says hello.
    pub fn new(address: SocketAddr) -> Self {
        Self::over(address, None)
    }
    /// The same by TLS.
    pub fn secure(address: SocketAddr, trust: &Trust) -> Self {
        Self::over(address, Some(trust))
    }
    fn over(address: SocketAddr, trust: Option<&Trust>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let (send, connection, ended) = runtime.block_on(async {
            let socket = tokio::net::TcpStream::connect(address).await.expect("connect");
            socket.set_nodelay(true).unwrap();
            match trust {
                None => serve(h2::client::handshake(socket).await.expect("a handshake")),
                Some(trust) => {
                    let secure = trust.connect(socket).await.expect("a handshake of TLS");
                    serve(h2::client::handshake(secure).await.expect("a handshake"))
                }
            }
        });
        Self {
            runtime,
            send,
            _connection: connection,
            ended,
            host: address.to_string(),
        }
    }
    /// A WebSocket's stream (RFC 8441), with these headers beside the usual ones; or the answer that refuses it.
    pub fn web_socket(&mut self, target: &str, headers: &[(&str, &str)]) -> Result<Tunnel, Answer> {
        let mut request = http::Request::builder()
            .method("CONNECT")
            .uri(format!("http://{}{target}", self.host))
            .version(http::Version::HTTP_2)
            .extension(h2::ext::Protocol::from_static("websocket"));
        if headers.iter().all(|(name, _)| *name != "sec-websocket-version") {
            request = request.header("sec-websocket-version", "13");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("a request");
        // The server has to say first that it knows such requests.
        while !self.send.is_extended_connect_protocol_enabled() {
            self.request("GET", "/nowhere", &[], b"");
        }
        let send = self.send.clone();
        let sent = self.runtime.block_on(async {
            let mut send = tokio::time::timeout(PATIENCE, send.ready()).await.expect("in time").expect("open");
            let (answer, send) = send.send_request(request, false).expect("sent");
            Sent { answer, send: Some(send) }
        });
        let (answer, send) = (sent.answer, sent.send);
        let begun = self.begun(Some(Sent { answer, send: None }));
        let mut begun = begun.ok_or_else(Answer::default)?;
        if begun.head.status != 200 {
            let mut body = Vec::new();
            while let Some(bytes) = self.chunk(&mut begun) {
                body.extend_from_slice(&bytes);
            }
            return Err(Answer { body, ..begun.head });
        }
        Ok(Tunnel {
            handle: self.runtime.handle().clone(),
            head: begun.head,
            send: send.expect("open"),
            receive: begun.body,
            rest: Bytes::new(),
        })
    }
    /// One request, its answer whole. Status 0: reset, or the connection was closed.
    pub fn request(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let sent = self.send(method, target, headers, Some(body));
        self.answer(sent)
    }
    /// Sends a request; without a body, only its head, and more may follow by [`Http2::more`].
    pub fn send(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> Option<Sent> {
        let target = if target.starts_with('/') {
            format!("http://{}{target}", self.host)
        } else {
            target.to_owned()
        };
        let mut request = http::Request::builder().method(method).uri(target).version(http::Version::HTTP_2);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("a request");
        let end = body.is_some_and(<[u8]>::is_empty);
        let send = self.send.clone();
        self.runtime.block_on(async {
            let mut send = tokio::time::timeout(PATIENCE, send.ready()).await.expect("in time").ok()?;
            let (answer, mut stream) = send.send_request(request, end).ok()?;
            if let Some(body) = body.filter(|body| !body.is_empty()) {
                stream.send_data(Bytes::copy_from_slice(body), true).ok()?;
            }
            let open = body.is_none();
            Some(Sent {
                answer,
                send: Some(stream).filter(|_| open),
            })
        })
    }
    /// More of a body that was begun.
    pub fn more(&self, sent: &mut Sent, bytes: &[u8], end: bool) {
        let _guard = self.runtime.enter();
        if let Some(send) = &mut sent.send {
            let _reset = send.send_data(Bytes::copy_from_slice(bytes), end);
        }
    }
    /// The head of an answer; `None`: reset, or closed.
    pub fn begun(&self, sent: Option<Sent>) -> Option<Stream> {
        let sent = sent?;
        self.runtime.block_on(async {
            let answer = tokio::time::timeout(PATIENCE, sent.answer).await.expect("in time").ok()?;
            let (head, body) = answer.into_parts();
            let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
            Some(Stream {
                head: Answer {
                    status: head.status.as_u16(),
                    headers: head
                        .headers
                        .iter()
                        .map(|(name, value)| (name.as_str().to_owned(), text(value)))
                        .collect(),
                    body: Vec::new(),
                },
                body,
                broken: false,
            })
        })
    }
    /// An answer whole; status 0 if it was reset in the middle.
    pub fn answer(&self, sent: Option<Sent>) -> Answer {
        let Some(mut stream) = self.begun(sent) else {
            return Answer::default();
        };
        let mut body = Vec::new();
        while let Some(bytes) = self.chunk(&mut stream) {
            body.extend_from_slice(&bytes);
        }
        if stream.broken {
            return Answer::default();
        }
        Answer { body, ..stream.head }
    }
    /// More of an answer; `None`: its end, or it was reset.
    pub fn chunk(&self, stream: &mut Stream) -> Option<Bytes> {
        self.runtime.block_on(async {
            let next = tokio::time::timeout(PATIENCE, stream.body.data()).await.expect("in time");
            let Ok(bytes) = next? else {
                stream.broken = true;
                return None;
            };
            // Of a stream that has ended meanwhile there is nothing to give back.
            let _ended = stream.body.flow_control().release_capacity(bytes.len());
            Some(bytes)
        })
    }
    /// The next event of a stream, as [`crate::Client::event`].
    pub fn event(&self, stream: &mut Stream, rest: &mut String) -> Option<String> {
        loop {
            if let Some((event, after)) = rest.split_once("\n\n") {
                let lines: Vec<_> = event
                    .lines()
                    .filter(|line| !line.starts_with(':') && !line.starts_with("retry:"))
                    .collect();
                let event = lines.join("\n");
                *rest = after.to_owned();
                if !event.is_empty() {
                    return Some(event);
                }
                continue;
            }
            rest.push_str(&String::from_utf8_lossy(&self.chunk(stream)?));
        }
    }
    /// Waits until the connection has ended.
    pub fn is_closed(&self) -> bool {
        let mut ended = self.ended.clone();
        // Its sender goes with the connection.
        let ended = async { while ended.changed().await.is_ok() {} };
        self.runtime.block_on(async { tokio::time::timeout(PATIENCE, ended).await.is_ok() })
    }
}
type Shaken<S> = (SendRequest<Bytes>, h2::client::Connection<S>);
fn serve<S>((send, connection): Shaken<S>) -> (SendRequest<Bytes>, Task, watch::Receiver<()>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (open, ended) = watch::channel(());
    let connection = tasks::spawn(async move {
        let _closed = connection.await;
        drop(open);
    });
    (send, connection, ended)
}
/// A stream that is no longer HTTP.
pub struct Tunnel {
    handle: Handle,
    /// What was answered.
    pub head: Answer,
    send: SendStream<Bytes>,
    receive: RecvStream,
    rest: Bytes,
}
impl Tunnel {
    /// Resets it.
    pub fn reset(&mut self) {
        let _guard = self.handle.enter();
        self.send.send_reset(h2::Reason::CANCEL);
    }
}
impl std::fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tunnel")
    }
}
impl Read for Tunnel {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            let next = async { tokio::time::timeout(PATIENCE, self.receive.data()).await };
            match self.handle.block_on(next)? {
                None => return Ok(0),
                Some(data) => self.rest = data.map_err(io::Error::other)?,
            }
            let _ended = self.receive.flow_control().release_capacity(self.rest.len());
        }
        let length = self.rest.len().min(bytes.len());
        bytes[..length].copy_from_slice(&self.rest.split_to(length));
        Ok(length)
    }
}
impl Write for Tunnel {
    /// Without regard to windows: they are h2's matter.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _guard = self.handle.enter();
        self.send
            .send_data(Bytes::copy_from_slice(bytes), false)
            .map_err(io::Error::other)?;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
/// Kinds of frames.
pub mod kind {
    #![expect(missing_docs, reason = "RFC 9113, section 6")]
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}
/// Of `DATA` and `HEADERS`.
pub const END_STREAM: u8 = 1;
/// Of `HEADERS` and `CONTINUATION`.
pub const END_HEADERS: u8 = 4;
/// Before anything else.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// One of [`kind`].
    pub kind: u8,
    /// What they mean depends on the kind.
    pub flags: u8,
    /// 0: the connection.
    pub stream: u32,
    /// Not decoded.
    pub payload: Vec<u8>,
}
/// A bare socket that speaks frames.
pub struct Raw {
    socket: TcpStream,
}
impl Raw {
    /// Connects and says hello, with these settings.
    pub fn new(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut raw = Self::silent(address);
        raw.write(PREFACE);
        let settings: Vec<u8> = settings
            .iter()
            .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        raw.write(&frame(kind::SETTINGS, 0, 0, &settings));
        raw
    }
    /// Only connects.
    pub fn silent(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).expect("connect");
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { socket }
    }
    /// The same connection, for a reader beside the writer.
    pub fn twin(&self) -> Self {
        Self {
            socket: self.socket.try_clone().expect("a twin"),
        }
    }
    /// Raw bytes; `false`: the peer has closed.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).is_ok()
    }
    /// The next frame; `None`: closed.
    pub fn frame(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.socket.read_exact(&mut head).ok()?;
        let [high, middle, low, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low)];
        self.socket.read_exact(&mut payload).ok()?;
        Some(Frame {
            kind,
            flags,
            stream: u32::from_be_bytes(stream) & 0x7fff_ffff,
            payload,
        })
    }
    /// Reads what comes until there is one of that kind; `None`: closed before.
    pub fn until(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.frame()?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }
    /// Reads and throws away until the peer has closed.
    pub fn is_closed(&mut self) -> bool {
        let mut thrown_away = vec![0; 64 << 10];
        loop {
            match self.socket.read(&mut thrown_away) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
            }
        }
    }
}
/// A frame, whole.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, high, middle, low] = u32::try_from(payload.len()).expect("a frame").to_be_bytes();
    let mut frame = vec![high, middle, low, kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}
/// A block of head fields, all of them literal.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        text(name, &mut block);
        text(value, &mut block);
    }
    block
}
/// The block of a request without a body.
pub fn get(target: &str) -> Vec<u8> {
    request("GET", target, &[])
}
/// The block of a request.
pub fn request(method: &str, target: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [
        (":method", method),
        (":scheme", "http"),
        (":authority", "localhost"),
        (":path", target),
    ];
    block(&[&pseudo[..], headers].concat())
}
/// A length of seven bits and what follows it, and the text (RFC 7541, section 5).
fn text(text: &str, out: &mut Vec<u8>) {
    let mut left = text.len();
    if left < 127 {
        out.push(left as u8);
    } else {
        out.push(127);
        left -= 127;
        while left >= 128 {
            out.push((left % 128) as u8 | 128);
            left /= 128;
        }
        out.push(left as u8);
    }
    out.extend_from_slice(text.as_bytes());
}
