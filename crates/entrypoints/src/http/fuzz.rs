//! Decoders of foreign bytes as plain functions: none may panic, whatever comes.
use super::{
    batch::{Kind, Stamp, split},
    query::Query,
};
use bytes::Bytes;
use tidegate_core::{headers::Headers, topic::Topic};

/// The first byte chooses the form.
pub fn batch(bytes: &[u8]) {
    let Some((first, body)) = bytes.split_first() else { return };
    let kind = match first % 4 {
        0 => Kind::Single,
        1 => Kind::Lines,
        2 => Kind::Array,
        _ => Kind::Items,
    };
    let stamp = Stamp {
        topic: Topic::from_static("t"),
        key: None,
        id: Some(Bytes::from_static(b"id")),
        headers: Headers::EMPTY,
    };
    if let Ok(batch) = split(kind, Bytes::copy_from_slice(body), &stamp, 1_000) {
        assert!(batch.items() <= 1_000);
    }
}
/// A query string.
pub fn query(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _refused = Query::parse(text);
    }
}
