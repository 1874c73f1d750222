//! `consume/batch`: a group's next messages, done once the answer is out. Who leaves before gives them back.
use super::{
    Asked, Memphis,
    answer::{self, Family, Refusal, Result},
    form::{Fields, Kind, Wrong},
    station::{self, Station, TRIES},
};
use crate::{
    http::{body::Body, flight::Aboard, items, upload},
    listener::{Connection, Incoming},
};
use base64_simd::STANDARD;
use http::{HeaderValue, Response, StatusCode, header};
use std::{sync::Arc, time::Duration};
use tidegate_core::{
    clock::{self, Rfc3339},
    delivery::Received,
    directory::Right,
    endpoint::{GroupName, Start},
    error::{Code, Error},
    headers::Headers,
};
use tidegate_gateway::{
    flow,
    handle::RouteHandle,
    pulls::{Pulled, Wish},
    route::Route,
};

/// Messages, when none are asked for, and at most.
const SIZE: i64 = 10;
const MOST: i64 = 5_000;
const WAIT: Duration = Duration::from_secs(5);
/// Proxies give up.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// How long an answer may take to get out before its messages come again.
const LEASE: Duration = Duration::from_mins(1);
/// What groups of this API end with.
const SUFFIX: &str = "rest-gateway";
/// Bytes of a request.
const LARGEST: u64 = 64 << 10;
/// Bytes that stand around a message's own in an answer.
const AROUND: usize = 120;

