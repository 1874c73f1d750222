//! What is answered, in the three families that clients parse: `{"message"}` of who is asking, `{"error","success"}` of stations, and text of
//! the HTTP server itself. Keys in alphabetical order, no blanks, no charset, as it was.
use crate::{
    http::{body::Body, problem},
    outcome,
};
use http::{HeaderValue, Response, StatusCode, header};
use std::borrow::Cow;
use tidegate_core::error::{Code, Error, Fault};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Whose words a refusal is told in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// `{"message":…}`
    Message,
    /// `{"error":…,"success":false}`
    Station,
    /// Text.
    Text,
}
/// An answer that is no success.
#[derive(Debug)]
pub(super) struct Refusal {
    family: Family,
    status: StatusCode,
    text: Cow<'static, str>,
    /// What it comes from, for the log and for what is told beside the body.
    pub(super) error: Option<Error>,
    allow: Option<&'static str>,
    /// The body is JSON already.
    raw: Option<Vec<u8>>,
}
pub(super) type Result<T> = std::result::Result<T, Refusal>;

impl Refusal {
    pub(super) fn new(family: Family, status: StatusCode, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            family,
            status,
            text: text.into(),
            error: None,
            allow: None,
            raw: None,
        }
    }
    pub(super) fn text(status: StatusCode, text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Family::Text, status, text)
    }
    pub(super) fn unauthorized() -> Self {
        Self::new(Family::Message, StatusCode::UNAUTHORIZED, "Unauthorized")
    }
    pub(super) fn no_method(allow: &'static str) -> Self {
        Self {
            allow: Some(allow),
            ..Self::text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
        }
    }
    /// JSON of its own.
    pub(super) fn raw(status: StatusCode, json: Vec<u8>) -> Self {
        Self {
            raw: Some(json),
            ..Self::new(Family::Station, status, "")
        }
    }
    /// What is wrong with a request's head or body, before anybody looks into it, in the words of the original's server.
    pub(super) fn of_http(error: Error, family: Family, old: bool) -> Self {
        let words = match error.code() {
            Code::TooLarge => "Request Entity Too Large",
            Code::BodyTimeout => "Request Timeout",
            Code::HeadTooLarge => "Request Header Fields Too Large",
            Code::TargetTooLong => "Request URI Too Long",
            Code::MethodNotAllowed => "Method Not Allowed",
            Code::BadRequest | Code::BadTarget => "Bad Request",
            _ if family == Family::Text => "Bad Request",
            _ => return Self::of(error, family, old),
        };
        Self {
            error: Some(error.again()),
            ..Self::text(outcome::status(error.code()), words)
        }
    }
    /// An error of ours in words of theirs. `old`: what a client did wrong is a 500 there, except a message that does not match its schema.
    pub(super) fn of(error: Error, family: Family, old: bool) -> Self {
        let code = error.code();
        let status = match (code, error.fault()) {
            (Code::SchemaViolation, _) if family == Family::Station => StatusCode::BAD_REQUEST,
            (_, Fault::Client) if old && family == Family::Station => StatusCode::INTERNAL_SERVER_ERROR,
            _ => outcome::status(code),
        };
        let status = if status == StatusCode::UNPROCESSABLE_ENTITY {
            StatusCode::BAD_REQUEST
        } else {
            status
        };
        let mut refusal = match code {
            Code::Unauthorized => Self::unauthorized(),
            Code::TooManyAttempts if family == Family::Message => Self::new(family, status, "Too many failed attempts, try again later"),
            Code::Internal => Self::new(family, status, "Server error"),
            _ => Self::new(family, status, error.to_string()),
        };
        refusal.error = Some(error);
        refusal
    }
    pub(super) fn words(&self) -> &str {
        &self.text
    }
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }
    pub(super) fn into_response(self) -> Response<Body> {
        let mut out = Vec::with_capacity(self.text.len() + 40);
        let content_type = match (self.family, self.raw) {
            (_, Some(json)) => {
                out = json;
                JSON
            }
            (Family::Message, None) => {
                out.extend_from_slice(b"{\"message\":");
                string(&self.text, &mut out);
                out.push(b'}');
                JSON
            }
            (Family::Station, None) => {
                out.extend_from_slice(b"{\"error\":");
                string(&self.text, &mut out);
                out.extend_from_slice(b",\"success\":false}");
                JSON
            }
            (Family::Text, None) => {
                out.extend_from_slice(self.text.as_bytes());
                TEXT
            }
        };
        let mut response = Response::new(Body::full(out));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if let Some(error) = &self.error {
            problem::told(error, headers);
            // Never sent by the original, and a browser would ask its user.
            headers.remove(header::WWW_AUTHENTICATE);
        }
        headers.insert(header::CONTENT_TYPE, content_type);
        if let Some(allow) = self.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}
