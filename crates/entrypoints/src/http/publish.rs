//! `POST path`: the body becomes messages, and the answer waits for the receipt.
use super::{
    batch::{self, Kind, Stamp},
    body::Body,
    call::{Call, Settings},
    flight::Aboard,
    idempotent, items,
    problem::{self, Problem, with_type},
    timing::{self, Times},
    upload,
};
use crate::{listener::Incoming, outcome};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header, request::Parts};
use tidegate_core::{
    endpoint::Publish,
    error::{Code, Error, Result},
    headers::Headers,
    message::Message,
    position::{Cursor, Position},
    receipt::{Kept, Level, Verdict},
    sensitive::Sensitive,
};
use tidegate_gateway::{flow, settings::HttpPost};

const ACK: HeaderName = HeaderName::from_static("tidegate-ack");
const ID: HeaderName = HeaderName::from_static("tidegate-id");
const POSITION: HeaderName = HeaderName::from_static("tidegate-position");
const DUPLICATE: HeaderName = HeaderName::from_static("tidegate-duplicate");
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
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const FORM: &str = "application/x-www-form-urlencoded";

/// What the headers ask for.
struct Wish {
    kind: Kind,
    level: Option<Level>,
    partition: Option<u32>,
    key: Option<Bytes>,
    id: Option<Bytes>,
    /// The id is an `Idempotency-Key`: another payload under it is an error.
    same_payload: bool,
    minimal: bool,
    times: Times,
}
impl Wish {
    /// One pass over the headers.
    fn parse(headers: &HeaderMap) -> Result<Self> {
        let bad = |name: &str, value: &str, expected: &str| {
            Error::client(Code::BadHeader, format!("`{name}: {}`: expected {expected}", value.escape_debug()))
        };
        let mut wish = Self {
            kind: Kind::Single,
            level: None,
            partition: None,
            key: None,
            id: None,
            same_payload: false,
            minimal: false,
            times: Times::default(),
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
                "tidegate-key" => wish.key = Some(Bytes::copy_from_slice(text()?.as_bytes())),
                "tidegate-id" => own_id = Some(text()?),
                "idempotency-key" => {
                    wish.id = Some(id(text()?)?);
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
        wish.times = Times::parse(ttl, delay).map_err(|why| Error::client(Code::BadHeader, why))?;
        // Not only when the body has come.
        wish.times.timing().map_err(|why| Error::client(Code::BadHeader, why))?;
        if wish.key.is_some() && wish.partition.is_some() {
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
            wish.id = Some(id(own)?);
        }
        if array && wish.kind == Kind::Single {
            wish.kind = Kind::Array;
        }
        // Room for `:` and the largest number.
        let most = Message::MAX_ID - 11;
        if let Some(id) = wish.id.as_ref().filter(|id| wish.kind != Kind::Single && id.len() > most) {
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

pub(super) async fn post(
    call: Call<'_>,
    parts: &Parts,
    body: &mut Option<Incoming>,
    settings: &Settings,
    mut aboard: Aboard,
) -> Result<Response<Body>> {
    let route = call.route;
    let (Some(post), Some(target)) = (&route.api.http_post, &route.publish) else {
        return Err(call.no_method());
    };
    if parts.uri.query().is_some_and(|query| !query.is_empty()) {
        return Err(
            Error::client(Code::BadQuery, "a POST takes no query parameters").with_hint("what it may ask for are `Tidegate-*` headers")
        );
    }
    let wish = Wish::parse(&parts.headers)?;
    let stamp = Stamp {
        topic: target.topic(call.rest)?,
        key: wish.key.clone(),
        id: wish.id.clone(),
        headers: kept_headers(&parts.headers, post, wish.kind)?,
        times: wish.times,
    };
    let most = if wish.kind == Kind::Single {
        settings.body
    } else {
        settings.batch_body
    };
    let body = upload::read(body, most, settings.body_pace, &mut aboard).await?;
    let common = stamp.headers.as_block().len() + stamp.key.as_ref().map_or(0, Bytes::len);
    let most = batch::most(common, settings.batch_items, settings.batch_body);
    let batch = batch::split(wish.kind, body, &stamp, most).map_err(|error| {
        if error.code() == Code::BatchTooLong && most < settings.batch_items {
            let hint = "each of them takes along the headers and the key of the request: send fewer headers, or it in parts";
            return error.with_hint(hint);
        }
        error
    })?;
    let items = batch.items();
    let ids: Vec<_> = batch
        .numbered()
        .filter_map(|(number, message)| Some((number, message.id.clone()?)))
        .collect();
    let mut sent = Vec::new();
    if wish.same_payload {
        sent.extend(batch.numbered().map(|(number, message)| (number, message.payload.clone())));
    }

    let mut x = call.exchange();
    flow::admit(route, &mut x).await?;
    let delayed = batch
        .iter()
        .any(|message| message.timing.as_ref().is_some_and(|timing| timing.due.is_some()));
    let publish = Publish {
        level: timing::level(delayed, wish.level.or(post.ack), target.endpoint.capabilities())?,
        batch,
        partition: wish.partition,
        scope: route.scope,
    };
    let mut kept = flow::publish(route, &x, publish).await?.await?;
    // What waits for its time is not there yet to be compared with.
    if wish.same_payload && !kept.duplicates.is_empty() && !delayed {
        // Rare, and large.
        Box::pin(idempotent::compare(&call, target, &mut kept, &sent)).await?;
    }
    if wish.kind == Kind::Single {
        single(&kept, &stamp, &wish)
    } else {
        Ok(many(&kept, items, &stamp, &ids, &wish, &call))
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
fn single(kept: &Kept, stamp: &Stamp, wish: &Wish) -> Result<Response<Body>> {
    if let Some((_, error)) = kept.failed.first() {
        return Err(error.again());
    }
    // One message: what the batch's places say as text is its position in each stream.
    let position = (!kept.places.is_empty()).then(|| kept.to_string());
    let id = stamp
        .id
        .as_ref()
        .map(|id| String::from_utf8_lossy(id))
        .or_else(|| position.as_deref().map(Into::into));
    let body = if wish.minimal {
        Body::empty()
    } else {
        let mut out = Vec::with_capacity(96);
        out.push(b'{');
        for (name, value) in [
            ("id", id.as_deref()),
            ("position", position.as_deref()),
            ("ack", Some(kept.level.as_str())),
        ] {
            if let Some(value) = value {
                items::name(name, &mut out);
                items::string(value, &mut out);
            }
        }
        if kept.level == Level::Delivered {
            items::name("note", &mut out);
            items::string(&format!("live only: no stream captures `{}`", &*stamp.topic), &mut out);
        }
        out.extend_from_slice(b"}\n");
        Body::full(out)
    };
    let mut response = with_type(body, JSON);
    *response.status_mut() = StatusCode::ACCEPTED;
    let headers = response.headers_mut();
    headers.insert(ACK, HeaderValue::from_static(kept.level.as_str()));
    if let Some(value) = id.as_deref().and_then(|id| HeaderValue::from_str(id).ok()) {
        headers.insert(ID, value);
    }
    if let Some(value) = position.and_then(|position| HeaderValue::try_from(position).ok()) {
        headers.insert(POSITION, value);
    }
    if !kept.duplicates.is_empty() {
        headers.insert(DUPLICATE, HeaderValue::from_static("true"));
    }
    Ok(response)
}
/// A verdict per item: 202 all, 207 some, else the first problem with the same members.
fn many(kept: &Kept, items: u32, stamp: &Stamp, ids: &[(u32, Bytes)], wish: &Wish, call: &Call<'_>) -> Response<Body> {
    let failed = kept.failed.len() as u32;
    let first = kept.failed.first().map(|(_, error)| error).filter(|_| failed == items);
    let mut out = Vec::with_capacity(64 + items as usize * 48);
    out.push(b'{');
    if let Some(error) = first {
        let problem = serde_json::to_vec(&Problem::new(error, Some(&call.request_id()))).unwrap_or_default();
        out.extend_from_slice(problem.get(1..problem.len().saturating_sub(1)).unwrap_or_default());
    }
    items::name("sent", &mut out);
    out.extend_from_slice((items - failed).to_string().as_bytes());
    items::name("failed", &mut out);
    out.extend_from_slice(failed.to_string().as_bytes());
    if kept.level == Level::Delivered {
        items::name("note", &mut out);
        items::string(&format!("live only: no stream captures `{}`", &*stamp.topic), &mut out);
    }
    items::name("results", &mut out);
    out.push(b'[');
    for verdict in kept.verdicts(items) {
        if verdict.item > 0 {
            out.push(b',');
        }
        result(&verdict, ids, &mut out);
    }
    out.extend_from_slice(b"]}\n");
    let body = if wish.minimal && failed == 0 {
        Body::empty()
    } else {
        Body::full(out)
    };
    let mut response = if let Some(error) = first {
        let mut response = with_type(body, problem::JSON);
        *response.status_mut() = outcome::status(error.code());
        problem::told(error, response.headers_mut());
        response
    } else {
        let mut response = with_type(body, JSON);
        *response.status_mut() = if failed == 0 {
            StatusCode::ACCEPTED
        } else {
            StatusCode::MULTI_STATUS
        };
        response.headers_mut().insert(ACK, HeaderValue::from_static(kept.level.as_str()));
        if let Ok(value) = HeaderValue::try_from(kept.to_string())
            && !value.is_empty()
            && value.len() <= 1024
        {
            response.headers_mut().insert(POSITION, value);
        }
        response
    };
    if !kept.duplicates.is_empty() && kept.duplicates.len() as u32 == items {
        response.headers_mut().insert(DUPLICATE, HeaderValue::from_static("true"));
    }
    response
}
fn result(verdict: &Verdict<'_>, ids: &[(u32, Bytes)], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"index\":");
    out.extend_from_slice(itoa::Buffer::new().format(verdict.item).as_bytes());
    match &verdict.result {
        Ok(positions) => {
            let own = ids
                .binary_search_by_key(&verdict.item, |(number, _)| *number)
                .ok()
                .and_then(|at| ids.get(at));
            if let Some((_, id)) = own {
                items::name("id", out);
                items::string(&String::from_utf8_lossy(id), out);
                places("position", positions, out);
            } else if let [one] = &positions[..] {
                items::places(*one, out);
            } else {
                places("id", positions, out);
                places("position", positions, out);
            }
            if verdict.duplicate {
                items::name("duplicate", out);
                out.extend_from_slice(b"true");
            }
        }
        Err(error) => {
            items::name("problem", out);
            out.extend_from_slice(&serde_json::to_vec(&Problem::new(error, None)).unwrap_or_default());
        }
    }
    out.push(b'}');
}
/// One position per capturing stream; nothing for what nobody stores.
fn places(key: &str, positions: &[Position], out: &mut Vec<u8>) {
    match positions {
        [] => {}
        [one] => items::place(key, *one, out),
        many => {
            items::name(key, out);
            items::string(&many.iter().copied().collect::<Cursor>().to_string(), out);
        }
    }
}
