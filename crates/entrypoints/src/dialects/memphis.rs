//! The HTTP API of Memphis 0.1 to 1.2.8 (its "HTTP proxy", later "REST gateway"), for clients that change an address and nothing else. A station is
//! a stream. What differs, and why, is in `docs/guide/coming-from-memphis.md`.
mod answer;
mod batch;
mod consume;
mod cors;
mod form;
#[doc(hidden)]
pub mod fuzz;
mod login;
mod names;
mod path;
mod produce;
mod station;
mod token;
mod wish;

use crate::{
    http::{
        body::Body,
        call::{Call, RequestIds, Settings as Edge, hex},
        flight::{Aboard, Flight},
        forwarded, head, problem, pull, upload,
        verb::Verb,
    },
    listener::{Connection, Handler, Head, Incoming},
};
use answer::{Family, Refusal, Result};
use http::{HeaderMap, Method, Response, StatusCode, Version, header, request::Parts};
use http_body::Body as _;
use path::{Deed, Place};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tidegate_core::{
    directory::{Directory, Right},
    drain::Watch,
    error::{Code, Error, Fault, Retry},
    exchange::Exchange,
    sessions::{Admitted, Sessions},
};
use tidegate_gateway::{pulls::Pulls, route::Route, tickets::Holder, world::World};

/// Bytes of a request line and its headers that the last release took.
const OLD_HEAD: usize = 4_096;

/// How it speaks.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Answers of release 1.2.8 where it differs from what is documented.
    pub old: bool,
    /// Content types of a single message beside text, JSON and Protobuf; `*`: any.
    pub types: Vec<String>,
    /// A station comes into being when it is first used.
    pub create: bool,
    /// How long an access token holds when nobody asks for another time.
    pub access_ttl: Duration,
    /// The same of a refresh token.
    pub refresh_ttl: Duration,
}
/// What it stands on.
pub struct Ground {
    /// A route `/stations/NAME` for each stream, with pulls.
    pub world: Arc<World>,
    /// Who is calling.
    pub sessions: Arc<dyn Sessions>,
    /// Who may what.
    pub directory: Arc<dyn Directory>,
    /// Shared with every listener.
    pub flight: Arc<Flight>,
    /// What every request keeps to.
    pub edge: Edge,
    /// Ends what waits.
    pub drain: Watch,
    /// Whether messages are taken now.
    pub ready: Arc<dyn Fn() -> bool + Send + Sync>,
}
/// The API: one for its listener.
pub struct Memphis {
    ground: Ground,
    settings: Settings,
    pulls: Arc<Pulls>,
    ids: RequestIds,
}
/// One request of somebody who is known.
struct Asked<'r> {
    parts: &'r Parts,
    who: &'r Admitted,
    peer: SocketAddr,
    trace: [u8; 16],
}
impl Asked<'_> {
    fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }
    fn exchange(&self, route: &Route) -> Exchange {
        let mut x = Exchange::new(route.name.clone());
        (x.peer, x.trace) = (Some(self.peer), self.trace);
        (x.principal, x.expires) = (Some(self.who.principal.clone()), self.who.expires);
        x
    }
}
impl Memphis {
    /// Over a world of stations.
    pub fn new(ground: Ground, settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            pulls: Pulls::new(ground.world.clone()),
            ground,
            settings,
            ids: RequestIds::default(),
        })
    }
    async fn answer(
        &self,
        parts: &Parts,
        body: &mut Option<Incoming>,
        connection: &Arc<Connection>,
        (peer, trace): (SocketAddr, [u8; 16]),
    ) -> Result<Response<Body>> {
        let place = Place::of(parts.uri.path());
        let family = if matches!(place, Place::Station(..)) {
            Family::Station
        } else {
            Family::Message
        };
        let refused = |error| Refusal::of_http(error, family, self.settings.old);
        let aboard = self.ground.flight.enter().map_err(refused)?;
        head::check(parts, self.ground.edge.head).map_err(refused)?;
        if self.settings.old && head_size(parts, body.as_ref()) > OLD_HEAD {
            let error = Error::client(Code::HeadTooLarge, "the head is larger than 4096 bytes");
            return Err(refused(error));
        }
        let _head = match parts.version {
            Version::HTTP_2 => self.ground.flight.keep(parts, connection).map_err(refused)?,
            _ => None,
        };
        if parts.method == Method::OPTIONS {
            return Ok(cors::options(parts));
        }
        // The last release asked for a token behind `/monitoring/status/` and the like.
        let slash = self.settings.old && parts.uri.path().len() > 1 && parts.uri.path().ends_with('/');
        let open = place.is_open() && !slash;
        if place == Place::Status && open && matches!(parts.method, Method::GET | Method::HEAD) {
            return Ok(self.status());
        }
        if self.ground.drain.is_draining() {
            let error = Error::new(Code::Draining, Fault::Operator, "the gateway is shutting down");
            return Err(refused(error.with_retry(Retry::After(Duration::from_secs(1)))));
        }
        let who = if open { None } else { Some(self.admit(parts)?) };
        let Some(allowed) = place.allowed() else {
            return Err(answer::nowhere(&parts.method, parts.uri.path()));
        };
        if place == Place::Status && matches!(parts.method, Method::GET | Method::HEAD) {
            return Ok(self.status());
        }
        if parts.method != Method::POST || place == Place::Status {
            return Err(Refusal::no_method(allowed));
        }
        match (place, who) {
            (Place::Authenticate, _) => login::authenticate(self, parts, body, connection, peer.ip(), aboard).await,
            (Place::Refresh, _) => login::refresh(self, parts, body, connection, aboard).await,
            (Place::Station(name, deed), Some(who)) => {
                let who = &who;
                let asked = Asked { parts, who, peer, trace };
                match deed {
                    Deed::ProduceOne => produce::single(self, name, &asked, body, aboard).await,
                    Deed::ProduceBatch => Box::pin(produce::batch(self, name, &asked, body, aboard)).await,
                    Deed::ConsumeBatch => Box::pin(consume::batch(self, name, &asked, body, connection, aboard)).await,
                    Deed::Pull => Box::pin(self.work(Verb::Pull, name, &asked, body, connection, aboard)).await,
                    Deed::Settle => Box::pin(self.work(Verb::Settle, name, &asked, body, connection, aboard)).await,
                }
            }
            _ => Err(answer::nowhere(&parts.method, parts.uri.path())),
        }
    }
    /// Whoever shows a token that holds.
    fn admit(&self, parts: &Parts) -> Result<Admitted> {
        let token = token::shown(&parts.headers, parts.uri.query()).ok_or_else(Refusal::unauthorized)?;
        let admitted = self.ground.sessions.admit(&token);
        admitted.map_err(|error| Refusal::of(error, Family::Message, self.settings.old))
    }
    /// What probes ask: the truth, but the last release knew only one answer.
    fn status(&self) -> Response<Body> {
        if self.settings.old || (self.ground.ready)() && !self.ground.drain.is_draining() {
            return answer::json(&b"{\"status\":\"ok\"}"[..]);
        }
        let mut response = answer::json(&b"{\"status\":\"unavailable\"}"[..]);
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response
    }
    /// `_pull` and `_settle`, as every API spells them; so are their refusals.
    async fn work(
        &self,
        verb: Verb,
        name: &str,
        asked: &Asked<'_>,
        body: &mut Option<Incoming>,
        connection: &Arc<Connection>,
        aboard: Aboard,
    ) -> Result<Response<Body>> {
        let station = self.station(name, asked, Right::Subscribe)?;
        let route = match verb {
            Verb::Settle => station.there()?,
            Verb::Pull | Verb::Ticket => self.open(&station).await?,
        };
        let path = station.path();
        let call = Call {
            route: &route,
            name: &route.name,
            rest: "",
            host: "",
            path: &path,
            peer: asked.peer,
            trace: asked.trace,
            vouched: None,
            holder: Some(Holder {
                principal: Some(asked.who.principal.clone()),
                expires: asked.who.expires,
            }),
        };
        let desk = pull::Desk {
            world: &self.ground.world,
            pulls: &self.pulls,
            flight: &self.ground.flight,
            drain: &self.ground.drain,
            pace: self.ground.edge.body_pace,
        };
        let answered = match tokenless(asked.parts) {
            Some(parts) => pull::answer(verb, call, &parts, body, &desk, connection, aboard).await,
            None => pull::answer(verb, call, asked.parts, body, &desk, connection, aboard).await,
        };
        Ok(answered.unwrap_or_else(|error| {
            let request_id = hex(asked.trace);
            problem::tell(&error, &request_id, asked.peer);
            problem::answer(&error, &[], &request_id, asked.headers())
        }))
    }
}
/// The request without the token in its query, which no entrypoint knows; `None`: there is none.
fn tokenless(parts: &Parts) -> Option<Parts> {
    let query = parts.uri.query().filter(|query| query.contains("authorization="))?;
    let rest = token::without(query);
    let mut parts = parts.clone();
    let target = format!("{}?{rest}", parts.uri.path());
    parts.uri = target.parse().ok()?;
    Some(parts)
}
/// As it came, more or less: each header with `: ` and a line end.
fn head_size(parts: &Parts, body: Option<&Incoming>) -> usize {
    let fields = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    let length = body
        .and_then(|body| body.size_hint().exact())
        .map_or(0, |length| format!("content-length: {length}\r\n").len());
    let target = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    fields.sum::<usize>() + length + parts.method.as_str().len() + target + 14
}
impl Handler for Memphis {
    type Memo = ();

