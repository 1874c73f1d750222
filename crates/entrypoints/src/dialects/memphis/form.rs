//! A body as named values: JSON, a form, or a form in parts. Names are taken in any case and with or without underscores.
use crate::http::settle::Members;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Fields of a form; more are nobody's login.
const MOST: usize = 64;

/// What the body says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind<'h> {
    Json,
    Form,
    /// With its boundary.
    Parts(&'h str),
}
impl<'h> Kind<'h> {
    pub(super) fn of(content_type: &'h str) -> Option<Self> {
        let (essence, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
        let essence = essence.trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/json" => Some(Self::Json),
            _ if essence.starts_with("application/") && essence.ends_with("+json") => Some(Self::Json),
            "application/x-www-form-urlencoded" => Some(Self::Form),
            "multipart/form-data" => {
                let mut named = parameters.split(';').filter_map(|one| one.split_once('='));
                let (_, boundary) = named.find(|(name, _)| name.trim().eq_ignore_ascii_case("boundary"))?;
                let boundary = boundary.trim().trim_matches('"');
                (!boundary.is_empty()).then_some(Self::Parts(boundary))
            }
            _ => None,
        }
    }
}
/// Values with their names, in the order they came.
pub(super) struct Fields<'b>(Vec<(String, Value<'b>)>);
enum Value<'b> {
    Json(&'b RawValue),
    Text(Cow<'b, str>),
}
impl<'b> Fields<'b> {
    /// `None`: it is not what it says.
    pub(super) fn read(kind: Kind<'_>, body: &'b [u8]) -> Option<Self> {
        let fields = match kind {
            Kind::Json => {
                // Go's decoder takes `null` for an object without members.
                let members: Option<Members<'b>> = serde_json::from_slice(body).ok()?;
                let members = members.map_or(Vec::new(), |members| members.0);
                members
                    .into_iter()
                    .map(|(name, value)| (plain(&name), Value::Json(value)))
                    .collect()
            }
            Kind::Form => pairs(body)?,
            Kind::Parts(boundary) => parts(body, boundary)?,
        };
        Some(Self(fields))
    }
    /// `Ok("")` when it is absent; of several the last counts.
    pub(super) fn text(&self, name: &str) -> Result<Cow<'_, str>, Wrong> {
        match self.last(name) {
            None => Ok(Cow::Borrowed("")),
            Some(Value::Text(text)) => Ok(Cow::Borrowed(text)),
            Some(Value::Json(value)) => {
                let text: Option<String> = serde_json::from_str(value.get()).map_err(|_| Wrong)?;
                Ok(text.unwrap_or_default().into())
            }
        }
    }
    /// A whole number; 0 when it is absent.
    pub(super) fn number(&self, name: &str) -> Result<i64, Wrong> {
        match self.last(name) {
            None => Ok(0),
            Some(Value::Text(text)) if text.is_empty() => Ok(0),
            Some(Value::Text(text)) => text.parse().map_err(|_| Wrong),
            Some(Value::Json(value)) => {
                let number: Option<i64> = serde_json::from_str(value.get()).map_err(|_| Wrong)?;
                Ok(number.unwrap_or_default())
            }
        }
    }
    /// Any number, which nobody looks at.
    pub(super) fn any_number(&self, name: &str) -> Result<(), Wrong> {
        match self.last(name) {
            None => Ok(()),
            Some(Value::Text(text)) if text.is_empty() => Ok(()),
            Some(Value::Text(text)) => text.parse::<f64>().map(drop).map_err(|_| Wrong),
            Some(Value::Json(value)) => serde_json::from_str::<Option<f64>>(value.get()).map(drop).map_err(|_| Wrong),
        }
    }
    /// Words of a list; none when it is absent.
    pub(super) fn words(&self, name: &str) -> Result<Vec<String>, Wrong> {
        match self.last(name) {
            None => Ok(Vec::new()),
            Some(Value::Text(text)) => Ok(text.split(',').map(str::to_owned).collect()),
            Some(Value::Json(value)) => {
                let words: Option<Vec<String>> = serde_json::from_str(value.get()).map_err(|_| Wrong)?;
                Ok(words.unwrap_or_default())
            }
        }
    }
    fn last(&self, name: &str) -> Option<&Value<'b>> {
        let name = plain(name);
        self.0.iter().rev().find(|(found, _)| *found == name).map(|(_, value)| value)
    }
}
/// A value is not what its name asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wrong;

