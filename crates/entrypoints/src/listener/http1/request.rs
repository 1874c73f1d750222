//! A head that is framed, as a request.
use crate::listener::Head;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, header};
use std::sync::Arc;
use tidegate_core::error::{Code, Error, Result};

/// Header fields of a head that are read in any case.
const FIELDS: usize = 100;
/// Bytes of an ordinary one, and how many any client sends: a table that is made for fewer grows while it is filled.
const FIELD: usize = 32;
const FEW: usize = 6;
/// Bytes of a target: [`Uri`] counts them in 16 bits.
const TARGET: usize = u16::MAX as usize - 1;

/// A request without its body.
pub(super) struct Asked<M> {
    pub(super) head: Arc<Head<M>>,
    /// The client wants to ask again on this connection (RFC 9112, section 9.3).
    pub(super) again: bool,
    /// It sends the body once it is told to (RFC 9110, section 10.1.1).
    pub(super) expects: bool,
}
impl<M: Default> Asked<M> {
    /// Of the bytes of a head, whose lines end with CR LF. With more than so many fields, and [`FIELDS`], it is refused.
    pub(super) fn read(bytes: &Bytes, fields: usize) -> Result<Self> {
        let most = fields.max(FIELDS);
        let bad = |text: &str| Error::client(Code::BadRequest, text.to_owned());
        let mut lines = Lines { bytes, at: 0 };
        let line = lines.next().filter(|(begin, end)| begin < end).or_else(|| lines.next());
        let (begin, end) = line.unwrap_or_default();
        let line = bytes.get(begin..end).unwrap_or_default();
        let method = memchr::memchr(b' ', line).unwrap_or(line.len());
        let version = memchr::memrchr(b' ', line).unwrap_or(line.len());
        let old = line.ends_with(b" HTTP/1.0");
        let target = begin + method + 1..(begin + version).max(begin + method + 1);
        if target.len() > TARGET {
            return Err(Error::client(Code::TargetTooLong, format!("a target of {} bytes", target.len())));
        }
        let mut head = Request::new(());
        *head.method_mut() = Method::from_bytes(line.get(..method).unwrap_or_default()).map_err(|_| bad("the method is malformed"))?;
        let uri = Uri::from_maybe_shared(bytes.slice(target)).map_err(|error| {
            Error::client(Code::BadTarget, format!("the target is malformed: {error}")).with_hint("percent-encode what is not ASCII")
        })?;
        // What is only a host is one to be connected to (RFC 9112, section 3.2.3).
        if uri.path().is_empty() && uri.scheme().is_none() && head.method() != Method::CONNECT {
            return Err(Error::client(Code::BadTarget, "the target is no path").with_hint("it begins with `/`"));
        }
        *head.uri_mut() = uri;
        *head.version_mut() = if old { Version::HTTP_10 } else { Version::HTTP_11 };
        let (mut close, mut keep, mut expects) = (false, false, false);
        let mut headers = HeaderMap::with_capacity((bytes.len() / FIELD).clamp(FEW, most));
        for (begin, end) in lines {
            let line = bytes.get(begin..end).unwrap_or_default();
            let Some(colon) = memchr::memchr(b':', line) else { continue };
            let (name, value) = line.split_at(colon);
            let name = HeaderName::from_bytes(name).map_err(|_| bad("the name of a header is malformed"))?;
            let value = value.get(1..).unwrap_or_default();
            let blank = |byte: &u8| !matches!(byte, b' ' | b'\t');
            let first = value.iter().position(blank).unwrap_or(value.len());
            let last = value.iter().rposition(blank).map_or(first, |at| at + 1);
            let at = begin + colon + 1;
            let value = HeaderValue::from_maybe_shared(bytes.slice(at + first..at + last));
            let value = value.map_err(|_| bad("the value of a header is malformed"))?;
            if name == header::CONTENT_LENGTH {
                continue;
            }
            if name == header::CONNECTION {
                close |= has(&value, "close");
                keep |= has(&value, "keep-alive");
            } else if name == header::EXPECT {
                expects = value.as_bytes().eq_ignore_ascii_case(b"100-continue");
            }
            if headers.len() == most || headers.try_append(name, value).is_err() {
                return Err(Error::client(Code::HeadTooLarge, format!("more than {most} header fields")));
            }
        }
        *head.headers_mut() = headers;
        let (parts, ()) = head.into_parts();
        Ok(Self {
            head: Arc::new(Head::new(parts)),
            again: !close && (keep || !old),
            expects: expects && !old,
        })
    }
}
/// Whether a list has this element.
pub(super) fn has(list: &HeaderValue, element: &str) -> bool {
    let mut elements = list.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    elements.any(|has| has.eq_ignore_ascii_case(element.as_bytes()))
}
/// Where the lines of a head begin and end.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
}
impl Iterator for Lines<'_> {
    type Item = (usize, usize);

    fn next(&mut self) -> Option<(usize, usize)> {
        let begin = self.at;
        let feed = begin + memchr::memchr(b'\n', self.bytes.get(begin..)?)?;
        self.at = feed + 1;
        Some((begin, feed.saturating_sub(1).max(begin)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(head: &str) -> Result<Asked<()>> {
        Asked::read(&Bytes::copy_from_slice(head.as_bytes()), 8)
    }
    #[test]
    fn a_head_becomes_a_request() {
        let asked = read("\r\nPOST /a?b=c HTTP/1.1\r\nHost: h\r\nX-A:  b c \t\r\nx-a:\r\nExpect: 100-Continue\r\n\r\n").unwrap();
        let head = &*asked.head;
        assert_eq!((&head.method, head.uri.to_string().as_str()), (&Method::POST, "/a?b=c"));
        let values: Vec<_> = head.headers.get_all("x-a").iter().collect();
        assert_eq!(values, ["b c", ""]);
        assert_eq!((head.headers.len(), head.version), (4, Version::HTTP_11));
        assert!(asked.again && asked.expects);
    }
    #[test]
    fn a_connection_is_kept_as_its_version_and_its_client_say() {
        for (version, said, again) in [
            ("1.1", "", true),
            ("1.1", "Connection: close\r\n", false),
            ("1.1", "Connection: x, CLOSE\r\n", false),
            ("1.1", "Connection: keep-alive\r\nConnection: close\r\n", false),
            ("1.0", "", false),
            ("1.0", "Connection: Keep-Alive\r\n", true),
        ] {
            let asked = read(&format!("GET / HTTP/{version}\r\n{said}\r\n")).unwrap();
            assert_eq!(asked.again, again, "{version} {said:?}");
        }
        assert!(!read("POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").unwrap().expects);
    }
    #[test]
    fn what_is_no_request_is_told() {
        for (head, code) in [
            ("GET no-slash HTTP/1.1\r\n\r\n".to_owned(), Code::BadTarget),
            ("GET /\u{1} HTTP/1.1\r\n\r\n".to_owned(), Code::BadTarget),
            (format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(TARGET)), Code::TargetTooLong),
            (
                format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(FIELDS + 1)),
                Code::HeadTooLarge,
            ),
            ("GET / HTTP/1.1\r\nX: \u{1}\r\n\r\n".to_owned(), Code::BadRequest),
        ] {
            assert_eq!(read(&head).err().map(|error| error.code()), Some(code), "{:?}", head.get(..30));
        }
        assert!(read(&format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(FIELDS))).is_ok());
    }
}
