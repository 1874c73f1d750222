//! The management API: one table of routes, from which come the way of a request, the right it needs and the description at
//! `/openapi.json`, so that no route can be forgotten in any of them.
mod call;
mod dead_letters;
mod description;
mod door;
mod hooks;
mod resources;
mod routes;

pub use call::Answer;
pub use door::Door;

use crate::{
    access::{Access, Caller},
    registry::{Refused, Registry},
    store::Author,
};
use bytes::Bytes;
use call::{Body, Call};
use http::{HeaderMap, Method, header, request::Parts};
use http_body::Body as HttpBody;
use routes::{Act, Route};
use serde_json::Value;
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tidegate_config::{Id, Manage, ResourceKind};
use tidegate_core::{
    error::{Code, Error, Fault, Result, Retry},
    exchange::{Principal, Vouched},
};

/// What the node itself tells and takes. Implemented by `server`.
pub trait Node: Send + Sync {
    /// `Err` says why it does not want traffic.
    fn ready(&self) -> Result<(), String>;
    /// OpenMetrics text.
    fn metrics(self: Arc<Self>) -> Result<String>;
    /// What of `/api/v1/status` only it knows, as members of an object.
    fn status(&self) -> Value;
    /// The catcher of the demo takes a request; `false`: there is none.
    fn catch(&self, headers: &HeaderMap, body: Bytes) -> bool;
    /// What it has caught, as a page or as JSON.
    fn caught(&self, page: bool) -> Option<String>;
    /// What is logged, as `telemetry.level` is written.
    fn log_level(&self) -> String;
    /// Logs that from now on.
    fn set_log_level(&self, level: &str) -> Result<()>;
    /// Signs sessions with a new key as soon as all who share the file have read it; those before it still verify, unless they are to be
    /// revoked. It writes a file.
    fn rotate_signing_keys(&self, revoke: bool) -> Result<Rotated>;
}
/// What keys sign sessions.
pub struct Rotated {
    /// The names of all, the newest first.
    pub keys: Vec<String>,
    /// When that one begins to sign, microseconds since the epoch; `None`: it does.
    pub signs_from: Option<i64>,
}
/// What a request may bring.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a body.
    pub body: usize,
    /// For all of it to come.
    pub patience: Duration,
}
/// The management API of a node.
pub struct Api {
    paths: matchit::Router<Vec<Route>>,
    node: Arc<dyn Node>,
    access: Arc<Access>,
    door: Door,
    limits: Limits,
    registry: OnceLock<Arc<Registry>>,
}
/// What becomes of a request.
#[derive(Debug)]
pub enum Outcome {
    /// This answers it.
    Answer(Answer),
    /// The caller may read and publish messages here: the gateway's own code answers it, as a request to this path.
    Messages(String, Vouched),
}

