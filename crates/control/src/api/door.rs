//! A web page must not drive a node on the machine of its visitor: neither by a request of another origin, nor by a name of its own that
//! it has made to point at this machine.
use http::{HeaderMap, header, request::Parts, uri::Authority};
use std::net::IpAddr;
use tidegate_core::error::{Code, Error, Result};

/// What is asked of every request, before anybody is asked who he is.
#[derive(Clone, Copy, Debug)]
pub struct Door {
    /// Only this machine can reach the listener, so only its own names can be meant.
    pub loopback: bool,
}
impl Door {
    /// Fails with `ForeignPage`.
    pub(super) fn check(self, parts: &Parts) -> Result<()> {
        let host = host(parts).ok_or_else(|| Error::client(Code::BadHeader, "`Host` is missing or malformed"))?;
        if self.loopback && !is_ours(host.host()) {
            let text = format!("`{}` is no name of this machine", host.as_str().escape_debug());
            return Err(
                Error::client(Code::ForeignPage, text).with_hint("call it as `localhost`; behind a proxy: have it send `Host: localhost`")
            );
        }
        for origin in parts.headers.get_all(header::ORIGIN) {
            let origin = origin.to_str().unwrap_or("null");
            let same = origin
                .split_once("://")
                .is_some_and(|(_, place)| place.eq_ignore_ascii_case(host.as_str()));
            if !same {
                let text = format!("a page of `{}` may not manage this node", origin.escape_debug());
                return Err(
                    Error::client(Code::ForeignPage, text).with_hint("manage it from the command line, or from a page it serves itself")
                );
            }
        }
        Ok(())
    }
}
/// HTTP/2 says it in the target.
fn host(parts: &Parts) -> Option<Authority> {
    if let Some(authority) = parts.uri.authority() {
        return Some(authority.clone());
    }
    one(&parts.headers)?.parse().ok()
}
fn one(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(header::HOST).iter();
    let first = all.next()?.to_str().ok()?;
    all.next().is_none().then_some(first)
}
fn is_ours(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost"
        || name.ends_with(".localhost")
        || address.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn told(host: &str, origin: Option<&str>) -> Option<Code> {
        let mut request = Request::builder().header("host", host);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        Door { loopback: true }.check(&parts).err().map(|error| error.code())
    }
    #[test]
    fn only_our_names_and_our_own_pages_pass() {
        for host in [
            "localhost",
            "localhost:8084",
            "127.0.0.1:1",
            "[::1]:8084",
            "a.localhost",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert_eq!(told(host, None), None, "{host}");
            assert_eq!(told(host, Some(&format!("http://{host}"))), None, "{host}");
        }
        for host in ["evil.example", "10.0.0.1", "localhost.evil.example", "127.0.0.1.evil.example:8084"] {
            assert_eq!(told(host, None), Some(Code::ForeignPage), "{host}");
        }
        for origin in [
            "null",
            "http://evil.example",
            "http://localhost:3000",
            "http://localhost",
            "",
            "http://localhost:8084.evil.example",
        ] {
            assert_eq!(told("localhost:8084", Some(origin)), Some(Code::ForeignPage), "{origin}");
        }
        assert_eq!(told("a b", None), Some(Code::BadHeader));
    }
}
