//! A client over a bare socket: it can send half a request, stop reading, or leave, which no library lets one do.
use crate::wire::{Trust, Wire};
use serde_json::Value;
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

/// Nothing here may hang for ever.
const PATIENCE: Duration = Duration::from_secs(30);

/// One connection.
#[derive(Debug)]
pub struct Client {
    reader: BufReader<Wire>,
}
/// What came back.
#[derive(Debug, Default)]
pub struct Answer {
    /// The status; 0: the connection was closed without an answer.
    pub status: u16,
    /// As written, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Without chunk headers.
    pub body: Vec<u8>,
}
impl Answer {
    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }
    /// The body as JSON; `Null` when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
impl Read for Client {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.reader.read(bytes)
    }
}
impl Client {
    /// Connects.
    pub fn new(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).expect("connect");
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        Self::over(Wire::Plain(socket))
    }
    /// Connects by TLS; fails as its handshake does.
    pub fn secure(address: SocketAddr, trust: &Trust) -> io::Result<Self> {
        let plain = Self::new(address).reader.into_inner();
        trust.over(plain.socket().try_clone()?).map(Self::over)
    }
    /// Over what is there already.
    pub fn over(wire: Wire) -> Self {
        Self {
            reader: BufReader::new(wire),
        }
    }
    /// Without what was read of it and not looked at.
    pub fn into_wire(self) -> Wire {
        self.reader.into_inner()
    }
    /// One request on a connection of its own.
    pub fn once(address: SocketAddr, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        Self::new(address).request(method, target, headers, body)
    }
    /// One request; the connection can be used again.
    pub fn request(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.write(&head(method, target, headers, (method != "GET").then_some(body.len())));
        self.write(body);
        self.answer()
    }
    /// Raw bytes. A peer that has closed is no failure: the answer tells.
    pub fn write(&mut self, bytes: &[u8]) {
        let _closed = self.reader.get_mut().write_all(bytes);
    }
    /// No more bytes will come.
    pub fn finish(&mut self) {
        let _closed = self.socket().shutdown(Shutdown::Write);
    }
    /// The next answer, whole.
    pub fn answer(&mut self) -> Answer {
        let mut answer = match self.head() {
            Ok(answer) => answer,
            Err(_closed) => return Answer::default(),
        };
        if answer.status == 100 {
            return self.answer();
        }
        if answer.header("transfer-encoding").is_some() {
            while let Some(chunk) = self.chunk() {
                answer.body.extend(chunk);
            }
        } else if let Some(length) = answer.header("content-length") {
            let mut body = vec![0; length.parse().expect("a length")];
            self.reader.read_exact(&mut body).expect("the whole body");
            answer.body = body;
        }
        answer
    }
    /// Status and headers, no byte further.
    pub fn head(&mut self) -> io::Result<Answer> {
        let mut answer = Answer::default();
        let line = self.line()?;
        answer.status = line
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .ok_or(io::ErrorKind::InvalidData)?;
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else {
                return Ok(answer);
            };
            answer.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    /// The next chunk of a chunked body; `None` at its end.
    pub fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = usize::from_str_radix(self.line().ok()?.trim(), 16).ok()?;
        let mut chunk = vec![0; size + 2];
        self.reader.read_exact(&mut chunk).ok()?;
        chunk.truncate(size);
        (size > 0).then_some(chunk)
    }
    /// The next event of a stream whose head was read: its lines, without comments; what carries no data is none.
    pub fn event(&mut self, rest: &mut String) -> Option<String> {
        loop {
            if let Some((event, after)) = rest.split_once("\n\n") {
                let lines: Vec<_> = event
                    .lines()
                    .filter(|line| !line.starts_with(':') && !line.starts_with("retry:"))
                    .collect();
                let is_event = lines.iter().any(|line| line.starts_with("data:"));
                let event = lines.join("\n");
                *rest = after.to_owned();
                if !is_event {
                    continue;
                }
                return Some(event);
            }
            rest.push_str(&String::from_utf8_lossy(&self.chunk()?));
        }
    }
    /// Whether the other side has closed.
    pub fn is_closed(&mut self) -> bool {
        matches!(self.reader.read(&mut [0]), Ok(0) | Err(_))
    }
    /// The socket itself.
    pub fn socket(&self) -> &TcpStream {
        self.reader.get_ref().socket()
    }
    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }
}
/// A request head.
pub fn head(method: &str, target: &str, headers: &[(&str, &str)], length: Option<usize>) -> Vec<u8> {
    let mut head = format!("{method} {target} HTTP/1.1\r\n");
    if headers.iter().all(|(name, _)| !name.eq_ignore_ascii_case("host")) {
        head.push_str("host: localhost\r\n");
    }
    for (name, value) in headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    if let Some(length) = length {
        head.extend(["content-length: ", &length.to_string(), "\r\n"]);
    }
    head.push_str("\r\n");
    head.into_bytes()
}
