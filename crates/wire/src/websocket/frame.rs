//! Writing: whole frames of a server, final and unmasked (RFC 6455, section 5.2), so that one frame serves any number of sockets.
use super::{CONTROL, Kind, Opcode, close::CloseCode};
use bytes::{BufMut, BytesMut};

/// The longest head a frame of a server has.
pub const HEAD: usize = 10;
/// The longest reason that fits beside a code.
pub const REASON: usize = CONTROL - 2;

/// The head of a message of `length` bytes, which the caller puts behind it. For text, they must be UTF-8.
pub fn head(kind: Kind, length: usize, out: &mut BytesMut) {
    begin(opcode(kind), length, out);
}
/// A text message.
pub fn text(payload: &str, out: &mut BytesMut) {
    whole(Opcode::Text, payload.as_bytes(), out);
}
/// A binary message.
pub fn binary(payload: &[u8], out: &mut BytesMut) {
    whole(Opcode::Binary, payload, out);
}
/// Text if the payload is UTF-8, else binary. Says which.
pub fn plain(payload: &[u8], out: &mut BytesMut) -> Kind {
    let kind = if simdutf8::basic::from_utf8(payload).is_ok() {
        Kind::Text
    } else {
        Kind::Binary
    };
    whole(opcode(kind), payload, out);
    kind
}
/// Asks whether the client is there. More than 125 bytes are cut off.
pub fn ping(payload: &[u8], out: &mut BytesMut) {
    control(Opcode::Ping, payload, out);
}
/// Answers a ping with its payload. More than 125 bytes are cut off; no ping has them.
pub fn pong(payload: &[u8], out: &mut BytesMut) {
    control(Opcode::Pong, payload, out);
}
/// The last frame there is. The reason is cut to 123 bytes between two characters; without a code there is none.
pub fn close(code: Option<CloseCode>, reason: &str, out: &mut BytesMut) {
    let Some(code) = code else {
        return control(Opcode::Close, b"", out);
    };
    let end = reason.floor_char_boundary(REASON);
    let reason = reason.as_bytes().get(..end).unwrap_or_default();
    begin(Opcode::Close, 2 + reason.len(), out);
    out.put_u16(code.get());
    out.put_slice(reason);
}
fn opcode(kind: Kind) -> Opcode {
    match kind {
        Kind::Text => Opcode::Text,
        Kind::Binary => Opcode::Binary,
    }
}
fn control(opcode: Opcode, payload: &[u8], out: &mut BytesMut) {
    whole(opcode, payload.get(..CONTROL).unwrap_or(payload), out);
}
fn whole(opcode: Opcode, payload: &[u8], out: &mut BytesMut) {
    begin(opcode, payload.len(), out);
    out.put_slice(payload);
}
fn begin(opcode: Opcode, length: usize, out: &mut BytesMut) {
    out.reserve(HEAD + length);
    out.put_u8(0x80 | opcode as u8);
    match length {
        0..=125 => out.put_u8(length as u8),
        126..=0xffff => {
            out.put_u8(126);
            out.put_u16(length as u16);
        }
        _ => {
            out.put_u8(127);
            out.put_u64(length as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut BytesMut)) -> Vec<u8> {
        let mut out = BytesMut::new();
        write(&mut out);
        out.to_vec()
    }
    #[test]
    fn the_examples_of_the_rfc_are_written() {
        // Section 5.7, what a server may send of it.
        assert_eq!(written(|out| text("Hello", out)), b"\x81\x05Hello");
        assert_eq!(written(|out| ping(b"Hello", out)), b"\x89\x05Hello");
        assert_eq!(written(|out| pong(b"Hello", out)), b"\x8a\x05Hello");
        let bytes = written(|out| binary(&[7; 256], out));
        assert_eq!((&bytes[..4], bytes.len()), (&b"\x82\x7e\x01\x00"[..], 4 + 256));
        let bytes = written(|out| binary(&vec![7; 65_536], out));
        assert_eq!((&bytes[..10], bytes.len()), (&b"\x82\x7f\0\0\0\0\0\x01\0\0"[..], 10 + 65_536));
    }
    #[test]
    fn lengths_are_minimal_and_heads_stand_alone() {
        for (length, head_length) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let bytes = written(|out| head(Kind::Text, length, out));
            assert_eq!(bytes.len(), head_length, "{length}");
            let whole = written(|out| text(&"x".repeat(length), out));
            assert_eq!((&whole[..head_length], whole.len()), (&bytes[..], head_length + length));
        }
    }
    #[test]
    fn a_payload_that_is_no_text_is_binary() {
        assert_eq!(
            written(|out| assert_eq!(plain("é".as_bytes(), out), Kind::Text)),
            b"\x81\x02\xc3\xa9"
        );
        assert_eq!(written(|out| assert_eq!(plain(b"\xc3", out), Kind::Binary)), b"\x82\x01\xc3");
    }
    #[test]
    fn control_frames_never_exceed_125_bytes_and_reasons_are_cut_between_characters() {
        assert_eq!(written(|out| close(None, "unsaid", out)), b"\x88\x00");
        assert_eq!(written(|out| close(Some(CloseCode::NORMAL), "", out)), b"\x88\x02\x03\xe8");
        let reason = format!("{}é", "x".repeat(122));
        let bytes = written(|out| close(Some(CloseCode::TOO_BIG), &reason, out));
        assert_eq!(bytes[..4], *b"\x88\x7c\x03\xf1");
        assert_eq!(std::str::from_utf8(&bytes[4..]).unwrap(), "x".repeat(122));
        let bytes = written(|out| close(Some(CloseCode::TOO_BIG), &"x".repeat(200), out));
        assert_eq!((bytes[1], bytes.len()), (125, 127));
        assert_eq!(written(|out| ping(&[1; 300], out)).len(), 127);
    }
}
