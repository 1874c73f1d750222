//! Reading: what a client sends, in any pieces, becomes events (RFC 6455, sections 5 to 8). Strict: the first wrong byte is an end.
use super::{CONTROL, Kind, Opcode, close::CloseCode, mask};
use bytes::Bytes;
use std::fmt;

/// What a reader takes of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one message, all its fragments together. It has at most as many fragments that hold nothing, but [`EMPTY`] in any case.
    pub message: usize,
}
/// What each fragment holds bounds how many there are; these hold nothing, and a message of them would never end.
const EMPTY: usize = 1_024;
impl Default for Limits {
    fn default() -> Self {
        Self { message: 1 << 20 }
    }
}
/// What a client has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A whole message. Text is UTF-8.
    Message {
        /// Text or binary.
        kind: Kind,
        /// All fragments in one; it pins nothing but itself.
        payload: Bytes,
    },
    /// To be answered by a pong with the same payload.
    Ping(Bytes),
    /// The answer to a ping, or none was asked.
    Pong(Bytes),
    /// The client's last frame: to be answered by a close frame with the same code, unless one was sent.
    Close {
        /// `None`: it did not say.
        code: Option<CloseCode>,
        /// Often empty.
        reason: String,
    },
}
/// What a client did wrong. The connection is to be closed with [`Failure::code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A frame is not masked (section 5.1).
    Unmasked,
    /// A reserved bit is set, and no extension was agreed on.
    Reserved,
    /// An opcode nobody knows.
    Opcode,
    /// A control frame is not final.
    ControlFragment,
    /// A control frame has more than 125 bytes.
    ControlLength,
    /// A length is not written in the shortest form, or does not fit 63 bits.
    Length,
    /// A continuation of nothing.
    Continuation,
    /// A message begins before the last one ended.
    Interleaved,
    /// A close frame with half a code, or one that may not be sent.
    CloseCode,
    /// Text, or the reason of a close frame, is not UTF-8.
    Text,
    /// A message is larger than is taken.
    TooBig,
    /// A message has more fragments that hold nothing than are taken.
    Fragments,
}
impl Failure {
    /// What to close the connection with.
    pub fn code(self) -> CloseCode {
        match self {
            Self::Text => CloseCode::INVALID,
            Self::TooBig | Self::Fragments => CloseCode::TOO_BIG,
            Self::Unmasked
            | Self::Reserved
            | Self::Opcode
            | Self::ControlFragment
            | Self::ControlLength
            | Self::Length
            | Self::Continuation
            | Self::Interleaved
            | Self::CloseCode => CloseCode::PROTOCOL,
        }
    }
    /// In words, short enough for the reason of a close frame.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Unmasked => "a frame is not masked",
            Self::Reserved => "a reserved bit is set",
            Self::Opcode => "unknown opcode",
            Self::ControlFragment => "a control frame is fragmented",
            Self::ControlLength => "a control frame has more than 125 bytes",
            Self::Length => "a length is not in its shortest form",
            Self::Continuation => "a continuation of nothing",
            Self::Interleaved => "a message begins before the last one ended",
            Self::CloseCode => "bad close code",
            Self::Text => "text is not UTF-8",
            Self::TooBig => "the message is too large",
            Self::Fragments => "the message has too many empty fragments",
        }
    }
}
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}
impl std::error::Error for Failure {}