impl Api {
    /// Answers what needs no registry at once, all the rest when it is [there](Self::ready).
    pub fn new(node: Arc<dyn Node>, access: Arc<Access>, door: Door, limits: Limits) -> Self {
        Self {
            paths: routes::paths(),
            node,
            access,
            door,
            limits,
            registry: OnceLock::new(),
        }
    }
    /// From now on resources can be managed.
    pub fn ready(&self, registry: Arc<Registry>) {
        // Said once, by whoever starts the node.
        let _again = self.registry.set(registry);
    }
    /// Who calls, whether that may be, and what is answered. The body is taken only when the caller may do what is asked.
    pub async fn answer<B>(&self, parts: &Parts, body: &mut Option<B>, peer: SocketAddr) -> Result<Outcome, Refused>
    where
        B: HttpBody<Data = Bytes> + Send + Unpin,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let path = parts.uri.path();
        let matched = self.paths.at(path).map_err(|_| {
            let text = format!("the management API has no path `{}`", path.escape_debug());
            Error::client(Code::NoSuchRoute, text).with_hint("`/openapi.json` lists every path")
        })?;
        // As GET, and nobody sends the body.
        let method = if parts.method == Method::HEAD {
            &Method::GET
        } else {
            &parts.method
        };
        let Some(route) = matched.value.iter().find(|route| route.method == *method) else {
            let allowed: Vec<_> = matched.value.iter().map(|route| route.method.as_str()).collect();
            let text = format!("`{}` does not take `{}`", path.escape_debug(), parts.method);
            return Err(Error::client(Code::MethodNotAllowed, text)
                .with_hint(format!("allowed: {}", allowed.join(", ")))
                .into());
        };
        if !matches!(route.act, Act::Health | Act::Ready) {
            self.door.check(parts)?;
        }
        let caller = match route.needs {
            None => None,
            Some(needs) => Some(self.admit(parts, peer, needs).await?),
        };
        let parameter = |name: &str| matched.params.get(name).map_or(Ok(String::new()), call::decoded);
        let body = if route.takes_body() {
            call::body(parts, body, self.limits, matches!(route.act, Act::Catch | Act::TestSchema)).await?
        } else {
            Body::default()
        };
        let call = Call {
            name: match matched.params.get("id") {
                Some(id) => call::decoded(id)?,
                None => parameter("name")?,
            },
            group: parameter("group")?,
            // The gateway reads its own.
            query: match route.act {
                Act::Messages | Act::Alarms => HashMap::new(),
                _ => call::query(parts.uri.query().unwrap_or_default(), route.query)?,
            },
            headers: &parts.headers,
            body,
            caller,
            from: peer.to_string(),
        };
        self.act(route, &call, path).await
    }
    /// The caller may go as far as that.
    async fn admit(&self, parts: &Parts, peer: SocketAddr, needs: Manage) -> Result<Caller> {
        if self.registry.get().is_none() {
            let again = Retry::After(Duration::from_secs(1));
            return Err(Error::new(Code::Recovering, Fault::Gateway, "the node is recovering").with_retry(again));
        }
        let caller = self.caller(parts, peer).await?;
        if caller.manage.is_some_and(|manage| manage >= needs) {
            return Ok(caller);
        }
        let has = caller.manage.map_or("nothing may be managed", Manage::as_str);
        let text = format!("this needs `{}`, and for the {} it is `{has}`", needs.as_str(), caller.who);
        Err(Error::client(Code::Forbidden, text).with_hint("ask an admin: `tidegate token add NAME --manage …`"))
    }
    async fn caller(&self, parts: &Parts, peer: SocketAddr) -> Result<Caller> {
        let mut all = parts.headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (all.next(), all.next()) else {
            return Err(call::nobody("this needs a token"));
        };
        let text = value.to_str().map_err(|_| call::nobody("`Authorization` is not ASCII"))?;
        let (scheme, shown) = text.split_once(' ').unwrap_or((text, ""));
        if scheme.eq_ignore_ascii_case("bearer") {
            return self.access.bearer(shown.trim());
        }
        if scheme.eq_ignore_ascii_case("basic") {
            let malformed = || call::nobody("`Authorization: Basic` is not base64 of `name:password`");
            let bytes = base64_simd::STANDARD.decode_to_vec(shown.trim()).map_err(|_| malformed())?;
            let colon = bytes.iter().position(|byte| *byte == b':').ok_or_else(malformed)?;
            let (name, password) = bytes.split_at_checked(colon).ok_or_else(malformed)?;
            let name = std::str::from_utf8(name).map_err(|_| malformed())?;
            return self.access.password(name, password.get(1..).unwrap_or_default(), peer.ip()).await;
        }
        Err(call::nobody("`Authorization` is neither `Bearer` nor `Basic`"))
    }
    async fn act(&self, route: &Route, call: &Call<'_>, path: &str) -> Result<Outcome, Refused> {
        let answer = match route.act {
            Act::Health => Answer::text("ok\n"),
            Act::Ready => match self.node.ready() {
                Ok(()) => Answer::text("ready\n"),
                Err(why) => Answer::text(format!("not ready: {why}\n")).status(503),
            },
            Act::Metrics => Answer::metrics(self.node.clone().metrics()?),
            Act::Description => Answer::of_json(description::text()),
            Act::Catch if self.node.catch(call.headers, call.body.bytes()) => Answer::nothing(),
            Act::Caught => {
                let accepts = call.headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
                let page = !accepts.is_some_and(|accepts| accepts.contains("json"));
                let caught = self.node.caught(page).ok_or_else(|| no_catcher(path))?;
                if page { Answer::page(caught) } else { Answer::of_json(caught) }
            }
            Act::Catch => return Err(no_catcher(path).into()),
            act => {
                let recovering = || Error::new(Code::Recovering, Fault::Gateway, "the node is recovering");
                let registry = self.registry.get().ok_or_else(recovering)?;
                if matches!(act, Act::Messages | Act::Alarms) {
                    if path.ends_with("/messages") && path.starts_with("/api/v1/streams/") {
                        resources::stream(registry, &call.id(ResourceKind::Stream))?;
                        registry.plane().reach(&call.name).await;
                    }
                    let caller = call.caller.as_ref().ok_or_else(|| call::nobody("this needs a token"))?;
                    let vouched = Vouched {
                        principal: Principal {
                            id: caller.id.clone(),
                            application: None,
                        },
                        expires: caller.expires,
                    };
                    return Ok(Outcome::Messages(messages_path(path), vouched));
                }
                resources::act(self, registry, act, call).await?
            }
        };
        Ok(Outcome::Answer(answer))
    }
}
/// Only the demo has one.
fn no_catcher(path: &str) -> Error {
    Error::client(
        Code::NoSuchRoute,
        format!("there is no catcher at `{path}`: only the demo of `tidegate dev` has one"),
    )
}
/// `/api/v1/streams/orders/messages` to `/streams/orders`, `/api/v1/topics/a/b` to `/topics/a/b`, `/api/v1/alarms` to `/alarms`; as it was sent, not decoded.
fn messages_path(path: &str) -> String {
    let path = path.strip_prefix("/api/v1").unwrap_or(path);
    path.strip_prefix("/streams/")
        .and_then(|rest| rest.strip_suffix("/messages"))
        .map_or_else(|| path.to_owned(), |name| format!("/streams/{name}"))
}
/// How far one must go to write a resource of this kind: who may is said by admins alone.
fn writes(kind: ResourceKind) -> Manage {
    match kind {
        ResourceKind::User | ResourceKind::Token => Manage::Admin,
        ResourceKind::Schema | ResourceKind::Stream | ResourceKind::Endpoint | ResourceKind::Api | ResourceKind::Webhook => {
            Manage::Operator
        }
    }
}
impl Call<'_> {
    /// Who it is, for the audit log.
    fn author(&self) -> Author {
        Author {
            who: self.caller.as_ref().map_or_else(String::new, |caller| caller.who.clone()),
            from: self.from.clone(),
        }
    }
    fn id(&self, kind: ResourceKind) -> Id {
        Id::new(kind, self.name.as_str())
    }
}
impl Route {
    fn takes_body(&self) -> bool {
        self.method == Method::POST && !matches!(self.act, Act::Messages) || self.method == Method::PUT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_where_the_gateway_has_them() {
        assert_eq!(messages_path("/api/v1/streams/a%2Fb/messages"), "/streams/a%2Fb");
        assert_eq!(messages_path("/api/v1/topics/a/b"), "/topics/a/b");
    }
}
