//! A WebSocket client over a bare socket: it can send broken frames, fall silent, or leave.
use crate::{
    client::{Answer, Client, head},
    http2::Tunnel,
    wire::Wire,
};
use serde_json::Value;
use std::{io::Read, net::SocketAddr};

/// What RFC 6455 uses as an example.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const USUAL: [(&str, &str); 4] = [
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", KEY),
];

/// A connection after its handshake.
#[derive(Debug)]
pub struct WebSocket {
    client: Client,
}
/// One frame of the server.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// A whole text message.
    Text(String),
    /// A whole binary message.
    Binary(Vec<u8>),
    /// With its payload.
    Ping(Vec<u8>),
    /// With its payload.
    Pong(Vec<u8>),
    /// Code, 0 for none, and reason.
    Close(u16, String),
    /// The connection ended without a close frame.
    Ended,
}
impl WebSocket {
    /// The answer to a handshake with these headers beside the usual ones.
    pub fn ask(address: SocketAddr, target: &str, headers: &[(&str, &str)]) -> (Answer, Client) {
        let mut all = USUAL.to_vec();
        all.retain(|(name, _)| headers.iter().all(|(own, _)| own != name));
        all.extend(headers);
        let mut client = Client::new(address);
        let answer = Self::ask_over(&mut client, target, &all);
        (answer, client)
    }
    fn ask_over(client: &mut Client, target: &str, headers: &[(&str, &str)]) -> Answer {
        client.write(&head("GET", target, headers, None));
        client.answer()
    }
    /// A handshake that must be accepted, with a subprotocol or without.
    pub fn open(address: SocketAddr, target: &str, subprotocol: Option<&str>) -> Self {
        Self::over(Client::new(address), target, subprotocol)
    }
    /// The same over a connection that is there, as one by TLS.
    pub fn over(mut client: Client, target: &str, subprotocol: Option<&str>) -> Self {
        let wanted = subprotocol.iter().map(|name| ("sec-websocket-protocol", *name));
        let all: Vec<_> = USUAL.into_iter().chain(wanted).collect();
        let answer = Self::ask_over(&mut client, target, &all);
        assert_eq!(answer.status, 101, "{answer:?}");
        assert_eq!(answer.header("sec-websocket-accept"), Some(ACCEPT));
        assert_eq!(answer.header("sec-websocket-protocol"), subprotocol);
        Self { client }
    }
    /// Over a stream of HTTP/2 that has become one.
    pub fn within(tunnel: Tunnel) -> Self {
        let client = Client::over(Wire::Tunnel(Box::new(tunnel)));
        Self { client }
    }
    /// One masked frame; `first` is its first byte.
    pub fn frame(&mut self, first: u8, payload: &[u8]) {
        const MASK: [u8; 4] = [1, 2, 3, 4];
        let mut frame = vec![first];
        match payload.len() {
            length @ 0..=125 => frame.push(0x80 | length as u8),
            length @ 126..=0xffff => {
                frame.push(0x80 | 0x7e);
                frame.extend((length as u16).to_be_bytes());
            }
            length => {
                frame.push(0x80 | 0x7f);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(MASK);
        frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.client.write(&frame);
    }
    /// A text message.
    pub fn text(&mut self, text: &str) {
        self.frame(0x81, text.as_bytes());
    }
    /// A JSON object as a text message.
    pub fn say(&mut self, object: &Value) {
        self.text(&object.to_string());
    }
    /// The subprotocol's wish to read, and the word that it is granted.
    pub fn subscribe(&mut self, wish: &Value) -> Value {
        self.say(wish);
        let granted = self.json();
        assert_eq!(granted["op"], "subscribed", "{granted}");
        granted
    }
    /// A close frame.
    pub fn close(&mut self, code: u16) {
        self.frame(0x88, &code.to_be_bytes());
    }
    /// Half a goodbye of TCP, or a whole one.
    pub fn shutdown(&self, how: std::net::Shutdown) {
        let _closed = self.client.socket().shutdown(how);
    }
    /// What only the socket itself can do.
    pub fn with<T>(&self, act: impl FnOnce(&std::net::TcpStream) -> T) -> T {
        act(self.client.socket())
    }
    /// Raw bytes.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.client.write(bytes);
    }
    /// The next frame, pings and pongs included.
    pub fn any(&mut self) -> Frame {
        self.read().unwrap_or(Frame::Ended)
    }
    /// The next frame that is no ping.
    pub fn word(&mut self) -> Frame {
        loop {
            let frame = self.any();
            if !matches!(frame, Frame::Ping(_)) {
                return frame;
            }
        }
    }
    /// The next message, which must be text.
    pub fn heard(&mut self) -> String {
        match self.word() {
            Frame::Text(text) => text,
            other => panic!("a text message, not {other:?}"),
        }
    }
    /// The next message as JSON.
    pub fn json(&mut self) -> Value {
        serde_json::from_str(&self.heard()).unwrap()
    }
    fn read(&mut self) -> Option<Frame> {
        let mut start = [0; 2];
        self.client.read_exact(&mut start).ok()?;
        let length = match start[1] {
            126 => {
                let mut bytes = [0; 2];
                self.client.read_exact(&mut bytes).ok()?;
                usize::from(u16::from_be_bytes(bytes))
            }
            127 => {
                let mut bytes = [0; 8];
                self.client.read_exact(&mut bytes).ok()?;
                u64::from_be_bytes(bytes) as usize
            }
            length => usize::from(length),
        };
        let mut payload = vec![0; length];
        self.client.read_exact(&mut payload).ok()?;
        Some(match start[0] {
            0x81 => Frame::Text(String::from_utf8(payload).unwrap()),
            0x82 => Frame::Binary(payload),
            0x88 => {
                let code = payload.first_chunk().map_or(0, |code| u16::from_be_bytes(*code));
                Frame::Close(code, String::from_utf8_lossy(payload.get(2..).unwrap_or_default()).into_owned())
            }
            0x89 => Frame::Ping(payload),
            0x8a => Frame::Pong(payload),
            other => panic!("a server sends no frame that begins with {other:#x}"),
        })
    }
}
