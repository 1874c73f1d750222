//! The query of a URL. Its values may be secrets: they are shown as `***`, and `***` written again means what was there.
use crate::tree::MASKED;
use serde_json::Value as Json;

/// The parts of `https://crm.example.com/hook?token=a#b`: before the query, the query, behind it.
fn parts(text: &str) -> Option<(&str, &str, &str)> {
    let (scheme, _) = text.split_once("://")?;
    let known = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let (before, rest) = text.split_once('?').filter(|(before, _)| known && !before.contains('#'))?;
    let end = rest.find('#').unwrap_or(rest.len());
    let (query, behind) = rest.split_at(end);
    (!scheme.is_empty() && !query.is_empty()).then_some((before, query, behind))
}
/// What is called, and its value; without a name all of it is value.
fn pair(text: &str) -> (&str, &str) {
    match text.find('=') {
        Some(at) => text.split_at(at + 1),
        None => ("", text),
    }
}
/// Who is called: `https://crm.example.com`.
fn peer(before: &str) -> &str {
    let host = before.find("://").map_or(0, |at| at + 3);
    let end = before.get(host..).and_then(|rest| rest.find('/'));
    before.get(..end.map_or(before.len(), |end| host + end)).unwrap_or(before)
}
fn rewritten(text: &str, value: impl FnMut(&str) -> String) -> Option<String> {
    let (before, query, behind) = parts(text)?;
    let query: Vec<_> = query.split('&').map(value).collect();
    Some(format!("{before}?{}{behind}", query.join("&")))
}
/// For whoever may not see secrets. `None`: it is no URL, or has no query.
pub(crate) fn masked(text: &str) -> Option<String> {
    rewritten(text, |one| format!("{}{MASKED}", pair(one).0))
}
/// With what was there in the place of each `***`, by its name. Only where the same host is called: a secret is nobody else's, and who may
/// not see it may not send it elsewhere.
pub fn kept(new: &str, old: &str) -> Option<String> {
    let ((before, ..), (known, had, _)) = (parts(new)?, parts(old)?);
    if peer(before) != peer(known) {
        return None;
    }
    let mut had: Vec<_> = had.split('&').map(pair).collect();
    rewritten(new, |one| {
        let (name, value) = pair(one);
        let there = had.iter().position(|(known, _)| value == MASKED && *known == name);
        there.map_or_else(|| one.to_owned(), |at| format!("{name}{}", had.remove(at).1))
    })
}
/// Whether a `***` is left that stands for nothing.
pub(crate) fn is_masked(text: &str) -> bool {
    parts(text).is_some_and(|(_, query, _)| query.split('&').any(|one| pair(one).1 == MASKED))
}
/// What is under this key, if that is a URL or several, for whoever may not see secrets.
pub(crate) fn mask(key: &str, value: &mut Json) {
    if key == "url" || key == "proxy" || key.ends_with("_url") {
        mask_all(value);
    }
}
fn mask_all(value: &mut Json) {
    match value {
        Json::String(text) => {
            if let Some(masked) = masked(text) {
                *text = masked;
            }
        }
        Json::Array(items) => items.iter_mut().for_each(mask_all),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_hidden_and_names_are_not() {
        for (text, expected) in [
            (
                "https://a.example/x?token=abc&b=1&c#f",
                Some("https://a.example/x?token=***&b=***&***#f"),
            ),
            ("https://a.example?t=a=b?c", Some("https://a.example?t=***")),
            ("kafka://a:1,b:2/t?x=", Some("kafka://a:1,b:2/t?x=***")),
            ("https://a.example/x", None),
            ("https://a.example/x?", None),
            ("https://a.example/x#f?a=b", None),
            ("see https://a.example/x?a=b", None),
            ("/x?a=b", None),
            ("://?a=b", None),
            ("", None),
        ] {
            assert_eq!(masked(text).as_deref(), expected, "{text}");
        }
    }
    #[test]
    fn what_is_written_back_is_what_was_there() {
        let old = "https://a.example/x?token=abc&b=1&c&b=2#f";
        assert_eq!(kept(&masked(old).unwrap(), old).as_deref(), Some(old));
        for (new, expected) in [
            // Another order, another path, a new value, a new name.
            (
                "https://a.example/y?b=***&token=***&b=***",
                Some("https://a.example/y?b=1&token=abc&b=2"),
            ),
            ("https://a.example/x?token=new&b=***", Some("https://a.example/x?token=new&b=1")),
            ("https://a.example/x?other=***", Some("https://a.example/x?other=***")),
            // Elsewhere.
            ("https://a.example.org/x?token=***", None),
            ("http://a.example/x?token=***", None),
            ("https://a.example:8443/x?token=***", None),
            ("https://a.example", None),
        ] {
            assert_eq!(kept(new, old).as_deref(), expected, "{new}");
        }
        assert!(is_masked("https://a.example/x?a=b&other=***") && is_masked("https://a.example?***"));
        assert!(!is_masked(old) && !is_masked("https://a.example/***?a=***b"));
    }
    #[test]
    fn only_what_is_called_like_a_url_is_looked_at() {
        for (key, hidden) in [
            ("url", true),
            ("token_url", true),
            ("proxy", true),
            ("description", false),
            ("$ref", false),
        ] {
            let mut value = json!(["https://a.example/x?a=b", 7]);
            mask(key, &mut value);
            assert_eq!(value[0] == "https://a.example/x?a=***", hidden, "{key}");
        }
    }
}
