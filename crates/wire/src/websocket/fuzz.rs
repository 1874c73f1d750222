//! The reader and the handshake over any bytes: nothing panics, and no cut changes what is read.
use super::{
    Kind, frame, handshake, mask,
    reader::{Event, Failure, Limits, Reader},
};
use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};

/// A frame as a client writes it; `first` holds FIN, the reserved bits and the opcode.
pub fn masked(first: u8, key: [u8; 4], payload: &[u8], out: &mut Vec<u8>) {
    out.push(first);
    match payload.len() {
        length @ 0..=125 => out.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            out.push(0xfe);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0xff);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&key);
    let begin = out.len();
    out.extend_from_slice(payload);
    mask::apply(out.get_mut(begin..).unwrap_or_default(), key, 0);
}
/// The first byte chooses where the others are cut. Whole, cut and byte by byte give the same; what was read is written and read again.
pub fn frames(bytes: &[u8]) {
    let Some((cut, bytes)) = bytes.split_first() else { return };
    let limits = Limits { message: 4_096 };
    let whole = read(bytes, limits, bytes.len());
    assert_eq!(whole, read(bytes, limits, 1));
    assert_eq!(whole, read(bytes, limits, 1 + usize::from(*cut)));
    let mut again = Vec::new();
    for event in &whole.0 {
        let (first, payload) = match event {
            Event::Message { kind: Kind::Text, payload } => {
                assert!(std::str::from_utf8(payload).is_ok());
                (0x81, payload.to_vec())
            }
            Event::Message { payload, .. } => (0x82, payload.to_vec()),
            Event::Ping(payload) => (0x89, payload.to_vec()),
            Event::Pong(payload) => (0x8a, payload.to_vec()),
            Event::Close { code, reason } => {
                let mut out = BytesMut::new();
                frame::close(*code, reason, &mut out);
                (0x88, out.get(2..).unwrap_or_default().to_vec())
            }
        };
        masked(first, [*cut, 0, 7, 255], &payload, &mut again);
    }
    assert_eq!(read(&again, limits, 7), (whole.0, None));
}
fn read(bytes: &[u8], limits: Limits, step: usize) -> (Vec<Event>, Option<Failure>) {
    let mut reader = Reader::new(limits);
    let mut events = Vec::new();
    for mut piece in bytes.chunks(step.max(1)) {
        loop {
            match reader.next(&mut piece) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(failure) => return (events, Some(failure)),
            }
        }
        assert!(piece.is_empty() && reader.held() <= 3 * limits.message);
    }
    (events, None)
}
/// Lines of `name: value`.
pub fn handshake(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n').take(64) {
        let (name, value) = line.split_at(line.iter().position(|byte| *byte == b':').unwrap_or(line.len()));
        let value = HeaderValue::from_bytes(value.get(1..).unwrap_or_default().trim_ascii());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), value) {
            headers.append(name, value);
        }
    }
    match handshake::check(&Method::GET, Version::HTTP_11, &headers, &["tidegate.v1.json"]) {
        Ok(accepted) => assert!(handshake::is_asked(&headers) && accepted.accept.is_some_and(|accept| accept.len() == 28)),
        Err(refusal) => assert!(refusal.status().is_client_error()),
    }
}
