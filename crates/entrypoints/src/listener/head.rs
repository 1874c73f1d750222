//! The head of a request, and what was made of it: on a kept connection clients mostly send the same one again, and it is read once.
use http::{HeaderValue, Version, header, request::Parts};
use std::{fmt, ops::Deref};

/// Shared by all requests of a connection that begin with it, one after the other. Over HTTP/2 the host, which it names in `:authority`, stands
/// in `Host` as in HTTP/1 (RFC 9113, section 8.3.1). `Content-Length`, in which such requests may differ, is none of it: the body knows.
pub struct Head<M> {
    parts: Parts,
    memo: M,
}
impl<M: Default> Head<M> {
    /// With nothing remembered.
    pub fn new(mut parts: Parts) -> Self {
        parts.headers.remove(header::CONTENT_LENGTH);
        if parts.version == Version::HTTP_2
            && !parts.headers.contains_key(header::HOST)
            && let Some(authority) = parts.uri.authority()
            // What is no host is missed where one is needed.
            && let Ok(host) = HeaderValue::from_str(authority.as_str())
        {
            parts.headers.insert(header::HOST, host);
        }
        let memo = M::default();
        Self { parts, memo }
    }
    /// What its handler remembers of it.
    pub fn memo(&self) -> &M {
        &self.memo
    }
}
impl<M> Deref for Head<M> {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}
impl<M> fmt::Debug for Head<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.fmt(f)
    }
}
