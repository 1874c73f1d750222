//! Decoders of foreign bytes as plain functions: none may panic, whatever comes.
use super::{
    batch::{Kind, Stamp, split},
    forwarded, framings,
    query::Query,
    websocket,
};
use crate::listener::proxies;
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
    let stamp = stamp();
    if let Ok(batch) = split(kind, Bytes::copy_from_slice(body), &stamp, 1_000) {
        assert!(batch.items() <= 1_000);
    }
}
fn stamp() -> Stamp {
    Stamp {
        topic: Topic::from_static("t"),
        key: None,
        id: Some(Bytes::from_static(b"id")),
        headers: Headers::EMPTY,
        times: super::timing::Times::default(),
    }
}
/// A message of `tidegate.v1.json`: its reference comes back as it stood there, and credit is never more than there may be.
pub fn words(bytes: &[u8]) {
    let text = Bytes::copy_from_slice(bytes);
    let (reference, word) = websocket::heard(&text, &stamp());
    if let Some(reference) = &reference {
        assert!(text.windows(reference.len()).any(|part| part == reference.as_bytes()));
        assert!(serde_json::from_str::<serde::de::IgnoredAny>(reference).is_ok());
    }
    if let Ok(Some(credit)) = word {
        assert!(credit <= websocket::MOST_CREDIT);
    }
    framings::fuzz(bytes);
}
/// What a proxy may say before HTTP.
pub fn proxies(bytes: &[u8]) {
    proxies::fuzz(bytes);
}
/// What a proxy may say in a header: the first byte chooses which.
pub fn forwarded(bytes: &[u8]) {
    forwarded::fuzz(bytes);
}
/// A query string.
pub fn query(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _refused = Query::parse(text);
    }
}
