//! One request, read, and what is answered.
use super::{Limits, routes::Query};
use crate::access::Caller;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header, request::Parts};
use http_body::Body as HttpBody;
use http_body_util::{BodyExt, Limited};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};
use std::collections::HashMap;
use tidegate_core::error::{Code, Error, Result};

/// One request that may be.
pub(super) struct Call<'a> {
    /// The resource's, or a dead letter's id, if the path has one.
    pub(super) name: String,
    /// Of the group within it, where the path names one.
    pub(super) group: String,
    /// Only parameters the route knows.
    pub(super) query: HashMap<&'static str, String>,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: Body,
    pub(super) caller: Option<Caller>,
    /// The address of the other end.
    pub(super) from: String,
}
impl Call<'_> {
    pub(super) fn is_set(&self, name: &str) -> Result<bool> {
        match self.query.get(name).map(String::as_str) {
            None | Some("false") => Ok(false),
            Some("true" | "") => Ok(true),
            Some(other) => Err(bad_query(name, other, "`true` or `false`")),
        }
    }
    /// From 1 to 1,000.
    pub(super) fn limit(&self) -> Result<usize> {
        match self.query.get("limit") {
            None => Ok(100),
            Some(text) => {
                let number = text.parse().ok().filter(|limit| (1..=1_000).contains(limit));
                number.ok_or_else(|| bad_query("limit", text, "a number from 1 to 1000"))
            }
        }
    }
}
pub(super) fn bad_query(name: &str, value: &str, expected: &str) -> Error {
    let short: String = value.chars().take(60).collect();
    Error::client(
        Code::BadQuery,
        format!("`{name}` cannot be `{}`: expected {expected}", short.escape_debug()),
    )
}
/// A body, of which nothing was made yet.
#[derive(Default)]
pub(super) struct Body(Bytes);
impl Body {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// As they came.
    pub(super) fn bytes(&self) -> Bytes {
        self.0.clone()
    }
    pub(super) fn object(&self) -> Result<Map<String, Value>> {
        let not = |why: String| Error::client(Code::NotJson, why);
        match serde_json::from_slice(&self.0).map_err(|error| not(format!("the body is not JSON: {error}")))? {
            Value::Object(members) => Ok(members),
            _ => Err(not("the body is not a JSON object".to_owned())),
        }
    }
}
/// Whole, and no larger than it may be.
/// `any`: whatever it says it is.
pub(super) async fn body<B>(parts: &Parts, body: &mut Option<B>, limits: Limits, any: bool) -> Result<Body>
where
    B: HttpBody<Data = Bytes> + Send + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let Some(body) = body.take() else { return Ok(Body::default()) };
    if let Some(kind) = parts.headers.get(header::CONTENT_TYPE).filter(|_| !any) {
        let kind = kind
            .to_str()
            .unwrap_or_default()
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        // Also what curl says of itself.
        let json = kind == "application/json"
            || kind.starts_with("application/") && kind.ends_with("+json")
            || kind == "application/x-www-form-urlencoded";
        if !json {
            return Err(Error::client(
                Code::UnsupportedMediaType,
                format!("the management API takes JSON, not `{}`", kind.escape_debug()),
            ));
        }
    }
    let whole = tokio::time::timeout(limits.patience, Limited::new(body, limits.body).collect()).await;
    match whole {
        Err(_late) => Err(Error::client(Code::BodyTimeout, "the body did not come in time")),
        Ok(Ok(whole)) => Ok(Body(whole.to_bytes())),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(Error::client(
            Code::TooLarge,
            format!("the body is larger than {} bytes", limits.body),
        )),
        Ok(Err(error)) => Err(Error::client(Code::BadRequest, format!("the body broke off: {error}"))),
    }
}
pub(super) fn decoded(text: &str) -> Result<String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| Error::client(Code::BadTarget, "the path is not UTF-8"))
}
/// Only what the route knows, and each once.
pub(super) fn query(text: &str, known: &'static [Query]) -> Result<HashMap<&'static str, String>> {
    let mut out = HashMap::new();
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        let Some(query) = known.iter().find(|query| query.name == name) else {
            let names: Vec<_> = known.iter().map(|query| format!("`{}`", query.name)).collect();
            let error = Error::client(Code::BadQuery, format!("there is no parameter `{}`", name.escape_debug()));
            return Err(if names.is_empty() {
                error
            } else {
                error.with_hint(format!("known here: {}", names.join(", ")))
            });
        };
        if out.insert(query.name, value.into_owned()).is_some() {
            return Err(Error::client(Code::BadQuery, format!("`{}` stands there twice", query.name)));
        }
    }
    Ok(out)
}
/// The caller is not known.
pub(super) fn nobody(why: &'static str) -> Error {
    Error::client(Code::Unauthorized, why)
        .with_hint("send `Authorization: Bearer tgt_…`; the first token lies in `admin-token` in the data folder")
}

/// What is answered.
#[derive(Debug)]
pub struct Answer {
    /// 200, unless said otherwise.
    pub status: u16,
    /// With the type of the body.
    pub headers: HeaderMap,
    /// All of it.
    pub body: Bytes,
}
impl Answer {
    fn new(kind: &'static str, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        // Nothing of this is for a proxy or a browser's disk.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Self {
            status: 200,
            headers,
            body: body.into(),
        }
    }
    pub(super) fn json(value: &Value) -> Self {
        Self::of_json(format!("{value}\n"))
    }
    pub(super) fn of_json(text: impl Into<Bytes>) -> Self {
        Self::new("application/json", text)
    }
    pub(super) fn text(text: impl Into<Bytes>) -> Self {
        Self::new("text/plain; charset=utf-8", text)
    }
    /// Nothing in it is run or fetched: others wrote what it shows.
    pub(super) fn page(text: String) -> Self {
        let page = Self::new("text/html; charset=utf-8", text);
        page.header(
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        )
    }
    pub(super) fn metrics(text: String) -> Self {
        Self::new("application/openmetrics-text; version=1.0.0; charset=utf-8", text)
    }
    pub(super) fn nothing() -> Self {
        Self {
            status: 204,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }
    pub(super) fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }
    /// Left out if the value cannot stand in a header.
    pub(super) fn header(mut self, name: header::HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }
}
