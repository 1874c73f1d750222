//! How messages are spelled on the connections that stay: server-sent events and both forms of WebSocket.
use super::items::{self, Parts};
use base64_simd::STANDARD;
use bytes::{BufMut, BytesMut};
use tidegate_core::{
    clock::Rfc3339,
    delivery::Received,
    framing::{Framing, Heard},
    position::{Cursor, Gap},
};
use tidegate_wire::{sse, websocket::frame};

/// Server-sent events, as chunks of an HTTP/1.1 body or as they are, where something else frames the body.
pub(super) struct Sse {
    chunked: bool,
}
pub(super) static CHUNKED: Sse = Sse { chunked: true };
pub(super) static RAW: Sse = Sse { chunked: false };

impl Sse {
    /// One chunk each, so that a frame that is cut ends as itself (RFC 9112, section 7.1). It will have about that many bytes.
    pub(super) fn wrap(&self, about: usize, out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
        if !self.chunked {
            return write(out);
        }
        // Its length is known when it is written; the digits are there before, with a zero in front if they are too many.
        let digits = format!("{:x}", about * 8 + 64).len();
        out.reserve(about + 128);
        let begin = out.len();
        out.put_bytes(b'0', digits);
        out.put_slice(b"\r\n");
        let event = out.len();
        write(out);
        let length = format!("{:0digits$x}", out.len() - event);
        out.put_slice(b"\r\n");
        if length.len() == digits {
            out.iter_mut()
                .skip(begin)
                .zip(length.bytes())
                .for_each(|(place, digit)| *place = digit);
        } else {
            // Longer than anybody thought.
            let written = out.split_off(event);
            out.truncate(begin);
            out.put_slice(length.as_bytes());
            out.put_slice(b"\r\n");
            out.unsplit(written);
        }
    }
    /// No event comes any more.
    pub(super) fn end(&self, out: &mut BytesMut) {
        if self.chunked {
            out.put_slice(b"0\r\n\r\n");
        }
    }
}
impl Framing for Sse {
    fn name(&self) -> &'static str {
        if self.chunked { "sse/chunked" } else { "sse/raw" }
    }
    fn frame(&self, r: &Received, at: &Cursor, out: &mut BytesMut) {
        let id = (!at.is_empty()).then(|| at.to_string());
        let payload = &r.message.payload;
        self.wrap(payload.len(), out, |out| {
            // A stream of events is UTF-8; what is not travels in base64, and its event says so.
            if simdutf8::basic::from_utf8(payload).is_ok() {
                sse::event(id.as_deref(), None, payload, out);
            } else {
                sse::event(id.as_deref(), Some("base64"), STANDARD.encode_to_string(payload).as_bytes(), out);
            }
        });
    }
    fn gap(&self, gap: &Gap, out: &mut BytesMut) -> bool {
        let mut data = Vec::new();
        items::gap(gap, &mut data);
        let id = (!gap.to.is_empty()).then(|| gap.to.to_string());
        self.wrap(data.len(), out, |out| sse::event(id.as_deref(), Some("gap"), &data, out));
        true
    }
    fn beat(&self, out: &mut BytesMut) {
        self.wrap(0, out, sse::comment);
    }
    /// Nobody listens to what comes after the request.
    fn heard(&self, _bytes: &[u8]) -> Heard {
        Heard::Life
    }
}

