//! One body to many messages: each keeps its own bytes and its own verdict.
mod why;

use super::timing::Times;
pub(super) use why::told as without_place;

use base64_simd::STANDARD;
use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, collections::BTreeMap};
use tidegate_core::{
    batch::Batch,
    error::{Code, Error, Result},
    headers::Headers,
    message::Message,
    sensitive::Sensitive,
    topic::Topic,
};

/// How a body holds its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The body is the message.
    Single,
    /// `application/x-ndjson`: a message per line.
    Lines,
    /// A JSON array with `Tidegate-Batch: true`.
    Array,
    /// `application/vnd.tidegate.messages+json`: key, id and headers per item.
    Items,
}
/// What all messages of a request have in common.
#[derive(Debug)]
pub(super) struct Stamp {
    pub(super) topic: Topic,
    pub(super) key: Option<Bytes>,
    pub(super) id: Option<Bytes>,
    pub(super) headers: Headers,
    pub(super) times: Times,
}
impl Stamp {
    fn message(&self, payload: Bytes) -> Message {
        Message {
            topic: self.topic.clone(),
            key: self.key.clone(),
            id: self.id.clone(),
            headers: self.headers.clone(),
            payload,
            at: 0,
            // What cannot be is refused with the headers.
            timing: self.times.timing().unwrap_or_default(),
        }
    }
    /// Element i of a batch takes `id:i`.
    fn element(&self, number: u32, payload: Bytes) -> Message {
        let mut message = self.message(payload);
        if let Some(id) = &self.id {
            message.id = Some([id, format!(":{number}").as_bytes()].concat().into());
        }
        message
    }
}
/// An array or items document that does not parse is one error; a bad line or item is a verdict of its own.
pub(super) fn split(kind: Kind, body: Bytes, stamp: &Stamp, most: u32) -> Result<Batch> {
    let batch = match kind {
        Kind::Single => return Ok(stamp.message(body).into()),
        Kind::Lines => lines(&body, stamp, most)?,
        Kind::Array => array(&body, stamp, most)?,
        Kind::Items => items(&body, stamp, most)?,
    };
    if batch.items() == 0 {
        return Err(Error::client(Code::EmptyBatch, "the batch has no items"));
    }
    Ok(batch)
}
/// Blank lines are passed over and have no number.
fn lines(body: &Bytes, stamp: &Stamp, most: u32) -> Result<Batch> {
    let mut batch = Batch::default();
    let mut start = 0;
    let ends = memchr::memchr_iter(b'\n', body).chain([body.len()]);
    for (number, end) in ends.enumerate() {
        let line = body.get(start..end).unwrap_or_default();
        start = end + 1;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        room(&batch, most)?;
        match serde_json::from_slice::<IgnoredAny>(line) {
            Ok(_) => batch.push(stamp.element(batch.items(), body.slice_ref(line))),
            Err(error) => batch.push_refused(not_json(&format!("line {}: ", number + 1), &error)),
        }
    }
    Ok(batch)
}
fn array(body: &Bytes, stamp: &Stamp, most: u32) -> Result<Batch> {
    let elements = whole(body, "a JSON array", |reader| Elements::read(reader, most))?;
    let mut batch = Batch::default();
    for element in elements.list {
        batch.push(stamp.element(batch.items(), body.slice_ref(element.get().as_bytes())));
    }
    if elements.more {
        room(&batch, batch.items())?;
    }
    Ok(batch)
}
/// How many messages a batch may have. Each takes along what they have in common, such as headers: all of that together may be as large as a body
/// of them, so that a few bytes a message do not become a page of them.
pub(crate) fn most(common: usize, items: u32, bytes: u64) -> u32 {
    // What the headers of nearly every request need.
    const FREE: usize = 1 << 10;
    if common <= FREE {
        return items;
    }
    let room = u32::try_from(bytes / common as u64).unwrap_or(u32::MAX);
    items.min(room.max(1))
}
/// The elements of a JSON array, as many as may be: who sends two bytes is not to be given sixteen for them, however often.
pub(crate) struct Elements<'b> {
    pub(crate) list: Vec<&'b RawValue>,
    /// There are more.
    pub(crate) more: bool,
}
impl<'b> Elements<'b> {
    pub(crate) fn read(reader: &mut serde_json::Deserializer<serde_json::de::StrRead<'b>>, most: u32) -> serde_json::Result<Self> {
        AtMost(most as usize).deserialize(reader)
    }
}
/// As many as `limits.batch_items` may say: more are more than may be in any case.
fn any_limit<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Elements<'de>, D::Error> {
    const ANY: usize = 1_000_000;
    AtMost(ANY + 1).deserialize(deserializer)
}
struct AtMost(usize);
impl<'de> DeserializeSeed<'de> for AtMost {
    type Value = Elements<'de>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}
impl<'de> Visitor<'de> for AtMost {
    type Value = Elements<'de>;
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a sequence")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> std::result::Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while list.len() < self.0 {
            match elements.next_element()? {
                Some(element) => list.push(element),
                None => return Ok(Elements { list, more: false }),
            }
        }
        let mut more = false;
        while elements.next_element::<IgnoredAny>()?.is_some() {
            more = true;
        }
        Ok(Elements { list, more })
    }
}
/// The document as a whole; what else GET puts there is taken and passed over, so that what was read can be sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<'a> {
    #[serde(borrow, deserialize_with = "any_limit")]
    items: Elements<'a>,
    #[serde(default, rename = "gap")]
    _gap: IgnoredAny,
    #[serde(default, rename = "next_cursor")]
    _next_cursor: IgnoredAny,
}
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item<'a> {
    #[serde(borrow)]
    payload: &'a RawValue,
    #[serde(borrow)]
    encoding: Option<Cow<'a, str>>,
    #[serde(borrow)]
    key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    headers: BTreeMap<Cow<'a, str>, Values>,
    #[serde(borrow)]
    ttl: Option<Cow<'a, str>>,
    #[serde(borrow)]
    delay: Option<Cow<'a, str>>,
    #[serde(default, rename = "position")]
    _position: IgnoredAny,
    #[serde(default, rename = "time")]
    _time: IgnoredAny,
    #[serde(default, rename = "metadata")]
    _metadata: IgnoredAny,
}
/// What one message says of itself in JSON.
pub(super) struct Said<'a> {
    pub(super) payload: &'a RawValue,
    pub(super) encoding: Option<Cow<'a, str>>,
    pub(super) key: Option<Cow<'a, str>>,
    pub(super) id: Option<Cow<'a, str>>,
    pub(super) headers: BTreeMap<Cow<'a, str>, Values>,
    pub(super) ttl: Option<Cow<'a, str>>,
    pub(super) delay: Option<Cow<'a, str>>,
}
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Values {
    One(String),
    Many(Vec<String>),
}
fn items(body: &Bytes, stamp: &Stamp, most: u32) -> Result<Batch> {
    let document: Document<'_> = parsed(body, "`{\"items\":[{\"payload\":…}]}`")?;
    let mut batch = Batch::default();
    for raw in document.items.list {
        room(&batch, most)?;
        let number = batch.items();
        match item(raw, number, body, stamp) {
            Ok(message) => batch.push(message),
            Err(error) => batch.push_refused(error),
        }
    }
    Ok(batch)
}
fn item(raw: &RawValue, number: u32, body: &Bytes, stamp: &Stamp) -> Result<Message> {
    let wrong = |what: &str| Error::client(Code::BadItem, format!("item {number}: {what}"));
    let item: Item<'_> = serde_json::from_str(raw.get()).map_err(|error| wrong(&why::item(raw, &error)))?;
    let said = Said {
        ttl: item.ttl,
        delay: item.delay,
        payload: item.payload,
        encoding: item.encoding,
        key: item.key,
        id: item.id,
        headers: item.headers,
    };
    said.message(&format!("item {number}: "), number, body, stamp)
}
impl Said<'_> {
    /// `place` begins what is said of an error; `body` holds what was read.
    pub(super) fn message(self, place: &str, number: u32, body: &Bytes, stamp: &Stamp) -> Result<Message> {
        let wrong = |what: &str| Error::client(Code::BadItem, format!("{place}{what}"));
        let (ttl, delay) = (self.ttl.as_deref(), self.delay.as_deref());
        let times = Times::parse(ttl.map(|text| ("ttl", text)), delay.map(|text| ("delay", text))).map_err(|why| wrong(&why))?;
        let text = self.payload.get();
        let payload = match (self.encoding.as_deref(), text.starts_with('"')) {
            (None, false) => body.slice_ref(text.as_bytes()),
            (None, true) => string(text)
                .map_err(|error| wrong(&format!("`payload`: {}", without_place(&error))))?
                .into_bytes()
                .into(),
            (Some("base64"), true) => {
                let text = string(text).map_err(|error| wrong(&format!("`payload`: {}", without_place(&error))))?;
                STANDARD.decode_to_vec(text).map_err(|_| wrong("`payload` is not base64"))?.into()
            }
            (Some("base64"), false) => return Err(wrong("`payload` must be a string with `\"encoding\":\"base64\"`")),
            (Some(other), _) => return Err(wrong(&format!("`encoding` is `{}`, only `base64` is known", other.escape_debug()))),
        };
        let mut message = stamp.element(number, payload);
        if times != Times::default() {
            message.timing = times.or(stamp.times).timing().map_err(wrong)?;
        }
        if let Some(key) = self.key {
            message.key = Some(key.into_owned().into_bytes().into());
        }
        if let Some(id) = self.id {
            if id.is_empty() || id.len() > Message::MAX_ID {
                return Err(wrong(&format!(
                    "`id` has {} bytes, from 1 to {} are allowed",
                    id.len(),
                    Message::MAX_ID
                )));
            }
            message.id = Some(id.into_owned().into_bytes().into());
        }
        if !self.headers.is_empty() {
            message.headers = headers(&self.headers, &message.headers).map_err(|error| wrong(&error.to_string()))?;
        }
        Ok(message)
    }
}
/// An item's own headers, before those all items have in common.
fn headers(own: &BTreeMap<Cow<'_, str>, Values>, common: &Headers) -> Result<Headers> {
    let refused = |why: String| Err(Error::client(Code::BadItem, why));
    let mut builder = Headers::EMPTY.edit();
    let mut count = 0;
    for (name, values) in own {
        let values = match values {
            Values::One(value) => std::slice::from_ref(value),
            Values::Many(values) => values,
        };
        count += values.len();
        if count > HEADERS {
            return refused(format!("more than {HEADERS} headers"));
        }
        if !name.bytes().all(is_token) || name.is_empty() || name.len() > 255 {
            return refused(format!("`{}` is no header name", name.escape_debug()));
        }
        // Credentials do not belong into messages. Whatever else there is its sender wrote into this very message.
        if Sensitive::is_credential(name) {
            return refused(format!("`{name}` never enters a message"));
        }
        // They say what became of a message, and only the gateway knows.
        if name.get(..OURS.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(OURS)) {
            return refused(format!("headers that begin with `{OURS}` are written by the gateway alone"));
        }
        for value in values {
            if value.contains(['\r', '\n', '\0']) {
                return refused(format!("the header `{name}` has a line end or NUL in its value"));
            }
            builder.push(name, value.as_bytes())?;
        }
    }
    for (name, value) in common
        .iter()
        .filter(|(name, _)| own.keys().all(|own| !own.eq_ignore_ascii_case(name)))
    {
        builder.push(name, value)?;
    }
    Ok(builder.build())
}
/// As many as a request may have.
const HEADERS: usize = 64;
/// Of dead letters.
const OURS: &str = "tidegate-dead-";
/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
fn string(text: &str) -> serde_json::Result<String> {
    serde_json::from_str(text)
}
fn room(batch: &Batch, most: u32) -> Result<()> {
    if batch.items() < most {
        return Ok(());
    }
    Err(Error::client(Code::BatchTooLong, format!("the batch has more than {most} items"))
        .with_hint("send it in parts, or raise `limits.batch_items`"))
}
fn parsed<'b, T: Deserialize<'b>>(body: &'b [u8], expected: &str) -> Result<T> {
    whole(body, expected, |reader| T::deserialize(reader))
}
fn whole<'b, T>(
    body: &'b [u8],
    expected: &str,
    read: impl FnOnce(&mut serde_json::Deserializer<serde_json::de::StrRead<'b>>) -> serde_json::Result<T>,
) -> Result<T> {
    let text = simdutf8::basic::from_utf8(body).map_err(|_| Error::client(Code::NotJson, "the body is not UTF-8"))?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let found = read(&mut reader).and_then(|value| reader.end().map(|()| value));
    found.map_err(|error| match error.classify() {
        serde_json::error::Category::Data => Error::client(Code::NotJson, format!("expected {expected}: {}", without_place(&error))),
        _ => not_json("", &error),
    })
}
fn not_json(place: &str, error: &serde_json::Error) -> Error {
    let line = if place.is_empty() {
        format!("line {}: ", error.line())
    } else {
        place.to_owned()
    };
    Error::client(
        Code::NotJson,
        format!("{line}not JSON at byte {}: {}", error.column(), without_place(error)),
    )
}
#[cfg(test)]
mod tests {
    use super::*;

