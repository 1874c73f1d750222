//! What a reader asks for in the URL: `?from=&cursor=&limit=&wait=&include=`.
use super::ticket;
use std::time::Duration;
use tidegate_core::{
    clock,
    endpoint::Start,
    error::{Code, Error, Result},
    position::{Cursor, Position},
};

/// As asked; what is absent is the entrypoint's default.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Query {
    pub(super) from: Option<Start>,
    pub(super) cursor: Option<Cursor>,
    pub(super) limit: Option<u32>,
    pub(super) wait: Option<Duration>,
    pub(super) headers: bool,
    pub(super) metadata: bool,
}
const KNOWN: &[&str] = &["from", "cursor", "limit", "wait", "include", ticket::PARAMETER];

impl Query {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut query = Self::default();
        let mut seen: u8 = 0;
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name)?, decoded(value)?);
            let Some(at) = KNOWN.iter().position(|known| *known == name) else {
                return Err(unknown(&name));
            };
            if seen & 1 << at != 0 {
                return Err(Error::client(Code::BadQuery, format!("`{name}` stands there twice")));
            }
            seen |= 1 << at;
            match name.as_str() {
                "from" => query.from = Some(from(&value)?),
                "cursor" => query.cursor = Some(cursor(&value, "cursor")?),
                "limit" => query.limit = Some(limit(&value)?),
                "wait" => query.wait = Some(wait(&value)?),
                // Looked at before.
                ticket::PARAMETER => {}
                _ => query.include(&value)?,
            }
        }
        if query.from.is_some() && query.cursor.is_some() {
            return Err(Error::client(Code::BadQuery, "`from` and `cursor` exclude each other"));
        }
        Ok(query)
    }
    fn include(&mut self, value: &str) -> Result<()> {
        for word in value.split(',') {
            match word {
                "headers" => self.headers = true,
                "metadata" => self.metadata = true,
                _ => return Err(wrong("include", value, "`headers`, `metadata`, or both with a comma")),
            }
        }
        Ok(())
    }
    /// Where to begin, if the URL says.
    pub(super) fn start(&self) -> Option<Start> {
        let cursor = self.cursor.as_ref().map(|cursor| {
            if cursor.is_empty() {
                Start::Earliest
            } else {
                Start::After(cursor.clone())
            }
        });
        cursor.or_else(|| self.from.clone())
    }
}
/// A cursor or `Last-Event-ID`.
pub(super) fn cursor(text: &str, what: &str) -> Result<Cursor> {
    text.parse().map_err(|_| {
        Error::client(Code::BadCursor, format!("`{}` is no {what}", text.escape_debug()))
            .with_hint("take `next_cursor` or an event's id as it came; they are opaque")
    })
}
/// Where to begin.
pub(super) fn from(value: &str) -> Result<Start> {
    let expected = "`earliest`, `latest`, `last:N`, a duration like `10m`, a time like `2026-11-20T00:00:00Z` or a position";
    match value {
        "earliest" => return Ok(Start::Earliest),
        "latest" => return Ok(Start::Latest),
        _ => {}
    }
    if let Some(count) = value.strip_prefix("last:") {
        let count = digits(count).ok_or_else(|| wrong("from", value, "`last:` and a whole number"))?;
        return Ok(Start::Last(count));
    }
    if let Some(ago) = clock::parse_duration(value) {
        return Ok(Start::Since(
            clock::now_us().saturating_sub(i64::try_from(ago.as_micros()).unwrap_or(i64::MAX)),
        ));
    }
    // A `+` that nobody encoded arrives as a space; no RFC 3339 time ends in one.
    if let Some(time) = clock::parse_rfc3339(value).or_else(|| clock::parse_rfc3339(&value.replace(' ', "+"))) {
        return Ok(Start::Since(time));
    }
    value.parse::<Position>().map(Start::At).map_err(|_| wrong("from", value, expected))
}
fn limit(value: &str) -> Result<u32> {
    let limit = digits(value).filter(|limit| *limit > 0);
    limit
        .map(|limit| u32::try_from(limit).unwrap_or(u32::MAX))
        .ok_or_else(|| wrong("limit", value, "a whole number from 1"))
}
fn wait(value: &str) -> Result<Duration> {
    if value == "0" {
        return Ok(Duration::ZERO);
    }
    clock::parse_duration(value).ok_or_else(|| wrong("wait", value, "a duration like `0`, `500ms` or `5s`"))
}
/// `parse` would also take `+5`.
fn digits(text: &str) -> Option<u64> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().unwrap_or(u64::MAX))
}
fn wrong(name: &str, value: &str, expected: &str) -> Error {
    Error::client(Code::BadQuery, format!("`{name}={}`: expected {expected}", value.escape_debug()))
}
fn unknown(name: &str) -> Error {
    if name == "group" {
        let hint = "workers of a group ask by `POST path/_pull` with `{\"group\":NAME}`, or over WebSocket";
        return Error::client(Code::BadQuery, "`group` is no query parameter").with_hint(hint);
    }
    Error::client(Code::BadQuery, format!("unknown query parameter `{}`", name.escape_debug()))
        .with_hint(format!("known: {}", KNOWN.join(", ")))
}
/// `application/x-www-form-urlencoded`.
fn decoded(text: &str) -> Result<String> {
    let bad = || Error::client(Code::BadQuery, "the query is not percent-encoded UTF-8");
    if !text.contains(['%', '+']) {
        return Ok(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, after @ ..]) => {
                let digit = |byte: u8| char::from(byte).to_digit(16).ok_or_else(bad);
                bytes.push((digit(*high)? * 16 + digit(*low)?) as u8);
                rest = after;
            }
            (b'%', _) => return Err(bad()),
            (byte, _) => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_from() {
        let rows = [
            ("earliest", Start::Earliest),
            ("latest", Start::Latest),
            ("last:10", Start::Last(10)),
            ("42.3-15", Start::At("42.3-15".parse().unwrap())),
            ("15", Start::At("15".parse().unwrap())),
            ("2026-11-21T10:00:00Z", Start::Since(1_795_255_200_000_000)),
            ("2026-11-21T10:00:00%2B00:00", Start::Since(1_795_255_200_000_000)),
            ("2026-11-21T12:00:00+02:00", Start::Since(1_795_255_200_000_000)),
        ];
        for (text, wanted) in rows {
            assert_eq!(Query::parse(&format!("from={text}")).unwrap().from, Some(wanted), "{text}");
        }
        assert!(matches!(Query::parse("from=10m").unwrap().from, Some(Start::Since(at)) if at < clock::now_us()));
        assert_eq!(Query::parse("cursor=").unwrap().start(), Some(Start::Earliest));
    }
    #[test]
    fn refuses_the_rest() {
        let rows = [
            ("from=x", Code::BadQuery),
            ("from=", Code::BadQuery),
            ("from=last:-1", Code::BadQuery),
            ("from=earliest&cursor=1", Code::BadQuery),
            ("cursor=1&cursor=2", Code::BadQuery),
            ("cursor=x", Code::BadCursor),
            ("cursor=1,,%2B2", Code::BadCursor),
            ("limit=0", Code::BadQuery),
            ("limit=+5", Code::BadQuery),
            ("limit=1e3", Code::BadQuery),
            ("wait=5", Code::BadQuery),
            ("include=keys", Code::BadQuery),
            ("form=earliest", Code::BadQuery),
            ("from=%zz", Code::BadQuery),
            ("from=%ff", Code::BadQuery),
        ];
        for (text, code) in rows {
            assert_eq!(Query::parse(text).unwrap_err().code(), code, "{text}");
        }
    }
}
