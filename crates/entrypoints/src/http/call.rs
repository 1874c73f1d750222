//! One request and where it goes, and what every request keeps to.
use super::head::HeadLimits;
use std::{
    fmt::Write as _,
    hash::{BuildHasher, Hasher, RandomState},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};
use tidegate_core::{
    error::{Code, Error},
    exchange::Exchange,
};
use tidegate_gateway::route::Route;

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
    /// Without a byte of a body that has begun.
    pub body_stall: Duration,
    /// Without a byte taken by a client that reads a stream, while there is something to write.
    pub stall: Duration,
    /// Bytes of a WebSocket message.
    pub ws_message: u64,
    /// Hints may name other paths, and pages of another local origin may open a WebSocket: for `dev` only.
    pub hints: bool,
}
/// One request and where it goes.
pub(super) struct Call<'a> {
    pub(super) route: &'a Arc<Route>,
    pub(super) rest: &'a str,
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    pub(super) peer: SocketAddr,
    pub(super) trace: [u8; 16],
}
impl Call<'_> {
    pub(super) fn request_id(&self) -> String {
        hex(self.trace)
    }
    pub(super) fn exchange(&self) -> Exchange {
        let mut x = Exchange::new(self.route.name.clone());
        x.peer = Some(self.peer);
        x.trace = self.trace;
        x
    }
    /// The methods it takes, as a list.
    pub(super) fn allowed(&self) -> &'static str {
        allowed(self.route)
    }
    pub(super) fn no_method(&self) -> Error {
        Error::client(Code::MethodNotAllowed, format!("`{}` does not take this method", self.path))
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

/// A number nobody can guess from another, for request ids.
pub(super) fn trace(seed: &RandomState, number: u64) -> [u8; 16] {
    let mut hasher = seed.build_hasher();
    hasher.write_u64(number);
    (u128::from(hasher.finish()) << 64 | u128::from(number)).to_be_bytes()
}

pub(super) fn hex(bytes: [u8; 16]) -> String {
    let mut text = String::with_capacity(32);
    // Writing to memory cannot fail.
    let _never = write!(text, "{:032x}", u128::from_be_bytes(bytes));
    text
}
