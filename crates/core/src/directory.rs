//! Who is who and who may what. Implemented by `control`, handed to `entrypoints` by `server`.
use crate::{
    error::Result,
    exchange::{Credentials, Principal},
};
use futures::future::BoxFuture;
use std::net::IpAddr;

/// Users, credentials and rights, as the data plane sees them.
pub trait Directory: Send + Sync {
    /// Who the credentials belong to. Fails with `Unauthorized` when they belong to nobody, without saying which part was wrong.
    /// Cancel-safe: it changes nothing.
    fn verify<'a>(&'a self, realm: &'a str, credentials: &'a Credentials) -> BoxFuture<'a, Result<Principal>>;
    /// Per message and subscription, so no I/O; `name` is a topic, a filter or a procedure.
    fn permits(&self, realm: &str, who: &Principal, right: Right, name: &str) -> bool;
    /// For dialects that create a stream on first use, at the wish of somebody who calls from there. Does nothing when it is there, so it may be
    /// dropped and tried again.
    fn ensure_stream<'a>(&'a self, realm: &'a str, name: &'a str, who: &'a Principal, from: IpAddr) -> BoxFuture<'a, Result<()>>;
}
/// What somebody may do with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Send to a topic.
    Publish,
    /// Receive from a filter.
    Subscribe,
    /// Call a procedure.
    Call,
    /// Offer a procedure.
    Register,
}
