//! Where a caller shows its token: read as laxly as clients write it.
use super::form;
use base64_simd::STANDARD;
use http::{HeaderMap, header};
use std::borrow::Cow;

/// The access token, or an access key as `ID:SECRET`. The first word of the header is not looked at, for clients say `Bearer`, `Bearer:` and
/// others; only `Basic` means what it says. `None`: nobody shows one, or it cannot be told which.
pub(super) fn shown<'r>(headers: &'r HeaderMap, query: Option<&'r str>) -> Option<Cow<'r, str>> {
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    match (fields.next(), fields.next()) {
        (None, _) => in_query(query?),
        // One of them was checked by somebody in front, and nobody knows which.
        (Some(_), Some(_)) => None,
        (Some(field), None) => in_header(field.to_str().ok()?),
    }
}
fn in_header(text: &str) -> Option<Cow<'_, str>> {
    let (word, token) = text.split_once(' ')?;
    if token.is_empty() || token.contains(' ') {
        return None;
    }
    if word.eq_ignore_ascii_case("basic")
        && let Ok(key) = STANDARD.decode_to_vec(token)
        && let Ok(key) = String::from_utf8(key)
        && key.contains(':')
    {
        return Some(key.into());
    }
    Some(token.into())
}
/// For senders that can set no header.
fn in_query(query: &str) -> Option<Cow<'_, str>> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(name, _)| *name == "authorization")?;
    form::decoded(value).filter(|token| !token.is_empty())
}
/// The query without the token, for who reads the rest.
pub(super) fn without(query: &str) -> String {
    let rest = query.split('&').filter(|pair| !pair.starts_with("authorization="));
    rest.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[&str], query: Option<&str>) -> Option<String> {
        let mut map = HeaderMap::new();
        for value in headers {
            map.append(header::AUTHORIZATION, value.parse().unwrap());
        }
        shown(&map, query).map(Cow::into_owned)
    }
    #[test]
    fn any_first_word_and_one_second() {
        for (header, token) in [
            ("Bearer x.y.z", Some("x.y.z")),
            ("Bearer: x.y.z", Some("x.y.z")),
            ("Foo x", Some("x")),
            ("Bearer key:secret", Some("key:secret")),
            ("Basic a2V5OnNlY3JldA==", Some("key:secret")),
            ("basic a2V5OnNlY3JldA==", Some("key:secret")),
            ("Basic x.y.z", Some("x.y.z")),
            ("Basic a2V5", Some("a2V5")),
            ("x.y.z", None),
            ("Bearer", None),
            ("Bearer ", None),
            ("Bearer  x", None),
            ("Bearer x y", None),
            ("", None),
        ] {
            assert_eq!(read(&[header], None).as_deref(), token, "{header}");
        }
    }
    #[test]
    fn two_headers_are_none_and_the_query_counts_only_without_any() {
        assert_eq!(read(&["Bearer x", "Bearer x"], None), None);
        assert_eq!(read(&[], Some("a=b&authorization=x.y%2Bz")).as_deref(), Some("x.y+z"));
        assert_eq!(read(&[], Some("Authorization=x")), None);
        assert_eq!(read(&[], Some("authorization=")), None);
        assert_eq!(read(&["Bearer"], Some("authorization=x")), None);
        assert_eq!(read(&["Bearer y"], Some("authorization=x")).as_deref(), Some("y"));
        assert_eq!(without("include=headers&authorization=x&a=b"), "include=headers&a=b");
    }
}
