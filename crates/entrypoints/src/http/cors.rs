//! Which pages of other origins may call an API, and what their browsers are told (Fetch standard, section 3.2).
use super::{
    body::Body,
    call::{Call, Settings},
    head::without_port,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header, request::Parts};
use tidegate_core::error::{Code, Error, Result};
use tidegate_gateway::route::Route;

/// What a page may read of an answer, beside what every page may.
const EXPOSED: &str =
    "Tidegate-Ack, Tidegate-Id, Tidegate-Position, Tidegate-Duplicate, Tidegate-Next-Cursor, Tidegate-Gap, Retry-After, Allow";
/// How long a browser need not ask again, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// Where a request comes from, as its browser says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From<'a> {
    /// No page, or one of the gateway's own host.
    Here,
    /// A page of an origin that may.
    Allowed(&'a HeaderValue),
    /// A page of another origin, or a sandbox without any.
    Foreign(&'a HeaderValue),
}
pub(super) fn from<'a>(parts: &'a Parts, route: &Route, settings: &Settings) -> From<'a> {
    let Some(value) = parts.headers.get(header::ORIGIN) else {
        return From::Here;
    };
    let origin = value.to_str().unwrap_or("null");
    let host = parts
        .headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    let authority = origin.split_once("://").map_or("", |(_, authority)| authority);
    if !authority.is_empty() && authority.eq_ignore_ascii_case(host) {
        return From::Here;
    }
    let listed = route
        .api
        .cors
        .iter()
        .any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin));
    // Whoever develops a page on this machine serves it from another port.
    let local = settings.hints && is_local(authority) && is_local(host);
    // `null` is a page that hides where it comes from: never.
    if authority.is_empty() || !listed && !local {
        return From::Foreign(value);
    }
    From::Allowed(value)
}
fn is_local(authority: &str) -> bool {
    let name = without_port(authority);
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
/// Whether the browser asks before it sends the request itself.
pub(super) fn is_preflight(parts: &Parts) -> bool {
    parts.method == Method::OPTIONS && parts.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}
/// The answer to a preflight; [`tell`] adds whose it is.
pub(super) fn preflight(call: &Call<'_>, parts: &Parts, from: From<'_>, methods: &'static str) -> Result<Response<Body>> {
    if let From::Foreign(origin) = from {
        return Err(refused(call, origin));
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
    // A header is no right: what a page of this origin may do is for the plans to say.
    if let Some(wanted) = parts.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    Ok(response)
}
/// One line for who runs the gateway, and a problem for who looks into the browser's tools.
pub(super) fn refused(call: &Call<'_>, origin: &HeaderValue) -> Error {
    let origin = String::from_utf8_lossy(origin.as_bytes()).escape_debug().to_string();
    tracing::info!(
        api = %call.route.name,
        origin,
        "a page of another origin was refused; hint: the api's `cors: {{ origins: [...] }}` lets it in"
    );
    Error::client(Code::Forbidden, format!("pages of `{origin}` may not call this api"))
        .with_hint("the api's `cors: { origins: [...] }` lets them in")
}
/// Says to the browser that its page may have the answer, a problem included.
pub(super) fn tell(origin: HeaderValue, headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
}