    fn stamp() -> Stamp {
        Stamp {
            topic: Topic::from("t"),
            key: None,
            id: Some("a".into()),
            headers: Headers::EMPTY,
            times: Times::default(),
        }
    }
    fn payloads(kind: Kind, body: &'static str) -> Vec<Bytes> {
        split(kind, body.into(), &stamp(), 100)
            .unwrap()
            .iter()
            .map(|m| m.payload.clone())
            .collect()
    }
    fn refused(kind: Kind, body: &'static str) -> (usize, u32) {
        let batch = split(kind, body.into(), &stamp(), 100).unwrap();
        (batch.len(), batch.items())
    }

    #[test]
    fn bytes_are_kept() {
        assert_eq!(
            payloads(Kind::Lines, "{\"n\": 12345678901234567890}\r\n\n 1.10 \n"),
            ["{\"n\": 12345678901234567890}", " 1.10 "]
        );
        assert_eq!(
            payloads(Kind::Array, "[ {\"f\":1.10} , \"x\",null]"),
            ["{\"f\":1.10}", "\"x\"", "null"]
        );
        let items = "{\"items\":[{\"payload\":\"a\\nb\"},{\"payload\":{\"f\": 1.10}},{\"payload\":\"/wAB\",\"encoding\":\"base64\"}]}";
        assert_eq!(payloads(Kind::Items, items), [&b"a\nb"[..], b"{\"f\": 1.10}", &[0xff, 0, 1]]);
    }
    #[test]
    fn elements_have_ids_of_their_own() {
        let batch = split(Kind::Lines, "1\nx\n2".into(), &stamp(), 100).unwrap();
        let ids: Vec<_> = batch.iter().map(|m| m.id.clone().unwrap()).collect();
        assert_eq!(ids, ["a:0", "a:2"]);
    }
    #[test]
    fn a_bad_line_or_item_is_a_verdict_of_its_own() {
        assert_eq!(refused(Kind::Lines, "1\n{\"a\":1\n2\n"), (2, 3));
        let items = "{\"items\":[{\"payload\":1},{},{\"payload\":1,\"x\":1},{\"payload\":\"?\",\"encoding\":\"base64\"},{\"payload\":1,\"encoding\":\"hex\"},{\"payload\":1,\"ttl\":\"soon\"},{\"payload\":1,\"id\":\"\"},7]}";
        assert_eq!(refused(Kind::Items, items), (1, 8));
    }
    #[test]
    fn what_does_not_parse_is_one_error() {
        for (kind, body, code) in [
            (Kind::Array, "[1,2", Code::NotJson),
            (Kind::Array, "{}", Code::NotJson),
            (Kind::Array, "[]", Code::EmptyBatch),
            (Kind::Lines, "\n\n", Code::EmptyBatch),
            (Kind::Items, "{\"item\":[]}", Code::NotJson),
            (Kind::Items, "[]", Code::NotJson),
        ] {
            assert_eq!(split(kind, body.into(), &stamp(), 100).unwrap_err().code(), code, "{body}");
        }
        assert_eq!(
            split(Kind::Array, "[1,2,3]".into(), &stamp(), 2).unwrap_err().code(),
            Code::BatchTooLong
        );
    }
    #[test]
    fn an_error_says_where() {
        let error = split(Kind::Array, "[1,\n2,}]".into(), &stamp(), 2).unwrap_err();
        assert_eq!(error.to_string(), "line 2: not JSON at byte 3: expected a value");
    }
    #[test]
    fn an_item_is_refused_in_words_of_the_api() {
        for (text, told) in [
            ("7", "expected an object such as `{\"payload\":…}`, not a number"),
            ("\"x\"", "expected an object such as `{\"payload\":…}`, not a string"),
            ("{}", "`payload` is missing"),
            ("{\"payload\":1,\"key\":{}}", "`key` must be a string, not an object"),
            ("{\"payload\":1,\"id\":7}", "`id` must be a string, not a number"),
            (
                "{\"payload\":1,\"id\":null,\"encoding\":true}",
                "`encoding` must be a string, not `true` or `false`",
            ),
            ("{\"payload\":1,\"headers\":[]}", "`headers` must be an object, not a list"),
            (
                "{\"payload\":1,\"headers\":{\"a\":\"b\",\"x\":[\"y\",1]}}",
                "the header `x` must be a string or a list of strings, not a list",
            ),
            (
                "{\"payload\":1,\"headers\":{\"x\":1}}",
                "the header `x` must be a string or a list of strings, not a number",
            ),
            ("{\"payload\":1,\"payload\":2}", "`payload` is there twice"),
            ("{\"payload\":\"\\ud800\"}", "`payload`: half a character in a string"),
            ("{\"payload\":1,\"key\":\"\\ud800\"}", "`key`: half a character in a string"),
        ] {
            let body = Bytes::from(text);
            let raw: &RawValue = serde_json::from_slice(&body).unwrap();
            let error = super::item(raw, 4, &body, &stamp()).unwrap_err();
            assert_eq!(error.to_string(), format!("item 4: {told}"), "{text}");
        }
        let told = |kind, body: &'static str| split(kind, body.into(), &stamp(), 2).unwrap_err().to_string();
        assert_eq!(
            told(Kind::Items, "{\"items\":{}}"),
            "expected `{\"items\":[{\"payload\":…}]}`: an object instead of a list"
        );
        assert_eq!(told(Kind::Array, "\"x\""), "expected a JSON array: a string instead of a list");
        assert_eq!(told(Kind::Array, "[1,"), "line 1: not JSON at byte 3: it ends too early");
        let unknown = told(Kind::Items, "{\"itms\":[]}");
        assert!(unknown.contains(": unknown member `itms`, expected "), "{unknown}");
    }
}