/// A frame is a payload: text where it is UTF-8, else binary.
pub(super) struct Plain;
impl Framing for Plain {
    fn name(&self) -> &'static str {
        "websocket"
    }
    fn frame(&self, r: &Received, _at: &Cursor, out: &mut BytesMut) {
        frame::plain(&r.message.payload, out);
    }
    /// A payload is all that a frame can say: a client that must not miss anything has to be told by the end.
    fn gap(&self, _gap: &Gap, _out: &mut BytesMut) -> bool {
        false
    }
    fn beat(&self, out: &mut BytesMut) {
        frame::ping(b"", out);
    }
    fn heard(&self, bytes: &[u8]) -> Heard {
        pongs(bytes)
    }
}
/// `tidegate.v1.json`, with what was asked for beside the payload.
pub(super) struct Json {
    name: &'static str,
    parts: Parts,
}
impl Json {
    const fn new(name: &'static str, headers: bool, metadata: bool) -> Self {
        let parts = Parts { headers, metadata };
        Self { name, parts }
    }
    pub(super) fn with(parts: Parts) -> &'static Self {
        static ALL: [Json; 4] = [
            Json::new("json", false, false),
            Json::new("json+metadata", false, true),
            Json::new("json+headers", true, false),
            Json::new("json+headers+metadata", true, true),
        ];
        let [none, metadata, headers, both] = &ALL;
        match (parts.headers, parts.metadata) {
            (false, false) => none,
            (false, true) => metadata,
            (true, false) => headers,
            (true, true) => both,
        }
    }
}
impl Framing for Json {
    fn name(&self) -> &'static str {
        self.name
    }
    fn frame(&self, r: &Received, at: &Cursor, out: &mut BytesMut) {
        let mut text = b"{\"op\":\"message\"".to_vec();
        items::members(r, self.parts, &mut Rfc3339::default(), &mut text);
        // With several partitions one message's place is not all that was seen.
        if at.iter().count() > 1 {
            items::name("cursor", &mut text);
            items::string(&at.to_string(), &mut text);
        }
        text.push(b'}');
        frame::head(tidegate_wire::websocket::Kind::Text, text.len(), out);
        out.extend_from_slice(&text);
    }
    fn gap(&self, gap: &Gap, out: &mut BytesMut) -> bool {
        let mut text = b"{\"op\":\"gap\",".to_vec();
        let mut members = Vec::new();
        items::gap(gap, &mut members);
        text.extend_from_slice(members.get(1..).unwrap_or_default());
        frame::text(&String::from_utf8_lossy(&text), out);
        true
    }
    fn beat(&self, out: &mut BytesMut) {
        frame::ping(b"", out);
    }
    fn heard(&self, bytes: &[u8]) -> Heard {
        pongs(bytes)
    }
}
/// Whole pongs say that the client lives. Anything else, and what is cut, needs a reader.
fn pongs(mut bytes: &[u8]) -> Heard {
    /// Final, opcode 10 (RFC 6455, section 5.2); two bytes of head and four of mask are there with any payload.
    const PONG: u8 = 0x8a;
    const HEAD: usize = 6;
    while let [PONG, length, ..] = bytes {
        let masked = length & 0x80 != 0;
        match bytes.get(HEAD + usize::from(length & 0x7f)..) {
            Some(rest) if masked && length & 0x7f <= 125 => bytes = rest,
            _ => return Heard::Words,
        }
    }
    if bytes.is_empty() { Heard::Life } else { Heard::Words }
}

/// For fuzzing: mere life is pongs and nothing else, as the codec sees them too.
pub(super) fn fuzz(bytes: &[u8]) {
    use tidegate_wire::websocket::reader::{Event, Limits, Reader};
    let mut reader = Reader::new(Limits::default());
    let mut input = bytes;
    let mut only_pongs = true;
    while let (true, false) = (only_pongs, input.is_empty()) {
        only_pongs = matches!(reader.next(&mut input), Ok(Some(Event::Pong(_))));
    }
    assert_eq!(pongs(bytes) == Heard::Life, only_pongs && reader.is_at_rest(), "{bytes:?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_pongs_are_mere_life() {
        let life: [&[u8]; 3] = [b"", b"\x8a\x80mask", b"\x8a\x82maskab\x8a\x80mask"];
        let words: [&[u8]; 6] = [
            b"\x8a",
            b"\x8a\x80mas",
            b"\x8a\x00",
            b"\x89\x80mask",
            b"\x8a\xffmask",
            b"\x8a\x80mask\x81",
        ];
        assert!(life.iter().all(|bytes| pongs(bytes) == Heard::Life));
        assert!(words.iter().all(|bytes| pongs(bytes) == Heard::Words));
    }
    #[test]
    fn a_chunk_holds_one_event() {
        let mut out = BytesMut::new();
        CHUNKED.beat(&mut out);
        CHUNKED.end(&mut out);
        assert_eq!(&out[..], b"03\r\n:\n\n\r\n0\r\n\r\n");
        for (about, length) in [(0, 63), (0, 300), (0, 5_000), (128, 128), (128, 1_088), (128, 1_100)] {
            let mut out = BytesMut::from(&b"before"[..]);
            CHUNKED.wrap(about, &mut out, |out| out.put_bytes(b'x', length));
            let text = String::from_utf8(out.to_vec()).unwrap();
            let (digits, rest) = text.strip_prefix("before").unwrap().split_once("\r\n").unwrap();
            assert_eq!(usize::from_str_radix(digits, 16), Ok(length));
            assert_eq!(rest, format!("{}\r\n", "x".repeat(length)));
        }
        let mut out = BytesMut::new();
        RAW.beat(&mut out);
        RAW.end(&mut out);
        assert_eq!(&out[..], b":\n\n");
    }
}
