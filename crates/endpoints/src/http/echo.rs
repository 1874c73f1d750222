//! A target may answer with what it was sent, as pages for debugging do. What of that is secret is hidden before anybody sees the answer.
use super::{
    attempt::{EXCERPT, HIDDEN},
    connect,
    lines::Answer,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use memchr::memmem;
use tidegate_core::sensitive::Sensitive;
use url::Url;

/// What is shorter stands in answers by chance.
const SHORTEST: usize = 8;
/// The end of an answer that was cut may be the beginning of a secret. So little of it tells nobody anything.
const STUMP: usize = 4;

/// The secrets of a target that stand in its URL, and those its proxy hears: whoever ends the tunnel may say those back.
pub(super) struct Echo(Vec<Vec<u8>>);
impl Echo {
    pub(super) fn new(url: &Url, proxy: Option<&Url>) -> Self {
        let written = url.query().unwrap_or_default().split('&');
        let written = written.filter_map(|pair| Some(pair.split_once('=')?.1.as_bytes().to_vec()));
        let meant = url.query_pairs().map(|(_, value)| value.into_owned().into_bytes());
        let proxy = proxy.into_iter().flat_map(of_proxy);
        let all = written.chain(meant).chain(proxy);
        Self(all.filter(|value| value.len() >= SHORTEST).collect())
    }
    /// Nothing of these requests' headers that is secret is left in their answer.
    pub(super) fn hide<'a>(&'a self, sent: impl Iterator<Item = (&'a str, &'a HeaderValue)>, answer: &mut Answer) {
        let of_headers = sent
            .filter(|(name, value)| value.is_sensitive() || Sensitive::is_hidden(name))
            .flat_map(|(_, value)| {
                // `Bearer` and `Basic` are not what is secret; what follows them may come back without.
                let bare = value.as_bytes().splitn(2, |byte| *byte == b' ').nth(1);
                [Some(value.as_bytes()), bare].into_iter().flatten()
            });
        let mut secrets: Vec<&[u8]> = self.0.iter().map(Vec::as_slice).chain(of_headers).collect();
        secrets.retain(|secret| secret.len() >= SHORTEST);
        if secrets.is_empty() {
            return;
        }
        // Where one holds another, all of it goes.
        secrets.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
        if let Some(body) = without(&answer.body, &secrets, answer.body.len() >= EXCERPT) {
            answer.body = body;
        }
        hide_in(&mut answer.headers, &secrets);
    }
}
/// The password as it is written and as it is meant, both with the user, and what becomes of them in a header.
fn of_proxy(proxy: &Url) -> Vec<Vec<u8>> {
    let (user, password) = (proxy.username(), proxy.password().unwrap_or_default());
    let written = [password.to_owned(), format!("{user}:{password}")];
    let meant = written.iter().map(|text| percent_encoding::percent_decode_str(text).collect());
    let header = connect::authorization(proxy).map(|value| value.trim_start_matches("Basic ").as_bytes().to_vec());
    meant
        .chain(written.iter().map(|text| text.clone().into_bytes()))
        .chain(header)
        .collect()
}
fn hide_in(headers: &mut HeaderMap, secrets: &[&[u8]]) {
    for value in headers.values_mut() {
        if let Some(shown) = without(value.as_bytes(), secrets, false) {
            *value = HeaderValue::from_maybe_shared(shown).unwrap_or(HIDDEN);
        }
    }
}
/// `None`: none of them is in it. `cut`: it may end within one.
fn without(text: &[u8], secrets: &[&[u8]], cut: bool) -> Option<Bytes> {
    let mut shown: Option<Vec<u8>> = None;
    for secret in secrets {
        let now = shown.as_deref().unwrap_or(text);
        let (mut parts, mut rest) = (Vec::new(), 0);
        for at in memmem::find_iter(now, secret) {
            parts.extend_from_slice(now.get(rest..at).unwrap_or_default());
            parts.extend_from_slice(HIDDEN.as_bytes());
            rest = at + secret.len();
        }
        let begun = (STUMP..secret.len())
            .rev()
            .find(|length| secret.get(..*length).is_some_and(|begin| now.ends_with(begin)));
        let stump = begun.filter(|length| cut && now.len() - length >= rest);
        if rest > 0 || stump.is_some() {
            let end = now.len() - stump.unwrap_or_default();
            parts.extend_from_slice(now.get(rest..end).unwrap_or_default());
            if stump.is_some() {
                parts.extend_from_slice(HIDDEN.as_bytes());
            }
            shown = Some(parts);
        }
    }
    shown.map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    fn seen(url: &str, sent: &[(&str, &str)], body: &'static str, header: &'static str) -> (String, String) {
        let values: Vec<_> = sent
            .iter()
            .map(|(name, value)| (*name, HeaderValue::from_str(value).unwrap()))
            .collect();
        let mut answer = Answer {
            status: StatusCode::OK,
            headers: [(http::header::SERVER, HeaderValue::from_static(header))].into_iter().collect(),
            body: Bytes::from_static(body.as_bytes()),
            cut: false,
        };
        let url = url.parse().unwrap();
        let proxy = "http://me:p%40ssword-1@proxy.example:3128".parse().unwrap();
        Echo::new(&url, Some(&proxy)).hide(values.iter().map(|(name, value)| (*name, value)), &mut answer);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (text(&answer.body), text(answer.headers[http::header::SERVER].as_bytes()))
    }
    #[test]
    fn what_was_sent_as_a_secret_is_not_shown_where_it_comes_back() {
        let sent = [
            ("authorization", "Bearer abcdefgh-1"),
            ("x-api-key", "klmnopqrst"),
            ("x-team", "team-rocket"),
        ];
        let url = "http://a.example/?sig=se%63ret%2Ftext&v=1";
        let rows = [
            ("you said Bearer abcdefgh-1!", "you said ***!"),
            ("abcdefgh-1 and abcdefgh-1", "*** and ***"),
            ("{\"x-api-key\":\"klmnopqrst\"}", "{\"x-api-key\":\"***\"}"),
            ("/?sig=se%63ret%2Ftext&v=1", "/?sig=***&v=1"),
            ("sig is secret/text", "sig is ***"),
            ("the proxy heard Basic bWU6cEBzc3dvcmQtMQ==", "the proxy heard Basic ***"),
            ("that is me:p@ssword-1 or p%40ssword-1", "that is *** or ***"),
            ("team-rocket, Bearer of 1", "team-rocket, Bearer of 1"),
            ("it ends with klmnop", "it ends with klmnop"),
            ("klmnopqrst", "***"),
            ("", ""),
        ];
        for (body, shown) in rows {
            assert_eq!(seen(url, &sent, body, "x klmnopqrst y"), (shown.to_owned(), "x *** y".to_owned()));
        }
    }
    #[test]
    fn what_is_cut_does_not_end_with_half_a_secret() {
        let secrets: [&[u8]; 2] = [b"klmnopqrst", b"abcdefgh"];
        for (text, shown) in [
            ("it ends with klmnop", Some("it ends with ***")),
            ("klmnopqrst, abcdefg", Some("***, ***")),
            ("it ends with klm", None),
        ] {
            let now = without(text.as_bytes(), &secrets, true);
            assert_eq!(now.as_deref(), shown.map(str::as_bytes), "{text}");
        }
    }
    #[test]
    fn who_has_no_secrets_sees_everything() {
        let sent = [("x-pin", "1234567"), ("content-type", "application/json")];
        let all = ("1234567 application/json".to_owned(), "1234567".to_owned());
        assert_eq!(
            seen("http://a.example/?v=1234567", &sent, "1234567 application/json", "1234567"),
            all
        );
    }
}
