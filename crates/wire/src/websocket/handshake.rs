//! The opening handshake as the server sees it (RFC 6455, section 4.2; over HTTP/2: RFC 8441).
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use sha1::{Digest, Sha1};

/// What the key is hashed with (section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// A key is 16 bytes in base64 (section 4.1).
const KEY: usize = 24;

/// Whether a request asks for a WebSocket at all: `Upgrade` names it. What else it must say is for [`check`].
pub fn is_asked(headers: &HeaderMap) -> bool {
    names(headers, header::UPGRADE, "websocket")
}
/// Checks the head of a request that asks for a WebSocket. `known` are the subprotocols of the server; the client's order decides among them,
/// and none is chosen if it names none of them. `Host` and `Origin` are for who knows which ones are good.
pub fn check(method: &Method, version: Version, headers: &HeaderMap, known: &[&'static str]) -> Result<Accepted, Refusal> {
    if method != Method::GET {
        return Err(Refusal::Method);
    }
    if version != Version::HTTP_11 {
        return Err(Refusal::Http);
    }
    if !is_asked(headers) {
        return Err(Refusal::Upgrade);
    }
    if !names(headers, header::CONNECTION, "upgrade") {
        return Err(Refusal::Connection);
    }
    let length = headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    if length || headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(Refusal::Body);
    }
    if only(headers, &header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(Refusal::Version);
    }
    let key = only(headers, &header::SEC_WEBSOCKET_KEY).ok_or(Refusal::Key)?;
    Ok(Accepted {
        accept: Some(accept(key.as_bytes()).ok_or(Refusal::Key)?),
        subprotocol: chosen(headers, known),
    })
}
/// The same over HTTP/2, where the method and `:protocol` say what is asked for: there is no key, for nothing else can be meant (RFC 8441, section 5).
pub fn check_http2(headers: &HeaderMap, known: &[&'static str]) -> Result<Accepted, Refusal> {
    if only(headers, &header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(Refusal::Version);
    }
    Ok(Accepted {
        accept: None,
        subprotocol: chosen(headers, known),
    })
}
/// A handshake that is good, and what to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The value of `Sec-WebSocket-Accept`; `None` over HTTP/2.
    pub accept: Option<HeaderValue>,
    /// What both sides speak, if they named anything in common.
    pub subprotocol: Option<&'static str>,
}
impl Accepted {
    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        match self.accept {
            Some(_) => StatusCode::SWITCHING_PROTOCOLS,
            None => StatusCode::OK,
        }
    }
    /// The headers of the answer.
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(4);
        if let Some(accept) = &self.accept {
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept.clone());
        }
        if let Some(subprotocol) = self.subprotocol {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(subprotocol));
        }
        headers
    }
}
/// Why a handshake is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is no GET.
    Method,
    /// It is not HTTP/1.1.
    Http,
    /// `Upgrade` does not name `websocket`.
    Upgrade,
    /// `Connection` does not name `upgrade`.
    Connection,
    /// It has a body: where that ends and frames begin would be a matter of opinion.
    Body,
    /// `Sec-WebSocket-Version` is not 13, or not there once.
    Version,
    /// `Sec-WebSocket-Key` is not 16 bytes in base64, or not there once.
    Key,
}
impl Refusal {
    /// The status of the answer.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Upgrade | Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::Http | Self::Connection | Self::Body | Self::Key => StatusCode::BAD_REQUEST,
        }
    }
    /// What the answer must say so that the client can do better (section 4.4; RFC 9110, sections 15.5.6 and 15.5.22).
    pub fn headers(self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        match self {
            Self::Method => {
                headers.insert(header::ALLOW, HeaderValue::from_static("GET"));
            }
            Self::Upgrade | Self::Version => {
                headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
                headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            Self::Http | Self::Connection | Self::Body | Self::Key => {}
        }
        headers
    }
    /// In words.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Method => "a WebSocket is opened by GET",
            Self::Http => "a WebSocket is opened over HTTP/1.1",
            Self::Upgrade => "`Upgrade` does not name `websocket`",
            Self::Connection => "`Connection` does not name `upgrade`",
            Self::Body => "a WebSocket is opened by a request without a body",
            Self::Version => "`Sec-WebSocket-Version` must be 13",
            Self::Key => "`Sec-WebSocket-Key` must be 16 bytes in base64",
        }
    }
}
/// The value, if there is one and no other.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then_some(value)
}
/// The elements of a list that may be spread over several fields (RFC 9110, section 5.6.1).
fn elements(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(|element| element.trim_matches([' ', '\t']))
}
fn names(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    elements(headers, name).any(|element| element.eq_ignore_ascii_case(token))
}
fn chosen(headers: &HeaderMap, known: &[&'static str]) -> Option<&'static str> {
    elements(headers, header::SEC_WEBSOCKET_PROTOCOL).find_map(|wanted| known.iter().find(|name| **name == wanted).copied())
}
/// `None` if it is no key.
fn accept(key: &[u8]) -> Option<HeaderValue> {
    let mut decoded = [0_u8; KEY];
    let out = base64_simd::Out::from_slice(decoded.get_mut(..key.len())?);
    if key.len() != KEY || base64_simd::STANDARD.decode(key, out).ok()?.len() != 16 {
        return None;
    }
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    HeaderValue::try_from(base64_simd::STANDARD.encode_to_string(digest)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &[(&str, &str)] = &[
        ("host", "server.example.com"),
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
    ];
    const KNOWN: &[&str] = &["tidegate.v1.json"];

    fn map(pairs: &[(&str, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let mut headers = HeaderMap::new();
        pairs.for_each(|(name, value): (HeaderName, HeaderValue)| {
            headers.append(name, value);
        });
        headers
    }
    fn checked(headers: &HeaderMap) -> Result<Accepted, Refusal> {
        check(&Method::GET, Version::HTTP_11, headers, KNOWN)
    }
    #[test]
    fn the_example_of_the_rfc_is_accepted() {
        let accepted = checked(&map(GOOD)).unwrap();
        assert_eq!(accepted.accept.as_ref().unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(accepted.subprotocol, None);
        let expected = map(&[
            ("upgrade", "websocket"),
            ("connection", "Upgrade"),
            ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ]);
        assert_eq!(accepted.headers(), expected);
    }
    #[test]
    fn each_thing_missing_or_wrong_is_refused() {
        let rows: &[(&str, &[&str], Refusal)] = &[
            ("upgrade", &[], Refusal::Upgrade),
            ("upgrade", &["h2c"], Refusal::Upgrade),
            ("upgrade", &["websockets"], Refusal::Upgrade),
            ("connection", &[], Refusal::Connection),
            ("connection", &["keep-alive"], Refusal::Connection),
            ("content-length", &["5"], Refusal::Body),
            ("transfer-encoding", &["chunked"], Refusal::Body),
            ("sec-websocket-version", &[], Refusal::Version),
            ("sec-websocket-version", &["8"], Refusal::Version),
            ("sec-websocket-version", &["13, 8"], Refusal::Version),
            ("sec-websocket-version", &["13", "13"], Refusal::Version),
            ("sec-websocket-key", &[], Refusal::Key),
            ("sec-websocket-key", &[""], Refusal::Key),
            ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZQ=="; 2], Refusal::Key),
            ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZQ"], Refusal::Key),
            ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZSE="], Refusal::Key),
            ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZSEh"], Refusal::Key),
            ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25j!Q=="], Refusal::Key),
            ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZSBhbmQgbW9yZQ=="], Refusal::Key),
        ];
        for (name, values, refusal) in rows {
            let kept = GOOD.iter().filter(|(other, _)| other != name).copied();
            let pairs: Vec<_> = kept.chain(values.iter().map(|value| (*name, *value))).collect();
            assert_eq!(checked(&map(&pairs)), Err(*refusal), "{name}: {values:?}");
            assert!(refusal.status().is_client_error() && !refusal.reason().is_empty());
        }
        let headers = map(GOOD);
        assert_eq!(check(&Method::POST, Version::HTTP_11, &headers, KNOWN), Err(Refusal::Method));
        assert_eq!(check(&Method::GET, Version::HTTP_10, &headers, KNOWN), Err(Refusal::Http));
        assert_eq!(check(&Method::GET, Version::HTTP_2, &headers, KNOWN), Err(Refusal::Http));
    }
    #[test]
    fn another_version_is_told_which_one_there_is() {
        assert_eq!(Refusal::Version.status(), 426);
        assert_eq!(Refusal::Version.headers()["sec-websocket-version"], "13");
        assert_eq!(Refusal::Method.headers()["allow"], "GET");
    }
    #[test]
    fn tokens_may_stand_in_lists_in_any_case() {
        let mut headers = map(GOOD);
        headers.insert("upgrade", HeaderValue::from_static("h2c, WebSocket"));
        headers.insert("connection", HeaderValue::from_static("keep-alive"));
        headers.append("connection", HeaderValue::from_static(" te ,\tUPGRADE"));
        headers.insert("content-length", HeaderValue::from_static("0"));
        assert!(checked(&headers).is_ok());
    }
    #[test]
    fn the_first_of_the_clients_subprotocols_that_is_known_is_chosen() {
        let rows: &[(&[&str], Option<&str>)] = &[
            (&["tidegate.v1.json"], Some("tidegate.v1.json")),
            (&["chat, tidegate.v1.json"], Some("tidegate.v1.json")),
            (&["b", "a, x"], Some("b")),
            (&["chat"], None),
            (&["TIDEGATE.V1.JSON"], None),
            (&[""], None),
        ];
        for (values, expected) in rows {
            let mut headers = map(GOOD);
            for value in *values {
                headers.append("sec-websocket-protocol", HeaderValue::from_static(value));
            }
            let accepted = check(&Method::GET, Version::HTTP_11, &headers, &["a", "b", "tidegate.v1.json"]).unwrap();
            assert_eq!(accepted.subprotocol, *expected, "{values:?}");
            assert_eq!(accepted.headers().contains_key("sec-websocket-protocol"), expected.is_some());
        }
    }
}