/// What is asked for.
#[derive(Debug, PartialEq)]
struct Wanted {
    group: GroupName,
    size: u32,
    wait: Duration,
    /// Every message as base64, whether it is text or not.
    base64: bool,
    metadata: bool,
}
pub(super) async fn batch(
    memphis: &Memphis,
    raw: &str,
    asked: &Asked<'_>,
    body: &mut Option<Incoming>,
    connection: &Arc<Connection>,
    mut aboard: Aboard,
) -> Result<Response<Body>> {
    let old = memphis.settings.old;
    let refused = |error| Refusal::of(error, Family::Station, old);
    let mut station = memphis.station(raw, asked, Right::Subscribe)?;
    let edge = &memphis.ground.edge;
    let text = upload::read(body, edge.body.min(LARGEST), edge.body_pace, &mut aboard).await;
    let text = text.map_err(|error| Refusal::of_http(error, Family::Station, old))?;
    let kind = asked.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let wanted = Wanted::read(kind.unwrap_or_default(), &text).map_err(|text| {
        // No 500 here, not even once.
        Refusal::new(Family::Station, StatusCode::BAD_REQUEST, text)
    })?;
    let mut pulled = None;
    for _ in 0..TRIES {
        let route = memphis.open(&station).await?;
        match take(memphis, &station, &route, asked, &wanted).await {
            Ok(taken) => {
                pulled = Some(taken);
                break;
            }
            Err(error) if station::is_gone(&error) => station.lose(),
            Err(error) => return Err(refused(error)),
        }
    }
    let pulled = pulled.ok_or_else(|| station.restless())?;
    let likely = items::likely(pulled.items.iter(), AROUND);
    let berth = memphis.ground.flight.berth(connection);
    let bytes = berth.carry(likely, |out| page(&pulled, &wanted, out)).map_err(refused)?;
    let gap = pulled
        .gap
        .as_ref()
        .map(|gap| format!("{};{};{}", gap.from, gap.to, gap.reason.as_str()));
    let mut response = answer::json("");
    *response.body_mut() = Body::settled(bytes, pulled.offered, pulled.parcel, connection);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(gap) = gap.and_then(|gap| HeaderValue::try_from(gap).ok()) {
        headers.insert("tidegate-gap", gap);
    }
    Ok(response)
}
async fn take(
    memphis: &Memphis,
    station: &Station,
    route: &Route,
    asked: &Asked<'_>,
    wanted: &Wanted,
) -> std::result::Result<Pulled, Error> {
    let mut x = asked.exchange(route);
    flow::admit(route, &mut x).await?;
    let gone = || Error::client(Code::NoSuchStream, format!("{} is gone", station.path()));
    let mut handle = RouteHandle::new(&memphis.ground.world, "", &station.path()).ok_or_else(gone)?;
    let mut drain = memphis.ground.drain.clone();
    let left = x.expires.map_or(LONGEST_WAIT, |expires| {
        let micros = expires.saturating_sub(clock::now_us());
        Duration::from_micros(u64::try_from(micros).unwrap_or_default())
    });
    let wish = Wish {
        group: wanted.group.clone(),
        limit: wanted.size,
        wait: wanted.wait.min(left),
        lease_for: LEASE,
        start: Start::Earliest,
    };
    let pulled = memphis.pulls.pull(&mut handle, &x, &wish, &mut drain).await?;
    if !pulled.items.is_empty() {
        // It may have waited for long: a user who is gone meanwhile gets nothing, and the messages go back.
        flow::admit(route, &mut x).await?;
    }
    Ok(pulled)
}
impl Wanted {
    fn read(content_type: &str, text: &[u8]) -> std::result::Result<Self, &'static str> {
        const INVALID: &str = "Invalid request body";
        let fields = match Kind::of(content_type) {
            Some(Kind::Json) => Fields::read(Kind::Json, text).ok_or(INVALID)?,
            // Names of forms never bound.
            Some(_) => return Err("Consumer name is required"),
            None => return Err(INVALID),
        };
        Self::of(&fields).unwrap_or(Err(INVALID))
    }
    fn of(fields: &Fields<'_>) -> std::result::Result<std::result::Result<Self, &'static str>, Wrong> {
        let consumer = fields.text("consumer_name")?;
        let group = fields.text("consumer_group")?.to_ascii_lowercase();
        let size = fields.number("batch_size")?;
        let wait = fields.number("batch_max_wait_time_ms")?;
        let base64 = match &*fields.text("encoding")? {
            "" | "text" => false,
            "base64" => true,
            _ => return Err(Wrong),
        };
        let include = fields.words("include")?;
        if include.iter().any(|word| word != "metadata") {
            return Err(Wrong);
        }
        if consumer.is_empty() {
            return Ok(Err("Consumer name is required"));
        }
        let size = if size == 0 { SIZE } else { size };
        if !(1..=MOST).contains(&size) {
            return Ok(Err("Batch size can not be greater than 5000 or less than 1"));
        }
        let group = if group.is_empty() {
            SUFFIX.to_owned()
        } else {
            format!("{group}-{SUFFIX}")
        };
        let Some(group) = GroupName::new(&group).filter(|_| group.len() <= 128 + 1 + SUFFIX.len()) else {
            return Ok(Err(
                "Only alphanumeric and the '_', '-', '.' characters are allowed in consumer group",
            ));
        };
        let wait = u64::try_from(wait)
            .ok()
            .filter(|wait| *wait > 0)
            .map_or(WAIT, Duration::from_millis);
        Ok(Ok(Self {
            group,
            size: u32::try_from(size).unwrap_or(u32::MAX),
            wait: wait.min(LONGEST_WAIT),
            base64,
            metadata: !include.is_empty(),
        }))
    }
}
fn page(pulled: &Pulled, wanted: &Wanted, out: &mut Vec<u8>) {
    out.push(b'[');
    let mut clock = Rfc3339::default();
    for (at, item) in pulled.items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(item, wanted, &mut clock, out);
    }
    out.push(b']');
}
/// `{"message":…,"headers":{…}}`; what else there is comes behind, so that who asks for nothing sees what it always saw.
fn write(item: &Received, wanted: &Wanted, clock: &mut Rfc3339, out: &mut Vec<u8>) {
    let payload = &item.message.payload;
    out.extend_from_slice(b"{\"message\":");
    let text = simdutf8::basic::from_utf8(payload).ok().filter(|_| !wanted.base64);
    if let Some(text) = text {
        answer::string(text, out);
    } else {
        out.push(b'"');
        STANDARD.encode_append(payload, out);
        out.push(b'"');
    }
    out.extend_from_slice(b",\"headers\":{");
    for (at, (name, value)) in sorted(&item.message.headers).into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        answer::string(name, out);
        out.push(b':');
        answer::string(&String::from_utf8_lossy(value), out);
    }
    out.push(b'}');
    if text.is_none() {
        out.extend_from_slice(b",\"encoding\":\"base64\"");
    }
    if wanted.metadata {
        out.extend_from_slice(format!(",\"attempt\":{}", item.attempt).as_bytes());
        if let Some(position) = item.position {
            out.extend_from_slice(format!(",\"position\":\"{position}\"").as_bytes());
        }
        out.extend_from_slice(b",\"time\":\"");
        clock.write(item.message.at, out);
        out.push(b'"');
        for (name, value) in [("id", &item.message.id), ("key", &item.message.key)] {
            if let Some(value) = value {
                out.extend_from_slice(format!(",\"{name}\":").as_bytes());
                answer::string(&String::from_utf8_lossy(value), out);
            }
        }
    }
    out.push(b'}');
}
/// One value for each name, by name; what the broker has for itself is not shown. `station` and `type` are what Tidegate says of a dead letter:
/// a sender's headers of these names are not shown either, whichever way they came, or nobody could believe them.
fn sorted(headers: &Headers) -> Vec<(&str, &[u8])> {
    let senders = |name: &str| !name.starts_with("$memphis") && !name.eq_ignore_ascii_case("station") && !name.eq_ignore_ascii_case("type");
    let mut all: Vec<_> = headers.iter().filter(|(name, _)| senders(name)).collect();
    // Where it was given up, and why, as a dead-letter station said it.
    if let Some(station) = headers.get("tidegate-dead-stream") {
        let why: &[u8] = match headers.get("tidegate-dead-reason") {
            Some(b"schema") => b"failed_schema",
            _ => b"unacked",
        };
        all.extend([("station", station), ("type", why)]);
    }
    // Stable: of several the first stays the first.
    all.sort_by_key(|(name, _)| *name);
    all.dedup_by_key(|(name, _)| *name);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_core::{message::Message, topic::Topic};

    fn read(text: &str) -> std::result::Result<Wanted, &'static str> {
        Wanted::read("application/json; charset=utf-8", text.as_bytes())
    }
    #[test]
    fn defaults_and_bounds() {
        let wanted = read("{\"consumer_name\":\"c\"}").unwrap();
        assert_eq!((wanted.group.as_str(), wanted.size, wanted.wait), ("rest-gateway", 10, WAIT));
        let wanted = read("{\"consumer_name\":\"c\",\"consumer_group\":\"G\",\"batch_size\":5000,\"batch_max_wait_time_ms\":100}").unwrap();
        assert_eq!((wanted.group.as_str(), wanted.size), ("g-rest-gateway", 5000));
        assert_eq!(wanted.wait, Duration::from_millis(100));
        let size = "Batch size can not be greater than 5000 or less than 1";
        for (text, why) in [
            ("{\"consumer_name\":\"c\",\"batch_size\":5001}", size),
            ("{\"consumer_name\":\"c\",\"batch_size\":-1}", size),
            ("{\"consumer_name\":\"c\",\"batch_size\":\"3\"}", "Invalid request body"),
            ("{\"consumer_name\":7}", "Invalid request body"),
            ("{\"consumer_name\":\"c\",\"encoding\":\"hex\"}", "Invalid request body"),
            ("{\"consumer_name\":\"c\",\"include\":[\"all\"]}", "Invalid request body"),
            ("", "Invalid request body"),
            ("[]", "Invalid request body"),
            ("{}", "Consumer name is required"),
            (
                "{\"consumer_name\":\"c\",\"consumer_group\":\"$api/x\"}",
                "Only alphanumeric and the '_', '-', '.' characters are allowed in consumer group",
            ),
        ] {
            assert_eq!(read(text).unwrap_err(), why, "{text}");
        }
        assert_eq!(
            Wanted::read("application/x-www-form-urlencoded", b"consumer_name=c").unwrap_err(),
            "Consumer name is required"
        );
        assert_eq!(Wanted::read("", b"{\"consumer_name\":\"c\"}").unwrap_err(), "Invalid request body");
    }
    fn written(payload: &'static [u8], wish: &str) -> String {
        let mut headers = Headers::EMPTY.edit();
        for (name, value) in [("x-b", "1"), ("x-a", "2"), ("x-b", "3"), ("$memphis_producedBy", "me")] {
            headers.push(name, value.as_bytes()).unwrap();
        }
        let message = Message {
            headers: headers.build(),
            id: Some("i".into()),
            at: 1_795_255_200_000_000,
            ..Message::new(Topic::from_static("t"), payload)
        };
        let item = Received {
            message: Arc::new(message),
            position: Some("3.7".parse().unwrap()),
            attempt: 2,
            slot: 0,
            metadata: Headers::EMPTY,
        };
        let mut out = Vec::new();
        write(&item, &read(wish).unwrap(), &mut Rfc3339::default(), &mut out);
        String::from_utf8(out).unwrap()
    }
    #[test]
    fn items_as_they_were_and_bytes_that_are_no_text() {
        let plain = "{\"consumer_name\":\"c\"}";
        assert_eq!(
            written(b"{\"a\":\"<\"}", plain),
            r#"{"message":"{\"a\":\"\u003c\"}","headers":{"x-a":"2","x-b":"1"}}"#
        );
        assert_eq!(
            written(b"\xff\x00\x01", plain),
            r#"{"message":"/wAB","headers":{"x-a":"2","x-b":"1"},"encoding":"base64"}"#
        );
        let all = "{\"consumer_name\":\"c\",\"encoding\":\"base64\",\"include\":[\"metadata\"]}";
        assert_eq!(
            written(b"a", all),
            r#"{"message":"YQ==","headers":{"x-a":"2","x-b":"1"},"encoding":"base64","attempt":2,"position":"3.7","time":"2026-11-21T10:00:00.000000Z","id":"i"}"#
        );
    }
    #[test]
    fn only_tidegate_says_where_a_message_was_given_up() {
        let of = |fields: &[(&str, &str)]| {
            let mut headers = Headers::EMPTY.edit();
            for (name, value) in fields {
                headers.push(name, value.as_bytes()).unwrap();
            }
            let headers = headers.build();
            let text = |(name, value): (&str, &[u8])| (name.to_owned(), String::from_utf8(value.to_vec()).unwrap());
            sorted(&headers).into_iter().map(text).collect::<Vec<_>>()
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let lies = [("type", "unacked"), ("Station", "other"), ("station", "other"), ("x-a", "1")];
        assert_eq!(of(&lies), [pair("x-a", "1")]);
        let dead = [("tidegate-dead-reason", "schema"), ("tidegate-dead-stream", "st")];
        let mut said = vec![pair("station", "st")];
        said.extend(dead.map(|(name, value)| pair(name, value)));
        said.extend([pair("type", "failed_schema"), pair("x-a", "1")]);
        assert_eq!(of(&[&lies[..], &dead[..]].concat()), said);
    }
}
