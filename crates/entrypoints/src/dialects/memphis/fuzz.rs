//! Decoders of foreign bytes as plain functions: none may panic, whatever comes.
use super::{
    batch,
    form::{self, Fields, Kind},
    path::Place,
    token,
    wish::Wish,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// A header, or behind a line end a query; also as a path.
pub fn token(bytes: &[u8]) {
    let mut parts = bytes.split(|byte| *byte == b'\n');
    let mut headers = HeaderMap::new();
    if let Some(value) = parts.next().and_then(|value| HeaderValue::from_bytes(value).ok()) {
        headers.append(header::AUTHORIZATION, value);
    }
    let query = parts.next().and_then(|query| std::str::from_utf8(query).ok());
    for shown in [token::shown(&headers, query), token::shown(&HeaderMap::new(), query)]
        .into_iter()
        .flatten()
    {
        assert!(!shown.is_empty());
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _nowhere = Place::of(text);
        let _rest = token::without(text);
        let _text = form::decoded(text);
    }
}
/// What a batch is made of is JSON, holds what it held, and has no blanks to lose.
pub fn batch(bytes: &[u8]) {
    let body = Bytes::copy_from_slice(bytes);
    let Some(batch::Split { messages, .. }) = batch::split(&body, 10_000) else {
        return;
    };
    for message in &messages {
        assert!(serde_json::from_slice::<serde::de::IgnoredAny>(message).is_ok());
    }
    let again = Bytes::from([b"[", &messages.join(&b","[..])[..], b"]"].concat());
    assert_eq!(batch::split(&again, 10_000).map(|split| split.messages).as_ref(), Some(&messages));
}
/// The first byte chooses the form.
pub fn form(bytes: &[u8]) {
    let Some((first, body)) = bytes.split_first() else { return };
    let kind = match first % 3 {
        0 => Kind::Json,
        1 => Kind::Form,
        _ => Kind::Parts("b"),
    };
    let Some(fields) = Fields::read(kind, body) else { return };
    let _text = fields.text("username");
    let _number = fields.number("token_expiry_in_minutes");
    let _any = fields.any_number("account_id");
    let _words = fields.words("include");
}
/// Lines of names and values.
pub fn headers(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n').take(64) {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let name = parts.next().and_then(|name| HeaderName::from_bytes(name).ok());
        let value = parts.next().and_then(|value| HeaderValue::from_bytes(value).ok());
        if let (Some(name), Some(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    for (batch, old) in [(false, false), (true, true)] {
        let _refused = Wish::read(&headers, batch, old);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words that mean something to one of the decoders, and some that mean nothing.
    const WORDS: &[&str] = &[
        "Bearer",
        "Basic",
        " ",
        ":",
        "=",
        "&",
        "%",
        "%41",
        "+",
        "\n",
        "\r\n",
        "--b",
        "--",
        "authorization",
        "a2V5OnNlY3JldA==",
        "{",
        "}",
        "[",
        "]",
        "\"",
        "\\",
        ",",
        "null",
        "1e400",
        "-",
        "0",
        "username",
        "password",
        "content-disposition: form-data; name=x",
        "tidegate-id",
        "tidegate-partition",
        "$memphis",
        "connection",
        "content-encoding",
        "\t",
        "/",
        "stations",
        "é",
        "\u{0}",
    ];

    /// The same inputs in every run.
    #[test]
    fn words_in_any_order_panic_nothing() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = |most: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % most as u64).unwrap()
        };
        for _ in 0..40_000 {
            let mut bytes = vec![u8::try_from(next(256)).unwrap()];
            for _ in 0..next(24) {
                let word = WORDS[next(WORDS.len())].as_bytes();
                bytes.extend_from_slice(word);
            }
            let from = next(2);
            for target in [token, batch, form, headers] {
                target(bytes.get(from..).unwrap_or_default());
            }
        }
    }
}