/// An answer of success.
pub(super) fn json(body: impl Into<bytes::Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}
/// Nothing was there: the path goes back as text, so that no browser takes it for HTML.
pub(super) fn nowhere(method: &http::Method, path: &str) -> Refusal {
    let mut text = format!("Cannot {method} ");
    for c in path.chars() {
        match c {
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '&' => text.push_str("&amp;"),
            '\'' => text.push_str("&#39;"),
            '"' => text.push_str("&#34;"),
            c => text.push(c),
        }
    }
    Refusal::text(StatusCode::NOT_FOUND, text)
}
/// A JSON string as Go writes it: what HTML or a script could take for its own is escaped, too.
pub(super) fn string(text: &str, out: &mut Vec<u8>) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut kept = 0;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let (length, escaped): (usize, Cow<'static, str>) = match byte {
            b'"' => (1, "\\\"".into()),
            b'\\' => (1, "\\\\".into()),
            b'\n' => (1, "\\n".into()),
            b'\r' => (1, "\\r".into()),
            b'\t' => (1, "\\t".into()),
            0..b' ' | b'<' | b'>' | b'&' => (1, format!("\\u{byte:04x}").into()),
            0xe2 if bytes.get(at + 1) == Some(&0x80) && matches!(bytes.get(at + 2), Some(0xa8 | 0xa9)) => {
                let last = bytes.get(at + 2).map_or(0, |byte| byte & 0xf);
                (3, format!("\\u202{last:x}").into())
            }
            _ => {
                at += 1;
                continue;
            }
        };
        out.extend_from_slice(bytes.get(kept..at).unwrap_or_default());
        out.extend_from_slice(escaped.as_bytes());
        at += length;
        kept = at;
    }
    out.extend_from_slice(bytes.get(kept..).unwrap_or_default());
    out.push(b'"');
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use futures::FutureExt;
    use http_body_util::BodyExt;
    use tidegate_core::error::Retry;

    /// Status, content type, body.
    pub(in super::super) fn told(response: Response<Body>) -> (u16, String, String) {
        let status = response.status().as_u16();
        let kind = response
            .headers()
            .get(header::CONTENT_TYPE)
            .map_or("", |value| value.to_str().unwrap())
            .to_owned();
        let body = response.into_body().collect().now_or_never().unwrap().unwrap().to_bytes();
        (status, kind, String::from_utf8(body.to_vec()).unwrap())
    }
    fn of(code: Code, fault: Fault, family: Family, old: bool) -> (u16, String, String) {
        told(Refusal::of_http(Error::new(code, fault, "it <is> so"), family, old).into_response())
    }
    #[test]
    fn three_families() {
        let json = |status: u16, body: &str| (status, "application/json".to_owned(), body.to_owned());
        let text = |status: u16, body: &str| (status, "text/plain; charset=utf-8".to_owned(), body.to_owned());
        let (client, operator) = (Fault::Client, Fault::Operator);
        for (code, fault, family, old, answer) in [
            (
                Code::Unauthorized,
                client,
                Family::Message,
                false,
                json(401, "{\"message\":\"Unauthorized\"}"),
            ),
            (
                Code::TooManyAttempts,
                client,
                Family::Message,
                false,
                json(429, "{\"message\":\"Too many failed attempts, try again later\"}"),
            ),
            (
                Code::Internal,
                Fault::Gateway,
                Family::Message,
                false,
                json(500, "{\"message\":\"Server error\"}"),
            ),
            (
                Code::SchemaViolation,
                client,
                Family::Station,
                true,
                json(400, "{\"error\":\"it \\u003cis\\u003e so\",\"success\":false}"),
            ),
            (
                Code::BadStation,
                client,
                Family::Station,
                true,
                json(500, "{\"error\":\"it \\u003cis\\u003e so\",\"success\":false}"),
            ),
            (
                Code::PartitionOutOfRange,
                client,
                Family::Station,
                false,
                json(400, "{\"error\":\"it \\u003cis\\u003e so\",\"success\":false}"),
            ),
            (
                Code::StorageFull,
                operator,
                Family::Station,
                true,
                json(507, "{\"error\":\"it \\u003cis\\u003e so\",\"success\":false}"),
            ),
            (Code::TooLarge, client, Family::Station, true, text(413, "Request Entity Too Large")),
            (Code::BodyTimeout, client, Family::Station, false, text(408, "Request Timeout")),
        ] {
            assert_eq!(of(code, fault, family, old), answer, "{code}");
        }
        let error = Error::new(Code::Overloaded, operator, "full").with_retry(Retry::After(std::time::Duration::from_secs(2)));
        let response = Refusal::of(error, Family::Station, false).into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "2");
        assert_eq!(Refusal::no_method("POST").into_response().headers()["allow"], "POST");
        let missing = nowhere(&http::Method::POST, "/a<b>&'\"");
        assert_eq!(told(missing.into_response()), text(404, "Cannot POST /a&lt;b&gt;&amp;&#39;&#34;"));
    }
    #[test]
    fn strings_are_escaped_as_go_does() {
        let mut out = Vec::new();
        string("a\"\\\n\r\t\u{8}\u{c}\u{1}<>&\u{2028}\u{2029}\u{2027}é\u{7f}", &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\"a\\\"\\\\\\n\\r\\t\\u0008\\u000c\\u0001\\u003c\\u003e\\u0026\\u2028\\u2029\u{2027}é\u{7f}\""
        );
    }
}
