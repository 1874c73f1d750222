//! Messages as items, written by hand into one buffer: what GET returns and the items form of POST takes.
use super::accept::Format;
use base64_simd::STANDARD;
use std::io::Write as _;
use tidegate_core::{
    clock::Rfc3339,
    delivery::Received,
    headers::Headers,
    position::{Cursor, Gap, Position},
};
use tidegate_gateway::leases::Token;

/// What beside the payload is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Parts {
    pub(crate) headers: bool,
    pub(crate) metadata: bool,
}
/// A page of messages.
pub(crate) struct Page<'a> {
    pub(crate) items: &'a [Received],
    pub(crate) gap: Option<&'a Gap>,
    pub(crate) next: Option<&'a Cursor>,
    pub(crate) parts: Parts,
}
/// About so many bytes such messages take, each with so many around it.
pub(crate) fn likely<'a>(items: impl ExactSizeIterator<Item = &'a Received>, around: usize) -> usize {
    let count = items.len();
    let bytes: usize = items.map(|item| item.message.size()).sum();
    count * around + bytes * 9 / 8 + 64
}
impl Page<'_> {
    /// About so many bytes it takes.
    pub(crate) fn likely(&self) -> usize {
        likely(self.items.iter(), 160)
    }
    pub(super) fn write(&self, format: Format, out: &mut Vec<u8>) {
        match format {
            Format::Json | Format::EventStream => self.json(out),
            Format::Ndjson => {
                if let Some(told) = self.gap {
                    out.extend_from_slice(b"{\"gap\":");
                    gap(told, out);
                    out.extend_from_slice(b"}\n");
                }
                let mut clock = Rfc3339::default();
                for item in self.items {
                    write(item, self.parts, &mut clock, out);
                    out.push(b'\n');
                }
            }
            Format::Text => {
                for item in self.items {
                    out.extend_from_slice(&item.message.payload);
                    out.push(b'\n');
                }
            }
        }
    }
    fn json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"items\":[");
        let mut clock = Rfc3339::default();
        for (i, item) in self.items.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            write(item, self.parts, &mut clock, out);
        }
        out.push(b']');
        if let Some(told) = self.gap {
            out.extend_from_slice(b",\"gap\":");
            gap(told, out);
        }
        if let Some(next) = self.next {
            out.extend_from_slice(format!(",\"next_cursor\":\"{next}\"").as_bytes());
        }
        out.extend_from_slice(b"}\n");
    }
}
/// `{"from","to","reason"}`: missing after `from`, up to and including `to`.
pub(crate) fn gap(gap: &Gap, out: &mut Vec<u8>) {
    let Gap { from, to, reason, missed } = gap;
    let missed = missed.map_or(String::new(), |missed| format!(",\"missed\":{missed}"));
    out.extend_from_slice(format!("{{\"from\":\"{from}\",\"to\":\"{to}\",\"reason\":\"{}\"{missed}}}", reason.as_str()).as_bytes());
}
fn write(item: &Received, parts: Parts, clock: &mut Rfc3339, out: &mut Vec<u8>) {
    out.push(b'{');
    members(item, parts, clock, out);
    out.push(b'}');
}
/// What an item says, behind an opening brace or other members.
pub(crate) fn members(item: &Received, parts: Parts, clock: &mut Rfc3339, out: &mut Vec<u8>) {
    let message = &item.message;
    if let Some(id) = &message.id {
        member("id", id, out);
    }
    if let Some(position) = item.position {
        if message.id.is_none() {
            places(position, out);
        } else {
            place("position", position, out);
        }
    }
    payload("payload", &message.payload, out);
    if let Some(key) = &message.key {
        member("key", key, out);
    }
    out.extend_from_slice(b",\"time\":\"");
    clock.write(message.at, out);
    out.push(b'"');
    if parts.headers {
        names("headers", &message.headers, out);
    }
    if parts.metadata {
        let mut metadata = item.metadata.edit();
        // A topic is at most 64 KiB, so the block can say it.
        if !message.topic.is_empty() && item.metadata.get("topic").is_none() {
            let _always_fits = metadata.push("topic", message.topic.as_bytes());
        }
        names("metadata", &metadata.build(), out);
    }
}
/// What a worker is told of a message beside that.
pub(crate) fn leased(lease: &Token, attempt: u32, out: &mut Vec<u8>) {
    name("lease", out);
    out.push(b'"');
    out.extend_from_slice(lease.as_str().as_bytes());
    out.push(b'"');
    name("attempt", out);
    out.extend_from_slice(itoa::Buffer::new().format(attempt).as_bytes());
}
/// Where it is, and without an id of the sender's that is its id too.
pub(crate) fn places(position: Position, out: &mut Vec<u8>) {
    name("id", out);
    let from = out.len();
    out.push(b'"');
    position.write(out);
    out.push(b'"');
    let text = from..out.len();
    out.extend_from_slice(b",\"position\":");
    out.extend_from_within(text);
}
/// Digits, dots and dashes: nothing to escape.
pub(crate) fn place(key: &str, position: Position, out: &mut Vec<u8>) {
    name(key, out);
    out.push(b'"');
    position.write(out);
    out.push(b'"');
}
/// `,"name":` or, behind an opening brace, `"name":`.
#[inline]
pub(crate) fn name(name: &str, out: &mut Vec<u8>) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}
/// Bytes that are nearly always text; what is not is shown with replacement characters. For payloads see [`payload`].
fn member(key: &str, value: &[u8], out: &mut Vec<u8>) {
    name(key, out);
    match simdutf8::basic::from_utf8(value) {
        Ok(text) => string(text, out),
        Err(_) => string(&String::from_utf8_lossy(value), out),
    }
}
/// UTF-8 as it is, anything else in base64 with `"encoding":"base64"`.
pub(crate) fn payload(key: &str, value: &[u8], out: &mut Vec<u8>) {
    name(key, out);
    if let Ok(text) = simdutf8::basic::from_utf8(value) {
        return string(text, out);
    }
    out.push(b'"');
    STANDARD.encode_append(value, out);
    out.extend_from_slice(b"\",\"encoding\":\"base64\"");
}
/// A name that stands there several times has all its values, as a list.
pub(crate) fn names(key: &str, headers: &Headers, out: &mut Vec<u8>) {
    name(key, out);
    out.push(b'{');
    for (at, (header, value)) in headers.iter().enumerate() {
        let same = |(other, _): &(&str, &[u8])| other.eq_ignore_ascii_case(header);
        if headers.iter().take(at).any(|entry| same(&entry)) {
            continue;
        }
        if out.last() != Some(&b'{') {
            out.push(b',');
        }
        string(header, out);
        out.push(b':');
        let more: Vec<_> = headers.iter().skip(at + 1).filter(same).map(|(_, value)| value).collect();
        if more.is_empty() {
            string(&String::from_utf8_lossy(value), out);
            continue;
        }
        out.push(b'[');
        string(&String::from_utf8_lossy(value), out);
        for value in more {
            out.push(b',');
            string(&String::from_utf8_lossy(value), out);
        }
        out.push(b']');
    }
    out.push(b'}');
}
/// A JSON string. Most of a text has nothing to escape and goes by 16 bytes; JSON in a string, which is full of quotes, byte by byte.
pub(crate) fn string(text: &str, out: &mut Vec<u8>) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let (chunks, rest) = text.as_bytes().as_chunks::<16>();
    for chunk in chunks {
        if has_special(chunk) {
            escaped(chunk, out);
        } else {
            out.extend_from_slice(chunk);
        }
    }
    if has_special(rest) {
        escaped(rest, out);
    } else {
        out.extend_from_slice(rest);
    }
    out.push(b'"');
}
/// Without a branch per byte, so that the compiler makes wide instructions of it.
#[inline]
fn has_special(bytes: &[u8]) -> bool {
    bytes.iter().fold(0, |found, byte| found | u8::from(is_special(*byte))) != 0
}
fn is_special(byte: u8) -> bool {
    matches!(byte, 0..b' ' | b'"' | b'\\')
}
fn escaped(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        if is_special(*byte) {
            escape(*byte, out);
        } else {
            out.push(*byte);
        }
    }
}
fn escape(byte: u8, out: &mut Vec<u8>) {
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        0x0c => b'f',
        b'\r' => b'r',
        _ => {
            // Writing to memory cannot fail.
            let _never = write!(out, "\\u{byte:04x}");
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::sync::Arc;
    use tidegate_core::{message::Message, topic::Topic};

    fn received(payload: &[u8]) -> Received {
        let message = Message {
            at: 1_795_255_200_000_000,
            key: Some("k\"".into()),
            ..Message::new(Topic::from("t/1"), payload.to_vec())
        };
        Received {
            message: Arc::new(message),
            position: Some("3.7".parse().unwrap()),
            attempt: 1,
            slot: 0,
            metadata: Headers::EMPTY,
        }
    }
    fn written(item: Received, parts: Parts) -> Value {
        let page = Page {
            items: &[item],
            gap: None,
            next: Some(&"3.7".parse().unwrap()),
            parts,
        };
        let mut out = Vec::new();
        page.write(Format::Json, &mut out);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn an_item_reads_as_documented() {
        let mut item = received(b"{\"a\":\"b\\\n\"}");
        let mut headers = Headers::EMPTY.edit();
        headers.push("X", b"1").unwrap().push("y", b"2").unwrap().push("x", b"3").unwrap();
        Arc::make_mut(&mut item.message).headers = headers.build();
        let page = written(
            item,
            Parts {
                headers: true,
                metadata: true,
            },
        );
        let wanted = json!({ "items": [{
            "id": "3.7", "position": "3.7", "payload": "{\"a\":\"b\\\n\"}", "key": "k\"", "time": "2026-11-21T10:00:00.000000Z",
            "headers": { "X": ["1", "3"], "y": "2" }, "metadata": { "topic": "t/1" },
        }], "next_cursor": "3.7" });
        assert_eq!(page, wanted);
    }
    #[test]
    fn what_is_no_text_is_base64() {
        let page = written(received(&[0xff, 0, 1]), Parts::default());
        assert_eq!(page["items"][0]["payload"], "/wAB");
        assert_eq!(page["items"][0]["encoding"], "base64");
    }
    #[test]
    fn strings_are_json_whatever_they_hold() {
        for text in [
            "",
            "a",
            "\"",
            "\\\"\\",
            "{\"a\":\"b\"}",
            "0123456789abcdef\"",
            "\u{0}\u{1f}\u{7f}é\u{2028}",
            "\\",
            &(0..=0x7f).map(char::from).collect::<String>(),
        ] {
            let mut out = Vec::new();
            string(text, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(text).unwrap());
        }
    }
}
