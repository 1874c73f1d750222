//! What a client of the subprotocol says: one JSON object per text message.
use super::worker::Join;
use crate::http::{
    batch::{Said, Stamp, Values, without_place},
    pull, query,
    settle::{self, Members},
};
use bytes::Bytes;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;
use std::{borrow::Cow, collections::BTreeMap};
use tidegate_core::{
    endpoint::Start,
    error::{Code, Error, Result},
    message::Message,
    receipt::Level,
};
use tidegate_gateway::leases::Settlement;

/// The longest `ref`, as it stands there.
const LONGEST_REFERENCE: usize = 256;
/// More credit than anybody can use.
pub(in crate::http) const MOST_CREDIT: u32 = 1_000_000;

/// One wish.
pub(super) enum Word {
    Publish(Box<Message>, Option<Level>, Option<u32>),
    Subscribe(Start, Option<u32>),
    Join(Join),
    Credit(u32),
    Settle(Vec<Settlement<'static>>),
}
/// A count in JSON. Other numbers are refused by name, not by how a computer keeps them.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "serde_json::Number")]
struct Count(u32);
impl TryFrom<serde_json::Number> for Count {
    type Error = String;
    fn try_from(number: serde_json::Number) -> std::result::Result<Self, String> {
        let count = number.as_u64().and_then(|number| u32::try_from(number).ok());
        count
            .map(Self)
            .ok_or_else(|| format!("{number} is no whole number from 0 to {}", u32::MAX))
    }
}
/// What is echoed so that the client knows which of its messages is meant: JSON, as it came.
pub(in crate::http) type Reference = Option<Box<str>>;

#[derive(Deserialize)]
struct Op<'a> {
    #[serde(borrow)]
    op: Cow<'a, str>,
    #[serde(borrow, rename = "ref")]
    reference: Option<&'a RawValue>,
}
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Publish<'a> {
    #[serde(rename = "op")]
    _op: IgnoredAny,
    #[serde(default, rename = "ref")]
    _reference: IgnoredAny,
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
    ack: Option<Cow<'a, str>>,
    partition: Option<Count>,
    #[serde(borrow)]
    ttl: Option<Cow<'a, str>>,
    #[serde(borrow)]
    delay: Option<Cow<'a, str>>,
}
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Subscribe<'a> {
    #[serde(rename = "op")]
    _op: IgnoredAny,
    #[serde(default, rename = "ref")]
    _reference: IgnoredAny,
    #[serde(borrow)]
    from: Option<Cow<'a, str>>,
    #[serde(borrow)]
    cursor: Option<Cow<'a, str>>,
    #[serde(borrow)]
    group: Option<Cow<'a, str>>,
    credit: Option<Count>,
}
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credit {
    #[serde(rename = "op")]
    _op: IgnoredAny,
    #[serde(default, rename = "ref")]
    _reference: IgnoredAny,
    n: Count,
}