fn plain(name: &str) -> String {
    name.chars().filter(|c| *c != '_').map(|c| c.to_ascii_lowercase()).collect()
}
fn pairs(body: &[u8]) -> Option<Vec<(String, Value<'_>)>> {
    let text = simdutf8::basic::from_utf8(body).ok()?;
    let mut fields = Vec::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        if fields.len() == MOST {
            return None;
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        fields.push((plain(&decoded(name)?), Value::Text(decoded(value)?)));
    }
    Some(fields)
}
/// `+` is a space, `%41` a byte; a `%` that begins nothing stays. `None`: it is no text then.
pub(super) fn decoded(text: &str) -> Option<Cow<'_, str>> {
    if memchr::memchr2(b'%', b'+', text.as_bytes()).is_none() {
        return Some(text.into());
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        let byte = match (first, tail) {
            (b'+', _) => b' ',
            (b'%', [high, low, after @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    rest = after;
                    (high * 16 + low) as u8
                }
                _ => b'%',
            },
            (first, _) => *first,
        };
        bytes.push(byte);
    }
    String::from_utf8(bytes).ok().map(Cow::from)
}
/// RFC 7578: parts apart by a line with the boundary, each with a head that names it.
fn parts<'b>(body: &'b [u8], boundary: &str) -> Option<Vec<(String, Value<'b>)>> {
    let text = simdutf8::basic::from_utf8(body).ok()?;
    let line = format!("--{boundary}");
    let mut rest = text.strip_prefix(line.as_str()).or_else(|| {
        let at = text.find(&format!("\r\n{line}"))?;
        text.get(at + 2 + line.len()..)
    })?;
    let mut fields = Vec::new();
    let end = format!("\r\n{line}");
    while !rest.starts_with("--") {
        if fields.len() == MOST {
            return None;
        }
        let part = rest.strip_prefix("\r\n")?;
        let at = part.find(&end)?;
        let (head, value) = part.get(..at)?.split_once("\r\n\r\n")?;
        if let Some(name) = name_of(head) {
            fields.push((plain(name), Value::Text(value.into())));
        }
        rest = part.get(at + end.len()..)?;
    }
    Some(fields)
}
fn name_of(head: &str) -> Option<&str> {
    let mut lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
    let (_, value) = lines.find(|(name, _)| name.eq_ignore_ascii_case("content-disposition"))?;
    let mut named = value.split(';').filter_map(|one| one.split_once('='));
    let (_, name) = named.find(|(name, _)| name.trim().eq_ignore_ascii_case("name"))?;
    Some(name.trim().trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<'b>(content_type: &str, body: &'b str) -> Option<Fields<'b>> {
        Fields::read(Kind::of(content_type)?, body.as_bytes())
    }
    #[test]
    fn three_forms_say_the_same() {
        let parts = "--b\r\nContent-Disposition: form-data; name=\"username\"\r\n\r\nroot\r\n--b\r\nContent-Disposition: form-data; name=\"token_expiry_in_minutes\"\r\n\r\n7\r\n--b--\r\n";
        for (content_type, body) in [
            ("application/json", "{\"username\": \"root\", \"token_expiry_in_minutes\": 7}"),
            (
                "application/JSON; charset=utf-8",
                "{\"Username\":\"x\",\"USERNAME\":\"root\",\"tokenexpiryinminutes\":7}",
            ),
            (
                "application/vnd.x+json",
                "{\"username\":\"root\",\"token_expiry_in_minutes\":7,\"other\":[]}",
            ),
            ("application/x-www-form-urlencoded", "username=ro%6ft&Token_Expiry_In_Minutes=7&x"),
            ("multipart/form-data; boundary=b", parts),
            ("multipart/form-data; boundary=\"b\"", parts),
        ] {
            let fields = read(content_type, body).unwrap();
            assert_eq!(fields.text("username").unwrap(), "root", "{content_type}");
            assert_eq!(fields.number("token_expiry_in_minutes"), Ok(7), "{content_type}");
            assert_eq!(fields.text("password").unwrap(), "");
            assert_eq!(fields.number("account_id"), Ok(0));
        }
    }
    #[test]
    fn what_is_not_what_it_says_is_told() {
        for (content_type, body) in [
            ("", "{}"),
            ("text/plain", "{}"),
            ("application/xml", "<a/>"),
            ("multipart/form-data", "--b--"),
            ("application/json", ""),
            ("application/json", "[]"),
            ("application/json", "{\"a\":1"),
            ("application/json", "username=root"),
            ("multipart/form-data; boundary=b", "--b\r\nx"),
            ("application/x-www-form-urlencoded", "a=%ff"),
        ] {
            assert!(read(content_type, body).is_none(), "{content_type}: {body}");
        }
        let fields = read("application/json", "{\"username\":7,\"account_id\":\"1\",\"n\":1.5,\"big\":1e30}").unwrap();
        assert_eq!(fields.text("username"), Err(Wrong));
        assert_eq!(fields.any_number("account_id"), Err(Wrong));
        assert_eq!(fields.number("n"), Err(Wrong));
        assert_eq!((fields.any_number("n"), fields.any_number("big")), (Ok(()), Ok(())));
        assert!(read("application/json", " null ").unwrap().text("username").unwrap().is_empty());
        assert_eq!(decoded("a+b%").as_deref(), Some("a b%"));
    }
}
