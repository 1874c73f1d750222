//! One request and where it goes, and what every request keeps to.
use super::head::HeadLimits;
use http::Method;
use std::{
    fmt::Write as _,
    hash::{BuildHasher, Hasher, RandomState},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tidegate_core::{
    error::{Code, Error},
    exchange::{Exchange, Vouched},
};
use tidegate_gateway::{route::Route, tickets::Holder};

/// What every request of the gateway keeps to.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The head.
    pub head: HeadLimits,
    /// Bytes of a single message's body.
    pub body: u64,
    /// Bytes of a batch's body.
    pub batch_body: u64,
    /// Items of a batch.
    pub batch_items: u32,
    /// How fast a body must come.
    pub body_pace: Pace,
    /// Streams of events within connections (HTTP/2, HTTP/1.0), which cost memory of their own; one more is told 503.
    pub streams_within: usize,
    /// Without a byte taken by a client that reads a stream, while there is something to write.
    pub stall: Duration,
    /// Bytes of a WebSocket message.
    pub ws_message: u64,
    /// Hints may name other paths, and pages of another local origin may open a WebSocket: for `dev` only.
    pub hints: bool,
}
/// How fast a body must come. Both are needed: a byte now and then is no standstill, yet it would hold its place for ever.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Without any byte.
    pub stall: Duration,
    /// Bytes a second on average; one `stall` is given beside it, so that a pause costs nobody a body that is fast otherwise.
    pub rate: u64,
}
impl Pace {
    /// How long all of a body may have taken of which so much has come.
    pub(super) fn allowed(&self, bytes: u64) -> Duration {
        let millis = bytes.saturating_mul(1_000) / self.rate.max(1);
        self.stall.saturating_add(Duration::from_millis(millis))
    }
}
/// One request and where it goes.
pub(crate) struct Call<'a> {
    pub(crate) route: &'a Arc<Route>,
    /// Of its API.
    pub(crate) name: &'a Arc<str>,
    pub(crate) rest: &'a str,
    pub(crate) host: &'a str,
    pub(crate) path: &'a str,
    pub(crate) peer: SocketAddr,
    pub(crate) trace: [u8; 16],
    pub(crate) vouched: Option<&'a Vouched>,
    /// Of a ticket.
    pub(crate) holder: Option<Holder>,
}
impl Call<'_> {
    pub(super) fn request_id(&self) -> String {
        hex(self.trace)
    }
    pub(super) fn exchange(&self) -> Exchange {
        let mut x = Exchange::new(self.name.clone());
        x.peer = Some(self.peer);
        x.trace = self.trace;
        if let Some(Holder { principal, expires }) = &self.holder {
            (x.principal, x.expires) = (principal.clone(), *expires);
        }
        if let Some(vouched) = self.vouched {
            (x.principal, x.expires) = (Some(vouched.principal.clone()), vouched.expires);
        }
        x
    }
    /// The methods it takes, as a list.
    pub(super) fn allowed(&self) -> &'static str {
        allowed(self.route)
    }
    pub(super) fn no_method(&self, method: &Method) -> Error {
        self.not_taken(&format!("`{method}`"))
    }
    /// Whatever it is that the path is asked for, beside those methods.
    pub(super) fn not_taken(&self, what: &str) -> Error {
        Error::client(Code::MethodNotAllowed, format!("`{}` does not take {what}", self.path))
            .with_hint(format!("allowed: {}", allowed(self.route)))
    }
}
fn allowed(route: &Route) -> &'static str {
    let posts = route.api.http_post.is_some() && route.publish.is_some();
    let gets = (route.api.http_get.is_some() || route.api.sse.is_some()) && route.subscribe.is_some() || route.api.websocket.is_some();
    match (gets, posts) {
        (true, true) => "GET, POST",
        (true, false) => "GET",
        (false, true) => "POST",
        (false, false) => "",
    }
}

/// Numbers nobody can guess from each other, for request ids.
#[derive(Debug, Default)]
pub struct RequestIds {
    seed: RandomState,
    given: AtomicU64,
}
impl RequestIds {
    /// The next one, as a trace id has it.
    pub fn next(&self) -> [u8; 16] {
        let number = self.given.fetch_add(1, Ordering::Relaxed);
        let mut hasher = self.seed.build_hasher();
        hasher.write_u64(number);
        (u128::from(hasher.finish()) << 64 | u128::from(number)).to_be_bytes()
    }
}

/// As logs and answers show it.
pub fn hex(bytes: [u8; 16]) -> String {
    let mut text = String::with_capacity(32);
    // Writing to memory cannot fail.
    let _never = write!(text, "{:032x}", u128::from_be_bytes(bytes));
    text
}
