//! From a request to the entrypoint that answers it.
use super::{
    accept::{self, Format},
    body::Body,
    call::{Call, RequestIds, Settings, hex},
    cors,
    flight::Flight,
    forwarded,
    head::{self},
    problem, publish, pull, read, sse, ticket, upload,
    verb::Verb,
    way::{Memo, Way},
    websocket, wish,
};
use crate::listener::{Connection, Handler, Head, Incoming};
use http::{HeaderValue, Method, Response, Version, header, request::Parts};
use http_body::Body as _;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tidegate_core::{
    drain::Watch,
    error::{Code, Error, Fault, Result, Retry},
};
use tidegate_gateway::{pulls::Pulls, shard::Shards, tickets::Tickets, world::World};
use tidegate_wire::websocket::handshake;

/// A page for people, at a path no API has.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// The exact path.
    pub path: &'static str,
    /// `text/html; charset=utf-8`.
    pub content_type: &'static str,
    /// What is answered.
    pub bytes: &'static [u8],
}
/// The HTTP gateway: one for all its listeners.
pub struct Gateway {
    pub(super) world: Arc<World>,
    pub(super) flight: Arc<Flight>,
    pub(super) settings: Settings,
    pub(super) shards: Arc<Shards>,
    pub(super) pulls: Arc<Pulls>,
    tickets: Tickets,
    pages: Vec<Page>,
    pub(super) drain: Watch,
    within: Arc<AtomicUsize>,
    ids: RequestIds,
}
impl Gateway {
    /// Over a world; `drain` ends its streams.
    pub fn new(world: Arc<World>, flight: Arc<Flight>, settings: Settings, pages: Vec<Page>, drain: Watch) -> Arc<Self> {
        Arc::new(Self {
            shards: Shards::new(world.clone(), drain.clone()),
            pulls: Pulls::new(world.clone()),
            tickets: Tickets::default(),
            world,
            flight,
            settings,
            pages,
            drain,
            within: Arc::default(),
            ids: RequestIds::default(),
        })
    }
    /// One more stream within a connection, until the guard is dropped.
    pub(super) fn stream_within(&self) -> Result<impl Send + use<>> {
        struct Within(Arc<AtomicUsize>);
        impl Drop for Within {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let before = self.within.fetch_add(1, Ordering::Relaxed);
        let within = Within(self.within.clone());
        if before < self.settings.streams_within {
            return Ok(within);
        }
        let text = format!("{before} streams are open within connections; over HTTP/1.1 there is a connection for each");
        Err(Error::new(Code::Overloaded, Fault::Operator, text).with_retry(Retry::After(Duration::from_secs(1))))
    }
    /// `page` is set to the origin of a page that may read the answer, whatever it is.
    async fn answer(
        &self,
        head: &Head<Memo>,
        body: &mut Option<Incoming>,
        connection: &Arc<Connection>,
        (peer, trace): (SocketAddr, [u8; 16]),
        page: &mut Option<HeaderValue>,
    ) -> Result<Response<Body>> {
        let aboard = self.flight.enter()?;
        let parts: &Parts = head;
        let known = Way::known(head, &self.world);
        let host = match &known {
            Some((way, _)) => way.host(),
            None => head::check(parts, self.settings.head)?,
        };
        let _head = match parts.version {
            Version::HTTP_2 => self.flight.keep(parts, connection)?,
            _ => None,
        };
        if self.drain.is_draining() {
            return Err(Error::new(Code::Draining, Fault::Operator, "the gateway is shutting down")
                .with_retry(Retry::After(Duration::from_secs(1))));
        }
        let found = match &known {
            Some(_) => None,
            None => Way::find(head, host, &self.world),
        };
        let Some((way, route)) = known.as_ref().or(found.as_ref()) else {
            return self.no_route(parts, parts.uri.path());
        };
        let call = Call {
            route,
            name: way.name(),
            rest: way.rest(parts),
            host: way.host(),
            path: way.path(parts),
            peer,
            trace,
            vouched: parts.extensions.get(),
            holder: ticket::shown(parts, &route.name, &self.tickets)?,
        };
        let from = cors::from(parts, route, &self.settings);
        if let cors::From::Allowed(origin) = from {
            *page = Some(origin.clone());
        }
        // A browser sends many a POST without asking first, and hides no more than the answer.
        if let cors::From::Foreign(origin) = from
            && parts.method == Method::POST
        {
            return Err(cors::refused(&call, origin));
        }
        if let Some(verb) = way.verb {
            if cors::is_preflight(parts) {
                return cors::preflight(&call, parts, from, "POST");
            }
            if verb == Verb::Ticket {
                return ticket::answer(&call, parts, &self.tickets).await;
            }
            let desk = pull::Desk {
                world: &self.world,
                pulls: &self.pulls,
                flight: &self.flight,
                drain: &self.drain,
                pace: self.settings.body_pace,
            };
            return Box::pin(pull::answer(verb, call, parts, body, &desk, connection, aboard)).await;
        }
        match parts.method {
            Method::OPTIONS if cors::is_preflight(parts) => cors::preflight(&call, parts, from, call.allowed()),
            Method::POST => publish::post(call, parts, way, body, &self.settings, aboard).await,
            Method::GET => {
                // Nothing of a GET's body is looked at, so that no upload hides in it.
                let bodied = body.take().is_some_and(|body| !body.is_end_stream());
                // Large, and not the path that is walked most: the request's own future stays small.
                Box::pin(self.get(call, parts, bodied, connection)).await
            }
            // `head::check` lets no other pass.
            Method::CONNECT => Box::pin(websocket::upgrade(&call, parts, false, self, connection)).await,
            _ => Err(call.no_method(&parts.method)),
        }
    }
    /// The page of another origin this comes from, if its api lets that read the answer.
    fn page(&self, head: &Head<Memo>) -> Option<HeaderValue> {
        let parts: &Parts = head;
        parts.headers.get(header::ORIGIN)?;
        let host = head::check(parts, self.settings.head).ok()?;
        let (_, route) = Way::find(head, host, &self.world)?;
        match cors::from(parts, &route, &self.settings) {
            cors::From::Allowed(origin) => Some(origin.clone()),
            cors::From::Here | cors::From::Foreign(_) => None,
        }
    }
    async fn get(&self, call: Call<'_>, parts: &Parts, bodied: bool, connection: &Arc<Connection>) -> Result<Response<Body>> {
        if handshake::is_asked(&parts.headers) {
            return websocket::upgrade(&call, parts, bodied, self, connection).await;
        }
        wish::none_of_ours(&parts.headers)?;
        let api = &call.route.api;
        if call.route.subscribe.is_none() || api.http_get.is_none() && api.sse.is_none() {
            if api.websocket.is_some() {
                return Err(Error::client(Code::BadHandshake, "this api speaks WebSocket only"));
            }
            return Err(call.no_method(&parts.method));
        }
        match accept::format(&parts.headers, api.sse.is_some())? {
            Format::EventStream => sse::stream(&call, parts, self, connection).await,
            format => match &api.http_get {
                Some(get) => {
                    let berth = self.flight.berth(connection);
                    read::get(&call, parts, get, format, self.drain.clone(), berth).await
                }
                None => Err(Error::client(Code::NotAcceptable, "this api only streams").with_hint("send `Accept: text/event-stream`")),
            },
        }
    }
    fn no_route(&self, parts: &Parts, path: &str) -> Result<Response<Body>> {
        if let Some(page) = self.pages.iter().find(|page| page.path == path) {
            if parts.method != Method::GET && parts.method != Method::HEAD {
                return Err(Error::client(
                    Code::MethodNotAllowed,
                    format!("`{path}` is a page and does not take `{}`", parts.method),
                )
                .with_hint("allowed: GET"));
            }
            let mut response = problem::with_type(Body::full(page.bytes), HeaderValue::from_static(page.content_type));
            response
                .headers_mut()
                .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            return Ok(response);
        }
        let now = self.world.now();
        let error = Error::client(Code::NotFound, "no api has this path");
        if !self.settings.hints {
            return Err(error);
        }
        Err(match nearest(path, &now.paths.patterns()) {
            Some(near) => error.with_hint(format!("did you mean {near}?")),
            None => error,
        })
    }
}
/// The pattern that takes the fewest edits, if that is few.
fn nearest(path: &str, patterns: &[String]) -> Option<String> {
    let first = |path: &str| path.trim_matches('/').split('/').next().unwrap_or_default().to_ascii_lowercase();
    let wanted = first(path);
    let best = patterns.iter().map(|pattern| (edits(&wanted, &first(pattern)), pattern)).min()?;
    (best.0 <= 1 + wanted.len() / 4).then(|| best.1.clone())
}
/// Levenshtein's distance, over short texts only.
fn edits(a: &str, b: &str) -> usize {
    if a.len().max(b.len()) > 64 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut corner = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(b.bytes()) {
            let best = (corner + usize::from(x != y)).min(left + 1).min(*cell + 1);
            corner = std::mem::replace(cell, best);
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}
impl Handler for Gateway {
    type Memo = Memo;

    async fn handle(&self, head: Arc<Head<Memo>>, body: Incoming, connection: Arc<Connection>) -> Response<Body> {
        let trace = self.ids.next();
        let mut page = None;
        let parts = &**head;
        let peer = forwarded::caller(&parts.headers, &connection);
        let mut body = Some(body);
        let mut response = match self.answer(&head, &mut body, &connection, (peer, trace), &mut page).await {
            Ok(response) => response,
            Err(error) => {
                let request_id = hex(trace);
                problem::tell(&error, &request_id, peer);
                // It may have been refused before anybody asked where it comes from.
                page = page.or_else(|| self.page(&head));
                problem::answer(&error, &[], &request_id, &parts.headers)
            }
        };
        if parts.version == Version::HTTP_2 {
            body.into_iter().for_each(upload::pass_over);
        }
        if let Some(origin) = page {
            cors::tell(origin, response.headers_mut());
        }
        if tracing::enabled!(tracing::Level::DEBUG) {
            let (method, path, status) = (&parts.method, parts.uri.path(), response.status().as_u16());
            tracing::debug!(request_id = %hex(trace), peer = %peer, method = %method, path = %path, status, "request");
        }
        response
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let patterns = ["/orders".to_owned(), "/topics/*".to_owned()];
        assert_eq!(nearest("/order", &patterns).as_deref(), Some("/orders"));
        assert_eq!(nearest("/topic/x", &patterns).as_deref(), Some("/topics/*"));
        assert_eq!(nearest("/zzz", &patterns), None);
    }
}
