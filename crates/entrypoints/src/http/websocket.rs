//! `GET path` with `Upgrade: websocket`: the connection becomes a session that publishes, reads, or both. Over HTTP/2 a stream becomes one.
mod incoming;
mod session;
mod told;
mod words;
mod worker;

use super::{
    body::Body,
    call::Call,
    cors,
    framings::{Json, Plain},
    head, items, problem,
    query::Query,
    read,
    service::Gateway,
};
use crate::listener::{Client, Connection, Lease, Tunnel};
use bytes::Bytes;
use http::{Response, StatusCode, request::Parts};
use hyper::upgrade::OnUpgrade;
use session::Session;
use std::sync::Arc;
use tidegate_core::{
    endpoint::Start,
    error::{Code, Error, Result},
    framing::Framing,
    tasks,
};
use tidegate_gateway::{flow, handle::RouteHandle};
use tidegate_wire::websocket::handshake::{self, Refusal};
pub(super) use words::MOST_CREDIT;

/// Messages as JSON objects, with acknowledgements, credit and places.
const SUBPROTOCOL: &str = "tidegate.v1.json";

/// How messages travel.
#[derive(Clone, Copy, Debug)]
enum Form {
    /// A frame is a payload: text where it is UTF-8.
    Plain,
    /// [`SUBPROTOCOL`].
    Json(items::Parts),
}
impl Form {
    fn framing(self) -> &'static dyn Framing {
        match self {
            Self::Plain => &Plain,
            Self::Json(parts) => Json::with(parts),
        }
    }
}

/// Answers 101, over HTTP/2 200, or says why not. What is wrong with the API or the place to begin is told before anything is upgraded. `bodied`: the
/// request has a body, where frames would begin.
pub(super) async fn upgrade(
    call: &Call<'_>,
    parts: &Parts,
    bodied: bool,
    gateway: &Gateway,
    connection: &Arc<Connection>,
) -> Result<Response<Body>> {
    let Some(settings) = &call.route.api.websocket else {
        return Err(call.not_taken("WebSocket"));
    };
    // A page of another origin would speak with the rights of whoever looks at it (RFC 6455, section 10.2).
    if let cors::From::Foreign(origin) = cors::from(parts, call.route, &gateway.settings) {
        return Err(cors::refused(call, origin));
    }
    let stream = parts.extensions.get::<OnUpgrade>().filter(|_| head::is_web_socket(parts));
    let checked = match stream {
        Some(_) => handshake::check_http2(&parts.headers, &[SUBPROTOCOL]),
        None if bodied => Err(Refusal::Body),
        None => handshake::check(&parts.method, parts.version, &parts.headers, &[SUBPROTOCOL]),
    };
    let accepted = match checked {
        Ok(accepted) => accepted,
        Err(refusal) => return Ok(refused(refusal, call, parts)),
    };
    let query = Query::parse(parts.uri.query().unwrap_or_default())?;
    if query.limit.is_some() || query.wait.is_some() {
        return Err(Error::client(
            Code::BadQuery,
            "a WebSocket takes only `from`, `cursor` and `include`",
        ));
    }
    let within = stream.map(|_| gateway.stream_within()).transpose()?;
    let mut x = call.exchange();
    flow::admit(call.route, &mut x).await?;
    let gone = || Error::client(Code::NotFound, "the api is gone");
    let route = RouteHandle::new(&gateway.world, call.host, call.path).ok_or_else(gone)?;
    let form = match accepted.subprotocol {
        Some(_) => Form::Json(read::shown(&query, call.route)?),
        None => Form::Plain,
    };
    let mut session = Session::new(call, form, settings, gateway, route, x);
    let start = query.start();
    match form {
        // Whoever speaks the subprotocol says when it wants to read.
        Form::Json(_) if start.is_some() => {
            return Err(Error::client(
                Code::BadQuery,
                format!("with `{SUBPROTOCOL}` the place to begin stands in the `subscribe` message"),
            ));
        }
        Form::Plain if settings.subscribe => session.subscribe(start.unwrap_or(Start::Latest), None).await?,
        _ => {}
    }
    match stream {
        None => connection.hand_over(Box::new(move |client| Box::pin(session.begin(client)))),
        Some(stream) => {
            let (stream, lease) = (stream.clone(), Lease::new(connection, &parts.extensions));
            tasks::detach(async move {
                // It fails when the client has gone before it had its answer.
                if let Ok(stream) = stream.await {
                    let client = Client {
                        io: Box::new(Tunnel::new(stream)),
                        read: Bytes::new(),
                        open: Box::new((within, lease)),
                    };
                    session.begin(client).await;
                }
            });
        }
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = accepted.status();
    *response.headers_mut() = accepted.headers();
    Ok(response)
}
fn refused(refusal: Refusal, call: &Call<'_>, parts: &Parts) -> Response<Body> {
    let code = if refusal.status() == StatusCode::UPGRADE_REQUIRED {
        Code::BadHandshake
    } else {
        Code::BadRequest
    };
    let error = Error::client(code, refusal.reason());
    let mut response = problem::answer(&error, &[], &call.request_id(), &parts.headers);
    *response.status_mut() = refusal.status();
    response.headers_mut().extend(refusal.headers());
    response
}
/// For fuzzing: what a message of the subprotocol says, as far as its reference and its credit.
pub(super) fn heard(text: &bytes::Bytes, stamp: &super::batch::Stamp) -> (words::Reference, Result<Option<u32>>) {
    let (reference, word) = words::parse(text, stamp);
    let credit = word.map(|word| match word {
        words::Word::Subscribe(_, credit) => credit,
        words::Word::Credit(credit) => Some(credit),
        words::Word::Join(join) => join.credit,
        words::Word::Publish(..) | words::Word::Settle(_) => None,
    });
    (reference, credit)
}
