//! Judges the bytes of an HTTP/1 connection before the parser sees them (RFC 9112): what two parsers could frame differently is refused, and
//! what is good is never changed. Without I/O: a socket's wrapper feeds it what was read and hands on what it may.
//!
//! A wrapper reads into the parser's own buffer, feeds what came, and keeps the first [`Verdict::pass`] bytes of it; before it reads again it hands
//! on all of [`Guard::ready`]. After a refusal the parser gets an end of input and nothing more. If a body is refused, at once: its request fails
//! and is answered. If a head is, only when as many answers are written as [heads](Guard::heads) have passed, for an end of input would drop the one in
//! flight; then the connection writes the answer to the head itself. `tests/guarded_socket.rs` is such a wrapper.
mod chunked;
pub mod fuzz;
mod head;
mod refusal;

pub use refusal::Refusal;

use bytes::{Buf, BytesMut};
use chunked::Chunked;
use head::Head;

/// How HTTP/2 begins (RFC 9113, section 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What of a read may be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// So many of the bytes that were fed may be handed on, after what is [ready](Guard::ready). The guard keeps a copy of what it needs of the rest.
    pub pass: usize,
    /// What follows them.
    pub then: Then,
}
/// What follows the bytes that pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// More of the same.
    More,
    /// The client speaks HTTP/2 and its preface is among what passes. The guard has stepped aside. Said once, and only of a connection's first bytes.
    Preface,
    /// Nothing: to be answered and closed. Said again whatever is fed.
    Refused(Refusal),
}
/// The framing of one connection. A head is held back until it is whole and good; bytes of a body pass at once.
#[derive(Debug)]
pub struct Guard {
    state: State,
    /// No head has passed yet: a preface may come.
    first: bool,
    heads: u32,
    limit: u32,
    side: Option<Box<Side>>,
}
#[derive(Clone, Copy, Debug)]
enum State {
    Head,
    /// So many bytes of a body are due.
    Length(u64),
    Chunked(Chunked),
    Aside,
    Refused(Refusal),
}
/// Where a head is gathered that does not come in one read.
#[derive(Debug, Default)]
struct Side {
    held: BytesMut,
    /// So many bytes of it may be handed on.
    ready: usize,
    head: Head,
}
/// Told what the guard takes the bytes for.
pub(crate) trait Trace {
    /// A whole request head, with the line before it that is ignored.
    fn head(&mut self, _head: &[u8]) {}
    /// Content of its body.
    fn data(&mut self, _bytes: &[u8]) {}
    /// The body has ended.
    fn end(&mut self) {}
}
impl Trace for () {}

