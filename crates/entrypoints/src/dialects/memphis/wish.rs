//! What the headers of a produce ask for, and which of them go with its messages.
use super::answer::{Family, Refusal, Result};
use crate::http::timing::Times;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tidegate_core::{
    error::{Code, Error},
    headers::{Builder, Headers},
    message::Message,
    sensitive::Sensitive,
    topic::Topic,
};

/// Bytes of a producer's name.
const LONGEST_PRODUCER: usize = 128;
/// Room for `:` and the largest number.
const LONGEST_BATCH_ID: usize = Message::MAX_ID - 11;
const KNOWN: &str = "tidegate-id, tidegate-key, tidegate-partition, tidegate-ttl, tidegate-delay, tidegate-producer";

/// What is asked for.
#[derive(Debug, Default)]
pub(super) struct Wish {
    pub(super) partition: Option<u32>,
    key: Option<Bytes>,
    id: Option<Bytes>,
    times: Times,
    /// Of every message.
    headers: Headers,
}
impl Wish {
    /// `old`: what is wrong is a 500.
    pub(super) fn read(headers: &HeaderMap, batch: bool, old: bool) -> Result<Self> {
        Self::parse(headers, batch).map_err(|wrong| match wrong {
            Wrong::Coding => {
                let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
                Refusal::text(status, "unsupported content encoding")
            }
            // As it was: no client could learn what is wrong.
            Wrong::Reserved if old => Refusal::new(Family::Station, StatusCode::INTERNAL_SERVER_ERROR, "Server error"),
            Wrong::Reserved => Refusal::new(
                Family::Station,
                StatusCode::BAD_REQUEST,
                "Names of headers can not start with $memphis",
            ),
            Wrong::Header(text) => Refusal::of(Error::client(Code::BadHeader, text), Family::Station, old),
        })
    }
    fn parse(headers: &HeaderMap, batch: bool) -> std::result::Result<Self, Wrong> {
        let mut wish = Self::default();
        let mut kept = Kept {
            builder: Headers::EMPTY.edit(),
            dropped: named(headers),
        };
        let (mut ttl, mut delay) = (None, None);
        let mut before = "";
        for (name, value) in headers {
            let name = name.as_str();
            // The values of a name come one behind the other; of a message's headers the first one counts.
            let again = std::mem::replace(&mut before, name) == name;
            let text = || text(name, value, again);
            match name {
                "tidegate-id" | "msg-id" => {
                    let id = id(text()?, batch)?;
                    if wish.id.as_ref().is_some_and(|other| *other != id) {
                        return Err(Wrong::Header("`Tidegate-Id` and `msg-id` exclude each other".to_owned()));
                    }
                    wish.id = Some(id);
                }
                "tidegate-key" => wish.key = Some(Bytes::copy_from_slice(text()?.as_bytes())),
                "tidegate-partition" => wish.partition = Some(partition(text()?)?),
                "tidegate-ttl" => ttl = Some(("Tidegate-Ttl", text()?)),
                "tidegate-delay" => delay = Some(("Tidegate-Delay", text()?)),
                "tidegate-producer" => kept.push("producer", producer(text()?)?.as_bytes())?,
                // A batch is one here without being told.
                "tidegate-batch" if batch && value.as_bytes().eq_ignore_ascii_case(b"true") => {}
                "content-encoding" if !value.as_bytes().eq_ignore_ascii_case(b"identity") => return Err(Wrong::Coding),
                _ if name.starts_with("$memphis") => return Err(Wrong::Reserved),
                _ if name.starts_with("tidegate-") => {
                    return Err(Wrong::Header(format!("unknown header `{name}`, known are {KNOWN}")));
                }
                _ if again => {}
                _ => kept.field(name, value)?,
            }
        }
        wish.times = Times::parse(ttl, delay).map_err(Wrong::Header)?;
        // Not only when the body has come.
        wish.times.timing().map_err(|why| Wrong::Header(why.to_owned()))?;
        if wish.key.is_some() && wish.partition.is_some() {
            return Err(Wrong::Header("Can not use both partition number and partition key".to_owned()));
        }
        wish.headers = kept.builder.build();
        Ok(wish)
    }
    /// Bytes that every message of a batch takes along.
    pub(super) fn common(&self) -> usize {
        self.headers.as_block().len() + self.key.as_ref().map_or(0, Bytes::len)
    }
    /// The one message of a request.
    pub(super) fn message(&self, topic: Topic, payload: Bytes) -> Message {
        Message {
            topic,
            key: self.key.clone(),
            id: self.id.clone(),
            headers: self.headers.clone(),
            payload,
            at: 0,
            // What cannot be was refused with the headers.
            timing: self.times.timing().unwrap_or_default(),
        }
    }
    /// One of a batch: it takes `id:number`, as elements of every batch do.
    pub(super) fn element(&self, topic: Topic, payload: Bytes, number: usize) -> Message {
        let mut message = self.message(topic, payload);
        if let Some(id) = &self.id {
            message.id = Some([id, format!(":{number}").as_bytes()].concat().into());
        }
        message
    }
}
enum Wrong {
    /// The body is not as it stands there, and bytes are kept.
    Coding,
    /// A header that belongs to the broker.
    Reserved,
    Header(String),
}
/// The headers of the messages.
struct Kept<'h> {
    builder: Builder,
    /// Names the connection has for itself.
    dropped: Vec<&'h str>,
}
impl Kept<'_> {
    fn field(&mut self, name: &str, value: &HeaderValue) -> std::result::Result<(), Wrong> {
        let named = || self.dropped.iter().any(|dropped| dropped.eq_ignore_ascii_case(name));
        if stays(name) && !named() {
            self.push(name, value.as_bytes())?;
        }
        Ok(())
    }
    fn push(&mut self, name: &str, value: &[u8]) -> std::result::Result<(), Wrong> {
        let pushed = self.builder.push(name, value);
        pushed.map(drop).map_err(|error| Wrong::Header(error.to_string()))
    }
}
/// What is sensitive, what belongs to the connection, what a browser adds, what would command a broker, and what Tidegate itself says of a message
/// in these words never enter one.
fn stays(name: &str) -> bool {
    let prefixed = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    match name {
        "host" | "content-length" | "connection" | "keep-alive" | "te" | "trailer" | "transfer-encoding" | "upgrade" | "expect"
        | "http2-settings" | "origin" | "referer" | "producer" | "station" | "type" => false,
        _ => !prefixed(&["proxy-", "accept", "sec-", "nats-"]) && Sensitive::of(name).is_none(),
    }
}
/// RFC 9110, section 7.6.1.
fn named(headers: &HeaderMap) -> Vec<&str> {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect()
}
/// A value of ours as text; two of them would be two wishes.
fn text<'h>(name: &str, value: &'h HeaderValue, again: bool) -> std::result::Result<&'h str, Wrong> {
    if again {
        return Err(Wrong::Header(format!("`{name}` stands there twice")));
    }
    std::str::from_utf8(value.as_bytes()).map_err(|_| Wrong::Header(format!("`{name}` is not UTF-8")))
}
fn id(text: &str, batch: bool) -> std::result::Result<Bytes, Wrong> {
    let most = if batch { LONGEST_BATCH_ID } else { Message::MAX_ID };
    if text.is_empty() || text.len() > most {
        let told = format!("a message id of {} bytes, from 1 to {most} are allowed", text.len());
        return Err(Wrong::Header(told));
    }
    Ok(Bytes::copy_from_slice(text.as_bytes()))
}
fn partition(text: &str) -> std::result::Result<u32, Wrong> {
    let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    number.ok_or_else(|| Wrong::Header(format!("`Tidegate-Partition: {}`: expected a number", text.escape_debug())))
}
fn producer(text: &str) -> std::result::Result<&str, Wrong> {
    if text.is_empty() || text.len() > LONGEST_PRODUCER {
        let told = format!(
            "`Tidegate-Producer` has {} bytes, from 1 to {LONGEST_PRODUCER} are allowed",
            text.len()
        );
        return Err(Wrong::Header(told));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::{super::answer::tests::told, *};

    fn read(fields: &[(&str, &str)], batch: bool, old: bool) -> Result<Wish> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        Wish::read(&headers, batch, old)
    }
    fn kept(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        let wish = read(fields, false, false).unwrap();
        let text = |(name, value): (&str, &[u8])| (name.to_owned(), String::from_utf8(value.to_vec()).unwrap());
        wish.headers.iter().map(text).collect()
    }
    #[test]
    fn credentials_and_the_connection_never_enter_a_message() {
        let fields = [
            ("Host", "http_proxy:4444"),
            ("Authorization", "Bearer x"),
            ("Cookie", "jwt-refresh-token=y"),
            ("Content-Length", "3"),
            ("Connection", "keep-alive, X-Hop"),
            ("Keep-Alive", "timeout=5"),
            ("X-Hop", "1"),
            ("TE", "trailers"),
            ("Upgrade", "h2c"),
            ("Expect", "100-continue"),
            ("Proxy-Authorization", "Basic z"),
            ("Accept", "*/*"),
            ("Accept-Encoding", "gzip"),
            ("Origin", "https://a"),
            ("Referer", "https://a/b"),
            ("Sec-Fetch-Mode", "cors"),
            ("Forwarded", "for=x"),
            ("X-Forwarded-For", "x"),
            ("Nats-Expected-Last-Sequence", "999"),
            ("Nats-Msg-Id", "1"),
            ("msg-id", "i"),
            ("Content-Type", "application/json"),
            ("User-Agent", "curl/8"),
            ("X-DEBEZIUM-table", "orders"),
            ("X-Api-Key", "s"),
            ("apikey", "s"),
            ("X-Vault-Token", "s"),
            ("Authentication", "s"),
            ("Set-Cookie", "s"),
            ("X-Original-URL", "/admin"),
            ("X-Real-IP", "10.0.0.1"),
            ("X-HTTP-Method-Override", "DELETE"),
            ("x-dup", "1"),
            ("x-dup", "2"),
        ];
        let wanted = [
            ("content-type", "application/json"),
            ("user-agent", "curl/8"),
            ("x-debezium-table", "orders"),
            ("x-dup", "1"),
        ];
        let mut found = kept(&fields);
        found.sort();
        assert_eq!(found, wanted.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
    /// Who reads `producer`, `station` and `type` reads what Tidegate says.
    #[test]
    fn what_tidegate_says_of_a_message_nobody_says_by_a_header() {
        for order in [
            [("Tidegate-Producer", "me"), ("Producer", "you")],
            [("Producer", "you"), ("Tidegate-Producer", "me")],
        ] {
            assert_eq!(kept(&order), [("producer".to_owned(), "me".to_owned())]);
        }
        assert_eq!(kept(&[("Producer", "you"), ("Station", "other"), ("TYPE", "unacked")]), []);
    }
    #[test]
    fn wishes_are_heard() {
        let fields = [
            ("Tidegate-Id", "a"),
            ("Tidegate-Key", "k"),
            ("Tidegate-Ttl", "5s"),
            ("Tidegate-Delay", "1s"),
        ];
        let wish = read(&fields, true, false).unwrap();
        let message = wish.element(Topic::from_static("t"), "x".into(), 3);
        assert_eq!(
            (message.id.as_deref(), message.key.as_deref()),
            (Some(&b"a:3"[..]), Some(&b"k"[..]))
        );
        assert!(
            message
                .timing
                .is_some_and(|timing| timing.due.is_some() && timing.expires.is_some())
        );
        assert_eq!(read(&[("Tidegate-Partition", "2")], false, false).unwrap().partition, Some(2));
        let both = read(&[("Tidegate-Id", "a"), ("msg-id", "a")], false, false).unwrap();
        assert_eq!(both.message(Topic::from_static("t"), Bytes::new()).id.as_deref(), Some(&b"a"[..]));
    }
    #[test]
    fn what_is_wrong_is_told() {
        let long = "x".repeat(256);
        for (fields, status, text) in [
            (&[("$memphis_x", "1")][..], 400, "Names of headers can not start with $memphis"),
            (
                &[("Tidegate-Key", "a"), ("Tidegate-Partition", "1")],
                400,
                "Can not use both partition number and partition key",
            ),
            (&[("Tidegate-Id", "a"), ("msg-id", "b")], 400, "exclude each other"),
            (&[("Tidegate-Id", "a"), ("Tidegate-Id", "a")], 400, "twice"),
            (&[("Tidegate-Id", &long)], 400, "256 bytes"),
            (&[("Tidegate-Id", "")], 400, "0 bytes"),
            (&[("Tidegate-Producer", &long)], 400, "256 bytes"),
            (&[("Tidegate-Partition", "-1")], 400, "expected a number"),
            (&[("Tidegate-Ttl", "soon")], 400, "expected a duration"),
            (&[("Tidegate-Delay", "5s"), ("Tidegate-Ttl", "5s")], 400, "expire before it is due"),
            (&[("Tidegate-Grup", "x")], 400, "unknown header `tidegate-grup`"),
            (&[("Content-Encoding", "gzip")], 415, "unsupported content encoding"),
        ] {
            let (found, _, body) = told(read(fields, false, false).unwrap_err().into_response());
            assert!(found == status && body.contains(text), "{fields:?}: {found} {body}");
        }
        let (status, _, body) = told(read(&[("$memphis_x", "1")], false, true).unwrap_err().into_response());
        assert_eq!((status, body.as_str()), (500, "{\"error\":\"Server error\",\"success\":false}"));
        assert!(read(&[("Tidegate-Id", &"x".repeat(250))], true, false).is_err());
        assert!(read(&[("Content-Encoding", "identity")], false, false).is_ok());
        let native = [("Tidegate-Batch", "true")];
        assert!(read(&native, true, false).is_ok() && read(&native, false, false).is_err());
    }
}