    async fn handle(&self, head: Arc<Head<()>>, body: Incoming, connection: Arc<Connection>) -> Response<Body> {
        let trace = self.ids.next();
        let parts = &**head;
        let peer = forwarded::caller(&parts.headers, &connection);
        let mut body = Some(body);
        let mut response = match self.answer(parts, &mut body, &connection, (peer, trace)).await {
            Ok(response) => response,
            Err(refusal) => {
                if let Some(error) = &refusal.error {
                    problem::tell(error, &hex(trace), peer);
                }
                refusal.into_response()
            }
        };
        if parts.version == Version::HTTP_2 {
            body.into_iter().for_each(upload::pass_over);
        }
        cors::tell(response.headers_mut());
        if tracing::enabled!(tracing::Level::DEBUG) {
            let (method, path, status) = (&parts.method, parts.uri.path(), response.status().as_u16());
            tracing::debug!(request_id = %hex(trace), peer = %peer, method = %method, path = %path, status, "request");
        }
        response
    }
    /// In the words of the original's server.
    fn last(&self, error: &Error) -> Vec<u8> {
        let refusal = Refusal::of_http(error.again(), Family::Text, self.settings.old);
        let status = refusal.status();
        let (kind, text) = ("text/plain; charset=utf-8", refusal.words());
        let (length, allow, vary) = (text.len(), header::ACCESS_CONTROL_ALLOW_ORIGIN, header::VARY);
        format!(
            "HTTP/1.1 {status}\r\nconnection: close\r\n{vary}: Origin\r\n{allow}: *\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{text}"
        )
        .into_bytes()
    }
}