/// Reads one message; the reference comes back whatever became of the rest.
pub(super) fn parse(text: &Bytes, stamp: &Stamp) -> (Reference, Result<Word>) {
    let op = match read::<Op<'_>>(text, "a JSON object with `op`") {
        Ok(op) => op,
        Err(error) => return (None, Err(error)),
    };
    let reference = op.reference.map(RawValue::get);
    if let Some(long) = reference.filter(|text| text.len() > LONGEST_REFERENCE) {
        let error = wrong(format!("a `ref` of {} bytes, at most {LONGEST_REFERENCE} are allowed", long.len()));
        return (None, Err(error));
    }
    (reference.map(Into::into), word(&op.op, text, stamp))
}
fn word(op: &str, text: &Bytes, stamp: &Stamp) -> Result<Word> {
    match op {
        "publish" => publish(text, stamp),
        "subscribe" => subscribe(text),
        "credit" => {
            let Credit { n, .. } = read(text, "`{\"op\":\"credit\",\"n\":…}`")?;
            credit(n).map(Word::Credit)
        }
        "settle" => {
            let members: Members<'_> = read(text, "`{\"op\":\"settle\",\"ack\":[…]}`")?;
            let settlements = settle::parse(&members, &["op", "ref"]).map_err(wrong)?;
            Ok(Word::Settle(settlements.into_iter().map(Settlement::into_owned).collect()))
        }
        other => Err(wrong(format!(
            "`{}` is no op: expected `publish`, `subscribe`, `credit` or `settle`",
            other.escape_debug()
        ))),
    }
}
fn publish(text: &Bytes, stamp: &Stamp) -> Result<Word> {
    let publish: Publish<'_> = read(text, "`{\"op\":\"publish\",\"payload\":…}`")?;
    let level = publish.ack.map(|word| {
        Level::parse(&word).ok_or_else(|| {
            wrong(format!(
                "`ack` is `{}`: expected `accepted`, `delivered`, `stored` or `replicated`",
                word.escape_debug()
            ))
        })
    });
    if publish.key.is_some() && publish.partition.is_some() {
        return Err(wrong("`key` and `partition` exclude each other"));
    }
    let said = Said {
        ttl: publish.ttl,
        delay: publish.delay,
        payload: publish.payload,
        encoding: publish.encoding,
        key: publish.key,
        id: publish.id,
        headers: publish.headers,
    };
    let message = said.message("", 0, text, stamp)?;
    Ok(Word::Publish(
        Box::new(message),
        level.transpose()?,
        publish.partition.map(|count| count.0),
    ))
}
fn subscribe(text: &Bytes) -> Result<Word> {
    let subscribe: Subscribe<'_> = read(text, "`{\"op\":\"subscribe\"}`")?;
    let credit = subscribe.credit.map(credit).transpose()?;
    if let Some(group) = &subscribe.group {
        if subscribe.cursor.is_some() {
            return Err(wrong("`group` and `cursor` exclude each other: a group has a place of its own"));
        }
        return Ok(Word::Join(Join {
            group: pull::group(group).map_err(|error| wrong(error.to_string()))?,
            start: subscribe.from.as_deref().map_or(Ok(Start::Earliest), query::from)?,
            credit,
        }));
    }
    let start = match (&subscribe.from, &subscribe.cursor) {
        (Some(_), Some(_)) => return Err(wrong("`from` and `cursor` exclude each other")),
        (Some(from), None) => query::from(from)?,
        (None, Some(cursor)) if cursor.is_empty() => Start::Earliest,
        (None, Some(cursor)) => Start::After(query::cursor(cursor, "cursor")?),
        (None, None) => Start::Latest,
    };
    Ok(Word::Subscribe(start, credit))
}
fn credit(Count(n): Count) -> Result<u32> {
    if n <= MOST_CREDIT {
        return Ok(n);
    }
    Err(wrong(format!("a credit of {n}, at most {MOST_CREDIT} are allowed")))
}
fn read<'a, T: Deserialize<'a>>(text: &'a [u8], expected: &str) -> Result<T> {
    serde_json::from_slice(text).map_err(|error| {
        // Of what is no object at all the parser guesses what it could have become.
        if text.trim_ascii_start().starts_with(b"{") {
            wrong(format!("expected {expected}: {}", without_place(&error)))
        } else {
            wrong(format!("expected {expected}"))
        }
    })
}
fn wrong(text: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::client(Code::BadFrame, text).with_hint("docs/guide/websocket.md has every message")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_core::{headers::Headers, topic::Topic};

    fn parsed(text: &'static str) -> (Reference, Result<Word>) {
        let stamp = Stamp {
            topic: Topic::from_static("t"),
            key: None,
            id: None,
            headers: Headers::EMPTY,
            times: crate::http::timing::Times::default(),
        };
        parse(&Bytes::from_static(text.as_bytes()), &stamp)
    }
    #[test]
    fn every_op_is_understood() {
        let (reference, word) =
            parsed(r#"{"op":"publish","ref":7,"payload":{"a":1},"key":"k","id":"i","headers":{"x":"y"},"ack":"stored"}"#);
        assert_eq!(reference.as_deref(), Some("7"));
        let Ok(Word::Publish(message, Some(Level::Stored), None)) = word else {
            panic!()
        };
        assert_eq!(&message.payload[..], b"{\"a\":1}");
        assert_eq!((message.key.as_deref(), message.id.as_deref()), (Some(&b"k"[..]), Some(&b"i"[..])));
        assert_eq!(message.headers.get("x"), Some(&b"y"[..]));
        assert!(matches!(
            parsed(r#"{"op":"subscribe"}"#).1,
            Ok(Word::Subscribe(Start::Latest, None))
        ));
        let (_, from) = parsed(r#"{"op":"subscribe","from":"earliest","credit":3}"#);
        assert!(matches!(from, Ok(Word::Subscribe(Start::Earliest, Some(3)))));
        let (_, after) = parsed(r#"{"op":"subscribe","cursor":"7.3"}"#);
        assert!(matches!(after, Ok(Word::Subscribe(Start::After(_), None))));
        assert!(matches!(parsed(r#"{"op":"credit","n":5}"#).1, Ok(Word::Credit(5))));
        let Ok(Word::Join(join)) = parsed(r#"{"op":"subscribe","group":"workers","credit":8}"#).1 else {
            panic!()
        };
        assert_eq!(
            (join.group.as_str(), join.start, join.credit),
            ("workers", Start::Earliest, Some(8))
        );
        let (reference, settled) = parsed(r#"{"op":"settle","ref":1,"ack":["a"],"nack":[{"lease":"b","delay":"5s"}]}"#);
        let Ok(Word::Settle(settled)) = settled else { panic!() };
        assert_eq!((reference.as_deref(), settled.len()), (Some("1"), 2));
        let (_, timed) = parsed(r#"{"op":"publish","payload":1,"ttl":"10s","delay":"5s"}"#);
        let Ok(Word::Publish(timed, ..)) = timed else { panic!() };
        let timing = timed.timing.unwrap();
        assert_eq!(timing.expires.unwrap() - timing.due.unwrap(), 5_000_000);
    }
    #[test]
    fn what_is_wrong_is_told_with_its_reference() {
        for (text, code) in [
            ("[]", Code::BadFrame),
            ("{", Code::BadFrame),
            (r#"{"ref":"r"}"#, Code::BadFrame),
            (r#"{"op":"publsh","ref":"r"}"#, Code::BadFrame),
            (r#"{"op":"publish","ref":"r"}"#, Code::BadFrame),
            (r#"{"op":"publish","ref":"r","payload":1,"colour":2}"#, Code::BadFrame),
            (r#"{"op":"publish","ref":"r","payload":1,"ack":"sure"}"#, Code::BadFrame),
            (r#"{"op":"publish","ref":"r","payload":1,"key":"k","partition":0}"#, Code::BadFrame),
            (r#"{"op":"publish","ref":"r","payload":1,"encoding":"base64"}"#, Code::BadItem),
            (r#"{"op":"publish","ref":"r","payload":1,"ttl":"1w"}"#, Code::BadItem),
            (
                r#"{"op":"publish","ref":"r","payload":1,"headers":{"authorization":"x"}}"#,
                Code::BadItem,
            ),
            (r#"{"op":"subscribe","ref":"r","group":"a/b"}"#, Code::BadFrame),
            (r#"{"op":"subscribe","ref":"r","group":"$api"}"#, Code::BadFrame),
            (r#"{"op":"subscribe","ref":"r","group":"g","cursor":"7.3"}"#, Code::BadFrame),
            (r#"{"op":"subscribe","ref":"r","from":"earliest","cursor":"1"}"#, Code::BadFrame),
            (r#"{"op":"subscribe","ref":"r","cursor":"abc"}"#, Code::BadCursor),
            (r#"{"op":"subscribe","ref":"r","from":"tomorrow"}"#, Code::BadQuery),
            (r#"{"op":"credit","ref":"r","n":-1}"#, Code::BadFrame),
            (r#"{"op":"credit","ref":"r","n":1.5}"#, Code::BadFrame),
            (r#"{"op":"publish","ref":"r","payload":1,"partition":4294967296}"#, Code::BadFrame),
            (r#"{"op":"credit","ref":"r","n":2000000}"#, Code::BadFrame),
            (r#"{"op":"settle","ref":"r"}"#, Code::BadFrame),
        ] {
            let (reference, word) = parsed(text);
            let error = word.err().unwrap_or_else(|| panic!("{text}"));
            assert_eq!(error.code(), code, "{text}: {error}");
            assert_eq!(reference.is_some(), text.contains("\"op\""), "{text}");
        }
        for (text, told) in [
            ("nojson", "expected a JSON object with `op`"),
            (" []", "expected a JSON object with `op`"),
            ("{", "expected a JSON object with `op`: it ends too early"),
        ] {
            assert_eq!(parsed(text).1.err().map(|error| error.to_string()).as_deref(), Some(told), "{text}");
        }
        let (_, word) = parsed(r#"{"op":"credit","n":-1}"#);
        let error = word.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("-1 is no whole number from 0 to 4294967295"), "{error}");
        let long = format!("{{\"op\":\"credit\",\"n\":1,\"ref\":\"{}\"}}", "r".repeat(300));
        let (reference, word) = parsed(long.leak());
        assert!(reference.is_none() && word.is_err());
    }
}
