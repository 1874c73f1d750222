//! What must hold of a request's head before anybody acts on it (RFC 9110, RFC 9112).
use http::{HeaderMap, Method, Version, header, request::Parts};
use hyper::ext::Protocol;
use tidegate_core::error::{Code, Error, Result};

/// How much a head may hold beside what bounds its bytes.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Header fields.
    pub headers: usize,
    /// Bytes of path and query.
    pub target: usize,
}
/// The host the client means, without its port; empty for HTTP/1.0 without one.
pub(crate) fn check(parts: &Parts, limits: HeadLimits) -> Result<&str> {
    if parts.headers.len() > limits.headers {
        return Err(Error::client(
            Code::HeadTooLarge,
            format!("{} header fields, at most {} are allowed", parts.headers.len(), limits.headers),
        ));
    }
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    if target.len() > limits.target {
        return Err(Error::client(
            Code::TargetTooLong,
            format!("a target of {} bytes, at most {} are allowed", target.len(), limits.target),
        ));
    }
    if matches!(parts.method, Method::CONNECT | Method::TRACE) && !is_web_socket(parts) {
        return Err(Error::client(Code::MethodNotAllowed, format!("{} is not offered", parts.method)));
    }
    path(parts.uri.path())?;
    host(parts)
}
/// Whether a stream of HTTP/2 asks to become a WebSocket (RFC 8441, section 4).
pub(super) fn is_web_socket(parts: &Parts) -> bool {
    let protocol = parts.extensions.get::<Protocol>();
    parts.method == Method::CONNECT && protocol.is_some_and(|protocol| protocol.as_str() == "websocket")
}
/// What a proxy in front could read otherwise than we do is refused.
fn path(path: &str) -> Result<()> {
    let wrong = |why: &str| Err(Error::client(Code::BadTarget, format!("the path {why}")));
    if !path.is_ascii() {
        return wrong("has bytes that must be percent-encoded");
    }
    if memchr::memchr2(b'%', b'.', path.as_bytes()).is_none() {
        return Ok(());
    }
    let lower = path.to_ascii_lowercase();
    if lower.contains("%00") || lower.contains("%2f") || lower.contains("%5c") {
        return wrong("has an encoded NUL, slash or backslash");
    }
    let undotted = lower.replace("%2e", ".");
    if undotted.split('/').any(|segment| segment == "." || segment == "..") {
        return wrong("has a `.` or `..` segment");
    }
    Ok(())
}
fn host(parts: &Parts) -> Result<&str> {
    let wrong = |why: &str| Err(Error::client(Code::BadRequest, format!("the Host header {why}")));
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let named = match (hosts.next(), hosts.next()) {
        (_, Some(_)) => return wrong("stands there twice"),
        (None, None) if parts.version >= Version::HTTP_11 => return wrong("is missing"),
        (None, None) => "",
        (Some(host), None) => match host.to_str() {
            Ok(host) if !host.is_empty() && !host.bytes().any(is_foreign) => host,
            _ => return wrong("is not a host"),
        },
    };
    if let Some(authority) = parts.uri.authority()
        && !named.is_empty()
        && !authority.as_str().eq_ignore_ascii_case(named)
    {
        return wrong("differs from the target's host");
    }
    Ok(without_port(named))
}
/// What would let two readers see two hosts.
fn is_foreign(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'/' | b'@' | b'?' | b'#' | b',')
}
/// `example.org:80`, `[::1]:80`.
pub(super) fn without_port(host: &str) -> &str {
    if host.starts_with('[') {
        return host.split_once(']').map_or(host, |(address, _)| address.trim_start_matches('['));
    }
    let port = memchr::memchr(b':', host.as_bytes());
    port.and_then(|at| host.get(..at)).unwrap_or(host)
}
/// One value as text; `None` when it is absent, an error when it is there twice or is no text.
pub(super) fn one<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<Option<&'h str>> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(Error::client(Code::BadHeader, format!("`{name}` stands there twice"))),
        (Some(value), None) => std::str::from_utf8(value.as_bytes())
            .map(Some)
            .map_err(|_| Error::client(Code::BadHeader, format!("`{name}` is not UTF-8"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn checked(target: &str, hosts: &[&str]) -> Result<String> {
        let mut request = Request::builder().uri(target);
        for host in hosts {
            request = request.header("host", *host);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        check(&parts, HeadLimits { headers: 64, target: 100 }).map(str::to_owned)
    }

    #[test]
    fn the_host_is_one_and_a_host() {
        assert_eq!(checked("/a", &["Example.org:80"]).unwrap(), "Example.org");
        assert_eq!(checked("/a", &["[::1]:80"]).unwrap(), "::1");
        for hosts in [&[][..], &["a", "b"], &[""], &["a b"], &["a/b"], &["u@a"]] {
            assert_eq!(checked("/a", hosts).unwrap_err().code(), Code::BadRequest, "{hosts:?}");
        }
        assert_eq!(checked("http://a/x", &["b"]).unwrap_err().code(), Code::BadRequest);
        assert!(checked("http://a/x", &["A"]).is_ok());
    }
    #[test]
    fn the_path_has_one_reading() {
        for path in ["/a/%2e%2E/b", "/a/../b", "/.", "/a%00", "/a%2Fb", "/a%5cb"] {
            assert_eq!(checked(path, &["a"]).unwrap_err().code(), Code::BadTarget, "{path}");
        }
        assert!(checked("/a/b..c/.d", &["a"]).is_ok());
        assert_eq!(
            checked(&format!("/{}", "x".repeat(100)), &["a"]).unwrap_err().code(),
            Code::TargetTooLong
        );
    }
}
