//! Who is who and who may what. Implemented by `control`, handed to `entrypoints` by `server`.
use crate::{
    error::Result,
    exchange::{Credentials, Principal},
};
use futures::future::BoxFuture;

pub trait Directory: Send + Sync {
    fn verify<'a>(&'a self, realm: &'a str, credentials: &'a Credentials) -> BoxFuture<'a, Result<Principal>>;
    /// Per message and subscription, so no I/O; `name` is a topic, a filter or a procedure.
    fn permits(&self, realm: &str, who: &Principal, right: Right, name: &str) -> bool;
    /// Dialects that create stations on first use; idempotent.
    fn ensure_stream<'a>(&'a self, realm: &'a str, name: &'a str) -> BoxFuture<'a, Result<()>>;
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    Publish,
    Subscribe,
    Call,
    Register,
}
