//! Messages to one request: its body, and the headers that differ from request to request.
use super::{
    attempt::Sent,
    spec::{Form, Spec},
};
use base64_simd::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::{borrow::Cow, io};
use tidegate_core::{clock, delivery::Received, message::Message, template::Template};
use tidegate_wire::webhook;

/// A value that is longer is left out: many servers take no more for a whole head.
const LONGEST_VALUE: usize = 4 << 10;
const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const TOPIC: HeaderName = HeaderName::from_static("tidegate-topic");
const KEY: HeaderName = HeaderName::from_static("tidegate-key");
const ATTEMPT: HeaderName = HeaderName::from_static("tidegate-attempt");
const POSITION: HeaderName = HeaderName::from_static("tidegate-position");
const COUNT: HeaderName = HeaderName::from_static("tidegate-count");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// A request but for where it goes and who we are.
#[derive(Clone, Debug)]
pub(super) struct Composed {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) items: Vec<Sent>,
}
/// `items` is not empty. `base` are the headers that every request has, `at` the moment of this attempt in microseconds.
pub(super) fn compose(spec: &Spec, base: &HeaderMap, items: &[Received], at: i64) -> Option<Composed> {
    let first = items.first()?;
    let sent: Vec<Sent> = items
        .iter()
        .map(|item| Sent {
            id: identity(item),
            position: item.position,
            attempt: item.attempt,
        })
        .collect();
    // A clone would have no room for more.
    let mut headers = HeaderMap::with_capacity(base.len() + spec.headers.len() + 10);
    headers.extend(base.iter().map(|(name, value)| (name.clone(), value.clone())));
    let (body, content) = match spec.batch {
        None => (first.message.payload.clone(), content_type(&first.message)),
        Some(batch) => (
            written(items, &sent, batch.form),
            match batch.form {
                Form::Json => JSON,
                Form::Ndjson => NDJSON,
            },
        ),
    };
    headers.insert(header::CONTENT_TYPE, content);
    let own = sent.first().map_or("", |sent| &*sent.id);
    for (name, template) in &spec.headers {
        if let Some(value) = filled(template, &first.message, own) {
            headers.insert(name, value);
        }
    }
    let id: Cow<'_, str> = if spec.batch.is_some() { together(&sent).into() } else { own.into() };
    let mut put = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    let attempt = items.iter().map(|item| item.attempt).max().unwrap_or(1);
    put(ATTEMPT, itoa::Buffer::new().format(attempt));
    if spec.batch.is_some() {
        put(COUNT, itoa::Buffer::new().format(items.len()));
    } else {
        put(TOPIC, &escaped(first.message.topic.as_bytes(), b"%"));
        if let Some(key) = first.message.key.as_deref().filter(|key| key.len() <= LONGEST_VALUE) {
            put(KEY, &escaped(key, b"%"));
        }
        if let Some(position) = first.position {
            put(POSITION, &position.to_string());
        }
    }
    let second = at.div_euclid(1_000_000);
    put(ID, &id);
    put(TIMESTAMP, itoa::Buffer::new().format(second));
    // Without it some servers answer 411 to a body of nothing.
    if body.is_empty() {
        put(header::CONTENT_LENGTH, "0");
    }
    if !spec.sign.is_empty() {
        put(SIGNATURE, &webhook::sign(&spec.sign, &id, second, &body));
    }
    Some(Composed {
        headers,
        body,
        items: sent,
    })
}
/// `%41` for every byte that is no visible ASCII or in `also`: nothing that ends a line, and nothing that two readers take for different texts.
pub fn escaped<'a>(value: &'a [u8], also: &[u8]) -> Cow<'a, str> {
    let good = |byte: &u8| matches!(byte, 0x20..=0x7e) && !also.contains(byte);
    if value.iter().all(good) {
        return String::from_utf8_lossy(value);
    }
    let mut out = String::with_capacity(value.len() + 16);
    for byte in value {
        if good(byte) {
            out.push(char::from(*byte));
        } else {
            const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
            out.push('%');
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
    Cow::Owned(out)
}
/// Nothing where the message has nothing for it, or too much.
fn filled(template: &Template, message: &Message, id: &str) -> Option<HeaderValue> {
    let mut out = Vec::new();
    template.fill(message, id.as_bytes(), &mut out, |value, out| {
        out.extend_from_slice(escaped(value, b"").as_bytes());
    });
    let value = out.trim_ascii();
    if value.is_empty() || value.len() > LONGEST_VALUE {
        return None;
    }
    HeaderValue::from_bytes(value).ok()
}
/// What the sender said it is; else JSON if it is.
fn content_type(message: &Message) -> HeaderValue {
    let told = message
        .headers
        .get("content-type")
        .map(<[u8]>::trim_ascii)
        .filter(|told| !told.is_empty());
    if let Some(told) = told.and_then(|told| HeaderValue::from_bytes(told).ok()) {
        return told;
    }
    let json = serde_json::from_slice::<serde::de::IgnoredAny>(&message.payload).is_ok();
    if json { JSON } else { BYTES }
}
/// A message's identity as a header says it: the same on every attempt, and never the same for two messages. The sender's id with `%41` for what
/// cannot stand there (among them `.`, which divides the text that is signed), else the message's place behind `pos_`.
fn identity(item: &Received) -> Box<str> {
    if let Some(id) = item.message.id.as_deref().filter(|id| !id.is_empty()) {
        return spelled(id);
    }
    if let Some(position) = item.position {
        return spelled_place(&position.to_string()).into();
    }
    // Nothing keeps it: it has no place, only what it is and when it came.
    let message = &item.message;
    let what = mark([
        message.topic.as_bytes(),
        message.key.as_deref().unwrap_or_default(),
        &message.payload,
    ]);
    format!("{LIVE}{}_{what}", message.at).into()
}
const PLACE: &str = "pos_";
const LIVE: &str = "live_";
/// A position as `webhook-id` spells it, of a message that has no id.
pub fn spelled_place(position: &str) -> String {
    format!("{PLACE}{}", position.replace('.', "_"))
}
/// A sender's id as `webhook-id` spells it.
pub fn spelled(id: &[u8]) -> Box<str> {
    // `~` divides the id of a batch.
    const ALSO: &[u8] = b".%~ ,";
    let text = escaped(id, ALSO);
    // An id that looks like one of ours is not to be taken for it.
    if text.starts_with(PLACE) || text.starts_with(LIVE) {
        let (first, rest) = text.split_at(1);
        format!("%{:02X}{rest}", first.as_bytes()[0]).into()
    } else {
        text.into()
    }
}
/// The id of a batch: of its first item, how many there are, and which, for a batch with other items is another one.
fn together(items: &[Sent]) -> String {
    let first = items.first().map_or("", |first| &*first.id);
    format!("{first}~{}~{}", items.len(), mark(items.iter().map(|item| item.id.as_bytes())))
}
/// The same for the same parts, whichever version of Tidegate asks.
fn mark<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let hash: [u8; 32] = hasher.finalize().into();
    let first = hash.first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
    format!("{first:016x}")
}
/// What a message adds to the body of a batch, at most.
pub(super) fn weight(item: &Received) -> usize {
    struct Count(usize);
    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let sent = Sent {
        id: identity(item),
        position: item.position,
        attempt: item.attempt,
    };
    // What stands before and behind it.
    let mut count = Count(2);
    let _never = serde_json::to_writer(&mut count, &shown(item, &sent));
    count.0
}
fn written(items: &[Received], sent: &[Sent], form: Form) -> Bytes {
    let bytes: usize = items.iter().map(|item| item.message.size()).sum();
    let mut out = Vec::with_capacity(bytes * 9 / 8 + items.len() * 160 + 2);
    let (open, between, close): (&[u8], &[u8], &[u8]) = match form {
        Form::Json => (b"[", b",", b"]"),
        Form::Ndjson => (b"", b"\n", b"\n"),
    };
    out.extend_from_slice(open);
    for (i, (item, sent)) in items.iter().zip(sent).enumerate() {
        if i > 0 {
            out.extend_from_slice(between);
        }
        // Writing to memory cannot fail, and keys are texts.
        let _never = serde_json::to_writer(&mut out, &shown(item, sent));
    }
    out.extend_from_slice(close);
    out.into()
}
/// As a page of messages shows it, and which attempt it is.
fn shown(item: &Received, sent: &Sent) -> Value {
    let message = &item.message;
    let mut out = Map::new();
    out.insert("id".to_owned(), json!(sent.id));
    if let Some(position) = item.position {
        out.insert("position".to_owned(), json!(position.to_string()));
    }
    out.insert("topic".to_owned(), json!(&*message.topic));
    if let Ok(text) = std::str::from_utf8(&message.payload) {
        out.insert("payload".to_owned(), json!(text));
    } else {
        out.insert("payload".to_owned(), json!(STANDARD.encode_to_string(&message.payload)));
        out.insert("encoding".to_owned(), json!("base64"));
    }
    if let Some(key) = &message.key {
        out.insert("key".to_owned(), json!(String::from_utf8_lossy(key)));
    }
    out.insert("time".to_owned(), json!(clock::rfc3339(message.at)));
    out.insert("attempt".to_owned(), json!(item.attempt));
    let mut headers = Map::new();
    for (name, value) in message.headers.iter() {
        let value = json!(String::from_utf8_lossy(value));
        match headers.get_mut(name) {
            None => {
                headers.insert(name.to_owned(), value);
            }
            Some(Value::Array(all)) => all.push(value),
            Some(one) => *one = json!([one.take(), value]),
        }
    }
    if !headers.is_empty() {
        out.insert("headers".to_owned(), Value::Object(headers));
    }
    Value::Object(out)
}

#[cfg(test)]
mod tests;