impl Guard {
    /// Of a new connection. A head of more than `limit` bytes is refused.
    pub fn new(limit: usize) -> Self {
        Self {
            state: State::Head,
            first: true,
            heads: 0,
            limit: u32::try_from(limit).unwrap_or(u32::MAX),
            side: None,
        }
    }
    /// Judges what was read. No head is handed on before its last byte was judged, and no byte behind a wrong one ever is.
    pub fn feed(&mut self, bytes: &[u8]) -> Verdict {
        self.trace(bytes, &mut ())
    }
    pub(crate) fn trace(&mut self, bytes: &[u8], trace: &mut impl Trace) -> Verdict {
        let Some(mut side) = self.side.take() else {
            let mut head = Head::default();
            let (pass, then) = self.judge(bytes, &mut head, trace);
            let rest = bytes.get(pass..).unwrap_or_default();
            if !rest.is_empty() && then == Then::More {
                self.side = Some(Box::new(Side {
                    held: BytesMut::from(rest),
                    ready: 0,
                    head,
                }));
            }
            return Verdict { pass, then };
        };
        side.held.extend_from_slice(bytes);
        let unseen = side.held.get(side.ready..).unwrap_or_default();
        let (pass, then) = self.judge(unseen, &mut side.head, trace);
        side.ready += pass;
        if let Then::Refused(_) = then {
            side.held.truncate(side.ready);
        }
        self.keep(side);
        Verdict { pass: 0, then }
    }
    /// What may be handed on, before anything else.
    pub fn ready(&self) -> &[u8] {
        let side = self.side.as_deref();
        side.and_then(|side| side.held.get(..side.ready)).unwrap_or_default()
    }
    /// So many bytes of [`Guard::ready`] were handed on.
    pub fn consume(&mut self, bytes: usize) {
        if let Some(mut side) = self.side.take() {
            let bytes = bytes.min(side.ready);
            side.held.advance(bytes);
            side.ready -= bytes;
            self.keep(side);
        }
    }
    /// Steps aside for good, as an upgrade to another protocol is answered: what it held is ready, and all that follows passes. Does nothing
    /// after a refusal. Called before the answer is written, for its first byte allows the client to speak the other protocol; what it says of
    /// it earlier is judged as a head.
    pub fn release(&mut self) {
        if !matches!(self.state, State::Refused(_)) {
            self.state = State::Aside;
            if let Some(side) = &mut self.side {
                side.ready = side.held.len();
            }
        }
    }
    /// How many heads have passed: so many answers are owed before a refused head is answered. Begins again at 0 after the last number there is.
    pub fn heads(&self) -> u32 {
        self.heads
    }
    /// Between two requests and without any bytes of the next: a client that leaves now leaves nothing undone.
    pub fn is_at_rest(&self) -> bool {
        matches!(self.state, State::Head) && self.side.is_none()
    }
    fn keep(&mut self, side: Box<Side>) {
        self.side = Some(side).filter(|side| !side.held.is_empty());
    }
    /// How many bytes pass, and what follows them. What neither passes nor is refused is the beginning of a head.
    fn judge(&mut self, bytes: &[u8], head: &mut Head, trace: &mut impl Trace) -> (usize, Then) {
        let mut pass = 0;
        while let Some(rest) = bytes.get(pass..).filter(|rest| !rest.is_empty()) {
            match &mut self.state {
                State::Head => {
                    if self.first {
                        match preface(rest) {
                            Some(true) => {
                                self.state = State::Aside;
                                return (bytes.len(), Then::Preface);
                            }
                            Some(false) => break,
                            None => {}
                        }
                    }
                    match head.read(rest, self.limit as usize) {
                        Ok(None) => break,
                        Ok(Some((length, body))) => {
                            trace.head(rest.get(..length).unwrap_or_default());
                            self.first = false;
                            self.heads = self.heads.wrapping_add(1);
                            *head = Head::default();
                            pass += length;
                            self.state = match body {
                                head::Body::Length(0) => {
                                    trace.end();
                                    State::Head
                                }
                                head::Body::Length(due) => State::Length(due),
                                head::Body::Chunked => State::Chunked(Chunked::default()),
                            };
                        }
                        Err(refusal) => return self.refuse(pass, refusal),
                    }
                }
                State::Length(due) => {
                    let length = usize::try_from(*due).unwrap_or(usize::MAX).min(rest.len());
                    trace.data(rest.get(..length).unwrap_or_default());
                    pass += length;
                    *due -= length as u64;
                    if *due == 0 {
                        trace.end();
                        self.state = State::Head;
                    }
                }
                State::Chunked(chunked) => {
                    let (length, step) = chunked.read(rest, trace);
                    pass += length;
                    match step {
                        Ok(false) => {}
                        Ok(true) => {
                            trace.end();
                            self.state = State::Head;
                        }
                        Err(refusal) => return self.refuse(pass, refusal),
                    }
                }
                State::Aside => pass = bytes.len(),
                State::Refused(refusal) => return (pass, Then::Refused(*refusal)),
            }
        }
        match self.state {
            State::Refused(refusal) => (pass, Then::Refused(refusal)),
            _ => (pass, Then::More),
        }
    }
    fn refuse(&mut self, pass: usize, refusal: Refusal) -> (usize, Then) {
        self.state = State::Refused(refusal);
        (pass, Then::Refused(refusal))
    }
}
/// Whether the preface is there; `false` if it may still become one.
fn preface(bytes: &[u8]) -> Option<bool> {
    if bytes.starts_with(PREFACE) {
        Some(true)
    } else {
        PREFACE.starts_with(bytes).then_some(false)
    }
}