/// Makes events of one client's bytes. Between messages it holds nothing but its limits; within one, no more than came of it, twice at most
/// while it grows, and never more than it announced.
#[derive(Debug)]
pub struct Reader {
    limits: Limits,
    end: End,
    partial: Option<Box<Partial>>,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    Closed,
    Failed(Failure),
}
impl Reader {
    /// Of a connection whose handshake is done.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            end: End::Open,
            partial: None,
        }
    }
    /// The next event; what it took is cut off the front of `input`. `None`: all of it was taken and more is needed.
    /// After a close frame further bytes are ignored (section 5.5.1), after a failure there is only that failure.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Event>, Failure> {
        match self.end {
            End::Open if !input.is_empty() => {}
            End::Open | End::Closed => {
                *input = &[];
                return Ok(None);
            }
            End::Failed(failure) => return Err(failure),
        }
        let result = if let Some(partial) = &mut self.partial {
            let result = partial.read(input, self.limits);
            if partial.is_at_rest() {
                self.partial = None;
            }
            result
        } else {
            // Most messages come in one piece: for them nothing is allocated but the message.
            let mut partial = Partial::default();
            let result = partial.read(input, self.limits);
            if !partial.is_at_rest() {
                self.partial = Some(Box::new(partial));
            }
            result
        };
        match &result {
            Err(failure) => self.end = End::Failed(*failure),
            Ok(Some(Event::Close { .. })) => self.end = End::Closed,
            Ok(_) => return result,
        }
        self.partial = None;
        result
    }
    /// Nothing is begun: no frame, no message.
    pub fn is_at_rest(&self) -> bool {
        self.partial.is_none()
    }
    /// What it holds on the heap, in bytes.
    pub fn held(&self) -> usize {
        let of = |partial: &Partial| {
            let message = partial.message.as_ref().map_or(0, |message| message.bytes.capacity());
            size_of::<Partial>() + message + partial.control.capacity()
        };
        self.partial.as_deref().map_or(0, of)
    }
}
/// What is begun and not ended.
#[derive(Debug, Default)]
struct Partial {
    head: Head,
    /// Its head is whole, its payload is not.
    frame: Option<Frame>,
    control: Vec<u8>,
    message: Option<Message>,
}
/// The first bytes of a frame, until there are enough.
#[derive(Debug, Default)]
struct Head {
    bytes: [u8; 14],
    length: usize,
}
#[derive(Clone, Copy, Debug)]
struct Frame {
    opcode: Opcode,
    last: bool,
    mask: [u8; 4],
    length: usize,
    taken: usize,
}
#[derive(Debug)]
struct Message {
    kind: Kind,
    bytes: Vec<u8>,
    /// So many bytes are whole characters.
    checked: usize,
    /// So many fragments held nothing.
    empty: usize,
}
impl Partial {
    fn is_at_rest(&self) -> bool {
        self.head.length == 0 && self.frame.is_none() && self.message.is_none()
    }
    fn read(&mut self, input: &mut &[u8], limits: Limits) -> Result<Option<Event>, Failure> {
        loop {
            let mut frame = match self.frame.take() {
                Some(frame) => frame,
                None => match self.head(input, limits)? {
                    Some(frame) => frame,
                    None => return Ok(None),
                },
            };
            let due = frame.length - frame.taken;
            let (piece, rest) = input.split_at(due.min(input.len()));
            *input = rest;
            self.payload(frame, piece)?;
            frame.taken += piece.len();
            if frame.taken < frame.length {
                self.frame = Some(frame);
                return Ok(None);
            }
            if let Some(event) = self.finish(frame)? {
                return Ok(Some(event));
            }
        }
    }
    /// Byte by byte: each is judged before the next is awaited.
    fn head(&mut self, input: &mut &[u8], limits: Limits) -> Result<Option<Frame>, Failure> {
        while let Some((byte, rest)) = input.split_first() {
            *input = rest;
            let head = &mut self.head;
            if let Some(place) = head.bytes.get_mut(head.length) {
                *place = *byte;
            }
            head.length += 1;
            let [first, second, ..] = head.bytes;
            match head.length {
                1 => self.first(first)?,
                2 => second_byte(first, second)?,
                _ => {}
            }
            let announced = 2 + extended(second);
            if self.head.length < announced {
                continue;
            }
            if self.head.length == announced {
                self.fits(limits)?;
            }
            if self.head.length == announced + 4 {
                return self.begin(announced).map(Some);
            }
        }
        Ok(None)
    }
    /// FIN, RSV and opcode, and whether such a frame may come now.
    fn first(&self, byte: u8) -> Result<(), Failure> {
        if byte & 0x70 != 0 {
            return Err(Failure::Reserved);
        }
        match (Opcode::new(byte & 0x0f).ok_or(Failure::Opcode)?, &self.message) {
            (opcode, _) if opcode.is_control() && byte & 0x80 == 0 => Err(Failure::ControlFragment),
            (Opcode::Continuation, None) => Err(Failure::Continuation),
            (Opcode::Text | Opcode::Binary, Some(_)) => Err(Failure::Interleaved),
            _ => Ok(()),
        }
    }
    /// The length is known: it is in its shortest form, and there is room for it.
    fn fits(&self, limits: Limits) -> Result<(), Failure> {
        let length = self.head.announced()?;
        let control = self.head.bytes[0] & 0x08 != 0;
        let (begun, empty) = self.message.as_ref().map_or((0, 0), |message| (message.bytes.len(), message.empty));
        if !control && length > (limits.message as u64).saturating_sub(begun as u64) {
            return Err(Failure::TooBig);
        }
        if !control && length == 0 && empty >= limits.message.max(EMPTY) {
            return Err(Failure::Fragments);
        }
        Ok(())
    }
    /// The head is whole.
    fn begin(&mut self, at: usize) -> Result<Frame, Failure> {
        let head = std::mem::take(&mut self.head);
        let mask = head.bytes.get(at..).and_then(|bytes| bytes.first_chunk::<4>());
        let opcode = Opcode::new(head.bytes[0] & 0x0f).ok_or(Failure::Opcode)?;
        let kind = match opcode {
            Opcode::Text => Some(Kind::Text),
            Opcode::Binary => Some(Kind::Binary),
            _ => None,
        };
        if let Some(kind) = kind {
            self.message = Some(Message {
                kind,
                bytes: Vec::new(),
                checked: 0,
                empty: 0,
            });
        }
        let length = usize::try_from(head.announced()?).map_err(|_| Failure::TooBig)?;
        if let (false, 0, Some(message)) = (opcode.is_control(), length, &mut self.message) {
            message.empty += 1;
        }
        Ok(Frame {
            opcode,
            last: head.bytes[0] & 0x80 != 0,
            mask: mask.copied().unwrap_or_default(),
            length,
            taken: 0,
        })
    }
    fn payload(&mut self, frame: Frame, piece: &[u8]) -> Result<(), Failure> {
        let due = frame.length - frame.taken;
        let append = |bytes: &mut Vec<u8>| {
            let before = bytes.len();
            reserve(bytes, piece.len(), due);
            bytes.extend_from_slice(piece);
            mask::apply(bytes.get_mut(before..).unwrap_or_default(), frame.mask, frame.taken);
        };
        if frame.opcode.is_control() {
            append(&mut self.control);
        } else if let Some(message) = &mut self.message {
            append(&mut message.bytes);
            if message.kind == Kind::Text {
                message.check()?;
            }
        }
        Ok(())
    }
    /// A frame is whole: perhaps that is an event.
    fn finish(&mut self, frame: Frame) -> Result<Option<Event>, Failure> {
        match frame.opcode {
            Opcode::Ping => Ok(Some(Event::Ping(std::mem::take(&mut self.control).into()))),
            Opcode::Pong => Ok(Some(Event::Pong(std::mem::take(&mut self.control).into()))),
            Opcode::Close => closing(&std::mem::take(&mut self.control)).map(Some),
            Opcode::Continuation | Opcode::Text | Opcode::Binary if frame.last => self.message.take().map(Message::finish).transpose(),
            Opcode::Continuation | Opcode::Text | Opcode::Binary => Ok(None),
        }
    }
}
impl Head {
    /// The length it says, if that is in its shortest form.
    fn announced(&self) -> Result<u64, Failure> {
        let [_, second, long @ ..] = &self.bytes;
        let two = long.first_chunk::<2>().copied().unwrap_or_default();
        let eight = long.first_chunk::<8>().copied().unwrap_or_default();
        let (length, least, most) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes(two)), 126, 0xffff),
            127 => (u64::from_be_bytes(eight), 0x1_0000, i64::MAX as u64),
            short => (u64::from(short), 0, 125),
        };
        if (least..=most).contains(&length) {
            Ok(length)
        } else {
            Err(Failure::Length)
        }
    }
}
impl Message {
    /// Only what may still become a character is left unchecked: at most three bytes.
    fn check(&mut self) -> Result<(), Failure> {
        match simdutf8::compat::from_utf8(self.bytes.get(self.checked..).unwrap_or_default()) {
            Ok(text) => self.checked += text.len(),
            Err(error) if error.error_len().is_none() => self.checked += error.valid_up_to(),
            Err(_) => return Err(Failure::Text),
        }
        Ok(())
    }
    fn finish(self) -> Result<Event, Failure> {
        if self.kind == Kind::Text && self.checked < self.bytes.len() {
            return Err(Failure::Text);
        }
        Ok(Event::Message {
            kind: self.kind,
            payload: self.bytes.into(),
        })
    }
}
/// The mask must be there, and a control frame is short; a close frame has no code or a whole one.
fn second_byte(first: u8, second: u8) -> Result<(), Failure> {
    if second & 0x80 == 0 {
        return Err(Failure::Unmasked);
    }
    let length = usize::from(second & 0x7f);
    let opcode = Opcode::new(first & 0x0f).ok_or(Failure::Opcode)?;
    if opcode.is_control() && length > CONTROL {
        return Err(Failure::ControlLength);
    }
    if opcode == Opcode::Close && length == 1 {
        return Err(Failure::CloseCode);
    }
    Ok(())
}
/// How many bytes of length follow.
fn extended(second: u8) -> usize {
    match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    }
}
/// Room for `more` bytes: by doubling, but never beyond what is due.
fn reserve(bytes: &mut Vec<u8>, more: usize, due: usize) {
    if bytes.capacity() - bytes.len() < more {
        let doubled = bytes.capacity().saturating_mul(2).saturating_sub(bytes.len());
        bytes.reserve_exact(doubled.min(due).max(more));
    }
}
fn closing(payload: &[u8]) -> Result<Event, Failure> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return Ok(Event::Close {
            code: None,
            reason: String::new(),
        });
    };
    let code = CloseCode::new(u16::from_be_bytes(*code)).ok_or(Failure::CloseCode)?;
    let reason = simdutf8::basic::from_utf8(reason).map_err(|_| Failure::Text)?;
    Ok(Event::Close {
        code: Some(code),
        reason: reason.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::websocket::fuzz::masked;

    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    fn all(bytes: &[u8], limits: Limits, step: usize) -> (Vec<Event>, Option<Failure>, usize) {
        let mut reader = Reader::new(limits);
        let mut events = Vec::new();
        for (number, piece) in bytes.chunks(step).enumerate() {
            let mut input = piece;
            loop {
                match reader.next(&mut input) {
                    Ok(Some(event)) => events.push(event),
                    Ok(None) => break,
                    Err(failure) => return (events, Some(failure), number * step + piece.len() - input.len()),
                }
            }
            assert!(input.is_empty());
        }
        (events, None, bytes.len())
    }
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        masked(first, MASK, payload, &mut out);
        out
    }
    fn text(payload: &str) -> Event {
        Event::Message {
            kind: Kind::Text,
            payload: Bytes::copy_from_slice(payload.as_bytes()),
        }
    }
    fn binary(payload: &[u8]) -> Event {
        Event::Message {
            kind: Kind::Binary,
            payload: Bytes::copy_from_slice(payload),
        }
    }
    fn closed(code: u16, reason: &str) -> Event {
        Event::Close {
            code: CloseCode::new(code),
            reason: reason.to_owned(),
        }
    }
    #[test]
    fn the_masked_example_of_the_rfc_is_read() {
        let bytes = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(all(&bytes, Limits::default(), 64), (vec![text("Hello")], None, 11));
        let bytes = [0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        let pong = Event::Pong(Bytes::from_static(b"Hello"));
        assert_eq!(all(&bytes, Limits::default(), 64), (vec![pong], None, 11));
    }
    /// Section 5.7, the other examples masked as a client has to, and what may be between and behind them. Each cut at every byte.
    #[test]
    fn what_is_good_is_read_however_it_is_cut() {
        let rows: Vec<(Vec<u8>, Vec<Event>)> = vec![
            (frame(0x81, b"Hello"), vec![text("Hello")]),
            ([frame(0x01, b"Hel"), frame(0x80, b"lo")].concat(), vec![text("Hello")]),
            (
                [frame(0x89, b"Hello"), frame(0x8a, b"Hello")].concat(),
                vec![Event::Ping(Bytes::from_static(b"Hello")), Event::Pong(Bytes::from_static(b"Hello"))],
            ),
            (frame(0x82, &[7; 256]), vec![binary(&[7; 256])]),
            (frame(0x82, &[7; 126]), vec![binary(&[7; 126])]),
            (frame(0x89, &[7; 125]), vec![Event::Ping(Bytes::from_static(&[7; 125]))]),
            (frame(0x81, b""), vec![text("")]),
            ([frame(0x02, b""), frame(0x00, b""), frame(0x80, b"")].concat(), vec![binary(b"")]),
            // A control frame between two fragments, and a character cut by them.
            (
                [
                    frame(0x01, b"\xf0\x9f"),
                    frame(0x89, b""),
                    frame(0x00, b"\x98"),
                    frame(0x80, b"\x80!"),
                ]
                .concat(),
                vec![Event::Ping(Bytes::new()), text("😀!")],
            ),
            ([frame(0x82, b"a"), frame(0x81, b"b")].concat(), vec![binary(b"a"), text("b")]),
            (
                frame(0x88, b""),
                vec![Event::Close {
                    code: None,
                    reason: String::new(),
                }],
            ),
            (frame(0x88, b"\x03\xe8"), vec![closed(1000, "")]),
            (frame(0x88, b"\x0f\xa0caf\xc3\xa9"), vec![closed(4000, "café")]),
            // What follows a close frame is nobody's.
            (
                [frame(0x88, b"\x03\xe9"), b"\xff\xff\xff".to_vec()].concat(),
                vec![closed(1001, "")],
            ),
        ];
        for (bytes, events) in rows {
            for step in 1..=bytes.len() {
                let found = all(&bytes, Limits::default(), step);
                assert_eq!(found, (events.clone(), None, bytes.len()), "{bytes:x?} by {step}");
            }
            for cut in 0..bytes.len() {
                let (mut first, mut second) = bytes.split_at(cut);
                let mut reader = Reader::new(Limits::default());
                let mut found = Vec::new();
                while let Some(event) = reader.next(&mut first).unwrap() {
                    found.push(event);
                }
                while let Some(event) = reader.next(&mut second).unwrap() {
                    found.push(event);
                }
                assert_eq!(found, events, "{bytes:x?} at {cut}");
                assert!(reader.is_at_rest());
            }
        }
        let large = frame(0x82, &vec![7; 65_536]);
        for step in [1, 13, 14, 15, 4_096, 65_549, 65_550] {
            assert_eq!(all(&large, Limits::default(), step).0, [binary(&vec![7; 65_536])]);
        }
    }
    /// Bytes, what is wrong with them, and at which byte that is known: no later one is awaited.
    #[test]
    fn what_is_wrong_is_refused_at_the_first_byte_that_shows_it() {
        let rows: Vec<(Vec<u8>, Failure, usize)> = vec![
            (b"\x81\x05Hello".to_vec(), Failure::Unmasked, 2),
            (frame(0xc1, b"x"), Failure::Reserved, 1),
            (frame(0xa1, b"x"), Failure::Reserved, 1),
            (frame(0x91, b"x"), Failure::Reserved, 1),
            (frame(0x83, b"x"), Failure::Opcode, 1),
            (frame(0x87, b"x"), Failure::Opcode, 1),
            (frame(0x8b, b"x"), Failure::Opcode, 1),
            (frame(0x8f, b"x"), Failure::Opcode, 1),
            (frame(0x09, b"x"), Failure::ControlFragment, 1),
            (frame(0x0a, b"x"), Failure::ControlFragment, 1),
            (frame(0x08, b""), Failure::ControlFragment, 1),
            (frame(0x89, &[7; 126]), Failure::ControlLength, 2),
            (b"\x88\xff\0\0\0\0\0\0\0\x01".to_vec(), Failure::ControlLength, 2),
            (b"\x81\xfe\0\x7d\0\0\0\0".to_vec(), Failure::Length, 4),
            (b"\x81\xff\0\0\0\0\0\0\xff\xff".to_vec(), Failure::Length, 10),
            (b"\x82\xff\x80\0\0\0\0\0\0\0".to_vec(), Failure::Length, 10),
            (frame(0x80, b"x"), Failure::Continuation, 1),
            (frame(0x00, b"x"), Failure::Continuation, 1),
            ([frame(0x81, b"x"), frame(0x80, b"x")].concat(), Failure::Continuation, 8),
            ([frame(0x01, b"x"), frame(0x81, b"x")].concat(), Failure::Interleaved, 8),
            ([frame(0x02, b"x"), frame(0x02, b"x")].concat(), Failure::Interleaved, 8),
            (frame(0x88, b"\x03"), Failure::CloseCode, 2),
            (frame(0x88, b"\x03\xe7"), Failure::CloseCode, 8),
            (frame(0x88, b"\x03\xec"), Failure::CloseCode, 8),
            (frame(0x88, b"\x03\xed"), Failure::CloseCode, 8),
            (frame(0x88, b"\x03\xee"), Failure::CloseCode, 8),
            (frame(0x88, b"\x03\xf7"), Failure::CloseCode, 8),
            (frame(0x88, b"\x13\x88"), Failure::CloseCode, 8),
            (frame(0x88, b"\x03\xe8\xff"), Failure::Text, 9),
            // Text: the byte that cannot be is the last one taken.
            (frame(0x81, b"ab\xffcd"), Failure::Text, 9),
            (frame(0x81, b"a\xc0\x80"), Failure::Text, 8),
            (frame(0x81, b"\xed\xa0\x80"), Failure::Text, 8),
            (frame(0x81, b"\xf4\x90\x80\x80"), Failure::Text, 8),
            (frame(0x81, b"\xf0\x80\x80\x80"), Failure::Text, 8),
            (frame(0x81, b"\xe2\x82"), Failure::Text, 8),
            ([frame(0x01, b"\xe2\x82"), frame(0x80, b"x\xff")].concat(), Failure::Text, 15),
            ([frame(0x01, b"\xe2\x82"), frame(0x80, b"")].concat(), Failure::Text, 14),
            (frame(0x82, &[7; 1_025]), Failure::TooBig, 4),
            (b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff".to_vec(), Failure::TooBig, 10),
            ([frame(0x02, &[7; 1_000]), frame(0x80, &[7; 25])].concat(), Failure::TooBig, 1_010),
            // As many that hold nothing as it may have bytes, and one more.
            (
                [frame(0x02, b""), frame(0x00, b"").repeat(1_023), frame(0x80, b"")].concat(),
                Failure::Fragments,
                6 * 1_024 + 2,
            ),
        ];
        let limits = Limits { message: 1_024 };
        for (bytes, failure, at) in rows {
            let (_, found, taken) = all(&bytes, limits, 1);
            assert_eq!((found, taken), (Some(failure), at), "{bytes:x?}");
            for step in (2..=bytes.len()).take(2_000) {
                assert_eq!(all(&bytes, limits, step).1, Some(failure), "{bytes:x?} by {step}");
            }
            let expected = match failure {
                Failure::Text => 1007,
                Failure::TooBig | Failure::Fragments => 1009,
                _ => 1002,
            };
            assert_eq!(failure.code().get(), expected);
            assert!(failure.to_string().len() <= crate::websocket::frame::REASON);
        }
    }
    #[test]
    fn after_a_failure_there_is_only_that_failure() {
        let mut reader = Reader::new(Limits::default());
        assert_eq!(reader.next(&mut &b"\xff"[..]), Err(Failure::Reserved));
        assert_eq!(reader.next(&mut &frame(0x81, b"x")[..]), Err(Failure::Reserved));
        assert_eq!(reader.held(), 0);
    }
    #[test]
    fn a_message_of_the_largest_size_is_taken_in_any_fragments() {
        // Its size alone counts, and a last fragment that only says so is none too many.
        let limits = Limits { message: 5_000 };
        let one = [frame(0x02, b"a"), frame(0x00, b"b").repeat(4_999), frame(0x80, b"")].concat();
        let (told, failure, _) = all(&one, limits, 7);
        let [Event::Message { payload, .. }] = told.as_slice() else {
            panic!("{failure:?}")
        };
        assert_eq!(payload.len(), 5_000);
        let limits = Limits { message: 8 };
        let bytes = [frame(0x02, b"ab"), frame(0x00, b"cd"), frame(0x00, b"ef"), frame(0x80, b"gh")].concat();
        assert_eq!(all(&bytes, limits, 3).0, [binary(b"abcdefgh")]);
    }
    #[test]
    fn an_idle_reader_holds_nothing_and_a_busy_one_no_more_than_came() {
        assert!(size_of::<Reader>() <= 32, "{}", size_of::<Reader>());
        let mut reader = Reader::new(Limits::default());
        let bytes = frame(0x82, &vec![7; 1_000_000]);
        let mut most = 0;
        for (number, mut piece) in bytes.chunks(1_000).enumerate() {
            while reader.next(&mut piece).unwrap().is_some() {}
            assert!(reader.held() <= 2 * 1_000 * (number + 1) + size_of::<Partial>());
            most = most.max(reader.held());
        }
        assert!(most <= 1_000_000 + size_of::<Partial>(), "never more than was announced: {most}");
        assert_eq!(reader.held(), 0);
        // One that announces much and sends little.
        let mut reader = Reader::new(Limits::default());
        reader.next(&mut &bytes[..20]).unwrap();
        assert!(reader.held() < 256, "{}", reader.held());
    }
}
