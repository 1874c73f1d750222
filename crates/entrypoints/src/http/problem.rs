//! Problem details (RFC 9457): what went wrong, in the client's form.
use super::{accept, body::Body};
use crate::outcome;
use http::{HeaderMap, HeaderValue, Response, header};
use serde::Serialize;
use serde_json::Value;
use std::net::SocketAddr;
use tidegate_core::error::{Code, Error, Fault, Retry};

/// Of an ordinary answer.
const FIELDS: usize = 4;
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// As JSON. `title` is constant per code.
#[derive(Serialize)]
pub(super) struct Problem<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    code: String,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    #[serde(skip_serializing_if = "<[Value]>::is_empty")]
    errors: &'a [Value],
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}
impl<'a> Problem<'a> {
    pub(super) fn new(error: &'a Error, request_id: Option<&'a str>) -> Self {
        let code = error.code();
        Self {
            kind: format!("urn:tidegate:error:{code}"),
            title: code.title(),
            status: outcome::status(code).as_u16(),
            code: code.to_string(),
            detail: error.to_string(),
            hint: error.hint(),
            errors: &[],
            request_id,
        }
    }
}
/// The answer to a request that failed whole; `errors` are the faults it had one by one.
pub fn answer(error: &Error, errors: &[Value], request_id: &str, headers: &HeaderMap) -> Response<Body> {
    let problem = Problem {
        errors,
        ..Problem::new(error, Some(request_id))
    };
    let mut response = if accept::wants_text(headers) {
        let hint = error.hint().map_or(String::new(), |hint| format!("hint: {hint}\n"));
        let each = errors.iter().map(|told| format!("- {told}\n")).collect::<Vec<_>>().concat();
        let text = format!("{} {}\n{each}{hint}request: {request_id}\n", problem.code, problem.detail);
        with_type(Body::full(text), TEXT)
    } else {
        let mut json = serde_json::to_vec(&problem).unwrap_or_default();
        json.push(b'\n');
        with_type(Body::full(json), JSON)
    };
    *response.status_mut() = outcome::status(error.code());
    told(error, response.headers_mut());
    if error.code() == Code::MethodNotAllowed
        && let Some(allow) = error.hint().and_then(|hint| hint.strip_prefix("allowed: "))
        && let Ok(allow) = HeaderValue::from_str(allow)
    {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}
/// Logs it: whose fault it is decides how loud.
pub fn tell(error: &Error, request_id: &str, peer: SocketAddr) {
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    match error.fault() {
        Fault::Client => {
            tracing::debug!(request_id, peer = %peer, code = %error.code(), error = %error, cause, "refused");
        }
        Fault::Broker | Fault::Operator => {
            tracing::warn!(request_id, peer = %peer, code = %error.code(), error = %error, cause, "not done");
        }
        Fault::Gateway => {
            tracing::error!(request_id, peer = %peer, code = %error.code(), error = %error, cause, "failed");
        }
    }
}
/// The same where there is no request to answer: bytes of HTTP/1.1, after which the connection is closed.
pub(crate) fn last(error: &Error) -> Vec<u8> {
    let status = outcome::status(error.code());
    let mut headers = HeaderMap::new();
    told(error, &mut headers);
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    headers.insert(header::CONTENT_TYPE, JSON);
    let mut body = serde_json::to_vec(&Problem::new(error, None)).unwrap_or_default();
    body.push(b'\n');
    headers.insert(header::CONTENT_LENGTH, body.len().into());
    let mut out = format!("HTTP/1.1 {status}\r\n").into_bytes();
    for (name, value) in &headers {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(&body);
    out
}
/// To whom speaks HTTP where TLS is spoken; in HTTP/1.1, which is likeliest understood.
pub(crate) fn plain_on_tls() -> Vec<u8> {
    let code = Code::PlainOnTls;
    let status = outcome::status(code);
    let text = format!("{code} this port speaks TLS, and the request came without\nhint: ask by `https://`\n");
    let length = text.len();
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {length}\r\n\r\n{text}")
        .into_bytes()
}
/// The same for HTTP/2: a block of head fields, none of them from a table (RFC 7541, section 6.2.2), and the body.
pub(crate) fn last_of_http2(error: &Error) -> (Vec<u8>, Vec<u8>) {
    let mut body = serde_json::to_vec(&Problem::new(error, None)).unwrap_or_default();
    body.push(b'\n');
    let mut headers = HeaderMap::new();
    told(error, &mut headers);
    // HTTP/2 has no such header: its GOAWAY says it.
    headers.remove(header::CONNECTION);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    let mut block = Vec::new();
    let mut literal = |name: &str, value: &[u8]| {
        block.push(0);
        for text in [name.as_bytes(), value] {
            // Ours are short: one byte for a length below 127, and plain text.
            block.push(text.len().min(126) as u8);
            block.extend_from_slice(text.get(..text.len().min(126)).unwrap_or_default());
        }
    };
    literal(":status", outcome::status(error.code()).as_str().as_bytes());
    for (name, value) in &headers {
        literal(name.as_str(), value.as_bytes());
    }
    (block, body)
}
pub(super) fn with_type(body: Body, content_type: HeaderValue) -> Response<Body> {
    let mut response = Response::new(body);
    // The table is made once for an ordinary answer.
    *response.headers_mut() = HeaderMap::with_capacity(FIELDS);
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}
/// The headers that the RFCs ask for beside the body.
pub(crate) fn told(error: &Error, headers: &mut HeaderMap) {
    match error.retry() {
        Retry::No => {}
        Retry::Now => drop(headers.insert(header::RETRY_AFTER, HeaderValue::from_static("0"))),
        Retry::After(time) => drop(headers.insert(header::RETRY_AFTER, time.as_secs().max(1).into())),
    }
    if error.code() == Code::Unauthorized {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"tidegate\""));
    }
    // What is left of the body is not worth reading, will not come, or cannot be told from what follows.
    if matches!(
        error.code(),
        Code::BadRequest | Code::TooLarge | Code::BodyTimeout | Code::Overloaded | Code::Draining
    ) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
}
