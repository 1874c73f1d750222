//! What is wrong with JSON, in the words of the API: the parser's own words are those of its language, and quote whole payloads.
use serde_json::value::RawValue;
use std::{borrow::Cow, collections::BTreeMap};

/// What a parser says, without the place, which lies inside the part it was given and not in what the client sent.
pub(in crate::http) fn told(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
    let found = ["invalid type: ", "invalid value: ", "invalid length "]
        .iter()
        .find_map(|start| text.strip_prefix(start));
    if let Some((found, expected)) = found.and_then(|rest| rest.rsplit_once(", expected ")) {
        return format!("{} instead of {}", kind(found), kind(expected));
    }
    if let Some(name) = text.strip_prefix("missing field ") {
        return format!("{name} is missing");
    }
    if let Some(name) = text.strip_prefix("duplicate field ") {
        return format!("{name} is there twice");
    }
    if let Some(rest) = text.strip_prefix("unknown field ") {
        return format!("unknown member {rest}");
    }
    match text {
        text if text.starts_with("EOF while parsing") => "it ends too early",
        text if text.starts_with("control character") => "a control character in a string",
        text if text.contains("surrogate") || text.contains("hex escape") => "half a character in a string",
        text if text.starts_with("data did not match any variant") => "a header that is neither a string nor a list of strings",
        "expected value" => "expected a value",
        "expected ident" => "expected `true`, `false` or `null`",
        "recursion limit exceeded" => "it is nested too deeply",
        "trailing characters" => "something follows it",
        other => other,
    }
    .to_owned()
}
/// `map`, `struct Item`, ``integer `5` `` and the like.
fn kind(word: &str) -> &'static str {
    let starts = |all: &[&str]| all.iter().any(|start| word.starts_with(start));
    if starts(&["map", "struct", "a map"]) {
        "an object"
    } else if starts(&["sequence", "a sequence", "tuple", "an array"]) {
        "a list"
    } else if starts(&["string", "a string", "a borrowed string", "str"]) {
        "a string"
    } else if starts(&["boolean", "a boolean"]) {
        "`true` or `false`"
    } else if starts(&["null", "unit", "Option"]) {
        "`null`"
    } else if starts(&["u", "i", "usize", "number", "floating point"]) {
        "a number"
    } else {
        "another value"
    }
}
/// What kind of value a text is that parsed.
fn found(raw: &RawValue) -> &'static str {
    match raw.get().as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "`true` or `false`",
        Some(b'n') => "`null`",
        _ => "a number",
    }
}
/// Why an item is none: the member and what was expected there. `error` is what the parser said of all of it.
pub(super) fn item(raw: &RawValue, error: &serde_json::Error) -> String {
    if !raw.get().starts_with('{') {
        return format!("expected an object such as `{{\"payload\":…}}`, not {}", found(raw));
    }
    let members: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
    let mut members = members.iter();
    let wrong = members.find_map(|(name, value)| member(name, value));
    wrong.unwrap_or_else(|| told(error))
}
fn member(name: &str, value: &RawValue) -> Option<String> {
    match name {
        "encoding" | "key" | "id" | "ttl" | "delay" if found(value) != "`null`" => {
            let wrong = serde_json::from_str::<String>(value.get()).err()?;
            Some(match found(value) {
                "a string" => format!("`{name}`: {}", told(&wrong)),
                other => format!("`{name}` must be a string, not {other}"),
            })
        }
        "headers" => {
            let Ok(headers) = serde_json::from_str::<BTreeMap<Cow<'_, str>, &RawValue>>(value.get()) else {
                return Some(format!("`headers` must be an object, not {}", found(value)));
            };
            let mut headers = headers.iter();
            headers.find_map(|(header, value)| {
                serde_json::from_str::<super::Values>(value.get()).err()?;
                let header = header.escape_debug();
                Some(format!(
                    "the header `{header}` must be a string or a list of strings, not {}",
                    found(value)
                ))
            })
        }
        _ => None,
    }
}
