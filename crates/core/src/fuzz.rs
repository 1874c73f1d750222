//! Decoders of foreign bytes as plain functions: none may panic, whatever comes.
use crate::{headers::Headers, position::Cursor};
use bytes::Bytes;

/// A headers block from disk or a peer.
pub fn headers(bytes: &[u8]) {
    let Some(headers) = Headers::from_block(Bytes::copy_from_slice(bytes)) else {
        return;
    };
    let mut edited = headers.edit();
    for (name, value) in headers.iter() {
        assert!(headers.get(name).is_some());
        assert!(value.len() <= bytes.len());
        edited.remove(name);
    }
    assert!(edited.build().is_empty());
}
/// A cursor from a client: what is read is written so that it reads the same.
pub fn cursor(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(cursor) = text.parse::<Cursor>() {
        assert_eq!(cursor.to_string().parse::<Cursor>().ok(), Some(cursor));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    #[test]
    fn nothing_of_the_corpus_panics() {
        for text in [
            "",
            "1",
            "42.3-15,43.1",
            ",,",
            "1-",
            "-1",
            "1.2.3",
            "+1",
            "4294967296.0",
            "340282366920938463463374607431768211456",
            "1,1,1",
            "0.0-0",
        ] {
            super::cursor(text.as_bytes());
        }
        for block in [
            &b""[..],
            b"\x01\0\x02\0\0\0xab",
            b"\x01\0\xff\xff\xff\xffx",
            b"\xff\xff\0\0\0\0",
            b"\0\0\0\0\0\0",
            b"\x01\0\0\0\0\0\xff",
        ] {
            super::headers(block);
        }
    }
    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), text in "[0-9.,-]{0,40}") {
            super::headers(&bytes);
            super::cursor(&bytes);
            super::cursor(text.as_bytes());
        }
    }
}
