//! The admin listener: the management API, and what the node tells of itself.
use super::{Health, Seen, logs::Levels, metrics};
use crate::{
    inbox::Inbox,
    secrets::{Certificates, Shown, SigningKeys},
    webhooks::Webhooks,
};
use bytes::Bytes;
use hyper::{HeaderMap, Response, Uri, http::uri::PathAndQuery};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
};
use tidegate_control::api::{Api, Node, Outcome, Rotated};
use tidegate_core::{
    clock,
    error::{Code, Error, Fault, Result},
};
use tidegate_endpoints::local::Failures;
use tidegate_entrypoints::{
    http::{
        body::Body,
        call::{RequestIds, hex},
        flight::Flight,
        forwarded, problem,
        service::Gateway,
    },
    listener::{Connection, Handler, Head, Incoming},
};
use tidegate_gateway::metrics::Metrics;

/// What the node tells of itself.
pub(crate) struct Board {
    pub(crate) health: Arc<Health>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) seen: Arc<Seen>,
    pub(crate) flight: Arc<Flight>,
    pub(crate) levels: Arc<Levels>,
    /// Once there are any.
    pub(crate) webhooks: OnceLock<Arc<Webhooks>>,
    /// The catcher of the demo.
    pub(crate) inbox: OnceLock<Inbox>,
    /// What signs sessions, once there are any.
    pub(crate) signing: OnceLock<Vec<Arc<SigningKeys>>>,
    /// What did not match its schema.
    pub(crate) failures: OnceLock<Arc<Failures>>,
    pub(crate) listeners: Vec<Listening>,
    /// Microseconds since the epoch.
    pub(crate) since: i64,
}
/// One address the node listens on.
#[derive(Clone)]
pub(crate) struct Listening {
    /// `gateway`, `admin`, `memphis`.
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    /// What it proves itself with, if it speaks TLS.
    pub(crate) certificates: Option<Arc<Certificates>>,
}
impl Node for Board {
    fn ready(&self) -> Result<(), String> {
        self.health.is_ready()
    }
    fn metrics(self: Arc<Self>) -> Result<String> {
        let failed = |error| Error::new(Code::Internal, Fault::Gateway, "the metrics cannot be written").because(error);
        metrics::text(&self).map_err(failed)
    }
    fn status(&self) -> Value {
        let tls = |certificates: &Arc<Certificates>| {
            let all = certificates.shown();
            let each =
                |shown: &Shown| json!({"certificate": shown.subject, "names": shown.names, "not_after": clock::rfc3339(shown.not_after)});
            let first_to_end = all.iter().min_by_key(|shown| shown.not_after);
            json!({
                "certificate": first_to_end.map(|shown| &*shown.subject),
                "not_after": first_to_end.map(|shown| clock::rfc3339(shown.not_after)),
                "stale": certificates.is_stale(),
                "certificates": all.iter().map(each).collect::<Vec<_>>(),
            })
        };
        let listener =
            |of: &Listening| json!({"name": of.name, "address": of.address.to_string(), "tls": of.certificates.as_ref().map(tls)});
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "since": clock::rfc3339(self.since),
            "listeners": self.listeners.iter().map(listener).collect::<Vec<_>>(),
        })
    }
    fn catch(&self, headers: &HeaderMap, body: Bytes) -> bool {
        self.inbox.get().is_some_and(|inbox| {
            inbox.take(headers, &body);
            true
        })
    }
    fn caught(&self, page: bool) -> Option<String> {
        let inbox = self.inbox.get()?;
        Some(if page { inbox.page() } else { inbox.json() })
    }
    fn log_level(&self) -> String {
        self.levels.now()
    }
    fn set_log_level(&self, level: &str) -> Result<()> {
        self.levels.set(level)
    }
    fn rotate_signing_keys(&self, revoke: bool) -> Result<Rotated> {
        let keys = self.signing.get().map(Vec::as_slice).unwrap_or_default();
        if keys.is_empty() {
            let text = "this node has no sessions: the Memphis dialect is switched off";
            return Err(Error::client(Code::CommandFailed, text).with_hint("`listeners.memphis` switches it on"));
        }
        let turned = keys.iter().map(|keys| keys.rotate(revoke)).collect::<Result<Vec<_>>>()?;
        Ok(Rotated {
            signs_from: turned.iter().filter_map(|turned| turned.signs_from).max(),
            keys: turned.into_iter().flat_map(|turned| turned.names).collect(),
        })
    }
}
/// The handler of the admin listener.
pub(crate) struct Admin {
    api: Api,
    /// What clients have asked for and not taken counts here.
    flight: Arc<Flight>,
    ids: RequestIds,
    /// Reads and publishes messages for whoever may.
    messages: OnceLock<Arc<Gateway>>,
}
impl Admin {
    pub(crate) fn new(api: Api, flight: Arc<Flight>) -> Arc<Self> {
        Arc::new(Self {
            api,
            flight,
            ids: RequestIds::default(),
            messages: OnceLock::new(),
        })
    }
    pub(crate) fn api(&self) -> &Api {
        &self.api
    }
    /// From now on messages can be read and published.
    pub(crate) fn serve_messages(&self, gateway: Arc<Gateway>) {
        // Said once, by `boot`.
        let _again = self.messages.set(gateway);
    }
}
impl Handler for Admin {
    type Memo = ();

    async fn handle(&self, head: Arc<Head<()>>, body: Incoming, connection: Arc<Connection>) -> Response<Body> {
        let parts = &**head;
        let mut body = Some(body);
        // Boxed: what an operator asks for now and then need not be small, the future of every request is.
        let peer = forwarded::caller(&parts.headers, &connection);
        let outcome = Box::pin(self.api.answer(parts, &mut body, peer)).await;
        let refused = match (outcome, self.messages.get(), body) {
            (Ok(Outcome::Answer(answer)), _, _) => match self.flight.berth(&connection).room(answer.body.len()) {
                Ok(room) => return response(answer.status, answer.headers, room.hold(answer.body.into())),
                Err(error) => error.into(),
            },
            (Ok(Outcome::Messages(path, vouched)), Some(messages), Some(body)) => {
                let mut parts = parts.clone();
                parts.extensions.insert(vouched);
                parts.uri = elsewhere(&parts.uri, &path);
                // Its secret is no message's business.
                parts.headers.remove(hyper::header::AUTHORIZATION);
                parts.headers.remove(hyper::header::ORIGIN);
                return messages.handle(Arc::new(Head::new(parts)), body, connection).await;
            }
            (Ok(Outcome::Messages(..)), _, _) => Error::new(Code::Recovering, Fault::Gateway, "the node is recovering").into(),
            (Err(refused), _, _) => refused,
        };
        let id = hex(self.ids.next());
        problem::tell(&refused.error, &id, peer);
        problem::answer(&refused.error, &refused.errors, &id, &parts.headers)
    }
}
fn response(status: u16, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    *response.headers_mut() = headers;
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    response
}
/// The same target at another path.
fn elsewhere(uri: &Uri, path: &str) -> Uri {
    let query = uri.query().map_or(String::new(), |query| format!("?{query}"));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = format!("{path}{query}").parse::<PathAndQuery>().ok();
    Uri::from_parts(parts).unwrap_or_default()
}
