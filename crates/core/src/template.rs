//! Texts with places for what a message says: `${key} ${topic} ${id} ${header:NAME}`. Checked where they are declared, filled in per message.
use crate::message::Message;
use std::fmt;

/// One text, checked.
#[derive(Clone, PartialEq, Eq)]
pub struct Template(Box<[Part]>);
#[derive(Clone, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Key,
    Topic,
    Id,
    Header(Box<str>),
}
impl Template {
    /// `$` that begins no place stands for itself.
    pub fn parse(text: &str) -> Result<Self, BadTemplate> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, place)) = rest.split_once("${") {
            let (name, behind) = place.split_once('}').ok_or(BadTemplate::Open)?;
            if !before.is_empty() {
                parts.push(Part::Text(before.into()));
            }
            parts.push(match name {
                "key" => Part::Key,
                "topic" => Part::Topic,
                "id" => Part::Id,
                _ => match name.strip_prefix("header:").filter(|header| !header.is_empty()) {
                    Some(header) => Part::Header(header.into()),
                    None => return Err(BadTemplate::Unknown(name.into())),
                },
            });
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.into()));
        }
        Ok(Self(parts.into()))
    }
    /// The text, if it is the same for every message.
    pub fn constant(&self) -> Option<&str> {
        match &*self.0 {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }
    /// What it says of a message whose identity is `id`. What the message does not have is left out. `place` writes what comes from the
    /// message, which may be any bytes: it knows what may stand where the text goes.
    pub fn fill(&self, message: &Message, id: &[u8], out: &mut Vec<u8>, place: impl Fn(&[u8], &mut Vec<u8>)) {
        for part in &self.0 {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Key => place(message.key.as_deref().unwrap_or_default(), out),
                Part::Topic => place(message.topic.as_bytes(), out),
                Part::Id => place(id, out),
                Part::Header(name) => place(message.headers.get(name).unwrap_or_default(), out),
            }
        }
    }
}
/// Leaves the text out: a secret may have been filled in.
impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Template(..)")
    }
}
/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadTemplate {
    /// A `${` without its `}`.
    Open,
    /// Nothing of a message has that name.
    Unknown(Box<str>),
}
impl fmt::Display for BadTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("a `${` has no `}`"),
            Self::Unknown(name) => write!(f, "a message has no `{name}`; it has `key`, `topic`, `id` and `header:NAME`"),
        }
    }
}
impl std::error::Error for BadTemplate {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{headers::Headers, topic::Topic};

    fn filled(text: &str) -> String {
        let mut headers = Headers::EMPTY.edit();
        headers.push("X-Team", b"a").unwrap();
        let mut message = Message::new(Topic::from_static("orders/1"), "x");
        message.headers = headers.build();
        message.key = Some("k\n".into());
        let mut out = Vec::new();
        Template::parse(text).unwrap().fill(&message, b"7", &mut out, |value, out| {
            out.extend(value.iter().filter(|byte| **byte != b'\n'));
        });
        String::from_utf8(out).unwrap()
    }
    #[test]
    fn places_are_filled_and_what_is_missing_is_left_out() {
        assert_eq!(filled("${topic}: ${key}/${id} of ${header:x-team}"), "orders/1: k/7 of a");
        assert_eq!(filled("a${header:none}b"), "ab");
        assert_eq!(filled("costs 5$, $key, }"), "costs 5$, $key, }");
    }
    #[test]
    fn what_no_message_has_is_an_error() {
        assert_eq!(Template::parse("${key").unwrap_err(), BadTemplate::Open);
        for name in ["", "keys", "header:", "rest"] {
            assert_eq!(
                Template::parse(&format!("a${{{name}}}")).unwrap_err(),
                BadTemplate::Unknown(name.into()),
                "{name}"
            );
        }
    }
    #[test]
    fn constants_are_known() {
        let constant = |text: &str| Template::parse(text).unwrap().constant().map(str::to_owned);
        assert_eq!(constant(""), Some(String::new()));
        assert_eq!(constant("a"), Some("a".to_owned()));
        assert_eq!(constant("a${key}"), None);
        assert_eq!(format!("{:?}", Template::parse("secret").unwrap()), "Template(..)");
    }
}
