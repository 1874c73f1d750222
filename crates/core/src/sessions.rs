//! Callers that log in once and come back with a token. Implemented by `control`, handed to `entrypoints` by `server`.
use crate::{error::Result, exchange::Principal};
use futures::future::BoxFuture;
use std::{fmt, net::IpAddr, time::Duration};

/// What somebody logs in with: exactly one of password and connection token.
#[derive(Clone, Default)]
pub struct Login {
    /// The user.
    pub name: String,
    /// Its password.
    pub password: Option<String>,
    /// Its connection token.
    pub connection_token: Option<String>,
}
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("name", &self.name).finish_non_exhaustive()
    }
}
/// How long tokens are to hold; `None` = as it is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifetimes {
    /// Of the access token.
    pub access: Option<Duration>,
    /// Of the refresh token.
    pub refresh: Option<Duration>,
}
/// Two tokens, as they are told to the caller once.
#[derive(Clone)]
pub struct Session {
    /// Shown with every request.
    pub access: String,
    /// How long it holds from now on.
    pub access_ttl: Duration,
    /// Shown for new ones.
    pub refresh: String,
    /// How long it holds from now on.
    pub refresh_ttl: Duration,
}
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Session");
        shown.field("access_ttl", &self.access_ttl).field("refresh_ttl", &self.refresh_ttl);
        shown.finish_non_exhaustive()
    }
}
/// What is shown for a new session.
#[derive(Clone, Copy)]
pub enum Renewal<'a> {
    /// An access token, which may have expired as long as its refresh token would hold.
    Access(&'a str),
    /// A refresh token.
    Refresh(&'a str),
}
/// Somebody whose token holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Who it is: [`crate::directory::Directory::permits`] says what it may.
    pub principal: Principal,
    /// Until when, microseconds since the epoch; `None` = until it is revoked.
    pub expires: Option<i64>,
}
/// Sessions of callers. Every refusal has the code `Unauthorized`, without saying which part was wrong, or `TooManyAttempts`.
pub trait Sessions: Send + Sync {
    /// A new session for who knows the password or the connection token. `from` is who is slowed when it fails often.
    /// Cancel-safe: a failed attempt counts all the same.
    fn login<'a>(&'a self, login: &'a Login, lifetimes: Lifetimes, from: IpAddr) -> BoxFuture<'a, Result<Session>>;
    /// A new session for who has one.
    fn renew(&self, shown: Renewal<'_>, lifetimes: Lifetimes) -> Result<Session>;
    /// Who shows this access token, or this access key as `ID:SECRET`. Asked for every request: it does no I/O.
    fn admit(&self, token: &str) -> Result<Admitted>;
}
