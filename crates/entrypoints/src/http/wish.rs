//! What the head of a POST asks for: `Tidegate-*` and a few others, and which headers go with the message.
use super::{
    batch::{Kind, Stamp},
    timing::Times,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tidegate_core::{
    error::{Code, Error, Result},
    headers::Headers,
    message::Message,
    receipt::Level,
    sensitive::Sensitive,
    topic::Topic,
};
use tidegate_gateway::settings::HttpPost;

/// Every request header of ours.
const KNOWN: &[&str] = &[
    "tidegate-ack",
    "tidegate-key",
    "tidegate-id",
    "tidegate-partition",
    "tidegate-batch",
    "tidegate-ttl",
    "tidegate-delay",
];
const FORM: &str = "application/x-www-form-urlencoded";

/// What a POST asks for, whatever its body is.
pub(super) struct Wish {
    pub(super) kind: Kind,
    pub(super) level: Option<Level>,
    pub(super) partition: Option<u32>,
    /// The id is an `Idempotency-Key`: another payload under it is an error.
    pub(super) same_payload: bool,
    /// The answer needs no body.
    pub(super) minimal: bool,
    /// What each of its messages carries.
    pub(super) stamp: Stamp,
}
impl Wish {
    /// Of messages to that topic, of an API that takes these headers along.
    pub(super) fn read(headers: &HeaderMap, topic: Topic, post: &HttpPost) -> Result<Self> {
        let mut wish = Self::parse(headers, topic)?;
        wish.stamp.headers = kept_headers(headers, post, wish.kind)?;
        Ok(wish)
    }
    /// One pass over the headers.
    fn parse(headers: &HeaderMap, topic: Topic) -> Result<Self> {
        let bad = |name: &str, value: &str, expected: &str| {
            Error::client(Code::BadHeader, format!("`{name}: {}`: expected {expected}", value.escape_debug()))
        };
        let mut wish = Self {
            kind: Kind::Single,
            level: None,
            partition: None,
            same_payload: false,
            minimal: false,
            stamp: Stamp {
                topic,
                key: None,
                id: None,
                headers: Headers::EMPTY,
                times: Times::default(),
            },
        };
        let (mut ttl, mut delay) = (None, None);
        let mut own_id = None;
        let mut array = false;
        let mut fields = headers.iter().peekable();
        while let Some((name, value)) = fields.next() {
            // The values of a name come one behind the other.
            let next = fields.peek().map(|(next, _)| *next);
            let text = || once(name, value, next == Some(name));
            match name.as_str() {
                "tidegate-ack" => {
                    let level = Level::parse(text()?);
                    wish.level = Some(level.ok_or_else(|| {
                        let word = String::from_utf8_lossy(value.as_bytes());
                        bad("Tidegate-Ack", &word, "`accepted`, `delivered`, `stored` or `replicated`")
                    })?);
                }
                "tidegate-partition" => {
                    let text = text()?;
                    let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
                    wish.partition = Some(number.ok_or_else(|| bad("Tidegate-Partition", text, "a number"))?);
                }
                "tidegate-key" => wish.stamp.key = Some(Bytes::copy_from_slice(text()?.as_bytes())),
                "tidegate-id" => own_id = Some(text()?),
                "idempotency-key" => {
                    wish.stamp.id = Some(id(text()?)?);
                    wish.same_payload = true;
                }
                "tidegate-ttl" => ttl = Some(("Tidegate-Ttl", text()?)),
                "tidegate-delay" => delay = Some(("Tidegate-Delay", text()?)),
                "tidegate-batch" => array = batched(text()?)?,
                "content-type" => wish.kind = kind(text()?),
                "content-encoding" => identity(text()?)?,
                "prefer" => wish.minimal |= value.as_bytes() == b"return=minimal",
                // What another Tidegate says of a message that it sends here.
                "tidegate-attempt" | "tidegate-count" | "tidegate-position" | "tidegate-topic" => {}
                other if other.starts_with("tidegate-") => return Err(unknown(other)),
                _ => {}
            }
        }
        wish.stamp.times = Times::parse(ttl, delay).map_err(|why| Error::client(Code::BadHeader, why))?;
        // Not only when the body has come.
        wish.stamp.times.timing().map_err(|why| Error::client(Code::BadHeader, why))?;
        if wish.stamp.key.is_some() && wish.partition.is_some() {
            return Err(
                Error::client(Code::BadHeader, "`Tidegate-Key` and `Tidegate-Partition` exclude each other")
                    .with_hint("the key decides the partition"),
            );
        }
        if let Some(own) = own_id {
            if wish.same_payload {
                return Err(Error::client(
                    Code::BadHeader,
                    "`Tidegate-Id` and `Idempotency-Key` exclude each other",
                ));
            }
            wish.stamp.id = Some(id(own)?);
        }
        if array && wish.kind == Kind::Single {
            wish.kind = Kind::Array;
        }
        // Room for `:` and the largest number.
        let most = Message::MAX_ID - 11;
        if let Some(id) = wish.stamp.id.as_ref().filter(|id| wish.kind != Kind::Single && id.len() > most) {
            return Err(Error::client(
                Code::BadHeader,
                format!("a batch's id of {} bytes, at most {most} are allowed", id.len()),
            ));
        }
        Ok(wish)
    }
}
/// A value of ours as text; two of them would be two wishes.
fn once<'h>(name: &HeaderName, value: &'h HeaderValue, again: bool) -> Result<&'h str> {
    if again {
        return Err(Error::client(Code::BadHeader, format!("`{name}` stands there twice")));
    }
    std::str::from_utf8(value.as_bytes()).map_err(|_| Error::client(Code::BadHeader, format!("`{name}` is not UTF-8")))
}
fn id(text: &str) -> Result<Bytes> {
    if text.is_empty() || text.len() > Message::MAX_ID {
        return Err(Error::client(
            Code::BadHeader,
            format!("a message id of {} bytes, from 1 to {} are allowed", text.len(), Message::MAX_ID),
        ));
    }
    Ok(Bytes::copy_from_slice(text.as_bytes()))
}
/// Who reads has no wishes in headers of ours: what it asks for stands in the URL.
pub(super) fn none_of_ours(headers: &HeaderMap) -> Result<()> {
    match headers.keys().map(HeaderName::as_str).find(|name| name.starts_with("tidegate-")) {
        Some(name) if KNOWN.contains(&name) => Err(Error::client(Code::BadHeader, format!("`{name}` is for publishing"))),
        Some(name) => Err(unknown(name)),
        None => Ok(()),
    }
}
/// A misspelled header of ours would be a wish nobody hears.
fn unknown(name: &str) -> Error {
    if name == "tidegate-group" {
        let hint = "workers of a group ask by `POST path/_pull`, or over WebSocket";
        return Error::client(Code::BadHeader, "`tidegate-group` is no header").with_hint(hint);
    }
    Error::client(Code::BadHeader, format!("unknown header `{name}`")).with_hint(format!("known: {}, idempotency-key", KNOWN.join(", ")))
}
fn identity(coding: &str) -> Result<()> {
    if coding.eq_ignore_ascii_case("identity") {
        return Ok(());
    }
    Err(Error::client(
        Code::UnsupportedMediaType,
        format!("`Content-Encoding: {}` is not offered", coding.escape_debug()),
    )
    .with_hint("send the body as it is"))
}
fn batched(word: &str) -> Result<bool> {
    match word {
        _ if word.eq_ignore_ascii_case("true") => Ok(true),
        _ if word.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(Error::client(
            Code::BadHeader,
            format!("`Tidegate-Batch: {}`: expected `true` or `false`", word.escape_debug()),
        )),
    }
}
fn kind(content_type: &str) -> Kind {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    match essence {
        _ if essence.eq_ignore_ascii_case("application/x-ndjson") => Kind::Lines,
        _ if essence.eq_ignore_ascii_case("application/vnd.tidegate.messages+json") => Kind::Items,
        _ => Kind::Single,
    }
}
/// Headers the API lets into the message. The type of a batch is not that of its messages, and curl's form type says nothing about
/// the payload.
fn kept_headers(headers: &HeaderMap, post: &HttpPost, kind: Kind) -> Result<Headers> {
    if post.headers.is_empty() {
        return Ok(Headers::EMPTY);
    }
    let mut builder = Headers::EMPTY.edit();
    let mut any = false;
    for (name, value) in headers {
        let wanted = wanted(name.as_str(), &post.headers);
        let foreign = || *name == header::CONTENT_TYPE && (kind != Kind::Single || value.as_bytes().starts_with(FORM.as_bytes()));
        if wanted && !foreign() {
            builder.push(name.as_str(), value.as_bytes())?;
            any = true;
        }
    }
    Ok(if any { builder.build() } else { Headers::EMPTY })
}
/// Both sides are lower case. Proxies and libraries add headers that nobody thinks of: what is sensitive is only meant by its whole name, and
/// credentials not even then.
fn wanted(name: &str, patterns: &[String]) -> bool {
    let mut some = false;
    for pattern in patterns {
        match pattern.strip_suffix('*') {
            None if pattern == name => return !Sensitive::is_credential(name),
            None => {}
            Some(prefix) => some |= name.starts_with(prefix),
        }
    }
    some && Sensitive::of(name).is_none()
}
